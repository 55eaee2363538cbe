use candid::Principal;

use super::*;
use crate::{
    cycles::{Holdings, STORAGE_RESERVATION_THRESHOLD_BYTES, SUBNET_MEMORY_CAPACITY_BYTES},
    error::{ErrorCode, RejectCode},
    execution::{
        Closure, Effects, Entry, Environment, Keep, Outcome,
        fixtures::{callback, canister, environment, install, reply, run, run_body, succeed, update, wrap},
    },
    limits::{MAX_INTER_CANISTER_PAYLOAD, MAX_QUERY_REPLY},
    message::{Answer, Cycles},
};

/// What `cost_call` says for a call of `go` with an empty argument.
const CALL_COST: Cycles = 260_000 + 2 * 1_000 + 1_000 * (2 << 20) + 5_000_000 + 40_000_000_000;

#[test]
fn should_offer_legacy_functions_to_32_bit_modules_only() {
    for name in ["stable_size", "stable_grow", "stable_read", "stable_write"] {
        assert!(import_signature(false, name).is_some() && import_signature(true, name).is_none(), "{name}");
    }
    assert!(import_signature(true, "canister_cycle_balance").is_none());
    assert!(import_signature(false, "no_such_function").is_none());
}

#[test]
fn should_take_addresses_by_the_width_of_the_memory() {
    let (narrow, wide) = (import_signature(false, "msg_arg_data_copy"), import_signature(true, "msg_arg_data_copy"));
    assert_eq!(narrow.unwrap().0, [ValType::I32; 3]);
    assert_eq!(wide.unwrap().0, [ValType::I64; 3]);
    assert_eq!(import_signature(true, "call_perform").unwrap().1, [ValType::I32]);
}

/// Runs a body that builds its reply in the first bytes of memory, `size` of them.
fn answer(imports: &str, body: &str, size: usize, environment: Environment) -> Vec<u8> {
    let body = format!("{body} (call $append (i32.const 0) (i32.const {size})) (call $reply)");
    reply(&run_body(imports, &body, environment).result.unwrap()).to_vec()
}

fn cycles(bytes: &[u8]) -> Cycles {
    Cycles::from_le_bytes(bytes.try_into().unwrap())
}

#[track_caller]
fn violates(outcome: Outcome, text: &str) {
    let error = outcome.result.unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterContractViolation, "{error}");
    assert!(error.description.contains(text), "{error}");
}

#[test]
fn should_copy_the_argument_and_answer_once() {
    let imports = "msg_arg_data_size (result i32)\nmsg_arg_data_copy (param i32 i32 i32)\nmsg_reject (param i32 i32)";
    let with_argument = || Environment { argument: b"hello".to_vec(), ..environment() };
    let copied = answer(
        imports,
        "(call $msg_arg_data_copy (i32.const 0) (i32.const 1) (i32.sub (call $msg_arg_data_size) (i32.const 1)))",
        4,
        with_argument(),
    );
    assert_eq!(copied, b"ello");
    let past = "(call $msg_arg_data_copy (i32.const 0) (i32.const 1) (i32.const 5))";
    violates(run_body(imports, past, with_argument()), "exceeds the slice size=5");
    violates(run_body(imports, "(call $reply) (call $reply)", environment()), "already replied");
    violates(
        run_body(imports, "(call $reply) (call $msg_reject (i32.const 0) (i32.const 0))", environment()),
        "already",
    );
    violates(run_body(imports, "(call $reply)", Environment { answered: true, ..environment() }), "already replied");
}

#[test]
fn should_cut_long_reject_messages() {
    let outcome = run_body(
        "msg_reject (param i32 i32)",
        "(memory.fill (i32.const 0) (i32.const 97) (i32.const 9000)) (call $msg_reject (i32.const 0) (i32.const 9000))",
        environment(),
    );
    let Some(Answer::Reject(RejectCode::CanisterReject, message)) = outcome.result.unwrap().answer else { panic!() };
    assert_eq!(message.len(), 8_192);
}

