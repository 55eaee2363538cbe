//! A depot that HTTP clients reach through a gateway, which verifies what canisters answer.

use candid::Principal;
use integration_tests::{depot::Depot, network};
use reqwest::{
    Method,
    blocking::{Client, Response},
    redirect::Policy,
};

/// A depot with a gateway.
pub(crate) struct Site {
    pub(crate) depot: Depot,
    port: u16,
}

impl Site {
    /// Installs a depot, lets it be prepared, and starts a gateway for it.
    ///
    /// From then on the network goes with the clock, so what is prepared before takes less time.
    pub(crate) fn start(prepare: impl FnOnce(&Depot)) -> Self {
        // Gateways verify with the key of the root subnet.
        let network = network::builder().with_nns_subnet().with_application_subnet().build();
        let mut depot = Depot::install_on(network).unwrap();
        prepare(&depot);
        let port = depot.network.make_live(None).port().expect("the URL of a gateway has a port");
        Self { depot, port }
    }

    /// Returns the host by which a canister is reached.
    pub(crate) fn host(&self, canister: Principal) -> String {
        format!("{canister}.localhost:{}", self.port)
    }

    /// Makes a request of a canister by its host; redirects are not followed.
    pub(crate) fn ask(&self, method: Method, canister: Principal, path: &str, headers: &[(&str, &str)]) -> Response {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        // The name of the host need not be known to this machine.
        let request = client.request(method, format!("http://127.0.0.1:{}{path}", self.port));
        let request = request.header("host", self.host(canister));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().unwrap()
    }

    /// Gets a path of a canister by its host.
    pub(crate) fn get(&self, canister: Principal, path: &str) -> Response {
        self.ask(Method::GET, canister, path, &[])
    }

    /// Gets a path of a canister that is named by a parameter, and follows redirects.
    pub(crate) fn follow(&self, canister: Principal, path: &str) -> Response {
        Client::new().get(format!("http://localhost:{}{path}?canisterId={canister}", self.port)).send().unwrap()
    }
}
