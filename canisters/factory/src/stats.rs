//! Numbers for operators.

use depot_types::{
    factory::{FactoryStats, ManagementCalls},
    usage::MethodUsage,
};
use ic_stable_structures::Memory;

use crate::{Factory, runtime::Runtime};

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Returns what the factory did so far. `methods` is what its update methods cost.
    pub fn stats(&self, methods: Vec<MethodUsage>) -> FactoryStats {
        self.read(|state| FactoryStats {
            deployments: state.jobs.count(),
            in_progress: state.jobs.open_count(),
            staged_chunks: state.staging.present().len() as u64,
            management_calls: state
                .management_calls
                .iter()
                .map(|entry| entry.into_pair())
                .map(|(method, count)| ManagementCalls { method, count })
                .collect(),
            methods,
        })
    }
}
