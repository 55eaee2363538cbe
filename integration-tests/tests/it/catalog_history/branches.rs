//! Branches and merges.

use candid::Encode;
use depot_types::catalog::{
    BranchError, CatalogArgs, CommitError, Conflict, DeleteBranchArgs, Denied, LogArgs, MergeError, MergePreview,
    Merged, PathVersionsArgs, ProtectBranchArgs, RenameBranchArgs, UndoError,
};
use integration_tests::{depot::user, wasms};

use super::*;

impl World {
    fn upgrade_catalog(&self) {
        let arg = Encode!(&None::<CatalogArgs>).unwrap();
        let wasm = wasms::load("catalog").unwrap();
        self.depot.network.upgrade_canister(self.depot.catalog_id, wasm, arg, Some(self.depot.admin)).unwrap();
    }

    fn merge(&self, into: &str, from: &str, resolutions: &[(&str, Take)]) -> Result<Merged, MergeError> {
        self.catalog().merge(merge(into, from, resolutions)).unwrap()
    }

    fn head(&self, branch: &str) -> Hash {
        self.catalog().snapshot(Some(branch)).unwrap().unwrap()
    }
}

fn delete(name: &str) -> DeleteBranchArgs {
    DeleteBranchArgs { name: name.to_string(), expected_head: None }
}

/// Row 23: branches are created at a commit, listed, renamed, deleted, and kept apart.
#[test]
fn should_keep_branches_apart() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("p", 0)]).id;
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    assert_eq!((world.found("main", "p"), world.found("dev", "p")), (Some(world.modules[0]), Some(world.modules[1])));
    let catalog = world.catalog();
    let old = CreateBranchArgs { name: "old".to_string(), from: Some(Revision::Commit(first)) };
    assert_eq!(catalog.create_branch(old.clone()).unwrap().unwrap().head, Some(first));
    let exists = |branch: &str| Err(BranchError::BranchExists { branch: branch.to_string() });
    assert_eq!(catalog.create_branch(old).unwrap(), exists("old"));
    let invalid = CreateBranchArgs { name: "a/b".to_string(), from: None };
    assert!(matches!(catalog.create_branch(invalid).unwrap(), Err(BranchError::InvalidBranch(_))));
    // Writing to a missing branch creates it only when that is asked for.
    let args = CommitArgs { create_branch: None, ..commit_args("implicit", &[world.set("q", 1)]) };
    let unknown = CommitError::UnknownBranch { branch: "implicit".to_string() };
    assert_eq!(catalog.commit(args).unwrap(), Err(unknown));
    assert_eq!(world.commit("implicit", &[world.set("q", 1)]).parents, []);

    let rename = |name: &str, new_name: &str| {
        let (name, new_name) = (name.to_string(), new_name.to_string());
        catalog.rename_branch(RenameBranchArgs { name, new_name }).unwrap().map(|branch| branch.name)
    };
    assert_eq!(rename("implicit", "dev"), Err(BranchError::BranchExists { branch: "dev".to_string() }));
    assert_eq!(rename("implicit", "renamed"), Ok("renamed".to_string()));
    let names = || catalog.branches().unwrap().into_iter().map(|branch| branch.name).collect::<Vec<_>>();
    assert_eq!(names(), ["dev", "main", "old", "renamed"]);
    let late = DeleteBranchArgs { expected_head: Some(first), ..delete("renamed") };
    assert!(matches!(catalog.delete_branch(late).unwrap(), Err(BranchError::HeadMoved { .. })));
    catalog.delete_branch(delete("renamed")).unwrap().unwrap();
    let unknown = BranchError::UnknownBranch { branch: "renamed".to_string() };
    assert_eq!(catalog.delete_branch(delete("renamed")).unwrap(), Err(unknown));
    let default = BranchError::DefaultBranch { branch: "main".to_string() };
    assert_eq!(catalog.delete_branch(delete("main")).unwrap(), Err(default));
    assert_eq!(names(), ["dev", "main", "old"]);
}

/// Row 24: controllers name another default branch, which stays the default.
#[test]
fn should_keep_the_default_branch_that_controllers_name() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    let publisher = user(7);
    world.catalog().add_publisher(publisher).unwrap().unwrap();
    let refused = world.depot.catalog_as(publisher).set_default_branch("dev").unwrap();
    assert!(matches!(refused, Err(BranchError::Denied(Denied::NotController { .. }))));
    let unknown = BranchError::UnknownBranch { branch: "gone".to_string() };
    assert_eq!(world.catalog().set_default_branch("gone").unwrap(), Err(unknown));
    world.catalog().set_default_branch("dev").unwrap().unwrap();
    let meant = || world.catalog().find(None, "p").unwrap().unwrap().module_hash;
    assert_eq!(meant(), world.modules[1]);
    world.upgrade_catalog();
    assert_eq!(meant(), world.modules[1]);
    world.catalog().delete_branch(delete("main")).unwrap().unwrap();
    let branches: Vec<(String, bool)> =
        world.catalog().branches().unwrap().into_iter().map(|branch| (branch.name, branch.default)).collect();
    assert_eq!(branches, [("dev".to_string(), true)]);
}

