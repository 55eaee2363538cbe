//! Wire types of the blob store.

use candid::{CandidType, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{Hash, usage::MethodUsage};

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

/// Why bytes are not a valid Wasm module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum InvalidModule {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// Neither Wasm nor gzip: the first bytes are not theirs.
    #[error("the file is neither Wasm nor gzip of Wasm")]
    NotWasm,
    /// The bytes end too early.
    #[error("the module is truncated: it ends unexpectedly at byte {offset}")]
    Truncated {
        /// Where the end was met, in bytes of the uncompressed module.
        offset: u64,
    },
    /// The gzip stream is damaged or truncated, its checksum or length is wrong, or bytes follow it.
    #[error("the gzip stream is damaged: {problem:?}")]
    CorruptGzip {
        /// What is wrong.
        problem: GzipProblem,
    },
    /// The module is larger than the Internet Computer takes once uncompressed.
    #[error("the module is larger than {max} bytes uncompressed")]
    TooLarge {
        /// Bytes allowed.
        max: u64,
    },
    /// The module breaks a rule of the Wasm specification.
    #[error("invalid Wasm at byte {offset}: {message}")]
    Malformed {
        /// Where, in bytes of the uncompressed module.
        offset: u64,
        /// The rule, for a person.
        message: String,
    },
    /// Finding out whether the module is valid would cost more than one message may.
    #[error("validating the module would take more than {max_instructions} instructions (given up at byte {offset})")]
    TooComplex {
        /// How far the validation came, in bytes of the uncompressed module.
        offset: u64,
        /// Instructions that hashing and validating a module may take.
        max_instructions: u64,
    },
}

/// What is wrong with a gzip stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum GzipProblem {
    /// The header is malformed.
    Header,
    /// The compressed data is malformed.
    Data,
    /// The stream ends too early.
    Truncated,
    /// The checksum is wrong.
    Checksum,
    /// The length in the trailer is wrong.
    Length,
    /// Bytes follow the stream.
    TrailingBytes,
}

/// How a module is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Encoding {
    /// Plain Wasm.
    Raw,
    /// Wasm in gzip.
    Gzip,
}

/// What sort of Wasm binary it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ModuleKind {
    /// A core module.
    CoreModule,
    /// A component.
    Component,
}

/// A sealed module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ModuleInfo {
    /// SHA-256 of the bytes as uploaded.
    pub module_hash: Hash,
    /// Bytes as uploaded.
    pub size: u64,
    /// SHA-256 of each chunk in order.
    pub chunk_hashes: Vec<Hash>,
    /// Raw or gzip.
    pub encoding: Encoding,
    /// Core module or component.
    pub kind: ModuleKind,
    /// SHA-256 of the uncompressed module; the module hash itself when raw.
    pub raw_hash: Hash,
    /// Bytes of the uncompressed module.
    pub raw_size: u64,
    /// Why the Internet Computer would not install the module; empty when it would.
    pub obstacles: Vec<Obstacle>,
    /// Names of the `icp:` custom sections, whose contents `module_metadata` returns.
    pub metadata: Vec<MetadataSection>,
    /// Who sealed it.
    pub sealed_by: Principal,
    /// When it was sealed.
    pub sealed_at_ns: u64,
}

