//! Tests of snapshots, with canisters that keep a number.

use super::*;
use crate::{
    error::{ErrorCode, UserResult},
    management::test_fixtures::{World, code, decoded, record, user},
};

/// Keeps a version in its first stable byte: 1 after init, one more after each upgrade.
const COUNTER: &str = r#"(module
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (memory 1)
    (func $count
        (call $read (i64.const 0) (i64.const 0) (i64.const 1))
        (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
        (call $write (i64.const 0) (i64.const 0) (i64.const 1)))
    (func (export "canister_init") (drop (call $grow (i64.const 1))) (call $count))
    (func (export "canister_post_upgrade") (call $count)))"#;

fn world_with_counter() -> (World, Principal) {
    let mut world = World::new();
    world.subnet.rate_limits_disabled = true;
    let id = world.create(user(1));
    install(&mut world, id, wire::CanisterInstallMode::Install);
    (world, id)
}

fn install(world: &mut World, id: Principal, mode: wire::CanisterInstallMode) {
    let args = wire::InstallCodeArgs {
        mode,
        canister_id: id,
        wasm_module: wat::parse_str(COUNTER).expect("test modules are valid"),
        arg: Vec::new(),
        sender_canister_version: None,
    };
    world.as_user(user(1), "install_code", &args).expect("the counter installs");
}

fn count(world: &mut World, id: Principal) -> u8 {
    world.canister(id).sandbox.as_ref().expect("code is installed").stable().to_bytes()[0]
}

fn take_args(id: Principal, replace: Option<&[u8]>) -> wire::TakeCanisterSnapshotArgs {
    wire::TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: replace.map(<[u8]>::to_vec),
        uninstall_code: None,
        sender_canister_version: None,
    }
}

fn take(world: &mut World, id: Principal, replace: Option<&[u8]>) -> UserResult<Vec<u8>> {
    world.as_user(user(1), "take_canister_snapshot", &take_args(id, replace))
}

fn taken(world: &mut World, id: Principal) -> wire::Snapshot {
    decoded(take(world, id, None))
}

fn load(world: &mut World, caller: Principal, id: Principal, snapshot: &[u8]) -> UserResult<Vec<u8>> {
    let args = wire::LoadCanisterSnapshotArgs {
        canister_id: id,
        snapshot_id: snapshot.to_vec(),
        sender_canister_version: None,
    };
    world.as_user(caller, "load_canister_snapshot", &args)
}

fn delete(world: &mut World, id: Principal, snapshot: &[u8]) -> UserResult<Vec<u8>> {
    let args = wire::DeleteCanisterSnapshotArgs { canister_id: id, snapshot_id: snapshot.to_vec() };
    world.as_user(user(1), "delete_canister_snapshot", &args)
}

fn listed(world: &mut World, id: Principal) -> Vec<wire::Snapshot> {
    decoded(world.as_user(user(1), "list_canister_snapshots", &record(id)))
}

#[test]
fn should_return_to_the_state_of_the_snapshot() {
    let (mut world, id) = world_with_counter();
    world.canister(id).certified_data = vec![1];
    world.canister(id).global_timer = 5;
    let snapshot = taken(&mut world, id);
    install(&mut world, id, wire::CanisterInstallMode::Upgrade(None));
    world.canister(id).certified_data = vec![2];
    assert_eq!(count(&mut world, id), 2);
    let version = world.canister(id).version;
    load(&mut world, user(1), id, &snapshot.id).expect("it is its own snapshot");
    assert_eq!(count(&mut world, id), 1);
    let canister = world.canister(id);
    assert_eq!((canister.certified_data.as_slice(), canister.global_timer), ([1].as_slice(), 0));
    assert_eq!(canister.version, version + 1);
    let loaded = LoadedSnapshot {
        id: snapshot.id.clone(),
        version: 1,
        taken_at: snapshot.taken_at_timestamp,
        owner: None,
        uploaded: false,
    };
    assert_eq!(canister.history.recent.back().map(|c| &c.details), Some(&ChangeDetails::LoadSnapshot(loaded)));
    install(&mut world, id, wire::CanisterInstallMode::Upgrade(None));
    assert_eq!(count(&mut world, id), 2, "the loaded code runs");
    load(&mut world, user(1), id, &snapshot.id).expect("a snapshot can be loaded again");
    assert_eq!(count(&mut world, id), 1, "a snapshot does not change by what was loaded from it");
}

