//! What is in the factory's own chunk store, and which deployments need it.
//!
//! The table has an entry for every chunk that is in the store, on its way there, or leased by an open deployment. A
//! lease is taken for all chunks of a module at once and reserves their slots, so that the store cannot run full in
//! the middle of staging.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use depot_types::Hash;
use ic_stable_structures::{Memory, StableBTreeMap};
use serde::{Deserialize, Serialize};

use crate::{cbor::Cbor, limits::CHUNK_STORE_SLOTS};

/// An entry of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredChunk {
    state: ChunkState,
    /// The open deployments that need the chunk.
    leases: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ChunkState {
    /// Not in the store.
    Absent,
    /// A deployment is copying it. Means absent when that deployment has no driver.
    InFlight { job: u64 },
    /// In the store, as far as known.
    Present,
}

/// Whether a deployment may stage its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// All chunks are leased and have a slot.
    Admitted,
    /// There is no room, and nobody else needs anything: the store may be cleared, if that is begun at once.
    MustClear,
    /// There is no room until others are done and the store can be cleared. A single module always fits an empty store.
    Later(Shortage),
}

/// How far the room does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// Chunks that have no slot yet.
    pub(crate) needed: u32,
    /// Slots that are free or could be made so.
    pub(crate) available: u32,
}

/// What a deployment does next to get its chunks into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextChunk {
    /// Copy this one.
    Copy(Hash),
    /// Wait: the rest is being copied by others.
    Wait,
    /// Nothing: all are there.
    Complete,
}

/// The table of chunks.
pub(crate) struct Staging<M: Memory>(StableBTreeMap<[u8; 32], Cbor<StoredChunk>, M>);

impl<M: Memory> Staging<M> {
    /// Opens the table in the memory given.
    pub(crate) fn open(memory: M) -> Self {
        Self(StableBTreeMap::init(memory))
    }

    /// Leases chunks for a deployment, if the store has room for all of them.
    pub(crate) fn lease(&mut self, job: u64, hashes: &[Hash]) -> Admission {
        let wanted: BTreeSet<Hash> = hashes.iter().copied().collect();
        let mut table = self.entries();
        let missing = wanted.iter().filter(|hash| !table.contains_key(hash)).count();
        if (table.len() + missing) as u64 <= CHUNK_STORE_SLOTS {
            for hash in wanted {
                let chunk = table.remove(&hash);
                let mut chunk = chunk.unwrap_or(StoredChunk { state: ChunkState::Absent, leases: BTreeSet::new() });
                if chunk.leases.insert(job) {
                    self.put(hash, chunk);
                }
            }
            return Admission::Admitted;
        }
        let needed_by_others: BTreeSet<Hash> = table
            .iter()
            .filter(|(_, chunk)| chunk.leases.iter().any(|&lease| lease != job))
            .map(|(hash, _)| *hash)
            .collect();
        let room = CHUNK_STORE_SLOTS.saturating_sub(needed_by_others.len() as u64) as u32;
        let shortage = Shortage { needed: wanted.difference(&needed_by_others).count() as u32, available: room };
        if needed_by_others.is_empty() { Admission::MustClear } else { Admission::Later(shortage) }
    }

    /// Forgets all chunks but those of one deployment, which are then to be copied anew. Done in the message that
    /// clears the store, before the call.
    pub(crate) fn begin_clear(&mut self, job: u64, hashes: &[Hash]) {
        self.0.clear_new();
        for &hash in hashes {
            self.put(hash, StoredChunk { state: ChunkState::Absent, leases: BTreeSet::from([job]) });
        }
    }

    /// Tells what a deployment that was admitted has to do next. `is_running` tells which deployments have a driver.
    pub(crate) fn next(&self, job: u64, hashes: &[Hash], is_running: impl Fn(u64) -> bool) -> NextChunk {
        let mut next = NextChunk::Complete;
        for &hash in hashes {
            match self.state(hash) {
                ChunkState::Present => {}
                ChunkState::InFlight { job: other } if other != job && is_running(other) => next = NextChunk::Wait,
                ChunkState::InFlight { .. } | ChunkState::Absent => return NextChunk::Copy(hash),
            }
        }
        next
    }

    /// Records that a deployment begins to copy a chunk that it leases.
    pub(crate) fn begin_copy(&mut self, job: u64, hash: Hash) {
        self.change(hash, |chunk| chunk.state = ChunkState::InFlight { job });
    }

