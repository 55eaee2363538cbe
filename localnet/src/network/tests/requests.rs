//! Tests of the history of ingress messages and of its certificates.

use candid::Principal;
use ic_certification::{Certificate, LookupResult};

use super::{
    certificates::{certify, path, value},
    fixture::*,
};
use crate::{
    canister::Status,
    error::{ErrorCode, RejectCode},
    message::MessageId,
    network::{Envelope, Network, RequestStatus, ingress_history::MAX_HISTORY_MESSAGES},
};

const SECOND: u64 = 1_000_000_000;

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
        history.submit(id, a, a, 0);
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
