//! Networks that are saved and read back: nothing may be lost, and both must go on in the same way.

use std::{fs, time::Instant};

use candid::{Decode, Encode, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterSettings, EnvironmentVariable, InstallCodeArgs,
    TakeCanisterSnapshotArgs, UpdateSettingsArgs, UploadChunkArgs,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    fixture::{BALANCE, actor, beating, call, forward, inside, install, network, query, state, to, total, update},
    rounds::{SLICES, WORKER},
};
use crate::{
    checkpoint::{Clock, StateError, Store, tests::Folder},
    error::UserResult,
    network::{Network, RestoreError, test_config},
};

const MANAGEMENT: Principal = Principal::management_canister();

/// A canister that keeps a counter in its heap, in a global and in stable memory: `step` adds one to each and grows
/// both memories now and then, `read` returns the three.
pub(super) const KEEPER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (memory 1)
    (global $steps (mut i64) (i64.const 7))
    (func (export "canister_init") (drop (call $grow (i64.const 1))))
    (func (export "canister_update step")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (global.set $steps (i64.add (global.get $steps) (i64.const 1)))
        (if (i64.eqz (i64.rem_u (global.get $steps) (i64.const 3)))
            (then (drop (memory.grow (i32.const 40))) (drop (call $grow (i64.const 50)))))
        (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.load (i32.const 0)))
        (call $write (i64.mul (global.get $steps) (i64.const 4000)) (i64.const 0) (i64.const 4))
        (call $certify (i32.const 0) (i32.const 4))
        (call $print (i32.const 0) (i32.const 4))
        (call $reply))
    (func (export "canister_query read")
        (i64.store (i32.const 8) (global.get $steps))
        (call $read (i64.const 16) (i64.mul (global.get $steps) (i64.const 4000)) (i64.const 4))
        (call $append (i32.const 0) (i32.const 24))
        (call $reply))
)"#;

/// A module without a memory, whose only state is a global.
const ONLY_A_GLOBAL: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reject" (func $reject (param i32 i32)))
    (global $on (mut i32) (i32.const 0))
    (func (export "canister_update turn_on") (global.set $on (i32.const 1)) (call $reply))
    (func (export "canister_query is_on")
        (if (global.get $on) (then (call $reply)))))"#;

/// Saves a network in a folder and reads it back.
pub(super) fn reload(network: &mut Network, folder: &Folder) -> Result<Network, RestoreError> {
    let (mut store, _) = Store::open(&folder.0)?;
    store.write(&network.capture(), true)?;
    drop(store);
    load(folder)
}

fn load(folder: &Folder) -> Result<Network, RestoreError> {
    let (mut store, loaded) = Store::open(&folder.0)?;
    Network::restore(&test_config(Vec::new()), &mut store, &loaded.expect("something was saved"))
}

/// Returns all there is to a network, for comparison.
fn everything(network: &mut Network) -> (Clock, Vec<u8>, Vec<[u8; 32]>) {
    let capture = network.capture();
    let (clock, document) = capture.small();
    let mut memories = Vec::new();
    for canister in network.subnets.values_mut().flat_map(|subnet| subnet.canisters.values_mut()) {
        if let Some(sandbox) = &mut canister.sandbox {
            let all = sandbox.memories();
            let mut hasher = Sha256::new();
            hasher.update(all.stable.to_bytes());
            hasher.update(all.heap().map(|heap| heap.to_bytes()).unwrap_or_default());
            memories.push(hasher.finalize().into());
        }
    }
    (clock, document.to_vec(), memories)
}

fn manage(network: &mut Network, method: &str, args: Vec<u8>) -> UserResult<Vec<u8>> {
    update(network, MANAGEMENT, method, args)
}

/// What happens to a network in the property test. Canisters are named by their place.
#[derive(Clone, Debug)]
enum Step {
    /// A call from one actor to a method of another.
    Call {
        method: usize,
        from: usize,
        to: usize,
        callee: usize,
    },
    /// The same, left alone: no round is run.
    Submit {
        method: usize,
        from: usize,
        to: usize,
        callee: usize,
    },
    Count {
        keeper: usize,
    },
    Timer {
        actor: usize,
        in_ns: u64,
    },
    Tick,
    Pass {
        ns: u64,
    },
    Snapshot {
        canister: usize,
    },
    Chunk {
        canister: usize,
        byte: u8,
    },
    Stop {
        canister: usize,
    },
    Start {
        canister: usize,
    },
    Settings {
        canister: usize,
        variable: u8,
    },
    Random {
        actor: usize,
    },
    Upgrade {
        keeper: usize,
    },
    Uninstall {
        keeper: usize,
    },
    Query {
        canister: usize,
    },
}

