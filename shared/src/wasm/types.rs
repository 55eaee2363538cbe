//! How large the types of components are, which is what it costs to take them apart and put them together.
//!
//! The size of a type counts all that it is made of, over and over where it is used in several places. The validation
//! bounds it for each type, but a declaration of a few bytes can ask for all of a type to be gone through, and one type
//! can declare any number of others within. So sizes are followed here, by the rules of the validation, before it goes
//! through them. Core modules count as one: what they import and export is soon gone through.

use std::collections::BTreeMap;

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentDefinedType, ComponentExport, ComponentExternalKind, ComponentImport,
    ComponentInstance, ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, ComponentTypeRef,
    ComponentValType, InstanceTypeDeclaration, TypeBounds,
};

/// The largest size that a valid type has. What is larger is refused as soon as it is put together.
const MAX_SIZE: u32 = 1_000_000;

/// What is exported, by name.
type Exports<'a> = BTreeMap<&'a str, Extent>;

/// How large a type is, or the type of a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// All that it is made of, over and over where it is used in several places.
    size: u32,
    /// How many components it has within one another: each of them goes through what is within when it is compared.
    depth: u32,
    /// What an instance exports, or one of a component would: an index into [`TypeSizes::exports`], where the first one is
    /// empty.
    exports: usize,
}

impl Extent {
    /// What is of one piece.
    const ONE: Self = Self { size: 1, depth: 0, exports: 0 };

    fn of_size(size: u32) -> Self {
        Self { size: size.min(MAX_SIZE), ..Self::ONE }
    }

    /// Makes this larger by what it is to have within.
    fn add(&mut self, within: Self) {
        self.size = self.size.saturating_add(within.size).min(MAX_SIZE);
        self.depth = self.depth.max(within.depth);
    }

    /// Returns what it takes to compare something else with this.
    fn to_compare(self) -> u64 {
        u64::from(self.size) * u64::from(self.depth.max(1))
    }

    /// Returns what it takes to compare this with something else, besides what it takes for the other: only components have
    /// all of them gone through.
    fn to_be_compared(self) -> u64 {
        u64::from(self.size) * u64::from(self.depth)
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

    fn import(&mut self, kind: ComponentExternalKind, extent: Extent) {
        self.push(kind, extent);
        self.imported.add(extent);
    }

    fn export(&mut self, name: &'a str, kind: ComponentExternalKind, extent: Extent) {
        self.push(kind, extent);
        self.exported.add(extent);
        self.exports.insert(name, extent);
    }
}

/// The sizes of what can be named where the pass is.
pub(super) struct TypeSizes<'a> {
    /// The innermost one last.
    scopes: Vec<Scope<'a>>,
    /// What instances and components export.
    exports: Vec<Exports<'a>>,
}

impl Default for TypeSizes<'_> {
    fn default() -> Self {
        Self { scopes: Vec::new(), exports: vec![Exports::new()] }
    }
}

impl<'a> TypeSizes<'a> {
    /// Takes in that a component begins.
    pub(super) fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    fn open_type(&mut self) {
        self.scopes.push(Scope { is_type: true, ..Scope::default() });
    }

    /// Takes in that a component ends, which the one around it can name from here on.
    pub(super) fn close(&mut self) {
        let component = self.close_component();
        if let Some(scope) = self.scopes.last_mut() {
            scope.components.push(component);
        }
    }

    /// Takes in a type, and returns the size of all that it takes to put it together.
    pub(super) fn define(&mut self, of: &ComponentType<'a>) -> u64 {
        let mut work = 0;
        let extent = self.extent_of(of, &mut work);
        self.push(ComponentExternalKind::Type, extent);
        work
    }

    /// Takes in an import, and returns its size.
    pub(super) fn import(&mut self, import: &ComponentImport<'a>) -> u64 {
        let (kind, extent) = self.refer(&import.ty);
        if let Some(scope) = self.scopes.last_mut() {
            scope.import(kind, extent);
        }
        extent.size.into()
    }

    /// Takes in an export, and returns its size and that of what is compared.
    pub(super) fn export(&mut self, export: &ComponentExport<'a>) -> u64 {
        let mut extent = self.at(export.kind, export.index);
        let mut compared = 0;
        if let Some(to) = &export.ty {
            let (_, ascribed) = self.refer(to);
            compared = ascribed.to_compare() + extent.to_be_compared();
            extent = ascribed;
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.export(export.name.name, export.kind, extent);
        }
        compared + u64::from(extent.size)
    }

