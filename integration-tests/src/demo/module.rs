//! The module that the demo is about: read and checked before anything is created.

use std::path::Path;

use anyhow::{Context, bail};
use depot_types::{Hash, blob_store::Encoding, limits::MAX_MODULE_BYTES, wasm};

use crate::wasms;

/// A module that the Internet Computer would install.
#[derive(Debug)]
pub(super) struct Module {
    /// File name.
    pub(super) name: String,
    /// The bytes as they are.
    pub(super) bytes: Vec<u8>,
    /// SHA-256 of the bytes.
    pub(super) hash: Hash,
    /// The Candid interface, if the module has one.
    pub(super) interface: Option<String>,
    encoding: Encoding,
    raw_size: u64,
}

impl Module {
    /// Takes the sample canister of the workspace.
    pub(super) fn sample() -> anyhow::Result<Self> {
        Self::check("counter.wasm.gz".to_string(), wasms::load("counter")?)
    }

    /// Reads a file.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let metadata = std::fs::metadata(file).with_context(|| format!("cannot read {shown}"))?;
        if !metadata.is_file() {
            bail!("{shown} is not a file");
        }
        // Looked at before reading, so that a huge file by mistake does not fill memory.
        if metadata.len() > MAX_MODULE_BYTES {
            bail!("{shown} has {} bytes; the Internet Computer installs at most {MAX_MODULE_BYTES}", metadata.len());
        }
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::check(name, bytes).with_context(|| format!("{shown} cannot be deployed"))
    }

    fn check(name: String, bytes: Vec<u8>) -> anyhow::Result<Self> {
        let inspection = wasm::inspect(&bytes)?;
        if let Some(obstacle) = inspection.obstacles.first() {
            let more = match inspection.obstacles.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more reasons)"),
            };
            bail!("the Internet Computer would refuse this module: {obstacle}{more}");
        }
        let hash = Hash::of(&bytes);
        let interface = inspection.metadata("candid:service").and_then(|text| String::from_utf8(text.to_vec()).ok());
        let (encoding, raw_size) = (inspection.encoding, inspection.raw_size);
        Ok(Self { name, hash, interface, encoding, raw_size, bytes })
    }

    /// Describes the module in a line.
    pub(super) fn describe(&self) -> String {
        let size = self.bytes.len();
        let packing = match self.encoding {
            Encoding::Raw => String::new(),
            Encoding::Gzip => format!(" (gzip of {})", self.raw_size),
        };
        format!("module {}: {size} bytes{packing}, sha256 {}", self.name, super::short(&self.hash))
    }
}
