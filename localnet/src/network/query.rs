//! Queries: plain and composite ones, executed at once and without leaving a trace.

use std::collections::VecDeque;

use candid::Principal;

use super::{
    Call, Network, Subnet,
    environment::environment,
    execute::{both_failed, no_module},
    respond::user_result,
};
use crate::{
    canister::Canister,
    error::{ErrorCode, UserError, UserResult},
    execution::{Entry, Environment, Keep, MethodKind, Outcome, OutgoingCall},
    limits::instructions,
    management,
    message::{Answer, Cycles, shorten},
};

impl Network {
    /// Answers a query. It sees the state after the last round and changes nothing but the query statistics.
    ///
    /// # Errors
    /// The reject of the canister or of the network.
    pub(crate) fn query(&mut self, call: Call) -> UserResult<Vec<u8>> {
        let (subnet, _) = self.route(&call)?;
        let context = self.context_of_last_round();
        // Making one is dear, so only code that could read it gets it.
        let asks = self
            .canister(call.canister_id)
            .and_then(Canister::module)
            .is_some_and(|module| module.asks_for_certificate());
        let data_certificate = asks.then(|| self.data_certificate(subnet, call.canister_id));
        let Some(subnet) = self.subnets.get_mut(&subnet) else {
            return Err(UserError::new(ErrorCode::SubnetNotFound, format!("Subnet {subnet} not found")));
        };
        if call.canister_id == Principal::management_canister() {
            return management::query(subnet, &context, &call);
        }
        let budget = subnet.instruction_limits.query;
        let mut graph = CallGraph { subnet, context: &context, budget, stack: Vec::new(), data_certificate };
        let query = Query {
            caller: call.sender,
            canister: call.canister_id,
            method: call.method,
            argument: call.payload,
            caller_info: call.sender_info,
        };
        graph
            .evaluate(query)
            .unwrap_or_else(|Abort(error)| Err(error))
            .map_err(|error| UserError::new(error.code, shorten(error.description)))
    }
}

/// A query of one canister.
struct Query {
    caller: Principal,
    canister: Principal,
    method: String,
    argument: Vec<u8>,
    caller_info: Option<(Vec<u8>, Principal)>,
}

/// An error that ends the whole call graph instead of the call it happened in.
struct Abort(UserError);

/// A query with all the queries that come from it, walked depth first.
struct CallGraph<'a> {
    subnet: &'a mut Subnet,
    context: &'a management::Context,
    /// Instructions that are left for the whole graph.
    budget: u64,
    /// The composite queries under way, each called by the one before.
    stack: Vec<Principal>,
    /// Certificate of the certified data, for the query that the user made and no other.
    data_certificate: Option<Vec<u8>>,
}

/// A call of the composite query with the callback that waits for it.
type PendingCalls = VecDeque<OutgoingCall>;

