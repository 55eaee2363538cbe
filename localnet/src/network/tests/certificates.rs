//! Tests of certificates, with the verification that clients use.

use std::time::Duration;

use candid::Principal;
use ic_cbor::CertificateToCbor;
use ic_certificate_verification::{CertificateVerificationError, VerifyCertificate};
use ic_certification::{Certificate, LookupResult, SubtreeLookupResult};
use pocket_ic::common::rest::SubnetSpec;
use sha2::{Digest, Sha256};

use super::fixture::*;
use crate::{
    canister::{Canister, Settings, Status},
    error::{ErrorCode, RejectCode},
    message::MessageId,
    network::{Envelope, Network, RequestStatus, canister_id, ingress_history::MAX_HISTORY_MESSAGES, test_config},
};

/// Age at which the tests take a certificate for outdated, in ns.
const MAX_AGE: u128 = 300_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A canister that certifies what it gets as argument, and answers queries with the certificate. `nested` is a
/// composite query that asks another canister (first 10 bytes of the argument) for `present_in_query`, and then replies with what it is
/// answered and with whether it has a certificate itself in its callback.
const CERTIFYING: &str = r#"(module
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

fn decode(certificate: &[u8]) -> Certificate {
    assert_eq!(certificate[..3], [0xd9, 0xd9, 0xf7], "a certificate describes itself as CBOR");
    Certificate::from_cbor(certificate).unwrap()
}

fn path(labels: &[&[u8]]) -> Vec<Vec<u8>> {
    labels.iter().map(|label| label.to_vec()).collect()
}

/// Returns the certificate of a subnet for some paths, after verifying that it speaks for the canister.
fn certify(network: &mut Network, canister: Principal, paths: &[Vec<Vec<u8>>]) -> Certificate {
    let subnet = network.subnet_of(canister).unwrap();
    let certificate = decode(&network.certificate(subnet, paths));
    verify(network, &certificate, canister).unwrap();
    certificate
}

fn verify(
    network: &Network,
    certificate: &Certificate,
    canister: Principal,
) -> Result<(), CertificateVerificationError> {
    let now = u128::from(network.certified_time());
    certificate.verify(canister.as_slice(), &network.root_key(), &now, &MAX_AGE)
}

fn value<'a>(certificate: &'a Certificate, labels: &[&[u8]]) -> &'a [u8] {
    match certificate.tree.lookup_path(labels) {
        LookupResult::Found(bytes) => bytes,
        other => panic!("{labels:?}: {other:?}"),
    }
}

fn leb128(mut bytes: &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let [byte, rest @ ..] = bytes {
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        bytes = rest;
    }
    number
}

#[test]
fn should_certify_the_time_of_the_last_round_without_delegation_on_the_root_subnet() {
    let mut network = network(2);
    let a = actor(&mut network, 0);
    network.set_time(network.time() + SECOND).unwrap();
    let certificate = certify(&mut network, a, &[]);
    assert!(certificate.delegation.is_none());
    assert_eq!(leb128(value(&certificate, &[b"time"])), network.certified_time());
    assert!(network.certified_time() < network.time());
    network.tick();
    let certificate = certify(&mut network, a, &[]);
    assert_eq!(leb128(value(&certificate, &[b"time"])), network.time());
}

