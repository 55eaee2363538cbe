//! A depot on a test network: the three canisters, installed and wired.

use anyhow::{Context, anyhow, bail};
use candid::{Encode, Principal};
use depot_types::{
    Hash,
    blob_store::{BlobStoreArgs, ModuleInfo, UploadStatus},
    catalog::{CatalogArgs, CatalogSource, Change, CommitArgs, PublishArgs},
    chunk,
    factory::{DeployArgs, FactoryArgs, ModuleSource},
};
use ic_management_canister_types::{CanisterIdRecord, ProvisionalCreateCanisterWithCyclesArgs};
use pocket_ic::{PocketIc, call_candid_as, common::rest::RawEffectivePrincipal};
use serde_bytes::ByteBuf;

use crate::{
    clients::{BlobStore, Catalog, Client, Factory},
    wasms,
};

/// Cycles that each canister of the depot starts with.
pub const CANISTER_CYCLES: u128 = 1_000_000_000_000_000;
/// Cycles that a deployed canister is created with in tests and in the demo.
pub const INSTANCE_CYCLES: u128 = 3_000_000_000_000;

/// The canisters of a depot and the principal that controls them.
pub struct Depot {
    /// The network.
    pub network: PocketIc,
    /// Controls the three canisters, and so may upload, publish and deploy.
    pub admin: Principal,
    /// The blob store.
    pub blob_store_id: Principal,
    /// The catalog.
    pub catalog_id: Principal,
    /// The factory.
    pub factory_id: Principal,
}

/// Returns a principal for tests: the same number is the same principal, and none is the anonymous one.
pub fn user(number: u8) -> Principal {
    Principal::self_authenticating([number; 32])
}

impl Depot {
    /// Installs a depot on a fresh network of one application subnet.
    ///
    /// # Errors
    /// When the modules were not built.
    pub fn install() -> anyhow::Result<Self> {
        Self::install_on(crate::network::start())
    }

    /// Installs a depot on the network given.
    ///
    /// # Errors
    /// When the modules were not built.
    pub fn install_on(network: PocketIc) -> anyhow::Result<Self> {
        let admin = user(1);
        let blob_store_id = create(&network, admin);
        let catalog_id = create(&network, admin);
        let factory_id = create(&network, admin);
        let blob_store = Some(blob_store_id);
        let install = |id, name, arg: Vec<u8>| -> anyhow::Result<()> {
            network.install_canister(id, wasms::load(name)?, arg, Some(admin));
            Ok(())
        };
        let args = BlobStoreArgs { holders: Some(vec![catalog_id]), ..BlobStoreArgs::default() };
        install(blob_store_id, "blob_store", Encode!(&Some(args))?)?;
        install(catalog_id, "catalog", Encode!(&CatalogArgs { blob_store, publishers: vec![] })?)?;
        let args = FactoryArgs { blob_store, catalog: Some(catalog_id), deployers: vec![] };
        install(factory_id, "factory", Encode!(&args)?)?;
        Ok(Self { network, admin, blob_store_id, catalog_id, factory_id })
    }

