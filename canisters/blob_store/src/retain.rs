//! Holders retain modules and release them.
//!
//! What a holder retains is a set, so that a call whose answer was lost can be repeated without harm.

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{ListRetainedArgs, RetainError, RetainOk, RetainedPage, Retention, RetentionKind},
    limits::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES, MAX_RETAINED_PER_CALL},
};
use ic_stable_structures::Memory;

use crate::{
    limits::CONDEMNED_NS,
    pages,
    state::State,
    storable::{StoredHash, StoredHolder, StoredModule, StoredRetention},
};

impl<M: Memory> State<M> {
    /// Makes the caller retain those of the modules that are sealed, and returns the others.
    ///
    /// # Errors
    /// [`RetainError`]; nothing was changed.
    pub fn retain(&mut self, caller: Principal, module_hashes: &[Hash]) -> Result<RetainOk, RetainError> {
        let mut holder = self.check_holder(caller, module_hashes)?;
        self.room.check(0).map_err(RetainError::StorageFull)?;
        let mut unknown = Vec::new();
        for module_hash in module_hashes {
            let Some(record) = self.retention_record(module_hash, 0) else {
                unknown.push(*module_hash);
                continue;
            };
            if self.retentions.add_reference(&caller, module_hash) {
                holder.references += 1;
                let references = record.references + 1;
                let record = StoredRetention { references, condemned: false, ..record };
                self.put_retention(module_hash.as_bytes(), record);
            }
        }
        self.holders.insert(caller, holder);
        Ok(RetainOk { unknown })
    }

    /// Makes the caller retain none of the modules any more, sealed or not.
    ///
    /// # Errors
    /// [`RetainError`]; nothing was changed.
    pub fn release(&mut self, caller: Principal, now_ns: u64, module_hashes: &[Hash]) -> Result<(), RetainError> {
        self.check_holder(caller, module_hashes)?;
        for module_hash in module_hashes {
            self.drop_reference(caller, now_ns, module_hash);
        }
        Ok(())
    }

    /// Returns a page of what a holder retains.
    pub fn list_retained(&self, args: &ListRetainedArgs) -> RetainedPage {
        let ListRetainedArgs { holder, after, limit } = args;
        let limit = limit.unwrap_or(DEFAULT_PAGE_ENTRIES).clamp(1, MAX_PAGE_ENTRIES) as usize;
        let mut modules: Vec<Hash> = self.retentions.references_of(holder, after.as_ref()).take(limit + 1).collect();
        let more = modules.len() > limit;
        modules.truncate(limit);
        let next = if more { modules.last().copied() } else { None };
        RetainedPage { modules, next }
    }

    /// Returns why a sealed module is kept, and for how long.
    pub fn retention(&self, module_hash: &Hash) -> Option<Retention> {
        if !self.modules.contains(module_hash) {
            return None;
        }
        let Some(record) = self.retentions.get(module_hash.as_bytes()) else {
            return Some(Retention::Unretained { since_ns: None, condemned_at_ns: None });
        };
        let StoredRetention { references, condemned, since_ns, .. } = record;
        Some(if references > 0 {
            let holders = self.holders.keys().filter(|holder| self.retentions.has_reference(holder, module_hash));
            Retention::Retained { holders: holders.collect() }
        } else if condemned {
            Retention::Condemned { since_ns, removed_at_ns: since_ns.saturating_add(CONDEMNED_NS) }
        } else {
            let condemned_at_ns = since_ns.saturating_add(self.header.grace_period_ns());
            Retention::Unretained { since_ns: Some(since_ns), condemned_at_ns: Some(condemned_at_ns) }
        })
    }

    /// Returns why a sealed module is kept, in short.
    pub(crate) fn retention_kind(&self, module_hash: &StoredHash) -> RetentionKind {
        match self.retentions.get(module_hash) {
            Some(record) if record.references > 0 => RetentionKind::Retained,
            Some(record) if record.condemned => RetentionKind::Condemned,
            _ => RetentionKind::Unretained,
        }
    }

    /// Gives a module that nobody retains its whole grace period again.
    pub(crate) fn keep(&mut self, module_hash: &Hash, now_ns: u64) {
        if let Some(record) = self.retention_record(module_hash, now_ns)
            && record.references == 0
        {
            let record = StoredRetention { condemned: false, since_ns: now_ns, ..record };
            self.put_retention(module_hash.as_bytes(), record);
        }
    }

    /// Forgets that a holder retains a module, if it does.
    pub(crate) fn drop_reference(&mut self, holder: Principal, now_ns: u64, module_hash: &Hash) {
        if !self.retentions.remove_reference(&holder, module_hash) {
            return;
        }
        let record = self.holders.get(&holder).expect("BUG: a reference has no holder");
        self.holders.insert(holder, StoredHolder { references: record.references - 1, ..record });
        let record = self.retentions.get(module_hash.as_bytes()).expect("BUG: a retained module is missing");
        let record = StoredRetention { references: record.references - 1, since_ns: now_ns, ..record };
        self.put_retention(module_hash.as_bytes(), record);
    }

    /// Makes the records that a module needs besides its own: it is unretained from the time given on.
    pub(crate) fn begin_retention(
        &mut self,
        module_hash: &StoredHash,
        module: &StoredModule,
        since_ns: u64,
    ) -> StoredRetention {
        let certified = pages::certified(module_hash, module, None).digest();
        let record = StoredRetention { references: 0, condemned: false, since_ns, certified };
        self.accounts.add(&module.sealed_by, module.size);
        self.put_retention(module_hash, record);
        self.certificates.update(&self.retentions, module_hash);
        record
    }

    pub(crate) fn put_retention(&mut self, module_hash: &StoredHash, record: StoredRetention) {
        let replaced = self.retentions.put(module_hash, record);
        self.header.count_condemned(replaced.is_some_and(|replaced| replaced.condemned), record.condemned);
    }

    /// Returns the record of a sealed module. One of an earlier layout that was not adopted yet is, now.
    fn retention_record(&mut self, module_hash: &Hash, now_ns: u64) -> Option<StoredRetention> {
        let module_hash = module_hash.as_bytes();
        self.retentions.get(module_hash).or_else(|| {
            let module = self.modules.get(module_hash)?;
            Some(self.begin_retention(module_hash, &module, now_ns))
        })
    }

    fn check_holder(&self, caller: Principal, module_hashes: &[Hash]) -> Result<StoredHolder, RetainError> {
        let holder = self.holders.get(&caller).filter(|holder| !holder.leaving);
        let holder = holder.ok_or(RetainError::NotHolder { caller })?;
        if module_hashes.len() > MAX_RETAINED_PER_CALL {
            let received = u32::try_from(module_hashes.len()).unwrap_or(u32::MAX);
            return Err(RetainError::TooManyHashes { received, max: MAX_RETAINED_PER_CALL as u32 });
        }
        Ok(holder)
    }
}

#[cfg(test)]
mod tests;
