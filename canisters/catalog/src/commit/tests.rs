use depot_types::{
    catalog::{BranchInfo, Change, FindArgs, MergeArgs, MergeError, Note, Revision, RollbackArgs},
    path::NameError,
};

use super::*;
use crate::history::module_path_key;
use crate::test_fixtures::{ALICE, BOB, CONTROLLER, Fixture, commit_args, module, remove, set, unavailable};

fn found(fixture: &Fixture, path: &str) -> Option<Hash> {
    let found = fixture.state.borrow().find(&FindArgs { branch: None, path: path.to_string() });
    found.ok().map(|found| found.module_hash)
}

#[test]
fn should_keep_what_was_committed_by_whom_and_when() {
    let fixture = Fixture::new();
    fixture.runtime.set_now_ns(7);
    let args = CommitArgs {
        message: "Why".to_string(),
        author_name: Some("Alice".to_string()),
        ..commit_args(&[set("a/b", 1)])
    };
    let first = fixture.commit_as(ALICE, args).unwrap();
    assert_eq!(first.parents, []);
    assert_eq!((first.author, first.author_name.as_deref()), (ALICE, Some("Alice")));
    assert_eq!((first.message.as_str(), first.time_ns), ("Why", 7));
    let second = fixture.commit_as(CONTROLLER, commit_args(&[set("a/c", 2)])).unwrap();
    assert_eq!(second.parents, [first.id]);
    let state = fixture.state.borrow();
    let main = BranchInfo { name: "main".to_string(), head: Some(second.id), protected: false, default: true };
    assert_eq!(state.branches(), [main]);
    for commit in [first, second] {
        let id = commit.id;
        let bytes = state.object(&id).unwrap();
        assert_eq!(Commit::decode(&bytes).unwrap().encode().id, id);
        assert_eq!(state.commit_info(&id), Some(commit));
    }
}

#[test]
fn should_retain_each_unknown_module_once() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("b", 1), set("c", 2)]).unwrap();
    let mut asked = fixture.runtime.asked();
    asked.sort();
    let mut expected = vec![module(1), module(2)];
    expected.sort();
    assert_eq!(asked, expected);
    fixture.commit(&[set("d", 2), remove("a"), set("e", 3)]).unwrap();
    assert_eq!(fixture.runtime.asked()[2..], [module(3)]);
}

#[test]
fn should_refuse_callers_without_rights() {
    let fixture = Fixture::new();
    let args = commit_args(&[set("a", 1)]);
    let anonymous = fixture.commit_as(Principal::anonymous(), args.clone());
    assert_eq!(anonymous, Err(CommitError::AnonymousCaller));
    assert_eq!(fixture.commit_as(BOB, args), Err(CommitError::NotAllowed { caller: BOB }));
    assert_eq!(fixture.runtime.asked(), []);
}

#[test]
fn should_create_a_branch_only_when_asked_to() {
    let fixture = Fixture::new();
    let on = |branch: &str, create_branch| {
        let branch = Some(branch.to_string());
        let args = CommitArgs { branch, create_branch, ..commit_args(&[set("a", 1)]) };
        fixture.commit_as(ALICE, args)
    };
    let unknown = Err(CommitError::UnknownBranch { branch: "dev".to_string() });
    assert_eq!(on("dev", None), unknown);
    assert_eq!(on("dev", Some(false)), unknown);
    let invalid = Err(CommitError::InvalidBranch(NameError::InvalidCharacter { position: 1 }));
    assert_eq!(on("a/b", Some(true)), invalid);
    assert!(on("main", Some(true)).is_ok());
    let commit = on("dev", Some(true)).unwrap();
    assert_eq!((commit.parents.len(), fixture.found("dev", "a")), (0, Some(module(1))));
}

#[test]
fn should_remove_a_module_from_all_paths_that_name_it() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("d/b", 1), set("d/c", 2), set("e", 1)]).unwrap();
    fixture.commit(&[set("e", 3)]).unwrap();
    let everywhere = Change::RemoveModule { module_hash: module(1) };
    fixture.commit(&[everywhere.clone(), set("f", 4)]).unwrap();
    let found = ["a", "d/b", "d/c", "e", "f"].map(|path| found(&fixture, path));
    assert_eq!(found, [None, None, Some(module(2)), Some(module(3)), Some(module(4))]);
    assert_eq!(fixture.commit(&[everywhere]), Err(CommitError::NothingChanged));
    let below = Change::RemoveModule { module_hash: module(4) };
    let refused = fixture.commit(&[below, set("f/g", 1)]);
    let expected = CommitError::OverlappingChanges { first: "f".to_string(), second: "f/g".to_string() };
    assert_eq!(refused, Err(expected));
}