#[test]
fn should_limit_replies_by_the_kind_of_message() {
    let module = |bytes: usize| {
        wrap(
            "",
            &format!(
                "(drop (memory.grow (i32.const 50))) (call $append (i32.const 0) (i32.const {bytes})) (call $reply)"
            ),
        )
    };
    let query = |replicated| Entry::Query { method: "read".to_owned(), replicated };
    let mut at = install(&module(MAX_INTER_CANISTER_PAYLOAD));
    succeed(&mut at, &update("go"), Keep::Commit);
    let mut past = install(&module(MAX_INTER_CANISTER_PAYLOAD + 1));
    violates(
        run(&mut past, &update("go"), Keep::Commit),
        "application payload size (2097153) cannot be larger than 2097152",
    );
    violates(run(&mut past, &query(true), Keep::Discard), "cannot be larger than 2097152");
    succeed(&mut past, &query(false), Keep::Discard);
    let mut past = install(&module(MAX_QUERY_REPLY + 1));
    violates(run(&mut past, &query(false), Keep::Discard), "cannot be larger than 3145728");
}

/// Calls `go` of canister `abc`, after what `prepare` does.
fn call(prepare: &str) -> String {
    format!(
        r#"(i32.store (i32.const 0) (i32.const 0x636261)) (i32.store (i32.const 4) (i32.const 0x6f67))
           (call $call_new (i32.const 0) (i32.const 3) (i32.const 4) (i32.const 2)
               (i32.const 1) (i32.const 11) (i32.const 2) (i32.const 22))
           {prepare}
           (i32.store (i32.const 100) (call $call_perform))
           (call $append (i32.const 100) (i32.const 4)) (call $reply)"#
    )
}

const CALL_IMPORTS: &str = "call_new (param i32 i32 i32 i32 i32 i32 i32 i32)
    call_on_cleanup (param i32 i32)
    call_data_append (param i32 i32)
    call_with_best_effort_response (param i32)
    call_cycles_add128 (param i64 i64)
    call_perform (result i32)
    canister_cycle_balance128 (param i32)
    cost_call (param i64 i64 i32)";

fn performed(effects: &Effects) -> u8 {
    reply(effects)[0]
}

#[test]
fn should_make_a_call_with_all_its_parts() {
    let body = call(
        "(call $call_data_append (i32.const 0) (i32.const 3)) (call $call_on_cleanup (i32.const 3) (i32.const 33))
         (call $call_cycles_add128 (i64.const 0) (i64.const 500)) (call $call_with_best_effort_response (i32.const 900))",
    );
    let effects = run_body(CALL_IMPORTS, &body, environment()).result.unwrap();
    assert_eq!(performed(&effects), 0);
    let [made] = &effects.calls[..] else { panic!("{effects:?}") };
    assert_eq!(made.receiver, Principal::from_slice(b"abc"));
    assert_eq!((made.method.as_str(), &made.payload[..], made.cycles), ("go", &b"abc"[..], 500));
    assert_eq!(made.on_reply, Closure { function: 1, environment: 11 });
    assert_eq!(made.on_reject, Closure { function: 2, environment: 22 });
    assert_eq!(made.on_cleanup, Some(Closure { function: 3, environment: 33 }));
    assert_eq!(made.timeout_seconds, Some(300));
    assert_eq!(made.prepayment, CALL_COST + 3_000);
}

#[test]
fn should_charge_for_a_call_what_cost_call_says() {
    let body = "(call $canister_cycle_balance128 (i32.const 200))
        (call $cost_call (i64.const 2) (i64.const 0) (i32.const 232))";
    let body = format!(
        "{body} {} (call $canister_cycle_balance128 (i32.const 216))",
        call("").replace("(call $append (i32.const 100) (i32.const 4)) (call $reply)", "")
    );
    let body = format!("{body} (call $append (i32.const 200) (i32.const 48)) (call $reply)");
    let effects = run_body(CALL_IMPORTS, &body, environment()).result.unwrap();
    let [before, after, cost] = [0, 16, 32].map(|start| cycles(&reply(&effects)[start..start + 16]));
    assert_eq!((before, cost), (environment().balance, CALL_COST));
    assert_eq!(before - after, cost);
}

