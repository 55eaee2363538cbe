//! The factory makes running canisters, and never loses one.

use candid::{Encode, Principal};
use depot_types::{
    Hash,
    catalog::ResolveError,
    factory::{
        DeployArgs, DeployError, Deployment, DeploymentStatus, EnvironmentVariable, FactoryArgs, FailureReason,
        InstanceSettings, ListDeploymentsArgs, ModuleSource, Step,
    },
};
use integration_tests::{
    clients::{Client, Counter, CounterArgs},
    depot::{Depot, create_with_cycles, deploy_args, path, release, running_module, user},
    made::data_module,
    wasms,
};
use pocket_ic::ErrorCode;

/// A depot with release 1.0.0 of the sample canister.
fn depot_with_counter() -> (Depot, Hash) {
    let depot = Depot::install().unwrap();
    let hash = depot.upload(&wasms::load("counter").unwrap(), |_| ()).unwrap().module_hash;
    depot.publish("counter", "1.0.0", hash).unwrap();
    (depot, hash)
}

fn start_at(start: u64) -> Vec<u8> {
    Encode!(&CounterArgs { start: Some(start), fail_with: None }).unwrap()
}

fn counter_args(key: &str) -> DeployArgs {
    deploy_args(key, release("counter", "1.0.0"), start_at(0))
}

fn deploy(depot: &Depot, args: DeployArgs) -> Deployment {
    let begun = depot.factory().deploy(args).unwrap().unwrap();
    depot.factory().settled(begun).unwrap()
}

fn deployed(depot: &Depot, args: DeployArgs) -> Principal {
    let deployment = deploy(depot, args);
    assert_eq!(deployment.status, DeploymentStatus::Succeeded);
    deployment.canister_id.unwrap()
}

#[test]
fn should_turn_a_release_into_a_running_canister() {
    let (depot, hash) = depot_with_counter();
    let deployment = deploy(&depot, deploy_args("first", release("counter", "^1"), start_at(41)));
    assert_eq!(deployment.status, DeploymentStatus::Succeeded);
    assert_eq!((deployment.module_hash, deployment.version.as_deref()), (Some(hash), Some("1.0.0")));
    let canister = deployment.canister_id.unwrap();
    let counter = Counter(Client::new(&depot.network, canister, user(7)));
    assert_eq!((counter.get().unwrap(), counter.increment().unwrap()), (41, 42));

    let status = depot.network.canister_status(canister, Some(depot.admin)).unwrap();
    assert_eq!(status.module_hash.as_deref(), Some(hash.as_bytes().as_slice()));
    assert_eq!(status.settings.controllers, [depot.admin], "the factory is no controller unless asked");
    assert_eq!(depot.factory().deployment(deployment.id).unwrap(), Some(deployment.clone()));
    let page = depot.factory().list_deployments(ListDeploymentsArgs::default()).unwrap();
    assert_eq!((page.deployments, page.next), (vec![deployment], None));
}

#[test]
fn should_deploy_what_a_path_or_a_hash_names() {
    let (depot, hash) = depot_with_counter();
    depot.set_path("apps/counter.wasm", hash).unwrap();
    let from_path = deployed(&depot, deploy_args("path", path("apps/counter.wasm"), start_at(1)));
    let by_hash = ModuleSource::Module { module_hash: hash };
    let from_hash = deployed(&depot, deploy_args("hash", by_hash, start_at(2)));
    for canister in [from_path, from_hash] {
        assert_eq!(running_module(&depot.network, canister, depot.admin).unwrap(), hash);
    }
}

#[test]
fn should_give_the_canister_what_was_asked_for() {
    let (depot, _) = depot_with_counter();
    let controllers = vec![user(5), depot.factory_id];
    let variable = EnvironmentVariable { name: "PUBLIC_CANISTER_ID:ledger".to_string(), value: "aaaaa-aa".to_string() };
    let settings = InstanceSettings { freezing_threshold: Some(1_000_000_u64.into()), ..InstanceSettings::default() };
    let args = DeployArgs {
        controllers: Some(controllers.clone()),
        settings: Some(settings),
        environment_variables: vec![variable],
        ..counter_args("asked")
    };
    let canister = deployed(&depot, args);
    let status = depot.network.canister_status(canister, Some(user(5))).unwrap();
    let mut received = status.settings.controllers.clone();
    let mut expected = controllers;
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
    assert_eq!(status.settings.freezing_threshold, 1_000_000_u64);
    let variables = &status.settings.environment_variables;
    assert_eq!((variables[0].name.as_str(), variables[0].value.as_str()), ("PUBLIC_CANISTER_ID:ledger", "aaaaa-aa"));
}