/// Row 25: every call is about the branch that it names.
#[test]
fn should_look_at_the_branch_that_each_call_names() {
    let world = World::new(3);
    world.commit("main", &[world.set("p", 0)]);
    world.branch("dev");
    let dev = world.commit("dev", &[world.set("p", 1), world.set("q", 1)]).id;
    let catalog = world.catalog();
    assert_eq!((world.list("main", ""), world.list("dev", "")), (vec!["p".into()], vec!["p".into(), "q".into()]));
    assert_eq!((world.found("dev", "p"), world.found("dev", "q")), (Some(world.modules[1]), Some(world.modules[1])));
    let log = |branch| {
        let page = catalog.log(LogArgs { at: at(branch), ..LogArgs::default() }).unwrap().unwrap();
        page.commits.len()
    };
    assert_eq!((log("main"), log("dev"), world.head("dev")), (1, 2, dev));
    let versions = |branch| {
        let args = PathVersionsArgs { at: at(branch), path: "p".to_string(), after: None, limit: None };
        catalog.path_versions(args).unwrap().unwrap().total
    };
    assert_eq!((versions("main"), versions("dev")), (1, 2));
    let on_dev = |args: RollbackArgs| RollbackArgs { branch: Some("dev".to_string()), ..args };
    catalog.rollback(on_dev(rollback(Some("p"), 1, false))).unwrap().unwrap();
    assert_eq!((world.found("main", "p"), world.found("dev", "p")), (Some(world.modules[0]), Some(world.modules[0])));
    let from = RestoreArgs { branch: Some("dev".to_string()), ..restore(dev, Some("p"), false) };
    catalog.restore(from).unwrap().unwrap();
    world.commit("dev", &[remove("q")]);
    assert_eq!((log("main"), log("dev"), world.found("dev", "p")), (1, 5, Some(world.modules[1])));
}

/// Row 26: a merge goes forward where it can, else has both sides as parents, also of histories with nothing in common.
#[test]
fn should_merge_branches() {
    let world = World::new(4);
    let first = world.commit("main", &[world.set("p", 0), world.set("d/x", 0)]).id;
    world.branch("dev");
    assert_eq!(world.merge("main", "dev", &[]), Ok(Merged::UpToDate { head: first }));
    let ahead = world.commit("dev", &[world.set("q", 1)]).id;
    assert_eq!(world.merge("main", "dev", &[]), Ok(Merged::FastForward { previous: Some(first), head: ahead }));
    let ours = world.commit("main", &[world.set("p", 1), remove("d")]).id;
    let theirs = world.commit("dev", &[world.set("q", 2), world.set("new", 3)]).id;
    let preview = world.catalog().preview_merge(merge("main", "dev", &[])).unwrap();
    let merged = world.merge("main", "dev", &[]);
    let Ok(Merged::Commit(commit)) = merged else { panic!("{merged:?}") };
    assert_eq!(preview, Ok(MergePreview::Commit { tree: commit.tree, paths: 2 }));
    assert_eq!((commit.parents, commit.message.as_str()), (vec![ours, theirs], "Merge dev"));
    let found = ["p", "q", "new", "d/x"].map(|path| world.found("main", path));
    assert_eq!(found, [Some(world.modules[1]), Some(world.modules[2]), Some(world.modules[3]), None]);
    assert_eq!(world.head("dev"), theirs, "a merge leaves the other branch where it is");
    world.commit("apart", &[world.set("apart", 0), world.set("p", 1)]);
    assert!(matches!(world.merge("main", "apart", &[]), Ok(Merged::Commit(_))));
    assert_eq!(world.list("main", ""), ["apart", "new", "p", "q"]);
    let unknown = MergeError::UnknownBranch { branch: "gone".to_string() };
    assert_eq!(world.merge("main", "gone", &[]), Err(unknown));
}

