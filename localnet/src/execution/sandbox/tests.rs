use super::*;
use crate::{
    execution::{
        compile,
        fixtures::{callback, environment, fail, install, query, reply, run, run_body, succeed, update, wrap},
    },
    limits::{MAX_DIRTY_STABLE_PAGES_MESSAGE, MAX_STABLE_MEMORY},
    message::Answer,
};

/// Counts in the heap, a global and stable memory; `trap` does the same and traps, `grow` grows both memories.
const COUNTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "stable64_size" (func $size (result i64)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (memory 2)
    (data (i32.const 100) "\05")
    (global $g (mut i64) (i64.const 0))
    (func $count
        (if (i64.eqz (call $size)) (then (drop (call $grow (i64.const 1)))))
        (global.set $g (i64.add (global.get $g) (i64.const 1)))
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
        (i64.store (i32.const 70000) (i64.load (i32.const 0)))
        (call $write (i64.const 4092) (i64.const 0) (i64.const 8)))
    (func $trap (call $count) (call $grow_all) (i64.store (i32.const 140000) (i64.const 9)) unreachable)
    (func $grow_all
        (drop (memory.grow (i32.const 3)))
        (drop (call $grow (i64.const 5))))
    (func $get
        (i64.store (i32.const 8) (global.get $g))
        (if (call $size) (i64.ne (i64.const 0)) (then (call $read (i64.const 16) (i64.const 4092) (i64.const 8))))
        (i64.store (i32.const 24) (i64.extend_i32_u (memory.size)))
        (i64.store (i32.const 32) (call $size))
        (i64.store (i32.const 40) (i64.load (i32.const 70000)))
        (i64.store (i32.const 48) (i64.load (i32.const 100)))
        (call $append (i32.const 0) (i32.const 56))
        (call $reply))
    (export "canister_update count" (func $count))
    (export "canister_update trap" (func $trap))
    (export "canister_update grow" (func $grow_all))
    (export "canister_query count_query" (func $count))
    (export "canister_query get" (func $get)))"#;

/// What `get` answers: heap, global, stable, heap pages, stable pages, heap (other page), data segment.
fn state(sandbox: &mut Sandbox) -> [u64; 7] {
    let effects = succeed(sandbox, &query("get"), Keep::Discard);
    let words: Vec<u64> = reply(&effects).chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    words.try_into().unwrap()
}

fn counter() -> Sandbox {
    install(&COUNTER.replace("(if (call $size) (i64.ne (i64.const 0))", "(if (i64.ne (call $size) (i64.const 0))"))
}

#[test]
fn should_commit_what_updates_change() {
    let mut sandbox = counter();
    assert_eq!(state(&mut sandbox), [0, 0, 0, 2, 0, 0, 5]);
    for count in 1..=3 {
        let outcome = run(&mut sandbox, &update("count"), Keep::Commit);
        assert!(outcome.result.is_ok());
        // Two heap pages, and two stable pages that the value spans.
        assert_eq!(outcome.dirty_pages, 4);
        assert_eq!(state(&mut sandbox), [count, count, count, 2, 1, count, 5]);
    }
}

#[test]
fn should_undo_all_that_a_trapping_message_changed() {
    let mut sandbox = counter();
    succeed(&mut sandbox, &update("count"), Keep::Commit);
    for _ in 0..2 {
        let outcome = run(&mut sandbox, &update("trap"), Keep::Commit);
        assert_eq!(outcome.result.unwrap_err().code, ErrorCode::CanisterTrapped);
        assert_eq!(outcome.dirty_pages, 0);
        assert_eq!(state(&mut sandbox), [1, 1, 1, 2, 1, 1, 5]);
    }
    assert_eq!(sandbox.heap_bytes(), 2 * WASM_PAGE_BYTES);
    succeed(&mut sandbox, &update("grow"), Keep::Commit);
    assert_eq!(state(&mut sandbox), [1, 1, 1, 5, 6, 1, 5]);
    assert_eq!(sandbox.heap_bytes(), 5 * WASM_PAGE_BYTES);
}