const METHODS: [&str; 5] = ["call", "call_with_cycles", "call_best_effort", "call_then_trap", "call_then_nothing"];
const CALLEES: [&str; 5] = ["echo", "bump", "take", "silent", "fail"];

fn step() -> impl Strategy<Value = Step> {
    let (actor, keeper, canister) = (0..2_usize, 2..4_usize, 0..4_usize);
    let call = (0..METHODS.len(), actor.clone(), actor.clone(), 0..CALLEES.len());
    prop_oneof![
        3 => call.clone().prop_map(|(method, from, to, callee)| Step::Call { method, from, to, callee }),
        3 => call.prop_map(|(method, from, to, callee)| Step::Submit { method, from, to, callee }),
        4 => keeper.clone().prop_map(|keeper| Step::Count { keeper }),
        1 => (actor.clone(), 0..3_000_000_000_u64).prop_map(|(actor, in_ns)| Step::Timer { actor, in_ns }),
        3 => Just(Step::Tick),
        2 => (0..4_000_000_000_u64).prop_map(|ns| Step::Pass { ns }),
        1 => canister.clone().prop_map(|canister| Step::Snapshot { canister }),
        1 => (canister.clone(), any::<u8>()).prop_map(|(canister, byte)| Step::Chunk { canister, byte }),
        1 => canister.clone().prop_map(|canister| Step::Stop { canister }),
        2 => canister.clone().prop_map(|canister| Step::Start { canister }),
        1 => (canister.clone(), any::<u8>()).prop_map(|(canister, variable)| Step::Settings { canister, variable }),
        1 => actor.prop_map(|actor| Step::Random { actor }),
        1 => keeper.clone().prop_map(|keeper| Step::Upgrade { keeper }),
        1 => keeper.prop_map(|keeper| Step::Uninstall { keeper }),
        2 => canister.prop_map(|canister| Step::Query { canister }),
    ]
}

/// Does a step and returns what came of it.
fn take(network: &mut Network, ids: &[Principal; 4], step: &Step) -> String {
    let record = |canister: usize| Encode!(&CanisterIdRecord { canister_id: ids[canister] }).unwrap();
    let answer = match step.clone() {
        Step::Call { method, from, to: callee, callee: name } => {
            update(network, ids[from], METHODS[method], to(ids[callee], CALLEES[name]))
        }
        Step::Submit { method, from, to: callee, callee: name } => {
            let submitted = network.submit_ingress(call(ids[from], METHODS[method], to(ids[callee], CALLEES[name])));
            submitted.map(|(id, _)| id.to_vec())
        }
        Step::Count { keeper } => update(network, ids[keeper], "step", vec![]),
        Step::Timer { actor, in_ns } => {
            let deadline = network.time + in_ns;
            update(network, ids[actor], "set_timer", deadline.to_le_bytes().to_vec())
        }
        Step::Tick => {
            network.tick();
            Ok(vec![])
        }
        Step::Pass { ns } => {
            network.set_time(network.time + ns).unwrap();
            Ok(vec![])
        }
        Step::Snapshot { canister } => {
            let args = TakeCanisterSnapshotArgs {
                canister_id: ids[canister],
                replace_snapshot: None,
                uninstall_code: None,
                sender_canister_version: None,
            };
            manage(network, "take_canister_snapshot", Encode!(&args).unwrap())
        }
        Step::Chunk { canister, byte } => {
            let args = UploadChunkArgs { canister_id: ids[canister], chunk: vec![byte; 5000] };
            manage(network, "upload_chunk", Encode!(&args).unwrap())
        }
        Step::Stop { canister } => {
            let stop = call(MANAGEMENT, "stop_canister", record(canister));
            network.submit_ingress(stop).map(|(id, _)| id.to_vec())
        }
        Step::Start { canister } => manage(network, "start_canister", record(canister)),
        Step::Settings { canister, variable } => {
            let variable = EnvironmentVariable { name: format!("V{variable}"), value: "x".to_owned() };
            let settings =
                CanisterSettings { environment_variables: Some(vec![variable]), ..CanisterSettings::default() };
            let args = UpdateSettingsArgs { canister_id: ids[canister], settings, sender_canister_version: None };
            manage(network, "update_settings", Encode!(&args).unwrap())
        }
        Step::Random { actor } => {
            update(network, ids[actor], "forward", forward(MANAGEMENT, "raw_rand", record(0)[..6].to_vec()))
        }
        Step::Upgrade { keeper } => {
            let args = InstallCodeArgs {
                mode: CanisterInstallMode::Upgrade(None),
                canister_id: ids[keeper],
                wasm_module: wat::parse_str(KEEPER).unwrap(),
                arg: vec![],
                sender_canister_version: None,
            };
            manage(network, "install_code", Encode!(&args).unwrap())
        }
        Step::Uninstall { keeper } => manage(network, "uninstall_code", record(keeper)),
        Step::Query { canister } => query(network, ids[canister], if canister < 2 { "state" } else { "read" }, vec![]),
    };
    format!("{answer:?}")
}

