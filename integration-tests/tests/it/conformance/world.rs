//! What the cases have in common: networks, management calls, and what they answer.

use std::{fmt::Debug, time::Duration};

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types as wire;
use integration_tests::{
    network,
    universal::{Program, Rejection, Universal, module},
};
use pocket_ic::{ErrorCode, PocketIc, RejectCode, RejectResponse, common::rest::RawEffectivePrincipal};
use serde::{Deserialize, de::DeserializeOwned};

/// A trillion cycles.
pub(super) const T: u128 = 1_000_000_000_000;
/// What a new canister has.
pub(super) const DEFAULT_BALANCE: u128 = 100 * T;
/// Bytes of a page of Wasm memory.
pub(super) const PAGE: u64 = 65_536;
/// Bytes of a MiB.
pub(super) const MIB: u64 = 1 << 20;

/// The principal that creates canisters when no other is named, and so controls them.
pub(super) const OWNER: Principal = Principal::anonymous();

/// A user that controls nothing.
pub(super) fn stranger() -> Principal {
    user(7)
}

/// A user.
pub(super) fn user(number: u8) -> Principal {
    Principal::self_authenticating([number; 32])
}

/// A program that does nothing yet.
pub(super) fn program() -> Program {
    Program::new()
}

/// A network of one application subnet.
pub(super) fn start() -> PocketIc {
    network::start()
}

/// A network of two application subnets, and their ids.
pub(super) fn start_two() -> (PocketIc, [Principal; 2]) {
    let network = network::builder().with_application_subnet().with_application_subnet().build();
    let subnets = network.topology().get_app_subnets();
    let ids = [subnets[0], subnets[1]];
    (network, ids)
}

/// A network with a running universal canister.
macro_rules! with_canister {
    ($network:ident, $canister:ident) => {
        let $network = start();
        let $canister = Universal::install(&$network);
    };
}
pub(super) use with_canister;

/// Returns the error code of a reject.
pub(super) fn code<T: Debug>(result: Result<T, RejectResponse>) -> ErrorCode {
    result.expect_err("it must be rejected").error_code
}

/// Returns the reject code of a reject.
pub(super) fn reject_code_of<T: Debug>(result: Result<T, RejectResponse>) -> RejectCode {
    result.expect_err("it must be rejected").reject_code
}

/// Returns the reject code that a canister got.
pub(super) fn rejected<T: Debug>(result: Result<T, Rejection>) -> u64 {
    result.expect_err("the call must be rejected").code
}

/// Reads an integer that a program appended.
pub(super) fn int(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// Reads integers that a program appended.
pub(super) fn ints(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks(8).map(int).collect()
}

/// Reads an amount of cycles that a program appended.
pub(super) fn cycles(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(bytes.try_into().expect("sixteen bytes"))
}

/// Calls the management canister as a user.
pub(super) fn manage(
    network: &PocketIc,
    sender: Principal,
    effective: Principal,
    method: &str,
    argument: &impl CandidType,
) -> Result<Vec<u8>, RejectResponse> {
    let payload = candid::encode_one(argument).expect("arguments encode");
    manage_raw(network, sender, effective, method, payload)
}

/// Calls the management canister as a user with bytes that need not be an argument.
pub(super) fn manage_raw(
    network: &PocketIc,
    sender: Principal,
    effective: Principal,
    method: &str,
    payload: Vec<u8>,
) -> Result<Vec<u8>, RejectResponse> {
    network.update_call_with_effective_principal(
        Principal::management_canister(),
        RawEffectivePrincipal::CanisterId(effective.as_slice().to_vec()),
        sender,
        method,
        payload,
    )
}

/// Queries the management canister.
pub(super) fn query_management(
    network: &PocketIc,
    sender: Principal,
    effective: Principal,
    method: &str,
    argument: &impl CandidType,
) -> Result<Vec<u8>, RejectResponse> {
    network.query_call_with_effective_principal(
        Principal::management_canister(),
        RawEffectivePrincipal::CanisterId(effective.as_slice().to_vec()),
        sender,
        method,
        candid::encode_one(argument).expect("arguments encode"),
    )
}

/// Decodes an answer.
pub(super) fn decode<T: CandidType + DeserializeOwned>(bytes: &[u8]) -> T {
    candid::decode_one(bytes).expect("the answer has the type of the interface")
}

/// The argument of methods that take a canister only.
pub(super) fn record(canister_id: Principal) -> wire::CanisterIdRecord {
    wire::CanisterIdRecord { canister_id }
}

/// What `canister_status` answers, as far as every version of the interface has it.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) status: wire::CanisterStatusType,
    pub(super) version: u64,
    pub(super) settings: Settings,
    pub(super) module_hash: Option<Vec<u8>>,
    pub(super) memory_size: Nat,
    pub(super) memory_metrics: MemoryMetrics,
    pub(super) cycles: Nat,
    pub(super) reserved_cycles: Nat,
    pub(super) idle_cycles_burned_per_day: Nat,
}

