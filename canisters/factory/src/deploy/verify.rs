//! Sixth step: does the canister run what was wanted?

use depot_types::factory::FailureReason;
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::{StoredJob, StoredStep},
    runtime::{ManagementMethod, Runtime},
};

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn verify(&self, job: StoredJob) -> Progress {
        let (Some(canister_id), Some(expected)) = (job.canister_id, job.module_hash()) else {
            return self.fail_incomplete(job.id);
        };
        self.intend(job.id);
        match self.runtime.module_hash_of(canister_id).await {
            Ok(received) => {
                let progress = if received == Some(expected) {
                    self.advance(job.id, StoredStep::HandOver, |_| {})
                } else {
                    self.fail(job.id, FailureReason::WrongModule { expected, received })
                };
                self.count_call(ManagementMethod::CanisterStatus);
                progress
            }
            Err(error) => self.retry_or_fail(job.id, ManagementMethod::CanisterStatus.name(), &error),
        }
    }
}
