//! Runs canister code for calls, tasks and responses.

use candid::Principal;

use super::{
    environment::{environment, prepay},
    round::Round,
};
use crate::{
    canister::{CallContext, Callback, Canister, Finished, Status},
    error::{ErrorCode, UserError, UserResult},
    execution::{Entry, Environment, Keep, MethodKind, Outcome},
    limits::instructions,
    message::{Answer, CallContextId, CallOrigin, Cycles, MessageId, Request, Response},
};

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
            return self.respond(canister, origin, Err(super::ingress::timed_out(&id)), 0);
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
            return self.respond(id, incoming.origin, Err(error), incoming.cycles);
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
            Err(error) => return self.respond(id, incoming.origin, Err(error), incoming.cycles),
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
        if matches!(task, Entry::OnLowWasmMemory) {
            canister.low_memory_hook_due = false;
            canister.low_memory_hook_ran = true;
        }
        // A canister that cannot pay keeps its timer, and it comes again next round. Its hook had its time.
        let Ok(prepaid) = prepay(canister, &self.subnet.cost_model, limit, wasm64) else { return };
        if matches!(task, Entry::GlobalTimer) {
            // Off before it runs, so that the canister may set it again.
            canister.global_timer = 0;
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
        let transmission = cost_model.transmission(response.answer.bytes()).min(callback.prepaid_transmission);
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
        let slice = self.subnet.instruction_limits.slice;
        let Some(outcome) = self.run(id, &entry, environment, slice) else { return };
        let mut finished = finished(callback.context, callback.prepaid_execution, true, outcome);
        if let (Err(error), Some(closure)) = (&mut finished.result, callback.on_cleanup) {
            let entry = Entry::Cleanup { closure, answer: response.answer, composite: false };
            let left = limit.saturating_sub(finished.instructions);
            let at_once = slice.saturating_sub(finished.instructions);
            if let Some(environment) = self.callback_environment(id, &callback, left)
                && let Some(cleanup) = self.run(id, &entry, environment, at_once)
            {
                finished.instructions = finished.instructions.saturating_add(cleanup.instructions);
                finished.dirty_pages = finished.dirty_pages.saturating_add(cleanup.dirty_pages);
                finished.logs.extend(cleanup.logs);
                finished.changes = cleanup.changes;
                match cleanup.result {
                    Ok(effects) => finished.cleaned_up = Some(effects),
                    Err(second) => *error = both_failed(error, &second),
                }
            }
        }
        self.finish_or_pause(id, finished);
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
        let environment = environment(self.subnet, canister, self.context, caller, argument, limit);
        Some(Environment { subnet_memory: self.subnet_memory, ..environment })
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
        let slice = self.subnet.instruction_limits.slice;
        let Some(outcome) = self.run(id, &entry, environment, slice) else { return };
        // A replicated query is a new version of the canister, though nothing of it is left.
        let changes_state = true;
        let finished = finished(context, prepaid, changes_state, outcome);
        if entry.keeps_state() {
            self.finish_or_pause(id, finished);
        } else {
            // Queries are not cut into slices.
            self.step.instructions += finished.instructions;
            self.finish(id, finished);
        }
    }

    /// Runs code of the canister; what uses more than `at_once` instructions is not committed.
    fn run(&mut self, id: Principal, entry: &Entry, environment: Environment, at_once: u64) -> Option<Outcome> {
        let sandbox = self.subnet.canisters.get_mut(&id)?.sandbox.as_mut()?;
        let keep = if entry.keeps_state() { Keep::CommitUpTo(at_once) } else { Keep::Discard };
        Some(sandbox.execute(entry, environment, keep))
    }
}

fn finished(context: CallContextId, prepaid: Cycles, changes_state: bool, outcome: Outcome) -> Finished {
    let Outcome { result, instructions, dirty_pages, logs, changes } = outcome;
    Finished { context, prepaid, result, cleaned_up: None, changes, changes_state, instructions, dirty_pages, logs }
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
