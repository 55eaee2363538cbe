//! Whether stable memory has room for what is to be written.
//!
//! Stable memory is handed out in buckets, and grows by a bucket when a structure needs one. That growth must not fail
//! in the middle of a change: the Internet Computer ends the message when cycles are too few for it, and the manager of
//! the buckets ends it when there is no memory left. So every change checks first that there are enough buckets for all
//! that it can write; where there are not, it is refused with the size that stable memory must have, and stable memory
//! is grown to that size in a message of its own (`growth.rs`), which can fail without harm.

use depot_types::{blob_store::StorageFull, limits::CHUNK_BYTES};
use ic_stable_structures::Memory;

/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 64 << 10;
/// Pages before the first bucket: those of the manager.
const MANAGER_PAGES: u64 = 1;
/// Pages that each index must have left: 2 MiB, more than a module's metadata, the largest thing written at once.
const INDEX_PAGES: u64 = 32;

/// The stable memory that buckets are taken from.
pub struct Backing {
    /// Pages of a bucket.
    pub bucket_pages: u64,
    /// Returns the pages that there are.
    pub pages: Box<dyn Fn() -> u64>,
}

/// Knows how much room there is.
pub(crate) struct Room<M: Memory> {
    blocks: M,
    indexes: Vec<M>,
    retired: M,
    backing: Backing,
}

impl<M: Memory> Room<M> {
    /// Makes it for the memory of the chunks, all other memories that are written to, and one that is not any more but
    /// has its buckets.
    pub(crate) fn new(blocks: M, indexes: Vec<M>, retired: M, backing: Backing) -> Self {
        Self { blocks, indexes, retired, backing }
    }

    /// Checks that there is room for so many more blocks of 1 MiB than there are, and for records in each index.
    ///
    /// # Errors
    /// [`StorageFull`] with no reason yet.
    pub(crate) fn check(&self, new_blocks: u64) -> Result<(), StorageFull> {
        let bucket = self.backing.bucket_pages;
        let mut buckets = 0;
        let new_pages = new_blocks * CHUNK_BYTES / PAGE_BYTES;
        for (memory, pages) in
            self.indexes.iter().map(|index| (index, INDEX_PAGES)).chain([(&self.blocks, new_pages), (&self.retired, 0)])
        {
            buckets += (memory.size() + pages).div_ceil(bucket);
        }
        let needed = MANAGER_PAGES + buckets * bucket;
        if needed <= (self.backing.pages)() {
            Ok(())
        } else {
            Err(StorageFull { needed: needed * PAGE_BYTES, reason: String::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use ic_stable_structures::{
        VectorMemory,
        memory_manager::{MemoryId, MemoryManager},
    };

    use super::*;

    const BUCKET_PAGES: u64 = 64;

    #[test]
    fn should_tell_how_much_memory_is_needed() {
        let manager = MemoryManager::init_with_bucket_size(VectorMemory::default(), BUCKET_PAGES as u16);
        let memory = |id| manager.get(MemoryId::new(id));
        let pages = Rc::new(Cell::new(0));
        let known = Rc::clone(&pages);
        let backing = Backing { bucket_pages: BUCKET_PAGES, pages: Box::new(move || known.get()) };
        let room = Room::new(memory(0), vec![memory(1), memory(2)], memory(3), backing);
        // Two indexes need a bucket each; four blocks fill one.
        for (used, new_blocks, buckets) in [(0, 0, 2), (0, 1, 3), (0, 4, 3), (0, 5, 4), (32, 4, 3), (33, 4, 4)] {
            let grown = memory(1).size();
            assert_eq!(memory(1).grow(used - grown), grown as i64);
            let needed = 1 + buckets * BUCKET_PAGES;
            pages.set(needed - 1);
            let full = StorageFull { needed: needed * PAGE_BYTES, reason: String::new() };
            assert_eq!(room.check(new_blocks), Err(full));
            pages.set(needed);
            assert_eq!(room.check(new_blocks), Ok(()));
        }
    }
}
