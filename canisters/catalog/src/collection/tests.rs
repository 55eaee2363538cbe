use std::{cell::Cell, rc::Rc};

use depot_types::catalog::{CommitInfo, DeleteBranchArgs, ModuleError};

use super::*;
use crate::{
    branches::delete_branch,
    test_fixtures::{ALICE, BLOB_STORE, CONTROLLER, Fixture, block_on, module, remove, set},
    undo::restore,
};

fn call(fixture: &Fixture, squash: Option<&str>) -> Result<CollectionStatus, CollectGarbageError> {
    let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
    block_on(collect_garbage(&fixture.state, &fixture.runtime, CONTROLLER, args))
}

fn collected(fixture: &Fixture, squash: Option<&str>) -> CollectionStatus {
    for _ in 0..1_000 {
        let status = call(fixture, squash).unwrap();
        if status.finished {
            return status;
        }
    }
    panic!("the collection does not end");
}

fn history(fixture: &Fixture, branch: &str, count: u64) -> Vec<CommitInfo> {
    (0..count).map(|number| fixture.commit_on(branch, &[set("d/a", number)]).unwrap()).collect()
}

#[test]
fn should_keep_all_that_branches_and_releases_lead_to() {
    let fixture = Fixture::new();
    let commits = history(&fixture, "main", 3);
    fixture.publish("p", "1.0.0", 77).unwrap();
    let before = fixture.state.borrow().objects.len();
    let status = collected(&fixture, None);
    assert_eq!((status.commits, status.nodes, status.modules), (0, 0, 0));
    assert_eq!(fixture.state.borrow().objects.len(), before);
    assert!(commits.iter().all(|commit| fixture.state.borrow().commit_info(&commit.id).is_some()));
    assert!(fixture.runtime.retained().contains(&module(77)));
}

/// What it deletes and moves is answered while the blob store is waited for.
#[test]
fn should_certify_what_was_done_before_the_blob_store_is_asked() {
    let fixture = Fixture::new();
    history(&fixture, "main", 3);
    let before = fixture.state.borrow().certified_data();
    let (state, certified) = (Rc::clone(&fixture.state), fixture.runtime.certified());
    let seen = Rc::new(Cell::new(false));
    let is_seen = Rc::clone(&seen);
    fixture.runtime.during_next_call(move || {
        assert_eq!(certified.get(), Some(state.borrow().certified_data()));
        is_seen.set(true);
    });
    call(&fixture, Some("main")).unwrap();
    assert!(seen.get() && fixture.state.borrow().certified_data() != before);
}

/// Counts as wasmstore does: modules, nodes of folders, commits.
#[test]
fn should_squash_a_branch_and_free_what_nothing_reaches() {
    let fixture = Fixture::new();
    let commits = history(&fixture, "main", 3);
    let status = collected(&fixture, Some("main"));
    // Three commits; the top folder and `d` of the first two; the first two modules.
    assert_eq!((status.commits, status.nodes, status.modules), (3, 4, 2));
    let head = fixture.head().unwrap();
    let state = fixture.state.borrow();
    let squashed = state.commit_info(&head).unwrap();
    assert_eq!((squashed.tree, squashed.parents.len(), squashed.message.as_str()), (commits[2].tree, 0, "GC"));
    assert_eq!(commits.iter().filter_map(|commit| state.commit_info(&commit.id)).count(), 0);
    assert_eq!(fixture.runtime.retained(), [module(2)].into());
    drop(state);
    let again = collected(&fixture, Some("main"));
    assert_eq!((again.commits, again.nodes, again.modules), (0, 0, 0), "a commit without parents is left as it is");
    fixture.commit(&[set("d/a", 0)]).unwrap();
    assert_eq!(fixture.found("main", "d/a"), Some(module(0)));
    assert!(fixture.runtime.retained().contains(&module(0)), "what was let go of is retained anew");
}

