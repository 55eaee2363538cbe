//! Which deployments have a driver at the moment.

use std::{cell::RefCell, collections::BTreeSet};

/// The deployments that are being driven. On the heap: an upgrade ends every driver and so frees every lock.
#[derive(Debug, Default)]
pub(crate) struct Running(RefCell<BTreeSet<u64>>);

impl Running {
    /// Locks a deployment for one driver; `None` when it has one.
    pub(crate) fn lock(&self, id: u64) -> Option<RunGuard<'_>> {
        // The guard is only made when the lock is won: dropping another one would free the winner's lock.
        self.0.borrow_mut().insert(id).then(|| RunGuard { running: self, id })
    }

    /// Returns how many deployments have a driver.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Returns true when the deployment has a driver.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.0.borrow().contains(&id)
    }
}

/// The right to drive a deployment. Dropping it frees the lock, also when the driver traps after a call: the Internet
/// Computer drops the driver in the cleanup callback then.
#[derive(Debug)]
#[must_use]
pub(crate) struct RunGuard<'a> {
    running: &'a Running,
    id: u64,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.running.0.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_give_each_deployment_to_one_driver_at_a_time() {
        let running = Running::default();
        let first = running.lock(1);
        assert!(first.is_some());
        assert!(running.lock(1).is_none());
        assert!(running.lock(2).is_some());
        drop(first);
        assert!(!running.contains(1));
        assert!(running.lock(1).is_some());
    }
}
