//! The record of a chunk.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use super::number_at;
use crate::space::{BLOCK_PAGES, pages_of};

/// Where a chunk is and what refers to it.
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | number of its first page of 64 KiB |
/// | 4..8 | its size in bytes; the highest bit is set |
/// | 8..12 | places in open uploads that refer to it |
/// | 12..20 | places in sealed modules that refer to it |
///
/// Layout 1 did not set the highest bit of the size, and had the number of a block of 16 pages in the place of the page;
/// the whole block was the chunk's. Such records are read as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredChunk {
    pub(crate) page: u32,
    /// Pages that it has.
    pub(crate) pages: u32,
    pub(crate) size: u32,
    pub(crate) uploads: u32,
    pub(crate) modules: u64,
}

impl StoredChunk {
    const BYTES: usize = 20;

    /// Makes the record of a chunk that an upload refers to.
    pub(crate) fn new(page: u32, size: u32) -> Self {
        Self { page, pages: pages_of(size.into()), size, uploads: 1, modules: 0 }
    }

    /// Returns true when the chunk has the whole block that it had in layout 1, though it needs less.
    fn is_of_layout_1(&self) -> bool {
        self.pages != pages_of(self.size.into())
    }
}

/// Marks records of layout 2 in the size.
const LAYOUT_2: u32 = 1 << 31;

impl Storable for StoredChunk {
    const BOUND: Bound = Bound::Bounded { max_size: Self::BYTES as u32, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        let place = if self.is_of_layout_1() {
            [self.page / BLOCK_PAGES, self.size]
        } else {
            [self.page, self.size | LAYOUT_2]
        };
        for number in [place[0], place[1], self.uploads] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.modules.to_le_bytes());
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let (place, size) = (number_at!(u32, &bytes, 0), number_at!(u32, &bytes, 4));
        let (uploads, modules) = (number_at!(u32, &bytes, 8), number_at!(u64, &bytes, 12));
        if size & LAYOUT_2 == 0 {
            return Self { page: place * BLOCK_PAGES, pages: BLOCK_PAGES, size, uploads, modules };
        }
        let size = size & !LAYOUT_2;
        Self { page: place, pages: pages_of(size.into()), size, uploads, modules }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_its_encoding() {
        let chunk = StoredChunk { uploads: 2, modules: 3, ..StoredChunk::new(5, 0x1_0001) };
        assert_eq!((chunk.page, chunk.pages, chunk.size), (5, 2, 0x1_0001));
        let bytes = chunk.to_bytes();
        assert_eq!(bytes.as_ref(), [5, 0, 0, 0, 1, 0, 1, 0x80, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StoredChunk::from_bytes(bytes), chunk);
    }

    #[test]
    fn should_read_and_keep_records_of_the_first_layout() {
        for (size, bytes) in [(1 << 20, [0, 0, 16, 0]), (7, [7, 0, 0, 0])] {
            let written = [[1, 0, 0, 0], bytes, [2, 0, 0, 0], [3, 0, 0, 0], [0; 4]].concat();
            let chunk = StoredChunk::from_bytes(Cow::Borrowed(&written));
            assert_eq!(chunk, StoredChunk { page: 16, pages: 16, size, uploads: 2, modules: 3 });
            assert_eq!(StoredChunk::from_bytes(chunk.to_bytes()), chunk);
        }
    }
}
