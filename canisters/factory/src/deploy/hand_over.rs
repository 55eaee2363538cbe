//! Last step: the canister into the hands of its controllers.

use candid::Principal;
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::StoredJob,
    runtime::{CallError, ManagementMethod, Runtime, Verdict},
};

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn hand_over(&self, job: StoredJob) -> Progress {
        let Some(canister_id) = job.canister_id else { return self.fail_incomplete(job.id) };
        self.intend(job.id);
        match self.runtime.set_controllers(canister_id, job.controllers()).await {
            Ok(()) => {
                let progress = self.succeed(job.id);
                self.count_call(ManagementMethod::UpdateSettings);
                progress
            }
            Err(error) => match error.verdict() {
                Verdict::Retry => self.retry_or_fail(job.id, ManagementMethod::UpdateSettings.name(), &error),
                Verdict::Refused | Verdict::Unknown | Verdict::Unreadable => {
                    self.settle_hand_over(job, canister_id, error).await
                }
            },
        }
    }

    /// Finds out whether an earlier call, whose answer was lost, handed the canister over already.
    async fn settle_hand_over(&self, job: StoredJob, canister_id: Principal, refusal: CallError) -> Progress {
        match self.runtime.controllers_of(canister_id).await {
            Ok(controllers) => {
                // The factory was the only controller. If it is none any more, it was its own call that took effect,
                // whatever the new controllers changed since.
                let own_id = self.own_id();
                let is_handed_over = !controllers.contains(&own_id) || is_same_set(&controllers, &job.controllers());
                let progress = if is_handed_over {
                    self.succeed(job.id)
                } else {
                    self.retry_or_fail(job.id, ManagementMethod::UpdateSettings.name(), &refusal)
                };
                self.count_call(ManagementMethod::CanisterInfo);
                progress
            }
            Err(error) => self.retry_or_fail(job.id, ManagementMethod::CanisterInfo.name(), &error),
        }
    }
}

fn is_same_set(left: &[Principal], right: &[Principal]) -> bool {
    left.len() == right.len() && left.iter().all(|principal| right.contains(principal))
}
