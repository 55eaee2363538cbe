//! The PocketIC REST protocol over HTTP, for any number of independent networks in one process.
//!
//! Every request is answered when its work is done (never `202` or `409`, which the protocol allows). Each network
//! lives on a thread of its own, see [`instance`]; this file owns the socket and the runtime that serves it.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
};
use pocket_ic::common::rest::{
    AutoProgressConfig, ExtendedSubnetConfigSet, InitialTime, InstanceConfig, SubnetKind, SubnetSpec, Topology,
};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

mod answer;
mod blobs;
pub(crate) mod connections;
mod gateways;
mod instance;
mod instances;
mod kept;
mod root;
mod routes;
mod translate;

pub(crate) use answer::Failure;
pub(crate) use instance::Instance;
use instances::Instances;

use crate::{gateway, network};

/// Threads that serve requests; the work itself is done by the threads of the networks.
const SERVING_THREADS: usize = 2;
/// How long the end waits for requests under way.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be had.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No thread can be started.
    #[error("cannot start the server: {0}")]
    Runtime(io::Error),
    /// The live network cannot be made: its subnets or its state directory are at fault.
    #[error("{0}")]
    Network(String),
}

/// Why the last state of a network is not in its state directory.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EndError(String);

/// A network that lives by itself: its time follows the clock and rounds come as they are needed.
#[derive(Clone, Debug, Default)]
pub struct LiveConfig {
    /// Its subnets; without them an NNS and an application subnet, or those in the state directory.
    pub subnets: Option<ExtendedSubnetConfigSet>,
    /// Where it is kept.
    pub state_dir: Option<PathBuf>,
    /// How often it is written there besides at the end.
    pub save_interval: Option<Duration>,
}

/// What is to be known of a live network.
#[derive(Clone, Debug)]
pub struct LiveNetwork {
    /// Its subnets and their canister ids.
    pub topology: Topology,
    /// Its root key, DER-encoded.
    pub root_key: Vec<u8>,
}

/// A server to be started.
#[derive(Clone, Debug)]
pub struct LocalNetBuilder {
    address: SocketAddr,
    live: Option<LiveConfig>,
}