    /// Returns the blob store as the admin sees it.
    pub fn blob_store(&self) -> BlobStore<'_> {
        self.blob_store_as(self.admin)
    }

    /// Returns the blob store as a sender sees it.
    pub fn blob_store_as(&self, sender: Principal) -> BlobStore<'_> {
        BlobStore(Client::new(&self.network, self.blob_store_id, sender))
    }

    /// Returns the catalog as the admin sees it.
    pub fn catalog(&self) -> Catalog<'_> {
        self.catalog_as(self.admin)
    }

    /// Returns the catalog as a sender sees it.
    pub fn catalog_as(&self, sender: Principal) -> Catalog<'_> {
        Catalog(Client::new(&self.network, self.catalog_id, sender))
    }

    /// Returns the factory as the admin sees it.
    pub fn factory(&self) -> Factory<'_> {
        self.factory_as(self.admin)
    }

    /// Returns the factory as a sender sees it.
    pub fn factory_as(&self, sender: Principal) -> Factory<'_> {
        Factory(Client::new(&self.network, self.factory_id, sender))
    }

    /// Uploads a module, sending what is missing, and seals it; `progress` hears the bytes of each chunk sent.
    ///
    /// # Errors
    /// When the blob store refuses, with its reason.
    pub fn upload(&self, module: &[u8], mut progress: impl FnMut(u64)) -> anyhow::Result<ModuleInfo> {
        let store = self.blob_store();
        let hash = Hash::of(module);
        let begun = store.begin_upload_of(module).map_err(rejected)?;
        let open = match begun.map_err(|error| anyhow!("the blob store refuses the upload: {error:?}"))? {
            UploadStatus::Sealed(info) => return Ok(info),
            UploadStatus::Open(open) => open,
        };
        let chunks: Vec<&[u8]> = chunk::split(module).collect();
        for index in open.missing {
            let bytes = chunks[index as usize];
            let put = store.put_chunk(hash, index, bytes).map_err(rejected)?;
            put.map_err(|error| anyhow!("the blob store refuses chunk {index}: {error:?}"))?;
            progress(bytes.len() as u64);
        }
        let sealed = store.commit_upload(hash).map_err(rejected)?;
        sealed.map_err(|error| anyhow!("the blob store refuses to seal the module: {error:?}"))
    }

    /// Lets a path of `main` name a module.
    ///
    /// # Errors
    /// When the catalog refuses, with its reason.
    pub fn set_path(&self, path: &str, module_hash: Hash) -> anyhow::Result<Hash> {
        let args = CommitArgs {
            branch: None,
            create_branch: None,
            changes: vec![Change::Set { path: path.to_string(), module_hash }],
            message: format!("Set {path}"),
            author_name: None,
            expected_head: None,
        };
        let commit = self.catalog().commit(args).map_err(rejected)?;
        Ok(commit.map_err(|error| anyhow!("the catalog refuses the commit: {error:?}"))?.id)
    }

    /// Publishes a release.
    ///
    /// # Errors
    /// When the catalog refuses, with its reason.
    pub fn publish(&self, package: &str, version: &str, module_hash: Hash) -> anyhow::Result<()> {
        let args = PublishArgs {
            package: package.to_string(),
            version: version.to_string(),
            module_hash,
            description: String::new(),
            source: None,
        };
        let release = self.catalog().publish(args).map_err(rejected)?;
        release.map_err(|error| anyhow!("the catalog refuses the release: {error:?}"))?;
        Ok(())
    }
}

/// Creates a canister with [`CANISTER_CYCLES`].
pub fn create(network: &PocketIc, controller: Principal) -> Principal {
    create_with_cycles(network, controller, CANISTER_CYCLES)
}

/// Creates a canister with so many cycles.
pub fn create_with_cycles(network: &PocketIc, controller: Principal, cycles: u128) -> Principal {
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(cycles.into()),
        settings: None,
        specified_id: None,
        sender_canister_version: None,
    };
    let (created,): (CanisterIdRecord,) = call_candid_as(
        network,
        Principal::management_canister(),
        RawEffectivePrincipal::None,
        controller,
        "provisional_create_canister_with_cycles",
        (args,),
    )
    .expect("a test network creates canisters for everybody");
    created.canister_id
}

/// Returns the arguments of a deployment with nothing asked for but the module.
pub fn deploy_args(key: &str, source: ModuleSource, init_arg: Vec<u8>) -> DeployArgs {
    DeployArgs {
        idempotency_key: key.to_string(),
        source,
        init_arg: ByteBuf::from(init_arg),
        controllers: None,
        settings: None,
        environment_variables: vec![],
        cycles: INSTANCE_CYCLES.into(),
    }
}

/// Returns the source that means exactly one version.
pub fn release(package: &str, version: &str) -> ModuleSource {
    let (package, requirement) = (package.to_string(), version.to_string());
    ModuleSource::Catalog(CatalogSource::Release { package, requirement })
}

/// Returns the source that means what a path of `main` names.
pub fn path(path: &str) -> ModuleSource {
    ModuleSource::Catalog(CatalogSource::Path { branch: None, path: path.to_string() })
}

fn rejected(reject: pocket_ic::RejectResponse) -> anyhow::Error {
    anyhow!("the call was rejected ({:?}): {}", reject.error_code, reject.reject_message)
}

/// Returns the module hash that a canister reports to the controller given.
///
/// # Errors
/// When the status cannot be had, or there is no module.
pub fn running_module(network: &PocketIc, canister: Principal, controller: Principal) -> anyhow::Result<Hash> {
    let status = network.canister_status(canister, Some(controller)).map_err(rejected)?;
    let Some(hash) = status.module_hash else { bail!("canister {canister} runs no module") };
    Hash::try_from(hash.as_slice()).context("the canister's module hash is malformed")
}
