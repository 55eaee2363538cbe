//! Who may read which part of the state.

use candid::Principal;
use ciborium::{Value, cbor};
use ic_agent::{Identity, identity::BasicIdentity};

use super::network::*;

const TREE_ONLY_ROOT: &[u8] = b"canister_ranges";

fn ask(network: &Network, path: &str, paths: &[Vec<&[u8]>]) -> (u16, String) {
    let answer = network.ask(path, &read_state(paths));
    (answer.status, if answer.status == 200 { String::new() } else { answer.text() })
}

fn allowed(network: &Network, path: &str, paths: &[Vec<&[u8]>]) {
    assert_eq!(ask(network, path, paths), (200, String::new()), "{path} {paths:?}");
}

fn refused(network: &Network, path: &str, paths: &[Vec<&[u8]>], status: u16, text: &str) {
    let answer = ask(network, path, paths);
    assert!(answer.0 == status && answer.1.contains(text), "{path} {paths:?}: {answer:?}");
}

#[test]
fn should_let_everybody_read_what_is_public() {
    let network = Network::still();
    let canister = network.canister();
    let topology = network.pic.topology();
    let (nns, application) = (topology.get_nns().unwrap(), topology.get_app_subnets()[0]);
    let places = [
        format!("api/v2/canister/{canister}/read_state"),
        format!("api/v3/canister/{canister}/read_state"),
        format!("api/v2/subnet/{application}/read_state"),
        format!("api/v3/subnet/{application}/read_state"),
    ];
    for place in &places {
        allowed(&network, place, &[]);
        let id = application.as_slice();
        for path in [
            vec![b"time".as_slice()],
            vec![b"subnet"],
            vec![b"subnet", id],
            vec![b"subnet", id, b"public_key"],
            vec![b"subnet", id, b"type"],
            vec![b"subnet", id, b"node"],
            vec![b"subnet", id, b"node", &[1]],
            vec![b"subnet", id, b"node", &[1], b"public_key"],
            vec![b"subnet", nns.as_slice(), TREE_ONLY_ROOT],
            vec![b"api_boundary_nodes"],
            vec![b"api_boundary_nodes", &[1], b"domain"],
        ] {
            allowed(&network, place, &[path]);
        }
        for path in [
            vec![],
            vec![b"".as_slice()],
            vec![b"canister"],
            vec![b"canister", canister.as_slice()],
            vec![b"canister", canister.as_slice(), b"certified_data"],
            vec![b"subnet", id, b"other"],
            vec![b"time", b"more"],
            vec![b"request_status"],
            vec![b"canister_ranges"],
            vec![b"streams"],
            vec![b"api_boundary_nodes", &[1], b"other"],
        ] {
            refused(&network, place, &[path], 404, "Invalid path requested.");
        }
    }
    let ranges = vec![b"subnet".as_slice(), application.as_slice(), TREE_ONLY_ROOT];
    for (place, is_allowed) in places.iter().zip([true, false, true, false]) {
        if is_allowed {
            allowed(&network, place, std::slice::from_ref(&ranges));
        } else {
            refused(&network, place, std::slice::from_ref(&ranges), 404, "Invalid path requested.");
        }
    }
}

#[test]
fn should_keep_subnets_and_canisters_to_their_own_endpoints() {
    let network = Network::still();
    let (canister, other) = (network.canister(), network.canister());
    let topology = network.pic.topology();
    let (nns, application) = (topology.get_nns().unwrap(), topology.get_app_subnets()[0]);
    let of_canister = format!("api/v3/canister/{canister}/read_state");
    let of_subnet = format!("api/v3/subnet/{application}/read_state");
    for field in [b"module_hash".as_slice(), b"controllers"] {
        allowed(&network, &of_canister, &[vec![b"canister", canister.as_slice(), field]]);
        refused(&network, &of_canister, &[vec![b"canister", other.as_slice(), field]], 400, "does not match");
        refused(&network, &of_canister, &[vec![b"canister", &[0; 30], field]], 400, "Could not parse principal");
        refused(&network, &of_subnet, &[vec![b"canister", canister.as_slice(), field]], 404, "Invalid path");
    }
    allowed(&network, &of_subnet, &[vec![b"subnet", application.as_slice(), b"metrics"]]);
    refused(&network, &of_subnet, &[vec![b"subnet", nns.as_slice(), b"metrics"]], 400, "does not match");
    refused(&network, &of_canister, &[vec![b"subnet", application.as_slice(), b"metrics"]], 404, "Invalid path");
    allowed(&network, &of_subnet, &[vec![b"canister_ranges", application.as_slice()]]);
    refused(&network, &of_canister, &[vec![b"canister_ranges", application.as_slice()]], 404, "Invalid path");
    refused(
        &network,
        &of_subnet,
        &[vec![b"canister_ranges", application.as_slice()], vec![b"canister_ranges", nns.as_slice()]],
        400,
        "More than one subnet ID",
    );
    assert!(network.pic.get_subnet_metrics(application).unwrap().num_canisters >= 2);
}

