//! Cleaning up, and what the store holds.

use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::usage::MethodUsage;

/// What one slice of cleaning up did.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct GarbageReport {
    /// Uploads that had expired and were removed.
    pub uploads_removed: u32,
    /// References of removed holders that were dropped.
    pub references_dropped: u32,
    /// Modules of an earlier layout for which counting began.
    pub modules_adopted: u32,
    /// Modules that were certified anew, since answers about them have another form after an upgrade.
    pub certificates_renewed: u32,
    /// Modules that nobody retained for the grace period.
    pub modules_condemned: u32,
    /// Condemned modules that were removed.
    pub modules_removed: u32,
    /// Bytes of the chunks that went with all of that.
    pub bytes_freed: u64,
    /// True when more is to be done now.
    pub more: bool,
}

/// Why cleaning up is refused.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum GarbageError {
    /// Only controllers of the store call for it; it goes on by itself all the same.
    NotController {
        /// The caller.
        caller: Principal,
    },
}

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct BlobStoreStats {
    /// Sealed modules.
    pub modules: u64,
    /// Those of them that no holder retains, the condemned ones among them.
    pub unretained_modules: u64,
    /// Those of them that are condemned.
    pub condemned_modules: u64,
    /// References that holders have.
    pub references: u64,
    /// Chunks kept, sealed or in flight; each once.
    pub chunks: u64,
    /// Bytes of those chunks.
    pub chunk_bytes: u64,
    /// Bytes between chunks that other chunks will have.
    pub free_bytes: u64,
    /// Open uploads, and some that have expired.
    pub uploads: u64,
    /// Bytes of stable memory in use for all of it.
    pub stable_bytes: u64,
    /// What the update methods cost since the last upgrade: `main.rs` counts `performance_counter(1)` at the end of
    /// each update into a [`Meter`](crate::usage::Meter) on the heap.
    pub methods: Vec<MethodUsage>,
}
