//! Uploading snapshots: sizes and small values first, then the data slice by slice.

use std::sync::Arc;

use candid::Principal;
use ic_management_canister_types as wire;
use sha2::{Digest, Sha256};

use super::{charge_snapshot, check_room, find_own, next_id, read::checked};
use crate::{
    canister::{Canister, Chunks, Snapshot, SnapshotCode, UploadedCode},
    execution::{CompiledModule, GlobalValue, Memories, StableMemory, compile},
    limits::{
        CHUNK_BYTES, GLOBAL_BYTES, MAX_CERTIFIED_DATA, MAX_CHUNKS, MAX_GLOBALS, MAX_STABLE_MEMORY, MAX_WASM,
        MAX_WASM64_HEAP, instructions,
    },
    management::{
        arguments::UploadSnapshotDataArgs,
        authorization::{canister_mut, controlled},
        memory::{Bill, SubnetUse, check_heap_delta},
        refusal::Refusal,
    },
    network::Subnet,
};

/// Bytes of a Wasm page, in whole numbers of which memories are.
const WASM_PAGE_BYTES: u64 = 64 << 10;

/// Begins an upload: a snapshot of the sizes given, full of zeros.
pub(in crate::management) fn metadata(
    subnet: &mut Subnet,
    now: u64,
    caller: &Principal,
    args: wire::UploadCanisterSnapshotMetadataArgs,
    bill: &mut Bill,
) -> Result<wire::UploadCanisterSnapshotMetadataResult, Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    let replaced_size = check_room(subnet, caller, args.canister_id, args.replace_snapshot.as_deref())?;
    let canister = canister_mut(subnet, &args.canister_id)?;
    at_most("wasm_module_size", args.wasm_module_size, MAX_WASM as u64)?;
    at_most("globals", args.globals.len() as u64, MAX_GLOBALS as u64)?;
    at_most("certified_data", args.certified_data.len() as u64, MAX_CERTIFIED_DATA as u64)?;
    let size = args.wasm_module_size
        + args.wasm_memory_size.min(MAX_WASM64_HEAP)
        + args.stable_memory_size.min(MAX_STABLE_MEMORY)
        + (args.globals.len() * GLOBAL_BYTES) as u64
        + args.certified_data.len() as u64;
    let snapshot = Snapshot {
        taken_at: now,
        version: canister.version,
        code: SnapshotCode::Uploaded(UploadedCode {
            module: StableMemory::zeroed(args.wasm_module_size.div_ceil(WASM_PAGE_BYTES)),
            module_bytes: args.wasm_module_size,
            heap: zeroed("wasm_memory_size", args.wasm_memory_size, MAX_WASM64_HEAP)?,
            stable: zeroed("stable_memory_size", args.stable_memory_size, MAX_STABLE_MEMORY)?,
            globals: args.globals.into_iter().map(global).collect::<Result<_, _>>()?,
        }),
        chunks: Chunks::new(),
        certified_data: args.certified_data,
        global_timer: match args.global_timer {
            Some(wire::CanisterTimer::Active(deadline)) => deadline,
            Some(wire::CanisterTimer::Inactive) | None => 0,
        },
        low_memory_hook_due: matches!(
            args.on_low_wasm_memory_hook_status,
            Some(wire::OnLowWasmMemoryHookStatus::Ready)
        ),
        size,
    };
    charge_snapshot(canister, &subnet_use, instructions::SNAPSHOT_BASE + size, bill)?;
    grow(canister, &subnet_use, size, replaced_size)?;
    if let Some(id) = &args.replace_snapshot {
        canister.snapshots.remove(id);
    }
    let snapshot_id = next_id(canister);
    canister.snapshots.insert(snapshot_id.clone(), snapshot);
    Ok(wire::UploadCanisterSnapshotMetadataResult { snapshot_id })
}

/// Writes a slice of an uploaded snapshot's data, or adds a chunk to its chunk store.
pub(in crate::management) fn data(
    subnet: &mut Subnet,
    caller: &Principal,
    args: UploadSnapshotDataArgs,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    let rate_limits_disabled = subnet.rate_limits_disabled;
    controlled(subnet, &args.canister_id, caller)?;
    find_own(subnet, args.canister_id, &args.snapshot_id)?;
    let canister = canister_mut(subnet, &args.canister_id)?;
    check_heap_delta(canister, rate_limits_disabled)?;
    let bytes = args.chunk.len() as u64;
    charge_snapshot(canister, &subnet_use, instructions::SNAPSHOT_DATA_BASE + bytes, bill)?;
    let (_, code) = uploaded(canister, &args.snapshot_id)?;
    match args.kind {
        wire::SnapshotDataOffset::WasmModule { offset } => {
            write(&mut code.module, offset, code.module_bytes, &args.chunk)?;
        }
        wire::SnapshotDataOffset::WasmMemory { offset } => {
            let total = code.heap.bytes();
            write(&mut code.heap, offset, total, &args.chunk)?;
        }
        wire::SnapshotDataOffset::StableMemory { offset } => {
            let total = code.stable.bytes();
            write(&mut code.stable, offset, total, &args.chunk)?;
        }
        wire::SnapshotDataOffset::WasmChunk => add_chunk(canister, &subnet_use, &args.snapshot_id, args.chunk)?,
    }
    canister.heap_delta_debt += bytes;
    Ok(())
}

