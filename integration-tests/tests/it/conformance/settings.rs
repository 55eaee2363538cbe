//! Settings: what can be set, to what, and by whom.

use candid::{Nat, Principal};
use ic_management_canister_types as wire;
use integration_tests::universal::{self as u, Universal};
use pocket_ic::ErrorCode;

use super::world::*;

type Settings = wire::CanisterSettings;

fn nat(number: impl Into<Nat>) -> Option<Nat> {
    Some(number.into())
}

fn people(count: u8) -> Vec<Principal> {
    (1..=count).map(user).collect()
}

fn variables(count: usize, name_bytes: usize, value_bytes: usize) -> Settings {
    let variable = |index: usize| wire::EnvironmentVariable {
        name: format!("{index:02}{}", "n".repeat(name_bytes.saturating_sub(2))),
        value: "v".repeat(value_bytes),
    };
    Settings { environment_variables: Some((0..count).map(variable).collect()), ..Default::default() }
}

cases! {
    should_start_with_the_default_settings: "defaults: 30 days, 5 T reserved, 3 GiB heap, no allocations" => {
        let network = start();
        let settings = status(&network, network.create_canister()).settings;
        assert_eq!(settings.controllers, [OWNER]);
        assert_eq!(small(&settings.freezing_threshold), 2_592_000);
        assert_eq!(small(&settings.reserved_cycles_limit), 5 * T);
        assert_eq!(small(&settings.wasm_memory_limit), 3 << 30);
        assert_eq!(small(&settings.wasm_memory_threshold), 0);
        assert_eq!((small(&settings.compute_allocation), small(&settings.memory_allocation)), (0, 0));
        assert_eq!(settings.log_visibility, wire::LogVisibility::Controllers);
        assert!(settings.environment_variables.is_empty());
    }

    should_change_what_is_asked_for_only: "settings that are not named stay" => {
        let network = start();
        let id = network.create_canister();
        set(&network, OWNER, id, Settings { freezing_threshold: nat(7_u8), ..Default::default() }).unwrap();
        set(&network, OWNER, id, Settings { wasm_memory_threshold: nat(8_u8), ..Default::default() }).unwrap();
        let settings = status(&network, id).settings;
        assert_eq!((small(&settings.freezing_threshold), small(&settings.wasm_memory_threshold)), (7, 8));
        assert_eq!(settings.controllers, [OWNER]);
    }

    should_let_controllers_set_only: "strangers change nothing" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let settings = Settings { freezing_threshold: nat(7_u8), ..Default::default() };
        let result = set(&network, stranger(), canister.id, settings.clone());
        assert_eq!(code(result), ErrorCode::CanisterInvalidController);
        let args = wire::UpdateSettingsArgs { canister_id: canister.id, settings, sender_canister_version: None };
        assert_eq!(rejected(other.manage("update_settings", &args, 0)), 5);
        assert_eq!(rejected(canister.manage("update_settings", &args, 0)), 5, "it does not control itself");
    }

    should_let_a_canister_control_itself: "a canister may be its own controller" => {
        with_canister!(network, canister);
        network.set_controllers(canister.id, None, vec![canister.id]).unwrap();
        let settings = Settings { controllers: Some(vec![OWNER]), ..Default::default() };
        let args = wire::UpdateSettingsArgs { canister_id: canister.id, settings, sender_canister_version: None };
        canister.manage("update_settings", &args, 0).unwrap();
        assert_eq!(network.get_controllers(canister.id), [OWNER]);
    }

    should_obey_new_controllers_at_once: "who is no controller any more cannot change it back" => {
        let network = start();
        let id = network.create_canister();
        set(&network, OWNER, id, Settings { controllers: Some(vec![user(1)]), ..Default::default() }).unwrap();
        let back = Settings { controllers: Some(vec![OWNER]), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, back.clone())), ErrorCode::CanisterInvalidController);
        set(&network, user(1), id, back).unwrap();
    }

    should_take_no_controllers_at_all: "a canister may have no controllers, and then nobody changes it" => {
        let network = start();
        let id = network.create_canister();
        set(&network, OWNER, id, Settings { controllers: Some(vec![]), ..Default::default() }).unwrap();
        assert!(network.get_controllers(id).is_empty());
        assert_eq!(code(set(&network, OWNER, id, Settings::default())), ErrorCode::CanisterInvalidController);
    }

    should_count_each_controller_once: "the same controller twice is one controller" => {
        let network = start();
        let id = network.create_canister();
        let twice = Settings { controllers: Some(vec![OWNER, user(1), OWNER]), ..Default::default() };
        set(&network, OWNER, id, twice).unwrap();
        assert_eq!(network.get_controllers(id).len(), 2);
    }

    should_bound_the_number_of_controllers: "a canister has at most 10 controllers" => {
        let network = start();
        let id = network.create_canister();
        let with = |count| Settings { controllers: Some(people(count)), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, with(11))), ErrorCode::InvalidManagementPayload);
        set(&network, OWNER, id, with(10)).unwrap();
        assert_eq!(network.get_controllers(id).len(), 10);
    }

    should_bound_the_number_of_log_viewers: "at most 10 viewers of the log are allowed" => {
        let network = start();
        let id = network.create_canister();
        let with = |count| Settings {
            log_visibility: Some(wire::LogVisibility::AllowedViewers(people(count))),
            ..Default::default()
        };
        assert_eq!(code(set(&network, OWNER, id, with(11))), ErrorCode::InvalidManagementPayload);
        set(&network, OWNER, id, with(10)).unwrap();
    }

    should_bound_the_compute_allocation: "a compute allocation is at most 100 percent" => {
        let network = start();
        let id = create_with(&network, 100_000 * T);
        let with = |percent: u8| Settings { compute_allocation: nat(percent), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, with(101))), ErrorCode::CanisterContractViolation);
        set(&network, OWNER, id, with(50)).unwrap();
        assert_eq!(small(&status(&network, id).settings.compute_allocation), 50);
    }

    should_want_cycles_for_a_compute_allocation: "a compute allocation must be payable for the freezing threshold" => {
        let network = start();
        let id = create_with(&network, T);
        let settings = Settings { compute_allocation: nat(1_u8), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, settings)), ErrorCode::InsufficientCyclesInComputeAllocation);
    }

    should_want_cycles_for_a_memory_allocation: "a memory allocation must be payable for the freezing threshold" => {
        let network = start();
        let id = create_with(&network, T);
        let settings = Settings { memory_allocation: nat(10_u64 << 30), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, settings)), ErrorCode::InsufficientCyclesInMemoryAllocation);
    }

    should_not_allocate_more_memory_than_the_subnet_has: "a memory allocation past the subnet's capacity is refused" => {
        let network = start();
        let id = create_with(&network, 1_000_000_000 * T);
        let settings = Settings { memory_allocation: nat(1_u64 << 46), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, settings)), ErrorCode::SubnetOversubscribed);
    }

    should_bound_memory_allocations: "a memory allocation is at most 2^48" => {
        let network = start();
        let id = create_with(&network, 1_000_000_000 * T);
        let settings = Settings { memory_allocation: nat((1_u64 << 48) + 1), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, settings)), ErrorCode::CanisterContractViolation);
    }

    should_bound_freezing_thresholds: "a freezing threshold has at most 64 bits" => {
        let network = start();
        let id = network.create_canister();
        let with = |seconds: u128| Settings { freezing_threshold: nat(seconds), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, with(1 << 64))), ErrorCode::CanisterContractViolation);
        set(&network, OWNER, id, with(u128::from(u64::MAX))).unwrap();
    }

    should_bound_heap_limits: "a heap limit is at most 2^48" => {
        let network = start();
        let id = network.create_canister();
        let with = |bytes: u64| Settings { wasm_memory_limit: nat(bytes), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, with((1 << 48) + 1))), ErrorCode::CanisterContractViolation);
        set(&network, OWNER, id, with(1 << 48)).unwrap();
    }

    should_bound_heap_thresholds: "a heap threshold is at most 2^48" => {
        let network = start();
        let id = network.create_canister();
        let with = |bytes: u64| Settings { wasm_memory_threshold: nat(bytes), ..Default::default() };
        assert_eq!(code(set(&network, OWNER, id, with((1 << 48) + 1))), ErrorCode::CanisterContractViolation);
        set(&network, OWNER, id, with(1 << 48)).unwrap();
    }

    should_take_any_reserved_limit_that_holds_what_is_reserved: "a limit of reserved cycles may be 0 while nothing is reserved" => {
        let network = start();
        let id = network.create_canister();
        set(&network, OWNER, id, Settings { reserved_cycles_limit: nat(0_u8), ..Default::default() }).unwrap();
        assert_eq!(small(&status(&network, id).settings.reserved_cycles_limit), 0);
    }

    should_read_back_environment_variables: "environment variables are listed in the status" => {
        let network = start();
        let id = network.create_canister();
        set(&network, OWNER, id, variables(2, 10, 5)).unwrap();
        let mut listed = status(&network, id).settings.environment_variables;
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(Some(listed), variables(2, 10, 5).environment_variables);
    }

    should_bound_the_number_of_environment_variables: "a canister has at most 20 environment variables" => {
        let network = start();
        let id = network.create_canister();
        assert_eq!(code(set(&network, OWNER, id, variables(21, 5, 5))), ErrorCode::InvalidManagementPayload);
        set(&network, OWNER, id, variables(20, 5, 5)).unwrap();
    }

    should_bound_names_of_environment_variables: "a variable's name has at most 128 bytes" => {
        let network = start();
        let id = network.create_canister();
        assert_eq!(code(set(&network, OWNER, id, variables(1, 129, 5))), ErrorCode::InvalidManagementPayload);
        set(&network, OWNER, id, variables(1, 128, 5)).unwrap();
    }

    should_bound_values_of_environment_variables: "a variable's value has at most 128 bytes" => {
        let network = start();
        let id = network.create_canister();
        assert_eq!(code(set(&network, OWNER, id, variables(1, 5, 129))), ErrorCode::InvalidManagementPayload);
        set(&network, OWNER, id, variables(1, 5, 128)).unwrap();
    }

    should_not_take_a_variable_twice: "two variables of one name are refused" => {
        let network = start();
        let id = network.create_canister();
        let mut settings = variables(1, 5, 5);
        let list = settings.environment_variables.as_mut().unwrap();
        list.push(list[0].clone());
        assert_eq!(code(set(&network, OWNER, id, settings)), ErrorCode::InvalidManagementPayload);
    }

    should_replace_all_environment_variables: "setting variables replaces all of them" => {
        with_canister!(network, canister);
        set(&network, OWNER, canister.id, variables(3, 5, 5)).unwrap();
        set(&network, OWNER, canister.id, variables(0, 0, 0)).unwrap();
        assert_eq!(int(&canister.query(program().reply_with(u::variable_count())).unwrap()), 0);
    }

    should_change_nothing_when_one_setting_is_bad: "settings are changed all or none" => {
        let network = start();
        let id = network.create_canister();
        let settings = Settings { freezing_threshold: nat(7_u8), compute_allocation: nat(101_u8), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap_err();
        let status = status(&network, id);
        assert_eq!((small(&status.settings.freezing_threshold), status.version), (2_592_000, 0));
    }

    should_unfreeze_by_a_setting: "a frozen canister's freezing threshold can be lowered" => {
        with_canister!(network, canister);
        let with = |seconds: u64| Settings { freezing_threshold: nat(seconds), ..Default::default() };
        set(&network, OWNER, canister.id, with(u64::MAX)).unwrap();
        canister.query(program().reply()).unwrap_err();
        set(&network, OWNER, canister.id, with(0)).unwrap();
        canister.query(program().reply()).unwrap();
    }

    should_not_decode_other_arguments: "an argument of another type is no payload" => {
        let network = start();
        let id = network.create_canister();
        let result = manage_raw(&network, OWNER, id, "update_settings", candid::encode_one("text").unwrap());
        assert_eq!(code(result), ErrorCode::InvalidManagementPayload);
    }
}
