//! Cycles that are set aside for memory that grows while messages are executed, on a subnet that is filling up.

use candid::{Decode, Encode, Principal};
use ic_management_canister_types::{CanisterIdRecord, CanisterStatusResult};

use super::{
    fixture::{BALANCE, actor, call, inside, install, network, query, state, to, total, update},
    rounds::{SLICES, WORKER},
    saved::reload,
};
use crate::{
    checkpoint::tests::Folder, cycles::STORAGE_RESERVATION_THRESHOLD_BYTES, error::ErrorCode, message::Cycles,
    network::Network,
};

/// Bytes that every `grow` of the grower takes.
const GROWTH: u64 = 100 << 16;

/// A canister whose methods, callbacks and tasks grow heap and stable memory by [`GROWTH`]. Methods that call take the
/// called canister (10 bytes) and the method name. Its counter, in the heap, counts what grew.
const GROWER: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "stable64_grow" (func $stable_grow (param i64) (result i64)))
    (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_on_cleanup" (func $call_on_cleanup (param i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (import "ic0" "global_timer_set" (func $timer_set (param i64) (result i64)))
    (memory 1)
    (table 3 funcref)
    (elem (i32.const 0) $on_answer $trap $clean_up)
    (func $grow
        (drop (memory.grow (i32.const 60)))
        (drop (call $stable_grow (i64.const 40)))
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (func $call (param $callback i32)
        (call $arg_copy (i32.const 16) (i32.const 0) (call $arg_size))
        (call $call_new (i32.const 16) (i32.const 10)
            (i32.const 26) (i32.sub (call $arg_size) (i32.const 10))
            (local.get $callback) (i32.const 0) (local.get $callback) (i32.const 0)))
    (func $on_answer (param i32) (call $grow) (call $reply))
    (func $trap (param i32) (call $grow) (unreachable))
    (func $clean_up (param i32) (call $grow))
    (func (export "canister_update grow") (call $grow) (call $reply))
    (func (export "canister_update grow_then_trap") (call $grow) (unreachable))
    (func (export "canister_update call") (call $call (i32.const 0)) (drop (call $perform)))
    (func (export "canister_update call_then_trap")
        (call $call (i32.const 1))
        (call $call_on_cleanup (i32.const 2) (i32.const 0))
        (drop (call $perform)))
    (func (export "canister_update set_timer") (drop (call $timer_set (i64.const 1))) (call $reply))
    (func (export "canister_global_timer") (call $grow))
    (func (export "canister_query look") (call $grow) (call $reply))
    (func (export "canister_query state") (call $append (i32.const 0) (i32.const 4)) (call $reply)))"#;

/// Lets another canister allocate so much that 100 GiB more are taken than those that ask for no cycles.
fn fill(network: &mut Network) -> Principal {
    let filler = install(network, 0, "(module)");
    let canister = inside(network, filler);
    canister.settings.memory_allocation = STORAGE_RESERVATION_THRESHOLD_BYTES + (100 << 30);
    canister.settings.freezing_threshold = 0;
    filler
}

fn grower(network: &mut Network) -> Principal {
    install(network, 0, GROWER)
}

/// Returns what so many bytes ask for in addition to what the first subnet takes.
fn reservation(network: &Network, bytes: u64) -> Cycles {
    let subnet = &network.subnets[&network.order[0]];
    subnet.cost_model.storage_reservation(subnet.memory_taken(), bytes)
}

fn reserved(network: &mut Network, canister: Principal) -> Cycles {
    inside(network, canister).reserved_balance
}

#[test]
fn should_set_nothing_aside_on_a_subnet_with_room() {
    let mut network = network(1);
    let a = grower(&mut network);
    inside(&mut network, a).settings.reserved_cycles_limit = 0;
    update(&mut network, a, "grow", vec![]).unwrap();
    assert_eq!((state(&mut network, a), reserved(&mut network, a)), (1, 0));
}

#[test]
fn should_end_messages_that_would_set_more_aside_than_the_limit() {
    let mut network = network(1);
    fill(&mut network);
    let a = grower(&mut network);
    let all = total(&network);
    let price = reservation(&network, GROWTH);
    for limit in [0, price - 1] {
        let canister = inside(&mut network, a);
        canister.settings.reserved_cycles_limit = limit;
        let before = (canister.memory_usage(), canister.version);
        let error = update(&mut network, a, "grow", vec![]).unwrap_err();
        assert_eq!(error.code, ErrorCode::ReservedCyclesLimitExceededInMemoryGrow);
        let canister = inside(&mut network, a);
        assert_eq!((canister.memory_usage(), canister.version), before);
        assert_eq!((state(&mut network, a), reserved(&mut network, a)), (0, 0));
        assert!(network.cycles(a).unwrap() > BALANCE - 100_000_000, "only instructions are paid");
    }
    inside(&mut network, a).settings.reserved_cycles_limit = price;
    update(&mut network, a, "grow", vec![]).unwrap();
    assert_eq!((state(&mut network, a), reserved(&mut network, a)), (1, price));
    assert_eq!(total(&network), all);
}

#[test]
fn should_show_what_is_set_aside_in_the_status_and_count_it_for_the_freezing_threshold() {
    let mut network = network(1);
    fill(&mut network);
    let a = grower(&mut network);
    let price = reservation(&network, GROWTH);
    update(&mut network, a, "grow", vec![]).unwrap();
    let args = Encode!(&CanisterIdRecord { canister_id: a }).unwrap();
    let reply = update(&mut network, Principal::management_canister(), "canister_status", args).unwrap();
    let status = Decode!(&reply, CanisterStatusResult).unwrap();
    assert_eq!(status.reserved_cycles, price);
    let cost_model = network.subnets[&network.order[0]].cost_model;
    let canister = inside(&mut network, a);
    canister.settings.freezing_threshold *= 10;
    let holdings = canister.holdings();
    let without = crate::cycles::Holdings { reserved_balance: 0, ..holdings };
    let lowered = cost_model.freezing_threshold(&without) - cost_model.freezing_threshold(&holdings);
    assert_eq!(lowered, price);
    assert!(status.cycles < BALANCE - price);
}

#[test]
fn should_set_cycles_aside_in_callbacks_cleanups_and_timers() {
    let mut network = network(1);
    fill(&mut network);
    let (a, b) = (grower(&mut network), actor(&mut network, 0));
    let all = total(&network);
    let mut expected = 0;
    for (method, callee) in [("call", "echo"), ("call", "refuse"), ("call_then_trap", "echo")] {
        expected += reservation(&network, GROWTH);
        let answer = update(&mut network, a, method, to(b, callee));
        assert_eq!(answer.is_err(), method == "call_then_trap");
        assert_eq!(reserved(&mut network, a), expected, "{method} {callee}");
    }
    expected += reservation(&network, GROWTH);
    update(&mut network, a, "set_timer", vec![]).unwrap();
    network.tick();
    assert_eq!((state(&mut network, a), reserved(&mut network, a)), (4, expected));
    assert_eq!(total(&network), all);
}

#[test]
fn should_end_callbacks_that_would_set_more_aside_than_the_limit() {
    let mut network = network(1);
    fill(&mut network);
    let (a, b) = (grower(&mut network), actor(&mut network, 0));
    inside(&mut network, a).settings.reserved_cycles_limit = 0;
    let error = update(&mut network, a, "call", to(b, "echo")).unwrap_err();
    assert_eq!(error.code, ErrorCode::ReservedCyclesLimitExceededInMemoryGrow);
    let error = update(&mut network, a, "call_then_trap", to(b, "echo")).unwrap_err();
    assert!(error.description.contains("call_on_cleanup also failed"), "{error}");
    assert_eq!((state(&mut network, a), reserved(&mut network, a)), (0, 0));
}

#[test]
fn should_set_nothing_aside_for_what_is_undone() {
    let mut network = network(1);
    fill(&mut network);
    let (a, b) = (grower(&mut network), actor(&mut network, 0));
    update(&mut network, a, "grow_then_trap", vec![]).unwrap_err();
    query(&mut network, a, "look", vec![]).unwrap();
    update(&mut network, a, "look", vec![]).unwrap();
    update(&mut network, b, "call", to(a, "look")).unwrap();
    assert_eq!((state(&mut network, a), reserved(&mut network, a)), (0, 0));
}

/// Lets a message that grows memory by two pages take two rounds, and does something between them.
fn grow_meanwhile(between: impl FnOnce(&mut Network, Principal) -> Option<Network>) -> (Network, Principal, Cycles) {
    let mut network = network(1);
    fill(&mut network);
    let a = install(&mut network, 0, WORKER);
    let price = reservation(&network, 2 << 16);
    let long = network.submit_ingress(call(a, "work", SLICES[0].to_le_bytes().to_vec())).unwrap().0;
    network.tick();
    assert_eq!((state(&mut network, a), reserved(&mut network, a)), (0, 0));
    let mut network = between(&mut network, a).unwrap_or(network);
    network.tick();
    assert!(network.ingress_status(&long, None).unwrap().unwrap().is_ok());
    assert_eq!(state(&mut network, a), 1);
    (network, a, price)
}

#[test]
fn should_set_cycles_aside_when_a_long_message_ends() {
    let (mut network, a, price) = grow_meanwhile(|_, _| None);
    assert!(price > 0);
    assert_eq!(reserved(&mut network, a), price);
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_set_cycles_aside_for_a_long_message_that_was_saved() {
    let folder = Folder::new("reservation");
    let (mut network, a, price) = grow_meanwhile(|network, _| Some(reload(network, &folder).unwrap()));
    assert_eq!(reserved(&mut network, a), price);
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_set_cycles_aside_though_balance_and_limit_fell_while_a_long_message_ran() {
    let (mut network, a, price) = grow_meanwhile(|network, a| {
        let canister = inside(network, a);
        // What it prepaid for the message comes back, less what the message used.
        canister.balance = 0;
        canister.settings.reserved_cycles_limit = 0;
        None
    });
    let canister = inside(&mut network, a);
    assert_eq!(canister.reserved_balance, price);
    assert!((1..40_000_000_000).contains(&canister.balance));
}

#[test]
fn should_move_no_more_cycles_than_there_are() {
    let mut network = network(1);
    let a = grower(&mut network);
    let canister = inside(&mut network, a);
    (canister.balance, canister.reserved_balance) = (3, 7);
    canister.reserve(10);
    assert_eq!((canister.balance, canister.reserved_balance), (0, 10));
}

#[test]
fn should_ask_each_message_of_a_round_for_what_those_before_left() {
    let mut network = network(1);
    fill(&mut network);
    let growers = [grower(&mut network), grower(&mut network)];
    let expected = reservation(&network, 4 * GROWTH);
    assert!(expected > 2 * reservation(&network, 2 * GROWTH));
    for id in [growers[0], growers[1], growers[0], growers[1]] {
        network.submit_ingress(call(id, "grow", vec![])).unwrap();
    }
    network.tick();
    let all: Cycles = growers.map(|id| reserved(&mut network, id)).iter().sum();
    assert_eq!((state(&mut network, growers[0]), state(&mut network, growers[1])), (2, 2));
    assert_eq!(all, expected);
}
