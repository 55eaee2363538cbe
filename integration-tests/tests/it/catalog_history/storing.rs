//! Storing modules, which is the blob store's part, as far as the catalog builds on it.

use depot_types::{
    blob_store::{CommitUploadError, InvalidModule, ModuleKind, UploadStatus},
    catalog::{CommitError, ListedModule},
    chunk,
    limits::MAX_READ_BYTES,
};

use super::*;

/// The smallest core module, and the smallest component.
const CORE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Rows 1, 2: a module is the SHA-256 of its bytes; stored once, however many paths and branches name it.
#[test]
fn should_name_modules_by_their_bytes_and_store_them_once() {
    let world = World::new(1);
    let info = world.depot.upload(CORE, |_| ()).unwrap();
    assert_eq!(info.module_hash.to_string(), "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476");
    assert_eq!(world.modules[0], Hash::of(&data_module(100)));
    let stored = || {
        let stats = world.depot.blob_store().stats().unwrap();
        (stats.modules, stats.chunks, stats.references)
    };
    let before = stored();
    assert_eq!(before, (2, 2, 0));
    world.commit("main", &[world.set("a", 0), world.set("d/b", 0)]);
    world.commit("dev", &[world.set("c", 0)]);
    let objects = world.catalog().stats().unwrap();
    assert_eq!((stored(), objects.modules), ((2, 2, 1), 1));
}

/// Row 3: what is no valid module is refused when it is sealed, and can be named by nobody.
#[test]
fn should_validate_modules_before_anything_names_them() {
    let world = World::new(0);
    for (module, kind) in [(CORE, ModuleKind::CoreModule), (COMPONENT, ModuleKind::Component)] {
        assert_eq!(world.depot.upload(module, |_| ()).unwrap().kind, kind);
    }
    let store = world.depot.blob_store();
    let trailing = [CORE, b"\x7f"].concat();
    let wrong_version = b"\0asm\x02\0\0\0";
    for invalid in [&b"(module)"[..], &CORE[..6], b"\0bsm\x01\0\0\0", &trailing, wrong_version] {
        let hash = Hash::of(invalid);
        assert!(matches!(store.begin_upload_of(invalid).unwrap(), Ok(UploadStatus::Open(_))));
        store.put_chunk(hash, 0, invalid).unwrap().unwrap();
        let refused = store.commit_upload(hash).unwrap();
        assert!(matches!(refused, Err(CommitUploadError::InvalidModule(_))), "{refused:?}");
        assert_eq!(store.module_info(hash).unwrap(), None);
        let change = Change::Set { path: "p".to_string(), module_hash: hash };
        assert_eq!(world.try_commit("main", &[change]), Err(CommitError::UnknownModule { module_hash: hash }));
    }
    let text = b"(module)";
    store.begin_upload_of(text).unwrap().unwrap();
    store.put_chunk(Hash::of(text), 0, text).unwrap().unwrap();
    let refused = store.commit_upload(Hash::of(text)).unwrap();
    assert_eq!(refused, Err(CommitUploadError::InvalidModule(InvalidModule::NotWasm)));
}

/// Rows 5, 6: adding a module; adding the same again asks for no bytes and makes no commit.
#[test]
fn should_add_a_module_once() {
    let world = World::new(0);
    let module = data_module((1 << 20) + 77);
    let mut sent = 0;
    let info = world.depot.upload(&module, |bytes| sent += bytes).unwrap();
    assert_eq!(sent, module.len() as u64);
    let change = [Change::Set { path: "p".to_string(), module_hash: info.module_hash }];
    let head = world.commit("main", &change).id;
    assert_eq!(world.found("main", "p"), Some(info.module_hash));
    let store = world.depot.blob_store();
    let read: Vec<u8> =
        chunk::hashes(&module).iter().flat_map(|hash| store.get_chunk(*hash).unwrap().unwrap().into_vec()).collect();
    assert_eq!(read, module);

    assert_eq!(store.begin_upload_of(&module).unwrap(), Ok(UploadStatus::Sealed(info)));
    assert_eq!(world.try_commit("main", &change), Err(CommitError::NothingChanged));
    assert_eq!(world.catalog().snapshot(None).unwrap(), Ok(head));
}

/// Rows 29, 31: writing a branch to a folder is up to the client: paths, and the bytes behind each.
#[test]
fn should_give_all_that_an_export_to_a_folder_needs() {
    let world = World::new(3);
    world.commit("main", &[world.set("a", 0), world.set("d/b.wasm", 1), world.set("d/e/c", 2)]);
    let page = world.catalog().list(ListArgs::default()).unwrap().unwrap();
    let store = world.depot.blob_store();
    for ((path, bytes), listed) in [("a", 100), ("d/b.wasm", 101), ("d/e/c", 102)].into_iter().zip(page.modules) {
        let ListedModule { path: found, module_hash } = listed;
        assert_eq!(found, path);
        let read = store.read_module(module_hash, 0, MAX_READ_BYTES).unwrap().unwrap();
        assert_eq!(read.into_vec(), data_module(bytes));
    }
}
