use candid::Principal;
use depot_types::factory::{
    DeployArgs, DeployError, DeployerError, Deployment, DeploymentPage, DeploymentStatus, FactoryStats,
    ListDeploymentsArgs,
};

use super::{Answer, Client};

/// Rounds after which a deployment that has not ended is given up by [`Factory::settled`].
const MAX_ROUNDS: usize = 500;

/// The factory.
#[derive(Clone, Copy)]
pub struct Factory<'a>(pub Client<'a>);

impl Factory<'_> {
    /// Asks for a canister; the answer is the deployment as it stands when the call ends.
    pub fn deploy(&self, args: DeployArgs) -> Answer<Result<Deployment, DeployError>> {
        self.0.update_patiently("deploy", (args,))
    }

    /// Describes a deployment.
    pub fn deployment(&self, id: u64) -> Answer<Option<Deployment>> {
        self.0.query("deployment", (id,))
    }

    /// Describes the sender's deployment of this key.
    pub fn deployment_by_key(&self, key: &str) -> Answer<Option<Deployment>> {
        self.0.query("deployment_by_key", (key,))
    }

    /// Lists deployments, newest first.
    pub fn list_deployments(&self, args: ListDeploymentsArgs) -> Answer<DeploymentPage> {
        self.0.query("list_deployments", (args,))
    }

    /// Counts what the factory did.
    pub fn stats(&self) -> Answer<FactoryStats> {
        self.0.query("stats", ())
    }

    /// Lets a principal deploy.
    pub fn add_deployer(&self, principal: Principal) -> Answer<Result<(), DeployerError>> {
        self.0.update("add_deployer", (principal,))
    }

    /// Waits until a deployment has ended, letting a second pass for every round.
    pub fn settled(&self, deployment: Deployment) -> Answer<Deployment> {
        let mut deployment = deployment;
        for _ in 0..MAX_ROUNDS {
            if !matches!(deployment.status, DeploymentStatus::InProgress { .. }) {
                break;
            }
            self.0.network.advance_time(std::time::Duration::from_secs(1));
            self.0.network.tick();
            deployment = self.deployment(deployment.id)?.unwrap_or(deployment);
        }
        Ok(deployment)
    }

    /// Returns how often a management method was called with success.
    pub fn management_calls(&self, method: &str) -> Answer<u64> {
        let stats = self.stats()?;
        Ok(stats.management_calls.iter().find(|calls| calls.method == method).map_or(0, |calls| calls.count))
    }

    /// Returns who may deploy besides controllers.
    pub fn deployers(&self) -> Answer<Vec<Principal>> {
        self.0.query("deployers", ())
    }
}
