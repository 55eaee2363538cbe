//! Why a request got no answer from a canister, and how a client is told.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use candid::Principal;
use serde::Serialize;

use crate::error::{RejectCode, UserError};

/// Why a request is answered by the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The request does not say which host it is for.
    #[error("the request has no Host header that can be read")]
    NoAuthority,
    /// The host is none of the gateway's domains, nor a canister below one.
    #[error("the gateway does not serve the domain {host}; it serves {served}")]
    UnknownDomain {
        /// The host that was asked for.
        host: String,
        /// The domains of the gateway.
        served: String,
    },
    /// Nothing names a canister.
    #[error(
        "no canister is named: use the host <canister id>.{domain} or <canister id>.raw.{domain}, or the query \
         parameter canisterId"
    )]
    CanisterNotNamed {
        /// A domain of the gateway.
        domain: String,
    },
    /// The query parameter `canisterId` is no principal.
    #[error("canisterId is no canister id: {0}")]
    BadCanisterId(String),
    /// The request cannot be handed on.
    #[error("the request is malformed: {0}")]
    MalformedRequest(String),
    /// The method is none that canisters are asked with.
    #[error("canisters are not asked with the method {0}")]
    MethodNotAllowed(String),
    /// The body or the message made of it is too large.
    #[error("the request is too large: {0}")]
    TooLarge(String),
    /// The body did not come in time.
    #[error("the body of the request did not come within {} s", .0.as_secs_f32())]
    BodyTimedOut(Duration),
    /// There is no such canister.
    #[error("canister {0} does not exist")]
    CanisterNotFound(Principal),
    /// The canister has too few cycles to run.
    #[error("the canister is frozen for lack of cycles: {0}")]
    CanisterFrozen(UserError),
    /// The canister rejected the call.
    #[error("the canister rejected the request: {0}")]
    CanisterRejected(UserError),
    /// The canister trapped, has no such method, or has no code.
    #[error("the canister failed to answer: {0}")]
    CanisterFailed(UserError),
    /// The network did not execute the call.
    #[error("the network did not execute the call: {0}")]
    NotExecuted(UserError),
    /// The canister answered with something that is no HTTP response.
    #[error("the canister's answer is no HTTP response: {0}")]
    MalformedAnswer(String),
    /// The certification of the answer is wrong or missing.
    #[error("the response failed verification: {0}. The raw host of the canister answers without verification")]
    NotVerified(String),
    /// A redirect whose status is not certified.
    #[error("response verification v1 does not allow redirects")]
    UncertifiedRedirect,
    /// Too many wait for answers of the network already.
    #[error("too many requests wait for answers of this network")]
    Busy,
    /// No answer in time.
    #[error("the canister did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The instance behind the gateway is gone or broken.
    #[error("the instance cannot be asked: {0}")]
    Broken(String),
    /// What the official gateway serves and this one does not.
    #[error("localnet does not {0} yet")]
    NotBuilt(&'static str),
}

/// The body of a refusal for programs.
#[derive(Serialize)]
struct Description {
    error_type: &'static str,
    description: String,
}

impl Refusal {
    /// Tells why a call of a canister failed.
    pub(super) fn of_call(canister: Principal, error: UserError) -> Self {
        match error.reject_code() {
            RejectCode::DestinationInvalid => Self::CanisterNotFound(canister),
            RejectCode::CanisterReject => Self::CanisterRejected(error),
            RejectCode::CanisterError => Self::CanisterFailed(error),
            RejectCode::SysTransient if error.description.contains("frozen") => Self::CanisterFrozen(error),
            RejectCode::SysFatal | RejectCode::SysTransient | RejectCode::SysUnknown => Self::NotExecuted(error),
        }
    }

