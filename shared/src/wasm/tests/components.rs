use wasmparser::Validator;

use super::*;

/// What a type of size one counts for.
const COST: u64 = 10_000;

/// A component with several items in sections of all kinds.
pub(in crate::wasm) const COMPONENT: &str = r#"(component
    (core type $f (func (param i32) (result i32)))
    (core type $g (func))
    (core type $module (module (import "a" "b" (func)) (export "c" (func (param i32)))))
    (type $point (record (field "x" u32) (field "y" (list string))))
    (type $choice (variant (case "a" $point) (case "b")))
    (type $maybe (option $choice))
    (type $many (tuple $maybe $maybe (result $point (error string))))
    (type $colours (enum "red" "green"))
    (import "first" (type $first (eq $colours)))
    (import "second" (type $second (sub resource)))
    (import "host" (instance $host
        (export "r" (type $r (sub resource)))
        (export "f" (func (param "r" (borrow $r)) (result (own $r))))))
    (alias export $host "r" (type $r))
    (alias export $host "f" (func $host_f))
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "f") (result i32) i32.const 1)
        (func (export "g") (param i32)))
    (core instance $i (instantiate $m))
    (core instance $j (instantiate $m))
    (core instance $k (export "f" (func $i "f")) (export "g" (func $j "g")))
    (component $inner
        (type $shared (record (field "a" u8)))
        (export $exported "shared" (type $shared))
        (component $innermost (alias outer 1 $shared (type $again)) (type (list $again))))
    (instance $x (instantiate $inner))
    (instance $y (export "other" (instance $x)))
    (alias export $x "shared" (type $shared))
    (func $one (result u32) (canon lift (core func $k "f")))
    (func $two (param "x" u32) (canon lift (core func $k "g")))
    (core func $dropped (canon resource.drop $r))
    (core func $lowered (canon lower (func $host_f)))
    (type $world (component
        (import "a" (instance (export "t" (type (sub resource))) (export "u" (type (eq 0)))))
        (type (instance (export "v" (func (param "p" u32)))))
        (export "b" (instance (type 0)))))
    (export "one" (func $one))
    (export "two" (func $two))
    (export "y" (instance $y)))"#;

#[test]
fn should_take_sections_apart_without_a_change() {
    let bytes = wasm(COMPONENT);
    let expected = Inspection { obstacles: vec![Obstacle::Component], ..inspect(&bytes).unwrap() };
    assert_eq!((inspect(&bytes), expected.kind), (Ok(expected.clone()), ModuleKind::Component));
}

/// Inspects, and validates as a whole.
fn both(bytes: &[u8]) -> (Result<Inspection, InvalidModule>, Option<wasmparser::Error>) {
    (inspect(bytes), Validator::new_with_features(WasmFeatures::default()).validate_all(bytes).err())
}

#[test]
fn should_find_the_same_mistakes_as_a_validation_as_a_whole() {
    for text in [
        "(component (type u8) (type (list 7)) (type u16))",
        "(component (type u8) (alias outer 0 5 (type)) (type u8))",
        r#"(component (import "a" (func (type 3))) (import "b" (func)))"#,
        r#"(component (import "a" (func)) (import "b" (func)) (import "a" (func)))"#,
        r#"(component (component) (instance (instantiate 0)) (instance (instantiate 4)))"#,
        r#"(component (import "a" (func $f)) (export "a" (func $f)) (export "a" (func $f)))"#,
        "(component (core module) (core instance (instantiate 0)) (core instance (instantiate 3)))",
        "(component (core type (func)) (core type (module (alias outer 1 9 (type)))))",
        "(component (core func (canon resource.drop 3)) (type u8))",
        "(component (type (component (type (instance (type (list 3)))))))",
    ] {
        let bytes = wasm(text);
        let (inspected, error) = both(&bytes);
        let error = error.unwrap_or_else(|| panic!("{text} is valid"));
        let expected =
            InvalidModule::Malformed { offset: error.offset(), message: error.message().chars().take(256).collect() };
        assert_eq!(inspected, Err(expected), "{text}");
    }
}

