//! One network: subnets, time, rounds, and the way of messages between canisters.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use candid::Principal;
use pocket_ic::common::rest::{SubnetKind, SubnetSpec};
use serde::{Deserialize, Serialize};

use crate::{
    canister::Canister,
    certification::Certification,
    cycles::CostModel,
    error::{UserError, UserResult},
    execution::StableMemory,
    limits::MAX_STABLE_MEMORY,
    management,
    message::{CallOrigin, Cycles, MessageId, Request, Response},
};

mod certified;
mod clients;
mod conclude;
mod config;
mod delivery;
mod environment;
mod execute;
mod ingress;
mod ingress_history;
mod query;
mod rent;
mod respond;
mod round;
mod routes;
mod saved;
mod schedule;
mod stop;
#[cfg(test)]
mod tests;

pub(crate) use config::subnet_specs;
#[cfg(test)]
pub(crate) use config::{canister_id, test_fixtures::config as test_config};
pub(crate) use environment::{charge, environment, prepay, settle};
pub(crate) use ingress::Envelope;
pub(crate) use ingress_history::{IngressHistory, RequestStatus};
use routes::Routes;
pub(crate) use saved::RestoreError;

/// A subnet and its canisters. Made by [`Subnet::new`]. What is skipped by serde is large or follows from the rest, see
/// [`saved`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Subnet {
    /// Its id: self-authenticating over its public key.
    pub id: Principal,
    /// What its key was derived from.
    pub seed: [u8; 32],
    /// How it was asked for.
    pub spec: SubnetSpec,
    /// DER-encoded public key (BLS).
    #[serde(skip)]
    pub public_key: Arc<Vec<u8>>,
    /// What sort of subnet it is.
    pub kind: SubnetKind,
    /// Prices.
    pub cost_model: CostModel,
    /// Instruction limits.
    pub instruction_limits: InstructionLimits,
    /// Canister id ranges, as first and last id, both included. New ids come from the first range, in order.
    pub ranges: Vec<(Principal, Principal)>,
    /// Index in the first range of the next new canister.
    pub next_canister: u64,
    /// Its canisters.
    #[serde(skip)]
    pub canisters: BTreeMap<Principal, Canister>,
    /// Management calls waiting for execution.
    pub management_input: VecDeque<ManagementCall>,
    /// Requests and responses for canisters of this subnet (or its management canister) that arrive next round.
    pub incoming: VecDeque<Parcel>,
    /// `raw_rand` calls to answer in the next round.
    pub postponed_raw_rand: Vec<ManagementCall>,
    /// True when `install_code` is not rate limited.
    pub rate_limits_disabled: bool,
    /// State of the subnet's random number generator.
    pub randomness: [u8; 32],
    /// Ingress messages that the next round takes in.
    pub pending_ingress: VecDeque<PendingIngress>,
    /// What became of ingress messages.
    pub ingress: IngressHistory,
    /// Rounds run so far.
    pub rounds: u64,
    /// Cycles that canisters of this subnet paid as fees in rounds, or burned.
    pub consumed: Cycles,
    /// Messages that were executed in rounds.
    pub transactions: u64,
}

impl Subnet {
    /// Returns the bytes of memory that its canisters use or, where that is more, have allocated.
    pub(crate) fn memory_taken(&self) -> u64 {
        self.canisters.values().map(Canister::memory_taken).fold(0, u64::saturating_add)
    }
}

/// An ingress message that passed the filter and waits for the next round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PendingIngress {
    /// The message.
    #[serde(with = "serde_bytes")]
    pub id: MessageId,
    /// What was called.
    pub call: Call,
    /// When it expires, in ns.
    pub expiry: u64,
    /// Bytes of its envelope, which are paid for.
    pub bytes: usize,
}

