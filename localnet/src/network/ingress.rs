//! Ingress messages: letting them in, charging for them, and remembering what became of them.

use std::collections::BTreeSet;

use candid::Principal;
use sha2::{Digest, Sha256};

use super::{
    Call, EffectivePrincipal, MAX_ROUNDS_AWAITED, ManagementCall, Network, PendingIngress, RequestStatus, Subnet,
    config::is_system,
    environment::{charge, check_payable, environment},
    ingress_history::{IngressHistory, MAX_HISTORY_MESSAGES},
    round::Round,
};
use crate::{
    canister::{Canister, Input, Status},
    error::{ErrorCode, UserError, UserResult},
    execution::{Entry, Keep},
    limits::{MAX_INGRESS_BYTES_APPLICATION, MAX_INGRESS_BYTES_SYSTEM, MAX_INGRESS_TTL_NS, instructions},
    management::{self, Target},
    message::{CallOrigin, Cycles, MessageId},
};

/// Bytes that the envelope of a signed message has besides its method name, argument and sender. REST calls have no
/// envelope, but they cost and are limited as if they had one of this size.
const ENVELOPE_BYTES: usize = 300;
/// Longest argument of `update_settings` that is charged for after the settings were changed.
const MAX_DELAYED_CHARGE_BYTES: usize = 338;
const UPDATE_SETTINGS: &str = "update_settings";
/// Free, since a canister without cycles must be able to get some.
const TOP_UP: &str = "provisional_top_up_canister";

/// What the envelope of a signed message says besides the call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// The id of the message.
    pub id: MessageId,
    /// When it expires, in ns.
    pub expiry: u64,
    /// Length of the envelope; it is paid for and limited.
    pub bytes: usize,
}

/// The answer to a caller that asks for the status of somebody else's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Forbidden(pub(crate) String);

/// Returns the error of a message that expired before it began.
pub(super) fn timed_out(id: &MessageId) -> UserError {
    UserError::new(
        ErrorCode::IngressMessageTimeout,
        format!("Ingress message 0x{} timed out waiting to start executing.", hex::encode(id)),
    )
}

/// Returns the size that the message would have in a signed envelope.
fn envelope_bytes(method: &str, payload: &[u8], sender: &Principal) -> usize {
    method.len() + payload.len() + sender.as_slice().len() + ENVELOPE_BYTES
}

impl Subnet {
    /// Notes which messages are being processed: those that no queue holds any more, but that have no answer.
    pub(super) fn note_processing(&mut self, now: u64) {
        if !self.ingress.has_open() {
            return;
        }
        let in_canisters =
            self.canisters.values().flat_map(|canister| canister.input.iter()).filter_map(|input| match input {
                Input::Ingress { id, .. } => Some(*id),
                Input::Request(_) | Input::Response(_) => None,
            });
        let in_management = self.management_input.iter().filter_map(|call| match call.origin {
            CallOrigin::Ingress { id, .. } => Some(id),
            CallOrigin::Canister { .. } | CallOrigin::Task => None,
        });
        let waiting: BTreeSet<MessageId> = in_canisters.chain(in_management).collect();
        self.ingress.process_all_but(&waiting, now);
    }

    /// Returns the canister that a user's message or query is for, if it takes them.
    ///
    /// # Errors
    /// When there is no such canister, or it is stopping or stopped.
    pub(super) fn running_canister(&self, id: Principal) -> UserResult<&Canister> {
        let canister = self
            .canisters
            .get(&id)
            .ok_or_else(|| UserError::new(ErrorCode::CanisterNotFound, format!("Canister {id} not found")))?;
        match canister.status {
            Status::Running => Ok(canister),
            Status::Stopping(_) => {
                Err(UserError::new(ErrorCode::CanisterStopping, format!("Canister {id} is stopping")))
            }
            Status::Stopped => Err(UserError::new(ErrorCode::CanisterStopped, format!("Canister {id} is stopped"))),
        }
    }
}

