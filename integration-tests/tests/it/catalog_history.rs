//! The catalog's history: each test that names rows is about those of the table in `docs/wasmstore.md`.

use candid::Encode;
use depot_types::{
    Hash,
    catalog::{
        AuditArgs, CatalogArgs, Change, CollectGarbageArgs, CommitArgs, CommitInfo, ContainsArgs, CreateBranchArgs,
        DeleteBranchArgs, Denied, DiffArgs, EventKind, EventsArgs, ExportArgs, ImportArgs, ListArgs, LogArgs,
        LookupArgs, MergeArgs, MergeError, Merged, Note, PathEntry, PathVersionArgs, PathVersionsArgs, PathsOfArgs,
        ProofTarget, ProtectBranchArgs, QueryError, RenameBranchArgs, Resolution, RestoreArgs, RetainModulesArgs,
        Revision, RollbackArgs, Take, Target, UndoError,
    },
    objects::{Entry, Object},
    path::ModulePath,
    proof::{MAX_CERTIFICATE_AGE_NS, Proven, certified_data},
};
use integration_tests::{
    clients::Catalog,
    depot::{Depot, user},
    made::data_module,
    network, wasms,
};

/// A depot with small modules sealed in its blob store.
struct World {
    depot: Depot,
    modules: Vec<Hash>,
}

impl World {
    fn new(modules: usize) -> Self {
        Self::on(Depot::install().unwrap(), modules)
    }

    fn on(depot: Depot, modules: usize) -> Self {
        let upload = |index| depot.upload(&data_module(100 + index), |_| ()).unwrap().module_hash;
        let modules = (0..modules).map(upload).collect();
        Self { depot, modules }
    }

    fn catalog(&self) -> Catalog<'_> {
        self.depot.catalog()
    }

    fn set(&self, path: &str, module: usize) -> Change {
        Change::Set { path: path.to_string(), module_hash: self.modules[module] }
    }

    fn commit(&self, branch: &str, changes: &[Change]) -> CommitInfo {
        let args = CommitArgs {
            branch: Some(branch.to_string()),
            create_branch: Some(true),
            changes: changes.to_vec(),
            message: "why".to_string(),
            author_name: Some("who".to_string()),
            expected_head: None,
        };
        self.catalog().commit(args).unwrap().unwrap()
    }

    fn branch(&self, name: &str) {
        let args = CreateBranchArgs { name: name.to_string(), from: None };
        self.catalog().create_branch(args).unwrap().unwrap();
    }

    fn found(&self, branch: &str, path: &str) -> Option<Hash> {
        self.catalog().find(Some(branch), path).unwrap().ok().map(|found| found.module_hash)
    }

    fn list(&self, branch: &str, prefix: &str) -> Vec<String> {
        let args = ListArgs { at: at(branch), prefix: Some(prefix.to_string()), ..ListArgs::default() };
        let page = self.catalog().list(args).unwrap().unwrap();
        page.modules.into_iter().map(|found| found.path).collect()
    }

    fn collect(&self, squash: Option<&str>) -> u64 {
        loop {
            let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
            let status = self.catalog().collect_garbage(args).unwrap().unwrap();
            if status.finished {
                return status.commits + status.nodes + status.modules;
            }
        }
    }
}

fn at(branch: &str) -> Option<Revision> {
    Some(Revision::Branch(branch.to_string()))
}

fn remove(path: &str) -> Change {
    Change::Remove { path: path.to_string() }
}

fn rollback(path: Option<&str>, revert: bool) -> RollbackArgs {
    RollbackArgs { branch: None, path: path.map(str::to_string), count: 1, revert, note: Note::default() }
}

fn restore(from: Hash, path: Option<&str>) -> RestoreArgs {
    let from = Revision::Commit(from);
    RestoreArgs { branch: None, from, path: path.map(str::to_string), revert: false, note: Note::default() }
}

