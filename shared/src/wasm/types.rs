//! What the types of components weigh, which is what it costs to take them apart and put them together.
//!
//! The weight of a type counts all that it is made of, over and over where it is used in several places. The validation
//! bounds how much that is for each type, but neither names nor cases that have no type; a declaration of a few bytes can
//! ask for all of a type to be gone through, and one type can declare any number of others within. So weights are followed
//! here, by the rules of the validation, before it goes through them. Core modules count as one: what they import and
//! export is soon gone through.

use std::collections::BTreeMap;

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentDefinedType, ComponentExport, ComponentExternName,
    ComponentExternalKind, ComponentImport, ComponentInstance, ComponentOuterAliasKind, ComponentType,
    ComponentTypeDeclaration, ComponentTypeRef, ComponentValType, InstanceTypeDeclaration, TypeBounds,
};

/// Bytes of a name that weigh as much as the smallest type: a name is copied and hashed with what it names.
const NAME_BYTES: u64 = 128;

/// Returns what a name weighs, besides what it names.
fn weight_of_name(name: &str) -> u64 {
    name.len() as u64 / NAME_BYTES
}

fn weight_of_extern_name(name: &ComponentExternName<'_>) -> u64 {
    let rest = [name.implements, name.version_suffix, name.external_id];
    weight_of_name(name.name) + rest.into_iter().flatten().map(weight_of_name).sum::<u64>()
}

/// A part of a type: its name, which may be empty, and its type.
type Part<'n> = (&'n str, Option<ComponentValType>);

fn unnamed<'n>(of: &ComponentValType) -> Part<'n> {
    ("", Some(*of))
}

/// What is exported, by name, and what the name weighs.
type Exports<'a> = BTreeMap<&'a str, (Extent, u64)>;

/// What a type weighs, or the type of a thing.
#[derive(Clone, Copy, Default)]
struct Extent {
    /// All that it is made of, over and over where it is used in several places: the smallest types are one.
    weight: u64,
    /// How many components it has within one another: each of them goes through what is within when it is compared.
    depth: u64,
    /// What an instance exports, or one of a component would: an index into [`TypeWeights::exports`], where the first one is
    /// empty.
    exports: usize,
}

impl Extent {
    /// What is of one piece.
    const ONE: Self = Self::of_weight(1);

    const fn of_weight(weight: u64) -> Self {
        Self { weight, depth: 0, exports: 0 }
    }

    /// Makes this heavier by what it is to have within, and by the name of that.
    fn add(&mut self, within: Self, name: u64) {
        self.weight = self.weight.saturating_add(within.weight).saturating_add(name);
        self.depth = self.depth.max(within.depth);
    }

    /// Returns what it takes to compare something else with this.
    fn to_compare(self) -> u64 {
        self.weight.saturating_mul(self.depth.max(1))
    }

    /// Returns what it takes to compare this with something else, besides what it takes for the other: only components have
    /// all of them gone through.
    fn to_be_compared(self) -> u64 {
        self.weight.saturating_mul(self.depth)
    }
}

/// What is open: a component, or a component or instance type within.
#[derive(Default)]
struct Scope<'a> {
    /// True for a type, false for a component.
    is_type: bool,
    types: Vec<Extent>,
    functions: Vec<Extent>,
    instances: Vec<Extent>,
    components: Vec<Extent>,
    /// All that is imported.
    imported: Extent,
    /// All that is exported.
    exported: Extent,
    exports: Exports<'a>,
}

impl<'a> Scope<'a> {
    /// Returns what can be named by an index. What is not there is found not to be by the validation.
    fn at(&self, kind: ComponentExternalKind, index: u32) -> Extent {
        let space = match kind {
            ComponentExternalKind::Type => &self.types,
            ComponentExternalKind::Func => &self.functions,
            ComponentExternalKind::Instance => &self.instances,
            ComponentExternalKind::Component => &self.components,
            // Core modules are not gone through, and the types of values not kept: there are no values yet.
            ComponentExternalKind::Module | ComponentExternalKind::Value => return Extent::ONE,
        };
        space.get(index as usize).copied().unwrap_or_default()
    }

