use std::io::Read;

use depot_types::blob_store::{Retention, UploadStatus};
use depot_types::wasm::Budget;
use flate2::read::GzDecoder;
use ic_stable_structures::{StableCell, VectorMemory, memory_manager::MemoryManager};

use super::*;
use crate::{
    lifecycle,
    storable::StoredHeader,
    test_fixtures::{ALICE, BOB, CATALOG, CONTROLLER, Module, NOW, backing, new_manager, open, put_all, uploader},
};

#[test]
fn should_refuse_another_layout_and_leave_it_alone() {
    let manager = new_manager();
    StableCell::init(manager.get(HEADER_MEMORY_ID), StoredHeader::layout_1(LAYOUT_VERSION + 1, 0));
    let refused = State::open(|id| manager.get(id), backing()).err();
    assert_eq!(refused, Some(UnknownLayout { found: LAYOUT_VERSION + 1 }));
    assert_eq!(manager.get(CHUNKS_MEMORY_ID).size(), 0);
}

/// Opens the stable memory of an earlier layout.
fn earlier(gzip: &[u8]) -> MemoryManager<VectorMemory> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    let memory = VectorMemory::default();
    memory.borrow_mut().clone_from(&bytes);
    MemoryManager::init(memory)
}

/// Stable memory as layout 1 left it: with two sealed modules of Alice, one of Bob, an open upload of Bob and a free
/// slot.
#[test]
fn should_take_over_the_first_layout() {
    let manager = earlier(include_bytes!("layout_1.bin.gz"));
    let mut state = open(&manager);
    let modules = [(ALICE, Module::with_metadata()), (ALICE, Module::large(1, 1)), (BOB, Module::small(5))];
    assert_eq!(state.uploaders(), [ALICE, BOB]);
    let unknown = Some(Retention::Unretained { since_ns: None, condemned_at_ns: None });
    for (sealed_by, module) in &modules {
        let info = state.module_info(&module.hash).unwrap();
        assert_eq!((info.sealed_by, info.chunk_hashes), (*sealed_by, module.chunk_hashes()));
        assert_eq!(state.retention(&module.hash), unknown);
    }
    // A module can be retained before it was adopted.
    state.add_holder(CONTROLLER, CATALOG).unwrap();
    assert_eq!(state.retain(CATALOG, &[modules[0].1.hash]).unwrap().unknown, []);
    let report = state.collect(NOW + 100);
    assert_eq!((report.modules_adopted, report.more), (2, false));
    assert_eq!(state.collect(NOW + 200).modules_adopted, 0);
    state.check_invariants();
    let Some(Retention::Unretained { since_ns, .. }) = state.retention(&modules[1].1.hash) else { panic!() };
    assert_eq!(since_ns, Some(NOW + 100));
    let stored: usize = modules[..2].iter().map(|(_, module)| module.bytes.len()).sum();
    assert_eq!(state.accounts.stored_bytes(&ALICE), stored as u64);
    // The upload goes on where it was.
    let upload = Module::large(2, 2);
    let Some(UploadStatus::Open(status)) = state.upload_status(BOB, NOW + 100, &upload.hash) else { panic!() };
    assert_eq!(status.missing, [1]);
    put_all(&mut state, uploader(BOB), NOW + 100, &upload);
    state.commit_upload(uploader(BOB), NOW + 100, &upload.hash, Budget::UNLIMITED).unwrap();
    state.check_invariants();
    drop(state);
    let state = open(&manager);
    assert_eq!((state.header.layout(), state.header.adopted()), (LAYOUT_VERSION, None));
    state.check_invariants();
}

/// Stable memory as layout 2 left it: with two sealed modules of Alice, of which the catalog retains one, one of Bob, an
/// open upload of Bob, and a free page of a module that was removed.
#[test]
fn should_take_over_the_second_layout() {
    let manager = earlier(include_bytes!("layout_2.bin.gz"));
    let mut state = open(&manager);
    let modules = [(ALICE, Module::with_metadata()), (ALICE, Module::large(1, 1)), (BOB, Module::small(5))];
    let stats = state.stats(0, vec![]);
    assert_eq!((stats.modules, stats.unretained_modules, stats.references, stats.uploads), (3, 2, 1, 1));
    assert_eq!((state.header.layout(), state.header.renewed()), (LAYOUT_VERSION, Some([0; 32])));
    // Answers have other headers now, so the certificates that are there are of no use.
    let before = state.certified_data();
    lifecycle::apply(&mut state, None).unwrap();
    assert_ne!(state.certified_data(), before);
    state.check_invariants();
    for (sealed_by, module) in &modules {
        assert_eq!(state.module_info(&module.hash).unwrap().sealed_by, *sealed_by);
    }
    assert_eq!(state.retention(&modules[0].1.hash), Some(Retention::Retained { holders: vec![CATALOG] }));
    let upload = Module::large(2, 2);
    let Some(UploadStatus::Open(status)) = state.upload_status(BOB, NOW, &upload.hash) else { panic!() };
    assert_eq!(status.missing, [1]);
    put_all(&mut state, uploader(BOB), NOW, &upload);
    state.commit_upload(uploader(BOB), NOW, &upload.hash, Budget::UNLIMITED).unwrap();
    state.check_invariants();
    drop(state);
    assert_eq!(open(&manager).header.renewed(), None);
}
