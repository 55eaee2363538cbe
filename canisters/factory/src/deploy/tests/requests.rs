//! What may be asked for, and what is not begun.

use candid::{Nat, Principal};
use depot_types::{
    Hash,
    catalog::CatalogSource,
    factory::{DeployArgs, DeployError, DeploymentStatus, EnvironmentVariable, InstanceSettings, ModuleSource},
    limits::{MAX_CONTROLLERS, MAX_ENVIRONMENT_VARIABLES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_INIT_ARG_BYTES},
};
use serde_bytes::ByteBuf;

use crate::{
    deploy::Begun,
    limits::{BALANCE_FLOOR_CYCLES, INSTALL_PREPAYMENT_CYCLES, MAX_OPEN_DEPLOYMENTS, WORKING_MARGIN_CYCLES},
    test_world::{CALL_COST, CONTROLLER, CREATION_FEE, CYCLES, DEPLOYER, Depot, module_args, principal, release_args},
};

/// Begins a deployment in a new factory; returns the refusal.
fn refusal(change: impl FnOnce(&mut DeployArgs)) -> Option<DeployError> {
    let depot = Depot::new();
    let mut args = release_args("first");
    change(&mut args);
    let refusal = depot.factory().begin(DEPLOYER, args).err();
    assert_eq!(depot.factory().stats(vec![]).deployments, u64::from(refusal.is_none()));
    refusal
}

#[test]
fn should_deploy_for_controllers_and_deployers_only() {
    let depot = Depot::new();
    let begin = |caller| depot.factory().begin(caller, release_args("first"));
    assert_eq!(begin(Principal::anonymous()), Err(DeployError::AnonymousCaller));
    assert_eq!(begin(principal(5)), Err(DeployError::NotAllowed { caller: principal(5) }));
    assert_eq!(begin(CONTROLLER), Ok(Begun::New(0)));
    assert_eq!(begin(DEPLOYER), Ok(Begun::New(1)), "keys are those of their owner");
}

#[test]
fn should_bound_the_idempotency_key() {
    let max = MAX_IDEMPOTENCY_KEY_BYTES;
    assert_eq!(refusal(|args| args.idempotency_key = "k".repeat(max)), None);
    for bytes in [0, max + 1] {
        let error = DeployError::InvalidIdempotencyKey { bytes: bytes as u32, max: max as u32 };
        assert_eq!(refusal(|args| args.idempotency_key = "k".repeat(bytes)), Some(error));
    }
}

#[test]
fn should_bound_the_texts_of_a_source() {
    let release = |package: usize, requirement: usize| {
        refusal(|args| {
            let (package, requirement) = ("p".repeat(package), "r".repeat(requirement));
            args.source = ModuleSource::Catalog(CatalogSource::Release { package, requirement });
        })
    };
    let path = |branch: usize, path: usize| {
        refusal(|args| {
            let (branch, path) = (Some("b".repeat(branch)), "p".repeat(path));
            args.source = ModuleSource::Catalog(CatalogSource::Path { branch, path });
        })
    };
    let too_long =
        |field: &str, max: u32| Some(DeployError::SourceTooLong { field: field.to_string(), bytes: max + 1, max });
    assert_eq!(release(64, 128), None);
    assert_eq!(release(65, 128), too_long("package", 64));
    assert_eq!(release(64, 129), too_long("requirement", 128));
    assert_eq!(path(128, 1_024), None);
    assert_eq!(path(129, 1_024), too_long("branch", 128));
    assert_eq!(path(128, 1_025), too_long("path", 1_024));
}

#[test]
fn should_bound_the_init_argument() {
    let max = MAX_INIT_ARG_BYTES;
    assert_eq!(refusal(|args| args.init_arg = ByteBuf::from(vec![0; max])), None);
    let error = DeployError::InitArgTooLarge { bytes: max as u64 + 1, max: max as u64 };
    assert_eq!(refusal(|args| args.init_arg = ByteBuf::from(vec![0; max + 1])), Some(error));
}

