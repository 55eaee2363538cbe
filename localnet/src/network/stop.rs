//! Stopping canisters: a stop request is answered when no call is open, or when it has waited too long.

use super::round::Round;
use crate::{
    canister::{Status, StopRequest},
    error::{ErrorCode, UserError},
    limits::STOP_TIMEOUT_NS,
};

/// The empty Candid reply.
const EMPTY_REPLY: &[u8] = b"DIDL\0\0";

impl Round<'_> {
    /// Stops the canisters that are stopping and have no call open, and answers whoever waits for it.
    pub(super) fn complete_stops(&mut self) {
        let mut done: Vec<StopRequest> = Vec::new();
        for canister in self.subnet.canisters.values_mut() {
            if !matches!(canister.status, Status::Stopping(_)) || !canister.is_quiet() {
                continue;
            }
            if let Status::Stopping(requests) = std::mem::replace(&mut canister.status, Status::Stopped) {
                canister.version += 1;
                done.extend(requests);
            }
        }
        for request in done {
            self.respond_as_management(request.origin, Ok(EMPTY_REPLY.to_vec()), request.cycles);
        }
    }

    /// Rejects stop requests that waited too long; the canister goes on stopping.
    pub(super) fn time_out_stops(&mut self) {
        let now = self.context.now;
        let mut late: Vec<StopRequest> = Vec::new();
        for canister in self.subnet.canisters.values_mut() {
            if let Status::Stopping(requests) = &mut canister.status {
                late.extend(requests.extract_if(.., |request| now.saturating_sub(request.since) >= STOP_TIMEOUT_NS));
            }
        }
        for request in late {
            let error = UserError::new(ErrorCode::StopCanisterRequestTimeout, "Stop canister request timed out");
            self.respond_as_management(request.origin, Err(error), request.cycles);
        }
    }
}