#[test]
fn should_perform_a_call_with_just_enough_cycles_and_not_with_one_less() {
    let threshold = {
        let response = MAX_INTER_CANISTER_PAYLOAD as u64;
        let heap = Holdings { memory_usage: 65_536, message_memory: response, ..environment().holdings };
        environment().cost_model.freezing_threshold(&heap)
    };
    let body = call("(call $call_cycles_add128 (i64.const 0) (i64.const 500))");
    for (balance, result) in [(threshold + CALL_COST + 500, 0), (threshold + CALL_COST + 499, 2)] {
        let effects = run_body(CALL_IMPORTS, &body, Environment { balance, ..environment() }).result.unwrap();
        assert_eq!((performed(&effects), effects.calls.len()), (result, usize::from(result == 0)));
    }
    let empty =
        environment().cost_model.freezing_threshold(&Holdings { memory_usage: 65_536, ..environment().holdings });
    let too_poor = run_body(CALL_IMPORTS, &body, Environment { balance: empty + 499, ..environment() });
    assert_eq!(too_poor.result.unwrap_err().code, ErrorCode::InsufficientCyclesInCall);
}

#[test]
fn should_not_perform_calls_past_queue_or_callbacks() {
    let body = call("");
    let none = Environment { callbacks_available: 0, ..environment() };
    assert_eq!(performed(&run_body(CALL_IMPORTS, &body, none).result.unwrap()), 2);
    let crowded = Environment { response_memory_available: (2 << 20) - 1, ..environment() };
    assert_eq!(performed(&run_body(CALL_IMPORTS, &body, crowded).result.unwrap()), 2);
    let roomy = Environment { response_memory_available: 2 << 20, ..environment() };
    assert_eq!(performed(&run_body(CALL_IMPORTS, &body, roomy).result.unwrap()), 0);
    let best_effort = call("(call $call_with_best_effort_response (i32.const 10))");
    let crowded = Environment { response_memory_available: 0, ..environment() };
    assert_eq!(performed(&run_body(CALL_IMPORTS, &best_effort, crowded).result.unwrap()), 0);
    let full = Environment { queue_slots: vec![(Principal::from_slice(b"abc"), 0)], ..environment() };
    assert_eq!(performed(&run_body(CALL_IMPORTS, &body, full).result.unwrap()), 2);
    let twice = format!("{} {body}", body.replace("(call $append (i32.const 100) (i32.const 4)) (call $reply)", ""));
    let one = Environment { queue_slots: vec![(Principal::from_slice(b"abc"), 1)], ..environment() };
    let effects = run_body(CALL_IMPORTS, &twice, one).result.unwrap();
    assert_eq!((performed(&effects), effects.calls.len()), (2, 1));
}

#[test]
fn should_hold_callers_to_the_order_of_a_call() {
    let trap = |body: &str, text| violates(run_body(CALL_IMPORTS, body, environment()), text);
    trap("(drop (call $call_perform))", "call_perform called when no call is under construction");
    trap("(call $call_data_append (i32.const 0) (i32.const 0))", "no call is under construction");
    trap("(call $call_cycles_add128 (i64.const 0) (i64.const 0))", "no call is under construction");
    let cleanup = "(call $call_on_cleanup (i32.const 3) (i32.const 33))";
    trap(&call(&format!("{cleanup} {cleanup}")), "at most once");
    let timeout = "(call $call_with_best_effort_response (i32.const 0))";
    trap(&call(&format!("{timeout} {timeout}")), "a timeout was set already");
}

#[test]
fn should_give_cycles_of_a_dropped_call_back() {
    let new = "(call $call_new (i32.const 0) (i32.const 3) (i32.const 4) (i32.const 0)
        (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1))";
    let body = format!(
        "{new} (call $call_cycles_add128 (i64.const 0) (i64.const 700)) {new} (call $canister_cycle_balance128 (i32.const 0))"
    );
    assert_eq!(cycles(&answer(CALL_IMPORTS, &body, 16, environment())), environment().balance);
}

