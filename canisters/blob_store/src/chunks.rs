//! Chunks by their hash, with a count of what refers to each.
//!
//! A chunk comes into being with a reference and goes away with its last one. References are counted apart for open
//! uploads and for sealed modules: the bytes of a chunk can be read by everybody once a sealed module has it.

use depot_types::Hash;
use ic_stable_structures::{Memory, StableBTreeMap, StableCell};

use crate::{
    space::{Space, SpaceFull},
    storable::{StoredChunk, StoredHash, StoredHeader},
};

/// The chunks of the store.
pub(crate) struct Chunks<M: Memory> {
    index: StableBTreeMap<StoredHash, StoredChunk, M>,
    space: Space<M>,
    header: StableCell<StoredHeader, M>,
}

impl<M: Memory> Chunks<M> {
    pub(crate) fn open(index: M, space: Space<M>, header: StableCell<StoredHeader, M>) -> Self {
        Self { index: StableBTreeMap::init(index), space, header }
    }

    /// Returns how many chunks there are.
    pub(crate) fn len(&self) -> u64 {
        self.index.len()
    }

    /// Returns the bytes of all chunks.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.header.get().chunk_bytes
    }

    /// Returns true when there is a chunk of this hash and size.
    ///
    /// A wrong declaration can name the hash of a chunk where the size does not fit; such a chunk does not count.
    pub(crate) fn contains(&self, hash: &StoredHash, size: u64) -> bool {
        self.get(hash, size).is_some()
    }

    /// Returns the bytes that `load_sealed` will need for this chunk, if a sealed module has it.
    pub(crate) fn sealed_size(&self, hash: &Hash) -> Option<usize> {
        let chunk = self.index.get(hash.as_bytes()).filter(|chunk| chunk.modules > 0)?;
        Some(chunk.size as usize)
    }

    /// Reads a chunk that is there, into bytes of its size.
    pub(crate) fn load(&self, hash: &StoredHash, bytes: &mut [u8]) {
        self.space.load(self.existing(hash).slot, bytes);
    }

    /// Refers to a chunk for an upload; returns false when there is no chunk of this hash and size.
    pub(crate) fn acquire(&mut self, hash: &StoredHash, size: u64) -> bool {
        let Some(chunk) = self.get(hash, size) else {
            return false;
        };
        self.index.insert(*hash, StoredChunk { uploads: chunk.uploads + 1, ..chunk });
        true
    }

    /// Takes in a chunk that is not there yet, and refers to it for an upload. The hash is that of the bytes.
    pub(crate) fn insert(&mut self, hash: &StoredHash, bytes: &[u8]) -> Result<(), SpaceFull> {
        let slot = self.space.store(bytes)?;
        let size = bytes.len() as u32;
        self.index.insert(*hash, StoredChunk { slot, size, uploads: 1, modules: 0 });
        self.add_bytes(i64::from(size));
        Ok(())
    }

    /// Gives up a reference of an upload.
    pub(crate) fn release(&mut self, hash: &StoredHash) {
        let chunk = self.existing(hash);
        let uploads = chunk.uploads.checked_sub(1).expect("BUG: a chunk has fewer references than uploads");
        if uploads == 0 && chunk.modules == 0 {
            self.index.remove(hash);
            self.space.free(chunk.slot);
            self.add_bytes(-i64::from(chunk.size));
        } else {
            self.index.insert(*hash, StoredChunk { uploads, ..chunk });
        }
    }

    /// Refers to a chunk, which is there, for a sealed module.
    pub(crate) fn seal(&mut self, hash: &StoredHash) {
        let chunk = self.existing(hash);
        self.index.insert(*hash, StoredChunk { modules: chunk.modules + 1, ..chunk });
    }

    fn get(&self, hash: &StoredHash, size: u64) -> Option<StoredChunk> {
        self.index.get(hash).filter(|chunk| u64::from(chunk.size) == size)
    }

    fn existing(&self, hash: &StoredHash) -> StoredChunk {
        self.index.get(hash).unwrap_or_else(|| panic!("BUG: the chunk {} is missing", Hash::new(*hash)))
    }

    fn add_bytes(&mut self, bytes: i64) {
        let header = *self.header.get();
        let chunk_bytes = header.chunk_bytes.checked_add_signed(bytes).expect("BUG: the total of bytes is wrong");
        self.header.set(StoredHeader { chunk_bytes, ..header });
    }

    /// Returns all records.
    #[cfg(test)]
    pub(crate) fn records(&self) -> Vec<(StoredHash, StoredChunk)> {
        self.index.iter().map(|entry| (*entry.key(), entry.value())).collect()
    }

    #[cfg(test)]
    pub(crate) fn space(&self) -> &Space<M> {
        &self.space
    }
}
