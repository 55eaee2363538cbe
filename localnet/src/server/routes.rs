//! What the server answers to which path.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use pocket_ic::{
    RejectResponse,
    common::rest::{
        AutoProgressConfig, CreateInstanceResponse, InstanceConfig, RawAddCycles, RawCanisterCall, RawCanisterId,
        RawCanisterResult, RawCycles, RawIngressStatusArgs, RawMessageId, RawPrincipalId, RawSetStableMemory,
        RawStableMemory, RawSubnetId, RawTickConfigs, RawTime, RawVerifyCanisterSigArg, Topology,
    },
};

use super::{
    answer::{Answer, Body, Failure},
    blobs, gateways,
    instance::{Instance, progress_pause},
    instances::Instances,
    translate,
};
use crate::{
    interface::{self, SignatureError},
    message::MessageId,
};

/// Largest JSON body: a call at its limit, in base64, with room to spare.
const MAX_JSON_BYTES: usize = 32 << 20;
/// Largest blob in one request.
const MAX_BLOB_REQUEST_BYTES: usize = 512 << 20;

/// What all handlers share.
pub(super) type Shared = Arc<Instances>;

/// Builds the router of a server.
pub(super) fn router(shared: Shared) -> Router {
    let instance = Router::new()
        .route("/read/topology", get(topology))
        .route("/_/topology", get(topology))
        .route("/read/get_time", get(get_time))
        .route("/read/query", post(query))
        .route("/read/ingress_status", post(ingress_status))
        .route("/read/get_controllers", post(get_controllers))
        .route("/read/get_cycles", post(get_cycles))
        .route("/read/get_stable_memory", post(get_stable_memory))
        .route("/read/get_subnet", post(get_subnet))
        .route("/read/pub_key", post(public_key))
        .route("/read/get_canister_http", get(get_canister_http))
        .route("/update/set_time", post(set_time))
        .route("/update/set_certified_time", post(set_certified_time))
        .route("/update/tick", post(tick))
        .route("/update/submit_ingress_message", post(submit_ingress_message))
        .route("/update/await_ingress_message", post(await_ingress_message))
        .route("/update/add_cycles", post(add_cycles))
        .route("/update/set_stable_memory", post(set_stable_memory))
        .route("/update/mock_canister_http", post(async || Failure::not_built("make HTTP outcalls")))
        .route("/update/mock_flexible_canister_http", post(async || Failure::not_built("make HTTP outcalls")))
        .route("/update/canister_snapshot_download", post(async || Failure::not_built("write snapshots to files")))
        .route("/update/canister_snapshot_upload", post(async || Failure::not_built("read snapshots from files")))
        .route("/update/delete_subnet", post(async || Failure::not_built("delete subnets")))
        .route("/auto_progress", get(get_auto_progress).post(start_auto_progress))
        .route("/stop_progress", post(stop_auto_progress))
        .merge(interface::router());
    let routes = Router::new()
        .route("/instances", get(list_instances).post(create_instance))
        .route("/instances/{id}", delete(delete_instance))
        .nest("/instances/{id}", instance)
        .route("/status", get(async || StatusCode::OK))
        .route("/verify_signature", post(verify_signature))
        .route("/http_gateway", get(gateways::list).post(gateways::create))
        .route("/http_gateway/{id}/stop", post(gateways::stop))
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .route("/blobstore", post(blobs::put).layer(DefaultBodyLimit::max(MAX_BLOB_REQUEST_BYTES)))
        .route("/blobstore/{hash}", get(blobs::get))
        .fallback(async |uri: Uri| Failure::not_found(format!("there is nothing at {}", uri.path())))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let message = format!("{} is not to be used with {method}", uri.path());
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, message)
        })
        .with_state(shared);
    // A layer of the router itself would run once the route is chosen, which is too late to change the path.
    Router::new().fallback_service(routes).layer(middleware::from_fn(without_trailing_slash))
}

/// Checks a signature of a canister. Failures have a shape and a status of their own.
async fn verify_signature(Body(raw): Body<RawVerifyCanisterSigArg>) -> (StatusCode, Json<Result<(), String>>) {
    let RawVerifyCanisterSigArg { msg, sig, pubkey, root_pubkey } = raw;
    match interface::verify_canister_signature(&msg, &sig, &pubkey, &root_pubkey) {
        Ok(()) => (StatusCode::OK, Json(Ok(()))),
        Err(error @ SignatureError::Key(_)) => (StatusCode::BAD_REQUEST, Json(Err(error.to_string()))),
        Err(error) => (StatusCode::NOT_ACCEPTABLE, Json(Err(error.to_string()))),
    }
}

