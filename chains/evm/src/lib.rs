//! Follows an EVM chain by hash, decodes its transfers, and proves them.
//!
//! [`decode`], [`evidence`], [`header`], [`receipts`] and [`transactions`] are pure: bytes in, facts or
//! a named contradiction out. [`source`] asks nodes and believes none of them further than it must.

pub mod address;
pub mod bloom;
pub mod decode;
pub mod evidence;
pub mod header;
pub mod networks;
pub mod receipts;
pub mod source;
pub mod transactions;
pub mod wire;
pub mod xpub;

#[cfg(feature = "testkit")]
pub mod testkit;
