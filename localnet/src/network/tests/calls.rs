use candid::Principal;

use super::fixture::{BALANCE, actor, call, inside, network, query, state, to, total, update};
use crate::{
    canister::{Status, StopRequest},
    error::ErrorCode,
    message::CallOrigin,
};

#[test]
fn should_reply_to_ingress() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    assert_eq!(update(&mut network, a, "echo", b"hello".to_vec()).unwrap(), b"hello");
}

#[test]
fn should_keep_state_of_updates_and_count_versions() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    for _ in 0..3 {
        update(&mut network, a, "bump", vec![]).unwrap();
    }
    assert_eq!(state(&mut network, a), 3);
    assert_eq!(inside(&mut network, a).version, 3);
}

#[test]
fn should_carry_reply_and_reject_of_a_call() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    assert_eq!(update(&mut network, a, "call", to(b, "echo")).unwrap(), b"ping");
    assert_eq!(update(&mut network, a, "call", to(b, "refuse")).unwrap(), b"4no thanks");
}

#[test]
fn should_finish_a_call_within_the_subnet_in_one_round() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let (id, _) = network.submit_ingress(call(a, "call", to(b, "echo"))).unwrap();
    network.tick();
    assert_eq!(network.ingress_status(&id, None).unwrap(), Some(Ok(b"ping".to_vec())));
}

#[test]
fn should_call_itself() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    assert_eq!(update(&mut network, a, "call", to(a, "echo")).unwrap(), b"ping");
}

#[test]
fn should_reject_calls_that_fail_with_code_5() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    for (method, text) in [("fail", "trapped"), ("silent", "No response"), ("nonexistent", "has no update method")] {
        let answer = String::from_utf8(update(&mut network, a, "call", to(b, method)).unwrap()).unwrap();
        assert!(answer.starts_with('5') && answer.contains(text), "{method}: {answer}");
    }
    let answer = String::from_utf8(update(&mut network, a, "call", to(b, "relay")).unwrap()).unwrap();
    assert!(answer.starts_with('5') && answer.contains("replicated"), "{answer}");
}

#[test]
fn should_give_users_the_error_codes() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let code = |network: &mut _, method| update(network, a, method, vec![]).unwrap_err().code;
    assert_eq!(code(&mut network, "fail"), ErrorCode::CanisterTrapped);
    assert_eq!(code(&mut network, "refuse"), ErrorCode::CanisterRejectedMessage);
    assert_eq!(code(&mut network, "silent"), ErrorCode::CanisterDidNotReply);
    assert_eq!(code(&mut network, "nonexistent"), ErrorCode::CanisterMethodNotFound);
    assert_eq!(code(&mut network, "relay"), ErrorCode::CompositeQueryCalledInReplicatedMode);
    let missing = crate::network::canister_id(0xFFFF_FFFF_FFE0_0009);
    assert_eq!(update(&mut network, missing, "x", vec![]).unwrap_err().code, ErrorCode::CanisterNotFound);
    inside(&mut network, a).sandbox = None;
    assert_eq!(code(&mut network, "echo"), ErrorCode::CanisterWasmModuleNotFound);
}

#[test]
fn should_reject_calls_to_missing_canisters_with_code_3() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let missing = crate::network::canister_id(0xFFFF_FFFF_FFE0_0009);
    let elsewhere = crate::network::canister_id(77);
    for other in [missing, elsewhere] {
        let answer = String::from_utf8(update(&mut network, a, "call", to(other, "echo")).unwrap()).unwrap();
        assert!(answer.starts_with('3') && answer.contains(&other.to_text()), "{answer}");
    }
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_clean_up_after_a_callback_that_traps() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let error = update(&mut network, a, "call_then_trap", to(b, "echo")).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterTrapped);
    // The callback's own change is undone, the cleanup's is kept.
    assert_eq!(state(&mut network, a), 100);
    let error = update(&mut network, a, "call_then_trap_twice", to(b, "echo")).unwrap_err();
    assert!(error.description.contains("call_on_cleanup also failed"), "{}", error.description);
    assert_eq!(state(&mut network, a), 100);
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_reject_when_the_last_callback_does_not_reply() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let error = update(&mut network, a, "call_then_nothing", to(b, "echo")).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterDidNotReply);
    assert!(inside(&mut network, a).call_contexts.is_empty());
}

#[test]
fn should_survive_a_callback_that_is_no_function() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let error = update(&mut network, a, "call_missing_callback", to(b, "bump")).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterFunctionNotFound);
    assert_eq!(state(&mut network, b), 1);
}