fn world() -> (Network, [Principal; 4]) {
    let mut network = network(2);
    let ids = [
        actor(&mut network, 0),
        actor(&mut network, 1),
        install(&mut network, 0, KEEPER),
        install(&mut network, 1, KEEPER),
    ];
    for keeper in [ids[2], ids[3]] {
        // As `canister_init` does, which the fixture does not run.
        let sandbox = inside(&mut network, keeper).sandbox.as_mut().unwrap();
        sandbox.set_stable(crate::execution::StableMemory::zeroed(1));
    }
    beating(&mut network);
    (network, ids)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn should_go_on_after_loading_as_if_nothing_had_happened(
        before in prop::collection::vec(step(), 0..30),
        after in prop::collection::vec(step(), 0..30),
    ) {
        let folder = Folder::new("property");
        let (mut original, ids) = world();
        let (early, late) = before.split_at(before.len() / 2);
        for step in early {
            take(&mut original, &ids, step);
        }
        // Saved before, so that the second time only changes are written.
        let (mut store, _) = Store::open(&folder.0).unwrap();
        store.write(&original.capture(), false).unwrap();
        for step in late {
            take(&mut original, &ids, step);
        }
        store.write(&original.capture(), true).unwrap();
        drop(store);
        let mut copy = load(&folder).unwrap();
        prop_assert_eq!(everything(&mut original), everything(&mut copy));
        for step in &after {
            prop_assert_eq!(take(&mut original, &ids, step), take(&mut copy, &ids, step));
        }
        prop_assert_eq!(everything(&mut original), everything(&mut copy));
        let subnet = copy.order[1];
        let paths = [vec![b"canister".to_vec()]];
        prop_assert_eq!(original.certificate(subnet, &paths), copy.certificate(subnet, &paths));
    }
}

#[test]
fn should_keep_open_calls_and_finish_them_after_loading() {
    let folder = Folder::new("open-calls");
    let mut network = network(2);
    let (near, far) = (actor(&mut network, 0), actor(&mut network, 1));
    let (id, _) = network.submit_ingress(call(near, "call_with_cycles", to(far, "take"))).unwrap();
    network.tick();
    assert_eq!(inside(&mut network, near).callbacks.len(), 1, "the call is open");
    let mut copy = reload(&mut network, &folder).unwrap();
    assert_eq!(inside(&mut copy, near).callbacks.len(), 1);
    let reply = copy.await_ingress(&id).unwrap().unwrap();
    assert_eq!(reply, network.await_ingress(&id).unwrap().unwrap());
    assert_eq!(u128::from_le_bytes(reply.try_into().unwrap()), 400, "600 of 1000 cycles were taken");
}

#[test]
fn should_keep_the_globals_of_a_module_without_memory() {
    let folder = Folder::new("global");
    let mut network = network(1);
    let canister = install(&mut network, 0, ONLY_A_GLOBAL);
    assert!(query(&mut network, canister, "is_on", vec![]).is_err());
    update(&mut network, canister, "turn_on", vec![]).unwrap();
    let mut copy = reload(&mut network, &folder).unwrap();
    query(&mut copy, canister, "is_on", vec![]).unwrap();
}

#[test]
fn should_write_only_what_changed() {
    let folder = Folder::new("incremental");
    let (mut network, ids) = world();
    let (mut store, _) = Store::open(&folder.0).unwrap();
    let first = store.write(&network.capture(), false).unwrap();
    assert!(first.changed && first.pieces >= 5, "{first:?}");
    network.set_time(network.time + 1_000).unwrap();
    assert!(!store.write(&network.capture(), false).unwrap().changed, "only time passed");
    update(&mut network, ids[2], "step", vec![]).unwrap();
    let second = store.write(&network.capture(), false).unwrap();
    // A leaf of the heap and one of stable memory; the heartbeat canister has one, too.
    assert_eq!(second.pieces, 3, "{second:?}");
    drop(store);
    let (mut store, loaded) = Store::open(&folder.0).unwrap();
    let mut copy = Network::restore(&test_config(Vec::new()), &mut store, &loaded.unwrap()).unwrap();
    assert_eq!(everything(&mut network), everything(&mut copy));
    let third = store.write(&copy.capture(), true).unwrap();
    assert_eq!((third.pieces, third.changed), (0, true), "what was read is known");
}

