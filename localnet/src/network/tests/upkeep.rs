use super::fixture::{BALANCE, actor, beating, call, free_network, inside, network, state, total, update};
use crate::{
    error::ErrorCode,
    limits::HEAP_DELTA_RATE_LIMIT,
    network::{Network, ingress::Forbidden},
};

const SECOND: u64 = 1_000_000_000;

fn assert_send<T: Send>() {}

#[test]
fn should_be_movable_to_another_thread() {
    assert_send::<Network>();
}

#[test]
fn should_move_time_by_a_nanosecond_each_round_unless_it_was_set() {
    let mut network = network(1);
    let start = network.time();
    network.tick();
    network.tick();
    assert_eq!(network.time(), start + 2);
    network.set_time(start + 100).unwrap();
    network.tick();
    assert_eq!(network.time(), start + 100);
    assert!(network.set_time(start).unwrap_err().contains("SettingTimeIntoPast"));
    network.set_certified_time(start + 200).unwrap();
    assert_eq!(network.time(), start + 200);
}

#[test]
fn should_run_due_timers_once() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let due = network.time() + SECOND;
    update(&mut network, a, "set_timer", due.to_le_bytes().to_vec()).unwrap();
    network.tick();
    assert_eq!(state(&mut network, a), 0);
    network.set_time(due).unwrap();
    network.tick();
    assert_eq!(state(&mut network, a), 1000);
    assert_eq!(inside(&mut network, a).global_timer, 0);
    network.tick();
    assert_eq!(state(&mut network, a), 1000);
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_beat_once_a_round() {
    let mut network = network(1);
    let a = beating(&mut network);
    for _ in 0..3 {
        network.tick();
    }
    assert_eq!(state(&mut network, a), 3);
    inside(&mut network, a).balance = 1_000_000_000;
    network.tick();
    assert_eq!(state(&mut network, a), 3);
}

#[test]
fn should_make_canisters_wait_that_changed_too_much_memory() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    inside(&mut network, a).heap_delta_debt = 2 * HEAP_DELTA_RATE_LIMIT;
    let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
    for _ in 0..2 {
        network.tick();
        assert_eq!(network.ingress_status(&id, None).unwrap(), None);
    }
    network.tick();
    assert!(network.ingress_status(&id, None).unwrap().is_some());
}

#[test]
fn should_charge_rent_every_ten_seconds() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let canister = inside(&mut network, a);
    canister.settings.memory_allocation = 1 << 30;
    canister.settings.compute_allocation = 1;
    canister.reserved_balance = 5_000_000;
    network.set_time(network.time() + 9 * SECOND).unwrap();
    network.tick();
    assert_eq!(inside(&mut network, a).balance, BALANCE);
    network.set_time(network.time() + 2 * SECOND).unwrap();
    network.tick();
    let rent = 11 * (317_500 + 10_000_000);
    let canister = inside(&mut network, a);
    assert_eq!((canister.balance, canister.reserved_balance), (BALANCE - (rent - 5_000_000), 0));
    assert_eq!(total(&network), BALANCE + 5_000_000);
}

#[test]
fn should_charge_nothing_on_a_free_subnet() {
    let mut network = free_network();
    let a = actor(&mut network, 0);
    inside(&mut network, a).balance = 0;
    update(&mut network, a, "bump", vec![]).unwrap();
    network.set_time(network.time() + 1_000_000 * SECOND).unwrap();
    network.tick();
    assert_eq!(state(&mut network, a), 1);
}

#[test]
fn should_uninstall_canisters_that_cannot_pay_rent() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let canister = inside(&mut network, a);
    canister.settings.compute_allocation = 100;
    canister.balance = 1_000_000_000;
    network.set_time(network.time() + 20 * SECOND).unwrap();
    network.tick();
    let canister = inside(&mut network, a);
    assert!(canister.sandbox.is_none());
    assert_eq!((canister.balance, canister.settings.compute_allocation), (0, 0));
    assert_eq!(network.controllers(a).unwrap().len(), 1);
    assert_eq!(total(&network), 1_000_000_000);
}

#[test]
fn should_expire_ingress_that_waited_five_minutes() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
    network.set_time(network.time() + 301 * SECOND).unwrap();
    let error = network.await_ingress(&id).unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::IngressMessageTimeout);
    assert_eq!(state(&mut network, a), 0);
}

#[test]
fn should_inspect_ingress_before_it_is_let_in() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let error = network.submit_ingress(call(a, "13_characters", vec![])).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterRejectedMessage);
    assert_eq!(inside(&mut network, a).balance, BALANCE);
}

#[test]
fn should_bound_the_size_of_ingress() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    // Method name, sender and envelope come on top of the argument.
    let largest = (2 << 20) - 4 - 1 - 300;
    assert!(network.check_ingress_size(&call(a, "echo", vec![0; largest])).is_ok());
    assert!(network.check_ingress_size(&call(a, "echo", vec![0; largest + 1])).is_err());
    assert!(network.submit_ingress(call(a, "echo", vec![0; largest + 1])).is_err());
}

#[test]
fn should_make_equal_calls_distinct() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let first = network.submit_ingress(call(a, "bump", vec![])).unwrap().0;
    let second = network.submit_ingress(call(a, "bump", vec![])).unwrap().0;
    assert_ne!(first, second);
    network.tick();
    assert_eq!(state(&mut network, a), 2);
}

#[test]
fn should_tell_only_the_sender_the_status_of_a_message() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
    let anonymous = candid::Principal::anonymous();
    assert_eq!(network.ingress_status(&id, Some(anonymous)), Ok(None));
    assert!(matches!(network.ingress_status(&id, Some(a)), Err(Forbidden(_))));
    assert_eq!(network.ingress_status(&[0; 32], Some(a)), Ok(None));
    assert!(network.await_ingress(&[0; 32]).is_err());
}

#[test]
fn should_add_cycles_and_replace_stable_memory() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    assert_eq!(network.add_cycles(a, 5), Some(BALANCE + 5));
    assert_eq!(network.cycles(a), Some(BALANCE + 5));
    network.set_stable_memory(a, &[7; 65_537]).unwrap();
    let bytes = network.stable_memory(a).unwrap();
    assert_eq!((bytes.len(), bytes[65_536], bytes[65_537]), (131_072, 7, 0));
    let missing = crate::network::canister_id(5);
    assert_eq!((network.add_cycles(missing, 5), network.stable_memory(missing)), (None, None));
    assert!(network.set_stable_memory(missing, &[]).is_err());
    assert_eq!(network.subnet_of(a), Some(network.order[0]));
    assert_eq!(network.subnet_of(missing), None);
}
