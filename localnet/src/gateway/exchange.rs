//! One request and the answer of its canister: query, perhaps update, verification, and what of it the client gets.

use std::{sync::Arc, time::SystemTime};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use candid::Principal;
use tokio::task::spawn_blocking;

use super::{
    Limits,
    refusal::Refusal,
    streaming::{Callbacks, ContentRange, Ranges, body_of},
    upstream::Upstream,
    verification::{self, Trusted, verify},
    wire::{Answer, Request},
};

const QUERY_METHOD: &str = "http_request";
const UPDATE_METHOD: &str = "http_request_update";
/// Calls of a streaming callback whose pieces are put together to be verified as one body. What takes more calls is
/// handed on without verification, as the official gateway does.
const MAX_VERIFIED_CALLBACKS: usize = 4;
/// Headers that concern one connection. The gateway's own connection has others.
const CONNECTION_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A request, the canister it is for, and the ways to ask it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub upstream: Upstream,
    pub limits: Limits,
    pub canister: Principal,
    /// False for answers that the client wants without verification.
    pub verify: bool,
    pub request: Request,
}

impl Exchange {
    /// Asks the canister and makes the response for the client.
    ///
    /// # Errors
    /// When there is no answer, or none that may be handed on.
    pub(super) async fn run(self) -> Result<Response, Refusal> {
        let mut answer = self.query(&self.request).await?;
        let upgraded = answer.upgrade;
        if upgraded {
            answer = self.update().await?;
        }
        let mut rest = None;
        if let Some(streaming) = answer.streaming.take() {
            let mut callbacks = Callbacks::new(self.upstream.clone(), &self.limits, streaming);
            callbacks.collect(&mut answer.body, MAX_VERIFIED_CALLBACKS).await?;
            rest = (!callbacks.is_done()).then_some(callbacks);
        }
        let status = status(answer.status)?;
        // An update was agreed on by the subnet, and a body that goes on cannot be verified before it is sent.
        let trusted = if upgraded || rest.is_some() {
            None
        } else {
            let verified = self.verify(self.request.clone(), status, answer).await?;
            answer = verified.0;
            verified.1
        };
        if matches!(trusted, Some(Trusted::V1)) && status.is_redirection() {
            return Err(Refusal::UncertifiedRedirect);
        }
        // A part that was not asked for is the beginning of the whole.
        let whole = status == StatusCode::PARTIAL_CONTENT && !self.request.asks_for_range();
        let is_head = self.request.method == Method::HEAD;
        let headers = response_headers(trusted, &answer.headers, whole, is_head)?;
        let (status, body, length) = match rest {
            Some(_) if whole => {
                return Err(Refusal::MalformedAnswer("a part of the body has a streaming strategy".to_owned()));
            }
            Some(callbacks) => (status, body_of(answer.body.into(), callbacks), None),
            None if whole => {
                let range = ContentRange::of_first_part(&answer)?;
                let ranges = Ranges::new(Arc::new(self), range)?;
                (StatusCode::OK, body_of(answer.body.into(), ranges), Some(range.total))
            }
            None => (status, Body::from(answer.body), None),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if let Some(length) = length {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        Ok(response)
    }

    /// Asks for a request as a query.
    pub(super) async fn query(&self, request: &Request) -> Result<Answer, Refusal> {
        let argument = request.to_query().map_err(|error| Refusal::MalformedRequest(error.to_string()))?;
        let reply = self.upstream.query(self.canister, QUERY_METHOD, argument).await?;
        decode(reply, |reply| Answer::decode(&reply)).await
    }

    async fn update(&self) -> Result<Answer, Refusal> {
        let argument = self.request.to_update().map_err(|error| Refusal::MalformedRequest(error.to_string()))?;
        let reply = self.upstream.update(self.canister, UPDATE_METHOD, argument).await?;
        decode(reply, |reply| Answer::decode(&reply)).await
    }

    /// Verifies an answer, unless the client wants none of it, and gives it back.
    ///
    /// # Errors
    /// When its certification is missing or wrong.
    pub(super) async fn verify(
        &self,
        request: Request,
        status: StatusCode,
        answer: Answer,
    ) -> Result<(Answer, Option<Trusted>), Refusal> {
        if !self.verify {
            return Ok((answer, None));
        }
        let root_key = self.upstream.root_key().await?;
        let canister = self.canister;
        let verified = blocking(move || {
            let response = verification::Response { status, headers: &answer.headers, body: &answer.body };
            let trusted = verify(canister, &request, response, SystemTime::now(), &root_key);
            trusted.map(|trusted| (answer, Some(trusted)))
        });
        verified.await.unwrap_or_else(Err).map_err(Refusal::NotVerified)
    }
}

/// Does work that may take long, or panic on hostile input, off the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// Decodes a reply of a canister.
pub(super) async fn decode<T: Send + 'static>(
    reply: Vec<u8>,
    decoding: impl FnOnce(Vec<u8>) -> Result<T, String> + Send + 'static,
) -> Result<T, Refusal> {
    blocking(move || decoding(reply)).await.unwrap_or_else(Err).map_err(Refusal::MalformedAnswer)
}

/// Reads the status of an answer. Those below 200 would announce another answer.
///
/// # Errors
/// When it is none, or none of a final answer.
pub(super) fn status(number: u16) -> Result<StatusCode, Refusal> {
    let status = StatusCode::from_u16(number).ok().filter(|status| !status.is_informational());
    status.ok_or_else(|| Refusal::MalformedAnswer(format!("{number} is no status of a response")))
}

/// Returns the headers of an answer that the client gets; `whole` when the answer is the first part of a body that the
/// client gets as a whole.
fn response_headers(
    trusted: Option<Trusted>,
    answered: &[(String, String)],
    whole: bool,
    is_head: bool,
) -> Result<HeaderMap, Refusal> {
    let is_v1 = matches!(trusted, Some(Trusted::V1));
    let handed_on = match &trusted {
        Some(Trusted::Certified(headers)) => headers.as_slice(),
        _ => answered,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in handed_on {
        let refused = |what: &str| Refusal::MalformedAnswer(format!("the header {name:?} has {what}"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("a malformed name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| refused("a malformed value"))?;
        let dropped = CONNECTION_HEADERS.contains(&parsed)
            // The length follows from the body, except where no body is sent.
            || (parsed == header::CONTENT_LENGTH && !(is_head && is_number(&value)))
            || (whole && parsed == header::CONTENT_RANGE)
            // Uncertified, it could make clients keep what is not to be kept.
            || (is_v1 && parsed == header::CACHE_CONTROL);
        if !dropped {
            headers.try_append(parsed, value).map_err(|_| Refusal::MalformedAnswer("too many headers".to_owned()))?;
        }
    }
    Ok(headers)
}

fn is_number(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.parse::<u64>().is_ok())
}

/// Reads the whole request of a client, for a canister.
///
/// # Errors
/// When a header holds what a canister cannot be told.
pub(super) fn request(method: Method, url: String, headers: &HeaderMap, body: Bytes) -> Result<Request, Refusal> {
    let read = |(name, value): (&HeaderName, &HeaderValue)| match value.to_str() {
        Ok(value) => Ok((name.as_str().to_owned(), value.to_owned())),
        Err(_) => Err(Refusal::MalformedRequest(format!("the header {name} has other characters than visible ASCII"))),
    };
    let headers = headers.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Request { method, url, headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn should_take_final_statuses_only() {
        for number in [0, 1, 99, 100, 101, 199, 1000, u16::MAX] {
            assert!(matches!(status(number), Err(Refusal::MalformedAnswer(_))), "{number}");
        }
        for number in [200, 206, 299, 404, 503, 999] {
            assert_eq!(status(number).unwrap().as_u16(), number);
        }
    }

    #[test]
    fn should_drop_headers_of_connections_and_lengths() {
        let answered = pairs(&[
            ("Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "7"),
            ("Content-Range", "bytes 0-1/2"),
            ("Cache-Control", "max-age=1"),
            ("Set-Cookie", "a=1"),
            ("set-cookie", "b=2"),
        ]);
        let headers = response_headers(None, &answered, false, false).unwrap();
        assert_eq!(names(&headers), ["content-range", "cache-control", "set-cookie"]);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        let head = response_headers(None, &answered, false, true).unwrap();
        assert_eq!(head["content-length"], "7");
        let whole = response_headers(Some(Trusted::Skipped), &answered, true, false).unwrap();
        assert_eq!(names(&whole), ["cache-control", "set-cookie"]);
        let v1 = response_headers(Some(Trusted::V1), &answered, false, false).unwrap();
        assert_eq!(names(&v1), ["content-range", "set-cookie"]);
    }

    #[test]
    fn should_hand_on_certified_headers_alone() {
        let trusted = Trusted::Certified(pairs(&[("content-type", "text/plain")]));
        let headers = response_headers(Some(trusted), &pairs(&[("x-not-certified", "1")]), false, false).unwrap();
        assert_eq!(names(&headers), ["content-type"]);
    }

    #[test]
    fn should_refuse_malformed_and_too_many_headers() {
        for (name, value) in [("", "x"), ("a b", "x"), ("a\n", "x"), ("é", "x"), ("a", "x\ny"), ("a", "\0")] {
            let refused = response_headers(None, &pairs(&[(name, value)]), false, false);
            assert!(matches!(refused, Err(Refusal::MalformedAnswer(_))), "{name:?}: {value:?}");
        }
        let many = vec![("a".to_owned(), "b".to_owned()); 40_000];
        assert!(response_headers(None, &many[..20_000], false, false).is_ok());
        let distinct: Vec<_> = (0..40_000).map(|index| (format!("a{index}"), String::new())).collect();
        assert!(response_headers(None, &distinct, false, false).is_err());
    }

    #[test]
    fn should_refuse_requests_with_headers_that_are_no_text() {
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(b"\xff").unwrap())]);
        let refused = request(Method::GET, "/".to_owned(), &headers, Bytes::new()).unwrap_err();
        assert!(refused.to_string().contains("the header cookie"), "{refused}");
    }
}
