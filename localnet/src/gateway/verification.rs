//! Verification of responses: that the canister certified them, and which of their parts.

use std::{
    io::Read,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{StatusCode, header};
use candid::Principal;
use flate2::read::{DeflateDecoder, GzDecoder};
use ic_http_certification::{CERTIFICATE_HEADER_NAME, HttpRequest, HttpResponse};
use ic_response_verification::{MIN_VERIFICATION_VERSION, verify_request_response_pair};

use super::{shape, wire::Request};

/// How far the time of a certificate may be from the clock, before or after.
pub(super) const MAX_CERTIFICATE_TIME_OFFSET: Duration = Duration::from_secs(300);
/// Largest body when unpacked: certification v1 covers unpacked bodies too.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// The headers of a verified response that may be handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trusted {
    /// Certification v1, which covers neither status nor headers: the headers as they are.
    V1,
    /// Certification v2 that covers these headers and the status.
    Certified(Vec<(String, String)>),
    /// Certification v2 by which the canister answers for what it does not certify: the headers as they are.
    Skipped,
}

/// A response, as far as it can be certified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response<'a> {
    pub status: StatusCode,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

/// Verifies that a canister certified a response to a request.
///
/// The time of the certificate is compared with the clock, not with the network's time, as the official gateway does:
/// what is served to the world must be of today.
///
/// # Errors
/// A sentence that says what is missing or wrong.
pub(super) fn verify(
    canister: Principal,
    request: &Request,
    response: Response<'_>,
    now: SystemTime,
    root_key: &[u8],
) -> Result<Trusted, String> {
    shape::check(response.headers)?;
    if !is_v2(response.headers) && unpacks_beyond(response.body, encoding(response.headers), MAX_UNPACKED_BYTES) {
        return Err(format!("the body has more than {MAX_UNPACKED_BYTES} bytes when unpacked"));
    }
    let http_request = HttpRequest::builder()
        .with_method(request.method.clone())
        .with_url(request.url.as_str())
        .with_headers(request.headers.clone())
        .with_body(request.body.as_ref())
        .build();
    let http_response = HttpResponse::builder()
        .with_status_code(response.status)
        .with_headers(response.headers.to_vec())
        .with_body(response.body)
        .build();
    let info = verify_request_response_pair(
        http_request,
        http_response,
        canister.as_slice(),
        now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos(),
        MAX_CERTIFICATE_TIME_OFFSET.as_nanos(),
        root_key,
        MIN_VERIFICATION_VERSION,
    )
    .map_err(|error| with_causes(&error))?;
    Ok(match (info.verification_version, info.response) {
        (..=1, _) => Trusted::V1,
        (_, Some(certified)) => Trusted::Certified(certified.headers),
        (_, None) => Trusted::Skipped,
    })
}

/// Writes an error with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().rfind(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn encoding(headers: &[(String, String)]) -> Option<&str> {
    value(headers, header::CONTENT_ENCODING.as_str())
}

fn is_v2(headers: &[(String, String)]) -> bool {
    value(headers, CERTIFICATE_HEADER_NAME).is_some_and(|value| value.contains("version=2"))
}

/// Tells whether a packed body is too large when unpacked. What is no valid packing is left to the verification.
fn unpacks_beyond(body: &[u8], encoding: Option<&str>, limit: u64) -> bool {
    let count = |reader: &mut dyn Read| std::io::copy(&mut reader.take(limit + 1), &mut std::io::sink());
    let unpacked = match encoding {
        Some("gzip") => count(&mut GzDecoder::new(body)),
        Some("deflate") => count(&mut DeflateDecoder::new(body)),
        _ => return false,
    };
    unpacked.is_ok_and(|bytes| bytes > limit)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn should_bound_unpacked_bodies() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&[7; 10_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(!unpacks_beyond(&packed, Some("gzip"), 10_000));
        assert!(unpacks_beyond(&packed, Some("gzip"), 9_999));
        assert!(!unpacks_beyond(&packed, None, 9_999));
        assert!(!unpacks_beyond(b"not gzip", Some("gzip"), 1));
    }

    #[test]
    fn should_survive_headers_as_deep_as_is_allowed() {
        let request = Request {
            method: axum::http::Method::GET,
            url: "/".to_owned(),
            headers: vec![],
            body: axum::body::Bytes::new(),
        };
        // The deepest tree, and a certificate with the deepest one: neither is signed.
        let mut tree = b"\x83\x02\x40".repeat(254);
        tree.extend(b"\x81\x00");
        let mut certificate = b"\xa2\x64tree".to_vec();
        certificate.extend(&tree[3..]);
        certificate.extend(b"\x69signature\x40");
        let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let value = format!("certificate=:{}:, tree=:{}:, version=1", encode(&certificate), encode(&tree));
        assert!(shape::check(&[("IC-Certificate".to_owned(), value.clone())]).is_ok());
        let verified = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let headers = [("IC-Certificate".to_owned(), value)];
            let response = Response { status: StatusCode::OK, headers: &headers, body: b"x" };
            verify(Principal::anonymous(), &request, response, SystemTime::now(), &[0; 133])
        });
        let error = verified.unwrap().join().unwrap().unwrap_err();
        assert!(error.contains("Time not found"), "it was parsed: {error}");
    }

    #[test]
    fn should_refuse_responses_without_a_certificate() {
        let request = Request {
            method: axum::http::Method::GET,
            url: "/".to_owned(),
            headers: vec![],
            body: axum::body::Bytes::new(),
        };
        let pair = |value: &str| vec![("IC-Certificate".to_owned(), value.to_owned())];
        for headers in [vec![], pair(""), pair("nonsense"), pair("certificate=:AA==:, tree=:AA==:, version=2")] {
            let response = Response { status: StatusCode::OK, headers: &headers, body: b"x" };
            let verified = verify(Principal::anonymous(), &request, response, SystemTime::now(), &[0; 133]);
            assert!(verified.is_err(), "{headers:?}");
        }
    }
}
