//! Requests on their way: routing, arrival, and the expiry of best-effort calls.

use std::collections::BTreeSet;

use candid::Principal;

use super::{
    ManagementCall, Parcel,
    ingress::timed_out,
    respond::{deadline_expired, is_local, is_past},
    round::{Round, Sent},
    routes::Destination,
};
use crate::{
    canister::{Canister, Input, Status},
    error::{ErrorCode, UserError, UserResult},
    limits::{MAX_INTER_CANISTER_PAYLOAD, QUEUE_CAPACITY},
    management,
    message::{CallOrigin, CallbackId, Cycles, Request, Response},
};

impl Round<'_> {
    /// Sends a request of a canister of this subnet: it arrives after the iteration when the receiver is a canister of
    /// this subnet, else with the next round. What cannot be sent is rejected, also a management call that claims another
    /// version of its sender than the one given.
    pub(super) fn send(&mut self, request: Request, version: u64) {
        let destination = self.routes.destination(&request, self.subnet.id).and_then(|destination| {
            if matches!(destination, Destination::Management { .. }) {
                management::check_sender_version(&request.method, &request.payload, version)?;
            }
            Ok(destination)
        });
        match destination {
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
            Ok(Destination::Canister { .. }) => {
                let (sender, receiver) = (request.sender, request.receiver);
                self.outbox.push(Sent { sender, receiver, parcel: Parcel::Request(request) });
            }
            // Calls of the management canister take the way of messages between subnets, also on their own subnet.
            Ok(Destination::Management { subnet }) => self.report.outbound.push((subnet, Parcel::Request(request))),
        }
    }

    /// Lets what canisters of the subnet sent each other arrive: sender by sender, and for each what it sent to itself
    /// first. What the receiver does not take goes the way of messages between subnets.
    pub(super) fn induct(&mut self) {
        let mut sent = std::mem::take(&mut self.outbox);
        sent.sort_by_key(|sent| (sent.sender, sent.receiver != sent.sender, sent.receiver));
        for Sent { sender, receiver, parcel } in sent {
            let is_welcome = match (&parcel, self.subnet.canisters.get(&receiver)) {
                (Parcel::Request(request), Some(canister)) => {
                    check_acceptance(canister, request).is_ok()
                        && canister.input.count_of(&sender) < QUEUE_CAPACITY
                        && !self.is_past(request.deadline)
                }
                (_, canister) => canister.is_some(),
            };
            match parcel {
                Parcel::Request(request) if is_welcome => self.arrive_at_canister(request),
                Parcel::Response(response) if is_welcome => self.deliver_response(response),
                parcel => self.outbox.push(Sent { sender, receiver, parcel }),
            }
        }
    }

    /// Sends off what did not arrive within the round.
    pub(super) fn post(&mut self) {
        let mut sent = std::mem::take(&mut self.outbox);
        sent.sort_by_key(|sent| (sent.sender, sent.receiver));
        let own = self.subnet.id;
        self.report.outbound.extend(sent.into_iter().map(|sent| (own, sent.parcel)));
    }

    /// Drops ingress messages that waited too long.
    pub(super) fn expire_ingress(&mut self) {
        let now = self.context.now;
        let mut expired = Vec::new();
        for canister in self.subnet.canisters.values_mut() {
            canister.input.retain(|input| match input {
                Input::Ingress { id, expiry, .. } if *expiry < now => {
                    expired.push(*id);
                    false
                }
                _ => true,
            });
        }
        self.report.answered.extend(expired.into_iter().map(|id| (id, Err(timed_out(&id)))));
    }

    /// Takes in what the subnets sent, this one first.
    pub(super) fn take_in_parcels(&mut self) {
        let mut parcels: Vec<Parcel> = std::mem::take(&mut self.subnet.incoming).into();
        parcels.sort_by_key(|parcel| !self.is_from_here(parcel));
        for parcel in parcels {
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

    fn is_from_here(&self, parcel: &Parcel) -> bool {
        let sender = match parcel {
            Parcel::Request(request) => request.sender,
            Parcel::Response(response) => {
                let canister = self.subnet.canisters.get(&response.originator);
                match canister.and_then(|canister| canister.callbacks.get(&response.callback)) {
                    Some(callback) => callback.respondent,
                    None => return false,
                }
            }
            Parcel::Refund { .. } => return false,
        };
        is_local(self.routes, self.subnet.id, &sender)
    }

    /// Rejects a request on its way; the answer arrives in the next round.
    fn reject(&mut self, request: Request, error: UserError) {
        let cycles = request.cycles;
        self.respond_as_management(origin_of(request), Err(error), cycles);
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
            Ok(()) => {
                let is_local = is_local(self.routes, self.subnet.id, &request.sender);
                canister.input.push(request.sender, is_local, Input::Request(request));
            }
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
                    let response = Response {
                        originator: canister.id,
                        callback: *id,
                        refund: 0,
                        answer: deadline_expired().into(),
                        deadline: callback.deadline,
                    };
                    let is_local = is_local(self.routes, self.subnet.id, &callback.respondent);
                    canister.input.push(callback.respondent, is_local, Input::Response(response));
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