#[test]
fn should_delegate_to_the_other_subnets_within_their_ranges() {
    let mut network = network(3);
    let canisters: Vec<Principal> = (0..3).map(|subnet| actor(&mut network, subnet)).collect();
    for index in [1, 2] {
        let certificate = certify(&mut network, canisters[index], &[]);
        let delegation = certificate.delegation.clone().unwrap();
        assert_eq!(delegation.subnet_id, network.order[index].as_slice());
        let other = verify(&network, &certificate, canisters[3 - index]);
        assert!(matches!(other, Err(CertificateVerificationError::PrincipalOutOfRange { .. })), "{other:?}");
        let inner = decode(&delegation.certificate);
        assert!(inner.delegation.is_none());
        let id = network.order[index];
        let old_form = value(&inner, &[b"subnet", id.as_slice(), b"canister_ranges"]);
        let (first, _) = network.subnets[&id].ranges[0];
        let new_form = value(&inner, &[b"canister_ranges", id.as_slice(), first.as_slice()]);
        assert_eq!(old_form, new_form);
        let key = value(&inner, &[b"subnet", id.as_slice(), b"public_key"]);
        assert_eq!(Principal::self_authenticating(key), id);
        // Nothing is said of the other subnets.
        let of_other = inner.tree.lookup_path([b"subnet", network.order[3 - index].as_slice(), b"public_key"]);
        assert_eq!(of_other, LookupResult::Unknown);
    }
}

#[test]
fn should_make_delegations_anew_when_they_grow_old() {
    let mut network = network(2);
    let a = actor(&mut network, 1);
    let made = |network: &mut Network| {
        let delegation = certify(network, a, &[]).delegation.unwrap();
        leb128(value(&decode(&delegation.certificate), &[b"time"]))
    };
    let first = made(&mut network);
    for (seconds, renewed) in [(599, false), (1, true)] {
        network.set_time(network.time() + seconds * SECOND).unwrap();
        network.tick();
        assert_eq!(made(&mut network) != first, renewed, "after {seconds} more seconds");
    }
}

#[test]
fn should_sign_each_state_once() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    network.tick();
    let first = certify(&mut network, a, &[]);
    let second = certify(&mut network, a, &[path(&[b"canister", a.as_slice(), b"controllers"])]);
    assert_eq!((first.signature.clone(), first.tree.digest()), (second.signature, second.tree.digest()));
    network.tick();
    assert_ne!(certify(&mut network, a, &[]).signature, first.signature);
}

