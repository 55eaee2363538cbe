//! What is sent by clients that are broken or mean harm.

use std::{
    env, fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use candid::Principal;
use localnet::LocalNet;
use reqwest::{Method, blocking::Client};

use super::network::*;

/// Requests that each endpoint gets, unless `LOCALNET_FUZZ_REQUESTS` says otherwise.
const REQUESTS: usize = 2_000;

/// One after the other: they count what the whole process has open.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A random number generator with a fixed seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| self.next() as u8).collect()
    }

    /// Changes a body a little, or makes another one.
    fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut body = seeds[self.below(seeds.len())].clone();
        match self.below(8) {
            0 => return self.bytes(200),
            1 => body.truncate(self.below(body.len())),
            2 => body.extend(self.bytes(20)),
            3 => {
                let at = self.below(body.len());
                let insert = self.bytes(9);
                body.splice(at..at, insert);
            }
            4 => {
                let from = self.below(body.len());
                let to = (from + self.below(9)).min(body.len());
                body.drain(from..to);
            }
            5 => {
                // A head of CBOR that claims a huge length, or nests.
                let at = self.below(body.len());
                let head = [0x5b, 0x7b, 0x9b, 0xbb, 0xdb, 0x5f, 0x9f, 0xbf, 0xff, 0x81][self.below(10)];
                body[at] = head;
                let more = if self.below(2) == 0 { vec![0xff; 8] } else { vec![head; 300] };
                body.splice(at..at, more);
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let at = self.below(body.len());
                    body[at] ^= 1 << self.below(8);
                }
            }
        }
        body
    }
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Checks that a network still does what it should.
fn check_alive(network: &Network, canister: Principal) {
    let answer = network.ask(&format!("api/v3/canister/{canister}/query"), &query(canister, "read", &[]));
    assert_eq!(text(&answer.cbor(), "status"), "replied");
}

#[test]
fn should_survive_random_and_mutated_bodies() {
    let _alone = alone();
    let requests = env::var("LOCALNET_FUZZ_REQUESTS").map_or(REQUESTS, |number| number.parse().unwrap());
    let network = Network::still();
    let canister = network.canister();
    let subnet = network.pic.topology().get_app_subnets()[0];
    let seeds = [
        envelope(&call(&network, canister, "increment", b"argument")),
        envelope(&query(canister, "read", &[])),
        envelope(&read_state(&[vec![b"time"], vec![b"canister", canister.as_slice(), b"module_hash"]])),
        signed(&network, canister),
    ];
    let endpoints = [
        format!("api/v2/canister/{canister}/call"),
        format!("api/v2/canister/{canister}/query"),
        format!("api/v3/canister/{canister}/query"),
        format!("api/v2/canister/{canister}/read_state"),
        format!("api/v3/canister/{canister}/read_state"),
        format!("api/v2/subnet/{subnet}/read_state"),
        format!("api/v3/subnet/{subnet}/read_state"),
        format!("api/v3/subnet/{subnet}/query"),
        format!("api/v4/subnet/{subnet}/call"),
    ];
    let client = Client::new();
    let mut random = Random(7);
    let mut counts = std::collections::BTreeMap::new();
    let (files, begin) = (open_files(), Instant::now());
    for endpoint in &endpoints {
        for number in 0..requests {
            let body = random.mutated(&seeds);
            let request = client.post(format!("{}{endpoint}", network.url()));
            let answer = request.header("content-type", "application/cbor").body(body.clone()).send();
            let status = answer.unwrap_or_else(|error| panic!("{endpoint} {}: {error}", hex::encode(&body))).status();
            assert!(
                [200, 202, 400, 403, 404, 413].contains(&status.as_u16()),
                "{endpoint} {}: {status}",
                hex::encode(&body)
            );
            *counts.entry(status.as_u16()).or_insert(0) += 1;
            if number % 500 == 499 {
                // What was let in is executed, so that nothing piles up.
                network.pic.tick();
            }
        }
    }
    eprintln!("{requests} requests to each of {} endpoints in {:?}: {counts:?}", endpoints.len(), begin.elapsed());
    check_alive(&network, canister);
    drop(client);
    wait_until("connections stay open", || open_files() <= files + 8);
}

/// Sync calls wait for their answers, so the network that gets these follows the clock.
#[test]
fn should_survive_mutated_calls_that_are_waited_for() {
    let _alone = alone();
    let requests = env::var("LOCALNET_FUZZ_REQUESTS").map_or(REQUESTS, |number| number.parse().unwrap());
    let network = Network::live();
    let canister = network.canister();
    let client = Client::new();
    let mut random = Random(8);
    for version in ["v3", "v4"] {
        let mut seeds = Vec::new();
        for number in 0..requests {
            if number % 200 == 0 {
                // Fresh ones, since calls expire.
                seeds = vec![
                    envelope(&call(&network, canister, "increment", &number.to_be_bytes())),
                    signed(&network, canister),
                ];
            }
            let request = client.post(format!("{}api/{version}/canister/{canister}/call", network.url()));
            let answer = request.header("content-type", "application/cbor").body(random.mutated(&seeds)).send();
            let status = answer.unwrap().status().as_u16();
            assert!([200, 202, 400].contains(&status), "{status}");
        }
    }
    check_alive(&network, canister);
}

