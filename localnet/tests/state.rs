//! State directories through the official client: what an instance was is there again in the next one.

use std::{fs, path::PathBuf};

use candid::Principal;
use localnet::LocalNet;
use pocket_ic::{
    PocketIc, PocketIcBuilder, PocketIcState, Time,
    common::rest::{ExtendedSubnetConfigSet, InstanceConfig, SubnetSpec},
};
use reqwest::blocking::Client;

/// A canister with a counter in its heap and in stable memory: `increment` adds one, `read` returns both.
const COUNTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (memory 1)
    (func (export "canister_init") (drop (call $grow (i64.const 1))))
    (func (export "canister_update increment")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (call $write (i64.const 100) (i64.const 0) (i64.const 4))
        (call $reply))
    (func (export "canister_query read")
        (call $read (i64.const 4) (i64.const 100) (i64.const 4))
        (call $append (i32.const 0) (i32.const 8))
        (call $reply)))"#;

fn builder() -> PocketIcBuilder {
    PocketIcBuilder::new().with_server_url(LocalNet::shared().url().parse().unwrap())
}

/// Starts a network with a state and puts a counter on it that has counted to two.
fn start(state: PocketIcState) -> (PocketIc, Principal) {
    let network = builder().with_application_subnet().with_nns_subnet().with_state(state).build();
    let canister = network.create_canister();
    network.add_cycles(canister, 10_000_000_000_000);
    network.install_canister(canister, wat::parse_str(COUNTER).unwrap(), vec![], None);
    for _ in 0..2 {
        increment(&network, canister);
    }
    (network, canister)
}

fn increment(network: &PocketIc, canister: Principal) {
    network.update_call(canister, Principal::anonymous(), "increment", vec![]).unwrap();
}

fn read(network: &PocketIc, canister: Principal) -> [u32; 2] {
    let reply = network.query_call(canister, Principal::anonymous(), "read", vec![]).unwrap();
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    [number(&reply[..4]), number(&reply[4..])]
}

/// Asks for an instance with a state directory and returns the sentence with which it is refused.
fn refusal(state_dir: PathBuf) -> String {
    let set = ExtendedSubnetConfigSet { application: vec![SubnetSpec::default()], ..Default::default() };
    let config = InstanceConfig { subnet_config_set: set, state_dir: Some(state_dir), ..Default::default() };
    let answer = Client::new().post(format!("{}instances", LocalNet::shared().url())).json(&config).send().unwrap();
    assert_eq!(answer.status(), 400);
    let answer: serde_json::Value = answer.json().unwrap();
    answer["Error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn should_give_subnets_and_canisters_back() {
    let (network, canister) = start(PocketIcState::new());
    network.set_time(Time::from_nanos_since_unix_epoch(1_700_000_000_000_000_000));
    let (topology, cycles) = (network.topology(), network.cycle_balance(canister));
    let root_key = network.root_key().unwrap();
    // It waits for a round; on the way down there is one.
    network.submit_call(canister, Principal::anonymous(), "increment", vec![]).unwrap();
    let state = network.drop_and_take_state().unwrap();

    let network = builder().with_state(state).build();
    assert_eq!(network.topology(), topology);
    assert_eq!(network.root_key().unwrap(), root_key);
    assert_eq!(read(&network, canister), [3, 3]);
    assert!(network.cycle_balance(canister) < cycles, "the last call was paid for");
    assert!(network.get_time().as_nanos_since_unix_epoch() >= 1_700_000_000_000_000_000);
    increment(&network, canister);
    assert_eq!(read(&network, canister), [4, 4]);
    assert_ne!(network.create_canister(), canister);
}

#[test]
fn should_leave_a_read_only_state_as_it_is() {
    let (network, canister) = start(PocketIcState::new());
    let state = network.drop_and_take_state().unwrap();
    for _ in 0..2 {
        let network = builder().with_read_only_state(&state).build();
        assert_eq!(read(&network, canister), [2, 2]);
        increment(&network, canister);
    }
}

#[test]
fn should_keep_what_an_instance_did_in_a_folder_of_the_user() {
    let path = std::env::temp_dir().join(format!("localnet-user-{}", std::process::id()));
    let (network, canister) = start(PocketIcState::new_from_path(path.clone()));
    let text = refusal(path.clone());
    assert!(text.contains("is used by another network") && text.contains(path.to_str().unwrap()), "{text}");
    drop(network);
    let network = builder().with_state_dir(path.clone()).build();
    assert_eq!(read(&network, canister), [2, 2]);
    drop(network);
    fs::write(path.join("notes.txt"), "mine").unwrap();
    let text = refusal(path.clone());
    assert!(text.contains("notes.txt"), "{text}");
    fs::remove_file(path.join("notes.txt")).unwrap();
    fs::remove_dir_all(path).unwrap();
}
