//! `GET /api/v2/status`: what a client must know before its first request.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::answer::{Cbor, Refusal};
use crate::server::Instance;

#[derive(Serialize)]
struct Status {
    root_key: ByteBuf,
    impl_version: &'static str,
    replica_health_status: &'static str,
}

pub(super) async fn answer(instance: Instance) -> Result<Response, Refusal> {
    let root_key = instance.run(|network| network.root_key()).await?;
    let status = Status {
        root_key: ByteBuf::from(root_key.to_vec()),
        impl_version: concat!("localnet ", env!("CARGO_PKG_VERSION")),
        replica_health_status: "healthy",
    };
    Ok(Cbor(status).into_response())
}
