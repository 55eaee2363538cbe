//! Requests on their way: routing, arrival, and the expiry of best-effort calls.

use std::collections::BTreeSet;

use candid::Principal;

use super::{
    ManagementCall, Parcel,
    respond::{deadline_expired, is_past},
    round::Round,
    routes::Destination,
};
use crate::{
    canister::{Canister, Input, Status},
    error::{ErrorCode, UserError, UserResult},
    limits::MAX_INTER_CANISTER_PAYLOAD,
    message::{CallOrigin, CallbackId, Cycles, Request, Response},
};

impl Round<'_> {
    /// Sends a request of a canister of this subnet: at once when the receiver is a canister on this subnet, else with the
    /// next round. What cannot be sent is rejected.
    pub(super) fn send(&mut self, request: Request) {
        match self.routes.destination(&request, self.subnet.id) {
            Err(error) => self.reject(request, error),
            Ok(Destination::Canister { subnet } | Destination::Management { subnet }) if subnet != self.subnet.id => {
                let size = request.method.len() + request.payload.len();
                if size > MAX_INTER_CANISTER_PAYLOAD {
                    let error = UserError::new(
                        ErrorCode::CanisterContractViolation,
                        format!(
                            "Canister {} violated contract: attempted to send a message of size {size} exceeding the \
                             limit {MAX_INTER_CANISTER_PAYLOAD}",
                            request.sender
                        ),
                    );
                    return self.reject(request, error);
                }
                self.report.outbound.push((subnet, Parcel::Request(request)));
            }
            Ok(Destination::Canister { .. }) => self.arrive_at_canister(request),
            // Calls of the management canister take the way of messages between subnets, also on their own subnet.
            Ok(Destination::Management { subnet }) => self.report.outbound.push((subnet, Parcel::Request(request))),
        }
    }

    /// Takes in what other subnets sent.
    pub(super) fn take_in_parcels(&mut self) {
        for parcel in std::mem::take(&mut self.subnet.incoming) {
            match parcel {
                Parcel::Response(response) if self.is_past(response.deadline) => {
                    // The canister that waits rejects the call on its own account.
                    self.credit(response.originator, response.refund);
                }
                Parcel::Response(response) => self.deliver_response(response),
                Parcel::Refund { canister, cycles } => self.credit(canister, cycles),
                Parcel::Request(request) => {
                    let is_own_canister = self.routes.subnet_of(&request.receiver) == Some(self.subnet.id);
                    if is_own_canister { self.arrive_at_canister(request) } else { self.arrive_at_management(request) }
                }
            }
        }
    }

    fn reject(&mut self, request: Request, error: UserError) {
        let cycles = request.cycles;
        self.respond(origin_of(request), Err(error), cycles);
    }

    fn arrive_at_canister(&mut self, request: Request) {
        if self.is_past(request.deadline) {
            return self.refund(request.sender, request.cycles);
        }
        let receiver = request.receiver;
        let Some(canister) = self.subnet.canisters.get_mut(&receiver) else {
            let error = UserError::new(ErrorCode::CanisterNotFound, format!("Canister {receiver} not found"));
            return self.reject(request, error);
        };
        match check_acceptance(canister, &request) {
            Ok(()) => canister.input.push_back(Input::Request(request)),
            Err(error) => self.reject(request, error),
        }
    }

    fn arrive_at_management(&mut self, mut request: Request) {
        if self.is_past(request.deadline) {
            return self.refund(request.sender, request.cycles);
        }
        let call = ManagementCall {
            method: request.method.clone(),
            payload: std::mem::take(&mut request.payload),
            cycles: request.cycles,
            origin: origin_of(request),
        };
        self.subnet.management_input.push_back(call);
    }

    /// Gives up best-effort calls whose deadline passed: the caller gets a reject, whatever happens to the call. A
    /// request that is still queued turns into a refund of its cycles.
    pub(super) fn expire_calls(&mut self) {
        let now = self.context.now;
        let mut refunds: Vec<(Principal, Cycles)> = Vec::new();
        for canister in self.subnet.canisters.values_mut() {
            let mut answered: BTreeSet<CallbackId> = BTreeSet::new();
            canister.input.retain(|input| match input {
                Input::Request(request) if is_past(request.deadline, now) => {
                    refunds.push((request.sender, request.cycles));
                    false
                }
                // An answer that is there counts, however late its turn comes.
                Input::Response(response) => {
                    answered.insert(response.callback);
                    true
                }
                Input::Request(_) | Input::Ingress { .. } => true,
            });
            for (id, callback) in &canister.callbacks {
                if is_past(callback.deadline, now) && !answered.contains(id) {
                    canister.input.push_back(Input::Response(Response {
                        originator: canister.id,
                        callback: *id,
                        refund: 0,
                        answer: deadline_expired().into(),
                        deadline: callback.deadline,
                    }));
                }
            }
        }
        for (canister, cycles) in refunds {
            self.refund(canister, cycles);
        }
    }
}

fn origin_of(request: Request) -> CallOrigin {
    CallOrigin::Canister { sender: request.sender, callback: request.callback, deadline: request.deadline }
}

fn check_acceptance(canister: &Canister, request: &Request) -> UserResult<()> {
    match canister.status {
        Status::Running => {}
        Status::Stopping(_) => {
            return Err(UserError::new(ErrorCode::CanisterStopping, format!("Canister {} is stopping", canister.id)));
        }
        Status::Stopped => {
            return Err(UserError::new(ErrorCode::CanisterStopped, format!("Canister {} is stopped", canister.id)));
        }
    }
    let least = canister.settings.minimum_incoming_canister_call_cycles;
    if request.cycles < least && request.sender != canister.id {
        return Err(UserError::new(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "Canister {} requires at least {least} transferred cycles, but the call brought {}",
                canister.id, request.cycles
            ),
        ));
    }
    Ok(())
}
