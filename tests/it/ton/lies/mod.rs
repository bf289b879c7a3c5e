//! What nodes of TON networks say that is not so, told by one operator through the whole pipeline: credited wrongly 0
//! times, missed 0 times, and what ops hear of it.
//!
//! The liar is asked first of three, last of three, or is one of two. The others are honest. It lies to the end; as one
//! of two it gives in at last. `docs/LIES-TON.md` lists what came of it; the suite holds the page to what happens.

mod cases;
mod page;
mod story;
