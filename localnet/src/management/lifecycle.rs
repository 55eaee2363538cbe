//! Starting, stopping, emptying and deleting canisters.

use candid::Principal;
use ic_management_canister_types as wire;

use super::{authorization::controlled, memory::Bill, refusal::Refusal};
use crate::{
    canister::{Canister, Change, ChangeDetails, ChangeOrigin, Status, StopRequest},
    error::{ErrorCode, UserError},
    message::{CallOrigin, Cycles},
    network::Subnet,
};

/// A call that is answered because of what another call did, with the cycles that go back to it.
pub(super) type Released = (CallOrigin, Cycles, UserError);

/// Makes a canister take calls again; answers the stop requests that this cancels.
pub(super) fn start(
    subnet: &mut Subnet,
    caller: &Principal,
    args: &wire::CanisterIdRecord,
) -> Result<Vec<Released>, Refusal> {
    let canister = controlled(subnet, &args.canister_id, caller)?;
    let cancelled = match std::mem::replace(&mut canister.status, Status::Running) {
        Status::Stopping(requests) => requests,
        Status::Running | Status::Stopped => Vec::new(),
    };
    canister.version += 1;
    let error = UserError::new(
        ErrorCode::CanisterStoppingCancelled,
        format!("Canister {}'s stop request was cancelled.", canister.id),
    );
    Ok(cancelled.into_iter().map(|request| (request.origin, request.cycles, error.clone())).collect())
}

/// Whether a canister has stopped already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It has.
    Stopped,
    /// The request waits until the calls that are open have ended.
    Waiting,
}

/// Makes a canister take no more calls. `request` is kept when calls are still open.
pub(super) fn stop(
    subnet: &mut Subnet,
    caller: &Principal,
    args: &wire::CanisterIdRecord,
    request: StopRequest,
) -> Result<Stop, Refusal> {
    let canister = controlled(subnet, &args.canister_id, caller)?;
    canister.version += 1;
    let quiet = canister.is_quiet();
    match &mut canister.status {
        Status::Stopped => Ok(Stop::Stopped),
        Status::Running if quiet => {
            canister.status = Status::Stopped;
            Ok(Stop::Stopped)
        }
        Status::Running => {
            canister.status = Status::Stopping(vec![request]);
            Ok(Stop::Waiting)
        }
        Status::Stopping(requests) => {
            requests.push(request);
            Ok(Stop::Waiting)
        }
    }
}

/// Deletes a stopped canister and burns what it holds.
pub(super) fn delete(
    subnet: &mut Subnet,
    caller: &Principal,
    args: &wire::CanisterIdRecord,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    let canister = controlled(subnet, &args.canister_id, caller)?;
    if *caller == canister.id {
        return Err(Refusal::DeleteSelf { canister: canister.id });
    }
    if !matches!(canister.status, Status::Stopped) {
        return Err(Refusal::DeleteNotStopped { canister: canister.id });
    }
    if !canister.input.is_empty() {
        return Err(Refusal::DeleteQueueNotEmpty { canister: canister.id });
    }
    bill.cycles = bill.cycles.saturating_add(canister.balance).saturating_add(canister.reserved_balance);
    subnet.canisters.remove(&args.canister_id);
    Ok(())
}

/// Removes the code of a canister; answers the calls that it was answering.
pub(super) fn uninstall_code(
    subnet: &mut Subnet,
    now: u64,
    caller: &Principal,
    origin: ChangeOrigin,
    args: &wire::UninstallCodeArgs,
) -> Result<Vec<Released>, Refusal> {
    let canister = controlled(subnet, &args.canister_id, caller)?;
    Ok(released(uninstall(canister, now, origin)))
}

/// Gives calls that uninstalled code was answering the answer they get.
pub(super) fn released(calls: Vec<(CallOrigin, Cycles)>) -> Vec<Released> {
    let error = UserError::new(ErrorCode::CanisterRejectedMessage, "Canister has been uninstalled.");
    calls.into_iter().map(|(origin, cycles)| (origin, cycles, error.clone())).collect()
}

