//! Second step: which chunks has the module, and would the Internet Computer install it?

use depot_types::factory::FailureReason;
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::{StoredJob, StoredStep, to_stored},
    limits::CHUNK_STORE_SLOTS,
    runtime::Runtime,
};

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn inspect(&self, job: StoredJob) -> Progress {
        let Some(module_hash) = job.module_hash() else { return self.fail_incomplete(job.id) };
        let blob_store = self.config().blob_store;
        self.intend(job.id);
        match self.runtime.module_info(blob_store, module_hash).await {
            Ok(None) => self.fail(job.id, FailureReason::UnknownModule { module_hash }),
            Ok(Some(info)) if !info.is_deployable() => {
                self.fail(job.id, FailureReason::NotDeployable { obstacles: info.obstacles })
            }
            Ok(Some(info)) if info.chunk_hashes.len() as u64 > CHUNK_STORE_SLOTS => {
                let needed = u32::try_from(info.chunk_hashes.len()).unwrap_or(u32::MAX);
                let available = CHUNK_STORE_SLOTS as u32;
                self.fail(job.id, FailureReason::ChunkStoreFull { needed, available })
            }
            // The list of chunks is not taken on trust: the installation fails unless they make up the module.
            Ok(Some(info)) => self.advance(job.id, StoredStep::Stage, |job| {
                job.chunk_hashes = info.chunk_hashes.into_iter().map(to_stored).collect();
            }),
            Err(error) => self.retry_or_fail_question(job.id, "module_info", &error),
        }
    }
}
