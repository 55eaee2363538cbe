//! The instances of a server.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use pocket_ic::common::rest::{InitialTime, InstanceConfig, InstanceId, Topology};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    answer::Failure,
    blobs::Blobs,
    instance::{Ended, Instance, progress_pause},
    kept,
};
use crate::{checkpoint::Keeper, gateway::Gateways, network::Network};

/// Instances that may live at a time: each reserves address space and a thread.
const MAX_INSTANCES: usize = 1_000;

/// All instances, and the blobs that they share.
#[derive(Debug)]
pub(super) struct Instances {
    limit: usize,
    /// A permit for each instance that may yet be made; the threads hold the others.
    places: Arc<Semaphore>,
    /// An id is an index; one that was deleted stays empty, so that ids are never given again.
    slots: Mutex<Vec<Option<(Instance, Ended)>>>,
    blobs: Blobs,
    gateways: Gateways,
    /// The instance that only ends with the server, if there is one.
    kept: OnceLock<InstanceId>,
    /// When there was a request last.
    touched: Mutex<Instant>,
}

impl Default for Instances {
    fn default() -> Self {
        Self::with_limit(MAX_INSTANCES)
    }
}

impl Instances {
    /// Makes room for so many instances at a time.
    fn with_limit(limit: usize) -> Self {
        let places = Arc::new(Semaphore::new(limit));
        let (blobs, gateways) = (Blobs::default(), Gateways::default());
        Self {
            limit,
            places,
            slots: Mutex::default(),
            blobs,
            gateways,
            kept: OnceLock::new(),
            touched: Mutex::new(Instant::now()),
        }
    }

    /// Returns the blobs.
    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Returns the HTTP gateways.
    pub(super) fn gateways(&self) -> &Gateways {
        &self.gateways
    }

