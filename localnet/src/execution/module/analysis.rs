//! Reads a module section by section and holds it against the rules of the replica.
//!
//! Types, stack and control flow of functions are left to the engine, which validates them when it compiles.

use wasmparser::{
    ConstExpr, DataKind, DataSectionReader, Encoding, ExportSectionReader, ExternalKind, FuncType, GlobalSectionReader,
    ImportSectionReader, Operator, Parser, Payload, TypeRef, ValType,
};

use super::{CustomSection, Facts, InvalidWasm, MethodKind, Visibility, functions};
use crate::{
    execution::system_api::import_signature,
    limits::{
        MAX_CODE_SECTION, MAX_CUSTOM_SECTIONS, MAX_CUSTOM_SECTIONS_BYTES, MAX_EXPORTED_FUNCTIONS,
        MAX_EXPORTED_NAME_BYTES, MAX_FUNCTION_NAME, MAX_FUNCTIONS, MAX_GLOBALS,
    },
};

/// The module that the system API is imported from.
const SYSTEM_API_MODULE: &str = "ic0";
/// Start of the names of all functions that the network calls.
const ENTRY_PREFIX: &str = "canister_";
/// Functions the network calls besides methods.
const SYSTEM_ENTRY_POINTS: [&str; 7] = [
    "canister_init",
    "canister_inspect_message",
    "canister_pre_upgrade",
    "canister_post_upgrade",
    "canister_heartbeat",
    "canister_global_timer",
    "canister_on_low_wasm_memory",
];
/// Names that the replica gives to what it adds to a module.
const RESERVED_EXPORTS: [&str; 6] = [
    "canister counter_instructions",
    "canister counter_dirty_pages",
    "canister counter_accessed_pages",
    "canister_start",
    "stable_memory",
    "stable_bytemap_memory",
];

/// What is gathered while reading a module.
#[derive(Default)]
struct Reading {
    types: Vec<FuncType>,
    /// Type index of each function, imported ones first.
    functions: Vec<u32>,
    /// Imports by name and type index, to be checked once the memory is known.
    imports: Vec<(String, u32)>,
    defined_functions: usize,
    bodies: usize,
    code_bytes: usize,
    facts: Facts,
}

/// Checks a module against all rules but those of the engine.
pub(super) fn analyse(wasm: &[u8]) -> Result<Facts, InvalidWasm> {
    let mut reading = Reading::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err(InvalidWasm::Decoding("a component is not a canister module".to_owned()));
            }
            Payload::TypeSection(types) => {
                reading.types = types.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(imports) => reading.read_imports(imports)?,
            Payload::FunctionSection(functions) => {
                reading.defined_functions = functions.count() as usize;
                at_most("functions", reading.defined_functions, MAX_FUNCTIONS)?;
                for function in functions {
                    reading.functions.push(function?);
                }
            }
            Payload::TableSection(tables) => {
                at_most("tables", tables.count() as usize, 1)?;
                reading.facts.has_table = tables.count() > 0;
            }
            Payload::MemorySection(memories) => {
                at_most("memories", memories.count() as usize, 1)?;
                for memory in memories {
                    let memory = memory?;
                    reading.facts.wasm64 = memory.memory64;
                    reading.facts.memory_pages = Some(memory.initial);
                }
            }
            Payload::GlobalSection(globals) => reading.read_globals(globals)?,
            Payload::ExportSection(exports) => reading.read_exports(exports)?,
            Payload::StartSection { func, .. } => reading.facts.start = Some(func),
            Payload::CodeSectionStart { size, .. } => reading.code_bytes = size as usize,
            Payload::CodeSectionEntry(body) => {
                let summary = functions::examine(reading.bodies, &body)?;
                reading.bodies += 1;
                reading.facts.instructions += summary.instructions;
                reading.facts.drops_segments |= summary.drops_segments;
            }
            Payload::DataSection(data) => check_data(data)?,
            Payload::CustomSection(section) => reading.read_custom(section.name(), section.data())?,
            _ => {}
        }
    }
    reading.finish()
}

