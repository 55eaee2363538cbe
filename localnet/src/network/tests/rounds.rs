//! What happens when in a round, and what takes more than one.

use candid::{Encode, Principal};
use ic_management_canister_types::{CanisterIdRecord, CanisterInstallMode, CreateCanisterArgs, InstallCodeArgs};

use super::fixture::{BALANCE, actor, call, forward, inside, install, network, query, state, to, total, update};
use crate::{error::ErrorCode, limits::MAX_PAUSED_EXECUTIONS, message::MessageId, network::Network};

/// `work` uses 100 000 instructions as many times as its argument says (an `i32`), `work_then_trap` likewise, and so do
/// does an installation with such an argument. `time` answers when the last `work` ran.
pub(super) const WORKER: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "time" (func $time (result i64)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (memory 4)
    (global $works (mut i32) (i32.const 0))
    (func $work (local $n i32)
        (call $arg_copy (i32.const 16) (i32.const 0) (call $arg_size))
        (i64.store (i32.const 8) (call $time))
        (loop $again
            (memory.fill (i32.const 1000) (i32.const 1) (i32.const 100000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.load (i32.const 16)))))
        (global.set $works (i32.add (global.get $works) (i32.const 1)))
        (drop (call $grow (i64.const 1)))
        (drop (memory.grow (i32.const 1)))
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (func (export "canister_init") (if (call $arg_size) (then (call $work))))
    (func (export "canister_update work") (call $work) (call $reply))
    (func (export "canister_update work_then_trap") (call $work) (unreachable))
    (func (export "canister_update bump")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1000)))
        (call $reply))
    (func (export "canister_query state")
        (call $append (i32.const 0) (i32.const 4)) (call $reply))
    (func (export "canister_query works")
        (i32.store (i32.const 4) (global.get $works))
        (call $append (i32.const 4) (i32.const 4)) (call $reply))
    (func (export "canister_query time")
        (call $append (i32.const 8) (i32.const 8)) (call $reply))
)"#;

/// A bit more than a slice, more than two, more than three.
pub(super) const SLICES: [i32; 3] = [25_000, 45_000, 65_000];

fn submit(network: &mut Network, canister: Principal, method: &str, payload: Vec<u8>) -> MessageId {
    network.submit_ingress(call(canister, method, payload)).unwrap().0
}

fn work(network: &mut Network, canister: Principal, amount: i32) -> MessageId {
    submit(network, canister, "work", amount.to_le_bytes().to_vec())
}

fn is_done(network: &Network, id: &MessageId) -> bool {
    network.ingress_status(id, None).unwrap().is_some()
}

/// Returns how many rounds pass until the message is answered.
fn rounds(network: &mut Network, id: &MessageId) -> usize {
    for round in 1..=100 {
        network.tick();
        if is_done(network, id) {
            return round;
        }
    }
    panic!("the message is not answered");
}

#[test]
fn should_take_a_round_for_each_slice_of_a_message() {
    for (amount, expected) in [(19_000, 1), (SLICES[0], 2), (SLICES[1], 3), (SLICES[2], 4)] {
        let mut network = network(1);
        let a = install(&mut network, 0, WORKER);
        let id = work(&mut network, a, amount);
        assert_eq!(rounds(&mut network, &id), expected, "{amount}");
        assert_eq!(state(&mut network, a), 1);
        assert_eq!(total(&network), BALANCE);
    }
}

