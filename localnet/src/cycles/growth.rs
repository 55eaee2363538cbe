//! More memory for a canister: what it takes of the subnet, and the cycles to be set aside for it.
//!
//! Canisters grow while they are executed and through the management canister. Both ask here, and say in their own
//! words why it cannot be.

use super::{CostModel, SUBNET_MEMORY_CAPACITY_BYTES};
use crate::message::Cycles;

/// More memory for a canister.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Bytes that the canisters of the subnet take before.
    pub subnet_memory: u64,
    /// Bytes that the canister takes in addition.
    pub taken: u64,
}

/// What a canister has for cycles to be set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purse {
    /// Main balance.
    pub balance: Cycles,
    /// Cycles that are set aside already.
    pub reserved: Cycles,
    /// Most cycles that may be set aside.
    pub limit: Cycles,
}

/// Why cycles cannot be set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreservable {
    /// More would be set aside than the settings allow.
    OverLimit {
        /// What the settings allow.
        limit: Cycles,
        /// By how much it would be more.
        excess: Cycles,
    },
    /// The main balance is too low.
    Unpayable {
        /// What it lacks.
        missing: Cycles,
    },
}

impl Growth {
    /// Describes growth from `old` to `new` bytes of memory in use. What the allocation covers is taken already.
    pub(crate) fn of_use(old: u64, new: u64, allocation: u64, subnet_memory: u64) -> Self {
        Self { subnet_memory, taken: new.max(allocation).saturating_sub(old.max(allocation)) }
    }

    /// Returns the bytes that nobody takes yet.
    pub(crate) fn available(&self) -> u64 {
        SUBNET_MEMORY_CAPACITY_BYTES.saturating_sub(self.subnet_memory)
    }

    /// Returns true when the subnet has as much memory left.
    pub(crate) fn is_available(&self) -> bool {
        self.taken <= self.available()
    }

    /// Returns the cycles that move from the main balance to the reserved one.
    ///
    /// # Errors
    /// When the purse does not allow that.
    pub(crate) fn reservation(&self, cost_model: &CostModel, purse: &Purse) -> Result<Cycles, Unreservable> {
        let reservation = cost_model.storage_reservation(self.subnet_memory, self.taken);
        let excess = purse.reserved.saturating_add(reservation).saturating_sub(purse.limit);
        // Who sets nothing aside is not asked how much it has.
        if reservation > 0 && excess > 0 {
            return Err(Unreservable::OverLimit { limit: purse.limit, excess });
        }
        let missing = reservation.saturating_sub(purse.balance);
        if missing > 0 { Err(Unreservable::Unpayable { missing }) } else { Ok(reservation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycles::STORAGE_RESERVATION_THRESHOLD_BYTES;

    const APPLICATION: CostModel = CostModel { subnet_size: 13, free: false };

    #[test]
    fn should_take_only_what_the_allocation_does_not_cover() {
        for (old, new, allocation, taken) in [(3, 7, 0, 4), (3, 7, 5, 2), (3, 7, 7, 0), (3, 7, 2, 4), (7, 3, 0, 0)] {
            assert_eq!(Growth::of_use(old, new, allocation, 0).taken, taken, "{old} {new} {allocation}");
        }
    }

    #[test]
    fn should_take_no_more_than_there_is() {
        let growth = |taken| Growth { subnet_memory: SUBNET_MEMORY_CAPACITY_BYTES - 10, taken };
        assert!(growth(10).is_available() && !growth(11).is_available());
        let overfull = Growth { subnet_memory: u64::MAX, taken: 0 };
        assert!(overfull.is_available() && overfull.available() == 0);
    }

    #[test]
    fn should_ask_for_no_more_than_limit_and_balance_allow() {
        let growth = Growth { subnet_memory: STORAGE_RESERVATION_THRESHOLD_BYTES, taken: 1 << 30 };
        let price = APPLICATION.storage_reservation(growth.subnet_memory, growth.taken);
        let purse = Purse { balance: price, reserved: 7, limit: price + 7 };
        let ask = |purse: &Purse| growth.reservation(&APPLICATION, purse);
        assert_eq!(ask(&purse), Ok(price));
        let low = Purse { limit: purse.limit - 1, ..purse };
        assert_eq!(ask(&low), Err(Unreservable::OverLimit { limit: price + 6, excess: 1 }));
        let poor = Purse { balance: purse.balance - 2, ..purse };
        assert_eq!(ask(&poor), Err(Unreservable::Unpayable { missing: 2 }));
        let free = CostModel { free: true, ..APPLICATION };
        assert_eq!(growth.reservation(&free, &Purse { balance: 0, reserved: 1, limit: 0 }), Ok(0));
    }
}
