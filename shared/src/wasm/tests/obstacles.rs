//! One test for each rule of the Internet Computer, at its limit and one past it.

use super::*;
use crate::wasm::limits::{
    MAX_EXPORTED_FUNCTIONS, MAX_EXPORTED_NAME_BYTES, MAX_FUNCTION_COMPLEXITY, MAX_FUNCTIONS, MAX_GLOBALS,
    MAX_INSTRUCTIONS_IN_FUNCTION, MAX_MEMORY32_PAGES, MAX_MEMORY64_PAGES,
};

fn too_many(what: Countable, count: u64, max: u64) -> Vec<Obstacle> {
    vec![Obstacle::TooMany { what, count, max }]
}

/// Checks that a module made for a number has an obstacle one past the limit and not at the limit.
fn check_limit(what: Countable, max: u64, module: impl Fn(u64) -> Vec<u8>) {
    assert_eq!(inspect(&module(max)).unwrap().obstacles, []);
    assert_eq!(inspect(&module(max + 1)).unwrap().obstacles, too_many(what, max + 1, max));
}

#[test]
fn should_know_imports_by_module_name_and_type() {
    let import = |module: &str, name: &str| Obstacle::Import { module: module.to_string(), name: name.to_string() };
    let cases = [
        (r#"(import "ic0" "time" (func (result i64)))"#, None),
        (r#"(import "ic0" "cost_sign_with_ecdsa" (func (param i32 i32 i32 i32) (result i32)))"#, None),
        (r#"(import "ic0" "stable_grow" (func (param i32) (result i32)))"#, None),
        (r#"(import "ic0" "time" (func (result i32)))"#, Some(import("ic0", "time"))),
        (r#"(import "ic0" "time" (func (param i64) (result i64)))"#, Some(import("ic0", "time"))),
        (r#"(import "ic0" "tim" (func (result i64)))"#, Some(import("ic0", "tim"))),
        (r#"(import "ic1" "time" (func (result i64)))"#, Some(import("ic1", "time"))),
        (r#"(import "env" "memory" (memory 1))"#, Some(import("env", "memory"))),
        (r#"(import "ic0" "time" (global i64))"#, Some(import("ic0", "time"))),
    ];
    for (text, expected) in cases {
        assert_eq!(obstacles_of(&format!("(module {text})")), Vec::from_iter(expected), "{text}");
    }
}

#[test]
fn should_expect_addresses_of_the_size_of_the_memory() {
    let module = |memory: &str, of: &str, name: &str, signature: &str| {
        obstacles_of(&format!(r#"(module (import "ic0" "{name}" (func {signature})) (memory {memory} 1) (func {of}))"#))
    };
    let import = |name: &str| vec![Obstacle::Import { module: "ic0".to_string(), name: name.to_string() }];
    assert_eq!(module("", "", "msg_arg_data_size", "(result i32)"), []);
    assert_eq!(module("i64", "", "msg_arg_data_size", "(result i64)"), []);
    assert_eq!(module("", "", "msg_arg_data_size", "(result i64)"), import("msg_arg_data_size"));
    assert_eq!(module("i64", "", "msg_arg_data_size", "(result i32)"), import("msg_arg_data_size"));
    assert_eq!(module("i64", "", "performance_counter", "(param i32) (result i64)"), []);
    assert_eq!(module("i64", "", "stable_size", "(result i32)"), import("stable_size"));
}

#[test]
fn should_know_what_the_system_calls() {
    let export = |name: &str| Obstacle::Export { name: name.to_string() };
    let cases = [
        (r#"(func (export "canister_on_low_wasm_memory"))"#, None),
        (r#"(func (export "canister_composite_query ") )"#, None),
        (r#"(func (export "canister_init") (param i32))"#, Some(export("canister_init"))),
        (r#"(func (export "canister_query q") (result i32) i32.const 1)"#, Some(export("canister_query q"))),
        (r#"(func (export "canister_query"))"#, Some(export("canister_query"))),
        (r#"(func (export "canister_start"))"#, Some(export("canister_start"))),
        (r#"(global (export "canister_other") i32 (i32.const 1))"#, None),
        (r#"(memory (export "stable_memory") 1)"#, Some(export("stable_memory"))),
        (r#"(func (export "canister counter_instructions"))"#, Some(export("canister counter_instructions"))),
    ];
    for (text, expected) in cases {
        assert_eq!(obstacles_of(&format!("(module {text})")), Vec::from_iter(expected), "{text}");
    }
}

#[test]
fn should_see_the_type_of_an_exported_import() {
    let text = r#"(module (import "ic0" "time" (func $t (result i64))) (export "canister_heartbeat" (func $t)))"#;
    assert_eq!(obstacles_of(text), [Obstacle::Export { name: "canister_heartbeat".to_string() }]);
}

#[test]
fn should_refuse_a_method_of_two_kinds() {
    let text = r#"(module (func (export "canister_query m")) (func (export "canister_update m")))"#;
    assert_eq!(obstacles_of(text), [Obstacle::DuplicateMethod { method: "m".to_string() }]);
}

#[test]
fn should_limit_methods_and_their_names() {
    check_limit(Countable::ExportedFunctions, MAX_EXPORTED_FUNCTIONS, |count| {
        let exports: String = (0..count).map(|n| format!(r#"(export "canister_query {n}" (func 0))"#)).collect();
        wasm(&format!("(module (func) {exports})"))
    });
    check_limit(Countable::ExportedNameBytes, MAX_EXPORTED_NAME_BYTES, |bytes| {
        wasm(&format!(r#"(module (func (export "canister_query {}")))"#, "n".repeat(bytes as usize)))
    });
}

#[test]
fn should_limit_functions_and_globals() {
    check_limit(Countable::Functions, MAX_FUNCTIONS, |count| {
        wasm(&format!("(module {})", "(func)".repeat(count as usize)))
    });
    check_limit(Countable::Globals, MAX_GLOBALS, |count| {
        wasm(&format!("(module {})", "(global i32 (i32.const 1))".repeat(count as usize)))
    });
}

/// A module with one function of these instructions, each repeated.
fn function(instructions: &[(&[u8], u64)]) -> Vec<u8> {
    let mut body = vec![0];
    for (instruction, count) in instructions {
        body.extend(instruction.repeat(*count as usize));
    }
    body.push(0x0b);
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    let size =
        |size: usize| [size as u8 | 0x80, (size >> 7) as u8 | 0x80, (size >> 14) as u8 | 0x80, (size >> 21) as u8];
    module.push(10);
    module.extend(size(body.len() + 5));
    module.push(1);
    module.extend(size(body.len()));
    module.extend(body);
    module
}

#[test]
fn should_limit_the_size_and_the_complexity_of_functions() {
    const NOP: &[u8] = &[0x01];
    // An empty block weighs 50, its end and everything else here 1.
    const BLOCK: &[u8] = &[0x02, 0x40, 0x0b];
    let module = |count: u64| function(&[(NOP, count - 1)]);
    assert_eq!(inspect(&module(MAX_INSTRUCTIONS_IN_FUNCTION)).unwrap().obstacles, []);
    let count = MAX_INSTRUCTIONS_IN_FUNCTION + 1;
    let both = [
        too_many(Countable::InstructionsInFunction, count, MAX_INSTRUCTIONS_IN_FUNCTION),
        too_many(Countable::FunctionComplexity, count, MAX_FUNCTION_COMPLEXITY),
    ];
    assert_eq!(inspect(&module(count)).unwrap().obstacles, both.concat());
    check_limit(Countable::FunctionComplexity, MAX_FUNCTION_COMPLEXITY, |complexity| {
        let blocks = complexity / 51 - 1;
        function(&[(BLOCK, blocks), (NOP, complexity - 1 - 51 * blocks)])
    });
}

#[test]
fn should_limit_the_code_section() {
    // Functions of 1 MiB of constants each, and one that fills up.
    let module = |section_bytes: u64| {
        let mut sizes = vec![1 << 20; 11];
        sizes.push(section_bytes - 2 - sizes.iter().sum::<u64>());
        let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x0d\x0c\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        let size =
            |size: u64| [size as u8 | 0x80, (size >> 7) as u8 | 0x80, (size >> 14) as u8 | 0x80, (size >> 21) as u8];
        module.push(10);
        module.extend(size(section_bytes));
        module.extend([0x8c, 0]);
        for with_size in sizes {
            let body = with_size - 4;
            module.extend(size(body));
            module.push(0);
            // Pairs of `i64.const` with 9 bytes and `drop`, and a rest of `nop`.
            let pairs = (body - 2) / 12;
            let pair = [0x42, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x1a];
            module.extend(pair.repeat(pairs as usize));
            module.extend(vec![0x01; (body - 2 - 12 * pairs) as usize]);
            module.push(0x0b);
        }
        module
    };
    check_limit(Countable::CodeSectionBytes, MAX_CODE_SECTION_BYTES, module);
}

#[test]
fn should_allow_one_memory_and_one_table() {
    assert_eq!(obstacles_of("(module (memory 1) (table 1 funcref))"), []);
    let obstacles = obstacles_of("(module (table 1 funcref) (table 1 funcref))");
    assert_eq!(obstacles, too_many(Countable::Tables, 2, 1));
    let obstacles = obstacles_of("(module (memory 1) (memory 1))");
    assert!(matches!(obstacles[0], Obstacle::Feature { .. }), "{obstacles:?}");
    assert_eq!(obstacles[1..], too_many(Countable::Memories, 2, 1));
}

#[test]
fn should_limit_the_memory() {
    check_limit(Countable::InitialMemoryPages, MAX_MEMORY64_PAGES, |pages| {
        wasm(&format!("(module (memory i64 {pages}))"))
    });
    check_limit(Countable::MaximumMemoryPages, MAX_MEMORY64_PAGES, |pages| {
        wasm(&format!("(module (memory i64 1 {pages}))"))
    });
    // More than that is no valid module.
    assert_eq!(obstacles_of(&format!("(module (memory {MAX_MEMORY32_PAGES} {MAX_MEMORY32_PAGES}))")), []);
    let beyond = wasm(&format!("(module (memory {}))", MAX_MEMORY32_PAGES + 1));
    assert!(matches!(inspect(&beyond), Err(InvalidModule::Malformed { .. })));
}

#[test]
fn should_limit_custom_sections_and_keep_as_many_as_are_allowed() {
    let with_sections = |count: u64, bytes: usize| {
        let sections: String =
            (0..count).map(|n| format!(r#"(@custom "icp:public {n:02}" "{}")"#, "x".repeat(bytes))).collect();
        wasm(&format!("(module {sections})"))
    };
    check_limit(Countable::CustomSections, MAX_CUSTOM_SECTIONS as u64, |count| with_sections(count, 1));
    let past = inspect(&with_sections(17, 1)).unwrap().sections;
    assert_eq!((past.len(), past[15].name.as_str()), (16, "15"));
    check_limit(Countable::CustomSectionBytes, MAX_CUSTOM_SECTION_BYTES as u64, |bytes| {
        with_sections(1, bytes as usize - 2)
    });
    assert_eq!(inspect(&with_sections(1, MAX_CUSTOM_SECTION_BYTES - 1)).unwrap().sections, []);
}

#[test]
fn should_know_the_names_of_custom_sections() {
    for name in ["icp:", "icp:public", "icp:private", "icp:publicname", "icp:protected name"] {
        let obstacles = obstacles_of(&format!(r#"(module (@custom "{name}" "x"))"#));
        assert_eq!(obstacles, [Obstacle::CustomSectionName { name: name.to_string() }]);
    }
    let Inspection { obstacles, sections, .. } =
        inspection(r#"(module (@custom "icp:public " "x") (@custom " icp:y" "x") (@custom "icp:private n" "y"))"#);
    assert_eq!(obstacles, []);
    let names: Vec<&str> = sections.iter().map(|section| section.name.as_str()).collect();
    assert_eq!(names, ["", "n"]);
    let Inspection { obstacles, sections, .. } =
        inspection(r#"(module (@custom "icp:public n" "x") (@custom "icp:private n" "y"))"#);
    assert_eq!(obstacles, [Obstacle::DuplicateCustomSection { name: "n".to_string() }]);
    assert_eq!(sections.len(), 1);
}

#[test]
fn should_name_features_that_are_not_run() {
    let not_run = [
        "(module (func (param v128) (drop (f64x2.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))))",
        "(module (memory 1 1 shared))",
        "(module (global i32 (i32.add (i32.const 0) (i32.const 0))))",
        "(module (type $t (func (param i32))) (func (param (ref $t))))",
        "(module (type (struct (field i32))))",
        "(module (tag (param i32)))",
    ];
    for text in not_run {
        assert!(matches!(obstacles_of(text)[..], [Obstacle::Feature { offset: 1.., .. }]), "{text}");
    }
    let run = [
        "(module (func (param v128) (drop (i8x16.add (local.get 0) (local.get 0)))))",
        "(module (func (result i32 i64) (i32.const 1) (i64.const 1)))",
        "(module (func $f (return_call $f)))",
        "(module (table 1 externref) (func (param i32) (result externref) (table.get (local.get 0))))",
        "(module (global v128 (v128.const i64x2 0 0)))",
        "(module (memory i64 1) (data (i64.const 1) \"x\"))",
    ];
    for text in run {
        assert_eq!(obstacles_of(text), [], "{text}");
    }
}

#[test]
fn should_name_what_is_not_run_though_the_feature_is() {
    let feature = |text: &str| match &obstacles_of(text)[..] {
        [Obstacle::Feature { message, .. }] => message.clone(),
        other => panic!("{text}: {other:?}"),
    };
    let table = |body: &str| format!("(module (table 1 funcref) (elem $e func) (func (param i32 funcref) {body}))");
    let cases = [
        ("(table.set (local.get 0) (local.get 1))", "table.set is not run"),
        ("(drop (table.grow (local.get 1) (local.get 0)))", "table.grow is not run"),
        ("(table.fill (local.get 0) (local.get 1) (local.get 0))", "table.fill is not run"),
        ("(table.copy (local.get 0) (local.get 0) (local.get 0))", "table.copy is not run"),
        ("(table.init $e (local.get 0) (local.get 0) (local.get 0))", "table.init is not run"),
    ];
    for (body, message) in cases {
        assert_eq!(feature(&table(body)), message);
    }
    assert_eq!(obstacles_of(&table("(elem.drop $e) (drop (table.size)) (drop (table.get (local.get 0)))")), []);
    assert_eq!(feature("(module (global funcref (ref.null func)))"), "globals that hold references are not run");
    let offset = r#"(module (global $g i32 (i32.const 1)) (memory 1) (data (global.get $g) "x"))"#;
    assert!(matches!(obstacles_of(offset)[0], Obstacle::Feature { .. }));
}

#[test]
fn should_list_what_there_is_of_everything_up_to_the_bound() {
    let imports: String = (0..=MAX_OBSTACLES).map(|n| format!(r#"(import "env" "{n}" (func))"#)).collect();
    let obstacles = obstacles_of(&format!("(module {imports} (table 1 funcref) (table 1 funcref))"));
    assert_eq!(obstacles.len(), MAX_OBSTACLES);
    assert_eq!(obstacles[..1], too_many(Countable::Tables, 2, 1));
}
