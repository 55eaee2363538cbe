use super::*;
use crate::{
    execution::{compile, fixtures::update},
    limits::{
        MAX_CODE_SECTION, MAX_CUSTOM_SECTIONS, MAX_CUSTOM_SECTIONS_BYTES, MAX_EXPORTED_FUNCTIONS,
        MAX_EXPORTED_NAME_BYTES, MAX_FUNCTION_OPERATORS, MAX_FUNCTIONS, MAX_GLOBALS,
    },
};

/// Installs nothing: says only whether the module keeps the rules.
fn check(text: &str) -> Result<Facts, String> {
    let wasm = wat::parse_str(text).unwrap();
    let facts = analysis::analyse(&wasm).map_err(|error| error.to_string())?;
    exports::rewrite(&wasm, &facts).map_err(|error| error.to_string())?;
    Ok(facts)
}

#[track_caller]
fn refused(text: &str, reason: &str) {
    let error = check(text).map(|_| ()).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

/// Checks that `at` is let pass and `past` is refused.
#[track_caller]
fn limit(at: &str, past: &str, reason: &str) {
    check(at).unwrap();
    refused(past, reason);
}

#[test]
fn should_limit_functions_and_globals() {
    let functions = |count: usize| format!("(module {})", "(func)".repeat(count));
    limit(&functions(MAX_FUNCTIONS), &functions(MAX_FUNCTIONS + 1), "50001 functions which exceeds");
    let globals = |count: usize| format!("(module {})", "(global i32 (i32.const 0))".repeat(count));
    limit(&globals(MAX_GLOBALS), &globals(MAX_GLOBALS + 1), "1001 globals which exceeds");
    refused("(module (global (mut funcref) (ref.null func)))", "Unsupported global type");
}

#[test]
fn should_limit_the_size_and_complexity_of_functions() {
    // The end of the function is an instruction too.
    let size = |count: usize| format!("(module (func {}))", "nop ".repeat(count - 1));
    limit(
        &size(MAX_FUNCTION_OPERATORS),
        &size(MAX_FUNCTION_OPERATORS + 1),
        "of size 1000001 that exceeds the maximum allowed size of 1000000",
    );
    let calls = |count: usize| format!("(module (func $f {}))", "call $f ".repeat(count));
    limit(&calls(19_999), &calls(20_000), "with complexity 1000001 which exceeds");
}

#[test]
fn should_limit_the_code_section() {
    // Each function has a body of 900002 bytes, with size prefix and number of locals.
    let body = format!("(func {})", "nop ".repeat(900_000));
    let code = |count: usize| format!("(module {})", body.repeat(count));
    limit(&code(MAX_CODE_SECTION / 900_010), &code(MAX_CODE_SECTION / 900_000 + 1), "exceeds the maximum allowed size");
}

#[test]
fn should_limit_exported_methods() {
    let methods = |count: usize| {
        let exports: String = (0..count).map(|n| format!("(export \"canister_query {n}\" (func 0))")).collect();
        format!("(module (func) {exports})")
    };
    limit(&methods(MAX_EXPORTED_FUNCTIONS), &methods(MAX_EXPORTED_FUNCTIONS + 1), "The number of exported functions");
    let named = |length: usize| format!("(module (func (export \"canister_update {}\")))", "n".repeat(length));
    limit(&named(MAX_EXPORTED_NAME_BYTES), &named(MAX_EXPORTED_NAME_BYTES + 1), "The sum of `<name>` lengths");
}

#[test]
fn should_limit_custom_sections() {
    let sections = |count: usize| {
        let sections: String = (0..count).map(|n| format!("(@custom \"icp:public {n}\" \"\")")).collect();
        format!("(module {sections})")
    };
    limit(&sections(MAX_CUSTOM_SECTIONS), &sections(MAX_CUSTOM_SECTIONS + 1), "17 custom sections which exceeds");
    let sized = |bytes: usize| format!("(module (@custom \"icp:private abc\" \"{}\"))", "x".repeat(bytes - 3));
    limit(
        &sized(MAX_CUSTOM_SECTIONS_BYTES),
        &sized(MAX_CUSTOM_SECTIONS_BYTES + 1),
        "total size of the custom sections",
    );
    check(&format!("(module (@custom \"name of mine\" \"{}\"))", "x".repeat(MAX_CUSTOM_SECTIONS_BYTES + 9))).unwrap();
}

#[test]
fn should_read_custom_sections_with_their_visibility() {
    let facts = check(r#"(module (@custom "icp:public candid:service" "a") (@custom "icp:private b" "c"))"#).unwrap();
    let section = |name: &str, visibility, content: &[u8]| CustomSection {
        name: name.to_owned(),
        visibility,
        content: content.to_vec(),
    };
    assert_eq!(
        facts.custom_sections,
        [section("candid:service", Visibility::Public, b"a"), section("b", Visibility::Private, b"c")]
    );
    refused(r#"(module (@custom "icp:public a" "") (@custom "icp:private a" ""))"#, "name a already exists");
    refused(r#"(module (@custom "icp:public" ""))"#, "must have a space");
    refused(r#"(module (@custom "icp:protected a" ""))"#, "no public/private scope");
}

#[test]
fn should_allow_only_known_exports_with_the_prefix() {
    for name in ["canister_init", "canister_inspect_message", "canister_pre_upgrade", "canister_post_upgrade"] {
        check(&format!("(module (func (export \"{name}\")))")).unwrap();
        refused(&format!("(module (func (export \"{name}\") (param i32)))"), "Expected input params []");
    }
    for name in ["canister_heartbeat", "canister_global_timer", "canister_on_low_wasm_memory", "free"] {
        check(&format!("(module (func (export \"{name}\")))")).unwrap();
    }
    for name in ["canister_other", "canister_updates x", "canister_update"] {
        refused(&format!("(module (func (export \"{name}\")))"), "Exporting reserved function");
    }
    for name in ["canister_start", "canister counter_instructions", "stable_memory"] {
        refused(&format!("(module (func (export \"{name}\")))"), "Exporting reserved symbol");
    }
    refused(
        r#"(module (func) (export "canister_query a" (func 0)) (export "canister_update a" (func 0)))"#,
        "Duplicate function 'a'",
    );
}

#[test]
fn should_allow_only_system_api_imports() {
    check(r#"(module (import "ic0" "msg_reply" (func)))"#).unwrap();
    check(r#"(module (import "ic0" "msg_arg_data_size" (func (result i64))) (memory i64 1))"#).unwrap();
    refused(r#"(module (import "ic0" "msg_reply" (func (param i32))))"#, "for 'msg_reply', got");
    refused(r#"(module (import "ic0" "msg_arg_data_size" (func (result i64))) (memory 1))"#, "msg_arg_data_size");
    refused(r#"(module (import "ic0" "stable_size" (func (result i32))) (memory i64 1))"#, "'stable_size' from 'ic0'");
    refused(r#"(module (import "ic0" "nothing" (func)))"#, "'nothing' from 'ic0' that is not exported");
    refused(r#"(module (import "env" "msg_reply" (func)))"#, "'msg_reply' from 'env'");
    refused(r#"(module (import "ic0" "memory" (memory 1)))"#, "which is not a function");
}

#[test]
fn should_refuse_instructions_that_change_tables() {
    for (body, name) in [
        ("(drop (table.grow (ref.null func) (i32.const 1)))", "table.grow"),
        ("(table.set (i32.const 0) (ref.null func))", "table.set"),
        ("(table.fill (i32.const 0) (ref.null func) (i32.const 1))", "table.fill"),
        ("(table.copy (i32.const 0) (i32.const 0) (i32.const 1))", "table.copy"),
        ("(table.init 0 (i32.const 0) (i32.const 0) (i32.const 1))", "table.init"),
    ] {
        refused(&format!("(module (table 1 funcref) (elem func) (func {body}))"), name);
    }
    check("(module (table 1 funcref) (func (drop (table.get (i32.const 0)))))").unwrap();
}

#[test]
fn should_allow_one_memory_and_one_table() {
    refused("(module (memory 1) (memory 1))", "2 memories which exceeds");
    refused("(module (table 1 funcref) (table 1 funcref))", "2 tables which exceeds");
    refused(
        "(module (global $g i32 (i32.const 0)) (memory 1) (data (global.get $g) \"x\"))",
        "Invalid offset expression",
    );
}

#[test]
fn should_refuse_proposals_that_the_replica_does_not_know() {
    for text in [
        "(module (memory 1 1 shared))",
        "(module (func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))))",
        "(module (global i32 (i32.add (i32.const 1) (i32.const 1))))",
        "(module (func (param externref)))",
    ] {
        let error = compile(&wat::parse_str(text).unwrap()).unwrap_err();
        assert_eq!(error.code, ErrorCode::CanisterInvalidWasm, "{error}");
        assert!(error.description.contains("Wasmtime failed to validate wasm module"), "{error}");
    }
    let component = compile(&wat::parse_str("(component)").unwrap()).unwrap_err();
    assert!(component.description.contains("Failed to decode wasm module"), "{component}");
}

#[test]
fn should_allow_simd_bulk_memory_tail_calls_and_many_values() {
    let text = r#"(module (memory 1)
        (func $two (result i32 i32) (i32.const 1) (i32.const 2))
        (func $tail (result i32 i32) (return_call $two))
        (func (export "canister_init")
            (memory.copy (i32.const 0) (i32.const 1) (i32.const 2))
            (drop (i8x16.popcnt (v128.const i64x2 1 2)))
            (call $tail) (drop) (drop)))"#;
    compile(&wat::parse_str(text).unwrap()).unwrap();
}

#[test]
fn should_tell_what_a_module_has() {
    let text = r#"(module
        (func) (export "canister_update u" (func 0)) (export "canister_query q" (func 0))
        (export "canister_composite_query c" (func 0)) (@custom "icp:public note" "1234"))"#;
    let wasm = wat::parse_str(text).unwrap();
    let module = compile(&wasm).unwrap();
    assert!(module.has_method(MethodKind::Update, "u") && !module.has_method(MethodKind::Query, "u"));
    assert!(module.has_method(MethodKind::Query, "q") && module.has_method(MethodKind::CompositeQuery, "c"));
    assert!(module.has_entry(&update("u")) && !module.has_entry(&update("q")));
    assert!(!module.has_entry(&Entry::Start) && !module.has_entry(&Entry::Init));
    assert_eq!(module.uploaded_bytes(), wasm.len());
    assert_eq!(module.memory_bytes(), wasm.len() as u64 + 9 + 32, "metadata and one global");
    assert_eq!(module.compile_instructions(), 20_000_000 + 6_000);
    assert_eq!(module.custom_sections().len(), 1);
}
