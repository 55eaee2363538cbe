//! The state of the blob store, in stable structures only: nothing has to be saved before an upgrade.

use std::fmt;

use candid::Principal;
use ic_stable_structures::{Memory, StableBTreeMap, StableCell, memory_manager::MemoryId};

use crate::{
    chunks::Chunks,
    memory::{
        CHUNKS_MEMORY_ID, EXPIRIES_MEMORY_ID, FREE_SLOTS_MEMORY_ID, HEADER_MEMORY_ID, METADATA_MEMORY_ID,
        MODULES_MEMORY_ID, SLOTS_MEMORY_ID, UPLOADERS_MEMORY_ID, UPLOADS_MEMORY_ID,
    },
    modules::Modules,
    sessions::Sessions,
    space::Space,
    storable::StoredHeader,
};

/// The layout of stable memory that this code writes.
///
/// 1. The first one.
pub const LAYOUT_VERSION: u32 = 1;

/// All that the blob store keeps.
pub struct State<M: Memory> {
    pub(crate) uploaders: StableBTreeMap<Principal, (), M>,
    pub(crate) chunks: Chunks<M>,
    pub(crate) sessions: Sessions<M>,
    pub(crate) modules: Modules<M>,
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
        write!(f, "stable memory has layout {found}, but this blob store reads layout {LAYOUT_VERSION} only")
    }
}

impl std::error::Error for UnknownLayout {}

impl<M: Memory> State<M> {
    /// Opens the state in the memories given, which are all empty for a new one.
    ///
    /// # Errors
    /// [`UnknownLayout`] when the memories were written in another layout; they are left as they are.
    pub fn open(memory: impl Fn(MemoryId) -> M) -> Result<Self, UnknownLayout> {
        // The version comes first: opening a structure of another layout could misread or damage it.
        let new_header = StoredHeader { layout: LAYOUT_VERSION, chunk_bytes: 0 };
        let header = StableCell::init(memory(HEADER_MEMORY_ID), new_header);
        let found = header.get().layout;
        if found != LAYOUT_VERSION {
            return Err(UnknownLayout { found });
        }
        let space = Space::open(memory(SLOTS_MEMORY_ID), memory(FREE_SLOTS_MEMORY_ID));
        Ok(Self {
            uploaders: StableBTreeMap::init(memory(UPLOADERS_MEMORY_ID)),
            chunks: Chunks::open(memory(CHUNKS_MEMORY_ID), space, header),
            sessions: Sessions::open(memory(UPLOADS_MEMORY_ID), memory(EXPIRIES_MEMORY_ID)),
            modules: Modules::open(memory(MODULES_MEMORY_ID), memory(METADATA_MEMORY_ID)),
        })
    }
}

#[cfg(test)]
mod tests {
    use ic_stable_structures::{VectorMemory, memory_manager::MemoryManager};

    use super::*;

    #[test]
    fn should_refuse_another_layout_and_leave_it_alone() {
        let manager = MemoryManager::init(VectorMemory::default());
        StableCell::init(manager.get(HEADER_MEMORY_ID), StoredHeader { layout: 2, chunk_bytes: 0 });
        let refused = State::open(|id| manager.get(id)).err();
        assert_eq!(refused, Some(UnknownLayout { found: 2 }));
        assert_eq!(manager.get(CHUNKS_MEMORY_ID).size(), 0);
    }
}
