use super::fixture::{actor, free_network, inside, network, query, state, to, update};
use crate::{error::ErrorCode, network::canister_id};

#[test]
fn should_answer_queries_without_keeping_state() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let balance = inside(&mut network, a).balance;
    assert_eq!(state(&mut network, a), 0);
    query(&mut network, a, "relay_then_nothing", to(a, "state")).unwrap_err();
    assert_eq!(state(&mut network, a), 0);
    assert_eq!(inside(&mut network, a).balance, balance);
    assert_eq!(inside(&mut network, a).version, 0);
}

#[test]
fn should_give_queries_their_error_codes() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let code = |network: &mut _, method| query(network, a, method, vec![]).unwrap_err().code;
    assert_eq!(code(&mut network, "broken"), ErrorCode::CanisterTrapped);
    assert_eq!(code(&mut network, "quiet"), ErrorCode::CanisterDidNotReply);
    assert_eq!(code(&mut network, "bump"), ErrorCode::CanisterMethodNotFound);
    let missing = canister_id(0xFFFF_FFFF_FFE0_0009);
    assert_eq!(query(&mut network, missing, "x", vec![]).unwrap_err().code, ErrorCode::CanisterNotFound);
    inside(&mut network, a).balance = 0;
    let error = query(&mut network, a, "state", vec![]).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterOutOfCycles);
    assert!(error.description.contains("frozen"));
}

#[test]
fn should_allow_larger_replies_than_updates_have() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    assert_eq!(query(&mut network, a, "big", vec![]).unwrap().len(), 40 * 65536);
    assert_eq!(update(&mut network, a, "big", vec![]).unwrap_err().code, ErrorCode::CanisterContractViolation);
}

#[test]
fn should_follow_composite_queries() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    update(&mut network, b, "bump", vec![]).unwrap();
    assert_eq!(query(&mut network, a, "relay", to(b, "state")).unwrap(), 1u32.to_le_bytes());
    let answer = query(&mut network, a, "relay", to(b, "broken")).unwrap();
    assert!(answer.starts_with(b"5"), "{}", String::from_utf8_lossy(&answer));
    let answer = query(&mut network, a, "relay", to(b, "bump")).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("no query method"));
    let error = query(&mut network, a, "relay_then_nothing", to(b, "state")).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterDidNotReply);
}

#[test]
fn should_undo_all_state_of_composite_queries() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let error = query(&mut network, a, "relay_then_trap", to(b, "state")).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterTrapped);
    assert_eq!(state(&mut network, a), 0);
    // The next update sees committed state only.
    update(&mut network, a, "bump", vec![]).unwrap();
    assert_eq!(state(&mut network, a), 1);
}

#[test]
fn should_detect_loops() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let error = query(&mut network, a, "relay", to(a, "state")).unwrap_err();
    assert_eq!(error.code, ErrorCode::QueryCallGraphLoopDetected);
    assert_eq!(state(&mut network, a), 0);
}

#[test]
fn should_not_leave_the_subnet() {
    let mut network = network(2);
    let (a, far) = (actor(&mut network, 0), actor(&mut network, 1));
    let answer = query(&mut network, a, "relay", to(far, "state")).unwrap();
    assert!(answer.starts_with(b"3"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn should_bound_the_depth_of_the_call_graph() {
    let mut network = network(1);
    // A module that passes on to the canister after it.
    let chain: Vec<_> = (0..8).map(|index| canister_id(0xFFFF_FFFF_FFE0_0000 + index)).collect();
    for index in 0..8 {
        let next: String = chain[(index + 1) % 8].as_slice().iter().map(|byte| format!("\\{byte:02x}")).collect();
        let wat = format!(
            r#"(module
                (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
                (import "ic0" "call_perform" (func $perform (result i32)))
                (import "ic0" "msg_reply" (func $reply))
                (memory 1)
                (table 1 funcref)
                (elem (i32.const 0) $done)
                (data (i32.const 0) "{next}")
                (data (i32.const 100) "deep")
                (func $done (param i32) (call $reply))
                (func (export "canister_composite_query deep")
                    (call $call_new (i32.const 0) (i32.const 10) (i32.const 100) (i32.const {length})
                        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
                    (drop (call $perform)))
                (func (export "canister_query d") (call $reply))
            )"#,
            // The last canister of the chain calls a plain query.
            length = if index == 6 { 1 } else { 4 },
        );
        super::fixture::install(&mut network, 0, &wat);
    }
    // Six composite queries under way are possible, a seventh is not.
    assert_eq!(query(&mut network, chain[1], "deep", vec![]).unwrap(), b"");
    let error = query(&mut network, chain[0], "deep", vec![]).unwrap_err();
    assert_eq!(error.code, ErrorCode::QueryCallGraphTooDeep);
}

#[test]
fn should_count_queries() {
    let mut network = free_network();
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    query(&mut network, a, "relay", to(b, "state")).unwrap();
    let [calls, instructions, requests, responses] = inside(&mut network, a).query_stats;
    assert_eq!((calls, requests, responses), (1, 15, 4));
    assert!(instructions > 0);
    assert_eq!(inside(&mut network, b).query_stats[0], 1);
    assert_eq!(inside(&mut network, b).query_stats[2], 4);
}