#[test]
fn should_keep_the_chunk_store_in_the_snapshot() {
    let (mut world, id) = world_with_counter();
    let chunk = wire::UploadChunkArgs { canister_id: id, chunk: vec![1] };
    world.as_user(user(1), "upload_chunk", &chunk).expect("the chunk fits");
    let snapshot = taken(&mut world, id);
    world.canister(id).chunks.clear();
    load(&mut world, user(1), id, &snapshot.id).expect("it is its own snapshot");
    assert_eq!(world.canister(id).chunks.len(), 1);
}

#[test]
fn should_list_oldest_first_and_count_their_memory() {
    let (mut world, id) = world_with_counter();
    let before = world.canister(id).memory_usage();
    let (one, two) = (taken(&mut world, id), taken(&mut world, id));
    assert_eq!(listed(&mut world, id), [one.clone(), two.clone()]);
    assert_eq!(world.canister(id).memory_usage(), before + one.total_size + two.total_size);
    delete(&mut world, id, &one.id).expect("it is there");
    assert_eq!(listed(&mut world, id), [two]);
    assert_eq!(code(delete(&mut world, id, &one.id)), ErrorCode::CanisterSnapshotNotFound);
}

#[test]
fn should_hold_ten_snapshots_and_replace_one_beyond() {
    let (mut world, id) = world_with_counter();
    let first = taken(&mut world, id);
    for _ in 1..MAX_SNAPSHOTS {
        taken(&mut world, id);
    }
    assert_eq!(code(take(&mut world, id, None)), ErrorCode::CanisterRejectedMessage);
    let replacing: wire::Snapshot = decoded(take(&mut world, id, Some(&first.id)));
    let ids: Vec<_> = listed(&mut world, id).into_iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(ids.len(), MAX_SNAPSHOTS);
    assert!(!ids.contains(&first.id) && ids.contains(&replacing.id));
    assert_eq!(code(take(&mut world, id, Some(&first.id))), ErrorCode::CanisterSnapshotNotFound);
}

#[test]
fn should_charge_the_work_to_the_canister() {
    let (mut world, id) = world_with_counter();
    let before = world.canister(id).balance;
    let snapshot = taken(&mut world, id);
    let price = u128::from(instructions::SNAPSHOT_BASE + snapshot.total_size);
    assert_eq!(before - world.canister(id).balance, price);
    load(&mut world, user(1), id, &snapshot.id).expect("it is its own snapshot");
    assert_eq!(before - world.canister(id).balance, 2 * price);
    world.canister(id).balance = price;
    assert_eq!(code(take(&mut world, id, None)), ErrorCode::CanisterOutOfCycles);
    assert_eq!(code(load(&mut world, user(1), id, &snapshot.id)), ErrorCode::CanisterOutOfCycles);
}

#[test]
fn should_refuse_empty_canisters_and_strangers() {
    let (mut world, id) = world_with_counter();
    let empty = world.create(user(1));
    assert_eq!(code(take(&mut world, empty, None)), ErrorCode::CanisterRejectedMessage);
    let stranger = world.as_user(user(2), "take_canister_snapshot", &take_args(id, None));
    assert_eq!(code(stranger), ErrorCode::CanisterInvalidController);
    let snapshot = taken(&mut world, id);
    assert_eq!(code(load(&mut world, user(2), id, &snapshot.id)), ErrorCode::CanisterInvalidController);
    assert_eq!(code(load(&mut world, user(1), id, b"short")), ErrorCode::CanisterSnapshotNotFound);
}

#[test]
fn should_load_another_canisters_snapshot_for_controllers_of_both() {
    let (mut world, id) = world_with_counter();
    let snapshot = taken(&mut world, id);
    let other = world.create(user(1));
    load(&mut world, user(1), other, &snapshot.id).expect("the caller controls both");
    assert_eq!(count(&mut world, other), 1);
    let foreign = world.create(user(2));
    let refused = load(&mut world, user(2), foreign, &snapshot.id);
    assert_eq!(code(refused), ErrorCode::CanisterRejectedMessage);
    assert_eq!(code(delete(&mut world, other, &snapshot.id)), ErrorCode::CanisterRejectedMessage);
}

#[test]
fn should_uninstall_the_code_when_asked_to() {
    let (mut world, id) = world_with_counter();
    world.open_call(id, 21);
    let args = wire::TakeCanisterSnapshotArgs { uninstall_code: Some(true), ..take_args(id, None) };
    let (answer, released) = world.as_user_releasing(user(1), "take_canister_snapshot", &args);
    let snapshot: wire::Snapshot = decoded(answer);
    assert_eq!(released.iter().map(|(_, cycles, _)| *cycles).collect::<Vec<_>>(), [21]);
    assert!(world.canister(id).sandbox.is_none());
    load(&mut world, user(1), id, &snapshot.id).expect("the snapshot outlives the code");
    assert_eq!(count(&mut world, id), 1);
}

