//! Asking about branches and commits.

use depot_types::catalog::{
    AuditArgs, ContainsArgs, FindError, LogArgs, LookupArgs, PathEntry, PathVersionArgs, PathVersionsArgs, PathsOfArgs,
    QueryError, Target,
};

use super::*;

/// Rows 7, 8, 9: finding a module by path or hash; a path of 64 hex digits is a path.
#[test]
fn should_find_modules_by_path_and_hash() {
    let world = World::new(3);
    let digits = world.modules[1].to_string();
    let old = world.commit("main", &[world.set("a/x", 2)]).id;
    let changes = [world.set("a/x", 0), world.set("a.b", 0), world.set("b", 1), world.set(&digits, 0)];
    let commit = world.commit("main", &changes);
    let catalog = world.catalog();
    assert_eq!(world.found("main", "/a//x/"), Some(world.modules[0]));
    assert_eq!(world.found("main", &digits), Some(world.modules[0]), "it names what it was set to");
    assert_eq!(catalog.find(None, "a").unwrap(), Err(FindError::IsFolder { path: "a".to_string() }));
    let lookup = |path: &str| catalog.lookup(LookupArgs { at: None, path: path.to_string() }).unwrap();
    assert_eq!(lookup("a/x").unwrap().entry, PathEntry::Module(world.modules[0]));
    assert_eq!(lookup("/").unwrap().entry, PathEntry::Folder(commit.tree));
    let PathEntry::Folder(folder) = lookup("a").unwrap().entry else { panic!("`a` is no folder") };
    assert!(catalog.object(folder).unwrap().is_some());
    assert_eq!(lookup("c"), Err(QueryError::NotFound { path: "c".to_string() }));

    let contains = |at: Option<Revision>, target| catalog.contains(ContainsArgs { at, target }).unwrap().unwrap();
    let path = |path: &str| Target::Path(path.to_string());
    assert!(contains(None, path("a/x")) && contains(None, Target::Module(world.modules[1])));
    assert!(!contains(None, path("a")) && !contains(None, Target::Module(Hash::of(b"other"))));
    // What was there before is in the commit of then only.
    let before = Target::Module(world.modules[2]);
    assert!(!contains(None, before.clone()) && contains(Some(Revision::Commit(old)), before));
    let args = PathsOfArgs { at: None, module_hash: world.modules[0], after: None, limit: None };
    let mut paths = vec!["a.b".to_string(), "a/x".to_string(), digits];
    paths.sort();
    assert_eq!(catalog.paths_of(args).unwrap().unwrap().paths, paths);
}

/// Rows 12, 50: lists in pages that hold on to a commit, by prefix; searching for a module; what modules say of
/// themselves.
#[test]
fn should_list_in_pages_by_prefix_and_search() {
    let world = World::new(2);
    let changes: Vec<Change> = (0..7).map(|number| world.set(&format!("d/{number}"), number % 2)).collect();
    let commit = world.commit("main", &[&changes[..], &[world.set("a", 0), world.set("e/f", 1)]].concat()).id;
    let catalog = world.catalog();
    let (mut listed, mut after) = (vec![], None);
    loop {
        let prefix = Some("/d/".to_string());
        let page = catalog.list(ListArgs { at: None, prefix, after, limit: Some(3) }).unwrap().unwrap();
        assert!(page.modules.len() <= 3 && page.commit == Some(commit), "the branch has moved since");
        listed.extend(page.modules.into_iter().map(|found| found.path));
        after = page.next;
        if after.is_none() {
            break;
        }
        world.commit("main", &[remove(&format!("d/{}", listed.len())), world.set(&format!("d/{}x", listed.len()), 0)]);
    }
    assert_eq!(listed, (0..7).map(|number| format!("d/{number}")).collect::<Vec<_>>());
    for nothing in ["a", "d/0", "gone"] {
        assert_eq!(world.list("main", nothing), Vec::<String>::new(), "{nothing}");
    }

    let then = Some(Revision::Commit(commit));
    let (mut found, mut after) = (vec![], None);
    loop {
        let args = PathsOfArgs { at: then.clone(), module_hash: world.modules[1], after, limit: Some(2) };
        let page = catalog.paths_of(args).unwrap().unwrap();
        found.extend(page.paths);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["d/1", "d/3", "d/5", "e/f"]);
    let info = world.depot.blob_store().module_info(world.modules[1]).unwrap().unwrap();
    assert_eq!((info.size, info.metadata.len()), (data_module(101).len() as u64, 0));
    let counter = integration_tests::wasms::load("counter").unwrap();
    let counter = world.depot.upload(&counter, |_| ()).unwrap().module_hash;
    let interface = world.depot.blob_store().module_metadata(counter, "candid:service").unwrap().unwrap();
    assert!(String::from_utf8(interface.into_vec()).unwrap().contains("increment"));
}

