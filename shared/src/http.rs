//! Wire types of the HTTP gateway protocol of the Internet Computer.

#[cfg(feature = "test-gateway")]
pub mod test_gateway;

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// A request of an HTTP gateway.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `HEAD` and so on.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: ByteBuf,
    /// The newest version of certification that the gateway knows; absent in `http_request_update`.
    pub certificate_version: Option<u16>,
}

impl HttpRequest {
    /// Returns the value of the first header of a name, in whatever case, without blanks around it.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        found.map(|header| header.1.trim())
    }
}

/// The answer to an HTTP gateway.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct HttpResponse {
    /// The status.
    pub status_code: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: ByteBuf,
    /// Whether the gateway shall ask again with `http_request_update`, whose answer the subnet agrees on, and forget this
    /// one.
    pub upgrade: Option<bool>,
}
