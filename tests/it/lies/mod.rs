//! Every kind of lie through the whole pipeline: credited wrongly 0 times, and what ops hear of it.
//!
//! Each lie is told by one operator of three, in the first place and in the last, and by one of two. The others are
//! honest. `docs/LIES.md` lists what came of it; the suite holds the page to what happens.

mod cases;
mod ground;
mod page;
mod story;
