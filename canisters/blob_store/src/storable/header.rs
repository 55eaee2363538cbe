//! The header of stable memory.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use super::{StoredHash, array_at, number_at};

/// Version of the layout, totals and settings.
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | version of the layout; stays here in all versions to come |
/// | 4..12 | bytes of all chunks |
/// | 12..20 | grace period in nanoseconds |
/// | 20..28 | bytes of modules that each principal may have |
/// | 28..36 | condemned modules |
/// | 36..44 | pages of 64 KiB that chunks have |
/// | 44 | 1 while modules of layout 1 are being adopted, else 0 |
/// | 45..77 | hash of the last module adopted |
///
/// Layout 1 has the first 12 bytes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHeader {
    pub(crate) layout: u32,
    pub(crate) chunk_bytes: u64,
    pub(crate) grace_period_ns: u64,
    pub(crate) max_stored_bytes: u64,
    pub(crate) condemned: u64,
    pub(crate) used_pages: u64,
    /// The modules up to this hash have records of the present layout; `None` when all have.
    pub(crate) adopted: Option<StoredHash>,
}

impl StoredHeader {
    const BYTES: usize = 77;

    /// Returns the layout and the bytes of all chunks, which every layout has.
    pub(crate) fn layout_1(layout: u32, chunk_bytes: u64) -> Self {
        Self {
            layout,
            chunk_bytes,
            grace_period_ns: 0,
            max_stored_bytes: 0,
            condemned: 0,
            used_pages: 0,
            adopted: None,
        }
    }
}

impl Storable for StoredHeader {
    // Not bounded, so that a header of another version can be read far enough to refuse it.
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.layout.to_le_bytes());
        let totals = [self.chunk_bytes, self.grace_period_ns, self.max_stored_bytes, self.condemned, self.used_pages];
        for number in totals {
            bytes.extend(number.to_le_bytes());
        }
        bytes.push(u8::from(self.adopted.is_some()));
        bytes.extend(self.adopted.unwrap_or_default());
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let first = Self::layout_1(number_at!(u32, &bytes, 0), number_at!(u64, &bytes, 4));
        if first.layout != 2 {
            return first;
        }
        Self {
            grace_period_ns: number_at!(u64, &bytes, 12),
            max_stored_bytes: number_at!(u64, &bytes, 20),
            condemned: number_at!(u64, &bytes, 28),
            used_pages: number_at!(u64, &bytes, 36),
            adopted: (bytes[44] == 1).then(|| array_at(&bytes, 45)),
            ..first
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_its_encoding() {
        let header = StoredHeader {
            layout: 2,
            chunk_bytes: 0x0203,
            grace_period_ns: 4,
            max_stored_bytes: 5,
            condemned: 6,
            used_pages: 8,
            adopted: Some([7; 32]),
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes[..14], [2, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 4, 0]);
        assert_eq!((bytes[20], bytes[28], bytes[36], bytes[44], bytes[45], bytes[76]), (5, 6, 8, 1, 7, 7));
        assert_eq!(bytes.len(), StoredHeader::BYTES);
        assert_eq!(StoredHeader::from_bytes(bytes), header);
        let done = StoredHeader { adopted: None, ..header };
        assert_eq!(StoredHeader::from_bytes(done.to_bytes()), done);
    }

    #[test]
    fn should_read_the_first_layout() {
        let bytes = [1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0];
        let header = StoredHeader::from_bytes(Cow::Borrowed(&bytes));
        assert_eq!(header, StoredHeader::layout_1(1, 0x0203));
    }
}
