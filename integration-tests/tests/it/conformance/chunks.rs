//! The chunk store, and installing from it.

use candid::Principal;
use depot_types::Hash;
use ic_management_canister_types as wire;
use integration_tests::universal::{self as u, Universal};
use pocket_ic::{ErrorCode, PocketIc, RejectResponse};

use super::world::*;

/// Chunks that a store holds.
const MAX_CHUNKS: usize = 100;
/// What an upload costs, without or with the fee of an execution.
const UPLOAD_PRICES: [u128; 2] = [200_000_000, 205_000_000];

fn upload(network: &PocketIc, sender: Principal, id: Principal, chunk: &[u8]) -> Result<Vec<u8>, RejectResponse> {
    let args = wire::UploadChunkArgs { canister_id: id, chunk: chunk.to_vec() };
    manage(network, sender, id, "upload_chunk", &args)
}

fn stored(network: &PocketIc, id: Principal) -> Vec<Vec<u8>> {
    let reply = manage(network, OWNER, id, "stored_chunks", &record(id)).expect("the owner may");
    decode::<Vec<wire::ChunkHash>>(&reply).into_iter().map(|chunk| chunk.hash).collect()
}

fn hash_of(bytes: &[u8]) -> wire::ChunkHash {
    wire::ChunkHash { hash: Hash::of(bytes).as_bytes().to_vec() }
}

fn chunked(target: Principal, store: Option<Principal>, chunks: &[&[u8]]) -> wire::InstallChunkedCodeArgs {
    wire::InstallChunkedCodeArgs {
        mode: wire::CanisterInstallMode::Install,
        target_canister: target,
        store_canister: store,
        chunk_hashes_list: chunks.iter().map(|chunk| hash_of(chunk)).collect(),
        wasm_module_hash: Hash::of(&chunks.concat()).as_bytes().to_vec(),
        arg: vec![],
        sender_canister_version: None,
    }
}

fn install_chunked(network: &PocketIc, args: &wire::InstallChunkedCodeArgs) -> Result<Vec<u8>, RejectResponse> {
    manage(network, OWNER, args.target_canister, "install_chunked_code", args)
}

/// Splits the universal module in two.
fn halves() -> (Vec<u8>, Vec<u8>) {
    let mut first = u::module().bytes();
    let second = first.split_off(first.len() / 2);
    (first, second)
}