#[test]
fn should_wait_while_too_much_memory_changed() {
    let (mut world, id) = world_with_counter();
    let snapshot = taken(&mut world, id);
    world.subnet.rate_limits_disabled = false;
    world.canister(id).heap_delta_debt = crate::limits::HEAP_DELTA_RATE_LIMIT;
    assert_eq!(code(take(&mut world, id, None)), ErrorCode::CanisterHeapDeltaRateLimited);
    assert_eq!(code(load(&mut world, user(1), id, &snapshot.id)), ErrorCode::CanisterHeapDeltaRateLimited);
}

/// Keeps a number in a global and in the heap. Traps before an upgrade when it does not have both, and after one that
/// did not keep the heap or did not begin with fresh globals.
const ROUNDED: &str = r#"(module (@custom "icp:private enhanced-orthogonal-persistence" "")
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (memory 1)
    (global $number (mut i64) (i64.const 0))
    (global $fraction (mut f64) (f64.const 0.5))
    (func (export "canister_init") (global.set $number (i64.const 77)) (i64.store (i32.const 8) (i64.const 77)))
    (func (export "canister_pre_upgrade")
        (if (i64.ne (i64.load (i32.const 8)) (global.get $number)) (then (call $trap (i32.const 0) (i32.const 0))))
        (if (i64.ne (i64.const 77) (global.get $number)) (then (call $trap (i32.const 0) (i32.const 0)))))
    (func (export "canister_post_upgrade")
        (if (i64.ne (i64.load (i32.const 8)) (i64.const 77)) (then (call $trap (i32.const 0) (i32.const 0))))
        (if (i64.ne (i64.const 0) (global.get $number)) (then (call $trap (i32.const 0) (i32.const 0))))))"#;

fn read_metadata(world: &mut World, id: Principal, snapshot: &[u8]) -> wire::ReadCanisterSnapshotMetadataResult {
    let args = wire::ReadCanisterSnapshotMetadataArgs { canister_id: id, snapshot_id: snapshot.to_vec() };
    decoded(world.as_user(user(1), "read_canister_snapshot_metadata", &args))
}

fn read(world: &mut World, id: Principal, snapshot: &[u8], kind: wire::SnapshotDataKind) -> UserResult<Vec<u8>> {
    let args = wire::ReadCanisterSnapshotDataArgs { canister_id: id, snapshot_id: snapshot.to_vec(), kind };
    let reply = world.as_user(user(1), "read_canister_snapshot_data", &args)?;
    Ok(decoded::<wire::ReadCanisterSnapshotDataResult>(Ok(reply)).chunk)
}

fn upload(
    world: &mut World,
    id: Principal,
    snapshot: &[u8],
    kind: wire::SnapshotDataOffset,
    chunk: &[u8],
) -> UserResult<Vec<u8>> {
    let args = wire::UploadCanisterSnapshotDataArgs {
        canister_id: id,
        snapshot_id: snapshot.to_vec(),
        kind,
        chunk: chunk.to_vec(),
    };
    world.as_user(user(1), "upload_canister_snapshot_data", &args)
}

fn begin(world: &mut World, args: &wire::UploadCanisterSnapshotMetadataArgs) -> UserResult<Vec<u8>> {
    let reply = world.as_user(user(1), "upload_canister_snapshot_metadata", args)?;
    Ok(decoded::<wire::UploadCanisterSnapshotMetadataResult>(Ok(reply)).snapshot_id)
}

fn nothing_in(id: Principal) -> wire::UploadCanisterSnapshotMetadataArgs {
    wire::UploadCanisterSnapshotMetadataArgs {
        canister_id: id,
        replace_snapshot: None,
        wasm_module_size: 0,
        globals: Vec::new(),
        wasm_memory_size: 0,
        stable_memory_size: 0,
        certified_data: Vec::new(),
        global_timer: None,
        on_low_wasm_memory_hook_status: None,
    }
}

