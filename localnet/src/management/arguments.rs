//! The arguments of management methods: decoding, and what can be told from them before the method runs.

use candid::{CandidType, Principal, utils::decode_one_with_config};
use ic_management_canister_types as wire;
use serde::Deserialize;

use super::{Target, refusal::Refusal};
use crate::limits::MAX_CONTROLLERS;

/// Work that the decoder may spend on data that no field asks for.
const SKIPPING_QUOTA: usize = 10_000;
/// The Candid message with no arguments, which methods with optional arguments only also take.
pub(super) const NO_ARGUMENTS: &[u8] = b"DIDL\0\0";
/// Methods of the Internet Computer that this network does not have.
const UNSUPPORTED_METHODS: [&str; 24] = [
    "bitcoin_get_balance",
    "bitcoin_get_block_headers",
    "bitcoin_get_current_fee_percentiles",
    "bitcoin_get_successors",
    "bitcoin_get_utxos",
    "bitcoin_send_transaction",
    "bitcoin_send_transaction_internal",
    "canister_metrics",
    "ecdsa_public_key",
    "flexible_http_request",
    "http_request",
    "list_canisters",
    "node_metrics_history",
    "rename_canister",
    "reshare_chain_key",
    "schnorr_public_key",
    "setup_initial_dkg",
    "sign_with_ecdsa",
    "sign_with_schnorr",
    "subnet_info",
    "subnet_metrics",
    "vetkd_derive_key",
    "vetkd_public_key",
    "compute_initial_i_dkg_dealings",
];

/// Arguments of `install_code`, with the module decoded as one blob.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub(super) struct InstallCodeArgs {
    pub(super) mode: wire::CanisterInstallMode,
    pub(super) canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub(super) wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) arg: Vec<u8>,
    pub(super) sender_canister_version: Option<u64>,
}

/// Arguments of `upload_canister_snapshot_data`, with the slice decoded as one blob.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub(super) struct UploadSnapshotDataArgs {
    pub(super) canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub(super) snapshot_id: Vec<u8>,
    pub(super) kind: wire::SnapshotDataOffset,
    #[serde(with = "serde_bytes")]
    pub(super) chunk: Vec<u8>,
}

/// The decoded argument of a management method.
#[derive(Clone, Debug)]
pub(super) enum Arguments {
    CreateCanister(wire::CreateCanisterArgs),
    ProvisionalCreateCanister(wire::ProvisionalCreateCanisterWithCyclesArgs),
    ProvisionalTopUpCanister(wire::ProvisionalTopUpCanisterArgs),
    UpdateSettings(wire::UpdateSettingsArgs),
    InstallCode(InstallCodeArgs),
    InstallChunkedCode(wire::InstallChunkedCodeArgs),
    UploadChunk(wire::UploadChunkArgs),
    StoredChunks(wire::CanisterIdRecord),
    ClearChunkStore(wire::CanisterIdRecord),
    UninstallCode(wire::UninstallCodeArgs),
    StartCanister(wire::CanisterIdRecord),
    StopCanister(wire::CanisterIdRecord),
    DeleteCanister(wire::CanisterIdRecord),
    CanisterStatus(wire::CanisterIdRecord),
    CanisterInfo(wire::CanisterInfoArgs),
    CanisterMetadata(wire::CanisterMetadataArgs),
    DepositCycles(wire::CanisterIdRecord),
    RawRand,
    TakeSnapshot(wire::TakeCanisterSnapshotArgs),
    LoadSnapshot(wire::LoadCanisterSnapshotArgs),
    ListSnapshots(wire::CanisterIdRecord),
    DeleteSnapshot(wire::DeleteCanisterSnapshotArgs),
    ReadSnapshotMetadata(wire::ReadCanisterSnapshotMetadataArgs),
    ReadSnapshotData(wire::ReadCanisterSnapshotDataArgs),
    UploadSnapshotMetadata(wire::UploadCanisterSnapshotMetadataArgs),
    UploadSnapshotData(UploadSnapshotDataArgs),
    FetchLogs(wire::FetchCanisterLogsArgs),
}

