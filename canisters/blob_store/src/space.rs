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
    ///
    /// # Panics
    /// When there is no free slot and the memory cannot grow: whoever calls makes sure that there is room.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> u32 {
        debug_assert!(bytes.len() as u64 <= CHUNK_BYTES);
        let slot = self.allocate();
        self.slots.write(address(slot), bytes);
        slot
    }

    /// Reads a part of a slot.
    pub(crate) fn load(&self, slot: u32, offset: u64, bytes: &mut [u8]) {
        debug_assert!(offset + bytes.len() as u64 <= CHUNK_BYTES);
        self.slots.read(address(slot) + offset, bytes);
    }

    /// Gives a slot back.
    pub(crate) fn free(&mut self, slot: u32) {
        self.free.push(&slot);
    }

    /// Returns how many slots are free.
    pub(crate) fn free_len(&self) -> u64 {
        self.free.len()
    }

    fn allocate(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = u32::try_from(self.slots.size() / SLOT_PAGES).expect("BUG: there are too many slots");
        assert!(self.slots.grow(SLOT_PAGES) >= 0, "BUG: there is no room for a slot");
        slot
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

fn address(slot: u32) -> u64 {
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
        let mut space = new_space(3);
        let slots: Vec<u32> = (0..3).map(|byte| space.store(&[byte; 5])).collect();
        assert_eq!(slots, [0, 1, 2]);
        space.free(0);
        space.free(1);
        assert_eq!(space.free_len(), 2);
        assert_eq!(space.store(&[7; 2]), 1);
        assert_eq!(space.store(&[8; 2]), 0);
        assert_eq!((space.slot_count(), space.free_len()), (3, 0));
        let mut bytes = [0; 2];
        space.load(1, 0, &mut bytes);
        assert_eq!(bytes, [7, 7]);
        space.load(2, 3, &mut bytes);
        assert_eq!(bytes, [2, 2]);
    }

    #[test]
    #[should_panic(expected = "BUG: there is no room for a slot")]
    fn should_not_hand_out_a_slot_that_there_is_no_room_for() {
        let mut space = new_space(1);
        space.store(&[1]);
        space.store(&[2]);
    }
}