impl LocalNetBuilder {
    /// Listens at this address; port 0 is any free one. Without it the server takes a free port of the loopback
    /// interface.
    #[must_use]
    pub fn address(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Serves a live network at the root of the server, besides those that clients make.
    #[must_use]
    pub fn live(self, live: LiveConfig) -> Self {
        Self { live: Some(live), ..self }
    }

    /// Starts the server.
    ///
    /// # Errors
    /// When the address cannot be had, no thread be started, or the live network not be made.
    pub fn start(self) -> Result<LocalNet, StartError> {
        // On a thread of its own, since the caller may be within a runtime, where another must not be waited for.
        let started = thread::spawn(|| self.start_here()).join();
        started.unwrap_or_else(|_| Err(StartError::Network("the start of the server broke".to_owned())))
    }

    fn start_here(self) -> Result<LocalNet, StartError> {
        let bind = |source| StartError::Bind { address: self.address, source };
        let listener = TcpListener::bind(self.address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVING_THREADS)
            .thread_name("localnet-http")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let instances = Arc::new(Instances::default());
        let started = runtime.block_on(async {
            let router = routes::router(Arc::clone(&instances));
            let (live, router) = match self.live {
                Some(config) => {
                    let (live, router) = start_live(&instances, config, router).await?;
                    (Some(live), router)
                }
                None => (None, router),
            };
            let listener = tokio::net::TcpListener::from_std(listener).map_err(bind)?;
            Ok((live, router, listener))
        });
        let (live, router, listener) = started?;
        let (stop, stopped) = oneshot::channel();
        let router = note_requests(Arc::clone(&instances), router);
        let serving = runtime.spawn(connections::serve(listener, router, async move {
            // Either is a wish to stop: the message, or the sender being gone.
            let _ = stopped.await;
        }));
        Ok(LocalNet { address, live, instances, running: Some(Running { runtime, stop, serving }) })
    }
}

/// Takes note of every request, so that it is known how long there was none.
fn note_requests(instances: Arc<Instances>, router: Router) -> Router {
    let note = move |request: Request, next: Next| {
        instances.touch();
        next.run(request)
    };
    Router::new().fallback_service(router).layer(middleware::from_fn(note))
}

/// Makes the network that lives at the root, and what is served there beside the `protocol`.
async fn start_live(
    instances: &Instances,
    config: LiveConfig,
    protocol: Router,
) -> Result<(LiveNetwork, Router), StartError> {
    let LiveConfig { subnets: asked, state_dir, save_interval } = config;
    let config = InstanceConfig {
        subnet_config_set: asked.clone().unwrap_or_else(default_subnets),
        state_dir,
        initial_time: Some(InitialTime::AutoProgress(AutoProgressConfig { artificial_delay_ms: None })),
        ..InstanceConfig::default()
    };
    let failed = |failure: answer::Failure| StartError::Network(failure.into_parts().1);
    let (id, topology) = instances.create(config, save_interval).await.map_err(failed)?;
    let asked = asked.map(|asked| kinds(network::subnet_specs(&asked).into_iter().map(|(kind, _)| kind)));
    let found = kinds(topology.subnet_configs.values().map(|config| config.subnet_kind));
    if let Some(asked) = asked.filter(|asked| *asked != found) {
        let message = format!("the state directory holds the subnets {found:?}, not {asked:?}");
        return Err(StartError::Network(message));
    }
    let instance = instances.get(&id.to_string()).map_err(failed)?;
    instances.keep_to_the_end(id);
    let root_key = instance.run(|network| network.root_key().to_vec()).await.map_err(failed)?;
    let api = gateway::below_instance(protocol.clone(), id);
    let gateway = gateway::at_root(instance, api).map_err(StartError::Network)?;
    Ok((LiveNetwork { topology, root_key }, root::router(protocol, gateway)))
}

/// Returns the subnets of a network of which nothing is asked.
fn default_subnets() -> ExtendedSubnetConfigSet {
    let spec = SubnetSpec::default;
    ExtendedSubnetConfigSet { nns: Some(spec()), application: vec![spec()], ..ExtendedSubnetConfigSet::default() }
}

/// Counts subnets by kind.
fn kinds(list: impl Iterator<Item = SubnetKind>) -> BTreeMap<SubnetKind, usize> {
    let mut kinds = BTreeMap::new();
    for kind in list {
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// A server of networks, in this process.
///
/// Dropping it ends the server and all of its networks; those with a state directory are written there first.
#[derive(Debug)]
pub struct LocalNet {
    address: SocketAddr,
    live: Option<LiveNetwork>,
    instances: Arc<Instances>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl LocalNet {
    /// Begins to describe a server.
    pub fn builder() -> LocalNetBuilder {
        LocalNetBuilder { address: (Ipv4Addr::LOCALHOST, 0).into(), live: None }
    }

    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no socket can be bound or no thread started.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Returns the server that all users in this process share; the first use starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<LocalNet> =
            LazyLock::new(|| LocalNet::start().expect("localnet cannot bind a port of the loopback interface"));
        &SHARED
    }

    /// Returns the URL for `PocketIcBuilder::with_server_url`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Returns the address that the server listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how long there was no request, to the network at the root or to any other.
    pub fn idle(&self) -> Duration {
        self.instances.idle()
    }

    /// Returns the live network at the root, if there is one.
    pub fn live(&self) -> Option<&LiveNetwork> {
        self.live.as_ref()
    }

    /// Ends the server and all of its networks, and waits until those with a state directory are written.
    ///
    /// # Errors
    /// When one could not be written: its directory holds an earlier state.
    pub fn end(mut self) -> Result<(), EndError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), EndError> {
        let Some(Running { runtime, stop, serving }) = self.running.take() else { return Ok(()) };
        let instances = Arc::clone(&self.instances);
        // On a thread of its own, since a runtime must not be waited for within another one.
        let end = thread::spawn(move || {
            // The server may have ended by itself.
            let _ = stop.send(());
            // Requests that take longer are cut.
            let _ = runtime.block_on(async { tokio::time::timeout(SHUTDOWN_PATIENCE, serving).await });
            let ended = instances.end_all();
            runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
            ended.into_iter().filter_map(|ended| ended.wait_blocking().err()).collect::<Vec<_>>()
        });
        let failures = end.join().unwrap_or_else(|_| vec!["the end of the server broke".to_owned()]);
        if failures.is_empty() { Ok(()) } else { Err(EndError(failures.join("; "))) }
    }
}

impl Drop for LocalNet {
    fn drop(&mut self) {
        if let Err(error) = self.end_once() {
            eprintln!("localnet: {error}");
        }
    }
}