#[test]
fn should_bound_the_controllers() {
    let with = |controllers: Vec<Principal>| refusal(|args| args.controllers = Some(controllers));
    let error =
        |count: usize| Some(DeployError::InvalidControllers { count: count as u32, max: MAX_CONTROLLERS as u32 });
    let many = |count: usize| (0..count as u64).map(principal).collect::<Vec<_>>();
    assert_eq!(with(many(1)), None);
    assert_eq!(with(many(MAX_CONTROLLERS)), None);
    assert_eq!(with(many(MAX_CONTROLLERS + 1)), error(MAX_CONTROLLERS + 1));
    assert_eq!(with(vec![]), error(0));
    assert_eq!(with(vec![principal(1), principal(1)]), error(2));
}

#[test]
fn should_bound_the_environment_variables() {
    let variable = |name: &str, value: &str| EnvironmentVariable { name: name.to_string(), value: value.to_string() };
    let with = |variables: Vec<EnvironmentVariable>| refusal(|args| args.environment_variables = variables);
    let error = |name: &str| Some(DeployError::InvalidEnvironmentVariables { name: name.to_string() });
    let many = |count: usize| (0..count).map(|number| variable(&number.to_string(), "")).collect::<Vec<_>>();
    let (name, value) = ("n".repeat(100), "v".repeat(128));
    assert_eq!(with(many(MAX_ENVIRONMENT_VARIABLES)), None);
    assert_eq!(with(many(MAX_ENVIRONMENT_VARIABLES + 1)), error(""));
    assert_eq!(with(vec![variable(&name, &value)]), None);
    assert_eq!(with(vec![variable("", "")]), error(""));
    assert_eq!(with(vec![variable(&format!("{name}n"), "")]), error(&name));
    assert_eq!(with(vec![variable("n", &format!("{value}v"))]), error("n"));
    assert_eq!(with(vec![variable("n", "1"), variable("n", "2")]), error("n"));
}

#[test]
fn should_bound_the_settings() {
    let two = |exponent: u32| Nat::from(2u8).0.pow(exponent);
    type Set = fn(&mut InstanceSettings, Nat);
    let settings: [(&str, Nat, Set); 5] = [
        ("compute_allocation", Nat::from(100u8), |settings, value| settings.compute_allocation = Some(value)),
        ("memory_allocation", Nat(two(48)), |settings, value| settings.memory_allocation = Some(value)),
        ("freezing_threshold", Nat(two(64) - 1u8), |settings, value| settings.freezing_threshold = Some(value)),
        ("reserved_cycles_limit", Nat(two(128) - 1u8), |settings, value| settings.reserved_cycles_limit = Some(value)),
        ("wasm_memory_limit", Nat(two(48) - 1u8), |settings, value| settings.wasm_memory_limit = Some(value)),
    ];
    for (name, max, set) in settings {
        let with = |value| {
            refusal(|args| {
                let mut settings = InstanceSettings::default();
                set(&mut settings, value);
                args.settings = Some(settings);
            })
        };
        assert_eq!(with(max.clone()), None, "{name}");
        assert_eq!(with(max + 1u8), Some(DeployError::InvalidSetting { name: name.to_string() }));
    }
}

#[test]
fn should_ask_for_enough_cycles_to_install() {
    let minimum = CREATION_FEE + INSTALL_PREPAYMENT_CYCLES + WORKING_MARGIN_CYCLES;
    assert_eq!(refusal(|args| args.cycles = Nat::from(minimum)), None);
    let error = DeployError::TooFewCycles { given: Nat::from(minimum - 1), minimum: Nat::from(minimum) };
    assert_eq!(refusal(|args| args.cycles = Nat::from(minimum - 1)), Some(error));
    let too_many = refusal(|args| args.cycles = Nat::from(u128::MAX) + 1u8);
    assert!(matches!(too_many, Some(DeployError::InsufficientCycles { .. })));
}

