//! Modules: decoding, validation by the rules of the replica, and what can be read from them.

mod analysis;
mod decoding;
mod exports;
mod functions;

use std::{collections::BTreeMap, fmt};

use wasmtime::InstancePre;

use super::{
    Entry, code_cache,
    engine::engine,
    system_api::{HostState, linker},
};
use crate::{
    error::{ErrorCode, UserError, UserResult},
    limits::{
        GLOBAL_BYTES,
        instructions::{COMPILE_BASE, COMPILE_PER_INSTRUCTION},
    },
};

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MethodKind {
    /// `canister_update`.
    Update,
    /// `canister_query`.
    Query,
    /// `canister_composite_query`.
    CompositeQuery,
}

impl MethodKind {
    const ALL: [Self; 3] = [Self::Update, Self::Query, Self::CompositeQuery];

    /// Returns the word before the method name in the export.
    fn prefix(self) -> &'static str {
        match self {
            Self::Update => "canister_update",
            Self::Query => "canister_query",
            Self::CompositeQuery => "canister_composite_query",
        }
    }
}

/// Who may read a custom section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// Everybody.
    Public,
    /// Controllers.
    Private,
}

/// An `icp:` custom section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CustomSection {
    /// Name without `icp:public ` or `icp:private `.
    pub name: String,
    /// Who may read it.
    pub visibility: Visibility,
    /// The bytes.
    pub content: Vec<u8>,
}

/// What validation learned about a module.
#[derive(Debug, Default)]
struct Facts {
    /// True when the memory is 64-bit.
    wasm64: bool,
    /// Size of a fresh heap in Wasm pages; `None` without a memory.
    memory_pages: Option<u64>,
    /// True when there is a table.
    has_table: bool,
    /// Indices of the mutable globals, in order.
    mutable_globals: Vec<u32>,
    /// The start function.
    start: Option<u32>,
    /// Methods by name; a name has one kind only.
    methods: BTreeMap<String, MethodKind>,
    /// Exported functions that the network calls, by export name.
    entry_points: BTreeMap<String, u32>,
    /// The `icp:` custom sections.
    custom_sections: Vec<CustomSection>,
    /// Wasm instructions in all functions.
    instructions: u64,
    /// True when a function drops a passive segment, which must come back for the next message.
    drops_segments: bool,
}

/// Why a module cannot be installed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidWasm {
    #[error("Failed to decode wasm module: {0}")]
    Decoding(String),
    #[error("Wasmtime failed to validate wasm module {0}")]
    Engine(String),
    #[error("Wasm module has an invalid function signature. {0}")]
    Signature(String),
    #[error("Wasm module has an invalid import section. {0}")]
    Import(String),
    #[error("Wasm module has an invalid export section. {0}")]
    Export(String),
    #[error("Wasm module has an invalid data section. {0}")]
    Data(String),
    #[error("Wasm module has an invalid custom section. {0}")]
    Custom(String),
    #[error("Wasm module has an invalid global section. {0}")]
    Global(String),
    #[error("Wasm module defined {defined} {what} which exceeds the maximum number allowed {allowed}.")]
    TooMany { what: &'static str, defined: usize, allowed: usize },
    #[error(
        "Wasm module contains a function at index {index} with complexity {complexity} which exceeds the maximum \
         complexity allowed {allowed}"
    )]
    FunctionTooComplex { index: usize, complexity: usize, allowed: usize },
    #[error(
        "Wasm module contains a function at index {index} of size {size} that exceeds the maximum allowed size of {allowed}"
    )]
    FunctionTooLarge { index: usize, size: usize, allowed: usize },
    #[error("Wasm module contains a function at index {index} with unsupported instruction {instruction}")]
    UnsupportedInstruction { index: usize, instruction: &'static str },
    #[error("Wasm module code section size of {size} exceeds the maximum allowed size of {allowed}")]
    CodeSectionTooLarge { size: usize, allowed: usize },
}

impl From<wasmparser::BinaryReaderError> for InvalidWasm {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Decoding(error.to_string())
    }
}

impl From<InvalidWasm> for UserError {
    fn from(error: InvalidWasm) -> Self {
        UserError::new(ErrorCode::CanisterInvalidWasm, format!("Canister's Wasm module is not valid: {error}"))
    }
}

/// A module ready to run.
pub(crate) struct CompiledModule {
    hash: [u8; 32],
    uploaded: Vec<u8>,
    facts: Facts,
    instance: InstancePre<HostState>,
}

