//! What `canister_status` tells.
//!
//! The record has every field that any released client asks for: Candid lets older ones ignore what they do not know.

use candid::{Nat, Principal};
use ic_management_canister_types as wire;

use super::{
    authorization::{canister, check_status_reader},
    refusal::Refusal,
};
use crate::{
    canister::{Canister, Change, LogRecord, Settings, Status, Viewers},
    cycles::CostModel,
    limits::CHUNK_BYTES,
    network::Subnet,
};

/// Answers `canister_status`.
pub(super) fn status(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::CanisterIdRecord,
) -> Result<wire::CanisterStatusResult, Refusal> {
    let canister = canister(subnet, &args.canister_id)?;
    check_status_reader(canister, caller)?;
    Ok(describe(canister, &subnet.cost_model))
}

fn describe(canister: &Canister, cost_model: &CostModel) -> wire::CanisterStatusResult {
    let [calls, instructions, request_bytes, response_bytes] = canister.query_stats;
    let stopped = matches!(canister.status, Status::Stopped);
    wire::CanisterStatusResult {
        status: match canister.status {
            Status::Running => wire::CanisterStatusType::Running,
            Status::Stopping(_) => wire::CanisterStatusType::Stopping,
            Status::Stopped => wire::CanisterStatusType::Stopped,
        },
        ready_for_migration: stopped && canister.input.is_empty() && canister.is_quiet(),
        version: canister.version,
        settings: definite_settings(&canister.settings),
        module_hash: canister.module().map(|module| module.hash().to_vec()),
        memory_size: Nat::from(canister.memory_usage()),
        memory_metrics: memory_metrics(canister),
        cycles: Nat::from(canister.balance),
        reserved_cycles: Nat::from(canister.reserved_balance),
        idle_cycles_burned_per_day: Nat::from(cost_model.idle_burned_per_day(&canister.holdings())),
        query_stats: wire::QueryStats {
            num_calls_total: Nat::from(calls),
            num_instructions_total: Nat::from(instructions),
            request_payload_bytes_total: Nat::from(request_bytes),
            response_payload_bytes_total: Nat::from(response_bytes),
        },
    }
}

