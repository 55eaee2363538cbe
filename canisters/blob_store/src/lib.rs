//! The blob store: keeps the bytes of Wasm modules by their hash.
//!
//! Owns chunks, the modules made of them, open uploads, the lists of uploaders and holders, and what holders retain.
//! Does not own what modules are called or used for: it knows nothing of the canisters that use it.
//!
//! What always holds:
//! - a chunk's key is the SHA-256 of its bytes, and each chunk is kept once;
//! - a chunk is kept as long as a sealed module or an open upload refers to it, and its pages are free afterwards;
//! - what is not sealed is visible to its uploader only; what is sealed never changes;
//! - a sealed module stays as long as a holder retains it, and for the grace period and a day longer;
//! - a sealed module was hashed and validated as a whole in this canister;
//! - what is certified is what is sealed;
//! - every page is either one chunk's or in one free extent.

pub mod access;
mod accounts;
mod certificates;
mod chunks;
pub mod garbage;
mod header;
pub mod holders;
pub mod http;
pub mod lifecycle;
pub mod limits;
pub mod listing;
pub mod memory;
pub mod metrics;
mod modules;
mod pages;
mod ranges;
pub mod reads;
mod renewal;
pub mod reply;
pub mod retain;
mod retentions;
pub mod room;
mod seal;
mod sessions;
mod space;
pub mod state;
mod storable;
mod tree;
pub mod uploads;

#[cfg(test)]
mod model;
#[cfg(test)]
mod test_fixtures;