fn at_most(what: &'static str, defined: usize, allowed: usize) -> Result<(), InvalidWasm> {
    if defined > allowed { Err(InvalidWasm::TooMany { what, defined, allowed }) } else { Ok(()) }
}

impl Reading {
    fn read_imports(&mut self, imports: ImportSectionReader<'_>) -> Result<(), InvalidWasm> {
        for import in imports.into_imports() {
            let import = import?;
            let TypeRef::Func(type_index) = import.ty else {
                return Err(InvalidWasm::Import(format!(
                    "Module imports '{}' from '{}', which is not a function.",
                    import.name, import.module
                )));
            };
            if import.module != SYSTEM_API_MODULE {
                return Err(not_exported(import.name, import.module));
            }
            self.functions.push(type_index);
            self.imports.push((import.name.to_owned(), type_index));
        }
        Ok(())
    }

    fn read_globals(&mut self, globals: GlobalSectionReader<'_>) -> Result<(), InvalidWasm> {
        at_most("globals", globals.count() as usize, MAX_GLOBALS)?;
        for (index, global) in globals.into_iter().enumerate() {
            let ty = global?.ty;
            if let ValType::Ref(_) = ty.content_type {
                return Err(InvalidWasm::Global(format!("Unsupported global type: {}", ty.content_type)));
            }
            if ty.mutable {
                self.facts.mutable_globals.push(index as u32);
            }
        }
        Ok(())
    }

    fn read_exports(&mut self, exports: ExportSectionReader<'_>) -> Result<(), InvalidWasm> {
        let mut name_bytes = 0;
        for export in exports {
            let export = export?;
            if RESERVED_EXPORTS.contains(&export.name) {
                return Err(InvalidWasm::Export(format!("Exporting reserved symbol '{}'.", export.name)));
            }
            if export.kind != ExternalKind::Func {
                continue;
            }
            if export.name.len() > MAX_FUNCTION_NAME {
                return Err(InvalidWasm::Export(format!(
                    "The name of an exported function has {} bytes, which exceeds {MAX_FUNCTION_NAME}.",
                    export.name.len()
                )));
            }
            if let Some((kind, method)) = method(export.name) {
                if self.facts.methods.insert(method.to_owned(), kind).is_some() {
                    return Err(InvalidWasm::Export(format!(
                        "Duplicate function '{method}' exported multiple times with different call types: \
                         'canister_update', 'canister_query', or 'canister_composite_query'."
                    )));
                }
                name_bytes += method.len();
            } else if !SYSTEM_ENTRY_POINTS.contains(&export.name) {
                if export.name.starts_with(ENTRY_PREFIX) {
                    return Err(InvalidWasm::Export(format!(
                        "Exporting reserved function '{}' with \"canister_\" prefix",
                        export.name
                    )));
                }
                continue;
            }
            self.facts.entry_points.insert(export.name.to_owned(), export.index);
        }
        let called = "functions called `canister_update <name>`, `canister_query <name>`, or \
                      `canister_composite_query <name>`";
        if self.facts.methods.len() > MAX_EXPORTED_FUNCTIONS {
            return Err(InvalidWasm::Export(format!(
                "The number of exported {called} exceeds {MAX_EXPORTED_FUNCTIONS}."
            )));
        }
        if name_bytes > MAX_EXPORTED_NAME_BYTES {
            return Err(InvalidWasm::Export(format!(
                "The sum of `<name>` lengths in exported {called} exceeds {MAX_EXPORTED_NAME_BYTES}."
            )));
        }
        Ok(())
    }

