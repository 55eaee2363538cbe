//! Snapshots: taking, loading, listing and deleting them; reading and uploading are in modules of their own.

use candid::Principal;
use ic_management_canister_types as wire;

pub(super) mod read;
pub(super) mod upload;

use super::{
    authorization::{canister, canister_mut, check_controller, check_snapshot_reader, controlled},
    lifecycle::{Released, released, uninstall},
    memory::{Bill, SubnetUse, check_heap_delta},
    refusal::Refusal,
};
use crate::{
    canister::{Canister, Change, ChangeDetails, ChangeOrigin, LoadedSnapshot, Snapshot, SnapshotCode},
    execution::Sandbox,
    limits::{CHUNK_BYTES, MAX_SNAPSHOTS, instructions},
    network::Subnet,
};

/// Bytes before the canister's id in the id of a snapshot: its number, big-endian.
const SNAPSHOT_NUMBER_BYTES: usize = 8;

/// Takes a snapshot, in the place of another if the arguments name one; removes the code if they ask for it.
pub(super) fn take(
    subnet: &mut Subnet,
    now: u64,
    caller: &Principal,
    origin: ChangeOrigin,
    args: &wire::TakeCanisterSnapshotArgs,
    bill: &mut Bill,
) -> Result<(wire::Snapshot, Vec<Released>), Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    let replaced_size = check_room(subnet, caller, args.canister_id, args.replace_snapshot.as_deref())?;
    let canister = canister_mut(subnet, &args.canister_id)?;
    let sandbox = canister.sandbox.as_mut().ok_or(Refusal::SnapshotOfEmpty { canister: canister.id })?;
    let snapshot = Snapshot {
        taken_at: now,
        version: canister.version,
        code: SnapshotCode::Taken { module: sandbox.module().clone(), memories: sandbox.memories() },
        chunks: canister.chunks.clone(),
        certified_data: canister.certified_data.clone(),
        global_timer: canister.global_timer,
        low_memory_hook_due: canister.low_memory_hook_due,
        // Metadata is in the module, and does not count again as it does in a canister that runs.
        size: sandbox.module().memory_bytes() - sandbox.module().metadata_bytes()
            + sandbox.heap_bytes()
            + sandbox.stable().bytes()
            + (canister.chunks.len() * CHUNK_BYTES) as u64
            + canister.certified_data.len() as u64,
    };
    let size = snapshot.size;
    charge_snapshot(canister, &subnet_use, instructions::SNAPSHOT_BASE + size, bill)?;
    let old = canister.memory_usage();
    let reservation = subnet_use.check_growth(canister, old, old + size - replaced_size)?;
    canister.reserve(reservation);
    canister.heap_delta_debt += size;
    if let Some(id) = &args.replace_snapshot {
        canister.snapshots.remove(id);
    }
    let id = next_id(canister);
    canister.snapshots.insert(id.clone(), snapshot);
    let released = match args.uninstall_code {
        Some(true) => released(uninstall(canister, now, origin)),
        _ => Vec::new(),
    };
    Ok((wire::Snapshot { id, taken_at_timestamp: now, total_size: size }, released))
}

/// Puts a canister back into the state of a snapshot: its own, or another's that the caller controls too.
pub(super) fn load(
    subnet: &mut Subnet,
    now: u64,
    caller: &Principal,
    origin: ChangeOrigin,
    args: &wire::LoadCanisterSnapshotArgs,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    let rate_limits_disabled = subnet.rate_limits_disabled;
    check_heap_delta(controlled(subnet, &args.canister_id, caller)?, rate_limits_disabled)?;
    let (owner, snapshot) = find(subnet, args.canister_id, &args.snapshot_id)?;
    if owner.id != args.canister_id && !owner.is_controller(caller) {
        return Err(Refusal::SnapshotOwnerNotControlled {
            canister: args.canister_id,
            id: args.snapshot_id.clone(),
            caller: *caller,
        });
    }
    let owner = (owner.id != args.canister_id).then_some(owner.id);
    let snapshot = snapshot.clone();
    let canister = canister_mut(subnet, &args.canister_id)?;
    charge_snapshot(canister, &subnet_use, instructions::SNAPSHOT_BASE + snapshot.size, bill)?;
    let uploaded = matches!(snapshot.code, SnapshotCode::Uploaded(_));
    let (module, memories) = match snapshot.code {
        SnapshotCode::Taken { module, memories } => (module, memories),
        SnapshotCode::Uploaded(code) => upload::put_together(canister, &subnet_use, code, bill)?,
    };
    let sandbox = Sandbox::new(module, memories)?;

    let old = canister.memory_usage();
    let own_code = canister.sandbox.as_ref().map_or(0, code_bytes) + (canister.chunks.len() * CHUNK_BYTES) as u64;
    let new_code = code_bytes(&sandbox) + (snapshot.chunks.len() * CHUNK_BYTES) as u64;
    let reservation = subnet_use.check_growth(canister, old, old - own_code + new_code)?;
    canister.reserve(reservation);

    canister.sandbox = Some(sandbox);
    canister.chunks = snapshot.chunks;
    canister.certified_data = snapshot.certified_data;
    // Timer and hook of a snapshot that was taken are not restored: they stay as they are.
    if uploaded {
        canister.global_timer = snapshot.global_timer;
        canister.low_memory_hook_due = snapshot.low_memory_hook_due;
    }
    canister.heap_delta_debt += snapshot.size;
    canister.version += 1;
    canister.history.record(Change {
        time: now,
        version: canister.version,
        origin,
        details: ChangeDetails::LoadSnapshot(LoadedSnapshot {
            id: args.snapshot_id.clone(),
            version: snapshot.version,
            taken_at: snapshot.taken_at,
            owner,
            uploaded,
        }),
    });
    Ok(())
}

