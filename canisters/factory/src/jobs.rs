//! Deployments as they are stored: records, what is open, and the indexes over them.

mod stored;

use std::ops::Bound;

use candid::Principal;
use ic_stable_structures::{Memory, StableBTreeMap, StableBTreeSet};

pub(crate) use stored::{StoredJob, StoredOutcome, StoredRequest, StoredSettings, StoredStep, to_stored};

use crate::cbor::Cbor;

/// The tables of deployments.
pub(crate) struct Jobs<M: Memory> {
    records: StableBTreeMap<u64, Cbor<StoredJob>, M>,
    init_args: StableBTreeMap<u64, Vec<u8>, M>,
    keys: StableBTreeMap<Vec<u8>, u64, M>,
    owners: StableBTreeSet<Vec<u8>, M>,
    open: StableBTreeSet<u64, M>,
}

impl<M: Memory> Jobs<M> {
    /// Opens the tables in the memories given.
    pub(crate) fn open(records: M, init_args: M, keys: M, owners: M, open: M) -> Self {
        Self {
            records: StableBTreeMap::init(records),
            init_args: StableBTreeMap::init(init_args),
            keys: StableBTreeMap::init(keys),
            owners: StableBTreeSet::init(owners),
            open: StableBTreeSet::init(open),
        }
    }

    /// Returns how many deployments there are; they are numbered from 0 without gaps.
    pub(crate) fn count(&self) -> u64 {
        self.records.len()
    }

    /// Returns a deployment.
    pub(crate) fn get(&self, id: u64) -> Option<StoredJob> {
        self.records.get(&id).map(|record| record.0)
    }

    /// Returns the deployment that an owner gave this key to.
    pub(crate) fn by_key(&self, owner: &Principal, key: &str) -> Option<u64> {
        self.keys.get(&key_of(owner, key.as_bytes()))
    }

    /// Adds a deployment with its init argument. Its id must be [`Jobs::count`].
    pub(crate) fn add(&mut self, job: StoredJob, init_arg: Vec<u8>) {
        self.keys.insert(key_of(&job.owner, job.idempotency_key.as_bytes()), job.id);
        self.owners.insert(owner_key(&job.owner, job.id));
        self.init_args.insert(job.id, init_arg);
        self.open.insert(job.id);
        self.records.insert(job.id, Cbor(job));
    }

    /// Replaces the record of a deployment. One that has ended is no longer open, and its init argument is dropped.
    pub(crate) fn put(&mut self, job: StoredJob) {
        if job.outcome.is_some() {
            self.open.remove(&job.id);
            self.init_args.remove(&job.id);
        }
        self.records.insert(job.id, Cbor(job));
    }

    /// Returns the init argument of an open deployment.
    pub(crate) fn init_arg(&self, id: u64) -> Vec<u8> {
        self.init_args.get(&id).unwrap_or_default()
    }

    /// Returns how many deployments are open.
    pub(crate) fn open_count(&self) -> u64 {
        self.open.len()
    }

    /// Returns the open deployments, oldest first.
    pub(crate) fn open_jobs(&self) -> impl Iterator<Item = StoredJob> {
        self.open.iter().filter_map(|id| self.get(id))
    }

    /// Returns the cycles that open deployments will still need from the factory, `except` one of them.
    pub(crate) fn reserved_cycles(&self, except: Option<u64>) -> u128 {
        self.open_jobs().filter(|job| Some(job.id) != except).map(|job| job.cycles_to_send()).sum()
    }

    /// Returns deployments before `before` (all when absent), newest first: those of one owner, or of all.
    pub(crate) fn newest_first(
        &self,
        owner: Option<&Principal>,
        before: Option<u64>,
    ) -> Box<dyn Iterator<Item = StoredJob> + '_> {
        match owner {
            Some(owner) => {
                let from = owner_key(owner, before.unwrap_or(u64::MAX));
                let to = owner_key(owner, 0);
                let keys = self.owners.range((Bound::Excluded(from), Bound::Included(to)));
                Box::new(keys.filter_map(|key| self.get(id_in(&key))))
            }
            None => Box::new(self.records.range(..before.unwrap_or(u64::MAX)).rev().map(|entry| entry.into_pair().1.0)),
        }
    }
}

/// Returns the key of an index by owner: the length of the principal, the principal, the rest.
fn key_of(owner: &Principal, rest: &[u8]) -> Vec<u8> {
    let owner = owner.as_slice();
    // A principal has at most 29 bytes.
    [&[owner.len() as u8], owner, rest].concat()
}

/// Returns the key of a deployment in the index by owner, in which the newest comes first.
fn owner_key(owner: &Principal, id: u64) -> Vec<u8> {
    key_of(owner, &(!id).to_be_bytes())
}

/// Returns the id in a key of the index by owner.
fn id_in(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| !u64::from_be_bytes(*bytes))
}
