//! Goes through a module once: validates it, and notes down what the rules of the Internet Computer are about.

use std::{collections::HashSet, ops::Range};

use wasmparser::{
    BinaryReader, CompositeInnerType, CustomSectionReader, Data, DataKind, Encoding, ExternalKind, FuncType,
    FuncValidatorAllocations, MemoryType, Parser, Payload, SectionLimited, TypeRef, TypeSectionReader, ValType,
    ValidPayload, Validator, WasmFeatures, types::Types,
};

use super::{
    Section,
    budget::{Budget, Stop},
    functions::{self, Forbidden, Measure},
    limits::{
        MAX_CODE_SECTION_BYTES, MAX_CUSTOM_SECTION_BYTES, MAX_CUSTOM_SECTIONS, MAX_EXPORTED_FUNCTIONS,
        MAX_EXPORTED_NAME_BYTES, MAX_FUNCTION_COMPLEXITY, MAX_FUNCTIONS, MAX_GLOBALS, MAX_INSTRUCTIONS_IN_FUNCTION,
        MAX_MEMORIES, MAX_MEMORY32_PAGES, MAX_MEMORY64_PAGES, MAX_TABLES,
    },
    obstacles::Obstacles,
    system_api::{self, Role},
    types::TypeWeights,
};
use crate::blob_store::{Countable, Obstacle};

/// Begins the names of the custom sections that the Internet Computer reads.
const METADATA_PREFIX: &str = "icp:";
/// What follows for those that everybody may read; the name comes next.
const PUBLIC: &str = "public ";
/// What follows for those that only controllers may read; the name comes next.
const PRIVATE: &str = "private ";

/// First bytes of the constants that may be the offset of a data segment: `i32.const` and `i64.const`.
const CONSTANTS: [u8; 2] = [0x41, 0x42];

/// Instructions that it takes for a type of weight one to be imported, exported or made anew by an instance: 6,000 were
/// measured for the methods of resources, which are dearest.
const COST_OF_TYPE: u64 = 10_000;
/// Bytes of memory that a type of weight one can take then.
const BYTES_OF_TYPE: u64 = 400;
/// Instructions that it takes to read a byte of a section of such types, and bytes of memory: declarations of two bytes
/// become some 64, up to three times over.
const COST_OF_TYPE_BYTE: u64 = 200;
const MEMORY_OF_TYPE_BYTE: u64 = 100;
/// Instructions that it takes to visit a type of weight one without making it anew.
const COST_OF_VISIT: u64 = 1_000;
/// Instructions and bytes of memory for a byte of the names of imports that are not all there: an encoding names the module
/// once for many imports.
const COST_OF_REPEATED_BYTE: u64 = 20;
const MEMORY_OF_REPEATED_BYTE: u64 = 3;

/// Returns the instructions that a byte of a section can take, roughly twice what was measured for sections of nothing but
/// the shortest items; zero for those that are looked at more closely.
fn cost_of_byte(payload: &Payload<'_>) -> u64 {
    match payload {
        Payload::TypeSection(_) | Payload::ExportSection(_) | Payload::ImportSection(_) => 2_000,
        Payload::TableSection(_) | Payload::MemorySection(_) | Payload::TagSection(_) | Payload::GlobalSection(_) => {
            1_000
        }
        Payload::FunctionSection(_) | Payload::ElementSection(_) => 500,
        Payload::DataSection(_) => 5,
        _ => 0,
    }
}

/// Checks that types of so much weight can be gone through.
fn check_weight(budget: Budget<'_>, weight: u64, offset: u64) -> Result<(), Stop> {
    let (instructions, bytes) = (weight.saturating_mul(COST_OF_TYPE), weight.saturating_mul(BYTES_OF_TYPE));
    budget.check_with_memory(instructions, bytes, offset)
}

/// An imported thing.
struct Import<'a> {
    module: &'a str,
    name: &'a str,
    is_function: bool,
}

/// An exported thing.
struct Export<'a> {
    name: &'a str,
    /// Index of the function; `None` for anything else.
    function: Option<u32>,
}

/// What was noted down about a valid module. For components only that they are valid.
#[derive(Default)]
pub(super) struct Survey<'a> {
    /// Modules and components that are open where the pass is, the innermost one last.
    open: Vec<Encoding>,
    /// Weights of the types of components.
    weights: TypeWeights<'a>,
    imports: Vec<Import<'a>>,
    exports: Vec<Export<'a>>,
    custom_sections: Vec<CustomSectionReader<'a>>,
    functions: u64,
    globals: u64,
    largest: Measure,
    /// Values that a function or a block takes or gives, at the most.
    max_arity: u64,
    /// The first thing found that the features do not tell.
    forbidden: Option<Forbidden>,
    types: Option<Types>,
}