#[test]
fn should_find_zeros_where_growth_was_undone() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (func $grow (drop (memory.grow (i32.const 1))) (i32.store (i32.const 65536) (i32.const 7)))
            (func (export "canister_update trap") (call $grow) unreachable)
            (func (export "canister_update grow")
                (drop (memory.grow (i32.const 1)))
                (call $append (i32.const 65536) (i32.const 4)) (call $reply))
            (func (export "canister_update past") (i32.store (i32.const 65536) (i32.const 7))))"#,
    );
    assert_eq!(fail(&mut sandbox, &update("trap")).code, ErrorCode::CanisterTrapped);
    let past = fail(&mut sandbox, &update("past"));
    assert!(past.description.ends_with("Canister trapped: heap out of bounds"), "{past}");
    let effects = succeed(&mut sandbox, &update("grow"), Keep::Commit);
    assert_eq!(reply(&effects), [0; 4]);
}

#[test]
fn should_discard_what_queries_change() {
    let mut sandbox = counter();
    succeed(&mut sandbox, &update("count"), Keep::Commit);
    let before = state(&mut sandbox);
    succeed(&mut sandbox, &query("count_query"), Keep::Discard);
    assert_eq!(state(&mut sandbox), before);
}

#[test]
fn should_show_held_changes_until_they_are_undone() {
    let mut sandbox = counter();
    succeed(&mut sandbox, &update("count"), Keep::Commit);
    succeed(&mut sandbox, &update("count"), Keep::Hold);
    succeed(&mut sandbox, &update("grow"), Keep::Hold);
    assert_eq!(state(&mut sandbox), [2, 2, 2, 5, 6, 2, 5]);
    sandbox.rollback();
    assert_eq!(state(&mut sandbox), [1, 1, 1, 2, 1, 1, 5]);
    sandbox.rollback();
    assert_eq!(state(&mut sandbox), [1, 1, 1, 2, 1, 1, 5]);
}

#[test]
fn should_undo_only_the_trapping_message_of_a_held_sequence() {
    let mut sandbox = counter();
    succeed(&mut sandbox, &update("count"), Keep::Hold);
    succeed(&mut sandbox, &update("grow"), Keep::Hold);
    assert_eq!(fail(&mut sandbox, &update("trap")).code, ErrorCode::CanisterTrapped);
    assert_eq!(state(&mut sandbox), [1, 1, 1, 5, 6, 1, 5]);
    succeed(&mut sandbox, &update("count"), Keep::Commit);
    sandbox.rollback();
    assert_eq!(state(&mut sandbox), [2, 2, 2, 5, 6, 2, 5]);
}

#[test]
fn should_commit_held_changes_with_the_next_commit() {
    let mut sandbox = counter();
    succeed(&mut sandbox, &update("count"), Keep::Hold);
    succeed(&mut sandbox, &update("count"), Keep::Commit);
    sandbox.rollback();
    assert_eq!(state(&mut sandbox), [2, 2, 2, 2, 1, 2, 5]);
}

#[test]
fn should_carry_memories_to_another_sandbox() {
    let mut first = counter();
    succeed(&mut first, &update("count"), Keep::Commit);
    succeed(&mut first, &update("grow"), Keep::Commit);
    let memories = first.memories();
    succeed(&mut first, &update("count"), Keep::Commit);
    let mut second = Sandbox::new(Arc::clone(first.module()), memories).unwrap();
    assert_eq!(state(&mut second), [1, 1, 1, 5, 6, 1, 5]);
    assert_eq!(fail(&mut second, &update("trap")).code, ErrorCode::CanisterTrapped);
    assert_eq!(state(&mut second), [1, 1, 1, 5, 6, 1, 5]);
}

#[test]
fn should_start_afresh_beside_stable_memory_that_was_kept() {
    let mut first = counter();
    succeed(&mut first, &update("count"), Keep::Commit);
    let mut second = Sandbox::new(Arc::clone(first.module()), Memories::fresh(first.stable().clone())).unwrap();
    assert_eq!(state(&mut second), [0, 0, 1, 2, 1, 0, 5]);
}

#[test]
fn should_keep_the_heap_but_not_the_globals_for_another_module() {
    let mut first = counter();
    succeed(&mut first, &update("count"), Keep::Commit);
    let text = COUNTER
        .replace("(if (call $size) (i64.ne (i64.const 0))", "(if (i64.ne (call $size) (i64.const 0))")
        .replace("(mut i64) (i64.const 0)", "(mut i64) (i64.const 40)")
        .replace("\\05", "\\06");
    let other = compile(&wat::parse_str(text).unwrap()).unwrap();
    let mut second = Sandbox::new(other, first.memories()).unwrap();
    assert_eq!(state(&mut second), [1, 40, 1, 2, 1, 1, 5]);
}