/// Copies a snapshot from one canister to another through the interface.
fn copy(world: &mut World, from: Principal, snapshot: &[u8], to: Principal) -> Vec<u8> {
    let metadata = read_metadata(world, from, snapshot);
    let args = wire::UploadCanisterSnapshotMetadataArgs {
        wasm_module_size: metadata.wasm_module_size,
        globals: metadata.globals.into_iter().map(|global| global.expect("it is known")).collect(),
        wasm_memory_size: metadata.wasm_memory_size,
        stable_memory_size: metadata.stable_memory_size,
        certified_data: metadata.certified_data,
        global_timer: Some(wire::CanisterTimer::Active(123)),
        ..nothing_in(to)
    };
    let copy = begin(world, &args).expect("the sizes are valid");
    let size = metadata.wasm_module_size;
    let bytes =
        read(world, from, snapshot, wire::SnapshotDataKind::WasmModule { offset: 0, size }).expect("it is there");
    upload(world, to, &copy, wire::SnapshotDataOffset::WasmModule { offset: 0 }, &bytes).expect("it fits");
    let size = metadata.wasm_memory_size;
    let bytes =
        read(world, from, snapshot, wire::SnapshotDataKind::WasmMemory { offset: 0, size }).expect("it is there");
    upload(world, to, &copy, wire::SnapshotDataOffset::WasmMemory { offset: 0 }, &bytes).expect("it fits");
    let size = metadata.stable_memory_size;
    let kind = wire::SnapshotDataKind::StableMemory { offset: 0, size };
    let bytes = read(world, from, snapshot, kind).expect("it is there");
    upload(world, to, &copy, wire::SnapshotDataOffset::StableMemory { offset: 0 }, &bytes).expect("it fits");
    for wire::ChunkHash { hash } in metadata.wasm_chunk_store {
        let bytes = read(world, from, snapshot, wire::SnapshotDataKind::WasmChunk { hash }).expect("it is there");
        upload(world, to, &copy, wire::SnapshotDataOffset::WasmChunk, &bytes).expect("it fits");
    }
    copy
}

#[test]
fn should_carry_a_canister_to_another_by_reading_and_uploading() {
    let (mut world, id) = world_with_counter();
    world.canister(id).certified_data = vec![4];
    let chunk = wire::UploadChunkArgs { canister_id: id, chunk: vec![1] };
    world.as_user(user(1), "upload_chunk", &chunk).expect("the chunk fits");
    let snapshot = taken(&mut world, id);
    let other = world.create(user(1));
    let copied = copy(&mut world, id, &snapshot.id, other);
    let metadata = read_metadata(&mut world, other, &copied);
    assert!(matches!(metadata.source, Some(wire::SnapshotSource::MetadataUpload(_))));
    load(&mut world, user(1), other, &copied).expect("the snapshot is whole");
    assert_eq!(count(&mut world, other), 1);
    let (original, copy) =
        (world.canister(id).module().map(|m| m.hash()), world.canister(other).module().map(|m| m.hash()));
    assert_eq!(original, copy);
    let canister = world.canister(other);
    assert_eq!((canister.certified_data.as_slice(), canister.global_timer), ([4].as_slice(), 123));
    assert_eq!(canister.chunks.len(), 1);
    install(&mut world, other, wire::CanisterInstallMode::Upgrade(None));
    assert_eq!(count(&mut world, other), 2);
}

#[test]
fn should_carry_heap_and_globals_but_begin_upgrades_with_fresh_globals() {
    let mut world = World::new();
    world.subnet.rate_limits_disabled = true;
    let (id, other) = (world.create(user(1)), world.create(user(1)));
    let args = |canister_id, mode| wire::InstallCodeArgs {
        mode,
        canister_id,
        wasm_module: wat::parse_str(ROUNDED).expect("test modules are valid"),
        arg: Vec::new(),
        sender_canister_version: None,
    };
    let install = args(id, wire::CanisterInstallMode::Install);
    world.as_user(user(1), "install_code", &install).expect("it installs");
    let snapshot = taken(&mut world, id);
    assert_eq!(read_metadata(&mut world, id, &snapshot.id).globals.len(), 2);
    let copied = copy(&mut world, id, &snapshot.id, other);
    load(&mut world, user(1), other, &copied).expect("the snapshot is whole");
    let flags =
        wire::UpgradeFlags { skip_pre_upgrade: None, wasm_memory_persistence: Some(wire::WasmMemoryPersistence::Keep) };
    let upgrade = args(other, wire::CanisterInstallMode::Upgrade(Some(flags)));
    world.as_user(user(1), "install_code", &upgrade).expect("the number is there");
}