#[test]
fn should_stage_chunks_once_for_five_deployments() {
    let depot = Depot::install().unwrap();
    let module = data_module(2 << 20);
    let hash = depot.upload(&module, |_| ()).unwrap().module_hash;
    depot.publish("data", "1.0.0", hash).unwrap();
    let mut canisters = Vec::new();
    for key in ["a", "b", "c", "d", "e"] {
        canisters.push(deployed(&depot, deploy_args(key, release("data", "1.0.0"), vec![])));
    }
    canisters.sort();
    canisters.dedup();
    assert_eq!(canisters.len(), 5);
    let calls = |method| depot.factory().management_calls(method).unwrap();
    assert_eq!((calls("upload_chunk"), calls("create_canister"), calls("install_chunked_code")), (3, 5, 5));
}

#[test]
fn should_deploy_a_large_module() {
    let depot = Depot::install().unwrap();
    let module = data_module(30 << 20);
    let hash = depot.upload(&module, |_| ()).unwrap().module_hash;
    let by_hash = ModuleSource::Module { module_hash: hash };
    let canister = deployed(&depot, deploy_args("large", by_hash, vec![]));
    assert_eq!(running_module(&depot.network, canister, depot.admin).unwrap(), hash);
}

#[test]
fn should_fail_with_the_reason_when_the_module_traps_and_keep_the_canister_on_record() {
    let (depot, _) = depot_with_counter();
    let init_arg = Encode!(&CounterArgs { start: None, fail_with: Some("no luck today".to_string()) }).unwrap();
    let deployment = deploy(&depot, deploy_args("trap", release("counter", "1.0.0"), init_arg));
    let DeploymentStatus::Failed { step: Step::Install, reason: FailureReason::CallFailed(failure) } =
        &deployment.status
    else {
        panic!("{:?}", deployment.status)
    };
    assert_eq!((failure.method.as_str(), failure.reject_code), ("install_chunked_code", 5));
    assert!(failure.message.contains("no luck today"), "{}", failure.message);
    let canister = deployment.canister_id.unwrap();
    assert_eq!(depot.network.get_controllers(canister), [depot.factory_id]);
    assert_eq!(depot.factory().deployment(deployment.id).unwrap(), Some(deployment));
}

#[test]
fn should_fail_on_an_unknown_version_and_create_nothing() {
    let (depot, _) = depot_with_counter();
    let deployment = deploy(&depot, deploy_args("none", release("counter", "2.0.0"), vec![]));
    let DeploymentStatus::Failed { step: Step::Resolve, reason: FailureReason::Unresolved(error) } = &deployment.status
    else {
        panic!("{:?}", deployment.status)
    };
    assert!(matches!(error, ResolveError::NoMatchingVersion { .. }));
    let module_hash = Hash::of(b"never uploaded");
    let deployment = deploy(&depot, deploy_args("hash", ModuleSource::Module { module_hash }, vec![]));
    let reason = FailureReason::UnknownModule { module_hash };
    assert_eq!(deployment.status, DeploymentStatus::Failed { step: Step::Inspect, reason });
    assert_eq!(deployment.canister_id, None);
    assert_eq!(depot.factory().management_calls("create_canister").unwrap(), 0);
}

#[test]
fn should_let_only_deployers_deploy() {
    let (depot, _) = depot_with_counter();
    let stranger = user(9);
    let refused = depot.factory_as(stranger).deploy(counter_args("mine")).unwrap();
    assert_eq!(refused, Err(DeployError::NotAllowed { caller: stranger }));
    let refused = depot.factory_as(Principal::anonymous()).deploy(counter_args("mine")).unwrap();
    assert_eq!(refused, Err(DeployError::AnonymousCaller));
    depot.factory().add_deployer(stranger).unwrap().unwrap();
    let begun = depot.factory_as(stranger).deploy(counter_args("mine")).unwrap().unwrap();
    let deployment = depot.factory().settled(begun).unwrap();
    assert_eq!((deployment.status, deployment.owner), (DeploymentStatus::Succeeded, stranger));
    assert_eq!(depot.network.get_controllers(deployment.canister_id.unwrap()), [stranger]);
}

