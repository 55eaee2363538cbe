//! Requests made by hand: status codes, texts, and what is answered to what is wrong.

use std::{
    thread,
    time::{Duration, Instant},
};

use candid::{Encode, Principal};
use ciborium::{Value, cbor};
use ic_certification::LookupResult;
use localnet::LocalNet;
use pocket_ic::PocketIcBuilder;
use reqwest::{Method, blocking::Client};

use super::network::*;

fn paths(canister: Principal) -> [String; 3] {
    ["v2", "v3", "v4"].map(|version| format!("api/{version}/canister/{canister}/call"))
}

fn status_of(answer: &Answer, id: &[u8; 32]) -> String {
    let certificate = answer.certificate();
    let path: [&[u8]; 3] = [b"request_status", id, b"status"];
    match certificate.tree.lookup_path(path) {
        LookupResult::Found(status) => String::from_utf8(status.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}

#[test]
fn should_tell_its_root_key_and_that_it_is_healthy() {
    let network = Network::still();
    let status = network.send(Method::GET, "api/v2/status", None, "").cbor();
    assert_eq!(text(&status, "replica_health_status"), "healthy");
    let key = field(&status, "root_key");
    assert_eq!(key.as_bytes().unwrap(), &network.pic.root_key().unwrap());
    assert_eq!(key.as_bytes().unwrap().len(), 133);
}

#[test]
fn should_let_calls_in_without_waiting_in_version_2() {
    let network = Network::live();
    let canister = network.canister();
    let [v2, ..] = paths(canister);
    let content = call(&network, canister, "increment", &[]);
    let answer = network.ask(&v2, &content);
    assert_eq!((answer.status, answer.bytes.len()), (202, 0));
    let id = request_id(&content);
    let begin = Instant::now();
    loop {
        let request = read_state(&[vec![b"request_status", &id]]);
        let answer = network.ask(&format!("api/v2/canister/{canister}/read_state"), &request);
        if status_of(&answer, &id) == "replied" {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn should_wait_for_answers_in_versions_3_and_4() {
    let network = Network::live();
    let canister = network.canister();
    let [_, v3, v4] = paths(canister);
    for path in [v3, v4] {
        for (method, expected) in [("increment", "replied"), ("refuse", "rejected"), ("fail", "rejected")] {
            let mut content = call(&network, canister, method, &[]);
            content.as_map_mut().unwrap().push((Value::Text("nonce".to_owned()), blob(&path.as_bytes()[..6])));
            let answer = network.ask(&path, &content);
            assert_eq!(text(&answer.cbor(), "status"), "replied");
            assert_eq!(status_of(&answer, &request_id(&content)), expected);
        }
    }
}

#[test]
fn should_wait_for_rounds_that_come_from_ticks() {
    let network = Network::still();
    let canister = network.canister();
    let [_, v3, _] = paths(canister);
    let content = call(&network, canister, "increment", &[]);
    let (url, body) = (format!("{}{v3}", network.url()), envelope(&content));
    let waiting = thread::spawn(move || {
        let answer = Client::new().post(url).header("content-type", "application/cbor").body(body).send().unwrap();
        answer.status().as_u16()
    });
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "there was no round yet");
    network.pic.tick();
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn should_answer_202_when_no_answer_comes_in_time() {
    let network = Network::still();
    let canister = network.canister();
    let [_, v3, _] = paths(canister);
    let begin = Instant::now();
    let answer = network.ask(&v3, &call(&network, canister, "increment", &[]));
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(begin.elapsed() >= Duration::from_secs(10));
    assert!(answer.text().contains("did not complete"), "{}", answer.text());
}

#[test]
fn should_execute_a_message_once_however_often_it_comes() {
    let network = Network::live();
    let canister = network.canister();
    let [v2, v3, v4] = paths(canister);
    let content = call(&network, canister, "increment", &[]);
    let answers: Vec<Answer> = [&v3, &v4, &v3].map(|path| network.ask(path, &content)).to_vec();
    assert_eq!(network.ask(&v2, &content).status, 202);
    // Several at the same time, too.
    let together = call(&network, canister, "increment", b"other");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let answer = network.ask(&v4, &together);
                assert_eq!(status_of(&answer, &request_id(&together)), "replied");
            });
        }
    });
    for answer in &answers {
        assert_eq!(status_of(answer, &request_id(&content)), "replied");
    }
    let count = network.ask(&format!("api/v3/canister/{canister}/query"), &query(canister, "read", &[])).cbor();
    assert_eq!(field(&field(&count, "reply"), "arg").as_bytes().unwrap(), &[2, 0, 0, 0]);
}

