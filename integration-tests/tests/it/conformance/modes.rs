//! Which functions of the system API may be used where: in each mode every function is tried.

use candid::Principal;
use ic_management_canister_types::CanisterInstallMode;
use integration_tests::universal::{self as u, Call, Export, Hook, Module, Program, SignatureKind, Universal};
use pocket_ic::{ErrorCode, PocketIc};

use super::world::*;

/// How a message is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Init,
    PostUpgrade,
    PreUpgrade,
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    Cleanup,
    InspectMessage,
    Timer,
    Heartbeat,
}

use Mode::*;

/// A function of the system API: how it is tried, and in which modes it may be used.
struct Function {
    name: &'static str,
    attempt: fn() -> Program,
    modes: &'static [&'static [Mode]],
}

const EVERYWHERE: &[Mode] = &[
    Init,
    PostUpgrade,
    PreUpgrade,
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    Cleanup,
    InspectMessage,
    Timer,
    Heartbeat,
];
const INSTALLATION: &[Mode] = &[Init, PostUpgrade];
const QUERIES: &[Mode] = &[ReplicatedQuery, Query, CompositeQuery];
const CALLBACKS: &[Mode] = &[ReplyCallback, RejectCallback];
const COMPOSITE_CALLBACKS: &[Mode] = &[CompositeReplyCallback, CompositeRejectCallback];
const TASKS: &[Mode] = &[Timer, Heartbeat];

/// Defines a list of functions.
macro_rules! functions {
    ($($name:literal: $attempt:expr, [$($modes:expr),*];)*) => {
        &[$(Function { name: $name, attempt: || $attempt, modes: &[$($modes),*] },)*]
    };
}

fn pending() -> Program {
    Program::new().build_call(Call::update(u::own_id(), Program::new().reply()))
}

