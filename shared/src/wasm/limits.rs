//! What the Internet Computer allows a module to have.
//!
//! The numbers are those of the replica (`rs/config/src/embedders.rs` and
//! `rs/embedders/src/wasm_utils/validation.rs` of dfinity/ic, May 2026).

/// Bytes of the code section.
pub(super) const MAX_CODE_SECTION_BYTES: u64 = 12 << 20;
/// Functions that the module defines.
pub(super) const MAX_FUNCTIONS: u64 = 50_000;
/// Instructions of one function.
pub(super) const MAX_INSTRUCTIONS_IN_FUNCTION: u64 = 1_000_000;
/// Complexity of one function, a weighted number of its instructions.
pub(super) const MAX_FUNCTION_COMPLEXITY: u64 = 1_000_000;
/// Globals that the module defines.
pub(super) const MAX_GLOBALS: u64 = 1_000;
/// Memories.
pub(super) const MAX_MEMORIES: u64 = 1;
/// Tables.
pub(super) const MAX_TABLES: u64 = 1;
/// Methods.
pub(super) const MAX_EXPORTED_FUNCTIONS: u64 = 1_000;
/// Bytes of the names of all methods.
pub(super) const MAX_EXPORTED_NAME_BYTES: u64 = 20_000;
/// `icp:` custom sections.
pub const MAX_CUSTOM_SECTIONS: usize = 16;
/// Bytes of all `icp:` custom sections: content, and name without `icp:public ` or `icp:private `.
pub const MAX_CUSTOM_SECTION_BYTES: usize = 1 << 20;
/// Pages of 64 KiB of a memory with 32-bit addresses: 4 GiB.
pub(super) const MAX_MEMORY32_PAGES: u64 = 65_536;
/// Pages of 64 KiB of a memory with 64-bit addresses: 6 GiB.
pub(super) const MAX_MEMORY64_PAGES: u64 = 98_304;