#[test]
fn should_share_after_loading_what_was_shared_before() {
    let folder = Folder::new("shared");
    let (mut network, ids) = world();
    for _ in 0..3 {
        update(&mut network, ids[2], "step", vec![]).unwrap();
    }
    take(&mut network, &ids, &Step::Snapshot { canister: 2 });
    let mut copy = reload(&mut network, &folder).unwrap();
    let canister = inside(&mut copy, ids[2]);
    let snapshot = canister.snapshots.values().next().unwrap();
    let crate::canister::SnapshotCode::Taken { module, memories } = &snapshot.code else { panic!() };
    let sandbox = canister.sandbox.as_ref().unwrap();
    assert!(std::sync::Arc::ptr_eq(module, sandbox.module()));
    let shares_all = memories
        .stable
        .leaves()
        .zip(sandbox.stable().leaves())
        .all(|((_, one), (_, other))| std::sync::Arc::ptr_eq(one, other));
    assert!(shares_all);
    let reply = Decode!(
        &manage(&mut copy, "canister_status", Encode!(&CanisterIdRecord { canister_id: ids[2] }).unwrap()).unwrap(),
        ic_management_canister_types::CanisterStatusResult
    )
    .unwrap();
    assert!(reply.memory_metrics.snapshots_size > 0_u64);
}

#[test]
fn should_refuse_a_state_of_subnets_with_other_keys() {
    let folder = Folder::new("keys");
    let mut network = network(2);
    network.order.swap(0, 1);
    let error = reload(&mut network, &folder).unwrap_err();
    assert!(matches!(&error, RestoreError::State(StateError::Unusable { .. })), "{error}");
}

/// Reads a saved network and tells whether that failed with an error that names the file.
fn refuses(folder: &Folder, file: &str) -> bool {
    let opened = Store::open(&folder.0).map_err(RestoreError::State).and_then(|(mut store, loaded)| {
        let Some(loaded) = loaded else { return Ok(None) };
        Network::restore(&test_config(Vec::new()), &mut store, &loaded).map(Some)
    });
    match opened {
        Ok(_) => false,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(file), "{file}: {text}");
            true
        }
    }
}

#[test]
fn should_refuse_every_file_that_was_cut_or_changed_by_its_name() {
    let folder = Folder::new("damaged");
    let (mut network, ids) = world();
    for number in 0..3 {
        take(&mut network, &ids, &Step::Chunk { canister: 0, byte: number });
        take(&mut network, &ids, &Step::Count { keeper: 2 });
    }
    take(&mut network, &ids, &Step::Snapshot { canister: 2 });
    drop(reload(&mut network, &folder).unwrap());
    let files = ["manifest.cbor", "state-1.cbor", "pack-1.bin"];
    for name in files {
        let path = folder.0.join(name);
        let good = fs::read(&path).unwrap();
        for place in (0..good.len()).step_by(good.len() / 97 + 1) {
            let mut changed = good.clone();
            changed[place] ^= 0x10;
            fs::write(&path, changed).unwrap();
            assert!(refuses(&folder, name), "byte {place} of {name}");
            fs::write(&path, &good[..place]).unwrap();
            assert!(refuses(&folder, name), "{place} bytes of {name}");
        }
        fs::write(&path, [good.as_slice(), b"more"].concat()).unwrap();
        assert!(refuses(&folder, name), "{name} with more");
        fs::remove_file(&path).unwrap();
        assert!(refuses(&folder, name), "no {name}");
        fs::write(&path, good).unwrap();
    }
    assert_eq!(everything(&mut network), everything(&mut load(&folder).unwrap()));
}

#[test]
fn should_write_all_of_it_again_after_writing_failed() {
    let folder = Folder::new("again");
    let (mut network, ids) = world();
    let (mut store, _) = Store::open(&folder.0).unwrap();
    store.write(&network.capture(), false).unwrap();
    let saved = everything(&mut network);
    // Something is in the way of the new pack, then of the new state.
    for name in ["pack-2.bin.part", "state-2.cbor.part"] {
        update(&mut network, ids[2], "step", vec![]).unwrap();
        let obstacle = folder.0.join(name);
        fs::create_dir(&obstacle).unwrap();
        let error = store.write(&network.capture(), false).unwrap_err();
        assert!(matches!(error, StateError::Io { .. }), "{error}");
        fs::remove_dir(obstacle).unwrap();
    }
    drop(store);
    let (mut store, loaded) = Store::open(&folder.0).unwrap();
    let mut copy = Network::restore(&test_config(Vec::new()), &mut store, &loaded.unwrap()).unwrap();
    assert_eq!(everything(&mut copy), saved, "what was saved before is there");
    for _ in 0..2 {
        update(&mut copy, ids[2], "step", vec![]).unwrap();
    }
    store.write(&copy.capture(), false).unwrap();
    drop(store);
    assert_eq!(everything(&mut copy), everything(&mut load(&folder).unwrap()));
}

