//! HTTP gateways: sockets where browsers and other HTTP clients reach the canisters of one instance.
//!
//! A gateway makes a Candid call `http_request` of each request, verifies that the canister certified the answer, and
//! hands it on. Its rules follow the HTTP gateway protocol and, where that leaves a choice, the official PocketIC
//! server. Requests of the interface for agents, `/api/v2` to `/api/v4`, go to the instance as they are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use pocket_ic::common::rest::{HttpGatewayBackend, HttpGatewayConfig, InstanceId};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use tower_http::cors::{Any, CorsLayer};

mod exchange;
mod refusal;
mod registry;
mod shape;
mod streaming;
mod target;
#[cfg(test)]
mod tests;
mod upstream;
mod verification;
mod wire;

pub(crate) use registry::{Gateways, Reserved};

use crate::server::{
    Instance,
    connections::{Bounds, Ending, serve_within},
};
use exchange::Exchange;
use refusal::Refusal;
use target::{Domains, Target};
use upstream::Upstream;

/// Where a gateway listens unless asked otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1";
/// Largest body of a request, in bytes: that of the interface for agents. What is then too large for a call of the
/// canister is refused by the network.
const MAX_REQUEST_BYTES: usize = 5 << 20;
/// The header that tells the client which canister answered.
const CANISTER_ID: HeaderName = HeaderName::from_static("x-ic-canister-id");
/// How long browsers may remember what a gateway allows them.
const CORS_MAX_AGE: Duration = Duration::from_secs(7200);
/// Methods that canisters can be asked with; OPTIONS is answered by the gateway.
const METHODS: [Method; 6] = [Method::HEAD, Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

/// Bounds of one gateway.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections, each with one request at a time, and how long clients may be silent.
    bounds: Bounds,
    /// How long a client may take for the body of a request.
    body_patience: Duration,
    /// How long a canister may take for each answer.
    answer_patience: Duration,
    /// Calls for the pieces of one body.
    streaming_calls: usize,
    /// Bytes of one body that comes in pieces, without the first.
    streamed_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bounds: Bounds { connections: 256, head: Duration::from_secs(30), stall: Duration::from_secs(60) },
            body_patience: Duration::from_secs(60),
            answer_patience: Duration::from_secs(60),
            streaming_calls: 1_000,
            streamed_bytes: 2 << 30,
        }
    }
}

/// What a client asked a gateway for, checked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    address: IpAddr,
    port: u16,
    domains: Domains,
    limits: Limits,
}

impl Plan {
    /// Checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the field which is invalid or asks for what this gateway cannot do.
    pub(crate) fn new(config: &HttpGatewayConfig) -> Result<Self, String> {
        let HttpGatewayConfig { ip_addr, port, forward_to, domains, https_config, domain_custom_provider_local_file } =
            config;
        if let HttpGatewayBackend::Replica(url) = forward_to {
            return Err(format!(
                "forward_to Replica({url:?}) is not supported: gateways serve instances of this server"
            ));
        }
        if https_config.is_some() {
            return Err("https_config is not supported: gateways speak HTTP only".to_owned());
        }
        if domain_custom_provider_local_file.is_some() {
            return Err("domain_custom_provider_local_file is not supported".to_owned());
        }
        let address = match ip_addr.as_deref().unwrap_or(DEFAULT_ADDRESS) {
            "localhost" => DEFAULT_ADDRESS,
            address => address,
        };
        Ok(Self {
            address: address.parse().map_err(|_| format!("ip_addr {address:?} is no IP address"))?,
            port: port.unwrap_or_default(),
            domains: Domains::new(domains.as_deref())?,
            limits: Limits::default(),
        })
    }
}

/// A bound socket that nobody serves yet.
#[derive(Debug)]
pub(crate) struct Listener {
    plan: Plan,
    socket: TcpListener,
    port: u16,
}

impl Listener {
    /// Binds the socket of a gateway.
    ///
    /// # Errors
    /// A sentence, when the address cannot be had.
    pub(crate) async fn bind(plan: Plan) -> Result<Self, String> {
        let (address, port) = (plan.address, plan.port);
        let failed = |error| format!("Failed to bind to address {address}:{port}: {error}");
        let socket = TcpListener::bind((address, port)).await.map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        Ok(Self { plan, socket, port })
    }

    /// Starts to serve an instance. Requests for the instance itself go to `api`, below the path of the instance.
    fn serve(self, instance: Instance, api: Router) -> Gateway {
        let limits = self.plan.limits;
        let upstream = Upstream::new(instance, limits.answer_patience);
        let state = Arc::new(Serving { upstream, domains: self.plan.domains, limits });
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            // Either is a wish to stop: the message, or the sender being gone.
            let _ = stopped.await;
        };
        let serving = serve_within(limits.bounds, self.socket, router(state, api), stopped, Ending::Cut);
        let serving = tokio::spawn(serving);
        Gateway { stop, serving, port: self.port }
    }
}

