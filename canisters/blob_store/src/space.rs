//! Slots of 1 MiB in one large memory, and which of them are free.
//!
//! A slot is at its number times 1 MiB. Slots come into being one by one at the end of the memory; those given back are
//! used again, the last one first. Bytes are written and read as they are: nothing is cleared, a slot's owner knows how
//! much of it is its own.

use depot_types::limits::CHUNK_BYTES;
use ic_stable_structures::{Memory, StableVec};

/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 64 << 10;
/// Pages of a slot.
const SLOT_PAGES: u64 = CHUNK_BYTES / PAGE_BYTES;

/// Stable memory cannot grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpaceFull {
    /// Bytes that slots would need.
    pub(crate) needed: u64,
}

/// Slots and which of them are free.
pub(crate) struct Space<M: Memory> {
    slots: M,
    free: StableVec<u32, M>,
}

impl<M: Memory> Space<M> {
    pub(crate) fn open(slots: M, free: M) -> Self {
        Self { slots, free: StableVec::init(free) }
    }

    /// Writes bytes, a slot's worth at the most, to a slot that was free, and returns its number.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Result<u32, SpaceFull> {
        debug_assert!(bytes.len() as u64 <= CHUNK_BYTES);
        let slot = self.allocate()?;
        self.slots.write(offset(slot), bytes);
        Ok(slot)
    }

    /// Reads the beginning of a slot.
    pub(crate) fn load(&self, slot: u32, bytes: &mut [u8]) {
        debug_assert!(bytes.len() as u64 <= CHUNK_BYTES);
        self.slots.read(offset(slot), bytes);
    }

    /// Gives a slot back.
    pub(crate) fn free(&mut self, slot: u32) {
        self.free.push(&slot);
    }

    fn allocate(&mut self) -> Result<u32, SpaceFull> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        let slot = self.slots.size() / SLOT_PAGES;
        let full = SpaceFull { needed: (slot + 1) * CHUNK_BYTES };
        let number = u32::try_from(slot).map_err(|_| full)?;
        if self.slots.grow(SLOT_PAGES) < 0 { Err(full) } else { Ok(number) }
    }

    /// Returns how many slots there are, used and free.
    #[cfg(test)]
    pub(crate) fn slot_count(&self) -> u64 {
        self.slots.size() / SLOT_PAGES
    }

    /// Returns the free slots.
    #[cfg(test)]
    pub(crate) fn free_slots(&self) -> Vec<u32> {
        self.free.iter().collect()
    }
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * CHUNK_BYTES
}

#[cfg(test)]
mod tests {
    use ic_stable_structures::{RestrictedMemory, VectorMemory};

    use super::*;

    /// A space whose memory can grow to so many slots.
    fn new_space(max_slots: u64) -> Space<RestrictedMemory<VectorMemory>> {
        let memory = |pages| RestrictedMemory::new(VectorMemory::default(), 0..pages);
        Space::open(memory(max_slots * SLOT_PAGES), memory(16))
    }

    #[test]
    fn should_use_freed_slots_before_new_ones() {
        let mut space = new_space(8);
        let slots: Vec<u32> = (0..3).map(|byte| space.store(&[byte; 5]).unwrap()).collect();
        assert_eq!(slots, [0, 1, 2]);
        space.free(0);
        space.free(1);
        assert_eq!(space.store(&[7; 2]), Ok(1));
        assert_eq!(space.store(&[8; 2]), Ok(0));
        assert_eq!(space.slot_count(), 3);
        let mut bytes = [0; 2];
        space.load(1, &mut bytes);
        assert_eq!(bytes, [7, 7]);
        space.load(2, &mut bytes);
        assert_eq!(bytes, [2, 2]);
    }

    #[test]
    fn should_refuse_when_memory_cannot_grow() {
        let mut space = new_space(1);
        let full = vec![1; CHUNK_BYTES as usize];
        assert_eq!(space.store(&full), Ok(0));
        assert_eq!(space.store(&[2]), Err(SpaceFull { needed: 2 * CHUNK_BYTES }));
        assert_eq!(space.slot_count(), 1);
        space.free(0);
        assert_eq!(space.store(&[3]), Ok(0));
    }
}
