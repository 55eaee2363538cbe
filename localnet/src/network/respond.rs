//! Answers on their way back to whoever waits for them.

use candid::Principal;

use super::{Parcel, execute::NS_PER_SECOND, round::Round};
use crate::{
    canister::Input,
    error::{ErrorCode, RejectCode, UserError, UserResult},
    limits::MAX_REJECT_MESSAGE,
    message::{Answer, CallOrigin, Cycles, Response},
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

/// Cuts a reject message to the longest that is allowed, at a character boundary.
pub(super) fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_REJECT_MESSAGE));
    message
}

impl Round<'_> {
    /// Answers a call and gives back the cycles that were not accepted. Whoever does not wait any more gets only the
    /// cycles.
    pub(super) fn respond(&mut self, origin: CallOrigin, result: UserResult<Vec<u8>>, refund: Cycles) {
        self.answer(origin, result, refund, false);
    }

    /// Answers a call of the management canister. The answer to a canister takes the way of messages between subnets,
    /// and so arrives in the next round.
    pub(super) fn respond_as_management(&mut self, origin: CallOrigin, result: UserResult<Vec<u8>>, refund: Cycles) {
        self.answer(origin, result, refund, true);
    }

    fn answer(&mut self, origin: CallOrigin, result: UserResult<Vec<u8>>, refund: Cycles, by_management: bool) {
        let result = result.map_err(|error| UserError::new(error.code, cut(error.description)));
        match origin {
            CallOrigin::Ingress { id, .. } => self.report.answered.push((id, result)),
            CallOrigin::Task => {}
            CallOrigin::Canister { sender, callback, deadline, .. } => {
                if self.is_past(deadline) {
                    return self.refund(sender, refund);
                }
                let answer = match result {
                    Ok(bytes) => Answer::Reply(bytes),
                    Err(error) => error.into(),
                };
                let response = Response { originator: sender, callback, refund, answer, deadline };
                match self.routes.subnet_of(&sender) {
                    Some(subnet) if by_management || subnet != self.subnet.id => {
                        self.report.outbound.push((subnet, Parcel::Response(response)));
                    }
                    _ => self.deliver_response(response),
                }
            }
        }
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
        if canister.callbacks.contains_key(&response.callback) {
            canister.input.push_back(Input::Response(response));
        } else {
            canister.balance = canister.balance.saturating_add(response.refund);
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
