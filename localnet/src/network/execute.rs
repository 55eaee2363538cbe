//! Runs canister code for calls, tasks and responses, and applies what it did: call contexts, callbacks, cycles.

use candid::Principal;

use super::{
    environment::{environment, prepay, settle},
    round::Round,
};
use crate::{
    canister::{CallContext, Callback, Canister, Status},
    error::{ErrorCode, UserError, UserResult},
    execution::{Effects, Entry, Environment, Keep, MethodKind, Outcome, OutgoingCall},
    limits::{MAX_CALL_TIMEOUT_SECONDS, MAX_INTER_CANISTER_PAYLOAD, MAX_WASM32_HEAP, MAX_WASM64_HEAP, instructions},
    message::{Answer, CallContextId, CallOrigin, CallbackId, Cycles, MessageId, Request, Response},
};

pub(super) const NS_PER_SECOND: u64 = 1_000_000_000;
/// Bytes in a page by which changed memory is counted.
const PAGE_BYTES: u64 = 4096;

/// A call that is about to be executed.
struct Incoming {
    origin: CallOrigin,
    method: String,
    argument: Vec<u8>,
    cycles: Cycles,
    caller_info: Option<(Vec<u8>, Principal)>,
}

impl Round<'_> {
    /// Executes an ingress message.
    #[expect(clippy::too_many_arguments, reason = "the fields of an input, which has no type of its own")]
    pub(super) fn execute_ingress(
        &mut self,
        canister: Principal,
        id: MessageId,
        sender: Principal,
        method: String,
        argument: Vec<u8>,
        caller_info: Option<(Vec<u8>, Principal)>,
        expiry: u64,
    ) {
        let origin = CallOrigin::Ingress { id, sender };
        if expiry < self.context.now {
            return self.respond(origin, Err(super::ingress::timed_out(&id)), 0);
        }
        self.execute_call(canister, Incoming { origin, method, argument, cycles: 0, caller_info });
    }

    /// Executes a call of another canister.
    pub(super) fn execute_request(&mut self, canister: Principal, request: Request) {
        let origin =
            CallOrigin::Canister { sender: request.sender, callback: request.callback, deadline: request.deadline };
        let Request { method, payload: argument, cycles, .. } = request;
        self.execute_call(canister, Incoming { origin, method, argument, cycles, caller_info: None });
    }

    fn execute_call(&mut self, id: Principal, incoming: Incoming) {
        let Some(canister) = self.subnet.canisters.get_mut(&id) else {
            let error = UserError::new(ErrorCode::CanisterNotFound, format!("Canister {id} not found"));
            return self.respond(incoming.origin, Err(error), incoming.cycles);
        };
        let prepared = find_method(canister, &incoming.method).and_then(|entry| {
            let wasm64 = canister.module().is_some_and(|module| module.is_wasm64());
            let limits = &self.subnet.instruction_limits;
            let limit = if matches!(entry, Entry::Query { .. }) { limits.query } else { limits.message };
            let prepaid = prepay(canister, &self.subnet.cost_model, limit, wasm64)?;
            Ok((entry, limit, prepaid))
        });
        let (entry, limit, prepaid) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.respond(incoming.origin, Err(error), incoming.cycles),
        };
        let caller = incoming.origin.caller();
        let deadline = incoming.origin.deadline();
        let context = self.open_context(id, incoming.origin, incoming.cycles);
        let Some(mut environment) = self.environment(id, caller, incoming.argument, limit) else { return };
        environment.caller_info = incoming.caller_info;
        environment.cycles_available = incoming.cycles;
        environment.deadline = deadline;
        environment.prepaid = prepaid;
        self.run_and_conclude(id, context, entry, environment);
    }

    /// Executes a timer, heartbeat or hook; silently does nothing when the canister cannot pay for it.
    pub(super) fn execute_task(&mut self, id: Principal, task: Entry) {
        let limit = self.subnet.instruction_limits.message;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        let Some(module) = canister.module() else { return };
        if !matches!(canister.status, Status::Running) || !module.has_entry(&task) {
            return;
        }
        let wasm64 = module.is_wasm64();
        // A canister that cannot pay keeps its timer and its hook, and they come again next round.
        let Ok(prepaid) = prepay(canister, &self.subnet.cost_model, limit, wasm64) else { return };
        match task {
            // Off before it runs, so that the canister may set it again.
            Entry::GlobalTimer => canister.global_timer = 0,
            Entry::OnLowWasmMemory => {
                canister.low_memory_hook_due = false;
                canister.low_memory_hook_ran = true;
            }
            _ => {}
        }
        let context = self.open_context(id, CallOrigin::Task, 0);
        let Some(mut environment) = self.environment(id, CallOrigin::Task.caller(), Vec::new(), limit) else { return };
        environment.prepaid = prepaid;
        self.run_and_conclude(id, context, task, environment);
    }

    /// Executes the callback that a response belongs to, after giving back what the response did not need.
    pub(super) fn execute_response(&mut self, id: Principal, response: Response) {
        let cost_model = self.subnet.cost_model;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        canister.balance = canister.balance.saturating_add(response.refund);
        let Some(callback) = canister.callbacks.remove(&response.callback) else { return };
        let transmission = cost_model.transmission(answer_bytes(&response.answer)).min(callback.prepaid_transmission);
        canister.balance = canister.balance.saturating_add(callback.prepaid_transmission - transmission);
        let has_code = canister.sandbox.is_some();
        let Some(call) = canister.call_contexts.get_mut(&callback.context) else {
            canister.balance = canister.balance.saturating_add(callback.prepaid_execution);
            return self.consume(transmission);
        };
        call.open_callbacks = call.open_callbacks.saturating_sub(1);
        if call.deleted || !has_code {
            // The code that made the call is gone: only the cycles matter.
            canister.balance = canister.balance.saturating_add(callback.prepaid_execution);
            self.consume(transmission);
            return self.conclude(id, callback.context, None);
        }
        self.consume(transmission);
        self.run_callback(id, callback, response);
    }

    fn run_callback(&mut self, id: Principal, callback: Callback, response: Response) {
        let limit = self.subnet.instruction_limits.message;
        let reserved = limit / 100 * instructions::CLEANUP_PERCENT;
        let closure = match response.answer {
            Answer::Reply(_) => callback.on_reply,
            Answer::Reject(..) => callback.on_reject,
        };
        let entry =
            Entry::Callback { closure, answer: response.answer.clone(), refunded: response.refund, composite: false };
        let Some(environment) = self.callback_environment(id, &callback, limit - reserved) else { return };
        let Some(mut outcome) = self.run(id, &entry, environment) else { return };
        let mut cleaned_up = None;
        if let (Err(error), Some(closure)) = (&mut outcome.result, callback.on_cleanup) {
            let entry = Entry::Cleanup { closure, answer: response.answer, composite: false };
            let left = limit.saturating_sub(outcome.instructions);
            if let Some(environment) = self.callback_environment(id, &callback, left)
                && let Some(cleanup) = self.run(id, &entry, environment)
            {
                outcome.instructions = outcome.instructions.saturating_add(cleanup.instructions);
                outcome.dirty_pages = outcome.dirty_pages.saturating_add(cleanup.dirty_pages);
                outcome.logs.extend(cleanup.logs);
                match cleanup.result {
                    Ok(effects) => cleaned_up = Some(effects),
                    Err(second) => *error = both_failed(error, &second),
                }
            }
        }
        self.account(id, callback.context, &outcome, callback.prepaid_execution);
        match outcome.result {
            Ok(effects) => {
                self.apply(id, callback.context, effects, true);
                self.conclude(id, callback.context, None);
            }
            Err(error) => {
                // A cleanup cannot answer or call, but it changes state like any message.
                if let Some(effects) = cleaned_up {
                    self.apply(id, callback.context, effects, true);
                }
                self.conclude(id, callback.context, Some(error));
            }
        }
    }

    fn callback_environment(&self, id: Principal, callback: &Callback, limit: u64) -> Option<Environment> {
        let call = self.subnet.canisters.get(&id)?.call_contexts.get(&callback.context)?;
        let mut environment = self.environment(id, call.origin.caller(), Vec::new(), limit)?;
        environment.caller_info = call.caller_info.clone();
        environment.cycles_available = call.cycles_available;
        environment.deadline = call.origin.deadline();
        environment.answered = call.answered;
        environment.call_context_instructions = call.instructions;
        environment.prepaid = callback.prepaid_execution;
        Some(environment)
    }

    fn environment(&self, id: Principal, caller: Principal, argument: Vec<u8>, limit: u64) -> Option<Environment> {
        let canister = self.subnet.canisters.get(&id)?;
        Some(environment(self.subnet, canister, self.context, caller, argument, limit))
    }

    fn open_context(&mut self, id: Principal, origin: CallOrigin, cycles: Cycles) -> CallContextId {
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return CallContextId(0) };
        let context = CallContextId(canister.next_call);
        canister.next_call += 1;
        canister.call_contexts.insert(
            context,
            CallContext {
                origin,
                answered: false,
                cycles_available: cycles,
                instructions: 0,
                open_callbacks: 0,
                deleted: false,
                caller_info: None,
            },
        );
        context
    }

    fn run_and_conclude(&mut self, id: Principal, context: CallContextId, entry: Entry, environment: Environment) {
        let prepaid = environment.prepaid;
        if let Some(call) =
            self.subnet.canisters.get_mut(&id).and_then(|canister| canister.call_contexts.get_mut(&context))
        {
            call.caller_info = environment.caller_info.clone();
        }
        let Some(outcome) = self.run(id, &entry, environment) else { return };
        self.account(id, context, &outcome, prepaid);
        match outcome.result {
            Ok(effects) => {
                self.apply(id, context, effects, entry.keeps_state());
                self.conclude(id, context, None);
            }
            Err(error) => self.conclude(id, context, Some(error)),
        }
    }

    fn run(&mut self, id: Principal, entry: &Entry, environment: Environment) -> Option<Outcome> {
        let sandbox = self.subnet.canisters.get_mut(&id)?.sandbox.as_mut()?;
        let keep = if entry.keeps_state() { Keep::Commit } else { Keep::Discard };
        Some(sandbox.execute(entry, environment, keep))
    }

    /// Books what a message used, whether or not it succeeded.
    fn account(&mut self, id: Principal, context: CallContextId, outcome: &Outcome, prepaid: Cycles) {
        self.instructions = self.instructions.saturating_add(outcome.instructions);
        self.subnet.transactions += 1;
        let cost_model = self.subnet.cost_model;
        let now = self.context.now;
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        let wasm64 = canister.module().is_some_and(|module| module.is_wasm64());
        let price = settle(canister, &cost_model, prepaid, outcome.instructions, wasm64);
        canister.heap_delta_debt =
            canister.heap_delta_debt.saturating_add(outcome.dirty_pages.saturating_mul(PAGE_BYTES));
        if let Some(call) = canister.call_contexts.get_mut(&context) {
            call.instructions = call.instructions.saturating_add(outcome.instructions);
        }
        canister.print(now, outcome.logs.iter().cloned());
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
        if let Some(data) = certified_data {
            canister.certified_data = data;
        }
        if let Some(deadline) = global_timer {
            canister.global_timer = deadline;
        }
        if changes_state {
            canister.version += 1;
            note_memory_use(canister);
        }
        let mut consumed = cycles_burned;
        let mut requests = Vec::with_capacity(calls.len());
        for call in calls {
            let prepaid_transmission = cost_model.transmission(MAX_INTER_CANISTER_PAYLOAD as u64).min(call.prepayment);
            let prepaid_execution =
                cost_model.execution(response_limit, wasm64).min(call.prepayment - prepaid_transmission);
            consumed += call.prepayment - prepaid_transmission - prepaid_execution;
            let callback = CallbackId(canister.next_call);
            canister.next_call += 1;
            let deadline = call.timeout_seconds.map(|seconds| deadline_after(now, seconds));
            let (request, entry) =
                split_call(id, context, callback, call, deadline, (prepaid_transmission, prepaid_execution));
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
            self.respond(origin, super::respond::user_result(answer), refund);
        }
        for request in requests {
            self.send(request);
        }
    }

    /// Ends a call when nothing of it is open any more: a call without an answer is rejected, with the error of the
    /// message that ended it if there was one.
    fn conclude(&mut self, id: Principal, context: CallContextId, error: Option<UserError>) {
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        if canister.call_contexts.get(&context).is_none_or(|call| call.open_callbacks > 0) {
            return;
        }
        let Some(call) = canister.call_contexts.remove(&context) else { return };
        if call.answered || call.deleted {
            return;
        }
        let error = error.unwrap_or_else(|| did_not_reply(id, &call.origin));
        self.respond(call.origin, Err(error), call.cycles_available);
    }
}

