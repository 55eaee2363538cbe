//! The committed content of a heap by leaves of 2 MiB, for whoever saves heaps without copying all of them each time.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::stable::{LEAF_PAGES, Leaf, PAGE_BYTES, Page};

/// Bits of a word of a page map.
const WORD_BITS: usize = u64::BITS as usize;
/// Words of the page map of a leaf.
const WORDS: usize = LEAF_PAGES / WORD_BITS;

/// A leaf of a heap as it was at one time: its content until it is saved, from then on the number it is saved under.
#[derive(Debug)]
pub(crate) struct HeapLeaf(Mutex<LeafContent>);

/// What is known of a leaf.
#[derive(Clone)]
pub(crate) enum LeafContent {
    /// It is yet to be saved.
    Unsaved(Arc<Leaf>),
    /// It is saved under this number.
    Saved(u64),
}

impl std::fmt::Debug for LeafContent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsaved(_) => formatter.write_str("Unsaved"),
            Self::Saved(number) => write!(formatter, "Saved({number})"),
        }
    }
}

impl HeapLeaf {
    fn new(content: LeafContent) -> Arc<Self> {
        Arc::new(Self(Mutex::new(content)))
    }

    /// Returns the content, or the number it is saved under.
    pub(crate) fn content(&self) -> LeafContent {
        self.lock().clone()
    }

    /// Forgets the content, since it is saved under this number.
    pub(crate) fn mark_saved(&self, number: u64) {
        *self.lock() = LeafContent::Saved(number);
    }

    fn lock(&self) -> MutexGuard<'_, LeafContent> {
        // Nothing that holds the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which pages of a heap were ever committed, and the leaves that did not change since they were last asked for.
#[derive(Debug, Default)]
pub(super) struct HeapLeaves {
    /// A bit for each page of a leaf, by the number of the leaf.
    committed: BTreeMap<u64, [u64; WORDS]>,
    unchanged: BTreeMap<u64, Arc<HeapLeaf>>,
}

impl HeapLeaves {
    /// Takes note that a range of bytes was committed.
    pub(super) fn note(&mut self, range: &Range<usize>) {
        for page in range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) {
            let (leaf, place) = ((page / LEAF_PAGES) as u64, page % LEAF_PAGES);
            self.committed.entry(leaf).or_default()[place / WORD_BITS] |= 1 << (place % WORD_BITS);
            self.unchanged.remove(&leaf);
        }
    }

    /// Returns the offsets of all pages that were ever committed, in order.
    pub(super) fn committed(&self) -> impl Iterator<Item = usize> {
        self.committed.iter().flat_map(|(leaf, words)| {
            let is_in = |place: &usize| words[place / WORD_BITS] >> (place % WORD_BITS) & 1 == 1;
            (0..LEAF_PAGES).filter(is_in).map(move |place| (*leaf as usize * LEAF_PAGES + place) * PAGE_BYTES)
        })
    }

    /// Returns all leaves by their numbers. `read` copies the page at an offset; it is asked for changed leaves only.
    pub(super) fn current(&mut self, read: impl Fn(usize) -> Arc<Page>) -> BTreeMap<u64, Arc<HeapLeaf>> {
        for (number, pages) in &self.committed {
            self.unchanged.entry(*number).or_insert_with(|| {
                let places = (0..LEAF_PAGES).filter(|place| pages[place / WORD_BITS] >> (place % WORD_BITS) & 1 == 1);
                let pages = places.map(|place| (place, read((*number as usize * LEAF_PAGES + place) * PAGE_BYTES)));
                HeapLeaf::new(LeafContent::Unsaved(Arc::new(Leaf::from_pages(pages))))
            });
        }
        self.unchanged.clone()
    }

    /// Takes note that leaves with the present content are saved, under these numbers.
    pub(super) fn mark_saved(&mut self, saved: BTreeMap<u64, u64>) {
        self.unchanged =
            saved.into_iter().map(|(leaf, number)| (leaf, HeapLeaf::new(LeafContent::Saved(number)))).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the places of the pages of a leaf that is not saved.
    fn places(leaf: &HeapLeaf) -> Vec<usize> {
        match leaf.content() {
            LeafContent::Unsaved(leaf) => leaf.pages().map(|(place, _)| place).collect(),
            LeafContent::Saved(number) => panic!("the leaf is saved as {number}"),
        }
    }

    fn read(offset: usize) -> Arc<Page> {
        Arc::new([(offset / PAGE_BYTES) as u8; PAGE_BYTES])
    }

    #[test]
    fn should_copy_committed_pages_and_no_others() {
        let mut leaves = HeapLeaves::default();
        leaves.note(&(3 * PAGE_BYTES..5 * PAGE_BYTES));
        leaves.note(&((2 * LEAF_PAGES - 1) * PAGE_BYTES..(2 * LEAF_PAGES + 1) * PAGE_BYTES));
        let current = leaves.current(read);
        let all: Vec<_> = current.iter().map(|(number, leaf)| (*number, places(leaf))).collect();
        assert_eq!(all, [(0, vec![3, 4]), (1, vec![LEAF_PAGES - 1]), (2, vec![0])]);
        let LeafContent::Unsaved(leaf) = current[&0].content() else { panic!() };
        assert_eq!(leaf.pages().next().unwrap().1[0], 3);
    }

    #[test]
    fn should_copy_a_leaf_again_only_when_it_changed() {
        let mut leaves = HeapLeaves::default();
        leaves.note(&(0..PAGE_BYTES));
        leaves.note(&(LEAF_PAGES * PAGE_BYTES..(LEAF_PAGES + 1) * PAGE_BYTES));
        let first = leaves.current(read);
        first[&0].mark_saved(7);
        leaves.note(&(LEAF_PAGES * PAGE_BYTES..(LEAF_PAGES + 2) * PAGE_BYTES));
        let second = leaves.current(|offset| {
            assert!(offset >= LEAF_PAGES * PAGE_BYTES, "leaf 0 did not change");
            read(offset)
        });
        assert!(matches!(second[&0].content(), LeafContent::Saved(7)));
        assert_eq!((places(&first[&1]), places(&second[&1])), (vec![0], vec![0, 1]));
    }

    #[test]
    fn should_not_copy_what_is_known_to_be_saved() {
        let mut leaves = HeapLeaves::default();
        leaves.note(&(0..PAGE_BYTES));
        leaves.mark_saved(BTreeMap::from([(0, 5)]));
        let current = leaves.current(|_| panic!("nothing changed"));
        assert!(matches!(current[&0].content(), LeafContent::Saved(5)));
        leaves.note(&(0..PAGE_BYTES));
        assert_eq!(places(&leaves.current(read)[&0]), [0]);
    }
}