/// A gateway at work. It ends when it is dropped.
#[derive(Debug)]
struct Gateway {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    port: u16,
}

impl Gateway {
    /// Cuts all connections and frees the socket.
    async fn stop(self) {
        // It may have ended already, with the runtime.
        let _ = self.stop.send(());
        let _ = self.serving.await;
    }
}

/// Returns what a gateway without domains of its own serves for an instance, for a socket that somebody else has.
/// Requests for the instance itself go to `api`.
///
/// # Errors
/// None: the domains of every gateway are known to be names.
pub(crate) fn at_root(instance: Instance, api: Router) -> Result<Router, String> {
    let limits = Limits::default();
    let upstream = Upstream::new(instance, limits.answer_patience);
    Ok(router(Arc::new(Serving { upstream, domains: Domains::new(None)?, limits }), api))
}

/// What the handlers of a gateway share.
#[derive(Debug)]
struct Serving {
    upstream: Upstream,
    domains: Domains,
    limits: Limits,
}

/// Returns a router that gives requests to `server` as if they were sent to the path of an instance.
pub(crate) fn below_instance(server: Router, id: InstanceId) -> Router {
    Router::new().fallback_service(server).layer(middleware::from_fn_with_state(id, move_below_instance))
}

async fn move_below_instance(State(id): State<InstanceId>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match format!("/instances/{id}{path}").parse() {
        Ok(uri) => parts.uri = uri,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("malformed path: {error}")).into_response(),
    }
    next.run(Request::from_parts(parts, body)).await
}

fn router(state: Arc<Serving>, api: Router) -> Router {
    Router::new()
        // Other paths below `/api` are for canisters.
        .route_service("/api/v2/{*path}", api.clone())
        .route_service("/api/v3/{*path}", api.clone())
        .route_service("/api/v4/{*path}", api.clone())
        .route_service("/_/topology", api)
        .route(
            "/_/dashboard",
            get(async |request: Request| Refusal::NotBuilt("serve a dashboard").into_response_for(request.headers())),
        )
        .fallback(serve_canister)
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), find_target))
        .layer(cors())
        .with_state(state)
}

/// What browsers may do with canisters from pages of other hosts: the same for all canisters.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(METHODS)
        .allow_headers([
            header::USER_AGENT,
            header::DNT,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::RANGE,
            header::COOKIE,
            HeaderName::from_static("x-requested-with"),
            CANISTER_ID,
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_LENGTH,
            header::CONTENT_RANGE,
            HeaderName::from_static("x-request-id"),
            CANISTER_ID,
        ])
        .max_age(CORS_MAX_AGE)
}

/// Refuses requests for hosts that are not served, and tells the others whom they are for.
async fn find_target(State(serving): State<Arc<Serving>>, mut request: Request, next: Next) -> Response {
    match serving.domains.resolve(request.uri(), request.headers()) {
        Ok(target) => {
            request.extensions_mut().insert(target);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response_for(request.headers()),
    }
}

/// Answers a request with what a canister says.
async fn serve_canister(
    State(serving): State<Arc<Serving>>,
    Extension(target): Extension<Target>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let mut response = match exchange(&serving, &target, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response_for(&headers),
    };
    let id = target.canister.and_then(|canister| HeaderValue::from_str(&canister.to_text()).ok());
    if let Some(id) = id {
        response.headers_mut().insert(CANISTER_ID, id);
    }
    response
}

async fn exchange(serving: &Serving, target: &Target, request: Request) -> Result<Response, Refusal> {
    let not_named = || Refusal::CanisterNotNamed { domain: serving.domains.example().to_owned() };
    let canister = target.canister.ok_or_else(not_named)?;
    if !METHODS.contains(request.method()) {
        return Err(Refusal::MethodNotAllowed(request.method().to_string()));
    }
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let url = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let patience = serving.limits.body_patience;
    let body =
        timeout(patience, Bytes::from_request(request, &())).await.map_err(|_| Refusal::BodyTimedOut(patience))?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(format!("a body has at most {MAX_REQUEST_BYTES} bytes")),
        _ => Refusal::MalformedRequest(rejection.body_text()),
    })?;
    let exchange = Exchange {
        upstream: serving.upstream.clone(),
        limits: serving.limits,
        canister,
        verify: target.verify,
        request: exchange::request(method, url, &headers, body)?,
    };
    exchange.run().await
}
