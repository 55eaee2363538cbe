//! Networks with a state directory.

use std::{path::Path, time::Duration};

use pocket_ic::common::rest::InstanceConfig;

use crate::{
    checkpoint::{Keeper, StateError, Store},
    network::{Network, RestoreError},
};

/// Why a network with a state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its network cannot be put together.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A new network cannot be made.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::http::StatusCode;
    use pocket_ic::common::rest::{InitialTime, RawTime, SubnetSpec};

    use super::*;
    use crate::{
        checkpoint::tests::Folder,
        network::{Network, test_config},
        server::instances::Instances,
    };

    fn config(folder: &Folder) -> InstanceConfig {
        InstanceConfig { state_dir: Some(folder.0.clone()), ..test_config(vec![SubnetSpec::default()]) }
    }

    #[tokio::test]
    async fn should_say_that_the_last_state_was_not_saved_and_leave_the_one_before() {
        let folder = Folder::new("kept");
        let instances = Instances::default();
        let (id, _) = instances.create(config(&folder), None).await.unwrap();
        instances.get("0").unwrap().run(|network| network.set_time(network.time() + 100)).await.unwrap().unwrap();
        instances.delete(&id.to_string()).await.unwrap();
        let saved = |folder: &Folder| open(&folder.0, &config(folder), None).unwrap().0.time();
        let time = saved(&folder);

        // A network that broke.
        instances.create(config(&folder), None).await.unwrap();
        let broken: Result<(), _> = instances.get("1").unwrap().run(|_| panic!("on purpose")).await;
        broken.unwrap_err();
        let (status, text) = instances.delete("1").await.unwrap_err().into_parts();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("not saved") && text.contains("on purpose"), "{text}");
        assert_eq!(saved(&folder), time);

        // Something in the way.
        instances.create(config(&folder), None).await.unwrap();
        fs::create_dir(folder.0.join("state-2.cbor.part")).unwrap();
        let (status, text) = instances.delete("2").await.unwrap_err().into_parts();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("state-2.cbor"), "{text}");
        fs::remove_dir(folder.0.join("state-2.cbor.part")).unwrap();
        assert_eq!(saved(&folder), time);
    }

    #[tokio::test]
    async fn should_not_go_back_in_time() {
        let folder = Folder::new("time");
        let instances = Instances::default();
        let at = |nanos_since_epoch| {
            let initial_time = Some(InitialTime::Timestamp(RawTime { nanos_since_epoch }));
            InstanceConfig { initial_time, ..config(&folder) }
        };
        for (index, (asked, least)) in [(2_000, 2_000), (1_700, 2_000), (3_000, 3_000)].into_iter().enumerate() {
            let second = 1_000_000_000_000_000;
            instances.create(at(asked * second), None).await.unwrap();
            let time = instances.get(&index.to_string()).unwrap().run(|network: &mut Network| network.time()).await;
            let time = time.unwrap();
            assert!((least * second..least * second + 10).contains(&time), "{time}");
            instances.delete(&index.to_string()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn should_refuse_to_end_the_network_at_the_root() {
        let instances = Instances::default();
        let (id, _) = instances.create(test_config(vec![SubnetSpec::default()]), None).await.unwrap();
        instances.keep_to_the_end(id);
        let (status, text) = instances.delete("0").await.unwrap_err().into_parts();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("instance 0"), "{text}");
        assert_eq!(instances.list(), ["Available"]);
        assert_eq!(instances.end_all().len(), 1);
    }
}
