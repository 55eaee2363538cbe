//! Bounds of time and number, with networks that nobody moves.

use std::{net::SocketAddr, thread};

use candid::{Encode, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};
use pocket_ic::common::rest::SubnetSpec;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

use super::*;
use crate::network::{Call, Network, test_config};

/// An HTTP canister whose every answer is an empty 200.
const EMPTY_ANSWERS: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (memory 1)
    (data (i32.const 0) "ANSWER")
    (func $answer (call $append (i32.const 0) (i32.const LENGTH)) (call $reply))
    (export "canister_query http_request" (func $answer))
    (export "canister_update http_request_update" (func $answer)))"#;

#[derive(candid::CandidType)]
struct EmptyAnswer {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    upgrade: Option<bool>,
}

fn manage(network: &mut Network, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let call = Call {
        sender: Principal::anonymous(),
        canister_id: Principal::management_canister(),
        effective: None,
        method: method.to_owned(),
        payload,
        sender_info: None,
    };
    let (id, _) = network.submit_ingress(call).unwrap();
    network.await_ingress(&id).unwrap().unwrap()
}

/// Starts a network with a canister whose answers are empty; with `upgrade` it wants every request as an update.
async fn start(upgrade: bool) -> (Instance, Principal) {
    let network = Network::new(&test_config(vec![SubnetSpec::default()])).unwrap();
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let (instance, _) = Instance::start(network, None, place).unwrap();
    let answer =
        Encode!(&EmptyAnswer { status_code: 200, headers: vec![], body: vec![], upgrade: Some(upgrade) }).unwrap();
    let escaped: String = answer.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = EMPTY_ANSWERS.replace("ANSWER", &escaped).replace("LENGTH", &answer.len().to_string());
    let canister = instance
        .run(move |network| {
            let arguments = ProvisionalCreateCanisterWithCyclesArgs {
                amount: None,
                settings: None,
                specified_id: None,
                sender_canister_version: None,
            };
            let reply = manage(network, "provisional_create_canister_with_cycles", Encode!(&arguments).unwrap());
            let CanisterIdRecord { canister_id } = candid::decode_one(&reply).unwrap();
            let arguments = InstallCodeArgs {
                mode: CanisterInstallMode::Install,
                canister_id,
                wasm_module: wat::parse_str(text).unwrap(),
                arg: vec![],
                sender_canister_version: None,
            };
            manage(network, "install_code", Encode!(&arguments).unwrap());
            canister_id
        })
        .await
        .unwrap();
    (instance, canister)
}

fn config() -> HttpGatewayConfig {
    HttpGatewayConfig {
        ip_addr: None,
        port: None,
        forward_to: HttpGatewayBackend::PocketIcInstance(0),
        domains: None,
        https_config: None,
        domain_custom_provider_local_file: None,
    }
}

async fn serve(instance: Instance, limits: Limits) -> (Gateway, SocketAddr) {
    let plan = Plan { limits, ..Plan::new(&config()).unwrap() };
    let listener = Listener::bind(plan).await.unwrap();
    let address = listener.socket.local_addr().unwrap();
    (listener.serve(instance, Router::new()), address)
}

/// Sends bytes and returns what comes back until the other side ends the connection.
async fn exchange_bytes(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn should_wait_so_long_for_an_update_that_nobody_executes() {
    let (instance, canister) = start(true).await;
    let limits = Limits { answer_patience: Duration::from_millis(200), ..Limits::default() };
    let (_gateway, address) = serve(instance.clone(), limits).await;
    let request = format!("GET / HTTP/1.1\r\nhost: {canister}.localhost\r\nconnection: close\r\n\r\n");
    let answer = exchange_bytes(address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("within 0.2 s"), "{answer}");

    let (_gateway, address) = serve(instance.clone(), Limits::default()).await;
    let moved = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        instance.run(Network::tick).await.unwrap();
    };
    let (answer, ()) = tokio::join!(exchange_bytes(address, request.as_bytes()), moved);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn should_wait_so_long_for_a_query_of_a_busy_network() {
    let (instance, canister) = start(false).await;
    let limits = Limits { answer_patience: Duration::from_millis(50), ..Limits::default() };
    let (_gateway, address) = serve(instance.clone(), limits).await;
    let request = format!("GET / HTTP/1.1\r\nhost: {canister}.raw.localhost\r\nconnection: close\r\n\r\n");
    let busy = instance.run(|_| thread::sleep(Duration::from_secs(1)));
    let (answer, _) = tokio::join!(exchange_bytes(address, request.as_bytes()), busy);
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    let answer = exchange_bytes(address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn should_wait_so_long_for_a_body() {
    let (instance, canister) = start(false).await;
    let limits = Limits { body_patience: Duration::from_millis(100), ..Limits::default() };
    let (_gateway, address) = serve(instance, limits).await;
    let request = format!("POST / HTTP/1.1\r\nhost: {canister}.raw.localhost\r\ncontent-length: 5\r\n\r\nab");
    let answer = exchange_bytes(address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("client_body_timeout"), "{answer}");
}

#[tokio::test]
async fn should_answer_with_an_error_when_the_instance_is_broken() {
    let (instance, canister) = start(false).await;
    let (_gateway, address) = serve(instance.clone(), Limits::default()).await;
    let _ = instance.run(|_| -> () { panic!("on purpose") }).await;
    let request = format!("GET / HTTP/1.1\r\nhost: {canister}.raw.localhost\r\nconnection: close\r\n\r\n");
    let answer = exchange_bytes(address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("on purpose"), "{answer}");
}

#[tokio::test]
async fn should_hold_as_many_gateways_as_allowed_and_no_more() {
    let (instance, _) = start(false).await;
    let gateways = Gateways::with_limit(2);
    let serve = |reserved| gateways.serve(reserved, config(), instance.clone(), Router::new());
    let first = serve(gateways.reserve(&config()).await.unwrap());
    let second = gateways.reserve(&config()).await.unwrap();
    assert!(gateways.reserve(&config()).await.unwrap_err().contains("2 HTTP gateways"));
    drop(second);
    let second = serve(gateways.reserve(&config()).await.unwrap());
    assert!(gateways.reserve(&config()).await.is_err());
    gateways.stop(first.instance_id).await;
    let third = serve(gateways.reserve(&config()).await.unwrap());
    assert_eq!((first.instance_id, second.instance_id, third.instance_id), (0, 1, 2));
    assert_eq!(gateways.list().iter().map(|details| details.instance_id).collect::<Vec<_>>(), [1, 2]);
    gateways.stop_all_of(7).await;
    assert_eq!(gateways.list().len(), 2);
    gateways.stop_all_of(0).await;
    assert!(gateways.list().is_empty());
}
