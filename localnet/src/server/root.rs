//! The root of a server with a live network: the network's own interfaces beside the PocketIC protocol.

use axum::{
    Router,
    extract::Request,
    http::{Uri, header::HOST, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::answer::Failure;

/// First parts of the paths of the PocketIC protocol.
const PROTOCOL: [&str; 5] = ["instances", "blobstore", "status", "http_gateway", "verify_signature"];
/// Ends the hosts that name a canister: the protocol is not spoken there.
const CANISTER_HOSTS: &str = ".localhost";

/// Gives requests of the PocketIC protocol to `protocol`, and all others to `gateway`.
pub(super) fn router(protocol: Router, gateway: Router) -> Router {
    // A layer decides before a route is chosen; prefixes that it alone writes make the choice.
    let chosen = Router::new().nest_service("/protocol", protocol).nest_service("/gateway", gateway);
    Router::new().fallback_service(chosen).layer(middleware::from_fn(choose))
}

async fn choose(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let prefix = if is_protocol(&parts) { "/protocol" } else { "/gateway" };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match format!("{prefix}{path}").parse::<Uri>() {
        Ok(uri) => parts.uri = uri,
        Err(error) => return Failure::bad_request(format!("malformed path: {error}")).into_response(),
    }
    next.run(Request::from_parts(parts, body)).await
}

fn is_protocol(parts: &Parts) -> bool {
    let first = parts.uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    PROTOCOL.contains(&first) && !host(parts).ends_with(CANISTER_HOSTS)
}

/// Returns the name of the host that the request is for, in lower case and without port.
fn host(parts: &Parts) -> String {
    let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| parts.uri.host()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(host: &str, path: &str) -> Parts {
        Request::builder().uri(path).header(HOST, host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn should_tell_the_protocol_from_what_canisters_serve() {
        for path in ["/instances", "/instances/0/read/topology", "/blobstore/", "/status", "/http_gateway?x=1"] {
            assert!(is_protocol(&parts("127.0.0.1:4943", path)), "{path}");
            assert!(is_protocol(&parts("localhost:4943", path)), "{path}");
            assert!(!is_protocol(&parts("lxzze-o7777-77777-aaaaa-cai.LocalHost:4943", path)), "{path}");
            assert!(!is_protocol(&parts("lxzze-o7777-77777-aaaaa-cai.raw.localhost.", path)), "{path}");
        }
        for path in ["/", "/api/v2/status", "/instancesx", "/index.html?canisterId=x"] {
            assert!(!is_protocol(&parts("127.0.0.1:4943", path)), "{path}");
        }
    }
}
