//! Modules go into the blob store whole, or not at all.

use candid::{Decode, Encode, Principal};
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, BlobStoreArgs, CommitUploadError, Encoding, InvalidModule, ModuleInfo,
        OpenUpload, PutChunkArgs, PutChunkError, PutChunkOk, UploadStatus,
    },
    chunk,
    limits::MAX_MODULE_BYTES,
};
use integration_tests::{
    depot::{Depot, user},
    made::{data_module, noise},
    wasms,
};
use pocket_ic::ErrorCode;

const THREE_CHUNKS: usize = (2 << 20) + 12_345;

fn open(status: UploadStatus) -> OpenUpload {
    match status {
        UploadStatus::Open(open) => open,
        UploadStatus::Sealed(info) => panic!("{} is sealed already", info.module_hash),
    }
}

#[test]
fn should_give_back_what_was_stored() {
    let depot = Depot::install().unwrap();
    let module = data_module(THREE_CHUNKS);
    let mut sent = 0;
    let info = depot.upload(&module, |bytes| sent += bytes).unwrap();
    assert_eq!(sent, module.len() as u64);
    assert_eq!((info.module_hash, info.raw_hash), (Hash::of(&module), Hash::of(&module)));
    assert_eq!((info.size, info.encoding), (module.len() as u64, Encoding::Raw));
    assert_eq!(info.chunk_hashes, chunk::hashes(&module));
    assert!(info.is_deployable());
    assert_eq!(depot.blob_store().module_info(info.module_hash).unwrap(), Some(info.clone()));

    let anybody = depot.blob_store_as(Principal::anonymous());
    let read: Vec<u8> =
        info.chunk_hashes.iter().flat_map(|hash| anybody.get_chunk(*hash).unwrap().unwrap().into_vec()).collect();
    assert_eq!(Hash::of(&read), info.module_hash);
}

#[test]
fn should_read_what_a_gzipped_module_says_of_itself() {
    let depot = Depot::install().unwrap();
    let info = depot.upload(&wasms::load("counter").unwrap(), |_| ()).unwrap();
    assert_eq!(info.encoding, Encoding::Gzip);
    assert_ne!(info.raw_hash, info.module_hash);
    assert!(info.raw_size > info.size);
    assert!(info.metadata.iter().any(|section| section.name == "candid:service" && section.public));
    let interface = depot.blob_store().module_metadata(info.module_hash, "candid:service").unwrap().unwrap();
    assert!(String::from_utf8(interface.into_vec()).unwrap().contains("increment"));
}

#[test]
fn should_take_chunks_in_any_order_and_tell_what_is_missing() {
    let depot = Depot::install().unwrap();
    let store = depot.blob_store();
    let module = data_module(THREE_CHUNKS);
    let (hash, chunks) = (Hash::of(&module), module.chunks(1 << 20).collect::<Vec<_>>());
    assert_eq!(open(store.begin_upload_of(&module).unwrap().unwrap()).missing, [0, 1, 2]);
    assert_eq!(store.put_chunk(hash, 2, chunks[2]).unwrap().unwrap().missing_count, 2);
    assert_eq!(store.put_chunk(hash, 0, chunks[0]).unwrap().unwrap().missing_count, 1);
    assert_eq!(store.put_chunk(hash, 0, chunks[0]).unwrap().unwrap().missing_count, 1);
    assert_eq!(open(store.upload_status(hash).unwrap().unwrap()).missing, [1]);
    let refused = store.commit_upload(hash).unwrap();
    assert_eq!(refused, Err(CommitUploadError::MissingChunks { missing: vec![1] }));
    assert_eq!(store.module_info(hash).unwrap(), None);
    assert_eq!(store.get_chunk(Hash::of(chunks[0])).unwrap(), None, "chunks of an open upload are not visible");
    store.put_chunk(hash, 1, chunks[1]).unwrap().unwrap();
    store.commit_upload(hash).unwrap().unwrap();
    assert!(matches!(store.begin_upload_of(&module).unwrap().unwrap(), UploadStatus::Sealed(_)));
}

