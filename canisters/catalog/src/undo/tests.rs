use depot_types::catalog::{Change, Denied, ProtectBranchArgs, Revision, TreeError};

use super::*;
use crate::{
    branches::protect_branch,
    test_fixtures::{ALICE, BOB, CONTROLLER, Fixture, module, remove, set},
};

fn rolled_back(fixture: &Fixture, path: Option<&str>, count: u32, revert: bool) -> Result<HeadChange, UndoError> {
    let args = RollbackArgs { branch: None, path: path.map(str::to_string), count, revert, note: Note::default() };
    rollback(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args)
}

fn restored(fixture: &Fixture, from: Hash, path: Option<&str>, revert: bool) -> Result<HeadChange, UndoError> {
    let from = Revision::Commit(from);
    let args = RestoreArgs { branch: None, from, path: path.map(str::to_string), revert, note: Note::default() };
    restore(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args)
}

fn history(fixture: &Fixture, commits: &[&[Change]]) -> Vec<Hash> {
    commits.iter().map(|changes| fixture.commit(changes).unwrap().id).collect()
}

#[test]
fn should_move_the_head_back_by_commits() {
    let fixture = Fixture::new();
    let ids = history(&fixture, &[&[set("a", 1)], &[set("a", 2)], &[set("b", 3)]]);
    let change = rolled_back(&fixture, None, 2, false).unwrap();
    assert_eq!((change.previous, change.head, change.commit), (Some(ids[2]), Some(ids[0]), None));
    assert_eq!((fixture.found("main", "a"), fixture.found("main", "b")), (Some(module(1)), None));
    assert!(fixture.state.borrow().commit_info(&ids[2]).is_some(), "what was is kept until garbage collection");
    assert_eq!(rolled_back(&fixture, None, 2, false), Err(UndoError::TooFew { available: 1 }));
    assert_eq!(rolled_back(&fixture, None, 0, false), Err(UndoError::TooFew { available: 1 }));
    assert_eq!(rolled_back(&fixture, None, 1, false).unwrap().head, None);
    assert_eq!(rolled_back(&fixture, None, 1, false), Err(UndoError::EmptyBranch { branch: "main".to_string() }));
    assert_eq!(restored(&fixture, ids[2], None, false).unwrap().head, Some(ids[2]));
    assert_eq!(fixture.found("main", "b"), Some(module(3)));
}

#[test]
fn should_go_back_over_lines_of_history() {
    let fixture = Fixture::new();
    let mut ids = history(&fixture, &[&[set("a", 1)], &[set("a", 2)]]);
    for number in 3..8 {
        rolled_back(&fixture, None, 1, false).unwrap();
        ids.pop();
        ids.extend(history(&fixture, &[&[set("a", number)], &[set("b", number)]]));
    }
    let back = ids.len() as u32 - 1;
    assert_eq!(rolled_back(&fixture, None, back + 2, false), Err(UndoError::TooFew { available: u64::from(back) + 1 }));
    assert_eq!(rolled_back(&fixture, None, back, false).unwrap().head, Some(ids[0]));
}

#[test]
fn should_revert_by_a_commit_on_top() {
    let fixture = Fixture::new();
    let ids = history(&fixture, &[&[set("a", 1), set("c/d", 4)], &[set("a", 2)], &[set("b", 3), remove("c")]]);
    let change = rolled_back(&fixture, None, 2, true).unwrap();
    let commit = change.commit.unwrap();
    assert_eq!((commit.parents, change.head), (vec![ids[2]], Some(commit.id)));
    assert_eq!(commit.tree, fixture.state.borrow().commit_info(&ids[0]).unwrap().tree);
    assert_eq!(rolled_back(&fixture, None, 4, true).unwrap().commit.unwrap().message, "Rollback");
    assert_eq!(fixture.found("main", "a"), None, "before the first commit there was nothing");
    let change = restored(&fixture, ids[1], None, true).unwrap();
    assert_eq!(change.commit.unwrap().parents.len(), 1);
    assert_eq!(fixture.found("main", "a"), Some(module(2)));
    assert_eq!(restored(&fixture, ids[1], None, true), Err(UndoError::NothingChanged));
    assert_eq!(restored(&fixture, fixture.head().unwrap(), None, false), Err(UndoError::NothingChanged));
}

