//! Steps that fail, each in each way.

use candid::Nat;
use depot_types::{
    Hash,
    blob_store::Obstacle,
    catalog::{CallFailure, ResolveError},
    factory::{DeploymentStatus, FailureReason, Step},
};
use serde_bytes::ByteBuf;

use crate::{
    limits::{MAX_ATTEMPTS, MAX_ATTEMPTS_WITH_CANISTER},
    runtime::CallError,
    test_world::{
        CALL_COST, CONTROLLER, CYCLES, DEPLOYER, Depot, FACTORY, Fault, TRAPPING_INIT_ARG, failure, module_args,
        principal, release_args,
    },
};

/// The calls of a deployment in order, with the step they belong to.
const CALLS: [(&str, Step); 9] = [
    ("resolve", Step::Resolve),
    ("module_info", Step::Inspect),
    ("stored_chunks", Step::Stage),
    ("get_chunk", Step::Stage),
    ("upload_chunk", Step::Stage),
    ("create_canister", Step::Create),
    ("install_chunked_code", Step::Install),
    ("canister_status", Step::Verify),
    ("update_settings", Step::HandOver),
];

#[test]
fn should_try_again_what_is_transient() {
    for (method, step) in CALLS {
        let depot = Depot::new();
        depot.publish();
        depot.world().fail(method, 0, 2, false);
        let deployment = depot.deploy(release_args("first")).unwrap();
        assert_eq!(deployment.status, DeploymentStatus::InProgress { step }, "{method}");
        assert!(depot.factory().due_deployments().is_empty(), "it waits first");
        depot.settle();
        assert_eq!(depot.deployment(0).status, DeploymentStatus::Succeeded, "{method}");
        assert_eq!(depot.look().canisters.len(), 1);
    }
}

#[test]
fn should_try_again_what_was_never_called() {
    for (method, _) in CALLS {
        let depot = Depot::new();
        depot.publish();
        let error = CallError::NotMade { message: "the queue is full".to_string() };
        depot.world().faults.push(Fault { method, skip: 0, error, has_effect: false });
        assert!(depot.deploy(release_args("first")).is_ok());
        depot.settle();
        assert_eq!(depot.deployment(0).status, DeploymentStatus::Succeeded, "{method}");
    }
}

#[test]
fn should_give_up_after_so_many_tries() {
    for (method, step) in CALLS {
        let max_attempts = if step > Step::Create { MAX_ATTEMPTS_WITH_CANISTER } else { MAX_ATTEMPTS };
        let depot = Depot::new();
        depot.publish();
        for _ in 0..max_attempts {
            depot.world().fail(method, 0, 2, false);
        }
        assert!(depot.deploy(release_args("first")).is_ok());
        depot.settle();
        let message = "rejected with 2".to_string();
        let reason = FailureReason::CallFailed(CallFailure { method: method.to_string(), reject_code: 2, message });
        assert_eq!(failure(&depot.deployment(0)), (step, reason), "{method}");
        assert_eq!(depot.look().count(method), max_attempts as usize, "{method}");

        let depot = Depot::new();
        depot.publish();
        for _ in 1..max_attempts {
            depot.world().fail(method, 0, 2, false);
        }
        assert!(depot.deploy(release_args("first")).is_ok());
        depot.settle();
        assert_eq!(depot.deployment(0).status, DeploymentStatus::Succeeded, "{method}");
    }
}

