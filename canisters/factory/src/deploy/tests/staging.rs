//! The chunk store: shared, leased, cleared.

use depot_types::{
    Hash,
    factory::{DeploymentStatus, FailureReason, Step},
};

use crate::test_world::{Depot, failure, module_args};

#[test]
fn should_stage_each_chunk_once_for_two_deployments_at_the_same_time() {
    for head_start in 0..12 {
        let depot = Depot::new();
        let module_hash = depot.publish();
        let mut tasks = ["first", "second"].map(|key| Some(depot.start(module_args(key, module_hash))));
        if let Some(first) = &mut tasks[0] {
            first.poll_times(head_start);
        }
        while tasks.iter().any(Option::is_some) {
            for slot in &mut tasks {
                if slot.as_mut().is_some_and(|task| task.poll().is_some()) {
                    *slot = None;
                }
            }
        }
        depot.settle();
        for id in [0, 1] {
            assert_eq!(depot.deployment(id).status, DeploymentStatus::Succeeded, "head start {head_start}");
        }
        assert_eq!(depot.look().count("upload_chunk"), 3, "head start {head_start}");
        let staged: u32 = [0, 1].iter().map(|&id| depot.deployment(id).chunks_staged).sum();
        assert_eq!(staged, 3);
    }
}

#[test]
fn should_take_over_chunks_of_a_driver_that_is_gone() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    depot.world().is_late = true;
    let mut first = depot.start(module_args("first", module_hash));
    while depot.look().count("upload_chunk") == 0 {
        first.poll_times(1);
    }
    drop(first);
    let second = depot.deploy(module_args("second", module_hash)).unwrap();
    assert_eq!(second.status, DeploymentStatus::Succeeded);
    depot.settle();
    assert_eq!(depot.deployment(0).status, DeploymentStatus::Succeeded);
}

#[test]
fn should_wait_for_a_slow_driver_without_failing() {
    let depot = Depot::new();
    let module_hash = depot.world().add_module("small", 1);
    let mut first = depot.start(module_args("first", module_hash));
    while depot.look().count("get_chunk") == 0 {
        first.poll_times(1);
    }
    let second = depot.deploy(module_args("second", module_hash)).unwrap();
    assert_eq!(second.status, DeploymentStatus::InProgress { step: Step::Stage });
    assert_eq!(first.finish().unwrap().status, DeploymentStatus::Succeeded);
    depot.settle();
    assert_eq!(depot.deployment(1).status, DeploymentStatus::Succeeded);
    assert_eq!(depot.look().count("upload_chunk"), 1);
}

#[test]
fn should_clear_the_store_when_it_is_full_of_what_nobody_needs() {
    let depot = Depot::new();
    let deploy = |name: &str, chunks: usize| {
        let module_hash = depot.world().add_module(name, chunks);
        depot.deploy(module_args(name, module_hash)).unwrap()
    };
    assert_eq!(deploy("sixty", 60).status, DeploymentStatus::Succeeded);
    assert_eq!(deploy("forty", 40).status, DeploymentStatus::Succeeded);
    assert_eq!((depot.look().chunk_store.len(), depot.look().count("clear_chunk_store")), (100, 0));
    assert_eq!(deploy("one", 1).status, DeploymentStatus::Succeeded);
    assert_eq!((depot.look().chunk_store.len(), depot.look().count("clear_chunk_store")), (1, 1));
    assert_eq!(deploy("hundred", 100).status, DeploymentStatus::Succeeded);
    assert_eq!((depot.look().chunk_store.len(), depot.look().count("clear_chunk_store")), (100, 2));
    let reason = FailureReason::ChunkStoreFull { needed: 101, available: 100 };
    assert_eq!(failure(&deploy("more", 101)), (Step::Inspect, reason));
}

#[test]
fn should_never_clear_what_another_deployment_leases() {
    let depot = Depot::new();
    let sixty = depot.world().add_module("sixty", 60);
    let mut first = depot.start(module_args("first", sixty));
    while depot.look().count("upload_chunk") < 10 {
        first.poll_times(1);
    }
    let too_large = depot.world().add_module("forty-one", 41);
    let waiting = depot.deploy(module_args("second", too_large)).unwrap();
    assert_eq!(waiting.status, DeploymentStatus::InProgress { step: Step::Stage });

    let fitting = depot.world().add_module("forty", 40);
    assert_eq!(depot.deploy(module_args("third", fitting)).unwrap().status, DeploymentStatus::Succeeded);
    assert_eq!(first.finish().unwrap().status, DeploymentStatus::Succeeded);
    assert_eq!(depot.look().count("clear_chunk_store"), 0);
    depot.settle();
    assert_eq!(depot.deployment(waiting.id).status, DeploymentStatus::Succeeded);
    assert_eq!(depot.look().count("clear_chunk_store"), 1);
}

