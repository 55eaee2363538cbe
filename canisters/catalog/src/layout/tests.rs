use std::io::Read;

use depot_types::{
    Hash,
    catalog::{
        AuditArgs, Change, CollectGarbageArgs, CommitArgs, CreateBranchArgs, DeleteBranchArgs, EventsArgs, ListArgs,
        LogArgs, MergeArgs, Note, PathVersionsArgs, ProtectBranchArgs, Resolution, Revision, RollbackArgs, Take,
        VersionArgs,
    },
};
use flate2::read::GzDecoder;
use ic_stable_structures::{Memory, VectorMemory};

use crate::{
    branches::{create_branch, delete_branch, protect_branch},
    collection::collect_garbage,
    merge::merge,
    publishers::add_publisher,
    state::LAYOUT_VERSION,
    test_fixtures::{ALICE, BOB, CONTROLLER, Fixture, TestState, block_on, commit_args, module, open, remove, set},
    undo::rollback,
};

/// Stable memory as version 0.1 of the catalog left it on a network: four commits on `main` (ninety modules in the
/// folder `big`; `apps/one.wasm` and `top`; `apps/one.wasm` changed and `top` removed; `apps/one.wasm` as it was first
/// and `apps/two/deep.wasm`) and three releases of `app`.
const LAYOUT_1: &[u8] = include_bytes!("layout_1.bin.gz");

/// Stable memory with the history of [`made_of_everything`], as layout 2 was first written: before lines knew what is
/// before them.
const LAYOUT_2: &[u8] = include_bytes!("layout_2.bin.gz");

fn layout_1() -> VectorMemory {
    unpack(LAYOUT_1)
}