fn merge(into: &str, from: &str, resolutions: &[(&str, Take)]) -> MergeArgs {
    let resolution = |(path, take): &(&str, Take)| Resolution { path: path.to_string(), take: take.clone() };
    MergeArgs {
        into: Some(into.to_string()),
        from: Revision::Branch(from.to_string()),
        resolutions: resolutions.iter().map(resolution).collect(),
        note: Note::default(),
    }
}

/// Rows 1, 2, 4, 7, 8, 9, 12: names of modules, paths, finding, containing, listing.
#[test]
fn should_find_contain_and_list_modules_by_path_and_hash() {
    let world = World::new(2);
    let changes = [world.set("/b//two/", 1), world.set("a/x", 0), world.set("a.b", 0), world.set("a/y/z", 1)];
    let commit = world.commit("main", &changes);
    assert_eq!(world.list("main", ""), ["a/x", "a/y/z", "a.b", "b/two"]);
    assert_eq!(world.list("main", "a"), ["a/x", "a/y/z"]);
    let catalog = world.catalog();
    let lookup = |path: &str| catalog.lookup(LookupArgs { at: None, path: path.to_string() }).unwrap();
    assert_eq!(lookup("a/x").unwrap().entry, PathEntry::Module(world.modules[0]));
    assert_eq!(lookup("/").unwrap().entry, PathEntry::Folder(commit.tree));
    assert_eq!(lookup("c"), Err(QueryError::NotFound { path: "c".to_string() }));
    let contains = |target| catalog.contains(ContainsArgs { at: None, target }).unwrap().unwrap();
    assert!(contains(Target::Path("a/x".to_string())) && contains(Target::Module(world.modules[1])));
    assert!(!contains(Target::Path("a".to_string())) && !contains(Target::Module(Hash::of(b"other"))));
    let args = PathsOfArgs { at: None, module_hash: world.modules[0], after: None, limit: None };
    assert_eq!(catalog.paths_of(args).unwrap().unwrap().paths, ["a.b", "a/x"]);
}

/// Rows 10, 11, 51: removing, setting, several paths at once.
#[test]
fn should_remove_paths_folders_and_modules() {
    let world = World::new(3);
    let changes = ["a", "d/x", "d/y", "e"].map(|path| world.set(path, usize::from(path == "e")));
    world.commit("main", &changes);
    world.commit("main", &[Change::RemoveModule { module_hash: world.modules[1] }, remove("d/x"), world.set("n", 2)]);
    assert_eq!(world.list("main", ""), ["a", "d/y", "n"]);
    world.commit("main", &[remove("d")]);
    assert_eq!(world.list("main", ""), ["a", "n"]);
}

/// Rows 13, 15, 16, 17: what a commit is, log, audit.
#[test]
fn should_keep_who_did_what_when_and_why() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("p", 0)]);
    let second = world.commit("main", &[world.set("q", 0)]);
    let third = world.commit("main", &[world.set("p", 1)]);
    assert_eq!((first.author, first.author_name.as_deref()), (world.depot.admin, Some("who")));
    let log = |after, limit| world.catalog().log(LogArgs { at: None, after, limit }).unwrap().unwrap();
    let page = log(None, Some(2));
    assert_eq!(page.commits, [third.clone(), second]);
    assert_eq!(log(page.next, None).commits, std::slice::from_ref(&first));
    let args = AuditArgs { at: None, path: "p".to_string(), after: None, limit: None };
    let audit = world.catalog().audit(args).unwrap().unwrap().changes;
    let commits: Vec<Hash> = audit.iter().map(|change| change.commit).collect();
    assert_eq!((commits, audit[0].message.as_str()), (vec![third.id, first.id], "why"));
}

