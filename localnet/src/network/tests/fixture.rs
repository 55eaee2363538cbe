//! Networks with canisters in them, made without the management canister.

use std::sync::Arc;

use candid::Principal;
use pocket_ic::common::rest::{CanisterCyclesCostSchedule, SubnetSpec};

use crate::{
    canister::{Canister, Settings},
    error::UserResult,
    execution::{self, Memories, Sandbox},
    message::Cycles,
    network::{Call, Network, test_config},
};

/// Balance of a new canister.
pub(super) const BALANCE: Cycles = 10_000_000_000_000;

/// The canister of the tests. Methods that call take as argument the called canister (10 bytes) and the method name;
/// the payload of their calls is `ping`. The counter that `state` returns is at address 6000.
const ACTOR: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_reject" (func $reject (param i32 i32)))
    (import "ic0" "msg_reject_code" (func $reject_code (result i32)))
    (import "ic0" "msg_reject_msg_size" (func $reject_size (result i32)))
    (import "ic0" "msg_reject_msg_copy" (func $reject_copy (param i32 i32 i32)))
    (import "ic0" "msg_cycles_accept128" (func $accept (param i64 i64 i32)))
    (import "ic0" "msg_cycles_refunded128" (func $refunded (param i32)))
    (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_on_cleanup" (func $call_on_cleanup (param i32 i32)))
    (import "ic0" "call_data_append" (func $call_data (param i32 i32)))
    (import "ic0" "call_cycles_add128" (func $call_cycles (param i64 i64)))
    (import "ic0" "call_with_best_effort_response" (func $best_effort (param i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (import "ic0" "global_timer_set" (func $timer_set (param i64) (result i64)))
    (import "ic0" "accept_message" (func $accept_message))
    (import "ic0" "msg_method_name_size" (func $method_size (result i32)))
    (import "ic0" "cycles_burn128" (func $burn (param i64 i64 i32)))

    (memory 2)
    (table 8 funcref)
    (elem (i32.const 0) $on_reply $on_reject $bump_and_trap $add_100 $nothing $reply_refunded $trap_only)
    (data (i32.const 5000) "ping")
    (data (i32.const 5100) "no thanks")

    (func $start_call (param $reply i32) (param $reject i32)
        (call $arg_copy (i32.const 0) (i32.const 0) (call $arg_size))
        (call $call_new (i32.const 0) (i32.const 10)
            (i32.const 10) (i32.sub (call $arg_size) (i32.const 10))
            (local.get $reply) (i32.const 0) (local.get $reject) (i32.const 0))
        (call $call_data (i32.const 5000) (i32.const 4)))
    (func $must_perform
        (if (call $perform) (then (call $reject (i32.const 5100) (i32.const 9)))))
    (func $add (param $n i32)
        (i32.store (i32.const 6000) (i32.add (i32.load (i32.const 6000)) (local.get $n))))

    ;; Callbacks.
    (func $on_reply (param i32)
        (call $arg_copy (i32.const 1000) (i32.const 0) (call $arg_size))
        (call $append (i32.const 1000) (call $arg_size))
        (call $reply))
    (func $on_reject (param i32)
        (i32.store8 (i32.const 1000) (i32.add (i32.const 48) (call $reject_code)))
        (call $reject_copy (i32.const 1001) (i32.const 0) (call $reject_size))
        (call $append (i32.const 1000) (i32.add (i32.const 1) (call $reject_size)))
        (call $reply))
    (func $bump_and_trap (param i32) (call $add (i32.const 1)) (unreachable))
    (func $add_100 (param i32) (call $add (i32.const 100)))
    (func $nothing (param i32))
    (func $reply_refunded (param i32)
        (call $refunded (i32.const 1000))
        (call $append (i32.const 1000) (i32.const 16))
        (call $reply))
    (func $trap_only (param i32) (unreachable))

    ;; Methods that call.
    (func (export "canister_update call")
        (call $start_call (i32.const 0) (i32.const 1)) (call $must_perform))
    (func (export "canister_update call_with_cycles")
        (call $start_call (i32.const 5) (i32.const 5))
        (call $call_cycles (i64.const 0) (i64.const 1000))
        (call $must_perform))
    (func (export "canister_update call_best_effort")
        (call $start_call (i32.const 0) (i32.const 1))
        (call $best_effort (i32.const 1))
        (call $call_cycles (i64.const 0) (i64.const 1000))
        (call $must_perform))
    (func (export "canister_update call_then_trap")
        (call $start_call (i32.const 2) (i32.const 2))
        (call $call_on_cleanup (i32.const 3) (i32.const 0))
        (call $must_perform))
    (func (export "canister_update call_then_trap_twice")
        (call $start_call (i32.const 2) (i32.const 2))
        (call $call_on_cleanup (i32.const 6) (i32.const 0))
        (call $must_perform))
    (func (export "canister_update call_then_nothing")
        (call $start_call (i32.const 4) (i32.const 4)) (call $must_perform))
    (func (export "canister_update call_missing_callback")
        (call $start_call (i32.const 999) (i32.const 999)) (call $must_perform))
    (func (export "canister_update call_then_die")
        (call $start_call (i32.const 0) (i32.const 1)) (call $must_perform) (unreachable))
    (func (export "canister_update call_big") (local $n i32)
        (call $start_call (i32.const 0) (i32.const 1))
        (loop $again
            (call $call_data (i32.const 65536) (i32.const 65536))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 32))))
        (call $must_perform))
    (func $start_forward (local $callee i32) (local $name i32) (local $payload i32)
        (call $arg_copy (i32.const 20000) (i32.const 0) (call $arg_size))
        (local.set $callee (i32.load8_u (i32.const 20000)))
        (local.set $name (i32.load8_u (i32.add (i32.const 20001) (local.get $callee))))
        (local.set $payload (i32.add (i32.const 20002) (i32.add (local.get $callee) (local.get $name))))
        (call $call_new (i32.const 20001) (local.get $callee)
            (i32.add (i32.const 20002) (local.get $callee)) (local.get $name)
            (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
        (call $call_data (local.get $payload)
            (i32.sub (i32.add (i32.const 20000) (call $arg_size)) (local.get $payload))))
    (func (export "canister_update forward") (call $start_forward) (call $must_perform))
    (func (export "canister_update forward_with_cycles")
        (call $start_forward)
        (call $call_cycles (i64.const 0) (i64.const 1000000000000))
        (call $must_perform))
    (func (export "canister_composite_query relay")
        (call $start_call (i32.const 0) (i32.const 1)) (call $must_perform))
    (func (export "canister_composite_query relay_then_nothing")
        (call $add (i32.const 7))
        (call $start_call (i32.const 4) (i32.const 4)) (call $must_perform))
    (func (export "canister_composite_query relay_then_trap")
        (call $start_call (i32.const 2) (i32.const 2))
        (call $call_on_cleanup (i32.const 3) (i32.const 0))
        (call $must_perform))

    ;; Methods that are called.
    (func (export "canister_update echo")
        (call $arg_copy (i32.const 1000) (i32.const 0) (call $arg_size))
        (call $append (i32.const 1000) (call $arg_size))
        (call $reply))
    (func (export "canister_update refuse") (call $reject (i32.const 5100) (i32.const 9)))
    (func (export "canister_update fail") (unreachable))
    (func (export "canister_update silent"))
    (func (export "canister_update take")
        (call $accept (i64.const 0) (i64.const 600) (i32.const 1000)) (call $reply))
    (func (export "canister_update take_then_fail")
        (call $accept (i64.const 0) (i64.const 600) (i32.const 1000)) (unreachable))
    (func (export "canister_query take_as_query")
        (call $add (i32.const 5))
        (call $accept (i64.const 0) (i64.const 600) (i32.const 1000)) (call $reply))
    (func (export "canister_update bump") (call $add (i32.const 1)) (call $reply))
    (func (export "canister_update burn")
        (call $burn (i64.const 0) (i64.const 12345) (i32.const 1000)) (call $reply))
    ;; A little less than the part of a message that runs in one round.
    (func (export "canister_update spin") (local $n i32)
        (loop $again
            (memory.fill (i32.const 20000) (i32.const 0) (i32.const 100000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 19970))))
        (call $reply))
    (func (export "canister_query state")
        (call $append (i32.const 6000) (i32.const 4)) (call $reply))
    (func (export "canister_query quiet"))
    (func (export "canister_query broken") (unreachable))
    (func (export "canister_query big") (local $n i32)
        (loop $again
            (call $append (i32.const 65536) (i32.const 65536))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 40))))
        (call $reply))

    ;; Tasks and inspection. A method name of exactly 13 bytes is not let in.
    (func (export "canister_update set_timer")
        (call $arg_copy (i32.const 1000) (i32.const 0) (i32.const 8))
        (drop (call $timer_set (i64.load (i32.const 1000))))
        (call $reply))
    (func (export "canister_global_timer") (call $add (i32.const 1000)))
    (func (export "canister_inspect_message")
        (if (i32.ne (call $method_size) (i32.const 13)) (then (call $accept_message))))
    (func (export "canister_update 13_characters") (call $reply))
)"#;

