use depot_types::path::NameError;

use super::*;
use crate::test_fixtures::{ALICE, BOB, CONTROLLER, Fixture, commit_args, module, set};

fn create(fixture: &Fixture, name: &str, from: Option<Revision>) -> Result<BranchInfo, BranchError> {
    let args = CreateBranchArgs { name: name.to_string(), from };
    create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args)
}

fn delete(fixture: &Fixture, caller: Principal, name: &str) -> Result<(), BranchError> {
    let args = DeleteBranchArgs { name: name.to_string(), expected_head: None };
    delete_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, caller, args)
}

fn rename(fixture: &Fixture, caller: Principal, name: &str, new_name: &str) -> Result<BranchInfo, BranchError> {
    let args = RenameBranchArgs { name: name.to_string(), new_name: new_name.to_string() };
    rename_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, caller, args)
}

fn protect(fixture: &Fixture, caller: Principal, name: &str, protected: bool) -> Result<(), BranchError> {
    let args = ProtectBranchArgs { name: name.to_string(), protected };
    protect_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, caller, args)
}

fn named(name: &str) -> Option<Revision> {
    Some(Revision::Branch(name.to_string()))
}

#[test]
fn should_create_branches_at_any_commit() {
    let fixture = Fixture::new();
    let empty = create(&fixture, "dev", None);
    assert_eq!(empty, Err(BranchError::EmptyBranch { branch: "main".to_string() }));
    let first = fixture.commit(&[set("a", 1)]).unwrap().id;
    let second = fixture.commit(&[set("a", 2)]).unwrap().id;
    let info =
        |name: &str, head| BranchInfo { name: name.to_string(), head: Some(head), protected: false, default: false };
    assert_eq!(create(&fixture, "dev", None), Ok(info("dev", second)));
    assert_eq!(create(&fixture, "old", Some(Revision::Commit(first))), Ok(info("old", first)));
    assert_eq!(create(&fixture, "older", named("old")), Ok(info("older", first)));
    let names: Vec<String> = fixture.state.borrow().branches().into_iter().map(|branch| branch.name).collect();
    assert_eq!(names, ["dev", "main", "old", "older"]);
}

#[test]
fn should_refuse_branches_that_cannot_be_created() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let exists = |branch: &str| Err(BranchError::BranchExists { branch: branch.to_string() });
    assert_eq!(create(&fixture, "main", None), exists("main"));
    let invalid = BranchError::InvalidBranch(NameError::InvalidCharacter { position: 1 });
    assert_eq!(create(&fixture, "a/b", None), Err(invalid));
    let unknown = Hash::of(b"unknown");
    let refused = create(&fixture, "dev", Some(Revision::Commit(unknown)));
    assert_eq!(refused, Err(BranchError::UnknownCommit { commit: unknown }));
    let refused = create(&fixture, "dev", named("gone"));
    assert_eq!(refused, Err(BranchError::UnknownBranch { branch: "gone".to_string() }));
    let args = CreateBranchArgs { name: "dev".to_string(), from: None };
    let refused = create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, BOB, args);
    assert!(matches!(refused, Err(BranchError::Denied(_))));
    assert_eq!(fixture.state.borrow().branches().len(), 1);
}

#[test]
fn should_hold_the_number_of_branches_at_and_one_past() {
    let fixture = Fixture::new();
    let head = fixture.commit(&[set("a", 1)]).unwrap().id;
    let actor = Actor { caller: ALICE, now_ns: 1 };
    for number in 2..MAX_BRANCHES {
        fixture.state.borrow_mut().add_branch(&format!("b{number}"), Some(head), actor);
    }
    assert!(create(&fixture, "last", None).is_ok());
    let refused = Err(BranchError::TooManyBranches { max: MAX_BRANCHES as u32 });
    assert_eq!(create(&fixture, "one-more", None), refused);
    let implicit = depot_types::catalog::CommitArgs {
        branch: Some("one-more".to_string()),
        create_branch: Some(true),
        ..commit_args(&[set("a", 2)])
    };
    let refused = fixture.commit_as(ALICE, implicit);
    assert_eq!(refused, Err(depot_types::catalog::CommitError::TooManyBranches { max: MAX_BRANCHES as u32 }));
}