/// Row 18: versions of a path, version by index.
#[test]
fn should_number_the_versions_of_a_path() {
    let world = World::new(2);
    let commits: Vec<Hash> = [0, 1, 0].map(|module| world.commit("main", &[world.set("p", module)]).id).into();
    world.commit("main", &[remove("p")]);
    let args = PathVersionsArgs { at: None, path: "p".to_string(), after: None, limit: None };
    let page = world.catalog().path_versions(args).unwrap().unwrap();
    let versions: Vec<(Hash, Hash)> =
        page.versions.into_iter().map(|version| (version.module_hash, version.commit)).collect();
    assert_eq!(versions, [(world.modules[0], commits[0]), (world.modules[1], commits[1])]);
    let version = |index| {
        let args = PathVersionArgs { at: None, path: "p".to_string(), index };
        world.catalog().path_version(args).unwrap().map(|version| version.module_hash)
    };
    assert_eq!(version(1), Ok(world.modules[1]));
    assert_eq!(version(2), Err(QueryError::UnknownVersion { versions: 2 }));
}

/// Rows 14, 19, 20, 21, 22: snapshot, restore and rollback of a tree and of a path.
#[test]
fn should_undo_for_the_whole_tree_and_for_a_path() {
    let world = World::new(3);
    let first = world.commit("main", &[world.set("p", 0), world.set("d/x", 0)]);
    let second = world.commit("main", &[world.set("p", 1), remove("d")]);
    let catalog = world.catalog();
    assert_eq!(catalog.snapshot(None).unwrap(), Ok(second.id));
    let change = catalog.rollback(rollback(Some("p"), false)).unwrap().unwrap();
    assert_eq!(change.commit.unwrap().parents, [second.id]);
    assert_eq!(world.found("main", "p"), Some(world.modules[0]));
    let change = catalog.restore(restore(first.id, Some("d"))).unwrap().unwrap();
    assert_eq!(change.commit.unwrap().message, "Restore /d");
    assert_eq!(world.found("main", "d/x"), Some(world.modules[0]));
    assert_eq!(catalog.restore(restore(second.id, None)).unwrap().unwrap().head, Some(second.id));
    assert_eq!(catalog.rollback(rollback(None, false)).unwrap().unwrap().head, Some(first.id));
    world.commit("main", &[world.set("p", 2)]);
    assert!(catalog.rollback(rollback(None, true)).unwrap().unwrap().commit.is_some());
    assert_eq!(world.found("main", "p"), Some(world.modules[0]));
    let nothing = catalog.rollback(rollback(Some("never"), false)).unwrap();
    assert_eq!(nothing, Err(UndoError::UnknownPath { path: "never".to_string() }));
}

/// Rows 23, 24, 25: branches, the default branch, the branch of each call.
#[test]
fn should_keep_branches_apart() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    world.commit("implicit", &[world.set("q", 1)]);
    assert_eq!((world.found("main", "p"), world.found("dev", "p")), (Some(world.modules[0]), Some(world.modules[1])));
    let catalog = world.catalog();
    let rename = RenameBranchArgs { name: "implicit".to_string(), new_name: "renamed".to_string() };
    catalog.rename_branch(rename).unwrap().unwrap();
    catalog.set_default_branch("dev").unwrap().unwrap();
    assert_eq!(catalog.find(None, "p").unwrap().unwrap().module_hash, world.modules[1]);
    let delete = DeleteBranchArgs { name: "renamed".to_string(), expected_head: None };
    catalog.delete_branch(delete).unwrap().unwrap();
    let branches: Vec<(String, bool)> =
        catalog.branches().unwrap().into_iter().map(|branch| (branch.name, branch.default)).collect();
    assert_eq!(branches, [("dev".to_string(), true), ("main".to_string(), false)]);
}

