//! Settings: parsing what is asked for, testing whether the canister can have it, applying it.

use std::{collections::BTreeSet, sync::Arc};

use candid::{Nat, Principal};
use ic_management_canister_types as wire;
use sha2::{Digest, Sha256};

use super::{authorization::controlled, memory::SubnetUse, refusal::Refusal};
use crate::{
    canister::{Canister, Change, ChangeDetails, ChangeOrigin, Settings, Viewers},
    cycles::{Purse, Unreservable},
    limits::{
        MAX_ENVIRONMENT_VARIABLE, MAX_ENVIRONMENT_VARIABLES, MAX_LOG_MEMORY_LIMIT, MAX_WASM_MEMORY_SETTING,
        MIN_LOG_MEMORY_LIMIT, SUBNET_COMPUTE_CAPACITY,
    },
    message::Cycles,
    network::Subnet,
};

/// Settings that a call asks for; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub(super) struct SettingsChange {
    controllers: Option<Vec<Principal>>,
    compute_allocation: Option<u64>,
    memory_allocation: Option<u64>,
    freezing_threshold: Option<u64>,
    reserved_cycles_limit: Option<Cycles>,
    wasm_memory_limit: Option<u64>,
    wasm_memory_threshold: Option<u64>,
    log_visibility: Option<Viewers>,
    snapshot_visibility: Option<Viewers>,
    status_visibility: Option<Viewers>,
    log_memory_limit: Option<u64>,
    minimum_incoming_canister_call_cycles: Option<Cycles>,
    environment_variables: Option<Vec<(String, String)>>,
}

impl SettingsChange {
    /// Reads settings from the wire and tests each by itself.
    pub(super) fn parse(settings: wire::CanisterSettings) -> Result<Self, Refusal> {
        let log_memory_limit = limited("log_memory_limit", settings.log_memory_limit, u64::MAX)?;
        if let Some(bytes) = log_memory_limit.filter(|bytes| *bytes > MAX_LOG_MEMORY_LIMIT) {
            return Err(Refusal::LogMemoryLimitTooHigh { bytes });
        }
        if let Some(bytes) = log_memory_limit.filter(|bytes| (1..MIN_LOG_MEMORY_LIMIT).contains(bytes)) {
            return Err(Refusal::LogMemoryLimitTooLow { bytes });
        }
        Ok(Self {
            controllers: settings.controllers.map(sorted_unique),
            compute_allocation: limited("compute_allocation", settings.compute_allocation, 100)?,
            memory_allocation: limited("memory_allocation", settings.memory_allocation, MAX_WASM_MEMORY_SETTING)?,
            freezing_threshold: limited("freezing_threshold", settings.freezing_threshold, u64::MAX)?,
            reserved_cycles_limit: cycles("reserved_cycles_limit", settings.reserved_cycles_limit)?,
            wasm_memory_limit: limited("wasm_memory_limit", settings.wasm_memory_limit, MAX_WASM_MEMORY_SETTING)?,
            wasm_memory_threshold: limited(
                "wasm_memory_threshold",
                settings.wasm_memory_threshold,
                MAX_WASM_MEMORY_SETTING,
            )?,
            log_visibility: settings.log_visibility.map(|visibility| match visibility {
                wire::LogVisibility::Controllers => Viewers::Controllers,
                wire::LogVisibility::Public => Viewers::Public,
                wire::LogVisibility::AllowedViewers(viewers) => Viewers::Allowed(viewers),
            }),
            snapshot_visibility: settings.snapshot_visibility.map(|visibility| match visibility {
                wire::SnapshotVisibility::Controllers => Viewers::Controllers,
                wire::SnapshotVisibility::Public => Viewers::Public,
                wire::SnapshotVisibility::AllowedViewers(viewers) => Viewers::Allowed(viewers),
            }),
            status_visibility: settings.status_visibility.map(|visibility| match visibility {
                wire::StatusVisibility::Controllers => Viewers::Controllers,
                wire::StatusVisibility::Public => Viewers::Public,
                wire::StatusVisibility::AllowedViewers(viewers) => Viewers::Allowed(viewers),
            }),
            log_memory_limit,
            minimum_incoming_canister_call_cycles: cycles(
                "minimum_incoming_canister_call_cycles",
                settings.minimum_incoming_canister_call_cycles,
            )?,
            environment_variables: settings.environment_variables.map(environment_variables).transpose()?,
        })
    }