#[test]
fn should_hold_text_limits_at_and_one_past() {
    let fixture = Fixture::new();
    let mut args = CommitArgs {
        message: "m".repeat(MAX_COMMIT_MESSAGE_BYTES),
        author_name: Some("n".repeat(MAX_AUTHOR_NAME_BYTES)),
        ..commit_args(&[set("a", 1)])
    };
    assert!(fixture.commit_as(ALICE, args.clone()).is_ok());
    args.changes = vec![set("a", 2)];
    let long = CommitArgs { message: "m".repeat(MAX_COMMIT_MESSAGE_BYTES + 1), ..args.clone() };
    let refused = |field: &str, max: usize| {
        Err(CommitError::TextTooLong { field: field.to_string(), bytes: max as u32 + 1, max: max as u32 })
    };
    assert_eq!(fixture.commit_as(ALICE, long), refused("message", MAX_COMMIT_MESSAGE_BYTES));
    let long = CommitArgs { author_name: Some("n".repeat(MAX_AUTHOR_NAME_BYTES + 1)), ..args };
    assert_eq!(fixture.commit_as(ALICE, long), refused("author_name", MAX_AUTHOR_NAME_BYTES));
}

#[test]
fn should_apply_all_changes_or_none() {
    let fixture = Fixture::new();
    let head = fixture.commit(&[set("a", 1)]).unwrap().id;
    fixture.runtime.answer(module(3), Ok(false));
    let objects = fixture.state.borrow().objects.len();
    let refused = fixture.commit(&[set("b", 2), remove("a"), set("c", 3)]);
    assert_eq!(refused, Err(CommitError::UnknownModule { module_hash: module(3) }));
    let refused = fixture.commit(&[set("b", 2), set("a/x", 2)]);
    assert!(matches!(refused, Err(CommitError::PathConflict { .. })));
    assert_eq!(fixture.head(), Some(head));
    assert_eq!(fixture.state.borrow().objects.len(), objects);
    // What the blob store retains for a commit that was refused is known, so that it can be released.
    assert_eq!(fixture.state.borrow().unknown_modules([module(1), module(2), module(3)]), [module(3)]);
}

#[test]
fn should_refuse_a_commit_that_changes_nothing() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("b/c", 2)]).unwrap();
    assert_eq!(fixture.commit(&[set("a", 1), set("b/c", 2)]), Err(CommitError::NothingChanged));
    fixture.commit(&[remove("a"), remove("b")]).unwrap();
    assert_eq!(fixture.commit(&[remove("a")]), Err(CommitError::UnknownPath { path: "a".to_string() }));
    fixture.commit(&[set("a", 1), set("b/c", 2)]).unwrap();
}

#[test]
fn should_compare_the_head_that_is_expected() {
    let fixture = Fixture::new();
    let expecting = |expected_head: Hash, number: u64| {
        let args = CommitArgs { expected_head: Some(expected_head), ..commit_args(&[set("a", number)]) };
        fixture.commit_as(ALICE, args)
    };
    let wrong = Hash::of(b"wrong");
    assert_eq!(expecting(wrong, 1), Err(CommitError::HeadMoved { expected: wrong, actual: None }));
    let first = fixture.commit(&[set("a", 1)]).unwrap().id;
    let second = expecting(first, 2).unwrap().id;
    assert_eq!(expecting(first, 3), Err(CommitError::HeadMoved { expected: first, actual: Some(second) }));
    assert_eq!(fixture.runtime.asked().len(), 2, "a commit that cannot succeed asks nothing");
}

#[test]
fn should_say_how_the_blob_store_could_not_be_asked() {
    let fixture = Fixture::new();
    fixture.runtime.answer(module(1), Err(unavailable()));
    assert_eq!(fixture.commit(&[set("a", 1)]), Err(CommitError::BlobStoreUnavailable(unavailable())));
    assert_eq!(fixture.head(), None);
    fixture.runtime.answer(module(1), Ok(true));
    assert!(fixture.commit(&[set("a", 1)]).is_ok());
}

/// Lets `meanwhile` happen while the blob store is asked.
fn race(fixture: &Fixture, meanwhile: impl FnOnce(&Fixture) + 'static) {
    let other = fixture.twin();
    fixture.runtime.during_next_call(move || meanwhile(&other));
}

#[test]
fn should_apply_to_the_head_as_it_is_after_the_call() {
    let fixture = Fixture::new();
    race(&fixture, |other| _ = other.commit(&[set("a", 1), set("folder/b", 2)]).unwrap());
    let commit = fixture.commit(&[set("folder/c", 3)]).unwrap();
    assert_eq!(commit.parents.len(), 1);
    let paths = ["a", "folder/b", "folder/c"].map(|path| found(&fixture, path));
    assert_eq!(paths, [1, 2, 3].map(|number| Some(module(number))));
}