#[test]
fn should_execute_a_message_once_until_it_expires() {
    let network = Network::still();
    let canister = network.canister();
    let [v2, ..] = paths(canister);
    let expiry = time(&network) + 330_000_000_000;
    let content = invocation("call", canister, "increment", &[], expiry);
    assert_eq!(network.ask(&v2, &content).status, 202);
    network.pic.tick();
    network.pic.advance_time(Duration::from_secs(320));
    network.pic.tick();
    assert_eq!(network.ask(&v2, &content).status, 202);
    network.pic.tick();
    let count = network.ask(&format!("api/v3/canister/{canister}/query"), &query(canister, "read", &[])).cbor();
    assert_eq!(field(&field(&count, "reply"), "arg").as_bytes().unwrap(), &[1, 0, 0, 0]);
    network.pic.advance_time(Duration::from_secs(11));
    let late = network.ask(&v2, &content);
    assert_eq!(late.status, 400);
    assert!(late.text().starts_with("Specified ingress_expiry not within expected range:"), "{}", late.text());
}

#[test]
fn should_tell_why_a_call_is_not_let_in() {
    let network = Network::live();
    let canister = network.canister();
    let [v2, v3, v4] = paths(canister);
    let content = call(&network, canister, "hidden", &[1]);
    for path in [v3, v4] {
        let refused = network.ask(&path, &content).cbor();
        assert_eq!(text(&refused, "status"), "non_replicated_rejection");
        assert_eq!(text(&refused, "error_code"), "IC0406");
        assert_eq!(text(&refused, "reject_message"), "Canister rejected the message");
        assert_eq!(field(&refused, "reject_code"), Value::Integer(4.into()));
    }
    let refused = network.ask(&v2, &content).cbor();
    assert_eq!(text(&refused, "error_code"), "IC0406");
    assert!(refused.as_map().unwrap().iter().all(|(key, _)| key.as_text() != Some("status")));
    let missing =
        Principal::from_slice(&[network.first_canister_id(false).as_slice()[..7].to_vec(), vec![99, 1, 1]].concat());
    let answer = network.ask(&paths(missing)[1], &call(&network, missing, "x", &[])).cbor();
    assert_eq!(text(&answer, "error_code"), "IC0301");
}

#[test]
fn should_charge_for_the_bytes_of_the_envelope() {
    let network = Network::still();
    let canister = network.canister();
    let price = |nonce: &[u8]| {
        let mut content = call(&network, canister, "refuse", &[]);
        let entries = content.as_map_mut().unwrap();
        entries.push((Value::Text("nonce".to_owned()), blob(nonce)));
        let before = network.pic.cycle_balance(canister);
        assert_eq!(network.ask(&paths(canister)[0], &content).status, 202);
        network.pic.tick();
        (before - network.pic.cycle_balance(canister), envelope(&content).len() as u128)
    };
    let ((one, one_bytes), (two, two_bytes)) = (price(&[1]), price(&[2; 21]));
    assert_eq!(two_bytes - one_bytes, 20);
    assert_eq!(two - one, 20 * 2_000);
}

#[test]
fn should_bound_the_size_of_calls_by_subnet() {
    let network = Network::still();
    let canister = network.canister();
    let with_size = |size: usize, canister: Principal| {
        let bytes = |length: usize| envelope(&call(&network, canister, "echo", &vec![0; length]));
        let overhead = bytes(1 << 20).len() - (1 << 20);
        let bytes = bytes(size - overhead);
        assert_eq!(bytes.len(), size);
        network.post(&paths(canister)[0], bytes)
    };
    assert_eq!(with_size(2 << 20, canister).status, 202);
    let large = with_size((2 << 20) + 1, canister);
    assert_eq!(large.status, 413);
    assert!(large.text().contains("is larger than the max allowed 2097152."), "{}", large.text());
    let subnet = network.pic.topology().get_nns().unwrap();
    let system = network.pic.create_canister_on_subnet(None, None, subnet);
    network.pic.install_canister(system, super::canister::wasm(), vec![], None);
    assert_eq!(with_size(7 << 19, system).status, 202);
    assert_eq!(with_size((7 << 19) + 1, system).status, 413);
    // Queries are bounded by the body only.
    let body = envelope(&query(canister, "read", &vec![0; 4 << 20]));
    assert_eq!(network.post(&format!("api/v3/canister/{canister}/query"), body).status, 200);
    let body = vec![0; (5 << 20) + 1];
    assert_eq!(network.post(&format!("api/v3/canister/{canister}/query"), body).status, 413);
}

