//! Wire types of the blob store.

mod holders;
mod modules;
mod obstacles;
mod upkeep;
mod uploads;
mod validity;

use candid::{CandidType, Principal};
use serde::Deserialize;

pub use self::{
    holders::{HolderError, ListRetainedArgs, RetainError, RetainOk, RetainedPage, Retention, RetentionKind},
    modules::{
        Encoding, ListModulesArgs, MetadataSection, ModuleInfo, ModuleKind, ModuleMetadataArgs, ModulePage,
        ModuleSummary, ReadModuleArgs, ReadModuleError,
    },
    obstacles::{Countable, Obstacle},
    upkeep::{BlobStoreStats, GarbageError, GarbageReport},
    uploads::{
        BeginUploadArgs, BeginUploadError, CommitUploadError, OpenUpload, PutChunkArgs, PutChunkError, PutChunkOk,
        StorageFull, UploadStatus, UploaderError,
    },
    validity::{GzipProblem, InvalidModule},
};

/// Arguments of the installation and upgrade of the blob store.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct BlobStoreArgs {
    /// Principals that may upload, besides the canister's controllers, from the start. An upgrade adds them.
    pub uploaders: Vec<Principal>,
    /// Principals that may retain modules, such as the catalog. An upgrade adds them.
    pub holders: Option<Vec<Principal>>,
    /// How long a module that nobody retains is kept before it is condemned, in nanoseconds; 7 days when it was never
    /// set, one hour to 365 days.
    pub grace_period_ns: Option<u64>,
    /// Bytes of modules that each principal may have sealed and in flight; 50 GiB when it was never set.
    pub max_stored_bytes_per_principal: Option<u64>,
}
