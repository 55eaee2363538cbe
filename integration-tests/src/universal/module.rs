//! The module of the universal canister, with the exports and sections that a test wants.

use std::{borrow::Cow, io::Read, sync::LazyLock};

use flate2::read::GzDecoder;
use wasm_encoder::{CustomSection, ExportKind, ExportSection, RawSection, Section};
use wasmparser::{ExternalKind, Parser, Payload};

use crate::wasms;

/// An entry point that networks run unasked, so that the module has it only when a test wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// `canister_heartbeat`
    Heartbeat,
    /// `canister_inspect_message`
    InspectMessage,
    /// `canister_on_low_wasm_memory`
    OnLowWasmMemory,
    /// `canister_pre_upgrade`
    PreUpgrade,
}

impl Export {
    const ALL: [Self; 4] = [Self::Heartbeat, Self::InspectMessage, Self::OnLowWasmMemory, Self::PreUpgrade];

    fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "canister_heartbeat",
            Self::InspectMessage => "canister_inspect_message",
            Self::OnLowWasmMemory => "canister_on_low_wasm_memory",
            Self::PreUpgrade => "canister_pre_upgrade",
        }
    }
}

/// A module to install.
#[derive(Clone, Debug)]
pub struct Module {
    bytes: Vec<u8>,
}

/// The module as it was built, without compression.
static BUILT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let compressed = wasms::load("universal").expect("the universal canister was built");
    let mut raw = Vec::new();
    GzDecoder::new(compressed.as_slice()).read_to_end(&mut raw).expect("the module is gzip");
    raw
});

/// The module without the entry points that networks run unasked, but with `canister_pre_upgrade`.
static PLAIN: LazyLock<Module> = LazyLock::new(|| Module::with(&[Export::PreUpgrade]));

/// Returns the module without heartbeat, message inspection and low-memory hook.
pub fn module() -> Module {
    PLAIN.clone()
}

impl Module {
    /// Returns the module with those of the optional entry points that are named.
    pub fn with(exports: &[Export]) -> Self {
        let unwanted: Vec<&str> =
            Export::ALL.iter().filter(|export| !exports.contains(export)).map(|export| export.name()).collect();
        Self { bytes: without_exports(&BUILT, &unwanted) }
    }

    /// Adds a custom section.
    pub fn with_section(mut self, name: &str, content: &[u8]) -> Self {
        let section = CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(content) };
        section.append_to(&mut self.bytes);
        self
    }

    /// Returns the module.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }
}

/// Copies a module but for some of its exports.
fn without_exports(module: &[u8], unwanted: &[&str]) -> Vec<u8> {
    let mut copy = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.expect("the built module is valid");
        if let Payload::ExportSection(reader) = payload {
            let mut exports = ExportSection::new();
            for export in reader {
                let export = export.expect("the built module is valid");
                if !unwanted.contains(&export.name) {
                    exports.export(export.name, kind(export.kind), export.index);
                }
            }
            copy.section(&exports);
        } else if let Some((id, range)) = payload.as_section() {
            copy.section(&RawSection { id, data: &module[range.start as usize..range.end as usize] });
        }
    }
    copy.finish()
}

fn kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    }
}
