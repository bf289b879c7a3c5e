//! What was missed is found once more: by the dice, and by a person's wish.

mod audits;
mod rescans;

pub mod scene;
