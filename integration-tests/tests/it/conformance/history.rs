//! `canister_info` and `canister_metadata`: what canisters learn of others.

use candid::{CandidType, Principal};
use ic_management_canister_types::{self as wire, CanisterInstallMode, CanisterSettings};
use integration_tests::universal::{self as u, Universal};
use pocket_ic::ErrorCode;
use serde::Deserialize;

use super::world::*;

/// Changes that a canister's history keeps.
const MAX_CHANGES: u64 = 20;

/// What `canister_info` answers, without the details of changes.
#[derive(CandidType, Debug, Deserialize)]
struct Info {
    total_num_changes: u64,
    recent_changes: Vec<Change>,
    module_hash: Option<Vec<u8>>,
    controllers: Vec<Principal>,
}

#[derive(CandidType, Debug, Deserialize)]
struct Change {
    timestamp_nanos: u64,
    canister_version: u64,
    origin: wire::ChangeOrigin,
    details: Option<wire::ChangeDetails>,
}

fn info(asker: &Universal<'_>, canister_id: Principal, changes: Option<u64>) -> Info {
    let args = wire::CanisterInfoArgs { canister_id, num_requested_changes: changes };
    decode(&asker.manage("canister_info", &args, 0).expect("every canister may ask"))
}

fn metadata(asker: &Universal<'_>, canister_id: Principal, name: &str) -> Result<Vec<u8>, u64> {
    let args = wire::CanisterMetadataArgs { canister_id, name: name.to_owned() };
    let answer = asker.manage("canister_metadata", &args, 0);
    answer.map(|bytes| decode::<wire::CanisterMetadataResult>(&bytes).value).map_err(|rejection| rejection.code)
}

