//! Snapshots: taking, loading, listing, deleting, reading and uploading them.

use candid::Principal;
use ic_management_canister_types as wire;
use integration_tests::universal::{self as u, Universal};
use pocket_ic::{ErrorCode, PocketIc, RejectResponse};

use super::world::*;

/// Snapshots that a canister may have.
const MAX_SNAPSHOTS: usize = 10;
/// Largest slice that is read at once.
const MAX_SLICE: u64 = 2_000_000;
/// Instructions that taking and loading cost besides the bytes.
const BASE: u128 = 2_000_000_000;

fn take_as(
    network: &PocketIc,
    sender: Principal,
    id: Principal,
    replaced: Option<Vec<u8>>,
) -> Result<wire::Snapshot, RejectResponse> {
    let args = wire::TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: replaced,
        uninstall_code: None,
        sender_canister_version: None,
    };
    manage(network, sender, id, "take_canister_snapshot", &args).map(|reply| decode(&reply))
}

fn take(canister: &Universal<'_>) -> wire::Snapshot {
    take_as(canister.network, OWNER, canister.id, None).expect("the owner may")
}

fn load(network: &PocketIc, sender: Principal, id: Principal, snapshot: &[u8]) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::LoadCanisterSnapshotArgs {
        canister_id: id,
        snapshot_id: snapshot.to_vec(),
        sender_canister_version: None,
    };
    manage(network, sender, id, "load_canister_snapshot", &args)
}

fn list(network: &PocketIc, id: Principal) -> Vec<wire::Snapshot> {
    decode(&manage(network, OWNER, id, "list_canister_snapshots", &record(id)).expect("the owner may"))
}

fn delete(network: &PocketIc, sender: Principal, id: Principal, snapshot: &[u8]) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::DeleteCanisterSnapshotArgs { canister_id: id, snapshot_id: snapshot.to_vec() };
    manage(network, sender, id, "delete_canister_snapshot", &args)
}

fn read(
    network: &PocketIc,
    id: Principal,
    snapshot: &[u8],
    kind: wire::SnapshotDataKind,
) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::ReadCanisterSnapshotDataArgs { canister_id: id, snapshot_id: snapshot.to_vec(), kind };
    let reply = manage(network, OWNER, id, "read_canister_snapshot_data", &args)?;
    Ok(decode::<wire::ReadCanisterSnapshotDataResult>(&reply).chunk)
}

fn read_metadata(network: &PocketIc, id: Principal, snapshot: &[u8]) -> wire::ReadCanisterSnapshotMetadataResult {
    let args = wire::ReadCanisterSnapshotMetadataArgs { canister_id: id, snapshot_id: snapshot.to_vec() };
    decode(&manage(network, OWNER, id, "read_canister_snapshot_metadata", &args).expect("the owner may"))
}

fn write(
    network: &PocketIc,
    id: Principal,
    snapshot: &[u8],
    kind: wire::SnapshotDataOffset,
    chunk: &[u8],
) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::UploadCanisterSnapshotDataArgs {
        canister_id: id,
        snapshot_id: snapshot.to_vec(),
        kind,
        chunk: chunk.to_vec(),
    };
    manage(network, OWNER, id, "upload_canister_snapshot_data", &args)
}

/// Uploads the metadata of a snapshot like the one given.
fn declare(
    network: &PocketIc,
    id: Principal,
    like: &wire::ReadCanisterSnapshotMetadataResult,
) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::UploadCanisterSnapshotMetadataArgs {
        canister_id: id,
        replace_snapshot: None,
        wasm_module_size: like.wasm_module_size,
        globals: like.globals.iter().flatten().cloned().collect(),
        wasm_memory_size: like.wasm_memory_size,
        stable_memory_size: like.stable_memory_size,
        certified_data: like.certified_data.clone(),
        global_timer: like.global_timer.clone(),
        on_low_wasm_memory_hook_status: like.on_low_wasm_memory_hook_status.clone(),
    };
    let reply = manage(network, OWNER, id, "upload_canister_snapshot_metadata", &args)?;
    Ok(decode::<wire::UploadCanisterSnapshotMetadataResult>(&reply).snapshot_id)
}

fn state(canister: &Universal<'_>) -> Vec<u8> {
    canister.query(program().reply_with(u::load(1))).expect("slots can be read")
}