#[test]
fn should_fail_at_once_when_refused() {
    for (method, step) in CALLS {
        let depot = Depot::new();
        depot.publish();
        depot.world().fail(method, 0, 4, false);
        let deployment = depot.deploy(release_args("first")).unwrap();
        let message = "rejected with 4".to_string();
        let reason = FailureReason::CallFailed(CallFailure { method: method.to_string(), reject_code: 4, message });
        assert_eq!(failure(&deployment), (step, reason), "{method}");
        let canisters: Vec<_> = depot.look().canisters.keys().copied().collect();
        assert_eq!(canisters, deployment.canister_id.into_iter().collect::<Vec<_>>(), "{method}");
        for canister in depot.look().canisters.values() {
            assert_eq!(canister.controllers, [FACTORY], "{method}");
        }
        let spent = if deployment.canister_id.is_some() { CYCLES } else { 0 };
        assert_eq!(deployment.cycles_spent, Nat::from(spent), "{method}");
        assert_eq!(depot.look().cycles, 100 * CYCLES - spent, "{method}");
    }
}

#[test]
fn should_not_mind_lost_answers_but_for_the_creation() {
    for (method, _) in CALLS {
        for has_effect in [false, true] {
            let depot = Depot::new();
            depot.publish();
            depot.world().fail(method, 0, 6, has_effect);
            assert!(depot.deploy(release_args("first")).is_ok());
            depot.settle();
            let deployment = depot.deployment(0);
            if method == "create_canister" {
                assert_eq!(failure(&deployment), (Step::Create, FailureReason::CreationUnknown));
                assert_eq!(deployment.cycles_spent, Nat::from(CYCLES));
            } else {
                assert_eq!(deployment.status, DeploymentStatus::Succeeded, "{method}, effect {has_effect}");
                assert_eq!(depot.look().canisters.len(), 1);
            }
        }
    }
}

#[test]
fn should_say_what_the_catalog_says() {
    let depot = Depot::new();
    let error = ResolveError::UnknownPackage { package: "app".to_string() };
    depot.world().resolved = Some(Err(error.clone()));
    let deployment = depot.deploy(release_args("first")).unwrap();
    assert_eq!(failure(&deployment), (Step::Resolve, FailureReason::Unresolved(error)));
    assert_eq!(depot.look().calls, ["resolve"]);
}

#[test]
fn should_fail_for_a_module_that_is_not_there_or_cannot_run() {
    let depot = Depot::new();
    let module_hash = Hash::of(b"unknown");
    let unknown = depot.deploy(module_args("first", module_hash)).unwrap();
    assert_eq!(failure(&unknown), (Step::Inspect, FailureReason::UnknownModule { module_hash }));

    let module_hash = depot.publish();
    depot.world().modules.get_mut(&module_hash).unwrap().obstacles = vec![Obstacle::Component];
    let component = depot.deploy(module_args("second", module_hash)).unwrap();
    let reason = FailureReason::NotDeployable { obstacles: vec![Obstacle::Component] };
    assert_eq!(failure(&component), (Step::Inspect, reason));
}

#[test]
fn should_not_stage_bytes_of_another_hash() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    let expected = depot.look().modules[&module_hash].chunk_hashes[1];
    depot.world().chunks.insert(expected, b"other bytes".to_vec());
    let deployment = depot.deploy(module_args("first", module_hash)).unwrap();
    let reason = FailureReason::WrongChunk { expected, received: Hash::of(b"other bytes") };
    assert_eq!(failure(&deployment), (Step::Stage, reason));
    assert_eq!(depot.look().count("upload_chunk"), 1, "only the chunk before");
    assert!(depot.look().canisters.is_empty());

    depot.world().chunks.remove(&expected);
    let gone = depot.deploy(module_args("second", module_hash)).unwrap();
    assert_eq!(failure(&gone), (Step::Stage, FailureReason::UnknownModule { module_hash }));
}

#[test]
fn should_keep_a_canister_whose_init_function_traps() {
    let depot = Depot::new();
    let mut args = module_args("first", depot.publish());
    args.init_arg = ByteBuf::from(TRAPPING_INIT_ARG);
    let deployment = depot.deploy(args).unwrap();
    let failed = CallFailure {
        method: "install_chunked_code".to_string(),
        reject_code: 5,
        message: "rejected with 5".to_string(),
    };
    assert_eq!(failure(&deployment), (Step::Install, FailureReason::CallFailed(failed)));
    let canister = depot.look().canisters[&deployment.canister_id.unwrap()].clone();
    assert_eq!(canister.controllers, [FACTORY]);
    assert_eq!(depot.look().count("install_chunked_code"), 1);
}

