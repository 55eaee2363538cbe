//! Takes what is large out of a state directory while a network is put together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{Loaded, MemoryDocument, StateError, Store, leaf, packs::Location};
use crate::execution::{self, CompiledModule, Leaf, StableMemory};

/// The pieces that a capture refers to.
pub(crate) struct Source<'a> {
    store: &'a Store,
    reader: super::packs::PackReader<'a>,
    loaded: &'a Loaded,
    /// Leaves by piece, so that memories that shared leaves do so again.
    leaves: HashMap<u64, Arc<Leaf>>,
    chunks: BTreeMap<[u8; 32], Arc<Vec<u8>>>,
}

impl<'a> Source<'a> {
    /// Opens the packs.
    ///
    /// # Errors
    /// When one is missing or has another size.
    pub(crate) fn new(store: &'a Store, loaded: &'a Loaded) -> Result<Self, StateError> {
        Ok(Self { reader: store.reader()?, store, loaded, leaves: HashMap::new(), chunks: BTreeMap::new() })
    }

    /// Reads a memory.
    ///
    /// # Errors
    /// When a piece of it is damaged, or the document is at odds with itself.
    pub(crate) fn memory(&mut self, document: &MemoryDocument) -> Result<StableMemory, StateError> {
        let mut leaves = BTreeMap::new();
        for (number, slot) in &document.leaves {
            let piece = self.piece(*slot)?;
            let leaf = match self.leaves.get(&piece) {
                Some(leaf) => Arc::clone(leaf),
                None => {
                    let leaf = Arc::new(self.read_leaf(piece)?);
                    self.leaves.insert(piece, Arc::clone(&leaf));
                    leaf
                }
            };
            leaves.insert(*number, leaf);
        }
        self.assemble(document, leaves)
    }

    /// Reads a heap, whose leaves nobody else has, and returns the pieces of its leaves by their numbers, too.
    ///
    /// # Errors
    /// As of [`memory`](Self::memory).
    pub(crate) fn heap(&self, document: &MemoryDocument) -> Result<(StableMemory, BTreeMap<u64, u64>), StateError> {
        let (mut leaves, mut pieces) = (BTreeMap::new(), BTreeMap::new());
        for (number, slot) in &document.leaves {
            let piece = self.piece(*slot)?;
            leaves.insert(*number, Arc::new(self.read_leaf(piece)?));
            pieces.insert(*number, piece);
        }
        Ok((self.assemble(document, leaves)?, pieces))
    }

    /// Reads and compiles a module.
    ///
    /// # Errors
    /// When it is damaged, or this localnet does not take it.
    pub(crate) fn module(&self, hash: &[u8; 32]) -> Result<Arc<CompiledModule>, StateError> {
        let bytes = self.blob(hash)?;
        execution::compile(&bytes)
            .map_err(|error| self.loaded.unusable(format!("module {}: {}", hex::encode(hash), error.description)))
    }

    /// Reads a chunk of a module.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn chunk(&mut self, hash: &[u8; 32]) -> Result<Arc<Vec<u8>>, StateError> {
        if let Some(chunk) = self.chunks.get(hash) {
            return Ok(Arc::clone(chunk));
        }
        let chunk = Arc::new(self.blob(hash)?);
        self.chunks.insert(*hash, Arc::clone(&chunk));
        Ok(chunk)
    }

    /// Returns the leaves that were read, with their pieces, to be [known](Store::know_leaves) from now on.
    pub(crate) fn into_leaves(self) -> HashMap<u64, Arc<Leaf>> {
        self.leaves
    }

    fn piece(&self, slot: usize) -> Result<u64, StateError> {
        let piece = self.loaded.slots.get(slot).copied();
        piece.ok_or_else(|| self.loaded.unusable(format!("slot {slot} is not there")))
    }

    fn read_leaf(&self, piece: u64) -> Result<Leaf, StateError> {
        let location = self.store.location(piece);
        let location = location.ok_or_else(|| self.loaded.unusable(format!("piece {piece} is not there")))?;
        let bytes = self.reader.read(location)?;
        leaf::decode(&bytes).ok_or_else(|| self.store.damaged_piece(location, "there is no leaf of memory"))
    }

    fn blob(&self, hash: &[u8; 32]) -> Result<Vec<u8>, StateError> {
        let location: &Location = self
            .store
            .blob(hash)
            .ok_or_else(|| self.loaded.unusable(format!("module or chunk {} is not there", hex::encode(hash))))?;
        let bytes = self.reader.read(location)?;
        if Sha256::digest(&bytes).as_slice() != hash {
            return Err(self.store.damaged_piece(location, "there are other bytes than their hash says"));
        }
        Ok(bytes)
    }

    fn assemble(
        &self,
        document: &MemoryDocument,
        leaves: BTreeMap<u64, Arc<Leaf>>,
    ) -> Result<StableMemory, StateError> {
        let memory = StableMemory::from_leaves(document.wasm_pages, leaves);
        memory.ok_or_else(|| self.loaded.unusable("a memory has pages past its end"))
    }
}
