use depot_types::blob_store::{Encoding, InvalidModule, ModuleKind};

use super::*;
use crate::{
    lifecycle,
    test_fixtures::{ALICE, BOB, Module, NOW, begin, new_args, new_manager, new_state, open, put_all, seal, uploader},
};

#[test]
fn should_seal_a_module_that_is_whole() {
    let mut state = new_state();
    let module = Module::large(2, 1);
    put_all(&mut state, uploader(ALICE), NOW, &module);
    assert_eq!(state.module_info(&module.hash), None);
    let info = state.commit_upload(uploader(ALICE), NOW + 1, &module.hash, Budget::UNLIMITED).unwrap();
    let expected = ModuleInfo {
        module_hash: module.hash,
        size: module.bytes.len() as u64,
        chunk_hashes: module.chunk_hashes(),
        encoding: Encoding::Raw,
        kind: ModuleKind::CoreModule,
        raw_hash: module.hash,
        raw_size: module.bytes.len() as u64,
        obstacles: vec![],
        metadata: vec![],
        sealed_by: ALICE,
        sealed_at_ns: NOW + 1,
    };
    assert_eq!(info, expected);
    assert_eq!(state.module_info(&module.hash), Some(expected));
    let stats = state.stats(0, vec![]);
    assert_eq!((stats.modules, stats.uploads, stats.chunk_bytes), (1, 0, module.bytes.len() as u64));
    state.check_invariants();
}

#[test]
fn should_seal_for_both_of_two_that_upload_the_same() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    begin(&mut state, uploader(ALICE), NOW, &module);
    begin(&mut state, uploader(BOB), NOW, &module);
    state.put_chunk(uploader(ALICE), NOW, &module.put(0)).unwrap();
    state.put_chunk(uploader(BOB), NOW, &module.put(1)).unwrap();
    let info = state.commit_upload(uploader(ALICE), NOW, &module.hash, Budget::UNLIMITED).unwrap();
    state.check_invariants();
    assert_eq!(state.put_chunk(uploader(BOB), NOW, &module.put(0)).unwrap().missing_count, 0);
    assert_eq!(state.commit_upload(uploader(BOB), NOW + 1, &module.hash, Budget::UNLIMITED), Ok(info.clone()));
    assert_eq!(state.commit_upload(uploader(BOB), NOW + 2, &module.hash, Budget::UNLIMITED), Ok(info));
    assert_eq!(state.stats(0, vec![]).uploads, 0);
    state.check_invariants();
}

#[test]
fn should_name_what_is_missing() {
    let mut state = new_state();
    let module = Module::large(2, 1);
    let no_upload = Err(CommitUploadError::NoUpload { module_hash: module.hash });
    assert_eq!(state.commit_upload(uploader(ALICE), NOW, &module.hash, Budget::UNLIMITED), no_upload);
    begin(&mut state, uploader(ALICE), NOW, &module);
    state.put_chunk(uploader(ALICE), NOW, &module.put(1)).unwrap();
    let missing = Err(CommitUploadError::MissingChunks { missing: vec![0, 2] });
    assert_eq!(state.commit_upload(uploader(ALICE), NOW, &module.hash, Budget::UNLIMITED), missing);
    assert_eq!(state.commit_upload(uploader(BOB), NOW, &module.hash, Budget::UNLIMITED), no_upload);
    state.check_invariants();
}

#[test]
fn should_refuse_a_module_of_another_hash_and_keep_the_upload() {
    let mut state = new_state();
    let module = Module { hash: Hash::of(b"lie"), ..Module::small(1) };
    put_all(&mut state, uploader(ALICE), NOW, &module);
    let received = Hash::of(&module.bytes);
    let wrong = Err(CommitUploadError::WrongModuleHash { expected: module.hash, received });
    assert_eq!(state.commit_upload(uploader(ALICE), NOW, &module.hash, Budget::UNLIMITED), wrong);
    assert_eq!(state.module_info(&module.hash), None);
    assert_eq!(begin(&mut state, uploader(ALICE), NOW, &module), [0; 0]);
    state.check_invariants();
}

#[test]
fn should_refuse_what_is_not_wasm() {
    let mut state = new_state();
    let module = Module::new(b"not wasm".to_vec());
    put_all(&mut state, uploader(ALICE), NOW, &module);
    let invalid = Err(CommitUploadError::InvalidModule(InvalidModule::NotWasm));
    assert_eq!(state.commit_upload(uploader(ALICE), NOW, &module.hash, Budget::UNLIMITED), invalid);
    state.check_invariants();
}

#[test]
fn should_keep_everything_when_opened_again() {
    let manager = new_manager();
    let mut state = open(&manager);
    lifecycle::apply(&mut state, Some(new_args())).unwrap();
    let (sealed, begun) = (Module::with_metadata(), Module::large(1, 1));
    let info = seal(&mut state, ALICE, &sealed);
    begin(&mut state, uploader(BOB), NOW, &begun);
    state.put_chunk(uploader(BOB), NOW, &begun.put(0)).unwrap();
    let stats = state.stats(0, vec![]);
    drop(state);
    let mut state = open(&manager);
    state.check_invariants();
    assert_eq!(state.uploaders(), [ALICE, BOB]);
    assert_eq!(state.module_info(&sealed.hash), Some(info));
    assert_eq!(state.stats(0, vec![]), stats);
    assert_eq!(begin(&mut state, uploader(BOB), NOW, &begun), [1]);
}
