//! Garbage, backups, and what the blob store retains.

use std::time::Duration;

use candid::Encode;
use depot_types::{
    blob_store::{BlobStoreArgs, ListRetainedArgs},
    catalog::{
        BackupItem, CatalogArgs, CommitError, EventKind, EventsArgs, ExportArgs, ImportArgs, ImportError, LogArgs,
        PublishArgs, RetainModulesArgs,
    },
};
use integration_tests::{
    clients::{BlobStore, Client},
    depot::create,
    wasms,
};

use super::*;

impl World {
    fn retained(&self, blob_store: BlobStore<'_>) -> Vec<bool> {
        let page = ListRetainedArgs { holder: self.depot.catalog_id, after: None, limit: None };
        let retained = blob_store.list_retained(page).unwrap().modules;
        self.modules.iter().map(|module| retained.contains(module)).collect()
    }

    fn backup(&self) -> Vec<BackupItem> {
        let (mut items, mut after) = (vec![], None);
        loop {
            let page = self.catalog().export(ExportArgs { after }).unwrap().unwrap();
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return items;
            }
        }
    }

    fn publish(&self, version: &str, module: usize) {
        let args = PublishArgs {
            package: "p".to_string(),
            version: version.to_string(),
            module_hash: self.modules[module],
            description: "what it is".to_string(),
            source: None,
        };
        self.catalog().publish(args).unwrap().unwrap();
    }

    fn wait_an_hour(&self) {
        self.depot.network.advance_time(Duration::from_secs(3_600));
        for _ in 0..10 {
            self.depot.network.tick();
        }
    }

    /// Installs another blob store, with the modules, that lets the catalog retain modules or not.
    fn another_blob_store(&self, is_holder: bool) -> BlobStore<'_> {
        let network = &self.depot.network;
        let id = create(network, self.depot.admin);
        let holders = if is_holder { vec![self.depot.catalog_id] } else { vec![] };
        let args = BlobStoreArgs { holders: Some(holders), ..BlobStoreArgs::default() };
        let wasm = wasms::load("blob_store").unwrap();
        network.install_canister(id, wasm, Encode!(&Some(args)).unwrap(), Some(self.depot.admin));
        let store = BlobStore(Client::new(network, id, self.depot.admin));
        for index in 0..self.modules.len() {
            let module = data_module(100 + index);
            store.begin_upload_of(&module).unwrap().unwrap();
            store.put_chunk(Hash::of(&module), 0, &module).unwrap().unwrap();
            store.commit_upload(Hash::of(&module)).unwrap().unwrap();
        }
        store
    }

    fn use_blob_store(&self, store: BlobStore<'_>) {
        let arg = Some(CatalogArgs { blob_store: Some(store.0.canister_id), publishers: vec![] });
        let (id, wasm) = (self.depot.catalog_id, wasms::load("catalog").unwrap());
        let (arg, admin) = (Encode!(&arg).unwrap(), Some(self.depot.admin));
        self.depot.network.upgrade_canister(id, wasm, arg, admin).unwrap();
        for _ in 0..10 {
            self.depot.network.tick();
        }
    }
}

/// Rows 28, 52: garbage collection with and without squashing. What a release or another branch needs stays.
#[test]
fn should_collect_garbage_and_let_the_blob_store_go() {
    let world = World::new(5);
    let old = world.commit("main", &[world.set("p", 0)]).id;
    world.commit("main", &[world.set("p", 1)]);
    world.commit("main", &[world.set("p", 2)]);
    let kept = CreateBranchArgs { name: "kept".to_string(), from: None };
    world.catalog().create_branch(kept).unwrap().unwrap();
    let head = world.commit("main", &[world.set("p", 3)]).id;
    world.publish("1.0.0", 4);
    let retained = || world.retained(world.depot.blob_store());
    assert_eq!(world.collect(None), 0);
    assert_eq!(retained(), [true; 5]);
    assert!(world.catalog().commit_info(old).unwrap().is_some());
    // Nothing but the commit in whose place the squashed one is: the other branch has the rest of the history.
    assert_eq!(world.collect(Some("main")), 1);
    assert_eq!(retained(), [true; 5]);
    let squashed = world.catalog().log(LogArgs::default()).unwrap().unwrap().commits;
    assert_eq!((squashed.len(), squashed[0].message.as_str(), squashed[0].parents.len()), (1, "GC", 0));
    assert_eq!(world.found("main", "p"), Some(world.modules[3]));
    assert_eq!(world.catalog().commit_info(head).unwrap(), None);
    // Three commits, and of two of them the folder and the module.
    assert_eq!(world.collect(Some("kept")), 3 + 2 + 2);
    assert_eq!(retained(), [false, false, true, true, true]);
    assert_eq!(world.catalog().commit_info(old).unwrap(), None);
    assert_eq!(world.collect(Some("kept")), 0);
    // What was let go of can be named again as long as the blob store has it.
    world.commit("main", &[world.set("again", 0)]);
    assert_eq!(retained(), [true, false, true, true, true]);
}

