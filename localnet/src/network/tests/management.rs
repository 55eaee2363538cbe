use candid::{Decode, Encode, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterSettings, CreateCanisterArgs, ProvisionalCreateCanisterWithCyclesArgs,
    ProvisionalTopUpCanisterArgs, UpdateSettingsArgs,
};

use super::fixture::{BALANCE, actor, call, forward, inside, network, state, to, total, update};
use crate::{canister::Status, error::ErrorCode, network::EffectivePrincipal};

const MANAGEMENT: Principal = Principal::management_canister();

fn record(canister_id: Principal) -> Vec<u8> {
    Encode!(&CanisterIdRecord { canister_id }).unwrap()
}

fn provisional_create() -> Vec<u8> {
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(7_000_000_000_000u64.into()),
        settings: None,
        specified_id: None,
        sender_canister_version: None,
    };
    Encode!(&args).unwrap()
}

#[test]
fn should_create_canisters_on_the_subnet_named() {
    let mut network = network(2);
    for index in [1, 0] {
        let subnet = network.order[index];
        let mut create = call(MANAGEMENT, "provisional_create_canister_with_cycles", provisional_create());
        create.effective = Some(EffectivePrincipal::Subnet(subnet));
        let (id, _) = network.submit_ingress(create).unwrap();
        let reply = network.await_ingress(&id).unwrap().unwrap();
        let created = Decode!(&reply, CanisterIdRecord).unwrap().canister_id;
        assert_eq!(network.subnet_of(created), Some(subnet));
        assert_eq!(network.cycles(created), Some(7_000_000_000_000));
    }
}

#[test]
fn should_create_canisters_on_the_callers_subnet() {
    let mut network = network(2);
    let a = actor(&mut network, 1);
    let payload = Encode!(&CreateCanisterArgs { settings: None, sender_canister_version: None }).unwrap();
    let reply =
        update(&mut network, a, "forward_with_cycles", forward(MANAGEMENT, "create_canister", payload)).unwrap();
    let created = Decode!(&reply, CanisterIdRecord).unwrap().canister_id;
    assert_eq!(network.subnet_of(created), Some(network.order[1]));
    assert_eq!(network.cycles(created), Some(500_000_000_000));
    assert_eq!(network.controllers(created), Some(vec![a]));
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_route_management_calls_to_the_subnet_of_their_target() {
    let mut network = network(2);
    let (a, far) = (actor(&mut network, 0), actor(&mut network, 1));
    let argument = forward(MANAGEMENT, "deposit_cycles", record(far));
    update(&mut network, a, "forward_with_cycles", argument).unwrap();
    assert_eq!(network.cycles(far), Some(BALANCE + 1_000_000_000_000));
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_reject_management_calls_without_a_way() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let nowhere = crate::network::canister_id(77);
    let argument = forward(MANAGEMENT, "deposit_cycles", record(nowhere));
    let answer = update(&mut network, a, "forward_with_cycles", argument).unwrap();
    assert!(answer.starts_with(b"3Unable to route"), "{}", String::from_utf8_lossy(&answer));
    let answer = update(&mut network, a, "forward", forward(MANAGEMENT, "do_wonders", vec![])).unwrap();
    assert!(answer.starts_with(b"5"), "{}", String::from_utf8_lossy(&answer));
    let answer = update(&mut network, a, "forward", forward(MANAGEMENT, "deposit_cycles", vec![1, 2])).unwrap();
    assert!(answer.starts_with(b"4"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_answer_management_calls_two_rounds_later_and_raw_rand_three() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    for (method, argument, rounds) in [("stored_chunks", record(a), 2), ("raw_rand", Encode!().unwrap(), 3)] {
        let (id, _) = network.submit_ingress(call(a, "forward", forward(MANAGEMENT, method, argument))).unwrap();
        for _ in 0..rounds {
            network.tick();
            assert_eq!(network.ingress_status(&id, None).unwrap(), None, "{method}");
        }
        network.tick();
        assert!(network.ingress_status(&id, None).unwrap().unwrap().is_ok(), "{method}");
    }
    assert_eq!(total(&network), BALANCE);
}

#[test]
fn should_wait_for_open_calls_when_stopping() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let (open, _) = network.submit_ingress(call(a, "call", to(b, "bump"))).unwrap();
    network.tick();
    update(&mut network, MANAGEMENT, "stop_canister", record(a)).unwrap();
    assert!(matches!(inside(&mut network, a).status, Status::Stopped));
    assert!(network.ingress_status(&open, None).unwrap().is_some());
    update(&mut network, MANAGEMENT, "start_canister", record(a)).unwrap();
    assert_eq!(state(&mut network, a), 0);
}

#[test]
fn should_cancel_stop_requests_by_starting() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    network.submit_ingress(call(a, "call", to(b, "bump"))).unwrap();
    network.tick();
    let (stopping, _) = network.submit_ingress(call(MANAGEMENT, "stop_canister", record(a))).unwrap();
    network.submit_ingress(call(MANAGEMENT, "start_canister", record(a))).unwrap();
    let error = network.await_ingress(&stopping).unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterStoppingCancelled);
}

#[test]
fn should_reject_open_calls_of_uninstalled_code() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let (open, _) = network.submit_ingress(call(a, "call_with_cycles", to(b, "take"))).unwrap();
    network.tick();
    let charged = update(&mut network, MANAGEMENT, "uninstall_code", record(a));
    charged.unwrap();
    let error = network.await_ingress(&open).unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterRejectedMessage);
    assert_eq!(error.description, "Canister has been uninstalled.");
    network.tick();
    network.tick();
    assert_eq!(total(&network), 2 * BALANCE);
}

#[test]
fn should_charge_for_small_changes_of_settings_afterwards() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    // Frozen until the threshold falls.
    inside(&mut network, a).settings.compute_allocation = 100;
    let args = UpdateSettingsArgs {
        canister_id: a,
        settings: CanisterSettings { compute_allocation: Some(0u8.into()), ..CanisterSettings::default() },
        sender_canister_version: None,
    };
    inside(&mut network, a).balance = 1_000_000_000;
    update(&mut network, MANAGEMENT, "update_settings", Encode!(&args).unwrap()).unwrap();
    let paid = 1_000_000_000 - network.cycles(a).unwrap();
    assert!((1_200_000..3_000_000).contains(&paid), "{paid}");
    assert_eq!(total(&network), 1_000_000_000);
}

#[test]
fn should_top_up_canisters_without_cycles() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    inside(&mut network, a).balance = 0;
    let args = ProvisionalTopUpCanisterArgs { canister_id: a, amount: 5u8.into() };
    update(&mut network, MANAGEMENT, "provisional_top_up_canister", Encode!(&args).unwrap()).unwrap();
    assert_eq!(network.cycles(a), Some(5));
    let error = update(&mut network, MANAGEMENT, "start_canister", record(a)).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterOutOfCycles);
}
