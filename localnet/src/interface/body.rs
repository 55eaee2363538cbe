//! Reading the body of a request: in time, within bounds, and only as CBOR.

use std::time::Duration;

use axum::{
    body::{self, Bytes, to_bytes},
    extract::Request,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use futures_util::StreamExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::answer::{CBOR, Refusal};

/// Largest body, as on the Internet Computer.
pub(super) const MAX_BODY_BYTES: usize = 5 << 20;
/// How long the body of a request may take to arrive, and how long a request may wait for its place.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a refused body is read and dropped. A client that still sends when the connection closes sees an error
/// of the connection instead of the answer.
const MAX_DROPPED_BYTES: usize = 16 << 20;
/// How long a refused body is read.
const DROP_PATIENCE: Duration = Duration::from_secs(5);
/// Requests whose bodies are held at a time, from reading them until the network has them.
const MAX_BODIES: usize = 128;

static PLACES: Semaphore = Semaphore::const_new(MAX_BODIES);

/// A body, and the right to hold it.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _place: SemaphorePermit<'static>,
}

/// Reads the body of a request.
///
/// # Errors
/// When it is not CBOR, too large or too slow, or too many other requests are under way.
pub(super) async fn read(request: Request) -> Result<Body, Refusal> {
    let checked = check_content_type(request.headers()).and_then(|()| check_content_length(request.headers()));
    if let Err(refusal) = checked {
        drop_body(request.into_body()).await;
        return Err(refusal);
    }
    let Ok(Ok(place)) = timeout(PATIENCE, PLACES.acquire()).await else {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Service is overloaded, try again later."));
    };
    let bytes = bytes(request, MAX_BODY_BYTES, PATIENCE).await?;
    Ok(Body { bytes, _place: place })
}

/// Lets a client finish what it sends, within bounds, so that it reads the answer.
async fn drop_body(body: body::Body) {
    let mut parts = body.into_data_stream();
    let dropping = async {
        let mut dropped = 0;
        while let Some(Ok(part)) = parts.next().await {
            dropped += part.len();
            if dropped > MAX_DROPPED_BYTES {
                return;
            }
        }
    };
    // Whoever is slower than that may miss the answer.
    let _ = timeout(DROP_PATIENCE, dropping).await;
}

/// Reads at most so many bytes for at most so long.
async fn bytes(request: Request, limit: usize, patience: Duration) -> Result<Bytes, Refusal> {
    match timeout(patience, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Either the limit or the connection: there is nobody to answer to in the second case.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("receiving request took longer than {}s", patience.as_secs()),
        )),
    }
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is too large: at most {MAX_BODY_BYTES} bytes."))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        Some(given) if given.eq_ignore_ascii_case(CBOR) => Ok(()),
        _ => Err(Refusal::bad_request(format!("Unexpected content-type, expected {CBOR}."))),
    }
}

/// Refuses what says itself that it is too large before any of it is kept.
fn check_content_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES as u64) { Err(too_large()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body as HttpBody, http::HeaderValue};

    use super::*;

    fn request(body: impl Into<HttpBody>, content_type: Option<&'static str>) -> Request {
        let mut request = Request::new(body.into());
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        request
    }

    #[tokio::test]
    async fn should_take_cbor_only() {
        for content_type in ["application/cbor", "Application/CBOR"] {
            assert_eq!(read(request("abc", Some(content_type))).await.unwrap().bytes, "abc");
        }
        for content_type in [None, Some("application/json"), Some("application/cbor; charset=utf-8"), Some("")] {
            let refusal = read(request("abc", content_type)).await.unwrap_err();
            assert_eq!(
                refusal,
                Refusal::bad_request("Unexpected content-type, expected application/cbor."),
                "{content_type:?}"
            );
        }
    }

    #[tokio::test]
    async fn should_take_bodies_up_to_the_limit() {
        let read = async |length: usize| read(request(vec![0; length], Some(CBOR))).await;
        assert_eq!(read(MAX_BODY_BYTES).await.unwrap().bytes.len(), MAX_BODY_BYTES);
        assert_eq!(read(MAX_BODY_BYTES + 1).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn should_not_wait_for_a_body_for_long() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let patience = Duration::from_millis(100);
        let read =
            async move |request: Request| bytes(request, 100, patience).await.map(|bytes| bytes.len().to_string());
        let router = axum::Router::new().route("/", axum::routing::post(read));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\na part").await.unwrap();
        let mut answer = [0; 12];
        timeout(Duration::from_secs(20), stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
    }

    #[tokio::test]
    async fn should_read_a_refused_body_within_bounds() {
        let parts = |count: usize| {
            let read = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = read.clone();
            let stream = futures_util::stream::iter(0..count).map(move |_| {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok::<_, std::io::Error>(vec![0; 1 << 20])
            });
            (HttpBody::from_stream(stream), read)
        };
        for (sent, expected) in [(16, 16), (17, 17), (1_000, 17)] {
            let (body, read) = parts(sent);
            drop_body(body).await;
            assert_eq!(read.load(std::sync::atomic::Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn should_refuse_what_says_that_it_is_too_large() {
        let mut request = request("short", Some(CBOR));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(MAX_BODY_BYTES as u64 + 1));
        assert_eq!(read(request).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
