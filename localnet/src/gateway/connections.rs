//! Serving HTTP/1 connections of one socket: a bounded number at a time, none that stays silent, until told to stop.

use std::{io, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::sleep,
};

/// Pause after an error of the socket itself, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the connections of one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// Connections at a time; others wait until one ends.
    pub count: usize,
    /// How long a client may take for the head of a request, from when the one before was answered.
    pub head_patience: Duration,
}

/// Serves until the other end of `stop` sends or is gone. Then it cuts all connections.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    mut stop: oneshot::Receiver<()>,
) {
    let places = std::sync::Arc::new(Semaphore::new(limits.count));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        // Those that have ended; each held a place, so there are never more than places.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, place)) => {
                let router = router.clone();
                connections.spawn(async move {
                    serve_one(stream, router, limits.head_patience).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ERROR_PAUSE).await,
        }
    }
    // In this order: nobody is let in any more, and then nobody is left.
    drop(listener);
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &std::sync::Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = std::sync::Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn serve_one(stream: TcpStream, router: Router, head_patience: Duration) {
    // Small answers go out at once. A socket that refuses this works all the same.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_patience)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // An error is a client that went away, was silent, or does not speak HTTP: it has been told what can be told.
    let _ = served.await;
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
        time::timeout,
    };

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    async fn start(limits: ConnectionLimits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().route("/", get(async || "hello"));
        (address, stop, tokio::spawn(serve(listener, router, limits, stopped)))
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = vec![0; 1000];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn should_let_so_many_in_and_others_when_one_leaves() {
        let limits = ConnectionLimits { count: 1, head_patience: Duration::from_secs(60) };
        let (address, _stop, _serving) = start(limits).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.contains("hello"));
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(200), second.read(&mut byte)).await.is_err(), "it waits");
        drop(first);
        assert_eq!(timeout(Duration::from_secs(20), second.read(&mut byte)).await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn should_cut_clients_that_are_slow_with_the_head_or_send_none() {
        let limits = ConnectionLimits { count: 10, head_patience: Duration::from_millis(100) };
        let (address, _stop, _serving) = start(limits).await;
        for beginning in [b"".as_slice(), b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            let mut rest = Vec::new();
            let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "{beginning:?}");
        }
        // After an answer the time runs again.
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.contains("hello"));
        let mut rest = Vec::new();
        assert!(timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.is_ok());
    }

    #[tokio::test]
    async fn should_cut_all_connections_and_free_the_port_when_stopped() {
        let limits = ConnectionLimits { count: 10, head_patience: Duration::from_secs(60) };
        let (address, stop, serving) = start(limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.contains("hello"));
        stop.send(()).unwrap();
        serving.await.unwrap();
        let mut byte = [0];
        assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
        assert!(TcpListener::bind(address).await.is_ok());
    }
}