#[test]
fn should_not_hand_over_a_canister_that_runs_something_else() {
    let depot = Depot::new();
    let expected = depot.publish();
    let mut task = depot.start(module_args("first", expected));
    while depot.look().count("install_chunked_code") == 0 {
        task.poll_times(1);
    }
    let received = Some(Hash::of(b"something else"));
    depot.world().canisters.values_mut().for_each(|canister| canister.module_hash = received);
    let deployment = task.finish().unwrap();
    assert_eq!(failure(&deployment), (Step::Verify, FailureReason::WrongModule { expected, received }));
    assert_eq!(depot.look().count("update_settings"), 0);
}

#[test]
fn should_see_that_it_handed_over_though_controllers_changed_since() {
    let depot = Depot::new();
    depot.publish();
    depot.world().fail("update_settings", 0, 6, true);
    let mut task = depot.start(release_args("first"));
    while depot.look().count("update_settings") == 0 {
        task.poll_times(1);
    }
    depot.world().canisters.values_mut().for_each(|canister| canister.controllers = vec![principal(5)]);
    let deployment = task.finish().unwrap();
    assert_eq!(deployment.status, DeploymentStatus::Succeeded);
    // Once after the creation, and once to find out.
    assert_eq!(depot.look().count("canister_info"), 2);
}

#[test]
fn should_wait_out_an_upgrade_of_catalog_or_blob_store() {
    for (method, step) in CALLS.into_iter().filter(|(_, step)| *step < Step::Create) {
        let depot = Depot::new();
        depot.publish();
        depot.world().fail(method, 0, 5, false);
        let deployment = depot.deploy(release_args("first")).unwrap();
        if matches!(method, "resolve" | "module_info" | "get_chunk") {
            assert_eq!(deployment.status, DeploymentStatus::InProgress { step }, "{method}");
            depot.settle();
            assert_eq!(depot.deployment(0).status, DeploymentStatus::Succeeded, "{method}");
        }
    }
}

#[test]
fn should_create_nothing_for_an_owner_who_lost_the_right() {
    let depot = Depot::new();
    depot.publish();
    let mut task = depot.start(release_args("first"));
    task.poll_times(2);
    assert_eq!(depot.factory().remove_deployer(CONTROLLER, DEPLOYER), Ok(()));
    let deployment = task.finish().unwrap();
    assert_eq!(failure(&deployment), (Step::Create, FailureReason::NotAllowed { owner: DEPLOYER }));
    assert_eq!((depot.look().canisters.len(), depot.look().count("create_canister")), (0, 0));
}

#[test]
fn should_look_at_the_balance_again_before_it_creates() {
    let depot = Depot::new();
    depot.publish();
    for (number, cycles) in [(0, CYCLES + CALL_COST - 1), (1, CYCLES + CALL_COST)] {
        depot.world().cycles = 100 * CYCLES;
        let mut task = depot.start(release_args(&number.to_string()));
        task.poll_times(1);
        depot.world().cycles = cycles;
        let deployment = task.finish().unwrap();
        if number == 0 {
            // It waits for cycles that others may give back.
            assert_eq!(deployment.status, DeploymentStatus::InProgress { step: Step::Create });
            assert_eq!(depot.look().canisters.len(), 0);
            depot.settle();
            let reason = FailureReason::InsufficientCycles {
                required: Nat::from(CYCLES + CALL_COST),
                available: Nat::from(cycles),
            };
            assert_eq!(failure(&depot.deployment(0)), (Step::Create, reason));
        } else {
            assert_eq!(deployment.status, DeploymentStatus::Succeeded);
        }
    }
}
