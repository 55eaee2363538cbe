//! The bytes of a leaf of memory in a pack: a bit for each page that is not zero, then those pages in order.

use std::sync::Arc;

use crate::execution::{LEAF_PAGES, Leaf, PAGE_BYTES};

/// Bytes of the map of pages.
const MAP_BYTES: usize = LEAF_PAGES / 8;

/// Writes a leaf.
pub(super) fn encode(leaf: &Leaf) -> Vec<u8> {
    let mut bytes = vec![0; MAP_BYTES];
    for (place, page) in leaf.pages() {
        if page.iter().any(|byte| *byte != 0) {
            bytes[place / 8] |= 1 << (place % 8);
            bytes.extend_from_slice(page);
        }
    }
    bytes
}

/// Reads a leaf; `None` when the bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Leaf> {
    let (map, pages) = bytes.split_at_checked(MAP_BYTES)?;
    let places: Vec<usize> = (0..LEAF_PAGES).filter(|place| map[place / 8] >> (place % 8) & 1 == 1).collect();
    let (pages, rest) = pages.as_chunks::<PAGE_BYTES>();
    if !rest.is_empty() || pages.len() != places.len() {
        return None;
    }
    Some(Leaf::from_pages(places.into_iter().zip(pages.iter().copied().map(Arc::new))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_back_what_was_written_without_pages_of_zeros() {
        let page = |byte: u8| Arc::new([byte; PAGE_BYTES]);
        let leaf = Leaf::from_pages([(0, page(1)), (7, page(0)), (8, page(2)), (LEAF_PAGES - 1, page(3))].into_iter());
        let bytes = encode(&leaf);
        assert_eq!(bytes.len(), MAP_BYTES + 3 * PAGE_BYTES);
        let read = decode(&bytes).unwrap();
        let pages: Vec<_> = read.pages().map(|(place, page)| (place, page[PAGE_BYTES - 1])).collect();
        assert_eq!(pages, [(0, 1), (8, 2), (LEAF_PAGES - 1, 3)]);
    }

    #[test]
    fn should_refuse_bytes_that_do_not_fit_their_map() {
        let bytes = encode(&Leaf::from_pages([(3, Arc::new([1; PAGE_BYTES]))].into_iter()));
        assert!(decode(&bytes).is_some());
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
        assert!(decode(&bytes[..MAP_BYTES]).is_none());
        assert!(decode(&bytes[..MAP_BYTES - 1]).is_none());
        assert!(decode(&[bytes.as_slice(), &[0; PAGE_BYTES]].concat()).is_none());
    }
}
