//! Asks nodes: what TON has in place of one protocol is three APIs.

mod ask;
mod trouble;
