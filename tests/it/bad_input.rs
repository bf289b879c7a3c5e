//! What comes in broken: answers of nodes, the database, the disk, the clock. Nothing is credited, the
//! reason is told, nothing is lost, and it goes on when it is mended. `docs/BAD-INPUT.md` lists all cases.

pub mod answers;
mod ground;
mod lakes;
