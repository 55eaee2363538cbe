use std::{collections::BTreeSet, io::Read};

use depot_types::{
    Hash,
    catalog::{AuditArgs, CommitError, LogArgs, ModuleError, PathVersionsArgs, VersionArgs},
};
use flate2::read::GzDecoder;
use ic_stable_structures::{Memory, VectorMemory};

use crate::{
    blob_store::retain_all,
    state::LAYOUT_VERSION,
    test_fixtures::{CONTROLLER, Fixture, block_on, commit_args, module, open, remove, set},
};

/// Stable memory as version 0.1 of the catalog left it on a network: four commits on `main` (ninety modules in the
/// folder `big`; `apps/one.wasm` and `top`; `apps/one.wasm` changed and `top` removed; `apps/one.wasm` as it was first
/// and `apps/two/deep.wasm`) and three releases of `app`.
const LAYOUT_1: &[u8] = include_bytes!("layout_1.bin.gz");

fn layout_1() -> VectorMemory {
    let mut bytes = vec![];
    GzDecoder::new(LAYOUT_1).read_to_end(&mut bytes).unwrap();
    let memory = VectorMemory::default();
    memory.grow(bytes.len() as u64 / 65_536);
    memory.write(0, &bytes);
    memory
}

#[test]
fn should_take_over_what_layout_1_holds() {
    let memory = layout_1();
    let state = open(&memory);
    let log = state.commit_log(&LogArgs::default()).unwrap().commits;
    assert_eq!((log.len(), state.head("main")), (4, Some(Some(log[0].id))));
    let args = PathVersionsArgs { at: None, path: "apps/one.wasm".to_string(), after: None, limit: None };
    let versions: Vec<_> =
        state.path_versions(&args).unwrap().versions.into_iter().map(|version| version.commit).collect();
    assert_eq!(versions, [log[2].id, log[1].id]);
    let audit = |path: &str| {
        state.audit(&AuditArgs { at: None, path: path.to_string(), after: None, limit: None }).unwrap().changes.len()
    };
    assert_eq!((audit("apps/one.wasm"), audit("top"), audit("big/7.wasm"), audit("apps")), (3, 2, 1, 3));
    let release = VersionArgs { package: "app".to_string(), version: "1.1.0-rc.1".to_string() };
    assert!(state.version_info(&release).is_ok());
    let named = state.modules.keys().map(Hash::new).collect::<Vec<_>>();
    assert_eq!((named.len(), state.unknown_modules(named.clone())), (4, named));
    let certified = state.certified_data();
    drop(state);
    let again = open(&memory);
    assert_eq!(again.certified_data(), certified);
    assert_eq!(again.commits.len(), 4, "it is taken over once");
}

#[test]
fn should_go_on_with_what_layout_1_holds() {
    let fixture = Fixture::on(layout_1());
    let blob_store = fixture.state.borrow().blob_store();
    fixture.runtime.set_blob_store(blob_store);
    let commit = |changes: &[_]| fixture.commit_as(CONTROLLER, commit_args(changes));
    commit(&[set("big/x.wasm", 1), remove("big/7.wasm")]).unwrap();
    assert_eq!(fixture.found("main", "big/x.wasm"), Some(module(1)));
    assert!(fixture.found("main", "big/8.wasm").is_some());
    assert_eq!(fixture.found("main", "big/7.wasm"), None);
    assert_eq!(LAYOUT_VERSION, 2);
}

/// Layout 1 did not let the blob store know what it needs.
#[test]
fn should_retain_what_layout_1_names_without_being_asked() {
    let fixture = Fixture::on(layout_1());
    let blob_store = fixture.state.borrow().blob_store();
    fixture.runtime.set_blob_store(blob_store);
    let to_retain = || fixture.state.borrow().stats(0, vec![]).modules_to_retain;
    assert_eq!(to_retain(), 4);
    // As long as the blob store does not let it, every change that names a module says so, and so does the count.
    fixture.runtime.set_holder(false);
    let refused = fixture.commit_as(CONTROLLER, commit_args(&[set("x", 1)]));
    assert_eq!(refused, Err(CommitError::NotHolder { blob_store }));
    assert_eq!(block_on(retain_all(&fixture.state, &fixture.runtime)), Err(ModuleError::NotHolder { blob_store }));
    assert_eq!((to_retain(), fixture.runtime.retained().len()), (4, 0));
    fixture.runtime.set_holder(true);
    assert_eq!(block_on(retain_all(&fixture.state, &fixture.runtime)), Ok(()));
    let named: BTreeSet<Hash> = fixture.state.borrow().modules.keys().map(Hash::new).collect();
    assert_eq!((to_retain(), fixture.runtime.retained()), (0, named));
}
