//! What becomes of a message that fails, and of everything it did before.

use std::time::Duration;

use candid::Principal;
use ic_management_canister_types::{CanisterInstallMode, CanisterSettings};
use integration_tests::universal::{self as u, Call, Export, Hook, Module, Program, Universal};
use pocket_ic::{ErrorCode, RejectCode};

use super::world::*;

const SLOT: u64 = 1;
/// The limit of instructions of a query, also of one that all nodes run.
const QUERY_LIMIT: u64 = 5_000_000_000;
/// The limit of instructions of an update.
const UPDATE_LIMIT: u64 = 40_000_000_000;

fn kept(canister: &Universal<'_>, slot: u64) -> Vec<u8> {
    canister.query(program().reply_with(u::load(slot))).expect("slots can be read")
}

/// Lets a canister call another one, or itself, whose answer a callback then deals with.
fn call_and(
    canister: &Universal<'_>,
    on_reply: Program,
    cleanup: Program,
) -> Result<Vec<u8>, pocket_ic::RejectResponse> {
    let call = Call::update(canister.id, program().reply()).on_reply(on_reply).on_cleanup(cleanup);
    canister.update(program().store(SLOT, "before").call(call))
}

cases! {
    should_report_unreachable_as_a_trap: "executing `unreachable` is a trap of the canister" => {
        with_canister!(network, canister);
        let reject = canister.update(program().unreachable()).unwrap_err();
        assert_eq!((reject.error_code, reject.reject_code), (ErrorCode::CanisterTrapped, RejectCode::CanisterError));
        assert_eq!(code(canister.query(program().unreachable())), ErrorCode::CanisterTrapped);
    }

    should_report_a_called_trap_apart: "ic0.trap has an error code of its own" => {
        with_canister!(network, canister);
        let reject = canister.update(program().trap("on purpose")).unwrap_err();
        assert_eq!((reject.error_code, reject.reject_code), (ErrorCode::CanisterCalledTrap, RejectCode::CanisterError));
        assert_eq!(code(canister.query(program().trap("on purpose"))), ErrorCode::CanisterCalledTrap);
    }

    should_trap_on_reads_behind_the_heap: "loads behind the end of the heap trap" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().read_out_of_bounds().reply())), ErrorCode::CanisterTrapped);
    }

    should_trap_on_a_full_stack: "endless recursion traps" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().overflow_stack().reply())), ErrorCode::CanisterTrapped);
    }

    should_trap_on_missing_functions: "an indirect call of a function that is not there traps" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().call_missing_function().reply())), ErrorCode::CanisterTrapped);
    }

    should_call_addresses_behind_the_heap_a_violation: "a system call with bytes behind the heap violates the contract" => {
        with_canister!(network, canister);
        let result = canister.update(program().append_at(u64::from(u32::MAX) - 10, 10).reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_not_reply_twice: "a second reply violates the contract" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().reply().reply())), ErrorCode::CanisterContractViolation);
        assert_eq!(code(canister.query(program().reply().reply())), ErrorCode::CanisterContractViolation);
    }

    should_not_reply_after_a_reject: "a reply after a reject violates the contract" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().reject("no").reply())), ErrorCode::CanisterContractViolation);
    }

    should_not_reject_after_a_reply: "a reject after a reply violates the contract" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().reply().reject("no"))), ErrorCode::CanisterContractViolation);
    }

    should_not_append_after_a_reply: "reply data after the reply violates the contract" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program().reply().append("more"))), ErrorCode::CanisterContractViolation);
    }

    should_tell_users_of_missing_replies: "an update that ends without answer and calls did not reply" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(program())), ErrorCode::CanisterDidNotReply);
        assert_eq!(code(canister.query(program())), ErrorCode::CanisterDidNotReply);
        assert_eq!(code(canister.replicated_query(program())), ErrorCode::CanisterDidNotReply);
    }

    should_tell_canisters_of_missing_replies: "a canister sees a missing reply as reject code 5" => {
        with_canister!(network, canister);
        assert_eq!(rejected(canister.call(Call::update(canister.id, program()))), 5);
    }

    should_undo_heap_changes_of_a_trapped_update: "a trap undoes what the message wrote to the heap" => {
        with_canister!(network, canister);
        canister.update(program().store(SLOT, "old").reply()).unwrap();
        canister.update(program().store(SLOT, "new").trap("on purpose")).unwrap_err();
        assert_eq!(kept(&canister, SLOT), b"old");
    }

    should_undo_stable_changes_of_a_trapped_update: "a trap undoes writes to and growth of stable memory" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1)).write_stable(0, "old").reply()).unwrap();
        let change = program().run_int(u::grow_stable(5)).write_stable(0, "new");
        canister.update(change.unreachable()).unwrap_err();
        let read = program().append(u::read_stable(0, 3)).append(u::stable_size()).reply();
        assert_eq!(canister.query(read).unwrap(), [b"old".as_slice(), &1_u64.to_le_bytes()].concat());
    }

    should_undo_a_timer_of_a_trapped_update: "a trap undoes global_timer_set" => {
        with_canister!(network, canister);
        let hook = program().set_hook(Hook::GlobalTimer, program().store(SLOT, "ran"));
        canister.update(hook.reply()).unwrap();
        canister.update(program().run_int(u::set_timer(1)).trap("on purpose")).unwrap_err();
        ticks(&network, 3);
        assert!(kept(&canister, SLOT).is_empty());
    }

    should_not_change_the_version_by_a_trap: "a trapped update does not count for the canister's version" => {
        with_canister!(network, canister);
        let before = status(&network, canister.id).version;
        canister.update(program().trap("on purpose")).unwrap_err();
        assert_eq!(status(&network, canister.id).version, before);
    }

    should_not_send_calls_of_a_trapped_update: "a trap takes back the calls that the message made" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = Call::update(other.id, program().store(SLOT, "called").reply());
        canister.update(program().call(call).trap("on purpose")).unwrap_err();
        ticks(&network, 3);
        assert!(kept(&other, SLOT).is_empty());
    }

    should_give_back_cycles_attached_before_a_trap: "a trap gives back the cycles of the calls that the message made" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let before = network.cycle_balance(canister.id);
        let call = Call::update(other.id, program().run(u::accept_cycles(T)).reply()).cycles(T);
        canister.update(program().call(call).trap("on purpose")).unwrap_err();
        let spent = before - network.cycle_balance(canister.id);
        assert!(spent < T / 10, "{spent}");
    }

    should_give_back_cycles_that_a_trapped_callee_accepted: "a trap undoes the acceptance of cycles" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let refund = Call::update(other.id, program().run(u::accept_cycles(T)).trap("on purpose"))
            .cycles(T)
            .on_reject(program().append(u::cycles_refunded()).reply());
        assert_eq!(cycles(&canister.update(program().call(refund)).unwrap()), T);
        assert!(network.cycle_balance(other.id) <= DEFAULT_BALANCE);
    }

    should_keep_what_was_done_before_the_call: "a trap in a callback does not undo what ran before the call" => {
        with_canister!(network, canister);
        let result = call_and(&canister, program().store(SLOT, "after").trap("on purpose"), program());
        assert_eq!(code(result), ErrorCode::CanisterCalledTrap);
        assert_eq!(kept(&canister, SLOT), b"before");
    }

    should_run_the_cleanup_of_a_trapped_callback: "after a trap in a reply callback the cleanup runs, and its changes stay" => {
        with_canister!(network, canister);
        let result = call_and(&canister, program().unreachable(), program().store(2, "cleaned"));
        assert_eq!(code(result), ErrorCode::CanisterTrapped);
        assert_eq!(kept(&canister, 2), b"cleaned");
    }

    should_run_the_cleanup_of_a_trapped_reject_callback: "after a trap in a reject callback the cleanup runs, too" => {
        with_canister!(network, canister);
        let call = Call::new(canister.id, "no such method")
            .on_reject(program().trap("on purpose"))
            .on_cleanup(program().store(2, "cleaned"));
        assert_eq!(code(canister.update(program().call(call))), ErrorCode::CanisterCalledTrap);
        assert_eq!(kept(&canister, 2), b"cleaned");
    }

    should_not_run_the_cleanup_of_a_callback_that_ended_well: "a cleanup runs after a trap only" => {
        with_canister!(network, canister);
        call_and(&canister, program().reply(), program().store(2, "cleaned")).unwrap();
        assert!(kept(&canister, 2).is_empty());
    }

    should_undo_a_trapped_cleanup: "a trap in a cleanup undoes the cleanup; the callback's error stays" => {
        with_canister!(network, canister);
        let result = call_and(&canister, program().trap("on purpose"), program().store(2, "cleaned").unreachable());
        assert_eq!(code(result), ErrorCode::CanisterCalledTrap);
        assert!(kept(&canister, 2).is_empty());
    }

    should_let_a_cleanup_see_the_reject_code: "a cleanup can read the code of the answer that was not dealt with" => {
        with_canister!(network, canister);
        let cleanup = program().store(2, u::reject_code());
        call_and(&canister, program().unreachable(), cleanup).unwrap_err();
        assert_eq!(int(&kept(&canister, 2)), 0);
    }

    should_keep_instructions_for_the_cleanup: "a callback that uses up its instructions leaves some for the cleanup" => {
        with_canister!(network, canister);
        let result = call_and(&canister, program().spend(u64::MAX), program().store(2, "cleaned"));
        assert_eq!(code(result), ErrorCode::CanisterInstructionLimitExceeded);
        assert_eq!(kept(&canister, 2), b"cleaned");
    }

    should_refund_cycles_to_a_canister_whose_callback_traps: "cycles that came back stay although the callback trapped" => {
        with_canister!(network, canister);
        let before = network.cycle_balance(canister.id);
        let call = Call::update(canister.id, program().reply()).cycles(T).on_reply(program().trap("on purpose"));
        canister.update(program().call(call)).unwrap_err();
        assert!(before - network.cycle_balance(canister.id) < T / 10);
    }

    should_wait_for_other_calls_when_one_callback_traps: "a trapped callback ends the call only when no other call is open" => {
        with_canister!(network, canister);
        let trapping = Call::update(canister.id, program().reply()).on_reply(program().trap("on purpose"));
        let raw_rand = Call::new(Principal::management_canister(), "raw_rand").argument(b"DIDL\0\0");
        let replying = raw_rand.on_reply(program().append("later").reply());
        assert_eq!(canister.update(program().call(trapping).call(replying)).unwrap(), b"later");
    }

    should_undo_a_trapped_timer: "a trap in a timer undoes it, and the timer stays off" => {
        with_canister!(network, canister);
        let hook = program().store(SLOT, "ran").trap("on purpose");
        canister.update(program().set_hook(Hook::GlobalTimer, hook).run_int(u::set_timer(1)).reply()).unwrap();
        ticks(&network, 3);
        assert!(kept(&canister, SLOT).is_empty());
        let was_set = canister.update(program().reply_with(u::set_timer(0))).unwrap();
        assert_eq!(int(&was_set), 0);
    }

    should_go_on_after_a_trapped_heartbeat: "a trap in a heartbeat undoes it and nothing else" => {
        let network = start();
        let module = Module::with(&[Export::Heartbeat]);
        let hook = program().store(SLOT, "beaten").unreachable();
        let canister = Universal::install_module(&network, &module, program().set_hook(Hook::Heartbeat, hook));
        ticks(&network, 3);
        assert!(kept(&canister, SLOT).is_empty());
        assert_eq!(canister.update(program().reply_with("alive")).unwrap(), b"alive");
    }

    should_stay_empty_after_a_trapped_init: "a trap in init leaves the canister without code" => {
        let network = start();
        let id = network.create_canister();
        let module = u::module().bytes();
        let result = install(&network, OWNER, id, CanisterInstallMode::Install, module, program().trap("on purpose"));
        assert_eq!(code(result), ErrorCode::CanisterCalledTrap);
        assert_eq!(status(&network, id).module_hash, None);
        assert_eq!(code(network.query_call(id, OWNER, "query", vec![])), ErrorCode::CanisterWasmModuleNotFound);
    }

    should_keep_everything_when_pre_upgrade_traps: "a trap in pre_upgrade keeps code and memories" => {
        with_canister!(network, canister);
        let hook = program().store(SLOT, "lost").trap("on purpose");
        canister.update(program().store(SLOT, "kept").set_hook(Hook::PreUpgrade, hook).reply()).unwrap();
        assert_eq!(code(upgrade(&canister, program())), ErrorCode::CanisterCalledTrap);
        assert_eq!(kept(&canister, SLOT), b"kept");
    }

    should_keep_everything_when_post_upgrade_traps: "a trap in post_upgrade keeps code and memories, also what pre_upgrade wrote is undone" => {
        with_canister!(network, canister);
        let hook = program().store(SLOT, "lost").run_int(u::grow_stable(1));
        canister.update(program().store(SLOT, "kept").set_hook(Hook::PreUpgrade, hook).reply()).unwrap();
        assert_eq!(code(upgrade(&canister, program().unreachable())), ErrorCode::CanisterTrapped);
        assert_eq!(kept(&canister, SLOT), b"kept");
        assert_eq!(int(&canister.query(program().reply_with(u::stable_size())).unwrap()), 0);
    }

    should_keep_everything_when_a_reinstallation_traps: "a trap in init keeps the code that was to be replaced" => {
        with_canister!(network, canister);
        canister.update(program().store(SLOT, "kept").reply()).unwrap();
        let module = u::module().bytes();
        let mode = CanisterInstallMode::Reinstall;
        let result = install(&network, OWNER, canister.id, mode, module, program().trap("on purpose"));
        assert_eq!(code(result), ErrorCode::CanisterCalledTrap);
        assert_eq!(kept(&canister, SLOT), b"kept");
    }

    should_stop_updates_at_their_limit_of_instructions: "an update has 40 G instructions" => {
        with_canister!(network, canister);
        let result = canister.update(program().store(SLOT, "lost").spend(UPDATE_LIMIT));
        assert_eq!(code(result), ErrorCode::CanisterInstructionLimitExceeded);
        assert!(kept(&canister, SLOT).is_empty());
    }

    should_stop_queries_at_their_limit_of_instructions: "a query has 5 G instructions, whoever runs it" => {
        with_canister!(network, canister);
        let greedy = program().spend(QUERY_LIMIT).reply();
        assert_eq!(code(canister.query(greedy.clone())), ErrorCode::CanisterInstructionLimitExceeded);
        assert_eq!(code(canister.replicated_query(greedy)), ErrorCode::CanisterInstructionLimitExceeded);
        canister.query(program().spend(QUERY_LIMIT - 10_000_000).reply()).unwrap();
    }

    should_stop_updates_that_outgrow_the_heap_limit: "an update may not grow the heap past the limit of the settings" => {
        with_canister!(network, canister);
        let settings = CanisterSettings { wasm_memory_limit: Some(8_388_608_u64.into()), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        let result = canister.update(program().run_int(u::grow_heap(200)).reply());
        assert_eq!(code(result), ErrorCode::CanisterWasmMemoryLimitExceeded);
        canister.update(program().run_int(u::grow_heap(1)).reply()).unwrap();
        canister.query(program().run_int(u::grow_heap(200)).reply()).unwrap();
    }

    should_refuse_to_grow_the_heap_past_four_gib: "memory.grow past 4 GiB answers -1" => {
        with_canister!(network, canister);
        let settings = CanisterSettings { wasm_memory_limit: Some(0_u64.into()), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        let answer = canister.update(program().reply_with(u::grow_heap(65_536))).unwrap();
        assert_eq!(int(&answer), u64::from(u32::MAX));
    }

    should_keep_what_a_trapped_message_printed: "the log keeps what was printed before a trap" => {
        with_canister!(network, canister);
        canister.update(program().print("last words").unreachable()).unwrap_err();
        let logs = network.fetch_canister_logs(canister.id, OWNER).unwrap();
        assert!(logs.iter().any(|record| record.content == b"last words"), "{logs:?}");
    }

    should_charge_for_trapped_messages: "a trapped update costs its instructions" => {
        with_canister!(network, canister);
        let before = network.cycle_balance(canister.id);
        canister.update(program().spend(1_000_000_000).unreachable()).unwrap_err();
        assert!(before - network.cycle_balance(canister.id) >= 1_005_000_000);
    }

    should_not_keep_state_of_queries: "a query leaves no trace on the heap" => {
        with_canister!(network, canister);
        canister.query(program().store(SLOT, "lost").reply()).unwrap();
        canister.replicated_query(program().store(SLOT, "lost").reply()).unwrap();
        canister.composite_query(program().store(SLOT, "lost").reply()).unwrap();
        assert!(kept(&canister, SLOT).is_empty());
    }

    should_answer_programs_that_are_none: "what the canister cannot read it traps on" => {
        with_canister!(network, canister);
        assert_eq!(code(canister.update(Program::of_bytes(&[255]))), ErrorCode::CanisterCalledTrap);
        pass(&network, Duration::from_secs(1));
        assert_eq!(code(canister.update(Program::of_bytes(&[0, 1]))), ErrorCode::CanisterCalledTrap);
    }
}
