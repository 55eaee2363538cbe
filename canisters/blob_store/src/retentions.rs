//! The records of why modules are kept, the references of holders, and the queue of what nobody retains.
//!
//! A module is in the queue exactly as long as nobody retains it.

use std::ops::Bound;

use candid::Principal;
use depot_types::Hash;
use ic_stable_structures::{Memory, StableBTreeMap};

use crate::storable::{DueKey, StoredHash, StoredRetention, UploadKey};

/// Why modules are kept.
pub(crate) struct Retentions<M: Memory> {
    records: StableBTreeMap<StoredHash, StoredRetention, M>,
    queue: StableBTreeMap<DueKey, (), M>,
    references: StableBTreeMap<UploadKey, (), M>,
}

impl<M: Memory> Retentions<M> {
    pub(crate) fn open(records: M, queue: M, references: M) -> Self {
        Self {
            records: StableBTreeMap::init(records),
            queue: StableBTreeMap::init(queue),
            references: StableBTreeMap::init(references),
        }
    }

    /// Returns how many modules nobody retains.
    pub(crate) fn unretained_len(&self) -> u64 {
        self.queue.len()
    }

    /// Returns how many references all holders have.
    pub(crate) fn references_len(&self) -> u64 {
        self.references.len()
    }

    pub(crate) fn get(&self, module_hash: &StoredHash) -> Option<StoredRetention> {
        self.records.get(module_hash)
    }

    /// Puts a record in the place of what was there, and returns that.
    pub(crate) fn put(&mut self, module_hash: &StoredHash, record: StoredRetention) -> Option<StoredRetention> {
        let replaced = self.records.insert(*module_hash, record);
        self.move_in_queue(module_hash, replaced.as_ref(), Some(&record));
        replaced
    }

    /// Removes the record of a module that nobody retains, and returns it.
    pub(crate) fn remove(&mut self, module_hash: &StoredHash) -> Option<StoredRetention> {
        let removed = self.records.remove(module_hash);
        self.move_in_queue(module_hash, removed.as_ref(), None);
        removed
    }

    fn move_in_queue(
        &mut self,
        module_hash: &StoredHash,
        from: Option<&StoredRetention>,
        to: Option<&StoredRetention>,
    ) {
        let key = |record: Option<&StoredRetention>| {
            let record = record.filter(|record| record.references == 0)?;
            Some(DueKey::new(record.condemned, record.since_ns, module_hash))
        };
        let (from, to) = (key(from), key(to));
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.queue.remove(&from);
        }
        if let Some(to) = to {
            self.queue.insert(to, ());
        }
    }

    /// Returns the module that nobody retains, or that is condemned, for the longest time, if that began by `until_ns`.
    pub(crate) fn first_due(&self, condemned: bool, until_ns: u64) -> Option<StoredHash> {
        let first = DueKey::new(condemned, 0, &[0; Hash::BYTES]);
        let last = DueKey::new(condemned, until_ns, &[u8::MAX; Hash::BYTES]);
        self.queue.keys_range(first..=last).next().map(|key| key.module_hash())
    }

    /// Returns modules and what is certified about them, in the order of hashes, between two hashes.
    pub(crate) fn certified(
        &self,
        range: (Bound<StoredHash>, Bound<StoredHash>),
    ) -> impl DoubleEndedIterator<Item = (StoredHash, StoredHash)> + use<'_, M> {
        self.records.range(range).map(|entry| (*entry.key(), entry.value().certified))
    }

    /// Notes down that a holder retains a module; returns false when it did already.
    pub(crate) fn add_reference(&mut self, holder: &Principal, module_hash: &Hash) -> bool {
        self.references.insert(UploadKey::new(holder, module_hash), ()).is_none()
    }

    /// Forgets that a holder retains a module; returns false when it did not.
    pub(crate) fn remove_reference(&mut self, holder: &Principal, module_hash: &Hash) -> bool {
        self.references.remove(&UploadKey::new(holder, module_hash)).is_some()
    }

    /// Returns true when a holder retains a module.
    pub(crate) fn has_reference(&self, holder: &Principal, module_hash: &Hash) -> bool {
        self.references.contains_key(&UploadKey::new(holder, module_hash))
    }

    /// Returns the modules that a holder retains, ascending, those behind `after` if it is given.
    pub(crate) fn references_of(
        &self,
        holder: &Principal,
        after: Option<&Hash>,
    ) -> impl Iterator<Item = Hash> + use<'_, M> {
        let (first, last) = UploadKey::range_of(holder);
        let start = match after {
            None => Bound::Included(first),
            Some(after) => Bound::Excluded(UploadKey::new(holder, after)),
        };
        self.references.keys_range((start, Bound::Included(last))).map(|key| key.module_hash())
    }

    /// Returns all records, after a check that the queue has exactly those that nobody retains.
    #[cfg(test)]
    pub(crate) fn records(&self) -> Vec<(StoredHash, StoredRetention)> {
        let records: Vec<_> = self.records.iter().map(|entry| (*entry.key(), entry.value())).collect();
        let unretained = records.iter().filter(|(_, record)| record.references == 0);
        let mut expected: Vec<DueKey> =
            unretained.map(|(hash, record)| DueKey::new(record.condemned, record.since_ns, hash)).collect();
        expected.sort_unstable();
        assert_eq!(self.queue.keys().collect::<Vec<_>>(), expected);
        records
    }
}
