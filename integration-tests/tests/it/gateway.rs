//! A depot that HTTP clients reach through a gateway, which verifies what canisters answer.

use candid::Principal;
use integration_tests::{depot::Depot, network};
use reqwest::{
    Method,
    blocking::{Client, RequestBuilder, Response},
    redirect::Policy,
};

/// A depot with a gateway.
pub(crate) struct Site {
    pub(crate) depot: Depot,
    port: u16,
}

impl Site {
    /// Installs a depot and starts a gateway for it.
    pub(crate) fn start() -> Self {
        // Gateways verify with the key of the root subnet.
        let network = network::builder().with_nns_subnet().with_application_subnet().build();
        let mut depot = Depot::install_on(network).unwrap();
        let port = depot.network.make_live(None).port().expect("the URL of a gateway has a port");
        Self { depot, port }
    }

    /// Returns the host by which a canister is reached.
    pub(crate) fn host(&self, canister: Principal) -> String {
        format!("{canister}.localhost:{}", self.port)
    }

    /// Makes a request of a canister by its host; redirects are not followed.
    pub(crate) fn request(&self, method: Method, canister: Principal, path: &str) -> RequestBuilder {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        // The name need not be known to this machine.
        client.request(method, url).header("host", self.host(canister))
    }

    /// Gets a path of a canister by its host.
    pub(crate) fn get(&self, canister: Principal, path: &str) -> Response {
        self.request(Method::GET, canister, path).send().unwrap()
    }

    /// Gets a path of a canister that is named by a parameter, and follows redirects.
    pub(crate) fn follow(&self, canister: Principal, path: &str) -> Response {
        Client::new().get(format!("http://localhost:{}{path}?canisterId={canister}", self.port)).send().unwrap()
    }
}
