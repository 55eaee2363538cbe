use depot_types::{
    blob_store::{Retention, UploadStatus},
    limits::MAX_RETAINED_PER_CALL,
};

use super::*;
use crate::{
    limits::{DEFAULT_GRACE_PERIOD_NS, UPLOAD_LIFETIME_NS},
    test_fixtures::{
        ALICE, BOB, CATALOG, CONTROLLER, Module, NOW, TestState, begin, new_state, principal, put_all, seal,
        stored_module, uploader,
    },
};

/// When a module that was sealed at `NOW` is condemned.
const CONDEMNED_AT: u64 = NOW + DEFAULT_GRACE_PERIOD_NS;
/// When it is removed.
const REMOVED_AT: u64 = CONDEMNED_AT + CONDEMNED_NS;

/// Seals modules without chunks, as many as asked for, and returns their hashes.
fn fill(state: &mut TestState, count: u32) -> Vec<Hash> {
    let hashes: Vec<Hash> = (0..count).map(|number| Hash::of(&number.to_le_bytes())).collect();
    for hash in &hashes {
        let module = stored_module(ALICE);
        state.modules.insert(hash, module.clone(), vec![]);
        state.begin_retention(hash.as_bytes(), &module, NOW);
    }
    hashes
}

#[test]
fn should_condemn_and_then_remove_what_nobody_retains() {
    let mut state = new_state();
    let (kept, lost) = (Module::large(1, 1), Module::large(1, 2));
    for module in [&kept, &lost] {
        seal(&mut state, ALICE, module);
    }
    state.add_holder(CONTROLLER, CATALOG).unwrap();
    state.retain(CATALOG, &[kept.hash]).unwrap();
    assert_eq!(state.collect(CONDEMNED_AT - 1), GarbageReport::default());
    let condemned = state.collect(CONDEMNED_AT);
    assert_eq!(condemned, GarbageReport { modules_condemned: 1, ..GarbageReport::default() });
    let retention = Retention::Condemned { since_ns: CONDEMNED_AT, removed_at_ns: REMOVED_AT };
    assert_eq!(state.retention(&lost.hash), Some(retention));
    assert_eq!(state.stats(0, vec![]).condemned_modules, 1);
    // A condemned module can still be read.
    assert!(state.module_info(&lost.hash).is_some());
    let last_chunk = lost.chunk_hashes()[1];
    assert!(state.chunks.sealed_place(&last_chunk).is_some());
    state.check_invariants();
    assert_eq!(state.collect(REMOVED_AT - 1), GarbageReport::default());
    let removed = state.collect(REMOVED_AT);
    // The first chunk is the other module's too.
    let bytes_freed = lost.chunks()[1].len() as u64;
    assert_eq!(removed, GarbageReport { modules_removed: 1, bytes_freed, ..GarbageReport::default() });
    assert_eq!(state.module_info(&lost.hash), None);
    assert_eq!(state.retention(&lost.hash), None);
    assert!(state.chunks.sealed_place(&last_chunk).is_none());
    let stats = state.stats(0, vec![]);
    assert_eq!((stats.modules, stats.chunks, stats.condemned_modules), (1, 2, 0));
    // Three chunks had two blocks, two of them a page each.
    assert_eq!(stats.free_bytes, 15 << 16);
    state.check_invariants();
    // It can be uploaded again.
    seal(&mut state, BOB, &lost);
    state.check_invariants();
}

#[test]
fn should_keep_a_condemned_module_that_is_wanted_again() {
    let mut state = new_state();
    let (uploaded, retained) = (Module::small(1), Module::small(2));
    for module in [&uploaded, &retained] {
        seal(&mut state, ALICE, module);
    }
    state.add_holder(CONTROLLER, CATALOG).unwrap();
    assert_eq!(state.collect(CONDEMNED_AT).modules_condemned, 2);
    let begun = state.begin_upload(uploader(BOB), REMOVED_AT - 1, &uploaded.declaration()).unwrap();
    assert!(matches!(begun, UploadStatus::Sealed(_)));
    assert_eq!(state.retain(CATALOG, &[retained.hash]).unwrap().unknown, []);
    assert_eq!(state.collect(REMOVED_AT), GarbageReport::default());
    state.check_invariants();
    // What is released has the whole grace period before it.
    state.release(CATALOG, REMOVED_AT, &[retained.hash]).unwrap();
    assert_eq!(state.collect(REMOVED_AT - 1 + DEFAULT_GRACE_PERIOD_NS).modules_condemned, 1);
    assert_eq!(state.collect(REMOVED_AT + DEFAULT_GRACE_PERIOD_NS).modules_condemned, 1);
    state.check_invariants();
}

