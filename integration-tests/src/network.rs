//! The network that tests, demo and benchmarks run on.

use pocket_ic::{PocketIc, PocketIcBuilder};

/// Returns a builder for a network on the engine that the environment chooses.
///
/// Without `POCKET_IC_BIN` that is `localnet`, served by this process and shared by all networks in it.
pub fn builder() -> PocketIcBuilder {
    let builder = PocketIcBuilder::new();
    if std::env::var_os("POCKET_IC_BIN").is_some_and(|binary| !binary.is_empty()) {
        return builder;
    }
    let url = localnet::LocalNet::shared().url();
    builder.with_server_url(url.parse().expect("localnet gives a valid URL"))
}

/// Returns a network of one application subnet.
pub fn start() -> PocketIc {
    builder().with_application_subnet().build()
}
