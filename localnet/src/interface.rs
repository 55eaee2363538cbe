//! The HTTP interface of the Internet Computer, which agents talk to.
//!
//! Requests are CBOR envelopes: [`envelope`] reads them and [`authentication`] decides who sent them, both without
//! knowing of networks. The endpoints ask the thread of a network for the rest, and never hold it up: who waits for the
//! answer of a call waits outside.

use axum::{
    Router,
    extract::{FromRequestParts, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use tower_http::cors::CorsLayer;

use crate::server::Instance;

mod answer;
mod authentication;
mod body;
mod call;
mod cbor;
mod destination;
mod envelope;
mod hash;
mod query;
mod read_state;
mod status;
mod trust;

pub(crate) use authentication::{SignatureError, verify_canister_signature};

/// Builds the router of the interface, whose paths begin with `/api`. Which instance a request is for is found out by
/// the state: from a part of the path, or because there is only one.
pub(crate) fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Instance: FromRequestParts<S>,
{
    Router::new()
        .route("/api/v2/status", get(status::answer).fallback(other_method))
        .route("/api/v2/canister/{principal}/call", post(call::without_waiting).fallback(other_method))
        .route("/api/v3/canister/{principal}/call", post(call::and_wait).fallback(other_method))
        .route("/api/v4/canister/{principal}/call", post(call::and_wait).fallback(other_method))
        .route("/api/v4/subnet/{principal}/call", post(call::on_subnet).fallback(other_method))
        .route("/api/v2/canister/{principal}/query", post(query::of_canister).fallback(other_method))
        .route("/api/v3/canister/{principal}/query", post(query::of_canister).fallback(other_method))
        .route("/api/v3/subnet/{principal}/query", post(query::of_subnet).fallback(other_method))
        .route("/api/v2/canister/{principal}/read_state", post(read_state::of_canister_flat).fallback(other_method))
        .route("/api/v3/canister/{principal}/read_state", post(read_state::of_canister).fallback(other_method))
        .route("/api/v2/subnet/{principal}/read_state", post(read_state::of_subnet_flat).fallback(other_method))
        .route("/api/v3/subnet/{principal}/read_state", post(read_state::of_subnet).fallback(other_method))
        .route("/api/{*path}", any(nothing))
        .layer(CorsLayer::permissive())
}

/// Answers wrong methods. A fallback of the routes themselves, since one of a router around them would come before the
/// layer that answers browsers.
async fn other_method(request: Request) -> Response {
    let text = format!("{} is not to be used with {}", request.uri().path(), request.method());
    (StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}

async fn nothing(request: Request) -> Response {
    (StatusCode::NOT_FOUND, format!("there is nothing at {}", request.uri().path())).into_response()
}
