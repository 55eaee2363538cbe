//! Making, listing and stopping gateways.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use candid::Func;
use pocket_ic::common::rest::{
    CreateHttpGatewayResponse, HttpGatewayBackend, HttpGatewayConfig, HttpGatewayDetails, HttpGatewayInfo, HttpsConfig,
    InstanceHttpGatewayConfig,
};

use super::*;

pub(crate) fn server_post(path: &str, body: &str) -> Response {
    let url = format!("{}{path}", LocalNet::shared().url());
    Client::new().post(url).header("content-type", "application/json").body(body.to_owned()).send().unwrap()
}

pub(crate) fn create_gateway(config: &HttpGatewayConfig) -> Result<HttpGatewayInfo, String> {
    let response = server_post("http_gateway", &serde_json::to_string(config).unwrap());
    match response.json().unwrap() {
        CreateHttpGatewayResponse::Created(info) => Ok(info),
        CreateHttpGatewayResponse::Error { message } => Err(message),
    }
}

pub(crate) fn gateway_config(network: &PocketIc) -> HttpGatewayConfig {
    HttpGatewayConfig {
        ip_addr: None,
        port: None,
        forward_to: HttpGatewayBackend::PocketIcInstance(network.instance_id()),
        domains: None,
        https_config: None,
        domain_custom_provider_local_file: None,
    }
}

pub(crate) fn list_gateways() -> Vec<HttpGatewayDetails> {
    let text = Client::new().get(format!("{}http_gateway", LocalNet::shared().url())).send().unwrap().text().unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn should_cut_gateways_and_free_their_ports_when_stopped() {
    let mut site = Site::start();
    site.serve(&answer(200, &[], b"ok"));
    let details = list_gateways().into_iter().find(|details| details.port == site.port).unwrap();
    assert_eq!(details.forward_to, HttpGatewayBackend::PocketIcInstance(site.network.instance_id()));
    let mut idle = TcpStream::connect((Ipv4Addr::LOCALHOST, site.port)).unwrap();
    site.network.stop_live();
    assert!(list_gateways().iter().all(|details| details.port != site.port));
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(matches!(idle.read(&mut [0]), Ok(0)) || idle.write_all(b"x").is_err(), "connections are cut");
    // Stopping again does no harm, and what is no id is told.
    assert_eq!(server_post(&format!("http_gateway/{}/stop", details.instance_id), "").status(), 200);
    assert_eq!(server_post("http_gateway/99999/stop", "").status(), 200);
    assert_eq!(server_post("http_gateway/x/stop", "").status(), 400);
    // The port is free, for this network too.
    let port = site.network.make_live(Some(site.port)).port().unwrap();
    assert_eq!(port, site.port);
    assert_eq!(site.get(&site.raw_host(), "/").text().unwrap(), "ok");
}

#[test]
fn should_end_gateways_with_their_instance_even_while_they_stream() {
    let site = Site::start();
    let callback = Callback(Func { principal: site.canister, method: "more".to_owned() });
    site.serve(&Answer {
        streaming_strategy: Some(Strategy::Callback { callback, token: 1 }),
        ..answer(200, &[], b"0")
    });
    site.store(1, &encode_one(Some(Piece { body: vec![b'x'; 1 << 20].into(), token: Some(1) })).unwrap());
    // Its body is never read, so it never ends by itself.
    let streaming = site.get(&site.host(), "/");
    let port = site.port;
    drop(site);
    assert!(list_gateways().iter().all(|details| details.port != port));
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    assert!(streaming.bytes().is_err());
}

#[test]
fn should_serve_the_domains_and_addresses_that_are_asked_for() {
    let mut network = builder().build();
    let canister = install(&network, SLOTS);
    let domains = vec!["depot.test".to_owned(), "other.test".to_owned()];
    let url = network.make_live_with_params(Some(IpAddr::from([127, 0, 0, 2])), None, Some(domains), None);
    let port = url.port().unwrap();
    assert_eq!(url.domain(), Some("depot.test"));
    let get =
        |host: String| Client::new().get(format!("http://127.0.0.2:{port}/")).header("host", host).send().unwrap();
    for served in ["depot.test", "other.test"] {
        assert_eq!(error_of(get(format!("{canister}.raw.{served}"))).1, "canister_error", "{served}");
    }
    assert_eq!(error_of(get(format!("{canister}.localhost"))), (400, "client_unknown_domain".to_owned()));
}

#[test]
fn should_make_the_gateway_of_an_instance_with_it() {
    let config = InstanceHttpGatewayConfig {
        ip_addr: None,
        port: None,
        domains: None,
        https_config: None,
        domain_custom_provider_local_file: None,
    };
    let network = builder().with_http_gateway(config).build();
    let canister = install(&network, SLOTS);
    let port = network.url().unwrap().port().unwrap();
    let host = format!("{canister}.raw.localhost");
    let response = Client::new().get(format!("http://127.0.0.1:{port}/")).header("host", host).send().unwrap();
    assert_eq!(error_of(response), (503, "canister_error".to_owned()));
}

#[test]
fn should_refuse_gateways_that_cannot_be() {
    let network = builder().build();
    let refuse = |change: &dyn Fn(&mut HttpGatewayConfig)| {
        let mut config = gateway_config(&network);
        change(&mut config);
        create_gateway(&config).unwrap_err()
    };
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(refuse(&|config| config.port = Some(port)).contains("Failed to bind"));
    assert!(refuse(&|config| config.ip_addr = Some("nowhere".to_owned())).contains("no IP address"));
    assert!(refuse(&|config| config.domains = Some(vec!["a b".to_owned()])).contains("no name of a host"));
    let replica = HttpGatewayBackend::Replica("http://localhost:1".to_owned());
    assert!(refuse(&|config| config.forward_to = replica.clone()).contains("forward_to"));
    let missing = HttpGatewayBackend::PocketIcInstance(1_000_000);
    assert!(refuse(&|config| config.forward_to = missing.clone()).contains("Instance not found"));
    let https = HttpsConfig { cert_path: "c".to_owned(), key_path: "k".to_owned() };
    assert!(refuse(&|config| config.https_config = Some(https.clone())).contains("https_config"));
    let file = Some("f".to_owned());
    let provider = refuse(&|config| config.domain_custom_provider_local_file = file.clone());
    assert!(provider.contains("domain_custom_provider_local_file"));
    assert_eq!(server_post("http_gateway", "{}").status(), 400);
    let local =
        create_gateway(&HttpGatewayConfig { ip_addr: Some("localhost".to_owned()), ..gateway_config(&network) });
    assert!(local.is_ok());
}