/// Settings, as far as every version of the interface has them.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub(super) struct Settings {
    pub(super) controllers: Vec<Principal>,
    pub(super) compute_allocation: Nat,
    pub(super) memory_allocation: Nat,
    pub(super) freezing_threshold: Nat,
    pub(super) reserved_cycles_limit: Nat,
    pub(super) log_visibility: wire::LogVisibility,
    pub(super) wasm_memory_limit: Nat,
    pub(super) wasm_memory_threshold: Nat,
    pub(super) environment_variables: Vec<wire::EnvironmentVariable>,
}

/// Bytes of memory by what they are for.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub(super) struct MemoryMetrics {
    pub(super) wasm_memory_size: Nat,
    pub(super) stable_memory_size: Nat,
    pub(super) global_memory_size: Nat,
    pub(super) wasm_binary_size: Nat,
    pub(super) custom_sections_size: Nat,
    pub(super) canister_history_size: Nat,
    pub(super) wasm_chunk_store_size: Nat,
    pub(super) snapshots_size: Nat,
}

/// Reads a canister's status as its owner.
pub(super) fn status(network: &PocketIc, id: Principal) -> Status {
    decode(&query_management(network, OWNER, id, "canister_status", &record(id)).expect("the owner may read it"))
}

/// Returns a number of the interface, which is small.
pub(super) fn small(number: &Nat) -> u128 {
    u128::try_from(number.0.clone()).expect("it fits")
}

/// Changes settings as a user.
pub(super) fn set(
    network: &PocketIc,
    sender: Principal,
    id: Principal,
    settings: wire::CanisterSettings,
) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::UpdateSettingsArgs { canister_id: id, settings, sender_canister_version: None };
    manage(network, sender, id, "update_settings", &args)
}

/// Installs code as a user.
pub(super) fn install(
    network: &PocketIc,
    sender: Principal,
    id: Principal,
    mode: wire::CanisterInstallMode,
    wasm_module: Vec<u8>,
    program: Program,
) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::InstallCodeArgs {
        mode,
        canister_id: id,
        wasm_module,
        arg: program.into_bytes(),
        sender_canister_version: None,
    };
    manage(network, sender, id, "install_code", &args)
}

/// Upgrades a universal canister to itself.
pub(super) fn upgrade(canister: &Universal<'_>, program: Program) -> Result<Vec<u8>, RejectResponse> {
    install(canister.network, OWNER, canister.id, wire::CanisterInstallMode::Upgrade(None), module().bytes(), program)
}

/// Makes a canister with so many cycles.
pub(super) fn create_with(network: &PocketIc, cycles: u128) -> Principal {
    let args = wire::ProvisionalCreateCanisterWithCyclesArgs { amount: Some(Nat::from(cycles)), ..Default::default() };
    let effective = network.topology().default_effective_canister_id.into();
    let reply = manage(network, OWNER, effective, "provisional_create_canister_with_cycles", &args);
    decode::<wire::CanisterIdRecord>(&reply.expect("everybody may")).canister_id
}

/// Lets so much time pass, then runs a round.
pub(super) fn pass(network: &PocketIc, time: Duration) {
    network.advance_time(time);
    network.tick();
}

/// Runs rounds.
pub(super) fn ticks(network: &PocketIc, rounds: usize) {
    for _ in 0..rounds {
        network.tick();
    }
}

/// Compiles a module from its text.
pub(super) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a module")
}