fn signed(network: &Network, canister: Principal) -> Vec<u8> {
    use ciborium::cbor;
    use ic_agent::{Identity, identity::BasicIdentity};

    let identity = BasicIdentity::from_raw_key(&[9; 32]);
    let mut content = call(network, canister, "increment", &[]);
    for (key, value) in content.as_map_mut().unwrap() {
        if key.as_text() == Some("sender") {
            *value = blob(identity.sender().unwrap().as_slice());
        }
    }
    let message = [b"\x0Aic-request".as_slice(), &request_id(&content)].concat();
    let signature = identity.sign_arbitrary(&message).unwrap().signature.unwrap();
    let (key, signature) = (blob(&identity.public_key().unwrap()), blob(&signature));
    let envelope = cbor!({ "content" => content, "sender_pubkey" => key, "sender_sig" => signature });
    encode(&envelope.unwrap())
}

fn connect() -> TcpStream {
    let url = LocalNet::shared().url();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    TcpStream::connect(address).unwrap()
}

#[test]
fn should_give_back_what_half_open_and_slow_connections_take() {
    const CONNECTIONS: usize = 200;
    let _alone = alone();
    let network = Network::still();
    let canister = network.canister();
    check_alive(&network, canister);
    let (files, tasks) = (open_files(), threads());
    let path = format!("/instances/{}/api/v3/canister/{canister}/query", network.pic.instance_id());
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\ncontent-length: 100\r\n");
    let mut open: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|number| {
            let mut stream = connect();
            match number % 5 {
                0 => {}
                1 => stream.write_all(&head.as_bytes()[..number % head.len()]).unwrap(),
                2 => stream.write_all(format!("{head}\r\nhalf a body").as_bytes()).unwrap(),
                3 => {
                    stream.write_all(format!("{head}\r\nhalf").as_bytes()).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                _ => stream.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n").unwrap(),
            }
            stream
        })
        .collect();
    check_alive(&network, canister);
    assert!(open_files() > files + CONNECTIONS, "they are open");
    // Some get answers, some are closed, and all end when the clients go away.
    for stream in open.iter_mut().skip(4).step_by(5) {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answer = Vec::new();
        // What was not read of the request may cut the answer off.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    drop(open);
    wait_until("connections stay open", || open_files() <= files + 8);
    wait_until("threads stay", || threads() <= tasks + 8);
    check_alive(&network, canister);
}

#[test]
fn should_refuse_oversized_heads_and_bodies() {
    let _alone = alone();
    let network = Network::still();
    let canister = network.canister();
    let path = format!("/instances/{}/api/v3/canister/{canister}/query", network.pic.instance_id());
    let said = |request: &[u8]| {
        let mut stream = connect();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(request);
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\n");
    // It is refused before any of it comes.
    let huge = said(format!("{head}content-length: 1000000000000\r\n\r\n").as_bytes());
    assert!(huge.starts_with("HTTP/1.1 413"), "{huge}");
    // Chunks do not say how many there will be.
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let chunks = said([format!("{head}transfer-encoding: chunked\r\n\r\n"), chunk.repeat(6)].concat().as_bytes());
    assert!(chunks.starts_with("HTTP/1.1 413") || chunks.is_empty(), "{chunks}");
    let names = said([head.clone(), "x-name: value\r\n".repeat(200)].concat().as_bytes());
    assert!(names.starts_with("HTTP/1.1 431"), "{names}");
    let long = said(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20)).as_bytes());
    assert!(long.starts_with("HTTP/1.1 414") || long.starts_with("HTTP/1.1 431") || long.is_empty(), "{long}");
    check_alive(&network, canister);
}

#[test]
fn should_serve_others_while_some_wait_for_answers() {
    let _alone = alone();
    let network = Network::still();
    let canister = network.canister();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..20u8)
            .map(|number| {
                let content = call(&network, canister, "increment", &[number]);
                let (url, body) = (format!("{}api/v3/canister/{canister}/call", network.url()), envelope(&content));
                scope.spawn(move || {
                    let request = Client::new().request(Method::POST, url).header("content-type", "application/cbor");
                    request.body(body).send().unwrap().status().as_u16()
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let begin = Instant::now();
        check_alive(&network, canister);
        assert!(begin.elapsed() < Duration::from_secs(5));
        network.pic.tick();
        for call in waiting {
            assert_eq!(call.join().unwrap(), 200);
        }
    });
}