impl ModuleInfo {
    /// Returns true when the Internet Computer would install the module.
    pub fn is_deployable(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// An `icp:` custom section of a module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct MetadataSection {
    /// Name without `icp:public ` or `icp:private `, such as `candid:service`.
    pub name: String,
    /// True when everybody may read it from the canister.
    pub public: bool,
    /// Bytes of its content.
    pub size: u64,
}

/// A rule of the Internet Computer that a valid Wasm binary breaks.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum Obstacle {
    /// Components are not run.
    #[error("it is a component, not a core module")]
    Component,
    /// An import is not of the system API, or has another type there.
    #[error("it imports `{name}` from `{module}`, which is not in the system API with that type")]
    Import {
        /// The module imported from.
        module: String,
        /// The name imported.
        name: String,
    },
    /// An export with a reserved prefix has an unknown name or a wrong type.
    #[error("it exports `{name}`, which the Internet Computer does not know or not with that type")]
    Export {
        /// The name exported.
        name: String,
    },
    /// A method is exported twice, as two kinds.
    #[error("it exports the method `{method}` more than once")]
    DuplicateMethod {
        /// The method.
        method: String,
    },
    /// Something there is more of than the Internet Computer allows.
    #[error("it has {count} of {what:?}, more than {max}")]
    TooMany {
        /// What it is.
        what: Countable,
        /// How much of it the module has.
        count: u64,
        /// How much is allowed.
        max: u64,
    },
    /// A feature of Wasm that the Internet Computer does not run.
    #[error("it uses a Wasm feature that the Internet Computer does not have (byte {offset}: {message})")]
    Feature {
        /// Where, in bytes of the uncompressed module.
        offset: u64,
        /// What, for a person.
        message: String,
    },
    /// An `icp:` custom section whose name is neither public nor private.
    #[error("its custom section `{name}` is neither `icp:public` nor `icp:private`")]
    CustomSectionName {
        /// The name of the section.
        name: String,
    },
    /// Two `icp:` custom sections have the same name.
    #[error("it has more than one `icp:` custom section `{name}`")]
    DuplicateCustomSection {
        /// The name without `icp:public ` or `icp:private `.
        name: String,
    },
}

/// What a module may have only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Countable {
    /// Bytes of the code section.
    CodeSectionBytes,
    /// Functions.
    Functions,
    /// Instructions in one function.
    InstructionsInFunction,
    /// Complexity of one function: its instructions, weighted as the Internet Computer does.
    FunctionComplexity,
    /// Globals.
    Globals,
    /// Memories.
    Memories,
    /// Tables.
    Tables,
    /// Exported functions.
    ExportedFunctions,
    /// Bytes of the names of exported functions.
    ExportedNameBytes,
    /// `icp:` custom sections.
    CustomSections,
    /// Bytes of `icp:` custom sections, names included.
    CustomSectionBytes,
    /// Pages of memory at the start.
    InitialMemoryPages,
    /// Pages of memory that the module declares as the most it needs.
    MaximumMemoryPages,
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

/// Asks for one `icp:` custom section of a module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ModuleMetadataArgs {
    /// The module.
    pub module_hash: Hash,
    /// Name without `icp:public ` or `icp:private `.
    pub name: String,
}

/// Asks for a part of a module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ReadModuleArgs {
    /// The module.
    pub module_hash: Hash,
    /// The first byte, from 0.
    pub offset: u64,
    /// How many bytes, at most [`MAX_READ_BYTES`](crate::limits::MAX_READ_BYTES); fewer are answered at the end of the
    /// module.
    pub length: u32,
}

/// Why no part of a module is answered.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ReadModuleError {
    /// No such module is sealed.
    UnknownModule {
        /// The module named.
        module_hash: Hash,
    },
    /// The part begins behind the end.
    OutOfRange {
        /// Where it begins.
        offset: u64,
        /// Bytes of the module.
        size: u64,
    },
    /// The part is longer than an answer can be.
    TooLong {
        /// Bytes asked for.
        length: u32,
        /// Bytes of an answer.
        max: u32,
    },
}

/// Asks for a page of the sealed modules, in the order of their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListModulesArgs {
    /// Begins behind this hash; at the first module when absent.
    pub after: Option<Hash>,
    /// Modules of the page: [`DEFAULT_PAGE_ENTRIES`](crate::limits::DEFAULT_PAGE_ENTRIES) when absent, at most
    /// [`MAX_PAGE_ENTRIES`](crate::limits::MAX_PAGE_ENTRIES).
    pub limit: Option<u32>,
    /// Only those that this principal sealed.
    pub sealed_by: Option<Principal>,
    /// Only those that the Internet Computer would install, or only those that it would not.
    pub deployable: Option<bool>,
    /// Only core modules, or only components.
    pub kind: Option<ModuleKind>,
    /// Only those that are kept for this reason.
    pub retention: Option<RetentionKind>,
}