#[test]
fn should_leave_other_branches_their_history() {
    let fixture = Fixture::new();
    let commits = history(&fixture, "main", 3);
    let args = depot_types::catalog::CreateBranchArgs { name: "dev".to_string(), from: None };
    crate::branches::create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
    let status = collected(&fixture, Some("main"));
    assert_eq!((status.commits, status.nodes, status.modules), (0, 0, 0));
    assert!(fixture.state.borrow().commit_info(&commits[0].id).is_some());
    let args = DeleteBranchArgs { name: "dev".to_string(), expected_head: None };
    delete_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
    assert_eq!(collected(&fixture, None).commits, 3);
}

#[test]
fn should_work_in_slices_between_which_others_work() {
    let fixture = Fixture::new();
    for number in 0..300 {
        fixture.commit(&[set(&format!("d/{number}"), number)]).unwrap();
    }
    for number in 0..250 {
        fixture.commit(&[remove(&format!("d/{number}"))]).unwrap();
    }
    let old = fixture.head().unwrap();
    let mut slices = 0;
    loop {
        // A few looks at the counter and the slice is over.
        fixture.runtime.set_instructions_per_look(MAX_GC_SLICE_INSTRUCTIONS / 4);
        let status = call(&fixture, Some("main")).unwrap();
        fixture.runtime.set_instructions_per_look(0);
        if status.finished {
            break;
        }
        slices += 1;
        // Names modules again that are about to go.
        fixture.commit(&[set(&format!("new/{slices}"), slices % 250)]).unwrap();
        assert!(slices < 500);
    }
    assert!(slices > 3, "{slices}");
    assert!(fixture.state.borrow().commit_info(&old).is_none());
    for slice in 1..=slices {
        let found = fixture.found("main", &format!("new/{slice}"));
        assert_eq!(found, Some(module(slice % 250)));
        assert!(fixture.runtime.retained().contains(&module(slice % 250)), "{slice}");
    }
}

#[test]
fn should_not_bring_back_what_is_about_to_be_deleted() {
    let fixture = Fixture::new();
    let commits = history(&fixture, "main", 300);
    let gone = commits[299].id;
    let back = |fixture: &Fixture, commit: Hash| {
        let args = depot_types::catalog::RestoreArgs {
            branch: None,
            from: depot_types::catalog::Revision::Commit(commit),
            path: None,
            revert: false,
            note: depot_types::catalog::Note::default(),
        };
        restore(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args)
    };
    back(&fixture, commits[0].id).unwrap();
    let mut is_refused = false;
    loop {
        fixture.runtime.set_instructions_per_look(MAX_GC_SLICE_INSTRUCTIONS / 2);
        let status = call(&fixture, None).unwrap();
        if status.finished {
            break;
        }
        let is_deleting = fixture.state.borrow().is_leaving(&gone);
        if is_deleting {
            is_refused |= back(&fixture, gone).is_err();
            assert!(is_refused);
        }
    }
    assert!(is_refused);
    assert_eq!(fixture.state.borrow().commit_numbers.len(), 1);
}

#[test]
fn should_retain_a_module_anew_that_is_named_while_it_is_released() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    fixture.commit(&[set("a", 2)]).unwrap();
    let twin = fixture.twin();
    fixture.runtime.during_next_call(move || {
        twin.commit(&[set("b", 1)]).unwrap();
        assert_eq!(twin.runtime.asked(), [module(1)], "it is not taken for retained any more");
    });
    assert_eq!(collected(&fixture, Some("main")).modules, 0);
    assert_eq!(fixture.state.borrow().unknown_modules([module(1)]), []);
}

/// The blob store does what it is asked in the order in which it is asked: to release a module behind a call to retain
/// it that is not answered yet would undo that.
#[test]
fn should_not_release_a_module_that_a_commit_waits_for() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    fixture.commit(&[set("a", 2)]).unwrap();
    let twin = fixture.twin();
    twin.runtime.set_holder(false);
    assert!(call(&twin, Some("main")).is_err());
    twin.runtime.set_holder(true);
    fixture.runtime.during_next_call(move || {
        let status = call(&twin, None).unwrap();
        assert_eq!((status.finished, status.modules), (true, 0));
    });
    fixture.commit(&[set("b", 1)]).unwrap();
    assert_eq!(fixture.state.borrow().unknown_modules([module(1)]), []);
    // Without the commit it would have gone, and does when nothing names it any more.
    fixture.commit(&[remove("b")]).unwrap();
    assert_eq!(collected(&fixture, Some("main")).modules, 1);
}

