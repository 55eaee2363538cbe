//! The outline of a binary: what it is, and whether all of its sections are there.
//!
//! Checked before anything else, so that a file that was cut off is called truncated, whatever it was cut in.

use crate::blob_store::{InvalidModule, ModuleKind};

/// First bytes of every Wasm binary.
const MAGIC: [u8; 4] = *b"\0asm";
/// What follows the magic in a core module: version 1, layer 0.
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
/// What follows the magic in a component: version 13, layer 1.
const COMPONENT: [u8; 4] = [13, 0, 1, 0];
/// Number of the code section of a core module.
const CODE_SECTION: u8 = 10;

/// The outline of a binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) kind: ModuleKind,
    /// Bytes of the code section; zero without one and for components.
    pub(super) code_section_bytes: u64,
}

/// Reads the outline.
///
/// # Errors
/// [`InvalidModule::Empty`], [`InvalidModule::NotWasm`], [`InvalidModule::Truncated`], and
/// [`InvalidModule::Malformed`] for an unknown version or a section size that is not a number.
pub(super) fn outline(wasm: &[u8]) -> Result<Outline, InvalidModule> {
    if wasm.is_empty() {
        return Err(InvalidModule::Empty);
    }
    let magic_length = MAGIC.len().min(wasm.len());
    if wasm[..magic_length] != MAGIC[..magic_length] {
        return Err(InvalidModule::NotWasm);
    }
    let truncated = InvalidModule::Truncated { offset: wasm.len() as u64 };
    let Some(version) = wasm.get(MAGIC.len()..MAGIC.len() + 4) else {
        return Err(truncated);
    };
    let kind = if version == CORE_MODULE {
        ModuleKind::CoreModule
    } else if version == COMPONENT {
        ModuleKind::Component
    } else {
        let message = "unknown version: neither a core module nor a component".to_string();
        return Err(InvalidModule::Malformed { offset: MAGIC.len() as u64, message });
    };
    let mut outline = Outline { kind, code_section_bytes: 0 };
    let mut position = MAGIC.len() + version.len();
    while position < wasm.len() {
        let id = wasm[position];
        let (size, content) = section_size(wasm, position + 1)?.ok_or_else(|| truncated.clone())?;
        if wasm.len() - content < size as usize {
            return Err(truncated);
        }
        if kind == ModuleKind::CoreModule && id == CODE_SECTION {
            outline.code_section_bytes = u64::from(size);
        }
        position = content + size as usize;
    }
    Ok(outline)
}

/// Reads a size in LEB128 and returns it with the position behind it; `None` when the binary ends within.
fn section_size(wasm: &[u8], start: usize) -> Result<Option<(u32, usize)>, InvalidModule> {
    let mut size = 0_u64;
    for index in 0..5 {
        let Some(byte) = wasm.get(start + index) else {
            return Ok(None);
        };
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return match u32::try_from(size) {
                Ok(size) => Ok(Some((size, start + index + 1))),
                Err(_) => Err(invalid_size(start)),
            };
        }
    }
    Err(invalid_size(start))
}

fn invalid_size(offset: usize) -> InvalidModule {
    InvalidModule::Malformed {
        offset: offset as u64,
        message: "the size of a section is not a 32-bit number".to_string(),
    }
}