/// A request or response on its way between subnets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Parcel {
    /// A call.
    Request(Request),
    /// An answer.
    Response(Response),
    /// Cycles that come back without an answer, since nobody waits for one any more.
    Refund {
        /// The canister they belong to.
        canister: Principal,
        /// How many.
        cycles: Cycles,
    },
}

/// The instruction limits of a subnet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct InstructionLimits {
    /// Update, callback, timer.
    pub message: u64,
    /// Query.
    pub query: u64,
    /// Installation.
    pub install: u64,
    /// Round, on each core.
    pub round: u64,
    /// The part of a message that runs in one round.
    pub slice: u64,
    /// The part of an installation that runs in one round.
    pub install_slice: u64,
}

/// A call of the management canister.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManagementCall {
    /// Who waits for the answer; `origin.caller()` is the caller.
    pub origin: CallOrigin,
    /// The method.
    pub method: String,
    /// The argument.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// Cycles attached.
    pub cycles: Cycles,
}

/// What became of a management call.
///
/// Failures are kept as [`UserError`]s: ingress callers see their error code, canisters what `Answer::from` leaves.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// It is answered, and these cycles go back.
    Done(UserResult<Vec<u8>>, Cycles),
    /// It waits: it was put into [`Status::Stopping`](crate::canister::Status), or into `postponed_raw_rand`.
    Waiting,
    /// It is answered, and so are calls that waited for the same canister, each with the cycles that go back to it:
    /// stop requests that `start_canister` cancelled, or calls that the uninstalled code was answering.
    DoneWithStops(UserResult<Vec<u8>>, Cycles, Vec<(CallOrigin, Cycles, UserError)>),
}

/// An ingress message or query, as it comes from a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The sender.
    pub sender: Principal,
    /// The called canister.
    pub canister_id: Principal,
    /// The effective canister or subnet, if the client named one.
    pub effective: Option<EffectivePrincipal>,
    /// The method.
    pub method: String,
    /// The argument.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// Signed attributes of the sender, and their signer.
    pub sender_info: Option<(Vec<u8>, Principal)>,
}

/// The principal that routes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EffectivePrincipal {
    /// A canister.
    Canister(Principal),
    /// A subnet.
    Subnet(Principal),
}

/// Most rounds that [`Network::await_ingress`] runs.
const MAX_ROUNDS_AWAITED: usize = 100;

/// A network of subnets that moves in rounds.
///
/// Nothing happens by itself: whoever owns the network moves the time and asks for rounds.
#[derive(Debug)]
pub(crate) struct Network {
    subnets: BTreeMap<Principal, Subnet>,
    /// Subnets in the order in which they were asked for, which is the order of their turns.
    order: Vec<Principal>,
    routes: Routes,
    /// The subnet whose key is the root of trust.
    root: Principal,
    root_key: Arc<Vec<u8>>,
    time: u64,
    /// Time of the last round, in ns.
    last_round: u64,
    /// Messages without envelope ever submitted; makes the ids of equal calls different.
    submitted: u64,
    /// What can be computed again from the state, and is kept for speed.
    certification: Certification,
}

impl Network {
    /// Returns the time in ns since the epoch.
    pub(crate) fn time(&self) -> u64 {
        self.time
    }

    /// Sets the time that the next round sees, in ns.
    ///
    /// # Errors
    /// When it lies before the current time.
    pub(crate) fn set_time(&mut self, ns: u64) -> Result<(), String> {
        if ns < self.time {
            return Err(format!("SettingTimeIntoPast: {ns} lies before the current time {}", self.time));
        }
        self.time = ns;
        Ok(())
    }

    /// Sets the time in ns and runs a round, so that queries see it.
    ///
    /// # Errors
    /// When it lies before the current time.
    pub(crate) fn set_certified_time(&mut self, ns: u64) -> Result<(), String> {
        self.set_time(ns)?;
        self.tick();
        Ok(())
    }

