//! Third step: the module's chunks into the factory's own chunk store.

use std::collections::BTreeSet;

use depot_types::{Hash, factory::FailureReason};
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::{StoredJob, StoredStep},
    limits::{MAX_STAGE_ROUNDS, MAX_STORE_LOOKS, MAX_WAITS_FOR_STORE},
    runtime::{CallError, ManagementMethod, RejectCode, Runtime},
    staging::{Admission, NextChunk, Shortage},
};

/// What to do in a round of staging.
enum Plan {
    /// Ask the store what it holds: to know it, or to let others make progress.
    Look,
    /// Clear the store.
    Clear,
    /// Copy a chunk.
    Copy(Hash),
    /// Nothing is left to do.
    Done,
    /// There is no room yet.
    Later(Shortage),
}

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn stage(&self, job: StoredJob) -> Progress {
        let id = job.id;
        let hashes = job.chunk_hashes();
        self.intend(id);
        let mut looks = 0;
        for _ in 0..MAX_STAGE_ROUNDS {
            let round = match self.plan_round(id, &hashes) {
                Plan::Done => return self.advance(id, StoredStep::Create, |_| {}),
                Plan::Look if looks == MAX_STORE_LOOKS => break,
                Plan::Look => {
                    looks += 1;
                    self.look_into_store(id).await
                }
                Plan::Clear => self.clear_store(id, &hashes).await,
                Plan::Copy(hash) => self.copy_chunk(id, hash).await,
                Plan::Later(shortage) => return self.retry_up_to(MAX_WAITS_FOR_STORE, id, true, full(shortage)),
            };
            if let Err(progress) = round {
                return progress;
            }
        }
        let error = CallError::NotMade { message: "others are still staging the same chunks".to_string() };
        let reason = FailureReason::CallFailed(error.to_failure(ManagementMethod::UploadChunk.name()));
        self.retry_up_to(MAX_WAITS_FOR_STORE, id, true, reason)
    }

    fn plan_round(&self, id: u64, hashes: &[Hash]) -> Plan {
        if !self.store.is_reliable() {
            return Plan::Look;
        }
        self.mutate(|state| match state.staging.lease(id, hashes) {
            Admission::Admitted => match state.staging.next(id, hashes, |job| self.running.contains(job)) {
                NextChunk::Copy(hash) => Plan::Copy(hash),
                NextChunk::Wait => Plan::Look,
                NextChunk::Complete => Plan::Done,
            },
            Admission::MustClear => Plan::Clear,
            Admission::Later(shortage) => Plan::Later(shortage),
        })
    }

    /// Asks the store what it holds and corrects the table of chunks.
    pub(super) async fn look_into_store(&self, id: u64) -> Result<(), Progress> {
        let known = self.read(|state| state.staging.present());
        let mark = self.store.mark();
        match self.runtime.stored_chunks().await {
            Ok(stored) => {
                if self.store.confirm(mark) {
                    let stored: BTreeSet<Hash> = stored.into_iter().collect();
                    self.mutate(|state| state.staging.reconcile(&known, &stored));
                }
                self.count_call(ManagementMethod::StoredChunks);
                Ok(())
            }
            Err(error) => Err(self.retry_or_fail(id, ManagementMethod::StoredChunks.name(), &error)),
        }
    }

    /// Clears the store. Nobody else leases anything: that was found in this same message.
    async fn clear_store(&self, id: u64, hashes: &[Hash]) -> Result<(), Progress> {
        self.mutate(|state| state.staging.begin_clear(id, hashes));
        let clearing = self.store.begin_clear();
        let answer = self.runtime.clear_chunk_store().await;
        drop(clearing);
        match answer {
            Ok(()) => {
                self.count_call(ManagementMethod::ClearChunkStore);
                Ok(())
            }
            Err(error) => {
                self.store.distrust();
                Err(self.retry_or_fail(id, ManagementMethod::ClearChunkStore.name(), &error))
            }
        }
    }

    /// Fetches a chunk, checks it, and puts it into the store.
    async fn copy_chunk(&self, id: u64, hash: Hash) -> Result<(), Progress> {
        let blob_store = self.config().blob_store;
        self.mutate(|state| state.staging.begin_copy(id, hash));
        let fetched = self.runtime.get_chunk(blob_store, hash).await;
        let refused = |progress| {
            self.mutate(|state| state.staging.end_copy(id, hash, false));
            Err(progress)
        };
        let bytes = match fetched {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let module_hash = self.job(id).and_then(|job| job.module_hash()).unwrap_or_default();
                return refused(self.fail(id, FailureReason::UnknownModule { module_hash }));
            }
            Err(error) => return refused(self.retry_or_fail_question(id, "get_chunk", &error)),
        };
        let received = Hash::of(&bytes);
        if received != hash {
            return refused(self.fail(id, FailureReason::WrongChunk { expected: hash, received }));
        }
        match self.runtime.upload_chunk(bytes).await {
            Ok(()) => {
                self.mutate(|state| state.staging.end_copy(id, hash, true));
                // Staging makes progress with each chunk, however often it was held up by rate limits before.
                self.change_job(id, |job| {
                    job.chunks_staged += 1;
                    job.attempts = 0;
                });
                self.count_call(ManagementMethod::UploadChunk);
                Ok(())
            }
            Err(error) => {
                let method = ManagementMethod::UploadChunk.name();
                let is_full = matches!(error, CallError::Rejected { code: RejectCode::CanisterError, .. });
                if is_full {
                    // Room was reserved, so the store holds what the factory does not know of: look, then try again.
                    self.store.distrust();
                    return refused(self.retry_later(id, true, FailureReason::CallFailed(error.to_failure(method))));
                }
                refused(self.retry_or_fail(id, method, &error))
            }
        }
    }
}

fn full(shortage: Shortage) -> FailureReason {
    FailureReason::ChunkStoreFull { needed: shortage.needed, available: shortage.available }
}
