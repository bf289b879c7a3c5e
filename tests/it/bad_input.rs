//! What comes in broken: answers of nodes, the database, the clock.
