//! The one place that knows what lies where in stable memory.
//!
//! An id is never given to something else: what is retired stays here as a reserved number.

use std::{cell::RefCell, rc::Rc};

use ic_cdk::stable::stable_size;
use ic_stable_structures::{
    DefaultMemoryImpl,
    memory_manager::{MemoryId, MemoryManager, VirtualMemory},
};

use crate::{room::Backing, state::State};

/// The version of the layout, read before anything else, and totals. Cell of `StoredHeader`.
pub const HEADER_MEMORY_ID: MemoryId = MemoryId::new(0);
/// The principals that may upload, besides controllers. Map of principal → nothing.
pub const UPLOADERS_MEMORY_ID: MemoryId = MemoryId::new(1);
/// The bytes of chunks, in pages of 64 KiB. No structure: see `space.rs`.
pub const PAGES_MEMORY_ID: MemoryId = MemoryId::new(2);
/// Retired with layout 1: blocks of 1 MiB that no chunk used. Vector of `u32`, empty since it was taken over.
pub const FREE_BLOCKS_MEMORY_ID: MemoryId = MemoryId::new(3);
/// Map of chunk hash → `StoredChunk`.
pub const CHUNKS_MEMORY_ID: MemoryId = MemoryId::new(4);
/// Open uploads. Map of `UploadKey` → `StoredUpload`.
pub const UPLOADS_MEMORY_ID: MemoryId = MemoryId::new(5);
/// Open uploads by the time they expire. Map of (time, `UploadKey`) → nothing.
pub const EXPIRIES_MEMORY_ID: MemoryId = MemoryId::new(6);
/// Sealed modules. Map of module hash → `StoredModule`.
pub const MODULES_MEMORY_ID: MemoryId = MemoryId::new(7);
/// `icp:` custom sections of sealed modules. Map of (module hash, number of the section) → bytes.
pub const METADATA_MEMORY_ID: MemoryId = MemoryId::new(8);

/// The principals that retain modules. Map of principal → `StoredHolder`.
pub const HOLDERS_MEMORY_ID: MemoryId = MemoryId::new(9);
/// Who retains what. Map of `UploadKey` (principal and module hash) → nothing.
pub const REFERENCES_MEMORY_ID: MemoryId = MemoryId::new(10);
/// Why each sealed module is kept. Map of module hash → `StoredRetention`.
pub const RETENTIONS_MEMORY_ID: MemoryId = MemoryId::new(11);
/// Modules that nobody retains, by time. Map of `DueKey` → nothing.
pub const UNRETAINED_MEMORY_ID: MemoryId = MemoryId::new(12);
/// What each principal has sealed. Map of principal → `StoredAccount`.
pub const ACCOUNTS_MEMORY_ID: MemoryId = MemoryId::new(13);

/// Hashes of the tree of certificates. No structure: see `certificates.rs`.
pub const CERTIFICATES_MEMORY_ID: MemoryId = MemoryId::new(14);
/// Free extents of pages. Map of the first page → length.
pub const FREE_BY_PLACE_MEMORY_ID: MemoryId = MemoryId::new(15);
/// Free extents of pages. Map of (length, first page) → nothing.
pub const FREE_BY_LENGTH_MEMORY_ID: MemoryId = MemoryId::new(16);

/// All memories that are written to but that of the chunks.
pub(crate) const INDEX_MEMORY_IDS: [MemoryId; 15] = [
    HEADER_MEMORY_ID,
    UPLOADERS_MEMORY_ID,
    CHUNKS_MEMORY_ID,
    UPLOADS_MEMORY_ID,
    EXPIRIES_MEMORY_ID,
    MODULES_MEMORY_ID,
    METADATA_MEMORY_ID,
    HOLDERS_MEMORY_ID,
    REFERENCES_MEMORY_ID,
    RETENTIONS_MEMORY_ID,
    UNRETAINED_MEMORY_ID,
    ACCOUNTS_MEMORY_ID,
    CERTIFICATES_MEMORY_ID,
    FREE_BY_PLACE_MEMORY_ID,
    FREE_BY_LENGTH_MEMORY_ID,
];

/// Pages of 64 KiB by which a memory grows: 16 MiB. The manager has 32,768 such buckets, so it can address 512 GiB, more
/// than the 500 GiB that a canister can have. Kept in stable memory by the first installation.
const BUCKET_PAGES: u16 = 256;

/// The state of the canister, as entry points share it.
pub type CanisterState = Rc<RefCell<State<VirtualMemory<DefaultMemoryImpl>>>>;

thread_local! {
    static STATE: CanisterState = {
        let manager = MemoryManager::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);
        let backing = Backing { bucket_pages: u64::from(BUCKET_PAGES), pages: Box::new(stable_size) };
        match State::open(|id| manager.get(id), backing) {
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