fn write(memory: &mut StableMemory, offset: u64, total: u64, bytes: &[u8]) -> Result<(), Refusal> {
    checked(offset, bytes.len() as u64, total)?;
    memory.write(offset, bytes);
    Ok(())
}

/// Compiles what was uploaded and makes memories of it, for loading.
pub(super) fn put_together(
    canister: &mut Canister,
    subnet_use: &SubnetUse,
    code: UploadedCode,
    bill: &mut Bill,
) -> Result<(Arc<CompiledModule>, Memories), Refusal> {
    let mut bytes = vec![0; code.module_bytes as usize];
    code.module.read(0, &mut bytes);
    let inconsistent = |reason: String| Refusal::SnapshotInconsistent { reason };
    let module = compile(&bytes)?;
    charge_snapshot(canister, subnet_use, module.compile_instructions(), bill)?;
    let memories = Memories::from_parts(&module, code.stable, code.heap, code.globals)?
        .ok_or_else(|| inconsistent("heap and globals are not those of the module".to_string()))?;
    Ok((module, memories))
}

/// Finds a snapshot that was uploaded: its chunk store and its code.
fn uploaded<'a>(canister: &'a mut Canister, id: &[u8]) -> Result<(&'a mut Chunks, &'a mut UploadedCode), Refusal> {
    let canister_id = canister.id;
    let snapshot = canister
        .snapshots
        .get_mut(id)
        .ok_or_else(|| Refusal::SnapshotNotFound { canister: canister_id, id: id.to_vec() })?;
    match &mut snapshot.code {
        SnapshotCode::Uploaded(code) => Ok((&mut snapshot.chunks, code)),
        SnapshotCode::Taken { .. } => Err(Refusal::SnapshotImmutable),
    }
}

fn add_chunk(canister: &mut Canister, subnet_use: &SubnetUse, id: &[u8], chunk: Vec<u8>) -> Result<(), Refusal> {
    if chunk.len() > CHUNK_BYTES {
        return Err(Refusal::ChunkTooLarge { size: chunk.len() });
    }
    let hash: [u8; 32] = Sha256::digest(&chunk).into();
    let (chunks, _) = uploaded(canister, id)?;
    if chunks.contains_key(&hash) {
        return Ok(());
    }
    if chunks.len() >= MAX_CHUNKS {
        return Err(Refusal::ChunkStoreFull);
    }
    grow(canister, subnet_use, CHUNK_BYTES as u64, 0)?;
    let (chunks, _) = uploaded(canister, id)?;
    chunks.insert(hash, Arc::new(chunk));
    if let Some(snapshot) = canister.snapshots.get_mut(id) {
        snapshot.size += CHUNK_BYTES as u64;
    }
    Ok(())
}

/// Tests whether the canister may hold `added` bytes more and `removed` less, and sets cycles aside for them.
fn grow(canister: &mut Canister, subnet_use: &SubnetUse, added: u64, removed: u64) -> Result<(), Refusal> {
    let old = canister.memory_usage();
    let reservation = subnet_use.check_growth(canister, old, old + added - removed)?;
    canister.reserve(reservation);
    Ok(())
}

fn at_most(field: &'static str, value: u64, max: u64) -> Result<(), Refusal> {
    if value > max { Err(Refusal::SnapshotMetadataOutOfRange { field, value, max }) } else { Ok(()) }
}

fn zeroed(field: &'static str, bytes: u64, max: u64) -> Result<StableMemory, Refusal> {
    at_most(field, bytes, max)?;
    if !bytes.is_multiple_of(WASM_PAGE_BYTES) {
        return Err(Refusal::SnapshotNotWholePages { field, bytes });
    }
    Ok(StableMemory::zeroed(bytes / WASM_PAGE_BYTES))
}

fn global(value: wire::SnapshotMetadataGlobal) -> Result<GlobalValue, Refusal> {
    Ok(match value {
        wire::SnapshotMetadataGlobal::I32(value) => GlobalValue::I32(value),
        wire::SnapshotMetadataGlobal::I64(value) => GlobalValue::I64(value),
        wire::SnapshotMetadataGlobal::F32(value) => GlobalValue::F32(value.to_bits()),
        wire::SnapshotMetadataGlobal::F64(value) => GlobalValue::F64(value.to_bits()),
        wire::SnapshotMetadataGlobal::V128(value) => {
            let in_range = u128::try_from(value.0).map_err(|_| Refusal::SnapshotInconsistent {
                reason: "a v128 global has more than 128 bits".to_string(),
            })?;
            GlobalValue::V128(in_range)
        }
    })
}