    /// Tests whether the canister, with the balance it has, can have the settings; returns the cycles to set aside.
    pub(super) fn check(&self, canister: &Canister, subnet_use: &SubnetUse) -> Result<Cycles, Refusal> {
        let old = &canister.settings;
        let compute = self.compute_allocation.unwrap_or(old.compute_allocation);
        let memory = self.memory_allocation.unwrap_or(old.memory_allocation);
        let usage = canister.memory_usage();
        let taken = usage.max(memory).saturating_sub(usage.max(old.memory_allocation));
        subnet_use.check_capacity(taken)?;
        let others_compute = subnet_use.compute - old.compute_allocation.min(subnet_use.compute);
        let compute_available = SUBNET_COMPUTE_CAPACITY.saturating_sub(others_compute + 1);
        if compute > old.compute_allocation && compute > compute_available {
            return Err(Refusal::ComputeOversubscribed { requested: compute, available: compute_available });
        }

        let mut holdings = canister.holdings();
        holdings.freezing_threshold = self.freezing_threshold.unwrap_or(old.freezing_threshold);
        holdings.compute_allocation = compute;
        holdings.memory_allocation = memory;
        let missing = subnet_use.cost_model.freezing_threshold(&holdings).saturating_sub(canister.balance);
        // A higher freezing threshold alone may freeze the canister.
        if missing > 0 && compute > old.compute_allocation {
            return Err(Refusal::ComputeAllocationUnpayable { allocation: compute, missing });
        }
        if missing > 0 && memory > old.memory_allocation {
            return Err(Refusal::MemoryAllocationUnpayable { allocation: memory, missing });
        }
        self.check_reservation(canister, subnet_use, memory, taken)
    }

    /// Tests whether the cycles for `taken` bytes more can be set aside, and returns how many they are.
    fn check_reservation(
        &self,
        canister: &Canister,
        subnet_use: &SubnetUse,
        allocation: u64,
        taken: u64,
    ) -> Result<Cycles, Refusal> {
        let limit = self.reserved_cycles_limit.unwrap_or(canister.settings.reserved_cycles_limit);
        if limit < canister.reserved_balance {
            return Err(Refusal::ReservedCyclesLimitTooLow { limit, reserved: canister.reserved_balance });
        }
        // The freezing threshold does not bear on what is only moved to the other balance.
        let purse = Purse { limit, ..canister.purse() };
        subnet_use.growth(taken).reservation(&subnet_use.cost_model, &purse).map_err(|reason| match reason {
            Unreservable::OverLimit { limit, excess } => {
                Refusal::MemoryAllocationOverReserve { allocation, limit, excess }
            }
            Unreservable::Unpayable { missing } => Refusal::MemoryAllocationUnpayable { allocation, missing },
        })
    }

    /// Replaces the settings that are asked for.
    pub(super) fn apply(self, settings: &mut Settings) {
        fn put<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        put(&mut settings.controllers, self.controllers);
        put(&mut settings.compute_allocation, self.compute_allocation);
        put(&mut settings.memory_allocation, self.memory_allocation);
        put(&mut settings.freezing_threshold, self.freezing_threshold);
        put(&mut settings.reserved_cycles_limit, self.reserved_cycles_limit);
        put(&mut settings.wasm_memory_limit, self.wasm_memory_limit);
        put(&mut settings.wasm_memory_threshold, self.wasm_memory_threshold);
        put(&mut settings.log_visibility, self.log_visibility);
        put(&mut settings.snapshot_visibility, self.snapshot_visibility);
        put(&mut settings.status_visibility, self.status_visibility);
        put(&mut settings.log_memory_limit, self.log_memory_limit);
        put(&mut settings.minimum_incoming_canister_call_cycles, self.minimum_incoming_canister_call_cycles);
        put(&mut settings.environment_variables, self.environment_variables.map(Arc::new));
    }