/// Changes single bits all over a certificate: what still decodes to something else is refused.
#[test]
fn should_not_verify_when_anything_was_changed() {
    let mut network = network(2);
    let a = actor(&mut network, 1);
    let paths = [path(&[b"canister", a.as_slice(), b"controllers"])];
    let bytes = network.certificate(network.order[1], &paths);
    let genuine = decode(&bytes);
    verify(&network, &genuine, a).unwrap();
    let mut refused = 0;
    for index in (3..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[index] ^= 1 << (index % 8);
        let Ok(changed) = Certificate::from_cbor(&changed) else { continue };
        if changed != genuine {
            verify(&network, &changed, a).unwrap_err();
            refused += 1;
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn should_not_verify_with_parts_of_other_certificates() {
    let mut network = network(3);
    let (a, b) = (actor(&mut network, 1), actor(&mut network, 2));
    network.tick();
    let (of_a, of_b) = (certify(&mut network, a, &[]), certify(&mut network, b, &[]));
    for forged in [
        Certificate { delegation: None, ..of_a.clone() },
        Certificate { delegation: of_b.delegation, ..of_a.clone() },
        Certificate { signature: of_b.signature, ..of_a.clone() },
        Certificate { tree: of_b.tree, ..of_a.clone() },
    ] {
        verify(&network, &forged, a).unwrap_err();
    }
    verify(&network, &of_a, a).unwrap();
    network.set_time(network.time() + 301 * SECOND).unwrap();
    network.tick();
    let late = verify(&network, &of_a, a);
    assert!(matches!(late, Err(CertificateVerificationError::TimeTooFarInThePast { .. })), "{late:?}");
}

#[test]
fn should_certify_what_a_canister_is() {
    let mut network = network(1);
    let (a, empty) = (actor(&mut network, 0), canister_id(u64::MAX - (1 << 21) + 1000));
    let controllers = vec![Principal::anonymous(), a];
    let subnet = network.order[0];
    let made = Canister::new(empty, Settings::new(controllers.clone()), 0, 0);
    network.subnets.get_mut(&subnet).unwrap().canisters.insert(empty, made);
    network.tick();
    let labels: [&[u8]; 4] = [b"controllers", b"module_hash", b"certified_data", b"metadata"];
    let paths: Vec<_> =
        [a, empty].iter().flat_map(|id| labels.map(|label| path(&[b"canister", id.as_slice(), label]))).collect();
    let certificate = decode(&network.certificate(subnet, &paths));
    let hash = inside(&mut network, a).module().unwrap().hash();
    assert_eq!(value(&certificate, &[b"canister", a.as_slice(), b"module_hash"]), hash);
    assert_eq!(value(&certificate, &[b"canister", a.as_slice(), b"certified_data"]), b"");
    let expected = [&[0xd9, 0xd9, 0xf7, 0x82, 0x4a], a.as_slice(), &[0x41, 4]].concat();
    let mut listed = [a, Principal::anonymous()];
    listed.sort();
    let encoded = value(&certificate, &[b"canister", empty.as_slice(), b"controllers"]);
    assert_eq!(listed[0] == a, encoded == expected, "{encoded:?}");
    assert_eq!(encoded.len(), expected.len());
    for label in &labels[1..] {
        let found = certificate.tree.lookup_path([b"canister".as_slice(), empty.as_slice(), label]);
        assert_eq!(found, LookupResult::Absent, "{}", String::from_utf8_lossy(label));
    }
    let missing = canister_id(7);
    let certificate = certify(&mut network, a, &[path(&[b"canister", missing.as_slice(), b"module_hash"])]);
    let found = certificate.tree.lookup_subtree(&[b"canister".as_slice(), missing.as_slice()]);
    assert_eq!(found, SubtreeLookupResult::Absent);
    assert_eq!(
        certificate.tree.lookup_path([b"canister".as_slice(), a.as_slice(), b"module_hash"]),
        LookupResult::Unknown
    );
}

#[test]
fn should_certify_custom_sections() {
    let mut network = network(1);
    let module = r#"(module (@custom "icp:public candid:service" "service") (@custom "icp:private secret" "42"))"#;
    let a = install(&mut network, 0, module);
    network.tick();
    let certificate = certify(&mut network, a, &[path(&[b"canister", a.as_slice(), b"metadata", b"candid:service"])]);
    let of = |name: &[u8]| certificate.tree.lookup_path([b"canister".as_slice(), a.as_slice(), b"metadata", name]);
    assert_eq!(of(b"candid:service"), LookupResult::Found(b"service"));
    assert_eq!(of(b"secret"), LookupResult::Unknown);
    let certificate = certify(&mut network, a, &[path(&[b"canister", a.as_slice()])]);
    assert_eq!(value(&certificate, &[b"canister", a.as_slice(), b"metadata", b"secret"]), b"42");
    inside(&mut network, a).sandbox = None;
    network.tick();
    let certificate = certify(&mut network, a, &[path(&[b"canister", a.as_slice(), b"metadata", b"candid:service"])]);
    let found = certificate.tree.lookup_path([b"canister".as_slice(), a.as_slice(), b"metadata", b"candid:service"]);
    assert_eq!(found, LookupResult::Absent);
}

fn request(network: &mut Network, canister: Principal, id: &MessageId) -> Certificate {
    certify(network, canister, &[path(&[b"request_status", id])])
}

#[test]
fn should_certify_what_became_of_requests() {
    let mut network = network(2);
    let (a, b) = (actor(&mut network, 0), actor(&mut network, 1));
    let submit = |network: &mut Network, canister, method: &str, payload| {
        network.submit_ingress(call(canister, method, payload)).unwrap().0
    };
    let replied = submit(&mut network, a, "echo", b"hello".to_vec());
    let rejected = submit(&mut network, a, "refuse", vec![]);
    let failed = submit(&mut network, a, "fail", vec![]);
    let open = submit(&mut network, a, "call", to(b, "echo"));
    let status = |certificate: &Certificate, id: &MessageId, label: &str| {
        let path = [b"request_status".as_slice(), id.as_slice(), label.as_bytes()];
        match certificate.tree.lookup_path(path) {
            LookupResult::Found(bytes) => bytes.to_vec(),
            other => panic!("{label}: {other:?}"),
        }
    };
    // What the next round takes in is no part of the state.
    let before = request(&mut network, a, &replied);
    let found = before.tree.lookup_path([b"request_status".as_slice(), &replied, b"status"]);
    assert_eq!((found, network.request_status(&replied)), (LookupResult::Absent, None));
    assert_eq!(network.request_caller(&replied), Some(Principal::anonymous()));
    network.tick();
    let certificate = request(&mut network, a, &replied);
    assert_eq!(status(&certificate, &replied, "status"), b"replied");
    assert_eq!(status(&certificate, &replied, "reply"), b"hello");
    let other = certificate.tree.lookup_path([b"request_status".as_slice(), &rejected, b"status"]);
    assert!(matches!(other, LookupResult::Unknown), "{other:?}");
    let certificate = request(&mut network, a, &rejected);
    assert_eq!(status(&certificate, &rejected, "status"), b"rejected");
    assert_eq!(status(&certificate, &rejected, "reject_code"), [4]);
    assert_eq!(status(&certificate, &rejected, "reject_message"), b"no thanks");
    assert_eq!(status(&certificate, &rejected, "error_code"), b"IC0406");
    let certificate = request(&mut network, a, &failed);
    assert_eq!(status(&certificate, &failed, "error_code"), b"IC0502");
    let certificate = request(&mut network, a, &open);
    assert_eq!(status(&certificate, &open, "status"), b"processing");
    assert_eq!(network.request_status(&open), Some(RequestStatus::Processing));
    for _ in 0..3 {
        network.tick();
    }
    let certificate = request(&mut network, a, &open);
    assert_eq!(status(&certificate, &open, "reply"), b"ping");
    network.set_time(network.time() + 300 * SECOND + 4).unwrap();
    network.tick();
    for id in [replied, rejected, failed, open] {
        let certificate = request(&mut network, a, &id);
        let found = certificate.tree.lookup_path([b"request_status".as_slice(), &id, b"status"]);
        assert_eq!((found, network.request_status(&id)), (LookupResult::Absent, None));
        assert!(network.await_ingress(&id).unwrap_err().contains("not known"));
    }
}

#[test]
fn should_call_messages_received_that_wait_in_a_queue() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let spin = |network: &mut Network| network.submit_ingress(call(a, "spin", vec![])).unwrap().0;
    let (first, second) = (spin(&mut network), spin(&mut network));
    network.tick();
    assert!(matches!(network.request_status(&first), Some(RequestStatus::Replied(_))));
    assert_eq!(network.request_status(&second), Some(RequestStatus::Received));
    let certificate = request(&mut network, a, &second);
    assert_eq!(value(&certificate, &[b"request_status", &second, b"status"]), b"received");
}

#[test]
fn should_execute_a_message_with_the_same_id_once() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let envelope = Envelope { id: [5; 32], expiry: network.time() + 300 * SECOND, bytes: 400 };
    let submit = |network: &mut Network| network.submit_signed(call(a, "bump", vec![]), envelope);
    submit(&mut network).unwrap();
    submit(&mut network).unwrap();
    network.tick();
    submit(&mut network).unwrap();
    network.tick();
    assert_eq!(state(&mut network, a), 1);
    assert_eq!(network.request_status(&[5; 32]), Some(RequestStatus::Replied(vec![])));
}

#[test]
fn should_reject_messages_that_expired_before_they_were_taken_in() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let expiry = network.time() + SECOND;
    for (id, time) in [([1; 32], expiry), ([2; 32], expiry + 1)] {
        network.submit_signed(call(a, "bump", vec![]), Envelope { id, expiry, bytes: 400 }).unwrap();
        network.set_time(time).unwrap();
        network.tick();
    }
    assert_eq!(network.request_status(&[1; 32]), Some(RequestStatus::Replied(vec![])));
    let Some(RequestStatus::Rejected { code, error_code, .. }) = network.request_status(&[2; 32]) else { panic!() };
    assert_eq!((code, error_code), (RejectCode::SysTransient, ErrorCode::IngressMessageTimeout));
}

