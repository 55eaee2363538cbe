//! The catalog names modules: paths on branches, releases of packages.

use candid::{Encode, Principal};
use depot_types::{
    Hash,
    catalog::{
        CatalogArgs, CatalogSource, Change, CommitArgs, CommitError, FindError, ListVersionsArgs, PublishArgs,
        PublishError, ResolveError, VersionError,
    },
};
use integration_tests::{
    depot::{Depot, user},
    made::data_module,
    wasms,
};

fn set(path: &str, module_hash: Hash) -> CommitArgs {
    CommitArgs {
        branch: None,
        create_branch: None,
        changes: vec![Change::Set { path: path.to_string(), module_hash }],
        message: "why".to_string(),
        author_name: Some("who".to_string()),
        expected_head: None,
    }
}

fn publish(version: &str, module_hash: Hash) -> PublishArgs {
    PublishArgs {
        package: "app".to_string(),
        version: version.to_string(),
        module_hash,
        description: "an app".to_string(),
        source: Some("https://example.org/app@1234".to_string()),
    }
}

/// Stores so many small modules.
fn modules(depot: &Depot, count: usize) -> Vec<Hash> {
    (0..count).map(|index| depot.upload(&data_module(100 + index), |_| ()).unwrap().module_hash).collect()
}

#[test]
fn should_find_what_was_committed() {
    let depot = Depot::install().unwrap();
    let catalog = depot.catalog();
    let modules = modules(&depot, 2);
    let missing = catalog.find(None, "apps/one.wasm").unwrap();
    assert_eq!(missing, Err(FindError::NotFound { path: "apps/one.wasm".to_string() }));
    let first = catalog.commit(set("apps/one.wasm", modules[0])).unwrap().unwrap();
    assert_eq!((first.author, first.parents.len()), (depot.admin, 0));
    assert_eq!((first.message.as_str(), first.author_name.as_deref()), ("why", Some("who")));
    let second = catalog.commit(set("/apps//two.wasm/", modules[1])).unwrap().unwrap();
    assert_eq!(second.parents, [first.id]);
    assert_eq!(catalog.commit_info(first.id).unwrap(), Some(first));

    let found = catalog.find(Some("main"), "apps/two.wasm").unwrap().unwrap();
    assert_eq!((found.path.as_str(), found.module_hash, found.commit), ("apps/two.wasm", modules[1], second.id));
    assert_eq!(catalog.find(None, "apps/one.wasm").unwrap().unwrap().module_hash, modules[0]);
    assert_eq!(catalog.find(None, "apps").unwrap(), Err(FindError::IsFolder { path: "apps".to_string() }));
    let unknown = catalog.find(Some("other"), "apps").unwrap();
    assert_eq!(unknown, Err(FindError::UnknownBranch { branch: "other".to_string() }));
    assert_eq!(catalog.branches().unwrap()[0].head, Some(second.id));
}

#[test]
fn should_refuse_commits_that_cannot_be() {
    let depot = Depot::install().unwrap();
    let catalog = depot.catalog();
    let module = modules(&depot, 1)[0];
    let unknown = Hash::of(b"never uploaded");
    let refused = catalog.commit(set("a", unknown)).unwrap();
    assert_eq!(refused, Err(CommitError::UnknownModule { module_hash: unknown }));
    let head = catalog.commit(set("a", module)).unwrap().unwrap().id;
    assert_eq!(catalog.commit(set("a", module)).unwrap(), Err(CommitError::NothingChanged));
    assert!(matches!(catalog.commit(set("a/b", module)).unwrap(), Err(CommitError::PathConflict { .. })));
    assert!(matches!(catalog.commit(set("../b", module)).unwrap(), Err(CommitError::InvalidPath { .. })));
    let late = CommitArgs { expected_head: Some(unknown), ..set("b", module) };
    let refused = catalog.commit(late).unwrap();
    assert_eq!(refused, Err(CommitError::HeadMoved { expected: unknown, actual: Some(head) }));
    let elsewhere = CommitArgs { branch: Some("dev".to_string()), ..set("b", module) };
    let refused = catalog.commit(elsewhere).unwrap();
    assert_eq!(refused, Err(CommitError::UnknownBranch { branch: "dev".to_string() }));
    assert_eq!(catalog.branches().unwrap()[0].head, Some(head));
}