#[test]
fn should_discard_the_calls_of_a_message_that_traps() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    update(&mut network, a, "call_then_die", to(b, "bump")).unwrap_err();
    network.tick();
    assert_eq!(state(&mut network, b), 0);
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_move_accepted_cycles_and_refund_the_rest() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let refunded = |network: &mut _, method| {
        let bytes = update(network, a, "call_with_cycles", to(b, method)).unwrap();
        u128::from_le_bytes(bytes.try_into().unwrap())
    };
    assert_eq!(refunded(&mut network, "take"), 400);
    assert_eq!(refunded(&mut network, "take_then_fail"), 1000);
    assert_eq!(refunded(&mut network, "nonexistent"), 1000);
    assert_eq!(refunded(&mut network, "silent"), 1000);
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_discard_the_state_of_replicated_queries_but_keep_their_cycles() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    let bytes = update(&mut network, a, "call_with_cycles", to(b, "take_as_query")).unwrap();
    assert_eq!(u128::from_le_bytes(bytes.try_into().unwrap()), 400);
    assert_eq!(state(&mut network, b), 0);
    assert_eq!(inside(&mut network, b).version, 1, "even so it is a new version");
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_charge_exactly_for_what_was_used() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    update(&mut network, a, "burn", vec![]).unwrap();
    let paid = BALANCE - inside(&mut network, a).balance;
    // An ingress message without argument from the anonymous principal: method, sender and envelope.
    let induction = 1_200_000 + 2_000 * (4 + 1 + 300);
    assert!(paid > induction + 5_000_000 + 12_345, "{paid}");
    assert!(paid < induction + 5_000_000 + 12_345 + 10_000, "{paid}");
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_refuse_ingress_of_a_canister_without_cycles() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    inside(&mut network, a).balance = 1_000_000;
    assert_eq!(update(&mut network, a, "echo", vec![]).unwrap_err().code, ErrorCode::CanisterOutOfCycles);
    // Enough for induction, too little to execute.
    inside(&mut network, a).balance = 10_000_000_000;
    assert_eq!(update(&mut network, a, "echo", vec![]).unwrap_err().code, ErrorCode::CanisterOutOfCycles);
}

#[test]
fn should_reject_calls_to_a_canister_out_of_cycles_with_code_2() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    inside(&mut network, b).balance = 10_000_000_000;
    let bytes = update(&mut network, a, "call", to(b, "echo")).unwrap();
    assert!(bytes.starts_with(b"2"), "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn should_refuse_to_call_without_cycles_for_the_response() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    // Enough to execute, too little to prepay a call besides.
    inside(&mut network, a).balance = 60_000_000_000;
    let error = update(&mut network, a, "call", to(b, "echo")).unwrap_err();
    assert_eq!(error.description, "no thanks");
}

#[test]
fn should_reach_other_subnets_one_round_later() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let (id, _) = network.submit_ingress(call(a, "call", to(b, "bump"))).unwrap();
    network.tick();
    assert_eq!(state(&mut network, b), 0);
    network.tick();
    assert_eq!(state(&mut network, b), 1);
    assert_eq!(network.ingress_status(&id, None).unwrap(), None);
    network.tick();
    assert_eq!(network.ingress_status(&id, None).unwrap(), Some(Ok(vec![])));
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_reject_large_requests_across_subnets_only() {
    let mut network = network(2);
    let (a, near, far) = (actor(&mut network, 0), actor(&mut network, 0), actor(&mut network, 1));
    assert!(update(&mut network, a, "call_big", to(near, "bump")).unwrap().is_empty());
    let answer = String::from_utf8(update(&mut network, a, "call_big", to(far, "bump")).unwrap()).unwrap();
    assert!(answer.starts_with('5') && answer.contains("exceeding the limit 2097152"), "{answer}");
    assert_eq!((state(&mut network, near), state(&mut network, far)), (1, 0));
}

#[test]
fn should_expire_best_effort_calls_and_refund_them_later() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let (id, _) = network.submit_ingress(call(a, "call_best_effort", to(b, "take"))).unwrap();
    network.tick();
    network.set_time(network.time() + 3_000_000_000).unwrap();
    network.tick();
    let answer = network.ingress_status(&id, None).unwrap().unwrap().unwrap();
    assert_eq!(answer, b"6Call deadline has expired.");
    network.tick();
    network.tick();
    assert_eq!(total(&network), 2 * BALANCE);
    assert_eq!(state(&mut network, b), 0);
}

