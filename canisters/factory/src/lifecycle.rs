//! Installation and upgrade.

use candid::Principal;
use depot_types::factory::{DeployerError, FactoryArgs};
use ic_stable_structures::Memory;

use crate::{
    Factory,
    cbor::Cbor,
    memory::{LAYOUT_VERSION, StoredConfig},
    runtime::Runtime,
};

/// Why the factory cannot be installed or upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleError {
    /// The blob store is not named.
    MissingBlobStore,
    /// The catalog is not named.
    MissingCatalog,
    /// A deployer of the list cannot be one.
    Deployer(RefusedDeployer),
    /// The memory holds no factory.
    NotInstalled,
    /// The memory was written by a newer version.
    NewerLayout {
        /// The version of the layout in memory.
        found: u32,
        /// The newest version that this code knows.
        known: u32,
    },
}

/// Why a principal cannot be a deployer from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedDeployer {
    /// It is the anonymous principal.
    Anonymous,
    /// The list is full.
    ListFull,
}

impl std::fmt::Display for LifecycleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MissingBlobStore => f.write_str("`blob_store` is missing: name the canister that keeps modules"),
            Self::MissingCatalog => f.write_str("`catalog` is missing: name the canister that names modules"),
            Self::Deployer(RefusedDeployer::Anonymous) => f.write_str("the anonymous principal cannot be a deployer"),
            Self::Deployer(RefusedDeployer::ListFull) => f.write_str("there are more deployers than the list can hold"),
            Self::NotInstalled => f.write_str("stable memory holds no factory: install instead of upgrading"),
            Self::NewerLayout { found, known } => write!(
                f,
                "stable memory has layout {found}, and this version knows layouts up to {known}: upgrade to a newer one"
            ),
        }
    }
}

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Installs a factory into empty memory.
    ///
    /// # Errors
    ///
    /// When the arguments do not name a blob store and a catalog, or a deployer is refused. The memory is of no use then.
    pub fn install(runtime: R, memory: M, args: FactoryArgs) -> Result<Self, LifecycleError> {
        let blob_store = args.blob_store.ok_or(LifecycleError::MissingBlobStore)?;
        let catalog = args.catalog.ok_or(LifecycleError::MissingCatalog)?;
        let factory = Self::open(runtime, memory);
        factory.configure(StoredConfig { layout: LAYOUT_VERSION, blob_store, catalog }, args.deployers)?;
        Ok(factory)
    }

    /// Takes over the memory of a factory after an upgrade. Arguments that are absent leave things as they are;
    /// deployers are added. Deployments in progress go on when they are [due](Self::due_deployments).
    ///
    /// # Errors
    ///
    /// When the memory holds no factory or one of a newer version, or a deployer is refused.
    pub fn reopen(runtime: R, memory: M, args: Option<FactoryArgs>) -> Result<Self, LifecycleError> {
        let factory = Self::open(runtime, memory);
        let found = factory.read(|state| state.config.get().0.clone()).ok_or(LifecycleError::NotInstalled)?;
        if found.layout > LAYOUT_VERSION {
            return Err(LifecycleError::NewerLayout { found: found.layout, known: LAYOUT_VERSION });
        }
        if let Some(args) = args {
            let config = StoredConfig {
                layout: LAYOUT_VERSION,
                blob_store: args.blob_store.unwrap_or(found.blob_store),
                catalog: args.catalog.unwrap_or(found.catalog),
            };
            factory.configure(config, args.deployers)?;
        }
        Ok(factory)
    }

    fn configure(&self, config: StoredConfig, deployers: Vec<Principal>) -> Result<(), LifecycleError> {
        self.mutate(|state| state.config.set(Cbor(Some(config))));
        for deployer in deployers {
            self.insert_deployer(deployer).map_err(|error| {
                LifecycleError::Deployer(match error {
                    DeployerError::AnonymousDeployer => RefusedDeployer::Anonymous,
                    DeployerError::TooManyDeployers { .. } | DeployerError::NotController { .. } => {
                        RefusedDeployer::ListFull
                    }
                })
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ic_stable_structures::VectorMemory;

    use super::*;
    use crate::test_world::{World, WorldRuntime, principal};

    fn runtime() -> WorldRuntime {
        WorldRuntime::new(World::new())
    }

    fn args() -> FactoryArgs {
        FactoryArgs { blob_store: Some(principal(1)), catalog: Some(principal(2)), deployers: vec![principal(3)] }
    }

    #[test]
    fn should_ask_for_what_is_missing() {
        let install = |args| Factory::install(runtime(), VectorMemory::default(), args).err();
        assert_eq!(install(FactoryArgs { blob_store: None, ..args() }), Some(LifecycleError::MissingBlobStore));
        assert_eq!(install(FactoryArgs { catalog: None, ..args() }), Some(LifecycleError::MissingCatalog));
        let anonymous = FactoryArgs { deployers: vec![Principal::anonymous()], ..args() };
        assert_eq!(install(anonymous), Some(LifecycleError::Deployer(RefusedDeployer::Anonymous)));
        assert_eq!(install(args()), None);
    }

    #[test]
    fn should_keep_what_an_upgrade_does_not_name() {
        let memory = VectorMemory::default();
        assert!(Factory::install(runtime(), memory.clone(), args()).is_ok());
        let kept = Factory::reopen(runtime(), memory.clone(), None).ok().unwrap();
        assert_eq!(kept.config().blob_store, principal(1));
        let change = FactoryArgs { blob_store: None, catalog: Some(principal(4)), deployers: vec![principal(5)] };
        let changed = Factory::reopen(runtime(), memory, Some(change)).ok().unwrap();
        assert_eq!((changed.config().blob_store, changed.config().catalog), (principal(1), principal(4)));
        assert_eq!(changed.deployers(), [principal(3), principal(5)]);
    }

    #[test]
    fn should_refuse_memory_that_it_does_not_know() {
        let nothing = Factory::reopen(runtime(), VectorMemory::default(), None);
        assert_eq!(nothing.err(), Some(LifecycleError::NotInstalled));

        let memory = VectorMemory::default();
        let factory = Factory::install(runtime(), memory.clone(), args()).ok().unwrap();
        let newer = StoredConfig { layout: LAYOUT_VERSION + 1, ..factory.config() };
        factory.mutate(|state| state.config.set(Cbor(Some(newer))));
        let error = LifecycleError::NewerLayout { found: LAYOUT_VERSION + 1, known: LAYOUT_VERSION };
        assert_eq!(Factory::reopen(runtime(), memory, None).err(), Some(error));
    }
}