/// A module with a heartbeat that counts, and nothing else but `state`.
const BEATING: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (memory 1)
    (func (export "canister_heartbeat")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (func (export "canister_query state")
        (call $append (i32.const 0) (i32.const 4)) (call $reply))
)"#;

/// Returns a network with that many application subnets.
pub(super) fn network(subnets: usize) -> Network {
    network_of(vec![SubnetSpec::default(); subnets])
}

/// Returns a network with one subnet on which nothing costs anything.
pub(super) fn free_network() -> Network {
    network_of(vec![SubnetSpec::default().with_cost_schedule(CanisterCyclesCostSchedule::Free)])
}

fn network_of(application: Vec<SubnetSpec>) -> Network {
    Network::new(&test_config(application)).unwrap()
}

/// Creates an actor on the subnet with this index.
pub(super) fn actor(network: &mut Network, subnet: usize) -> Principal {
    install(network, subnet, ACTOR)
}

/// Creates a canister with a heartbeat.
pub(super) fn beating(network: &mut Network) -> Principal {
    install(network, 0, BEATING)
}

/// Creates a canister with this module on the subnet with this index.
pub(super) fn install(network: &mut Network, subnet: usize, wat: &str) -> Principal {
    let now = network.time;
    let subnet = network.subnets.get_mut(&network.order[subnet]).unwrap();
    let first = u64::from_be_bytes(subnet.ranges[0].0.as_slice()[..8].try_into().unwrap());
    let id = crate::network::canister_id(first + subnet.next_canister);
    subnet.next_canister += 1;
    let mut canister = Canister::new(id, Settings::new(vec![Principal::anonymous()]), BALANCE, now);
    let module = execution::compile(&wat::parse_str(wat).unwrap()).unwrap();
    canister.sandbox = Some(Sandbox::new(Arc::clone(&module), Memories::default()).unwrap());
    subnet.canisters.insert(id, canister);
    id
}

