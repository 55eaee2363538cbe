//! Reading snapshots: their metadata, and their data slice by slice.

use candid::{Nat, Principal, Reserved};
use ic_management_canister_types as wire;

use super::{charge_snapshot, find_own};
use crate::{
    canister::{Snapshot, SnapshotCode},
    execution::{GlobalValue, StableMemory},
    limits::{CHUNK_BYTES, MAX_SNAPSHOT_SLICE, instructions},
    management::{
        authorization::{canister, canister_mut, check_snapshot_reader},
        memory::{Bill, SubnetUse},
        refusal::Refusal,
    },
    network::Subnet,
};

/// Answers what a snapshot holds besides its data.
pub(in crate::management) fn metadata(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::ReadCanisterSnapshotMetadataArgs,
) -> Result<wire::ReadCanisterSnapshotMetadataResult, Refusal> {
    check_snapshot_reader(canister(subnet, &args.canister_id)?, caller)?;
    let snapshot = find_own(subnet, args.canister_id, &args.snapshot_id)?;
    let (source, module, heap, stable, globals) = match &snapshot.code {
        SnapshotCode::Taken { module, memories } => (
            wire::SnapshotSource::TakenFromCanister(Reserved),
            module.uploaded().len() as u64,
            memories.heap().map_or(0, StableMemory::bytes),
            memories.stable.bytes(),
            memories.globals(),
        ),
        SnapshotCode::Uploaded(code) => (
            wire::SnapshotSource::MetadataUpload(Reserved),
            code.module_bytes,
            code.heap.bytes(),
            code.stable.bytes(),
            code.globals.as_slice(),
        ),
    };
    Ok(wire::ReadCanisterSnapshotMetadataResult {
        source: Some(source),
        taken_at_timestamp: snapshot.taken_at,
        wasm_module_size: module,
        globals: globals.iter().map(|value| Some(global(*value))).collect(),
        wasm_memory_size: heap,
        stable_memory_size: stable,
        wasm_chunk_store: snapshot.chunks.keys().map(|hash| wire::ChunkHash { hash: hash.to_vec() }).collect(),
        canister_version: snapshot.version,
        certified_data: snapshot.certified_data.clone(),
        global_timer: Some(match snapshot.global_timer {
            0 => wire::CanisterTimer::Inactive,
            deadline => wire::CanisterTimer::Active(deadline),
        }),
        on_low_wasm_memory_hook_status: Some(if snapshot.low_memory_hook_due {
            wire::OnLowWasmMemoryHookStatus::Ready
        } else {
            wire::OnLowWasmMemoryHookStatus::ConditionNotSatisfied
        }),
    })
}

fn global(value: GlobalValue) -> wire::SnapshotMetadataGlobal {
    match value {
        GlobalValue::I32(value) => wire::SnapshotMetadataGlobal::I32(value),
        GlobalValue::I64(value) => wire::SnapshotMetadataGlobal::I64(value),
        GlobalValue::F32(bits) => wire::SnapshotMetadataGlobal::F32(f32::from_bits(bits)),
        GlobalValue::F64(bits) => wire::SnapshotMetadataGlobal::F64(f64::from_bits(bits)),
        GlobalValue::V128(value) => wire::SnapshotMetadataGlobal::V128(Nat::from(value)),
    }
}

/// Answers a slice of a snapshot's data, or a whole chunk. The canister pays for it.
pub(in crate::management) fn data(
    subnet: &mut Subnet,
    caller: &Principal,
    args: &wire::ReadCanisterSnapshotDataArgs,
    bill: &mut Bill,
) -> Result<wire::ReadCanisterSnapshotDataResult, Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    check_snapshot_reader(canister(subnet, &args.canister_id)?, caller)?;
    find_own(subnet, args.canister_id, &args.snapshot_id)?;
    let bytes = requested_bytes(&args.kind)?;
    // Paid for what is asked for, before it is known whether that is there.
    let canister = canister_mut(subnet, &args.canister_id)?;
    charge_snapshot(canister, &subnet_use, instructions::SNAPSHOT_DATA_BASE + bytes, bill)?;
    let chunk = slice(find_own(subnet, args.canister_id, &args.snapshot_id)?, &args.kind)?;
    Ok(wire::ReadCanisterSnapshotDataResult { chunk })
}

/// Returns how many bytes are asked for; a chunk counts as a whole one.
fn requested_bytes(kind: &wire::SnapshotDataKind) -> Result<u64, Refusal> {
    let size = match kind {
        wire::SnapshotDataKind::WasmModule { size, .. }
        | wire::SnapshotDataKind::WasmMemory { size, .. }
        | wire::SnapshotDataKind::StableMemory { size, .. } => *size,
        wire::SnapshotDataKind::WasmChunk { .. } => return Ok(CHUNK_BYTES as u64),
    };
    if size > MAX_SNAPSHOT_SLICE { Err(Refusal::SliceTooLarge { size }) } else { Ok(size) }
}

fn slice(snapshot: &Snapshot, kind: &wire::SnapshotDataKind) -> Result<Vec<u8>, Refusal> {
    match (kind, &snapshot.code) {
        (wire::SnapshotDataKind::WasmChunk { hash }, _) => {
            let hash =
                <[u8; 32]>::try_from(hash.as_slice()).map_err(|_| Refusal::ChunkHashInvalid { length: hash.len() })?;
            let chunk = snapshot.chunks.get(&hash).ok_or(Refusal::ChunkNotFound { hash })?;
            Ok(chunk.to_vec())
        }
        (wire::SnapshotDataKind::WasmModule { offset, size }, SnapshotCode::Taken { module, .. }) => {
            let range = checked(*offset, *size, module.uploaded().len() as u64)?;
            Ok(module.uploaded()[range].to_vec())
        }
        (wire::SnapshotDataKind::WasmModule { offset, size }, SnapshotCode::Uploaded(code)) => {
            slice_of(&code.module, *offset, *size, code.module_bytes)
        }
        (wire::SnapshotDataKind::WasmMemory { offset, size }, SnapshotCode::Taken { memories, .. }) => {
            match memories.heap() {
                Some(heap) => slice_of(heap, *offset, *size, heap.bytes()),
                None => checked(*offset, *size, 0).map(|_| Vec::new()),
            }
        }
        (wire::SnapshotDataKind::WasmMemory { offset, size }, SnapshotCode::Uploaded(code)) => {
            slice_of(&code.heap, *offset, *size, code.heap.bytes())
        }
        (wire::SnapshotDataKind::StableMemory { offset, size }, SnapshotCode::Taken { memories, .. }) => {
            slice_of(&memories.stable, *offset, *size, memories.stable.bytes())
        }
        (wire::SnapshotDataKind::StableMemory { offset, size }, SnapshotCode::Uploaded(code)) => {
            slice_of(&code.stable, *offset, *size, code.stable.bytes())
        }
    }
}

fn slice_of(memory: &StableMemory, offset: u64, size: u64, total: u64) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; checked(offset, size, total)?.len()];
    memory.read(offset, &mut bytes);
    Ok(bytes)
}

/// Tests that a slice is of a size that one call may move and lies within the data.
pub(super) fn checked(offset: u64, size: u64, total: u64) -> Result<std::ops::Range<usize>, Refusal> {
    if size > MAX_SNAPSHOT_SLICE {
        return Err(Refusal::SliceTooLarge { size });
    }
    match offset.checked_add(size) {
        Some(end) if end <= total => Ok(offset as usize..end as usize),
        _ => Err(Refusal::SliceOutOfBounds { offset, size }),
    }
}
