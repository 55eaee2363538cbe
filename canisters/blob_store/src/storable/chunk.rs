//! The record of a chunk.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use super::number_at;

/// Where a chunk is and what refers to it.
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | number of its slot |
/// | 4..8 | its size in bytes |
/// | 8..12 | places in open uploads that refer to it |
/// | 12..20 | places in sealed modules that refer to it |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredChunk {
    pub(crate) slot: u32,
    pub(crate) size: u32,
    pub(crate) uploads: u32,
    pub(crate) modules: u64,
}

impl StoredChunk {
    const BYTES: usize = 20;
}

impl Storable for StoredChunk {
    const BOUND: Bound = Bound::Bounded { max_size: Self::BYTES as u32, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        for number in [self.slot, self.size, self.uploads] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.modules.to_le_bytes());
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self {
            slot: number_at!(u32, &bytes, 0),
            size: number_at!(u32, &bytes, 4),
            uploads: number_at!(u32, &bytes, 8),
            modules: number_at!(u64, &bytes, 12),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_its_encoding() {
        let chunk = StoredChunk { slot: 1, size: 1 << 20, uploads: 2, modules: 3 };
        let bytes = chunk.to_bytes();
        assert_eq!(bytes.as_ref(), [1, 0, 0, 0, 0, 0, 16, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StoredChunk::from_bytes(bytes), chunk);
    }
}