#[test]
fn should_give_a_path_its_earlier_values() {
    let fixture = Fixture::new();
    history(&fixture, &[&[set("a", 1)], &[set("b", 9)], &[set("a", 2)], &[remove("a")], &[set("a", 3)]]);
    let change = rolled_back(&fixture, Some("a"), 1, false).unwrap();
    assert_eq!(change.commit.unwrap().message, "Rollback /a");
    assert_eq!(fixture.found("main", "a"), None, "it was removed before it was set again");
    // Four changes and the one that took the last one back.
    assert_eq!(rolled_back(&fixture, Some("a"), 6, false), Err(UndoError::TooFew { available: 5 }));
    rolled_back(&fixture, Some("/a/"), 3, false).unwrap();
    assert_eq!(fixture.found("main", "a"), Some(module(2)));
    assert_eq!(fixture.found("main", "b"), Some(module(9)));
    assert_eq!(rolled_back(&fixture, Some("b"), 1, false).unwrap().commit.unwrap().parents.len(), 1);
    assert_eq!(fixture.found("main", "b"), None, "a path that was changed once goes away");
    let unknown = UndoError::UnknownPath { path: "c/d".to_string() };
    assert_eq!(rolled_back(&fixture, Some("c/d"), 1, false), Err(unknown));
    assert!(matches!(rolled_back(&fixture, Some("//"), 1, false), Err(UndoError::InvalidPath { .. })));
}

#[test]
fn should_give_a_folder_its_earlier_content() {
    let fixture = Fixture::new();
    history(&fixture, &[&[set("d/a", 1), set("d/b", 2)], &[set("e", 3)], &[set("d/a", 4), set("d/c/x", 5)]]);
    rolled_back(&fixture, Some("d"), 1, false).unwrap();
    let found = |path| fixture.found("main", path);
    assert_eq!((found("d/a"), found("d/b"), found("d/c/x")), (Some(module(1)), Some(module(2)), None));
    assert_eq!(found("e"), Some(module(3)));
}

#[test]
fn should_restore_a_path_on_top_of_the_head() {
    let fixture = Fixture::new();
    let ids = history(&fixture, &[&[set("d/a", 1)], &[remove("d")], &[set("d", 2)], &[set("e", 3)]]);
    let change = restored(&fixture, ids[0], Some("d"), false).unwrap();
    let commit = change.commit.unwrap();
    assert_eq!((commit.parents.clone(), commit.message.as_str()), (vec![ids[3]], "Restore /d"));
    assert_eq!((fixture.found("main", "d/a"), fixture.found("main", "e")), (Some(module(1)), Some(module(3))));
    restored(&fixture, ids[1], Some("d"), false).unwrap();
    assert_eq!(fixture.found("main", "d/a"), None, "the path was absent there");
    assert_eq!(restored(&fixture, ids[1], Some("d"), false), Err(UndoError::NothingChanged));
    restored(&fixture, ids[2], Some("d"), false).unwrap();
    let blocked = UndoError::Tree(TreeError::PathConflict { path: "d/a".to_string(), existing: "d".to_string() });
    assert_eq!(restored(&fixture, ids[0], Some("d/a"), false), Err(blocked));
    let unknown = Hash::of(b"unknown");
    assert_eq!(restored(&fixture, unknown, None, false), Err(UndoError::UnknownCommit { commit: unknown }));
}

#[test]
fn should_compare_the_head_and_check_rights() {
    let fixture = Fixture::new();
    let ids = history(&fixture, &[&[set("a", 1)], &[set("a", 2)]]);
    let args = |note| RollbackArgs { branch: None, path: None, count: 1, revert: true, note };
    let call = |caller, args| rollback(&mut fixture.state.borrow_mut(), &fixture.runtime, caller, args);
    let late = Note { expected_head: Some(ids[0]), ..Note::default() };
    assert_eq!(call(ALICE, args(late)), Err(UndoError::HeadMoved { expected: ids[0], actual: Some(ids[1]) }));
    assert!(matches!(call(BOB, args(Note::default())), Err(UndoError::Denied(Denied::NotAllowed { .. }))));
    let long = Note { message: Some("m".repeat(5_000)), ..Note::default() };
    assert!(matches!(call(ALICE, args(long)), Err(UndoError::TextTooLong { .. })));

    let protect = ProtectBranchArgs { name: "main".to_string(), protected: true };
    protect_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, CONTROLLER, protect).unwrap();
    let back = RollbackArgs { revert: false, ..args(Note::default()) };
    assert!(matches!(call(CONTROLLER, back), Err(UndoError::Denied(Denied::ProtectedBranch { .. }))));
    assert!(matches!(call(ALICE, args(Note::default())), Err(UndoError::Denied(Denied::ProtectedBranch { .. }))));
    let note = Note { message: Some("why".to_string()), author_name: Some("who".to_string()), expected_head: None };
    let commit = call(CONTROLLER, args(note)).unwrap().commit.unwrap();
    assert_eq!(
        (commit.message.as_str(), commit.author_name.as_deref(), commit.author),
        ("why", Some("who"), CONTROLLER)
    );
}