    /// Takes in an instance, and returns the size of what is compared and made.
    pub(super) fn instance(&mut self, instance: &ComponentInstance<'a>) -> u64 {
        let mut made = Extent::ONE;
        let mut compared = 0;
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let component = self.at(ComponentExternalKind::Component, *component_index);
                compared = component.to_compare()
                    + args.iter().map(|arg| self.at(arg.kind, arg.index).to_be_compared()).sum::<u64>();
                for export in self.exports[component.exports].values() {
                    made.add(*export);
                }
                made.exports = component.exports;
            }
            ComponentInstance::FromExports(exports) => {
                let mut named = Exports::new();
                for export in exports {
                    let extent = self.at(export.kind, export.index);
                    made.add(extent);
                    named.insert(export.name.name, extent);
                }
                made.exports = self.keep(named);
            }
        }
        self.push(ComponentExternalKind::Instance, made);
        compared + u64::from(made.size)
    }

    /// Takes in a function that goes from a component to a core module or back.
    pub(super) fn canonical(&mut self, function: &CanonicalFunction) {
        if let CanonicalFunction::Lift { type_index, .. } = function {
            let extent = self.at(ComponentExternalKind::Type, *type_index);
            self.push(ComponentExternalKind::Func, extent);
        }
    }

    /// Takes in an alias, and returns the size of what it is for, if that is gone through.
    pub(super) fn alias(&mut self, alias: &ComponentAlias<'a>) -> u64 {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                let instance = self.at(ComponentExternalKind::Instance, instance_index);
                let extent = self.exports[instance.exports].get(name).copied().unwrap_or_default();
                self.push(kind, extent);
                0
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                let extent = self.outer(ComponentExternalKind::Type, count, index);
                let work = if self.leads_out(count) { extent.size } else { 0 };
                self.push(ComponentExternalKind::Type, extent);
                work.into()
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

    /// Keeps what something exports, and returns the index.
    fn keep(&mut self, exports: Exports<'a>) -> usize {
        if exports.is_empty() {
            return 0;
        }
        self.exports.push(exports);
        self.exports.len() - 1
    }

    /// Ends the innermost scope, and returns the component that it was.
    fn close_component(&mut self) -> Extent {
        let scope = self.scopes.pop().unwrap_or_default();
        let mut component = Extent::ONE;
        component.add(scope.imported);
        component.add(scope.exported);
        Extent { depth: component.depth + 1, exports: self.keep(scope.exports), ..component }
    }

    /// Ends the innermost scope, and returns the instance that it was.
    fn close_instance(&mut self) -> Extent {
        let scope = self.scopes.pop().unwrap_or_default();
        let mut instance = Extent::ONE;
        instance.add(scope.exported);
        Extent { exports: self.keep(scope.exports), ..instance }
    }

    fn extent_of(&mut self, of: &ComponentType<'a>, work: &mut u64) -> Extent {
        let extent = match of {
            ComponentType::Defined(defined) => self.extent_of_defined(defined),
            ComponentType::Func(function) => self.sum(function.params.iter().map(|(_, of)| *of).chain(function.result)),
            ComponentType::Resource { .. } => Extent::ONE,
            ComponentType::Component(declarations) => {
                self.open_type();
                for declaration in declarations {
                    match declaration {
                        ComponentTypeDeclaration::CoreType(_) => {}
                        ComponentTypeDeclaration::Type(of) => self.declare(of, work),
                        ComponentTypeDeclaration::Alias(alias) => *work += self.alias(alias),
                        ComponentTypeDeclaration::Export { name, ty } => self.declare_export(name.name, ty),
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
                        InstanceTypeDeclaration::Alias(alias) => *work += self.alias(alias),
                        InstanceTypeDeclaration::Export { name, ty } => self.declare_export(name.name, ty),
                    }
                }
                self.close_instance()
            }
        };
        *work += u64::from(extent.size);
        extent
    }

    /// Takes in a type that is declared within another one, which does not become larger by that.
    fn declare(&mut self, of: &ComponentType<'a>, work: &mut u64) {
        let extent = self.extent_of(of, work);
        self.push(ComponentExternalKind::Type, extent);
    }

    fn declare_export(&mut self, name: &'a str, to: &ComponentTypeRef) {
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
            ComponentTypeRef::Value(of) => Extent::of_size(self.size_of_value(of)),
            // Core modules are not gone through.
            ComponentTypeRef::Module(_) => Extent::ONE,
        };
        (to.kind(), extent)
    }

    fn extent_of_defined(&self, of: &ComponentDefinedType<'_>) -> Extent {
        match of {
            ComponentDefinedType::Primitive(_)
            | ComponentDefinedType::Flags(_)
            | ComponentDefinedType::Enum(_)
            | ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_) => Extent::ONE,
            ComponentDefinedType::Record(fields) => self.sum(fields.iter().map(|(_, of)| *of)),
            ComponentDefinedType::Variant(cases) => self.sum(cases.iter().filter_map(|case| case.ty)),
            ComponentDefinedType::Tuple(of) => self.sum(of.iter().copied()),
            ComponentDefinedType::List(of)
            | ComponentDefinedType::FixedLengthList(of, _)
            | ComponentDefinedType::Option(of) => self.sum([*of]),
            ComponentDefinedType::Map(key, value) => self.sum([*key, *value]),
            ComponentDefinedType::Result { ok, err } => self.sum(ok.iter().chain(err).copied()),
            ComponentDefinedType::Future(of) | ComponentDefinedType::Stream(of) => self.sum(*of),
        }
    }

    /// Returns the extent of what is made of values of these types.
    fn sum(&self, of: impl IntoIterator<Item = ComponentValType>) -> Extent {
        Extent::of_size(of.into_iter().fold(1, |sum: u32, of| sum.saturating_add(self.size_of_value(of))))
    }

    fn size_of_value(&self, of: ComponentValType) -> u32 {
        match of {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(index) => self.at(ComponentExternalKind::Type, index).size,
        }
    }
}

#[cfg(test)]
mod tests;