#[test]
fn should_tell_private_sections_to_controllers_only() {
    let network = Network::still();
    let canister = network.canister();
    let place = format!("api/v3/canister/{canister}/read_state");
    let section = |name: &'static [u8]| vec![vec![b"canister".as_slice(), canister.as_slice(), b"metadata", name]];
    allowed(&network, &place, &section(b"candid:service"));
    allowed(&network, &place, &section(b"absent"));
    allowed(&network, &place, &section(b"secret"));
    network.pic.set_controllers(canister, None, vec![Principal::management_canister()]).unwrap();
    allowed(&network, &place, &section(b"candid:service"));
    refused(&network, &place, &section(b"secret"), 403, "can only be requested by the controllers");
    refused(&network, &place, &section(b"\xff"), 400, "Could not parse the custom section name");
}

#[test]
fn should_tell_what_became_of_a_message_to_its_sender_only() {
    let network = Network::still();
    let canister = network.canister();
    let place = format!("api/v3/canister/{canister}/read_state");
    // Signed by somebody, asked for by nobody.
    let identity = BasicIdentity::from_raw_key(&[9; 32]);
    let mut content = call(&network, canister, "increment", &[]);
    for (key, value) in content.as_map_mut().unwrap() {
        if key.as_text() == Some("sender") {
            *value = blob(identity.sender().unwrap().as_slice());
        }
    }
    let id = request_id(&content);
    let signature = identity.sign_arbitrary(&[b"\x0Aic-request".as_slice(), &id].concat()).unwrap();
    let (key, signature) = (blob(&identity.public_key().unwrap()), blob(&signature.signature.unwrap()));
    let envelope = cbor!({ "content" => content, "sender_pubkey" => key, "sender_sig" => signature }).unwrap();
    assert_eq!(network.post(&format!("api/v2/canister/{canister}/call"), encode(&envelope)).status, 202);
    for _ in 0..2 {
        refused(&network, &place, &[vec![b"request_status", &id]], 403, "not signed by the caller");
        refused(&network, &place, &[vec![b"request_status", &id, b"reply"]], 403, "not signed by the caller");
        network.pic.tick();
    }
    let own = call(&network, canister, "increment", b"own");
    assert_eq!(network.ask(&format!("api/v2/canister/{canister}/call"), &own).status, 202);
    network.pic.tick();
    let own = request_id(&own);
    for field in [b"status".as_slice(), b"reply", b"reject_code", b"reject_message", b"error_code"] {
        allowed(&network, &place, &[vec![b"request_status", &own, field]]);
    }
    allowed(&network, &place, &[vec![b"request_status", &own], vec![b"request_status", &own, b"reply"]]);
    allowed(&network, &place, &[vec![b"request_status", &[3; 32]]]);
    refused(&network, &place, &[vec![b"request_status", &own, b"other"]], 404, "Invalid path");
    refused(&network, &place, &[vec![b"request_status", &own[..31]]], 400, "Invalid request id");
    refused(
        &network,
        &place,
        &[vec![b"request_status", &own], vec![b"request_status", &[3; 32]]],
        400,
        "More than one non-unique request ID",
    );
}

#[test]
fn should_bound_the_paths_of_a_request() {
    let network = Network::still();
    let place = format!("api/v3/canister/{}/read_state", network.canister());
    allowed(&network, &place, &vec![vec![b"time".as_slice()]; 1_000]);
    refused(&network, &place, &vec![vec![b"time".as_slice()]; 1_001], 400, "more than 1000");
    refused(&network, &place, &[vec![b"x".as_slice(); 127]], 404, "Invalid path");
    refused(&network, &place, &[vec![b"x".as_slice(); 128]], 400, "more than 127");
    let undefined = Value::Null;
    let content =
        cbor!({ "request_type" => "read_state", "sender" => blob(&[4]), "ingress_expiry" => 0, "paths" => undefined });
    assert_eq!(network.ask(&place, &content.unwrap()).status, 400);
}
