//! Stories of the outbox: given endpoints and committed events, when receivers behave as they do, then this is sent.

mod endpoints;
mod feed;
mod leases;
mod order;
mod running;
mod schedule;
