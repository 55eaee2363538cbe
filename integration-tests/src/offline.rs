//! The code of the catalog, run on this machine without a network.
//!
//! A history of 100,000 commits would take too long to make by calls on a network. The code that makes it is the same here,
//! and so is the stable memory that comes out: it can be given to a canister. A test compares the two byte by byte.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::pin,
    task::{Context as TaskContext, Poll, Waker},
};

use anyhow::{Context, anyhow, bail, ensure};
use candid::{Encode, Principal};
use catalog::{
    branches, commit, import, lifecycle,
    memory::BUCKET_PAGES,
    merge, publish, publishers,
    runtime::{BlobStoreFailure, Runtime},
    state::State,
};
use depot_types::{
    Hash,
    catalog::{BackupItem, CatalogArgs, ImportArgs, Merged},
};
use ic_stable_structures::{
    VectorMemory,
    memory_manager::{MemoryManager, VirtualMemory},
};
use pocket_ic::common::rest::BlobCompression;

use crate::{
    depot::Depot,
    past::{Call, Past},
    wasms,
};

/// Rounds after which a canister that was just installed can be upgraded: an installation makes the next one wait for as
/// many rounds as its instructions take.
const ROUNDS_BETWEEN_INSTALLATIONS: usize = 20;

/// The state of a catalog on this machine.
pub type OfflineState = State<VirtualMemory<VectorMemory>>;

/// A catalog on this machine.
pub struct Offline {
    memory: VectorMemory,
    state: RefCell<OfflineState>,
    system: System,
}

/// What the catalog needs of a system: time stands still until it is set, and the blob store has every module.
struct System {
    controller: Principal,
    now_ns: Cell<u64>,
}

impl Runtime for System {
    fn is_controller(&self, principal: &Principal) -> bool {
        *principal == self.controller
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// Nobody asks for certificates here.
    fn certify(&self, _: &Hash) {}

    fn instructions(&self) -> u64 {
        0
    }

    async fn retain(&self, _: Principal, _: &[Hash]) -> Result<Vec<Hash>, BlobStoreFailure> {
        Ok(vec![])
    }

    async fn release(&self, _: Principal, _: &[Hash]) -> Result<(), BlobStoreFailure> {
        Ok(())
    }
}

impl Offline {
    /// Installs a catalog of a blob store.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn install(controller: Principal, blob_store: Principal) -> anyhow::Result<Self> {
        let memory = VectorMemory::default();
        let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
        let mut state = State::open(|id| manager.get(id))?;
        lifecycle::install(&mut state, CatalogArgs { blob_store: Some(blob_store), publishers: vec![] })?;
        let system = System { controller, now_ns: Cell::new(0) };
        Ok(Self { memory, state: RefCell::new(state), system })
    }

    /// Installs a catalog that has a history, made in a second for each call.
    ///
    /// # Errors
    /// When the catalog refuses a call.
    pub fn with(controller: Principal, blob_store: Principal, past: &Past<'_>) -> anyhow::Result<Self> {
        let offline = Self::install(controller, blob_store)?;
        let start_ns = 1_790_000_000_000_000_000;
        offline.add_publishers(past.authors.iter().map(|author| (*author, start_ns)))?;
        for (second, (author, call)) in (1..).zip(past.calls()) {
            offline.call(author, call, start_ns + second * 1_000_000_000)?;
        }
        Ok(offline)
    }

    /// Adds publishers at the times given.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn add_publishers(&self, publishers: impl IntoIterator<Item = (Principal, u64)>) -> anyhow::Result<()> {
        for (publisher, now_ns) in publishers {
            self.system.now_ns.set(now_ns);
            let mut state = self.state.borrow_mut();
            publishers::add_publisher(&mut state, &self.system, self.system.controller, publisher)
                .map_err(|error| anyhow!("the catalog refuses a publisher: {error:?}"))?;
        }
        Ok(())
    }

    /// Makes a call at a time.
    ///
    /// # Errors
    /// When the catalog refuses it.
    pub fn call(&self, caller: Principal, call: Call, now_ns: u64) -> anyhow::Result<()> {
        let (state, system) = (&self.state, &self.system);
        system.now_ns.set(now_ns);
        match call {
            Call::Commit(args) => match at_once(commit::commit(state, system, caller, args))? {
                Ok(_) => Ok(()),
                Err(error) => Err(anyhow!("the catalog refuses a commit: {error:?}")),
            },
            Call::CreateBranch(args) => match branches::create_branch(&mut state.borrow_mut(), system, caller, args) {
                Ok(_) => Ok(()),
                Err(error) => Err(anyhow!("the catalog refuses a branch: {error:?}")),
            },
            Call::Merge(args) => match at_once(merge::merge(state, system, caller, args))? {
                Ok(Merged::Commit(_)) => Ok(()),
                other => Err(anyhow!("the catalog makes no commit of a merge: {other:?}")),
            },
            Call::Publish(args) => match at_once(publish::publish(state, system, caller, args))? {
                Ok(_) => Ok(()),
                Err(error) => Err(anyhow!("the catalog refuses a release: {error:?}")),
            },
        }
    }

    /// Reads in a page of a backup; returns how many items are read in then.
    ///
    /// # Errors
    /// When the catalog refuses it.
    pub fn import(&self, position: u64, items: Vec<BackupItem>) -> anyhow::Result<u64> {
        let args = ImportArgs { position, items };
        let (mut state, system) = (self.state.borrow_mut(), &self.system);
        let status = import::import(&mut state, system, system.controller, args);
        Ok(status.map_err(|error| anyhow!("the catalog refuses a backup: {error:?}"))?.position)
    }

    /// Asks the catalog.
    pub fn ask<T>(&self, question: impl FnOnce(&OfflineState) -> T) -> T {
        question(&self.state.borrow())
    }

    /// Returns the stable memory of the catalog.
    pub fn stable_memory(&self) -> Vec<u8> {
        self.memory.borrow().clone()
    }
}

/// Returns what a future gives that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => bail!("the catalog waits without a network"),
    }
}

impl Depot {
    /// Gives the catalog another stable memory and upgrades it, by which it opens that.
    ///
    /// # Errors
    /// When the modules were not built, or the catalog refuses to be upgraded.
    pub fn replace_catalog(&self, stable_memory: Vec<u8>) -> anyhow::Result<()> {
        ensure!(!stable_memory.is_empty(), "a stable memory without pages is that of no catalog");
        self.network.set_stable_memory(self.catalog_id, stable_memory, BlobCompression::NoCompression);
        self.upgrade_catalog()
    }

    /// Upgrades the catalog to the module that it has.
    ///
    /// # Errors
    /// When the modules were not built, or the catalog refuses to be upgraded.
    pub fn upgrade_catalog(&self) -> anyhow::Result<()> {
        for _ in 0..ROUNDS_BETWEEN_INSTALLATIONS {
            self.network.tick();
        }
        let arg = Encode!(&None::<CatalogArgs>)?;
        let upgraded = self.network.upgrade_canister(self.catalog_id, wasms::load("catalog")?, arg, Some(self.admin));
        upgraded.map_err(|reject| anyhow!("{reject}")).context("the catalog was not upgraded")
    }
}
