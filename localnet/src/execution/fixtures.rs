//! What the tests of this module share: environments, and short ways to run Wasm text.

use std::sync::Arc;

use candid::Principal;

use super::{Closure, Effects, Entry, Environment, Keep, Memories, Outcome, Sandbox, compile};
use crate::{
    cycles::{CostModel, Holdings},
    error::UserError,
    message::Answer,
};

/// The canister that runs.
pub(super) fn canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
}

/// An environment with plenty of everything.
pub(super) fn environment() -> Environment {
    Environment {
        canister_id: canister(),
        caller: Principal::anonymous(),
        argument: Vec::new(),
        caller_info: None,
        cycles_available: 0,
        deadline: None,
        answered: false,
        time: 1_000,
        canister_version: 7,
        canister_status: 1,
        controllers: vec![Principal::anonymous()],
        balance: 100_000_000_000_000,
        prepaid: 0,
        holdings: Holdings { freezing_threshold: 2_592_000, ..Holdings::default() },
        reserved_cycles_limit: 5_000_000_000_000,
        subnet_memory: 0,
        cost_model: CostModel { subnet_size: 13, free: false },
        subnet_id: Principal::from_slice(&[9; 29]),
        root_key: Arc::new(vec![1, 2, 3]),
        environment_variables: Arc::new(vec![("a".to_owned(), "one".to_owned()), ("b".to_owned(), "two".to_owned())]),
        data_certificate: None,
        global_timer: 0,
        wasm_memory_limit: 0,
        call_context_instructions: 0,
        instruction_limit: 1_000_000_000,
        callback_instruction_limit: 40_000_000_000,
        log_capacity: 4_096,
        response_memory_available: 1 << 30,
        callbacks_available: 100,
        queue_slots: Vec::new(),
        may_mint: false,
    }
}

pub(super) fn update(method: &str) -> Entry {
    Entry::Update { method: method.to_owned() }
}

pub(super) fn query(method: &str) -> Entry {
    Entry::Query { method: method.to_owned(), replicated: false }
}

pub(super) fn callback(function: u64, environment: u64, answer: Answer) -> Entry {
    Entry::Callback { closure: Closure { function, environment }, answer, refunded: 0, composite: false }
}

/// Installs a module given as text over fresh memories.
pub(super) fn install(text: &str) -> Sandbox {
    Sandbox::new(compile(&wat::parse_str(text).unwrap()).unwrap(), Memories::default()).unwrap()
}

pub(super) fn run(sandbox: &mut Sandbox, entry: &Entry, keep: Keep) -> Outcome {
    sandbox.execute(entry, environment(), keep)
}

pub(super) fn succeed(sandbox: &mut Sandbox, entry: &Entry, keep: Keep) -> Effects {
    run(sandbox, entry, keep).result.unwrap()
}

pub(super) fn fail(sandbox: &mut Sandbox, entry: &Entry) -> UserError {
    run(sandbox, entry, Keep::Commit).result.unwrap_err()
}

/// Runs the body as an update of a fresh module that has one page of memory and all it needs to answer.
pub(super) fn run_body(imports: &str, body: &str, environment: Environment) -> Outcome {
    install(&wrap(imports, body)).execute(&update("go"), environment, Keep::Commit)
}

/// Wraps a body and the imports it needs (as `name (param …) (result …)` lines) into a module with an update `go`.
pub(super) fn wrap(imports: &str, body: &str) -> String {
    let imports: String = imports
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, signature) = line.split_once(' ').unwrap_or((line, ""));
            format!("(import \"ic0\" \"{name}\" (func ${name} {signature}))\n")
        })
        .collect();
    format!(
        r#"(module {imports}
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (func $go {body})
            (export "canister_update go" (func $go))
            (export "canister_query read" (func $go)))"#
    )
}

/// Returns the reply's bytes.
pub(super) fn reply(effects: &Effects) -> &[u8] {
    match &effects.answer {
        Some(Answer::Reply(bytes)) => bytes,
        other => panic!("not a reply: {other:?}"),
    }
}