/// A page of sealed modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct ModulePage {
    /// The modules, ascending by hash. A page can be shorter than asked for, or empty, though more follow.
    pub modules: Vec<ModuleSummary>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Hash>,
}

/// A sealed module in a list.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ModuleSummary {
    /// SHA-256 of the bytes as uploaded.
    pub module_hash: Hash,
    /// Bytes as uploaded.
    pub size: u64,
    /// Bytes of the uncompressed module.
    pub raw_size: u64,
    /// Raw or gzip.
    pub encoding: Encoding,
    /// Core module or component.
    pub kind: ModuleKind,
    /// True when the Internet Computer would install it.
    pub deployable: bool,
    /// Who sealed it.
    pub sealed_by: Principal,
    /// When it was sealed.
    pub sealed_at_ns: u64,
    /// Why it is kept.
    pub retention: RetentionKind,
}

/// Why a module is kept, without the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum RetentionKind {
    /// A holder retains it.
    Retained,
    /// Nobody retains it; the grace period runs.
    Unretained,
    /// Nobody retained it for the grace period; it can be read for a while longer and then goes away.
    Condemned,
}

/// Why a module is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Retention {
    /// Holders retain it.
    Retained {
        /// These.
        holders: Vec<Principal>,
    },
    /// Nobody retains it.
    Unretained {
        /// Since when: when it was sealed, last released, or asked for by an upload. `None` for a short while after
        /// the upgrade from a version that did not count.
        since_ns: Option<u64>,
        /// When it is condemned, unless somebody retains or uploads it.
        condemned_at_ns: Option<u64>,
    },
    /// Nobody retained it for the grace period. It can be read until it is removed; who retains or uploads it keeps it.
    Condemned {
        /// Since when.
        since_ns: u64,
        /// When it is removed, or soon after.
        removed_at_ns: u64,
    },
}

/// Which of the modules to retain are retained now.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct RetainOk {
    /// Those that are not sealed, in the order given; all others are retained by the caller.
    pub unknown: Vec<Hash>,
}

/// Why nothing is retained or released.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum RetainError {
    /// The caller is no holder.
    NotHolder {
        /// The caller.
        caller: Principal,
    },
    /// Too many modules for one call.
    TooManyHashes {
        /// Hashes given.
        received: u32,
        /// Hashes allowed.
        max: u32,
    },
    /// There is no room to note it down.
    StorageFull(StorageFull),
}

/// Asks for a page of what a holder retains, in the order of hashes.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListRetainedArgs {
    /// The holder.
    pub holder: Principal,
    /// Begins behind this hash; at the first one when absent.
    pub after: Option<Hash>,
    /// Hashes of the page: [`DEFAULT_PAGE_ENTRIES`](crate::limits::DEFAULT_PAGE_ENTRIES) when absent, at most
    /// [`MAX_PAGE_ENTRIES`](crate::limits::MAX_PAGE_ENTRIES).
    pub limit: Option<u32>,
}

/// A page of what a holder retains.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct RetainedPage {
    /// Hashes of modules, ascending.
    pub modules: Vec<Hash>,
    /// Where the next page begins, if there is one.
    pub next: Option<Hash>,
}

/// Why a change of the list of holders is refused.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum HolderError {
    /// Only controllers of the store change the list.
    NotController {
        /// The caller.
        caller: Principal,
    },
    /// The anonymous principal may never retain anything.
    AnonymousHolder,
    /// The list is full. Holders that were removed count until their references are gone.
    TooManyHolders {
        /// Entries allowed.
        max: u32,
    },
    /// The principal was removed, and its references are still being removed: try again soon.
    HolderLeaving {
        /// References left.
        references: u64,
    },
}

/// What one slice of cleaning up did.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct GarbageReport {
    /// Uploads that had expired and were removed.
    pub uploads_removed: u32,
    /// References of removed holders that were dropped.
    pub references_dropped: u32,
    /// Modules of an earlier layout for which counting began.
    pub modules_adopted: u32,
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