cases! {
    should_go_back_to_a_snapshot: "loading a snapshot brings heap and stable memory back" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "old").run_int(u::grow_stable(1)).write_stable(0, "old").reply()).unwrap();
        let snapshot = take(&canister);
        canister.update(program().store(1, "new").run_int(u::grow_stable(1)).write_stable(0, "new").reply()).unwrap();
        load(&network, OWNER, canister.id, &snapshot.id).unwrap();
        let both = canister.query(program().append(u::load(1)).append(u::read_stable(0, 3)).append(u::stable_size()).reply());
        assert_eq!(both.unwrap(), [b"oldold".as_slice(), &1_u64.to_le_bytes()].concat());
    }

    should_go_back_to_another_module: "loading a snapshot brings the code back" => {
        with_canister!(network, canister);
        let snapshot = take(&canister);
        let hash = status(&network, canister.id).module_hash;
        let other = u::module().with_section("icp:public other", b"");
        install(&network, OWNER, canister.id, wire::CanisterInstallMode::Reinstall, other.bytes(), program()).unwrap();
        assert_ne!(status(&network, canister.id).module_hash, hash);
        load(&network, OWNER, canister.id, &snapshot.id).unwrap();
        assert_eq!(status(&network, canister.id).module_hash, hash);
    }

    should_restore_the_chunk_store: "loading a snapshot brings the chunk store back" => {
        with_canister!(network, canister);
        let chunk = wire::UploadChunkArgs { canister_id: canister.id, chunk: vec![1] };
        manage(&network, OWNER, canister.id, "upload_chunk", &chunk).unwrap();
        let snapshot = take(&canister);
        manage(&network, OWNER, canister.id, "clear_chunk_store", &record(canister.id)).unwrap();
        load(&network, OWNER, canister.id, &snapshot.id).unwrap();
        assert_eq!(small(&status(&network, canister.id).memory_metrics.wasm_chunk_store_size), u128::from(MIB));
    }

    should_not_take_a_snapshot_of_nothing: "an empty canister has no snapshots" => {
        let network = start();
        let id = network.create_canister();
        assert_eq!(code(take_as(&network, OWNER, id, None)), ErrorCode::CanisterRejectedMessage);
    }

    should_bound_the_number_of_snapshots: "a canister has at most 10 snapshots" => {
        with_canister!(network, canister);
        let ids: Vec<_> = (0..MAX_SNAPSHOTS).map(|_| take(&canister).id).collect();
        assert_eq!(code(take_as(&network, OWNER, canister.id, None)), ErrorCode::CanisterRejectedMessage);
        take_as(&network, OWNER, canister.id, Some(ids[3].clone())).unwrap();
        assert_eq!(list(&network, canister.id).len(), MAX_SNAPSHOTS);
    }

    should_replace_a_snapshot: "a snapshot may take the place of another" => {
        with_canister!(network, canister);
        let first = take(&canister);
        let second = take_as(&network, OWNER, canister.id, Some(first.id.clone())).unwrap();
        let ids: Vec<_> = list(&network, canister.id).into_iter().map(|snapshot| snapshot.id).collect();
        assert_eq!(ids, [second.id]);
        assert_eq!(code(load(&network, OWNER, canister.id, &first.id)), ErrorCode::CanisterSnapshotNotFound);
    }

    should_not_replace_what_is_not_there: "a snapshot to be replaced must exist" => {
        with_canister!(network, canister);
        let first = take(&canister);
        delete(&network, OWNER, canister.id, &first.id).unwrap();
        let result = take_as(&network, OWNER, canister.id, Some(first.id));
        assert_eq!(code(result), ErrorCode::CanisterSnapshotNotFound);
    }

    should_list_and_delete_snapshots: "snapshots are listed in order until they are deleted" => {
        with_canister!(network, canister);
        let (first, second) = (take(&canister), take(&canister));
        assert_eq!(list(&network, canister.id), [first.clone(), second.clone()]);
        delete(&network, OWNER, canister.id, &first.id).unwrap();
        assert_eq!(list(&network, canister.id), [second]);
        assert_eq!(code(delete(&network, OWNER, canister.id, &first.id)), ErrorCode::CanisterSnapshotNotFound);
    }

    should_count_snapshots_as_memory: "a snapshot counts as memory of its canister until it is deleted" => {
        with_canister!(network, canister);
        let before = small(&status(&network, canister.id).memory_size);
        let snapshot = take(&canister);
        let during = status(&network, canister.id);
        assert_eq!(small(&during.memory_metrics.snapshots_size), u128::from(snapshot.total_size));
        assert_eq!(small(&during.memory_size), before + u128::from(snapshot.total_size));
        delete(&network, OWNER, canister.id, &snapshot.id).unwrap();
        assert_eq!(small(&status(&network, canister.id).memory_size), before);
    }

    should_be_as_large_as_the_canister: "a snapshot counts code, heap, globals, stable memory, chunks and certified data" => {
        with_canister!(network, canister);
        let args = wire::UploadChunkArgs { canister_id: canister.id, chunk: vec![1] };
        manage(&network, OWNER, canister.id, "upload_chunk", &args).unwrap();
        canister.update(program().run_int(u::grow_stable(2)).certify("0123456789").reply()).unwrap();
        let metrics = status(&network, canister.id).memory_metrics;
        let parts = [
            &metrics.wasm_memory_size,
            &metrics.stable_memory_size,
            &metrics.global_memory_size,
            &metrics.wasm_binary_size,
            &metrics.wasm_chunk_store_size,
        ];
        let sum: u128 = parts.iter().map(|part| small(part)).sum();
        assert_eq!(u128::from(take(&canister).total_size), sum + 10);
    }

    should_charge_for_taking_and_loading: "taking and loading cost 2 G instructions and one for each byte" => {
        with_canister!(network, canister);
        let controller = Universal::install(&network);
        network.set_controllers(canister.id, None, vec![OWNER, controller.id]).unwrap();
        let before = network.cycle_balance(canister.id);
        let args = wire::TakeCanisterSnapshotArgs {
            canister_id: canister.id,
            replace_snapshot: None,
            uninstall_code: None,
            sender_canister_version: None,
        };
        let snapshot: wire::Snapshot = decode(&controller.manage("take_canister_snapshot", &args, 0).unwrap());
        let price = before - network.cycle_balance(canister.id);
        let expected = BASE + u128::from(snapshot.total_size);
        assert!(price == expected || price == expected + 5_000_000, "{price} instead of {expected}");

        let before = network.cycle_balance(canister.id);
        let args = wire::LoadCanisterSnapshotArgs {
            canister_id: canister.id,
            snapshot_id: snapshot.id,
            sender_canister_version: None,
        };
        controller.manage("load_canister_snapshot", &args, 0).unwrap();
        // Networks may compile the module anew, which costs, too.
        let price = before - network.cycle_balance(canister.id);
        assert!((expected..2 * expected).contains(&price), "{price} instead of {expected}");
    }

    should_not_take_snapshots_of_frozen_canisters: "a frozen canister cannot pay for a snapshot" => {
        with_canister!(network, canister);
        let controller = Universal::install(&network);
        network.set_controllers(canister.id, None, vec![OWNER, controller.id]).unwrap();
        let settings = wire::CanisterSettings { freezing_threshold: Some(u64::MAX.into()), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        let args = wire::TakeCanisterSnapshotArgs {
            canister_id: canister.id,
            replace_snapshot: None,
            uninstall_code: None,
            sender_canister_version: None,
        };
        controller.manage("take_canister_snapshot", &args, 0).unwrap_err();
        assert_eq!(small(&status(&network, canister.id).memory_metrics.snapshots_size), 0);
    }

    should_let_controllers_handle_snapshots_only: "strangers neither take nor load nor list nor delete" => {
        with_canister!(network, canister);
        let snapshot = take(&canister);
        let denied = ErrorCode::CanisterInvalidController;
        assert_eq!(code(take_as(&network, stranger(), canister.id, None)), denied);
        assert_eq!(code(load(&network, stranger(), canister.id, &snapshot.id)), denied);
        assert_eq!(code(delete(&network, stranger(), canister.id, &snapshot.id)), denied);
        let result = manage(&network, stranger(), canister.id, "list_canister_snapshots", &record(canister.id));
        assert_eq!(code(result), denied);
    }

    should_count_a_load_for_the_version: "loading counts for the version and the history" => {
        with_canister!(network, canister);
        let snapshot = take(&canister);
        let before = status(&network, canister.id).version;
        load(&network, OWNER, canister.id, &snapshot.id).unwrap();
        assert_eq!(status(&network, canister.id).version, before + 1);
        let args = wire::CanisterInfoArgs { canister_id: canister.id, num_requested_changes: Some(1) };
        let info: wire::CanisterInfoResult = decode(&canister.manage("canister_info", &args, 0).unwrap());
        let Some(wire::ChangeDetails::LoadSnapshot(loaded)) = &info.recent_changes[0].details else { panic!("{info:?}") };
        assert_eq!(loaded.snapshot_id, snapshot.id);
    }

    should_not_count_taking_for_the_version: "taking a snapshot does not change the canister" => {
        with_canister!(network, canister);
        let before = status(&network, canister.id).version;
        take(&canister);
        assert_eq!(status(&network, canister.id).version, before);
    }

    should_load_the_snapshot_of_another_canister: "who controls both may load one canister's snapshot into another" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        canister.update(program().store(1, "moved").reply()).unwrap();
        let snapshot = take(&canister);
        load(&network, OWNER, other.id, &snapshot.id).unwrap();
        assert_eq!(state(&other), b"moved");
    }

    should_not_load_the_snapshot_of_a_stranger: "loading needs control of the snapshot's canister" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let snapshot = take(&canister);
        network.set_controllers(canister.id, None, vec![user(1)]).unwrap();
        assert_eq!(code(load(&network, OWNER, other.id, &snapshot.id)), ErrorCode::CanisterRejectedMessage);
    }

    should_not_delete_the_snapshot_of_another_canister: "a canister's snapshots are its own" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let snapshot = take(&canister);
        assert_eq!(code(delete(&network, OWNER, other.id, &snapshot.id)), ErrorCode::CanisterRejectedMessage);
        let result = take_as(&network, OWNER, other.id, Some(snapshot.id));
        assert_eq!(code(result), ErrorCode::CanisterRejectedMessage);
    }

    should_empty_a_canister_while_taking: "taking may remove the code" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "kept").reply()).unwrap();
        let args = wire::TakeCanisterSnapshotArgs {
            canister_id: canister.id,
            replace_snapshot: None,
            uninstall_code: Some(true),
            sender_canister_version: None,
        };
        let reply = manage(&network, OWNER, canister.id, "take_canister_snapshot", &args).unwrap();
        let snapshot: wire::Snapshot = decode(&reply);
        assert_eq!(status(&network, canister.id).module_hash, None);
        load(&network, OWNER, canister.id, &snapshot.id).unwrap();
        assert_eq!(state(&canister), b"kept");
    }

    should_lose_snapshots_with_the_canister: "a deleted canister's snapshots are gone" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let snapshot = take(&canister);
        network.stop_canister(canister.id, None).unwrap();
        network.delete_canister(canister.id, None).unwrap();
        assert_eq!(code(load(&network, OWNER, other.id, &snapshot.id)), ErrorCode::CanisterSnapshotNotFound);
    }

    should_read_what_a_snapshot_is: "the metadata tells sizes, version, chunks and certified data" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(2)).certify("data").reply()).unwrap();
        let version = status(&network, canister.id).version;
        let metadata = read_metadata(&network, canister.id, &take(&canister).id);
        assert_eq!(metadata.wasm_module_size, u::module().bytes().len() as u64);
        assert_eq!(metadata.stable_memory_size, 2 * PAGE);
        assert_eq!(u128::from(metadata.wasm_memory_size), small(&status(&network, canister.id).memory_metrics.wasm_memory_size));
        assert_eq!((metadata.canister_version, metadata.certified_data), (version, b"data".to_vec()));
        assert!(metadata.wasm_chunk_store.is_empty());
    }

    should_read_slices: "slices of module and memories can be read" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1)).write_stable(7, "here").reply()).unwrap();
        let id = take(&canister).id;
        let stable = read(&network, canister.id, &id, wire::SnapshotDataKind::StableMemory { offset: 7, size: 4 });
        assert_eq!(stable.unwrap(), b"here");
        let module = u::module().bytes();
        let size = module.len() as u64;
        let read_module = read(&network, canister.id, &id, wire::SnapshotDataKind::WasmModule { offset: 0, size });
        assert_eq!(read_module.unwrap(), module);
    }

    should_bound_slices: "a slice has at most 2,000,000 bytes and lies within the data" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(40)).reply()).unwrap();
        let id = take(&canister).id;
        let slice = |offset, size| read(&network, canister.id, &id, wire::SnapshotDataKind::StableMemory { offset, size });
        assert_eq!(slice(0, MAX_SLICE).unwrap().len() as u64, MAX_SLICE);
        assert_eq!(code(slice(0, MAX_SLICE + 1)), ErrorCode::InvalidManagementPayload);
        assert_eq!(code(slice(40 * PAGE - 1, 2)), ErrorCode::InvalidManagementPayload);
    }

    should_not_write_to_what_was_taken: "only uploaded snapshots can be written to" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1)).reply()).unwrap();
        let id = take(&canister).id;
        let result = write(&network, canister.id, &id, wire::SnapshotDataOffset::StableMemory { offset: 0 }, b"x");
        assert_eq!(code(result), ErrorCode::CanisterSnapshotImmutable);
    }

    should_move_a_canister_by_upload: "a snapshot that was read can be uploaded elsewhere and loaded" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "moved").run_int(u::grow_stable(1)).write_stable(9, "too").reply()).unwrap();
        let taken = take(&canister).id;
        let metadata = read_metadata(&network, canister.id, &taken);
        let other = Universal::install(&network);
        let uploaded = declare(&network, other.id, &metadata).unwrap();
        let size = metadata.wasm_module_size;
        let module = read(&network, canister.id, &taken, wire::SnapshotDataKind::WasmModule { offset: 0, size }).unwrap();
        write(&network, other.id, &uploaded, wire::SnapshotDataOffset::WasmModule { offset: 0 }, &module).unwrap();
        for offset in (0..metadata.wasm_memory_size).step_by(PAGE as usize * 16) {
            let size = (metadata.wasm_memory_size - offset).min(PAGE * 16);
            let slice = read(&network, canister.id, &taken, wire::SnapshotDataKind::WasmMemory { offset, size }).unwrap();
            write(&network, other.id, &uploaded, wire::SnapshotDataOffset::WasmMemory { offset }, &slice).unwrap();
        }
        let stable = read(&network, canister.id, &taken, wire::SnapshotDataKind::StableMemory { offset: 0, size: PAGE });
        write(&network, other.id, &uploaded, wire::SnapshotDataOffset::StableMemory { offset: 0 }, &stable.unwrap()).unwrap();
        load(&network, OWNER, other.id, &uploaded).unwrap();
        let both = other.query(program().append(u::load(1)).append(u::read_stable(9, 3)).reply()).unwrap();
        assert_eq!(both, b"movedtoo");
    }

    should_refuse_uploads_behind_the_end: "what is uploaded must lie within the declared sizes" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1)).reply()).unwrap();
        let metadata = read_metadata(&network, canister.id, &take(&canister).id);
        let uploaded = declare(&network, canister.id, &metadata).unwrap();
        let offset = PAGE - 1;
        let result = write(&network, canister.id, &uploaded, wire::SnapshotDataOffset::StableMemory { offset }, b"xy");
        assert_eq!(code(result), ErrorCode::InvalidManagementPayload);
        write(&network, canister.id, &uploaded, wire::SnapshotDataOffset::StableMemory { offset }, b"x").unwrap();
    }

    should_leave_the_timer_alone: "loading a snapshot that was taken leaves the timer as it is" => {
        with_canister!(network, canister);
        let snapshot = take(&canister);
        canister.update(program().run_int(u::set_timer(u64::MAX)).reply()).unwrap();
        load(&network, OWNER, canister.id, &snapshot.id).unwrap();
        assert_eq!(int(&canister.update(program().reply_with(u::set_timer(0))).unwrap()), u64::MAX);
    }

    should_bound_what_is_declared: "declared sizes are whole pages, and certified data has at most 32 bytes" => {
        with_canister!(network, canister);
        let metadata = read_metadata(&network, canister.id, &take(&canister).id);
        let mut broken = metadata.clone();
        broken.stable_memory_size = PAGE + 1;
        assert_eq!(code(declare(&network, canister.id, &broken)), ErrorCode::InvalidManagementPayload);
        let mut long = metadata.clone();
        long.certified_data = vec![1; 33];
        assert_eq!(code(declare(&network, canister.id, &long)), ErrorCode::InvalidManagementPayload);
        declare(&network, canister.id, &metadata).unwrap();
    }

    should_not_load_half_an_upload: "an uploaded snapshot must be whole" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "kept").reply()).unwrap();
        let metadata = read_metadata(&network, canister.id, &take(&canister).id);
        let uploaded = declare(&network, canister.id, &metadata).unwrap();
        load(&network, OWNER, canister.id, &uploaded).unwrap_err();
        assert_eq!(state(&canister), b"kept");
    }
}