#[test]
fn should_refuse_canisters_that_the_path_does_not_name() {
    let network = Network::still();
    let (canister, other) = (network.canister(), network.canister());
    for (path, content) in [
        (paths(other)[0].clone(), call(&network, canister, "increment", &[])),
        (paths(other)[1].clone(), call(&network, canister, "increment", &[])),
        (format!("api/v3/canister/{other}/query"), query(canister, "read", &[])),
    ] {
        let answer = network.ask(&path, &content);
        assert_eq!(
            (answer.status, answer.text()),
            (400, format!("Specified CanisterId {canister} does not match effective canister id in URL {other}"))
        );
    }
    let nowhere = Principal::from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    let answer = network.ask(&format!("api/v3/canister/{nowhere}/query"), &query(nowhere, "read", &[]));
    assert_eq!((answer.status, answer.text()), (400, format!("Canister {nowhere} does not belong to any subnet.")));
}

#[test]
fn should_create_canisters_by_the_id_of_a_subnet_and_nothing_else() {
    let network = Network::live();
    let subnet = network.pic.topology().get_app_subnets()[0];
    let path = format!("api/v4/subnet/{subnet}/call");
    let arg = Encode!(&ic_management_canister_types::ProvisionalCreateCanisterWithCyclesArgs::default()).unwrap();
    let management = Principal::management_canister();
    let content = call(&network, management, "provisional_create_canister_with_cycles", &arg);
    let answer = network.ask(&path, &content);
    assert_eq!(status_of(&answer, &request_id(&content)), "replied");
    let other = network.ask(&path, &call(&network, management, "start_canister", &arg));
    assert_eq!((other.status, other.text().contains("Only canister creation")), (400, true));
    let canister = network.canister();
    assert_eq!(network.ask(&path, &call(&network, canister, "increment", &[])).status, 400);
    let unknown = network.ask(&format!("api/v4/subnet/{canister}/call"), &content);
    assert_eq!((unknown.status, unknown.text()), (400, format!("Subnet {canister} not found.")));
    let query = network.ask(&format!("api/v3/subnet/{subnet}/query"), &query(management, "canister_status", &[]));
    assert_eq!((query.status, query.text().contains("Only list_canisters")), (400, true));
    let listed = network
        .ask(&format!("api/v3/subnet/{subnet}/query"), &super::network::query(management, "list_canisters", &[]));
    assert_eq!(text(&listed.cbor(), "status"), "rejected", "there are no subnet admins");
}

#[test]
fn should_believe_anybody_when_told_so() {
    let url = LocalNet::shared().url().parse().unwrap();
    let pic =
        PocketIcBuilder::new().with_server_url(url).with_application_subnet().disable_ingress_validation().build();
    let network = Network { pic };
    network.pic.auto_progress();
    let canister = network.canister();
    let mut content = invocation("call", canister, "caller", &[], u64::MAX);
    for (key, value) in content.as_map_mut().unwrap() {
        if key.as_text() == Some("sender") {
            *value = blob(&[1, 2, 3]);
        }
    }
    let envelope = cbor!({ "content" => content, "sender_pubkey" => blob(b"no key"), "sender_sig" => blob(b"none") });
    let answer = network.post(&paths(canister)[1], encode(&envelope.unwrap()));
    let certificate = answer.certificate();
    let id = request_id(&content);
    let path: [&[u8]; 3] = [b"request_status", &id, b"reply"];
    assert_eq!(certificate.tree.lookup_path(path), LookupResult::Found(&[1, 2, 3]));
}

#[test]
fn should_refuse_what_is_not_signed_by_its_sender() {
    let network = Network::still();
    let canister = network.canister();
    let mut content = call(&network, canister, "increment", &[]);
    for (key, value) in content.as_map_mut().unwrap() {
        if key.as_text() == Some("sender") {
            *value = blob(&[1, 2, 3]);
        }
    }
    let answer = network.ask(&paths(canister)[1], &content);
    assert_eq!(answer.status, 400);
    assert!(answer.text().starts_with("Missing signature from user:"), "{}", answer.text());
}