impl CallGraph<'_> {
    /// Answers one query of the graph.
    fn evaluate(&mut self, query: Query) -> Result<UserResult<Vec<u8>>, Abort> {
        let entry = match self.find_method(&query) {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error)),
        };
        let id = query.canister;
        let request_bytes = query.argument.len();
        let composite = matches!(entry, Entry::CompositeQuery { .. });
        let Some(mut environment) = self.environment(id, query.caller, query.argument) else {
            return Ok(Err(no_module(id)));
        };
        environment.caller_info = query.caller_info.clone();
        environment.data_certificate = self.data_certificate.take();
        let Some(outcome) = self.run(id, &entry, environment, if composite { Keep::Hold } else { Keep::Discard })
        else {
            return Ok(Err(no_module(id)));
        };
        let result = match outcome.result {
            Err(error) => Ok(Err(error)),
            Ok(effects) => match effects.answer {
                Some(answer) => Ok(user_result(answer)),
                None if composite => {
                    self.stack.push(id);
                    let used = outcome.instructions;
                    let result = self.await_calls(id, query.caller, query.caller_info, effects.calls.into(), used);
                    self.stack.pop();
                    result
                }
                None => Ok(Err(UserError::new(
                    ErrorCode::CanisterDidNotReply,
                    format!("Canister {id} did not reply to the call"),
                ))),
            },
        };
        if let Some(canister) = self.subnet.canisters.get_mut(&id) {
            if composite && let Some(sandbox) = canister.sandbox.as_mut() {
                sandbox.rollback();
            }
            let response_bytes = result.as_ref().map_or(0, |result| result.as_ref().map_or(0, Vec::len));
            let [calls, _, requests, responses] = &mut canister.query_stats;
            *calls += 1;
            *requests += request_bytes as u128;
            *responses += response_bytes as u128;
        }
        result
    }

    /// Makes the calls of a composite query one by one and runs their callbacks, until it answers or no call is left.
    fn await_calls(
        &mut self,
        id: Principal,
        caller: Principal,
        caller_info: Option<(Vec<u8>, Principal)>,
        mut calls: PendingCalls,
        mut used: u64,
    ) -> Result<UserResult<Vec<u8>>, Abort> {
        while let Some(call) = calls.pop_front() {
            self.check_limits()?;
            let answer = self.call(id, &call)?;
            let closure = match answer {
                Answer::Reply(_) => call.on_reply,
                Answer::Reject(..) => call.on_reject,
            };
            let entry = Entry::Callback { closure, answer: answer.clone(), refunded: 0, composite: true };
            let run = |graph: &mut Self, entry: &Entry, used: u64| {
                let mut environment = graph.environment(id, caller, Vec::new())?;
                environment.caller_info = caller_info.clone();
                environment.call_context_instructions = used;
                graph.run(id, entry, environment, Keep::Hold)
            };
            let Some(outcome) = run(self, &entry, used) else { return Ok(Err(no_module(id))) };
            used = used.saturating_add(outcome.instructions);
            match outcome.result {
                Ok(effects) => {
                    if let Some(answer) = effects.answer {
                        // Calls that are still open cannot change the answer any more.
                        return Ok(user_result(answer));
                    }
                    calls.extend(effects.calls);
                }
                Err(mut error) => {
                    if let Some(closure) = call.on_cleanup {
                        let entry = Entry::Cleanup { closure, answer, composite: true };
                        if let Some(cleanup) = run(self, &entry, used) {
                            used = used.saturating_add(cleanup.instructions);
                            if let Err(second) = cleanup.result {
                                error = both_failed(&error, &second);
                            }
                        }
                    }
                    if calls.is_empty() {
                        return Ok(Err(error));
                    }
                }
            }
        }
        Ok(Err(UserError::new(ErrorCode::CanisterDidNotReply, format!("Canister {id} did not produce a response"))))
    }

    /// Makes one call of a composite query.
    fn call(&mut self, caller: Principal, call: &OutgoingCall) -> Result<Answer, Abort> {
        if self.stack.contains(&call.receiver) {
            return Err(Abort(UserError::new(
                ErrorCode::QueryCallGraphLoopDetected,
                "Query calls re-entering the same canister are not allowed yet.",
            )));
        }
        self.budget = self.budget.saturating_sub(instructions::COMPOSITE_CALL);
        let result = if call.receiver == Principal::management_canister() || call.receiver == self.subnet.id {
            let call = Call {
                sender: caller,
                canister_id: Principal::management_canister(),
                effective: None,
                method: call.method.clone(),
                payload: call.payload.clone(),
                sender_info: None,
            };
            management::query(self.subnet, self.context, &call)
        } else {
            self.evaluate(Query {
                caller,
                canister: call.receiver,
                method: call.method.clone(),
                argument: call.payload.clone(),
                caller_info: None,
            })?
        };
        Ok(match result {
            Ok(reply) => Answer::Reply(reply),
            Err(error) => Answer::from(UserError::new(error.code, shorten(error.description))),
        })
    }

    fn check_limits(&self) -> Result<(), Abort> {
        if self.stack.len() > instructions::MAX_QUERY_CALL_DEPTH {
            return Err(Abort(UserError::new(
                ErrorCode::QueryCallGraphTooDeep,
                "Composite query calls exceeded the maximum call depth.",
            )));
        }
        if self.budget == 0 {
            return Err(Abort(UserError::new(
                ErrorCode::QueryCallGraphTotalInstructionLimitExceeded,
                "Composite query calls exceeded the instruction limit.",
            )));
        }
        Ok(())
    }

    fn find_method(&self, query: &Query) -> UserResult<Entry> {
        let id = query.canister;
        let canister = self.subnet.running_canister(id)?;
        let module = canister.module().ok_or_else(|| no_module(id))?;
        let method = query.method.clone();
        let entry = if module.has_method(MethodKind::Query, &method) {
            Entry::Query { method, replicated: false }
        } else if module.has_method(MethodKind::CompositeQuery, &method) {
            Entry::CompositeQuery { method }
        } else {
            return Err(UserError::new(
                ErrorCode::CanisterMethodNotFound,
                format!("Error from Canister {id}: Canister has no query method '{method}'."),
            ));
        };
        let threshold: Cycles = self.subnet.cost_model.freezing_threshold(&canister.holdings());
        if canister.balance < threshold {
            return Err(UserError::new(
                ErrorCode::CanisterOutOfCycles,
                format!(
                    "Canister {id} is unable to process query calls because it's frozen. Please top up the canister \
                     with cycles and try again."
                ),
            ));
        }
        Ok(entry)
    }

    fn environment(&self, id: Principal, caller: Principal, argument: Vec<u8>) -> Option<Environment> {
        let canister = self.subnet.canisters.get(&id)?;
        let limit = self.subnet.instruction_limits.query.min(self.budget);
        Some(environment(self.subnet, canister, self.context, caller, argument, limit))
    }

    fn run(&mut self, id: Principal, entry: &Entry, environment: Environment, keep: Keep) -> Option<Outcome> {
        let canister = self.subnet.canisters.get_mut(&id)?;
        let outcome = canister.sandbox.as_mut()?.execute(entry, environment, keep);
        let [_, used, _, _] = &mut canister.query_stats;
        *used += u128::from(outcome.instructions);
        self.budget = self.budget.saturating_sub(outcome.instructions);
        Some(outcome)
    }
}
