//! Queries and composite queries.

use integration_tests::universal::{self as u, Call, Program, Universal, forward};
use pocket_ic::{ErrorCode, PocketIc, RejectResponse};

use super::world::*;

/// Makes so many canisters; the first one is asked, each calls the next.
fn chain(network: &PocketIc, length: usize) -> Result<Vec<u8>, RejectResponse> {
    let canisters: Vec<_> = (0..length).map(|_| Universal::install(network)).collect();
    let mut last = program().reply_with("end");
    for canister in canisters[1..].iter().rev() {
        let call = Call::new(canister.id, "composite_query")
            .argument(last)
            .on_reply(program().reply_with(u::argument()))
            .on_reject(program().reject(u::reject_message()));
        last = program().call(call);
    }
    canisters[0].composite_query(last)
}

cases! {
    should_call_queries_from_composite_queries: "a composite query may call queries of other canisters" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = Call::query(other.id, program().append("there ").append(u::caller()).reply());
        let answer = canister.composite_query(program().call(call)).unwrap();
        assert_eq!(forward(&answer).unwrap(), [b"there ", canister.id.as_slice()].concat());
    }

    should_call_composite_queries_from_composite_queries: "a composite query may call composite queries" => {
        let network = start();
        assert_eq!(chain(&network, 4).unwrap(), b"end");
    }

    should_bound_the_depth_of_composite_queries: "composite queries that call each other too deep are rejected" => {
        let network = start();
        assert!(chain(&network, 10).is_err());
    }

    should_not_call_in_circles: "a composite query may not come back to a canister that waits" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let back = Call::new(canister.id, "composite_query")
            .argument(program().reply())
            .on_reply(program().reply_with("came back"))
            .on_reject(program().reject("no"));
        let call = Call::new(other.id, "composite_query")
            .argument(program().call(back))
            .on_reply(program().reply_with("came back"))
            .on_reject(program().reject("no"));
        assert!(canister.composite_query(program().call(call)).is_err());
        let itself = Call::query(canister.id, program().reply()).on_reply(program().reply()).on_reject(program().reject("no"));
        assert!(canister.composite_query(program().call(itself)).is_err());
    }

    should_call_the_same_canister_again: "a canister that has answered may be called again" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = |text: &str| Call::query(other.id, program().reply_with(text));
        let second = call("twice");
        let first = call("once").on_reply(program().call(second));
        let answer = canister.composite_query(program().call(first)).unwrap();
        assert_eq!(forward(&answer).unwrap(), b"twice");
    }

    should_not_call_updates_from_composite_queries: "a composite query calls no updates" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let answer = canister.composite_query(program().call(Call::update(other.id, program().reply()))).unwrap();
        assert_eq!(rejected(forward(&answer)), 5);
    }

    should_see_its_state_in_callbacks: "a composite query's callbacks see what it stored, and it is gone afterwards" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = Call::query(other.id, program().reply()).on_reply(program().reply_with(u::load(1)));
        assert_eq!(canister.composite_query(program().store(1, "seen").call(call)).unwrap(), b"seen");
        assert!(canister.query(program().reply_with(u::load(1))).unwrap().is_empty());
    }

    should_hear_of_rejects_in_composite_queries: "a composite query gets the rejects of its calls" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let answer = |program: Program| {
            forward(&canister.composite_query(Program::new().call(Call::query(other.id, program))).unwrap())
        };
        assert_eq!(rejected(answer(program().reject("no"))), 4);
        assert_eq!(rejected(answer(program().unreachable())), 5);
        assert_eq!(rejected(answer(program())), 5);
    }

    should_fail_with_a_trapped_callback: "a trap in a composite query's callback is its answer" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = Call::query(other.id, program().reply()).on_reply(program().trap("on purpose"));
        assert_eq!(code(canister.composite_query(program().call(call))), ErrorCode::CanisterCalledTrap);
    }

    should_not_reply_without_calls: "a composite query without answer and calls did not reply" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.composite_query(program())), ErrorCode::CanisterDidNotReply);
    }

    should_call_many_from_a_composite_query: "a composite query may have many calls" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let count = Call::query(other.id, program().reply())
            .on_reply(program().store(1, u::load(1).join("x")).when(
                u::load(1).length().equals(20),
                program().append(u::load(1)).reply(),
            ));
        let answer = canister.composite_query(program().repeat(20, program().call(count))).unwrap();
        assert_eq!(answer.len(), 20);
    }

    should_share_instructions_in_a_composite_query: "a composite query and all it calls share 5 G instructions" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let greedy = |instructions| {
            let call = Call::query(other.id, program().spend(instructions).reply())
                .on_reply(program().reply())
                .on_reject(program().reject("no"));
            program().spend(3_000_000_000).call(call)
        };
        assert!(canister.composite_query(greedy(3_000_000_000)).is_err());
        canister.composite_query(greedy(1_000_000_000)).unwrap();
    }

    should_find_missing_callees_in_composite_queries: "a composite query's call to nobody is rejected" => {
        with_canister!(network, canister);
        let answer = canister.composite_query(program().call(Call::query(user(9), program().reply())));
        let failed = match answer {
            Ok(answer) => forward(&answer).is_err(),
            Err(_) => true,
        };
        assert!(failed);
    }

    should_not_be_charged_for_queries: "a query costs nothing" => {
        with_canister!(network, canister);
        let before = network.cycle_balance(canister.id);
        canister.query(program().spend(1_000_000_000).reply()).unwrap();
        assert_eq!(network.cycle_balance(canister.id), before);
    }

    should_count_instructions: "the instruction counter counts up within a message" => {
        with_canister!(network, canister);
        let program = program()
            .append(u::performance_counter(0))
            .spend(1_000_000)
            .append(u::performance_counter(0))
            .append(u::performance_counter(1))
            .reply();
        let counts = ints(&canister.query(program).unwrap());
        assert!(0 < counts[0] && counts[0] < counts[1] && counts[1] >= 1_000_000);
        assert!(counts[2] >= counts[1] && counts[2] < counts[1] + 100_000);
    }

    should_count_instructions_of_the_whole_call: "counter 1 goes on in callbacks, counter 0 begins anew" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply())
            .on_reply(program().append(u::performance_counter(0)).append(u::performance_counter(1)).reply());
        let counts = ints(&canister.update(program().spend(50_000_000).call(call)).unwrap());
        assert!(counts[0] < 5_000_000, "{counts:?}");
        assert!(counts[1] > 50_000_000, "{counts:?}");
    }

    should_count_bytes_of_bulk_operations: "memory.fill and memory.copy count an instruction for each byte" => {
        let network = start();
        let module = |operation: &str| wat(&format!(
            r#"(module
                (import "ic0" "performance_counter" (func $counter (param i32) (result i64)))
                (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
                (import "ic0" "msg_reply" (func $reply))
                (memory 20)
                (func (export "canister_query count")
                    {operation}
                    (i64.store (i32.const 0) (call $counter (i32.const 0)))
                    (call $append (i32.const 0) (i32.const 8))
                    (call $reply)))"#
        ));
        for operation in ["fill", "copy"] {
            let text = format!("(memory.{operation} (i32.const 8) (i32.const 65536) (i32.const 1000000))");
            let id = network.create_canister();
            network.install_canister(id, module(&text), vec![], None);
            let count = int(&network.query_call(id, OWNER, "count", vec![]).unwrap());
            assert!((1_000_000..1_010_000).contains(&count), "{operation}: {count}");
        }
    }

    should_know_two_counters_only: "there are two instruction counters" => {
        with_canister!(network, canister);
        assert!(canister.query(program().reply_with(u::performance_counter(2))).is_err());
    }
}
