//! Answers of the interface: CBOR, or a text that says what is wrong.

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{authentication::AuthenticationError, cbor, envelope::EnvelopeError};
use crate::{error::UserError, server::Failure};

/// The media type of requests and answers.
pub(super) const CBOR: &str = "application/cbor";

/// A value as answer.
pub(super) struct Cbor<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Cbor<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static(CBOR))], cbor::write(&self.0)).into_response()
    }
}

/// A request that is not answered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.text).into_response()
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (status, text) = failure.into_parts();
        Self { status, text }
    }
}

impl From<EnvelopeError> for Refusal {
    fn from(error: EnvelopeError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<AuthenticationError> for Refusal {
    fn from(error: AuthenticationError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// A reject, as answers hold it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reject {
    pub(super) reject_code: u64,
    pub(super) reject_message: String,
    pub(super) error_code: String,
}

impl From<UserError> for Reject {
    fn from(error: UserError) -> Self {
        Self {
            reject_code: error.reject_code() as u64,
            reject_message: error.description,
            error_code: format!("IC{:04}", error.code as u64),
        }
    }
}