impl Arguments {
    /// Decodes the argument of the method named.
    pub(super) fn decode(method: &str, payload: &[u8]) -> Result<Self, Refusal> {
        let arguments = match method {
            "create_canister" => Self::CreateCanister(decode_or_default(payload)?),
            "provisional_create_canister_with_cycles" => Self::ProvisionalCreateCanister(decode_or_default(payload)?),
            "provisional_top_up_canister" => Self::ProvisionalTopUpCanister(decode(payload)?),
            "update_settings" => Self::UpdateSettings(decode(payload)?),
            "install_code" => Self::InstallCode(decode(payload)?),
            "install_chunked_code" => Self::InstallChunkedCode(decode(payload)?),
            "upload_chunk" => Self::UploadChunk(decode(payload)?),
            "stored_chunks" => Self::StoredChunks(decode(payload)?),
            "clear_chunk_store" => Self::ClearChunkStore(decode(payload)?),
            "uninstall_code" => Self::UninstallCode(decode(payload)?),
            "start_canister" => Self::StartCanister(decode(payload)?),
            "stop_canister" => Self::StopCanister(decode(payload)?),
            "delete_canister" => Self::DeleteCanister(decode(payload)?),
            "canister_status" => Self::CanisterStatus(decode(payload)?),
            "canister_info" => Self::CanisterInfo(decode(payload)?),
            "canister_metadata" => Self::CanisterMetadata(decode(payload)?),
            "deposit_cycles" => Self::DepositCycles(decode(payload)?),
            "raw_rand" => {
                decode_nothing(payload)?;
                Self::RawRand
            }
            "take_canister_snapshot" => Self::TakeSnapshot(decode(payload)?),
            "load_canister_snapshot" => Self::LoadSnapshot(decode(payload)?),
            "list_canister_snapshots" => Self::ListSnapshots(decode(payload)?),
            "delete_canister_snapshot" => Self::DeleteSnapshot(decode(payload)?),
            "read_canister_snapshot_metadata" => Self::ReadSnapshotMetadata(decode(payload)?),
            "read_canister_snapshot_data" => Self::ReadSnapshotData(decode(payload)?),
            "upload_canister_snapshot_metadata" => Self::UploadSnapshotMetadata(decode(payload)?),
            "upload_canister_snapshot_data" => Self::UploadSnapshotData(decode(payload)?),
            "fetch_canister_logs" => Self::FetchLogs(decode(payload)?),
            _ => {
                return Err(match UNSUPPORTED_METHODS.into_iter().find(|known| *known == method) {
                    Some(method) => Refusal::UnsupportedMethod { method },
                    None => Refusal::UnknownMethod { method: method.to_string() },
                });
            }
        };
        if let Some(settings) = arguments.settings() {
            check_list_lengths(settings)?;
        }
        Ok(arguments)
    }