#[test]
fn should_end_without_the_blob_store_only_when_it_lets_go() {
    let fixture = Fixture::new();
    history(&fixture, "main", 2);
    fixture.runtime.set_holder(false);
    let refused = call(&fixture, Some("main"));
    let not_holder = ModuleError::NotHolder { blob_store: BLOB_STORE };
    assert_eq!(refused, Err(CollectGarbageError::BlobStore(not_holder)));
    assert!(!fixture.state.borrow().collection_status().finished);
    fixture.runtime.set_holder(true);
    assert_eq!(collected(&fixture, None).modules, 1);
    assert!(fixture.state.borrow().collection_status().finished);
}

#[test]
fn should_be_for_controllers_and_known_branches() {
    let fixture = Fixture::new();
    let args = CollectGarbageArgs::default();
    let refused = block_on(collect_garbage(&fixture.state, &fixture.runtime, ALICE, args));
    assert!(matches!(refused, Err(CollectGarbageError::Denied(_))));
    let unknown = CollectGarbageError::UnknownBranch { branch: "dev".to_string() };
    assert_eq!(call(&fixture, Some("dev")), Err(unknown));
}

#[test]
fn should_release_in_bounded_calls_and_forget_paths_within_bounds() {
    let fixture = Fixture::new();
    let count = MAX_MODULES_PER_CALL as u64 + 1;
    for part in (0..=count).collect::<Vec<u64>>().chunks(50) {
        fixture.commit(&part.iter().map(|number| set(&format!("d/{number}"), *number)).collect::<Vec<_>>()).unwrap();
    }
    fixture.commit(&[remove("d"), set("a", count)]).unwrap();
    // One of them has named as many paths as are forgotten with it, another one more; `d/…` is one of each.
    fixture.record_old_paths(&module(1), MAX_LOOKED_AT - 1);
    fixture.record_old_paths(&module(2), MAX_LOOKED_AT);
    let twin = fixture.twin();
    let largest = || fixture.runtime.largest_call();
    assert!(largest() < MAX_MODULES_PER_CALL);
    assert_eq!(collected(&twin, Some("main")).modules, count);
    assert_eq!(twin.runtime.largest_call(), MAX_MODULES_PER_CALL);
    let left = |number| fixture.state.borrow().paths_ever_of(&module(number), None).count();
    assert_eq!((left(1), left(2)), (0, 1));
    // A path that was not forgotten does no harm: what it names is looked up.
    fixture.commit(&[set("b", 2)]).unwrap();
    let args = depot_types::catalog::PathsOfArgs { at: None, module_hash: module(2), after: None, limit: None };
    assert_eq!(fixture.state.borrow().paths_of(&args).unwrap().paths, ["b"]);
}

#[test]
fn should_end_a_slice_at_so_many_instructions() {
    let fixture = Fixture::new();
    history(&fixture, "main", 2);
    let phase = || fixture.state.borrow().collection.get().0.clone().map(|collection| collection.phase);
    fixture.runtime.set_instructions_per_look(MAX_GC_SLICE_INSTRUCTIONS);
    assert!(!call(&fixture, None).unwrap().finished);
    assert_eq!(phase(), Some(Phase::MarkReleases(None)), "a slice that has used them up does nothing more");
    fixture.runtime.set_instructions_per_look(MAX_GC_SLICE_INSTRUCTIONS - 1);
    assert!(!call(&fixture, None).unwrap().finished);
    assert_eq!(phase(), Some(Phase::MarkObjects), "one step, and a look past the limit");
    fixture.runtime.set_instructions_per_look(0);
    assert!(call(&fixture, None).unwrap().finished);
}