#[test]
fn should_let_only_publishers_commit_and_publish() {
    let depot = Depot::install().unwrap();
    let module = modules(&depot, 1)[0];
    let stranger = user(9);
    let as_stranger = depot.catalog_as(stranger);
    let refused = as_stranger.commit(set("a", module)).unwrap();
    assert_eq!(refused, Err(CommitError::NotAllowed { caller: stranger }));
    let refused = as_stranger.publish(publish("1.0.0", module)).unwrap();
    assert_eq!(refused, Err(PublishError::NotAllowed { caller: stranger }));
    let refused = depot.catalog_as(Principal::anonymous()).publish(publish("1.0.0", module)).unwrap();
    assert_eq!(refused, Err(PublishError::AnonymousCaller));
    depot.catalog().add_publisher(stranger).unwrap().unwrap();
    assert_eq!(as_stranger.commit(set("a", module)).unwrap().unwrap().author, stranger);
    assert_eq!(as_stranger.publish(publish("1.0.0", module)).unwrap().unwrap().publisher, stranger);
    depot.catalog().remove_publisher(stranger).unwrap().unwrap();
    assert!(as_stranger.publish(publish("1.0.1", module)).unwrap().is_err());
}

#[test]
fn should_keep_releases_as_they_were_published() {
    let depot = Depot::install().unwrap();
    let catalog = depot.catalog();
    let modules = modules(&depot, 2);
    let release = catalog.publish(publish("1.2.3", modules[0])).unwrap().unwrap();
    assert_eq!(catalog.get_version_info("app", "1.2.3").unwrap(), Ok(release));
    let refused = catalog.publish(publish("1.2.3", modules[1])).unwrap();
    assert_eq!(refused, Err(PublishError::AlreadyPublished { module_hash: modules[0] }));
    let unknown = catalog.get_version_info("app", "1.2.4").unwrap();
    assert_eq!(unknown, Err(VersionError::UnknownVersion { version: "1.2.4".to_string() }));
    let unknown = catalog.get_version_info("other", "1.2.3").unwrap();
    assert_eq!(unknown, Err(VersionError::UnknownPackage { package: "other".to_string() }));
    assert!(matches!(catalog.publish(publish("1.2", modules[0])).unwrap(), Err(PublishError::InvalidVersion { .. })));
    let never = Hash::of(b"never uploaded");
    let refused = catalog.publish(publish("2.0.0", never)).unwrap();
    assert_eq!(refused, Err(PublishError::UnknownModule { module_hash: never }));
}

#[test]
fn should_list_versions_newest_first_in_pages() {
    let depot = Depot::install().unwrap();
    let catalog = depot.catalog();
    let module = modules(&depot, 1)[0];
    for version in ["1.9.0", "1.10.0", "2.0.0-rc.1", "0.1.0", "2.0.0"] {
        catalog.publish(publish(version, module)).unwrap().unwrap();
    }
    let page = |after: Option<&str>, limit| {
        let args = ListVersionsArgs { package: "app".to_string(), after: after.map(str::to_string), limit };
        let page = catalog.list_versions(args).unwrap().unwrap();
        (page.versions.into_iter().map(|entry| entry.version).collect::<Vec<_>>(), page.next)
    };
    let (all, next) = page(None, None);
    assert_eq!(all, ["2.0.0", "2.0.0-rc.1", "1.10.0", "1.9.0", "0.1.0"]);
    assert_eq!(next, None);
    let (first, next) = page(None, Some(2));
    assert_eq!(first, all[..2]);
    let (second, _) = page(next.as_deref(), Some(2));
    assert_eq!(second, all[2..4]);

    let resolve = |requirement: &str| {
        let (package, requirement) = ("app".to_string(), requirement.to_string());
        catalog.resolve(CatalogSource::Release { package, requirement }).unwrap()
    };
    assert_eq!(resolve("^1").unwrap().version.as_deref(), Some("1.10.0"));
    assert_eq!(resolve("1.9.0").unwrap().version.as_deref(), Some("1.9.0"));
    assert!(matches!(resolve("^3"), Err(ResolveError::NoMatchingVersion { .. })));
}

#[test]
fn should_keep_everything_over_an_upgrade() {
    let depot = Depot::install().unwrap();
    let catalog = depot.catalog();
    let module = modules(&depot, 1)[0];
    let commit = catalog.commit(set("a/b", module)).unwrap().unwrap();
    let release = catalog.publish(publish("1.0.0", module)).unwrap().unwrap();
    let arg = Encode!(&None::<CatalogArgs>).unwrap();
    let wasm = wasms::load("catalog").unwrap();
    depot.network.upgrade_canister(depot.catalog_id, wasm, arg, Some(depot.admin)).unwrap();
    assert_eq!(catalog.find(None, "a/b").unwrap().unwrap().commit, commit.id);
    assert_eq!(catalog.get_version_info("app", "1.0.0").unwrap(), Ok(release));
    assert_eq!(catalog.commit(set("c", module)).unwrap().unwrap().parents, [commit.id]);
}
