//! Rewrites a module's exports, so that the sandbox reaches all it needs and the start function does not run by itself.
//!
//! The engine reaches only what is exported. The canister's own exports are therefore replaced by: the functions the
//! network calls, the start function, the memory, the table and every mutable global. Names cannot clash, since all
//! functions the network calls begin with `canister_`.

use std::borrow::Cow;

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection, SectionId};
use wasmparser::{Parser, Payload};

use super::{Facts, InvalidWasm, MethodKind};
use crate::execution::Entry;

/// Name of the memory.
pub(in crate::execution) const MEMORY_EXPORT: &str = "memory";
/// Name of table 0.
pub(in crate::execution) const TABLE_EXPORT: &str = "table";
/// Name of the start function.
const START_EXPORT: &str = "start";

/// Returns the name of a mutable global by its rank among them.
pub(in crate::execution) fn global_export(rank: usize) -> String {
    format!("global {rank}")
}

/// Returns the name of the function that an entry runs; `None` for callbacks, which are found in the table.
pub(in crate::execution) fn name(entry: &Entry) -> Option<Cow<'static, str>> {
    let method = |kind: MethodKind, method: &str| Some(Cow::Owned(format!("{} {method}", kind.prefix())));
    match entry {
        Entry::Start => Some(START_EXPORT.into()),
        Entry::Init => Some("canister_init".into()),
        Entry::PreUpgrade => Some("canister_pre_upgrade".into()),
        Entry::PostUpgrade => Some("canister_post_upgrade".into()),
        Entry::InspectMessage { .. } => Some("canister_inspect_message".into()),
        Entry::Update { method: name } => method(MethodKind::Update, name),
        Entry::Query { method: name, .. } => method(MethodKind::Query, name),
        Entry::CompositeQuery { method: name } => method(MethodKind::CompositeQuery, name),
        Entry::Callback { .. } | Entry::Cleanup { .. } => None,
        Entry::Heartbeat => Some("canister_heartbeat".into()),
        Entry::GlobalTimer => Some("canister_global_timer".into()),
        Entry::OnLowWasmMemory => Some("canister_on_low_wasm_memory".into()),
    }
}

/// Copies a module section by section, with its exports replaced, its start section and custom sections left out.
pub(super) fn rewrite(wasm: &[u8], facts: &Facts) -> Result<Vec<u8>, InvalidWasm> {
    let exports = export_section(facts);
    let mut module = Module::new();
    let mut exported = false;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if matches!(payload, Payload::CustomSection(_)) {
            continue;
        }
        let Some((id, range)) = payload.as_section() else { continue };
        if !exported && comes_after_exports(id) {
            module.section(&exports);
            exported = true;
        }
        if id != SectionId::Export as u8 && id != SectionId::Start as u8 {
            let data = wasm
                .get(range.start as usize..range.end as usize)
                .ok_or_else(|| InvalidWasm::Decoding("a section ends behind the module".to_owned()))?;
            module.section(&RawSection { id, data });
        }
    }
    if !exported {
        module.section(&exports);
    }
    Ok(module.finish())
}

/// Returns true for the sections that stand behind the export section (or are it).
fn comes_after_exports(id: u8) -> bool {
    [SectionId::Export, SectionId::Start, SectionId::Element, SectionId::DataCount, SectionId::Code, SectionId::Data]
        .iter()
        .any(|section| *section as u8 == id)
}

fn export_section(facts: &Facts) -> ExportSection {
    let mut exports = ExportSection::new();
    for (name, index) in &facts.entry_points {
        exports.export(name, ExportKind::Func, *index);
    }
    if let Some(start) = facts.start {
        exports.export(START_EXPORT, ExportKind::Func, start);
    }
    if facts.memory_pages.is_some() {
        exports.export(MEMORY_EXPORT, ExportKind::Memory, 0);
    }
    if facts.has_table {
        exports.export(TABLE_EXPORT, ExportKind::Table, 0);
    }
    for (rank, index) in facts.mutable_globals.iter().enumerate() {
        exports.export(&global_export(rank), ExportKind::Global, *index);
    }
    exports
}