    /// Takes in what can be named from here on.
    fn push(&mut self, kind: ComponentExternalKind, extent: Extent) {
        match kind {
            ComponentExternalKind::Type => self.types.push(extent),
            ComponentExternalKind::Func => self.functions.push(extent),
            ComponentExternalKind::Instance => self.instances.push(extent),
            ComponentExternalKind::Component => self.components.push(extent),
            ComponentExternalKind::Module | ComponentExternalKind::Value => {}
        }
    }

    fn import(&mut self, name: &ComponentExternName<'a>, kind: ComponentExternalKind, extent: Extent) {
        self.push(kind, extent);
        self.imported.add(extent, weight_of_extern_name(name));
    }

    fn export(&mut self, name: &ComponentExternName<'a>, kind: ComponentExternalKind, extent: Extent) {
        self.push(kind, extent);
        let weight = weight_of_extern_name(name);
        self.exported.add(extent, weight);
        self.exports.insert(name.name, (extent, weight));
    }
}

/// The weights of what can be named where the pass is.
pub(super) struct TypeWeights<'a> {
    /// The innermost one last.
    scopes: Vec<Scope<'a>>,
    /// What instances and components export.
    exports: Vec<Exports<'a>>,
}

impl Default for TypeWeights<'_> {
    fn default() -> Self {
        Self { scopes: Vec::new(), exports: vec![Exports::new()] }
    }
}

impl<'a> TypeWeights<'a> {
    /// Takes in that a component begins.
    pub(super) fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    fn open_type(&mut self) {
        self.scopes.push(Scope { is_type: true, ..Scope::default() });
    }

    /// Returns what all that the innermost component imports and exports weighs, which its end goes through.
    pub(super) fn weight_of_end(&self) -> u64 {
        self.scopes.last().map_or(0, |scope| scope.imported.weight.saturating_add(scope.exported.weight))
    }

    /// Takes in that a component ends, which the one around it can name from here on.
    pub(super) fn close(&mut self) {
        let component = self.close_component();
        self.push(ComponentExternalKind::Component, component);
    }

    /// Takes in a type, and returns the weight of all that it takes to put it together.
    pub(super) fn define(&mut self, of: &ComponentType<'a>) -> u64 {
        let mut work = 0;
        self.declare(of, &mut work);
        work
    }

    /// Takes in an import, and returns its weight.
    pub(super) fn import(&mut self, import: &ComponentImport<'a>) -> u64 {
        let (kind, extent) = self.refer(&import.ty);
        if let Some(scope) = self.scopes.last_mut() {
            scope.import(&import.name, kind, extent);
        }
        extent.weight
    }

    /// Takes in an export, and returns its weight and that of what is compared.
    pub(super) fn export(&mut self, export: &ComponentExport<'a>) -> u64 {
        let mut extent = self.at(export.kind, export.index);
        let mut compared = 0;
        if let Some(to) = &export.ty {
            let (_, ascribed) = self.refer(to);
            compared = ascribed.to_compare().saturating_add(extent.to_be_compared());
            extent = ascribed;
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.export(&export.name, export.kind, extent);
        }
        compared.saturating_add(extent.weight)
    }