#[test]
fn should_accept_burn_and_show_cycles() {
    let imports = "msg_cycles_available128 (param i32)
        msg_cycles_accept128 (param i64 i64 i32)
        cycles_burn128 (param i64 i64 i32)
        canister_liquid_cycle_balance128 (param i32)
        mint_cycles128 (param i64 i64 i32)";
    let body = "(call $msg_cycles_accept128 (i64.const 0) (i64.const 30) (i32.const 0))
        (call $msg_cycles_accept128 (i64.const 1) (i64.const 0) (i32.const 16))
        (call $msg_cycles_available128 (i32.const 32))
        (call $canister_liquid_cycle_balance128 (i32.const 48))
        (call $cycles_burn128 (i64.const 1) (i64.const 0) (i32.const 64))
        (call $append (i32.const 0) (i32.const 80)) (call $reply)";
    let outcome = run_body(imports, body, Environment { cycles_available: 100, ..environment() });
    let effects = outcome.result.unwrap();
    let shown: Vec<Cycles> = reply(&effects).chunks(16).map(cycles).collect();
    assert_eq!(shown[..3], [30, 70, 0]);
    assert!(shown[3] < environment().balance + 100 && shown[3] == shown[4]);
    assert_eq!((effects.cycles_accepted, effects.cycles_burned), (100, shown[4]));
    let mint = "(call $mint_cycles128 (i64.const 0) (i64.const 5) (i32.const 0))";
    violates(run_body(imports, mint, environment()), "cycles minting canister");
    let minted = run_body(imports, mint, Environment { may_mint: true, ..environment() });
    assert_eq!(minted.result.unwrap().cycles_minted, 5);
}

#[test]
fn should_stop_memory_growth_that_the_balance_does_not_carry() {
    for body in ["(drop (memory.grow (i32.const 1000)))", "(drop (call $stable64_grow (i64.const 1000)))"] {
        let poor = Environment { balance: 1_000_000, ..environment() };
        let outcome = run_body("stable64_grow (param i64) (result i64)", body, poor);
        assert_eq!(outcome.result.unwrap_err().code, ErrorCode::InsufficientCyclesInMemoryGrow);
    }
}

/// A subnet so full that memory asks for cycles to be set aside.
const CROWDED: u64 = STORAGE_RESERVATION_THRESHOLD_BYTES + (100 << 30);
/// Ways to grow memory by so many pages.
const GROWTHS: [&str; 2] = ["(drop (memory.grow (i32.const PAGES)))", "(drop (call $stable64_grow (i64.const PAGES)))"];

fn growth(body: &str, pages: u64) -> String {
    body.replace("PAGES", &pages.to_string())
}

const GROWING_IMPORTS: &str = "stable64_grow (param i64) (result i64)
    canister_cycle_balance128 (param i32)
    canister_liquid_cycle_balance128 (param i32)";

/// Runs a body that may grow memory.
fn grow(body: &str, environment: Environment) -> Outcome {
    run_body(GROWING_IMPORTS, body, environment)
}

/// Returns what is to be set aside for so many pages on a subnet that takes so many bytes.
fn reservation(subnet_memory: u64, pages: u64) -> Cycles {
    environment().cost_model.storage_reservation(subnet_memory, pages << 16)
}

/// An environment on a crowded subnet that wants nothing beyond what is set aside.
fn crowded() -> Environment {
    let holdings = Holdings { freezing_threshold: 0, ..environment().holdings };
    Environment { subnet_memory: CROWDED, holdings, ..environment() }
}

#[test]
fn should_set_cycles_aside_for_memory_on_a_crowded_subnet_only() {
    for body in GROWTHS {
        let body = growth(body, 100);
        for (subnet_memory, expected) in [
            (0, 0),
            (STORAGE_RESERVATION_THRESHOLD_BYTES - (100 << 16), 0),
            (STORAGE_RESERVATION_THRESHOLD_BYTES, reservation(STORAGE_RESERVATION_THRESHOLD_BYTES, 100)),
            (CROWDED, reservation(CROWDED, 100)),
        ] {
            let effects = grow(&body, Environment { subnet_memory, ..environment() }).result.unwrap();
            assert_eq!(effects.cycles_reserved, expected, "{body} at {subnet_memory}");
        }
    }
    assert!(reservation(CROWDED, 100) > 20_000_000_000);
}

#[test]
fn should_show_the_balance_without_what_is_set_aside() {
    let body = format!(
        "{} (call $canister_cycle_balance128 (i32.const 0)) (call $canister_liquid_cycle_balance128 (i32.const 16))
         (call $append (i32.const 0) (i32.const 32)) (call $reply)",
        growth(GROWTHS[1], 100)
    );
    let effects = grow(&body, Environment { subnet_memory: CROWDED, ..environment() }).result.unwrap();
    let [balance, liquid] = [0, 16].map(|start| cycles(&reply(&effects)[start..start + 16]));
    assert_eq!(balance, environment().balance - reservation(CROWDED, 100));
    assert_eq!(liquid, balance, "what is set aside pays the freezing threshold");
}