    /// Returns the method's name.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::CreateCanister(_) => "create_canister",
            Self::ProvisionalCreateCanister(_) => "provisional_create_canister_with_cycles",
            Self::ProvisionalTopUpCanister(_) => "provisional_top_up_canister",
            Self::UpdateSettings(_) => "update_settings",
            Self::InstallCode(_) => "install_code",
            Self::InstallChunkedCode(_) => "install_chunked_code",
            Self::UploadChunk(_) => "upload_chunk",
            Self::StoredChunks(_) => "stored_chunks",
            Self::ClearChunkStore(_) => "clear_chunk_store",
            Self::UninstallCode(_) => "uninstall_code",
            Self::StartCanister(_) => "start_canister",
            Self::StopCanister(_) => "stop_canister",
            Self::DeleteCanister(_) => "delete_canister",
            Self::CanisterStatus(_) => "canister_status",
            Self::CanisterInfo(_) => "canister_info",
            Self::CanisterMetadata(_) => "canister_metadata",
            Self::DepositCycles(_) => "deposit_cycles",
            Self::RawRand => "raw_rand",
            Self::TakeSnapshot(_) => "take_canister_snapshot",
            Self::LoadSnapshot(_) => "load_canister_snapshot",
            Self::ListSnapshots(_) => "list_canister_snapshots",
            Self::DeleteSnapshot(_) => "delete_canister_snapshot",
            Self::ReadSnapshotMetadata(_) => "read_canister_snapshot_metadata",
            Self::ReadSnapshotData(_) => "read_canister_snapshot_data",
            Self::UploadSnapshotMetadata(_) => "upload_canister_snapshot_metadata",
            Self::UploadSnapshotData(_) => "upload_canister_snapshot_data",
            Self::FetchLogs(_) => "fetch_canister_logs",
        }
    }

    /// Returns what the method acts on.
    pub(super) fn target(&self) -> Target {
        match self {
            Self::CreateCanister(_) | Self::RawRand => Target::CallersSubnet,
            Self::ProvisionalCreateCanister(args) => {
                args.specified_id.map_or(Target::CallersSubnet, Target::NewCanister)
            }
            Self::ProvisionalTopUpCanister(args) => Target::Canister(args.canister_id),
            Self::UpdateSettings(args) => Target::Canister(args.canister_id),
            Self::InstallCode(args) => Target::Canister(args.canister_id),
            Self::InstallChunkedCode(args) => Target::Canister(args.target_canister),
            Self::UploadChunk(args) => Target::Canister(args.canister_id),
            Self::UninstallCode(args) => Target::Canister(args.canister_id),
            Self::StoredChunks(args)
            | Self::ClearChunkStore(args)
            | Self::StartCanister(args)
            | Self::StopCanister(args)
            | Self::DeleteCanister(args)
            | Self::CanisterStatus(args)
            | Self::DepositCycles(args)
            | Self::ListSnapshots(args) => Target::Canister(args.canister_id),
            Self::CanisterInfo(args) => Target::Canister(args.canister_id),
            Self::CanisterMetadata(args) => Target::Canister(args.canister_id),
            Self::TakeSnapshot(args) => Target::Canister(args.canister_id),
            Self::LoadSnapshot(args) => Target::Canister(args.canister_id),
            Self::DeleteSnapshot(args) => Target::Canister(args.canister_id),
            Self::ReadSnapshotMetadata(args) => Target::Canister(args.canister_id),
            Self::ReadSnapshotData(args) => Target::Canister(args.canister_id),
            Self::UploadSnapshotMetadata(args) => Target::Canister(args.canister_id),
            Self::UploadSnapshotData(args) => Target::Canister(args.canister_id),
            Self::FetchLogs(args) => Target::Canister(args.canister_id),
        }
    }

    /// Returns the version that the calling canister says it has.
    pub(super) fn sender_canister_version(&self) -> Option<u64> {
        match self {
            Self::CreateCanister(args) => args.sender_canister_version,
            Self::ProvisionalCreateCanister(args) => args.sender_canister_version,
            Self::UpdateSettings(args) => args.sender_canister_version,
            Self::InstallCode(args) => args.sender_canister_version,
            Self::InstallChunkedCode(args) => args.sender_canister_version,
            Self::UninstallCode(args) => args.sender_canister_version,
            Self::TakeSnapshot(args) => args.sender_canister_version,
            Self::LoadSnapshot(args) => args.sender_canister_version,
            _ => None,
        }
    }

    fn settings(&self) -> Option<&wire::CanisterSettings> {
        match self {
            Self::CreateCanister(args) => args.settings.as_ref(),
            Self::ProvisionalCreateCanister(args) => args.settings.as_ref(),
            Self::UpdateSettings(args) => Some(&args.settings),
            _ => None,
        }
    }
}

/// Tests the lists of which the interface allows ten elements only.
fn check_list_lengths(settings: &wire::CanisterSettings) -> Result<(), Refusal> {
    let log_viewers = match &settings.log_visibility {
        Some(wire::LogVisibility::AllowedViewers(viewers)) => viewers.len(),
        _ => 0,
    };
    let snapshot_viewers = match &settings.snapshot_visibility {
        Some(wire::SnapshotVisibility::AllowedViewers(viewers)) => viewers.len(),
        _ => 0,
    };
    let status_viewers = match &settings.status_visibility {
        Some(wire::StatusVisibility::AllowedViewers(viewers)) => viewers.len(),
        _ => 0,
    };
    let controllers = settings.controllers.as_ref().map_or(0, Vec::len);
    if [controllers, log_viewers, snapshot_viewers, status_viewers].iter().any(|length| *length > MAX_CONTROLLERS) {
        return Err(Refusal::TooManyElements);
    }
    Ok(())
}

fn decode<T: CandidType + for<'a> Deserialize<'a>>(payload: &[u8]) -> Result<T, Refusal> {
    decode_one_with_config(payload, &decoder_config()).map_err(undecodable)
}

fn decode_or_default<T: CandidType + Default + for<'a> Deserialize<'a>>(payload: &[u8]) -> Result<T, Refusal> {
    if payload == NO_ARGUMENTS { Ok(T::default()) } else { decode(payload) }
}

fn decode_nothing(payload: &[u8]) -> Result<(), Refusal> {
    candid::utils::decode_args_with_config::<()>(payload, &decoder_config()).map_err(undecodable)
}

fn decoder_config() -> candid::DecoderConfig {
    let mut config = candid::DecoderConfig::new();
    // The full message quotes the whole payload.
    config.set_skipping_quota(SKIPPING_QUOTA).set_full_error_message(false);
    config
}