#[test]
fn should_show_the_state_before_a_long_message_until_it_ends() {
    let mut network = network(1);
    let (a, b) = (install(&mut network, 0, WORKER), install(&mut network, 0, WORKER));
    let long = work(&mut network, a, SLICES[0]);
    let (behind, beside) = (submit(&mut network, a, "bump", vec![]), submit(&mut network, b, "bump", vec![]));
    network.tick();
    let start = network.time();
    assert!(is_done(&network, &beside) && !is_done(&network, &long));
    let memory = (inside(&mut network, a).memory_usage(), network.stable_memory(a).unwrap().len());
    assert_eq!((state(&mut network, a), memory.1), (0, 0));
    assert_eq!(inside(&mut network, a).version, 0);
    // What the message may use at most is taken already.
    assert!(network.cycles(a).unwrap() < BALANCE - 40_000_000_000);
    network.tick();
    assert!(
        is_done(&network, &long) && !is_done(&network, &behind),
        "who ends a long message waits for the next round"
    );
    assert_eq!(state(&mut network, a), 1);
    assert_eq!(query(&mut network, a, "works", vec![]).unwrap(), [1, 0, 0, 0]);
    assert_eq!(inside(&mut network, a).memory_usage(), memory.0 + 2 * 65_536);
    assert_eq!(query(&mut network, a, "time", vec![]).unwrap(), start.to_le_bytes(), "time stands still in a message");
    network.tick();
    assert!(is_done(&network, &behind));
    assert_eq!(state(&mut network, a), 1001);
    let paid = BALANCE - network.cycles(a).unwrap();
    assert!((2_500_000_000..2_520_000_000).contains(&paid), "{paid}");
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_report_the_failure_of_a_long_message_when_it_would_end() {
    let mut network = network(1);
    let a = install(&mut network, 0, WORKER);
    let long = submit(&mut network, a, "work_then_trap", SLICES[1].to_le_bytes().to_vec());
    assert_eq!(rounds(&mut network, &long), 3);
    let error = network.ingress_status(&long, None).unwrap().unwrap().unwrap_err();
    assert_eq!((error.code, state(&mut network, a)), (ErrorCode::CanisterTrapped, 0));
    assert_eq!(network.stable_memory(a).unwrap().len(), 0);
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_keep_few_long_messages_and_finish_all() {
    let mut network = network(1);
    let canisters: Vec<Principal> = (0..7).map(|_| install(&mut network, 0, WORKER)).collect();
    let messages: Vec<MessageId> = canisters.iter().map(|id| work(&mut network, *id, SLICES[1])).collect();
    let mut rounds = 0;
    while !messages.iter().all(|id| is_done(&network, id)) {
        network.tick();
        rounds += 1;
        let kept = canisters
            .iter()
            .filter(|id| inside(&mut network, **id).paused.as_ref().is_some_and(|paused| paused.progress > 0));
        assert!(kept.count() <= MAX_PAUSED_EXECUTIONS);
        assert!(rounds < 30, "a message starves");
    }
    // Three slices each on four cores.
    assert!(rounds > 5, "{rounds}");
    for id in canisters {
        assert_eq!(state(&mut network, id), 1);
    }
    assert_eq!(total(&network), 7 * BALANCE);
}

#[test]
fn should_share_the_cores_of_a_round() {
    let mut network = network(1);
    let canisters: Vec<Principal> = (0..5).map(|_| install(&mut network, 0, WORKER)).collect();
    // Nearly a slice each: two do not fit on a core.
    let messages: Vec<MessageId> = canisters.iter().map(|id| work(&mut network, *id, 19_900)).collect();
    network.tick();
    let done = messages.iter().filter(|id| is_done(&network, id)).count();
    assert_eq!(done, 4);
    assert!(!is_done(&network, &messages[4]));
    network.tick();
    assert!(is_done(&network, &messages[4]));
}

#[test]
fn should_let_management_calls_wait_for_a_long_message_of_their_canister_only() {
    let mut network = network(1);
    let (a, b) = (install(&mut network, 0, WORKER), install(&mut network, 0, WORKER));
    let long = work(&mut network, a, SLICES[1]);
    network.tick();
    let management = Principal::management_canister();
    let record = |canister_id| Encode!(&CanisterIdRecord { canister_id }).unwrap();
    let waiting = submit(&mut network, management, "stop_canister", record(a));
    let other = submit(&mut network, management, "stop_canister", record(b));
    network.tick();
    assert!(is_done(&network, &other) && !is_done(&network, &waiting));
    network.tick();
    assert!(is_done(&network, &long) && is_done(&network, &waiting));
}

#[test]
fn should_take_a_round_for_each_slice_of_an_installation() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let install = |network: &mut Network, canister_id, amount: &[u8]| {
        let args = InstallCodeArgs {
            mode: CanisterInstallMode::Reinstall,
            canister_id,
            wasm_module: wat::parse_str(WORKER).unwrap(),
            arg: amount.to_vec(),
            sender_canister_version: None,
        };
        submit(network, Principal::management_canister(), "install_code", Encode!(&args).unwrap())
    };
    let long = install(&mut network, a, &SLICES[1].to_le_bytes());
    let behind = install(&mut network, b, &[]);
    network.tick();
    network.tick();
    assert!(!is_done(&network, &long) && !is_done(&network, &behind), "one installation at a time");
    let bump = submit(&mut network, a, "bump", vec![]);
    network.tick();
    assert!(is_done(&network, &long));
    assert_eq!(rounds(&mut network, &behind), 1);
    assert!(is_done(&network, &bump));
    assert_eq!(state(&mut network, a), 1001);
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_run_messages_of_a_canister_before_those_sent_meanwhile() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    // Both calls go out before the second message of `b` runs, and so arrive after it.
    let first = submit(&mut network, a, "call", to(b, "bump"));
    let second = submit(&mut network, b, "bump", vec![]);
    let third = submit(&mut network, b, "echo", vec![]);
    network.tick();
    for id in [&first, &second, &third] {
        assert!(is_done(&network, id));
    }
    assert_eq!(state(&mut network, b), 2);
}

#[test]
fn should_run_timer_and_heartbeat_in_turns_with_messages() {
    const BUSY: &str = r#"(module
        (import "ic0" "msg_reply" (func $reply))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (memory 1)
        (func (export "canister_heartbeat")
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
        (func (export "canister_update bump")
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1000)))
            (call $reply))
        (func (export "canister_query state") (call $append (i32.const 0) (i32.const 4)) (call $reply)))"#;
    let mut network = network(1);
    let a = install(&mut network, 0, BUSY);
    let mut states = Vec::new();
    for _ in 0..4 {
        submit(&mut network, a, "bump", vec![]);
        network.tick();
        states.push(state(&mut network, a));
    }
    assert_eq!(states, [1001, 2001, 3002, 4002], "a round that begins with a message has no heartbeat");
    network.tick();
    network.tick();
    assert_eq!(state(&mut network, a), 4004);
}