#[test]
fn should_refuse_wrong_chunks_and_change_nothing() {
    let depot = Depot::install().unwrap();
    let store = depot.blob_store();
    let module = data_module(THREE_CHUNKS);
    let hash = Hash::of(&module);
    store.begin_upload_of(&module).unwrap().unwrap();
    let mut wrong = module[..1 << 20].to_vec();
    wrong[77] ^= 1;
    let refused = store.put_chunk(hash, 0, &wrong).unwrap();
    let (expected, received) = (Hash::of(&module[..1 << 20]), Hash::of(&wrong));
    assert_eq!(refused, Err(PutChunkError::WrongHash { expected, received }));
    let refused = store.put_chunk(hash, 0, &wrong[1..]).unwrap();
    assert_eq!(refused, Err(PutChunkError::WrongSize { expected: 1 << 20, received: (1 << 20) - 1 }));
    let refused = store.put_chunk(hash, 3, &wrong).unwrap();
    assert_eq!(refused, Err(PutChunkError::IndexOutOfRange { index: 3, chunk_count: 3 }));
    let other = Hash::of(b"other");
    assert_eq!(store.put_chunk(other, 0, &wrong).unwrap(), Err(PutChunkError::NoUpload { module_hash: other }));
    assert_eq!(open(store.upload_status(hash).unwrap().unwrap()).missing, [0, 1, 2]);
    assert_eq!(store.stats().unwrap().chunks, 0);
}

#[test]
fn should_refuse_declarations_that_cannot_be_modules() {
    let depot = Depot::install().unwrap();
    let begin = |size: u64, chunks: usize| {
        let args = BeginUploadArgs { module_hash: Hash::of(b"x"), size, chunk_hashes: vec![Hash::of(b"y"); chunks] };
        depot.blob_store().begin_upload(args).unwrap()
    };
    assert_eq!(begin(0, 0), Err(BeginUploadError::InvalidSize { size: 0, max: MAX_MODULE_BYTES }));
    let size = MAX_MODULE_BYTES + 1;
    assert_eq!(begin(size, 101), Err(BeginUploadError::InvalidSize { size, max: MAX_MODULE_BYTES }));
    assert_eq!(begin(1 << 20, 2), Err(BeginUploadError::WrongChunkCount { expected: 1, received: 2 }));
    assert_eq!(open(begin(MAX_MODULE_BYTES, 100).unwrap()).chunk_count, 100);
}

#[test]
fn should_refuse_to_seal_what_is_not_what_was_declared() {
    let depot = Depot::install().unwrap();
    let store = depot.blob_store();
    let bytes: Vec<u8> = noise(1_000).collect();
    let declared = Hash::of(b"something else");
    let args = BeginUploadArgs { module_hash: declared, size: 1_000, chunk_hashes: chunk::hashes(&bytes) };
    store.begin_upload(args).unwrap().unwrap();
    store.put_chunk(declared, 0, &bytes).unwrap().unwrap();
    let refused = store.commit_upload(declared).unwrap();
    assert_eq!(refused, Err(CommitUploadError::WrongModuleHash { expected: declared, received: Hash::of(&bytes) }));

    let error = depot.upload(&bytes, |_| ()).unwrap_err().to_string();
    assert!(error.contains("NotWasm"), "{error}");
    let hash = Hash::of(&bytes);
    assert_eq!(store.commit_upload(hash).unwrap(), Err(CommitUploadError::InvalidModule(InvalidModule::NotWasm)));
    assert!(store.abort_upload(hash).unwrap() && store.abort_upload(declared).unwrap());
    assert!(!store.abort_upload(hash).unwrap());
    let stats = store.stats().unwrap();
    assert_eq!((stats.modules, stats.chunks, stats.uploads), (0, 0, 0));
}