/// Row 30: backup and restore, from one pair of canisters into another.
#[test]
fn should_restore_a_backup_into_another_depot() {
    let world = World::new(3);
    world.commit("main", &[world.set("p", 0), world.set("d/q", 1)]);
    world.branch("dev");
    world.commit("dev", &[world.set("p", 1)]);
    world.commit("main", &[world.set("p", 2)]);
    let unresolved = world.catalog().merge(merge("main", "dev", &[])).unwrap();
    assert!(unresolved.is_err());
    world.catalog().merge(merge("main", "dev", &[("p", Take::Theirs)])).unwrap().unwrap();
    world.publish("1.0.0", 2);
    world.catalog().set_default_branch("dev").unwrap().unwrap();
    let items = world.backup();
    let in_use = world.catalog().import(ImportArgs { position: 0, items: items.clone() }).unwrap();
    assert_eq!(in_use, Err(ImportError::NotEmpty));

    let other = World::new(3);
    let (first, rest) = items.split_at(items.len() / 2);
    let position = first.len() as u64;
    let status = other.catalog().import(ImportArgs { position: 0, items: first.to_vec() }).unwrap().unwrap();
    assert_eq!((status.position, status.finished), (position, false));
    assert_eq!(other.try_commit("main", &[other.set("new", 0)]), Err(CommitError::Importing));
    let again = other.catalog().import(ImportArgs { position: 0, items: first.to_vec() }).unwrap();
    assert_eq!(again, Err(ImportError::WrongPosition { position }));
    let status = other.catalog().import(ImportArgs { position, items: rest.to_vec() }).unwrap().unwrap();
    assert!(status.finished);
    assert_eq!(other.catalog().stats().unwrap().modules_to_retain, 3);
    let status = other.catalog().retain_modules(RetainModulesArgs::default()).unwrap().unwrap();
    assert_eq!((status.finished, status.missing), (true, vec![]));
    assert_eq!(other.retained(other.depot.blob_store()), [true; 3]);

    assert_eq!(world.catalog().branches().unwrap(), other.catalog().branches().unwrap());
    let log = |world: &World| world.catalog().log(LogArgs { at: at("main"), ..LogArgs::default() }).unwrap().unwrap();
    assert_eq!(log(&world), log(&other));
    let release = |world: &World| world.catalog().get_version_info("p", "1.0.0").unwrap();
    assert_eq!((release(&world).is_ok(), release(&world)), (true, release(&other)));
    let events = |world: &World| world.catalog().events(EventsArgs::default()).unwrap().events;
    let (before, mut after) = (events(&world), events(&other));
    assert_eq!(after.pop().unwrap().kind, EventKind::Imported { commits: 4 });
    assert_eq!(before, after);
    // Its backup is the same, but for that event.
    let mut backup = other.backup();
    let (end, event) = (backup.pop(), backup.pop());
    assert!(matches!((end, event), (Some(BackupItem::End { .. }), Some(BackupItem::Event(_)))));
    assert_eq!(backup, items[..items.len() - 1]);
    other.commit("dev", &[other.set("new", 0)]);
}

#[test]
fn should_retain_everything_in_another_blob_store_by_itself() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    world.publish("1.0.0", 1);
    let waiting = || world.catalog().stats().unwrap().modules_to_retain;
    assert_eq!(waiting(), 0);
    let other = world.another_blob_store(true);
    assert_eq!(world.retained(other), [false, false]);
    world.use_blob_store(other);
    assert_eq!((world.retained(other), waiting()), (vec![true, true], 0));
}

#[test]
fn should_go_on_asking_a_blob_store_that_does_not_let_it_retain_modules() {
    let world = World::new(2);
    world.commit("main", &[world.set("p", 0)]);
    let waiting = || world.catalog().stats().unwrap().modules_to_retain;
    let other = world.another_blob_store(false);
    world.use_blob_store(other);
    world.wait_an_hour();
    assert_eq!((world.retained(other), waiting()), (vec![false, false], 1), "it says so");
    let refused = world.try_commit("main", &[world.set("q", 1)]);
    assert_eq!(refused, Err(CommitError::NotHolder { blob_store: other.0.canister_id }));
    other.add_holder(world.depot.catalog_id).unwrap().unwrap();
    world.wait_an_hour();
    assert_eq!((world.retained(other), waiting()), (vec![true, false], 0));
}