#[test]
fn should_add_up_what_several_growths_of_a_message_ask_for() {
    let body = format!("{}{}{}", growth(GROWTHS[0], 30), growth(GROWTHS[1], 50), growth(GROWTHS[0], 20));
    let effects = grow(&body, crowded()).result.unwrap();
    assert_eq!(effects.cycles_reserved, reservation(CROWDED, 100));
    let limit = reservation(CROWDED, 100) - 1;
    let error = grow(&body, Environment { reserved_cycles_limit: limit, ..crowded() }).result.unwrap_err();
    assert_eq!(error.code, ErrorCode::ReservedCyclesLimitExceededInMemoryGrow);
    assert!(error.description.contains(&format!("by {} bytes", 20 << 16)), "{error}");
}

#[test]
fn should_set_nothing_aside_for_memory_that_is_allocated() {
    // One page is there before.
    for (allocation, pages) in [(0, 100), (1 << 16, 100), (2 << 16, 99), (100 << 16, 1), (101 << 16, 0), (1 << 40, 0)] {
        let holdings = Holdings { memory_allocation: allocation, ..crowded().holdings };
        for body in GROWTHS {
            let effects = grow(&growth(body, 100), Environment { holdings, ..crowded() }).result.unwrap();
            assert_eq!(effects.cycles_reserved, reservation(CROWDED, pages), "{body} with {allocation}");
        }
    }
}

#[test]
fn should_set_no_more_aside_than_the_limit_of_the_settings() {
    let price = reservation(CROWDED, 100);
    let with = |reserved_balance, reserved_cycles_limit| {
        let holdings = Holdings { reserved_balance, ..crowded().holdings };
        Environment { holdings, reserved_cycles_limit, ..crowded() }
    };
    for body in GROWTHS {
        let body = growth(body, 100);
        assert_eq!(grow(&body, with(0, price)).result.unwrap().cycles_reserved, price);
        assert_eq!(grow(&body, with(5, price + 5)).result.unwrap().cycles_reserved, price);
        let error = grow(&body, with(5, price + 4)).result.unwrap_err();
        assert_eq!(error.code, ErrorCode::ReservedCyclesLimitExceededInMemoryGrow);
        let expected = format!(
            "Error from Canister {}: Canister cannot grow memory by 6553600 bytes due to its reserved cycles limit. The \
             current limit ({}) would be exceeded by 1.",
            canister(),
            price + 4
        );
        assert_eq!(error.description, expected);
    }
}

#[test]
fn should_end_messages_that_cannot_pay_for_what_is_to_be_set_aside() {
    let price = reservation(CROWDED, 100);
    for body in GROWTHS {
        let body = growth(body, 100);
        assert_eq!(grow(&body, Environment { balance: price, ..crowded() }).result.unwrap().cycles_reserved, price);
        let error = grow(&body, Environment { balance: price - 1, ..crowded() }).result.unwrap_err();
        assert_eq!(error.code, ErrorCode::InsufficientCyclesInMemoryGrow);
        assert!(error.description.contains("At least 1 additional cycles"), "{error}");
    }
}

