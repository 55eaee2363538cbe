//! Cycles for canisters: from the caller, or out of nothing as only test networks allow.

use ic_management_canister_types as wire;

use super::{authorization::canister_mut, create::amount_of_cycles, refusal::Refusal};
use crate::{message::Cycles, network::Subnet};

/// Adds the cycles attached to the call to a canister's balance.
pub(super) fn deposit(subnet: &mut Subnet, args: &wire::CanisterIdRecord, attached: Cycles) -> Result<(), Refusal> {
    add(subnet, args, attached)
}

/// Adds cycles out of nothing to a canister's balance.
pub(super) fn provisional_top_up(
    subnet: &mut Subnet,
    args: &wire::ProvisionalTopUpCanisterArgs,
) -> Result<(), Refusal> {
    let amount = amount_of_cycles(&args.amount)?;
    add(subnet, &wire::CanisterIdRecord { canister_id: args.canister_id }, amount)
}

fn add(subnet: &mut Subnet, args: &wire::CanisterIdRecord, amount: Cycles) -> Result<(), Refusal> {
    let canister = canister_mut(subnet, &args.canister_id)?;
    canister.balance = canister.balance.saturating_add(amount);
    Ok(())
}

#[cfg(test)]
mod tests {
    use candid::Nat;

    use super::*;
    use crate::{
        error::ErrorCode,
        management::test_fixtures::{World, code, record, user},
    };

    #[test]
    fn should_deposit_into_any_canister_or_give_everything_back() {
        let mut world = World::new();
        let (giver, taker) = (world.create(user(1)), world.create_with(user(2), Some(5)));
        let (answer, refund) = world.as_canister(giver, "deposit_cycles", &record(taker), 10);
        assert!(answer.is_ok());
        assert_eq!(refund, 0);
        assert_eq!(world.canister(taker).balance, 15);
        let (answer, refund) = world.as_canister(giver, "deposit_cycles", &record(user(3)), 10);
        assert_eq!((code(answer), refund), (ErrorCode::CanisterNotFound, 10));
    }

    #[test]
    fn should_top_up_out_of_nothing_for_everybody() {
        let mut world = World::new();
        let id = world.create_with(user(1), Some(5));
        let args = wire::ProvisionalTopUpCanisterArgs { canister_id: id, amount: Nat::from(u128::MAX - 5) };
        world.as_user(user(2), "provisional_top_up_canister", &args).expect("everybody may");
        assert_eq!(world.canister(id).balance, u128::MAX);
        let args = wire::ProvisionalTopUpCanisterArgs { canister_id: user(7), amount: Nat::from(1_u8) };
        assert_eq!(code(world.as_user(user(2), "provisional_top_up_canister", &args)), ErrorCode::CanisterNotFound);
    }
}
