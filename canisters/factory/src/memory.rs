//! Stable memory: the one file that knows memory ids and the version of the layout.
//!
//! | id | what | key → value |
//! |----|------|-------------|
//! | 0 | configuration | one record, with the version of the layout |
//! | 1 | deployments | id → record |
//! | 2 | init arguments of open deployments | id → bytes |
//! | 3 | idempotency keys | owner, key → id |
//! | 4 | deployments by owner | owner, id |
//! | 5 | open deployments | id |
//! | 6 | chunks in or on the way to the chunk store | hash → state and leases |
//! | 7 | deployers | principal |
//! | 8 | successful management calls | method → count |
//!
//! An id that is no longer used is never given to anything else.

use candid::Principal;
use ic_stable_structures::{
    Memory, StableBTreeMap, StableBTreeSet, StableCell,
    memory_manager::{MemoryId, MemoryManager, VirtualMemory},
};
use serde::{Deserialize, Serialize};

use crate::{cbor::Cbor, jobs::Jobs, staging::Staging};

/// Version of the layout that this code writes. 1: the first.
pub(crate) const LAYOUT_VERSION: u32 = 1;

/// Pages of a bucket, 1 MiB: the tables are small, and 32,768 such buckets hold 32 GiB.
const BUCKET_PAGES: u16 = 16;

const CONFIG: MemoryId = MemoryId::new(0);
const JOBS: MemoryId = MemoryId::new(1);
const INIT_ARGS: MemoryId = MemoryId::new(2);
const KEYS: MemoryId = MemoryId::new(3);
const OWNERS: MemoryId = MemoryId::new(4);
const OPEN_JOBS: MemoryId = MemoryId::new(5);
const CHUNKS: MemoryId = MemoryId::new(6);
const DEPLOYERS: MemoryId = MemoryId::new(7);
const MANAGEMENT_CALLS: MemoryId = MemoryId::new(8);

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredConfig {
    /// Version of the layout of all of stable memory.
    pub(crate) layout: u32,
    /// Where modules are fetched from.
    pub(crate) blob_store: Principal,
    /// Who names modules.
    pub(crate) catalog: Principal,
}

/// All that is kept in stable memory.
pub(crate) struct State<M: Memory> {
    /// Absent until the factory was installed.
    pub(crate) config: StableCell<Cbor<Option<StoredConfig>>, VirtualMemory<M>>,
    pub(crate) jobs: Jobs<VirtualMemory<M>>,
    pub(crate) staging: Staging<VirtualMemory<M>>,
    pub(crate) deployers: StableBTreeSet<Principal, VirtualMemory<M>>,
    pub(crate) management_calls: StableBTreeMap<String, u64, VirtualMemory<M>>,
}

impl<M: Memory> State<M> {
    /// Opens what the memory holds, or lays it out when it holds nothing.
    pub(crate) fn open(memory: M) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory, BUCKET_PAGES);
        let table = |id| manager.get(id);
        Self {
            config: StableCell::init(table(CONFIG), Cbor(None)),
            jobs: Jobs::open(table(JOBS), table(INIT_ARGS), table(KEYS), table(OWNERS), table(OPEN_JOBS)),
            staging: Staging::open(table(CHUNKS)),
            deployers: StableBTreeSet::init(table(DEPLOYERS)),
            management_calls: StableBTreeMap::init(table(MANAGEMENT_CALLS)),
        }
    }
}