/// Returns the argument of a method that calls another canister.
pub(super) fn to(canister: Principal, method: &str) -> Vec<u8> {
    [canister.as_slice(), method.as_bytes()].concat()
}

/// Returns the argument of the forwarding methods: lengths and bytes of canister and method name, then the payload.
pub(super) fn forward(canister: Principal, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let canister = canister.as_slice();
    [&[canister.len() as u8], canister, &[method.len() as u8], method.as_bytes(), &payload].concat()
}

/// Returns the call of an anonymous user.
pub(super) fn call(canister_id: Principal, method: &str, payload: Vec<u8>) -> Call {
    Call {
        sender: Principal::anonymous(),
        canister_id,
        effective: None,
        method: method.to_owned(),
        payload,
        sender_info: None,
    }
}

/// Submits a call and waits for its answer.
pub(super) fn update(
    network: &mut Network,
    canister: Principal,
    method: &str,
    payload: Vec<u8>,
) -> UserResult<Vec<u8>> {
    let (id, _) = network.submit_ingress(call(canister, method, payload))?;
    network.await_ingress(&id).unwrap()
}

/// Queries a canister.
pub(super) fn query(network: &mut Network, canister: Principal, method: &str, payload: Vec<u8>) -> UserResult<Vec<u8>> {
    network.query(call(canister, method, payload))
}

/// Returns the counter of a canister.
pub(super) fn state(network: &mut Network, canister: Principal) -> u32 {
    u32::from_le_bytes(query(network, canister, "state", Vec::new()).unwrap().try_into().unwrap())
}

/// Returns the canister for a look inside.
pub(super) fn inside(network: &mut Network, canister: Principal) -> &mut Canister {
    network.canister_mut(canister).unwrap()
}

/// Returns all cycles of a network at rest: balances, and what was paid or burned.
pub(super) fn total(network: &Network) -> Cycles {
    let subnets = network.subnets.values();
    let consumed: Cycles = subnets.clone().map(|subnet| subnet.consumed).sum();
    let balances: Cycles = subnets
        .flat_map(|subnet| subnet.canisters.values())
        .map(|canister| {
            assert!(canister.callbacks.is_empty() && canister.call_contexts.is_empty(), "the network is not at rest");
            canister.balance + canister.reserved_balance
        })
        .sum();
    consumed + balances
}