/// Row 27: conflicts are named path by path, with what each side has, and resolved in the same call.
#[test]
fn should_name_conflicts_and_take_resolutions() {
    let world = World::new(4);
    world.commit("main", &["a", "b", "c", "d"].map(|path| world.set(path, 0)));
    world.branch("dev");
    world.commit("main", &[world.set("a", 1), world.set("b", 1), remove("c"), world.set("d", 1), world.set("k", 1)]);
    let theirs = ["a", "b", "c", "d", "k/x"].map(|path| world.set(path, 2));
    world.commit("dev", &theirs);
    let head = world.head("main");
    let refused = world.merge("main", "dev", &[]);
    let Err(MergeError::Conflicts { conflicts, total: 6 }) = refused else { panic!("{refused:?}") };
    let module = |number: usize| Some(world.modules[number]);
    let conflict = |path: &str, base, ours, theirs, in_the_way: Option<&str>| {
        let in_the_way = in_the_way.map(str::to_string);
        Conflict { path: path.to_string(), base, ours, theirs, in_the_way }
    };
    let expected = [
        conflict("a", module(0), module(1), module(2), None),
        conflict("b", module(0), module(1), module(2), None),
        conflict("c", module(0), None, module(2), None),
        conflict("d", module(0), module(1), module(2), None),
        // A module and a folder of the same name.
        conflict("k", None, module(1), None, Some("k/x")),
        conflict("k/x", None, None, module(2), Some("k")),
    ];
    assert_eq!((conflicts, world.head("main")), (expected.to_vec(), head));
    let mut resolutions = vec![
        ("a", Take::Ours),
        ("b", Take::Theirs),
        ("c", Take::Nothing),
        ("d", Take::Module(world.modules[3])),
        ("k", Take::Nothing),
    ];
    let refused = world.merge("main", "dev", &resolutions);
    assert!(matches!(refused, Err(MergeError::Conflicts { total: 1, .. })), "{refused:?}");
    resolutions.push(("k/x", Take::Theirs));
    let wrong = [&resolutions[..], &[("e", Take::Ours)]].concat();
    assert_eq!(world.merge("main", "dev", &wrong), Err(MergeError::NotInConflict { path: "e".to_string() }));
    assert!(matches!(world.merge("main", "dev", &resolutions), Ok(Merged::Commit(_))));
    let found = ["a", "b", "c", "d", "k", "k/x"].map(|path| world.found("main", path));
    assert_eq!(found, [module(1), module(2), None, module(3), None, module(2)]);
}

/// Rows 34, 48, 49: authors are authenticated; who may change what; protected branches.
#[test]
fn should_let_only_controllers_move_a_protected_branch() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    let publisher = user(7);
    let as_publisher = world.depot.catalog_as(publisher);
    let change = commit_args("main", &[world.set("p", 1)]);
    assert_eq!(as_publisher.commit(change.clone()).unwrap(), Err(CommitError::NotAllowed { caller: publisher }));
    let anonymous = world.depot.catalog_as(candid::Principal::anonymous());
    assert_eq!(anonymous.commit(change.clone()).unwrap(), Err(CommitError::AnonymousCaller));
    world.catalog().add_publisher(publisher).unwrap().unwrap();
    let second = as_publisher.commit(change).unwrap().unwrap();
    assert_eq!((second.author, second.author_name.as_deref()), (publisher, Some("who")), "whatever name is given");

    let protect = |protected| ProtectBranchArgs { name: "main".to_string(), protected };
    let denied = as_publisher.protect_branch(protect(true)).unwrap();
    assert_eq!(denied, Err(BranchError::Denied(Denied::NotController { caller: publisher })));
    world.catalog().protect_branch(protect(true)).unwrap().unwrap();
    let protected = || Denied::ProtectedBranch { branch: "main".to_string() };
    // Publishers do not move it at all, and controllers only forward: by commits, merges, and the forms that revert.
    let moves = [rollback(Some("p"), 1, false), rollback(None, 1, true), rollback(None, 1, false)];
    for args in moves.clone() {
        assert_eq!(as_publisher.rollback(args).unwrap(), Err(UndoError::Denied(protected())));
    }
    let refused = as_publisher.merge(merge("main", "main", &[])).unwrap();
    assert_eq!(refused, Err(MergeError::Denied(protected())));
    for args in [rollback(None, 1, false), rollback(None, 2, false)] {
        assert_eq!(world.catalog().rollback(args).unwrap(), Err(UndoError::Denied(protected())));
    }
    let back = restore(second.parents[0], None, false);
    assert_eq!(world.catalog().restore(back).unwrap(), Err(UndoError::Denied(protected())));
    assert_eq!(world.catalog().delete_branch(delete("main")).unwrap(), Err(BranchError::Denied(protected())));
    let forward = [
        world.catalog().rollback(rollback(Some("p"), 1, false)).unwrap(),
        world.catalog().restore(restore(second.id, None, true)).unwrap(),
        world.catalog().rollback(rollback(None, 1, true)).unwrap(),
        world.catalog().restore(restore(second.id, Some("p"), false)).unwrap(),
    ];
    let mut head = second.id;
    for change in forward {
        let commit = change.unwrap().commit.unwrap();
        assert_eq!(commit.parents, [head]);
        head = commit.id;
    }
    world.catalog().protect_branch(protect(false)).unwrap().unwrap();
    assert_eq!(as_publisher.rollback(rollback(None, 1, false)).unwrap().unwrap().previous, Some(head));
}

#[test]
fn should_keep_the_history_over_an_upgrade() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    let before = world.catalog().branches().unwrap();
    world.upgrade_catalog();
    assert_eq!(world.catalog().branches().unwrap(), before);
    let args = PathVersionsArgs { at: at("dev"), path: "p".to_string(), after: None, limit: None };
    assert_eq!(world.catalog().path_versions(args).unwrap().unwrap().total, 2);
    world.depot.network.tick();
    let target = depot_types::catalog::ProofTarget::Head { branch: "dev".to_string() };
    assert!(world.catalog().prove(target).unwrap().is_ok());
}