#[test]
fn should_refuse_an_upload_that_does_not_fit_together() {
    let (mut world, id) = world_with_counter();
    let snapshot = taken(&mut world, id);
    let module = wat::parse_str(COUNTER).expect("test modules are valid");
    let globals = [vec![wire::SnapshotMetadataGlobal::I32(1)], vec![]];
    for (number, globals) in globals.into_iter().enumerate() {
        let args = wire::UploadCanisterSnapshotMetadataArgs {
            wasm_module_size: module.len() as u64,
            wasm_memory_size: 1 << 16,
            globals,
            ..nothing_in(id)
        };
        let uploaded = begin(&mut world, &args).expect("the sizes are valid");
        let before = world.canister(id).version;
        assert_eq!(code(load(&mut world, user(1), id, &uploaded)), ErrorCode::CanisterInvalidWasm, "no module");
        upload(&mut world, id, &uploaded, wire::SnapshotDataOffset::WasmModule { offset: 0 }, &module)
            .expect("it fits");
        let answer = load(&mut world, user(1), id, &uploaded);
        if number == 0 {
            assert_eq!(code(answer), ErrorCode::InvalidManagementPayload, "the module has no such global");
            assert_eq!(world.canister(id).version, before);
        } else {
            answer.expect("now it fits");
        }
    }
    let kind = wire::SnapshotDataOffset::WasmMemory { offset: 0 };
    let answer = upload(&mut world, id, &snapshot.id, kind, b"x");
    assert_eq!(code(answer), ErrorCode::CanisterSnapshotImmutable);
}

#[test]
fn should_bound_slices() {
    let (mut world, id) = world_with_counter();
    let args = wire::UploadCanisterSnapshotMetadataArgs { stable_memory_size: 4 << 20, ..nothing_in(id) };
    let snapshot = begin(&mut world, &args).expect("the sizes are valid");
    let kind = |offset, size| wire::SnapshotDataKind::StableMemory { offset, size };
    let limit = crate::limits::MAX_SNAPSHOT_SLICE;
    assert_eq!(read(&mut world, id, &snapshot, kind(5, limit)).map(|bytes| bytes.len() as u64), Ok(limit));
    for (offset, size) in [(5, limit + 1), ((4 << 20) - 5, 6), (u64::MAX, 1)] {
        assert_eq!(code(read(&mut world, id, &snapshot, kind(offset, size))), ErrorCode::InvalidManagementPayload);
    }
    let at = |offset| wire::SnapshotDataOffset::StableMemory { offset };
    upload(&mut world, id, &snapshot, at((4 << 20) - 3), b"end").expect("it just fits");
    assert_eq!(read(&mut world, id, &snapshot, kind((4 << 20) - 4, 4)), Ok(b"\0end".to_vec()));
    for offset in [(4 << 20) - 2, u64::MAX] {
        assert_eq!(code(upload(&mut world, id, &snapshot, at(offset), b"end")), ErrorCode::InvalidManagementPayload);
    }
    let large = vec![1; limit as usize + 1];
    assert_eq!(code(upload(&mut world, id, &snapshot, at(0), &large)), ErrorCode::InvalidManagementPayload);
}

#[test]
fn should_bound_the_sizes_of_uploads() {
    let (mut world, id) = world_with_counter();
    world.canister(id).balance = 1 << 80;
    type Change = fn(&mut wire::UploadCanisterSnapshotMetadataArgs, u64);
    let table: [(Change, u64, u64); 4] = [
        (|args, size| args.wasm_module_size = size, 100 << 20, 1),
        (|args, size| args.wasm_memory_size = size, 6 << 30, 65_536),
        (|args, size| args.stable_memory_size = size, 500 << 30, 65_536),
        (|args, size| args.certified_data = vec![0; size as usize], 32, 1),
    ];
    for (change, limit, step) in table {
        let mut args = nothing_in(id);
        change(&mut args, limit);
        assert!(begin(&mut world, &args).is_ok());
        change(&mut args, limit + step);
        assert_eq!(code(begin(&mut world, &args)), ErrorCode::InvalidManagementPayload);
    }
    let args = wire::UploadCanisterSnapshotMetadataArgs { wasm_memory_size: 1, ..nothing_in(id) };
    assert_eq!(code(begin(&mut world, &args)), ErrorCode::InvalidManagementPayload);
}

#[test]
fn should_show_snapshots_to_those_whom_the_settings_allow() {
    let (mut world, id) = world_with_counter();
    let snapshot = taken(&mut world, id);
    let args = wire::ReadCanisterSnapshotMetadataArgs { canister_id: id, snapshot_id: snapshot.id.clone() };
    let denied = world.as_user(user(2), "read_canister_snapshot_metadata", &args);
    assert_eq!(code(denied), ErrorCode::CanisterInvalidController);
    world.canister(id).settings.snapshot_visibility = crate::canister::Viewers::Public;
    assert!(world.as_user(user(2), "read_canister_snapshot_metadata", &args).is_ok());
    let stranger = world.as_user(user(2), "upload_canister_snapshot_metadata", &nothing_in(id));
    assert_eq!(code(stranger), ErrorCode::CanisterInvalidController);
}
