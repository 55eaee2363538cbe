//! Shows deployments.

use candid::Principal;
use depot_types::{
    factory::{Deployment, DeploymentPage, ListDeploymentsArgs},
    limits::DEFAULT_PAGE_ENTRIES,
};
use ic_stable_structures::Memory;

use crate::{Factory, limits::MAX_DEPLOYMENTS_PER_PAGE, runtime::Runtime};

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Returns a deployment.
    pub fn deployment(&self, id: u64) -> Option<Deployment> {
        self.job(id).map(|job| job.to_wire())
    }

    /// Returns the deployment that the caller gave this key to.
    pub fn deployment_by_key(&self, caller: Principal, key: &str) -> Option<Deployment> {
        let id = self.read(|state| state.jobs.by_key(&caller, key))?;
        self.deployment(id)
    }

    /// Returns a page of deployments, newest first.
    pub fn list_deployments(&self, args: ListDeploymentsArgs) -> DeploymentPage {
        let limit = args.limit.unwrap_or(DEFAULT_PAGE_ENTRIES).clamp(1, MAX_DEPLOYMENTS_PER_PAGE) as usize;
        self.read(|state| {
            let mut jobs = state.jobs.newest_first(args.owner.as_ref(), args.before);
            let deployments: Vec<Deployment> = jobs.by_ref().take(limit).map(|job| job.to_wire()).collect();
            let is_last = jobs.next().is_none();
            let next = if is_last { None } else { deployments.last().map(|deployment| deployment.id) };
            DeploymentPage { deployments, next }
        })
    }
}
