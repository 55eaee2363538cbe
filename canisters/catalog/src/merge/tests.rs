mod limits;

use depot_types::catalog::{Change, CommitInfo, CreateBranchArgs};

use super::*;
use crate::{
    branches::create_branch,
    test_fixtures::{ALICE, BOB, Fixture, block_on, module, remove, set},
};

fn branch(fixture: &Fixture, name: &str, from: Hash) {
    let args = CreateBranchArgs { name: name.to_string(), from: Some(Revision::Commit(from)) };
    create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
}

fn args(into: &str, from: &str, resolutions: &[(&str, Take)]) -> MergeArgs {
    let resolution = |(path, take): &(&str, Take)| Resolution { path: path.to_string(), take: take.clone() };
    MergeArgs {
        into: Some(into.to_string()),
        from: Revision::Branch(from.to_string()),
        resolutions: resolutions.iter().map(resolution).collect(),
        note: Note::default(),
    }
}

fn merged(fixture: &Fixture, into: &str, from: &str) -> Result<Merged, MergeError> {
    resolved(fixture, into, from, &[])
}

fn resolved(fixture: &Fixture, into: &str, from: &str, resolutions: &[(&str, Take)]) -> Result<Merged, MergeError> {
    block_on(merge(&fixture.state, &fixture.runtime, ALICE, args(into, from, resolutions)))
}

fn commit_of(merged: Result<Merged, MergeError>) -> CommitInfo {
    match merged {
        Ok(Merged::Commit(commit)) => commit,
        other => panic!("{other:?}"),
    }
}

/// Two branches `main` and `dev` that have `base` in common.
fn diverged(base: &[Change], ours: &[Change], theirs: &[Change]) -> Fixture {
    let fixture = Fixture::new();
    let base = fixture.commit(base).unwrap().id;
    branch(&fixture, "dev", base);
    fixture.commit(ours).unwrap();
    fixture.commit_on("dev", theirs).unwrap();
    fixture
}

fn conflict(path: &str, base: u64, ours: u64, theirs: u64) -> Conflict {
    let hash = |number| (number > 0).then(|| module(number));
    let (base, ours, theirs) = (hash(base), hash(ours), hash(theirs));
    Conflict { path: path.to_string(), base, ours, theirs, in_the_way: None }
}

fn conflicts(conflicts: &[Conflict]) -> Result<Merged, MergeError> {
    Err(MergeError::Conflicts { conflicts: conflicts.to_vec(), total: conflicts.len() as u32 })
}

#[test]
fn should_go_forward_where_nothing_has_to_be_merged() {
    let fixture = Fixture::new();
    let first = fixture.commit(&[set("a", 1)]).unwrap().id;
    branch(&fixture, "dev", first);
    assert_eq!(merged(&fixture, "main", "dev"), Ok(Merged::UpToDate { head: first }));
    let second = fixture.commit_on("dev", &[set("a", 2)]).unwrap().id;
    assert_eq!(merged(&fixture, "dev", "main"), Ok(Merged::UpToDate { head: second }));
    let forward = Merged::FastForward { previous: Some(first), head: second };
    assert_eq!(merged(&fixture, "main", "dev"), Ok(forward));
    assert_eq!(fixture.head(), Some(second));
    assert_eq!(fixture.state.borrow().head("dev"), Some(Some(second)));
}

#[test]
fn should_take_the_head_of_the_other_branch_when_there_is_none() {
    let fixture = Fixture::new();
    let args = depot_types::catalog::CommitArgs {
        branch: Some("dev".to_string()),
        create_branch: Some(true),
        ..crate::test_fixtures::commit_args(&[set("a", 1)])
    };
    let head = fixture.commit_as(ALICE, args).unwrap().id;
    assert_eq!(merged(&fixture, "main", "dev"), Ok(Merged::FastForward { previous: None, head }));
    let empty = Fixture::new();
    assert_eq!(merged(&empty, "main", "main"), Err(MergeError::EmptyBranch { branch: "main".to_string() }));
}

#[test]
fn should_merge_what_one_side_alone_changed() {
    let base = [set("same", 1), set("ours", 1), set("theirs", 1), set("gone", 1), set("d/x", 1), set("d/y", 1)];
    let ours = [set("ours", 2), set("new", 3), set("both", 4), remove("d/x")];
    let theirs = [set("theirs", 5), remove("gone"), set("both", 4), set("d/z/new", 6)];
    let fixture = diverged(&base, &ours, &theirs);
    let heads = [fixture.head().unwrap(), fixture.state.borrow().head("dev").unwrap().unwrap()];
    let commit = commit_of(merged(&fixture, "main", "dev"));
    assert_eq!((commit.parents.as_slice(), commit.message.as_str()), (&heads[..], "Merge dev"));
    let expected = [("same", 1), ("ours", 2), ("new", 3), ("both", 4), ("theirs", 5), ("d/y", 1), ("d/z/new", 6)];
    for (path, number) in expected {
        assert_eq!(fixture.found("main", path), Some(module(number)), "{path}");
    }
    assert_eq!((fixture.found("main", "gone"), fixture.found("main", "d/x")), (None, None));
    assert_eq!(merged(&fixture, "main", "dev"), Ok(Merged::UpToDate { head: commit.id }));
    let forward = Merged::FastForward { previous: Some(heads[1]), head: commit.id };
    assert_eq!(merged(&fixture, "dev", "main"), Ok(forward));
}