#[test]
fn should_refuse_other_paths_methods_and_content_types() {
    let network = Network::still();
    let canister = network.canister();
    let body = || envelope(&query(canister, "read", &[]));
    let path = format!("api/v3/canister/{canister}/query");
    for (path, status) in [
        (format!("api/v5/canister/{canister}/query"), 404),
        (format!("api/v1/canister/{canister}/query"), 404),
        (format!("api/v4/canister/{canister}/query"), 404),
        (format!("api/v3/canister/{canister}/other"), 404),
        ("api/".to_owned(), 404),
        ("api/v2".to_owned(), 404),
        ("api/v3/canister/not-a-principal/query".to_owned(), 400),
        ("api/v3/canister/%ff/query".to_owned(), 400),
    ] {
        assert_eq!(network.post(&path, body()).status, status, "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(network.send(method, &path, Some("application/cbor"), body()).status, 405);
    }
    for content_type in [None, Some("application/json"), Some("text/plain")] {
        let answer = network.send(Method::POST, &path, content_type, body());
        assert_eq!(
            (answer.status, answer.text()),
            (400, "Unexpected content-type, expected application/cbor.".to_owned())
        );
    }
    assert_eq!(network.post("api/v2/status", "").status, 405);
    let answer = network.post(&path, "not cbor");
    assert_eq!(answer.status, 400);
    assert!(answer.content_type.starts_with("text/plain"), "{}", answer.content_type);
    assert!(answer.text().starts_with("Failed to deserialize cbor request:"), "{}", answer.text());
}

#[test]
fn should_let_browsers_of_any_origin_in() {
    let network = Network::still();
    let url = format!("{}api/v3/canister/{}/query", network.url(), network.canister());
    let preflight = Client::new()
        .request(Method::OPTIONS, &url)
        .header("origin", "http://example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .unwrap();
    assert_eq!(preflight.status(), 200);
    for name in ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"] {
        assert!(preflight.headers().contains_key(name), "{name}");
    }
    let answer = Client::new().post(&url).header("origin", "http://example.org").send().unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["access-control-allow-origin"] == "*"), (400, true));
}

#[test]
fn should_sign_the_answers_of_queries() {
    let network = Network::still();
    let canister = network.canister();
    for version in ["v2", "v3"] {
        for (method, status) in [("read", "replied"), ("refuse_query", "rejected")] {
            let content = query(canister, method, &[]);
            let answer = network.ask(&format!("api/{version}/canister/{canister}/query"), &content).cbor();
            assert_eq!(text(&answer, "status"), status);
            let signatures = field(&answer, "signatures");
            let signature = &signatures.as_array().unwrap()[0];
            assert_eq!(field(signature, "signature").as_bytes().unwrap().len(), 64);
            assert_eq!(field(signature, "identity").as_bytes().unwrap().len(), 29);
            assert_eq!(field(signature, "timestamp"), Value::Integer(time(&network).into()));
        }
    }
}

#[test]
fn should_verify_canister_signatures_for_tests() {
    let network = Network::still();
    let root_key = network.pic.root_key().unwrap();
    let verify =
        |public_key: Vec<u8>| network.pic.verify_canister_signature(vec![1], vec![2], public_key, root_key.clone());
    let canister = network.canister();
    let mut key = vec![
        0x30, 0, 0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02, 0x03, 12, 0, 10,
    ];
    key.extend(canister.as_slice());
    key[1] = key.len() as u8 - 2;
    let wrong = verify(key).unwrap_err();
    assert!(wrong.contains("Invalid canister signature"), "{wrong}");
    let malformed = verify(vec![1, 2, 3]).unwrap_err();
    assert!(malformed.contains("Invalid public key"), "{malformed}");
}

#[test]
fn should_certify_with_proofs_of_absence() {
    let network = Network::still();
    let canister = network.canister();
    let request = read_state(&[vec![b"request_status", &[7; 32]]]);
    let certificate = network.ask(&format!("api/v3/canister/{canister}/read_state"), &request).certificate();
    let path: [&[u8]; 3] = [b"request_status", &[7; 32], b"status"];
    assert_eq!(certificate.tree.lookup_path(path), LookupResult::Absent);
    assert!(matches!(certificate.tree.lookup_path([b"time"]), LookupResult::Found(_)));
}