#[test]
fn should_run_the_start_function_only_when_asked() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (func $start (i32.store8 (i32.const 0) (i32.const 42)))
            (start $start)
            (func (export "canister_query get") (call $append (i32.const 0) (i32.const 1)) (call $reply)))"#,
    );
    assert!(sandbox.module().has_entry(&Entry::Start));
    assert_eq!(reply(&succeed(&mut sandbox, &query("get"), Keep::Discard)), [0]);
    succeed(&mut sandbox, &Entry::Start, Keep::Commit);
    assert_eq!(reply(&succeed(&mut sandbox, &query("get"), Keep::Discard)), [42]);
}

#[test]
fn should_bring_dropped_segments_back_for_the_next_message() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (data $words "passive")
            (data (i32.const 50) "x")
            (func (export "canister_update go")
                (memory.init $words (i32.const 0) (i32.const 0) (i32.const 7))
                (data.drop $words)
                (i32.store8 (i32.const 50) (i32.add (i32.const 1) (i32.load8_u (i32.const 50))))
                (call $append (i32.const 0) (i32.const 51)) (call $reply)))"#,
    );
    for last in [b'y', b'z'] {
        let effects = succeed(&mut sandbox, &update("go"), Keep::Commit);
        assert_eq!(&reply(&effects)[..7], b"passive");
        assert_eq!(reply(&effects)[50], last);
    }
}

#[test]
fn should_name_each_way_to_fail() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "trap" (func $ic0_trap (param i32 i32)))
            (import "ic0" "debug_print" (func $print (param i32 i32)))
            (import "ic0" "stable64_read" (func $stable_read (param i64 i64 i64)))
            (import "ic0" "accept_message" (func $accept))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (data (i32.const 0) "oh no")
            (table 2 funcref)
            (elem (i32.const 1) $recurse)
            (func $recurse (param i32) (call $recurse (local.get 0)) (call $recurse (local.get 0)))
            (func (export "canister_update called") (call $print (i32.const 3) (i32.const 2)) (call $ic0_trap (i32.const 0) (i32.const 5)))
            (func (export "canister_update unreachable") unreachable)
            (func (export "canister_update divide") (drop (i32.div_u (i32.const 1) (i32.load (i32.const 100)))))
            (func (export "canister_update heap") (drop (i32.load (i32.const -4))))
            (func (export "canister_update stable") (call $stable_read (i64.const 0) (i64.const 0) (i64.const 1)))
            (func (export "canister_update loop") (loop (br 0)))
            (func (export "canister_update mode") (call $accept))
            (func (export "canister_update slice") (call $append (i32.const 65536) (i32.const 1))))"#,
    );
    let cases = [
        ("called", ErrorCode::CanisterCalledTrap, "Canister called `ic0.trap` with message: 'oh no'"),
        ("unreachable", ErrorCode::CanisterTrapped, "Canister trapped: unreachable"),
        ("divide", ErrorCode::CanisterTrapped, "Canister trapped: integer division by 0"),
        ("heap", ErrorCode::CanisterTrapped, "Canister trapped: heap out of bounds"),
        ("stable", ErrorCode::CanisterTrapped, "Canister trapped: stable memory out of bounds"),
        (
            "loop",
            ErrorCode::CanisterInstructionLimitExceeded,
            "Canister exceeded the limit of 1000000000 instructions for single message execution.",
        ),
        (
            "mode",
            ErrorCode::CanisterContractViolation,
            "Canister violated contract: \"ic0_accept_message\" cannot be executed in update mode",
        ),
        (
            "slice",
            ErrorCode::CanisterContractViolation,
            "Canister violated contract: msg_reply_data_append: src=65536 + length=1 exceeds the slice size=65536",
        ),
        ("missing", ErrorCode::CanisterMethodNotFound, "Canister has no update method 'missing'."),
    ];
    for (method, code, text) in cases {
        let error = fail(&mut sandbox, &update(method));
        assert_eq!(error.code, code, "{method}: {error}");
        assert_eq!(
            error.description,
            format!("Error from Canister {}: {text}", crate::execution::fixtures::canister())
        );
    }
    let outcome = run(&mut sandbox, &update("called"), Keep::Commit);
    assert_eq!(outcome.logs, ["no", "[TRAP]: oh no"]);
    let recursion = std::thread::Builder::new().stack_size(32 << 20).spawn(move || {
        let error = fail(&mut sandbox, &callback(1, 0, Answer::Reply(Vec::new())));
        let missing = [0, 2, u64::from(u32::MAX), u64::MAX]
            .map(|function| fail(&mut sandbox, &callback(function, 0, Answer::Reply(Vec::new()))).code);
        (error, missing)
    });
    let (error, missing) = recursion.unwrap().join().unwrap();
    assert!(error.description.ends_with("Canister trapped: stack overflow"), "{error}");
    assert_eq!(missing, [ErrorCode::CanisterFunctionNotFound; 4]);
}