#[test]
fn should_give_the_same_tree_from_both_sides() {
    let base: Vec<Change> = (0..40).map(|number| set(&format!("d/{number}"), 1)).collect();
    let (ours, theirs) = ([set("d/7", 2), remove("d/8")], [set("d/9", 3), set("e", 4)]);
    let one = commit_of(merged(&diverged(&base, &ours, &theirs), "main", "dev"));
    let other = commit_of(merged(&diverged(&base, &ours, &theirs), "dev", "main"));
    assert_eq!(one.tree, other.tree);
}

#[test]
fn should_list_conflicts_path_by_path() {
    let base = [set("a", 1), set("b", 1), set("c", 1), set("d/x", 1)];
    let ours = [set("a", 2), remove("b"), set("c", 2), set("n", 7), remove("d")];
    let theirs = [set("a", 3), set("b", 4), remove("c"), set("n", 8), set("d/x", 5)];
    let fixture = diverged(&base, &ours, &theirs);
    let head = fixture.head();
    let expected = [
        conflict("a", 1, 2, 3),
        conflict("b", 1, 0, 4),
        conflict("c", 1, 2, 0),
        conflict("d/x", 1, 0, 5),
        conflict("n", 0, 7, 8),
    ];
    assert_eq!(merged(&fixture, "main", "dev"), conflicts(&expected));
    assert_eq!(fixture.head(), head);
    let some = [("a", Take::Ours), ("b", Take::Theirs), ("c", Take::Nothing)];
    assert_eq!(resolved(&fixture, "main", "dev", &some), conflicts(&expected[3..]));
    let all = [&some[..], &[("d/x", Take::Theirs), ("n", Take::Module(module(9)))]].concat();
    commit_of(resolved(&fixture, "main", "dev", &all));
    let found = |path| fixture.found("main", path);
    assert_eq!((found("a"), found("b"), found("c")), (Some(module(2)), Some(module(4)), None));
    assert_eq!((found("d/x"), found("n")), (Some(module(5)), Some(module(9))));
    assert!(fixture.runtime.retained().contains(&module(9)));
}

#[test]
fn should_refuse_resolutions_that_resolve_nothing() {
    let fixture = diverged(&[set("a", 1)], &[set("a", 2)], &[set("a", 3), set("b", 4)]);
    let refused = resolved(&fixture, "main", "dev", &[("b", Take::Ours)]);
    assert_eq!(refused, Err(MergeError::NotInConflict { path: "b".to_string() }));
    let twice = [("a", Take::Ours), ("/a", Take::Theirs)];
    assert_eq!(resolved(&fixture, "main", "dev", &twice), Err(MergeError::NotInConflict { path: "a".to_string() }));
    let unknown = module(77);
    fixture.runtime.answer(unknown, Ok(false));
    let refused = resolved(&fixture, "main", "dev", &[("a", Take::Module(unknown))]);
    let expected = MergeError::Module(depot_types::catalog::ModuleError::UnknownModule { module_hash: unknown });
    assert_eq!(refused, Err(expected));
    let many: Vec<(&str, Take)> = vec![("a", Take::Ours); MAX_CHANGES_PER_COMMIT + 1];
    let refused = resolved(&fixture, "main", "dev", &many);
    assert_eq!(refused, Err(MergeError::TooManyResolutions { count: 101, max: 100 }));
    let bob = block_on(merge(&fixture.state, &fixture.runtime, BOB, args("main", "dev", &[])));
    assert!(matches!(bob, Err(MergeError::Denied(_))));
}

#[test]
fn should_not_lose_a_module_where_the_other_side_has_a_folder() {
    let fixture = diverged(&[set("base", 1)], &[set("k", 2)], &[set("k/x", 3), set("k/y", 4)]);
    let Err(MergeError::Conflicts { conflicts, total: 3 }) = merged(&fixture, "main", "dev") else { panic!() };
    let paths: Vec<&str> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
    assert_eq!(paths, ["k", "k/x", "k/y"]);
    assert_eq!(conflicts[1].in_the_way.as_deref(), Some("k"));
    let folder = [("k", Take::Theirs), ("k/x", Take::Theirs), ("k/y", Take::Theirs)];
    let both = [("k", Take::Ours), ("k/x", Take::Theirs), ("k/y", Take::Theirs)];
    assert!(matches!(resolved(&fixture, "main", "dev", &both), Err(MergeError::Conflicts { total: 3, .. })));
    commit_of(resolved(&fixture, "main", "dev", &folder));
    assert_eq!((fixture.found("main", "k"), fixture.found("main", "k/x")), (None, Some(module(3))));

    let fixture = diverged(&[set("base", 1)], &[set("k/x", 3), set("k/y", 4)], &[set("k", 2)]);
    let module_instead = [("k", Take::Theirs), ("k/x", Take::Theirs), ("k/y", Take::Theirs)];
    commit_of(resolved(&fixture, "main", "dev", &module_instead));
    assert_eq!((fixture.found("main", "k"), fixture.found("main", "k/x")), (Some(module(2)), None));
}