#[test]
fn should_remove_metadata_with_a_module() {
    let mut state = new_state();
    seal(&mut state, ALICE, &Module::with_metadata());
    assert_eq!(state.modules.metadata_len(), 2);
    state.collect(CONDEMNED_AT);
    assert_eq!(state.collect(REMOVED_AT).modules_removed, 1);
    assert_eq!(state.modules.metadata_len(), 0);
    state.check_invariants();
}

#[test]
fn should_condemn_and_remove_so_many_modules_in_a_slice_and_no_more() {
    let mut state = new_state();
    fill(&mut state, MAX_CONDEMNED_PER_SLICE + 1);
    let report = state.collect(CONDEMNED_AT);
    assert_eq!((report.modules_condemned, report.more), (MAX_CONDEMNED_PER_SLICE, true));
    let report = state.collect(CONDEMNED_AT);
    assert_eq!((report.modules_condemned, report.more), (1, false));
    let report = state.collect(REMOVED_AT);
    assert_eq!((report.modules_removed, report.more), (MAX_REMOVED_PER_SLICE, true));
    let mut removed = report.modules_removed;
    while removed < MAX_CONDEMNED_PER_SLICE + 1 {
        let report = state.collect(REMOVED_AT);
        removed += report.modules_removed;
        assert_eq!(report.more, removed < MAX_CONDEMNED_PER_SLICE + 1);
    }
    assert_eq!(state.stats(0, vec![]).modules, 0);
    state.check_invariants();
}

#[test]
fn should_adopt_so_many_modules_in_a_slice_and_no_more() {
    let mut state = new_state();
    for number in 0..MAX_ADOPTED_PER_SLICE + 1 {
        state.modules.insert(&Hash::of(&number.to_le_bytes()), stored_module(ALICE), vec![]);
    }
    state.header.set_adopted(Some(StoredHash::default()));
    let report = state.collect(NOW);
    assert_eq!((report.modules_adopted, report.more), (MAX_ADOPTED_PER_SLICE, true));
    let report = state.collect(NOW);
    assert_eq!((report.modules_adopted, report.more), (1, false));
    state.check_invariants();
}

#[test]
fn should_drop_so_many_references_in_a_slice_and_no_more() {
    let mut state = new_state();
    let hashes = fill(&mut state, MAX_REFERENCES_PER_SLICE + 1);
    state.add_holder(CONTROLLER, CATALOG).unwrap();
    for hashes in hashes.chunks(MAX_RETAINED_PER_CALL) {
        state.retain(CATALOG, hashes).unwrap();
    }
    state.remove_holder(CONTROLLER, CATALOG).unwrap();
    let report = state.collect(NOW);
    assert_eq!((report.references_dropped, report.more), (MAX_REFERENCES_PER_SLICE, true));
    state.check_invariants();
    let report = state.collect(NOW);
    assert_eq!((report.references_dropped, report.more), (1, false));
    assert_eq!(state.holders.len(), 0);
    state.check_invariants();
}

#[test]
fn should_remove_so_many_expired_uploads_in_a_slice_and_no_more() {
    let mut state = new_state();
    let module = Module::small(1);
    for number in 0..u64::from(MAX_UPLOADS_PER_SLICE) + 1 {
        put_all(&mut state, Caller { principal: principal(number), is_controller: true }, NOW, &module);
    }
    let later = NOW + UPLOAD_LIFETIME_NS;
    assert_eq!(state.collect(later - 1), GarbageReport::default());
    let report = state.collect(later);
    let expected = GarbageReport { uploads_removed: MAX_UPLOADS_PER_SLICE, more: true, ..GarbageReport::default() };
    assert_eq!(report, expected);
    let bytes_freed = module.bytes.len() as u64;
    assert_eq!(state.collect(later), GarbageReport { uploads_removed: 1, bytes_freed, ..GarbageReport::default() });
    assert_eq!(state.stats(0, vec![]).chunks, 0);
    state.check_invariants();
}

#[test]
fn should_clean_up_for_controllers_only() {
    let mut state = new_state();
    begin(&mut state, uploader(ALICE), NOW, &Module::small(1));
    let later = NOW + UPLOAD_LIFETIME_NS;
    let refused = Err(GarbageError::NotController { caller: ALICE });
    assert_eq!(state.collect_garbage(uploader(ALICE), later), refused);
    assert_eq!(state.collect_garbage(CONTROLLER, later).unwrap().uploads_removed, 1);
}
