//! Calls between canisters: building, performing, limits, cycles, best effort.

use std::time::Duration;

use candid::Principal;
use integration_tests::universal::{self as u, Call, Program, Universal, forward};
use pocket_ic::{ErrorCode, PocketIc};

use super::world::*;

/// Longest method name that `call_new` takes.
const MAX_METHOD_NAME: usize = 20_000;
/// Largest sum of method name and argument of a call.
const MAX_PAYLOAD: u64 = 10 * MIB;
/// Requests that may be under way from one canister to another.
const QUEUE_CAPACITY: usize = 500;
/// Longest time that a best-effort call waits, in seconds.
const MAX_TIMEOUT: u64 = 300;
const NS_PER_SECOND: u64 = 1_000_000_000;

fn unanswered() -> Call {
    // Nobody waits for the answers of one-way calls: a missing function is no harm.
    Call::new(Principal::management_canister(), "raw_rand").argument(b"DIDL\0\0")
}

cases! {
    should_call_another_canister: "a call brings the argument there and the reply back" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        assert_eq!(canister.call(Call::update(other.id, program().reply_with("there"))).unwrap(), b"there");
    }

    should_call_itself: "a canister may call itself" => {
        with_canister!(network, canister);
        assert_eq!(canister.call(Call::update(canister.id, program().reply_with("me"))).unwrap(), b"me");
    }

    should_make_many_calls_at_once: "a message may make several calls; each answer runs its own callback" => {
        with_canister!(network, canister);
        let count = |number: u8| {
            let log = u::load(1).join(&[number]);
            Call::update(canister.id, program().reply()).on_reply(program().store(1, log))
        };
        let last = Call::update(canister.id, program().reply())
            .on_reply(program().append(u::load(1).length()).reply());
        let program = program().call(count(1)).call(count(2)).call(count(3)).call(last);
        assert_eq!(int(&canister.update(program).unwrap()), 3);
    }

    should_call_from_a_callback: "a callback may make further calls" => {
        with_canister!(network, canister);
        let second = Call::update(canister.id, program().reply_with("deep"));
        let first = Call::update(canister.id, program().reply()).on_reply(program().call(second));
        assert_eq!(forward(&canister.update(program().call(first)).unwrap()), Ok(b"deep".to_vec()));
    }

    should_reply_before_the_answer_arrives: "a message may reply although calls are open; their callbacks still run" => {
        with_canister!(network, canister);
        let call = unanswered().on_reply(program().store(1, "later"));
        assert_eq!(canister.update(program().call(call).reply_with("now")).unwrap(), b"now");
        ticks(&network, 5);
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), b"later");
    }

    should_not_reply_again_in_a_callback: "a callback cannot reply when the call was replied to" => {
        with_canister!(network, canister);
        let again = program().store(1, "lost").reply();
        let call = Call::update(canister.id, program().reply()).on_reply(again).on_cleanup(program().store(2, "cleaned"));
        canister.update(program().call(call).reply()).unwrap();
        ticks(&network, 5);
        let slots = canister.query(program().append(u::load(1)).append(u::load(2)).reply()).unwrap();
        assert_eq!(slots, b"cleaned");
    }

    should_need_a_call_under_construction: "what builds a call needs call_new before it" => {
        with_canister!(network, canister);
        let attempts = [
            program().append_call_data("x"),
            program().add_call_cycles(1),
            program().on_cleanup(program()),
            program().best_effort(1),
            program().run_int(u::perform()),
        ];
        for attempt in attempts {
            assert_eq!(code(canister.update(attempt.reply())), ErrorCode::CanisterContractViolation);
        }
    }

    should_forget_a_call_that_was_performed: "call_perform ends the construction of the call" => {
        with_canister!(network, canister);
        let result = canister.update(program().call(unanswered()).append_call_data("x").reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_set_one_cleanup_only: "call_on_cleanup may be called once for a call" => {
        with_canister!(network, canister);
        let twice = program().build_call(unanswered()).on_cleanup(program()).on_cleanup(program());
        assert_eq!(code(canister.update(twice.reply())), ErrorCode::CanisterContractViolation);
    }

    should_set_one_timeout_only: "call_with_best_effort_response may be called once for a call" => {
        with_canister!(network, canister);
        let twice = program().build_call(unanswered()).best_effort(1).best_effort(1);
        assert_eq!(code(canister.update(twice.reply())), ErrorCode::CanisterContractViolation);
    }

    should_drop_a_call_for_the_next_one: "call_new drops the call under construction and its cycles come back" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let dropped = Call::update(other.id, program().store(1, "called").reply()).cycles(50 * T);
        let made = Call::update(other.id, program().reply_with(u::cycles_available())).cycles(60 * T);
        let answer = canister.update(program().build_call(dropped).call(made)).unwrap();
        assert_eq!(cycles(&forward(&answer).unwrap()), 60 * T);
        assert!(other.query(program().reply_with(u::load(1))).unwrap().is_empty());
    }

    should_bound_method_names: "a method name has at most 20,000 bytes" => {
        with_canister!(network, canister);
        let call = |length: usize| Call::new(canister.id, "x".repeat(length).as_str());
        assert_eq!(rejected(canister.call(call(MAX_METHOD_NAME))), 5, "there is no such method");
        let result = canister.update(program().call(call(MAX_METHOD_NAME + 1)));
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_bound_arguments_on_the_same_subnet: "method name and argument have at most 10 MiB together" => {
        with_canister!(network, canister);
        let method = "update";
        let bytes = |count| program().build_call(Call::new(canister.id, method)).append_call_data(u::fill(0, count));
        let most = MAX_PAYLOAD - method.len() as u64;
        let answer = canister.update(bytes(most).append(u::perform()).reply()).unwrap();
        assert_eq!(int(&answer), 0);
        // Whether appending or performing finds out, it is a violation.
        let result = canister.update(bytes(most + 1).append(u::perform()).reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_refuse_ids_that_are_too_long: "a principal of more than 29 bytes violates the contract" => {
        with_canister!(network, canister);
        let call = Call::new([1_u8; 30].as_slice(), "update");
        assert_eq!(code(canister.update(program().call(call))), ErrorCode::CanisterContractViolation);
        let result = canister.update(program().run_int(u::is_controller([1_u8; 30].as_slice())).reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_reject_calls_without_route: "a call to an id that no subnet hosts is rejected with code 3" => {
        with_canister!(network, canister);
        assert_eq!(rejected(canister.call(Call::update(user(9), program().reply()))), 3);
    }

    should_not_queue_more_than_five_hundred_calls: "the 501st call under way to one canister is not performed" => {
        with_canister!(network, canister);
        network.add_cycles(canister.id, 1_000 * T);
        let call = Call::update(canister.id, program().reply()).on_reply(program()).on_reject(program());
        let many = program().repeat(QUEUE_CAPACITY as u64 + 2, program().call_and_tell(call)).reply();
        let results = ints(&canister.update(many).unwrap());
        assert!(results[..QUEUE_CAPACITY].iter().all(|result| *result == 0));
        assert_eq!(results[QUEUE_CAPACITY..], [2, 2]);
    }

    should_not_call_what_it_cannot_pay: "a call that the balance cannot pay is not performed" => {
        with_canister!(network, canister);
        let poor = Universal { id: create_with(&network, 400_000_000_000), ..canister };
        network.install_canister(poor.id, u::module().bytes(), vec![], None);
        let call = || unanswered().on_reply(program()).on_reject(program());
        // Each call binds 42 G cycles, and the message itself 40 G.
        let results = ints(&poor.update(program().repeat(10, program().call_and_tell(call())).reply()).unwrap());
        let performed = results.iter().take_while(|result| **result == 0).count();
        assert!((1..9).contains(&performed), "{results:?}");
        assert!(results[performed..].iter().all(|result| *result == 2));
    }

    should_trap_on_cycles_that_it_has_not: "attaching more cycles than there are traps" => {
        with_canister!(network, canister);
        let result = canister.update(program().build_call(unanswered()).add_call_cycles(2 * DEFAULT_BALANCE).reply());
        assert!(result.is_err());
        let result = canister.update(program().build_call(unanswered()).add_call_cycles(1).reply());
        assert!(result.is_ok());
    }

    should_add_up_cycles: "cycles can be attached bit by bit" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply_with(u::cycles_available())).cycles(5);
        let parts = program().build_call(call).add_call_cycles64(7).add_call_cycles(1_u128 << 45).run_int(u::perform());
        assert_eq!(cycles(&forward(&canister.update(parts).unwrap()).unwrap()), (1 << 45) + 12);
    }

    should_accept_no_more_than_there_is: "accepting more than is available accepts what is available" => {
        with_canister!(network, canister);
        let callee = program()
            .append(u::accept_cycles(30))
            .append(u::cycles_available())
            .append(u::accept_cycles(u128::MAX))
            .append(u::cycles_available())
            .reply();
        let answer = canister.call(Call::update(canister.id, callee).cycles(100)).unwrap();
        let amounts: Vec<u128> = answer.chunks(16).map(cycles).collect();
        assert_eq!(amounts, [30, 70, 70, 0]);
    }

    should_refund_what_was_not_accepted: "cycles that were not accepted come back with the reply" => {
        with_canister!(network, canister);
        let callee = program().run(u::accept_cycles(30)).reply();
        let call = Call::update(canister.id, callee).cycles(100).on_reply(program().reply_with(u::cycles_refunded()));
        assert_eq!(cycles(&canister.update(program().call(call)).unwrap()), 70);
    }

    should_refund_everything_with_a_reject_from_the_system: "cycles of a call that was rejected by the system come back" => {
        with_canister!(network, canister);
        let call = Call::new(canister.id, "no such method")
            .cycles(100)
            .on_reject(program().reply_with(u::cycles_refunded()));
        assert_eq!(cycles(&canister.update(program().call(call)).unwrap()), 100);
    }

    should_accept_cycles_in_a_callback: "cycles of the call can still be accepted in callbacks" => {
        with_canister!(network, canister);
        let inner = Call::update(canister.id, program().reply())
            .on_reply(program().run(u::accept_cycles(40)).reply_with(u::cycles_available()));
        let call = Call::update(canister.id, program().call(inner)).cycles(100);
        assert_eq!(cycles(&canister.call(call).unwrap()), 60);
    }

    should_keep_accepted_cycles_of_a_reject: "a canister that rejects keeps the cycles that it accepted" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().run(u::accept_cycles(30)).reject("thanks"))
            .cycles(100)
            .on_reject(program().reply_with(u::cycles_refunded()));
        assert_eq!(cycles(&canister.update(program().call(call)).unwrap()), 70);
    }

    should_accept_cycles_in_replicated_queries: "a query that is called with cycles may accept them" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let before = network.cycle_balance(other.id);
        let call = Call::query(other.id, program().reply_with(u::accept_cycles(T))).cycles(T);
        assert_eq!(cycles(&canister.call(call).unwrap()), T);
        assert!(network.cycle_balance(other.id) > before + T / 2);
    }

    should_find_missing_callbacks_when_the_answer_arrives: "a callback that is not in the table ends the call without reply" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply()).closure_at(1_000_000);
        assert_eq!(code(canister.update(program().call(call))), ErrorCode::CanisterFunctionNotFound);
    }

    should_send_one_way: "a call whose callback is missing still reaches the callee" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = Call::update(other.id, program().store(1, "called").reply()).closure_at(u64::from(u32::MAX));
        canister.update(program().call(call).reply()).unwrap();
        ticks(&network, 5);
        assert_eq!(other.query(program().reply_with(u::load(1))).unwrap(), b"called");
    }

    should_have_whole_seconds_as_deadline: "a best-effort call's deadline is a whole second, at most 300 s from now" => {
        with_canister!(network, canister);
        let now = network.get_time().as_nanos_since_unix_epoch();
        for timeout in [10, MAX_TIMEOUT, MAX_TIMEOUT + 1, 100_000] {
            let call = Call::update(canister.id, program().reply_with(u::deadline())).timeout(timeout);
            let deadline = int(&canister.call(call).unwrap());
            assert_eq!(deadline % NS_PER_SECOND, 0);
            let expected = (now / NS_PER_SECOND + timeout.min(MAX_TIMEOUT)) * NS_PER_SECOND;
            assert_eq!(deadline, expected, "{timeout}");
        }
    }

    should_answer_best_effort_calls_in_time: "a best-effort call that is answered in time is like any other" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply_with("quick")).timeout(10);
        assert_eq!(canister.call(call).unwrap(), b"quick");
    }

    should_refund_cycles_of_best_effort_calls: "a best-effort call that is answered refunds cycles like any other" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().run(u::accept_cycles(30)).reply())
            .cycles(100)
            .timeout(100)
            .on_reply(program().reply_with(u::cycles_refunded()));
        assert_eq!(cycles(&canister.update(program().call(call)).unwrap()), 70);
    }

    should_give_up_best_effort_calls_at_their_deadline: "past its deadline a best-effort call is rejected with code 6, whatever became of it" => {
        with_canister!(network, canister);
        let stuck = stuck_canister(&network);
        let call = Call::update(stuck.id, wait_for_ever(&stuck)).timeout(10);
        let message = network.submit_call(canister.id, OWNER, "update", program().call(call).into_bytes()).unwrap();
        ticks(&network, 5);
        assert!(network.ingress_status(message.clone()).is_none());
        pass(&network, Duration::from_secs(12));
        ticks(&network, 3);
        let answer = network.await_call(message).unwrap();
        assert_eq!(rejected(forward(&answer)), 6);
    }

    should_return_the_cycles_of_expired_calls: "cycles of an expired call that were not accepted come back when the callee is done" => {
        with_canister!(network, canister);
        let stuck = stuck_canister(&network);
        let before = network.cycle_balance(canister.id);
        let call = Call::update(stuck.id, wait_for_ever(&stuck)).timeout(10).cycles(10 * T).on_reject(program().reply());
        let message = network.submit_call(canister.id, OWNER, "update", program().call(call).into_bytes()).unwrap();
        ticks(&network, 5);
        pass(&network, Duration::from_secs(12));
        ticks(&network, 3);
        network.await_call(message).unwrap();
        assert!(before - network.cycle_balance(canister.id) > 9 * T, "the callee still holds them");
        // Now the callee goes on and answers; nobody waits for the answer, but the cycles return.
        network.start_canister(stuck.id, None).unwrap();
        ticks(&network, 5);
        assert!(before - network.cycle_balance(canister.id) < T);
    }

    should_drop_best_effort_requests_that_nobody_took: "a request that waits past its deadline is never executed" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().store(1, "ran").reply()).timeout(0).on_reject(program().reply_with(u::reject_code()));
        // A timeout of 0 is past as soon as the next second begins; whether the call is still in time or not, it ends.
        let answer = canister.update(program().call(call));
        assert!(answer.is_ok());
    }
}

/// Makes a canister that controls itself.
fn stuck_canister(network: &PocketIc) -> Universal<'_> {
    let canister = Universal::install(network);
    network.set_controllers(canister.id, None, vec![OWNER, canister.id]).expect("the owner may");
    canister
}

/// Makes a program that has no answer for minutes: the canister stops itself, which waits for its open calls, of which
/// this is one.
fn wait_for_ever(canister: &Universal<'_>) -> Program {
    let argument = candid::encode_one(record(canister.id)).expect("arguments encode");
    Program::new().call(Call::new(Principal::management_canister(), "stop_canister").argument(argument))
}
