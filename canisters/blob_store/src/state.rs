//! The state of the blob store, in stable structures only: nothing has to be saved before an upgrade.

use std::fmt;

use candid::Principal;
use ic_stable_structures::{Memory, StableBTreeMap, memory_manager::MemoryId};

use crate::{
    accounts::Accounts,
    certificates::Certificates,
    chunks::Chunks,
    header::Header,
    memory::{
        ACCOUNTS_MEMORY_ID, CERTIFICATES_MEMORY_ID, CHUNKS_MEMORY_ID, EXPIRIES_MEMORY_ID, FREE_BLOCKS_MEMORY_ID,
        FREE_BY_LENGTH_MEMORY_ID, FREE_BY_PLACE_MEMORY_ID, HEADER_MEMORY_ID, HOLDERS_MEMORY_ID, INDEX_MEMORY_IDS,
        METADATA_MEMORY_ID, MODULES_MEMORY_ID, PAGES_MEMORY_ID, REFERENCES_MEMORY_ID, RETENTIONS_MEMORY_ID,
        UNRETAINED_MEMORY_ID, UPLOADERS_MEMORY_ID, UPLOADS_MEMORY_ID,
    },
    modules::Modules,
    pages,
    retentions::Retentions,
    room::{Backing, Room},
    sessions::Sessions,
    space::{BLOCK_PAGES, Space},
    storable::StoredHolder,
};

/// The layout of stable memory that this code writes.
///
/// 1. The first one.
/// 2. Settings in the header; holders, references, retentions, accounts and certificates; space in pages of 64 KiB
///    instead of blocks of 1 MiB. Taken over from layout 1 at once, but for the records of modules, which are made little
///    by little (`garbage.rs`), and for chunks, which keep the whole block that they had until they go.
/// 3. The form of what is certified about modules in the header.
pub const LAYOUT_VERSION: u32 = 3;

/// All that the blob store keeps.
pub struct State<M: Memory> {
    pub(crate) header: Header<M>,
    pub(crate) uploaders: StableBTreeMap<Principal, (), M>,
    pub(crate) holders: StableBTreeMap<Principal, StoredHolder, M>,
    pub(crate) chunks: Chunks<M>,
    pub(crate) sessions: Sessions<M>,
    pub(crate) modules: Modules<M>,
    pub(crate) retentions: Retentions<M>,
    pub(crate) accounts: Accounts<M>,
    pub(crate) certificates: Certificates<M>,
    pub(crate) room: Room<M>,
}

/// Stable memory has a layout that this code cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLayout {
    /// The version found.
    pub found: u32,
}

impl fmt::Display for UnknownLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found } = self;
        write!(f, "stable memory has layout {found}, but this blob store reads layouts up to {LAYOUT_VERSION}")
    }
}

impl std::error::Error for UnknownLayout {}

impl<M: Memory> State<M> {
    /// Opens the state in the memories given, which are all empty for a new one. Takes over an earlier layout.
    ///
    /// # Errors
    /// [`UnknownLayout`] when the memories were written in another layout; they are left as they are.
    pub fn open(memory: impl Fn(MemoryId) -> M, backing: Backing) -> Result<Self, UnknownLayout> {
        // The version comes first: opening a structure of another layout could misread or damage it.
        let mut header = Header::open(memory(HEADER_MEMORY_ID), LAYOUT_VERSION, pages::FORM);
        let found = header.layout();
        if !(1..=LAYOUT_VERSION).contains(&found) {
            return Err(UnknownLayout { found });
        }
        let mut space =
            Space::open(memory(PAGES_MEMORY_ID), memory(FREE_BY_PLACE_MEMORY_ID), memory(FREE_BY_LENGTH_MEMORY_ID));
        if found == 1 {
            // Chunks keep the blocks that they have; records say so by themselves.
            space.take_over_free_blocks(memory(FREE_BLOCKS_MEMORY_ID));
        }
        let chunks = Chunks::open(memory(CHUNKS_MEMORY_ID), space);
        if found == 1 {
            header.take_over_layout_1(chunks.len() * u64::from(BLOCK_PAGES));
        }
        if found <= 2 {
            header.take_over_layout_2();
        }
        header.expect_form(pages::FORM);
        Ok(Self {
            uploaders: StableBTreeMap::init(memory(UPLOADERS_MEMORY_ID)),
            holders: StableBTreeMap::init(memory(HOLDERS_MEMORY_ID)),
            chunks,
            sessions: Sessions::open(memory(UPLOADS_MEMORY_ID), memory(EXPIRIES_MEMORY_ID)),
            modules: Modules::open(memory(MODULES_MEMORY_ID), memory(METADATA_MEMORY_ID)),
            retentions: Retentions::open(
                memory(RETENTIONS_MEMORY_ID),
                memory(UNRETAINED_MEMORY_ID),
                memory(REFERENCES_MEMORY_ID),
            ),
            accounts: Accounts::open(memory(ACCOUNTS_MEMORY_ID)),
            certificates: Certificates::open(memory(CERTIFICATES_MEMORY_ID)),
            room: Room::new(
                memory(PAGES_MEMORY_ID),
                INDEX_MEMORY_IDS.map(&memory).into(),
                memory(FREE_BLOCKS_MEMORY_ID),
                backing,
            ),
            header,
        })
    }
}

#[cfg(test)]
mod tests;
