use proptest::prelude::*;
use wasmparser::{
    Encoding, Parser, Payload, Validator, WasmFeatures,
    component_types::{
        ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentInstanceTypeId, ComponentItem,
        ComponentTypeId, ComponentValType,
    },
    types::TypesRef,
};

use super::*;
use crate::wasm::tests::components::{COMPONENT, program};

/// Returns the weight of a type that the validation put together.
fn weight(types: TypesRef<'_>, id: ComponentAnyTypeId) -> u64 {
    let value = |of: &ComponentValType| match of {
        ComponentValType::Primitive(_) => 1,
        ComponentValType::Type(id) => weight(types, ComponentAnyTypeId::Defined(*id)),
    };
    let item = |(name, item): (&String, &ComponentItem)| {
        let names = [&item.implements, &item.version_suffix, &item.external_id].into_iter().flatten();
        let named = match &item.ty {
            ComponentEntityType::Module(_) => 1,
            ComponentEntityType::Func(id) => weight(types, ComponentAnyTypeId::Func(*id)),
            ComponentEntityType::Value(of) => value(of),
            ComponentEntityType::Type { referenced, .. } => weight(types, *referenced),
            ComponentEntityType::Instance(id) => weight(types, ComponentAnyTypeId::Instance(*id)),
            ComponentEntityType::Component(id) => weight(types, ComponentAnyTypeId::Component(*id)),
        };
        named + names.chain([name]).map(|name| weight_of_name(name)).sum::<u64>()
    };
    let within: u64 = match id {
        ComponentAnyTypeId::Resource(_) => 0,
        ComponentAnyTypeId::Defined(id) => match &types[id] {
            ComponentDefinedType::Primitive(_) | ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => 0,
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => {
                names.iter().map(|name| 1 + weight_of_name(name)).sum()
            }
            ComponentDefinedType::Record(record) => {
                record.fields.iter().map(|(name, of)| weight_of_name(name) + value(of)).sum()
            }
            ComponentDefinedType::Variant(variant) => {
                variant.cases.iter().map(|(name, case)| weight_of_name(name) + case.ty.as_ref().map_or(1, value)).sum()
            }
            ComponentDefinedType::Tuple(tuple) => tuple.types.iter().map(value).sum(),
            ComponentDefinedType::List { element, .. } | ComponentDefinedType::FixedLengthList { element, .. } => {
                value(element)
            }
            ComponentDefinedType::Map { key, value: of, .. } => value(key) + value(of),
            ComponentDefinedType::Option { ty, .. } => value(ty),
            ComponentDefinedType::Result { ok, err, .. } => ok.iter().chain(err).map(value).sum(),
            ComponentDefinedType::Future { ty, .. } | ComponentDefinedType::Stream { ty, .. } => {
                ty.iter().map(value).sum()
            }
        },
        ComponentAnyTypeId::Func(id) => {
            let function = &types[id];
            let params = function.params.iter().map(|(name, of)| weight_of_name(name) + value(of));
            params.chain(function.result.iter().map(value)).sum()
        }
        ComponentAnyTypeId::Instance(id) => types[id].exports.iter().map(item).sum(),
        ComponentAnyTypeId::Component(id) => types[id].imports.iter().chain(&types[id].exports).map(item).sum(),
    };
    1 + within
}

/// Weights of the types, functions, instances and components that the innermost component can name.
type Named = [Vec<u64>; 4];

fn named_by_the_validation(types: TypesRef<'_>) -> Named {
    let instance = |id: ComponentInstanceTypeId| weight(types, ComponentAnyTypeId::Instance(id));
    let component = |id: ComponentTypeId| weight(types, ComponentAnyTypeId::Component(id));
    [
        (0..types.component_type_count()).map(|index| weight(types, types.component_any_type_at(index))).collect(),
        (0..types.component_function_count())
            .map(|index| weight(types, ComponentAnyTypeId::Func(types.component_function_at(index))))
            .collect(),
        (0..types.component_instance_count()).map(|index| instance(types.component_instance_at(index))).collect(),
        (0..types.component_count()).map(|index| component(types.component_at(index))).collect(),
    ]
}

fn named_here(weights: &TypeWeights<'_>) -> Named {
    let scope = weights.scopes.last().unwrap();
    [&scope.types, &scope.functions, &scope.instances, &scope.components]
        .map(|space| space.iter().map(|extent| extent.weight).collect())
}

