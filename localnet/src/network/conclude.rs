//! What a message did, applied to the canister: state, cycles, its answer and its calls. At once, or after as many
//! rounds as the message takes.

use candid::Principal;

use super::{environment::settle, round::Round};
use crate::{
    canister::{Callback, Canister, Finished, Paused},
    cycles::CostModel,
    error::{ErrorCode, UserError},
    execution::{Effects, OutgoingCall},
    limits::{
        MAX_CALL_TIMEOUT_SECONDS, MAX_INTER_CANISTER_PAYLOAD, MAX_PAUSED_EXECUTIONS, MAX_WASM32_HEAP, MAX_WASM64_HEAP,
    },
    message::{CallContextId, CallOrigin, CallbackId, Cycles, Request},
};

pub(super) const NS_PER_SECOND: u64 = 1_000_000_000;
/// Bytes in a page by which changed memory is counted.
const PAGE_BYTES: u64 = 4096;

impl Round<'_> {
    /// Applies what a message did, or keeps it for the round in which the message would end.
    pub(super) fn finish_or_pause(&mut self, id: Principal, finished: Finished) {
        let slice = self.subnet.instruction_limits.slice;
        if finished.changes.is_none() && finished.instructions <= slice {
            self.step.instructions += finished.instructions;
            return self.finish(id, finished);
        }
        self.step.instructions += slice;
        self.step.finished = false;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        canister.paused = Some(Paused { finished, progress: slice });
    }

    /// Goes on with the message under way, by one slice.
    pub(super) fn advance(&mut self, id: Principal) {
        let slice = self.subnet.instruction_limits.slice;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        let Some(mut paused) = canister.paused.take() else { return };
        let left = paused.finished.instructions - paused.progress;
        if left <= slice {
            self.step.instructions += left;
            return self.finish(id, paused.finished);
        }
        paused.progress += slice;
        canister.paused = Some(paused);
        self.step.instructions += slice;
        self.step.finished = false;
    }

    /// Lets all but the first messages under way begin again: only so many stay in memory between rounds.
    pub(super) fn abort_paused(&mut self) {
        let mut paused: Vec<_> = self
            .subnet
            .canisters
            .values()
            .filter(|canister| canister.paused.as_ref().is_some_and(|paused| paused.progress > 0))
            .map(|canister| {
                let priority = &canister.priority;
                (-priority.executed_rounds.max(1), -priority.accumulated, priority.long_since, canister.id)
            })
            .collect();
        paused.sort();
        for (.., id) in paused.into_iter().skip(MAX_PAUSED_EXECUTIONS) {
            if let Some(canister) = self.subnet.canisters.get_mut(&id) {
                canister.priority.executed_rounds = 0;
                if let Some(paused) = &mut canister.paused {
                    paused.progress = 0;
                }
            }
        }
    }

    /// Books what a message used, and applies what it did.
    pub(super) fn finish(&mut self, id: Principal, finished: Finished) {
        let Finished { context, prepaid, result, cleaned_up, changes, changes_state, .. } = &finished;
        let (context, prepaid, changes_state) = (*context, *prepaid, *changes_state);
        let (result, cleaned_up, changes) = (result.clone(), cleaned_up.clone(), changes.clone());
        self.account(id, context, &finished, prepaid);
        if let Some(changes) = changes
            && let Some(sandbox) = self.subnet.canisters.get_mut(&id).and_then(|canister| canister.sandbox.as_mut())
        {
            sandbox.apply(*changes);
        }
        match result {
            Ok(effects) => {
                self.apply(id, context, effects, changes_state);
                self.conclude(id, context, None);
            }
            Err(error) => {
                // A cleanup cannot answer or call, but it changes state like any message.
                if let Some(effects) = cleaned_up {
                    self.apply(id, context, effects, true);
                }
                self.conclude(id, context, Some(error));
            }
        }
    }

    /// Books what a message used, whether or not it succeeded.
    fn account(&mut self, id: Principal, context: CallContextId, finished: &Finished, prepaid: Cycles) {
        self.subnet.transactions += 1;
        let cost_model = self.subnet.cost_model;
        let now = self.context.now;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        let wasm64 = canister.module().is_some_and(|module| module.is_wasm64());
        let price = settle(canister, &cost_model, prepaid, finished.instructions, wasm64);
        let heap_delta = finished.dirty_pages.saturating_mul(PAGE_BYTES);
        canister.heap_delta_debt = canister.heap_delta_debt.saturating_add(heap_delta);
        if let Some(call) = canister.call_contexts.get_mut(&context) {
            call.instructions = call.instructions.saturating_add(finished.instructions);
        }
        canister.print(now, finished.logs.iter().cloned());
        self.step.heap_delta += heap_delta;
        self.consume(price);
    }

    /// Applies what a successful message did: state, cycles, its answer and its calls.
    fn apply(&mut self, id: Principal, context: CallContextId, effects: Effects, changes_state: bool) {
        let Effects {
            answer,
            message_accepted: _,
            calls,
            cycles_accepted,
            cycles_burned,
            cycles_minted,
            cycles_reserved,
            certified_data,
            global_timer,
        } = effects;
        let cost_model = self.subnet.cost_model;
        let response_limit = self.subnet.instruction_limits.message;
        let now = self.context.now;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        let wasm64 = canister.module().is_some_and(|module| module.is_wasm64());
        let spent =
            calls.iter().fold(0, |sum: Cycles, call| sum.saturating_add(call.cycles).saturating_add(call.prepayment));
        canister.balance = canister
            .balance
            .saturating_add(cycles_accepted)
            .saturating_add(cycles_minted)
            .saturating_sub(cycles_burned)
            .saturating_sub(spent);
        canister.reserve(cycles_reserved);
        if let Some(data) = certified_data {
            canister.certified_data = data;
        }
        if let Some(deadline) = global_timer {
            canister.global_timer = deadline;
        }
        // The version that the message saw.
        let version = canister.version;
        if changes_state {
            canister.version += 1;
            note_memory_use(canister);
        }
        let mut consumed = cycles_burned;
        let mut requests = Vec::with_capacity(calls.len());
        for call in calls {
            let prepaid = split_prepayment(&call, &cost_model, response_limit, wasm64);
            consumed += call.prepayment - prepaid.0 - prepaid.1;
            let callback = CallbackId(canister.next_call);
            canister.next_call += 1;
            let deadline = call.timeout_seconds.map(|seconds| deadline_after(now, seconds));
            let (request, entry) = split_call(id, context, callback, call, deadline, prepaid);
            canister.callbacks.insert(callback, entry);
            requests.push(request);
        }
        let mut answered = None;
        if let Some(call) = canister.call_contexts.get_mut(&context) {
            call.open_callbacks += requests.len();
            call.cycles_available = call.cycles_available.saturating_sub(cycles_accepted);
            if let Some(answer) = answer
                && !call.answered
            {
                call.answered = true;
                let refund = std::mem::take(&mut call.cycles_available);
                answered = Some((call.origin.clone(), answer, refund));
            }
        }
        self.consume(consumed);
        if let Some((origin, answer, refund)) = answered {
            self.respond(id, origin, super::respond::user_result(answer), refund);
        }
        for request in requests {
            self.send(request, version);
        }
    }

    /// Ends a call when nothing of it is open any more: a call without an answer is rejected, with the error of the
    /// message that ended it if there was one.
    pub(super) fn conclude(&mut self, id: Principal, context: CallContextId, error: Option<UserError>) {
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        if canister.call_contexts.get(&context).is_none_or(|call| call.open_callbacks > 0) {
            return;
        }
        let Some(call) = canister.call_contexts.remove(&context) else { return };
        if call.answered || call.deleted {
            return;
        }
        let error = error.unwrap_or_else(|| did_not_reply(id, &call.origin));
        self.respond(id, call.origin, Err(error), call.cycles_available);
    }
}

