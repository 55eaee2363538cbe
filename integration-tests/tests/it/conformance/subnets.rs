//! Canisters on different subnets.

use std::time::Duration;

use candid::{Nat, Principal};
use depot_types::Hash;
use ic_management_canister_types as wire;
use integration_tests::{
    network,
    universal::{self as u, Call, Universal, forward},
};

use super::world::*;

/// Largest request and response between subnets.
const MAX_PAYLOAD: u64 = 2 * MIB;

/// A network of two subnets with a canister on each.
macro_rules! with_two_subnets {
    ($network:ident, $subnets:ident, $here:ident, $there:ident) => {
        let ($network, $subnets) = start_two();
        let $here = Universal::install_on(&$network, $subnets[0]);
        let $there = Universal::install_on(&$network, $subnets[1]);
    };
}

cases! {
    should_call_across_subnets: "a canister may call canisters of other subnets" => {
        with_two_subnets!(network, subnets, here, there);
        assert_ne!(subnets[0], subnets[1]);
        let answer = here.call(Call::update(there.id, program().append(u::caller()).append(u::subnet_id()).reply()));
        assert_eq!(answer.unwrap(), [here.id.as_slice(), subnets[1].as_slice()].concat());
    }

    should_hear_rejects_across_subnets: "rejects and traps cross subnets" => {
        with_two_subnets!(network, subnets, here, there);
        assert_eq!(rejected(here.call(Call::update(there.id, program().reject("no")))), 4);
        assert_eq!(rejected(here.call(Call::update(there.id, program().unreachable()))), 5);
        assert_eq!(rejected(here.call(Call::new(there.id, "no such method"))), 5);
    }

    should_move_cycles_across_subnets: "cycles cross subnets, and what is not accepted comes back" => {
        with_two_subnets!(network, subnets, here, there);
        let before = network.cycle_balance(there.id);
        let call = Call::update(there.id, program().run(u::accept_cycles(3 * T)).reply())
            .cycles(10 * T)
            .on_reply(program().reply_with(u::cycles_refunded()));
        assert_eq!(cycles(&here.update(program().call(call)).unwrap()), 7 * T);
        assert!(network.cycle_balance(there.id) > before + 2 * T);
    }

    should_bound_requests_between_subnets: "a request to another subnet has at most 2 MiB, method name and argument" => {
        with_two_subnets!(network, subnets, here, there);
        let method = "no such method";
        let send = |bytes| here.call(Call::new(there.id, method).argument(u::fill(0, bytes)));
        let most = MAX_PAYLOAD - method.len() as u64;
        assert_eq!(send(most).unwrap_err().code, 5, "there is no such method");
        assert_eq!(send(most + 1).unwrap_err().code, 5, "it is too large");
        let callee = Call::new(there.id, "update").argument(u::fill(0, MAX_PAYLOAD));
        assert_eq!(rejected(here.call(callee)), 5);
    }

    should_bound_responses_between_subnets: "a response from another subnet has at most 2 MiB" => {
        with_two_subnets!(network, subnets, here, there);
        let reply = |size| Call::update(there.id, program().reply_with(u::fill(1, size)))
            .on_reply(program().reply_with(u::argument().length()));
        assert_eq!(int(&here.update(program().call(reply(MAX_PAYLOAD))).unwrap()), MAX_PAYLOAD);
        assert_eq!(rejected(here.call(Call::update(there.id, program().reply_with(u::fill(1, MAX_PAYLOAD + 1))))), 5);
    }

    should_create_on_its_own_subnet: "create_canister makes canisters on the caller's subnet" => {
        with_two_subnets!(network, subnets, here, there);
        for (canister, subnet) in [(here, subnets[0]), (there, subnets[1])] {
            let args = wire::CreateCanisterArgs { settings: None, sender_canister_version: None };
            let reply = canister.manage("create_canister", &args, T).unwrap();
            let id = decode::<wire::CanisterIdRecord>(&reply).canister_id;
            assert_eq!(network.get_subnet(id), Some(subnet));
        }
    }

    should_manage_canisters_of_other_subnets: "a controller may be on another subnet" => {
        with_two_subnets!(network, subnets, here, there);
        network.set_controllers(there.id, None, vec![OWNER, here.id]).unwrap();
        here.manage("stop_canister", &record(there.id), 0).unwrap();
        here.manage("start_canister", &record(there.id), 0).unwrap();
        let settings = wire::CanisterSettings { freezing_threshold: Some(Nat::from(7_u8)), ..Default::default() };
        let args = wire::UpdateSettingsArgs { canister_id: there.id, settings, sender_canister_version: None };
        here.manage("update_settings", &args, 0).unwrap();
        assert_eq!(small(&status(&network, there.id).settings.freezing_threshold), 7);
        here.manage("canister_status", &record(there.id), 0).unwrap();
    }

    should_install_on_other_subnets: "a controller may install code on another subnet" => {
        with_two_subnets!(network, subnets, here, there);
        let target = network.create_canister_on_subnet(None, None, subnets[1]);
        network.set_controllers(target, None, vec![OWNER, here.id]).unwrap();
        let args = wire::InstallCodeArgs {
            mode: wire::CanisterInstallMode::Install,
            canister_id: target,
            wasm_module: u::module().bytes(),
            arg: vec![],
            sender_canister_version: None,
        };
        here.manage("install_code", &args, 0).unwrap();
        assert!(status(&network, target).module_hash.is_some());
        assert!(there.id != target);
    }

    should_deposit_on_other_subnets: "cycles can be deposited on another subnet" => {
        with_two_subnets!(network, subnets, here, there);
        let before = network.cycle_balance(there.id);
        here.manage("deposit_cycles", &record(there.id), 5 * T).unwrap();
        assert_eq!(network.cycle_balance(there.id), before + 5 * T);
    }

    should_not_find_a_store_on_another_subnet: "a chunk store must be on the target's subnet" => {
        with_two_subnets!(network, subnets, here, there);
        let module = u::module().bytes();
        let args = wire::UploadChunkArgs { canister_id: there.id, chunk: module.clone() };
        manage(&network, OWNER, there.id, "upload_chunk", &args).unwrap();
        let target = network.create_canister_on_subnet(None, None, subnets[0]);
        let hash = Hash::of(&module).as_bytes().to_vec();
        let args = wire::InstallChunkedCodeArgs {
            mode: wire::CanisterInstallMode::Install,
            target_canister: target,
            store_canister: Some(there.id),
            chunk_hashes_list: vec![wire::ChunkHash { hash: hash.clone() }],
            wasm_module_hash: hash,
            arg: vec![],
            sender_canister_version: None,
        };
        let result = manage(&network, OWNER, target, "install_chunked_code", &args);
        assert_eq!(code(result), pocket_ic::ErrorCode::CanisterNotFound);
        assert!(here.id != target);
    }

    should_not_query_other_subnets: "a composite query reaches canisters of its own subnet only" => {
        with_two_subnets!(network, subnets, here, there);
        let answer = here.composite_query(program().call(Call::query(there.id, program().reply())));
        let failed = match answer {
            Ok(answer) => forward(&answer).is_err(),
            Err(_) => true,
        };
        assert!(failed);
    }

    should_call_queries_of_other_subnets: "a query of another subnet can be called like an update" => {
        with_two_subnets!(network, subnets, here, there);
        let call = Call::query(there.id, program().reply_with(u::in_replicated_execution()));
        assert_eq!(int(&here.call(call).unwrap()), 1);
    }

    should_expire_calls_across_subnets: "a best-effort call to another subnet expires, too" => {
        with_two_subnets!(network, subnets, here, there);
        network.set_controllers(there.id, None, vec![OWNER, there.id]).unwrap();
        let stop = Call::new(Principal::management_canister(), "stop_canister")
            .argument(candid::encode_one(record(there.id)).unwrap());
        let call = Call::update(there.id, program().call(stop)).timeout(10);
        let message = network.submit_call(here.id, OWNER, "update", program().call(call).into_bytes()).unwrap();
        ticks(&network, 6);
        assert!(network.ingress_status(message.clone()).is_none());
        pass(&network, Duration::from_secs(12));
        ticks(&network, 3);
        assert_eq!(rejected(forward(&network.await_call(message).unwrap())), 6);
    }

    should_answer_best_effort_calls_across_subnets: "a best-effort call to another subnet is answered in time" => {
        with_two_subnets!(network, subnets, here, there);
        let call = Call::update(there.id, program().reply_with("quick")).timeout(60);
        assert_eq!(here.call(call).unwrap(), b"quick");
    }

    should_give_ids_of_different_ranges: "subnets give ids from ranges of their own" => {
        with_two_subnets!(network, subnets, here, there);
        let topology = network.topology();
        for (canister, subnet) in [(here, subnets[0]), (there, subnets[1])] {
            assert_eq!(topology.get_subnet(canister.id), Some(subnet));
            assert_eq!(network.get_subnet(canister.id), Some(subnet));
        }
    }

    should_share_the_root_key: "all subnets know the same root key" => {
        with_two_subnets!(network, subnets, here, there);
        let key = |canister: Universal<'_>| canister.update(program().reply_with(u::root_key())).unwrap();
        assert_eq!(key(here), key(there));
    }

    should_call_system_subnets: "application and system subnets call each other" => {
        let network = network::builder().with_application_subnet().with_system_subnet().build();
        let system_subnet = network.topology().get_system_subnets()[0];
        let application = Universal::install(&network);
        let system = Universal::install_on(&network, system_subnet);
        assert_eq!(application.call(Call::update(system.id, program().reply_with("up"))).unwrap(), b"up");
        assert_eq!(system.call(Call::update(application.id, program().reply_with("down"))).unwrap(), b"down");
    }
}
