//! Drives a deployment from step to step, and stores what comes of each.

use std::time::Duration;

use depot_types::factory::FailureReason;
use ic_stable_structures::Memory;

use crate::{
    Factory,
    jobs::{StoredJob, StoredOutcome, StoredStep},
    limits::{FIRST_BACKOFF, MAX_ATTEMPTS, MAX_ATTEMPTS_WITH_CANISTER, MAX_BACKOFF, WATCHDOG_INTERVAL},
    runtime::{CallError, RejectCode, Runtime, Verdict},
};

/// What a step came to. The record says so already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Progress {
    /// There is a next step.
    Next,
    /// The step is to be tried again later.
    Paused,
    /// The deployment has ended.
    Ended,
}

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Drives a deployment until it ends or has to wait. Does nothing when it has a driver or has ended.
    pub async fn drive(&self, id: u64) {
        let Some(_guard) = self.running.lock(id) else { return };
        while let Some(job) = self.job(id).filter(|job| job.outcome.is_none()) {
            let progress = match job.step {
                StoredStep::Resolve => self.resolve(job).await,
                StoredStep::Inspect => self.inspect(job).await,
                StoredStep::Stage => self.stage(job).await,
                StoredStep::Create => self.create(job).await,
                StoredStep::Install => self.install_module(job).await,
                StoredStep::Verify => self.verify(job).await,
                StoredStep::HandOver => self.hand_over(job).await,
            };
            match progress {
                Progress::Next => {}
                Progress::Paused | Progress::Ended => return,
            }
        }
    }

    /// Returns the deployments in progress that have no driver and need not wait any longer.
    pub fn due_deployments(&self) -> Vec<u64> {
        let now_ns = self.runtime.now_ns();
        self.idle_jobs(|jobs| jobs.filter(|job| job.not_before_ns <= now_ns).map(|job| job.id).collect())
    }

    /// Returns after what delay deployments should be looked after; `None` when none is in progress.
    pub fn next_look(&self) -> Option<Duration> {
        if self.read(|state| state.jobs.open_count()) == 0 {
            return None;
        }
        let now_ns = self.runtime.now_ns();
        let earliest_ns = self.idle_jobs(|jobs| jobs.map(|job| job.not_before_ns).min());
        let delay = earliest_ns.map(|time_ns| Duration::from_nanos(time_ns.saturating_sub(now_ns)));
        // Never at once: deployments that are due have drivers under way by then.
        Some(delay.map_or(WATCHDOG_INTERVAL, |delay| delay.clamp(FIRST_BACKOFF, WATCHDOG_INTERVAL)))
    }

    fn idle_jobs<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = StoredJob>) -> T) -> T {
        self.read(|state| look(&mut state.jobs.open_jobs().filter(|job| !self.running.contains(job.id))))
    }

    /// Stores the intent to make a call of the step that the deployment is at.
    pub(super) fn intend(&self, id: u64) {
        self.change_job(id, |job| job.in_flight = true);
    }

    /// Stores that a step was taken, with what it brought.
    pub(super) fn advance(&self, id: u64, next: StoredStep, record: impl FnOnce(&mut StoredJob)) -> Progress {
        let now_ns = self.runtime.now_ns();
        self.change_job(id, |job| {
            record(job);
            job.step = next;
            job.in_flight = false;
            job.attempts = 0;
            job.not_before_ns = 0;
            job.updated_at_ns = now_ns;
        });
        Progress::Next
    }

    /// Stores that the deployment is done.
    pub(super) fn succeed(&self, id: u64) -> Progress {
        self.end(id, StoredOutcome::Succeeded)
    }

    /// Stores that the deployment failed at the step that it is at.
    pub(super) fn fail(&self, id: u64, reason: FailureReason) -> Progress {
        self.end(id, StoredOutcome::failed(reason))
    }

    fn end(&self, id: u64, outcome: StoredOutcome) -> Progress {
        let now_ns = self.runtime.now_ns();
        self.change_job(id, |job| {
            job.in_flight = false;
            job.outcome = Some(outcome);
            job.updated_at_ns = now_ns;
        });
        self.mutate(|state| state.staging.release(id));
        Progress::Ended
    }

    /// Stores that the step shall be tried again after a while; after too many tries the deployment fails for the
    /// reason given. `is_settled` tells that nothing of the step is under way any more.
    pub(super) fn retry_later(&self, id: u64, is_settled: bool, reason: FailureReason) -> Progress {
        let has_canister = self.job(id).is_some_and(|job| job.canister_id.is_some());
        let max_attempts = if has_canister { MAX_ATTEMPTS_WITH_CANISTER } else { MAX_ATTEMPTS };
        self.retry_up_to(max_attempts, id, is_settled, reason)
    }

    /// Does the same with so many tries at the most.
    pub(super) fn retry_up_to(&self, max_attempts: u32, id: u64, is_settled: bool, reason: FailureReason) -> Progress {
        let now_ns = self.runtime.now_ns();
        let attempts = self.change_job(id, |job| {
            job.attempts += 1;
            job.in_flight = job.in_flight && !is_settled;
            job.not_before_ns = now_ns.saturating_add(backoff(job.attempts).as_nanos() as u64);
            job.attempts
        });
        match attempts {
            Some(attempts) if attempts < max_attempts => Progress::Paused,
            _ => self.fail(id, reason),
        }
    }

    /// Stores the failure of a call that does no harm when repeated: it is tried again unless that is pointless.
    pub(super) fn retry_or_fail(&self, id: u64, method: &str, error: &CallError) -> Progress {
        let reason = FailureReason::CallFailed(error.to_failure(method));
        match error.verdict() {
            Verdict::Retry => self.retry_later(id, true, reason),
            Verdict::Unknown => self.retry_later(id, false, reason),
            Verdict::Refused | Verdict::Unreadable => self.fail(id, reason),
        }
    }

    /// Stores the failure of a question to the catalog or the blob store. That one of them is stopped, as it is for an
    /// upgrade, looks like an error of the canister and passes.
    pub(super) fn retry_or_fail_question(&self, id: u64, method: &str, error: &CallError) -> Progress {
        match error {
            CallError::Rejected { code: RejectCode::CanisterError, .. } => {
                self.retry_later(id, true, FailureReason::CallFailed(error.to_failure(method)))
            }
            _ => self.retry_or_fail(id, method, error),
        }
    }

    /// Stores the failure of a deployment whose record lacks what its step needs, which only a defect of this code can
    /// bring about. A trap instead would be tried again for ever.
    pub(super) fn fail_incomplete(&self, id: u64) -> Progress {
        let error = CallError::NotMade { message: "BUG: the record of the deployment is incomplete".to_string() };
        self.fail(id, FailureReason::CallFailed(error.to_failure("")))
    }

    /// Changes the record of a deployment; returns `None` when there is none.
    pub(super) fn change_job<T>(&self, id: u64, change: impl FnOnce(&mut StoredJob) -> T) -> Option<T> {
        self.mutate(|state| {
            let mut job = state.jobs.get(id)?;
            let result = change(&mut job);
            state.jobs.put(job);
            Some(result)
        })
    }
}

/// Returns the delay after so many tries without progress.
fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(u64::BITS - 1);
    FIRST_BACKOFF.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_wait_twice_as_long_each_time_up_to_a_minute() {
        let seconds: Vec<u64> = (1..=8).map(|attempts| backoff(attempts).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
    }
}