fn did_not_reply(id: Principal, origin: &CallOrigin) -> UserError {
    let description = match origin {
        CallOrigin::Ingress { .. } => format!("Canister {id} did not reply to the call"),
        CallOrigin::Canister { .. } | CallOrigin::Task => "No response".to_owned(),
    };
    UserError::new(ErrorCode::CanisterDidNotReply, description)
}

/// Returns the deadline of a best-effort call in ns; deadlines are whole seconds.
fn deadline_after(now: u64, seconds: u32) -> u64 {
    (now / NS_PER_SECOND).saturating_add(seconds.min(MAX_CALL_TIMEOUT_SECONDS).into()).saturating_mul(NS_PER_SECOND)
}

/// Returns which parts of a call's prepayment are for the transmission and for the execution of its response.
fn split_prepayment(call: &OutgoingCall, cost_model: &CostModel, limit: u64, wasm64: bool) -> (Cycles, Cycles) {
    let transmission = cost_model.transmission(MAX_INTER_CANISTER_PAYLOAD as u64).min(call.prepayment);
    (transmission, cost_model.execution(limit, wasm64).min(call.prepayment - transmission))
}

fn split_call(
    sender: Principal,
    context: CallContextId,
    callback: CallbackId,
    call: OutgoingCall,
    deadline: Option<u64>,
    (prepaid_transmission, prepaid_execution): (Cycles, Cycles),
) -> (Request, Callback) {
    let entry = Callback {
        context,
        respondent: call.receiver,
        on_reply: call.on_reply,
        on_reject: call.on_reject,
        on_cleanup: call.on_cleanup,
        prepaid_transmission,
        prepaid_execution,
        deadline,
    };
    let request = Request {
        sender,
        callback,
        receiver: call.receiver,
        method: call.method,
        payload: call.payload,
        cycles: call.cycles,
        deadline,
    };
    (request, entry)
}

/// Arms the low-memory hook when the heap has grown past its threshold, once until it is below again.
fn note_memory_use(canister: &mut Canister) {
    let Some(sandbox) = &canister.sandbox else { return };
    let is_low = canister.settings.wasm_memory_threshold > 0
        && heap_limit(canister).saturating_sub(sandbox.heap_bytes()) < canister.settings.wasm_memory_threshold;
    canister.low_memory_hook_due = is_low && !canister.low_memory_hook_ran;
    canister.low_memory_hook_ran &= is_low;
}

fn heap_limit(canister: &Canister) -> u64 {
    let largest =
        if canister.module().is_some_and(|module| module.is_wasm64()) { MAX_WASM64_HEAP } else { MAX_WASM32_HEAP };
    match canister.settings.wasm_memory_limit {
        0 => largest,
        limit => limit.min(largest),
    }
}