impl Network {
    /// Tests whether a message without envelope is small enough to be submitted. Larger ones are malformed rather than
    /// rejected.
    ///
    /// # Errors
    /// A sentence with the size and the limit.
    pub(crate) fn check_ingress_size(&self, call: &Call) -> Result<(), String> {
        let subnet = self.route(call).ok().and_then(|(subnet, _)| self.subnets.get(&subnet));
        let bytes = envelope_bytes(&call.method, &call.payload, &call.sender);
        subnet.map_or(Ok(()), |subnet| check_size(subnet, bytes))
    }

    /// Lets an ingress message without signature in: it is executed from the next round on. Returns its id and what it
    /// was routed by. The same call may come again: it is another message then.
    ///
    /// # Errors
    /// Why the message was not let in; nothing happened then.
    pub(crate) fn submit_ingress(&mut self, call: Call) -> UserResult<(MessageId, EffectivePrincipal)> {
        let id = self.unique_id(&call);
        let bytes = envelope_bytes(&call.method, &call.payload, &call.sender);
        let expiry = self.time.saturating_add(MAX_INGRESS_TTL_NS);
        let effective = self.submit_signed(call, Envelope { id, expiry, bytes })?;
        self.submitted += 1;
        Ok((id, effective))
    }

    /// Lets an ingress message in that came in an envelope, whose signature was checked: it is executed from the next
    /// round on. A message that is known already is not executed again. Returns what the message was routed by.
    ///
    /// # Errors
    /// Why the message was not let in; nothing happened then.
    pub(crate) fn submit_signed(&mut self, call: Call, envelope: Envelope) -> UserResult<EffectivePrincipal> {
        let Envelope { id, expiry, bytes } = envelope;
        let (subnet_id, effective) = self.route(&call)?;
        let context = self.context_of_last_round();
        let Some(subnet) = self.subnets.get_mut(&subnet_id) else {
            return Err(UserError::new(ErrorCode::SubnetNotFound, format!("Subnet {subnet_id} not found")));
        };
        check_size(subnet, bytes).map_err(|text| UserError::new(ErrorCode::CanisterRejectedMessage, text))?;
        if subnet.ingress.contains(&id) {
            return Ok(effective);
        }
        if subnet.ingress.is_full() {
            return Err(UserError::new(
                ErrorCode::IngressHistoryFull,
                format!("Maximum queue capacity {MAX_HISTORY_MESSAGES} reached"),
            ));
        }
        if call.canister_id == Principal::management_canister() {
            management::accept_ingress(subnet, &call)?;
        } else {
            accept_message(subnet, &context, &call, bytes)?;
        }
        subnet.ingress.submit(id, call.sender, call.canister_id, expiry);
        subnet.pending_ingress.push_back(PendingIngress { id, call, expiry, bytes });
        Ok(effective)
    }