#[test]
fn should_not_grow_past_what_the_subnet_has() {
    let body = "(i64.store (i32.const 0) (call $stable64_grow (i64.const 3)))
        (i64.store (i32.const 8) (i64.extend_i32_s (memory.grow (i32.const 2))))
        (i64.store (i32.const 16) (i64.extend_i32_s (memory.grow (i32.const 1))))
        (i64.store (i32.const 24) (call $stable64_grow (i64.const 1)))
        (i64.store (i32.const 32) (i64.extend_i32_s (memory.size)))";
    let subnet_memory = SUBNET_MEMORY_CAPACITY_BYTES - (4 << 16);
    let bytes = answer(GROWING_IMPORTS, body, 40, Environment { subnet_memory, ..crowded() });
    let numbers: Vec<_> = bytes.chunks(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(numbers, [0, -1, 1, -1, 2], "four pages are left, of which both kinds of memory take");
}

/// Grows by 100 pages in every mode.
const GROWER: &str = r#"(module
    (import "ic0" "stable64_grow" (func $stable_grow (param i64) (result i64)))
    (memory 1) (table 1 funcref) (elem (i32.const 0) $callback)
    (func $grow (drop (memory.grow (i32.const 60))) (drop (call $stable_grow (i64.const 40))))
    (func $callback (param i32) (call $grow))
    (func (export "canister_init") (call $grow))
    (func (export "canister_pre_upgrade") (call $grow))
    (func (export "canister_post_upgrade") (call $grow))
    (func (export "canister_inspect_message") (call $grow))
    (func (export "canister_heartbeat") (call $grow))
    (func (export "canister_global_timer") (call $grow))
    (func (export "canister_on_low_wasm_memory") (call $grow))
    (func (export "canister_update go") (call $grow))
    (func (export "canister_query read") (call $grow))
    (func (export "canister_composite_query compose") (call $grow)))"#;

#[test]
fn should_set_cycles_aside_where_changes_are_kept() {
    let closure = Closure { function: 0, environment: 0 };
    let answers = [Answer::Reply(Vec::new()), Answer::Reject(RejectCode::CanisterError, String::new())];
    let call_back =
        |answer: &Answer, composite| Entry::Callback { closure, answer: answer.clone(), refunded: 0, composite };
    let clean_up = |composite| Entry::Cleanup { closure, answer: answers[1].clone(), composite };
    let read = |replicated| Entry::Query { method: "read".to_owned(), replicated };
    let compose = Entry::CompositeQuery { method: "compose".to_owned() };
    let inspect = Entry::InspectMessage { method: "go".to_owned() };
    // Which entries set cycles aside, and which of them obey the freezing threshold.
    let obeying = [update("go"), Entry::Heartbeat, Entry::GlobalTimer, Entry::OnLowWasmMemory];
    let taking = [call_back(&answers[0], false), call_back(&answers[1], false), clean_up(false)];
    let installing = [Entry::Init, Entry::PreUpgrade, Entry::PostUpgrade];
    let passing = [inspect, read(true), read(false), compose, call_back(&answers[0], true), clean_up(true)];
    let entries =
        [(&obeying[..], true, true), (&taking, true, false), (&installing, false, false), (&passing, false, false)];
    let poor = || Environment { balance: 0, ..environment() };
    for (entries, takes, obeys) in entries {
        for entry in entries {
            let effects = install(GROWER).execute(entry, crowded(), Keep::Discard).result.unwrap();
            let expected = if takes { reservation(CROWDED, 100) } else { 0 };
            assert_eq!(effects.cycles_reserved, expected, "{entry:?}");
            let frozen = install(GROWER).execute(entry, poor(), Keep::Discard).result;
            let expected = obeys.then_some(ErrorCode::InsufficientCyclesInMemoryGrow);
            assert_eq!(frozen.err().map(|error| error.code), expected, "{entry:?}");
        }
    }
}

#[test]
fn should_show_callbacks_what_came_back() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "msg_reject_code" (func $code (result i32)))
            (import "ic0" "msg_reject_msg_size" (func $size (result i32)))
            (import "ic0" "msg_reject_msg_copy" (func $copy (param i32 i32 i32)))
            (import "ic0" "msg_arg_data_copy" (func $argument (param i32 i32 i32)))
            (import "ic0" "msg_cycles_refunded128" (func $refunded (param i32)))
            (memory 1) (table 2 funcref) (elem (i32.const 0) $on_reply $on_reject)
            (func $on_reply (param i32)
                (i32.store8 (i32.const 0) (local.get 0))
                (i32.store8 (i32.const 1) (call $code))
                (call $argument (i32.const 2) (i32.const 0) (i32.const 2))
                (call $refunded (i32.const 4))
                (call $append (i32.const 0) (i32.const 20)) (call $reply))
            (func $on_reject (param i32)
                (i32.store8 (i32.const 0) (call $code))
                (call $copy (i32.const 1) (i32.const 0) (call $size))
                (call $append (i32.const 0) (i32.const 5)) (call $reply)))"#,
    );
    let closure = Closure { function: 0, environment: 9 };
    let answer = Answer::Reply(b"ok".to_vec());
    let entry = Entry::Callback { closure, answer, refunded: 258, composite: false };
    let mut expected = vec![9, 0, b'o', b'k', 2, 1];
    expected.resize(20, 0);
    assert_eq!(reply(&succeed(&mut sandbox, &entry, Keep::Commit)), expected);
    let reject = callback(1, 0, Answer::Reject(RejectCode::DestinationInvalid, "gone".to_owned()));
    assert_eq!(reply(&succeed(&mut sandbox, &reject, Keep::Commit)), b"\x03gone");
}

