//! The records of why a module is kept.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use super::{StoredHash, array_at, number_at};

/// Why a sealed module is kept.
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | holders that retain it |
/// | 4 | 1 when it is condemned, else 0 |
/// | 5..13 | since when nobody retains it, or since when it is condemned, in nanoseconds since 1970 |
/// | 13..45 | hash of what is certified about it |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredRetention {
    pub(crate) references: u32,
    pub(crate) condemned: bool,
    pub(crate) since_ns: u64,
    pub(crate) certified: StoredHash,
}

impl StoredRetention {
    const BYTES: usize = 45;
}

impl Storable for StoredRetention {
    const BOUND: Bound = Bound::Bounded { max_size: Self::BYTES as u32, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.references.to_le_bytes());
        bytes.push(u8::from(self.condemned));
        bytes.extend(self.since_ns.to_le_bytes());
        bytes.extend(self.certified);
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self {
            references: number_at!(u32, &bytes, 0),
            condemned: bytes[4] == 1,
            since_ns: number_at!(u64, &bytes, 5),
            certified: array_at(&bytes, 13),
        }
    }
}

/// A module that nobody retains, in the order in which it comes to be condemned or removed.
///
/// | bytes | what |
/// |---|---|
/// | 0 | 1 when it is condemned, else 0 |
/// | 1..9 | since when, in nanoseconds since 1970, big-endian |
/// | 9..41 | module hash |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DueKey([u8; Self::BYTES]);

impl DueKey {
    const BYTES: usize = 41;

    pub(crate) fn new(condemned: bool, since_ns: u64, module_hash: &StoredHash) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = u8::from(condemned);
        bytes[1..9].copy_from_slice(&since_ns.to_be_bytes());
        bytes[9..].copy_from_slice(module_hash);
        Self(bytes)
    }

    pub(crate) fn module_hash(&self) -> StoredHash {
        array_at(&self.0, 9)
    }
}

impl Storable for DueKey {
    const BOUND: Bound = Bound::Bounded { max_size: Self::BYTES as u32, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(array_at(&bytes, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_the_encoding_of_retentions() {
        let retention = StoredRetention { references: 2, condemned: true, since_ns: 3, certified: [4; 32] };
        let bytes = retention.to_bytes();
        assert_eq!(bytes[..14], [2, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(StoredRetention::from_bytes(bytes), retention);
    }

    #[test]
    fn should_order_modules_by_time() {
        let key = |condemned, since_ns, byte| DueKey::new(condemned, since_ns, &[byte; 32]);
        assert!(key(false, 255, 9) < key(false, 256, 1));
        assert!(key(false, u64::MAX, 255) < key(true, 0, 0));
        let bytes = key(true, 0x0102, 7).into_bytes();
        assert_eq!(bytes[..10], [1, 0, 0, 0, 0, 0, 0, 1, 2, 7]);
        assert_eq!(DueKey::from_bytes(Cow::Owned(bytes)).module_hash(), [7; 32]);
    }
}