#[test]
fn should_charge_for_the_bytes_of_the_envelope_and_limit_them() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let mut price = |bytes: usize, id: u8| {
        let before = inside(&mut network, a).balance;
        let envelope = Envelope { id: [id; 32], expiry: network.time() + SECOND, bytes };
        network.submit_signed(call(a, "bump", vec![]), envelope)?;
        network.tick();
        Ok::<_, crate::error::UserError>(before - inside(&mut network, a).balance)
    };
    assert_eq!(price(500, 1).unwrap() - price(400, 2).unwrap(), 100 * 2_000);
    assert!(price(2 << 20, 3).is_ok());
    assert!(price((2 << 20) + 1, 4).unwrap_err().description.contains("2097153"));
}

#[test]
fn should_let_no_message_in_when_the_history_is_full() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let history = &mut network.subnets.get_mut(&network.order[0]).unwrap().ingress;
    for number in 1..MAX_HISTORY_MESSAGES as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        history.submit(id, a);
    }
    network.submit_ingress(call(a, "bump", vec![])).unwrap();
    let error = network.submit_ingress(call(a, "bump", vec![])).unwrap_err();
    assert_eq!(error.code, ErrorCode::IngressHistoryFull);
    network.tick();
    assert_eq!(state(&mut network, a), 1);
}

