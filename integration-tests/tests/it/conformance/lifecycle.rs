//! Making, starting, stopping, emptying and deleting canisters.

use std::time::Duration;

use candid::{Nat, Principal};
use ic_management_canister_types as wire;
use integration_tests::{
    network,
    universal::{self as u, Call, Hook, Universal, forward},
};
use pocket_ic::{ErrorCode, RejectCode};

use super::world::*;

/// The fee for making a canister.
const CREATION_FEE: u128 = 500_000_000_000;
/// How long a stop request waits.
const STOP_TIMEOUT: Duration = Duration::from_secs(300);

/// A network, a caller, and a canister that has an open call, and so cannot stop.
macro_rules! with_busy_canister {
    ($network:ident, $busy:ident, $open:ident) => {
        let $network = start();
        let $busy = Universal::install(&$network);
        $network.set_controllers($busy.id, None, vec![OWNER, $busy.id]).unwrap();
        let wait = Call::new(Principal::management_canister(), "stop_canister")
            .argument(candid::encode_one(record($busy.id)).unwrap());
        let $open = $network.submit_call($busy.id, OWNER, "update", program().call(wait).into_bytes()).unwrap();
        ticks(&$network, 3);
    };
}

fn create(settings: Option<wire::CanisterSettings>) -> wire::CreateCanisterArgs {
    wire::CreateCanisterArgs { settings, sender_canister_version: None }
}

fn created(reply: &[u8]) -> Principal {
    decode::<wire::CanisterIdRecord>(reply).canister_id
}

