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
/// The hashes of all modules that a commit or a release ever named; each was sealed in the blob store by then.
pub const MODULES_MEMORY_ID: MemoryId = MemoryId::new(6);
/// The principals that may commit and publish, besides controllers.
pub const PUBLISHERS_MEMORY_ID: MemoryId = MemoryId::new(7);

/// Pages of 64 KiB by which a memory grows: 4 MiB, of which the manager can hand out 128 GiB.
const BUCKET_PAGES: u16 = 64;

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
