//! What users may send: the filter of ingress messages and their inspection.

use candid::Principal;
use ic_management_canister_types as wire;
use integration_tests::universal::{self as u, Call, Export, Hook, Module, Program, Universal};
use pocket_ic::{ErrorCode, IngressStatusResult, PocketIc, RejectCode};

use super::world::*;

/// Instructions that an inspection may use.
const INSPECTION_LIMIT: u64 = 200_000_000;
/// Cycles for a byte of an ingress message.
const BYTE_FEE: u128 = 2_000;

/// Makes a canister with an inspection.
fn inspecting<'a>(network: &'a PocketIc, hook: Program) -> Universal<'a> {
    let module = Module::with(&[Export::InspectMessage]);
    Universal::install_module(network, &module, program().set_hook(Hook::InspectMessage, hook))
}

cases! {
    should_take_messages_that_are_accepted: "a message that the inspection accepts is executed" => {
        let network = start();
        let canister = inspecting(&network, program().accept_message());
        assert_eq!(canister.update(program().reply_with("in")).unwrap(), b"in");
    }

    should_refuse_messages_that_are_not_accepted: "a message that the inspection does not accept is refused" => {
        let network = start();
        let canister = inspecting(&network, program());
        let reject = canister.update(program().reply()).unwrap_err();
        assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage);
        assert_eq!(reject.reject_code, RejectCode::CanisterReject);
    }

    should_refuse_messages_when_the_inspection_traps: "a trap of the inspection refuses the message" => {
        let network = start();
        let canister = inspecting(&network, program().accept_message().trap("on purpose"));
        assert_eq!(code(canister.update(program().reply())), ErrorCode::CanisterCalledTrap);
    }

    should_not_accept_twice: "accepting twice violates the contract" => {
        let network = start();
        let canister = inspecting(&network, program().accept_message().accept_message());
        assert_eq!(code(canister.update(program().reply())), ErrorCode::CanisterContractViolation);
    }

    should_show_the_inspection_the_message: "the inspection sees method, argument and caller" => {
        let network = start();
        let right = u::method_name().length().equals("update".len() as u64);
        let canister = inspecting(&network, program().when(right, program().accept_message()));
        canister.update(program().reply()).unwrap();
        canister.replicated_query(program().reply()).unwrap_err();
        let long = u::argument().length().less_than(20);
        let canister = inspecting(&network, program().when(long, program().accept_message()));
        canister.update(program().reply()).unwrap();
        canister.update(program().reply_with("a longer argument than twenty bytes")).unwrap_err();
    }

    should_not_inspect_queries: "queries are not inspected" => {
        let network = start();
        let canister = inspecting(&network, program());
        canister.query(program().reply()).unwrap();
    }

    should_not_inspect_calls: "calls of canisters are not inspected" => {
        with_canister!(network, canister);
        let strict = inspecting(&network, program());
        assert_eq!(canister.call(Call::update(strict.id, program().reply_with("in"))).unwrap(), b"in");
    }

    should_not_inspect_management_calls: "management calls are not inspected by the canister" => {
        let network = start();
        let canister = inspecting(&network, program());
        network.stop_canister(canister.id, None).unwrap();
    }

    should_not_keep_what_the_inspection_did: "an inspection leaves no trace and costs nothing" => {
        let network = start();
        let canister = inspecting(&network, program().store(1, "lost").spend(100_000_000));
        let before = network.cycle_balance(canister.id);
        canister.update(program().reply()).unwrap_err();
        assert_eq!(network.cycle_balance(canister.id), before);
        assert!(canister.query(program().reply_with(u::load(1))).unwrap().is_empty());
    }

    should_bound_the_inspection: "an inspection has 200 M instructions" => {
        let network = start();
        let canister = inspecting(&network, program().spend(INSPECTION_LIMIT).accept_message());
        assert_eq!(code(canister.update(program().reply())), ErrorCode::CanisterInstructionLimitExceeded);
        let canister = inspecting(&network, program().spend(INSPECTION_LIMIT - 10_000_000).accept_message());
        canister.update(program().reply()).unwrap();
    }

    should_not_know_other_management_methods: "an unknown management method does not exist" => {
        with_canister!(network, canister);
        let result = manage(&network, OWNER, canister.id, "no_such_method", &record(canister.id));
        assert_eq!(code(result), ErrorCode::CanisterMethodNotFound);
        assert_eq!(rejected(canister.manage("no_such_method", &record(canister.id), 0)), 5);
    }

    should_keep_methods_for_canisters_from_users: "some management methods are for canisters only" => {
        with_canister!(network, canister);
        for method in ["deposit_cycles", "canister_info", "canister_metadata", "create_canister", "raw_rand"] {
            let result = manage(&network, OWNER, canister.id, method, &record(canister.id));
            let error = code(result);
            assert!(
                [ErrorCode::CanisterRejectedMessage, ErrorCode::InvalidManagementPayload].contains(&error),
                "{method}: {error:?}"
            );
        }
    }

    should_want_arguments: "a management call without a fitting argument has no payload" => {
        with_canister!(network, canister);
        for payload in [b"".as_slice(), b"DIDL\0\0", b"something"] {
            let result = manage_raw(&network, OWNER, canister.id, "start_canister", payload.to_vec());
            assert_eq!(code(result), ErrorCode::InvalidManagementPayload);
            let call = Call::new(Principal::management_canister(), "start_canister").argument(payload);
            let code = rejected(canister.call(call));
            assert!((3..=5).contains(&code), "{code}");
        }
    }

    should_ignore_fields_that_it_does_not_know: "unknown fields of arguments are skipped" => {
        #[derive(candid::CandidType)]
        struct More {
            canister_id: Principal,
            more: String,
        }
        with_canister!(network, canister);
        let args = More { canister_id: canister.id, more: "x".repeat(100) };
        manage(&network, OWNER, canister.id, "start_canister", &args).unwrap();
    }

    should_charge_two_thousand_cycles_a_byte: "an ingress message costs 2,000 cycles a byte, paid by the receiver" => {
        #[derive(candid::CandidType)]
        struct More {
            canister_id: Principal,
            more: String,
        }
        with_canister!(network, canister);
        let price = |bytes: usize| {
            let args = More { canister_id: canister.id, more: "x".repeat(bytes) };
            let before = network.cycle_balance(canister.id);
            manage(&network, OWNER, canister.id, "canister_status", &args).unwrap();
            before - network.cycle_balance(canister.id)
        };
        let difference = price(1_200) - price(200);
        assert!((1_000 * BYTE_FEE..1_010 * BYTE_FEE).contains(&difference), "{difference}");
        assert!(price(0) > 1_200_000);
    }

    should_not_charge_for_refused_messages: "a message that is not let in costs nothing" => {
        with_canister!(network, canister);
        let before = network.cycle_balance(canister.id);
        manage(&network, stranger(), canister.id, "start_canister", &record(canister.id)).unwrap_err();
        network.stop_canister(canister.id, None).unwrap();
        let stopped = network.cycle_balance(canister.id);
        canister.update(program().reply()).unwrap_err();
        assert_eq!(network.cycle_balance(canister.id), stopped);
        assert!(before - stopped < 10_000_000, "one management call was let in");
    }

    should_not_take_messages_that_cannot_be_paid: "a canister without cycles takes no messages" => {
        let network = start();
        let poor = create_with(&network, 0);
        let result = manage(&network, OWNER, poor, "canister_status", &record(poor));
        assert_eq!(code(result), ErrorCode::CanisterOutOfCycles);
        query_management(&network, OWNER, poor, "canister_status", &record(poor)).unwrap();
    }

    should_bound_ingress_messages: "an ingress message has at most 2 MiB with its envelope" => {
        with_canister!(network, canister);
        let fitting = program().append(u::argument().length()).reply_with(vec![0; 2 * MIB as usize - 4_000]);
        let answered = network.update_call(canister.id, OWNER, "no such method", fitting.into_bytes());
        assert_eq!(code(answered), ErrorCode::CanisterMethodNotFound);
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            network.submit_call(canister.id, OWNER, "update", vec![0; 2 * MIB as usize + 1])
        }));
        assert!(matches!(refused, Err(_) | Ok(Err(_))));
    }

    should_answer_a_message_once: "the answer of a message can be asked for again" => {
        with_canister!(network, canister);
        let message = network.submit_call(canister.id, OWNER, "update", program().reply_with("once").into_bytes()).unwrap();
        assert!(network.ingress_status(message.clone()).is_none());
        assert_eq!(network.await_call(message.clone()).unwrap(), b"once");
        assert_eq!(network.ingress_status(message).unwrap().unwrap(), b"once");
    }

    should_not_tell_others_of_a_message: "only its sender is told of a message" => {
        with_canister!(network, canister);
        let sender = user(1);
        let message = network.submit_call(canister.id, sender, "update", program().reply().into_bytes()).unwrap();
        ticks(&network, 3);
        let status = network.ingress_status_as(message.clone(), stranger());
        assert!(matches!(status, IngressStatusResult::Forbidden(_)));
        assert!(matches!(network.ingress_status_as(message, sender), IngressStatusResult::Success(Ok(_))));
    }

    should_take_logs_as_queries_only: "users do not fetch logs by updates" => {
        with_canister!(network, canister);
        let args = wire::FetchCanisterLogsArgs { canister_id: canister.id, filter: None };
        let result = manage(&network, OWNER, canister.id, "fetch_canister_logs", &args);
        assert_eq!(code(result), ErrorCode::CanisterRejectedMessage);
    }
}
