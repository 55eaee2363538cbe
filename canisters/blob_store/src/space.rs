//! Pages of 64 KiB in one large memory, and which of them are free.
//!
//! The memory is made of blocks of 16 pages: 1 MiB, the largest chunk. A chunk has as many pages of a block as it needs,
//! one after the other, so less than a page is lost for each. What is free is known as *extents*, pages of a block that
//! are free one after the other: by their place, so that those next to each other become one, and by their length, so
//! that the shortest that is long enough is taken. Blocks come into being one by one at the end of the memory. Bytes are
//! written and read as they are: nothing is cleared, a chunk knows how much of its pages is its own.

use depot_types::limits::CHUNK_BYTES;
use ic_stable_structures::{Memory, StableBTreeMap, StableVec};

/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 64 << 10;
/// Pages of a block.
pub(crate) const BLOCK_PAGES: u32 = (CHUNK_BYTES / PAGE_BYTES) as u32;

/// Where bytes lie in the memory of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    address: u64,
    length: u64,
}

impl Place {
    /// So many bytes from the beginning of a page on.
    pub(crate) fn new(page: u32, length: u64) -> Self {
        Self { address: address(page), length }
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// A part of it.
    ///
    /// # Panics
    /// When there is no such part.
    pub(crate) fn part(self, offset: u64, length: u64) -> Self {
        assert!(offset + length <= self.length, "BUG: a place has no such part");
        Self { address: self.address + offset, length }
    }

    /// Takes so many bytes from its front, or what there is; `None` when nothing is left.
    pub(crate) fn split_front(&mut self, max: u64) -> Option<Self> {
        let length = self.length.min(max);
        let front = self.part(0, length);
        *self = self.part(length, self.length - length);
        (length > 0).then_some(front)
    }
}

/// Pages and which of them are free.
pub(crate) struct Space<M: Memory> {
    pages: M,
    /// Free extents: first page → length.
    by_place: StableBTreeMap<u32, u8, M>,
    /// Free extents by length and first page.
    by_length: StableBTreeMap<(u8, u32), (), M>,
}

/// Returns how many pages so many bytes need.
pub(crate) fn pages_of(bytes: u64) -> u32 {
    debug_assert!(bytes <= CHUNK_BYTES);
    bytes.div_ceil(PAGE_BYTES) as u32
}

impl<M: Memory> Space<M> {
    pub(crate) fn open(pages: M, by_place: M, by_length: M) -> Self {
        Self { pages, by_place: StableBTreeMap::init(by_place), by_length: StableBTreeMap::init(by_length) }
    }

    /// Takes over the free blocks of layout 1.
    pub(crate) fn take_over_free_blocks(&mut self, free: M) {
        let free: StableVec<u32, M> = StableVec::init(free);
        while let Some(block) = free.pop() {
            self.insert(block * BLOCK_PAGES, BLOCK_PAGES);
        }
    }

    /// Returns how many pages there are, used and free.
    pub(crate) fn len(&self) -> u64 {
        self.pages.size()
    }

    /// Returns how many blocks must be made for chunks of these numbers of pages, of which at most one is smaller than a
    /// block.
    pub(crate) fn new_blocks_for(&self, chunks: impl Iterator<Item = u32>) -> u64 {
        let (mut whole, mut part) = (0, None);
        for pages in chunks {
            if pages == BLOCK_PAGES { whole += 1 } else { part = Some(pages as u8) }
        }
        let first = |length: u8| (length, 0)..=(BLOCK_PAGES as u8, u32::MAX);
        let free = self.by_length.keys_range(first(BLOCK_PAGES as u8)).take(whole + 1).count();
        let is_part_free = |pages: u8| {
            let shortest = self.by_length.keys_range(first(pages)).next();
            shortest.is_some_and(|(length, _)| u32::from(length) < BLOCK_PAGES || free > whole)
        };
        let part = part.is_some_and(|pages| !is_part_free(pages));
        (whole - free.min(whole)) as u64 + u64::from(part)
    }

    /// Writes bytes, a block's worth at the most, to pages that were free, and returns the first one.
    ///
    /// # Panics
    /// When there are not enough free pages and the memory cannot grow: whoever calls makes sure that there is room.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> u32 {
        let page = self.allocate(pages_of(bytes.len() as u64));
        self.pages.write(address(page), bytes);
        page
    }

