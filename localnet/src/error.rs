//! The error of a call, with the code a replica gives it.

pub(crate) use pocket_ic::{ErrorCode, RejectCode};
use serde::{Deserialize, Serialize};

/// An unsuccessful call as its sender sees it: an error code and a sentence.
///
/// Callers that are canisters see only the reject code and the sentence; ingress and query callers see all three.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("IC{:04}: {description}", *.code as u64)]
pub(crate) struct UserError {
    /// The replica's error code; its hundreds digit is the reject code.
    pub code: ErrorCode,
    /// What went wrong, for a person. Never compared by programs.
    pub description: String,
}

impl UserError {
    /// Makes an error from a code and a sentence.
    pub(crate) fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    /// Returns the reject code, the hundreds digit of the error code.
    pub(crate) fn reject_code(&self) -> RejectCode {
        RejectCode::try_from(self.code as u64 / 100).expect("every error code has a reject code")
    }
}

/// The result of an operation that answers a caller.
pub(crate) type UserResult<T> = Result<T, UserError>;
