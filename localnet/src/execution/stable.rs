//! Stable memory: pages shared between copies until one of them writes.
//!
//! Pages of 4 KiB hang in leaves of 512; both are shared by reference count between copies. A page that was never
//! written to takes no space, so a canister may grow to the largest size the network allows at no cost.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

/// Bytes of a Wasm page.
pub(crate) const WASM_PAGE_BYTES: u64 = 64 << 10;
/// Bytes of a page, the unit of sharing and of dirty page accounting.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Pages of a leaf.
pub(crate) const LEAF_PAGES: usize = 512;

/// The content of a page.
pub(crate) type Page = [u8; PAGE_BYTES];

/// 2 MiB of a memory: [`LEAF_PAGES`] pages, of which those never written to take no space.
#[derive(Clone)]
pub(crate) struct Leaf {
    pages: Vec<Option<Arc<Page>>>,
}

impl Leaf {
    fn empty() -> Self {
        Self { pages: vec![None; LEAF_PAGES] }
    }

    /// Makes a leaf of pages with their places in it, which must be below [`LEAF_PAGES`].
    pub(crate) fn from_pages(pages: impl Iterator<Item = (usize, Arc<Page>)>) -> Self {
        let mut leaf = Self::empty();
        for (place, page) in pages {
            leaf.pages[place] = Some(page);
        }
        leaf
    }

    /// Returns the pages that were ever written to, with their places in the leaf, in order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter_map(|(place, page)| page.as_deref().map(|page| (place, page)))
    }
}

/// Stable memory, written by serde as its size and the pages that were ever written to.
pub(super) mod pages {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_bytes::ByteBuf;

    use super::StableMemory;

    #[derive(Serialize, Deserialize)]
    struct Pages {
        wasm_pages: u64,
        pages: Vec<(u64, ByteBuf)>,
    }

    /// Writes the memory.
    pub(in crate::execution) fn serialize<S: Serializer>(
        memory: &StableMemory,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pages = memory.written_pages().map(|(offset, page)| (offset, ByteBuf::from(page.to_vec()))).collect();
        Pages { wasm_pages: memory.wasm_pages(), pages }.serialize(serializer)
    }

    /// Reads the memory.
    pub(in crate::execution) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<StableMemory, D::Error> {
        let Pages { wasm_pages, pages } = Pages::deserialize(deserializer)?;
        let mut memory = StableMemory::zeroed(wasm_pages);
        for (offset, page) in pages {
            if !memory.contains(offset, page.len() as u64) {
                return Err(serde::de::Error::custom("a page of stable memory lies past its end"));
            }
            memory.write(offset, &page);
        }
        Ok(memory)
    }
}

/// A set of pages of a memory.
#[derive(Clone, Debug, Default)]
pub(super) struct PageSet {
    /// A bit for each page of a leaf.
    leaves: BTreeMap<u64, [u64; LEAF_PAGES / 64]>,
    count: u64,
}

impl PageSet {
    /// Adds the pages that a range lies in.
    pub(super) fn insert(&mut self, offset: u64, length: u64) {
        if length == 0 {
            return;
        }
        for page in offset / PAGE_BYTES as u64..=(offset + (length - 1)) / PAGE_BYTES as u64 {
            let (leaf, bit) = (page / LEAF_PAGES as u64, (page % LEAF_PAGES as u64) as usize);
            let word = &mut self.leaves.entry(leaf).or_default()[bit / 64];
            let mask = 1 << (bit % 64);
            self.count += u64::from(*word & mask == 0);
            *word |= mask;
        }
    }

    /// Returns how many pages are in the set.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the bytes of the pages, as few ranges in order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let mut pages = self.leaves.iter().flat_map(|(leaf, words)| {
            let is_in = |bit: &usize| words[bit / 64] >> (bit % 64) & 1 == 1;
            (0..LEAF_PAGES).filter(is_in).map(move |bit| leaf * LEAF_PAGES as u64 + bit as u64)
        });
        let mut next = pages.next();
        std::iter::from_fn(move || {
            let start = next?;
            let mut end = start + 1;
            next = pages.next();
            while next == Some(end) {
                end += 1;
                next = pages.next();
            }
            Some(start * PAGE_BYTES as u64..end * PAGE_BYTES as u64)
        })
    }
}

/// Stable memory. Copies are cheap; a copy does not change when the other is written to.
#[derive(Clone, Default)]
pub(crate) struct StableMemory {
    wasm_pages: u64,
    leaves: Arc<BTreeMap<u64, Arc<Leaf>>>,
}

impl fmt::Debug for StableMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StableMemory").field("wasm_pages", &self.wasm_pages).finish_non_exhaustive()
    }
}

/// The part of an access that falls into one page.
struct Part {
    leaf: u64,
    page: usize,
    /// First byte within the page.
    start: usize,
    /// First byte within the buffer.
    position: usize,
    length: usize,
}