#[test]
fn should_replace_a_folder_by_a_module_that_one_side_put_there() {
    let fixture = diverged(&[set("k/x", 1), set("m", 1)], &[set("other", 2)], &[remove("k/x")]);
    fixture.commit_on("dev", &[set("k", 3), remove("m")]).unwrap();
    fixture.commit_on("dev", &[set("m/z", 4)]).unwrap();
    commit_of(merged(&fixture, "main", "dev"));
    assert_eq!((fixture.found("main", "k"), fixture.found("main", "k/x")), (Some(module(3)), None));
    assert_eq!((fixture.found("main", "m/z"), fixture.found("main", "other")), (Some(module(4)), Some(module(2))));
}

#[test]
fn should_merge_histories_that_have_nothing_in_common() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("same", 5)]).unwrap();
    let other = |changes: &[Change]| {
        let args = depot_types::catalog::CommitArgs {
            branch: Some("other".to_string()),
            create_branch: Some(true),
            ..crate::test_fixtures::commit_args(changes)
        };
        fixture.commit_as(ALICE, args).unwrap()
    };
    other(&[set("b", 2), set("same", 5)]);
    commit_of(merged(&fixture, "main", "other"));
    assert_eq!((fixture.found("main", "a"), fixture.found("main", "b")), (Some(module(1)), Some(module(2))));
    other(&[set("a", 3)]);
    assert_eq!(merged(&fixture, "main", "other"), commit_ok_or(&fixture));
    fn commit_ok_or(fixture: &Fixture) -> Result<Merged, MergeError> {
        let info = fixture.state.borrow().commit_info(&fixture.head().unwrap()).unwrap();
        if info.parents.len() == 2 && fixture.found("main", "a") == Some(module(3)) {
            Ok(Merged::Commit(info))
        } else {
            conflicts(&[conflict("a", 0, 1, 3)])
        }
    }
}

/// Both sides have merged each other before: there are two last commits in common.
#[test]
fn should_merge_criss_cross_histories() {
    let fixture = diverged(&[set("a", 1), set("b", 1), set("c", 1)], &[set("a", 2)], &[set("b", 3)]);
    let (main, dev) = (fixture.head().unwrap(), fixture.state.borrow().head("dev").unwrap().unwrap());
    branch(&fixture, "old-main", main);
    branch(&fixture, "old-dev", dev);
    commit_of(merged(&fixture, "main", "old-dev"));
    commit_of(merged(&fixture, "dev", "old-main"));
    fixture.commit(&[set("a", 4)]).unwrap();
    fixture.commit_on("dev", &[set("b", 5), set("c", 6)]).unwrap();
    let commit = commit_of(merged(&fixture, "main", "dev"));
    let found = ["a", "b", "c"].map(|path| fixture.found("main", path));
    assert_eq!(found, [4, 5, 6].map(|number| Some(module(number))), "{commit:?}");
}

/// The last commits in common disagree about a path, and only their own base tells which of them is newer.
#[test]
fn should_look_at_what_common_ancestors_have_in_common() {
    let fixture = diverged(&[set("a", 1)], &[set("a", 2)], &[set("x", 9)]);
    let (main, dev) = (fixture.head().unwrap(), fixture.state.borrow().head("dev").unwrap().unwrap());
    branch(&fixture, "old-main", main);
    branch(&fixture, "old-dev", dev);
    commit_of(merged(&fixture, "main", "old-dev"));
    commit_of(merged(&fixture, "dev", "old-main"));
    // Against the merged base `a = 2`, setting it back to 1 is a change of one side alone.
    fixture.commit_on("dev", &[set("a", 1)]).unwrap();
    fixture.commit(&[set("y", 8)]).unwrap();
    commit_of(merged(&fixture, "main", "dev"));
    assert_eq!(fixture.found("main", "a"), Some(module(1)));
}

#[test]
fn should_preview_without_changing_anything() {
    let fixture = diverged(&[set("a", 1)], &[set("a", 2)], &[set("b", 3)]);
    let head = fixture.head();
    let preview = fixture.state.borrow().preview_merge(args("main", "dev", &[])).unwrap();
    let MergePreview::Commit { tree, paths: 1 } = preview else { panic!("{preview:?}") };
    assert_eq!(fixture.head(), head);
    assert_eq!(commit_of(merged(&fixture, "main", "dev")).tree, tree);
    let preview = fixture.state.borrow().preview_merge(args("main", "dev", &[])).unwrap();
    assert!(matches!(preview, MergePreview::UpToDate { .. }));
}