#[test]
fn should_refuse_to_deploy_without_cycles() {
    let (depot, _) = depot_with_counter();
    let poor = 1_000_000_000_000_u128;
    let factory_id = create_with_cycles(&depot.network, depot.admin, poor);
    let args =
        FactoryArgs { blob_store: Some(depot.blob_store_id), catalog: Some(depot.catalog_id), deployers: vec![] };
    let wasm = wasms::load("factory").unwrap();
    depot.network.install_canister(factory_id, wasm, Encode!(&args).unwrap(), Some(depot.admin));
    let factory = integration_tests::clients::Factory(Client::new(&depot.network, factory_id, depot.admin));
    let refused = factory.deploy(counter_args("poor")).unwrap();
    let Err(DeployError::InsufficientCycles { required, available }) = refused else { panic!("{refused:?}") };
    assert!(required > available && available < poor);
    assert_eq!(factory.deployment_by_key("poor").unwrap(), None);
}

#[test]
fn should_answer_the_same_key_with_the_same_canister() {
    let (depot, _) = depot_with_counter();
    let first = deploy(&depot, counter_args("key"));
    let again = deploy(&depot, counter_args("key"));
    assert_eq!(first, again);
    let other = DeployArgs { cycles: 4_000_000_000_000_u64.into(), ..counter_args("key") };
    let refused = depot.factory().deploy(other).unwrap();
    assert_eq!(refused, Err(DeployError::KeyReused { deployment_id: first.id }));
    assert_eq!(depot.factory().management_calls("create_canister").unwrap(), 1);
}

#[test]
fn should_run_deployments_side_by_side() {
    let (depot, hash) = depot_with_counter();
    let calls: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|key| {
            let arg = Encode!(&counter_args(key)).unwrap();
            depot.network.submit_call(depot.factory_id, depot.admin, "deploy", arg).unwrap()
        })
        .collect();
    for call in calls {
        let answer = depot.network.await_call(call).unwrap();
        let begun = candid::decode_one::<Result<Deployment, DeployError>>(&answer).unwrap().unwrap();
        let deployment = depot.factory().settled(begun).unwrap();
        assert_eq!(deployment.status, DeploymentStatus::Succeeded);
        assert_eq!(running_module(&depot.network, deployment.canister_id.unwrap(), depot.admin).unwrap(), hash);
    }
    assert_eq!(depot.factory().management_calls("upload_chunk").unwrap(), 1);
}

#[test]
fn should_keep_deployments_over_an_upgrade_and_go_on() {
    let (depot, _) = depot_with_counter();
    let before = deploy(&depot, counter_args("before"));
    let arg = Encode!(&None::<FactoryArgs>).unwrap();
    let wasm = wasms::load("factory").unwrap();
    depot.network.upgrade_canister(depot.factory_id, wasm, arg, Some(depot.admin)).unwrap();
    assert_eq!(depot.factory().deployment(before.id).unwrap(), Some(before.clone()));
    let after = deploy(&depot, counter_args("after"));
    assert_eq!(after.status, DeploymentStatus::Succeeded);
    assert!(after.id > before.id);
}

#[test]
fn should_refuse_an_upgrade_while_answers_are_awaited() {
    let (depot, _) = depot_with_counter();
    let upgrade = || {
        let arg = Encode!(&None::<FactoryArgs>).unwrap();
        depot.network.upgrade_canister(depot.factory_id, wasms::load("factory").unwrap(), arg, Some(depot.admin))
    };
    let begin = |key| {
        let arg = Encode!(&counter_args(key)).unwrap();
        let call = depot.network.submit_call(depot.factory_id, depot.admin, "deploy", arg).unwrap();
        // The deployment waits for the management canister after its first round.
        depot.network.tick();
        call
    };
    let call = begin("running");
    let refused = upgrade().unwrap_err();
    assert_eq!(refused.error_code, ErrorCode::CanisterCalledTrap);
    assert!(refused.reject_message.contains("stop the factory"), "{}", refused.reject_message);
    depot.network.await_call(call).unwrap();

    let call = begin("stopping");
    depot.network.stop_canister(depot.factory_id, Some(depot.admin)).unwrap();
    upgrade().unwrap();
    depot.network.start_canister(depot.factory_id, Some(depot.admin)).unwrap();
    depot.network.await_call(call).unwrap();
    for key in ["running", "stopping"] {
        let deployment = depot.factory().deployment_by_key(key).unwrap().unwrap();
        assert_eq!(deployment.status, DeploymentStatus::Succeeded, "{key}");
    }
}
