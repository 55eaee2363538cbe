//! Chunks by their hash, with a count of what refers to each.
//!
//! A chunk comes into being with a reference and goes away with its last one. References are counted apart for open
//! uploads and for sealed modules: the bytes of a chunk can be read by everybody once a sealed module has it.

use std::iter::Sum;

use depot_types::Hash;
use ic_stable_structures::{Memory, StableBTreeMap};

use crate::{
    space::{Place, Space, pages_of},
    storable::{StoredChunk, StoredHash},
};

/// Bytes of chunks that are gone, and the pages that they had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Freed {
    pub(crate) bytes: u64,
    pub(crate) pages: u64,
}

impl Sum for Freed {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, freed| Self { bytes: sum.bytes + freed.bytes, pages: sum.pages + freed.pages })
    }
}

/// The chunks of the store.
pub(crate) struct Chunks<M: Memory> {
    index: StableBTreeMap<StoredHash, StoredChunk, M>,
    space: Space<M>,
}

impl<M: Memory> Chunks<M> {
    pub(crate) fn open(index: M, space: Space<M>) -> Self {
        Self { index: StableBTreeMap::init(index), space }
    }

    /// Returns how many chunks there are.
    pub(crate) fn len(&self) -> u64 {
        self.index.len()
    }

    /// Returns how many pages of 64 KiB there are for chunks, used and free.
    pub(crate) fn pages(&self) -> u64 {
        self.space.len()
    }

    /// Returns how many blocks of 1 MiB must be made for chunks of these sizes, all but one of them 1 MiB.
    pub(crate) fn new_blocks_for(&self, sizes: impl Iterator<Item = u64>) -> u64 {
        self.space.new_blocks_for(sizes.map(pages_of))
    }

    /// Returns true when there is a chunk of this hash and size.
    ///
    /// A wrong declaration can name the hash of a chunk where the size does not fit; such a chunk does not count.
    pub(crate) fn contains(&self, hash: &StoredHash, size: u64) -> bool {
        self.get(hash, size).is_some()
    }

    /// Returns where a chunk lies, if a sealed module has it.
    pub(crate) fn sealed_place(&self, hash: &Hash) -> Option<Place> {
        let chunk = self.index.get(hash.as_bytes()).filter(|chunk| chunk.modules > 0)?;
        Some(place_of(&chunk))
    }

    /// Returns where a chunk lies that is there.
    pub(crate) fn place(&self, hash: &StoredHash) -> Place {
        place_of(&self.existing(hash))
    }

    /// Reads what lies in a place.
    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) {
        self.space.read(place, bytes);
    }

    /// Reads a chunk that is there, into bytes of its size.
    pub(crate) fn load(&self, hash: &StoredHash, bytes: &mut [u8]) {
        self.read(self.place(hash), bytes);
    }

    /// Refers to a chunk for an upload; returns false when there is no chunk of this hash and size.
    pub(crate) fn acquire(&mut self, hash: &StoredHash, size: u64) -> bool {
        let Some(chunk) = self.get(hash, size) else {
            return false;
        };
        self.index.insert(*hash, StoredChunk { uploads: chunk.uploads + 1, ..chunk });
        true
    }

    /// Takes in a chunk that is not there yet, and refers to it for an upload. The hash is that of the bytes, and there
    /// is room for it.
    pub(crate) fn insert(&mut self, hash: &StoredHash, bytes: &[u8]) {
        let page = self.space.store(bytes);
        self.index.insert(*hash, StoredChunk::new(page, bytes.len() as u32));
    }

    /// Gives up a reference of an upload, and returns what this freed.
    pub(crate) fn release(&mut self, hash: &StoredHash) -> Freed {
        let chunk = self.existing(hash);
        let uploads = chunk.uploads.checked_sub(1).expect("BUG: a chunk has fewer references than uploads");
        self.put_or_free(hash, StoredChunk { uploads, ..chunk })
    }

    /// Gives up a reference of a sealed module, and returns what this freed.
    pub(crate) fn unseal(&mut self, hash: &StoredHash) -> Freed {
        let chunk = self.existing(hash);
        let modules = chunk.modules.checked_sub(1).expect("BUG: a chunk has fewer references than modules");
        self.put_or_free(hash, StoredChunk { modules, ..chunk })
    }

    fn put_or_free(&mut self, hash: &StoredHash, chunk: StoredChunk) -> Freed {
        if chunk.uploads == 0 && chunk.modules == 0 {
            self.index.remove(hash);
            self.space.free(chunk.page, chunk.pages);
            Freed { bytes: chunk.size.into(), pages: chunk.pages.into() }
        } else {
            self.index.insert(*hash, chunk);
            Freed::default()
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

fn place_of(chunk: &StoredChunk) -> Place {
    Place::new(chunk.page, chunk.size.into())
}