/// Drops a slash at the end of the path: clients write it or not, and both mean the same.
async fn without_trailing_slash(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path();
    if path.len() > 1 && path.ends_with('/') {
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let shorter = format!("{}{query}", path.trim_end_matches('/'));
        match shorter.parse() {
            Ok(uri) => parts.uri = uri,
            Err(error) => return Failure::bad_request(format!("malformed path: {error}")).into_response(),
        }
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn list_instances(State(shared): State<Shared>) -> Json<Vec<String>> {
    Json(shared.list())
}

async fn create_instance(State(shared): State<Shared>, body: Result<Body<InstanceConfig>, Failure>) -> Response {
    let created = match body {
        Ok(Body(config)) => gateways::create_instance(&shared, config).await,
        Err(failure) => Err(failure),
    };
    match created {
        Ok((instance_id, topology, http_gateway_info)) => {
            let created = CreateInstanceResponse::Created { instance_id, topology, http_gateway_info };
            (StatusCode::CREATED, Json(created)).into_response()
        }
        Err(failure) => {
            // Errors of this request have a shape of their own.
            let (status, message) = failure.into_parts();
            (status, Json(CreateInstanceResponse::Error { message })).into_response()
        }
    }
}

async fn delete_instance(State(shared): State<Shared>, Path(id): Path<String>) -> Result<(), Failure> {
    shared.delete(&id).await
}

/// Takes the id of the instance from the path of a request.
impl axum::extract::FromRequestParts<Shared> for Instance {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, shared: &Shared) -> Result<Self, Failure> {
        // Some paths below an instance have parameters of their own, so the id is looked up by its name.
        let parameters = axum::extract::RawPathParams::from_request_parts(parts, shared).await;
        let parameters = parameters.map_err(|error| Failure::bad_request(error.body_text()))?;
        let id = parameters.iter().find_map(|(name, value)| (name == "id").then_some(value)).unwrap_or_default();
        shared.get(id)
    }
}

async fn topology(instance: Instance) -> Answer<Topology> {
    instance.run(|network| network.topology()).await.map(Json)
}

async fn get_time(instance: Instance) -> Answer<RawTime> {
    instance.run(|network| RawTime { nanos_since_epoch: network.time() }).await.map(Json)
}

async fn set_time(instance: Instance, Body(time): Body<RawTime>) -> Answer<()> {
    let set = instance.run(move |network| network.set_time(time.nanos_since_epoch)).await?;
    set.map(Json).map_err(Failure::bad_request)
}

async fn set_certified_time(instance: Instance, Body(time): Body<RawTime>) -> Answer<()> {
    let set = instance.run(move |network| network.set_certified_time(time.nanos_since_epoch)).await?;
    set.map(Json).map_err(Failure::bad_request)
}

async fn tick(instance: Instance, Body(configs): Body<RawTickConfigs>) -> Answer<()> {
    if configs.blockmakers.is_some_and(|blockmakers| !blockmakers.is_empty()) {
        return Err(Failure::not_built("have block makers to choose between"));
    }
    instance.run(|network| network.tick()).await.map(Json)
}

async fn query(instance: Instance, Body(raw): Body<RawCanisterCall>) -> Answer<RawCanisterResult> {
    let call = translate::call(raw)?;
    let answer = instance.run(move |network| network.query(call)).await?;
    Ok(Json(translate::result(answer, false)))
}

async fn submit_ingress_message(
    instance: Instance,
    Body(raw): Body<RawCanisterCall>,
) -> Answer<Result<RawMessageId, RejectResponse>> {
    let call = translate::call(raw)?;
    let submitted = instance
        .run(move |network| network.check_ingress_size(&call).map(|()| network.submit_ingress(call)))
        .await?
        .map_err(Failure::bad_request)?;
    Ok(Json(match submitted {
        Ok((id, effective)) => {
            Ok(RawMessageId { effective_principal: translate::effective(effective), message_id: id.to_vec() })
        }
        Err(error) => Err(translate::reject(error, false)),
    }))
}

async fn await_ingress_message(instance: Instance, Body(raw): Body<RawMessageId>) -> Answer<RawCanisterResult> {
    let id = message_id(&raw)?;
    let awaited = instance.run(move |network| network.await_ingress(&id)).await?;
    awaited.map(|answer| Json(translate::result(answer, true))).map_err(Failure::bad_request)
}

async fn ingress_status(
    instance: Instance,
    Body(raw): Body<RawIngressStatusArgs>,
) -> Answer<Option<RawCanisterResult>> {
    let id = message_id(&raw.raw_message_id)?;
    let caller = raw.raw_caller.map(|caller| translate::principal(&caller.principal_id, "raw_caller")).transpose()?;
    let status = instance.run(move |network| network.ingress_status(&id, caller)).await?;
    let status = status.map_err(|forbidden| Failure::new(StatusCode::FORBIDDEN, forbidden.0))?;
    Ok(Json(status.map(|answer| translate::result(answer, true))))
}

fn message_id(raw: &RawMessageId) -> Result<MessageId, Failure> {
    let id = raw.message_id.as_slice().try_into();
    id.map_err(|_| Failure::bad_request(format!("a message id has 32 bytes, not {}", raw.message_id.len())))
}

fn no_canister(id: candid::Principal) -> Failure {
    Failure::not_found(format!("Canister {id} not found"))
}

async fn get_controllers(instance: Instance, Body(raw): Body<RawCanisterId>) -> Answer<Vec<RawPrincipalId>> {
    let id = translate::principal(&raw.canister_id, "canister_id")?;
    let controllers = instance.run(move |network| network.controllers(id)).await?.ok_or_else(|| no_canister(id))?;
    Ok(Json(controllers.into_iter().map(RawPrincipalId::from).collect()))
}

async fn get_cycles(instance: Instance, Body(raw): Body<RawCanisterId>) -> Answer<RawCycles> {
    let id = translate::principal(&raw.canister_id, "canister_id")?;
    let cycles = instance.run(move |network| network.cycles(id)).await?.ok_or_else(|| no_canister(id))?;
    Ok(Json(RawCycles { cycles }))
}

async fn add_cycles(instance: Instance, Body(raw): Body<RawAddCycles>) -> Answer<RawCycles> {
    let (id, amount) = (translate::principal(&raw.canister_id, "canister_id")?, raw.amount);
    let cycles = instance.run(move |network| network.add_cycles(id, amount)).await?.ok_or_else(|| no_canister(id))?;
    Ok(Json(RawCycles { cycles }))
}

async fn get_stable_memory(instance: Instance, Body(raw): Body<RawCanisterId>) -> Answer<RawStableMemory> {
    let id = translate::principal(&raw.canister_id, "canister_id")?;
    let blob = instance.run(move |network| network.stable_memory(id)).await?.ok_or_else(|| no_canister(id))?;
    Ok(Json(RawStableMemory { blob }))
}

async fn set_stable_memory(
    State(shared): State<Shared>,
    instance: Instance,
    Body(raw): Body<RawSetStableMemory>,
) -> Answer<()> {
    let id = translate::principal(&raw.canister_id, "canister_id")?;
    let blob = shared.blobs().get(&raw.blob_id.0);
    let blob = blob.ok_or_else(|| Failure::not_found(format!("there is no blob {}", hex::encode(&raw.blob_id.0))))?;
    // Unpacked by the thread of the network: those that serve requests must not be held up.
    let set = instance
        .run(move |network| network.set_stable_memory(id, &blob.unpack()?).map_err(Failure::bad_request))
        .await?;
    set.map(Json)
}

async fn get_subnet(instance: Instance, Body(raw): Body<RawCanisterId>) -> Answer<Option<RawSubnetId>> {
    let id = translate::principal(&raw.canister_id, "canister_id")?;
    let subnet = instance.run(move |network| network.subnet_with(id)).await?;
    Ok(Json(subnet.map(|subnet| RawSubnetId { subnet_id: subnet.as_slice().to_vec() })))
}

async fn public_key(instance: Instance, Body(raw): Body<RawSubnetId>) -> Answer<Vec<u8>> {
    let id = translate::principal(&raw.subnet_id, "subnet_id")?;
    let key = instance.run(move |network| network.subnet_public_key(id)).await?;
    key.map(Json).ok_or_else(|| Failure::not_found(format!("Subnet {id} not found")))
}

async fn get_canister_http(_instance: Instance) -> Json<Vec<()>> {
    // Canisters cannot make HTTP outcalls here, so none is ever pending.
    Json(Vec::new())
}

async fn get_auto_progress(instance: Instance) -> Answer<bool> {
    instance.is_progressing().await.map(Json)
}

async fn start_auto_progress(instance: Instance, Body(config): Body<AutoProgressConfig>) -> Answer<()> {
    if instance.start_progress(progress_pause(&config)?).await? {
        Ok(Json(()))
    } else {
        Err(Failure::bad_request("Auto progress mode has already been enabled."))
    }
}

async fn stop_auto_progress(instance: Instance) -> Answer<()> {
    instance.stop_progress().await.map(Json)
}
