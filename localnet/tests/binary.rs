//! The stand-alone program: it is started, used, ended in every way, and started again.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use candid::Principal;
use pocket_ic::PocketIcBuilder;
use reqwest::{StatusCode, blocking::Client};

/// How long the program may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A canister with a counter in its heap and in stable memory that also answers HTTP requests: `increment` adds one,
/// `read` returns both.
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

/// A folder that is gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("localnet-binary-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program at work, with what it said of its network. It is killed with the value.
struct Program {
    child: Child,
    report: serde_json::Value,
}

impl Program {
    /// Starts the program at any free port and waits until it is ready.
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).args(["--port", "0", "--json"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let report = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("{error}: {line:?}; {text}")
        });
        Self { child, report }
    }

    fn url(&self) -> String {
        self.report["url"].as_str().unwrap().to_owned()
    }

    /// Returns the first canister id of the first application subnet.
    fn first_canister(&self) -> Principal {
        let subnets = self.report["subnets"].as_array().unwrap();
        let subnet = subnets.iter().find(|subnet| subnet["kind"] == "Application").unwrap();
        Principal::from_text(subnet["first_canister_id"].as_str().unwrap()).unwrap()
    }

    /// Sends the program a signal, by its name.
    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end and returns the exit code, or nothing when a signal ended the program.
    fn wait(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "the program does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Calls a method of the live network, in the PocketIC protocol.
    fn post(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let answer = Client::new().post(format!("{}instances/0/{path}", self.url())).json(&body).send().unwrap();
        let status = answer.status();
        let text = answer.text().unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Calls a canister of the live network and returns its reply.
    fn call(&self, path: &str, canister: Principal, effective: Option<Principal>, method: &str, arg: &[u8]) -> Vec<u8> {
        let effective =
            effective.map_or(serde_json::json!("None"), |id| serde_json::json!({"CanisterId": base64(id.as_slice())}));
        let call = serde_json::json!({
            "sender": base64(&[4]),
            "canister_id": base64(canister.as_slice()),
            "effective_principal": effective,
            "method": method,
            "payload": base64(arg),
        });
        let mut answer = self.post(path, call);
        if path == "update/submit_ingress_message" {
            answer = self.post("update/await_ingress_message", answer["Ok"].clone());
        }
        let reply = answer["Ok"].as_str().unwrap_or_else(|| panic!("{method}: {answer}"));
        from_base64(reply)
    }

    fn update(&self, canister: Principal, effective: Option<Principal>, method: &str, arg: &[u8]) -> Vec<u8> {
        self.call("update/submit_ingress_message", canister, effective, method, arg)
    }

    /// Puts the counter on the live network.
    fn install_counter(&self) -> Principal {
        #[derive(candid::CandidType, serde::Deserialize)]
        struct CanisterIdRecord {
            canister_id: Principal,
        }
        #[derive(candid::CandidType)]
        struct Create {
            amount: Option<u128>,
        }
        #[derive(candid::CandidType)]
        #[expect(non_camel_case_types)]
        enum Mode {
            install,
        }
        #[derive(candid::CandidType)]
        struct Install {
            mode: Mode,
            canister_id: Principal,
            wasm_module: serde_bytes::ByteBuf,
            arg: serde_bytes::ByteBuf,
        }
        let management = Principal::management_canister();
        let create = candid::encode_one(Create { amount: Some(10_000_000_000_000) }).unwrap();
        let first = self.first_canister();
        let reply = self.update(management, Some(first), "provisional_create_canister_with_cycles", &create);
        let canister_id = candid::decode_one::<CanisterIdRecord>(&reply).unwrap().canister_id;
        let wasm_module = serde_bytes::ByteBuf::from(wat::parse_str(COUNTER).unwrap());
        let install = Install { mode: Mode::install, canister_id, wasm_module, arg: Default::default() };
        self.update(management, Some(canister_id), "install_code", &candid::encode_one(install).unwrap());
        canister_id
    }

    fn increment(&self, canister: Principal) {
        self.update(canister, None, "increment", &[]);
    }

    fn read(&self, canister: Principal) -> [u32; 2] {
        let reply = self.call("read/query", canister, None, "read", &[]);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        [number(&reply[..4]), number(&reply[4..])]
    }

    fn time(&self) -> u64 {
        let answer = Client::new().get(format!("{}instances/0/read/get_time", self.url())).send().unwrap();
        answer.json::<serde_json::Value>().unwrap()["nanos_since_epoch"].as_u64().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_localnet"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program with arguments that let it end by itself.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn should_serve_a_live_network_and_the_instances_of_clients() {
    let program = Program::start(&[]);
    assert!(program.url().starts_with("http://127.0.0.1:"), "{}", program.url());
    assert_eq!(program.report["state_directory"], serde_json::Value::Null);
    let root_key = program.report["root_key"].as_str().unwrap();
    assert_eq!(root_key.len(), 2 * 133);
    // The clock.
    let before = program.time();
    thread::sleep(Duration::from_millis(400));
    assert!(program.time() > before + 100_000_000);
    // A canister on it.
    let canister = program.install_counter();
    assert_eq!(canister, program.first_canister());
    program.increment(canister);
    assert_eq!(program.read(canister), [1, 1]);
    // An instance of the client's own, with another time.
    let own = PocketIcBuilder::new()
        .with_server_url(program.url().parse().unwrap())
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    assert_eq!(own.instance_id(), 1);
    assert!(own.get_time().as_nanos_since_unix_epoch() < before);
    assert_eq!(hex::encode(own.root_key().unwrap()), root_key, "the same subnets have the same keys");
    drop(own);
    let ended = Client::new().delete(format!("{}instances/0", program.url())).send().unwrap();
    assert_eq!(ended.status(), StatusCode::BAD_REQUEST, "the live network is the program's");
}

#[test]
fn should_serve_canisters_by_host_and_the_protocol_by_path() {
    let program = Program::start(&["--subnets", "application=1"]);
    let get = |path: &str, host: Option<&str>| {
        let mut request = Client::new().get(format!("{}{path}", program.url()));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = request.send().unwrap();
        (answer.status(), answer.text().unwrap())
    };
    assert_eq!(get("status", None).0, StatusCode::OK);
    assert_eq!(get("instances", None), (StatusCode::OK, "[\"Available\"]".to_owned()));
    let canister = program.install_counter();
    let hosted = get("instances", Some(&format!("{canister}.localhost")));
    assert!(hosted.0 != StatusCode::OK && !hosted.1.contains("Available"), "{hosted:?}");
    assert!(hosted.1.contains("http_request"), "the canister has no such method: {hosted:?}");
    let named = get(&format!("?canisterId={canister}"), None);
    assert!(named.1.contains("http_request"), "{named:?}");
    let nobody = get("", None);
    assert_eq!(nobody.0, StatusCode::BAD_REQUEST, "{nobody:?}");
}

#[test]
fn should_print_names_and_values_unless_asked_for_json() {
    let mut child = command(&["--port", "0", "--subnets", "application=2,nns=1"]).spawn().unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().take(6).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines[0].starts_with("url: http://127.0.0.1:"), "{lines:?}");
    assert!(lines[1].starts_with("root key: 308182"), "{lines:?}");
    let kinds = lines[2..5].iter().map(|line| line.split(' ').nth(1).unwrap());
    assert_eq!(kinds.filter(|kind| *kind == "Application").count(), 2, "{lines:?}");
    assert_eq!(lines[5], "state directory: none");
}

#[test]
fn should_go_on_after_a_restart_where_it_ended() {
    let folder = Folder::new("restart");
    let arguments = ["--state-dir", folder.text(), "--subnets", "application=2"];
    let mut program = Program::start(&arguments);
    let subnets = program.report["subnets"].clone();
    let canister = program.install_counter();
    let mut time = program.time();
    for count in 1..=3 {
        program.increment(canister);
        assert_eq!(program.read(canister), [count, count]);
        let signal = if count == 1 { "INT" } else { "TERM" };
        program.signal(signal);
        assert_eq!(program.wait(), Some(0));
        // Without the list of subnets: those that were saved are there.
        program = Program::start(&arguments[..2]);
        assert_eq!(program.report["subnets"], subnets);
        assert_eq!(program.read(canister), [count, count]);
        let later = program.time();
        assert!(later >= time, "time does not go back");
        time = later;
    }
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    // The same list is fine, another one is refused.
    let mut program = Program::start(&arguments);
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    let (code, _, error) = run(&["--port", "0", "--state-dir", folder.text(), "--subnets", "application=1,nns=1"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("Application: 2") && error.contains("NNS"), "{error}");
}

#[test]
fn should_go_on_from_the_last_save_after_it_was_killed() {
    let folder = Folder::new("killed");
    let arguments = ["--state-dir", folder.text()];
    let mut program = Program::start(&arguments);
    let canister = program.install_counter();
    program.increment(canister);
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    // What was not saved is gone, and nothing else; also when a file was left half written.
    for number in 0..3 {
        let mut program = Program::start(&arguments);
        assert_eq!(program.read(canister), [1, 1]);
        program.increment(canister);
        program.signal("KILL");
        assert_eq!(program.wait(), None);
        fs::write(folder.0.join(format!("pack-{}.bin.part", 90 + number)), "half").unwrap();
        fs::write(folder.0.join(format!("state-{}.cbor", 90 + number)), "whole, but not in the manifest").unwrap();
    }
    let program = Program::start(&arguments);
    assert_eq!(program.read(canister), [1, 1]);
    assert!(!folder.0.join("state-90.cbor").exists());
}

#[test]
fn should_save_in_between_so_that_a_kill_loses_little() {
    let folder = Folder::new("interval");
    let arguments = ["--state-dir", folder.text(), "--save-every", "1"];
    // Killed before anything was saved: nothing is there, and nothing is in the way.
    let mut program = Program::start(&arguments);
    program.signal("KILL");
    assert_eq!(program.wait(), None);
    let mut program = Program::start(&arguments);
    let canister = program.install_counter();
    for _ in 0..5 {
        program.increment(canister);
    }
    let begin = Instant::now();
    let states = || {
        let names = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("state-") && name.ends_with(".cbor")).collect::<Vec<_>>()
    };
    // Two saves later everything that happened until now is saved.
    let mut seen = states();
    let mut saves = 0;
    while saves < 2 {
        assert!(begin.elapsed() < PATIENCE, "nothing is saved");
        thread::sleep(Duration::from_millis(20));
        program.increment(canister);
        let now = states();
        if now != seen && !now.is_empty() {
            seen = now;
            saves += 1;
        }
    }
    program.signal("KILL");
    assert_eq!(program.wait(), None);
    let program = Program::start(&arguments);
    let [heap, stable] = program.read(canister);
    assert!(heap >= 5, "{heap}");
    assert_eq!(heap, stable, "both memories are of the same moment");
}

#[test]
fn should_end_at_once_at_the_second_signal() {
    let folder = Folder::new("at-once");
    let mut program = Program::start(&["--state-dir", folder.text()]);
    // A request that never becomes complete holds up the end for some seconds.
    let mut connection = TcpStream::connect(program.url()["http://".len()..].trim_end_matches('/')).unwrap();
    connection.write_all(b"POST /blobstore HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx").unwrap();
    thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    program.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    assert!(program.child.try_wait().unwrap().is_none(), "it waits for the request");
    program.signal("INT");
    assert_eq!(program.wait(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn should_say_why_it_does_not_start() {
    let folder = Folder::new("refused");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, out, error) = run(&["--port", &port]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("in use"), "{error}");
    for (list, text) in [("moon=1", "moon"), ("application=0", "at least one subnet"), ("nns=2", "at most one nns")] {
        let (code, out, error) = run(&["--port", "0", "--subnets", list]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(error.contains(text) && error.contains("--subnets"), "{error}");
    }
    assert_eq!(run(&["--port", "65536"]).0, Some(2));
    assert_eq!(run(&["--save-every", "0"]).0, Some(2));
    assert_eq!(run(&["--bind", "everywhere"]).0, Some(2));
    // A directory with something else in it.
    fs::write(folder.0.join("notes.txt"), "mine").unwrap();
    let (code, _, error) = run(&["--port", "0", "--state-dir", folder.text()]);
    assert_eq!(code, Some(1));
    assert!(error.contains("notes.txt"), "{error}");
    fs::remove_file(folder.0.join("notes.txt")).unwrap();
    // A directory in use.
    let mut program = Program::start(&["--state-dir", folder.text()]);
    let (code, _, error) = run(&["--port", "0", "--state-dir", folder.text()]);
    assert_eq!(code, Some(1));
    assert!(error.contains("used by another network"), "{error}");
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    // A newer layout, a damaged file, a missing one.
    let manifest = folder.0.join("manifest.cbor");
    let good = fs::read(&manifest).unwrap();
    let refused = |bytes: &[u8], text: &str| {
        fs::write(&manifest, bytes).unwrap();
        let (code, _, error) = run(&["--port", "0", "--state-dir", folder.text()]);
        assert_eq!(code, Some(1));
        assert!(error.contains("manifest.cbor") && error.contains(text), "{error}");
    };
    let mut newer = good.clone();
    newer[19] = 2;
    refused(&newer, "layout 2");
    refused(&good[..good.len() - 1], "is damaged");
    let mut changed = good.clone();
    changed[40] ^= 1;
    refused(&changed, "checksum");
    fs::remove_file(&manifest).unwrap();
    let (code, _, error) = run(&["--port", "0", "--state-dir", folder.text()]);
    assert!(code == Some(1) && error.contains("manifest.cbor is missing"), "{error}");
    fs::write(&manifest, &good).unwrap();
    drop(Program::start(&["--state-dir", folder.text()]));
}

#[test]
fn should_tell_its_port_by_a_file_and_end_when_nobody_asks() {
    let folder = Folder::new("port");
    let file = folder.0.join("port");
    let path = file.to_str().unwrap();
    let mut program = Program::start(&["--port-file", path, "--ttl", "2"]);
    let begin = Instant::now();
    while !fs::read_to_string(&file).unwrap().ends_with('\n') {
        assert!(begin.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    let port = fs::read_to_string(&file).unwrap();
    assert!(program.url().ends_with(&format!(":{}/", port.trim())), "{} {port}", program.url());
    // Another one with the same file is not needed.
    let (code, out, _) = run(&["--port", "0", "--port-file", path]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(500));
        program.time();
    }
    assert_eq!(program.wait(), Some(0));
    assert!(!file.exists());
}

#[test]
fn should_say_what_it_is() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out.trim()), (Some(0), concat!("localnet ", env!("CARGO_PKG_VERSION"))));
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in ["--state-dir", "--subnets", "--port", "--bind", "--json", "Examples:", "Exit codes:"] {
        assert!(out.contains(word), "{word}");
    }
}