    /// Names a message that has no envelope.
    fn unique_id(&self, call: &Call) -> MessageId {
        let mut hasher = Sha256::new();
        hasher.update(self.submitted.to_be_bytes());
        for part in [call.sender.as_slice(), call.canister_id.as_slice(), call.method.as_bytes(), &call.payload] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// Runs rounds until the message is answered.
    ///
    /// # Errors
    /// When the message is unknown, its answer is not remembered any more, or there is none after 100 rounds. The inner
    /// error is the reject of the message.
    pub(crate) fn await_ingress(&mut self, id: &MessageId) -> Result<UserResult<Vec<u8>>, String> {
        for round in 0..=MAX_ROUNDS_AWAITED {
            let Some(history) = self.history_of(id) else {
                return Err(format!("MessageNotFound: ingress message 0x{} is not known", hex::encode(id)));
            };
            match history.status(id) {
                Some(RequestStatus::Done) => {
                    return Err(format!("the answer to ingress message 0x{} is not remembered", hex::encode(id)));
                }
                status => {
                    if let Some(answer) = status.and_then(RequestStatus::answer) {
                        return Ok(answer);
                    }
                }
            }
            if round < MAX_ROUNDS_AWAITED {
                self.tick();
            }
        }
        Err(format!("The call was not completed within {MAX_ROUNDS_AWAITED} rounds"))
    }

    /// Returns the answer of a message; nothing when the message is unknown or not answered yet.
    ///
    /// # Errors
    /// When a caller is given who did not send the message.
    pub(crate) fn ingress_status(
        &self,
        id: &MessageId,
        caller: Option<Principal>,
    ) -> Result<Option<UserResult<Vec<u8>>>, Forbidden> {
        if let Some(caller) = caller
            && self.request_caller(id).is_some_and(|sender| sender != caller)
        {
            return Err(Forbidden(format!("{caller} did not send the ingress message 0x{}", hex::encode(id))));
        }
        Ok(self.history_of(id).and_then(|history| history.status(id)).and_then(RequestStatus::answer))
    }

    /// Returns the status of a message as it is certified; nothing when it is unknown or waits for the next round.
    pub(crate) fn request_status(&self, id: &MessageId) -> Option<RequestStatus> {
        self.history_of(id)?.status(id).cloned()
    }

    /// Returns who sent a message; nothing when it is unknown.
    pub(crate) fn request_caller(&self, id: &MessageId) -> Option<Principal> {
        self.history_of(id)?.sender(id)
    }

    /// Returns which canister a message is for; nothing when it is unknown.
    pub(crate) fn request_receiver(&self, id: &MessageId) -> Option<Principal> {
        self.history_of(id)?.receiver(id)
    }

    fn history_of(&self, id: &MessageId) -> Option<&IngressHistory> {
        self.subnets.values().map(|subnet| &subnet.ingress).find(|history| history.contains(id))
    }

    /// Returns the subnet that a user's call goes to, and by what it is routed.
    ///
    /// # Errors
    /// The reject of a call that cannot be routed.
    pub(super) fn route(&self, call: &Call) -> UserResult<(Principal, EffectivePrincipal)> {
        let by_canister = |id: Principal| {
            let subnet = self
                .routes
                .subnet_of(&id)
                .ok_or_else(|| UserError::new(ErrorCode::CanisterNotFound, format!("Canister {id} not found")))?;
            Ok((subnet, EffectivePrincipal::Canister(id)))
        };
        if call.canister_id != Principal::management_canister() {
            return by_canister(call.canister_id);
        }
        match call.effective {
            Some(EffectivePrincipal::Canister(id)) => by_canister(id),
            Some(effective @ EffectivePrincipal::Subnet(id)) if self.subnets.contains_key(&id) => Ok((id, effective)),
            Some(EffectivePrincipal::Subnet(id)) => {
                Err(UserError::new(ErrorCode::SubnetNotFound, format!("Subnet {id} not found")))
            }
            None => match management::target(&call.method, &call.payload)? {
                Target::Canister(id) | Target::NewCanister(id) => by_canister(id),
                Target::CallersSubnet => by_canister(self.default_effective_canister()),
            },
        }
    }
}

/// Returns how many bytes the envelope of an ingress message may have.
pub(super) fn size_limit(subnet: &Subnet) -> usize {
    if is_system(subnet.kind) { MAX_INGRESS_BYTES_SYSTEM } else { MAX_INGRESS_BYTES_APPLICATION }
}

fn check_size(subnet: &Subnet, bytes: usize) -> Result<(), String> {
    let limit = size_limit(subnet);
    if bytes > limit {
        return Err(format!("Request is too large: message byte size {bytes} is larger than the max allowed {limit}"));
    }
    Ok(())
}

/// Decides whether an ingress message to a canister is let in, whose envelope has so many bytes.
fn accept_message(subnet: &mut Subnet, context: &management::Context, call: &Call, bytes: usize) -> UserResult<()> {
    let id = call.canister_id;
    let canister = subnet.running_canister(id)?;
    check_payable(canister, &subnet.cost_model, subnet.cost_model.ingress_induction(bytes))?;
    let Some(module) = canister.module() else {
        return Err(super::execute::no_module(id));
    };
    let entry = Entry::InspectMessage { method: call.method.clone() };
    if !module.has_entry(&entry) {
        return Ok(());
    }
    let mut environment =
        environment(subnet, canister, context, call.sender, call.payload.clone(), instructions::INSPECT);
    environment.caller_info = call.sender_info.clone();
    let Some(sandbox) = subnet.canisters.get_mut(&id).and_then(|canister| canister.sandbox.as_mut()) else {
        return Err(super::execute::no_module(id));
    };
    let effects = sandbox.execute(&entry, environment, Keep::Discard).result?;
    if !effects.message_accepted {
        return Err(UserError::new(ErrorCode::CanisterRejectedMessage, "Canister rejected the message"));
    }
    Ok(())
}

impl Round<'_> {
    /// Takes in the ingress messages submitted since the last round, and charges for them.
    pub(super) fn take_in_ingress(&mut self) {
        for PendingIngress { id, call, expiry, bytes } in std::mem::take(&mut self.subnet.pending_ingress) {
            self.subnet.ingress.receive(&id, self.context.now);
            let origin = CallOrigin::Ingress { id, sender: call.sender };
            if expiry < self.context.now {
                self.respond_as_management(origin, Err(timed_out(&id)), 0);
                continue;
            }
            let is_management = call.canister_id == Principal::management_canister();
            if let Err(error) = self.charge_for_ingress(&call, bytes) {
                self.respond_as_management(origin, Err(error), 0);
                continue;
            }
            if is_management {
                let Call { method, payload, .. } = call;
                self.subnet.management_input.push_back(ManagementCall { origin, method, payload, cycles: 0 });
            } else if let Some(canister) = self.subnet.canisters.get_mut(&call.canister_id) {
                let Call { sender, method, payload, sender_info, .. } = call;
                canister.input.push_ingress(Input::Ingress { id, sender, method, payload, sender_info, expiry });
            }
        }
    }