const FUNCTIONS: &[Function] = functions! {
    "msg_arg_data": Program::new().run(u::argument()),
        [INSTALLATION, &[Update, InspectMessage, ReplyCallback, CompositeReplyCallback], QUERIES];
    "msg_caller": Program::new().run(u::caller()), [EVERYWHERE];
    "canister_self": Program::new().run(u::own_id()), [EVERYWHERE];
    "canister_cycle_balance128": Program::new().run(u::balance()), [EVERYWHERE];
    "canister_cycle_balance": Program::new().run_int(u::balance64()), [EVERYWHERE];
    "canister_liquid_cycle_balance128": Program::new().run(u::liquid_balance()), [EVERYWHERE];
    "canister_status": Program::new().run_int(u::status()), [EVERYWHERE];
    "canister_version": Program::new().run_int(u::version()), [EVERYWHERE];
    "time": Program::new().run_int(u::time()), [EVERYWHERE];
    "subnet_self": Program::new().run(u::subnet_id()), [EVERYWHERE];
    "env_var_count": Program::new().run_int(u::variable_count()), [EVERYWHERE];
    "env_var_name_exists": Program::new().run_int(u::variable_exists("name")), [EVERYWHERE];
    "data_certificate_present": Program::new().run_int(u::certificate_present()), [EVERYWHERE];
    "msg_caller_info": Program::new().run(u::caller_info_data()).run(u::caller_info_signer()),
        [&[Update, Cleanup, InspectMessage], QUERIES, CALLBACKS, COMPOSITE_CALLBACKS];
    "msg_reject_code": Program::new().run_int(u::reject_code()), [CALLBACKS, COMPOSITE_CALLBACKS, &[Cleanup]];
    "msg_reject_msg": Program::new().run(u::reject_message()), [&[RejectCallback, CompositeRejectCallback]];
    "msg_deadline": Program::new().run_int(u::deadline()), [&[Update], QUERIES, CALLBACKS, COMPOSITE_CALLBACKS];
    "msg_reply_data_append": Program::new().append(""), [&[Update], QUERIES, CALLBACKS, COMPOSITE_CALLBACKS];
    "msg_cycles_available128": Program::new().run(u::cycles_available()),
        [&[Update, ReplicatedQuery], CALLBACKS];
    "msg_cycles_available": Program::new().run_int(u::cycles_available64()), [&[Update, ReplicatedQuery], CALLBACKS];
    "msg_cycles_accept128": Program::new().run(u::accept_cycles(1)), [&[Update, ReplicatedQuery], CALLBACKS];
    "msg_cycles_accept": Program::new().run_int(u::accept_cycles64(1)), [&[Update, ReplicatedQuery], CALLBACKS];
    "msg_cycles_refunded128": Program::new().run(u::cycles_refunded()), [CALLBACKS];
    "msg_cycles_refunded": Program::new().run_int(u::cycles_refunded64()), [CALLBACKS];
    "cycles_burn128": Program::new().run(u::burn_cycles(1)),
        [INSTALLATION, &[PreUpgrade, Update, ReplicatedQuery, Cleanup], CALLBACKS, TASKS];
    "mint_cycles128": Program::new().run(u::mint_cycles(1)), [];
    "msg_method_name": Program::new().run(u::method_name()), [&[InspectMessage]];
    "call_new": pending(), [&[Update, CompositeQuery], CALLBACKS, COMPOSITE_CALLBACKS, TASKS];
    "call_on_cleanup": pending().on_cleanup(Program::new()),
        [&[Update, CompositeQuery], CALLBACKS, COMPOSITE_CALLBACKS, TASKS];
    "call_data_append": pending().append_call_data("x"),
        [&[Update, CompositeQuery], CALLBACKS, COMPOSITE_CALLBACKS, TASKS];
    "call_with_best_effort_response": pending().best_effort(1),
        [&[Update, CompositeQuery], CALLBACKS, COMPOSITE_CALLBACKS, TASKS];
    "call_cycles_add128": pending().add_call_cycles(1), [&[Update], CALLBACKS, TASKS];
    "call_cycles_add": pending().add_call_cycles64(1), [&[Update], CALLBACKS, TASKS];
    "certified_data_set": Program::new().certify("x"), [INSTALLATION, &[PreUpgrade, Update], CALLBACKS, TASKS];
    "data_certificate": Program::new().run(u::certificate()), [&[Query, CompositeQuery]];
    "global_timer_set": Program::new().run_int(u::set_timer(0)),
        [INSTALLATION, &[PreUpgrade, Update, Cleanup], CALLBACKS, TASKS];
    "root_key": Program::new().run(u::root_key()),
        [INSTALLATION, &[PreUpgrade, Update, ReplicatedQuery, Cleanup], CALLBACKS, TASKS];
    "performance_counter": Program::new().run_int(u::performance_counter(1)), [EVERYWHERE];
    "is_controller": Program::new().run_int(u::is_controller("")), [EVERYWHERE];
    "in_replicated_execution": Program::new().run_int(u::in_replicated_execution()), [EVERYWHERE];
    "debug_print": Program::new().print("x"), [EVERYWHERE];
    "stable64_size": Program::new().run_int(u::stable_size()), [EVERYWHERE];
    "stable64_grow": Program::new().run_int(u::grow_stable(1)), [EVERYWHERE];
    "stable64_write": Program::new().run_int(u::grow_stable(1)).write_stable(0, "x"), [EVERYWHERE];
    "stable64_read": Program::new().run(u::read_stable(0, 0)), [EVERYWHERE];
    "stable_size": Program::new().run_int(u::stable_size32()), [EVERYWHERE];
    "stable_grow": Program::new().run_int(u::grow_stable32(0)), [EVERYWHERE];
    "stable_write": Program::new().write_stable32(0, ""), [EVERYWHERE];
    "stable_read": Program::new().run(u::read_stable32(0, 0)), [EVERYWHERE];
    "cost_call": Program::new().run(u::cost_call(1, 1)), [EVERYWHERE];
    "cost_create_canister": Program::new().run(u::cost_create_canister()), [EVERYWHERE];
    "cost_http_request": Program::new().run(u::cost_http_request(1, 1)), [EVERYWHERE];
};

/// A network with a canister to try functions in, and another one to be called.
struct Trial {
    network: PocketIc,
    canister: Principal,
    other: Principal,
}

/// Slot that says that a program ran to its end.
const DONE: u64 = 1;