    /// Takes in an instance, and returns the weight of what is compared and made.
    pub(super) fn instance(&mut self, instance: &ComponentInstance<'a>) -> u64 {
        let mut compared = 0;
        let made = match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let component = self.at(ComponentExternalKind::Component, *component_index);
                compared = args.iter().fold(component.to_compare(), |compared, arg| {
                    compared.saturating_add(self.at(arg.kind, arg.index).to_be_compared())
                });
                let mut made = Extent { exports: component.exports, ..Extent::ONE };
                for (export, name) in self.exports[component.exports].values() {
                    made.add(*export, *name);
                }
                made
            }
            ComponentInstance::FromExports(exports) => {
                let mut bag = Scope::default();
                for export in exports {
                    bag.export(&export.name, export.kind, self.at(export.kind, export.index));
                }
                self.sum_up(bag)
            }
        };
        self.push(ComponentExternalKind::Instance, made);
        compared.saturating_add(made.weight)
    }

    /// Takes in a function that goes from a component to a core module or back, and returns the weight of what it moves.
    pub(super) fn canonical(&mut self, function: &CanonicalFunction) -> u64 {
        match *function {
            CanonicalFunction::Lift { type_index, .. } => {
                let extent = self.at(ComponentExternalKind::Type, type_index);
                self.push(ComponentExternalKind::Func, extent);
                extent.weight
            }
            CanonicalFunction::Lower { func_index, .. } => self.at(ComponentExternalKind::Func, func_index).weight,
            CanonicalFunction::TaskReturn { result: Some(of), .. } => self.weight_of_value(of),
            CanonicalFunction::StreamRead { ty, .. }
            | CanonicalFunction::StreamWrite { ty, .. }
            | CanonicalFunction::FutureRead { ty, .. }
            | CanonicalFunction::FutureWrite { ty, .. } => self.at(ComponentExternalKind::Type, ty).weight,
            _ => 0,
        }
    }

    /// Takes in an alias, and returns the weight of what it is for, if that is gone through.
    pub(super) fn alias(&mut self, alias: &ComponentAlias<'a>) -> u64 {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                let instance = self.at(ComponentExternalKind::Instance, instance_index);
                let export = self.exports[instance.exports].get(name);
                self.push(kind, export.map_or_else(Extent::default, |(extent, _)| *extent));
                0
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                let extent = self.outer(ComponentExternalKind::Type, count, index);
                let work = if self.leads_out(count) { extent.weight } else { 0 };
                self.push(ComponentExternalKind::Type, extent);
                work
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let extent = self.outer(ComponentExternalKind::Component, count, index);
                self.push(ComponentExternalKind::Component, extent);
                0
            }
            ComponentAlias::CoreInstanceExport { .. } | ComponentAlias::Outer { .. } => 0,
        }
    }

    fn at(&self, kind: ComponentExternalKind, index: u32) -> Extent {
        self.scopes.last().map_or_else(Extent::default, |scope| scope.at(kind, index))
    }

    /// Returns what can be named so many scopes further out.
    fn outer(&self, kind: ComponentExternalKind, count: u32, index: u32) -> Extent {
        // The count is any number yet, and 32 bits are all that a canister's `usize` has.
        let scope = self.scopes.iter().rev().nth(count as usize);
        scope.map_or_else(Extent::default, |scope| scope.at(kind, index))
    }

    /// Returns true when what is so many scopes further out is outside of a component, into which no resources are let.
    fn leads_out(&self, count: u32) -> bool {
        let within = (count as usize).checked_sub(1);
        within.and_then(|within| self.scopes.iter().rev().nth(within)).is_some_and(|scope| !scope.is_type)
    }

    fn push(&mut self, kind: ComponentExternalKind, extent: Extent) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(kind, extent);
        }
    }

    /// Returns what a scope comes to, and keeps what it exports.
    fn sum_up(&mut self, scope: Scope<'a>) -> Extent {
        let mut sum = Extent::ONE;
        sum.add(scope.imported, 0);
        sum.add(scope.exported, 0);
        if !scope.exports.is_empty() {
            sum.exports = self.exports.len();
            self.exports.push(scope.exports);
        }
        sum
    }

    /// Ends the innermost scope, and returns the instance that it was.
    fn close_instance(&mut self) -> Extent {
        let scope = self.scopes.pop().unwrap_or_default();
        self.sum_up(scope)
    }

    /// Ends the innermost scope, and returns the component that it was.
    fn close_component(&mut self) -> Extent {
        let within = self.close_instance();
        Extent { depth: within.depth + 1, ..within }
    }

    fn extent_of(&mut self, of: &ComponentType<'a>, work: &mut u64) -> Extent {
        let extent = match of {
            ComponentType::Defined(defined) => self.extent_of_defined(defined),
            ComponentType::Func(function) => {
                let params = function.params.iter().map(|(name, of)| (*name, Some(*of)));
                self.sum(params.chain(function.result.iter().map(unnamed)))
            }
            ComponentType::Resource { .. } => Extent::ONE,
            ComponentType::Component(declarations) => {
                self.open_type();
                for declaration in declarations {
                    match declaration {
                        ComponentTypeDeclaration::CoreType(_) => {}
                        ComponentTypeDeclaration::Type(of) => self.declare(of, work),
                        ComponentTypeDeclaration::Alias(alias) => *work = work.saturating_add(self.alias(alias)),
                        ComponentTypeDeclaration::Export { name, ty } => self.declare_export(name, ty),
                        ComponentTypeDeclaration::Import(import) => {
                            self.import(import);
                        }
                    }
                }
                self.close_component()
            }
            ComponentType::Instance(declarations) => {
                self.open_type();
                for declaration in declarations {
                    match declaration {
                        InstanceTypeDeclaration::CoreType(_) => {}
                        InstanceTypeDeclaration::Type(of) => self.declare(of, work),
                        InstanceTypeDeclaration::Alias(alias) => *work = work.saturating_add(self.alias(alias)),
                        InstanceTypeDeclaration::Export { name, ty } => self.declare_export(name, ty),
                    }
                }
                self.close_instance()
            }
        };
        *work = work.saturating_add(extent.weight);
        extent
    }

    /// Takes in a type that is declared within another one, which does not become heavier by that.
    fn declare(&mut self, of: &ComponentType<'a>, work: &mut u64) {
        let extent = self.extent_of(of, work);
        self.push(ComponentExternalKind::Type, extent);
    }

    fn declare_export(&mut self, name: &ComponentExternName<'a>, to: &ComponentTypeRef) {
        let (kind, extent) = self.refer(to);
        if let Some(scope) = self.scopes.last_mut() {
            scope.export(name, kind, extent);
        }
    }

    /// Returns the extent of what is imported or exported, and what kind of thing that is.
    fn refer(&self, to: &ComponentTypeRef) -> (ComponentExternalKind, Extent) {
        let extent = match *to {
            ComponentTypeRef::Func(index)
            | ComponentTypeRef::Component(index)
            | ComponentTypeRef::Instance(index)
            | ComponentTypeRef::Type(TypeBounds::Eq(index)) => self.at(ComponentExternalKind::Type, index),
            ComponentTypeRef::Type(TypeBounds::SubResource) => Extent::ONE,
            ComponentTypeRef::Value(of) => Extent::of_weight(self.weight_of_value(of)),
            // Core modules are not gone through.
            ComponentTypeRef::Module(_) => Extent::ONE,
        };
        (to.kind(), extent)
    }

    fn extent_of_defined(&self, of: &ComponentDefinedType<'_>) -> Extent {
        match of {
            ComponentDefinedType::Primitive(_) | ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => {
                Extent::ONE
            }
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => {
                self.sum(names.iter().map(|name| (*name, None)))
            }
            ComponentDefinedType::Record(fields) => self.sum(fields.iter().map(|(name, of)| (*name, Some(*of)))),
            ComponentDefinedType::Variant(cases) => self.sum(cases.iter().map(|case| (case.name, case.ty))),
            ComponentDefinedType::Tuple(of) => self.sum(of.iter().map(unnamed)),
            ComponentDefinedType::List(of)
            | ComponentDefinedType::FixedLengthList(of, _)
            | ComponentDefinedType::Option(of) => self.sum([unnamed(of)]),
            ComponentDefinedType::Map(key, value) => self.sum([unnamed(key), unnamed(value)]),
            ComponentDefinedType::Result { ok, err } => self.sum(ok.iter().chain(err).map(unnamed)),
            ComponentDefinedType::Future(of) | ComponentDefinedType::Stream(of) => self.sum(of.iter().map(unnamed)),
        }
    }

    /// Returns the extent of what is made of such parts. One that has no type costs as much as one of the smallest type.
    fn sum<'n>(&self, parts: impl IntoIterator<Item = Part<'n>>) -> Extent {
        Extent::of_weight(parts.into_iter().fold(1, |sum: u64, (name, of)| {
            sum.saturating_add(of.map_or(1, |of| self.weight_of_value(of))).saturating_add(weight_of_name(name))
        }))
    }

    fn weight_of_value(&self, of: ComponentValType) -> u64 {
        match of {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(index) => self.at(ComponentExternalKind::Type, index).weight,
        }
    }
}

#[cfg(test)]
mod tests;
