//! Memory of a subnet: who may grow, what is set aside for it, and what a management call charges.

use super::refusal::Refusal;
use crate::{
    canister::Canister,
    cycles::{CostModel, Growth, Purse, Unreservable},
    error::UserResult,
    limits::HEAP_DELTA_RATE_LIMIT,
    message::Cycles,
    network::{Subnet, charge},
};

/// What a management call used and what was paid for it. Neither is undone when the call fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill {
    /// Instructions, which count for the round.
    pub(super) instructions: u64,
    /// Cycles that are gone: fees paid and cycles burned.
    pub(super) cycles: Cycles,
    /// Rounds that the call takes besides the one in which it begins.
    pub(super) further_rounds: u64,
}

impl Bill {
    /// Takes the price of `instructions` from the canister and notes both.
    ///
    /// # Errors
    /// `CanisterOutOfCycles` when the canister would freeze; nothing is taken then.
    pub(super) fn charge_instructions(
        &mut self,
        canister: &mut Canister,
        cost_model: &CostModel,
        instructions: u64,
    ) -> UserResult<()> {
        let price = cost_model.instructions(instructions);
        charge(canister, cost_model, price)?;
        self.instructions += instructions;
        self.cycles += price;
        Ok(())
    }
}

/// What the canisters of a subnet take of it, and its prices.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubnetUse {
    /// Bytes allocated or, where that is more, used.
    pub(super) memory: u64,
    /// Compute allocated, in percent of a core.
    pub(super) compute: u64,
    /// The subnet's prices.
    pub(super) cost_model: CostModel,
}

impl SubnetUse {
    /// Adds up what the canisters take.
    pub(super) fn of(subnet: &Subnet) -> Self {
        Self {
            memory: subnet.memory_taken(),
            compute: subnet.canisters.values().map(|canister| canister.settings.compute_allocation).sum(),
            cost_model: subnet.cost_model,
        }
    }

    /// Describes that a canister takes `taken` bytes more.
    pub(super) fn growth(&self, taken: u64) -> Growth {
        Growth { subnet_memory: self.memory, taken }
    }

    /// Tests that `added` bytes are left.
    pub(super) fn check_capacity(&self, added: u64) -> Result<(), Refusal> {
        let growth = self.growth(added);
        if !growth.is_available() {
            return Err(Refusal::MemoryOversubscribed { requested: added, available: growth.available() });
        }
        Ok(())
    }

    /// Tests whether the canister may grow from `old` to `new` bytes of memory, and returns the cycles to set aside.
    ///
    /// `old` is passed since the canister itself may have changed already when the growth is known.
    pub(super) fn check_growth(&self, canister: &Canister, old: u64, new: u64) -> Result<Cycles, Refusal> {
        if new <= old {
            return Ok(0);
        }
        let bytes = new - old;
        let growth = Growth::of_use(old, new, canister.settings.memory_allocation, self.memory);
        self.check_capacity(growth.taken)?;
        // What the balance lacks is told below, with the freezing threshold.
        let purse = Purse { balance: Cycles::MAX, ..canister.purse() };
        let reservation = growth.reservation(&self.cost_model, &purse).map_err(|reason| match reason {
            Unreservable::OverLimit { limit, excess } => Refusal::MemoryGrowOverReserve { bytes, limit, excess },
            Unreservable::Unpayable { missing } => Refusal::MemoryGrowUnpayable { bytes, missing },
        })?;
        let mut holdings = canister.holdings();
        holdings.memory_usage = new;
        holdings.reserved_balance = holdings.reserved_balance.saturating_add(reservation);
        let required = self.cost_model.freezing_threshold(&holdings).saturating_add(reservation);
        if canister.balance < required {
            return Err(Refusal::MemoryGrowUnpayable { bytes, missing: required - canister.balance });
        }
        Ok(reservation)
    }

    /// Tests whether the canister may take `added` bytes more, and sets the cycles aside that this asks for.
    pub(super) fn grow(&self, canister: &mut Canister, added: u64) -> Result<(), Refusal> {
        let old = canister.memory_usage();
        let reservation = self.check_growth(canister, old, old.saturating_add(added))?;
        canister.reserve(reservation);
        Ok(())
    }
}

/// Tests that the canister has not changed more memory than it may within a round.
pub(super) fn check_heap_delta(canister: &Canister, rate_limits_disabled: bool) -> Result<(), Refusal> {
    if !rate_limits_disabled && canister.heap_delta_debt >= HEAP_DELTA_RATE_LIMIT {
        return Err(Refusal::HeapDeltaRateLimited { canister: canister.id, debit: canister.heap_delta_debt });
    }
    Ok(())
}
