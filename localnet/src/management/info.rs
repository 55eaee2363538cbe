//! What canisters and users may read of a canister besides its status: history, metadata, logs.

use candid::Principal;
use ic_management_canister_types as wire;

use super::{
    authorization::{canister, check_log_reader},
    refusal::Refusal,
};
use crate::{
    canister::{Change, ChangeDetails, ChangeOrigin, DeploymentMode, LogRecord},
    execution::Visibility,
    limits::{MAX_HISTORY, MAX_LOG_REPLY},
    network::Subnet,
};

/// Answers `canister_info`: the newest changes asked for, oldest first.
pub(super) fn info(subnet: &Subnet, args: &wire::CanisterInfoArgs) -> Result<wire::CanisterInfoResult, Refusal> {
    let canister = canister(subnet, &args.canister_id)?;
    let requested = args.num_requested_changes.unwrap_or(0).min(MAX_HISTORY as u64) as usize;
    let recent = &canister.history.recent;
    Ok(wire::CanisterInfoResult {
        total_num_changes: canister.history.total,
        recent_changes: recent.iter().skip(recent.len().saturating_sub(requested)).map(change).collect(),
        module_hash: canister.module().map(|module| module.hash().to_vec()),
        controllers: canister.settings.controllers.clone(),
    })
}

fn change(change: &Change) -> wire::Change {
    wire::Change {
        timestamp_nanos: change.time,
        canister_version: change.version,
        origin: match &change.origin {
            ChangeOrigin::User(user_id) => wire::ChangeOrigin::FromUser(wire::FromUserRecord { user_id: *user_id }),
            ChangeOrigin::Canister(canister_id, version) => {
                wire::ChangeOrigin::FromCanister(wire::FromCanisterRecord {
                    canister_id: *canister_id,
                    canister_version: *version,
                })
            }
        },
        details: Some(details(&change.details)),
    }
}

/// Shows what changed.
fn details(details: &ChangeDetails) -> wire::ChangeDetails {
    match details {
        ChangeDetails::Creation(controllers, hash) => wire::ChangeDetails::Creation(wire::CreationRecord {
            controllers: controllers.clone(),
            environment_variables_hash: hash.map(Vec::from),
        }),
        ChangeDetails::CodeUninstall => wire::ChangeDetails::CodeUninstall,
        ChangeDetails::CodeDeployment(mode, module_hash) => {
            wire::ChangeDetails::CodeDeployment(wire::CodeDeploymentRecord {
                mode: match mode {
                    DeploymentMode::Install => wire::CodeDeploymentMode::Install,
                    DeploymentMode::Reinstall => wire::CodeDeploymentMode::Reinstall,
                    DeploymentMode::Upgrade => wire::CodeDeploymentMode::Upgrade,
                },
                module_hash: module_hash.to_vec(),
            })
        }
        ChangeDetails::LoadSnapshot(loaded) => wire::ChangeDetails::LoadSnapshot(wire::LoadSnapshotRecord {
            from_canister_id: loaded.owner,
            snapshot_id: loaded.id.clone(),
            canister_version: loaded.version,
            taken_at_timestamp: loaded.taken_at,
            source: if loaded.uploaded {
                wire::SnapshotSource::MetadataUpload(candid::Reserved)
            } else {
                wire::SnapshotSource::TakenFromCanister(candid::Reserved)
            },
        }),
        ChangeDetails::ControllersChange(controllers) => {
            wire::ChangeDetails::ControllersChange(wire::ControllersChangeRecord { controllers: controllers.clone() })
        }
    }
}

/// Answers `canister_metadata`: one custom section of the module.
pub(super) fn metadata(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::CanisterMetadataArgs,
) -> Result<wire::CanisterMetadataResult, Refusal> {
    let canister = canister(subnet, &args.canister_id)?;
    let module = canister.module().ok_or(Refusal::NoModuleForMetadata { canister: canister.id })?;
    let section = module
        .custom_sections()
        .iter()
        .find(|section| section.name == args.name)
        .ok_or_else(|| Refusal::MetadataNotFound { canister: canister.id, name: args.name.clone() })?;
    if section.visibility == Visibility::Private && !canister.is_controller(caller) {
        return Err(Refusal::MetadataPrivate);
    }
    Ok(wire::CanisterMetadataResult { value: section.content.clone() })
}

