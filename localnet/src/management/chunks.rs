//! The chunk store: putting chunks in, listing and clearing them, and putting modules together from them.

use std::sync::Arc;

use candid::Principal;
use ic_management_canister_types as wire;
use sha2::{Digest, Sha256};

use super::{
    authorization::{canister, canister_mut, check_controller, check_controller_or_self},
    memory::{Bill, SubnetUse, check_heap_delta},
    refusal::Refusal,
};
use crate::{
    limits::{CHUNK_BYTES, MAX_CHUNKS, instructions},
    network::Subnet,
};

/// Puts a chunk into the store of a canister, which pays for it whether or not that succeeds.
pub(super) fn upload(
    subnet: &mut Subnet,
    caller: &Principal,
    args: wire::UploadChunkArgs,
    bill: &mut Bill,
) -> Result<wire::ChunkHash, Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    let rate_limits_disabled = subnet.rate_limits_disabled;
    let canister = canister_mut(subnet, &args.canister_id)?;
    check_controller_or_self(canister, caller)?;
    bill.charge_instructions(canister, &subnet_use.cost_model, instructions::UPLOAD_CHUNK)
        .map_err(|error| Refusal::UploadUnpayable { reason: error.description })?;
    if args.chunk.len() > CHUNK_BYTES {
        return Err(Refusal::ChunkTooLarge { size: args.chunk.len() });
    }
    let hash: [u8; 32] = Sha256::digest(&args.chunk).into();
    let reply = wire::ChunkHash { hash: hash.to_vec() };
    if canister.chunks.contains_key(&hash) {
        return Ok(reply);
    }
    if canister.chunks.len() >= MAX_CHUNKS {
        return Err(Refusal::ChunkStoreFull);
    }
    check_heap_delta(canister, rate_limits_disabled)?;
    subnet_use.grow(canister, CHUNK_BYTES as u64)?;
    canister.chunks.insert(hash, Arc::new(args.chunk));
    canister.heap_delta_debt += CHUNK_BYTES as u64;
    Ok(reply)
}

/// Lists the hashes of the chunks in the store, sorted.
pub(super) fn stored(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::CanisterIdRecord,
) -> Result<Vec<wire::ChunkHash>, Refusal> {
    let canister = canister(subnet, &args.canister_id)?;
    check_controller_or_self(canister, caller)?;
    Ok(canister.chunks.keys().map(|hash| wire::ChunkHash { hash: hash.to_vec() }).collect())
}

/// Empties the store.
pub(super) fn clear(subnet: &mut Subnet, caller: &Principal, args: &wire::CanisterIdRecord) -> Result<(), Refusal> {
    let canister = canister_mut(subnet, &args.canister_id)?;
    check_controller_or_self(canister, caller)?;
    canister.chunks.clear();
    Ok(())
}

/// A module put together from chunks.
pub(super) struct Assembly {
    /// The module as it was before it was cut.
    pub(super) module: Vec<u8>,
    /// What putting it together costs: one for each byte, counting every chunk as a whole one.
    pub(super) instructions: u64,
}

