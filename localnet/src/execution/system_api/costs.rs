//! What things would cost: `cost_call` and its kin.

use candid::{CandidType, Decode, Deserialize};
use wasmtime::{Caller, Linker};

use super::{
    Halt, HostState, Run, Size,
    calls::prepayment,
    enter,
    heap_access::{copy_in, read_text, write_cycles},
    mode,
};
use crate::message::Cycles;

type Call<'a> = Caller<'a, HostState>;

/// Fixed part of the fee for an HTTP outcall, for each node.
const HTTP_REQUEST_FEE: Cycles = 3_000_000;
/// Part of the fee for an HTTP outcall that grows with the square of the number of nodes.
const HTTP_REQUEST_NODE_FEE: Cycles = 60_000;
/// Fee for each byte of an HTTP request, for each node.
const HTTP_REQUEST_BYTE_FEE: Cycles = 400;
/// Fee for each byte of an HTTP response, for each node.
const HTTP_RESPONSE_BYTE_FEE: Cycles = 800;
/// Fee for a threshold signature or key derivation on 13 nodes.
const SIGNATURE_FEE: Cycles = 10_000_000_000;
/// Response size that an HTTP outcall pays for when it names none.
const DEFAULT_HTTP_RESPONSE_BYTES: u64 = 2_000_000;
/// Largest argument of `cost_http_request_v2`.
const MAX_HTTP_PARAMETERS: usize = 1_024;
/// Longest name of a key.
const MAX_KEY_NAME: usize = 128;
/// Names of the threshold keys of a test network.
const KEY_NAMES: [&str; 3] = ["key_1", "test_key_1", "dfx_test_key"];
/// Curves or algorithms of ECDSA, Schnorr and vetKD that the cost functions number from 0.
const ECDSA_CURVES: u32 = 1;
const SCHNORR_ALGORITHMS: u32 = 2;
const VETKD_CURVES: u32 = 1;

/// What the signature cost functions answer.
const COST_WRITTEN: u32 = 0;
const UNKNOWN_CURVE: u32 = 1;
const UNKNOWN_KEY: u32 = 2;

/// Argument of `cost_http_request_v2`, as far as it bears on the fee.
#[derive(CandidType, Deserialize)]
struct HttpParameters {
    request_bytes: u64,
    raw_response_bytes: Option<u64>,
}

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "ic0",
        "cost_call",
        |mut caller: Call<'_>, name_size: u64, payload_size: u64, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "cost_call", mode::ANY, 500)?;
            let cost = prepayment(caller.data_mut().run()?, name_size.saturating_add(payload_size));
            write_cycles(&mut caller, "cost_call", destination.wide(), cost)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_create_canister",
        |mut caller: Call<'_>, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "cost_create_canister", mode::ANY, 500)?;
            let cost = caller.data_mut().run()?.environment.cost_model.creation_fee();
            write_cycles(&mut caller, "cost_create_canister", destination.wide(), cost)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_http_request",
        |mut caller: Call<'_>, request: u64, response: u64, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "cost_http_request", mode::ANY, 500)?;
            let cost = http_request(caller.data_mut().run()?, request, response);
            write_cycles(&mut caller, "cost_http_request", destination.wide(), cost)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_http_request_v2",
        |mut caller: Call<'_>, source: I, size: I, destination: I| -> wasmtime::Result<()> {
            let name = "cost_http_request_v2";
            enter(&mut caller, name, mode::ANY, 10_000)?;
            let bytes = copy_in(&mut caller, name, source.wide(), size.wide(), MAX_HTTP_PARAMETERS)?;
            let parameters = Decode!(&bytes, HttpParameters)
                .map_err(|error| Halt::Contract(format!("{name}: cannot decode the parameters: {error}")))?;
            let response = parameters.raw_response_bytes.unwrap_or(DEFAULT_HTTP_RESPONSE_BYTES);
            let cost = http_request(caller.data_mut().run()?, parameters.request_bytes, response);
            write_cycles(&mut caller, name, destination.wide(), cost)
        },
    )?;
    define_signature::<I>(linker, "cost_sign_with_ecdsa", ECDSA_CURVES)?;
    define_signature::<I>(linker, "cost_sign_with_schnorr", SCHNORR_ALGORITHMS)?;
    define_signature::<I>(linker, "cost_vetkd_derive_key", VETKD_CURVES)
}

/// Defines a cost function that takes a key name and the number of a curve below `curves`.
fn define_signature<I: Size>(linker: &mut Linker<HostState>, name: &'static str, curves: u32) -> wasmtime::Result<()> {
    linker.func_wrap(
        "ic0",
        name,
        move |mut caller: Call<'_>, key: I, key_size: I, curve: u32, destination: I| -> wasmtime::Result<u32> {
            enter(&mut caller, name, mode::ANY, 500)?;
            let key = read_text(&mut caller, name, key.wide(), key_size.wide(), MAX_KEY_NAME)?;
            if curve >= curves {
                return Ok(UNKNOWN_CURVE);
            }
            if !KEY_NAMES.contains(&key.as_str()) {
                return Ok(UNKNOWN_KEY);
            }
            let cost = caller.data_mut().run()?.environment.cost_model.scale(SIGNATURE_FEE);
            write_cycles(&mut caller, name, destination.wide(), cost)?;
            Ok(COST_WRITTEN)
        },
    )?;
    Ok(())
}

/// Returns the fee for an HTTP outcall. It is given for each node, unlike other fees, and so is not scaled.
fn http_request(run: &Run, request_bytes: u64, response_bytes: u64) -> Cycles {
    let model = &run.environment.cost_model;
    if model.free {
        return 0;
    }
    let nodes = Cycles::from(model.subnet_size);
    let bytes =
        HTTP_REQUEST_BYTE_FEE * Cycles::from(request_bytes) + HTTP_RESPONSE_BYTE_FEE * Cycles::from(response_bytes);
    (HTTP_REQUEST_FEE + HTTP_REQUEST_NODE_FEE * nodes + bytes) * nodes
}