fn undecodable(error: candid::Error) -> Refusal {
    Refusal::Undecodable { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use candid::Nat;

    use super::*;
    use crate::{
        error::ErrorCode,
        management::{
            target,
            test_fixtures::{World, code, from_canister, record, user},
        },
    };

    #[test]
    fn should_tell_unknown_from_unsupported_methods() {
        let unknown = Arguments::decode("fly", NO_ARGUMENTS).expect_err("there is no such method");
        assert_eq!(unknown, Refusal::UnknownMethod { method: "fly".to_string() });
        for method in UNSUPPORTED_METHODS {
            let refused = Arguments::decode(method, NO_ARGUMENTS).expect_err("it is not supported");
            assert_eq!(refused, Refusal::UnsupportedMethod { method });
            assert_eq!(code(target(method, NO_ARGUMENTS)), ErrorCode::CanisterMethodNotFound);
        }
    }

    #[test]
    fn should_refuse_what_it_cannot_decode() {
        for payload in [b"".as_slice(), b"DIDL", b"\0\0\0\0", NO_ARGUMENTS] {
            assert_eq!(code(target("start_canister", payload)), ErrorCode::InvalidManagementPayload);
        }
        let other = candid::encode_one("text").expect("text encodes");
        assert_eq!(code(target("install_code", &other)), ErrorCode::InvalidManagementPayload);
    }

    #[test]
    fn should_take_no_arguments_for_optional_ones() {
        assert_eq!(target("create_canister", NO_ARGUMENTS), Ok(Target::CallersSubnet));
        assert_eq!(target("provisional_create_canister_with_cycles", NO_ARGUMENTS), Ok(Target::CallersSubnet));
    }

    #[test]
    fn should_skip_unknown_fields_up_to_a_quota() {
        #[derive(CandidType)]
        struct WithMore {
            canister_id: Principal,
            more: Vec<u16>,
        }
        let with = |count| {
            let args = WithMore { canister_id: user(1), more: vec![7; count] };
            target("start_canister", &candid::encode_one(args).expect("it encodes"))
        };
        assert_eq!(with(100), Ok(Target::Canister(user(1))));
        assert_eq!(code(with(SKIPPING_QUOTA)), ErrorCode::InvalidManagementPayload);
    }

    #[test]
    fn should_read_what_a_method_acts_on() {
        let install = wire::InstallCodeArgs {
            mode: wire::CanisterInstallMode::Install,
            canister_id: user(1),
            wasm_module: vec![1; 100_000],
            arg: Vec::new(),
            sender_canister_version: Some(1),
        };
        let payload = candid::encode_one(&install).expect("it encodes");
        assert_eq!(target("install_code", &payload), Ok(Target::Canister(user(1))));
        let create = wire::ProvisionalCreateCanisterWithCyclesArgs {
            specified_id: Some(user(2)),
            amount: Some(Nat::from(1_u8)),
            ..Default::default()
        };
        let payload = candid::encode_one(&create).expect("it encodes");
        assert_eq!(target("provisional_create_canister_with_cycles", &payload), Ok(Target::NewCanister(user(2))));
        assert_eq!(target("raw_rand", NO_ARGUMENTS), Ok(Target::CallersSubnet));
    }

    #[test]
    fn should_refuse_a_sender_version_from_the_future() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.canister(id).settings.controllers.push(id);
        let mut uninstall = |version| {
            let args = wire::UninstallCodeArgs { canister_id: id, sender_canister_version: Some(version) };
            world.as_canister(id, "uninstall_code", &args, 8)
        };
        assert!(uninstall(0).0.is_ok());
        let (answer, refund) = uninstall(2);
        assert_eq!((code(answer), refund), (ErrorCode::CanisterContractViolation, 8));
        assert!(uninstall(1).0.is_ok());
    }

    #[test]
    fn should_give_cycles_back_from_methods_that_take_none() {
        let mut world = World::new();
        let id = world.create(user(1));
        let origin = from_canister(user(1));
        let (disposition, _) = world.execute(origin, "stop_canister", &record(id), 12);
        assert!(matches!(disposition, crate::network::Disposition::Done(Ok(reply), 12) if reply == NO_ARGUMENTS));
    }

    #[test]
    fn should_know_every_method_by_its_own_name() {
        let payload = candid::encode_one(record(user(1))).expect("it encodes");
        for method in ["stored_chunks", "clear_chunk_store", "start_canister", "stop_canister", "delete_canister"] {
            assert_eq!(Arguments::decode(method, &payload).map(|arguments| arguments.method()), Ok(method));
        }
        for method in ["canister_status", "deposit_cycles", "list_canister_snapshots", "canister_info"] {
            assert_eq!(Arguments::decode(method, &payload).map(|arguments| arguments.method()), Ok(method));
        }
    }
}