    /// Makes an instance. A state directory is written when the instance ends and, with an interval, so often before.
    ///
    /// # Errors
    /// When the configuration asks for what cannot be, or there are too many instances.
    pub(super) async fn create(
        &self,
        config: InstanceConfig,
        interval: Option<Duration>,
    ) -> Result<(InstanceId, Topology), Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!("the server has {} instances; delete one first", self.limit);
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })?;
        let pause = match &config.initial_time {
            Some(InitialTime::AutoProgress(progress)) => Some(progress_pause(progress)?),
            Some(InitialTime::Timestamp(_)) | None => None,
        };
        let trusting = config.disable_ingress_validation == Some(true);
        let (network, keeper) = make(config, interval).await?;
        let topology = network.topology();
        let (instance, ended) = Instance::start(network, keeper, place).map_err(|error| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("no thread can be started: {error}"))
        })?;
        let instance = instance.trusting(trusting);
        if let Some(pause) = pause {
            instance.start_progress(pause).await?;
        }
        let mut slots = self.lock();
        slots.push(Some((instance, ended)));
        Ok((slots.len() - 1, topology))
    }

    /// Returns the instance with the id that a path names.
    ///
    /// # Errors
    /// When there is none, or the text is no id.
    pub(super) fn get(&self, id: &str) -> Result<Instance, Failure> {
        let index = id.parse::<InstanceId>().ok();
        let slots = self.lock();
        let slot = index.and_then(|index| slots.get(index)?.as_ref());
        slot.map(|(instance, _)| instance.clone()).ok_or_else(|| not_found(id))
    }

    /// Ends the instance with the id that a path names and its gateways, and waits until its memory is free. What it
    /// was asked before is done first.
    ///
    /// # Errors
    /// When there is none, or the text is no id.
    pub(super) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let index = id.parse::<InstanceId>().ok();
        if index.is_some() && index.as_ref() == self.kept.get() {
            return Err(Failure::bad_request(format!("instance {id} ends with the server only")));
        }
        let slot = index.and_then(|index| self.lock().get_mut(index)?.take());
        let (instance, ended) = slot.ok_or_else(|| not_found(id))?;
        if let Some(index) = index {
            self.gateways.stop_all_of(index).await;
        }
        // The thread ends when the last handle is gone.
        drop(instance);
        let kept = ended.wait().await;
        kept.map_err(|reason| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, reason))
    }

    /// Lets an instance end with the server only.
    pub(super) fn keep_to_the_end(&self, id: InstanceId) {
        self.kept.get_or_init(|| id);
    }

    /// Takes note of a request.
    pub(super) fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns how long there was no request.
    pub(super) fn idle(&self) -> Duration {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Ends all instances. What still uses one holds it up.
    pub(super) fn end_all(&self) -> Vec<Ended> {
        self.lock().iter_mut().filter_map(Option::take).map(|(_, ended)| ended).collect()
    }

    /// Says of each instance ever made how it is.
    pub(super) fn list(&self) -> Vec<String> {
        let state = |slot: &Option<(Instance, Ended)>| match slot {
            None => "Deleted",
            Some((instance, _)) if instance.is_broken() => "Broken",
            Some(_) => "Available",
        };
        self.lock().iter().map(|slot| state(slot).to_string()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<(Instance, Ended)>>> {
        // Nothing that holds the lock can leave the list half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the network of an instance, or reads it from its state directory.
async fn make(config: InstanceConfig, interval: Option<Duration>) -> Result<(Network, Option<Keeper>), Failure> {
    let Some(path) = config.state_dir.clone() else {
        return Network::new(&config).map(|network| (network, None)).map_err(Failure::bad_request);
    };
    // Reading takes long.
    let opened = spawn_blocking(move || kept::open(&path, &config, interval)).await;
    let opened = opened.map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    opened.map(|(network, keeper)| (network, Some(keeper))).map_err(|error| Failure::bad_request(error.to_string()))
}

fn not_found(id: &str) -> Failure {
    Failure::not_found(format!("Instance not found. ID: {id}"))
}

#[cfg(test)]
mod tests {
    use pocket_ic::common::rest::SubnetSpec;

    use super::*;
    use crate::network::test_config;

    fn config() -> InstanceConfig {
        test_config(vec![SubnetSpec::default()])
    }

    #[tokio::test]
    async fn should_hold_as_many_instances_as_allowed_and_no_more() {
        let instances = Instances::with_limit(2);
        let (first, _) = instances.create(config(), None).await.unwrap();
        instances.create(config(), None).await.unwrap();
        let (status, text) = instances.create(config(), None).await.unwrap_err().into_parts();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("2 instances"), "{text}");
        instances.delete(&first.to_string()).await.unwrap();
        let (third, _) = instances.create(config(), None).await.unwrap();
        assert!(instances.get(&third.to_string()).is_ok());
    }

    #[tokio::test]
    async fn should_free_the_place_of_a_refused_configuration() {
        let instances = Instances::with_limit(1);
        let mut invalid = config();
        invalid.subnet_config_set.application.clear();
        assert!(instances.create(invalid, None).await.is_err());
        assert!(instances.create(config(), None).await.is_ok());
    }

    #[tokio::test]
    async fn should_list_deleted_instances_as_such_and_not_find_them() {
        let instances = Instances::default();
        instances.create(config(), None).await.unwrap();
        instances.create(config(), None).await.unwrap();
        instances.delete("0").await.unwrap();
        assert_eq!(instances.list(), ["Deleted", "Available"]);
        for unknown in ["0", "2", "-1", "", "x", "18446744073709551616"] {
            let (status, text) = instances.get(unknown).err().unwrap().into_parts();
            assert_eq!((status, text), (StatusCode::NOT_FOUND, format!("Instance not found. ID: {unknown}")));
            assert!(instances.delete(unknown).await.is_err());
        }
    }

    #[tokio::test]
    async fn should_refuse_an_artificial_delay_without_end() {
        let mut config = config();
        let delay = |ms| {
            let progress = pocket_ic::common::rest::AutoProgressConfig { artificial_delay_ms: Some(ms) };
            Some(InitialTime::AutoProgress(progress))
        };
        config.initial_time = delay(u64::MAX);
        let instances = Instances::default();
        assert!(
            instances.create(config.clone(), None).await.unwrap_err().into_parts().1.contains("artificial_delay_ms")
        );
        config.initial_time = delay(3_600_000);
        assert!(instances.create(config, None).await.is_ok());
    }
}