#[test]
fn should_drop_the_late_response_of_an_expired_call() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let (id, _) = network.submit_ingress(call(a, "call_best_effort", to(b, "take"))).unwrap();
    network.tick();
    network.tick();
    // The callee has answered, but too late for the answer to arrive.
    network.set_time(network.time() + 3_000_000_000).unwrap();
    network.tick();
    let answer = network.ingress_status(&id, None).unwrap().unwrap().unwrap();
    assert!(answer.starts_with(b"6"));
    network.tick();
    assert_eq!(total(&network), 2 * BALANCE);
    let (a, b) = (inside(&mut network, a).balance, inside(&mut network, b).balance);
    assert!(a < BALANCE && b < BALANCE);
}

#[test]
fn should_answer_best_effort_calls_in_time() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    assert!(update(&mut network, a, "call_best_effort", to(b, "take")).unwrap().is_empty());
    assert_eq!(total(&network), 2 * BALANCE);
}

fn stop(network: &mut crate::network::Network, canister: Principal) -> crate::message::MessageId {
    // A message that stays open stands for the stop request, which is answered through it.
    let (id, _) = network.submit_ingress(call(canister, "echo", vec![])).unwrap();
    let subnet = network.subnet_of(canister).unwrap();
    network.subnets.get_mut(&subnet).unwrap().pending_ingress.clear();
    let origin = CallOrigin::Ingress { id, sender: Principal::anonymous() };
    let since = network.time();
    inside(network, canister).status = Status::Stopping(vec![StopRequest { origin, cycles: 0, since }]);
    id
}

#[test]
fn should_stop_only_when_no_call_is_open() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let (open, _) = network.submit_ingress(call(a, "call", to(b, "echo"))).unwrap();
    network.tick();
    let stopping = stop(&mut network, a);
    network.tick();
    assert_eq!(network.ingress_status(&stopping, None).unwrap(), None);
    assert_eq!(update(&mut network, a, "echo", vec![]).unwrap_err().code, ErrorCode::CanisterStopping);
    network.tick();
    assert_eq!(network.ingress_status(&open, None).unwrap(), Some(Ok(b"ping".to_vec())));
    assert_eq!(network.ingress_status(&stopping, None).unwrap(), Some(Ok(b"DIDL\0\0".to_vec())));
    assert!(matches!(inside(&mut network, a).status, Status::Stopped));
    assert_eq!(update(&mut network, a, "echo", vec![]).unwrap_err().code, ErrorCode::CanisterStopped);
    assert_eq!(query(&mut network, a, "state", vec![]).unwrap_err().code, ErrorCode::CanisterStopped);
    let answer = update(&mut network, b, "call", to(a, "echo")).unwrap();
    assert!(answer.starts_with(b"5"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn should_time_out_stop_requests_after_five_minutes() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    network.submit_ingress(call(a, "call", to(b, "echo"))).unwrap();
    network.tick();
    let stopping = stop(&mut network, a);
    let start = network.time();
    network.set_time(start + 299_999_999_999).unwrap();
    network.tick();
    assert_eq!(network.ingress_status(&stopping, None).unwrap(), None);
    // Nobody answers, since the response does not arrive.
    let subnet = network.order[0];
    network.subnets.get_mut(&subnet).unwrap().incoming.clear();
    network.set_time(start + 300_000_000_000).unwrap();
    network.tick();
    let error = network.ingress_status(&stopping, None).unwrap().unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::StopCanisterRequestTimeout);
}

#[test]
fn should_not_run_callbacks_of_uninstalled_code() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    network.submit_ingress(call(a, "call_with_cycles", to(b, "take"))).unwrap();
    network.tick();
    let canister = inside(&mut network, a);
    for context in canister.call_contexts.values_mut() {
        context.deleted = true;
        context.answered = true;
    }
    network.tick();
    network.tick();
    assert_eq!(total(&network), 2 * BALANCE);
    assert_eq!(state(&mut network, a), 0);
}

#[test]
fn should_require_the_cycles_that_the_settings_ask_for() {
    let mut network = network(1);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 0));
    inside(&mut network, b).settings.minimum_incoming_canister_call_cycles = 1000;
    let answer = update(&mut network, a, "call", to(b, "echo")).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("at least 1000"), "{}", String::from_utf8_lossy(&answer));
    update(&mut network, a, "call_with_cycles", to(b, "take")).unwrap();
    assert_eq!(total(&network), 2 * BALANCE);
}