#[test]
fn should_refuse_functions_outside_their_modes() {
    let mut sandbox = install(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "time" (func $time (result i64)))
            (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
            (import "ic0" "accept_message" (func $accept))
            (import "ic0" "root_key_size" (func $root (result i32)))
            (memory 1)
            (func $start (drop (call $time))) (start $start)
            (func (export "canister_init") (call $reply))
            (func (export "canister_inspect_message") (call $accept) (call $accept))
            (func (export "canister_query certify") (call $certify (i32.const 0) (i32.const 0)))
            (func (export "canister_composite_query root") (drop (call $root))))"#,
    );
    let query = Entry::Query { method: "certify".to_owned(), replicated: false };
    let cases = [
        (Entry::Start, "\"ic0_time\" cannot be executed in start mode"),
        (Entry::Init, "\"ic0_msg_reply\" cannot be executed in init mode"),
        (Entry::InspectMessage { method: "x".to_owned() }, "accept_message: the function was already called"),
        (query, "\"ic0_certified_data_set\" cannot be executed in non replicated query mode"),
        (
            Entry::CompositeQuery { method: "root".to_owned() },
            "\"ic0_root_key_size\" cannot be executed in composite query mode",
        ),
    ];
    for (entry, text) in cases {
        violates(run(&mut sandbox, &entry, Keep::Commit), text);
    }
}

#[test]
fn should_tell_who_and_when() {
    let imports = "time (result i64)\ncanister_version (result i64)\ncanister_status (result i32)
        is_controller (param i32 i32) (result i32)
        canister_self_copy (param i32 i32 i32)\nin_replicated_execution (result i32)
        subnet_self_node_count (result i32)\nperformance_counter (param i32) (result i64)";
    let body = "(i64.store (i32.const 0) (call $time)) (i64.store (i32.const 8) (call $canister_version))
        (i32.store8 (i32.const 16) (call $canister_status))
        (i32.store8 (i32.const 30) (i32.const 4))
        (i32.store8 (i32.const 17) (call $is_controller (i32.const 30) (i32.const 1)))
        (i32.store8 (i32.const 18) (call $is_controller (i32.const 30) (i32.const 2)))
        (i32.store8 (i32.const 19) (call $in_replicated_execution))
        (i32.store8 (i32.const 20) (call $subnet_self_node_count))
        (call $canister_self_copy (i32.const 21) (i32.const 0) (i32.const 10))";
    let answer = answer(imports, body, 31, environment());
    assert_eq!(answer[..8], 1_000_u64.to_le_bytes());
    assert_eq!(answer[8..16], 7_u64.to_le_bytes());
    assert_eq!(answer[16..21], [1, 1, 0, 1, 13]);
    assert_eq!(&answer[21..31], canister().as_slice());
    violates(
        run_body(imports, "(drop (call $is_controller (i32.const 0) (i32.const 30)))", environment()),
        "exceeds the limit 29",
    );
    violates(
        run_body(imports, "(drop (call $performance_counter (i32.const 2)))", environment()),
        "no counter of type 2",
    );
}