#[test]
fn should_run_the_hook_for_low_memory_before_anything_else() {
    const GROWING: &str = r#"(module
        (import "ic0" "msg_reply" (func $reply))
        (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
        (memory 1)
        (func $note (param $digit i32)
            (i32.store (i32.const 0) (i32.add (i32.mul (i32.load (i32.const 0)) (i32.const 10)) (local.get $digit))))
        (func (export "canister_on_low_wasm_memory") (call $note (i32.const 3)))
        (func (export "canister_update grow")
            (drop (memory.grow (i32.const 8))) (call $note (i32.const 1)) (call $reply))
        (func (export "canister_update note") (call $note (i32.const 2)) (call $reply))
        (func (export "canister_query state") (call $append (i32.const 0) (i32.const 4)) (call $reply)))"#;
    let mut network = network(1);
    let a = install(&mut network, 0, GROWING);
    let canister = inside(&mut network, a);
    canister.settings.wasm_memory_limit = 32 << 16;
    canister.settings.wasm_memory_threshold = 24 << 16;
    for method in ["note", "grow", "note", "grow", "note"] {
        submit(&mut network, a, method, vec![]);
    }
    network.tick();
    // Once only, since memory stays low.
    assert_eq!(state(&mut network, a), 213_212);
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_reject_management_calls_with_another_version_than_the_callers() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let mut answer = |version: u64| {
        let args = CreateCanisterArgs { settings: None, sender_canister_version: Some(version) };
        let payload = forward(Principal::management_canister(), "create_canister", Encode!(&args).unwrap());
        update(&mut network, a, "forward_with_cycles", payload).unwrap()
    };
    assert!(answer(0).starts_with(b"DIDL"));
    // The call and its callback made two versions.
    let refused = answer(1);
    assert!(refused.starts_with(b"5IC0504: Management canister call"), "{}", String::from_utf8_lossy(&refused));
    assert!(answer(4).starts_with(b"DIDL"));
}

#[test]
fn should_reject_what_reaches_nobody_two_rounds_later() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let missing = crate::network::canister_id(0xFFFF_FFFF_FFE0_0009);
    let id = submit(&mut network, a, "call", to(missing, "echo"));
    assert_eq!(rounds(&mut network, &id), 3);
    let id = submit(&mut network, a, "call", to(crate::network::canister_id(77), "echo"));
    assert_eq!(rounds(&mut network, &id), 2);
}
