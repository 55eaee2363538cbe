//! Fifth step: the module into the canister.

use std::collections::BTreeSet;

use depot_types::Hash;
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::{StoredJob, StoredStep},
    limits::MAX_RESTAGES,
    runtime::{CallError, Installation, ManagementMethod, Runtime, Verdict},
};

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn install_module(&self, job: StoredJob) -> Progress {
        let (Some(canister_id), Some(module_hash)) = (job.canister_id, job.module_hash()) else {
            return self.fail_incomplete(job.id);
        };
        let installation = Installation {
            canister_id,
            module_hash,
            chunk_hashes: job.chunk_hashes(),
            init_arg: self.read(|state| state.jobs.init_arg(job.id)),
        };
        self.intend(job.id);
        match self.runtime.install(installation).await {
            Ok(()) => {
                let progress = self.advance(job.id, StoredStep::Verify, |_| {});
                self.mutate(|state| state.staging.release(job.id));
                self.count_call(ManagementMethod::InstallChunkedCode);
                progress
            }
            Err(error) => match error.verdict() {
                Verdict::Retry => self.retry_or_fail(job.id, ManagementMethod::InstallChunkedCode.name(), &error),
                Verdict::Refused | Verdict::Unknown | Verdict::Unreadable => {
                    self.settle_installation(job, module_hash, error).await
                }
            },
        }
    }

    /// Finds out why an installation was refused: because an earlier call, whose answer was lost, did it already;
    /// because chunks are not in the store; or because the module cannot be installed.
    async fn settle_installation(&self, job: StoredJob, module_hash: Hash, refusal: CallError) -> Progress {
        let Some(canister_id) = job.canister_id else { return self.fail_incomplete(job.id) };
        match self.runtime.module_hash_of(canister_id).await {
            Ok(running) => {
                self.count_call(ManagementMethod::CanisterStatus);
                if running == Some(module_hash) {
                    return self.advance(job.id, StoredStep::Verify, |_| {});
                }
            }
            Err(error) => return self.retry_or_fail(job.id, ManagementMethod::CanisterStatus.name(), &error),
        }
        if let Err(progress) = self.look_into_store(job.id).await {
            return progress;
        }
        let present = self.read(|state| state.staging.present());
        let needed: BTreeSet<Hash> = job.chunk_hashes().into_iter().collect();
        if !needed.is_subset(&present) && job.restages < MAX_RESTAGES {
            return self.advance(job.id, StoredStep::Stage, |job| job.restages += 1);
        }
        self.retry_or_fail(job.id, ManagementMethod::InstallChunkedCode.name(), &refusal)
    }
}