    /// Returns the hash of the environment variables that are asked for.
    pub(super) fn environment_variables_hash(&self) -> Option<[u8; 32]> {
        self.environment_variables.as_deref().map(hash_environment_variables)
    }
}

/// Changes a canister's settings.
pub(super) fn update(
    subnet: &mut Subnet,
    now: u64,
    caller: &Principal,
    origin: ChangeOrigin,
    args: wire::UpdateSettingsArgs,
) -> Result<(), Refusal> {
    let subnet_use = SubnetUse::of(subnet);
    let canister = controlled(subnet, &args.canister_id, caller)?;
    let change = SettingsChange::parse(args.settings)?;
    let reservation = change.check(canister, &subnet_use)?;
    canister.reserve(reservation);
    canister.version += 1;
    // Of other settings the history says nothing, not even of environment variables.
    let details = change.controllers.clone().map(ChangeDetails::ControllersChange);
    change.apply(&mut canister.settings);
    // The lower of an old and a new limit holds from now on.
    canister.print(now, []);
    if let Some(details) = details {
        canister.history.record(Change { time: now, version: canister.version, origin, details });
    }
    Ok(())
}

fn limited(setting: &'static str, value: Option<Nat>, max: u64) -> Result<Option<u64>, Refusal> {
    let Some(value) = value else {
        return Ok(None);
    };
    match u64::try_from(value.0.clone()) {
        Ok(number) if number <= max => Ok(Some(number)),
        _ => Err(Refusal::SettingOutOfRange { setting, value: value.to_string(), max: u128::from(max) }),
    }
}

fn cycles(setting: &'static str, value: Option<Nat>) -> Result<Option<Cycles>, Refusal> {
    let Some(value) = value else {
        return Ok(None);
    };
    match Cycles::try_from(value.0.clone()) {
        Ok(cycles) => Ok(Some(cycles)),
        Err(_) => Err(Refusal::SettingOutOfRange { setting, value: value.to_string(), max: Cycles::MAX }),
    }
}

fn sorted_unique(principals: Vec<Principal>) -> Vec<Principal> {
    principals.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Tests the variables and sorts them by name.
fn environment_variables(variables: Vec<wire::EnvironmentVariable>) -> Result<Vec<(String, String)>, Refusal> {
    if variables.len() > MAX_ENVIRONMENT_VARIABLES {
        return Err(Refusal::TooManyEnvironmentVariables { count: variables.len() });
    }
    let mut sorted = Vec::with_capacity(variables.len());
    for wire::EnvironmentVariable { name, value } in variables {
        if name.len() > MAX_ENVIRONMENT_VARIABLE {
            return Err(Refusal::EnvironmentVariableNameTooLong { name });
        }
        if value.len() > MAX_ENVIRONMENT_VARIABLE {
            return Err(Refusal::EnvironmentVariableValueTooLong { value });
        }
        sorted.push((name, value));
    }
    sorted.sort();
    if sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Refusal::DuplicateEnvironmentVariable);
    }
    Ok(sorted)
}