    /// Takes the price of an ingress message from the canister it is for. Creating canisters is free.
    fn charge_for_ingress(&mut self, call: &Call, bytes: usize) -> UserResult<()> {
        let price: Cycles = self.subnet.cost_model.ingress_induction(bytes);
        let payer = if call.canister_id != Principal::management_canister() {
            // It may have been stopped since the message was let in.
            self.subnet.running_canister(call.canister_id)?.id
        } else if call.method == TOP_UP || is_charged_late(&call.method, &call.payload) {
            return Ok(());
        } else {
            match management::target(&call.method, &call.payload) {
                Ok(Target::Canister(id)) => id,
                Ok(Target::NewCanister(_) | Target::CallersSubnet) | Err(_) => return Ok(()),
            }
        };
        let Some(canister) = self.subnet.canisters.get_mut(&payer) else {
            return Err(UserError::new(ErrorCode::CanisterNotFound, format!("Canister {payer} not found")));
        };
        charge(canister, &self.subnet.cost_model, price)?;
        self.consume(price);
        Ok(())
    }

    /// Takes the price of an ingress message that changed settings, as far as the canister has it.
    pub(super) fn charge_for_settings(&mut self, canister: Principal, sender: &Principal, payload_bytes: usize) {
        let bytes = UPDATE_SETTINGS.len() + payload_bytes + sender.as_slice().len() + ENVELOPE_BYTES;
        let price = self.subnet.cost_model.ingress_induction(bytes);
        let Some(canister) = self.subnet.canisters.get_mut(&canister) else { return };
        let price = price.min(canister.balance);
        canister.balance -= price;
        self.consume(price);
    }
}

/// Returns true for messages that are charged when the settings they bring are in force, since these may be what
/// unfreezes the canister.
pub(super) fn is_charged_late(method: &str, payload: &[u8]) -> bool {
    method == UPDATE_SETTINGS && payload.len() <= MAX_DELAYED_CHARGE_BYTES
}
