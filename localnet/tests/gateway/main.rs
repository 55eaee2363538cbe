//! HTTP gateways, made by the official client and asked over HTTP.

mod agent;
mod answers;
mod certification;
mod lifecycle;
mod streams;

use candid::{CandidType, Deserialize, Principal, decode_one, encode_one};
use localnet::LocalNet;
use pocket_ic::{PocketIc, PocketIcBuilder};
use reqwest::{
    Method,
    blocking::{Client, Response},
};
use serde_bytes::ByteBuf;

/// A canister that answers with what was stored before. `store` puts its argument but for the first byte into the slot
/// that this byte names, and `load` gives it back. `http_request` answers slot 0, or the slot named by the first digit
/// of a range that is asked for; `http_request_update` answers slot 9 and puts its argument into slot 8; `more` answers
/// the slot that its argument, a nat8, names. An empty slot is a trap. `certify` sets the certified data and
/// `certificate` returns the certificate.
const SLOTS: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (import "ic0" "data_certificate_size" (func $certificate_size (result i32)))
    (import "ic0" "data_certificate_copy" (func $certificate_copy (param i32 i32 i32)))
    (memory 544)
    (global $stride i32 (i32.const 2097152))
    (global $scratch i32 (i32.const 25165824))
    (func $address (param $slot i32) (result i32)
        (i32.mul (i32.add (local.get $slot) (i32.const 1)) (global.get $stride)))
    (func $answer (param $slot i32) (local $length i32)
        (local.set $length (i32.load (i32.mul (local.get $slot) (i32.const 4))))
        (if (i32.eqz (local.get $length)) (then (unreachable)))
        (call $append (call $address (local.get $slot)) (local.get $length))
        (call $reply))
    (func $take (param $slot i32) (param $from i32) (local $length i32)
        (local.set $length (i32.sub (call $arg_size) (local.get $from)))
        (i32.store (i32.mul (local.get $slot) (i32.const 4)) (local.get $length))
        (call $arg_copy (call $address (local.get $slot)) (local.get $from) (local.get $length)))
    (func $byte (param $at i32) (result i32)
        (call $arg_copy (global.get $scratch) (local.get $at) (i32.const 1))
        (i32.load8_u (global.get $scratch)))
    (func (export "canister_update store") (call $take (call $byte (i32.const 0)) (i32.const 1)) (call $reply))
    (func (export "canister_query load") (call $answer (call $byte (i32.const 0))))
    (func (export "canister_query more") (call $answer (call $byte (i32.sub (call $arg_size) (i32.const 1)))))
    (func (export "canister_update http_request_update") (call $take (i32.const 8) (i32.const 0)) (call $answer (i32.const 9)))
    (func (export "canister_query http_request") (local $at i32) (local $end i32) (local $slot i32)
        (call $arg_copy (global.get $scratch) (i32.const 0) (call $arg_size))
        (local.set $at (global.get $scratch))
        (local.set $end (i32.add (global.get $scratch) (i32.sub (call $arg_size) (i32.const 7))))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            ;; "byte" and "s="
            (if (i32.eq (i32.load (local.get $at)) (i32.const 0x65747962)) (then
                (if (i32.eq (i32.load16_u offset=4 (local.get $at)) (i32.const 0x3d73)) (then
                    (local.set $slot (i32.sub (i32.load8_u offset=6 (local.get $at)) (i32.const 48)))
                    (br $done)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
        (call $answer (local.get $slot)))
    (func (export "canister_update certify")
        (call $arg_copy (global.get $scratch) (i32.const 0) (call $arg_size))
        (call $certify (global.get $scratch) (call $arg_size))
        (call $reply))
    (func (export "canister_query certificate")
        (call $certificate_copy (global.get $scratch) (i32.const 0) (call $certificate_size))
        (call $append (global.get $scratch) (call $certificate_size))
        (call $reply)))"#;

#[derive(CandidType, Clone)]
struct Answer {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    upgrade: Option<bool>,
    streaming_strategy: Option<Strategy>,
}

#[derive(CandidType, Clone)]
enum Strategy {
    Callback { callback: Callback, token: u8 },
}

candid::define_function!(Callback : (u8) -> (Option<Piece>) query);

#[derive(CandidType, Deserialize)]
struct Piece {
    body: ByteBuf,
    token: Option<u8>,
}

#[derive(CandidType, Deserialize)]
struct SeenRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    certificate_version: Option<u16>,
}

fn answer(status_code: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status_code, headers, body: body.to_vec().into(), upgrade: None, streaming_strategy: None }
}

/// A network with the canister of slots, and a gateway.
struct Site {
    network: PocketIc,
    canister: Principal,
    port: u16,
}

fn builder() -> PocketIcBuilder {
    PocketIcBuilder::new().with_server_url(LocalNet::shared().url().parse().unwrap()).with_application_subnet()
}

fn install(network: &PocketIc, module: &str) -> Principal {
    let canister = network.create_canister();
    network.add_cycles(canister, 100_000_000_000_000);
    network.install_canister(canister, wat::parse_str(module).unwrap(), vec![], None);
    canister
}

impl Site {
    fn start() -> Self {
        let mut network = builder().build();
        let canister = install(&network, SLOTS);
        let port = network.make_live(None).port().unwrap();
        Self { network, canister, port }
    }

    fn update(&self, method: &str, argument: Vec<u8>) {
        self.network.update_call(self.canister, Principal::anonymous(), method, argument).unwrap();
    }

    fn store(&self, slot: u8, bytes: &[u8]) {
        self.update("store", [&[slot], bytes].concat());
    }

    fn serve(&self, answer: &Answer) {
        self.store(0, &encode_one(answer).unwrap());
    }

    /// What the canister was sent as an update.
    fn seen(&self) -> SeenRequest {
        let bytes = self.network.query_call(self.canister, Principal::anonymous(), "load", vec![8]).unwrap();
        decode_one(&bytes).unwrap()
    }

    /// The certificate for what is certified.
    fn certify(&self, data: &[u8]) -> Vec<u8> {
        self.update("certify", data.to_vec());
        self.network.tick();
        self.network.query_call(self.canister, Principal::anonymous(), "certificate", vec![]).unwrap()
    }

    fn host(&self) -> String {
        format!("{}.localhost:{}", self.canister, self.port)
    }

    fn raw_host(&self) -> String {
        format!("{}.raw.localhost:{}", self.canister, self.port)
    }

    fn request(&self, method: Method, host: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        Client::new().request(method, format!("http://127.0.0.1:{}{path}", self.port)).header("host", host)
    }

    fn get(&self, host: &str, path: &str) -> Response {
        self.request(Method::GET, host, path).send().unwrap()
    }

    /// Asks and returns the status and the type of the error.
    fn refusal(&self, host: &str, path: &str) -> (u16, String) {
        error_of(self.get(host, path))
    }
}

fn error_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: serde_json::Value = response.json().unwrap();
    assert!(!body["description"].as_str().unwrap().is_empty());
    (status, body["error_type"].as_str().unwrap().to_owned())
}