/// Cuts an access at page borders.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = Part> {
    let mut position = 0;
    std::iter::from_fn(move || {
        if position == length {
            return None;
        }
        let address = offset + position as u64;
        let number = address / PAGE_BYTES as u64;
        let start = (address % PAGE_BYTES as u64) as usize;
        let part = Part {
            leaf: number / LEAF_PAGES as u64,
            page: (number % LEAF_PAGES as u64) as usize,
            start,
            position,
            length: (PAGE_BYTES - start).min(length - position),
        };
        position += part.length;
        Some(part)
    })
}

impl StableMemory {
    /// Makes a memory that holds the bytes, rounded up to whole Wasm pages.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut memory = Self { wasm_pages: (bytes.len() as u64).div_ceil(WASM_PAGE_BYTES), leaves: Arc::default() };
        for (number, chunk) in bytes.chunks(PAGE_BYTES).enumerate() {
            if chunk.iter().any(|byte| *byte != 0) {
                memory.write((number * PAGE_BYTES) as u64, chunk);
            }
        }
        memory
    }

    /// Makes a memory of zeros.
    pub(crate) fn zeroed(wasm_pages: u64) -> Self {
        Self { wasm_pages, leaves: Arc::default() }
    }

    /// Puts a memory together from its leaves, by their numbers. Answers `None` when a page lies past the end.
    pub(crate) fn from_leaves(wasm_pages: u64, leaves: BTreeMap<u64, Arc<Leaf>>) -> Option<Self> {
        let memory = Self { wasm_pages, leaves: Arc::new(leaves) };
        let last = memory.leaves.last_key_value().map_or(0, |(number, _)| *number);
        // No memory is so large that the offsets of its pages overflow.
        if last > u64::MAX / (2 * (LEAF_PAGES * PAGE_BYTES) as u64) {
            return None;
        }
        let fits = memory.written_pages().all(|(offset, _)| memory.contains(offset, PAGE_BYTES as u64));
        fits.then_some(memory)
    }

    /// Returns the leaves by their numbers, in order. A leaf that is written to is another one from then on as long as
    /// anybody holds it, also by a `Weak`.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u64, &Arc<Leaf>)> {
        self.leaves.iter().map(|(number, leaf)| (*number, leaf))
    }

    /// Returns all bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes() as usize];
        for (offset, page) in self.written_pages() {
            bytes[offset as usize..][..PAGE_BYTES].copy_from_slice(page);
        }
        bytes
    }

    /// Returns the size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.wasm_pages * WASM_PAGE_BYTES
    }

    /// Returns the size in Wasm pages (64 KiB).
    pub(crate) fn wasm_pages(&self) -> u64 {
        self.wasm_pages
    }

    /// Adds Wasm pages of zeros. The caller has checked every limit.
    pub(super) fn grow(&mut self, wasm_pages: u64) {
        self.wasm_pages += wasm_pages;
    }

    /// Returns true when the range lies within the memory.
    pub(super) fn contains(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.bytes())
    }

    /// Reads a range that lies within the memory.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) {
        for part in parts(offset, buffer.len()) {
            let target = &mut buffer[part.position..][..part.length];
            match self.leaves.get(&part.leaf).and_then(|leaf| leaf.pages[part.page].as_ref()) {
                Some(page) => target.copy_from_slice(&page[part.start..][..part.length]),
                None => target.fill(0),
            }
        }
    }

    /// Writes a range that lies within the memory.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let leaves = Arc::make_mut(&mut self.leaves);
        for part in parts(offset, bytes.len()) {
            let source = &bytes[part.position..][..part.length];
            let leaf = Arc::make_mut(leaves.entry(part.leaf).or_insert_with(|| Arc::new(Leaf::empty())));
            let slot = &mut leaf.pages[part.page];
            match slot {
                Some(page) => Arc::make_mut(page)[part.start..][..part.length].copy_from_slice(source),
                None => {
                    let mut page = [0; PAGE_BYTES];
                    page[part.start..][..part.length].copy_from_slice(source);
                    *slot = Some(Arc::new(page));
                }
            }
        }
    }

    /// Counts the pages that a write would change for the first time since the memory was last copied.
    pub(super) fn newly_dirtied_by(&self, offset: u64, length: usize) -> u64 {
        let map_is_shared = Arc::strong_count(&self.leaves) > 1;
        let is_clean = |part: &Part| match self.leaves.get(&part.leaf) {
            Some(leaf) if map_is_shared || Arc::strong_count(leaf) > 1 => true,
            Some(leaf) => leaf.pages[part.page].as_ref().is_none_or(|page| Arc::strong_count(page) > 1),
            None => true,
        };
        parts(offset, length).filter(is_clean).count() as u64
    }

    /// Returns the pages that were ever written to, with their offsets, in order.
    pub(super) fn written_pages(&self) -> impl Iterator<Item = (u64, &Page)> {
        self.leaves.iter().flat_map(|(number, leaf)| {
            let first = number * LEAF_PAGES as u64;
            leaf.pages().map(move |(place, page)| ((first + place as u64) * PAGE_BYTES as u64, page))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_back_what_was_written_across_pages_and_leaves() {
        let mut memory = StableMemory::zeroed(64);
        let offset = (LEAF_PAGES * PAGE_BYTES) as u64 - 10;
        let bytes: Vec<u8> = (0..10_000_u32).map(|number| number as u8 | 1).collect();
        memory.write(offset, &bytes);
        let mut read = vec![0; 10_002];
        memory.read(offset - 1, &mut read);
        assert_eq!(read[0], 0);
        assert_eq!(&read[1..10_001], &bytes[..]);
        assert_eq!(read[10_001], 0);
    }

    #[test]
    fn should_not_change_a_copy() {
        let mut memory = StableMemory::from_bytes(&[7; 5000]);
        let copy = memory.clone();
        memory.write(4990, &[1; 20]);
        memory.grow(3);
        assert_eq!(copy.wasm_pages(), 1);
        assert_eq!(copy.to_bytes()[4990..5010], [[7; 10], [0; 10]].concat());
        assert_eq!(memory.to_bytes()[4990..5010], [1; 20]);
    }

    #[test]
    fn should_round_up_to_whole_wasm_pages() {
        assert_eq!(StableMemory::from_bytes(&[]).bytes(), 0);
        assert_eq!(StableMemory::from_bytes(&[1]).bytes(), WASM_PAGE_BYTES);
        assert_eq!(StableMemory::from_bytes(&vec![1; 65_537]).wasm_pages(), 2);
    }

    #[test]
    fn should_count_each_dirtied_page_once_after_a_copy() {
        let mut memory = StableMemory::from_bytes(&vec![1; 8 * PAGE_BYTES]);
        let base = memory.clone();
        assert_eq!(memory.newly_dirtied_by(4000, 200), 2);
        memory.write(4000, &[2; 200]);
        assert_eq!(memory.newly_dirtied_by(4000, 200), 0);
        assert_eq!(memory.newly_dirtied_by(0, 3 * PAGE_BYTES), 1);
        drop(base);
        let _base = memory.clone();
        assert_eq!(memory.newly_dirtied_by(4000, 200), 2);
    }

    #[test]
    fn should_put_leaves_together_unless_a_page_lies_past_the_end() {
        let mut memory = StableMemory::zeroed(40);
        memory.write(3000, &[1; 3000]);
        memory.write(40 * WASM_PAGE_BYTES - 1, &[2]);
        let leaves = || memory.leaves().map(|(number, leaf)| (number, Arc::clone(leaf))).collect::<BTreeMap<_, _>>();
        assert_eq!(leaves().len(), 2);
        assert_eq!(StableMemory::from_leaves(40, leaves()).unwrap().to_bytes(), memory.to_bytes());
        assert!(StableMemory::from_leaves(39, leaves()).is_none());
        let far = BTreeMap::from([(u64::MAX, Arc::new(Leaf::empty()))]);
        assert!(StableMemory::from_leaves(u64::MAX, far).is_none());
    }

    #[test]
    fn should_make_a_leaf_another_one_by_writing_to_it_while_anybody_looks() {
        let mut memory = StableMemory::from_bytes(&[1; 10]);
        let leaf = |memory: &StableMemory| Arc::downgrade(memory.leaves().next().unwrap().1);
        let before = leaf(&memory);
        assert!(before.ptr_eq(&leaf(&memory)));
        memory.write(0, &[2]);
        assert!(!before.ptr_eq(&leaf(&memory)));
        assert_eq!(before.strong_count(), 0, "the pages were moved, not copied");
    }

    #[test]
    fn should_count_each_page_of_a_set_once_and_answer_ranges() {
        let mut pages = PageSet::default();
        pages.insert(4000, 200);
        assert_eq!(pages.count(), 2);
        pages.insert(0, 1);
        pages.insert(8191, 1);
        pages.insert(500, 0);
        assert_eq!(pages.count(), 2);
        pages.insert((LEAF_PAGES * PAGE_BYTES) as u64 - 1, 2);
        assert_eq!(pages.count(), 4);
        let border = (LEAF_PAGES * PAGE_BYTES) as u64;
        assert_eq!(pages.ranges().collect::<Vec<_>>(), [0..8192, border - 4096..border + 4096]);
        assert_eq!(PageSet::default().ranges().count(), 0);
    }

    #[test]
    fn should_hold_bytes_far_apart_without_taking_space_between() {
        let mut memory = StableMemory::zeroed((500 << 30) / WASM_PAGE_BYTES);
        memory.write((500 << 30) - 1, &[9]);
        assert_eq!(memory.written_pages().count(), 1);
        let mut last = [0];
        memory.read((500 << 30) - 1, &mut last);
        assert_eq!(last, [9]);
    }
}