impl Trial {
    fn new() -> Self {
        let network = start();
        let exports = [Export::Heartbeat, Export::InspectMessage, Export::PreUpgrade];
        let canister = Universal::install_module(&network, &Module::with(&exports), Program::new()).id;
        let other = Universal::install(&network).id;
        Self { network, canister, other }
    }

    fn canister(&self) -> Universal<'_> {
        Universal { network: &self.network, id: self.canister, sender: OWNER }
    }

    /// Runs an attempt in a mode; the error code when it failed and the code is to be seen.
    fn run(&self, mode: Mode, attempt: Program) -> Result<(), Option<ErrorCode>> {
        let canister = self.canister();
        let then_reply = attempt.clone().reply();
        let answer = |program: Program| Call::update(self.other, program);
        let result = match mode {
            Init => {
                let fresh = self.network.create_canister();
                let module = u::module().bytes();
                install(&self.network, OWNER, fresh, CanisterInstallMode::Install, module, attempt)
            }
            PostUpgrade => upgrade(&canister, attempt),
            PreUpgrade => {
                canister.update(Program::new().set_hook(Hook::PreUpgrade, attempt).reply()).expect("hooks can be set");
                let result = upgrade(&canister, Program::new());
                canister.update(Program::new().set_hook(Hook::PreUpgrade, Program::new()).reply()).expect("so again");
                result
            }
            Update => canister.update(then_reply),
            ReplicatedQuery => canister.replicated_query(then_reply),
            Query => canister.query(then_reply),
            CompositeQuery => canister.composite_query(then_reply),
            ReplyCallback => canister.update(Program::new().call(answer(Program::new().reply()).on_reply(then_reply))),
            RejectCallback => {
                canister.update(Program::new().call(answer(Program::new().reject("no")).on_reject(then_reply)))
            }
            CompositeReplyCallback => {
                let call = Call::query(self.other, Program::new().reply()).on_reply(then_reply);
                canister.composite_query(Program::new().call(call))
            }
            CompositeRejectCallback => {
                let call = Call::query(self.other, Program::new().reject("no")).on_reject(then_reply);
                canister.composite_query(Program::new().call(call))
            }
            InspectMessage => {
                let hook = attempt.accept_message();
                canister.update(Program::new().set_hook(Hook::InspectMessage, hook).reply()).expect("hooks can be set");
                let result = canister.update(Program::new().set_hook(Hook::InspectMessage, accept()).reply());
                if result.is_err() {
                    // The hook keeps everybody out; only the other canister can still reach this one.
                    let release = Program::new().set_hook(Hook::InspectMessage, accept()).reply();
                    let other = Universal { id: self.other, ..canister };
                    other.call(Call::update(self.canister, release)).expect("calls are not inspected");
                }
                result
            }
            Cleanup => {
                self.forget();
                let call = answer(Program::new().reply())
                    .on_reply(Program::new().trap("on purpose"))
                    .on_cleanup(attempt.store(DONE, "done"));
                canister.update(Program::new().call(call)).expect_err("the callback traps");
                return self.outcome();
            }
            Timer => {
                self.forget();
                let hook = Program::new().set_hook(Hook::GlobalTimer, attempt.store(DONE, "done"));
                canister.update(hook.run_int(u::set_timer(1)).reply()).expect("timers can be set");
                ticks(&self.network, 3);
                return self.outcome();
            }
            Heartbeat => {
                self.forget();
                let hook = Program::new().set_hook(Hook::Heartbeat, attempt.store(DONE, "done"));
                canister.update(hook.reply()).expect("hooks can be set");
                ticks(&self.network, 3);
                canister.update(Program::new().set_hook(Hook::Heartbeat, Program::new()).reply()).expect("so again");
                return self.outcome();
            }
        };
        result.map(drop).map_err(|reject| Some(reject.error_code))
    }

    fn forget(&self) {
        self.canister().update(Program::new().store(DONE, "").reply()).expect("slots can be emptied");
    }

    fn outcome(&self) -> Result<(), Option<ErrorCode>> {
        let done = self.canister().query(Program::new().reply_with(u::load(DONE))).expect("slots can be read");
        if done.is_empty() { Err(None) } else { Ok(()) }
    }
}