/// Puts a module together from the store that the arguments name.
pub(super) fn assemble(
    subnet: &Subnet,
    caller: &Principal,
    args: &wire::InstallChunkedCodeArgs,
) -> Result<Assembly, Refusal> {
    if args.chunk_hashes_list.len() > MAX_CHUNKS {
        return Err(Refusal::TooManyChunkHashes { count: args.chunk_hashes_list.len() });
    }
    let store_id = args.store_canister.unwrap_or(args.target_canister);
    let store = subnet.canisters.get(&store_id).ok_or(Refusal::StoreNotFound {
        store: store_id,
        subnet: subnet.id,
        target: args.target_canister,
    })?;
    if *caller != store.id {
        check_controller(store, caller)?;
    }
    if args.wasm_module_hash.len() != 32 {
        return Err(Refusal::ChunkHashInvalid { length: args.wasm_module_hash.len() });
    }
    let mut module = Vec::new();
    for wire::ChunkHash { hash } in &args.chunk_hashes_list {
        let hash =
            <[u8; 32]>::try_from(hash.as_slice()).map_err(|_| Refusal::ChunkHashInvalid { length: hash.len() })?;
        module.extend_from_slice(store.chunks.get(&hash).ok_or(Refusal::ChunkNotFound { hash })?);
    }
    let actual: [u8; 32] = Sha256::digest(&module).into();
    if actual.as_slice() != args.wasm_module_hash {
        return Err(Refusal::ModuleHashMismatch { actual, given: args.wasm_module_hash.clone() });
    }
    let instructions = (args.chunk_hashes_list.len() * CHUNK_BYTES) as u64;
    Ok(Assembly { module, instructions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{ErrorCode, UserResult},
        limits::HEAP_DELTA_RATE_LIMIT,
        management::test_fixtures::{NOW, World, code, decoded, record, user},
    };

    const UPLOAD_PRICE: u128 = instructions::UPLOAD_CHUNK as u128;

    fn put(world: &mut World, caller: Principal, id: Principal, chunk: &[u8]) -> UserResult<Vec<u8>> {
        world.as_user(caller, "upload_chunk", &wire::UploadChunkArgs { canister_id: id, chunk: chunk.to_vec() })
    }

    fn list(world: &mut World, id: Principal) -> Vec<wire::ChunkHash> {
        decoded(world.as_user(user(1), "stored_chunks", &record(id)))
    }

    #[test]
    fn should_store_list_and_clear_chunks_by_hash() {
        let mut world = World::new();
        let id = world.create(user(1));
        let reply: wire::ChunkHash = decoded(put(&mut world, user(1), id, b"abc"));
        assert_eq!(reply.hash, Sha256::digest(b"abc").to_vec());
        put(&mut world, user(1), id, b"").expect("an empty chunk is a chunk");
        let mut hashes = [Sha256::digest(b"abc").to_vec(), Sha256::digest(b"").to_vec()];
        hashes.sort();
        assert_eq!(list(&mut world, id).into_iter().map(|chunk| chunk.hash).collect::<Vec<_>>(), hashes);
        assert_eq!(world.canister(id).memory_usage() >> 20, 2, "a chunk counts as a whole one");
        world.as_user(user(1), "clear_chunk_store", &record(id)).expect("controllers may clear");
        assert!(list(&mut world, id).is_empty());
    }

    #[test]
    fn should_charge_the_canister_also_for_duplicates_and_refused_chunks() {
        let mut world = World::new();
        let id = world.create(user(1));
        let before = world.canister(id).balance;
        put(&mut world, user(1), id, b"abc").expect("the chunk fits");
        put(&mut world, user(1), id, b"abc").expect("a duplicate is fine");
        assert_eq!(code(put(&mut world, user(1), id, &[0; CHUNK_BYTES + 1])), ErrorCode::CanisterContractViolation);
        assert_eq!(world.canister(id).balance, before - 3 * UPLOAD_PRICE);
        assert_eq!(world.subnet.consumed, 3 * UPLOAD_PRICE);
        assert_eq!(world.canister(id).heap_delta_debt, CHUNK_BYTES as u64);
        put(&mut world, user(1), id, &[0; CHUNK_BYTES]).expect("a whole chunk fits");
    }

    #[test]
    fn should_let_controllers_and_the_canister_itself_only() {
        let mut world = World::new();
        let id = world.create(user(1));
        let before = world.canister(id).balance;
        let chunk = wire::UploadChunkArgs { canister_id: id, chunk: vec![1] };
        assert!(world.as_canister(id, "upload_chunk", &chunk, 0).0.is_ok());
        for method in ["stored_chunks", "clear_chunk_store"] {
            assert!(world.as_canister(id, method, &record(id), 0).0.is_ok());
            assert_eq!(code(world.as_user(user(2), method, &record(id))), ErrorCode::CanisterInvalidController);
        }
        assert_eq!(code(put(&mut world, user(2), id, b"abc")), ErrorCode::CanisterInvalidController);
        assert_eq!(world.canister(id).balance, before - UPLOAD_PRICE, "strangers cost nothing");
    }

    #[test]
    fn should_refuse_a_canister_that_cannot_pay() {
        let mut world = World::new();
        let id = world.create_with(user(1), Some(UPLOAD_PRICE));
        assert_eq!(code(put(&mut world, user(1), id, b"abc")), ErrorCode::CanisterContractViolation);
        assert_eq!(world.canister(id).balance, UPLOAD_PRICE);
        world.canister(id).balance = UPLOAD_PRICE + 20_000_000;
        let answer = put(&mut world, user(1), id, b"abc");
        assert_eq!(code(answer), ErrorCode::InsufficientCyclesInMemoryGrow, "thirty days of storage are not covered");
        assert!(world.canister(id).chunks.is_empty());
    }

    #[test]
    fn should_hold_a_hundred_chunks() {
        let mut world = World::new();
        world.subnet.rate_limits_disabled = true;
        let id = world.create(user(1));
        for number in 0..MAX_CHUNKS {
            put(&mut world, user(1), id, &number.to_be_bytes()).expect("there is room");
        }
        assert_eq!(code(put(&mut world, user(1), id, b"more")), ErrorCode::CanisterContractViolation);
        put(&mut world, user(1), id, &0_usize.to_be_bytes()).expect("a duplicate needs no room");
    }

    #[test]
    fn should_limit_how_many_chunks_a_round_takes() {
        let mut world = World::new();
        let id = world.create(user(1));
        let per_round = HEAP_DELTA_RATE_LIMIT as usize / CHUNK_BYTES;
        for number in 0..per_round {
            put(&mut world, user(1), id, &number.to_be_bytes()).expect("there is room");
        }
        assert_eq!(code(put(&mut world, user(1), id, b"more")), ErrorCode::CanisterHeapDeltaRateLimited);
        world.canister(id).heap_delta_debt = HEAP_DELTA_RATE_LIMIT - 1;
        assert!(put(&mut world, user(1), id, b"more").is_ok());
    }

    fn chunked(target: Principal, store: Option<Principal>, chunks: &[&[u8]]) -> wire::InstallChunkedCodeArgs {
        wire::InstallChunkedCodeArgs {
            mode: wire::CanisterInstallMode::Install,
            target_canister: target,
            store_canister: store,
            chunk_hashes_list: chunks
                .iter()
                .map(|chunk| wire::ChunkHash { hash: Sha256::digest(chunk).to_vec() })
                .collect(),
            wasm_module_hash: Sha256::digest(chunks.concat()).to_vec(),
            arg: Vec::new(),
            sender_canister_version: None,
        }
    }

    fn refusal(world: &World, caller: Principal, args: &wire::InstallChunkedCodeArgs) -> Refusal {
        assemble(&world.subnet, &caller, args).err().expect("assembly must fail")
    }

    #[test]
    fn should_put_modules_together_in_order_and_with_repetition() {
        let mut world = World::new();
        let target = world.create(user(1));
        put(&mut world, user(1), target, b"ab").expect("the chunk fits");
        put(&mut world, user(1), target, b"c").expect("the chunk fits");
        let assembly = assemble(&world.subnet, &user(1), &chunked(target, None, &[b"c", b"ab", b"c"]));
        let assembly = assembly.expect("all chunks are there");
        assert_eq!(assembly.module, b"cabc");
        assert_eq!(assembly.instructions, 3 << 20);
    }

    #[test]
    fn should_let_a_store_install_from_itself_without_controlling_itself() {
        let mut world = World::new();
        let (target, store) = (world.create(user(1)), world.create(user(1)));
        put(&mut world, user(1), store, b"ab").expect("the chunk fits");
        let args = chunked(target, Some(store), &[b"ab"]);
        assert!(assemble(&world.subnet, &store, &args).is_ok());
        let refused = refusal(&world, user(2), &args);
        assert!(matches!(refused, Refusal::NotController { canister, .. } if canister == store), "{refused:?}");
        // The store may read its chunks, but the target is not its to install.
        let (answer, _) = world.as_canister(store, "install_chunked_code", &args, 0);
        assert_eq!(code(answer), ErrorCode::CanisterInvalidController);
    }

    #[test]
    fn should_name_what_is_wrong_with_a_chunk_list() {
        let mut world = World::new();
        let target = world.create(user(1));
        put(&mut world, user(1), target, b"ab").expect("the chunk fits");
        let sound = chunked(target, None, &[b"ab"]);

        let elsewhere = chunked(target, Some(user(3)), &[b"ab"]);
        let expected = Refusal::StoreNotFound { store: user(3), subnet: world.subnet.id, target };
        assert_eq!(refusal(&world, user(1), &elsewhere), expected);

        let missing = chunked(target, None, &[b"zz"]);
        assert!(matches!(refusal(&world, user(1), &missing), Refusal::ChunkNotFound { .. }));

        let mut wrong = sound.clone();
        wrong.wasm_module_hash = vec![0; 32];
        assert!(matches!(refusal(&world, user(1), &wrong), Refusal::ModuleHashMismatch { .. }));
        wrong.wasm_module_hash = vec![0; 31];
        assert_eq!(refusal(&world, user(1), &wrong), Refusal::ChunkHashInvalid { length: 31 });
        let mut short = sound.clone();
        short.chunk_hashes_list[0].hash.pop();
        assert_eq!(refusal(&world, user(1), &short), Refusal::ChunkHashInvalid { length: 31 });

        let most = chunked(target, None, &vec![b"ab".as_slice(); MAX_CHUNKS]);
        assert!(assemble(&world.subnet, &user(1), &most).is_ok());
        let too_many = chunked(target, None, &vec![b"ab".as_slice(); MAX_CHUNKS + 1]);
        assert_eq!(refusal(&world, user(1), &too_many), Refusal::TooManyChunkHashes { count: MAX_CHUNKS + 1 });
    }

    #[test]
    fn should_keep_chunks_in_a_stopped_canister_and_lose_them_with_the_code() {
        let mut world = World::new();
        let id = world.create(user(1));
        world.canister(id).status = crate::canister::Status::Stopped;
        put(&mut world, user(1), id, b"ab").expect("a stopped canister stores chunks");
        crate::management::uninstall(world.canister(id), NOW, crate::canister::ChangeOrigin::User(user(1)));
        assert!(list(&mut world, id).is_empty());
    }
}