fn unpack(packed: &[u8]) -> VectorMemory {
    let mut bytes = vec![];
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
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
    let named = state.modules.keys().map(depot_types::Hash::new).collect::<Vec<_>>();
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

/// A history of all kinds of changes: branches, merges with and without what both sides changed, undoing, releases, a
/// collection of garbage, and lines of history that end and go on elsewhere.
fn made_of_everything(fixture: &Fixture) {
    let state = &fixture.state;
    let on = |branch: &str, changes: &[Change]| {
        let (branch, create_branch) = (Some(branch.to_string()), Some(true));
        fixture.commit_as(CONTROLLER, CommitArgs { branch, create_branch, ..commit_args(changes) }).unwrap()
    };
    let branch = |name: &str, from: Option<Hash>| {
        let args = CreateBranchArgs { name: name.to_string(), from: from.map(Revision::Commit) };
        create_branch(&mut state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
    };
    let merge = |into: &str, from: &str, resolutions: Vec<Resolution>| {
        let from = Revision::Branch(from.to_string());
        let args = MergeArgs { into: Some(into.to_string()), from, resolutions, note: Note::default() };
        block_on(merge(state, &fixture.runtime, CONTROLLER, args)).unwrap();
    };
    let first = on("main", &[set("top", 1), set("apps/one.wasm", 1), set("apps/two/deep.wasm", 2)]);
    on("main", &(0..60).map(|number| set(&format!("big/{number}.wasm"), number)).collect::<Vec<_>>());
    for number in 0..6 {
        branch(&format!("b{number}"), None);
        // The branch goes on with the line, and `main` on a new one.
        on(&format!("b{number}"), &[set("apps/one.wasm", 10 + number), set(&format!("sides/{number}"), number)]);
        on("main", &[set(&format!("big/{number}.wasm"), 100 + number)]);
        merge("main", &format!("b{number}"), vec![]);
    }
    branch("conflict", Some(first.id));
    on("conflict", &[set("apps/one.wasm", 77), remove("top")]);
    on("main", &[set("apps/two/deep.wasm", 3)]);
    merge("main", "conflict", vec![Resolution { path: "apps/one.wasm".to_string(), take: Take::Theirs }]);
    on("other", &[set("elsewhere", 5)]);
    merge("main", "other", vec![]);
    let undo = |path: Option<&str>, count, revert| RollbackArgs {
        branch: None,
        path: path.map(str::to_string),
        count,
        revert,
        note: Note::default(),
    };
    rollback(&mut state.borrow_mut(), &fixture.runtime, CONTROLLER, undo(Some("apps/one.wasm"), 2, false)).unwrap();
    rollback(&mut state.borrow_mut(), &fixture.runtime, CONTROLLER, undo(None, 3, true)).unwrap();
    on("gone", &[set("gone", 9)]);
    let args = DeleteBranchArgs { name: "gone".to_string(), expected_head: None };
    delete_branch(&mut state.borrow_mut(), &fixture.runtime, CONTROLLER, args).unwrap();
    fixture.publish("app", "1.0.0", 1).unwrap();
    fixture.publish("app", "1.1.0-rc.1", 77).unwrap();
    let args = ProtectBranchArgs { name: "b5".to_string(), protected: true };
    protect_branch(&mut state.borrow_mut(), &fixture.runtime, CONTROLLER, args).unwrap();
    add_publisher(&mut state.borrow_mut(), &fixture.runtime, CONTROLLER, BOB).unwrap();
    let args = || CollectGarbageArgs { squash: Some("other".to_string()) };
    while !block_on(collect_garbage(state, &fixture.runtime, CONTROLLER, args())).unwrap().finished {}
}

/// Returns everything that a catalog answers about its history, as text.
fn answers(state: &TestState) -> String {
    let state = state.borrow();
    let mut text = format!("{:?}\n{:?}\n{:?}\n", state.branches(), state.publishers(), state.certified_data());
    let branches: Vec<String> = state.branches().into_iter().map(|branch| branch.name).collect();
    for branch in branches {
        let at = || Some(Revision::Branch(branch.clone()));
        let log = state.commit_log(&LogArgs { at: at(), after: None, limit: Some(500) });
        let list = state.list(&ListArgs { at: at(), prefix: None, after: None, limit: Some(500) });
        text += &format!("{branch}\n{log:?}\n{list:?}\n");
        for path in ["top", "apps", "apps/one.wasm", "apps/two/deep.wasm", "big", "big/3.wasm", "sides/4", "elsewhere"]
        {
            let path = path.to_string();
            let versions = PathVersionsArgs { at: at(), path: path.clone(), after: None, limit: Some(500) };
            let audit = AuditArgs { at: at(), path, after: None, limit: Some(500) };
            text += &format!("{:?}\n{:?}\n", state.path_versions(&versions), state.audit(&audit));
        }
    }
    for version in ["1.0.0", "1.1.0-rc.1"] {
        let args = VersionArgs { package: "app".to_string(), version: version.to_string() };
        text += &format!("{:?}\n", state.version_info(&args));
    }
    text += &format!("{:?}\n", state.events(&EventsArgs { after: None, limit: Some(500) }));
    text
}

#[test]
fn should_answer_about_layout_2_as_about_the_same_history_made_anew() {
    let (stored, anew) = (Fixture::on(unpack(LAYOUT_2)), Fixture::new());
    made_of_everything(&anew);
    assert_eq!(answers(&stored.state), answers(&anew.state));
    assert!(answers(&anew.state).contains("1.1.0-rc.1"));
    // And it goes on in the same way: on new lines, whose lines before do not know what is before them.
    for number in 0..12_u64 {
        for fixture in [&stored, &anew] {
            let args = CreateBranchArgs { name: format!("new{number}"), from: None };
            create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
            for (branch, path) in [(format!("new{number}"), "sides/4"), ("main".to_string(), "apps/one.wasm")] {
                let args = CommitArgs { branch: Some(branch), ..commit_args(&[set(path, 1_000 + number)]) };
                fixture.commit_as(CONTROLLER, args).unwrap();
            }
            let from = Revision::Branch(format!("new{number}"));
            let args = MergeArgs { into: None, from, resolutions: vec![], note: Note::default() };
            block_on(merge(&fixture.state, &fixture.runtime, CONTROLLER, args)).unwrap();
        }
    }
    for fixture in [&stored, &anew] {
        let args = RollbackArgs { branch: None, path: None, count: 14, revert: false, note: Note::default() };
        rollback(&mut fixture.state.borrow_mut(), &fixture.runtime, CONTROLLER, args).unwrap();
    }
    assert_eq!(answers(&stored.state), answers(&anew.state));
    assert_eq!(stored.state.borrow().blob_store(), crate::test_fixtures::BLOB_STORE);
}