cases! {
    should_remember_the_creation: "the first change is the creation, with the controllers" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        let info = info(&canister, id, Some(20));
        assert_eq!(info.total_num_changes, 1);
        assert_eq!(info.recent_changes[0].canister_version, 0);
        let Some(wire::ChangeDetails::Creation(creation)) = &info.recent_changes[0].details else { panic!("{info:?}") };
        assert_eq!(creation.controllers, [OWNER]);
        assert_eq!((info.module_hash, info.controllers), (None, vec![OWNER]));
    }

    should_remember_installations: "an installation is a change, with mode and hash" => {
        with_canister!(network, canister);
        upgrade(&canister, program()).unwrap();
        let info = info(&canister, canister.id, Some(20));
        let modes: Vec<_> = info.recent_changes[1..]
            .iter()
            .map(|change| match &change.details {
                Some(wire::ChangeDetails::CodeDeployment(deployment)) => {
                    assert_eq!(Some(&deployment.module_hash), info.module_hash.as_ref());
                    deployment.mode
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(modes, [wire::CodeDeploymentMode::Install, wire::CodeDeploymentMode::Upgrade]);
    }

    should_remember_removed_code: "removing code is a change" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        network.uninstall_canister(other.id, None).unwrap();
        let info = info(&canister, other.id, Some(1));
        assert_eq!(info.recent_changes[0].details, Some(wire::ChangeDetails::CodeUninstall));
        assert_eq!(info.module_hash, None);
    }

    should_remember_new_controllers: "new controllers are a change" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        network.set_controllers(id, None, vec![OWNER, user(1)]).unwrap();
        let info = info(&canister, id, Some(1));
        let Some(wire::ChangeDetails::ControllersChange(change)) = &info.recent_changes[0].details else { panic!("{info:?}") };
        assert_eq!(change.controllers.len(), 2);
        assert_eq!((info.total_num_changes, info.recent_changes[0].canister_version), (2, 1));
    }

    should_not_remember_other_settings: "settings besides controllers are no change of the history" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        let settings = CanisterSettings { freezing_threshold: Some(7_u8.into()), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap();
        assert_eq!(info(&canister, id, Some(20)).total_num_changes, 1);
    }

    should_not_remember_environment_variables: "environment variables are no change of the history" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        let variable = wire::EnvironmentVariable { name: "KEY".into(), value: "value".into() };
        let settings = CanisterSettings { environment_variables: Some(vec![variable]), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap();
        assert_eq!(info(&canister, id, Some(20)).total_num_changes, 1);
    }

    should_name_users_and_canisters_as_origin: "a change names the user, or the canister with the version that it gave" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        network.set_controllers(id, None, vec![OWNER, canister.id]).unwrap();
        let settings = CanisterSettings { controllers: Some(vec![canister.id, OWNER]), ..Default::default() };
        let args = wire::UpdateSettingsArgs { canister_id: id, settings, sender_canister_version: None };
        canister.manage("update_settings", &args, 0).unwrap();
        let info = info(&canister, id, Some(2));
        let user = wire::ChangeOrigin::FromUser(wire::FromUserRecord { user_id: OWNER });
        assert_eq!(info.recent_changes[0].origin, user);
        let by = wire::FromCanisterRecord { canister_id: canister.id, canister_version: None };
        assert_eq!(info.recent_changes[1].origin, wire::ChangeOrigin::FromCanister(by));
    }

    should_date_changes: "changes have the time of their round, in order" => {
        with_canister!(network, canister);
        let before = network.get_time().as_nanos_since_unix_epoch();
        upgrade(&canister, program()).unwrap();
        let changes = info(&canister, canister.id, Some(20)).recent_changes;
        assert!(changes.last().unwrap().timestamp_nanos >= before);
        assert!(changes.is_sorted_by_key(|change| change.timestamp_nanos));
    }

    should_show_no_changes_unasked: "without a number no changes are shown" => {
        with_canister!(network, canister);
        let info = info(&canister, canister.id, None);
        assert_eq!((info.recent_changes.len(), info.total_num_changes), (0, 2));
    }

    should_keep_twenty_changes: "the history keeps the newest 20 changes and counts all" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        for _ in 0..MAX_CHANGES + 2 {
            network.set_controllers(id, None, vec![OWNER]).unwrap();
        }
        let info = info(&canister, id, Some(1_000));
        assert_eq!(info.total_num_changes, MAX_CHANGES + 3);
        let versions: Vec<u64> = info.recent_changes.iter().map(|change| change.canister_version).collect();
        assert_eq!(versions, (3..=MAX_CHANGES + 2).collect::<Vec<_>>());
    }

    should_not_tell_users: "users cannot call canister_info and canister_metadata" => {
        with_canister!(network, canister);
        let args = wire::CanisterInfoArgs { canister_id: canister.id, num_requested_changes: None };
        let result = manage(&network, OWNER, canister.id, "canister_info", &args);
        assert_eq!(code(result), ErrorCode::CanisterRejectedMessage);
        let args = wire::CanisterMetadataArgs { canister_id: canister.id, name: "candid:service".into() };
        let result = manage(&network, OWNER, canister.id, "canister_metadata", &args);
        assert_eq!(code(result), ErrorCode::CanisterRejectedMessage);
    }

    should_tell_of_missing_canisters: "canister_info of a canister that is not there is rejected with code 3" => {
        with_canister!(network, canister);
        let gone = network.create_canister();
        network.stop_canister(gone, None).unwrap();
        network.delete_canister(gone, None).unwrap();
        let args = wire::CanisterInfoArgs { canister_id: gone, num_requested_changes: None };
        assert_eq!(rejected(canister.manage("canister_info", &args, 0)), 3);
    }

    should_show_public_metadata_to_everybody: "public sections are for everybody" => {
        with_canister!(network, canister);
        let module = u::module().with_section("icp:public open", b"for all");
        let other = Universal::install_module(&network, &module, program());
        assert_eq!(metadata(&canister, other.id, "open"), Ok(b"for all".to_vec()));
    }

    should_show_private_metadata_to_controllers: "private sections are for controllers" => {
        with_canister!(network, canister);
        let module = u::module().with_section("icp:private secret", b"for few");
        let other = Universal::install_module(&network, &module, program());
        assert_eq!(metadata(&canister, other.id, "secret"), Err(4));
        network.set_controllers(other.id, None, vec![OWNER, canister.id]).unwrap();
        assert_eq!(metadata(&canister, other.id, "secret"), Ok(b"for few".to_vec()));
    }

    should_not_find_metadata_that_is_not_there: "unknown sections and empty canisters have no metadata" => {
        with_canister!(network, canister);
        assert_eq!(metadata(&canister, canister.id, "nothing"), Err(4));
        let empty = network.create_canister();
        assert_eq!(metadata(&canister, empty, "candid:service"), Err(4));
    }

    should_take_the_version_that_the_caller_has: "a sender_canister_version that is wrong is refused" => {
        with_canister!(network, canister);
        network.set_controllers(canister.id, None, vec![OWNER, canister.id]).unwrap();
        let version = status(&network, canister.id).version;
        let with = |version| wire::UpdateSettingsArgs {
            canister_id: canister.id,
            settings: CanisterSettings::default(),
            sender_canister_version: Some(version),
        };
        assert_eq!(rejected(canister.manage("update_settings", &with(version + 1_000), 0)), 5);
        let version = status(&network, canister.id).version;
        canister.manage("update_settings", &with(version), 0).unwrap();
    }

    should_keep_the_history_of_reinstallations: "a reinstallation is a change of its own" => {
        with_canister!(network, canister);
        install(&network, OWNER, canister.id, CanisterInstallMode::Reinstall, u::module().bytes(), program()).unwrap();
        let info = info(&canister, canister.id, Some(1));
        let Some(wire::ChangeDetails::CodeDeployment(deployment)) = &info.recent_changes[0].details else { panic!("{info:?}") };
        assert_eq!(deployment.mode, wire::CodeDeploymentMode::Reinstall);
    }
}