#[test]
fn should_read_environment_variables() {
    let imports = "env_var_count (result i32)\nenv_var_name_copy (param i32 i32 i32 i32)
        env_var_name_exists (param i32 i32) (result i32)\nenv_var_value_size (param i32 i32) (result i32)
        env_var_value_copy (param i32 i32 i32 i32 i32)";
    let body = "(i32.store8 (i32.const 50) (i32.const 98)) (i32.store8 (i32.const 51) (i32.const 99))
        (i32.store8 (i32.const 0) (call $env_var_count))
        (call $env_var_name_copy (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 1))
        (i32.store8 (i32.const 2) (call $env_var_name_exists (i32.const 50) (i32.const 1)))
        (i32.store8 (i32.const 3) (call $env_var_name_exists (i32.const 51) (i32.const 1)))
        (i32.store8 (i32.const 4) (call $env_var_value_size (i32.const 50) (i32.const 1)))
        (call $env_var_value_copy (i32.const 50) (i32.const 1) (i32.const 5) (i32.const 0) (i32.const 3))";
    assert_eq!(answer(imports, body, 8, environment()), b"\x02b\x01\x00\x03two");
    let trap = |body: &str, text| violates(run_body(imports, body, environment()), text);
    trap(
        "(call $env_var_name_copy (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0))",
        "index 2 is out of bounds",
    );
    trap("(drop (call $env_var_value_size (i32.const 60) (i32.const 1)))", "no environment variable is named");
    trap("(drop (call $env_var_name_exists (i32.const 60) (i32.const 101)))", "exceeds the limit 100");
}

#[test]
fn should_set_timer_and_certified_data() {
    let imports = "global_timer_set (param i64) (result i64)\ncertified_data_set (param i32 i32)";
    let body = "(i64.store (i32.const 0) (call $global_timer_set (i64.const 5)))
        (i64.store (i32.const 8) (call $global_timer_set (i64.const 6)))
        (call $certified_data_set (i32.const 0) (i32.const 2))
        (call $append (i32.const 0) (i32.const 16)) (call $reply)";
    let effects = run_body(imports, body, Environment { global_timer: 4, ..environment() }).result.unwrap();
    assert_eq!((reply(&effects)[0], reply(&effects)[8]), (4, 5));
    assert_eq!((effects.global_timer, effects.certified_data), (Some(6), Some(vec![4, 0])));
    violates(
        run_body(imports, "(call $certified_data_set (i32.const 0) (i32.const 33))", environment()),
        "exceeds the limit 32",
    );
}

#[test]
fn should_show_a_certificate_to_queries_that_have_one() {
    let imports = "data_certificate_present (result i32)\ndata_certificate_copy (param i32 i32 i32)";
    let body = "(i32.store8 (i32.const 0) (call $data_certificate_present))
        (call $data_certificate_copy (i32.const 1) (i32.const 0) (i32.const 3))
        (call $append (i32.const 0) (i32.const 4)) (call $reply)";
    let mut sandbox = install(&wrap(imports, body));
    let query = Entry::Query { method: "read".to_owned(), replicated: false };
    let with = Environment { data_certificate: Some(b"abc".to_vec()), ..environment() };
    assert_eq!(reply(&sandbox.execute(&query, with, Keep::Discard).result.unwrap()), b"\x01abc");
    violates(sandbox.execute(&query, environment(), Keep::Discard), "there is no certificate");
}

#[test]
fn should_tell_what_other_things_cost() {
    let imports = "cost_create_canister (param i32)\ncost_http_request (param i64 i64 i32)
        cost_sign_with_ecdsa (param i32 i32 i32 i32) (result i32)";
    let body = "(i64.store (i32.const 80) (i64.const 0x315f79656b))
        (call $cost_create_canister (i32.const 0))
        (call $cost_http_request (i64.const 10) (i64.const 20) (i32.const 16))
        (i32.store8 (i32.const 48) (call $cost_sign_with_ecdsa (i32.const 80) (i32.const 5) (i32.const 0) (i32.const 32)))
        (i32.store8 (i32.const 49) (call $cost_sign_with_ecdsa (i32.const 80) (i32.const 5) (i32.const 1) (i32.const 32)))
        (i32.store8 (i32.const 50) (call $cost_sign_with_ecdsa (i32.const 80) (i32.const 4) (i32.const 0) (i32.const 32)))";
    let answer = answer(imports, body, 51, environment());
    assert_eq!(cycles(&answer[..16]), 500_000_000_000);
    assert_eq!(cycles(&answer[16..32]), (3_000_000 + 60_000 * 13 + 400 * 10 + 800 * 20) * 13);
    assert_eq!(cycles(&answer[32..48]), 10_000_000_000);
    assert_eq!(answer[48..], [0, 1, 2]);
}