cases! {
    should_give_new_canisters_what_was_attached_less_the_fee: "a new canister has the attached cycles less 500 G" => {
        with_canister!(network, canister);
        let id = created(&canister.manage("create_canister", &create(None), CREATION_FEE + 5).unwrap());
        assert_eq!(network.cycle_balance(id), 5);
        assert_eq!(network.get_subnet(id), network.get_subnet(canister.id));
    }

    should_make_canisters_without_anything: "a new canister may have no cycles at all" => {
        with_canister!(network, canister);
        let id = created(&canister.manage("create_canister", &create(None), CREATION_FEE).unwrap());
        assert_eq!(network.cycle_balance(id), 0);
    }

    should_want_the_whole_fee: "with less than the fee no canister is made, and all cycles come back" => {
        with_canister!(network, canister);
        let before = network.cycle_balance(canister.id);
        assert_eq!(rejected(canister.manage("create_canister", &create(None), CREATION_FEE - 1)), 4);
        assert!(before - network.cycle_balance(canister.id) < CREATION_FEE / 2);
    }

    should_make_the_maker_controller: "who makes a canister controls it" => {
        with_canister!(network, canister);
        let id = created(&canister.manage("create_canister", &create(None), CREATION_FEE).unwrap());
        assert_eq!(network.get_controllers(id), [canister.id]);
    }

    should_make_the_named_ones_controllers: "named controllers replace the maker" => {
        with_canister!(network, canister);
        let settings = wire::CanisterSettings { controllers: Some(vec![OWNER, stranger()]), ..Default::default() };
        let id = created(&canister.manage("create_canister", &create(Some(settings)), CREATION_FEE).unwrap());
        let mut controllers = network.get_controllers(id);
        controllers.sort();
        let mut expected = vec![OWNER, stranger()];
        expected.sort();
        assert_eq!(controllers, expected);
    }

    should_refuse_creation_with_bad_settings: "settings that are refused make no canister" => {
        with_canister!(network, canister);
        let settings = wire::CanisterSettings { compute_allocation: Some(Nat::from(101_u8)), ..Default::default() };
        assert_eq!(rejected(canister.manage("create_canister", &create(Some(settings)), CREATION_FEE)), 5);
    }

    should_not_let_users_create: "users cannot call create_canister" => {
        let network = start();
        let effective = network.topology().default_effective_canister_id.into();
        assert_eq!(code(manage(&network, OWNER, effective, "create_canister", &create(None))), ErrorCode::CanisterRejectedMessage);
    }

    should_run_empty_canisters: "a new canister runs, without module, at version 0" => {
        let network = start();
        let id = network.create_canister();
        let status = status(&network, id);
        assert_eq!((status.status, status.version, status.module_hash), (wire::CanisterStatusType::Running, 0, None));
        assert_eq!(small(&status.cycles), DEFAULT_BALANCE);
    }

    should_create_with_the_amount_asked_for: "provisional creation takes no fee" => {
        let network = start();
        assert_eq!(network.cycle_balance(create_with(&network, 12_345)), 12_345);
    }

    should_not_specify_ids_of_its_own_range: "a specified id may not be one that the network gives by itself" => {
        let network = start();
        let taken = network.create_canister();
        let result = network.create_canister_with_id(None, None, taken);
        assert!(result.is_err());
    }

    should_count_ids_up: "ids are given in order and never twice" => {
        let network = start();
        let number = |id: Principal| u64::from_be_bytes(id.as_slice()[..8].try_into().unwrap());
        let first = network.create_canister();
        network.stop_canister(first, None).unwrap();
        network.delete_canister(first, None).unwrap();
        assert_eq!(number(network.create_canister()), number(first) + 1);
    }

    should_stop_quiet_canisters_at_once: "a canister without open calls stops at once" => {
        with_canister!(network, canister);
        network.stop_canister(canister.id, None).unwrap();
        assert_eq!(status(&network, canister.id).status, wire::CanisterStatusType::Stopped);
        network.stop_canister(canister.id, None).unwrap();
    }

    should_not_take_messages_when_stopped: "a stopped canister takes neither updates nor queries nor calls" => {
        with_canister!(network, canister);
        let caller = Universal::install(&network);
        network.stop_canister(canister.id, None).unwrap();
        assert_eq!(code(canister.update(program().reply())), ErrorCode::CanisterStopped);
        assert_eq!(code(canister.query(program().reply())), ErrorCode::CanisterStopped);
        assert_eq!(rejected(caller.call(Call::update(canister.id, program().reply()))), 5);
    }

    should_start_again: "a started canister has its state" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "kept").reply()).unwrap();
        network.stop_canister(canister.id, None).unwrap();
        network.start_canister(canister.id, None).unwrap();
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), b"kept");
        network.start_canister(canister.id, None).unwrap();
    }

    should_know_its_own_status: "canister_status of the system API is 1 while it runs and 2 while it stops" => {
        with_canister!(network, canister);
        assert_eq!(int(&canister.query(program().reply_with(u::status())).unwrap()), 1);
        let wait = Call::new(Principal::management_canister(), "stop_canister")
            .argument(candid::encode_one(record(canister.id)).unwrap())
            .on_reject(program().reply_with(u::status()));
        network.set_controllers(canister.id, None, vec![OWNER, canister.id]).unwrap();
        let open = network.submit_call(canister.id, OWNER, "update", program().call(wait).into_bytes()).unwrap();
        ticks(&network, 3);
        pass(&network, STOP_TIMEOUT + Duration::from_secs(1));
        assert_eq!(int(&network.await_call(open).unwrap()), 2);
    }

    should_be_stopping_while_calls_are_open: "a canister with open calls is stopping and takes no more" => {
        with_busy_canister!(network, busy, open);
        assert_eq!(status(&network, busy.id).status, wire::CanisterStatusType::Stopping);
        assert_eq!(code(busy.update(program().reply())), ErrorCode::CanisterStopping);
        assert_eq!(code(busy.query(program().reply())), ErrorCode::CanisterStopping);
        let caller = Universal::install(&network);
        assert_eq!(rejected(caller.call(Call::update(busy.id, program().reply()))), 5);
        assert!(network.ingress_status(open).is_none());
    }

    should_stop_when_the_last_call_ends: "a stop request is answered when the last open call has ended" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        network.set_controllers(other.id, None, vec![OWNER, canister.id]).unwrap();
        // Both calls are under way at the same time: randomness takes a round more than the stop request.
        let random = Call::new(Principal::management_canister(), "raw_rand")
            .argument(b"DIDL\0\0")
            .on_reply(program().store(1, "answered").reply());
        let open = network.submit_call(other.id, OWNER, "update", program().call(random).into_bytes()).unwrap();
        network.tick();
        network.stop_canister(other.id, None).unwrap();
        network.await_call(open).unwrap();
        assert_eq!(status(&network, other.id).status, wire::CanisterStatusType::Stopped);
        network.start_canister(other.id, None).unwrap();
        assert_eq!(other.query(program().reply_with(u::load(1))).unwrap(), b"answered");
    }

    should_give_back_cycles_of_management_calls: "cycles that a management method does not take come back" => {
        with_canister!(network, canister);
        let argument = candid::encode_one(record(canister.id)).unwrap();
        for (method, argument) in [("canister_status", argument.as_slice()), ("raw_rand", b"DIDL\0\0")] {
            let call = Call::new(Principal::management_canister(), method)
                .argument(argument)
                .cycles(100)
                .on_reply(program().reply_with(u::cycles_refunded()));
            assert_eq!(cycles(&canister.update(program().call(call)).unwrap()), 100, "{method}");
        }
    }

    should_specify_ids_of_the_internet_computer: "a network with the system subnet of the Internet Computer gives its ids on request, once" => {
        let network = network::builder().with_nns_subnet().build();
        let id = Principal::from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai").unwrap();
        assert_eq!(network.create_canister_with_id(None, None, id).unwrap(), id);
        assert!(network.create_canister_with_id(None, None, id).is_err());
    }

    should_time_out_stop_requests: "a stop request waits for five minutes at the most; the canister stays stopping" => {
        with_busy_canister!(network, busy, open);
        pass(&network, STOP_TIMEOUT - Duration::from_secs(10));
        assert!(network.ingress_status(open.clone()).is_none());
        pass(&network, Duration::from_secs(12));
        ticks(&network, 3);
        let answer = network.await_call(open).unwrap();
        assert_eq!(rejected(forward(&answer)), 2);
        // The callback has ended the last open call, but nobody asks any more: the canister stops now.
        ticks(&network, 2);
        network.start_canister(busy.id, None).unwrap();
        busy.query(program().reply()).unwrap();
    }

    should_cancel_stop_requests_by_a_start: "starting cancels the stop requests that wait" => {
        with_busy_canister!(network, busy, open);
        let stop = network
            .submit_call_with_effective_principal(
                Principal::management_canister(),
                pocket_ic::common::rest::RawEffectivePrincipal::CanisterId(busy.id.as_slice().to_vec()),
                OWNER,
                "stop_canister",
                candid::encode_one(record(busy.id)).unwrap(),
            )
            .unwrap();
        ticks(&network, 2);
        network.start_canister(busy.id, None).unwrap();
        assert_eq!(code(network.await_call(stop)), ErrorCode::CanisterStoppingCancelled);
        assert_eq!(rejected(forward(&network.await_call(open).unwrap())), 5);
        assert_eq!(status(&network, busy.id).status, wire::CanisterStatusType::Running);
    }

    should_let_only_controllers_stop_and_start: "strangers neither stop nor start nor delete nor empty" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        for method in ["stop_canister", "start_canister", "delete_canister", "uninstall_code"] {
            let result = manage(&network, stranger(), canister.id, method, &record(canister.id));
            assert_eq!(code(result), ErrorCode::CanisterInvalidController, "{method}");
            assert_eq!(rejected(other.manage(method, &record(canister.id), 0)), 5, "{method}");
        }
        assert_eq!(status(&network, canister.id).status, wire::CanisterStatusType::Running);
    }

    should_delete_stopped_canisters_only: "a running canister cannot be deleted" => {
        with_canister!(network, canister);
        let result = manage(&network, OWNER, canister.id, "delete_canister", &record(canister.id));
        assert_eq!(code(result), ErrorCode::CanisterNotStopped);
        network.stop_canister(canister.id, None).unwrap();
        manage(&network, OWNER, canister.id, "delete_canister", &record(canister.id)).unwrap();
        assert!(!network.canister_exists(canister.id));
    }

    should_not_delete_itself: "a canister cannot delete itself" => {
        with_canister!(network, canister);
        network.set_controllers(canister.id, None, vec![OWNER, canister.id]).unwrap();
        assert_eq!(rejected(canister.manage("delete_canister", &record(canister.id), 0)), 5);
        assert!(network.canister_exists(canister.id));
    }

    should_not_find_deleted_canisters: "management calls do not find a deleted canister" => {
        with_canister!(network, canister);
        let id = network.create_canister();
        network.stop_canister(id, None).unwrap();
        network.delete_canister(id, None).unwrap();
        assert_eq!(code(manage(&network, OWNER, id, "start_canister", &record(id))), ErrorCode::CanisterNotFound);
        assert_eq!(rejected(canister.manage("start_canister", &record(id), 0)), 3);
    }

    should_lose_everything_but_the_id_when_emptied: "uninstalling removes code, memories, chunks and the timer" => {
        with_canister!(network, canister);
        let args = wire::UploadChunkArgs { canister_id: canister.id, chunk: vec![1] };
        manage(&network, OWNER, canister.id, "upload_chunk", &args).unwrap();
        canister.update(program().store(1, "lost").run_int(u::grow_stable(1)).reply()).unwrap();
        let before = status(&network, canister.id);
        network.uninstall_canister(canister.id, None).unwrap();
        let after = status(&network, canister.id);
        assert_eq!((after.module_hash, after.version), (None, before.version + 1));
        assert_eq!(small(&after.memory_metrics.stable_memory_size), 0);
        assert_eq!(small(&after.memory_metrics.wasm_memory_size), 0);
        assert_eq!(small(&after.memory_metrics.wasm_chunk_store_size), 0);
        assert_eq!(code(canister.query(program().reply())), ErrorCode::CanisterWasmModuleNotFound);
        network.install_canister(canister.id, u::module().bytes(), vec![], None);
        assert!(canister.query(program().reply_with(u::load(1))).unwrap().is_empty());
    }

    should_reject_open_calls_when_emptied: "calls that the removed code was answering are rejected with code 4" => {
        with_busy_canister!(network, busy, open);
        network.uninstall_canister(busy.id, None).unwrap();
        let reject = network.await_call(open).unwrap_err();
        assert_eq!(reject.reject_code, RejectCode::CanisterReject);
        assert_eq!(reject.error_code, ErrorCode::CanisterRejectedMessage);
    }

    should_stop_timers_of_emptied_canisters: "a timer of removed code does not come back with new code" => {
        with_canister!(network, canister);
        let time = network.get_time().as_nanos_since_unix_epoch() + 5_000_000_000;
        canister.update(program().run_int(u::set_timer(time)).reply()).unwrap();
        network.uninstall_canister(canister.id, None).unwrap();
        let hook = program().set_hook(Hook::GlobalTimer, program().store(1, "ran"));
        network.install_canister(canister.id, u::module().bytes(), hook.into_bytes(), None);
        pass(&network, Duration::from_secs(10));
        ticks(&network, 3);
        assert!(canister.query(program().reply_with(u::load(1))).unwrap().is_empty());
    }

    should_empty_empty_canisters: "an empty canister can be emptied again" => {
        let network = start();
        let id = network.create_canister();
        network.uninstall_canister(id, None).unwrap();
        assert_eq!(status(&network, id).version, 1);
    }

    should_deposit_cycles_into_any_canister: "deposit_cycles gives all attached cycles to any canister" => {
        with_canister!(network, canister);
        let taker = create_with(&network, 5);
        canister.manage("deposit_cycles", &record(taker), 7 * T).unwrap();
        assert_eq!(network.cycle_balance(taker), 5 + 7 * T);
    }

    should_not_deposit_cycles_nowhere: "a deposit for a canister that is not there comes back" => {
        with_canister!(network, canister);
        let gone = network.create_canister();
        network.stop_canister(gone, None).unwrap();
        network.delete_canister(gone, None).unwrap();
        let before = network.cycle_balance(canister.id);
        assert_eq!(rejected(canister.manage("deposit_cycles", &record(gone), 7 * T)), 3);
        assert!(before - network.cycle_balance(canister.id) < T);
    }

    should_not_let_users_deposit: "users cannot deposit cycles, nor ask for randomness" => {
        with_canister!(network, canister);
        let result = manage(&network, OWNER, canister.id, "deposit_cycles", &record(canister.id));
        assert_eq!(code(result), ErrorCode::CanisterRejectedMessage);
        let result = manage(&network, OWNER, canister.id, "raw_rand", &());
        assert!(result.is_err());
    }

    should_give_thirty_two_random_bytes: "raw_rand gives 32 bytes, other ones each time" => {
        with_canister!(network, canister);
        let call = || Call::new(Principal::management_canister(), "raw_rand").argument(b"DIDL\0\0");
        let random = || decode::<serde_bytes::ByteBuf>(&canister.call(call()).unwrap());
        let (first, second) = (random(), random());
        assert_eq!((first.len(), second.len()), (32, 32));
        assert_ne!(first, second);
    }

    should_top_up_provisionally: "everybody may top up on a test network" => {
        let network = start();
        let id = create_with(&network, 5);
        let args = wire::ProvisionalTopUpCanisterArgs { canister_id: id, amount: Nat::from(7_u8) };
        manage(&network, stranger(), id, "provisional_top_up_canister", &args).unwrap();
        assert_eq!(network.cycle_balance(id), 12);
    }

    should_make_canisters_of_canisters_provisionally: "a canister may call provisional creation, too" => {
        with_canister!(network, canister);
        let args = wire::ProvisionalCreateCanisterWithCyclesArgs { amount: Some(Nat::from(9_u8)), ..Default::default() };
        let id = created(&canister.manage("provisional_create_canister_with_cycles", &args, 0).unwrap());
        assert_eq!(network.cycle_balance(id), 9);
        assert_eq!(network.get_controllers(id), [canister.id]);
    }
}