#[test]
fn should_let_only_uploaders_upload() {
    let depot = Depot::install().unwrap();
    let (stranger, module) = (user(9), data_module(100));
    let refused = depot.blob_store_as(stranger).begin_upload_of(&module).unwrap();
    assert_eq!(refused, Err(BeginUploadError::NotAllowed { caller: stranger }));
    let refused = depot.blob_store_as(Principal::anonymous()).begin_upload_of(&module).unwrap();
    assert_eq!(refused, Err(BeginUploadError::AnonymousCaller));
    assert!(depot.blob_store_as(stranger).add_uploader(stranger).unwrap().is_err());
    depot.blob_store().add_uploader(stranger).unwrap().unwrap();
    depot.blob_store_as(stranger).begin_upload_of(&module).unwrap().unwrap();
    // The upload belongs to the principal that began it.
    let hash = Hash::of(&module);
    assert_eq!(
        depot.blob_store().put_chunk(hash, 0, &module).unwrap(),
        Err(PutChunkError::NoUpload { module_hash: hash })
    );
    depot.blob_store().remove_uploader(stranger).unwrap().unwrap();
    assert_eq!(depot.blob_store().uploaders().unwrap(), []);
    assert_eq!(depot.blob_store().stats().unwrap().uploads, 0, "its upload ended with its right");
    let refused = depot.blob_store_as(stranger).put_chunk(hash, 0, &module).unwrap_err();
    assert_eq!(refused.error_code, ErrorCode::CanisterRejectedMessage, "the message is not even received");
}

#[test]
fn should_let_two_principals_upload_the_same_module_at_once() {
    let depot = Depot::install().unwrap();
    let uploaders = [user(7), user(8)];
    for uploader in uploaders {
        depot.blob_store().add_uploader(uploader).unwrap().unwrap();
    }
    let module = data_module(THREE_CHUNKS);
    let hash = Hash::of(&module);
    for uploader in uploaders {
        let begun = depot.blob_store_as(uploader).begin_upload_of(&module).unwrap().unwrap();
        assert_eq!(open(begun).missing, [0, 1, 2]);
    }
    // A third one lies about the chunks of this module, which is its own affair.
    let other: Vec<u8> = noise(THREE_CHUNKS).collect();
    let args = BeginUploadArgs { module_hash: hash, size: THREE_CHUNKS as u64, chunk_hashes: chunk::hashes(&other) };
    depot.blob_store().begin_upload(args).unwrap().unwrap();
    let mut sent = Vec::new();
    for (index, (chunk, lie)) in (0..).zip(module.chunks(1 << 20).zip(other.chunks(1 << 20))) {
        for (sender, bytes) in [(uploaders[0], chunk), (depot.admin, lie), (uploaders[1], chunk)] {
            let args = PutChunkArgs { module_hash: hash, index, bytes: bytes.to_vec().into() };
            let arg = Encode!(&args).unwrap();
            sent.push(depot.network.submit_call(depot.blob_store_id, sender, "put_chunk", arg).unwrap());
        }
    }
    for message in sent {
        let answer = depot.network.await_call(message).unwrap();
        Decode!(&answer, Result<PutChunkOk, PutChunkError>).unwrap().unwrap();
    }
    assert_eq!(depot.blob_store().stats().unwrap().chunks, 6, "those of the module are kept once");
    let commit = |sender| {
        let arg = Encode!(&hash).unwrap();
        depot.network.submit_call(depot.blob_store_id, sender, "commit_upload", arg).unwrap()
    };
    let commits = [depot.admin, uploaders[0], uploaders[1]].map(commit);
    let [lied, first, second] = commits.map(|message| {
        let answer = depot.network.await_call(message).unwrap();
        Decode!(&answer, Result<ModuleInfo, CommitUploadError>).unwrap()
    });
    let sealed_by_one = first.unwrap();
    assert_eq!(second, Ok(sealed_by_one.clone()));
    // Whether the lie is found out depends on which message came first: a sealed module is answered to everybody.
    assert!(
        lied == Ok(sealed_by_one.clone())
            || lied == Err(CommitUploadError::WrongModuleHash { expected: hash, received: Hash::of(&other) })
    );
    depot.blob_store().abort_upload(hash).unwrap();
    let stats = depot.blob_store().stats().unwrap();
    assert_eq!((stats.modules, stats.chunks, stats.uploads), (1, 3, 0));
    let read: Vec<u8> = sealed_by_one
        .chunk_hashes
        .iter()
        .flat_map(|hash| depot.blob_store().get_chunk(*hash).unwrap().unwrap().into_vec())
        .collect();
    assert!(read == module);
}