/// Finds what a replicated call of the method runs. Query exports come first, since a query may be called like an
/// update.
fn find_method(canister: &Canister, method: &str) -> UserResult<Entry> {
    let id = canister.id;
    let not_running = match canister.status {
        Status::Running => None,
        Status::Stopping(_) => Some(ErrorCode::CanisterStopping),
        Status::Stopped => Some(ErrorCode::CanisterStopped),
    };
    if let Some(code) = not_running {
        return Err(UserError::new(code, format!("Canister {id} is not running")));
    }
    let Some(module) = canister.module() else {
        return Err(no_module(id));
    };
    if module.has_method(MethodKind::Query, method) {
        return Ok(Entry::Query { method: method.to_owned(), replicated: true });
    }
    if module.has_method(MethodKind::CompositeQuery, method) {
        return Err(UserError::new(
            ErrorCode::CompositeQueryCalledInReplicatedMode,
            format!("Composite query '{method}' of canister {id} cannot be called in replicated mode"),
        ));
    }
    if module.has_method(MethodKind::Update, method) {
        return Ok(Entry::Update { method: method.to_owned() });
    }
    Err(UserError::new(
        ErrorCode::CanisterMethodNotFound,
        format!("Error from Canister {id}: Canister has no update method '{method}'."),
    ))
}

