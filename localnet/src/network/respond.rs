//! Answers on their way back to whoever waits for them.

use candid::Principal;

use super::{
    Parcel,
    conclude::NS_PER_SECOND,
    round::{Round, Sent},
    routes::Routes,
};
use crate::{
    canister::Input,
    error::{ErrorCode, RejectCode, UserError, UserResult},
    message::{Answer, CallOrigin, Cycles, Response, shorten},
};

/// Returns the error of calls that were open when the canister's code was removed.
pub(super) fn uninstalled() -> UserError {
    UserError::new(ErrorCode::CanisterRejectedMessage, "Canister has been uninstalled.")
}

/// Returns true when a deadline, which is in whole seconds, lies before the second that `now` (in ns) is in.
pub(super) fn is_past(deadline: Option<u64>, now: u64) -> bool {
    deadline.is_some_and(|deadline| deadline / NS_PER_SECOND < now / NS_PER_SECOND)
}

/// Returns the error of a best-effort call whose deadline passed.
pub(super) fn deadline_expired() -> UserError {
    UserError::new(ErrorCode::DeadlineExpired, "Call deadline has expired.")
}

/// Turns an answer into what a user sees. The error code of a reject is the one that users mostly see for its reject
/// code, since an answer does not carry one.
pub(super) fn user_result(answer: Answer) -> UserResult<Vec<u8>> {
    let (code, message) = match answer {
        Answer::Reply(bytes) => return Ok(bytes),
        Answer::Reject(code, message) => (code, message),
    };
    let code = match code {
        RejectCode::SysFatal => ErrorCode::SubnetOversubscribed,
        RejectCode::SysTransient => ErrorCode::CanisterQueueFull,
        RejectCode::DestinationInvalid => ErrorCode::CanisterNotFound,
        RejectCode::CanisterReject => ErrorCode::CanisterRejectedMessage,
        RejectCode::CanisterError => ErrorCode::CanisterContractViolation,
        RejectCode::SysUnknown => ErrorCode::DeadlineExpired,
    };
    Err(UserError::new(code, message))
}

/// Returns true when messages of the sender come from the subnet itself.
pub(super) fn is_local(routes: &Routes, own_subnet: Principal, sender: &Principal) -> bool {
    *sender == Principal::management_canister()
        || *sender == own_subnet
        || routes.subnet_of(sender).is_some_and(|subnet| subnet == own_subnet)
}

impl Round<'_> {
    /// Answers a call that a canister of this subnet got, and gives back the cycles that were not accepted. Whoever does
    /// not wait any more gets only the cycles.
    pub(super) fn respond(
        &mut self,
        respondent: Principal,
        origin: CallOrigin,
        result: UserResult<Vec<u8>>,
        refund: Cycles,
    ) {
        let Some(response) = self.response(origin, result, refund) else { return };
        let receiver = response.originator;
        match self.routes.subnet_of(&receiver) {
            Some(subnet) if subnet != self.subnet.id => {
                self.report.outbound.push((subnet, Parcel::Response(response)));
            }
            _ => self.outbox.push(Sent { sender: respondent, receiver, parcel: Parcel::Response(response) }),
        }
    }

    /// Answers a call of the management canister, or one that did not reach its receiver. The answer to a canister takes
    /// the way of messages between subnets, and so arrives in the next round.
    pub(super) fn respond_as_management(&mut self, origin: CallOrigin, result: UserResult<Vec<u8>>, refund: Cycles) {
        let Some(response) = self.response(origin, result, refund) else { return };
        let subnet = self.routes.subnet_of(&response.originator).unwrap_or(self.subnet.id);
        self.report.outbound.push((subnet, Parcel::Response(response)));
    }

    /// Makes the response for a canister that waits for one. Everybody else is answered, or refunded, in here.
    fn response(&mut self, origin: CallOrigin, result: UserResult<Vec<u8>>, refund: Cycles) -> Option<Response> {
        let result = result.map_err(|error| UserError::new(error.code, shorten(error.description)));
        match origin {
            CallOrigin::Ingress { id, .. } => self.report.answered.push((id, result)),
            CallOrigin::Task => {}
            CallOrigin::Canister { sender, callback, deadline, .. } => {
                if self.is_past(deadline) {
                    self.refund(sender, refund);
                    return None;
                }
                let answer = match result {
                    Ok(bytes) => Answer::Reply(bytes),
                    Err(error) => error.into(),
                };
                return Some(Response { originator: sender, callback, refund, answer, deadline });
            }
        }
        None
    }

    /// Returns true when a best-effort call is given up.
    pub(super) fn is_past(&self, deadline: Option<u64>) -> bool {
        is_past(deadline, self.context.now)
    }

    /// Puts a response into the input queue of the canister that waits for it. When it does not wait any more it gets
    /// the cycles alone.
    pub(super) fn deliver_response(&mut self, response: Response) {
        let Some(canister) = self.subnet.canisters.get_mut(&response.originator) else {
            return self.consume(response.refund);
        };
        match canister.callbacks.get(&response.callback) {
            Some(callback) => {
                let (respondent, own) = (callback.respondent, self.subnet.id);
                let is_local = is_local(self.routes, own, &respondent);
                canister.input.push(respondent, is_local, Input::Response(response));
            }
            None => canister.balance = canister.balance.saturating_add(response.refund),
        }
    }

    /// Gives cycles back to a canister without an answer.
    pub(super) fn refund(&mut self, canister: Principal, cycles: Cycles) {
        if cycles == 0 {
            return;
        }
        match self.routes.subnet_of(&canister) {
            Some(subnet) if subnet != self.subnet.id => {
                self.report.outbound.push((subnet, Parcel::Refund { canister, cycles }));
            }
            _ => self.credit(canister, cycles),
        }
    }

    /// Adds cycles to a canister of this subnet; they are lost when it was deleted.
    pub(super) fn credit(&mut self, canister: Principal, cycles: Cycles) {
        match self.subnet.canisters.get_mut(&canister) {
            Some(canister) => canister.balance = canister.balance.saturating_add(cycles),
            None => self.consume(cycles),
        }
    }
}
