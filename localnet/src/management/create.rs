//! Making canisters: with cycles from the caller, or out of nothing as only test networks allow.

use candid::{Nat, Principal};
use ic_management_canister_types as wire;

use super::{
    memory::{Bill, SubnetUse},
    refusal::Refusal,
    settings::SettingsChange,
};
use crate::{
    canister::{Canister, Change, ChangeDetails, ChangeOrigin, Settings},
    cycles::DEFAULT_PROVISIONAL_BALANCE,
    message::Cycles,
    network::Subnet,
};

/// Makes a canister with the cycles attached to the call, less the fee.
pub(super) fn create(
    subnet: &mut Subnet,
    now: u64,
    caller: Principal,
    origin: ChangeOrigin,
    args: wire::CreateCanisterArgs,
    attached: Cycles,
    bill: &mut Bill,
) -> Result<wire::CanisterIdRecord, Refusal> {
    let fee = subnet.cost_model.creation_fee();
    if attached < fee {
        return Err(Refusal::CreationFeeNotCovered { required: fee, sent: attached });
    }
    let (id, next_canister) = next_id(subnet)?;
    let settings = args.settings.unwrap_or_default();
    make(subnet, now, id, caller, origin, settings, attached - fee)?;
    subnet.next_canister = next_canister;
    bill.cycles += fee;
    Ok(wire::CanisterIdRecord { canister_id: id })
}

/// Makes a canister with cycles out of nothing, under the id given or the next free one.
pub(super) fn provisional_create(
    subnet: &mut Subnet,
    now: u64,
    caller: Principal,
    origin: ChangeOrigin,
    args: wire::ProvisionalCreateCanisterWithCyclesArgs,
) -> Result<wire::CanisterIdRecord, Refusal> {
    let balance = match args.amount {
        None => DEFAULT_PROVISIONAL_BALANCE,
        Some(amount) => amount_of_cycles(&amount)?,
    };
    let (id, next_canister) = match args.specified_id {
        None => next_id(subnet)?,
        Some(id) => {
            check_specified_id(subnet, id)?;
            (id, subnet.next_canister)
        }
    };
    make(subnet, now, id, caller, origin, args.settings.unwrap_or_default(), balance)?;
    subnet.next_canister = next_canister;
    Ok(wire::CanisterIdRecord { canister_id: id })
}

/// Reads an amount of cycles from the wire.
pub(super) fn amount_of_cycles(amount: &Nat) -> Result<Cycles, Refusal> {
    Cycles::try_from(amount.0.clone()).map_err(|_| Refusal::SettingOutOfRange {
        setting: "amount",
        value: amount.to_string(),
        max: Cycles::MAX,
    })
}

fn make(
    subnet: &mut Subnet,
    now: u64,
    id: Principal,
    caller: Principal,
    origin: ChangeOrigin,
    settings: wire::CanisterSettings,
    balance: Cycles,
) -> Result<(), Refusal> {
    let change = SettingsChange::parse(settings)?;
    let mut canister = Canister::new(id, Settings::new(vec![caller]), balance, now);
    let reservation = change.check(&canister, &SubnetUse::of(subnet))?;
    canister.reserve(reservation);
    let hash = change.environment_variables_hash();
    change.apply(&mut canister.settings);
    let details = ChangeDetails::Creation(canister.settings.controllers.clone(), hash);
    canister.history.record(Change { time: now, version: canister.version, origin, details });
    subnet.canisters.insert(id, canister);
    Ok(())
}

/// Returns the next id of the subnet's first range, and what `next_canister` is once it is taken. Ids of deleted
/// canisters are not given again.
fn next_id(subnet: &Subnet) -> Result<(Principal, u64), Refusal> {
    let (first, last) = subnet.ranges.first().ok_or(Refusal::OutOfCanisterIds)?;
    let start = index_of(first).ok_or(Refusal::OutOfCanisterIds)?;
    let end = index_of(last).ok_or(Refusal::OutOfCanisterIds)?;
    for index in start.saturating_add(subnet.next_canister)..=end {
        let id = id_of(index);
        if !subnet.canisters.contains_key(&id) {
            return Ok((id, index - start + 1));
        }
    }
    Err(Refusal::OutOfCanisterIds)
}