/// A type of a component that puts a record of many fields together once, and an instance with it so many times within.
fn nested_types(instances: usize) -> Vec<u8> {
    let fields: String = (0..1_000).map(|number| format!(r#"(field "f{number}" u32)"#)).collect();
    let instance = r#"(type (instance (alias outer 2 $large (type $l)) (export "e" (type (eq $l)))))"#;
    wasm(&format!("(component (type $large (record {fields})) (type (component {})))", instance.repeat(instances)))
}

#[test]
fn should_give_up_before_types_that_would_take_too_long_to_put_together() {
    let bytes = nested_types(500);
    // 500 times a record of 1,001 and the instance that has it, and the component that has none of them.
    let max = (500 * 1_002 + 1) * COST;
    assert!(matches!(inspect_within(&bytes, max - 1), Err(InvalidModule::TooComplex { .. })));
    assert!(inspect_within(&bytes, max).is_ok());
    assert!(inspect_within(&nested_types(5), max / 50).is_ok());
}

#[test]
fn should_give_up_before_instances_that_would_take_too_long() {
    let fields: String = (0..100).map(|number| format!(r#"(field "f{number}" u32)"#)).collect();
    // An instance and a component that export a type of size 101, and so have size 102.
    let exports = r#"(alias outer 1 $large (type $l)) (export "e" (type (eq $l)))"#;
    let types = format!(
        "(type $large (record {fields})) (type $i (instance {exports})) (type $c (component {exports}))
        (import \"i\" (instance $i (type $i))) (import \"c\" (component $c (type $c)))"
    );
    let bag = r#"(instance $bag (export "a" (instance $i)) (export "b" (instance $i)) (export "c" (instance $i)))"#;
    for (items, work) in [
        (String::new(), 102),
        // What is given is compared, and what comes of it is made.
        ("(instance (instantiate $c))".to_string(), 204),
        (bag.to_string(), 307),
        (format!(r#"{bag} (instance (export "d" (instance $bag)) (export "e" (instance $bag)))"#), 615),
        // Each is as large as it is, whatever there is besides.
        (format!("{bag} (instance (instantiate $c))"), 307),
    ] {
        let bytes = wasm(&format!("(component {types} {items})"));
        let inspected = [work * COST - 1, work * COST].map(|max| inspect_within(&bytes, max));
        assert!(matches!(inspected, [Err(InvalidModule::TooComplex { .. }), Ok(_)]), "{items}: {inspected:?}");
    }
}

#[test]
fn should_count_what_types_have_wherever_they_come_from() {
    // Each of these adds an instance that exports a type of size 101 that it has from elsewhere.
    let fields: String = (0..100).map(|number| format!(r#"(field "f{number}" u32)"#)).collect();
    let record = format!("(type $large (record {fields}))");
    for (text, work) in [
        (format!(r#"(component {record} (type (instance (export "e" (type (eq $large))))))"#), 102),
        (format!(r#"(component {record} (type (instance (type $l (list $large)) (export "e" (type (eq $l))))))"#), 205),
        (
            format!(
                r#"(component {record} (import "i" (type $i (eq $large))) (type (instance (export "e" (type (eq $i))))))"#
            ),
            102,
        ),
        (
            format!(
                r#"(component {record} (export $x "x" (type $large)) (type (instance (export "e" (type (eq $x))))))"#
            ),
            102,
        ),
        (
            format!(
                r#"(component (component $c {record} (export "x" (type $large))) (instance $i (instantiate $c))
                    (alias export $i "x" (type $x)) (type (instance (export "e" (type (eq $x))))))"#
            ),
            // The instance is compared and made, which counts twice.
            204,
        ),
        (
            format!(
                r#"(component {record} (type $f (func (param "p" $large))) (type (instance (export "e" (func (type $f))))))"#
            ),
            103,
        ),
    ] {
        let bytes = wasm(&text);
        let inspected = [work * COST - 1, work * COST].map(|max| inspect_within(&bytes, max));
        assert!(matches!(inspected, [Err(InvalidModule::TooComplex { .. }), Ok(_)]), "{text}: {inspected:?}");
    }
}

#[test]
fn should_look_at_the_budget_before_each_item() {
    let types = "(type u8)".repeat(100);
    let bytes = wasm(&format!("(component {types})"));
    let looks = (0..).find(|looks| inspect_with_looks(&bytes, *looks).is_ok()).unwrap();
    // At the component, twice at its only section, at each item, and at the end.
    assert_eq!(looks, 104);
}

#[test]
fn should_weigh_names_and_cases_too() {
    let long = "x".repeat(10_000);
    let cases: String = (0..1_000).map(|number| format!(r#"(case "c{number}")"#)).collect();
    let names: String = (0..1_000).map(|number| format!(r#" "n{number}""#)).collect();
    let flags: String = (0..32).map(|number| format!(r#" "f{number}""#)).collect();
    let many: String = (0..20).map(|number| format!(r#"(export "i{number}" (instance (type $i)))"#)).collect();
    // What an instance exports, and the weight of that with its name.
    for (types, exported, weight) in [
        (String::new(), format!(r#"(export "{long}" (func))"#), 1 + 78),
        (format!("(type $v (variant {cases}))"), r#"(export "v" (type (eq $v)))"#.to_string(), 1_001),
        (format!("(type $e (enum {names}))"), r#"(export "e" (type (eq $e)))"#.to_string(), 1_001),
        (format!("(type $s (flags {flags}))"), r#"(export "s" (type (eq $s)))"#.to_string(), 33),
        (format!("(type $f (func (param \"{long}\" u8)))"), r#"(export "f" (func (type $f)))"#.to_string(), 2 + 78),
    ] {
        let bytes = wasm(&format!("(component {types} (type $i (instance {exported})) (type (instance {many})))"));
        let max = (1 + 20 * (1 + weight)) * COST;
        let inspected = [max - 1, max].map(|max| inspect_within(&bytes, max));
        assert!(matches!(inspected, [Err(InvalidModule::TooComplex { .. }), Ok(_)]), "{weight}: {inspected:?}");
    }
}

#[test]
fn should_give_up_before_visits_that_would_take_too_long() {
    let cases: String = (0..1_000).map(|number| format!(r#"(case "c{number}")"#)).collect();
    let many = vec!["$v"; 1_000].join(" ");
    let text = format!(
        r#"(component (type $v (variant {cases})) (type $t (tuple {many}))
        (component $c (alias outer 1 $t (type))))"#
    );
    // The variant is 1,001, and the tuple a thousand times that.
    let bytes = wasm(&text);
    let max = (1_000 * 1_001 + 1) * COST;
    assert!(matches!(inspect_within(&bytes, max - 1), Err(InvalidModule::TooComplex { .. })));
    assert!(inspect_within(&bytes, max).is_ok());
}

#[test]
fn should_give_up_before_an_end_that_would_visit_too_much() {
    let cases: String = (0..1_000).map(|number| format!(r#"(case "c{number}")"#)).collect();
    let imports: String = (0..40).map(|number| format!(r#"(import "i{number}" (instance (type $i)))"#)).collect();
    let text = format!(
        r#"(component (type $v (variant {cases})) (type $i (instance (export "v" (type (eq $v))))) {imports})"#
    );
    // To visit takes a tenth of what it takes to make, but of all imports at once.
    let (bytes, max) = (wasm(&text), 40 * 1_002 * COST / 10);
    assert!(matches!(inspect_within(&bytes, max - 1), Err(InvalidModule::TooComplex { .. })));
    assert!(inspect_within(&bytes, max).is_ok());
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// An import section that names a module once for all that is imported from it.
fn compact_imports(module: usize, imports: usize) -> Vec<u8> {
    let mut section = vec![1];
    section.extend(leb128(module));
    section.extend(vec![b'm'; module]);
    // No name, then the mark of imports of one module and one type: globals of i32 that do not change.
    section.extend([0, 0x7e, 0x03, 0x7f, 0x00]);
    section.extend(leb128(imports));
    for index in 0..imports {
        let name = format!("{index:x}");
        section.push(name.len() as u8);
        section.extend(name.as_bytes());
    }
    let mut bytes = b"\0asm\x01\0\0\0\x02".to_vec();
    bytes.extend(leb128(section.len()));
    bytes.extend(section);
    bytes
}

#[test]
fn should_give_up_before_imports_whose_names_are_not_all_there() {
    let within = |bytes: &[u8], max_heap_bytes| {
        let budget = Budget { max_heap_bytes, ..Budget::UNLIMITED };
        inspect_hashed(bytes, Hash::default(), budget)
    };
    let bytes = compact_imports(50_000, 100);
    let inspected = within(&bytes, 3 * 100 * 50_100);
    assert!(inspected.is_ok(), "{inspected:?}");
    let inspected = within(&bytes, 3 * 99 * 50_000 - 200_000);
    assert!(matches!(inspected, Err(InvalidModule::TooComplex { .. })), "{inspected:?}");
}

/// Components within one another.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        let inner = std::mem::take(&mut bytes);
        bytes.extend(b"\0asm\x0d\0\x01\0");
        if !inner.is_empty() {
            bytes.push(4);
            bytes.extend(leb128(inner.len()));
            bytes.extend(inner);
        }
    }
    bytes
}

#[test]
fn should_take_components_as_deep_as_the_validation_takes_them() {
    assert!(inspect(&nested(1_000)).is_ok());
    let refused = inspect(&nested(1_001));
    assert!(matches!(refused, Err(InvalidModule::Malformed { .. })), "{refused:?}");
}

proptest! {
    #[test]
    fn should_agree_with_a_validation_as_a_whole(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = wasm(COMPONENT);
        for (index, byte) in changes {
            let position = 8 + index.index(bytes.len() - 8);
            bytes[position] = byte;
        }
        let (inspected, error) = both(&bytes);
        prop_assert_eq!(inspected.is_ok(), error.is_none(), "{:?}: {:?}", inspected, error);
    }
}

/// A program as the tools for components make them: it imports interfaces that use types of one another, as those of WASI
/// do, and exports some by way of a component that renames what a core module has.
pub(in crate::wasm) fn program() -> String {
    const IMPORTED: usize = 24;
    const EXPORTED: usize = 6;
    let imported: String = (0..IMPORTED)
        .map(|number| {
            let used: String = (0..number)
                .map(|before| {
                    format!(
                        r#"(alias outer 1 $r{before} (type $ur{before})) (export "r{before}" (type $er{before} (eq $ur{before})))
                        (alias outer 1 $s{before} (type $us{before})) (export "s{before}" (type $es{before} (eq $us{before})))"#
                    )
                })
                .collect();
            let of_before = if number == 0 { "u64".to_string() } else { format!("$es{}", number - 1) };
            let methods: String = (0..30)
                .map(|method| {
                    format!(
                        r#"(export "[method]r{number}.m{method}"
                            (func (param "self" (borrow $r)) (param "s" $es{number}) (param "t" $of_before)
                                (result (result (list $es{number}) (error string)))))"#
                    )
                    .replace("$of_before", &of_before)
                })
                .collect();
            format!(
                r#"(import "wasi:i{number}/i@0.2.0" (instance $i{number}
                    {used}
                    (export "r{number}" (type $r (sub resource)))
                    (type $s (record (field "a" (list string)) (field "b" (option (tuple u64 u32))) (field "c" (own $r))
                        (field "d" (result (list u8) (error string)))))
                    (export "s{number}" (type $es{number} (eq $s)))
                    {methods}))
                (alias export $i{number} "r{number}" (type $r{number}))
                (alias export $i{number} "s{number}" (type $s{number}))"#
            )
        })
        .collect();
    let exported: String = (0..EXPORTED)
        .map(|number| {
            let functions: Vec<_> = (0..20).collect();
            let lifted: String = functions
                .iter()
                .map(|function| {
                    format!(
                        r#"(func $f{number}-{function} (param "r" (own $r{number})) (param "s" $t{number}) (result $t{number})
                            (canon lift (core func $f) (memory (core memory $memory)) (realloc (core func $realloc))))"#
                    )
                })
                .collect();
            let shim: String = functions
                .iter()
                .map(|function| {
                    format!(
                        r#"(import "import-func-f{function}"
                            (func $f{function} (param "r" (own $r)) (param "s" $t) (result $t)))"#
                    )
                })
                .collect();
            let renamed: String = functions
                .iter()
                .map(|function| {
                    format!(
                        r#"(export "f{function}" (func $f{function})
                            (func (param "r" (own $er)) (param "s" $et) (result $et)))"#
                    )
                })
                .collect();
            let given: String = functions
                .iter()
                .map(|function| format!(r#"(with "import-func-f{function}" (func $f{number}-{function}))"#))
                .collect();
            format!(
                r#"(type $t{number} (record (field "a" u32) (field "b" string)))
                {lifted}
                (component $shim{number}
                    (import "import-type-r" (type $r (sub resource)))
                    (type $record (record (field "a" u32) (field "b" string)))
                    (import "import-type-t" (type $t (eq $record)))
                    {shim}
                    (export $er "r" (type $r))
                    (export $et "t" (type $t))
                    {renamed})
                (instance $e{number} (instantiate $shim{number}
                    (with "import-type-r" (type $r{number})) (with "import-type-t" (type $t{number})) {given}))
                (export "wasi:e{number}/e@0.2.0" (instance $e{number}))"#
            )
        })
        .collect();
    format!(
        r#"(component {imported}
            (core module $main
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "f") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $main (instantiate $main))
            (alias core export $main "memory" (core memory $memory))
            (alias core export $main "realloc" (core func $realloc))
            (alias core export $main "f" (core func $f))
            {exported})"#
    )
}

#[test]
fn should_not_take_a_program_of_many_interfaces_for_too_complex() {
    let bytes = wasm(&program());
    // What is dearest of it is a five hundredth of what a canister allows.
    let inspected = inspect_within(&bytes, 38_000_000_000 / 500);
    assert!(inspected.is_ok(), "{inspected:?}");
}