#[test]
fn should_notice_a_head_that_moved_during_the_call() {
    let fixture = Fixture::new();
    let first = fixture.commit(&[set("a", 1)]).unwrap().id;
    race(&fixture, |other| _ = other.commit(&[set("b", 2)]).unwrap());
    let args = CommitArgs { expected_head: Some(first), ..commit_args(&[set("c", 3)]) };
    let refused = fixture.commit_as(ALICE, args);
    assert_eq!(refused, Err(CommitError::HeadMoved { expected: first, actual: fixture.head() }));
    assert_eq!((found(&fixture, "b"), found(&fixture, "c")), (Some(module(2)), None));
}

#[test]
fn should_notice_a_conflict_that_arose_during_the_call() {
    let fixture = Fixture::new();
    race(&fixture, |other| _ = other.commit(&[set("a", 1)]).unwrap());
    let refused = fixture.commit(&[set("a/b", 2)]);
    let expected = CommitError::PathConflict { path: "a/b".to_string(), existing: "a".to_string() };
    assert_eq!(refused, Err(expected));
}

#[test]
fn should_notice_that_another_one_made_the_same_change_during_the_call() {
    let fixture = Fixture::new();
    race(&fixture, |other| _ = other.commit(&[set("a", 1)]).unwrap());
    assert_eq!(fixture.commit(&[set("a", 1)]), Err(CommitError::NothingChanged));
}

#[test]
fn should_refuse_a_publisher_who_was_removed_during_the_call() {
    let fixture = Fixture::new();
    race(&fixture, |other| _ = other.state.borrow_mut().publishers.remove(&ALICE));
    assert_eq!(fixture.commit(&[set("a", 1)]), Err(CommitError::NotAllowed { caller: ALICE }));
    assert_eq!(fixture.head(), None);
}

/// Lets `main` be at a commit whose folder `d` has so many modules.
fn with_modules(count: usize) -> Fixture {
    let fixture = Fixture::new();
    let tree = fixture.store_tree(count);
    let mut state = fixture.state.borrow_mut();
    let head = state.add_bare_commit(tree, vec![]);
    state.move_head("main", Some(head), MovedBy::Commit, Actor { caller: ALICE, now_ns: 0 });
    drop(state);
    fixture
}

#[test]
fn should_change_so_many_paths_and_not_one_more() {
    let too_many = TreeError::TooManyPaths { max: MAX_PATHS_PER_COMMIT as u32 };
    let removal = read_changes(&[remove("d")]).unwrap().paths;
    let fixture = with_modules(MAX_PATHS_PER_COMMIT);
    let state = fixture.state.borrow();
    let tree = fixture_tree(&state);
    assert_eq!(state.prepare(Some(tree), &removal).unwrap().changed.len(), MAX_PATHS_PER_COMMIT);
    assert_eq!(state.prepare_stored(None, tree).unwrap().changed.len(), MAX_PATHS_PER_COMMIT);

    let fixture = with_modules(MAX_PATHS_PER_COMMIT + 1);
    let tree = fixture_tree(&fixture.state.borrow());
    assert_eq!(fixture.state.borrow().prepare_stored(None, tree), Err(too_many.clone()));
    assert_eq!(fixture.commit(&[remove("d")]), Err(too_many.clone().into()));
    let (branch, path, note) = (None, None, Note::default());
    let args = RollbackArgs { branch, path, count: 1, revert: true, note };
    let refused = crate::undo::rollback(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args);
    assert_eq!(refused, Err(too_many.clone().into()));
    let other =
        CommitArgs { branch: Some("other".to_string()), create_branch: Some(true), ..commit_args(&[set("x", 1)]) };
    let from = Revision::Commit(fixture.commit_as(ALICE, other).unwrap().id);
    let args = MergeArgs { into: None, from, resolutions: vec![], note: Note::default() };
    assert_eq!(fixture.state.borrow().preview_merge(args), Err(MergeError::Tree(too_many)));
}

fn fixture_tree<M: Memory>(state: &State<M>) -> Hash {
    let head = state.head("main").flatten().unwrap();
    state.place_of(&head).tree
}

#[test]
fn should_look_at_so_many_paths_of_a_module_to_remove_and_not_one_more() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("b", 2)]).unwrap();
    let removal = [Change::RemoveModule { module_hash: module(1) }, set("c", 3)];
    // `a` is one of the paths that are looked at.
    fixture.record_old_paths(&module(1), MAX_PATHS_PER_COMMIT);
    let refused = fixture.commit(&removal);
    assert_eq!(refused, Err(CommitError::TooManyPaths { max: MAX_PATHS_PER_COMMIT as u32 }));
    let mut state = fixture.state.borrow_mut();
    state.module_paths.remove(&module_path_key(&module(1), "old/000000"));
    drop(state);
    fixture.commit(&removal).unwrap();
    assert_eq!((fixture.found("main", "a"), fixture.found("main", "c")), (None, Some(module(3))));
}