#[test]
fn should_refuse_callbacks_of_another_type() {
    let mut sandbox =
        install(r#"(module (table 1 funcref) (elem (i32.const 0) $f) (func $f) (func (export "canister_init")))"#);
    let error = fail(&mut sandbox, &callback(0, 0, Answer::Reply(Vec::new())));
    assert_eq!(error.code, ErrorCode::CanisterContractViolation);
}

#[test]
fn should_do_nothing_for_a_hook_that_is_not_there() {
    let mut sandbox = install(r#"(module (func (export "canister_init")))"#);
    assert!(sandbox.module().has_entry(&Entry::Init) && !sandbox.module().has_entry(&Entry::Heartbeat));
    let outcome = run(&mut sandbox, &Entry::Heartbeat, Keep::Commit);
    assert_eq!((outcome.result.unwrap(), outcome.instructions), (Effects::default(), 0));
}

#[test]
fn should_count_instructions_as_the_replica_does() {
    let count = |body: &str| {
        let mut sandbox = install(&wrap("performance_counter (param i32) (result i64)\ntime (result i64)", body));
        let outcome = run(&mut sandbox, &update("go"), Keep::Commit);
        outcome.result.unwrap();
        outcome.instructions
    };
    // Entering a function weighs 1.
    assert_eq!(count(""), 1);
    assert_eq!(count("(drop (i32.add (i32.const 1) (i32.const 2)))"), 5);
    assert_eq!(count("(drop (i32.div_u (i32.const 1) (i32.const 2)))"), 14);
    assert_eq!(count("(i32.store (i32.const 0) (i32.const 2))"), 4);
    assert_eq!(count("(block (br 0))"), 3);
    assert_eq!(count("(memory.fill (i32.const 0) (i32.const 1) (i32.const 1000))"), 1 + 3 + 100 + 1000);
    // A length that the compiler does not know is counted, too.
    let length = "(local $n i32) (local.set $n (i32.const 1000))";
    let copy = "(memory.copy (i32.const 0) (i32.const 2000) (local.get $n))";
    assert_eq!(count(&format!("{length} {copy}")), 1 + 2 + 3 + 100 + 1000);
    assert_eq!(count("(drop (memory.grow (i32.const 1)))"), 1 + 1 + 300 + 1);
    assert_eq!(count("(drop (memory.size))"), 1 + 20 + 1);
    // A call weighs 5 and the function 500.
    assert_eq!(count("(drop (call $time))"), 507);
    assert_eq!(count("(drop (call $performance_counter (i32.const 0)))"), 208);
    let looping = "(local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))";
    assert_eq!(count(looping), 1 + 10 * 8);
}

#[test]
fn should_count_calls_within_the_module() {
    let module = |body: &str| {
        format!(
            r#"(module (type $t (func)) (table 1 funcref) (elem (i32.const 0) $f)
                (func $f) (func (export "canister_update go") {body}))"#
        )
    };
    let count = |body: &str| run(&mut install(&module(body)), &update("go"), Keep::Commit).instructions;
    assert_eq!(count("(call $f)"), 1 + 5 + 1);
    assert_eq!(count("(call_indirect (type $t) (i32.const 0))"), 1 + 1 + 10 + 1);
    assert_eq!(count("(return_call $f)"), 1 + 3 + 1);
}

#[test]
fn should_count_what_leaves_the_canister_fifty_times_a_byte() {
    let imports = "debug_print (param i32 i32)";
    let count = |body: &str| run_body(imports, body, environment()).instructions;
    assert_eq!(count("(call $append (i32.const 0) (i32.const 30))"), 1 + 2 + 5 + 500 + 50 * 30);
    // Printed bytes count once for reading, twice for the place they take in the log, fifty times for the way there.
    let print = "(call $debug_print (i32.const 0) (i32.const 30))";
    assert_eq!(count(print), 1 + 2 + 5 + 100 + 53 * 30);
    // What does not fit into the log any more is not sent.
    let long = "(call $debug_print (i32.const 0) (i32.const 5000))";
    assert_eq!(count(long), 1 + 2 + 5 + 100 + 5_000 + 2 * 4_096 + 50 * 4_096);
    let second = count(&format!("{long} {print}")) - count(long);
    assert_eq!(second, 2 + 5 + 100 + 3 * 30);
}

#[test]
fn should_count_what_a_trap_says() {
    let outcome = run_body("trap (param i32 i32)", "(call $trap (i32.const 0) (i32.const 10))", environment());
    assert_eq!(outcome.result.unwrap_err().code, ErrorCode::CanisterCalledTrap);
    assert_eq!(outcome.instructions, 1 + 2 + 5 + 500 + 53 * 10);
}

#[test]
fn should_count_nothing_for_the_size_of_stable_memory_and_a_hundred_for_growing_it() {
    let imports = "stable64_size (result i64)\nstable64_grow (param i64) (result i64)";
    let count = |body: &str| run_body(imports, body, environment()).instructions;
    assert_eq!(count("(drop (call $stable64_size))"), 1 + 5 + 1);
    assert_eq!(count("(drop (call $stable64_grow (i64.const 1)))"), 1 + 1 + 5 + 100 + 1);
}

#[test]
fn should_not_look_at_addresses_when_there_is_nothing_to_copy() {
    let imports = "stable64_read (param i64 i64 i64)\nstable64_write (param i64 i64 i64)\n\
                   stable_read (param i32 i32 i32)\nstable_write (param i32 i32 i32)";
    let far = "(i64.const 5000000) (i64.const 5000000) (i64.const 0)";
    let far32 = "(i32.const 5000000) (i32.const 5000000) (i32.const 0)";
    for name in ["stable64_read", "stable64_write"] {
        assert!(run_body(imports, &format!("(call ${name} {far})"), environment()).result.is_ok(), "{name}");
    }
    assert!(run_body(imports, &format!("(call $stable_read {far32})"), environment()).result.is_ok());
    assert!(run_body(imports, &format!("(call $stable_write {far32})"), environment()).result.is_err());
}

#[test]
fn should_charge_stable_bytes_and_each_dirtied_page_once() {
    let imports = "stable64_grow (param i64) (result i64)\nstable64_write (param i64 i64 i64)";
    let write = "(call $stable64_write (i64.const 4000) (i64.const 0) (i64.const 200))";
    let count = |body: &str| {
        let mut sandbox = install(&wrap(imports, &format!("(drop (call $stable64_grow (i64.const 1))) {body}")));
        run(&mut sandbox, &update("go"), Keep::Commit).instructions
    };
    let base = count("");
    let one = count(write) - base;
    assert_eq!(one, 3 + 5 + 20 + 200 + 2_000);
    assert_eq!(count(&format!("{write} {write}")) - base, 2 * one - 2_000);
}

#[test]
fn should_limit_the_stable_pages_of_a_message() {
    // Writes one byte to each of so many pages.
    let touch = |pages: u64| {
        format!(
            "(local $i i64)
             (drop (call $stable64_grow (i64.const 40000)))
             (loop
                (call $stable64_write (i64.mul (local.get $i) (i64.const 4096)) (i64.const 0) (i64.const 1))
                (br_if 0 (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const {pages}))))"
        )
    };
    let imports = "stable64_grow (param i64) (result i64)\nstable64_write (param i64 i64 i64)";
    let mut sandbox = install(&wrap(imports, &touch(MAX_DIRTY_STABLE_PAGES_MESSAGE / 2 + 1)));
    let query_limit = sandbox.execute(&query("read"), environment(), Keep::Discard);
    assert_eq!(query_limit.result.unwrap_err().code, ErrorCode::CanisterMemoryAccessLimitExceeded);
}

