//! The factory canister: entry points only. What they do is in the library of this crate.

mod ic;
mod timers;

use candid::Principal;
use depot_types::factory::{
    DeployArgs, DeployError, DeployerError, Deployment, DeploymentPage, FactoryArgs, FactoryStats, ListDeploymentsArgs,
};
use factory::deploy::Begun;

use crate::ic::{caller, factory, measure, usage};

#[ic_cdk::init]
fn init(args: FactoryArgs) {
    ic::install(args);
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    // Nothing is to be saved. But the answer to an open call would come to code that never made the call.
    let driven = factory().driven();
    if driven > 0 {
        ic_cdk::trap(format!(
            "{driven} deployments wait for answers of other canisters: stop the factory, which waits for them, then \
             upgrade and start it"
        ));
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<FactoryArgs>) {
    ic::reopen(args);
    timers::watch();
}

#[ic_cdk::update]
async fn deploy(args: DeployArgs) -> Result<Deployment, DeployError> {
    let _measure = measure("deploy");
    let factory = factory();
    let id = match factory.begin(caller(), args)? {
        Begun::Existing(id) => {
            // Whoever asks again may be wondering why nothing happens.
            timers::watch();
            id
        }
        Begun::New(id) => {
            // Armed before the first await: should the driver trap after it, the watchdog takes over.
            timers::watch();
            factory.drive(id).await;
            timers::watch();
            id
        }
    };
    // A deployment that was begun is never removed.
    Ok(factory.deployment(id).expect("BUG: a deployment is not recorded"))
}

#[ic_cdk::query]
fn deployment(id: u64) -> Option<Deployment> {
    factory().deployment(id)
}

#[ic_cdk::query]
fn deployment_by_key(key: String) -> Option<Deployment> {
    factory().deployment_by_key(caller(), &key)
}

#[ic_cdk::query]
fn list_deployments(args: ListDeploymentsArgs) -> DeploymentPage {
    factory().list_deployments(args)
}

#[ic_cdk::update]
fn add_deployer(deployer: Principal) -> Result<(), DeployerError> {
    let _measure = measure("add_deployer");
    factory().add_deployer(caller(), deployer)
}

#[ic_cdk::update]
fn remove_deployer(deployer: Principal) -> Result<(), DeployerError> {
    let _measure = measure("remove_deployer");
    factory().remove_deployer(caller(), deployer)
}

#[ic_cdk::query]
fn deployers() -> Vec<Principal> {
    factory().deployers()
}

#[ic_cdk::query]
fn stats() -> FactoryStats {
    factory().stats(usage())
}

fn main() {}

#[cfg(test)]
mod tests {
    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    candid::export_service!();

    #[test]
    fn should_be_what_the_interface_file_says() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../candid/factory.did");
        let code = __export_service();
        service_equal(CandidSource::Text(&code), CandidSource::File(&file))
            .unwrap_or_else(|error| panic!("{error}\nThe interface of the code is:\n{code}"));
    }
}