/// Returns the error of a message for a canister without code.
pub(super) fn no_module(id: Principal) -> UserError {
    UserError::new(
        ErrorCode::CanisterWasmModuleNotFound,
        format!("Error from Canister {id}: Attempted to execute a message, but the canister contains no Wasm module."),
    )
}

/// Returns the error of a callback that trapped and whose cleanup failed, too.
pub(super) fn both_failed(callback: &UserError, cleanup: &UserError) -> UserError {
    let description = format!("{}\ncall_on_cleanup also failed:\n\n{}", callback.description, cleanup.description);
    UserError::new(callback.code, description)
}

fn did_not_reply(id: Principal, origin: &CallOrigin) -> UserError {
    let description = match origin {
        CallOrigin::Ingress { .. } => format!("Canister {id} did not reply to the call"),
        CallOrigin::Canister { .. } | CallOrigin::Task => "No response".to_owned(),
    };
    UserError::new(ErrorCode::CanisterDidNotReply, description)
}

/// Returns the bytes of an answer that are paid for.
fn answer_bytes(answer: &Answer) -> u64 {
    match answer {
        Answer::Reply(bytes) => bytes.len() as u64,
        Answer::Reject(_, message) => message.len() as u64,
    }
}

/// Returns the deadline of a best-effort call in ns; deadlines are whole seconds.
fn deadline_after(now: u64, seconds: u32) -> u64 {
    (now / NS_PER_SECOND).saturating_add(seconds.min(MAX_CALL_TIMEOUT_SECONDS).into()).saturating_mul(NS_PER_SECOND)
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