fn definite_settings(settings: &Settings) -> wire::DefiniteCanisterSettings {
    wire::DefiniteCanisterSettings {
        controllers: settings.controllers.clone(),
        compute_allocation: Nat::from(settings.compute_allocation),
        memory_allocation: Nat::from(settings.memory_allocation),
        freezing_threshold: Nat::from(settings.freezing_threshold),
        reserved_cycles_limit: Nat::from(settings.reserved_cycles_limit),
        minimum_incoming_canister_call_cycles: Nat::from(settings.minimum_incoming_canister_call_cycles),
        log_visibility: match &settings.log_visibility {
            Viewers::Controllers => wire::LogVisibility::Controllers,
            Viewers::Public => wire::LogVisibility::Public,
            Viewers::Allowed(viewers) => wire::LogVisibility::AllowedViewers(viewers.clone()),
        },
        log_memory_limit: Nat::from(settings.log_memory_limit),
        snapshot_visibility: match &settings.snapshot_visibility {
            Viewers::Controllers => wire::SnapshotVisibility::Controllers,
            Viewers::Public => wire::SnapshotVisibility::Public,
            Viewers::Allowed(viewers) => wire::SnapshotVisibility::AllowedViewers(viewers.clone()),
        },
        status_visibility: match &settings.status_visibility {
            Viewers::Controllers => wire::StatusVisibility::Controllers,
            Viewers::Public => wire::StatusVisibility::Public,
            Viewers::Allowed(viewers) => wire::StatusVisibility::AllowedViewers(viewers.clone()),
        },
        wasm_memory_limit: Nat::from(settings.wasm_memory_limit),
        wasm_memory_threshold: Nat::from(settings.wasm_memory_threshold),
        environment_variables: settings
            .environment_variables
            .iter()
            .map(|(name, value)| wire::EnvironmentVariable { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

fn memory_metrics(canister: &Canister) -> wire::MemoryMetrics {
    let sandbox = canister.sandbox.as_ref();
    let module = canister.module();
    wire::MemoryMetrics {
        wasm_memory_size: Nat::from(sandbox.map_or(0, |sandbox| sandbox.heap_bytes())),
        stable_memory_size: Nat::from(sandbox.map_or(0, |sandbox| sandbox.stable().bytes())),
        global_memory_size: Nat::from(module.map_or(0, |module| module.global_bytes())),
        wasm_binary_size: Nat::from(module.map_or(0, |module| module.uploaded_bytes())),
        custom_sections_size: Nat::from(module.map_or(0, |module| module.metadata_bytes())),
        canister_history_size: Nat::from(canister.history.recent.iter().map(Change::bytes).sum::<u64>()),
        wasm_chunk_store_size: Nat::from(canister.chunks.len() * CHUNK_BYTES),
        snapshots_size: Nat::from(canister.snapshots.values().map(|snapshot| snapshot.size).sum::<u64>()),
        log_memory_store_size: Nat::from(canister.logs.iter().map(LogRecord::bytes).sum::<usize>()),
    }
}

#[cfg(test)]
mod tests {
    use candid::{CandidType, Deserialize};

    use super::*;
    use crate::{
        error::ErrorCode,
        management::test_fixtures::{World, code, decoded, record, user},
    };

    /// The record as clients of interface version 0.8 know it, which have no `status_visibility` and no
    /// `minimum_incoming_canister_call_cycles`.
    #[derive(CandidType, Debug, Deserialize)]
    struct OldStatus {
        status: wire::CanisterStatusType,
        ready_for_migration: bool,
        version: u64,
        settings: OldSettings,
        module_hash: Option<Vec<u8>>,
        memory_size: Nat,
        memory_metrics: wire::MemoryMetrics,
        cycles: Nat,
        reserved_cycles: Nat,
        idle_cycles_burned_per_day: Nat,
        query_stats: wire::QueryStats,
    }

    #[derive(CandidType, Debug, Deserialize)]
    struct OldSettings {
        controllers: Vec<Principal>,
        compute_allocation: Nat,
        memory_allocation: Nat,
        freezing_threshold: Nat,
        reserved_cycles_limit: Nat,
        log_visibility: wire::LogVisibility,
        log_memory_limit: Nat,
        snapshot_visibility: wire::SnapshotVisibility,
        wasm_memory_limit: Nat,
        wasm_memory_threshold: Nat,
        environment_variables: Vec<wire::EnvironmentVariable>,
    }

    #[test]
    fn should_be_understood_by_old_and_new_clients() {
        let mut world = World::new();
        let id = world.create_with(user(1), Some(4_000));
        world.canister(id).query_stats = [1, 2, 3, 4];
        let reply = world.as_user(user(1), "canister_status", &record(id));
        let new: wire::CanisterStatusResult = decoded(reply.clone());
        let old: OldStatus = decoded(reply);
        assert_eq!(new.cycles, Nat::from(4_000_u64));
        assert_eq!(new.settings.minimum_incoming_canister_call_cycles, Nat::from(0_u8));
        assert_eq!(new.query_stats.response_payload_bytes_total, Nat::from(4_u8));
        assert_eq!(new.module_hash, None);
        assert!(!new.ready_for_migration);
        assert_eq!(old.settings.controllers, [user(1)]);
        assert_eq!(old.settings.freezing_threshold, new.settings.freezing_threshold);
        assert_eq!((old.cycles, old.version, old.memory_size), (new.cycles, new.version, new.memory_size));
    }

    #[test]
    fn should_answer_controllers_the_canister_itself_and_whom_the_settings_allow() {
        let mut world = World::new();
        let id = world.create(user(1));
        assert!(world.query(user(1), "canister_status", &record(id)).is_ok());
        assert!(world.as_canister(id, "canister_status", &record(id), 0).0.is_ok());
        for visibility in [Viewers::Controllers, Viewers::Allowed(vec![user(3)])] {
            world.canister(id).settings.status_visibility = visibility;
            let denied = ErrorCode::CanisterStatusAccessDenied;
            assert_eq!(code(world.query(user(2), "canister_status", &record(id))), denied);
            assert_eq!(code(world.as_user(user(2), "canister_status", &record(id))), denied);
            assert_eq!(code(world.accepts(user(2), "canister_status", &record(id))), denied);
        }
        assert!(world.query(user(3), "canister_status", &record(id)).is_ok());
        world.canister(id).settings.status_visibility = Viewers::Public;
        assert!(world.query(user(2), "canister_status", &record(id)).is_ok());
        assert!(world.accepts(user(2), "canister_status", &record(id)).is_ok());
    }

    #[test]
    fn should_be_ready_for_migration_only_when_stopped_and_quiet() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.canister(id).status = Status::Stopped;
        let status: wire::CanisterStatusResult = decoded(world.query(user(1), "canister_status", &record(id)));
        assert_eq!(status.status, wire::CanisterStatusType::Stopped);
        assert!(status.ready_for_migration);
    }
}
