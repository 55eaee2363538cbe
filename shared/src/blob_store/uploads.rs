//! Uploads: what is declared, sent and sealed, and who may do it.

use candid::{CandidType, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{InvalidModule, ModuleInfo};
use crate::Hash;

/// Declares a module before its bytes are sent.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct BeginUploadArgs {
    /// SHA-256 of the module, exactly as it will be uploaded (raw or gzip).
    pub module_hash: Hash,
    /// Size of the module in bytes.
    pub size: u64,
    /// SHA-256 of each chunk in order; every chunk but the last is exactly 1 MiB.
    pub chunk_hashes: Vec<Hash>,
}

/// Where an upload stands.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum UploadStatus {
    /// The module is in the store: nothing is left to do.
    Sealed(ModuleInfo),
    /// The upload is open.
    Open(OpenUpload),
}

/// An open upload session.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct OpenUpload {
    /// The module declared.
    pub module_hash: Hash,
    /// Its size in bytes.
    pub size: u64,
    /// How many chunks it has.
    pub chunk_count: u32,
    /// Numbers of the chunks that are not there yet, ascending. Chunks that the store has from other modules or
    /// uploads are not asked for.
    pub missing: Vec<u32>,
    /// When the session ends unless something is put before.
    pub expires_at_ns: u64,
}

/// Why an upload cannot begin.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum BeginUploadError {
    /// The anonymous principal may not upload.
    AnonymousCaller,
    /// The caller is neither a controller nor on the list of uploaders.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// The size is zero or more than the most that the Internet Computer can install.
    InvalidSize {
        /// Bytes declared.
        size: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// The number of chunk hashes does not fit the size.
    WrongChunkCount {
        /// Chunks that a module of this size has.
        expected: u32,
        /// Chunk hashes declared.
        received: u32,
    },
    /// The caller has an open upload of the same module hash with another size or other chunk hashes: abort it first.
    DeclaredDifferently,
    /// The caller has too many open uploads.
    TooManyUploads {
        /// Uploads that the caller has open.
        open: u32,
        /// Uploads a principal may have open.
        max: u32,
    },
    /// All callers together have too many open uploads.
    StoreBusy {
        /// Uploads open.
        open: u32,
        /// Uploads the store keeps open.
        max: u32,
    },
    /// The open uploads of the caller and this one together are too large.
    TooManyBytesInFlight {
        /// Bytes of this module.
        declared: u64,
        /// Bytes of the modules that the caller has open uploads of.
        in_flight: u64,
        /// Bytes that a principal may have in flight.
        max: u64,
    },
    /// The caller has sealed too much already, or would have with what is in flight.
    TooManyBytesStored {
        /// Bytes of this module.
        declared: u64,
        /// Bytes of the modules that the caller has open uploads of.
        in_flight: u64,
        /// Bytes of the modules that the caller has sealed.
        stored: u64,
        /// Bytes that a principal may have.
        max: u64,
    },
    /// There is no room for the module.
    StorageFull(StorageFull),
}

/// Stable memory cannot grow. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct StorageFull {
    /// Bytes of stable memory that the store needs.
    pub needed: u64,
    /// Why it cannot grow, as the Internet Computer says it: out of memory, or too few cycles for the freezing
    /// threshold or for the reservation of storage. At most 256 bytes.
    pub reason: String,
}

/// One chunk of a declared module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PutChunkArgs {
    /// The module declared with `begin_upload`.
    pub module_hash: Hash,
    /// Number of the chunk, from 0.
    pub index: u32,
    /// The bytes.
    pub bytes: ByteBuf,
}

/// What is left after a chunk was put.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PutChunkOk {
    /// How many chunks are still to be put. Chunks that others put since the upload began are counted too, until it
    /// begins again; `upload_status` does not list them as missing.
    pub missing_count: u32,
    /// When the session ends unless something is put before.
    pub expires_at_ns: u64,
}

/// Why a chunk is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum PutChunkError {
    /// The caller may not upload any more.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// The caller has no open upload of this module: it never began, was aborted, committed, or expired.
    NoUpload {
        /// The module named.
        module_hash: Hash,
    },
    /// The module has no such chunk.
    IndexOutOfRange {
        /// The number given.
        index: u32,
        /// Chunks of the module.
        chunk_count: u32,
    },
    /// The length is not the one of this chunk.
    WrongSize {
        /// Bytes that this chunk has.
        expected: u64,
        /// Bytes received.
        received: u64,
    },
    /// The bytes are not those declared.
    WrongHash {
        /// The declared hash.
        expected: Hash,
        /// The hash of the bytes received.
        received: Hash,
    },
    /// There is no room.
    StorageFull(StorageFull),
}

/// Why an upload is not sealed. It stays open, unless there is none.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum CommitUploadError {
    /// The caller may not upload any more.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// The caller has no open upload of this module.
    NoUpload {
        /// The module named.
        module_hash: Hash,
    },
    /// Chunks are missing.
    MissingChunks {
        /// Their numbers, ascending.
        missing: Vec<u32>,
    },
    /// The whole is not what was declared, though each chunk is.
    WrongModuleHash {
        /// The declared hash.
        expected: Hash,
        /// The hash of all bytes.
        received: Hash,
    },
    /// The bytes are not a valid Wasm module.
    InvalidModule(InvalidModule),
    /// There is no room.
    StorageFull(StorageFull),
}

/// Why a change of the list of uploaders is refused.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum UploaderError {
    /// Only controllers and holders of the store change the list.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// The anonymous principal may never upload.
    AnonymousUploader,
    /// The list is full.
    TooManyUploaders {
        /// Entries allowed.
        max: u32,
    },
}