    fn read_custom(&mut self, section: &str, content: &[u8]) -> Result<(), InvalidWasm> {
        let Some(scoped) = section.strip_prefix("icp:") else { return Ok(()) };
        let (visibility, name) = if let Some(name) = scoped.strip_prefix("public ") {
            (Visibility::Public, name)
        } else if let Some(name) = scoped.strip_prefix("private ") {
            (Visibility::Private, name)
        } else if matches!(scoped, "public" | "private") {
            return Err(InvalidWasm::Custom(
                "'icp:' section names must have a space after the public/private scope".to_owned(),
            ));
        } else {
            return Err(InvalidWasm::Custom(format!(
                "Invalid custom section: Custom section '{section}' has no public/private scope defined."
            )));
        };
        let sections = &mut self.facts.custom_sections;
        if sections.iter().any(|existing| existing.name == name) {
            return Err(InvalidWasm::Custom(format!("Invalid custom section: name {name} already exists")));
        }
        sections.push(CustomSection { name: name.to_owned(), visibility, content: content.to_vec() });
        at_most("custom sections", sections.len(), MAX_CUSTOM_SECTIONS)?;
        let bytes: usize = sections.iter().map(|section| section.name.len() + section.content.len()).sum();
        if bytes > MAX_CUSTOM_SECTIONS_BYTES {
            return Err(InvalidWasm::Custom(format!(
                "Invalid custom sections: total size of the custom sections exceeds the maximum allowed: size {bytes} \
                 bytes, allowed {MAX_CUSTOM_SECTIONS_BYTES} bytes"
            )));
        }
        Ok(())
    }

    /// Checks what depends on sections that come later.
    fn finish(self) -> Result<Facts, InvalidWasm> {
        if self.code_bytes > MAX_CODE_SECTION {
            return Err(InvalidWasm::CodeSectionTooLarge { size: self.code_bytes, allowed: MAX_CODE_SECTION });
        }
        for (name, type_index) in &self.imports {
            let (parameters, results) =
                import_signature(self.facts.wasm64, name).ok_or_else(|| not_exported(name, SYSTEM_API_MODULE))?;
            let actual = self.types.get(*type_index as usize);
            if actual.is_none_or(|actual| actual.params() != parameters || actual.results() != results) {
                return Err(InvalidWasm::Signature(format!(
                    "Expected input params {parameters:?} and return type {results:?} for '{name}', got {}.",
                    describe(actual)
                )));
            }
        }
        let start = self.facts.start.map(|index| ("start", index));
        let entries = self.facts.entry_points.iter().map(|(name, index)| (name.as_str(), *index));
        for (name, index) in entries.chain(start) {
            let actual = self.functions.get(index as usize).and_then(|ty| self.types.get(*ty as usize));
            if actual.is_none_or(|actual| !actual.params().is_empty() || !actual.results().is_empty()) {
                return Err(InvalidWasm::Signature(format!(
                    "Expected input params [] and return type [] for '{name}', got {}.",
                    describe(actual)
                )));
            }
        }
        Ok(self.facts)
    }
}

fn not_exported(name: &str, module: &str) -> InvalidWasm {
    InvalidWasm::Import(format!(
        "Module imports function '{name}' from '{module}' that is not exported by the runtime."
    ))
}

fn describe(ty: Option<&FuncType>) -> String {
    ty.map_or_else(
        || "no type".to_owned(),
        |ty| format!("input params {:?} and return type {:?}", ty.params(), ty.results()),
    )
}

/// Takes an export name apart into kind and method name, if it is a method's.
fn method(export: &str) -> Option<(MethodKind, &str)> {
    MethodKind::ALL.into_iter().find_map(|kind| Some((kind, export.strip_prefix(kind.prefix())?.strip_prefix(' ')?)))
}

/// Requires every active segment to begin at a constant.
fn check_data(data: DataSectionReader<'_>) -> Result<(), InvalidWasm> {
    for segment in data {
        if let DataKind::Active { offset_expr, .. } = segment?.kind
            && !is_constant(&offset_expr)?
        {
            return Err(InvalidWasm::Data("Invalid offset expression in data segment: not a constant".to_owned()));
        }
    }
    Ok(())
}

fn is_constant(expression: &ConstExpr<'_>) -> Result<bool, InvalidWasm> {
    let first = expression.get_operators_reader().read()?;
    Ok(matches!(first, Operator::I32Const { .. } | Operator::I64Const { .. }))
}
