//! Reads Wasm modules: whether they are valid, whether the Internet Computer would install them, and what they say
//! of themselves.
//!
//! A module is *valid* when it keeps to the Wasm specification with all of its finished proposals, as a core module or
//! a component, raw or in gzip. A valid module that breaks a rule of the Internet Computer has *obstacles*: it can be
//! kept, but not run there.

mod functions;
mod gzip;
mod limits;
mod obstacles;
mod structure;
mod survey;
mod system_api;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use wasmparser::WasmFeatures;

use self::{limits::MAX_CODE_SECTION_BYTES, survey::Survey};
pub use self::{
    limits::{MAX_CUSTOM_SECTION_BYTES, MAX_CUSTOM_SECTIONS},
    obstacles::{MAX_OBSTACLE_TEXT_BYTES, MAX_OBSTACLES},
};
use crate::{
    Hash,
    blob_store::{Encoding, InvalidModule, ModuleKind, Obstacle},
    limits::MAX_RAW_MODULE_BYTES,
};

/// What is known of a valid module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Raw or gzip.
    pub encoding: Encoding,
    /// Core module or component.
    pub kind: ModuleKind,
    /// Bytes of the uncompressed module.
    pub raw_size: u64,
    /// SHA-256 of the uncompressed module.
    pub raw_hash: Hash,
    /// Why the Internet Computer would not install the module, at most [`MAX_OBSTACLES`]; empty when it would.
    pub obstacles: Vec<Obstacle>,
    /// The `icp:` custom sections, in their order: of those with a correct name as many as the Internet Computer would
    /// take, that is [`MAX_CUSTOM_SECTIONS`] and [`MAX_CUSTOM_SECTION_BYTES`] at the most.
    pub sections: Vec<Section>,
}

impl Inspection {
    /// Returns the content of an `icp:` custom section, by its name without `icp:public ` or `icp:private `.
    pub fn metadata(&self, name: &str) -> Option<&[u8]> {
        self.sections.iter().find(|section| section.name == name).map(|section| section.content.as_slice())
    }
}

/// An `icp:` custom section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name without `icp:public ` or `icp:private `.
    pub name: String,
    /// True for `icp:public`.
    pub public: bool,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// The features of Wasm that the Internet Computer runs.
const RUNNABLE_FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::BULK_MEMORY_OPT);

/// Inspects a module as uploaded.
///
/// # Errors
/// [`InvalidModule`] when the bytes are neither Wasm nor Wasm in gzip, or break a rule of the Wasm specification.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InvalidModule> {
    inspect_hashed(bytes, Hash::of(bytes))
}

/// Inspects a module as uploaded whose SHA-256 is known already, and so spares hashing a raw module again.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_hashed(bytes: &[u8], module_hash: Hash) -> Result<Inspection, InvalidModule> {
    let (encoding, wasm) = if gzip::is_gzip(bytes) {
        (Encoding::Gzip, Cow::Owned(gzip::expand(bytes, MAX_RAW_MODULE_BYTES as usize)?))
    } else {
        (Encoding::Raw, Cow::Borrowed(bytes))
    };
    if wasm.len() as u64 > MAX_RAW_MODULE_BYTES {
        return Err(InvalidModule::TooLarge { max: MAX_RAW_MODULE_BYTES });
    }
    let outline = structure::outline(&wasm)?;
    let (obstacles, sections) = match outline.kind {
        ModuleKind::Component => {
            Survey::of(&wasm, WasmFeatures::default()).map_err(malformed)?;
            (vec![Obstacle::Component], vec![])
        }
        ModuleKind::CoreModule => survey_core_module(&wasm, outline.code_section_bytes)?,
    };
    let raw_hash = match encoding {
        Encoding::Raw => module_hash,
        Encoding::Gzip => Hash::of(&wasm),
    };
    Ok(Inspection { encoding, kind: outline.kind, raw_size: wasm.len() as u64, raw_hash, obstacles, sections })
}

/// Validates a core module and finds its obstacles.
///
/// Nearly all modules need one pass, with the features of the Internet Computer only. The second pass, with all
/// features, tells modules that are not valid from those that are only ahead of it.
fn survey_core_module(wasm: &[u8], code_section_bytes: u64) -> Result<(Vec<Obstacle>, Vec<Section>), InvalidModule> {
    // Code beyond the limit is an obstacle in itself. It is the costly part, so it is gone through once.
    let runnable =
        (code_section_bytes <= MAX_CODE_SECTION_BYTES).then(|| Survey::of(wasm, RUNNABLE_FEATURES)).transpose();
    let (survey, missing_feature) = match runnable {
        Ok(Some(survey)) => (survey, None),
        Ok(None) => (Survey::of(wasm, WasmFeatures::default()).map_err(malformed)?, None),
        Err(error) => (Survey::of(wasm, WasmFeatures::default()).map_err(malformed)?, Some(error)),
    };
    Ok(survey.judge(code_section_bytes, missing_feature))
}

fn malformed(error: wasmparser::Error) -> InvalidModule {
    InvalidModule::Malformed { offset: error.offset(), message: obstacles::bounded(error.message()) }
}
