//! The canister modules that `scripts/build` made.

use std::path::PathBuf;

use anyhow::Context;

/// Returns the folder that `scripts/build` writes to.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../wasms"))
}

/// Reads a built canister module, gzipped.
///
/// # Errors
/// When the module was not built; the message tells how to.
pub fn load(name: &str) -> anyhow::Result<Vec<u8>> {
    let path = folder().join(format!("{name}.wasm.gz"));
    std::fs::read(&path).with_context(|| format!("cannot read {}: run ./scripts/build first", path.display()))
}
