//! Who may call which management method on which canister.

use candid::Principal;

use super::{Target, arguments::Arguments, refusal::Refusal};
use crate::{
    canister::{Canister, Viewers},
    network::Subnet,
};

/// Returns the canister, if the subnet hosts it.
pub(super) fn canister<'a>(subnet: &'a Subnet, id: &Principal) -> Result<&'a Canister, Refusal> {
    subnet.canisters.get(id).ok_or(Refusal::CanisterNotFound { canister: *id })
}

/// Returns the canister for change, if the subnet hosts it.
pub(super) fn canister_mut<'a>(subnet: &'a mut Subnet, id: &Principal) -> Result<&'a mut Canister, Refusal> {
    subnet.canisters.get_mut(id).ok_or(Refusal::CanisterNotFound { canister: *id })
}

/// Returns the canister for change, if the subnet hosts it and the caller controls it.
pub(super) fn controlled<'a>(
    subnet: &'a mut Subnet,
    id: &Principal,
    caller: &Principal,
) -> Result<&'a mut Canister, Refusal> {
    let canister = canister_mut(subnet, id)?;
    check_controller(canister, caller)?;
    Ok(canister)
}

/// Tests that the caller controls the canister.
pub(super) fn check_controller(canister: &Canister, caller: &Principal) -> Result<(), Refusal> {
    if canister.is_controller(caller) {
        return Ok(());
    }
    Err(Refusal::NotController {
        canister: canister.id,
        controllers: canister.settings.controllers.clone(),
        caller: *caller,
    })
}

/// Tests that the caller controls the canister or is it.
pub(super) fn check_controller_or_self(canister: &Canister, caller: &Principal) -> Result<(), Refusal> {
    if *caller == canister.id { Ok(()) } else { check_controller(canister, caller) }
}

/// Tests that the caller may read the canister's status.
pub(super) fn check_status_reader(canister: &Canister, caller: &Principal) -> Result<(), Refusal> {
    if *caller == canister.id || may_view(canister, &canister.settings.status_visibility, caller) {
        return Ok(());
    }
    Err(Refusal::StatusAccessDenied { canister: canister.id, caller: *caller })
}

/// Tests that the caller may read the canister's logs.
pub(super) fn check_log_reader(canister: &Canister, caller: &Principal) -> Result<(), Refusal> {
    if may_view(canister, &canister.settings.log_visibility, caller) {
        return Ok(());
    }
    Err(Refusal::LogAccessDenied { caller: *caller })
}

/// Tests that the caller may read the canister's snapshots.
pub(super) fn check_snapshot_reader(canister: &Canister, caller: &Principal) -> Result<(), Refusal> {
    if may_view(canister, &canister.settings.snapshot_visibility, caller) {
        return Ok(());
    }
    match canister.settings.snapshot_visibility {
        Viewers::Controllers => check_controller(canister, caller),
        Viewers::Public | Viewers::Allowed(_) => {
            Err(Refusal::SnapshotAccessDenied { canister: canister.id, caller: *caller })
        }
    }
}

fn may_view(canister: &Canister, viewers: &Viewers, caller: &Principal) -> bool {
    canister.is_controller(caller)
        || match viewers {
            Viewers::Controllers => false,
            Viewers::Public => true,
            Viewers::Allowed(allowed) => allowed.contains(caller),
        }
}

/// Tests that a user may call the method at all.
pub(super) fn check_open_to_users(arguments: &Arguments) -> Result<(), Refusal> {
    match arguments {
        Arguments::CreateCanister(_)
        | Arguments::DepositCycles(_)
        | Arguments::RawRand
        | Arguments::CanisterInfo(_)
        | Arguments::CanisterMetadata(_)
        | Arguments::FetchLogs(_) => Err(Refusal::OnlyCanisters { method: arguments.method() }),
        _ => Ok(()),
    }
}

/// Decides whether a user's message is let in.
pub(super) fn accept_ingress(subnet: &Subnet, sender: &Principal, arguments: &Arguments) -> Result<(), Refusal> {
    check_open_to_users(arguments)?;
    let Target::Canister(id) = arguments.target() else {
        return Ok(());
    };
    let canister = canister(subnet, &id)?;
    match arguments {
        Arguments::ProvisionalTopUpCanister(_) => Ok(()),
        Arguments::CanisterStatus(_) => check_status_reader(canister, sender),
        Arguments::ListSnapshots(_) | Arguments::ReadSnapshotMetadata(_) | Arguments::ReadSnapshotData(_) => {
            check_snapshot_reader(canister, sender)
        }
        _ if canister.is_controller(sender) => Ok(()),
        _ => Err(Refusal::IngressByStranger { canister: id, method: arguments.method() }),
    }
}

#[cfg(test)]
mod tests {
    use ic_management_canister_types as wire;

    use super::*;
    use crate::{
        error::ErrorCode,
        management::test_fixtures::{World, code, record, user},
    };

    #[test]
    fn should_let_in_controllers_only() {
        let mut world = World::new();
        let id = world.create(user(1));
        let methods = [
            "start_canister",
            "stop_canister",
            "delete_canister",
            "stored_chunks",
            "clear_chunk_store",
            "uninstall_code",
        ];
        for method in methods {
            assert!(world.accepts(user(1), method, &record(id)).is_ok(), "{method}");
            assert_eq!(code(world.accepts(user(2), method, &record(id))), ErrorCode::CanisterInvalidController);
            assert_eq!(code(world.accepts(user(1), method, &record(user(9)))), ErrorCode::CanisterNotFound);
        }
    }

    #[test]
    fn should_not_let_in_what_is_for_canisters() {
        let mut world = World::new();
        let id = world.create(user(1));
        for method in ["deposit_cycles", "canister_info", "fetch_canister_logs"] {
            assert_eq!(code(world.accepts(user(1), method, &record(id))), ErrorCode::CanisterRejectedMessage);
        }
        let create = wire::CreateCanisterArgs::default();
        assert_eq!(code(world.accepts(user(1), "create_canister", &create)), ErrorCode::CanisterRejectedMessage);
    }

    #[test]
    fn should_let_in_provisional_methods_of_everybody() {
        let mut world = World::new();
        let id = world.create(user(1));
        let create = wire::ProvisionalCreateCanisterWithCyclesArgs::default();
        assert!(world.accepts(user(2), "provisional_create_canister_with_cycles", &create).is_ok());
        let top_up = wire::ProvisionalTopUpCanisterArgs { canister_id: id, amount: 1_u8.into() };
        assert!(world.accepts(Principal::anonymous(), "provisional_top_up_canister", &top_up).is_ok());
    }

    #[test]
    fn should_let_in_readers_of_snapshots_whom_the_settings_allow() {
        let mut world = World::new();
        let id = world.create(user(1));
        let denied = world.accepts(user(2), "list_canister_snapshots", &record(id));
        assert_eq!(code(denied), ErrorCode::CanisterInvalidController);
        world.canister(id).settings.snapshot_visibility = Viewers::Allowed(vec![user(2)]);
        assert!(world.accepts(user(2), "list_canister_snapshots", &record(id)).is_ok());
        let denied = world.accepts(user(3), "list_canister_snapshots", &record(id));
        assert_eq!(code(denied), ErrorCode::CanisterRejectedMessage);
    }

    #[test]
    fn should_not_answer_other_methods_as_queries() {
        let mut world = World::new();
        let id = world.create(user(1));
        for method in ["stored_chunks", "list_canister_snapshots", "fly", "http_request"] {
            assert_eq!(code(world.query(user(1), method, &record(id))), ErrorCode::CanisterMethodNotFound);
        }
    }
}
