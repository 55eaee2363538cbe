//! The header of stable memory.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use super::number_at;

/// Version of the layout and totals.
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | version of the layout; stays here in all versions to come |
/// | 4..12 | bytes of all chunks |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHeader {
    pub(crate) layout: u32,
    pub(crate) chunk_bytes: u64,
}

impl StoredHeader {
    const BYTES: usize = 12;
}

impl Storable for StoredHeader {
    // Not bounded, so that a header of another version can be read far enough to refuse it.
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.layout.to_le_bytes());
        bytes.extend(self.chunk_bytes.to_le_bytes());
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self { layout: number_at!(u32, &bytes, 0), chunk_bytes: number_at!(u64, &bytes, 4) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_its_encoding() {
        let header = StoredHeader { layout: 1, chunk_bytes: 0x0203 };
        let bytes = header.to_bytes();
        assert_eq!(bytes.as_ref(), [1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StoredHeader::from_bytes(bytes), header);
    }
}
