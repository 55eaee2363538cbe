//! Reads Wasm modules: whether they are valid, whether the Internet Computer would install them, and what they say
//! of themselves.
//!
//! A module is *valid* when it keeps to the Wasm specification with all of its finished proposals, as a core module or
//! a component, raw or in gzip. A valid module that breaks a rule of the Internet Computer has *obstacles*: it can be
//! kept, but not run there.

mod budget;
mod functions;
mod gzip;
mod limits;
mod obstacles;
mod structure;
mod survey;
mod system_api;
mod types;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use wasmparser::WasmFeatures;

pub use self::{
    budget::Budget,
    limits::{MAX_CUSTOM_SECTION_BYTES, MAX_CUSTOM_SECTIONS},
    obstacles::{MAX_OBSTACLE_TEXT_BYTES, MAX_OBSTACLES},
};
use self::{budget::Stop, limits::MAX_CODE_SECTION_BYTES, survey::Survey};
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
    inspect_hashed(bytes, Hash::of(bytes), Budget::UNLIMITED)
}

/// Inspects a module as uploaded whose SHA-256 is known already, and so spares hashing a raw module again; gives up when
/// the budget is used up.
///
/// # Errors
/// As [`inspect`], and [`InvalidModule::TooComplex`].
pub fn inspect_hashed(bytes: &[u8], module_hash: Hash, budget: Budget<'_>) -> Result<Inspection, InvalidModule> {
    let (encoding, wasm) = if gzip::is_gzip(bytes) {
        (Encoding::Gzip, Cow::Owned(gzip::expand(bytes, MAX_RAW_MODULE_BYTES as usize)?))
    } else {
        (Encoding::Raw, Cow::Borrowed(bytes))
    };
    if wasm.len() as u64 > MAX_RAW_MODULE_BYTES {
        return Err(InvalidModule::TooLarge { max: MAX_RAW_MODULE_BYTES });
    }
    let outline = structure::outline(&wasm)?;
    // Before the costly part, so that what is left of the budget is all for that.
    let raw_hash = match encoding {
        Encoding::Raw => module_hash,
        Encoding::Gzip => Hash::of(&wasm),
    };
    let surveyed = match outline.kind {
        ModuleKind::Component => {
            Survey::of(&wasm, WasmFeatures::default(), budget).map(|_| (vec![Obstacle::Component], vec![]))
        }
        ModuleKind::CoreModule => survey_core_module(&wasm, outline.code_section_bytes, budget),
    };
    let (obstacles, sections) = surveyed.map_err(|stop| stop.into_invalid(budget))?;
    Ok(Inspection { encoding, kind: outline.kind, raw_size: wasm.len() as u64, raw_hash, obstacles, sections })
}

/// Validates a core module and finds its obstacles.
///
/// Nearly all modules need one pass, with the features of the Internet Computer only. The second pass, with all
/// features, tells modules that are not valid from those that are only ahead of it.
fn survey_core_module(
    wasm: &[u8],
    code_section_bytes: u64,
    budget: Budget<'_>,
) -> Result<(Vec<Obstacle>, Vec<Section>), Stop> {
    // Code beyond the limit is an obstacle in itself. It is the costly part, so it is gone through once.
    let runnable =
        (code_section_bytes <= MAX_CODE_SECTION_BYTES).then(|| Survey::of(wasm, RUNNABLE_FEATURES, budget)).transpose();
    let with_all = || Survey::of(wasm, WasmFeatures::default(), budget);
    let (survey, missing_feature) = match runnable {
        Ok(Some(survey)) => (survey, None),
        Ok(None) => (with_all()?, None),
        Err(Stop::Invalid(error)) => (with_all()?, Some(error)),
        Err(stop @ Stop::TooComplex { .. }) => return Err(stop),
    };
    Ok(survey.judge(code_section_bytes, missing_feature))
}