    /// Runs one round on every subnet. When the time was not moved since the last round it moves by 1 ns.
    pub(crate) fn tick(&mut self) {
        if self.time == self.last_round {
            self.time = self.time.saturating_add(1);
        }
        self.last_round = self.time;
        let context = self.context();
        let mut parcels = Vec::new();
        for id in &self.order {
            let Some(subnet) = self.subnets.get_mut(id) else { continue };
            subnet.ingress.forget_old(context.now);
            let report = round::run(subnet, &context, &self.routes);
            parcels.extend(report.outbound);
            for (message, result) in report.answered {
                subnet.ingress.answer(&message, result, context.now);
            }
            subnet.note_processing(context.now);
        }
        // Only now, so that no message crosses to another subnet within one round.
        for (subnet, parcel) in parcels {
            if let Some(subnet) = self.subnets.get_mut(&subnet) {
                subnet.incoming.push_back(parcel);
            }
        }
    }

    /// Returns the controllers of a canister, or nothing when there is no such canister.
    pub(crate) fn controllers(&self, id: Principal) -> Option<Vec<Principal>> {
        self.canister(id).map(|canister| canister.settings.controllers.clone())
    }

    /// Returns the main balance of a canister.
    pub(crate) fn cycles(&self, id: Principal) -> Option<Cycles> {
        self.canister(id).map(|canister| canister.balance)
    }

    /// Adds cycles out of nothing to a canister and returns its balance then.
    pub(crate) fn add_cycles(&mut self, id: Principal, amount: Cycles) -> Option<Cycles> {
        let canister = self.canister_mut(id)?;
        canister.balance = canister.balance.saturating_add(amount);
        Some(canister.balance)
    }

    /// Returns the stable memory of a canister; nothing when there is no such canister. A canister without code has
    /// an empty one.
    pub(crate) fn stable_memory(&self, id: Principal) -> Option<Vec<u8>> {
        self.canister(id)
            .map(|canister| canister.sandbox.as_ref().map_or_else(Vec::new, |code| code.stable().to_bytes()))
    }

    /// Replaces the stable memory of a canister, rounded up to whole pages.
    ///
    /// # Errors
    /// When there is no such canister, it has no code, or the bytes are too many.
    pub(crate) fn set_stable_memory(&mut self, id: Principal, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() as u64 > MAX_STABLE_MEMORY {
            return Err(format!("{} bytes exceed the largest stable memory, {MAX_STABLE_MEMORY} bytes", bytes.len()));
        }
        let canister = self.canister_mut(id).ok_or_else(|| format!("Canister {id} not found"))?;
        let sandbox = canister.sandbox.as_mut().ok_or_else(|| format!("Canister {id} has no Wasm module"))?;
        sandbox.set_stable(StableMemory::from_bytes(bytes));
        Ok(())
    }

    /// Returns the subnet of a canister that exists.
    pub(crate) fn subnet_with(&self, id: Principal) -> Option<Principal> {
        self.subnets.values().find(|subnet| subnet.canisters.contains_key(&id)).map(|subnet| subnet.id)
    }

    /// Returns the DER-encoded public key of a subnet.
    pub(crate) fn subnet_public_key(&self, id: Principal) -> Option<Vec<u8>> {
        self.subnets.get(&id).map(|subnet| subnet.public_key.to_vec())
    }

    /// What the next round sees.
    fn context(&self) -> management::Context {
        management::Context { now: self.time, root_key: Arc::clone(&self.root_key) }
    }

    /// What queries and message inspection see: the state after the last round, and its time.
    fn context_of_last_round(&self) -> management::Context {
        management::Context { now: self.last_round, ..self.context() }
    }

    fn canister(&self, id: Principal) -> Option<&Canister> {
        self.subnets.values().find_map(|subnet| subnet.canisters.get(&id))
    }

    fn canister_mut(&mut self, id: Principal) -> Option<&mut Canister> {
        self.subnets.values_mut().find_map(|subnet| subnet.canisters.get_mut(&id))
    }
}
