//! A message and its answer: argument, caller, reply, reject, and their sizes.

use ic_management_canister_types::CanisterSettings;
use integration_tests::universal::{self as u, Call, Universal};
use pocket_ic::{ErrorCode, RejectCode};

use super::world::*;

/// The largest reply of an update, and of a query that all nodes run.
const MAX_REPLY: u64 = 2 * MIB;
/// The largest reply of a query that one node runs.
const MAX_QUERY_REPLY: u64 = 3 * MIB;

cases! {
    should_hand_over_the_argument: "msg_arg_data is the argument, byte for byte" => {
        with_canister!(network, canister);
        let program = program().append(u::argument().length()).reply();
        let bytes = program.clone().into_bytes();
        assert_eq!(int(&canister.update(program).unwrap()), bytes.len() as u64);
    }

    should_copy_parts_of_the_argument: "msg_arg_data_copy copies what is asked for" => {
        with_canister!(network, canister);
        let part = program().reply_with(u::argument_part(0, 1));
        let first = part.clone().into_bytes()[0];
        assert_eq!(canister.query(part).unwrap(), [first]);
    }

    should_refuse_to_copy_what_the_argument_has_not: "copying past the end of the argument violates the contract" => {
        with_canister!(network, canister);
        for (offset, size) in [(0, 1_000), (1_000, 1), (u64::from(u32::MAX), 1)] {
            let result = canister.update(program().reply_with(u::argument_part(offset, size)));
            assert_eq!(code(result), ErrorCode::CanisterContractViolation, "{offset} {size}");
        }
    }

    should_name_the_caller: "msg_caller is the sender" => {
        with_canister!(network, canister);
        for sender in [OWNER, stranger()] {
            let answer = canister.by(sender).update(program().reply_with(u::caller())).unwrap();
            assert_eq!(answer, sender.as_slice());
            assert_eq!(canister.by(sender).query(program().reply_with(u::caller())).unwrap(), sender.as_slice());
        }
    }

    should_name_the_calling_canister: "msg_caller of a call is the calling canister" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let answer = canister.call(Call::update(other.id, program().reply_with(u::caller()))).unwrap();
        assert_eq!(answer, canister.id.as_slice());
    }

    should_name_the_caller_in_callbacks: "in a callback msg_caller is still who called the method" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply()).on_reply(program().reply_with(u::caller()));
        assert_eq!(canister.by(stranger()).update(program().call(call)).unwrap(), stranger().as_slice());
    }

    should_reply_with_nothing: "a reply may be empty" => {
        with_canister!(network, canister);
        assert!(canister.update(program().reply()).unwrap().is_empty());
        assert!(canister.query(program().reply()).unwrap().is_empty());
    }

    should_reply_with_all_that_was_appended: "reply data is joined in order" => {
        with_canister!(network, canister);
        assert_eq!(canister.update(program().append("a").append("").append("bc").reply()).unwrap(), b"abc");
    }

    should_drop_reply_data_of_a_reject: "a reject drops what was appended" => {
        with_canister!(network, canister);
        let reject = canister.update(program().append("data").reject("no")).unwrap_err();
        assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage);
    }

    should_pass_a_reject_on_word_for_word: "a user gets the message that the canister rejects with" => {
        with_canister!(network, canister);
        for result in [canister.update(program().reject("häßlich")), canister.query(program().reject("häßlich"))] {
            let reject = result.unwrap_err();
            assert_eq!(reject.reject_code, RejectCode::CanisterReject);
            assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage);
            assert_eq!(reject.reject_message, "häßlich");
        }
    }

    should_show_canisters_the_code_of_a_reject: "a calling canister gets reject code 4 and the message" => {
        with_canister!(network, canister);
        let rejection = canister.call(Call::update(canister.id, program().reject("no"))).unwrap_err();
        assert_eq!((rejection.code, rejection.message.as_str()), (4, "no"));
    }

    should_show_canisters_traps_as_code_five: "a calling canister gets reject code 5 for a trap" => {
        with_canister!(network, canister);
        assert_eq!(rejected(canister.call(Call::update(canister.id, program().unreachable()))), 5);
        assert_eq!(rejected(canister.call(Call::update(canister.id, program().trap("on purpose")))), 5);
    }

    should_have_reject_code_zero_for_replies: "msg_reject_code is 0 when the call was replied to" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply()).on_reply(program().reply_with(u::reject_code()));
        assert_eq!(int(&canister.update(program().call(call)).unwrap()), 0);
    }

    should_refuse_rejects_that_are_no_text: "a reject message that is not UTF-8 violates the contract" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().reject(&[0xff, 0xfe]))), ErrorCode::CanisterContractViolation);
    }

    should_bound_replies_of_updates: "a reply has at most 2 MiB" => {
        with_canister!(network, canister);
        assert_eq!(canister.update(program().reply_with(u::fill(1, MAX_REPLY))).unwrap().len() as u64, MAX_REPLY);
        let result = canister.update(program().reply_with(u::fill(1, MAX_REPLY + 1)));
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
        let result = canister.update(program().append("x").append(u::fill(1, MAX_REPLY)).reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_bound_replies_of_queries: "a reply of a query that one node runs has at most 3 MiB" => {
        with_canister!(network, canister);
        let most = canister.query(program().reply_with(u::fill(1, MAX_QUERY_REPLY))).unwrap();
        assert_eq!(most.len() as u64, MAX_QUERY_REPLY);
        let result = canister.query(program().reply_with(u::fill(1, MAX_QUERY_REPLY + 1)));
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_bound_replies_of_replicated_queries: "a query that all nodes run has the bound of updates" => {
        with_canister!(network, canister);
        canister.replicated_query(program().reply_with(u::fill(1, MAX_REPLY))).unwrap();
        let result = canister.replicated_query(program().reply_with(u::fill(1, MAX_REPLY + 1)));
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_bound_replies_between_canisters: "the bound of replies holds within a subnet, too" => {
        with_canister!(network, canister);
        let reply = |size| Call::update(canister.id, program().reply_with(u::fill(1, size)))
            .on_reply(program().reply_with(u::argument().length()));
        assert_eq!(int(&canister.update(program().call(reply(MAX_REPLY))).unwrap()), MAX_REPLY);
        let over = Call::update(canister.id, program().reply_with(u::fill(1, MAX_REPLY + 1)));
        assert_eq!(rejected(canister.call(over)), 5);
    }

    should_not_find_unknown_methods: "a method that is not exported does not exist" => {
        with_canister!(network, canister);
        let update = network.update_call(canister.id, OWNER, "no such method", vec![]);
        assert_eq!(code(update), ErrorCode::CanisterMethodNotFound);
        let query = network.query_call(canister.id, OWNER, "no such method", vec![]);
        assert_eq!(code(query), ErrorCode::CanisterMethodNotFound);
        assert_eq!(rejected(canister.call(Call::new(canister.id, "no such method"))), 5);
    }

    should_not_run_updates_as_queries: "an update method cannot be queried" => {
        with_canister!(network, canister);
        let result = network.query_call(canister.id, OWNER, "update", program().reply().into_bytes());
        assert_eq!(code(result), ErrorCode::CanisterMethodNotFound);
    }

    should_run_queries_as_updates: "a query method can be called like an update" => {
        with_canister!(network, canister);
        let replicated = |result: Result<Vec<u8>, _>| int(&result.unwrap());
        let program = program().reply_with(u::in_replicated_execution());
        assert_eq!(replicated(canister.replicated_query(program.clone())), 1);
        assert_eq!(replicated(canister.query(program.clone())), 0);
        assert_eq!(int(&canister.call(Call::query(canister.id, program)).unwrap()), 1);
    }

    should_not_run_composite_queries_as_updates: "a composite query cannot be called like an update" => {
        with_canister!(network, canister);
        let result = network.update_call(canister.id, OWNER, "composite_query", program().reply().into_bytes());
        assert_eq!(code(result), ErrorCode::CompositeQueryCalledInReplicatedMode);
        assert_eq!(rejected(canister.call(Call::new(canister.id, "composite_query"))), 5);
    }

    should_not_find_missing_canisters: "there is no canister with an id that was not given yet" => {
        with_canister!(network, canister);
        let gone = network.create_canister();
        network.stop_canister(gone, None).unwrap();
        network.delete_canister(gone, None).unwrap();
        assert_eq!(code(network.query_call(gone, OWNER, "query", vec![])), ErrorCode::CanisterNotFound);
        assert_eq!(code(network.update_call(gone, OWNER, "update", vec![])), ErrorCode::CanisterNotFound);
        assert_eq!(rejected(canister.call(Call::update(gone, program().reply()))), 3);
    }

    should_need_a_module: "a canister without code answers nothing" => {
        with_canister!(network, canister);
        let empty = network.create_canister();
        assert_eq!(code(network.query_call(empty, OWNER, "query", vec![])), ErrorCode::CanisterWasmModuleNotFound);
        assert_eq!(code(network.update_call(empty, OWNER, "update", vec![])), ErrorCode::CanisterWasmModuleNotFound);
        assert_eq!(rejected(canister.call(Call::update(empty, program().reply()))), 5);
    }

    should_have_no_deadline_for_users: "a user's message has no deadline" => {
        with_canister!(network, canister);
        assert_eq!(int(&canister.update(program().reply_with(u::deadline())).unwrap()), 0);
        assert_eq!(int(&canister.call(Call::update(canister.id, program().reply_with(u::deadline()))).unwrap()), 0);
    }

    should_bring_no_cycles_from_users: "a user's message brings no cycles" => {
        with_canister!(network, canister);
        assert_eq!(cycles(&canister.update(program().reply_with(u::cycles_available())).unwrap()), 0);
        assert_eq!(cycles(&canister.update(program().reply_with(u::accept_cycles(5))).unwrap()), 0);
    }

    should_not_answer_when_frozen: "a frozen canister answers neither queries nor updates" => {
        with_canister!(network, canister);
        let settings = CanisterSettings { freezing_threshold: Some(u64::MAX.into()), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        assert_eq!(code(canister.query(program().reply())), ErrorCode::CanisterOutOfCycles);
        assert_eq!(code(canister.update(program().reply())), ErrorCode::CanisterOutOfCycles);
        assert_eq!(reject_code_of(canister.update(program().reply())), RejectCode::SysTransient);
    }
}
