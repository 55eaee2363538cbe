//! The gateways of a server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use pocket_ic::common::rest::{HttpGatewayBackend, HttpGatewayConfig, HttpGatewayDetails, HttpGatewayInfo, InstanceId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Gateway, Listener, Plan};
use crate::server::Instance;

/// Gateways of one server at a time: each has a socket and up to [`super::Limits::bounds`] connections.
const MAX_GATEWAYS: usize = 100;

/// All gateways. An id is an index; one that was stopped stays empty, so that ids are never given again.
#[derive(Debug)]
pub(crate) struct Gateways {
    limit: usize,
    /// A permit for each gateway that may yet be made; the entries hold the others.
    places: Arc<Semaphore>,
    slots: Mutex<Vec<Option<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    gateway: Gateway,
    details: HttpGatewayDetails,
    _place: OwnedSemaphorePermit,
}

/// A place among the gateways, with a socket that nobody serves yet.
#[derive(Debug)]
pub(crate) struct Reserved {
    listener: Listener,
    place: OwnedSemaphorePermit,
}

impl Default for Gateways {
    fn default() -> Self {
        Self::with_limit(MAX_GATEWAYS)
    }
}

impl Gateways {
    /// Makes room for so many gateways at a time.
    pub(super) fn with_limit(limit: usize) -> Self {
        Self { limit, places: Arc::new(Semaphore::new(limit)), slots: Mutex::default() }
    }

    /// Checks a configuration and binds its socket.
    ///
    /// # Errors
    /// A sentence, when the configuration cannot be, there are too many gateways, or the socket cannot be bound.
    pub(crate) async fn reserve(&self, config: &HttpGatewayConfig) -> Result<Reserved, String> {
        let plan = Plan::new(config)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| format!("the server has {} HTTP gateways; stop one first", self.limit))?;
        Ok(Reserved { listener: Listener::bind(plan).await?, place })
    }

    /// Serves an instance. `api` serves requests for the instance itself.
    pub(crate) fn serve(
        &self,
        reserved: Reserved,
        config: HttpGatewayConfig,
        instance: Instance,
        api: Router,
    ) -> HttpGatewayInfo {
        let gateway = reserved.listener.serve(instance, api);
        let port = gateway.port;
        let mut slots = self.lock();
        let instance_id = slots.len();
        let HttpGatewayConfig { forward_to, domains, https_config, .. } = config;
        let details = HttpGatewayDetails { instance_id, port, forward_to, domains, https_config };
        slots.push(Some(Entry { gateway, details, _place: reserved.place }));
        HttpGatewayInfo { instance_id, port }
    }

    /// Describes the gateways at work.
    pub(crate) fn list(&self) -> Vec<HttpGatewayDetails> {
        self.lock().iter().flatten().map(|entry| entry.details.clone()).collect()
    }

    /// Stops a gateway: when this returns its connections are cut and its port is free. One that was stopped before
    /// or never was stays so.
    pub(crate) async fn stop(&self, id: InstanceId) {
        let entry = self.lock().get_mut(id).and_then(Option::take);
        if let Some(entry) = entry {
            entry.gateway.stop().await;
        }
    }

    /// Stops all gateways of an instance.
    pub(crate) async fn stop_all_of(&self, instance: InstanceId) {
        let serves_it = |entry: &mut Entry| entry.details.forward_to == HttpGatewayBackend::PocketIcInstance(instance);
        let entries: Vec<Entry> =
            self.lock().iter_mut().filter_map(|slot| slot.take_if(|entry| serves_it(entry))).collect();
        for entry in entries {
            entry.gateway.stop().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Entry>>> {
        // Nothing that holds the lock can leave the list half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