impl<'a> Survey<'a> {
    /// Validates a module or component with the features given.
    ///
    /// # Errors
    /// [`Stop`] when it breaks a rule, or when the budget is used up.
    pub(super) fn of(wasm: &'a [u8], features: WasmFeatures, budget: Budget<'_>) -> Result<Self, Stop> {
        let mut validator = Validator::new_with_features(features);
        let mut parser = Parser::new(0);
        parser.set_features(features);
        let mut survey = Self::default();
        let mut allocations = FuncValidatorAllocations::default();
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            if let Some((_, range)) = payload.as_section() {
                let bytes = range.end - range.start;
                budget.check(bytes.saturating_mul(cost_of_byte(&payload)), range.start)?;
            }
            survey.check_payload(&payload, budget)?;
            if survey.validate_items(wasm, &payload, &mut validator, features, budget)? {
                continue;
            }
            match validator.payload(&payload)? {
                ValidPayload::Func(function, body) => {
                    let mut function = function.into_validator(allocations);
                    if survey.open.len() == 1 {
                        let measure = functions::validate(&mut function, &body, survey.max_arity, budget)?;
                        survey.record_function(measure);
                    } else {
                        functions::validate_only(&mut function, &body, survey.max_arity, budget)?;
                    }
                    allocations = function.into_allocations();
                }
                ValidPayload::End(types) => {
                    survey.types = Some(types);
                    if survey.open.pop() == Some(Encoding::Component) {
                        survey.weights.close();
                    }
                }
                ValidPayload::Ok | ValidPayload::Parser(_) => survey.record(payload, budget)?,
            }
        }
        Ok(survey)
    }

    /// Checks the budget for what of a payload costs more than its bytes let expect.
    fn check_payload(&self, payload: &Payload<'a>, budget: Budget<'_>) -> Result<(), Stop> {
        match payload {
            Payload::ImportSection(section) => {
                // What cannot be read is for the validation to tell.
                let imports = section.clone().into_imports().map_while(Result::ok);
                let names: u64 = imports.map(|import| (import.module.len() + import.name.len()) as u64).sum();
                let Range { start, end } = section.range();
                let repeated = names.saturating_sub(end - start);
                let (instructions, bytes) = (repeated * COST_OF_REPEATED_BYTE, repeated * MEMORY_OF_REPEATED_BYTE);
                budget.check_with_memory(instructions, bytes, start)
            }
            Payload::End(offset) if self.open.last() == Some(&Encoding::Component) => {
                budget.check(self.weights.weight_of_end().saturating_mul(COST_OF_VISIT), *offset)
            }
            _ => Ok(()),
        }
    }

    /// Validates a section of a component item by item, with a look at the budget before each: an item of a few bytes can
    /// take as long as all of a module. Returns false for payloads that are no such sections.
    fn validate_items(
        &mut self,
        wasm: &[u8],
        payload: &Payload<'a>,
        validator: &mut Validator,
        features: WasmFeatures,
        budget: Budget<'_>,
    ) -> Result<bool, Stop> {
        let mut item_bytes = Vec::new();
        // A section of several items means the same as several sections of one item. `work` of an item returns the weight
        // of the types that it puts together.
        macro_rules! one_by_one {
            ($section:expr, $validate:ident, $work:expr) => {{
                let Range { start, end } = $section.range();
                // Items are read, up to two at a time, before they are looked at one by one.
                let bytes = end - start;
                let (instructions, memory) = (bytes * COST_OF_TYPE_BYTE, bytes * MEMORY_OF_TYPE_BYTE);
                budget.check_with_memory(instructions, memory, start)?;
                let mut items = $section.clone().into_iter_with_offsets();
                let mut next = items.next().transpose()?;
                while let Some((offset, item)) = next {
                    next = items.next().transpose()?;
                    let item_end = next.as_ref().map_or(end, |(offset, _)| *offset);
                    let work: u64 = $work(&item);
                    check_weight(budget, work, offset)?;
                    item_bytes.clear();
                    item_bytes.push(1);
                    item_bytes.extend(&wasm[offset as usize..item_end as usize]);
                    let reader = BinaryReader::new_features(&item_bytes, offset - 1, features);
                    validator.$validate(&SectionLimited::new(reader)?)?;
                }
            }};
        }
        let weights = &mut self.weights;
        match payload {
            Payload::InstanceSection(section) => one_by_one!(section, instance_section, |_| 0),
            Payload::CoreTypeSection(section) => one_by_one!(section, core_type_section, |_| 0),
            Payload::ComponentInstanceSection(section) => {
                one_by_one!(section, component_instance_section, |instance| weights.instance(instance))
            }
            Payload::ComponentCanonicalSection(section) => {
                one_by_one!(section, component_canonical_section, |function| weights.canonical(function))
            }
            Payload::ComponentTypeSection(section) => {
                one_by_one!(section, component_type_section, |of| weights.define(of))
            }
            Payload::ComponentAliasSection(section) => {
                one_by_one!(section, component_alias_section, |alias| weights.alias(alias))
            }
            Payload::ComponentImportSection(section) => {
                one_by_one!(section, component_import_section, |import| weights.import(import))
            }
            Payload::ComponentExportSection(section) => {
                one_by_one!(section, component_export_section, |export| weights.export(export))
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn record_function(&mut self, measure: Measure) {
        self.largest.instructions = self.largest.instructions.max(measure.instructions);
        self.largest.complexity = self.largest.complexity.max(measure.complexity);
        self.forbidden = self.forbidden.or(measure.forbidden);
    }

    fn record(&mut self, payload: Payload<'a>, budget: Budget<'_>) -> Result<(), Stop> {
        match &payload {
            Payload::Version { encoding, range, .. } => self.enter(*encoding, range.start, budget)?,
            Payload::TypeSection(section) => self.record_arity(section.clone())?,
            _ => {}
        }
        // What is inside of a component has no rules to keep: the component is the obstacle.
        if self.open.len() > 1 {
            return Ok(());
        }
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let is_function = matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                    self.imports.push(Import { module: import.module, name: import.name, is_function });
                }
            }
            Payload::FunctionSection(section) => self.functions = u64::from(section.count()),
            Payload::GlobalSection(section) => {
                self.globals = u64::from(section.count());
                for global in section.into_iter_with_offsets() {
                    let (offset, global) = global?;
                    if let ValType::Ref(_) = global.ty.content_type {
                        self.forbid(offset, "globals that hold references are not run");
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let is_function = matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact);
                    self.exports.push(Export { name: export.name, function: is_function.then_some(export.index) });
                }
            }
            Payload::DataSection(section) => {
                for segment in section.into_iter_with_offsets() {
                    let (offset, segment) = segment?;
                    if !has_constant_offset(&segment) {
                        self.forbid(offset, "the offset of a data segment must be a constant");
                    }
                }
            }
            // Others are of no interest, and a module may have millions of them.
            Payload::CustomSection(section) if section.name().starts_with(METADATA_PREFIX) => {
                self.custom_sections.push(section);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in that a module or a component begins.
    fn enter(&mut self, encoding: Encoding, offset: u64, budget: Budget<'_>) -> Result<(), Stop> {
        budget.check(0, offset)?;
        self.open.push(encoding);
        if encoding == Encoding::Component {
            self.weights.open();
        }
        Ok(())
    }

    /// Notes down how many values the functions and blocks of these types take or give at the most.
    fn record_arity(&mut self, section: TypeSectionReader<'_>) -> Result<(), Stop> {
        for group in section {
            for of in group?.types() {
                if let CompositeInnerType::Func(function) = &of.composite_type.inner {
                    let arity = function.params().len().max(function.results().len());
                    self.max_arity = self.max_arity.max(arity as u64);
                }
            }
        }
        Ok(())
    }

    fn forbid(&mut self, offset: u64, message: &'static str) {
        self.forbidden = self.forbidden.or(Some(Forbidden { offset, message }));
    }

    /// Returns the obstacles of a core module and its `icp:` custom sections.
    ///
    /// `missing_feature` says where the module goes beyond the features of the Internet Computer.
    pub(super) fn judge(
        self,
        code_section_bytes: u64,
        missing_feature: Option<wasmparser::Error>,
    ) -> (Vec<Obstacle>, Vec<Section>) {
        let mut obstacles = Obstacles::default();
        if let Some(error) = missing_feature {
            obstacles.feature(error.offset(), error.message());
        }
        if let Some(Forbidden { offset, message }) = self.forbidden {
            obstacles.feature(offset, message);
        }
        obstacles.limit(Countable::CodeSectionBytes, code_section_bytes, MAX_CODE_SECTION_BYTES);
        obstacles.limit(Countable::Functions, self.functions, MAX_FUNCTIONS);
        obstacles.limit(Countable::InstructionsInFunction, self.largest.instructions, MAX_INSTRUCTIONS_IN_FUNCTION);
        obstacles.limit(Countable::FunctionComplexity, self.largest.complexity, MAX_FUNCTION_COMPLEXITY);
        obstacles.limit(Countable::Globals, self.globals, MAX_GLOBALS);
        let sections = self.judge_custom_sections(&mut obstacles);
        if let Some(types) = &self.types {
            let memory64 = judge_memories(&mut obstacles, types);
            self.judge_exports(&mut obstacles, types);
            self.judge_imports(&mut obstacles, types, memory64);
        }
        (obstacles.into_vec(), sections)
    }

    fn judge_imports(&self, obstacles: &mut Obstacles, types: &Types, memory64: bool) {
        // Imported functions have the first indexes.
        let mut function_index = 0;
        for import in &self.imports {
            let mut is_known = false;
            if import.is_function {
                is_known = import.module == system_api::MODULE
                    && function_type(types, function_index)
                        .is_some_and(|function| system_api::has_function(import.name, function, memory64));
                function_index += 1;
            }
            if !is_known {
                obstacles.import(import.module, import.name);
            }
        }
    }

    fn judge_exports(&self, obstacles: &mut Obstacles, types: &Types) {
        let mut methods = HashSet::new();
        let mut name_bytes = 0;
        let mut method_count = 0;
        for export in &self.exports {
            if system_api::is_reserved(export.name) {
                obstacles.export(export.name);
                continue;
            }
            let Some(index) = export.function else { continue };
            let role = system_api::role(export.name);
            if let Role::Method(method) = role {
                method_count += 1;
                name_bytes += method.len() as u64;
                if !methods.insert(method) {
                    obstacles.duplicate_method(method);
                }
            }
            let is_wrong = match role {
                Role::Method(_) | Role::EntryPoint => !takes_and_returns_nothing(types, index),
                Role::Unknown => true,
                Role::None => false,
            };
            if is_wrong {
                obstacles.export(export.name);
            }
        }
        obstacles.limit(Countable::ExportedFunctions, method_count, MAX_EXPORTED_FUNCTIONS);
        obstacles.limit(Countable::ExportedNameBytes, name_bytes, MAX_EXPORTED_NAME_BYTES);
    }

    /// Returns the sections that the Internet Computer would take.
    fn judge_custom_sections(&self, obstacles: &mut Obstacles) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut names = HashSet::new();
        let (mut count, mut bytes) = (0, 0);
        for section in &self.custom_sections {
            let Some(scoped) = section.name().strip_prefix(METADATA_PREFIX) else { continue };
            let (name, public) = if let Some(name) = scoped.strip_prefix(PUBLIC) {
                (name, true)
            } else if let Some(name) = scoped.strip_prefix(PRIVATE) {
                (name, false)
            } else {
                obstacles.custom_section_name(section.name());
                continue;
            };
            if !names.insert(name) {
                obstacles.duplicate_custom_section(name);
                continue;
            }
            count += 1;
            bytes += name.len() + section.data().len();
            if count <= MAX_CUSTOM_SECTIONS && bytes <= MAX_CUSTOM_SECTION_BYTES {
                sections.push(Section { name: name.to_string(), public, content: section.data().to_vec() });
            }
        }
        obstacles.limit(Countable::CustomSections, count as u64, MAX_CUSTOM_SECTIONS as u64);
        obstacles.limit(Countable::CustomSectionBytes, bytes as u64, MAX_CUSTOM_SECTION_BYTES as u64);
        sections
    }
}

/// Judges memories and tables, and returns true when the addresses of the module are 64-bit numbers.
fn judge_memories(obstacles: &mut Obstacles, types: &Types) -> bool {
    let types = types.as_ref();
    obstacles.limit(Countable::Memories, u64::from(types.memory_count()), MAX_MEMORIES);
    obstacles.limit(Countable::Tables, u64::from(types.table_count()), MAX_TABLES);
    if types.memory_count() == 0 {
        return false;
    }
    let MemoryType { memory64, initial, maximum, .. } = types.memory_at(0);
    let max = if memory64 { MAX_MEMORY64_PAGES } else { MAX_MEMORY32_PAGES };
    obstacles.limit(Countable::InitialMemoryPages, initial, max);
    obstacles.limit(Countable::MaximumMemoryPages, maximum.unwrap_or_default(), max);
    memory64
}

fn function_type(types: &Types, index: u32) -> Option<&FuncType> {
    match &types[types.as_ref().core_function_at(index)].composite_type.inner {
        CompositeInnerType::Func(function) => Some(function),
        _ => None,
    }
}

fn takes_and_returns_nothing(types: &Types, index: u32) -> bool {
    function_type(types, index).is_some_and(|of| of.params().is_empty() && of.results().is_empty())
}

fn has_constant_offset(segment: &Data<'_>) -> bool {
    match &segment.kind {
        DataKind::Passive => true,
        // Anything that follows the constant needs a feature that is missing anyway.
        DataKind::Active { offset_expr, .. } => {
            offset_expr.get_binary_reader().read_u8().is_ok_and(|opcode| CONSTANTS.contains(&opcode))
        }
    }
}
