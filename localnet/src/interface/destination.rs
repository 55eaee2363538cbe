//! The principal in the path of a request: the effective canister, or the subnet.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use candid::Principal;

use super::answer::Refusal;

/// The principal in the path of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination(pub(super) Principal);

impl<S: Send + Sync> FromRequestParts<S> for Destination {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        // The path of an instance has a parameter of its own, so this one is looked up by its name.
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|error| Refusal::bad_request(error.body_text()))?;
        let text = parameters.iter().find_map(|(name, value)| (name == "principal").then_some(value));
        let text = text.unwrap_or_default();
        Principal::from_text(text)
            .map(Self)
            .map_err(|error| Refusal::bad_request(format!("Invalid principal in the URL: {error}")))
    }
}
