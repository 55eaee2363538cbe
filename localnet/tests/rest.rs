//! The PocketIC REST protocol, driven by the official client and by raw requests.

use std::{
    io::Write,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use candid::{Principal, encode_args};
use flate2::{Compression, write::GzEncoder};
use localnet::LocalNet;
use pocket_ic::{
    CreateCanisterParams, ErrorCode, IngressStatusResult, PocketIc, PocketIcBuilder, RejectCode, Time,
    common::rest::{BlobCompression, RawEffectivePrincipal},
};
use reqwest::{
    Method,
    blocking::{Client, Response},
};

const GENESIS_NS: u64 = 1_620_328_630_000_000_000;

/// A canister with a counter in its heap: `increment` adds one, `read` returns it as four bytes. `echo` returns its
/// argument, `refuse` rejects with the text "no", and `fail` traps. `hidden` is refused by `inspect_message`.
const COUNTER: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_reject" (func $reject (param i32 i32)))
    (import "ic0" "accept_message" (func $accept))
    (import "ic0" "msg_method_name_size" (func $name_size (result i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (memory 1)
    (data (i32.const 100) "no")
    (func (export "canister_init") (drop (call $grow (i64.const 1))))
    (func (export "canister_update increment")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (call $reply))
    (func (export "canister_query read")
        (call $append (i32.const 0) (i32.const 4))
        (call $reply))
    (func (export "canister_update echo")
        (call $arg_copy (i32.const 1000) (i32.const 0) (call $arg_size))
        (call $append (i32.const 1000) (call $arg_size))
        (call $reply))
    (func (export "canister_update refuse") (call $reject (i32.const 100) (i32.const 2)))
    (func (export "canister_update fail") (unreachable))
    (func (export "canister_update hidden") (call $reply))
    (func (export "canister_inspect_message")
        (if (i32.ne (call $name_size) (i32.const 6)) (then (call $accept)) (else
            (if (i32.eqz (call $arg_size)) (then (call $accept)))))))"#;

fn builder() -> PocketIcBuilder {
    PocketIcBuilder::new().with_server_url(LocalNet::shared().url().parse().unwrap())
}

fn start() -> PocketIc {
    builder().with_application_subnet().build()
}

/// Starts a network with the counter canister on it.
fn start_with_counter() -> (PocketIc, Principal) {
    let network = start();
    let canister = network.create_canister();
    network.add_cycles(canister, 10_000_000_000_000);
    network.install_canister(canister, wat::parse_str(COUNTER).unwrap(), vec![], None);
    (network, canister)
}

/// Sends a request with a JSON body to the shared server.
fn send(method: Method, path: &str, body: &str) -> (u16, String) {
    let request = Client::new()
        .request(method, format!("{}{path}", LocalNet::shared().url()))
        .header("content-type", "application/json")
        .body(body.to_owned());
    status_and_text(request.send().unwrap())
}

fn status_and_text(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().unwrap())
}

/// Returns the sentence of a failure.
fn message(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["message"].as_str().unwrap().to_owned()
}

fn clock_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[test]
fn should_create_and_drop_instances() {
    let network = start();
    let path = format!("instances/{}/read/get_time", network.instance_id());
    assert_eq!(send(Method::GET, &path, "").0, 200);
    let id = network.instance_id();
    drop(network);
    let (status, body) = send(Method::GET, &path, "");
    assert_eq!((status, message(&body)), (404, format!("Instance not found. ID: {id}")));
    let (_, list) = send(Method::GET, "instances", "");
    let list: Vec<String> = serde_json::from_str(&list).unwrap();
    assert_eq!(list[id], "Deleted");
}

#[test]
fn should_close_its_port_when_dropped_also_with_a_client_connected() {
    let server = LocalNet::start().unwrap();
    let url = server.url();
    assert_ne!(url, LocalNet::shared().url());
    let client = Client::new();
    assert_eq!(client.get(format!("{url}status")).send().unwrap().status(), 200);
    let begin = Instant::now();
    drop(server);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(client.get(format!("{url}status")).send().is_err());
}

#[test]
fn should_create_an_instance_within_50_milliseconds() {
    let _warm = start();
    let fastest = (0..5)
        .map(|_| {
            let begin = Instant::now();
            let _network = start();
            begin.elapsed()
        })
        .min()
        .unwrap();
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[test]
fn should_answer_with_and_without_a_slash_at_the_end() {
    let network = start();
    let id = network.instance_id();
    for path in ["status", "instances", &format!("instances/{id}/read/topology"), &format!("instances/{id}/_/topology")]
    {
        assert_eq!(send(Method::GET, path, "").0, 200, "{path}");
        assert_eq!(send(Method::GET, &format!("{path}/"), "").0, 200, "{path}/");
    }
}

#[test]
fn should_describe_subnets() {
    let network = builder().with_nns_subnet().with_application_subnet().with_application_subnet().build();
    let topology = network.topology();
    let nns = topology.get_nns().unwrap();
    assert_eq!(topology.get_app_subnets().len(), 2);
    assert_eq!(Principal::self_authenticating(network.root_key().unwrap()), nns);
    assert_eq!(start().root_key(), None);
}

#[test]
fn should_refuse_configurations_with_a_reason() {
    let panic = std::panic::catch_unwind(|| builder().build()).err().unwrap();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("at least one subnet"), "{text}");
    let (status, body) = send(Method::POST, "instances", r#"{"subnet_config_set": 5}"#);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 400);
    assert!(body["Error"]["message"].as_str().unwrap().contains("subnet_config_set"), "{body}");
}

#[test]
fn should_move_time_as_asked_and_by_a_nanosecond_each_round() {
    let network = start();
    let now = || network.get_time().as_nanos_since_unix_epoch();
    assert_eq!(now(), GENESIS_NS);
    network.tick();
    assert_eq!(now(), GENESIS_NS + 1);
    network.advance_time(Duration::from_secs(60));
    assert_eq!(now(), GENESIS_NS + 60_000_000_001);
    network.tick();
    assert_eq!(now(), GENESIS_NS + 60_000_000_001);
    let later = GENESIS_NS + 90_000_000_000;
    network.set_certified_time(Time::from_nanos_since_unix_epoch(later));
    assert_eq!(now(), later);
    let past = format!(r#"{{"nanos_since_epoch":{GENESIS_NS}}}"#);
    for endpoint in ["set_time", "set_certified_time"] {
        let path = format!("instances/{}/update/{endpoint}", network.instance_id());
        let (status, body) = send(Method::POST, &path, &past);
        assert_eq!(status, 400);
        assert!(message(&body).contains("SettingTimeIntoPast"), "{body}");
    }
    assert_eq!(now(), later);
}

#[test]
fn should_follow_the_clock_in_auto_progress() {
    let (network, canister) = start_with_counter();
    assert!(!network.auto_progress_enabled());
    let before = clock_ns();
    network.auto_progress();
    assert!(network.auto_progress_enabled());
    let first = network.get_time().as_nanos_since_unix_epoch();
    assert!(first >= before);
    let again = send(Method::POST, &format!("instances/{}/auto_progress", network.instance_id()), "{}");
    assert_eq!(again.0, 400);
    assert!(message(&again.1).contains("already"));

    // Nobody but auto progress executes the message.
    let id = network.submit_call(canister, Principal::anonymous(), "increment", vec![]).unwrap();
    network.await_call_no_ticks(id).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while network.get_time().as_nanos_since_unix_epoch() <= first {
        assert!(Instant::now() < deadline, "time stands still");
        std::thread::sleep(Duration::from_millis(10));
    }
    network.stop_progress();
    assert!(!network.auto_progress_enabled());
    let stopped = network.get_time();
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(network.get_time(), stopped);
}

#[test]
fn should_begin_with_auto_progress_or_at_a_time_when_asked() {
    let before = clock_ns();
    let network = builder().with_application_subnet().with_auto_progress().build();
    assert!(network.auto_progress_enabled());
    assert!(network.get_time().as_nanos_since_unix_epoch() >= before);
    let at = Time::from_nanos_since_unix_epoch(GENESIS_NS + 5);
    let network = builder().with_application_subnet().with_initial_time(at).build();
    assert_eq!(network.get_time(), at);
    assert!(!network.auto_progress_enabled());
}

#[test]
fn should_create_install_and_call_a_canister() {
    let (network, canister) = start_with_counter();
    assert_eq!(canister.to_text(), "lxzze-o7777-77777-aaaaa-cai");
    let anonymous = Principal::anonymous();
    assert!(network.update_call(canister, anonymous, "increment", vec![]).unwrap().is_empty());
    network.update_call(canister, anonymous, "increment", vec![]).unwrap();
    assert_eq!(network.query_call(canister, anonymous, "read", vec![]).unwrap(), [2, 0, 0, 0]);
    assert_eq!(network.update_call(canister, anonymous, "echo", b"hello".to_vec()).unwrap(), b"hello");
}

#[test]
fn should_tell_certified_rejects_from_others() {
    let (network, canister) = start_with_counter();
    let update = |method: &str, payload: &[u8]| {
        network.update_call(canister, Principal::anonymous(), method, payload.to_vec()).unwrap_err()
    };
    let refused = update("refuse", &[]);
    assert_eq!((refused.reject_code, refused.certified), (RejectCode::CanisterReject, true));
    assert!(refused.reject_message.contains("no"));
    let trapped = update("fail", &[]);
    assert_eq!((trapped.reject_code, trapped.certified), (RejectCode::CanisterError, true));
    let filtered = update("hidden", b"x");
    assert_eq!((filtered.error_code, filtered.certified), (ErrorCode::CanisterRejectedMessage, false));
    let query = network.query_call(canister, Principal::anonymous(), "missing", vec![]).unwrap_err();
    assert_eq!((query.error_code, query.certified), (ErrorCode::CanisterMethodNotFound, false));
}

#[test]
fn should_tell_the_status_of_a_message_to_its_sender_only() {
    let (network, canister) = start_with_counter();
    let sender = Principal::from_slice(&[5, 1]);
    let id = network.submit_call(canister, sender, "echo", b"x".to_vec()).unwrap();
    assert!(network.ingress_status(id.clone()).is_none());
    assert!(matches!(network.ingress_status_as(id.clone(), sender), IngressStatusResult::NotAvailable));
    assert_eq!(network.await_call(id.clone()).unwrap(), b"x");
    assert_eq!(network.ingress_status(id.clone()).unwrap().unwrap(), b"x");
    let own = network.ingress_status_as(id.clone(), sender);
    assert!(matches!(own, IngressStatusResult::Success(Ok(reply)) if reply == b"x"));
    let foreign = network.ingress_status_as(id, Principal::anonymous());
    assert!(matches!(foreign, IngressStatusResult::Forbidden(text) if text.contains("did not send")));
}

#[test]
fn should_answer_400_for_unknown_misshapen_and_oversized_messages() {
    let (network, canister) = start_with_counter();
    let path = |endpoint: &str| format!("instances/{}/update/{endpoint}", network.instance_id());
    let unknown = format!(r#"{{"effective_principal":"None","message_id":"{}="}}"#, "A".repeat(43));
    let (status, body) = send(Method::POST, &path("await_ingress_message"), &unknown);
    assert_eq!(status, 400);
    assert!(message(&body).contains("MessageNotFound"), "{body}");
    let short = r#"{"effective_principal":"None","message_id":"AAAA"}"#;
    let (status, body) = send(Method::POST, &path("await_ingress_message"), short);
    assert_eq!(status, 400);
    assert!(message(&body).contains("32 bytes, not 3"), "{body}");
    let call = serde_json::json!({
        "sender": "BA==", "canister_id": base64(canister.as_slice()), "effective_principal": "None",
        "method": "echo", "payload": base64(&vec![0; 4 << 20]),
    });
    let (status, body) = send(Method::POST, &path("submit_ingress_message"), &call.to_string());
    assert_eq!(status, 400);
    assert!(message(&body).contains("too large"), "{body}");
}

fn base64(bytes: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    BASE64_STANDARD.encode(bytes)
}

#[test]
fn should_create_canisters_where_the_effective_principal_says() {
    let network = builder().with_application_subnet().with_application_subnet().build();
    for subnet in network.topology().get_app_subnets() {
        let canister = network.create_canister_on_subnet(None, None, subnet);
        assert_eq!(network.get_subnet(canister), Some(subnet));
    }
    let free = Principal::from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai").unwrap();
    assert_eq!(network.get_subnet(free), None);
    let owner = Principal::from_slice(&[8, 1]);
    let canister = network.create_canister_with_params(Some(owner), CreateCanisterParams::default()).unwrap();
    assert_eq!(network.get_controllers(canister), [owner]);
}

#[test]
fn should_add_more_cycles_than_fit_in_64_bits() {
    let network = start();
    let canister = network.create_canister();
    let before = network.cycle_balance(canister);
    let amount = 1u128 << 100;
    assert_eq!(network.add_cycles(canister, amount), before + amount);
    assert_eq!(network.cycle_balance(canister), before + amount);
}

#[test]
fn should_answer_404_for_unknown_canisters_and_subnets() {
    let network = start();
    let path = |endpoint: &str| format!("instances/{}/{endpoint}", network.instance_id());
    for (endpoint, body) in [
        ("read/get_cycles", r#"{"canister_id":"BA=="}"#),
        ("read/get_controllers", r#"{"canister_id":"BA=="}"#),
        ("read/get_stable_memory", r#"{"canister_id":"BA=="}"#),
        ("update/add_cycles", r#"{"canister_id":"BA==","amount":1}"#),
        ("read/pub_key", r#"{"subnet_id":"BA=="}"#),
    ] {
        let (status, body) = send(Method::POST, &path(endpoint), body);
        assert_eq!(status, 404, "{endpoint}");
        assert!(message(&body).contains("2vxsx-fae not found"), "{body}");
    }
    assert_eq!(send(Method::POST, &path("read/get_subnet"), r#"{"canister_id":"BA=="}"#), (200, "null".to_owned()));
}

#[test]
fn should_set_stable_memory_from_plain_and_compressed_blobs() {
    let (network, canister) = start_with_counter();
    assert_eq!(network.get_stable_memory(canister), vec![0; 65_536]);
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let mut padded = bytes.clone();
    padded.resize(4 * 65_536, 0);
    network.set_stable_memory(canister, bytes.clone(), BlobCompression::NoCompression);
    assert_eq!(network.get_stable_memory(canister), padded);

    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&[7; 65_536]).unwrap();
    network.set_stable_memory(canister, encoder.finish().unwrap(), BlobCompression::Gzip);
    assert_eq!(network.get_stable_memory(canister), vec![7; 65_536]);
}

#[test]
fn should_take_blobs_far_larger_than_json_bodies() {
    let (network, canister) = start_with_counter();
    let bytes = vec![3; 48 << 20];
    network.set_stable_memory(canister, bytes.clone(), BlobCompression::NoCompression);
    assert_eq!(network.get_stable_memory(canister), bytes);
}

#[test]
fn should_return_blobs_as_they_were_uploaded() {
    let network = start();
    let id = network.upload_blob(b"abc".to_vec(), BlobCompression::NoCompression);
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(id.to_string(), format!("BlobId{{{digest}}}"));
    assert_eq!(send(Method::GET, &format!("blobstore/{digest}"), ""), (200, "abc".to_owned()));
    for unknown in ["00", "xyz", &"0".repeat(64)] {
        let (status, body) = send(Method::GET, &format!("blobstore/{unknown}"), "");
        assert_eq!((status, message(&body)), (404, format!("there is no blob {unknown}")));
    }
    let unknown = format!(r#"{{"canister_id":"BA==","blob_id":"{}="}}"#, "A".repeat(43));
    let path = format!("instances/{}/update/set_stable_memory", network.instance_id());
    assert_eq!(send(Method::POST, &path, &unknown).0, 404);
}

#[test]
fn should_name_what_is_wrong_with_a_request() {
    let network = start();
    let set_time = format!("instances/{}/update/set_time", network.instance_id());
    for (body, named) in [
        ("{", "EOF while parsing"),
        ("{}", "nanos_since_epoch"),
        (r#"{"nanos_since_epoch":"x"}"#, "nanos_since_epoch"),
        (r#"{"nanos_since_epoch":-1}"#, "nanos_since_epoch"),
    ] {
        let (status, answer) = send(Method::POST, &set_time, body);
        assert_eq!(status, 400, "{body}");
        assert!(message(&answer).contains(named), "{body}: {answer}");
    }
    let long = format!(r#"{{"canister_id":"{}"}}"#, "A".repeat(40));
    let get_cycles = format!("instances/{}/read/get_cycles", network.instance_id());
    let (status, answer) = send(Method::POST, &get_cycles, &long);
    assert_eq!(status, 400);
    assert!(message(&answer).contains("canister_id"), "{answer}");

    let (status, answer) = send(Method::POST, &set_time, &" ".repeat((32 << 20) + 1));
    assert_eq!(status, 413);
    assert!(message(&answer).contains("limit"), "{answer}");
}

#[test]
fn should_tell_unknown_paths_and_wrong_methods() {
    let network = start();
    let id = network.instance_id();
    for path in ["nothing", "instances/0/nothing", "read_graph/a/b"] {
        let (status, body) = send(Method::GET, path, "");
        assert_eq!((status, message(&body)), (404, format!("there is nothing at /{path}")));
    }
    for path in [&format!("instances/{id}"), &format!("instances/{id}/update/tick"), "blobstore"] {
        let (status, body) = send(Method::GET, path, "");
        assert_eq!((status, message(&body)), (405, format!("/{path} is not to be used with GET")));
    }
    for id in ["999999999", "x", "-1"] {
        let (status, body) = send(Method::POST, &format!("instances/{id}/update/tick"), "{}");
        assert_eq!((status, message(&body)), (404, format!("Instance not found. ID: {id}")));
    }
}

#[test]
fn should_say_what_is_not_built() {
    let network = start();
    let id = network.instance_id();
    assert!(network.get_canister_http().is_empty());
    let blockmakers = r#"{"blockmakers":[{"subnet":{"subnet_id":""},"blockmaker":{"node_id":""},
        "failed_blockmakers":[]}]}"#;
    for (path, body, named) in [
        (format!("instances/{id}/update/delete_subnet"), "{}", "delete subnets"),
        (format!("instances/{id}/update/mock_canister_http"), "{}", "HTTP outcalls"),
        (format!("instances/{id}/update/mock_flexible_canister_http"), "{}", "HTTP outcalls"),
        (format!("instances/{id}/update/canister_snapshot_download"), "{}", "snapshots to files"),
        (format!("instances/{id}/update/canister_snapshot_upload"), "{}", "snapshots from files"),
        (format!("instances/{id}/update/tick"), blockmakers, "block makers"),
    ] {
        let (status, answer) = send(Method::POST, &path, body);
        assert_eq!(status, 501, "{path}");
        assert!(message(&answer).contains(named), "{answer}");
    }
}

#[test]
fn should_serve_many_instances_at_once() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                let (network, canister) = start_with_counter();
                for _ in 0..5 {
                    network.update_call(canister, Principal::anonymous(), "increment", vec![]).unwrap();
                }
                network.query_call(canister, Principal::anonymous(), "read", vec![]).unwrap()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), [5, 0, 0, 0]);
    }
}

#[test]
fn should_execute_calls_of_one_instance_from_many_threads() {
    let (network, canister) = start_with_counter();
    let id = network.instance_id();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let url = LocalNet::shared().url().parse().unwrap();
                let network = PocketIc::new_from_existing_instance(url, id, None);
                for _ in 0..5 {
                    network.update_call(canister, Principal::anonymous(), "increment", vec![]).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(network.query_call(canister, Principal::anonymous(), "read", vec![]).unwrap(), [20, 0, 0, 0]);
}

#[test]
fn should_route_management_calls_without_effective_principal_by_their_argument() {
    let (network, canister) = start_with_counter();
    let argument = encode_args((ic_management_canister_types::CanisterIdRecord { canister_id: canister },)).unwrap();
    let reply = network.update_call_with_effective_principal(
        Principal::management_canister(),
        RawEffectivePrincipal::None,
        Principal::anonymous(),
        "stop_canister",
        argument,
    );
    reply.unwrap();
    let stopped = network.update_call(canister, Principal::anonymous(), "increment", vec![]).unwrap_err();
    assert_eq!(stopped.error_code, ErrorCode::CanisterStopped);
}