/// Tests that the id asked for is one that the subnet hosts but never gives by itself, and is free.
fn check_specified_id(subnet: &Subnet, id: Principal) -> Result<(), Refusal> {
    let mut hosting = subnet.ranges.iter().enumerate().filter(|(_, (first, last))| *first <= id && id <= *last);
    match hosting.next() {
        Some((0, _)) => Err(Refusal::SpecifiedIdAllocatable { id }),
        Some(_) if subnet.canisters.contains_key(&id) => Err(Refusal::CanisterExists { id }),
        Some(_) => Ok(()),
        None => Err(Refusal::SpecifiedIdElsewhere { id, subnet: subnet.id }),
    }
}

/// Bytes that end the id of every canister, after its number.
const CANISTER_ID_TAIL: [u8; 2] = [1, 1];

fn index_of(id: &Principal) -> Option<u64> {
    let (index, tail) = id.as_slice().split_first_chunk::<8>()?;
    (tail == CANISTER_ID_TAIL).then(|| u64::from_be_bytes(*index))
}

fn id_of(index: u64) -> Principal {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    bytes[8..].copy_from_slice(&CANISTER_ID_TAIL);
    Principal::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use pocket_ic::common::rest::SubnetKind;

    use super::*;
    use crate::{
        cycles::{CANISTER_CREATION_FEE, DEFAULT_FREEZING_THRESHOLD_SECS, DEFAULT_RESERVED_CYCLES_LIMIT},
        error::ErrorCode,
        limits::{CANISTER_IDS_PER_SUBNET, DEFAULT_WASM_MEMORY_LIMIT},
        management::test_fixtures::{World, code, decoded, user},
    };

    fn create(world: &mut World, args: &wire::CreateCanisterArgs, cycles: Cycles) -> Principal {
        let factory = world.create(user(1));
        let (answer, refund) = world.as_canister(factory, "create_canister", args, cycles);
        assert_eq!(refund, 0);
        decoded::<wire::CanisterIdRecord>(answer).canister_id
    }

    #[test]
    fn should_start_with_the_attached_cycles_less_the_fee() {
        let mut world = World::new();
        let id = create(&mut world, &wire::CreateCanisterArgs::default(), CANISTER_CREATION_FEE + 7);
        assert_eq!(world.canister(id).balance, 7);
        assert_eq!(world.canister(id).version, 0);
        assert_eq!(world.canister(id).history.total, 1);
        assert_eq!(world.subnet.consumed, CANISTER_CREATION_FEE);
    }

    #[test]
    fn should_give_all_cycles_back_when_they_do_not_cover_the_fee() {
        let mut world = World::new();
        let factory = world.create(user(1));
        let args = wire::CreateCanisterArgs::default();
        let attached = CANISTER_CREATION_FEE - 1;
        let (answer, refund) = world.as_canister(factory, "create_canister", &args, attached);
        assert_eq!(code(answer), ErrorCode::InsufficientCyclesForCreateCanister);
        assert_eq!(refund, attached);
        assert_eq!(world.subnet.canisters.len(), 1);
    }

    #[test]
    fn should_give_all_cycles_back_and_keep_the_id_when_settings_are_refused() {
        let mut world = World::new();
        let factory = world.create(user(1));
        let settings =
            wire::CanisterSettings { compute_allocation: Some(Nat::from(50_u8)), ..wire::CanisterSettings::default() };
        let args = wire::CreateCanisterArgs { settings: Some(settings), ..Default::default() };
        let (answer, refund) = world.as_canister(factory, "create_canister", &args, CANISTER_CREATION_FEE);
        assert_eq!(code(answer), ErrorCode::InsufficientCyclesInComputeAllocation);
        assert_eq!(refund, CANISTER_CREATION_FEE);
        assert_eq!(world.subnet.next_canister, 1);
        assert_eq!(world.subnet.consumed, 0);
    }

    #[test]
    fn should_make_the_caller_controller_only_when_none_are_named() {
        let mut world = World::new();
        let factory = world.create(user(1));
        let args = wire::CreateCanisterArgs::default();
        let (answer, _) = world.as_canister(factory, "create_canister", &args, CANISTER_CREATION_FEE);
        let plain = decoded::<wire::CanisterIdRecord>(answer).canister_id;
        assert_eq!(world.canister(plain).settings.controllers, [factory]);

        let settings =
            wire::CanisterSettings { controllers: Some(vec![user(3), user(2), user(3)]), ..Default::default() };
        let args = wire::CreateCanisterArgs { settings: Some(settings), ..Default::default() };
        let named = create(&mut world, &args, CANISTER_CREATION_FEE);
        let mut expected = vec![user(2), user(3)];
        expected.sort();
        assert_eq!(world.canister(named).settings.controllers, expected);
    }

    #[test]
    fn should_have_the_default_settings() {
        let mut world = World::new();
        let id = world.create(user(1));
        let canister = world.canister(id);
        assert_eq!(canister.balance, DEFAULT_PROVISIONAL_BALANCE);
        assert_eq!(canister.settings.freezing_threshold, DEFAULT_FREEZING_THRESHOLD_SECS);
        assert_eq!(canister.settings.reserved_cycles_limit, DEFAULT_RESERVED_CYCLES_LIMIT);
        assert_eq!(canister.settings.wasm_memory_limit, DEFAULT_WASM_MEMORY_LIMIT);
    }

    #[test]
    fn should_count_ids_upwards_and_never_give_one_twice() {
        let mut world = World::new();
        let first = world.create(user(1));
        assert_eq!(first.to_text(), "lxzze-o7777-77777-aaaaa-cai");
        world.subnet.canisters.clear();
        assert_eq!(index_of(&world.create(user(1))), index_of(&first).map(|index| index + 1));
    }

    #[test]
    fn should_run_out_of_ids_at_the_end_of_the_range() {
        let mut world = World::new();
        world.subnet.next_canister = CANISTER_IDS_PER_SUBNET - 1;
        world.create(user(1));
        let args = wire::ProvisionalCreateCanisterWithCyclesArgs::default();
        let answer = world.as_user(user(1), "provisional_create_canister_with_cycles", &args);
        assert_eq!(code(answer), ErrorCode::SubnetOversubscribed);
    }

    #[test]
    fn should_take_specified_ids_from_hosted_ranges_that_are_not_allocated_from() {
        let mut world = World::of_kind(SubnetKind::NNS);
        let mut specify = |id: Principal| {
            let args = wire::ProvisionalCreateCanisterWithCyclesArgs { specified_id: Some(id), ..Default::default() };
            world.as_user(user(1), "provisional_create_canister_with_cycles", &args)
        };
        let ledger = id_of(2);
        assert_eq!(decoded::<wire::CanisterIdRecord>(specify(ledger)).canister_id, ledger);
        assert_eq!(code(specify(ledger)), ErrorCode::CanisterAlreadyInstalled);
        assert_eq!(code(specify(user(1))), ErrorCode::CanisterNotHostedBySubnet);
        let (allocated, _) = world.subnet.ranges[0];
        let args =
            wire::ProvisionalCreateCanisterWithCyclesArgs { specified_id: Some(allocated), ..Default::default() };
        let answer = world.as_user(user(1), "provisional_create_canister_with_cycles", &args);
        assert_eq!(code(answer), ErrorCode::InvalidManagementPayload);
        assert_eq!(world.subnet.next_canister, 0);
    }

    #[test]
    fn should_refuse_an_amount_past_128_bits() {
        let mut world = World::new();
        let amount = Nat::from(u128::MAX) + Nat::from(1_u8);
        let args = wire::ProvisionalCreateCanisterWithCyclesArgs { amount: Some(amount), ..Default::default() };
        let answer = world.as_user(user(1), "provisional_create_canister_with_cycles", &args);
        assert_eq!(code(answer), ErrorCode::CanisterContractViolation);
    }
}