/// Removes the code of a canister with its memories, chunks, certified data, logs and timer.
///
/// Returns the calls that it was answering, with the cycles they had not accepted: they must be rejected with
/// "Canister has been uninstalled.". Answers to calls that the old code made still arrive, bring cycles back and are
/// dropped.
pub(crate) fn uninstall(canister: &mut Canister, now: u64, origin: ChangeOrigin) -> Vec<(CallOrigin, Cycles)> {
    canister.sandbox = None;
    canister.chunks.clear();
    canister.certified_data.clear();
    canister.logs.clear();
    canister.global_timer = 0;
    canister.low_memory_hook_due = false;
    canister.version += 1;
    canister.history.record(Change {
        time: now,
        version: canister.version,
        origin,
        details: ChangeDetails::CodeUninstall,
    });
    let mut unanswered = Vec::new();
    for context in canister.call_contexts.values_mut() {
        let cycles = std::mem::take(&mut context.cycles_available);
        if !context.answered && !matches!(context.origin, CallOrigin::Task) {
            unanswered.push((context.origin.clone(), cycles));
        }
        context.answered = true;
        context.deleted = true;
    }
    let callbacks = &canister.callbacks;
    canister.call_contexts.retain(|id, _| callbacks.values().any(|callback| callback.context == *id));
    unanswered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canister::{CallContext, Input},
        management::test_fixtures::{NOW, World, code, from_canister, record, user},
        message::CallContextId,
        network::Disposition,
    };

    #[test]
    fn should_stop_a_quiet_canister_at_once_and_start_it_again() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.as_user(user(1), "stop_canister", &record(id)).expect("nothing is open");
        assert!(matches!(world.canister(id).status, Status::Stopped));
        world.as_user(user(1), "stop_canister", &record(id)).expect("it has stopped already");
        world.as_user(user(1), "start_canister", &record(id)).expect("controllers may start");
        assert!(matches!(world.canister(id).status, Status::Running));
        assert_eq!(world.canister(id).version, 3);
    }

    #[test]
    fn should_wait_for_open_calls_and_answer_waiting_stops_on_start() {
        let mut world = World::new();
        let id = world.create(user(1));
        let factory = world.create(user(1));
        world.canister(id).settings.controllers.push(factory);
        world.open_call(id, 0);
        for cycles in [5, 6] {
            let origin = from_canister(factory);
            let (disposition, _) = world.execute(origin, "stop_canister", &record(id), cycles);
            assert!(matches!(disposition, Disposition::Waiting));
        }
        match &world.canister(id).status {
            Status::Stopping(requests) => assert_eq!(requests.len(), 2),
            other => panic!("the canister must be stopping, but is {other:?}"),
        }
        let (answer, released) = world.as_user_releasing(user(1), "start_canister", &record(id));
        assert!(answer.is_ok());
        assert_eq!(released.iter().map(|(_, cycles, _)| *cycles).collect::<Vec<_>>(), [5, 6]);
        assert!(released.iter().all(|(_, _, error)| error.code == ErrorCode::CanisterStoppingCancelled));
        assert!(matches!(world.canister(id).status, Status::Running));
    }

    #[test]
    fn should_burn_what_a_deleted_canister_holds() {
        let mut world = World::new();
        let id = world.create_with(user(1), Some(123));
        world.canister(id).reserved_balance = 4;
        assert_eq!(code(world.as_user(user(1), "delete_canister", &record(id))), ErrorCode::CanisterNotStopped);
        world.canister(id).status = Status::Stopped;
        assert_eq!(code(world.as_user(user(2), "delete_canister", &record(id))), ErrorCode::CanisterInvalidController);
        world.as_user(user(1), "delete_canister", &record(id)).expect("it is stopped");
        assert!(world.subnet.canisters.is_empty());
        assert_eq!(world.subnet.consumed, 127);
        assert_eq!(code(world.as_user(user(1), "delete_canister", &record(id))), ErrorCode::CanisterNotFound);
    }

    #[test]
    fn should_not_delete_itself_or_with_messages_waiting() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.canister(id).settings.controllers.push(id);
        world.canister(id).status = Status::Stopped;
        let (answer, refund) = world.as_canister(id, "delete_canister", &record(id), 3);
        assert_eq!((code(answer), refund), (ErrorCode::CanisterInvalidController, 3));
        world.canister(id).input.push_ingress(Input::Ingress {
            id: [0; 32],
            sender: user(1),
            method: "m".to_string(),
            payload: Vec::new(),
            sender_info: None,
            expiry: NOW,
        });
        assert_eq!(code(world.as_user(user(1), "delete_canister", &record(id))), ErrorCode::CanisterQueueNotEmpty);
    }

    #[test]
    fn should_reject_the_calls_that_uninstalled_code_was_answering() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.open_call(id, 11);
        world.canister(id).call_contexts.insert(
            CallContextId(77),
            CallContext {
                origin: CallOrigin::Task,
                caller_info: None,
                answered: false,
                cycles_available: 0,
                instructions: 0,
                open_callbacks: 0,
                deleted: false,
            },
        );
        world.canister(id).certified_data = vec![1];
        world.canister(id).global_timer = 9;
        let args = wire::UninstallCodeArgs { canister_id: id, sender_canister_version: None };
        assert_eq!(code(world.as_user(user(2), "uninstall_code", &args)), ErrorCode::CanisterInvalidController);
        let (answer, released) = world.as_user_releasing(user(1), "uninstall_code", &args);
        assert!(answer.is_ok());
        assert_eq!(released.len(), 1, "nobody waits for a task");
        assert_eq!((released[0].1, released[0].2.code), (11, ErrorCode::CanisterRejectedMessage));
        let canister = world.canister(id);
        assert_eq!(canister.call_contexts.len(), 1, "the one that still expects a response");
        assert!(canister.call_contexts.values().all(|context| context.deleted && context.cycles_available == 0));
        assert_eq!(canister.callbacks.len(), 1);
        assert!(canister.certified_data.is_empty());
        assert_eq!(canister.global_timer, 0);
        assert_eq!(canister.history.recent[1].details, ChangeDetails::CodeUninstall);
    }
}
