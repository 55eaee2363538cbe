//! How large the types of components are, which is what it costs to take them apart and put them together.
//!
//! The size of a type counts all that it is made of, over and over where it is used in several places. The validation
//! bounds it for each type, but a declaration of a few bytes can ask for all of a type to be gone through, and one type
//! can declare any number of others within. So sizes are followed here, from above where that is simpler, before the
//! validation goes through them.

use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentExport, ComponentExternalKind, ComponentImport, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, ComponentTypeRef, ComponentValType,
    InstanceTypeDeclaration, TypeBounds,
};

/// The largest size that a valid type has. What is larger is refused as soon as it is put together.
const MAX_SIZE: u32 = 1_000_000;

/// What is open: a component, or a component or instance type within.
#[derive(Default)]
struct Scope {
    /// The sizes of the types that can be named.
    types: Vec<u32>,
    /// The sizes of the instances that can be named: an instance has no type that is larger.
    instances: Vec<u32>,
    /// The size of all that is imported and exported.
    size: u32,
}

/// The sizes of the types that can be named where the pass is.
#[derive(Default)]
pub(super) struct TypeSizes {
    /// The innermost one last.
    scopes: Vec<Scope>,
    /// The largest size of anything so far. Stands for what is not followed.
    largest: u32,
}

impl TypeSizes {
    /// Takes in that a component begins.
    pub(super) fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Takes in that a component ends.
    pub(super) fn close(&mut self) {
        let size = self.scopes.pop().map_or(0, |scope| scope.size);
        self.largest = self.largest.max(size.min(MAX_SIZE));
    }

    /// Takes in a type, and returns the size of all that it takes to put it together.
    pub(super) fn define(&mut self, of: &ComponentType<'_>) -> u64 {
        let mut work = 0;
        let size = self.size_of(of, &mut work);
        self.push(size);
        work
    }

    /// Takes in an import, and returns its size.
    pub(super) fn import(&mut self, import: &ComponentImport<'_>) -> u64 {
        let size = self.refer(&import.ty);
        self.grow(size)
    }

    /// Takes in an export, and returns its size or more.
    pub(super) fn export(&mut self, export: &ComponentExport<'_>) -> u64 {
        let size = match export.kind {
            ComponentExternalKind::Type => self.at(export.index),
            ComponentExternalKind::Instance => self.instance_at(export.index),
            _ => self.largest,
        };
        self.push_kind(export.kind, size);
        self.grow(size)
    }

    /// Takes in an instance, and returns the size of what is compared and made or more.
    pub(super) fn instance(&mut self, instance: &ComponentInstance<'_>) -> u64 {
        let work = match instance {
            ComponentInstance::Instantiate { .. } => 2 * u64::from(self.largest),
            ComponentInstance::FromExports(exports) => {
                let count = u32::try_from(exports.len()).unwrap_or(u32::MAX);
                self.largest = self.largest.max(self.largest.saturating_mul(count).min(MAX_SIZE));
                self.largest.into()
            }
        };
        self.push_instance(self.largest);
        work
    }