#[test]
fn should_not_promise_cycles_twice() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    let overhead = CALL_COST + BALANCE_FLOOR_CYCLES;
    depot.world().cycles = 2 * CYCLES + overhead - 1;
    let mut first = depot.start(module_args("first", module_hash));
    first.poll_times(1);
    let refused = DeployError::InsufficientCycles {
        required: Nat::from(CYCLES + overhead),
        available: Nat::from(CYCLES + overhead - 1),
    };
    let begin = || depot.factory().begin(DEPLOYER, module_args("second", module_hash));
    assert_eq!(begin(), Err(refused.clone()));

    // With the call that creates the canister the cycles leave the balance, and are no longer reserved besides.
    while depot.look().count("create_canister") == 0 {
        first.poll_times(1);
    }
    assert_eq!(begin(), Err(refused.clone()));
    assert_eq!(first.finish().unwrap().status, DeploymentStatus::Succeeded);
    assert_eq!(begin(), Err(refused));

    depot.world().cycles += 1;
    assert_eq!(begin(), Ok(Begun::New(1)));
    assert!(begin().is_ok(), "the same request needs no cycles again");
}

#[test]
fn should_bound_deployments_in_progress() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    let begin = |number: u64| depot.factory().begin(DEPLOYER, module_args(&number.to_string(), module_hash));
    for number in 0..MAX_OPEN_DEPLOYMENTS {
        assert_eq!(begin(number), Ok(Begun::New(number)));
    }
    let max = MAX_OPEN_DEPLOYMENTS as u32;
    assert_eq!(begin(MAX_OPEN_DEPLOYMENTS), Err(DeployError::Busy { in_progress: max, max }));
    assert_eq!(begin(3), Ok(Begun::Existing(3)));
    depot.settle();
    assert_eq!(depot.look().canisters.len() as u64, MAX_OPEN_DEPLOYMENTS);
    assert_eq!(depot.look().count("upload_chunk"), 3);
    assert_eq!(begin(MAX_OPEN_DEPLOYMENTS), Ok(Begun::New(MAX_OPEN_DEPLOYMENTS)));
}

#[test]
fn should_take_the_same_key_for_the_same_deployment() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    let mut first = depot.start(module_args("first", module_hash));
    first.poll_times(3);
    let again = depot.deploy(module_args("first", module_hash)).unwrap();
    assert_eq!(again.id, 0);
    assert!(matches!(again.status, DeploymentStatus::InProgress { .. }), "as it stands");
    assert_eq!(first.finish().unwrap().status, DeploymentStatus::Succeeded);
    let done = depot.deploy(module_args("first", module_hash)).unwrap();
    assert_eq!((done.id, done.status), (0, DeploymentStatus::Succeeded));
    assert_eq!(depot.look().count("create_canister"), 1);
    let owner_removed = depot.factory().remove_deployer(CONTROLLER, DEPLOYER);
    assert_eq!(owner_removed, Ok(()));
    let refused = depot.deploy(module_args("first", module_hash));
    assert_eq!(refused, Err(DeployError::NotAllowed { caller: DEPLOYER }));
}

#[test]
fn should_refuse_a_key_that_stands_for_something_else() {
    let depot = Depot::new();
    let module_hash = depot.publish();
    assert!(depot.deploy(module_args("first", module_hash)).is_ok());
    let changes: [fn(&mut DeployArgs); 4] = [
        |args| args.source = ModuleSource::Module { module_hash: Hash::of(b"other") },
        |args| args.init_arg.push(0),
        |args| args.controllers = None,
        |args| args.cycles += 1u8,
    ];
    for change in changes {
        let mut args = module_args("first", module_hash);
        change(&mut args);
        assert_eq!(depot.deploy(args), Err(DeployError::KeyReused { deployment_id: 0 }));
    }
    assert_eq!(depot.look().canisters.len(), 1);
}