#[test]
fn should_keep_branches_apart() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    create(&fixture, "dev", None).unwrap();
    fixture.commit_on("dev", &[set("b", 2)]).unwrap();
    assert_eq!((fixture.found("main", "b"), fixture.found("dev", "b")), (None, Some(module(2))));
    assert_eq!(fixture.found("dev", "a"), Some(module(1)));
}

#[test]
fn should_delete_branches_but_not_the_default_one() {
    let fixture = Fixture::new();
    let head = fixture.commit(&[set("a", 1)]).unwrap().id;
    create(&fixture, "dev", None).unwrap();
    assert_eq!(delete(&fixture, ALICE, "main"), Err(BranchError::DefaultBranch { branch: "main".to_string() }));
    let other = Hash::of(b"other");
    let args = DeleteBranchArgs { name: "dev".to_string(), expected_head: Some(other) };
    let refused = delete_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args);
    assert_eq!(refused, Err(BranchError::HeadMoved { expected: other, actual: Some(head) }));
    assert_eq!(delete(&fixture, ALICE, "dev"), Ok(()));
    assert_eq!(delete(&fixture, ALICE, "dev"), Err(BranchError::UnknownBranch { branch: "dev".to_string() }));
    assert!(fixture.state.borrow().commit_info(&head).is_some());
}

#[test]
fn should_rename_branches_and_keep_what_they_are() {
    let fixture = Fixture::new();
    let head = fixture.commit(&[set("a", 1)]).unwrap().id;
    create(&fixture, "dev", None).unwrap();
    assert_eq!(rename(&fixture, ALICE, "dev", "main"), Err(BranchError::BranchExists { branch: "main".to_string() }));
    assert_eq!(rename(&fixture, ALICE, "dev", "next").unwrap().head, Some(head));
    assert_eq!(fixture.state.borrow().head("dev"), None);
    assert!(matches!(rename(&fixture, ALICE, "main", "trunk"), Err(BranchError::Denied(_))), "it is the default one");
    assert!(rename(&fixture, CONTROLLER, "main", "trunk").unwrap().default);
    assert_eq!(fixture.state.borrow().default_branch(), "trunk");
    fixture.commit(&[set("a", 2)]).unwrap();
    assert_eq!(fixture.found("trunk", "a"), Some(module(2)));
}

#[test]
fn should_let_controllers_name_another_default_branch() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    create(&fixture, "dev", None).unwrap();
    let change = |caller, name: &str| {
        set_default_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, caller, name.to_string())
    };
    assert!(matches!(change(ALICE, "dev"), Err(BranchError::Denied(_))));
    assert_eq!(change(CONTROLLER, "gone"), Err(BranchError::UnknownBranch { branch: "gone".to_string() }));
    assert_eq!(change(CONTROLLER, "dev"), Ok(()));
    fixture.commit(&[set("a", 2)]).unwrap();
    assert_eq!((fixture.found("main", "a"), fixture.found("dev", "a")), (Some(module(1)), Some(module(2))));
    assert_eq!(delete(&fixture, ALICE, "main"), Ok(()));
}

#[test]
fn should_hold_a_protected_branch_against_all_but_controllers() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    assert!(matches!(protect(&fixture, ALICE, "main", true), Err(BranchError::Denied(_))));
    protect(&fixture, CONTROLLER, "main", true).unwrap();
    let refused = fixture.commit(&[set("a", 2)]);
    let expected = depot_types::catalog::CommitError::ProtectedBranch { branch: "main".to_string() };
    assert_eq!(refused, Err(expected));
    assert!(fixture.commit_as(CONTROLLER, commit_args(&[set("a", 2)])).is_ok());
    assert!(matches!(rename(&fixture, CONTROLLER, "main", "x"), Err(BranchError::Denied(_))));
    assert!(matches!(delete(&fixture, CONTROLLER, "main"), Err(BranchError::Denied(_))));
    protect(&fixture, CONTROLLER, "main", false).unwrap();
    assert!(fixture.commit(&[set("a", 3)]).is_ok());
}