#[test]
fn should_reject_messages_for_canisters_that_were_stopped_meanwhile() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
    let balance = inside(&mut network, a).balance;
    inside(&mut network, a).status = Status::Stopped;
    network.tick();
    let error = network.ingress_status(&id, None).unwrap().unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::CanisterStopped);
    assert_eq!(inside(&mut network, a).balance, balance);
}

#[test]
fn should_show_the_whole_state_for_the_empty_path() {
    let mut network = network(2);
    let a = actor(&mut network, 0);
    let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
    network.tick();
    let certificate = certify(&mut network, a, &[vec![]]);
    assert_eq!(certificate.tree.digest(), certify(&mut network, a, &[]).tree.digest());
    assert_eq!(value(&certificate, &[b"request_status", &id, b"status"]), b"replied");
    value(&certificate, &[b"canister", a.as_slice(), b"module_hash"]);
    for unknown in [b"api_boundary_nodes".as_slice(), b"streams", b"metadata"] {
        assert_eq!(certificate.tree.lookup_path([unknown, b"x"]), LookupResult::Absent);
    }
}

#[test]
fn should_certify_the_keys_of_the_own_nodes_and_sign_with_them() {
    let mut config = test_config(vec![SubnetSpec::default()]);
    config.subnet_config_set.nns = Some(SubnetSpec::default());
    let mut network = Network::new(&config).unwrap();
    let [nns, application] = network.order[..] else { panic!() };
    assert_eq!(Principal::self_authenticating(network.root_key().as_slice()), nns);
    for (subnet, other, nodes, kind) in
        [(nns, application, 40, b"system".as_slice()), (application, nns, 13, b"application".as_slice())]
    {
        let certificate = decode(&network.certificate(subnet, &[path(&[b"subnet"])]));
        assert_eq!(value(&certificate, &[b"subnet", subnet.as_slice(), b"type"]), kind);
        let SubtreeLookupResult::Found(keys) =
            certificate.tree.lookup_subtree(&[b"subnet".as_slice(), subnet.as_slice(), b"node"])
        else {
            panic!()
        };
        assert_eq!(keys.list_paths().len(), nodes);
        let (node, signature) = network.sign_response(subnet, b"\x0Bic-response and more");
        let key = value(&certificate, &[b"subnet", subnet.as_slice(), b"node", node.as_slice(), b"public_key"]);
        assert_eq!(Principal::self_authenticating(key), node);
        let key = ic_ed25519::PublicKey::deserialize_rfc8410_der(key).unwrap();
        key.verify_signature(b"\x0Bic-response and more", &signature).unwrap();
        for label in [b"node".as_slice(), b"metrics"] {
            let of_other = certificate.tree.lookup_subtree(&[b"subnet".as_slice(), other.as_slice(), label]);
            assert_eq!(of_other, SubtreeLookupResult::Absent);
        }
        // What exists of the other is shown, so that clients find its ranges.
        assert!(!value(&certificate, &[b"subnet", other.as_slice(), b"canister_ranges"]).is_empty());
    }
    assert_eq!(network.subnet_of(canister_id(3)), Some(nns));
}

