//! Tests of certificates, with the verification that clients use.

use candid::Principal;
use ic_cbor::CertificateToCbor;
use ic_certificate_verification::{CertificateVerificationError, VerifyCertificate};
use ic_certification::{Certificate, LookupResult, SubtreeLookupResult};
use pocket_ic::common::rest::SubnetSpec;

use super::fixture::*;
use crate::{
    canister::{Canister, Settings},
    network::{Network, canister_id, test_config},
};

/// Age at which the tests take a certificate for outdated, in ns.
const MAX_AGE: u128 = 300_000_000_000;
const SECOND: u64 = 1_000_000_000;

pub(super) fn decode(certificate: &[u8]) -> Certificate {
    assert_eq!(certificate[..3], [0xd9, 0xd9, 0xf7], "a certificate describes itself as CBOR");
    Certificate::from_cbor(certificate).unwrap()
}

pub(super) fn path(labels: &[&[u8]]) -> Vec<Vec<u8>> {
    labels.iter().map(|label| label.to_vec()).collect()
}

/// Returns the certificate of a subnet for some paths, after verifying that it speaks for the canister.
pub(super) fn certify(network: &mut Network, canister: Principal, paths: &[Vec<Vec<u8>>]) -> Certificate {
    let subnet = network.subnet_of(canister).unwrap();
    let certificate = decode(&network.certificate(subnet, paths));
    verify(network, &certificate, canister).unwrap();
    certificate
}

pub(super) fn verify(
    network: &Network,
    certificate: &Certificate,
    canister: Principal,
) -> Result<(), CertificateVerificationError> {
    let now = u128::from(network.certified_time());
    certificate.verify(canister.as_slice(), &network.root_key(), &now, &MAX_AGE)
}

pub(super) fn value<'a>(certificate: &'a Certificate, labels: &[&[u8]]) -> &'a [u8] {
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
