//! Tests of certified data: who gets its certificate, and what becomes of it.

use candid::Principal;
use ic_certification::LookupResult;
use ic_management_canister_types::{CanisterInstallMode, InstallCodeArgs, UninstallCodeArgs};

use super::{
    certificates::{certify, decode, path, value, verify},
    fixture::*,
};
use crate::{error::ErrorCode, network::Network};

/// A canister that certifies what it gets as argument, and answers queries with the certificate. `nested` is a
/// composite query that asks another canister (first 10 bytes of the argument) for `present_in_query`, and then replies
/// with what it is answered and with whether it has a certificate itself in its callback.
pub(super) const CERTIFYING: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (import "ic0" "data_certificate_present" (func $present (result i32)))
    (import "ic0" "data_certificate_size" (func $size (result i32)))
    (import "ic0" "data_certificate_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "root_key_size" (func $root_size (result i32)))
    (import "ic0" "root_key_copy" (func $root_copy (param i32 i32 i32)))
    (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 1)
    (table 1 funcref)
    (elem (i32.const 0) $callback)
    (data (i32.const 500) "present_in_query")
    (func $reply_present
        (i32.store8 (i32.const 600) (call $present))
        (call $append (i32.const 600) (i32.const 1))
        (call $reply))
    (func $callback (param i32)
        (call $arg_copy (i32.const 700) (i32.const 0) (call $arg_size))
        (call $append (i32.const 700) (call $arg_size))
        (call $reply_present))
    (func (export "canister_update certify")
        (call $arg_copy (i32.const 0) (i32.const 0) (call $arg_size))
        (call $certify (i32.const 0) (call $arg_size))
        (call $reply))
    (func (export "canister_update root_key")
        (call $root_copy (i32.const 0) (i32.const 0) (call $root_size))
        (call $append (i32.const 0) (call $root_size))
        (call $reply))
    (func (export "canister_update present") (call $reply_present))
    (func (export "canister_query present_in_query") (call $reply_present))
    (func (export "canister_query certificate")
        (call $copy (i32.const 1000) (i32.const 0) (call $size))
        (call $append (i32.const 1000) (call $size))
        (call $reply))
    (func (export "canister_composite_query composite_certificate")
        (call $copy (i32.const 1000) (i32.const 0) (call $size))
        (call $append (i32.const 1000) (call $size))
        (call $reply))
    (func (export "canister_composite_query nested")
        (call $arg_copy (i32.const 0) (i32.const 0) (call $arg_size))
        (call $call_new (i32.const 0) (i32.const 10) (i32.const 500) (i32.const 16)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (drop (call $perform)))
)"#;

#[test]
fn should_show_certified_data_after_the_round_that_set_it() {
    let mut network = network(2);
    let a = install(&mut network, 1, CERTIFYING);
    network.tick();
    let certified = |network: &mut Network, method| {
        let certificate = decode(&query(network, a, method, vec![]).unwrap());
        verify(network, &certificate, a).unwrap();
        value(&certificate, &[b"canister", a.as_slice(), b"certified_data"]).to_vec()
    };
    assert_eq!(certified(&mut network, "certificate"), b"");
    let (id, _) = network.submit_ingress(call(a, "certify", b"root".to_vec())).unwrap();
    assert_eq!(certified(&mut network, "certificate"), b"");
    network.tick();
    assert!(network.ingress_status(&id, None).unwrap().is_some());
    assert_eq!(certified(&mut network, "certificate"), b"root");
    assert_eq!(certified(&mut network, "composite_certificate"), b"root");
}

#[test]
fn should_give_the_certificate_to_the_query_of_the_user_only() {
    let mut network = network(1);
    let (a, b) = (install(&mut network, 0, CERTIFYING), install(&mut network, 0, CERTIFYING));
    assert_eq!(query(&mut network, a, "present_in_query", vec![]).unwrap(), [1]);
    assert_eq!(query(&mut network, a, "nested", to(b, "present_in_query")).unwrap(), [0, 0]);
    assert_eq!(update(&mut network, a, "present", vec![]).unwrap(), [0]);
    assert_eq!(update(&mut network, a, "present_in_query", vec![]).unwrap(), [0]);
    let error = update(&mut network, a, "certificate", vec![]).unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterContractViolation);
}

#[test]
fn should_show_canisters_the_real_root_key() {
    let mut network = network(2);
    let a = install(&mut network, 1, CERTIFYING);
    let key = update(&mut network, a, "root_key", vec![]).unwrap();
    assert_eq!(key, *network.root_key());
    assert_eq!(Principal::self_authenticating(&key), network.order[0]);
}

#[test]
fn should_keep_and_clear_certified_data_with_the_code() {
    let mut network = network(1);
    let a = install(&mut network, 0, CERTIFYING);
    update(&mut network, a, "certify", b"data".to_vec()).unwrap();
    let management = Principal::management_canister();
    let manage = |network: &mut Network, method: &str, payload: Vec<u8>| {
        update(network, management, method, payload).unwrap();
    };
    let data = |network: &mut Network| {
        let labels: [&[u8]; 3] = [b"canister", a.as_slice(), b"certified_data"];
        let certificate = certify(network, a, &[path(&labels)]);
        match certificate.tree.lookup_path(labels) {
            LookupResult::Found(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    };
    let code = |mode| {
        candid::encode_one(InstallCodeArgs {
            mode,
            canister_id: a,
            wasm_module: wat::parse_str(CERTIFYING).unwrap(),
            arg: vec![],
            sender_canister_version: None,
        })
        .unwrap()
    };
    assert_eq!(data(&mut network).unwrap(), b"data");
    manage(&mut network, "install_code", code(CanisterInstallMode::Upgrade(None)));
    assert_eq!(data(&mut network).unwrap(), b"data");
    manage(&mut network, "install_code", code(CanisterInstallMode::Reinstall));
    assert_eq!(data(&mut network).unwrap(), b"");
    update(&mut network, a, "certify", b"more".to_vec()).unwrap();
    assert_eq!(data(&mut network).unwrap(), b"more");
    let uninstall = UninstallCodeArgs { canister_id: a, sender_canister_version: None };
    manage(&mut network, "uninstall_code", candid::encode_one(uninstall).unwrap());
    assert_eq!(data(&mut network), None);
}