#[test]
fn should_answer_minus_one_when_memory_cannot_grow() {
    let mut sandbox = install(&wrap(
        "stable64_grow (param i64) (result i64)\nstable_grow (param i32) (result i32)",
        &format!(
            "(i64.store (i32.const 0) (call $stable64_grow (i64.const {})))
             (i32.store (i32.const 8) (call $stable_grow (i32.const 65537)))
             (i32.store (i32.const 12) (memory.grow (i32.const 65536)))
             (call $append (i32.const 0) (i32.const 16)) (call $reply)",
            MAX_STABLE_MEMORY / WASM_PAGE_BYTES + 1
        ),
    ));
    assert_eq!(reply(&succeed(&mut sandbox, &update("go"), Keep::Commit)), [0xff; 16]);
}

#[test]
fn should_enforce_the_heap_limit_of_the_settings() {
    let mut sandbox = install(&wrap("", "(drop (memory.grow (i32.const 1)))"));
    let limited = |limit| Environment { wasm_memory_limit: limit, ..environment() };
    let past = sandbox.execute(&update("go"), limited(2 * WASM_PAGE_BYTES - 1), Keep::Commit);
    assert_eq!(past.result.unwrap_err().code, ErrorCode::CanisterWasmMemoryLimitExceeded);
    assert_eq!(sandbox.heap_bytes(), WASM_PAGE_BYTES);
    assert!(sandbox.execute(&update("go"), limited(2 * WASM_PAGE_BYTES), Keep::Commit).result.is_ok());
    assert!(sandbox.execute(&query("read"), limited(2 * WASM_PAGE_BYTES), Keep::Discard).result.is_ok());
    let already = sandbox.execute(&update("go"), limited(WASM_PAGE_BYTES), Keep::Commit);
    assert_eq!(already.result.unwrap_err().code, ErrorCode::CanisterWasmMemoryLimitExceeded);
}

