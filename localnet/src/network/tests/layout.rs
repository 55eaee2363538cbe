//! State directories as earlier versions wrote them: they must load for good.
//!
//! When the layout changes, its number in `checkpoint/frame.rs` grows, the files of the new one are written by the
//! ignored test below and added to the repository, and a test of the old ones stays. Until then a new field of the
//! state needs a default, so that the files can be read without it.

use std::{fs, path::PathBuf};

use candid::{Encode, Principal};
use ic_management_canister_types::{
    CanisterSettings, EnvironmentVariable, TakeCanisterSnapshotArgs, UpdateSettingsArgs, UploadChunkArgs,
};

use super::{
    fixture::{BALANCE, call, inside, install, network, query, update},
    saved::KEEPER,
};
use crate::{
    checkpoint::{Store, tests::Folder},
    execution::StableMemory,
    network::{Network, test_config},
};

/// Returns the folder with the files of a layout.
fn files(layout: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/state-layout-{layout}"))
}

/// Returns what the keeper holds: a counter in the heap, in a global, and in stable memory.
fn read(network: &mut Network, keeper: Principal) -> [u64; 3] {
    let reply = query(network, keeper, "read", vec![]).unwrap();
    let number = |at: usize| u64::from_le_bytes(reply[at..at + 8].try_into().unwrap());
    [number(0), number(8), number(16)]
}

#[test]
#[ignore = "writes the files of the present layout"]
fn write_the_files_of_the_present_layout() {
    let mut network = network(1);
    let keeper = install(&mut network, 0, KEEPER);
    inside(&mut network, keeper).sandbox.as_mut().unwrap().set_stable(StableMemory::zeroed(1));
    let management = Principal::management_canister();
    update(&mut network, keeper, "step", vec![]).unwrap();
    let chunk = UploadChunkArgs { canister_id: keeper, chunk: vec![7; 100] };
    update(&mut network, management, "upload_chunk", Encode!(&chunk).unwrap()).unwrap();
    let snapshot = TakeCanisterSnapshotArgs {
        canister_id: keeper,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    update(&mut network, management, "take_canister_snapshot", Encode!(&snapshot).unwrap()).unwrap();
    let variable = EnvironmentVariable { name: "LAYOUT".to_owned(), value: "1".to_owned() };
    let settings = CanisterSettings { environment_variables: Some(vec![variable]), ..CanisterSettings::default() };
    let settings = UpdateSettingsArgs { canister_id: keeper, settings, sender_canister_version: None };
    update(&mut network, management, "update_settings", Encode!(&settings).unwrap()).unwrap();
    network.submit_ingress(call(keeper, "step", vec![])).unwrap();
    let folder = files(1);
    let _ = fs::remove_dir_all(&folder);
    let (mut store, _) = Store::open(&folder).unwrap();
    store.write(&network.capture(), true).unwrap();
    drop(store);
    fs::remove_file(folder.join("lock")).unwrap();
}

#[test]
fn should_load_layout_1() {
    let folder = Folder::new("layout-1");
    for entry in fs::read_dir(files(1)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.0.join(entry.file_name())).unwrap();
    }
    let (mut store, loaded) = Store::open(&folder.0).unwrap();
    let mut network = Network::restore(&test_config(Vec::new()), &mut store, &loaded.unwrap()).unwrap();
    let keeper = Principal::from_text("lxzze-o7777-77777-aaaaa-cai").unwrap();
    assert_eq!(read(&mut network, keeper), [1, 8, 1]);
    let canister = inside(&mut network, keeper);
    assert_eq!(canister.chunks.values().map(|chunk| chunk.len()).collect::<Vec<_>>(), [100]);
    assert_eq!(canister.snapshots.len(), 1);
    assert_eq!(canister.settings.environment_variables[0], ("LAYOUT".to_owned(), "1".to_owned()));
    assert_eq!(canister.certified_data, [1, 0, 0, 0]);
    assert_eq!(canister.logs.len(), 1);
    assert!(canister.balance < BALANCE);
    // The message that was let in last is executed now.
    network.tick();
    assert_eq!(read(&mut network, keeper), [2, 9, 2]);
    store.write(&network.capture(), true).unwrap();
}
