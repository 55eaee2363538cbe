//! The one place that knows what lies where in stable memory.
//!
//! An id is never given to something else: what is retired stays here as a reserved number.

use std::{cell::RefCell, rc::Rc};

use ic_stable_structures::{
    DefaultMemoryImpl, Memory,
    memory_manager::{MemoryId, MemoryManager, VirtualMemory},
};

use crate::state::State;

/// The version of the layout, read before anything else. Cell of `u32`.
pub const LAYOUT_MEMORY_ID: MemoryId = MemoryId::new(0);
/// What the controllers chose. Cell.
pub const CONFIG_MEMORY_ID: MemoryId = MemoryId::new(1);
/// Folders and commits: object id → bytes. Entries are never changed.
pub const OBJECTS_MEMORY_ID: MemoryId = MemoryId::new(2);
/// Branch name → the commit it is at.
pub const BRANCHES_MEMORY_ID: MemoryId = MemoryId::new(3);
/// Package name → how many versions it has.
pub const PACKAGES_MEMORY_ID: MemoryId = MemoryId::new(4);
/// Package and version, in semver order → release. Entries are never changed.
pub const RELEASES_MEMORY_ID: MemoryId = MemoryId::new(5);
/// The hashes of the modules that the blob store retains for the catalog: all that a commit or release names.
pub const MODULES_MEMORY_ID: MemoryId = MemoryId::new(6);
/// The principals that may commit and publish, besides controllers.
pub const PUBLISHERS_MEMORY_ID: MemoryId = MemoryId::new(7);
/// Number of a commit, in the order in which they came → its place in the history. From layout 2 on.
pub const COMMITS_MEMORY_ID: MemoryId = MemoryId::new(8);
/// Commit id → number. From layout 2 on.
pub const COMMIT_NUMBERS_MEMORY_ID: MemoryId = MemoryId::new(9);
/// Line and position → number of the commit. From layout 2 on.
pub const LINES_MEMORY_ID: MemoryId = MemoryId::new(10);
/// Line → where it starts. From layout 2 on.
pub const LINE_STARTS_MEMORY_ID: MemoryId = MemoryId::new(11);
/// Line and position of each merge → number of the commit merged. From layout 2 on.
pub const MERGES_MEMORY_ID: MemoryId = MemoryId::new(12);
/// Path, line and position → what the path stands for since. From layout 2 on.
pub const PATH_CHANGES_MEMORY_ID: MemoryId = MemoryId::new(13);
/// Path, module, line and position → nothing: where a module first came to a path. From layout 2 on.
pub const PATH_FIRSTS_MEMORY_ID: MemoryId = MemoryId::new(14);
/// Module and path → nothing: the paths that ever named a module. From layout 2 on.
pub const MODULE_PATHS_MEMORY_ID: MemoryId = MemoryId::new(15);
/// Number → event. From layout 2 on.
pub const EVENTS_MEMORY_ID: MemoryId = MemoryId::new(16);
/// The collection of garbage that is going on. Cell. From layout 2 on.
pub const COLLECTION_MEMORY_ID: MemoryId = MemoryId::new(17);
/// What the collection of garbage has found to be reachable. From layout 2 on.
pub const MARKS_MEMORY_ID: MemoryId = MemoryId::new(18);
/// Modules that the blob store is to let go of. From layout 2 on.
pub const LEAVING_MEMORY_ID: MemoryId = MemoryId::new(19);
/// Objects that the collection of garbage still has to look at. From layout 2 on.
pub const WAITING_MEMORY_ID: MemoryId = MemoryId::new(20);
/// A backup that is being read in. Cell. From layout 2 on.
pub const IMPORT_MEMORY_ID: MemoryId = MemoryId::new(21);
/// The tops of the folders that are certified. Cell. From layout 2 on.
pub const CERTIFIED_MEMORY_ID: MemoryId = MemoryId::new(22);
/// Nodes of the folders that are certified: id → bytes. From layout 2 on.
pub const CERTIFIED_NODES_MEMORY_ID: MemoryId = MemoryId::new(23);

/// Pages of 64 KiB by which a memory grows: 4 MiB, of which the manager can hand out 128 GiB.
pub const BUCKET_PAGES: u16 = 64;

/// The state of the canister, as entry points share it.
pub type CanisterState = Rc<RefCell<State<VirtualMemory<DefaultMemoryImpl>>>>;

thread_local! {
    static STATE: CanisterState = {
        let manager = MemoryManager::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);
        match State::open(|id| manager.get(id)) {
            Ok(state) => Rc::new(RefCell::new(state)),
            Err(error) => panic!("{error}"),
        }
    };
}

/// Returns the state of the canister; the first use in an installed canister opens it.
///
/// # Traps
/// When stable memory has a layout that this module does not know. `post_upgrade` uses the state, so a module that
/// does not fit is refused by the upgrade to it.
pub fn state() -> CanisterState {
    STATE.with(Rc::clone)
}

/// Bytes of a page of stable memory.
const PAGE_BYTES: u64 = 65_536;

/// Returns how many bytes of stable memory the canister uses.
pub fn stable_bytes() -> u64 {
    DefaultMemoryImpl::default().size() * PAGE_BYTES
}
