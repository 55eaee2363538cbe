//! Sealed modules: what there is to know of one, its bytes, and lists of them.

use candid::{CandidType, Principal};
use serde::Deserialize;

use super::{Obstacle, RetentionKind};
use crate::Hash;

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
