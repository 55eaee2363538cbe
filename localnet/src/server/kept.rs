//! Networks with a state directory.

use std::{path::Path, time::Duration};

use pocket_ic::common::rest::InstanceConfig;

use crate::{
    checkpoint::{Keeper, StateError, Store},
    network::Network,
};

/// Why a network with a state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Config(String),
    /// No thread can be started.
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
}

/// Reads the network that a state directory holds, or makes one by the configuration if it holds none. Subnets that
/// were saved are taken instead of those of the configuration.
///
/// The keeper writes the state at the end and, with an interval, so often while the network lives.
///
/// # Errors
/// When the directory is in use, damaged, of a newer layout, or something else.
pub(super) fn open(
    path: &Path,
    config: &InstanceConfig,
    interval: Option<Duration>,
) -> Result<(Network, Keeper), OpenError> {
    let (mut store, loaded) = Store::open(path)?;
    let network = match loaded {
        Some(loaded) => Network::restore(config, &mut store, &loaded)?,
        None => Network::new(config).map_err(OpenError::Config)?,
    };
    let keeper = Keeper::start(store, interval).map_err(OpenError::Thread)?;
    Ok((network, keeper))
}
