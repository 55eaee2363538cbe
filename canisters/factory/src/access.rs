//! Who may do what: controllers of the factory, and deployers.

use candid::Principal;
use depot_types::factory::DeployerError;
use ic_stable_structures::Memory;

use crate::{Factory, limits::MAX_DEPLOYERS, runtime::Runtime};

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Returns true when the principal may deploy: a controller or a deployer, and never the anonymous principal.
    pub(crate) fn may_deploy(&self, principal: &Principal) -> bool {
        *principal != Principal::anonymous()
            && (self.runtime.is_controller(principal) || self.read(|state| state.deployers.contains(principal)))
    }

    /// Lets a principal deploy. It is no error when it may already.
    ///
    /// # Errors
    ///
    /// When the caller is no controller, the principal is anonymous, or the list is full.
    pub fn add_deployer(&self, caller: Principal, deployer: Principal) -> Result<(), DeployerError> {
        self.check_controller(caller)?;
        self.insert_deployer(deployer)
    }

    /// Takes a principal off the list of deployers. It is no error when it is not there.
    ///
    /// # Errors
    ///
    /// When the caller is no controller.
    pub fn remove_deployer(&self, caller: Principal, deployer: Principal) -> Result<(), DeployerError> {
        self.check_controller(caller)?;
        self.mutate(|state| state.deployers.remove(&deployer));
        Ok(())
    }

    /// Lists the deployers.
    pub fn deployers(&self) -> Vec<Principal> {
        self.read(|state| state.deployers.iter().collect())
    }

    /// Adds a deployer, whoever asks for it.
    pub(crate) fn insert_deployer(&self, deployer: Principal) -> Result<(), DeployerError> {
        if deployer == Principal::anonymous() {
            return Err(DeployerError::AnonymousDeployer);
        }
        self.mutate(|state| {
            if !state.deployers.contains(&deployer) && state.deployers.len() >= MAX_DEPLOYERS {
                return Err(DeployerError::TooManyDeployers { max: MAX_DEPLOYERS as u32 });
            }
            state.deployers.insert(deployer);
            Ok(())
        })
    }

    fn check_controller(&self, caller: Principal) -> Result<(), DeployerError> {
        let is_controller = caller != Principal::anonymous() && self.runtime.is_controller(&caller);
        if is_controller { Ok(()) } else { Err(DeployerError::NotController { caller }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::{CONTROLLER, Depot, principal};

    #[test]
    fn should_let_controllers_keep_the_list() {
        let depot = Depot::new();
        let factory = depot.factory();
        let stranger = principal(77);
        assert_eq!(factory.add_deployer(stranger, stranger), Err(DeployerError::NotController { caller: stranger }));
        assert_eq!(factory.remove_deployer(stranger, stranger), Err(DeployerError::NotController { caller: stranger }));
        assert_eq!(factory.add_deployer(CONTROLLER, stranger), Ok(()));
        assert!(factory.may_deploy(&stranger));
        assert_eq!(factory.remove_deployer(CONTROLLER, stranger), Ok(()));
        assert!(!factory.may_deploy(&stranger));
        assert!(factory.may_deploy(&CONTROLLER));
    }

    #[test]
    fn should_never_let_the_anonymous_principal_in() {
        let depot = Depot::new();
        let anonymous = Principal::anonymous();
        assert_eq!(depot.factory().add_deployer(CONTROLLER, anonymous), Err(DeployerError::AnonymousDeployer));
        depot.world().controllers.push(anonymous);
        assert!(!depot.factory().may_deploy(&anonymous));
        assert_eq!(
            depot.factory().add_deployer(anonymous, CONTROLLER),
            Err(DeployerError::NotController { caller: anonymous })
        );
    }

    #[test]
    fn should_bound_the_list() {
        let depot = Depot::new();
        let factory = depot.factory();
        let there = factory.deployers().len() as u64;
        for number in there..MAX_DEPLOYERS {
            assert_eq!(factory.add_deployer(CONTROLLER, principal(1_000 + number)), Ok(()));
        }
        let full = Err(DeployerError::TooManyDeployers { max: MAX_DEPLOYERS as u32 });
        assert_eq!(factory.add_deployer(CONTROLLER, principal(5_000)), full);
        assert_eq!(factory.add_deployer(CONTROLLER, principal(1_000 + there)), Ok(()), "it is there already");
    }
}
