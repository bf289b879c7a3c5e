//! The integration tests: one binary, real Postgres, real receivers.

mod interop;
mod outbox;
mod support;
