//! Fourth step: the canister. The one step that must never be taken twice.

use candid::Nat;
use depot_types::factory::FailureReason;
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::{StoredJob, StoredStep},
    runtime::{ManagementMethod, Runtime, Verdict},
};

/// Bytes that settings and environment variables of a canister encode to at the most, with room to spare.
const MAX_CREATE_ARGUMENT_BYTES: u64 = 16_384;

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn create(&self, job: StoredJob) -> Progress {
        if job.in_flight {
            // The call was made, and its answer never arrived here: there may be a canister.
            return self.fail_creation_unknown(job.id);
        }
        if !self.may_deploy(&job.owner) {
            return self.fail(job.id, FailureReason::NotAllowed { owner: job.owner });
        }
        let method = ManagementMethod::CreateCanister.name();
        let cycles = job.request.cycles;
        let required = cycles.saturating_add(self.runtime.call_cost(method, MAX_CREATE_ARGUMENT_BYTES));
        let reserved = self.read(|state| state.jobs.reserved_cycles(Some(job.id)));
        let available = self.runtime.liquid_cycles().saturating_sub(reserved);
        if available < required {
            let (required, available) = (Nat::from(required), Nat::from(available));
            // Cycles that calls of other deployments hold come back.
            return self.retry_later(job.id, true, FailureReason::InsufficientCycles { required, available });
        }
        self.intend(job.id);
        match self.runtime.create_canister(job.request.new_canister(), cycles).await {
            Ok(canister_id) => {
                let progress = self.advance(job.id, StoredStep::Install, |job| {
                    job.canister_id = Some(canister_id);
                    job.cycles_spent = cycles;
                });
                // What was stored is only sure once this message ends, and it ends with the next call: so one follows
                // at once, before anything else could trap. Its answer does not matter.
                let _ = self.runtime.controllers_of(canister_id).await;
                self.count_call(ManagementMethod::CreateCanister);
                progress
            }
            Err(error) => {
                let reason = FailureReason::CallFailed(error.to_failure(method));
                match error.verdict() {
                    Verdict::Retry => self.retry_later(job.id, true, reason),
                    Verdict::Refused => self.fail(job.id, reason),
                    Verdict::Unknown | Verdict::Unreadable => self.fail_creation_unknown(job.id),
                }
            }
        }
    }

    fn fail_creation_unknown(&self, id: u64) -> Progress {
        // The cycles were attached, so they count as spent, though they may have come back.
        self.change_job(id, |job| job.cycles_spent = job.request.cycles);
        self.fail(id, FailureReason::CreationUnknown)
    }
}
