//! The PocketIC REST protocol over HTTP, for any number of independent networks in one process.
//!
//! Every request is answered when its work is done (never `202` or `409`, which the protocol allows). Each network
//! lives on a thread of its own, see [`instance`]; this file owns the socket and the runtime that serves it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use tokio::{runtime::Runtime, sync::oneshot};

mod answer;
mod blobs;
mod gateways;
mod instance;
mod instances;
mod routes;
mod translate;

pub(crate) use answer::Failure;
pub(crate) use instance::Instance;
use instances::Instances;

/// Threads that serve requests; the work itself is done by the threads of the networks.
const SERVING_THREADS: usize = 2;
/// How long the end waits for requests under way.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// A server of networks, in this process.
///
/// Dropping it ends the server and all of its networks.
#[derive(Debug)]
pub struct LocalNet {
    address: SocketAddr,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
}

impl LocalNet {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no socket can be bound or no thread started.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVING_THREADS)
            .thread_name("localnet-http")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let router = routes::router(Arc::new(Instances::default()));
        runtime.spawn(async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(async move {
                // Either is a wish to stop: the message, or the sender being gone.
                let _ = stopped.await;
            });
            if let Err(error) = server.await {
                eprintln!("localnet: the server ended: {error}");
            }
        });
        Ok(Self { address, runtime: Some(runtime), stop: Some(stop) })
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
}

impl Drop for LocalNet {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The server may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own, since a runtime must not be waited for within another one.
            let end = thread::spawn(move || runtime.shutdown_timeout(SHUTDOWN_PATIENCE));
            let _ = end.join();
        }
    }
}
