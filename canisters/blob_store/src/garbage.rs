//! Cleaning up, in slices: expired uploads, references of removed holders, modules that nobody retains; and what an
//! upgrade left to be done.
//!
//! A module goes in two steps. It is *condemned* when nobody retained it for the grace period, and *removed* when it was
//! condemned for a while: whoever knew it before it was condemned and reads it comes to the end, and whoever wants to
//! keep it can see that it is about to go. Only then are its chunks free to be overwritten.

use depot_types::{
    Hash,
    blob_store::{GarbageError, GarbageReport},
};
use ic_stable_structures::Memory;

use crate::{
    access::Caller,
    chunks::Freed,
    limits::{
        CONDEMNED_NS, MAX_ADOPTED_PER_SLICE, MAX_CONDEMNED_PER_SLICE, MAX_REFERENCES_PER_SLICE, MAX_REMOVED_PER_SLICE,
        MAX_UPLOADS_PER_SLICE,
    },
    state::State,
    storable::{StoredHash, StoredRetention},
};

impl<M: Memory> State<M> {
    /// Does one slice of cleaning up for a controller.
    ///
    /// # Errors
    /// [`GarbageError::NotController`]; nothing was changed.
    pub fn collect_garbage(&mut self, caller: Caller, now_ns: u64) -> Result<GarbageReport, GarbageError> {
        if caller.is_controller {
            Ok(self.collect(now_ns))
        } else {
            Err(GarbageError::NotController { caller: caller.principal })
        }
    }

    /// Does one slice of cleaning up.
    pub fn collect(&mut self, now_ns: u64) -> GarbageReport {
        let mut report = GarbageReport::default();
        self.remove_expired_uploads(now_ns, &mut report);
        self.drop_references_of_removed_holders(now_ns, &mut report);
        self.adopt_modules(now_ns, &mut report);
        let (renewed, is_done) = self.renew_certificates();
        report.certificates_renewed = renewed;
        report.more |= !is_done;
        self.condemn_modules(now_ns, &mut report);
        self.remove_modules(now_ns, &mut report);
        report
    }

    fn remove_expired_uploads(&mut self, now_ns: u64, report: &mut GarbageReport) {
        while let Some(key) = self.sessions.first_expired(now_ns) {
            if report.uploads_removed == MAX_UPLOADS_PER_SLICE {
                report.more = true;
                return;
            }
            report.bytes_freed += self.drop_upload(&key);
            report.uploads_removed += 1;
        }
    }

    fn drop_references_of_removed_holders(&mut self, now_ns: u64, report: &mut GarbageReport) {
        let leaving = self.holders.iter().filter(|entry| entry.value().leaving).map(|entry| *entry.key());
        for holder in leaving.collect::<Vec<_>>() {
            let left = (MAX_REFERENCES_PER_SLICE - report.references_dropped) as usize;
            let modules: Vec<Hash> = self.retentions.references_of(&holder, None).take(left).collect();
            for module_hash in &modules {
                self.drop_reference(holder, now_ns, module_hash);
            }
            report.references_dropped += modules.len() as u32;
            if self.retentions.references_of(&holder, None).next().is_some() {
                report.more = true;
                return;
            }
            self.holders.remove(&holder);
        }
    }

    /// Makes the records of modules that an earlier layout did not have.
    fn adopt_modules(&mut self, now_ns: u64, report: &mut GarbageReport) {
        let Some(mut adopted) = self.header.adopted() else { return };
        let max = MAX_ADOPTED_PER_SLICE as usize;
        let next: Vec<_> = self.modules.behind(Some(&adopted)).take(max + 1).collect();
        for (module_hash, module) in next.iter().take(max) {
            if self.retentions.get(module_hash).is_none() {
                self.begin_retention(module_hash, module, now_ns);
                report.modules_adopted += 1;
            }
            adopted = *module_hash;
        }
        let more = next.len() > max;
        self.header.set_adopted(more.then_some(adopted));
        report.more |= more;
    }

    fn condemn_modules(&mut self, now_ns: u64, report: &mut GarbageReport) {
        let Some(until_ns) = now_ns.checked_sub(self.header.grace_period_ns()) else { return };
        while let Some(module_hash) = self.retentions.first_due(false, until_ns) {
            if report.modules_condemned == MAX_CONDEMNED_PER_SLICE {
                report.more = true;
                return;
            }
            let record = self.retentions.get(&module_hash).expect("BUG: a module in the queue has no record");
            let record = StoredRetention { condemned: true, since_ns: now_ns, ..record };
            self.put_retention(&module_hash, record);
            report.modules_condemned += 1;
        }
    }

    fn remove_modules(&mut self, now_ns: u64, report: &mut GarbageReport) {
        let Some(until_ns) = now_ns.checked_sub(CONDEMNED_NS) else { return };
        while let Some(module_hash) = self.retentions.first_due(true, until_ns) {
            if report.modules_removed == MAX_REMOVED_PER_SLICE {
                report.more = true;
                return;
            }
            report.bytes_freed += self.remove_module(&module_hash);
            report.modules_removed += 1;
        }
    }

    /// Removes a condemned module with all that belongs to it, and returns the bytes of chunks that this freed.
    fn remove_module(&mut self, module_hash: &StoredHash) -> u64 {
        let record = self.retentions.remove(module_hash).expect("BUG: a condemned module has no record");
        self.header.count_condemned(record.condemned, false);
        self.certificates.update(&self.retentions, module_hash);
        let module = self.modules.remove(module_hash).expect("BUG: a condemned module is missing");
        let freed: Freed = module.chunk_hashes().iter().map(|hash| self.chunks.unseal(hash)).sum();
        self.header.remove_chunks(freed);
        self.accounts.remove(&module.sealed_by, module.size);
        freed.bytes
    }
}

#[cfg(test)]
mod tests;
