//! Deployments that go well.

use candid::Nat;
use depot_types::factory::{
    DeploymentStatus, EnvironmentVariable, InstanceSettings, ListDeploymentsArgs, ManagementCalls, Step,
};

use crate::{
    runtime::NewCanister,
    test_world::{CONTROLLER, CREATION_FEE, CYCLES, DEPLOYER, Depot, module_args, principal, release_args},
};

#[test]
fn should_count_what_is_driven_and_so_must_not_be_upgraded() {
    let depot = Depot::new();
    depot.publish();
    let mut task = depot.start(release_args("first"));
    task.poll_times(1);
    assert_eq!(depot.factory().driven(), 1);
    assert_eq!(task.finish().unwrap().status, DeploymentStatus::Succeeded);
    assert_eq!(depot.factory().driven(), 0);
}

#[test]
fn should_deploy_a_release_with_no_more_calls_than_needed() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    let deployment = depot.deploy(release_args("first")).unwrap();

    assert_eq!(deployment.status, DeploymentStatus::Succeeded);
    assert_eq!(deployment.module_hash, Some(module_hash));
    assert_eq!(deployment.version.as_deref(), Some("1.2.3"));
    assert_eq!((deployment.chunks_staged, deployment.cycles_spent), (3, Nat::from(CYCLES)));
    let world = depot.look();
    let canister = &world.canisters[&deployment.canister_id.unwrap()];
    assert_eq!(canister.module_hash, Some(module_hash));
    assert_eq!(canister.init_arg, b"DIDL\0\0");
    assert_eq!(canister.controllers, [CONTROLLER, DEPLOYER]);
    assert_eq!(canister.cycles, CYCLES - CREATION_FEE);
    assert_eq!(
        world.calls,
        [
            "resolve",
            "module_info",
            "stored_chunks",
            "get_chunk",
            "upload_chunk",
            "get_chunk",
            "upload_chunk",
            "get_chunk",
            "upload_chunk",
            "create_canister",
            "canister_info",
            "install_chunked_code",
            "canister_status",
            "update_settings",
        ]
    );
}

#[test]
fn should_upload_a_module_once_for_five_deployments() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    for (number, staged) in [3, 0, 0, 0, 0].into_iter().enumerate() {
        let deployment = depot.deploy(module_args(&number.to_string(), module_hash)).unwrap();
        assert_eq!(deployment.status, DeploymentStatus::Succeeded);
        assert_eq!(deployment.chunks_staged, staged);
    }
    let count = |method: &str| depot.look().count(method);
    assert_eq!((count("resolve"), count("upload_chunk"), count("stored_chunks")), (0, 3, 1));
    assert_eq!((count("create_canister"), count("install_chunked_code")), (5, 5));
    let stats = depot.factory().stats(vec![]);
    assert_eq!((stats.deployments, stats.in_progress, stats.staged_chunks), (5, 0, 3));
    assert!(stats.management_calls.contains(&ManagementCalls { method: "upload_chunk".to_string(), count: 3 }));
    assert!(stats.management_calls.contains(&ManagementCalls { method: "create_canister".to_string(), count: 5 }));
}

#[test]
fn should_create_the_canister_as_asked_for() {
    let depot = Depot::new();
    let mut args = module_args("first", depot.publish());
    args.controllers = None;
    args.settings = Some(InstanceSettings {
        compute_allocation: Some(Nat::from(1u8)),
        memory_allocation: Some(Nat::from(2u8)),
        freezing_threshold: Some(Nat::from(3u8)),
        reserved_cycles_limit: Some(Nat::from(4u8)),
        wasm_memory_limit: Some(Nat::from(5u8)),
    });
    args.environment_variables = vec![EnvironmentVariable { name: "a".to_string(), value: "b".to_string() }];
    let deployment = depot.deploy(args).unwrap();
    assert_eq!(deployment.controllers, [DEPLOYER]);
    let canister = depot.look().canisters[&deployment.canister_id.unwrap()].clone();
    assert_eq!(canister.controllers, [DEPLOYER]);
    let settings = NewCanister {
        compute_allocation: Some(1),
        memory_allocation: Some(2),
        freezing_threshold: Some(3),
        reserved_cycles_limit: Some(4),
        wasm_memory_limit: Some(5),
        environment_variables: vec![("a".to_string(), "b".to_string())],
    };
    assert_eq!(canister.settings, settings);
}

#[test]
fn should_show_each_step_while_it_is_taken() {
    let depot = Depot::new();
    depot.publish();
    let mut task = depot.start(release_args("first"));
    let mut steps = vec![];
    while task.poll().is_none() {
        if let DeploymentStatus::InProgress { step } = depot.deployment(0).status {
            steps.push(step);
        }
    }
    steps.dedup();
    let all = [Step::Resolve, Step::Inspect, Step::Stage, Step::Create, Step::Install, Step::Verify, Step::HandOver];
    assert_eq!(steps, all);
    assert_eq!(depot.factory().next_look(), None);
}

#[test]
fn should_list_pages_from_the_newest_on() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    for number in 0..5 {
        assert!(depot.deploy(module_args(&number.to_string(), module_hash)).is_ok());
    }
    let factory = depot.factory();
    let list = |owner, before, limit| {
        let page = factory.list_deployments(ListDeploymentsArgs { owner, before, limit });
        (page.deployments.iter().map(|deployment| deployment.id).collect::<Vec<u64>>(), page.next)
    };
    for owner in [None, Some(DEPLOYER)] {
        assert_eq!(list(owner, None, Some(2)), (vec![4, 3], Some(3)));
        assert_eq!(list(owner, Some(3), Some(2)), (vec![2, 1], Some(1)));
        assert_eq!(list(owner, Some(1), Some(2)), (vec![0], None));
        assert_eq!(list(owner, None, Some(5)), (vec![4, 3, 2, 1, 0], None));
        assert_eq!(list(owner, None, None), (vec![4, 3, 2, 1, 0], None));
        assert_eq!(list(owner, Some(0), None), (vec![], None));
        assert_eq!(list(owner, None, Some(0)), (vec![4], Some(4)));
    }
    assert_eq!(list(Some(principal(5)), None, None), (vec![], None));
    assert_eq!(factory.deployment_by_key(DEPLOYER, "2").map(|deployment| deployment.id), Some(2));
    assert_eq!(factory.deployment_by_key(CONTROLLER, "2"), None);
    assert_eq!(factory.deployment(5), None);
}
