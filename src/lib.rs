//! The body of amn-scanner: everything that touches a socket, a database or a clock.

pub mod api;
pub mod clock;
pub mod store;
