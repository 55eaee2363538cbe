//! What a network looks like at one moment: a document for what is small, and what is large beside it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::execution::{CompiledModule, HeapLeaf, Leaf, StableMemory, WASM_PAGE_BYTES};

/// The times of a network, which pass even when nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// Time in ns.
    pub(crate) time: u64,
    /// Time of the last round in ns.
    pub(crate) last_round: u64,
}

/// A memory in a document: its size, and its leaves by number and by place among the slots of the capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemoryDocument {
    /// Size in Wasm pages.
    pub(crate) wasm_pages: u64,
    /// Leaves that were written to: number and slot.
    pub(crate) leaves: Vec<(u64, usize)>,
}

/// A leaf of memory that a document refers to.
#[derive(Clone)]
pub(super) enum Slot {
    /// Of a memory that is shared by copies.
    Shared(Arc<Leaf>),
    /// Of a heap.
    Heap(Arc<HeapLeaf>),
}

/// Bytes that are known by their SHA-256.
#[derive(Clone, Debug)]
pub(super) enum Blob {
    /// A module.
    Module(Arc<CompiledModule>),
    /// A chunk of a module.
    Chunk(Arc<Vec<u8>>),
}

impl Blob {
    /// Returns the bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Module(module) => module.uploaded(),
            Self::Chunk(bytes) => bytes,
        }
    }
}

/// Gathers what is large while a document is made.
#[derive(Default)]
pub(crate) struct Collector {
    slots: Vec<Slot>,
    /// Slots of shared leaves, by address.
    shared: HashMap<usize, usize>,
    blobs: BTreeMap<[u8; 32], Blob>,
}

impl Collector {
    /// Takes a memory that is shared by copies.
    pub(crate) fn memory(&mut self, memory: &StableMemory) -> MemoryDocument {
        let mut slot = |leaf: &Arc<Leaf>| {
            // The slots hold the leaves, so no address is used twice.
            *self.shared.entry(Arc::as_ptr(leaf) as usize).or_insert_with(|| {
                self.slots.push(Slot::Shared(Arc::clone(leaf)));
                self.slots.len() - 1
            })
        };
        let leaves = memory.leaves().map(|(number, leaf)| (number, slot(leaf))).collect();
        MemoryDocument { wasm_pages: memory.wasm_pages(), leaves }
    }

    /// Takes a heap of a size in bytes.
    pub(crate) fn heap(&mut self, bytes: u64, leaves: BTreeMap<u64, Arc<HeapLeaf>>) -> MemoryDocument {
        let first = self.slots.len();
        let numbers = leaves.keys().enumerate().map(|(place, number)| (*number, first + place)).collect();
        self.slots.extend(leaves.into_values().map(Slot::Heap));
        MemoryDocument { wasm_pages: bytes / WASM_PAGE_BYTES, leaves: numbers }
    }

    /// Takes a module and returns its hash.
    pub(crate) fn module(&mut self, module: &Arc<CompiledModule>) -> [u8; 32] {
        self.blobs.entry(module.hash()).or_insert_with(|| Blob::Module(Arc::clone(module)));
        module.hash()
    }

    /// Takes a chunk with its hash.
    pub(crate) fn chunk(&mut self, hash: [u8; 32], chunk: &Arc<Vec<u8>>) {
        self.blobs.entry(hash).or_insert_with(|| Blob::Chunk(Arc::clone(chunk)));
    }

    /// Ends with the document.
    pub(crate) fn finish(self, clock: Clock, document: &impl Serialize) -> Capture {
        let mut bytes = Vec::new();
        ciborium::into_writer(document, &mut bytes).expect("plain data can be written to memory");
        Capture { clock, document: bytes, slots: self.slots, blobs: self.blobs }
    }
}

/// What a network looks like at one moment. It does not change when the network goes on.
pub(crate) struct Capture {
    /// The times.
    pub(super) clock: Clock,
    /// The document, as CBOR.
    pub(super) document: Vec<u8>,
    /// The leaves that it refers to.
    pub(super) slots: Vec<Slot>,
    /// The modules and chunks that it refers to.
    pub(super) blobs: BTreeMap<[u8; 32], Blob>,
}

#[cfg(test)]
impl Capture {
    /// Returns what can be compared without looking at memories.
    pub(crate) fn small(&self) -> (Clock, &[u8]) {
        (self.clock, &self.document)
    }
}
