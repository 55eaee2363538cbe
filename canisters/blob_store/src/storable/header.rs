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
/// | 77..81 | form of what is certified about modules |
/// | 81 | 1 while modules are being certified anew in this form, else 0 |
/// | 82..114 | hash of the last module certified anew |
///
/// Layout 1 has the first 12 bytes only, layout 2 the first 77.
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
    /// The form of what is certified about modules.
    pub(crate) form: u32,
    /// The modules up to this hash are certified in this form; `None` when all are.
    pub(crate) renewed: Option<StoredHash>,
}

impl StoredHeader {
    const BYTES: usize = 114;

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
            form: 0,
            renewed: None,
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
        push_option(&mut bytes, self.adopted);
        bytes.extend(self.form.to_le_bytes());
        push_option(&mut bytes, self.renewed);
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let first = Self::layout_1(number_at!(u32, &bytes, 0), number_at!(u64, &bytes, 4));
        if !(2..=3).contains(&first.layout) {
            return first;
        }
        let layout_2 = Self {
            grace_period_ns: number_at!(u64, &bytes, 12),
            max_stored_bytes: number_at!(u64, &bytes, 20),
            condemned: number_at!(u64, &bytes, 28),
            used_pages: number_at!(u64, &bytes, 36),
            adopted: option_at(&bytes, 44),
            ..first
        };
        if first.layout == 2 {
            return layout_2;
        }
        Self { form: number_at!(u32, &bytes, 77), renewed: option_at(&bytes, 81), ..layout_2 }
    }
}

fn push_option(bytes: &mut Vec<u8>, hash: Option<StoredHash>) {
    bytes.push(u8::from(hash.is_some()));
    bytes.extend(hash.unwrap_or_default());
}

fn option_at(bytes: &[u8], at: usize) -> Option<StoredHash> {
    (bytes[at] == 1).then(|| array_at(bytes, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_its_encoding() {
        let header = StoredHeader {
            layout: 3,
            chunk_bytes: 0x0203,
            grace_period_ns: 4,
            max_stored_bytes: 5,
            condemned: 6,
            used_pages: 8,
            adopted: Some([7; 32]),
            form: 9,
            renewed: Some([10; 32]),
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes[..14], [3, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 4, 0]);
        assert_eq!((bytes[20], bytes[28], bytes[36], bytes[44], bytes[45], bytes[76]), (5, 6, 8, 1, 7, 7));
        assert_eq!((bytes[77], bytes[78], bytes[81], bytes[82], bytes[113]), (9, 0, 1, 10, 10));
        assert_eq!(bytes.len(), StoredHeader::BYTES);
        assert_eq!(StoredHeader::from_bytes(bytes.clone()), header);
        let done = StoredHeader { adopted: None, renewed: None, ..header };
        assert_eq!(StoredHeader::from_bytes(done.to_bytes()), done);
        // Layout 2 ends before the form.
        let mut bytes = bytes[..77].to_vec();
        bytes[0] = 2;
        let layout_2 = StoredHeader { layout: 2, form: 0, renewed: None, ..header };
        assert_eq!(StoredHeader::from_bytes(Cow::Owned(bytes)), layout_2);
    }

    #[test]
    fn should_read_the_first_layout() {
        let bytes = [1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0];
        let header = StoredHeader::from_bytes(Cow::Borrowed(&bytes));
        assert_eq!(header, StoredHeader::layout_1(1, 0x0203));
    }
}
