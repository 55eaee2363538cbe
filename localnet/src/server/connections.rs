//! Connections: bounded in number, and in the time that clients may take.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Sleep, sleep},
};

/// Connections that are open at a time. Others wait to be accepted.
const MAX_CONNECTIONS: usize = 2_048;
/// Pause after a connection could not be accepted, such as when no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections that are open at a time.
    pub connections: usize,
    /// How long the head of a request may take to arrive, and a connection may be idle.
    pub head: Duration,
    /// How long a client may take no byte of an answer.
    pub stall: Duration,
}

const BOUNDS: Bounds =
    Bounds { connections: MAX_CONNECTIONS, head: Duration::from_secs(30), stall: Duration::from_secs(60) };

/// What becomes of the requests under way when a server is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// They are answered first.
    Answer,
    /// Their connections are cut.
    Cut,
}

/// Serves requests until it is to stop, and then until those under way are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    serve_within(BOUNDS, listener, router, stop, Ending::Answer).await;
}

/// Serves requests within bounds until it is to stop. Nobody is let in any more when the requests under way end.
pub(crate) async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    ending: Ending,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let (closing, closed) = watch::channel(());
    let mut open = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, connection) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        // Those that have ended: each had a place, so there are never more than places.
        while open.try_join_next().is_some() {}
        match connection {
            Ok((stream, _)) => {
                let (router, closed) = (router.clone(), closed.clone());
                open.spawn(async move {
                    serve_connection(bounds, stream, router, closed).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    drop(closing);
    match ending {
        Ending::Answer => while open.join_next().await.is_some() {},
        Ending::Cut => open.shutdown().await,
    }
}

async fn serve_connection(bounds: Bounds, stream: TcpStream, router: Router, mut closed: watch::Receiver<()>) {
    // Answers are written in one piece, there is nothing to collect.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Patient { stream, patience: bounds.stall, stalled: None });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.head);
    let mut connection = pin!(builder.serve_connection(stream, TowerToHyperService::new(router)));
    // An error concerns this connection only, and its client knows of it or is gone.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closed.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A connection that breaks when its client takes nothing for too long.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Ends when patience does; nothing while the client takes what it gets.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// Passes on the outcome of writing, unless it is still to come for too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.bounded(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Instant};

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
        task::JoinHandle,
        time::timeout,
    };

    use super::*;

    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(20);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    async fn start(bounds: Bounds) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        start_with(bounds, Ending::Answer).await
    }

    async fn start_with(bounds: Bounds, ending: Ending) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/slow", get(async || sleep(SHORT * 4).await))
            .route("/large", get(async || vec![0u8; 64 << 20]));
        let (stop, stopped) = oneshot::channel::<()>();
        let stop_asked = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve_within(bounds, listener, router, stop_asked, ending));
        (address, stop, server)
    }

    fn bounds() -> Bounds {
        Bounds { connections: 2, head: SHORT, stall: SHORT }
    }

    async fn ask(stream: &mut TcpStream, request: &[u8]) -> String {
        stream.write_all(request).await.unwrap();
        let mut buffer = [0; 1024];
        let length = timeout(LONG, stream.read(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Waits until the server closes the connection, and returns what it said before.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset is an end as well.
        let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn should_close_connections_that_do_not_say_what_they_want() {
        let (address, _stop, _server) = start(bounds()).await;
        for said in [b"".as_slice(), b"GET / HTT", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said).await.unwrap();
            let begin = Instant::now();
            let answer = rest(&mut stream).await;
            assert!(begin.elapsed() >= SHORT / 2, "{answer}");
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        }
    }

    #[tokio::test]
    async fn should_let_requests_take_longer_than_their_heads() {
        let (address, _stop, _server) = start(bounds()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = ask(&mut stream, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn should_close_connections_that_take_no_answer() {
        let (address, stop, server) = start(Bounds { connections: 1, ..bounds() }).await;
        let mut greedy = TcpStream::connect(address).await.unwrap();
        greedy.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // It takes nothing, so its place is free again and the next one is served.
        let mut next = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut next, REQUEST).await.starts_with("HTTP/1.1 200"));
        drop(stop);
        timeout(LONG, server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn should_accept_no_more_connections_than_allowed() {
        let (address, _stop, _server) = start(Bounds { head: LONG, ..bounds() }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first, REQUEST).await.starts_with("HTTP/1.1 200"));
        assert!(ask(&mut second, REQUEST).await.starts_with("HTTP/1.1 200"));
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        let mut byte = [0];
        assert!(timeout(SHORT * 2, third.read(&mut byte)).await.is_err(), "it waits");
        drop(first);
        assert_eq!(timeout(LONG, third.read(&mut byte)).await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn should_answer_what_is_under_way_when_it_stops() {
        let (address, stop, server) = start(Bounds { head: LONG, ..bounds() }).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut idle, REQUEST).await.starts_with("HTTP/1.1 200"));
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        sleep(SHORT).await;
        drop(stop);
        assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200"));
        assert_eq!(rest(&mut idle).await, "");
        timeout(LONG, server).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn should_cut_what_is_under_way_when_asked_to() {
        let (address, stop, server) = start_with(Bounds { head: LONG, ..bounds() }, Ending::Cut).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut idle, REQUEST).await.starts_with("HTTP/1.1 200"));
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        sleep(SHORT).await;
        drop(stop);
        timeout(LONG, server).await.unwrap().unwrap();
        assert_eq!(rest(&mut busy).await, "");
        assert_eq!(rest(&mut idle).await, "");
        assert!(TcpListener::bind(address).await.is_ok(), "the port is free");
    }
}