#[test]
fn should_certify_figures_of_the_subnet() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    let subnet = network.order[0];
    let fields = |network: &mut Network| {
        let certificate = certify(network, a, &[path(&[b"subnet", subnet.as_slice(), b"metrics"])]);
        let bytes = value(&certificate, &[b"subnet", subnet.as_slice(), b"metrics"]);
        let ciborium::Value::Map(fields) = ciborium::from_reader(bytes).unwrap() else { panic!() };
        [0, 1, 3].map(|index: usize| u64::try_from(fields[index].1.as_integer().unwrap()).unwrap())
    };
    network.tick();
    let [canisters, bytes, transactions] = fields(&mut network);
    assert_eq!((canisters, bytes, transactions), (1, inside(&mut network, a).memory_usage(), 0));
    update(&mut network, a, "bump", vec![]).unwrap();
    assert_eq!(fields(&mut network)[2], 1);
}

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
        candid::encode_one(ic_management_canister_types::InstallCodeArgs {
            mode,
            canister_id: a,
            wasm_module: wat::parse_str(CERTIFYING).unwrap(),
            arg: vec![],
            sender_canister_version: None,
        })
        .unwrap()
    };
    use ic_management_canister_types::{CanisterInstallMode, UninstallCodeArgs};
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

/// Returns how long this thread ran, which other load on the machine does not change much.
fn time_on_processor() -> Duration {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(figures.split(' ').next().unwrap().parse().unwrap())
}

/// Prints what certificates cost on a large subnet; the bound is generous, since machines differ.
#[test]
fn should_make_the_next_certificate_of_a_large_subnet_quickly() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    for _ in 0..999 {
        install(&mut network, 0, CERTIFYING);
    }
    let subnet = network.order[0];
    let now = network.time();
    let history = &mut network.subnets.get_mut(&subnet).unwrap().ingress;
    for number in 0..10_000_u64 {
        let id: MessageId = Sha256::digest(number.to_be_bytes()).into();
        history.submit(id, a);
        history.answer(&id, Ok(vec![7; 100]), now);
    }
    network.tick();
    let measure = |what: &str, network: &mut Network, paths: &[Vec<Vec<u8>>]| {
        let start = time_on_processor();
        let certificate = network.certificate(subnet, paths);
        let took = time_on_processor() - start;
        println!("{what}: {took:?}, {} bytes", certificate.len());
        verify(network, &decode(&certificate), a).unwrap();
        took
    };
    measure("first certificate", &mut network, &[]);
    measure("another one of the same round", &mut network, &[path(&[b"canister", a.as_slice(), b"module_hash"])]);
    network.tick();
    measure("one of the next round", &mut network, &[]);
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
        network.tick();
        fastest = fastest.min(measure("after one more call", &mut network, &[path(&[b"request_status", &id])]));
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}