    /// Reads what lies in a place, all of it.
    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) {
        assert_eq!(place.length, bytes.len() as u64, "BUG: a place has another length");
        self.pages.read(place.address, bytes);
    }

    /// Gives pages back.
    pub(crate) fn free(&mut self, mut page: u32, mut count: u32) {
        let block = page / BLOCK_PAGES;
        if let Some(before) = self.by_place.range(block * BLOCK_PAGES..page).next_back() {
            let (first, length) = (*before.key(), u32::from(before.value()));
            drop(before);
            if first + length == page {
                self.remove(first, length);
                (page, count) = (first, count + length);
            }
        }
        let behind = page + count;
        if behind / BLOCK_PAGES == block
            && let Some(length) = self.by_place.get(&behind)
        {
            self.remove(behind, u32::from(length));
            count += u32::from(length);
        }
        self.insert(page, count);
    }

    fn allocate(&mut self, count: u32) -> u32 {
        let shortest = self.by_length.keys_range((count as u8, 0)..).next();
        let (page, length) = match shortest {
            Some((length, page)) => {
                self.remove(page, u32::from(length));
                (page, u32::from(length))
            }
            None => {
                let page = u32::try_from(self.pages.size()).expect("BUG: there are too many pages");
                assert!(self.pages.grow(BLOCK_PAGES.into()) >= 0, "BUG: there is no room for a block");
                (page, BLOCK_PAGES)
            }
        };
        if length > count {
            self.insert(page + count, length - count);
        }
        page
    }

    fn insert(&mut self, page: u32, length: u32) {
        self.by_place.insert(page, length as u8);
        self.by_length.insert((length as u8, page), ());
    }

    fn remove(&mut self, page: u32, length: u32) {
        self.by_place.remove(&page);
        self.by_length.remove(&(length as u8, page));
    }

    /// Returns the free extents, first page and length, after a check that both maps have the same, none next to another
    /// one of its block.
    #[cfg(test)]
    pub(crate) fn free_extents(&self) -> Vec<(u32, u32)> {
        let extents: Vec<_> = self.by_place.iter().map(|entry| (*entry.key(), u32::from(entry.value()))).collect();
        let mut by_length: Vec<_> = self.by_length.keys().map(|(length, page)| (page, u32::from(length))).collect();
        by_length.sort_unstable();
        assert_eq!(by_length, extents);
        for pair in extents.windows(2) {
            let [(first, length), (next, _)] = *pair else { unreachable!() };
            assert!(first + length <= next);
            assert!(first + length < next || next % BLOCK_PAGES == 0, "two extents of a block are not one");
        }
        assert!(extents.iter().all(|(page, length)| page / BLOCK_PAGES == (page + length - 1) / BLOCK_PAGES));
        extents
    }
}

fn address(page: u32) -> u64 {
    u64::from(page) * PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use ic_stable_structures::{RestrictedMemory, VectorMemory};

    use super::*;

    /// A space whose memory can grow to so many blocks.
    fn new_space(max_blocks: u64) -> Space<RestrictedMemory<VectorMemory>> {
        let memory = |pages| RestrictedMemory::new(VectorMemory::default(), 0..pages);
        Space::open(memory(max_blocks * u64::from(BLOCK_PAGES)), memory(16), memory(16))
    }

    fn bytes(pages: usize, byte: u8) -> Vec<u8> {
        // The last page is used in part.
        vec![byte; pages * PAGE_BYTES as usize - 5]
    }

    #[test]
    fn should_lose_less_than_a_page_for_each_chunk() {
        let mut space = new_space(2);
        let stored: Vec<u32> = [4, 8, 4, 16].map(|pages| space.store(&bytes(pages, pages as u8))).to_vec();
        assert_eq!(stored, [0, 4, 12, 16]);
        assert_eq!((space.len(), space.free_extents()), (32, Vec::new()));
        for (page, pages) in stored.into_iter().zip([4, 8, 4, 16]) {
            let mut read = vec![0; 9];
            space.read(Place::new(page, pages * PAGE_BYTES).part(pages * PAGE_BYTES - 14, 9), &mut read);
            assert_eq!(read, [pages as u8; 9]);
        }
    }

    #[test]
    fn should_use_freed_pages_before_new_ones_and_the_shortest_that_fit() {
        let mut space = new_space(2);
        for pages in [4, 8, 4, 10, 6] {
            space.store(&bytes(pages, 1));
        }
        space.free(4, 8);
        space.free(26, 6);
        assert_eq!(space.free_extents(), [(4, 8), (26, 6)]);
        assert_eq!(space.store(&bytes(5, 2)), 26);
        assert_eq!(space.store(&bytes(8, 2)), 4);
        assert_eq!(space.free_extents(), [(31, 1)]);
        assert_eq!(space.store(&bytes(1, 3)), 31);
        assert_eq!(space.len(), 32);
    }

    #[test]
    fn should_join_what_is_free_in_a_block() {
        let mut space = new_space(2);
        for pages in [4, 4, 4, 4, 16] {
            space.store(&bytes(pages, 1));
        }
        space.free(4, 4);
        space.free(12, 4);
        space.free(16, 16);
        assert_eq!(space.free_extents(), [(4, 4), (12, 4), (16, 16)]);
        space.free(8, 4);
        assert_eq!(space.free_extents(), [(4, 12), (16, 16)]);
        space.free(0, 4);
        assert_eq!(space.free_extents(), [(0, 16), (16, 16)]);
    }

    #[test]
    fn should_know_how_many_blocks_chunks_need() {
        let mut space = new_space(4);
        let need = |space: &Space<_>, chunks: &[u32]| space.new_blocks_for(chunks.iter().copied());
        assert_eq!(need(&space, &[16, 16, 3]), 3);
        for pages in [16, 16, 10] {
            space.store(&bytes(pages, 1));
        }
        assert_eq!((need(&space, &[6]), need(&space, &[7]), need(&space, &[16, 6])), (0, 1, 1));
        space.free(0, 16);
        assert_eq!((need(&space, &[16]), need(&space, &[16, 7]), need(&space, &[7])), (0, 1, 0));
        assert_eq!((need(&space, &[16, 16, 6]), need(&space, &[])), (1, 0));
    }

    #[test]
    #[should_panic(expected = "BUG: there is no room for a block")]
    fn should_not_hand_out_pages_that_there_is_no_room_for() {
        let mut space = new_space(1);
        space.store(&bytes(9, 1));
        space.store(&bytes(8, 2));
    }
}
