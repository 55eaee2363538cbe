//! What `canister_status` tells, and to whom; versions.

use candid::Nat;
use ic_management_canister_types::{CanisterInstallMode, CanisterSettings, UploadChunkArgs};
use integration_tests::universal::{self as u, Universal};
use pocket_ic::ErrorCode;

use super::world::*;

/// Cycles for a GiB of memory for a day.
const GIB_DAY: u128 = 317_500 * 86_400;

cases! {
    should_answer_controllers_and_the_canister_itself: "the status is for controllers and the canister itself" => {
        with_canister!(network, canister);
        query_management(&network, OWNER, canister.id, "canister_status", &record(canister.id)).unwrap();
        manage(&network, OWNER, canister.id, "canister_status", &record(canister.id)).unwrap();
        canister.manage("canister_status", &record(canister.id), 0).unwrap();
    }

    should_not_answer_strangers: "strangers do not get the status" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        assert!(query_management(&network, stranger(), canister.id, "canister_status", &record(canister.id)).is_err());
        assert!(manage(&network, stranger(), canister.id, "canister_status", &record(canister.id)).is_err());
        assert_eq!(rejected(other.manage("canister_status", &record(canister.id), 0)), 5);
    }

    should_tell_the_balance: "cycles is the main balance" => {
        with_canister!(network, canister);
        assert_eq!(small(&status(&network, canister.id).cycles), network.cycle_balance(canister.id));
        assert_eq!(small(&status(&network, canister.id).reserved_cycles), 0);
    }

    should_tell_the_hash_of_the_module: "module_hash is the SHA-256 of the module" => {
        with_canister!(network, canister);
        let hash = depot_types::Hash::of(&u::module().bytes());
        assert_eq!(status(&network, canister.id).module_hash.unwrap(), hash.as_bytes());
    }

    should_count_pages_of_memories: "memories count in whole pages" => {
        with_canister!(network, canister);
        let before = status(&network, canister.id).memory_metrics;
        canister.update(program().run_int(u::grow_stable(3)).run_int(u::grow_heap(2)).reply()).unwrap();
        let after = status(&network, canister.id).memory_metrics;
        assert_eq!(small(&after.stable_memory_size), u128::from(3 * PAGE));
        let growth = small(&after.wasm_memory_size) - small(&before.wasm_memory_size);
        assert!(growth >= u128::from(2 * PAGE) && growth.is_multiple_of(PAGE.into()), "{growth}");
    }

    should_count_the_module: "the module counts with the bytes that came" => {
        with_canister!(network, canister);
        let metrics = status(&network, canister.id).memory_metrics;
        assert_eq!(small(&metrics.wasm_binary_size), u::module().bytes().len() as u128);
    }

    should_count_metadata: "metadata counts besides the module: name, content and a byte" => {
        let network = start();
        let canister = Universal::install(&network);
        let more = u::module().with_section("icp:public more", &[b'x'; 1_000]);
        let other = Universal::install_module(&network, &more, program());
        let bytes = |id| small(&status(&network, id).memory_metrics.custom_sections_size);
        assert_eq!(bytes(other.id) - bytes(canister.id), 1_000 + "more".len() as u128 + 1);
    }

    should_count_globals: "globals count 32 bytes each" => {
        let network = start();
        let globals = |count: usize| {
            let id = network.create_canister();
            let module = wat(&format!("(module {})", "(global (mut i64) (i64.const 0))".repeat(count)));
            install(&network, OWNER, id, CanisterInstallMode::Install, module, program()).unwrap();
            small(&status(&network, id).memory_metrics.global_memory_size)
        };
        assert_eq!(globals(11) - globals(1), 10 * 32);
    }

    should_count_chunks_as_whole_ones: "a chunk counts 1 MiB whatever its length" => {
        with_canister!(network, canister);
        let args = UploadChunkArgs { canister_id: canister.id, chunk: vec![1] };
        manage(&network, OWNER, canister.id, "upload_chunk", &args).unwrap();
        assert_eq!(small(&status(&network, canister.id).memory_metrics.wasm_chunk_store_size), u128::from(MIB));
    }

    should_add_up_memory: "memory_size is the sum of its parts" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(3)).reply()).unwrap();
        let status = status(&network, canister.id);
        let metrics = &status.memory_metrics;
        let parts = [
            &metrics.wasm_memory_size,
            &metrics.stable_memory_size,
            &metrics.global_memory_size,
            &metrics.wasm_binary_size,
            &metrics.custom_sections_size,
            &metrics.canister_history_size,
            &metrics.wasm_chunk_store_size,
            &metrics.snapshots_size,
        ];
        let sum: u128 = parts.iter().map(|part| small(part)).sum();
        // Newer networks count the log, too, which has at most 4 KiB here and some pages around it.
        let rest = small(&status.memory_size) - sum;
        assert!(rest <= 16 * 4_096, "{rest} bytes are not accounted for");
    }

    should_count_history: "every change in the history counts" => {
        let network = start();
        let id = network.create_canister();
        let before = small(&status(&network, id).memory_metrics.canister_history_size);
        assert!(before > 0);
        network.set_controllers(id, None, vec![OWNER]).unwrap();
        assert!(small(&status(&network, id).memory_metrics.canister_history_size) > before);
    }

    should_burn_cycles_for_memory_when_idle: "an idle canister burns 317,500 cycles per GiB and second" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1_000)).reply()).unwrap();
        let status = status(&network, canister.id);
        let expected = (small(&status.memory_size) * GIB_DAY) >> 30;
        assert_eq!(small(&status.idle_cycles_burned_per_day), expected);
    }

    should_burn_cycles_for_a_memory_allocation: "a memory allocation is paid whole" => {
        let network = start();
        let id = network.create_canister();
        let settings = CanisterSettings { memory_allocation: Some(Nat::from(4_u64 << 30)), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap();
        assert_eq!(small(&status(&network, id).idle_cycles_burned_per_day), 4 * GIB_DAY);
    }

    should_burn_cycles_for_a_compute_allocation: "a percent of compute costs 10 M cycles a second" => {
        let network = start();
        let id = create_with(&network, 10_000 * T);
        let before = small(&status(&network, id).idle_cycles_burned_per_day);
        let settings = CanisterSettings { compute_allocation: Some(Nat::from(3_u8)), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap();
        let after = small(&status(&network, id).idle_cycles_burned_per_day);
        assert_eq!(after - before, 3 * 10_000_000 * 86_400);
    }

    should_count_the_version_up: "every change of the canister counts for its version" => {
        with_canister!(network, canister);
        let version = || status(&network, canister.id).version;
        assert_eq!(version(), 1, "one installation");
        canister.update(program().reply()).unwrap();
        assert_eq!(version(), 2, "an update");
        canister.query(program().reply()).unwrap();
        assert_eq!(version(), 2, "a query does not count");
        set(&network, OWNER, canister.id, CanisterSettings::default()).unwrap();
        assert_eq!(version(), 3, "settings, even none");
        network.stop_canister(canister.id, None).unwrap();
        assert_eq!(version(), 4, "a stop");
        network.start_canister(canister.id, None).unwrap();
        assert_eq!(version(), 5, "a start");
        upgrade(&canister, program()).unwrap();
        assert_eq!(version(), 6, "an upgrade");
        set(&network, stranger(), canister.id, CanisterSettings::default()).unwrap_err();
        assert_eq!(version(), 6, "what is refused does not count");
    }

    should_show_code_its_version: "canister_version is the version before the message" => {
        with_canister!(network, canister);
        let before = status(&network, canister.id).version;
        assert_eq!(int(&canister.update(program().reply_with(u::version())).unwrap()), before);
        assert_eq!(int(&canister.query(program().reply_with(u::version())).unwrap()), before + 1);
    }

    should_not_find_other_queries: "only some management methods are queries" => {
        with_canister!(network, canister);
        for method in ["stored_chunks", "update_settings", "no_such_method"] {
            let result = query_management(&network, OWNER, canister.id, method, &record(canister.id));
            assert_eq!(code(result), ErrorCode::CanisterMethodNotFound, "{method}");
        }
    }

    should_count_instructions_of_queries_some_time: "the status tells of queries; numbers come later, if at all" => {
        with_canister!(network, canister);
        canister.query(program().reply()).unwrap();
        let answer = query_management(&network, OWNER, canister.id, "canister_status", &record(canister.id)).unwrap();
        let status: ic_management_canister_types::CanisterStatusResult = match candid::decode_one(&answer) {
            Ok(status) => status,
            // Networks of an older interface lack settings that this type wants.
            Err(_) => return,
        };
        assert!(status.query_stats.num_calls_total <= 1_u8);
    }
}
