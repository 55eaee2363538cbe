use depot_types::wasm::Budget;

use super::*;
use crate::{
    limits::DEFAULT_GRACE_PERIOD_NS,
    test_fixtures::{
        ALICE, BOB, CATALOG, CONTROLLER, Module, NOW, TestState, begin, new_state, principal, seal, uploader,
    },
};

const FACTORY: Principal = Principal::from_slice(&[5, 1]);

/// A store with two holders and three sealed modules.
fn with_modules() -> (TestState, [Hash; 3]) {
    let mut state = new_state();
    state.add_holder(CONTROLLER, CATALOG).unwrap();
    state.add_holder(CONTROLLER, FACTORY).unwrap();
    let hashes = [1, 2, 3].map(|seed| seal(&mut state, ALICE, &Module::small(seed)).module_hash);
    (state, hashes)
}

fn retained(state: &TestState, holder: Principal) -> Vec<Hash> {
    state.list_retained(&ListRetainedArgs { holder, after: None, limit: None }).modules
}

fn unretained(since_ns: u64) -> Option<Retention> {
    let condemned_at_ns = Some(since_ns + DEFAULT_GRACE_PERIOD_NS);
    Some(Retention::Unretained { since_ns: Some(since_ns), condemned_at_ns })
}

#[test]
fn should_retain_what_is_sealed_and_name_the_rest() {
    let (mut state, [first, second, third]) = with_modules();
    let unknown = Hash::of(b"unknown");
    assert_eq!(state.retain(CATALOG, &[first, unknown, second]).unwrap().unknown, [unknown]);
    assert_eq!(state.retain(CATALOG, &[first, first]).unwrap().unknown, []);
    assert_eq!(state.retain(FACTORY, &[second]).unwrap().unknown, []);
    let mut expected = [first, second];
    expected.sort_unstable();
    assert_eq!(retained(&state, CATALOG), expected);
    assert_eq!(retained(&state, FACTORY), [second]);
    assert_eq!(state.retention(&first), Some(Retention::Retained { holders: vec![CATALOG] }));
    assert_eq!(state.retention(&second), Some(Retention::Retained { holders: vec![CATALOG, FACTORY] }));
    assert_eq!(state.retention(&third), unretained(NOW));
    assert_eq!(state.retention(&unknown), None);
    let stats = state.stats(0, vec![]);
    assert_eq!((stats.references, stats.unretained_modules), (3, 1));
    state.check_invariants();
}

#[test]
fn should_begin_the_grace_period_when_the_last_holder_releases() {
    let (mut state, [first, second, _]) = with_modules();
    state.retain(CATALOG, &[first, second]).unwrap();
    state.retain(FACTORY, &[first]).unwrap();
    let unknown = Hash::of(b"unknown");
    state.release(CATALOG, NOW + 5, &[first, unknown, second, second]).unwrap();
    assert_eq!(state.retention(&first), Some(Retention::Retained { holders: vec![FACTORY] }));
    assert_eq!(state.retention(&second), unretained(NOW + 5));
    state.release(CATALOG, NOW + 6, &[first, second]).unwrap();
    assert_eq!(state.retention(&second), unretained(NOW + 5), "a repeated call changes nothing");
    state.release(FACTORY, NOW + 7, &[first]).unwrap();
    assert_eq!(state.retention(&first), unretained(NOW + 7));
    state.check_invariants();
}

#[test]
fn should_give_an_uploaded_module_its_grace_period_again() {
    let (mut state, [first, ..]) = with_modules();
    let module = Module::small(1);
    state.begin_upload(uploader(BOB), NOW + 9, &module.declaration()).unwrap();
    assert_eq!(state.retention(&first), unretained(NOW + 9));
    state.commit_upload(uploader(BOB), NOW + 10, &first, Budget::UNLIMITED).unwrap();
    assert_eq!(state.retention(&first), unretained(NOW + 10));
    state.retain(CATALOG, &[first]).unwrap();
    state.begin_upload(uploader(BOB), NOW + 11, &module.declaration()).unwrap();
    assert_eq!(state.retention(&first), Some(Retention::Retained { holders: vec![CATALOG] }));
    state.check_invariants();
}

#[test]
fn should_serve_holders_only() {
    let (mut state, [first, ..]) = with_modules();
    let refused = RetainError::NotHolder { caller: ALICE };
    assert_eq!(state.retain(ALICE, &[first]), Err(refused.clone()));
    assert_eq!(state.release(ALICE, NOW, &[first]), Err(refused));
    state.retain(CATALOG, &[first]).unwrap();
    state.remove_holder(CONTROLLER, CATALOG).unwrap();
    assert_eq!(state.retain(CATALOG, &[first]), Err(RetainError::NotHolder { caller: CATALOG }));
    state.check_invariants();
}

#[test]
fn should_take_so_many_hashes_and_no_more() {
    let (mut state, [first, ..]) = with_modules();
    let fits = vec![first; MAX_RETAINED_PER_CALL];
    assert!(state.retain(CATALOG, &fits).is_ok() && state.release(CATALOG, NOW, &fits).is_ok());
    let long = vec![first; MAX_RETAINED_PER_CALL + 1];
    let refused = RetainError::TooManyHashes { received: 101, max: 100 };
    assert_eq!(state.retain(CATALOG, &long), Err(refused.clone()));
    assert_eq!(state.release(CATALOG, NOW, &long), Err(refused));
    assert_eq!(retained(&state, CATALOG), []);
}

#[test]
fn should_list_what_a_holder_retains_page_by_page() {
    let (mut state, mut hashes) = with_modules();
    state.retain(CATALOG, &hashes).unwrap();
    state.retain(FACTORY, &hashes[..1]).unwrap();
    hashes.sort_unstable();
    let list = |after, limit| state.list_retained(&ListRetainedArgs { holder: CATALOG, after, limit: Some(limit) });
    let first = list(None, 2);
    assert_eq!(first, RetainedPage { modules: hashes[..2].to_vec(), next: Some(hashes[1]) });
    assert_eq!(list(first.next, 2), RetainedPage { modules: hashes[2..].to_vec(), next: None });
    assert_eq!(list(first.next, 1), RetainedPage { modules: hashes[2..].to_vec(), next: None });
    let none = state.list_retained(&ListRetainedArgs { holder: principal(77), after: None, limit: None });
    assert_eq!(none, RetainedPage::default());
}

#[test]
fn should_keep_a_chunk_of_a_removed_module_that_an_upload_has() {
    let (mut state, _) = with_modules();
    let (first, second) = (Module::large(1, 1), Module::large(1, 2));
    seal(&mut state, ALICE, &first);
    assert_eq!(begin(&mut state, uploader(BOB), NOW, &second), [1]);
    let condemned_ns = NOW + DEFAULT_GRACE_PERIOD_NS;
    state.put_chunk(uploader(BOB), condemned_ns, &second.put(1)).unwrap_err();
    // The upload expired long ago, but nobody has removed it yet: its chunks stay.
    assert!(state.module_info(&first.hash).is_some());
    state.check_invariants();
}