cases! {
    should_answer_the_hash_of_a_chunk: "upload_chunk answers the SHA-256 of the chunk" => {
        let network = start();
        let id = network.create_canister();
        let reply: wire::ChunkHash = decode(&upload(&network, OWNER, id, b"chunk").unwrap());
        assert_eq!(reply, hash_of(b"chunk"));
        assert_eq!(stored(&network, id), [hash_of(b"chunk").hash]);
    }

    should_list_chunks_by_hash: "stored_chunks lists every hash once, sorted" => {
        let network = start();
        let id = network.create_canister();
        for chunk in [b"one".as_slice(), b"two", b"three", b"one", b""] {
            upload(&network, OWNER, id, chunk).unwrap();
        }
        let listed = stored(&network, id);
        assert_eq!(listed.len(), 4);
        assert!(listed.is_sorted());
    }

    should_clear_the_store: "clear_chunk_store removes all chunks" => {
        let network = start();
        let id = network.create_canister();
        upload(&network, OWNER, id, b"chunk").unwrap();
        manage(&network, OWNER, id, "clear_chunk_store", &record(id)).unwrap();
        assert!(stored(&network, id).is_empty());
    }

    should_bound_chunks: "a chunk has at most 1 MiB" => {
        let network = start();
        let id = network.create_canister();
        upload(&network, OWNER, id, &vec![7; MIB as usize]).unwrap();
        assert_eq!(code(upload(&network, OWNER, id, &vec![7; MIB as usize + 1])), ErrorCode::CanisterContractViolation);
    }

    should_hold_a_hundred_chunks: "a store has room for 100 chunks, whatever their length" => {
        let network = start();
        let id = network.create_canister();
        for number in 0..MAX_CHUNKS {
            upload(&network, OWNER, id, &number.to_le_bytes()).unwrap();
        }
        assert_eq!(code(upload(&network, OWNER, id, b"one more")), ErrorCode::CanisterContractViolation);
        upload(&network, OWNER, id, &0_usize.to_le_bytes()).unwrap();
        assert_eq!(stored(&network, id).len(), MAX_CHUNKS);
    }

    should_let_strangers_do_nothing_with_chunks: "the store is for controllers" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let chunk = wire::UploadChunkArgs { canister_id: canister.id, chunk: vec![1] };
        assert_eq!(code(upload(&network, stranger(), canister.id, b"x")), ErrorCode::CanisterInvalidController);
        assert_eq!(rejected(other.manage("upload_chunk", &chunk, 0)), 5);
        for method in ["stored_chunks", "clear_chunk_store"] {
            let result = manage(&network, stranger(), canister.id, method, &record(canister.id));
            assert_eq!(code(result), ErrorCode::CanisterInvalidController);
            assert_eq!(rejected(other.manage(method, &record(canister.id), 0)), 5);
        }
    }

    should_let_a_canister_use_its_own_store: "a canister uses its own store without controlling itself" => {
        with_canister!(network, canister);
        let chunk = wire::UploadChunkArgs { canister_id: canister.id, chunk: vec![1] };
        canister.manage("upload_chunk", &chunk, 0).unwrap();
        let list: Vec<wire::ChunkHash> = decode(&canister.manage("stored_chunks", &record(canister.id), 0).unwrap());
        assert_eq!(list, [hash_of(&[1])]);
        canister.manage("clear_chunk_store", &record(canister.id), 0).unwrap();
    }

    should_charge_the_owner_of_the_store: "an upload costs 200 M instructions, paid by the store, also for a chunk that is there" => {
        with_canister!(network, canister);
        let store = network.create_canister();
        network.set_controllers(store, None, vec![OWNER, canister.id]).unwrap();
        for _ in 0..2 {
            let before = network.cycle_balance(store);
            let chunk = wire::UploadChunkArgs { canister_id: store, chunk: vec![1; 1_000] };
            canister.manage("upload_chunk", &chunk, 0).unwrap();
            let price = before - network.cycle_balance(store);
            assert!(UPLOAD_PRICES.contains(&price), "{price}");
        }
    }

    should_charge_for_refused_chunks: "an upload that is refused costs as much" => {
        with_canister!(network, canister);
        let store = network.create_canister();
        network.set_controllers(store, None, vec![OWNER, canister.id]).unwrap();
        let before = network.cycle_balance(store);
        let chunk = wire::UploadChunkArgs { canister_id: store, chunk: vec![1; MIB as usize + 1] };
        assert_eq!(rejected(canister.manage("upload_chunk", &chunk, 0)), 5);
        let price = before - network.cycle_balance(store);
        assert!(UPLOAD_PRICES.contains(&price), "{price}");
    }

    should_not_upload_what_cannot_be_paid: "a store without cycles takes no chunks" => {
        let network = start();
        let poor = create_with(&network, 100_000_000);
        assert!(upload(&network, OWNER, poor, b"chunk").is_err());
        assert!(stored(&network, poor).is_empty());
    }

    should_keep_chunks_of_stopped_canisters: "a stopped canister's store can be used" => {
        with_canister!(network, canister);
        network.stop_canister(canister.id, None).unwrap();
        upload(&network, OWNER, canister.id, b"chunk").unwrap();
        assert_eq!(stored(&network, canister.id).len(), 1);
    }

    should_keep_chunks_over_installations: "upgrades and reinstallations keep the store" => {
        with_canister!(network, canister);
        upload(&network, OWNER, canister.id, b"chunk").unwrap();
        upgrade(&canister, program()).unwrap();
        let mode = wire::CanisterInstallMode::Reinstall;
        install(&network, OWNER, canister.id, mode, u::module().bytes(), program()).unwrap();
        assert_eq!(stored(&network, canister.id).len(), 1);
    }

    should_install_from_chunks: "a module can be installed from chunks, in the order of the list" => {
        let network = start();
        let id = network.create_canister();
        let (first, second) = halves();
        upload(&network, OWNER, id, &second).unwrap();
        upload(&network, OWNER, id, &first).unwrap();
        install_chunked(&network, &chunked(id, None, &[&first, &second])).unwrap();
        let hash = Hash::of(&u::module().bytes());
        assert_eq!(status(&network, id).module_hash.unwrap(), hash.as_bytes());
    }

    should_not_install_chunks_that_are_missing: "every chunk of the list must be in the store" => {
        let network = start();
        let id = network.create_canister();
        let (first, second) = halves();
        upload(&network, OWNER, id, &first).unwrap();
        let result = install_chunked(&network, &chunked(id, None, &[&first, &second]));
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_bound_lists_of_chunks: "a list has at most 100 chunks, of which some may be the same" => {
        let network = start();
        let id = network.create_canister();
        upload(&network, OWNER, id, b"no module").unwrap();
        let list = |count: usize| chunked(id, None, &vec![b"no module".as_slice(); count]);
        assert_eq!(code(install_chunked(&network, &list(MAX_CHUNKS))), ErrorCode::CanisterInvalidWasm);
        let too_long = code(install_chunked(&network, &list(MAX_CHUNKS + 1)));
        assert_ne!(too_long, ErrorCode::CanisterInvalidWasm);
    }

    should_compare_the_hash_of_the_module: "the module must have the hash that was given" => {
        let network = start();
        let id = network.create_canister();
        let module = u::module().bytes();
        upload(&network, OWNER, id, &module).unwrap();
        let mut args = chunked(id, None, &[&module]);
        args.wasm_module_hash[0] ^= 1;
        assert_eq!(code(install_chunked(&network, &args)), ErrorCode::CanisterContractViolation);
        args.wasm_module_hash.pop();
        assert_eq!(code(install_chunked(&network, &args)), ErrorCode::CanisterContractViolation);
    }

    should_install_from_another_store: "the store may be another canister on the subnet" => {
        let network = start();
        let (store, target) = (network.create_canister(), network.create_canister());
        let module = u::module().bytes();
        upload(&network, OWNER, store, &module).unwrap();
        install_chunked(&network, &chunked(target, Some(store), &[&module])).unwrap();
        assert!(status(&network, target).module_hash.is_some());
    }

    should_not_read_the_store_of_a_stranger: "installing from a store needs control of the store" => {
        let network = start();
        let (store, target) = (network.create_canister(), network.create_canister());
        let module = u::module().bytes();
        upload(&network, OWNER, store, &module).unwrap();
        network.set_controllers(store, None, vec![user(1)]).unwrap();
        let result = install_chunked(&network, &chunked(target, Some(store), &[&module]));
        assert_eq!(code(result), ErrorCode::CanisterInvalidController);
    }

    should_let_a_store_install_from_itself: "a canister installs others from its own store without controlling itself" => {
        with_canister!(network, canister);
        let target = network.create_canister();
        network.set_controllers(target, None, vec![OWNER, canister.id]).unwrap();
        let module = u::module().bytes();
        upload(&network, OWNER, canister.id, &module).unwrap();
        canister.manage("install_chunked_code", &chunked(target, Some(canister.id), &[&module]), 0).unwrap();
        assert!(status(&network, target).module_hash.is_some());
    }

    should_not_find_a_store_that_is_not_there: "the store must exist on the subnet of the target" => {
        let network = start();
        let (target, gone) = (network.create_canister(), network.create_canister());
        network.stop_canister(gone, None).unwrap();
        network.delete_canister(gone, None).unwrap();
        let result = install_chunked(&network, &chunked(target, Some(gone), &[b"x"]));
        assert_eq!(code(result), ErrorCode::CanisterNotFound);
    }
}