/// Rows 26, 27: merging, and conflicts path by path.
#[test]
fn should_merge_and_name_conflicts() {
    let world = World::new(4);
    world.commit("main", &[world.set("p", 0)]);
    world.branch("dev");
    let dev = world.commit("dev", &[world.set("q", 1)]);
    let catalog = world.catalog();
    let forward = catalog.merge(merge("main", "dev", &[])).unwrap().unwrap();
    assert!(matches!(forward, Merged::FastForward { head, .. } if head == dev.id));
    world.commit("main", &[world.set("p", 1), world.set("ours", 1)]);
    world.commit("dev", &[world.set("p", 2), world.set("theirs", 2)]);
    let refused = catalog.merge(merge("main", "dev", &[])).unwrap();
    let Err(MergeError::Conflicts { conflicts, total: 1 }) = refused else { panic!("{refused:?}") };
    let conflict = &conflicts[0];
    let sides = [conflict.base, conflict.ours, conflict.theirs];
    assert_eq!((conflict.path.as_str(), sides), ("p", [0, 1, 2].map(|module| Some(world.modules[module]))));
    let resolved = [("p", Take::Module(world.modules[3]))];
    let merged = catalog.merge(merge("main", "dev", &resolved)).unwrap().unwrap();
    assert!(matches!(merged, Merged::Commit(commit) if commit.parents.len() == 2));
    let found = ["p", "ours", "theirs"].map(|path| world.found("main", path));
    assert_eq!(found, [3, 1, 2].map(|module| Some(world.modules[module])));
}

/// Rows 28, 52: garbage collection with and without squashing.
#[test]
fn should_collect_garbage_and_let_the_blob_store_go() {
    let world = World::new(3);
    let old = world.commit("main", &[world.set("p", 0)]).id;
    world.commit("main", &[world.set("p", 1)]);
    let state = |module: usize| {
        let page =
            depot_types::blob_store::ListRetainedArgs { holder: world.depot.catalog_id, after: None, limit: None };
        let retained = world.depot.blob_store().list_retained(page).unwrap();
        retained.modules.contains(&world.modules[module])
    };
    assert_eq!(world.collect(None), 0);
    assert!(state(0) && state(1) && !state(2));
    // A commit, its folder and its module, and the commit in whose place the squashed one is.
    assert_eq!(world.collect(Some("main")), 4);
    assert!(!state(0) && state(1));
    assert_eq!(world.catalog().commit_info(old).unwrap(), None);
}

/// Row 30: backup and restore, from one pair of canisters into another.
#[test]
fn should_restore_a_backup_into_another_depot() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0), world.set("d/q", 1)]);
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    let (mut items, mut after) = (vec![], None);
    loop {
        let page = world.catalog().export(ExportArgs { after }).unwrap().unwrap();
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let other = World::new(2);
    let status = other.catalog().import(ImportArgs { position: 0, items }).unwrap().unwrap();
    assert!(status.finished);
    let status = other.catalog().retain_modules(RetainModulesArgs::default()).unwrap().unwrap();
    assert_eq!((status.finished, status.missing), (true, vec![]));
    assert_eq!(world.catalog().branches().unwrap(), other.catalog().branches().unwrap());
    assert_eq!(other.found("dev", "p"), Some(world.modules[1]));
    other.commit("dev", &[other.set("new", 0)]);
}

/// Rows 32, 33: everything that changed, to be watched from any point.
#[test]
fn should_log_events_and_tell_what_they_changed() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("p", 0)]);
    world.commit("main", &[world.set("p", 1), world.set("q", 0)]);
    world.commit("main", &[remove("q")]);
    let events = |after| world.catalog().events(EventsArgs { after, limit: None }).unwrap();
    let all = events(None);
    assert_eq!((all.events.len(), all.last), (3, 3));
    let EventKind::HeadMoved { old, new: Some(new), .. } = events(Some(2)).events[0].kind.clone() else { panic!() };
    let args = DiffArgs { from: old.map(Revision::Commit), to: Revision::Commit(new), after: None, limit: None };
    let changes = world.catalog().diff(args).unwrap().unwrap().changes;
    assert_eq!((changes.len(), changes[0].path.as_str(), changes[0].new), (1, "q", None));
    assert!(matches!(&all.events[0].kind, EventKind::HeadMoved { new: Some(new), .. } if *new == first.id));
}

