//! The factory as one value: its state, its locks, and the system it runs on.

use std::cell::RefCell;

use candid::Principal;
use ic_stable_structures::Memory;

use crate::{
    jobs::StoredJob,
    locks::Running,
    memory::{State, StoredConfig},
    runtime::{ManagementMethod, Runtime},
    staging::StoreView,
};

/// A factory on some system, with its state in some memory.
///
/// No borrow of the state lasts over an await, so the drivers of different deployments interleave freely.
pub struct Factory<R, M: Memory> {
    pub(crate) runtime: R,
    state: RefCell<State<M>>,
    pub(crate) running: Running,
    pub(crate) store: StoreView,
}

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Makes a factory of what the memory holds.
    pub(crate) fn open(runtime: R, memory: M) -> Self {
        let state = RefCell::new(State::open(memory));
        Self { runtime, state, running: Running::default(), store: StoreView::default() }
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State<M>) -> T) -> T {
        read(&self.state.borrow())
    }

    /// Changes the state.
    pub(crate) fn mutate<T>(&self, change: impl FnOnce(&mut State<M>) -> T) -> T {
        change(&mut self.state.borrow_mut())
    }

    /// Returns the configuration.
    ///
    /// # Panics
    ///
    /// Panics when the factory was never installed, which both hooks of the lifecycle rule out.
    pub(crate) fn config(&self) -> StoredConfig {
        match &self.read(|state| state.config.get().0.clone()) {
            Some(config) => config.clone(),
            None => panic!("BUG: the factory has no configuration"),
        }
    }

    /// Returns a deployment.
    pub(crate) fn job(&self, id: u64) -> Option<StoredJob> {
        self.read(|state| state.jobs.get(id))
    }

    /// Returns how many deployments are being driven, each of which has a call open.
    pub fn driven(&self) -> usize {
        self.running.count()
    }

    /// Returns who the factory is.
    pub(crate) fn own_id(&self) -> Principal {
        self.runtime.own_id()
    }

    /// Counts a successful call of the management canister.
    pub(crate) fn count_call(&self, method: ManagementMethod) {
        self.mutate(|state| {
            let name = method.name().to_string();
            let count = state.management_calls.get(&name).unwrap_or(0);
            state.management_calls.insert(name, count + 1);
        });
    }
}