    /// Records whether the copy of a chunk took place. Nothing is recorded when the store was cleared meanwhile.
    pub(crate) fn end_copy(&mut self, job: u64, hash: Hash, copied: bool) {
        self.change(hash, |chunk| {
            if chunk.state == (ChunkState::InFlight { job }) {
                chunk.state = if copied { ChunkState::Present } else { ChunkState::Absent };
            }
        });
    }

    /// Gives back all leases of a deployment. What is in the store stays there for the next one.
    pub(crate) fn release(&mut self, job: u64) {
        for (hash, mut chunk) in self.entries() {
            let abandoned = chunk.state == ChunkState::InFlight { job };
            if abandoned {
                chunk.state = ChunkState::Absent;
            }
            if chunk.leases.remove(&job) || abandoned {
                self.put(hash, chunk);
            }
        }
    }

    /// Returns the chunks that are in the store, as far as known.
    pub(crate) fn present(&self) -> BTreeSet<Hash> {
        self.entries()
            .into_iter()
            .filter(|(_, chunk)| chunk.state == ChunkState::Present)
            .map(|(hash, _)| hash)
            .collect()
    }

    /// Corrects the table by what the store said. `known` are the chunks that were [present](Self::present) when the
    /// store was asked: what came since may be missing in the answer.
    pub(crate) fn reconcile(&mut self, known: &BTreeSet<Hash>, stored: &BTreeSet<Hash>) {
        for &hash in known.difference(stored) {
            self.change(hash, |chunk| chunk.state = ChunkState::Absent);
        }
        let table = self.entries();
        for &hash in stored {
            match table.get(&hash) {
                Some(chunk) if chunk.state == ChunkState::Present => {}
                Some(chunk) => {
                    self.put(hash, StoredChunk { state: ChunkState::Present, leases: chunk.leases.clone() });
                }
                None => self.put(hash, StoredChunk { state: ChunkState::Present, leases: BTreeSet::new() }),
            }
        }
    }

    fn state(&self, hash: Hash) -> ChunkState {
        self.0.get(hash.as_bytes()).map_or(ChunkState::Absent, |chunk| chunk.0.state)
    }

    fn entries(&self) -> BTreeMap<Hash, StoredChunk> {
        self.0.iter().map(|entry| entry.into_pair()).map(|(hash, chunk)| (Hash::new(hash), chunk.0)).collect()
    }

    fn change(&mut self, hash: Hash, change: impl FnOnce(&mut StoredChunk)) {
        if let Some(Cbor(mut chunk)) = self.0.get(hash.as_bytes()) {
            change(&mut chunk);
            self.put(hash, chunk);
        }
    }

    /// Stores an entry, or removes it when it says nothing.
    fn put(&mut self, hash: Hash, chunk: StoredChunk) {
        if chunk.state == ChunkState::Absent && chunk.leases.is_empty() {
            self.0.remove(hash.as_bytes());
        } else {
            self.0.insert(*hash.as_bytes(), Cbor(chunk));
        }
    }
}

/// What a running factory knows about its chunk store besides the table. On the heap: after an upgrade the store is
/// asked before it is relied on.
#[derive(Debug, Default)]
pub(crate) struct StoreView {
    is_verified: Cell<bool>,
    is_clearing: Cell<bool>,
    clears: Cell<u64>,
}

impl StoreView {
    /// Returns true when the table can be relied on now.
    pub(crate) fn is_reliable(&self) -> bool {
        self.is_verified.get() && !self.is_clearing.get()
    }

    /// Makes the next deployment ask the store.
    pub(crate) fn distrust(&self) {
        self.is_verified.set(false);
    }

    /// Notes that the store is being cleared until the guard is dropped.
    pub(crate) fn begin_clear(&self) -> ClearGuard<'_> {
        self.is_clearing.set(true);
        self.clears.set(self.clears.get() + 1);
        ClearGuard(self)
    }

    /// Returns a mark of the present, for [`StoreView::confirm`].
    pub(crate) fn mark(&self) -> u64 {
        self.clears.get()
    }

    /// Tells whether an answer of the store to a question asked at `mark` is of use, which it is not when the store
    /// was cleared meanwhile; if so, the table is verified with it.
    pub(crate) fn confirm(&self, mark: u64) -> bool {
        let is_useful = self.clears.get() == mark && !self.is_clearing.get();
        if is_useful {
            self.is_verified.set(true);
        }
        is_useful
    }
}

/// Notes that the store is being cleared.
#[must_use]
pub(crate) struct ClearGuard<'a>(&'a StoreView);

impl Drop for ClearGuard<'_> {
    fn drop(&mut self) {
        self.0.is_clearing.set(false);
    }
}
