//! The record of an open upload and its key, which is also that of a reference.

use std::borrow::Cow;

use candid::Principal;
use depot_types::Hash;
use ic_stable_structures::{Storable, storable::Bound};

use super::{StoredHash, array_at, number_at};

/// Whose upload it is and of which module; or who retains which module.
///
/// | bytes | what |
/// |---|---|
/// | 0 | length of the principal |
/// | 1..30 | the principal, followed by zeros |
/// | 30..62 | module hash |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UploadKey([u8; Self::BYTES]);

impl UploadKey {
    const BYTES: usize = Self::HASH_POSITION + Hash::BYTES;
    const HASH_POSITION: usize = 1 + Principal::MAX_LENGTH_IN_BYTES;

    pub(crate) fn new(principal: &Principal, module_hash: &Hash) -> Self {
        let principal = principal.as_slice();
        let mut bytes = [0; Self::BYTES];
        bytes[0] = principal.len() as u8;
        bytes[1..=principal.len()].copy_from_slice(principal);
        bytes[Self::HASH_POSITION..].copy_from_slice(module_hash.as_bytes());
        Self(bytes)
    }

    pub(crate) fn module_hash(&self) -> Hash {
        Hash::new(array_at(&self.0, Self::HASH_POSITION))
    }

    /// Returns the first and the last key that a principal can have.
    pub(crate) fn range_of(principal: &Principal) -> (Self, Self) {
        let end = |byte| Self::new(principal, &Hash::new([byte; Hash::BYTES]));
        (end(0), end(u8::MAX))
    }
}

impl Storable for UploadKey {
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

/// What was declared and what is there of it.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | size of the module in bytes |
/// | 8..16 | when the upload expires, in nanoseconds since 1970 |
/// | 16..32 | which chunks the upload refers to: one bit for each, the first one the lowest |
/// | 32.. | hashes of the chunks, in order |
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredUpload {
    pub(crate) size: u64,
    pub(crate) expires_at_ns: u64,
    held: u128,
    chunk_hashes: Vec<StoredHash>,
}

impl StoredUpload {
    const HASHES_POSITION: usize = 32;

    /// Makes an upload that refers to no chunk yet. It has fewer than 128 chunks.
    pub(crate) fn new(size: u64, chunk_hashes: &[Hash], expires_at_ns: u64) -> Self {
        let chunk_hashes = chunk_hashes.iter().map(|hash| *hash.as_bytes()).collect();
        Self { size, expires_at_ns, held: 0, chunk_hashes }
    }

    pub(crate) fn chunk_count(&self) -> u32 {
        self.chunk_hashes.len() as u32
    }

    /// Returns the hashes of the chunks, in order.
    pub(crate) fn chunk_hashes(&self) -> &[StoredHash] {
        &self.chunk_hashes
    }

    /// Returns true when the upload refers to the chunk, which is then in the store.
    pub(crate) fn holds(&self, index: u32) -> bool {
        self.held >> index & 1 == 1
    }

    pub(crate) fn hold(&mut self, index: u32) {
        self.held |= 1 << index;
    }

    /// Returns how many chunks the upload does not refer to.
    pub(crate) fn not_held_count(&self) -> u32 {
        self.chunk_count() - self.held.count_ones()
    }
}

impl Storable for StoredUpload {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(Self::HASHES_POSITION + self.chunk_hashes.len() * Hash::BYTES);
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.expires_at_ns.to_le_bytes());
        bytes.extend(self.held.to_le_bytes());
        bytes.extend(self.chunk_hashes.as_flattened());
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let size = number_at!(u64, &bytes, 0);
        let expires_at_ns = number_at!(u64, &bytes, 8);
        let held = number_at!(u128, &bytes, 16);
        let (chunk_hashes, _) = bytes[Self::HASHES_POSITION..].as_chunks();
        Self { size, expires_at_ns, held, chunk_hashes: chunk_hashes.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use depot_types::limits::MAX_CHUNKS;

    use super::*;

    #[test]
    fn should_keep_the_encoding_of_keys() {
        let key = UploadKey::new(&Principal::from_slice(&[7, 8]), &Hash::new([9; 32]));
        let mut expected = [0; 62];
        expected[..3].copy_from_slice(&[2, 7, 8]);
        expected[30..].fill(9);
        assert_eq!(key.to_bytes().as_ref(), expected);
        assert_eq!(UploadKey::from_bytes(key.to_bytes()), key);
    }

    #[test]
    fn should_find_all_keys_of_a_principal_and_no_others() {
        let (first, last) = UploadKey::range_of(&Principal::from_slice(&[7]));
        let key = |principal: &[u8], byte| UploadKey::new(&Principal::from_slice(principal), &Hash::new([byte; 32]));
        for inside in [key(&[7], 0), key(&[7], 100), key(&[7], 255)] {
            assert!((first..=last).contains(&inside));
        }
        for outside in [key(&[6], 255), key(&[8], 0), key(&[7, 0], 0), key(&[], 0), key(&[7; 29], 1)] {
            assert!(!(first..=last).contains(&outside));
        }
    }

    #[test]
    fn should_keep_the_encoding_of_uploads() {
        let mut upload = StoredUpload::new(5, &[Hash::new([1; 32]), Hash::new([2; 32])], 6);
        upload.hold(1);
        let bytes = upload.to_bytes();
        assert_eq!(bytes[..17], [5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!((bytes.len(), bytes[32], bytes[95]), (96, 1, 2));
        assert_eq!(StoredUpload::from_bytes(bytes), upload);
    }

    #[test]
    fn should_hold_as_many_chunks_as_a_module_can_have() {
        let mut upload = StoredUpload::new(0, &[Hash::default(); MAX_CHUNKS as usize], 0);
        assert_eq!(upload.not_held_count(), MAX_CHUNKS as u32);
        for index in 0..upload.chunk_count() {
            assert!(!upload.holds(index));
            upload.hold(index);
            assert!(upload.holds(index));
        }
        assert_eq!(upload.not_held_count(), 0);
        assert_eq!(StoredUpload::from_bytes(upload.to_bytes()), upload);
    }
}
