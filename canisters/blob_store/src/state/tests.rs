use std::io::Read;

use depot_types::blob_store::{Retention, UploadStatus};
use depot_types::wasm::Budget;
use flate2::read::GzDecoder;
use ic_stable_structures::{StableCell, VectorMemory, memory_manager::MemoryManager};

use super::*;
use crate::{
    storable::StoredHeader,
    test_fixtures::{ALICE, BOB, CATALOG, CONTROLLER, Module, NOW, backing, new_manager, open, put_all, uploader},
};

#[test]
fn should_refuse_another_layout_and_leave_it_alone() {
    let manager = new_manager();
    StableCell::init(manager.get(HEADER_MEMORY_ID), StoredHeader::layout_1(3, 0));
    let refused = State::open(|id| manager.get(id), backing()).err();
    assert_eq!(refused, Some(UnknownLayout { found: 3 }));
    assert_eq!(manager.get(CHUNKS_MEMORY_ID).size(), 0);
}

/// Stable memory as the first release left it: with two sealed modules of Alice, one of Bob, an open upload of Bob and
/// a free slot.
fn layout_1() -> MemoryManager<VectorMemory> {
    let mut bytes = Vec::new();
    GzDecoder::new(&include_bytes!("layout_1.bin.gz")[..]).read_to_end(&mut bytes).unwrap();
    let memory = VectorMemory::default();
    memory.borrow_mut().clone_from(&bytes);
    MemoryManager::init(memory)
}

#[test]
fn should_take_over_the_first_layout() {
    let manager = layout_1();
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