    /// Takes in an alias, and returns the size of what it is for, if that is gone through.
    pub(super) fn alias(&mut self, alias: &ComponentAlias<'_>) -> u64 {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                self.push_kind(kind, self.instance_at(instance_index));
                1
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                // The count is any number yet, and 32 bits are all that a canister's `usize` has.
                let scope = self.scopes.iter().rev().nth(count as usize);
                let size = scope.and_then(|scope| scope.types.get(index as usize)).copied();
                let size = size.unwrap_or(self.largest);
                self.push(size);
                size.into()
            }
            ComponentAlias::CoreInstanceExport { .. } | ComponentAlias::Outer { .. } => 1,
        }
    }

    /// Adds to the size of what is open.
    fn grow(&mut self, size: u32) -> u64 {
        if let Some(scope) = self.scopes.last_mut() {
            scope.size = scope.size.saturating_add(size);
        }
        size.into()
    }

    fn push(&mut self, size: u32) {
        self.largest = self.largest.max(size);
        if let Some(scope) = self.scopes.last_mut() {
            scope.types.push(size);
        }
    }

    fn push_instance(&mut self, size: u32) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.instances.push(size);
        }
    }

    /// Takes in what can be named from here on.
    fn push_kind(&mut self, kind: ComponentExternalKind, size: u32) {
        match kind {
            ComponentExternalKind::Type => self.push(size),
            ComponentExternalKind::Instance => self.push_instance(size),
            _ => {}
        }
    }

    fn instance_at(&self, index: u32) -> u32 {
        self.scopes.last().and_then(|scope| scope.instances.get(index as usize)).copied().unwrap_or(self.largest)
    }

    fn at(&self, index: u32) -> u32 {
        self.scopes.last().and_then(|scope| scope.types.get(index as usize)).copied().unwrap_or(self.largest)
    }

    fn size_of(&mut self, of: &ComponentType<'_>, work: &mut u64) -> u32 {
        let size = match of {
            ComponentType::Defined(defined) => self.size_of_defined(defined),
            ComponentType::Func(function) => self.sum(function.params.iter().map(|(_, of)| *of).chain(function.result)),
            ComponentType::Resource { .. } => 1,
            ComponentType::Component(declarations) => {
                self.open();
                let mut size = 1_u32;
                for declaration in declarations {
                    size = size.saturating_add(match declaration {
                        ComponentTypeDeclaration::CoreType(_) => 0,
                        ComponentTypeDeclaration::Type(of) => self.declare(of, work),
                        ComponentTypeDeclaration::Alias(alias) => self.declare_alias(alias),
                        ComponentTypeDeclaration::Export { ty, .. } => self.refer(ty),
                        ComponentTypeDeclaration::Import(import) => self.refer(&import.ty),
                    });
                }
                self.scopes.pop();
                size
            }
            ComponentType::Instance(declarations) => {
                self.open();
                let mut size = 1_u32;
                for declaration in declarations {
                    size = size.saturating_add(match declaration {
                        InstanceTypeDeclaration::CoreType(_) => 0,
                        InstanceTypeDeclaration::Type(of) => self.declare(of, work),
                        InstanceTypeDeclaration::Alias(alias) => self.declare_alias(alias),
                        InstanceTypeDeclaration::Export { ty, .. } => self.refer(ty),
                    });
                }
                self.scopes.pop();
                size
            }
        };
        let size = size.min(MAX_SIZE);
        *work += u64::from(size);
        size
    }

    /// Takes in a type that is declared within another one, which does not become larger by that.
    fn declare(&mut self, of: &ComponentType<'_>, work: &mut u64) -> u32 {
        let size = self.size_of(of, work);
        self.push(size);
        0
    }

    fn declare_alias(&mut self, alias: &ComponentAlias<'_>) -> u32 {
        self.alias(alias);
        0
    }

    /// Returns the size of what is imported or exported, and takes in the type that this may introduce.
    fn refer(&mut self, to: &ComponentTypeRef) -> u32 {
        match *to {
            // Core modules are not gone through.
            ComponentTypeRef::Module(_) => 1,
            ComponentTypeRef::Func(index) | ComponentTypeRef::Component(index) => self.at(index),
            ComponentTypeRef::Instance(index) => {
                let size = self.at(index);
                self.push_instance(size);
                size
            }
            ComponentTypeRef::Value(of) => self.size_of_value(of),
            ComponentTypeRef::Type(bounds) => {
                let size = match bounds {
                    TypeBounds::Eq(index) => self.at(index),
                    TypeBounds::SubResource => 1,
                };
                self.push(size);
                size
            }
        }
    }

    fn size_of_defined(&self, of: &ComponentDefinedType<'_>) -> u32 {
        match of {
            ComponentDefinedType::Primitive(_)
            | ComponentDefinedType::Flags(_)
            | ComponentDefinedType::Enum(_)
            | ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_) => 1,
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

    /// Returns the size of what is made of values of these types.
    fn sum(&self, of: impl IntoIterator<Item = ComponentValType>) -> u32 {
        of.into_iter().fold(1, |sum: u32, of| sum.saturating_add(self.size_of_value(of)))
    }

    fn size_of_value(&self, of: ComponentValType) -> u32 {
        match of {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(index) => self.at(index),
        }
    }
}