#[test]
fn should_run_a_64_bit_module() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i64 i64)))
            (memory i64 1)
            (table i64 1 funcref)
            (elem (i64.const 0) $f)
            (func $f (param i64) (i64.store (i64.const 5000000000) (local.get 0)))
            (func (export "canister_update grow") (drop (memory.grow (i64.const 90000))))
            (func (export "canister_update past") (i64.store (i64.const 6442450944) (i64.const 1)))
            (func (export "canister_update too_much")
                (i64.store (i64.const 0) (memory.grow (i64.const 98304)))
                (call $append (i64.const 0) (i64.const 8)) (call $reply))
            (func (export "canister_query get") (call $append (i64.const 5000000000) (i64.const 8)) (call $reply)))"#,
    );
    assert!(sandbox.module().is_wasm64());
    let rich = || Environment { balance: 1 << 100, ..environment() };
    sandbox.execute(&update("grow"), rich(), Keep::Commit).result.unwrap();
    succeed(&mut sandbox, &callback(0, 77 << 32, Answer::Reply(Vec::new())), Keep::Commit);
    assert_eq!(reply(&succeed(&mut sandbox, &query("get"), Keep::Discard)), (77_u64 << 32).to_le_bytes());
    assert!(fail(&mut sandbox, &update("past")).description.ends_with("heap out of bounds"));
    let too_much = sandbox.execute(&update("too_much"), rich(), Keep::Commit).result.unwrap();
    assert_eq!(reply(&too_much), [0xff; 8]);
}

#[test]
fn should_refuse_segments_that_do_not_fit() {
    for text in [
        r#"(module (memory 1) (data (i32.const 65536) "x"))"#,
        r#"(module (table 1 funcref) (elem (i32.const 1) $f) (func $f))"#,
    ] {
        let module = compile(&wat::parse_str(text).unwrap()).unwrap();
        let error = Sandbox::new(module, Memories::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::CanisterInvalidWasm, "{error}");
    }
}

#[test]
fn should_move_between_threads() {
    let mut sandbox = counter();
    for _ in 0..3 {
        sandbox = std::thread::spawn(move || {
            succeed(&mut sandbox, &update("count"), Keep::Commit);
            sandbox
        })
        .join()
        .unwrap();
    }
    assert_eq!(state(&mut sandbox)[0], 3);
}