/// Lists a canister's snapshots, oldest first.
pub(super) fn list(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::CanisterIdRecord,
) -> Result<Vec<wire::Snapshot>, Refusal> {
    let canister = canister(subnet, &args.canister_id)?;
    check_snapshot_reader(canister, caller)?;
    Ok(canister
        .snapshots
        .iter()
        .map(|(id, snapshot)| wire::Snapshot {
            id: id.clone(),
            taken_at_timestamp: snapshot.taken_at,
            total_size: snapshot.size,
        })
        .collect())
}

/// Deletes a snapshot.
pub(super) fn delete(
    subnet: &mut Subnet,
    caller: &Principal,
    args: &wire::DeleteCanisterSnapshotArgs,
) -> Result<(), Refusal> {
    check_controller(canister(subnet, &args.canister_id)?, caller)?;
    find_own(subnet, args.canister_id, &args.snapshot_id)?;
    canister_mut(subnet, &args.canister_id)?.snapshots.remove(&args.snapshot_id);
    Ok(())
}

/// Takes the price of work on snapshots from the canister.
fn charge_snapshot(
    canister: &mut Canister,
    subnet_use: &SubnetUse,
    instructions: u64,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    bill.charge_instructions(canister, &subnet_use.cost_model, instructions)
        .map_err(|error| Refusal::SnapshotUnpayable { reason: error.description })
}

/// Makes the id of the canister's next snapshot: a number, then the canister's id.
fn next_id(canister: &mut Canister) -> Vec<u8> {
    let mut id = canister.next_snapshot.to_be_bytes().to_vec();
    id.extend_from_slice(canister.id.as_slice());
    canister.next_snapshot += 1;
    id
}

/// Finds a snapshot on the subnet, with the canister that it belongs to.
fn find<'a>(subnet: &'a Subnet, target: Principal, id: &[u8]) -> Result<(&'a Canister, &'a Snapshot), Refusal> {
    id.get(SNAPSHOT_NUMBER_BYTES..)
        .and_then(|owner| Principal::try_from_slice(owner).ok())
        .and_then(|owner| subnet.canisters.get(&owner))
        .and_then(|owner| Some((owner, owner.snapshots.get(id)?)))
        .ok_or_else(|| Refusal::SnapshotNotFound { canister: target, id: id.to_vec() })
}

/// Finds a snapshot of the canister.
/// Tests that a canister may get a snapshot, if need be in the place of another one, whose size is answered.
fn check_room(
    subnet: &mut Subnet,
    caller: &Principal,
    target: Principal,
    replaced: Option<&[u8]>,
) -> Result<u64, Refusal> {
    let rate_limits_disabled = subnet.rate_limits_disabled;
    controlled(subnet, &target, caller)?;
    let replaced_size = match replaced {
        Some(id) => find_own(subnet, target, id)?.size,
        None => 0,
    };
    let canister = canister(subnet, &target)?;
    if replaced.is_none() && canister.snapshots.len() >= MAX_SNAPSHOTS {
        return Err(Refusal::TooManySnapshots { canister: canister.id });
    }
    check_heap_delta(canister, rate_limits_disabled)?;
    Ok(replaced_size)
}

fn find_own<'a>(subnet: &'a Subnet, target: Principal, id: &[u8]) -> Result<&'a Snapshot, Refusal> {
    let (owner, snapshot) = find(subnet, target, id)?;
    if owner.id != target {
        return Err(Refusal::SnapshotOfAnother { canister: target, id: id.to_vec() });
    }
    Ok(snapshot)
}

fn code_bytes(sandbox: &Sandbox) -> u64 {
    sandbox.module().memory_bytes() + sandbox.heap_bytes() + sandbox.stable().bytes()
}

#[cfg(test)]
mod tests;
