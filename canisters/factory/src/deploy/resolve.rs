//! First step: what does the source mean?

use depot_types::factory::{FailureReason, ModuleSource};
use ic_stable_structures::Memory;

use super::drive::Progress;
use crate::{
    Factory,
    jobs::{StoredJob, StoredStep, to_stored},
    runtime::Runtime,
};

impl<R: Runtime, M: Memory> Factory<R, M> {
    pub(super) async fn resolve(&self, job: StoredJob) -> Progress {
        let source = match job.request.source.clone().into() {
            ModuleSource::Catalog(source) => source,
            ModuleSource::Module { module_hash } => {
                return self.advance(job.id, StoredStep::Inspect, |job| job.module_hash = Some(to_stored(module_hash)));
            }
        };
        let catalog = self.config().catalog;
        self.intend(job.id);
        match self.runtime.resolve(catalog, &source).await {
            // From here on the deployment goes by the hash: what the source means later is of no concern to it.
            Ok(Ok(resolved)) => self.advance(job.id, StoredStep::Inspect, |job| {
                job.module_hash = Some(to_stored(resolved.module_hash));
                job.version = resolved.version;
            }),
            Ok(Err(error)) => self.fail(job.id, FailureReason::Unresolved(error)),
            Err(error) => self.retry_or_fail_question(job.id, "resolve", &error),
        }
    }
}