/// A module with a heap of so many MiB; `fill` writes to and `look` reads every page, `count` touches one.
fn with_heap(mebibytes: u32) -> String {
    format!(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (memory {pages})
            (func (export "canister_update fill") (local $at i32)
                (loop $again
                    (i32.store (local.get $at) (i32.const 7))
                    (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                    (br_if $again (i32.lt_u (local.get $at) (i32.const {bytes})))))
            (func (export "canister_update look") (local $at i32)
                (loop $again
                    (drop (i32.load (local.get $at)))
                    (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                    (br_if $again (i32.lt_u (local.get $at) (i32.const {bytes})))))
            (func (export "canister_update count")
                (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (call $reply)))"#,
        pages = mebibytes * 16,
        bytes = mebibytes << 20,
    )
}

#[test]
fn should_copy_only_pages_that_were_written_to() {
    let mut sandbox = install(&with_heap(64));
    succeed(&mut sandbox, &update("look"), Keep::Commit);
    succeed(&mut sandbox, &update("count"), Keep::Commit);
    let memories = sandbox.memories();
    let heap = memories.heap().unwrap();
    assert_eq!((heap.bytes(), heap.written_pages().count()), (64 << 20, 1));
    let mut copy = Sandbox::new(sandbox.module().clone(), memories).unwrap();
    succeed(&mut copy, &update("count"), Keep::Hold);
    assert_eq!(copy.memories().heap().unwrap().to_bytes()[0], 2, "held changes are in the copy");
}

#[test]
#[ignore = "measures time"]
fn measure_messages_by_the_size_of_the_heap() {
    for mebibytes in [1, 16, 128, 1024] {
        let mut sandbox = install(&with_heap(mebibytes));
        succeed(&mut sandbox, &update("fill"), Keep::Commit);
        succeed(&mut sandbox, &update("look"), Keep::Commit);
        for _ in 0..10 {
            succeed(&mut sandbox, &update("count"), Keep::Commit);
        }
        let start = std::time::Instant::now();
        for _ in 0..500 {
            succeed(&mut sandbox, &update("count"), Keep::Commit);
        }
        println!("{mebibytes} MiB: {:?} a message", start.elapsed() / 500);
        let start = std::time::Instant::now();
        let memories = sandbox.memories();
        println!(
            "{mebibytes} MiB: {:?} to copy {} pages",
            start.elapsed(),
            memories.heap().unwrap().written_pages().count()
        );
        let start = std::time::Instant::now();
        succeed(&mut sandbox, &update("look"), Keep::Commit);
        println!("{mebibytes} MiB: {:?} to look at all", start.elapsed());
    }
}

#[test]
fn should_apply_changes_later_that_one_message_made() {
    let mut sandbox = counter();
    let small = sandbox.execute(&update("count"), environment(), Keep::CommitUpTo(1_000_000));
    assert!(small.result.is_ok() && small.changes.is_none());
    let before = state(&mut sandbox);
    let first = sandbox.execute(&update("count"), environment(), Keep::CommitUpTo(10));
    assert!(first.result.is_ok() && first.dirty_pages > 0);
    assert_eq!(state(&mut sandbox), before, "nothing shows yet");
    // What waits may be written to a file and read back meanwhile.
    let later = |changes: Option<Box<Changes>>| {
        let mut bytes = Vec::new();
        ciborium::into_writer(&*changes.expect("the message used more"), &mut bytes).unwrap();
        ciborium::from_reader::<Changes, _>(bytes.as_slice()).unwrap()
    };
    sandbox.apply(later(first.changes));
    let grown = sandbox.execute(&update("grow"), environment(), Keep::CommitUpTo(10));
    sandbox.apply(later(grown.changes));
    let mut other = counter();
    for method in ["count", "count", "grow"] {
        succeed(&mut other, &update(method), Keep::Commit);
    }
    assert_eq!(state(&mut sandbox), state(&mut other));
    let failed = sandbox.execute(&update("trap"), environment(), Keep::CommitUpTo(10));
    assert!(failed.result.is_err() && failed.changes.is_none());
    assert_eq!(state(&mut sandbox), state(&mut other));
}
