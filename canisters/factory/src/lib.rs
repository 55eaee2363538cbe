//! The factory: turns modules of the depot into running canisters.
//!
//! It owns deployments (persisted state machines), the cache of chunks in its own chunk store, and the list of
//! deployers. It owns no module: what it runs is named by the catalog and kept by the blob store, and can be fetched
//! again at any time.
//!
//! What holds at every message boundary:
//! - A deployment that was begun is in the table of jobs until it ended as `Succeeded` or `Failed`; its intent is
//!   stored before each call to another canister and the outcome is stored first of all after it.
//! - A canister is created at most once per deployment, and is recorded as soon as the factory hears of it.
//! - Cycles that an open deployment will need are not promised to another one.
//! - A chunk that an open deployment leases is not cleared from the chunk store by the factory.
//!
//! Everything here is generic over [`runtime::Runtime`] and stable memory; only the binary knows `ic_cdk`.

pub mod access;
mod cbor;
pub mod deploy;
mod factory;
mod jobs;
pub mod lifecycle;
pub mod limits;
mod locks;
mod memory;
pub mod runtime;
mod staging;
mod stats;
#[cfg(test)]
mod test_world;

pub use factory::Factory;
