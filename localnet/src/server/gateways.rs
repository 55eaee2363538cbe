//! Making, listing and stopping HTTP gateways.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use pocket_ic::common::rest::{
    CreateHttpGatewayResponse, HttpGatewayBackend, HttpGatewayConfig, HttpGatewayDetails, HttpGatewayInfo,
    InstanceConfig, InstanceHttpGatewayConfig, InstanceId, Topology,
};

use super::{
    answer::{Answer, Body, Failure},
    routes::{Shared, router},
};
use crate::gateway::{Reserved, below_instance};

/// Status of a gateway that cannot be made, as the official server answers.
const NOT_CREATED: StatusCode = StatusCode::BAD_GATEWAY;

/// `POST /http_gateway`: starts a gateway for an instance.
pub(super) async fn create(State(shared): State<Shared>, body: Result<Body<HttpGatewayConfig>, Failure>) -> Response {
    let created = match body {
        Ok(Body(config)) => reserve_and_serve(&shared, config).await,
        Err(failure) => Err(failure),
    };
    match created {
        Ok(info) => (StatusCode::CREATED, Json(CreateHttpGatewayResponse::Created(info))).into_response(),
        Err(failure) => {
            // Errors of this request have a shape of their own.
            let (status, message) = failure.into_parts();
            (status, Json(CreateHttpGatewayResponse::Error { message })).into_response()
        }
    }
}

/// `GET /http_gateway`: the gateways at work.
pub(super) async fn list(State(shared): State<Shared>) -> Json<Vec<HttpGatewayDetails>> {
    Json(shared.gateways().list())
}

/// `POST /http_gateway/{id}/stop`: stops a gateway. One that does not exist is stopped.
pub(super) async fn stop(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<()> {
    let id = id.parse().map_err(|_| Failure::bad_request(format!("{id} is no id of an HTTP gateway")))?;
    shared.gateways().stop(id).await;
    Ok(Json(()))
}

/// Makes an instance, and the gateway that its configuration asks for.
///
/// # Errors
/// When either cannot be made; then neither is.
pub(super) async fn create_instance(
    shared: &Shared,
    mut config: InstanceConfig,
) -> Result<(InstanceId, Topology, Option<HttpGatewayInfo>), Failure> {
    let Some(asked) = config.http_gateway_config.take() else {
        let (id, topology) = shared.create(config, None).await?;
        return Ok((id, topology, None));
    };
    // The instance is not known yet; only its place in the configuration is.
    let mut gateway = for_instance(asked, InstanceId::MAX);
    let reserved = shared.gateways().reserve(&gateway).await.map_err(Failure::bad_request)?;
    let (id, topology) = shared.create(config, None).await?;
    gateway.forward_to = HttpGatewayBackend::PocketIcInstance(id);
    let info = serve(shared, reserved, gateway, id).await?;
    Ok((id, topology, Some(info)))
}

fn for_instance(asked: InstanceHttpGatewayConfig, id: InstanceId) -> HttpGatewayConfig {
    let InstanceHttpGatewayConfig { ip_addr, port, domains, https_config, domain_custom_provider_local_file } = asked;
    let forward_to = HttpGatewayBackend::PocketIcInstance(id);
    HttpGatewayConfig { ip_addr, port, forward_to, domains, https_config, domain_custom_provider_local_file }
}

async fn reserve_and_serve(shared: &Shared, config: HttpGatewayConfig) -> Result<HttpGatewayInfo, Failure> {
    let refused = |message| Failure::new(NOT_CREATED, message);
    let reserved = shared.gateways().reserve(&config).await.map_err(refused)?;
    match config.forward_to {
        HttpGatewayBackend::PocketIcInstance(id) => serve(shared, reserved, config, id).await,
        // Refused above.
        HttpGatewayBackend::Replica(url) => Err(refused(format!("there is no instance {url}"))),
    }
}

async fn serve(
    shared: &Shared,
    reserved: Reserved,
    config: HttpGatewayConfig,
    id: InstanceId,
) -> Result<HttpGatewayInfo, Failure> {
    let path_id = id.to_string();
    let instance = shared.get(&path_id)?;
    let api = below_instance(router(Shared::clone(shared)), id);
    let info = shared.gateways().serve(reserved, config, instance, api);
    // Whoever deletes the instance stops the gateways that it has by then; this one may have come too late.
    if let Err(gone) = shared.get(&path_id) {
        shared.gateways().stop(info.instance_id).await;
        return Err(gone);
    }
    Ok(info)
}