/// Rows 48, 49: authors are authenticated; protected branches.
#[test]
fn should_let_only_controllers_move_a_protected_branch() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    let publisher = user(7);
    world.depot.catalog().add_publisher(publisher).unwrap().unwrap();
    let protect = ProtectBranchArgs { name: "main".to_string(), protected: true };
    let denied = world.depot.catalog_as(publisher).protect_branch(protect.clone()).unwrap();
    assert!(denied.is_err());
    world.catalog().protect_branch(protect).unwrap().unwrap();
    let refused = world.depot.catalog_as(publisher).rollback(rollback(Some("p"), false)).unwrap();
    let protected = Denied::ProtectedBranch { branch: "main".to_string() };
    assert_eq!(refused, Err(UndoError::Denied(protected.clone())));
    let refused = world.catalog().rollback(rollback(None, false)).unwrap();
    assert_eq!(refused, Err(UndoError::Denied(protected)));
    assert!(world.catalog().rollback(rollback(Some("p"), false)).unwrap().is_ok());
}

/// Row 45: integrity from the root key down to the hash of a module, and ids recomputed from bytes.
#[test]
fn should_prove_a_module_from_the_root_key() {
    // Only the subnet of the NNS has the root key.
    let network = network::builder().with_nns_subnet().with_application_subnet().build();
    let world = World::on(Depot::install_on(network).unwrap(), 1);
    let commit = world.commit("main", &[world.set("d/p", 0)]);
    let bytes = world.catalog().object(commit.id).unwrap().unwrap();
    assert!(matches!(Object::verify(&commit.id, &bytes), Ok(Object::Commit(_))));
    // What was certified becomes part of the state with the next round.
    world.depot.network.tick();
    let target = ProofTarget::Path { branch: "main".to_string(), path: "d/p".to_string() };
    let witness = world.catalog().prove(target).unwrap().unwrap();
    let root_key = world.depot.network.root_key().unwrap();
    let now_ns = world.depot.network.get_time().as_nanos_since_unix_epoch();
    let catalog_id = world.depot.catalog_id;
    let certified =
        certified_data(&witness.certificate, catalog_id, &root_key, now_ns, MAX_CERTIFICATE_AGE_NS).unwrap();
    let path = ModulePath::parse("d/p").unwrap();
    let proven = Proven::check(&witness, &certified).unwrap();
    assert_eq!(proven.path("main", &path), Ok(Some(Entry::Module(world.modules[0]))));
    let late = now_ns + 2 * MAX_CERTIFICATE_AGE_NS;
    assert!(certified_data(&witness.certificate, catalog_id, &root_key, late, MAX_CERTIFICATE_AGE_NS).is_err());
    let other = world.depot.factory_id;
    assert!(certified_data(&witness.certificate, other, &root_key, now_ns, MAX_CERTIFICATE_AGE_NS).is_err());
    world.commit("main", &[remove("d")]);
    world.depot.network.tick();
    let fresh = world.catalog().prove(ProofTarget::Head { branch: "main".to_string() }).unwrap().unwrap();
    let certified = certified_data(&fresh.certificate, catalog_id, &root_key, now_ns, MAX_CERTIFICATE_AGE_NS).unwrap();
    assert!(Proven::check(&witness, &certified).is_err(), "the head has moved");
}

#[test]
fn should_keep_the_history_over_an_upgrade() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    let before = world.catalog().branches().unwrap();
    let arg = Encode!(&None::<CatalogArgs>).unwrap();
    let wasm = wasms::load("catalog").unwrap();
    world.depot.network.upgrade_canister(world.depot.catalog_id, wasm, arg, Some(world.depot.admin)).unwrap();
    assert_eq!(world.catalog().branches().unwrap(), before);
    let args = PathVersionsArgs { at: at("dev"), path: "p".to_string(), after: None, limit: None };
    assert_eq!(world.catalog().path_versions(args).unwrap().unwrap().total, 2);
    world.depot.network.tick();
    assert!(world.catalog().prove(ProofTarget::Head { branch: "dev".to_string() }).unwrap().is_ok());
}