impl fmt::Debug for CompiledModule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CompiledModule").field("hash", &hex::encode(self.hash)).finish_non_exhaustive()
    }
}

impl CompiledModule {
    /// Decodes, validates and compiles a module.
    ///
    /// # Errors
    /// `CanisterInvalidWasm` with the rule that the module breaks.
    pub(super) fn new(hash: [u8; 32], bytes: &[u8]) -> UserResult<Self> {
        let wasm = decoding::decode(bytes)?;
        let facts = analysis::analyse(&wasm)?;
        let instrumented = exports::rewrite(&wasm, &facts)?;
        let refused = |error: wasmtime::Error| InvalidWasm::Engine(format!("{error:#}"));
        let module = code_cache::compile(engine(facts.wasm64), &instrumented).map_err(refused)?;
        let instance = linker(facts.wasm64).instantiate_pre(&module).map_err(refused)?;
        Ok(Self { hash, uploaded: bytes.to_vec(), facts, instance })
    }

    /// Returns the SHA-256 of the bytes as uploaded.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns the module as uploaded.
    pub(crate) fn uploaded(&self) -> &[u8] {
        &self.uploaded
    }

    /// Returns the length of the bytes as uploaded.
    pub(crate) fn uploaded_bytes(&self) -> usize {
        self.uploaded.len()
    }

    /// Returns the bytes of memory that the code counts for: as it was uploaded, its metadata, its globals.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.uploaded.len() as u64 + self.metadata_bytes() + self.global_bytes()
    }

    /// Returns the bytes that metadata counts for: name, content, and one byte for who may read it.
    pub(crate) fn metadata_bytes(&self) -> u64 {
        let bytes = |section: &CustomSection| section.name.len() + section.content.len() + 1;
        self.facts.custom_sections.iter().map(bytes).sum::<usize>() as u64
    }

    /// Returns the bytes that globals count for. Besides those that the module can change there is the counter of
    /// instructions, which the replica adds to every module.
    pub(crate) fn global_bytes(&self) -> u64 {
        ((self.facts.mutable_globals.len() + 1) * GLOBAL_BYTES) as u64
    }

    /// Returns the instructions that compiling costs: a base and 6000 for each Wasm instruction.
    pub(crate) fn compile_instructions(&self) -> u64 {
        COMPILE_BASE + COMPILE_PER_INSTRUCTION * self.facts.instructions
    }

    /// Returns true when the module's memory is 64-bit.
    pub(crate) fn is_wasm64(&self) -> bool {
        self.facts.wasm64
    }

    /// Returns true when the module exports the method.
    pub(crate) fn has_method(&self, kind: MethodKind, name: &str) -> bool {
        self.facts.methods.get(name) == Some(&kind)
    }

    /// Returns true when the module has the entry point (`Start`, `Init`, `PreUpgrade`, `Heartbeat`, …).
    ///
    /// Callbacks are looked up in the table when they run; for them this is true.
    pub(crate) fn has_entry(&self, entry: &Entry) -> bool {
        match (entry, exports::name(entry)) {
            (Entry::Start, _) => self.facts.start.is_some(),
            (_, Some(name)) => self.facts.entry_points.contains_key(name.as_ref()),
            (_, None) => true,
        }
    }

    /// Returns the `icp:` custom sections.
    pub(crate) fn custom_sections(&self) -> &[CustomSection] {
        &self.facts.custom_sections
    }

    /// Returns true when queries of the module may ask for a certificate of the certified data.
    pub(crate) fn asks_for_certificate(&self) -> bool {
        self.instance.module().imports().any(|import| import.name().starts_with("data_certificate_"))
    }

    /// Returns the module linked to the system API, ready to be instantiated.
    pub(super) fn instance(&self) -> &InstancePre<HostState> {
        &self.instance
    }

    /// Returns the size of a fresh heap in Wasm pages, or `None` when the module has no memory.
    pub(super) fn memory_pages(&self) -> Option<u64> {
        self.facts.memory_pages
    }

    /// Returns how many mutable globals the module has.
    pub(super) fn mutable_globals(&self) -> usize {
        self.facts.mutable_globals.len()
    }

    /// Returns true when running the module may drop passive segments, which belong to one message only.
    pub(super) fn drops_segments(&self) -> bool {
        self.facts.drops_segments
    }
}

pub(super) use exports::{MEMORY_EXPORT, TABLE_EXPORT, global_export, name as entry_export};

#[cfg(test)]
mod tests;