#[test]
fn should_wait_until_the_store_can_be_cleared() {
    let depot = Depot::new();
    let [old, running, next] = ["old", "running", "next"].map(|name| depot.world().add_module(name, 40));
    assert!(depot.deploy(module_args("old", old)).is_ok());
    let mut first = depot.start(module_args("running", running));
    while depot.look().count("upload_chunk") < 50 {
        first.poll_times(1);
    }
    let waiting = depot.deploy(module_args("next", next)).unwrap();
    assert_eq!(waiting.status, DeploymentStatus::InProgress { step: Step::Stage });
    assert_eq!(depot.look().count("clear_chunk_store"), 0);
    assert_eq!(first.finish().unwrap().status, DeploymentStatus::Succeeded);
    depot.settle();
    assert_eq!(depot.deployment(2).status, DeploymentStatus::Succeeded);
    assert_eq!((depot.look().chunk_store.len(), depot.look().count("clear_chunk_store")), (40, 1));
}

#[test]
fn should_stage_nothing_while_the_store_is_being_cleared() {
    let depot = Depot::new();
    let [full, next, other] =
        [("full", 100), ("next", 2), ("other", 2)].map(|(name, chunks)| depot.world().add_module(name, chunks));
    assert!(depot.deploy(module_args("full", full)).is_ok());
    depot.world().is_late = true;
    let mut clearing = depot.start(module_args("next", next));
    while depot.look().count("clear_chunk_store") == 0 {
        clearing.poll_times(1);
    }
    let uploads = depot.look().count("upload_chunk");
    let waiting = depot.deploy(module_args("other", other)).unwrap();
    assert_eq!(waiting.status, DeploymentStatus::InProgress { step: Step::Stage });
    assert_eq!(depot.look().count("upload_chunk"), uploads);
    assert_eq!(clearing.finish().unwrap().status, DeploymentStatus::Succeeded);
    depot.settle();
    assert_eq!(depot.deployment(2).status, DeploymentStatus::Succeeded);
    assert_eq!(depot.look().chunk_store.len(), 4);
}

#[test]
fn should_stage_again_what_vanished_from_the_store() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    assert!(depot.deploy(module_args("first", module_hash)).is_ok());
    depot.world().chunk_store.pop_first();
    let second = depot.deploy(module_args("second", module_hash)).unwrap();
    assert_eq!(second.status, DeploymentStatus::Succeeded);
    assert_eq!(second.chunks_staged, 1);
    assert_eq!(depot.look().count("install_chunked_code"), 3);
}

#[test]
fn should_find_chunks_that_it_does_not_know_of() {
    let depot = Depot::new();
    let foreign: Vec<Hash> = (0..98u8).map(|number| Hash::of(&[number])).collect();
    depot.world().chunk_store.extend(foreign.iter().copied());
    let module_hash = depot.publish();
    let first = depot.deploy(module_args("first", module_hash)).unwrap();
    assert_eq!(first.status, DeploymentStatus::Succeeded);
    assert_eq!((depot.look().chunk_store.len(), depot.look().count("clear_chunk_store")), (3, 1));

    // They come while the factory believes to know the store: it finds out when a chunk is refused.
    depot.world().chunk_store.extend(foreign.iter().copied().chain([Hash::of(b"one more")]).take(97));
    let other = depot.world().add_module("other", 2);
    assert!(depot.deploy(module_args("second", other)).is_ok());
    depot.settle();
    assert_eq!(depot.deployment(1).status, DeploymentStatus::Succeeded);
    assert_eq!(depot.look().count("clear_chunk_store"), 2);
}

#[test]
fn should_go_on_when_rate_limits_interrupt_each_chunk() {
    let depot = Depot::new();
    let module_hash = depot.world().add_module("large", 30);
    for number in 0..30 {
        // Each upload is rejected once: more often in all than a step may be tried without progress.
        depot.world().fail("upload_chunk", usize::from(number > 0), 2, false);
    }
    assert!(depot.deploy(module_args("first", module_hash)).is_ok());
    depot.settle();
    assert_eq!(depot.deployment(0).status, DeploymentStatus::Succeeded);
    assert_eq!(depot.look().count("upload_chunk"), 60);
}