fn accept() -> Program {
    Program::new().accept_message()
}

/// Tries every function in a mode.
fn check(mode: Mode) {
    let trial = Trial::new();
    let mut wrong = Vec::new();
    for function in FUNCTIONS {
        let allowed = function.modes.iter().any(|modes| modes.contains(&mode));
        match (allowed, trial.run(mode, (function.attempt)())) {
            (true, Ok(())) | (false, Err(None | Some(ErrorCode::CanisterContractViolation))) => {}
            (_, outcome) => wrong.push(format!("{} (allowed: {allowed}) gave {outcome:?}", function.name)),
        }
    }
    assert!(wrong.is_empty(), "in {mode:?}: {wrong:#?}");
}

cases! {
    should_offer_in_init_what_the_interface_says: "what an installation may use: no calls, no answers" => { check(Init); }
    should_offer_in_post_upgrade_what_the_interface_says: "an upgrade's end may use what init may" => { check(PostUpgrade); }
    should_offer_in_pre_upgrade_what_the_interface_says: "an upgrade's begin has no argument and no calls" => { check(PreUpgrade); }
    should_offer_in_updates_what_the_interface_says: "updates may do nearly everything" => { check(Update); }
    should_offer_in_replicated_queries_what_the_interface_says: "a query of all nodes may accept cycles, but not call" => { check(ReplicatedQuery); }
    should_offer_in_queries_what_the_interface_says: "a query of one node has a certificate and no cycles" => { check(Query); }
    should_offer_in_composite_queries_what_the_interface_says: "a composite query calls without cycles" => { check(CompositeQuery); }
    should_offer_in_reply_callbacks_what_the_interface_says: "a reply callback has a reply and refunded cycles" => { check(ReplyCallback); }
    should_offer_in_reject_callbacks_what_the_interface_says: "a reject callback has a message and no argument" => { check(RejectCallback); }
    should_offer_in_composite_reply_callbacks_what_the_interface_says: "a composite query's callback has no cycles" => { check(CompositeReplyCallback); }
    should_offer_in_composite_reject_callbacks_what_the_interface_says: "a composite query's callback has no cycles" => { check(CompositeRejectCallback); }
    should_offer_in_cleanups_what_the_interface_says: "a cleanup neither answers nor calls" => { check(Cleanup); }
    should_offer_in_message_inspection_what_the_interface_says: "only inspection sees the method's name" => { check(InspectMessage); }
    should_offer_in_timers_what_the_interface_says: "a timer calls but has nobody to answer" => { check(Timer); }
    should_offer_in_heartbeats_what_the_interface_says: "a heartbeat may use what a timer may" => { check(Heartbeat); }

    should_price_signatures_everywhere: "prices of signatures can be asked in updates and queries alike" => {
        with_canister!(network, canister);
        for kind in [SignatureKind::Ecdsa, SignatureKind::Schnorr, SignatureKind::Vetkd] {
            // No network of these tests has this key: the function answers that it does not know it.
            let program = Program::new().append_signature_cost(kind, "no such key", 0).reply();
            for answer in [canister.query(program.clone()), canister.update(program)] {
                let answer = answer.expect("it does not trap");
                assert_ne!(int(&answer[16..]), 0);
            }
        }
    }

    should_not_read_the_time_in_the_start_function: "the start function may not read the time" => {
        let network = start();
        let module = wat(r#"(module (import "ic0" "time" (func $time (result i64))) (func $start (drop (call $time))) (start $start))"#);
        let id = network.create_canister();
        let result = install(&network, OWNER, id, CanisterInstallMode::Install, module, Program::new());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_count_instructions_in_the_start_function: "the start function may read the instruction counter" => {
        let network = start();
        let module = wat(
            r#"(module
                (import "ic0" "performance_counter" (func $counter (param i32) (result i64)))
                (func $start (drop (call $counter (i32.const 0))))
                (start $start))"#,
        );
        let id = network.create_canister();
        install(&network, OWNER, id, CanisterInstallMode::Install, module, Program::new()).unwrap();
    }
}