/// Hashes the variables, sorted by name, as a map of text to text: SHA-256 over the hashes of each name and value.
fn hash_environment_variables(variables: &[(String, String)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, value) in variables {
        hash.update(Sha256::digest(name));
        hash.update(Sha256::digest(value));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{ErrorCode, UserResult},
        limits::MAX_CONTROLLERS,
        management::test_fixtures::{World, code, user},
    };

    fn update(
        world: &mut World,
        caller: Principal,
        id: Principal,
        settings: wire::CanisterSettings,
    ) -> UserResult<Vec<u8>> {
        let args = wire::UpdateSettingsArgs { canister_id: id, settings, sender_canister_version: None };
        world.as_user(caller, "update_settings", &args)
    }

    fn variables(count: usize, name: &str, value: &str) -> wire::CanisterSettings {
        let variable =
            |number| wire::EnvironmentVariable { name: format!("{name}{number:02}"), value: value.to_string() };
        wire::CanisterSettings { environment_variables: Some((0..count).map(variable).collect()), ..Default::default() }
    }

    #[test]
    fn should_change_what_is_asked_for_and_nothing_else() {
        let mut world = World::new();
        let id = world.create(user(1));
        let settings = wire::CanisterSettings {
            freezing_threshold: Some(Nat::from(5_u8)),
            wasm_memory_threshold: Some(Nat::from(6_u8)),
            minimum_incoming_canister_call_cycles: Some(Nat::from(7_u8)),
            status_visibility: Some(wire::StatusVisibility::Public),
            log_visibility: Some(wire::LogVisibility::AllowedViewers(vec![user(4)])),
            ..Default::default()
        };
        update(&mut world, user(1), id, settings).expect("settings are valid");
        let canister = world.canister(id);
        assert_eq!(canister.settings.freezing_threshold, 5);
        assert_eq!(canister.settings.wasm_memory_threshold, 6);
        assert_eq!(canister.settings.minimum_incoming_canister_call_cycles, 7);
        assert_eq!(canister.settings.status_visibility, Viewers::Public);
        assert_eq!(canister.settings.log_visibility, Viewers::Allowed(vec![user(4)]));
        assert_eq!(canister.settings.snapshot_visibility, Viewers::Controllers);
        assert_eq!(canister.settings.controllers, [user(1)]);
        assert_eq!(canister.version, 1);
        assert_eq!(canister.history.total, 1, "only controllers are history");
    }

    #[test]
    fn should_record_new_controllers_and_obey_them_from_then_on() {
        let mut world = World::new();
        let id = world.create(user(1));
        let settings = wire::CanisterSettings { controllers: Some(vec![user(2)]), ..Default::default() };
        assert!(update(&mut world, user(1), id, settings.clone()).is_ok());
        assert_eq!(world.canister(id).history.recent[1].details, ChangeDetails::ControllersChange(vec![user(2)]));
        assert_eq!(code(update(&mut world, user(1), id, settings)), ErrorCode::CanisterInvalidController);
        assert_eq!(world.canister(id).version, 1);
    }

    #[test]
    fn should_let_a_canister_control_itself() {
        let mut world = World::new();
        let id = world.create(user(1));
        let settings = wire::CanisterSettings { controllers: Some(vec![id]), ..Default::default() };
        assert!(update(&mut world, user(1), id, settings).is_ok());
        let args = wire::UpdateSettingsArgs {
            canister_id: id,
            settings: wire::CanisterSettings { controllers: Some(vec![user(5)]), ..Default::default() },
            sender_canister_version: Some(1),
        };
        let (answer, refund) = world.as_canister(id, "update_settings", &args, 9);
        assert!(answer.is_ok());
        assert_eq!(refund, 9);
        assert_eq!(world.canister(id).history.recent[2].origin, ChangeOrigin::Canister(id, Some(1)));
    }

    #[test]
    fn should_hold_every_limit_at_and_past_it() {
        type Set = fn(&mut wire::CanisterSettings, u128);
        let with = |change: Set, value: u128| {
            let mut settings = wire::CanisterSettings::default();
            change(&mut settings, value);
            settings
        };
        let table: [(Set, u128, ErrorCode); 5] = [
            (|s, v| s.compute_allocation = Some(Nat::from(v)), 100, ErrorCode::CanisterContractViolation),
            (|s, v| s.freezing_threshold = Some(Nat::from(v)), u64::MAX as u128, ErrorCode::CanisterContractViolation),
            (|s, v| s.wasm_memory_limit = Some(Nat::from(v)), 1 << 48, ErrorCode::CanisterContractViolation),
            (|s, v| s.wasm_memory_threshold = Some(Nat::from(v)), 1 << 48, ErrorCode::CanisterContractViolation),
            (|s, v| s.log_memory_limit = Some(Nat::from(v)), 2 << 20, ErrorCode::CanisterRejectedMessage),
        ];
        for (change, limit, error) in table {
            let mut world = World::new();
            let id = world.create_with(user(1), Some(1 << 80));
            assert!(update(&mut world, user(1), id, with(change, limit)).is_ok());
            assert_eq!(code(update(&mut world, user(1), id, with(change, limit + 1))), error);
        }
    }

    #[test]
    fn should_bound_environment_variables() {
        let mut world = World::new();
        let id = world.create(user(1));
        let long = "x".repeat(MAX_ENVIRONMENT_VARIABLE - 2);
        let longest_value = "y".repeat(MAX_ENVIRONMENT_VARIABLE);
        let fitting = variables(MAX_ENVIRONMENT_VARIABLES, &long, &longest_value);
        assert!(update(&mut world, user(1), id, fitting).is_ok());
        assert_eq!(world.canister(id).settings.environment_variables.len(), MAX_ENVIRONMENT_VARIABLES);
        for refused in [
            variables(MAX_ENVIRONMENT_VARIABLES + 1, "name", "value"),
            variables(1, &format!("{long}x"), "value"),
            variables(1, "name", &format!("{longest_value}y")),
        ] {
            assert_eq!(code(update(&mut world, user(1), id, refused)), ErrorCode::InvalidManagementPayload);
        }
    }

    #[test]
    fn should_sort_environment_variables_and_refuse_the_same_name_twice() {
        let mut world = World::new();
        let id = world.create(user(1));
        let variable = |name: &str| wire::EnvironmentVariable { name: name.to_string(), value: name.to_uppercase() };
        let set = |names: [&str; 2]| wire::CanisterSettings {
            environment_variables: Some(names.map(variable).to_vec()),
            ..Default::default()
        };
        assert!(update(&mut world, user(1), id, set(["b", "a"])).is_ok());
        let expected = [("a".to_string(), "A".to_string()), ("b".to_string(), "B".to_string())];
        assert_eq!(world.canister(id).settings.environment_variables.as_slice(), expected);
        assert_eq!(world.canister(id).history.total, 1, "the history says nothing of environment variables");
        assert_eq!(code(update(&mut world, user(1), id, set(["a", "a"]))), ErrorCode::InvalidManagementPayload);
    }

    #[test]
    fn should_bound_the_number_of_controllers_and_viewers() {
        let mut world = World::new();
        let id = world.create(user(1));
        let people = |count: usize| -> Vec<Principal> { (1..=count as u8).map(user).collect() };
        for count in [MAX_CONTROLLERS, MAX_CONTROLLERS + 1] {
            let lists = [
                wire::CanisterSettings { controllers: Some(people(count)), ..Default::default() },
                wire::CanisterSettings {
                    log_visibility: Some(wire::LogVisibility::AllowedViewers(people(count))),
                    ..Default::default()
                },
                wire::CanisterSettings {
                    snapshot_visibility: Some(wire::SnapshotVisibility::AllowedViewers(people(count))),
                    ..Default::default()
                },
                wire::CanisterSettings {
                    status_visibility: Some(wire::StatusVisibility::AllowedViewers(people(count))),
                    ..Default::default()
                },
            ];
            for settings in lists {
                let answer = update(&mut world, user(1), id, settings);
                if count == MAX_CONTROLLERS {
                    assert!(answer.is_ok());
                } else {
                    assert_eq!(code(answer), ErrorCode::InvalidManagementPayload);
                }
            }
        }
    }

    #[test]
    fn should_refuse_allocations_that_the_balance_cannot_pay() {
        let mut world = World::new();
        let id = world.create_with(user(1), Some(1_000_000_000_000));
        let compute = wire::CanisterSettings { compute_allocation: Some(Nat::from(1_u8)), ..Default::default() };
        let memory = wire::CanisterSettings { memory_allocation: Some(Nat::from(10_u64 << 30)), ..Default::default() };
        let answer = update(&mut world, user(1), id, compute);
        assert_eq!(code(answer), ErrorCode::InsufficientCyclesInComputeAllocation);
        let answer = update(&mut world, user(1), id, memory.clone());
        assert_eq!(code(answer), ErrorCode::InsufficientCyclesInMemoryAllocation);
        world.canister(id).balance *= 100;
        assert!(update(&mut world, user(1), id, memory).is_ok());
        assert_eq!(world.canister(id).memory_taken(), 10 << 30);
    }

    #[test]
    fn should_share_the_compute_capacity_of_the_subnet() {
        let mut world = World::new();
        let ids: Vec<_> = (0..3).map(|_| world.create_with(user(1), Some(1 << 80))).collect();
        let compute =
            |percent: u8| wire::CanisterSettings { compute_allocation: Some(Nat::from(percent)), ..Default::default() };
        assert!(update(&mut world, user(1), ids[0], compute(100)).is_ok());
        assert!(update(&mut world, user(1), ids[1], compute(100)).is_ok());
        assert_eq!(code(update(&mut world, user(1), ids[2], compute(100))), ErrorCode::SubnetOversubscribed);
        assert!(update(&mut world, user(1), ids[2], compute(99)).is_ok());
    }

    #[test]
    fn should_reserve_cycles_for_memory_on_a_full_subnet_up_to_the_limit() {
        let mut world = World::new();
        let id = world.create_with(user(1), Some(1 << 80));
        let ask = |memory: u64, limit: Cycles| wire::CanisterSettings {
            memory_allocation: Some(Nat::from(memory)),
            reserved_cycles_limit: Some(Nat::from(limit)),
            ..Default::default()
        };
        let wanted = 1 << 40;
        let answer = update(&mut world, user(1), id, ask(wanted, 10));
        assert_eq!(code(answer), ErrorCode::ReservedCyclesLimitExceededInMemoryAllocation);
        assert!(update(&mut world, user(1), id, ask(wanted, 1 << 79)).is_ok());
        let reserved = world.canister(id).reserved_balance;
        assert!(reserved > 0);
        assert_eq!(world.canister(id).balance + reserved, 1 << 80);
        let answer = update(&mut world, user(1), id, ask(wanted, reserved - 1));
        assert_eq!(code(answer), ErrorCode::ReservedCyclesLimitIsTooLow);
        let answer = update(&mut world, user(1), id, ask(3 << 40, 1 << 79));
        assert_eq!(code(answer), ErrorCode::SubnetOversubscribed);
    }

    #[test]
    fn should_cut_the_log_when_its_limit_falls() {
        let mut world = World::new();
        let id = world.create(user(1));
        let with =
            |bytes: u64| wire::CanisterSettings { log_memory_limit: Some(Nat::from(bytes)), ..Default::default() };
        assert!(update(&mut world, user(1), id, with(8_192)).is_ok());
        world.canister(id).print(1, ["x".repeat(3000), "y".repeat(3000)]);
        assert_eq!(world.canister(id).logs.len(), 2);
        assert!(update(&mut world, user(1), id, with(MIN_LOG_MEMORY_LIMIT)).is_ok());
        assert_eq!(world.canister(id).logs.len(), 1);
        assert_eq!(world.canister(id).logs[0].content[0], b'y');
        let refused = update(&mut world, user(1), id, with(MIN_LOG_MEMORY_LIMIT - 1));
        assert_eq!(code(refused), ErrorCode::CanisterRejectedMessage);
        assert!(update(&mut world, user(1), id, with(0)).is_ok());
        assert!(world.canister(id).logs.is_empty());
        world.canister(id).print(1, ["lost".to_string()]);
        assert!(world.canister(id).logs.is_empty());
    }
}
