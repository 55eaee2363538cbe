//! Networks for the tests, and requests to them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::Principal;
use ciborium::{Value, cbor};
use ic_agent::{Agent, Identity};
use ic_cbor::CertificateToCbor;
use ic_certification::Certificate;
use localnet::LocalNet;
use pocket_ic::{PocketIc, PocketIcBuilder};
use reqwest::{
    Method,
    blocking::{Body, Client},
};
use sha2::{Digest, Sha256};

use super::canister;

/// The anonymous principal.
pub(crate) const ANONYMOUS: Principal = Principal::anonymous();

/// A network with an application subnet and the NNS.
pub(crate) struct Network {
    pub(crate) pic: PocketIc,
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Reads the answer as CBOR, which must be tagged.
    pub(crate) fn cbor(&self) -> Value {
        assert_eq!((self.status, self.content_type.as_str()), (200, "application/cbor"), "{}", self.text());
        assert_eq!(self.bytes[..3], [0xd9, 0xd9, 0xf7]);
        match ciborium::from_reader(self.bytes.as_slice()).unwrap() {
            Value::Tag(55799, value) => *value,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn certificate(&self) -> Certificate {
        let value = field(&self.cbor(), "certificate");
        Certificate::from_cbor(value.as_bytes().unwrap()).unwrap()
    }
}

/// Returns a field of a map.
pub(crate) fn field(value: &Value, name: &str) -> Value {
    let entries = value.as_map().unwrap_or_else(|| panic!("{value:?}"));
    let found = entries.iter().find(|(key, _)| key.as_text() == Some(name));
    found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1.clone()
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    field(value, name).as_text().unwrap().to_owned()
}

pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

impl Network {
    /// Starts a network that follows the clock.
    pub(crate) fn live() -> Self {
        let network = Self::still();
        network.pic.auto_progress();
        network
    }

    /// Starts a network that moves when told to.
    pub(crate) fn still() -> Self {
        let url = LocalNet::shared().url().parse().unwrap();
        let pic = PocketIcBuilder::new().with_server_url(url).with_nns_subnet().with_application_subnet().build();
        Self { pic }
    }

    /// Returns where the interface of the network is.
    pub(crate) fn url(&self) -> String {
        format!("{}instances/{}/", LocalNet::shared().url(), self.pic.instance_id())
    }

    /// Makes a canister with the test's module on the application subnet; the anonymous principal controls it.
    pub(crate) fn canister(&self) -> Principal {
        let subnet = self.pic.topology().get_app_subnets()[0];
        let canister = self.pic.create_canister_on_subnet(None, None, subnet);
        self.pic.add_cycles(canister, 10_000_000_000_000);
        self.pic.install_canister(canister, canister::wasm(), vec![], None);
        canister
    }

    /// Makes an agent that verifies everything.
    pub(crate) async fn agent(&self, identity: impl Identity + 'static) -> Agent {
        let agent = Agent::builder().with_url(self.url()).with_identity(identity).build().unwrap();
        agent.fetch_root_key().await.unwrap();
        agent
    }

    /// Returns the first canister id of the NNS or of the application subnet.
    pub(crate) fn first_canister_id(&self, nns: bool) -> Principal {
        let topology = self.pic.topology();
        let subnet = if nns { topology.get_nns().unwrap() } else { topology.get_app_subnets()[0] };
        let range = topology.subnet_configs[&subnet].canister_ranges.last().unwrap().clone();
        Principal::from_slice(&range.start.canister_id)
    }

    pub(crate) fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: impl Into<Body>) -> Answer {
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let mut request = client.request(method, format!("{}{path}", self.url())).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = request.send().unwrap();
        let content_type = answer.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        Answer {
            status: answer.status().as_u16(),
            content_type: content_type.unwrap_or_default(),
            bytes: answer.bytes().unwrap().to_vec(),
        }
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Method::POST, path, Some("application/cbor"), body)
    }

    /// Sends an unsigned request.
    pub(crate) fn ask(&self, path: &str, content: &Value) -> Answer {
        self.post(path, envelope(content))
    }
}

/// Puts a content into an envelope without signature.
pub(crate) fn envelope(content: &Value) -> Vec<u8> {
    encode(&cbor!({ "content" => content }).unwrap())
}

pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = vec![0xd9, 0xd9, 0xf7];
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Returns the content of a call or query that the anonymous principal makes.
pub(crate) fn invocation(request_type: &str, canister: Principal, method: &str, arg: &[u8], expiry: u64) -> Value {
    let (sender, canister) = (blob(ANONYMOUS.as_slice()), blob(canister.as_slice()));
    let arg = blob(arg);
    cbor!({
        "request_type" => request_type, "sender" => sender, "ingress_expiry" => expiry, "canister_id" => canister,
        "method_name" => method, "arg" => arg
    })
    .unwrap()
}

/// Returns the content of a call that is valid for a minute of the network's time.
pub(crate) fn call(network: &Network, canister: Principal, method: &str, arg: &[u8]) -> Value {
    invocation("call", canister, method, arg, time(network) + 60_000_000_000)
}

pub(crate) fn time(network: &Network) -> u64 {
    network.pic.get_time().as_nanos_since_unix_epoch()
}

pub(crate) fn query(canister: Principal, method: &str, arg: &[u8]) -> Value {
    invocation("query", canister, method, arg, 0)
}

pub(crate) fn read_state(paths: &[Vec<&[u8]>]) -> Value {
    let paths =
        Value::Array(paths.iter().map(|path| Value::Array(path.iter().map(|label| blob(label)).collect())).collect());
    let sender = blob(ANONYMOUS.as_slice());
    cbor!({ "request_type" => "read_state", "sender" => sender, "ingress_expiry" => 0, "paths" => paths }).unwrap()
}

pub(crate) fn blob(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

/// Returns the id of a request: the representation-independent hash of its content, which has no nested maps.
pub(crate) fn request_id(content: &Value) -> [u8; 32] {
    let mut pairs: Vec<Vec<u8>> = content
        .as_map()
        .unwrap()
        .iter()
        .map(|(key, value)| [Sha256::digest(key.as_text().unwrap()), hash(value)].concat())
        .collect();
    pairs.sort();
    Sha256::digest(pairs.concat()).into()
}

fn hash(value: &Value) -> sha2::digest::Output<Sha256> {
    match value {
        Value::Bytes(bytes) => Sha256::digest(bytes),
        Value::Text(text) => Sha256::digest(text),
        Value::Integer(number) => {
            let mut number = u64::try_from(*number).unwrap();
            let mut bytes = Vec::new();
            while number > 0x7f {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
            Sha256::digest(bytes)
        }
        Value::Array(values) => Sha256::digest(values.iter().map(hash).collect::<Vec<_>>().concat()),
        other => panic!("{other:?}"),
    }
}

/// Runs what agents do.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}
