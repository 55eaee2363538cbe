//! What each principal has in the store.

use candid::Principal;
use ic_stable_structures::{Memory, StableBTreeMap};

use crate::storable::StoredAccount;

/// Bytes of the modules that each principal sealed. Who has none has no record.
pub(crate) struct Accounts<M: Memory>(StableBTreeMap<Principal, StoredAccount, M>);

impl<M: Memory> Accounts<M> {
    pub(crate) fn open(memory: M) -> Self {
        Self(StableBTreeMap::init(memory))
    }

    pub(crate) fn stored_bytes(&self, principal: &Principal) -> u64 {
        self.0.get(principal).unwrap_or_default().stored_bytes
    }

    pub(crate) fn add(&mut self, principal: &Principal, bytes: u64) {
        let stored_bytes = self.stored_bytes(principal) + bytes;
        self.0.insert(*principal, StoredAccount { stored_bytes });
    }

    pub(crate) fn remove(&mut self, principal: &Principal, bytes: u64) {
        let rest = self.stored_bytes(principal).checked_sub(bytes).expect("BUG: the bytes of an account are wrong");
        if rest == 0 {
            self.0.remove(principal);
        } else {
            self.0.insert(*principal, StoredAccount { stored_bytes: rest });
        }
    }

    /// Returns all records.
    #[cfg(test)]
    pub(crate) fn records(&self) -> Vec<(Principal, u64)> {
        self.0.iter().map(|entry| (*entry.key(), entry.value().stored_bytes)).collect()
    }
}