/// Answers `fetch_canister_logs`: the newest records that the filter lets through and the reply has room for.
pub(super) fn logs(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::FetchCanisterLogsArgs,
) -> Result<wire::FetchCanisterLogsResult, Refusal> {
    let canister = canister(subnet, &args.canister_id)?;
    check_log_reader(canister, caller)?;
    let mut room = MAX_LOG_REPLY;
    let mut records: Vec<_> = canister
        .logs
        .iter()
        .rev()
        .filter(|record| passes(args.filter.as_ref(), record))
        .take_while(|record| {
            let fits = record.bytes() <= room;
            room = room.saturating_sub(record.bytes());
            fits
        })
        .map(|record| wire::CanisterLogRecord {
            idx: record.index,
            timestamp_nanos: record.time,
            content: record.content.clone(),
        })
        .collect();
    records.reverse();
    Ok(wire::FetchCanisterLogsResult { canister_log_records: records })
}

fn passes(filter: Option<&wire::CanisterLogFilter>, record: &LogRecord) -> bool {
    match filter {
        None => true,
        Some(wire::CanisterLogFilter::ByIdx { start, end }) => (*start..*end).contains(&record.index),
        Some(wire::CanisterLogFilter::ByTimestampNanos { start, end }) => (*start..*end).contains(&record.time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canister::Viewers,
        error::ErrorCode,
        limits::MAX_LOG_MEMORY_LIMIT,
        management::test_fixtures::{NOW, World, code, decoded, user},
    };

    fn ask(world: &mut World, id: Principal, changes: Option<u64>) -> wire::CanisterInfoResult {
        let args = wire::CanisterInfoArgs { canister_id: id, num_requested_changes: changes };
        let (answer, _) = world.as_canister(user(8), "canister_info", &args, 0);
        decoded(answer)
    }

    #[test]
    fn should_tell_the_newest_changes_that_were_asked_for() {
        let mut world = World::new();
        let id = world.create(user(1));
        for number in 0..MAX_HISTORY as u8 + 5 {
            let settings =
                wire::CanisterSettings { controllers: Some(vec![user(1), user(number)]), ..Default::default() };
            let args = wire::UpdateSettingsArgs { canister_id: id, settings, sender_canister_version: None };
            world.as_user(user(1), "update_settings", &args).expect("controllers may");
        }
        assert!(ask(&mut world, id, None).recent_changes.is_empty());
        let info = ask(&mut world, id, Some(2));
        assert_eq!(info.total_num_changes, MAX_HISTORY as u64 + 6);
        assert_eq!(info.controllers, world.canister(id).settings.controllers);
        let versions: Vec<u64> = info.recent_changes.iter().map(|change| change.canister_version).collect();
        assert_eq!(versions, [MAX_HISTORY as u64 + 4, MAX_HISTORY as u64 + 5]);
        let origin = wire::ChangeOrigin::FromUser(wire::FromUserRecord { user_id: user(1) });
        assert_eq!(info.recent_changes[0].origin, origin);
        assert_eq!(ask(&mut world, id, Some(1_000)).recent_changes.len(), MAX_HISTORY);
    }

    #[test]
    fn should_show_every_kind_of_change() {
        let mut world = World::new();
        let id = world.create(user(1));
        let kinds = [
            ChangeDetails::CodeUninstall,
            ChangeDetails::CodeDeployment(DeploymentMode::Reinstall, [3; 32]),
            ChangeDetails::LoadSnapshot(crate::canister::LoadedSnapshot {
                id: vec![1, 2],
                version: 4,
                taken_at: 5,
                owner: Some(user(6)),
                uploaded: true,
            }),
            ChangeDetails::ControllersChange(vec![user(2)]),
        ];
        for details in kinds {
            let origin = ChangeOrigin::Canister(id, None);
            world.canister(id).history.record(Change { time: NOW, version: 9, origin, details });
        }
        let shown: Vec<_> =
            ask(&mut world, id, Some(4)).recent_changes.into_iter().map(|change| change.details).collect();
        assert_eq!(shown[0], Some(wire::ChangeDetails::CodeUninstall));
        let deployment =
            wire::CodeDeploymentRecord { mode: wire::CodeDeploymentMode::Reinstall, module_hash: vec![3; 32] };
        assert_eq!(shown[1], Some(wire::ChangeDetails::CodeDeployment(deployment)));
        let Some(wire::ChangeDetails::LoadSnapshot(loaded)) = &shown[2] else { panic!("{:?}", shown[2]) };
        assert_eq!((loaded.from_canister_id, loaded.canister_version), (Some(user(6)), 4));
        let change = wire::ControllersChangeRecord { controllers: vec![user(2)] };
        assert_eq!(shown[3], Some(wire::ChangeDetails::ControllersChange(change)));
    }

    #[test]
    fn should_be_for_canisters_only() {
        let mut world = World::new();
        let id = world.create(user(1));
        let args = wire::CanisterInfoArgs { canister_id: id, num_requested_changes: None };
        assert_eq!(code(world.as_user(user(1), "canister_info", &args)), ErrorCode::CanisterRejectedMessage);
        let args = wire::CanisterMetadataArgs { canister_id: id, name: "candid:service".to_string() };
        assert_eq!(code(world.as_user(user(1), "canister_metadata", &args)), ErrorCode::CanisterRejectedMessage);
        let (answer, _) = world.as_canister(user(8), "canister_metadata", &args, 0);
        assert_eq!(code(answer), ErrorCode::CanisterRejectedMessage, "there is no module");
    }

    fn read(world: &World, caller: Principal, id: Principal, filter: Option<wire::CanisterLogFilter>) -> Vec<u64> {
        let args = wire::FetchCanisterLogsArgs { canister_id: id, filter };
        let result: wire::FetchCanisterLogsResult = decoded(world.query(caller, "fetch_canister_logs", &args));
        result.canister_log_records.into_iter().map(|record| record.idx).collect()
    }

    #[test]
    fn should_filter_logs_by_index_and_time() {
        let mut world = World::new();
        let id = world.create(user(1));
        for time in 10..15 {
            world.canister(id).print(time, [format!("at {time}")]);
        }
        assert_eq!(read(&world, user(1), id, None), [0, 1, 2, 3, 4]);
        let by_index = |start, end| Some(wire::CanisterLogFilter::ByIdx { start, end });
        assert_eq!(read(&world, user(1), id, by_index(1, 3)), [1, 2]);
        assert!(read(&world, user(1), id, by_index(3, 1)).is_empty());
        let by_time = wire::CanisterLogFilter::ByTimestampNanos { start: 13, end: u64::MAX };
        assert_eq!(read(&world, user(1), id, Some(by_time)), [3, 4]);
    }

    #[test]
    fn should_show_logs_to_those_whom_the_settings_allow() {
        let mut world = World::new();
        let id = world.create(user(1));
        let args = wire::FetchCanisterLogsArgs { canister_id: id, filter: None };
        let denied = world.query(user(2), "fetch_canister_logs", &args);
        assert_eq!(code(denied), ErrorCode::CanisterRejectedMessage);
        world.canister(id).settings.log_visibility = Viewers::Allowed(vec![user(2)]);
        assert!(read(&world, user(2), id, None).is_empty());
        let denied = world.query(user(3), "fetch_canister_logs", &args);
        assert_eq!(code(denied), ErrorCode::CanisterRejectedMessage);
        world.canister(id).settings.log_visibility = Viewers::Public;
        assert!(read(&world, user(3), id, None).is_empty());
        let (answer, _) = world.as_canister(id, "fetch_canister_logs", &args, 0);
        assert_eq!(code(answer), ErrorCode::CanisterRejectedMessage, "it is a query only");
    }

    #[test]
    fn should_answer_no_more_log_than_a_reply_holds() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.canister(id).settings.log_memory_limit = MAX_LOG_MEMORY_LIMIT;
        let line = "x".repeat((1 << 20) - 16);
        world.canister(id).print(1, [line.clone(), line]);
        assert_eq!(world.canister(id).logs.len(), 2);
        assert_eq!(read(&world, user(1), id, None), [1], "the newest goes first");
    }
}