#[test]
fn should_keep_few_packs_and_little_that_is_out_of_use() {
    let folder = Folder::new("packs-of-a-network");
    let (mut network, ids) = world();
    let (mut store, _) = Store::open(&folder.0).unwrap();
    let mut most = 0;
    for number in 0..100 {
        // Each canister changes at times of its own, so pieces of all ages are in use.
        update(&mut network, ids[2 + number % 2], "step", vec![]).unwrap();
        if number % 3 == 0 {
            take(&mut network, &ids, &Step::Chunk { canister: number % 4, byte: number as u8 });
        }
        store.write(&network.capture(), false).unwrap();
        let packs = fs::read_dir(&folder.0)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("pack-"));
        most = most.max(packs.count());
    }
    assert!((2..=33).contains(&most), "{most} packs");
    drop(store);
    assert_eq!(everything(&mut network), everything(&mut load(&folder).unwrap()));
}

#[test]
fn should_go_on_with_a_message_that_was_under_way() {
    let folder = Folder::new("under-way");
    let mut network = network(1);
    let worker = install(&mut network, 0, WORKER);
    let long = network.submit_ingress(call(worker, "work", SLICES[1].to_le_bytes().to_vec())).unwrap().0;
    network.tick();
    let mut network = reload(&mut network, &folder).unwrap();
    assert_eq!(state(&mut network, worker), 0);
    network.tick();
    assert_eq!(network.ingress_status(&long, None).unwrap(), None);
    network.tick();
    assert!(network.ingress_status(&long, None).unwrap().unwrap().is_ok());
    assert_eq!(state(&mut network, worker), 1);
    assert_eq!(total(&network), BALANCE);
}

/// A canister with a heap of 1 GiB, of which `fill` writes to every page.
const LARGE: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (memory 16384)
    (func (export "canister_update fill") (local $at i32)
        (loop $again
            (i32.store (local.get $at) (i32.const 1))
            (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const 1073741824))))
        (call $reply))
    (func (export "canister_update touch") (i32.store (i32.const 4096) (i32.const 2)) (call $reply))
)"#;

#[test]
#[ignore = "measures for a minute"]
fn measure_saving_and_loading() {
    let measure = |name: &str, network: &mut Network, change: &dyn Fn(&mut Network)| {
        let folder = Folder::new("measured");
        let (mut store, _) = Store::open(&folder.0).unwrap();
        let mut write = |what: &str, network: &mut Network| {
            let begin = Instant::now();
            let capture = network.capture();
            let captured = begin.elapsed();
            let written = store.write(&capture, true).unwrap();
            println!("{name}, {what}: captured in {captured:?}, all in {:?}, {written:?}", begin.elapsed());
        };
        write("first", network);
        write("unchanged", network);
        change(network);
        write("one change", network);
        drop(store);
        let begin = Instant::now();
        load(&folder).unwrap();
        println!("{name}: loaded in {:?}", begin.elapsed());
    };
    let mut many = network(1);
    let ids: Vec<_> = (0..100).map(|_| install(&mut many, 0, KEEPER)).collect();
    for id in &ids {
        inside(&mut many, *id).sandbox.as_mut().unwrap().set_stable(crate::execution::StableMemory::zeroed(1));
        update(&mut many, *id, "step", vec![]).unwrap();
    }
    measure("100 canisters", &mut many, &|network| drop(update(network, ids[50], "step", vec![]).unwrap()));
    drop(many);
    let mut heap = network(1);
    let id = install(&mut heap, 0, LARGE);
    update(&mut heap, id, "fill", vec![]).unwrap();
    measure("heap of 1 GiB", &mut heap, &|network| drop(update(network, id, "touch", vec![]).unwrap()));
    drop(heap);
    let mut stable = network(1);
    let id = install(&mut stable, 0, KEEPER);
    let memory = crate::execution::StableMemory::from_bytes(&vec![1; 1 << 30]);
    inside(&mut stable, id).sandbox.as_mut().unwrap().set_stable(memory);
    measure("stable memory of 1 GiB", &mut stable, &|network| drop(update(network, id, "step", vec![]).unwrap()));
}