#[test]
fn should_tell_the_numbers_of_a_quota_that_is_used_up() {
    let depot = Depot::install().unwrap();
    let store = depot.blob_store();
    let begin = |number: u8, size: u64| {
        let chunk_hashes = vec![Hash::of(b"chunk"); chunk::count(size) as usize];
        store.begin_upload(BeginUploadArgs { module_hash: Hash::of(&[number]), size, chunk_hashes }).unwrap()
    };
    for number in 0..8 {
        open(begin(number, 1).unwrap());
    }
    assert_eq!(begin(8, 1), Err(BeginUploadError::TooManyUploads { open: 8, max: 8 }));
    for number in 0..8 {
        assert!(store.abort_upload(Hash::of(&[number])).unwrap());
    }
    for number in 0..4 {
        open(begin(number, MAX_MODULE_BYTES).unwrap());
    }
    let in_flight = 4 * MAX_MODULE_BYTES;
    let refused = BeginUploadError::TooManyBytesInFlight { declared: 1, in_flight, max: in_flight };
    assert_eq!(begin(4, 1), Err(refused));
    for number in 0..4 {
        assert!(store.abort_upload(Hash::of(&[number])).unwrap());
    }
    let stored = depot.upload(&data_module(1_000), |_| ()).unwrap().size;
    let max = stored + 100;
    let args = BlobStoreArgs { max_stored_bytes_per_principal: Some(max), ..BlobStoreArgs::default() };
    let (arg, wasm) = (Encode!(&Some(args)).unwrap(), wasms::load("blob_store").unwrap());
    depot.network.upgrade_canister(depot.blob_store_id, wasm, arg, Some(depot.admin)).unwrap();
    open(begin(0, 60).unwrap());
    let refused = BeginUploadError::TooManyBytesStored { declared: 41, in_flight: 60, stored, max };
    assert_eq!(begin(1, 41), Err(refused));
    open(begin(1, 40).unwrap());
}

#[test]
fn should_keep_an_open_upload_over_an_upgrade() {
    let depot = Depot::install().unwrap();
    let store = depot.blob_store();
    let module = data_module(THREE_CHUNKS);
    let hash = Hash::of(&module);
    store.begin_upload_of(&module).unwrap().unwrap();
    store.put_chunk(hash, 1, &module[1 << 20..2 << 20]).unwrap().unwrap();
    let arg = Encode!(&None::<BlobStoreArgs>).unwrap();
    let wasm = wasms::load("blob_store").unwrap();
    depot.network.upgrade_canister(depot.blob_store_id, wasm, arg, Some(depot.admin)).unwrap();
    assert_eq!(open(store.upload_status(hash).unwrap().unwrap()).missing, [0, 2]);
    assert_eq!(depot.upload(&module, |_| ()).unwrap().module_hash, hash);
}

/// What is 64 bits wide on other machines has 32 bits in a canister.
#[test]
fn should_refuse_a_component_whose_alias_leads_out_of_everything() {
    let depot = Depot::install().unwrap();
    // In the section of aliases one of a type, of the outer component by the largest number there is.
    let alias = [6, 9, 1, 3, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    let module = [b"\0asm\x0d\0\x01\0".as_slice(), &alias].concat();
    let store = depot.blob_store();
    store.begin_upload_of(&module).unwrap().unwrap();
    store.put_chunk(Hash::of(&module), 0, &module).unwrap().unwrap();
    let refused = store.commit_upload(Hash::of(&module)).unwrap();
    assert!(matches!(refused, Err(CommitUploadError::InvalidModule(InvalidModule::Malformed { .. }))), "{refused:?}");
}