/// Goes through a component as far as it is valid, and compares after each section. Returns how many were compared.
fn compare(wasm: &[u8]) -> usize {
    let mut validator = Validator::new_with_features(WasmFeatures::default());
    let mut weights = TypeWeights::default();
    let mut encodings = Vec::new();
    let mut compared = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let Ok(payload) = payload else { break };
        macro_rules! take_in {
            ($section:expr, $method:ident) => {
                for item in $section.clone() {
                    let Ok(item) = item else { return compared };
                    let _ = weights.$method(&item);
                }
            };
        }
        match &payload {
            Payload::ComponentInstanceSection(section) => take_in!(section, instance),
            Payload::ComponentCanonicalSection(section) => take_in!(section, canonical),
            Payload::ComponentTypeSection(section) => take_in!(section, define),
            Payload::ComponentAliasSection(section) => take_in!(section, alias),
            Payload::ComponentImportSection(section) => take_in!(section, import),
            Payload::ComponentExportSection(section) => take_in!(section, export),
            _ => {}
        }
        if validator.payload(&payload).is_err() {
            break;
        }
        match &payload {
            Payload::Version { encoding, .. } => {
                encodings.push(*encoding);
                if *encoding == Encoding::Component {
                    weights.open();
                }
            }
            Payload::End(_) => {
                let ended = encodings.pop();
                if ended == Some(Encoding::Component) {
                    weights.close();
                }
            }
            _ => {}
        }
        if encodings.last() == Some(&Encoding::Component)
            && let Some(types) = validator.types(0)
        {
            assert_eq!(named_here(&weights), named_by_the_validation(types), "after {payload:?}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn should_follow_weights_as_the_validation_does() {
    for text in [COMPONENT.to_string(), program()] {
        let compared = compare(&wat::parse_str(text).unwrap());
        assert!(compared > 30, "{compared} sections were compared");
    }
}

#[test]
fn should_follow_weights_of_what_is_instantiated_exported_and_aliased() {
    let compared = compare(
        &wat::parse_str(
            r#"(component
            (type $record (record (field "a" u8) (field "LONG" (list string))))
            (type $choice (variant (case "one") (case "LONG" $record) (case "LONG-two")))
            (type $colours (enum "red" "LONG"))
            (type $flags (flags "a" "b" "LONG"))
            (type $all (func (param "LONG" $choice) (param "b" $colours) (result $flags)))
            (import "record" (type $named (eq $record)))
            (component $inner
                (import "i" (instance $i
                    (export "r" (type $r (sub resource)))
                    (export "f" (func (param "p" (borrow $r)) (result (own $r))))))
                (import "c" (component (import "x" (func)) (export "y" (instance (export "z" (func))))))
                (alias export $i "f" (func $f))
                (export "g" (func $f))
                (export "j" (instance $i)))
            (import "host" (instance $host
                (export "r" (type $r (sub resource)))
                (export "f" (func (param "p" (borrow $r)) (result (own $r))))
                (export "LONG" (func (param "p" $named)))
                (export "within" (instance (export "deep" (type (sub resource))) (export "h" (func))))))
            (component $given
                (import "x" (func $x))
                (instance $y (export "z" (func $x)) (export "other" (func $x)))
                (export "y" (instance $y)))
            (alias outer 0 $inner (component $again))
            (instance $made (instantiate $again (with "i" (instance $host)) (with "c" (component $given))))
            (alias export $made "g" (func $g))
            (alias export $made "j" (instance $j))
            (alias export $j "f" (func $jf))
            (alias export $host "within" (instance $within))
            (alias export $within "deep" (type $deep))
            (instance $bag
                (export "made" (instance $made)) (export "given" (component $given)) (export "t" (type $named)))
            (alias export $bag "given" (component $given-again))
            (type $narrow (instance (export "h" (func))))
            (export "narrow" (instance $within) (instance (type $narrow)))
            (export "bag" (instance $bag)))"#
                .replace("LONG", &"long".repeat(100)),
        )
        .unwrap(),
    );
    assert!(compared > 10, "{compared} sections were compared");
}

proptest! {
    #[test]
    fn should_follow_weights_as_far_as_a_component_is_valid(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = wat::parse_str(COMPONENT).unwrap();
        for (index, byte) in changes {
            let position = 8 + index.index(bytes.len() - 8);
            bytes[position] = byte;
        }
        compare(&bytes);
    }
}