/// Rows 15, 16, 17: what a commit is; the log, in pages; who changed a path, or a folder, all of it, newest first.
#[test]
fn should_keep_who_did_what_when_and_why() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("d/p", 0)]);
    let second = world.commit("main", &[world.set("q", 0)]);
    let third = world.commit("main", &[world.set("d/p", 1)]);
    let fourth = world.commit("main", &[remove("d")]);
    for commit in [&first, &second, &third, &fourth] {
        assert_eq!(world.catalog().commit_info(commit.id).unwrap().as_ref(), Some(commit));
    }
    assert!(first.time_ns < fourth.time_ns);
    let log = |after, limit| world.catalog().log(LogArgs { at: None, after, limit }).unwrap().unwrap();
    let page = log(None, Some(3));
    assert_eq!(page.commits, [fourth.clone(), third.clone(), second]);
    let rest = log(page.next, None);
    assert_eq!((rest.commits, rest.next), (vec![first.clone()], None));
    let audit = |path: &str| {
        let args = AuditArgs { at: None, path: path.to_string(), after: None, limit: None };
        world.catalog().audit(args).unwrap().unwrap().changes
    };
    for path in ["d/p", "d"] {
        let changes = audit(path);
        let commits: Vec<Hash> = changes.iter().map(|change| change.commit).collect();
        assert_eq!(commits, [fourth.id, third.id, first.id], "{path}");
        assert_eq!((changes[0].entry, changes[0].message.as_str()), (None, "why"));
        assert_eq!((changes[1].author, changes[1].time_ns), (world.depot.admin, third.time_ns));
    }
    assert_eq!(audit("d/p")[2].entry, Some(PathEntry::Module(world.modules[0])));
    assert!(matches!(audit("d")[1].entry, Some(PathEntry::Folder(_))));
}

/// Row 18: each module that a path named, once, at the commit that first brought it, oldest first.
#[test]
fn should_number_the_versions_of_a_path() {
    let world = World::new(2);
    let commits: Vec<Hash> = [0, 1, 0].map(|module| world.commit("main", &[world.set("p", module)]).id).into();
    world.commit("main", &[remove("p")]);
    let versions = |path: &str| {
        let args = PathVersionsArgs { at: None, path: path.to_string(), after: None, limit: None };
        let page = world.catalog().path_versions(args).unwrap().unwrap();
        page.versions.into_iter().map(|version| (version.module_hash, version.commit)).collect::<Vec<_>>()
    };
    assert_eq!(versions("p"), [(world.modules[0], commits[0]), (world.modules[1], commits[1])]);
    assert_eq!(versions("never"), []);
    let version = |index| {
        let args = PathVersionArgs { at: None, path: "p".to_string(), index };
        world.catalog().path_version(args).unwrap().map(|version| version.module_hash)
    };
    assert_eq!((version(0), version(1)), (Ok(world.modules[0]), Ok(world.modules[1])));
    assert_eq!(version(2), Err(QueryError::UnknownVersion { versions: 2 }));
}
