//! A stand-in for HTTP gateways in unit tests of canisters.
//!
//! It signs what a canister certifies as the Internet Computer does, with a root key of its own, and verifies answers as
//! gateways do.

use candid::Principal;
use ic_certification::{Certificate, HashTree, fork, labeled, leaf};
use ic_http_certification::{HttpRequest as GatewayRequest, HttpResponse as GatewayResponse, Method, StatusCode};
use ic_response_verification::verify_request_response_pair;
use ic_verify_bls_signature::PrivateKey;
use serde_bytes::ByteBuf;

use super::{HttpRequest, HttpResponse};
use crate::Hash;

/// The canister whose answers are verified.
pub const CANISTER: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1]);
/// The time of all certificates.
const NOW_NS: u64 = 1_700_000_000_000_000_000;
/// What stands before a public key in DER.
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02,
    0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00,
];

fn root_key() -> PrivateKey {
    let mut bytes = [0; 32];
    bytes[31] = 7;
    PrivateKey::deserialize(&bytes).expect("a small number is a private key")
}

/// Returns a request without a body, as a gateway sends it to a canister.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: method.to_string(),
        url: url.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        body: ByteBuf::new(),
        certificate_version: Some(2),
    }
}

/// Returns the certificate of the certified data of [`CANISTER`].
pub fn certificate(certified_data: &Hash) -> Vec<u8> {
    let data = labeled("certified_data", leaf(certified_data.as_bytes()));
    let canister = labeled("canister", labeled(CANISTER.as_slice(), data));
    let mut time = Vec::new();
    let mut rest = NOW_NS;
    while rest >= 0x80 {
        time.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    time.push(rest as u8);
    let tree: HashTree = fork(canister, labeled("time", leaf(time)));
    let message = [b"\x0dic-state-root".as_slice(), &tree.digest()].concat();
    let signature = root_key().sign(&message).serialize().to_vec();
    let mut bytes = Vec::new();
    ciborium::into_writer(&Certificate { tree, signature, delegation: None }, &mut bytes)
        .expect("a certificate can be encoded");
    bytes
}

/// Verifies an answer of [`CANISTER`]. Returns how many of its headers are certified, with those that certify; nothing
/// when the canister says that nothing of the answer is certified.
///
/// # Errors
/// Why a gateway would not hand the answer on.
pub fn verify(request: &HttpRequest, response: &HttpResponse) -> Result<Option<usize>, String> {
    let gateway_request = GatewayRequest::builder()
        .with_method(Method::try_from(request.method.as_str()).map_err(|error| error.to_string())?)
        .with_url(&request.url)
        .with_headers(request.headers.clone())
        .with_body(request.body.to_vec())
        .build();
    let gateway_response = GatewayResponse::builder()
        .with_status_code(StatusCode::from_u16(response.status_code).map_err(|error| error.to_string())?)
        .with_headers(response.headers.clone())
        .with_body(response.body.to_vec())
        .build();
    let key = [DER_PREFIX.as_slice(), &root_key().public_key().serialize()].concat();
    let canister = CANISTER.as_slice();
    verify_request_response_pair(gateway_request, gateway_response, canister, u128::from(NOW_NS), 1, &key, 2)
        .map(|verified| verified.response.map(|response| response.headers.len()))
        .map_err(|error| error.to_string())
}