    /// Returns the status that stands for it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoAuthority
            | Self::UnknownDomain { .. }
            | Self::CanisterNotNamed { .. }
            | Self::BadCanisterId(_)
            | Self::MalformedRequest(_) => StatusCode::BAD_REQUEST,
            Self::CanisterNotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimedOut(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UncertifiedRedirect | Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotBuilt(_) => StatusCode::NOT_IMPLEMENTED,
            Self::CanisterFrozen(_)
            | Self::CanisterRejected(_)
            | Self::CanisterFailed(_)
            | Self::NotExecuted(_)
            | Self::MalformedAnswer(_)
            | Self::NotVerified(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Returns its name for programs: the official gateway's where it has one.
    fn error_type(&self) -> &'static str {
        match self {
            Self::NoAuthority => "client_no_authority",
            Self::UnknownDomain { .. } => "client_unknown_domain",
            Self::MalformedRequest(_) => "client_malformed_request",
            Self::MethodNotAllowed(_) => "client_method_not_allowed",
            Self::TooLarge(_) => "client_body_too_large",
            Self::BodyTimedOut(_) => "client_body_timeout",
            Self::CanisterNotNamed { .. } => "canister_id_not_resolved",
            Self::BadCanisterId(_) => "canister_id_incorrect",
            Self::CanisterNotFound(_) => "canister_not_found",
            Self::CanisterFrozen(_) => "canister_frozen",
            Self::CanisterRejected(_) => "canister_reject",
            Self::CanisterFailed(_) => "canister_error",
            Self::NotExecuted(_) => "backend_other",
            Self::MalformedAnswer(_) => "backend_http_gateway",
            Self::NotVerified(_) | Self::UncertifiedRedirect => "backend_response_verification",
            Self::Busy => "load_shed",
            Self::TimedOut(_) => "backend_timeout",
            Self::Broken(_) => "internal_server_error",
            Self::NotBuilt(_) => "not_implemented",
        }
    }

    /// Writes the answer: a page for browsers, JSON for programs.
    pub(super) fn into_response_for(self, request: &HeaderMap) -> Response {
        let status = self.status();
        let mut response = if accepts_html(request) {
            (status, Html(self.page())).into_response()
        } else {
            let description = Description { error_type: self.error_type(), description: self.to_string() };
            (status, Json(description)).into_response()
        };
        // A refusal says how things are now; nobody may keep it.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::BodyTimedOut(_) | Self::TooLarge(_)) {
            // What is left of the body is not read.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn page(&self) -> String {
        let status = self.status();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status}</title></head>\
             <body><h1>{status}</h1><p>{}</p><p><code>{}</code></p></body></html>\n",
            escape(&self.to_string()),
            self.error_type()
        )
    }
}

fn accepts_html(request: &HeaderMap) -> bool {
    let mut accepted = request.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/html"))
}

/// Makes a text harmless within a page. It may hold what a canister or a client wrote.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorCode;

    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn should_tell_failures_of_calls_apart() {
        let canister = Principal::from_slice(&[1]);
        let refusal = |code, text: &str| Refusal::of_call(canister, UserError::new(code, text));
        let missing = refusal(ErrorCode::CanisterNotFound, "gone");
        assert_eq!((missing.status(), missing.error_type()), (StatusCode::NOT_FOUND, "canister_not_found"));
        for (code, text, error_type) in [
            (ErrorCode::CanisterTrapped, "boom", "canister_error"),
            (ErrorCode::CanisterMethodNotFound, "no method", "canister_error"),
            (ErrorCode::CanisterRejectedMessage, "no", "canister_reject"),
            (ErrorCode::CanisterOutOfCycles, "it's frozen", "canister_frozen"),
            (ErrorCode::CanisterOutOfCycles, "it's busy", "backend_other"),
        ] {
            let refusal = refusal(code, text);
            assert_eq!((refusal.status(), refusal.error_type()), (StatusCode::SERVICE_UNAVAILABLE, error_type));
            assert!(refusal.to_string().contains(text), "{refusal}");
        }
    }

    #[tokio::test]
    async fn should_write_json_for_programs_and_an_escaped_page_for_browsers() {
        let refusal = Refusal::NotVerified("<script>&\"'".to_owned());
        let json = refusal.clone().into_response_for(&HeaderMap::new());
        assert_eq!(json.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(json.headers()[header::CACHE_CONTROL], "no-store");
        let body: serde_json::Value = serde_json::from_str(&text(json).await).unwrap();
        assert_eq!(body["error_type"], "backend_response_verification");
        assert!(body["description"].as_str().unwrap().contains("<script>"));

        let browser = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"))]);
        let page = refusal.into_response_for(&browser);
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let page = text(page).await;
        assert!(page.contains("&lt;script&gt;&amp;&quot;&#39;") && !page.contains("<script>"), "{page}");
    }
}
