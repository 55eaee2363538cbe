//! What things cost, in cycles: the fee table of a subnet and the formulas of the replica's cycles account manager.
//!
//! All fees are given for a subnet of 13 nodes and scale with the number of nodes. System subnets, and subnets with
//! the free cost schedule, charge nothing.

use serde::{Deserialize, Serialize};

mod growth;

pub(crate) use growth::{Growth, Purse, Unreservable};

use crate::message::Cycles;

/// Number of nodes the fee table is given for.
pub(crate) const REFERENCE_SUBNET_SIZE: u128 = 13;
/// Fee for creating a canister.
pub(crate) const CANISTER_CREATION_FEE: Cycles = 500_000_000_000;
/// Fee for receiving an ingress message.
pub(crate) const INGRESS_RECEPTION_FEE: Cycles = 1_200_000;
/// Fee for each byte of an ingress message.
pub(crate) const INGRESS_BYTE_FEE: Cycles = 2_000;
/// Fee for executing any replicated message.
pub(crate) const EXECUTION_FEE: Cycles = 5_000_000;
/// Fee for each inter-canister call.
pub(crate) const CALL_FEE: Cycles = 260_000;
/// Fee for each byte of an inter-canister request or response.
pub(crate) const CALL_BYTE_FEE: Cycles = 1_000;
/// Fee for a GiB of storage for a second.
pub(crate) const GIB_STORAGE_PER_SECOND_FEE: Cycles = 317_500;
/// Fee for one percent of compute allocation for a second.
pub(crate) const COMPUTE_PERCENT_PER_SECOND_FEE: Cycles = 10_000_000;
/// Subnet memory usage, in bytes, above which storage is reserved in advance.
pub(crate) const STORAGE_RESERVATION_THRESHOLD_BYTES: u64 = 750 << 30;
/// Memory capacity of a subnet in bytes.
pub(crate) const SUBNET_MEMORY_CAPACITY_BYTES: u64 = 2 << 40;
/// Longest period that storage is reserved for, in seconds.
pub(crate) const MAX_STORAGE_RESERVATION_PERIOD_SECS: u64 = 300_000_000;

/// Default balance of a canister made by `provisional_create_canister_with_cycles`.
pub(crate) const DEFAULT_PROVISIONAL_BALANCE: Cycles = 100_000_000_000_000;
/// Default limit of the reserved balance.
pub(crate) const DEFAULT_RESERVED_CYCLES_LIMIT: Cycles = 5_000_000_000_000;
/// Default freezing threshold in seconds (30 days).
pub(crate) const DEFAULT_FREEZING_THRESHOLD_SECS: u64 = 2_592_000;

const SECONDS_PER_DAY: u128 = 86_400;
const GIB: u128 = 1 << 30;

/// The price list of one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CostModel {
    /// Number of nodes; fees scale with it.
    pub subnet_size: u64,
    /// True on system subnets and under the free cost schedule: everything costs nothing.
    pub free: bool,
}

/// What a canister holds, as far as it bears on the rent it pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Bytes of memory in use.
    pub memory_usage: u64,
    /// Bytes reserved for messages in flight.
    pub message_memory: u64,
    /// Memory allocation in bytes (0: none).
    pub memory_allocation: u64,
    /// Compute allocation in percent.
    pub compute_allocation: u64,
    /// Freezing threshold in seconds.
    pub freezing_threshold: u64,
    /// Reserved balance, which pays storage before the main balance does.
    pub reserved_balance: Cycles,
}

impl CostModel {
    /// Scales a 13-node fee to this subnet.
    pub(crate) fn scale(&self, fee: Cycles) -> Cycles {
        if self.free { 0 } else { fee * u128::from(self.subnet_size) / REFERENCE_SUBNET_SIZE }
    }

    /// Returns the fee for creating a canister.
    pub(crate) fn creation_fee(&self) -> Cycles {
        self.scale(CANISTER_CREATION_FEE)
    }

    /// Returns the cost of inducting an ingress message of `bytes` (the signed envelope).
    pub(crate) fn ingress_induction(&self, bytes: usize) -> Cycles {
        self.scale(INGRESS_RECEPTION_FEE) + self.scale(INGRESS_BYTE_FEE * bytes as u128)
    }

    /// Returns the cost of executing `instructions` in one message; `wasm64` instructions cost twice.
    pub(crate) fn execution(&self, instructions: u64, wasm64: bool) -> Cycles {
        let weight = if wasm64 { 2 } else { 1 };
        self.scale(EXECUTION_FEE) + self.scale(u128::from(instructions) * weight)
    }

    /// Returns the cost of `instructions` without the fee of a message, as management calls are charged.
    pub(crate) fn instructions(&self, instructions: u64) -> Cycles {
        self.scale(u128::from(instructions))
    }

    /// Returns the cost of transmitting `bytes` between canisters.
    pub(crate) fn transmission(&self, bytes: u64) -> Cycles {
        self.scale(CALL_BYTE_FEE * u128::from(bytes))
    }

    /// Returns the fee of one inter-canister call without its bytes.
    pub(crate) fn call_fee(&self) -> Cycles {
        self.scale(CALL_FEE)
    }

    /// Returns what must be free to make a call with `request_bytes` (method name plus argument).
    ///
    /// This is what `ic0.cost_call` answers: fee, request bytes, the largest response, and the execution of the
    /// response at its instruction limit. What is not used comes back when the response is executed.
    pub(crate) fn call_prepayment(
        &self,
        request_bytes: u64,
        max_response_bytes: u64,
        max_instructions: u64,
        wasm64: bool,
    ) -> Cycles {
        self.call_fee()
            + self.transmission(request_bytes)
            + self.transmission(max_response_bytes)
            + self.execution(max_instructions, wasm64)
    }

    /// Returns the cost of holding `bytes` for `seconds`.
    pub(crate) fn memory(&self, bytes: u64, seconds: u64) -> Cycles {
        self.scale(u128::from(bytes) * GIB_STORAGE_PER_SECOND_FEE * u128::from(seconds) / GIB)
    }

    /// Returns the cost of a compute allocation for `seconds`.
    pub(crate) fn compute(&self, percent: u64, seconds: u64) -> Cycles {
        self.scale(u128::from(percent) * COMPUTE_PERCENT_PER_SECOND_FEE * u128::from(seconds))
    }

    /// Returns what a canister must set aside when the memory used on its subnet grows from `used` by `added` bytes.
    ///
    /// Nothing below [`STORAGE_RESERVATION_THRESHOLD_BYTES`]; above it the period paid in advance grows with the use
    /// of the subnet, up to [`MAX_STORAGE_RESERVATION_PERIOD_SECS`] when it is full.
    pub(crate) fn storage_reservation(&self, used: u64, added: u64) -> Cycles {
        self.reservation_at(used.saturating_add(added)).saturating_sub(self.reservation_at(used))
    }

    /// Returns what all canisters together have set aside when `used` bytes are used on the subnet.
    fn reservation_at(&self, used: u64) -> Cycles {
        let capacity = u128::from(SUBNET_MEMORY_CAPACITY_BYTES - STORAGE_RESERVATION_THRESHOLD_BYTES);
        let above = u128::from(used.saturating_sub(STORAGE_RESERVATION_THRESHOLD_BYTES)).min(capacity);
        let period = u128::from(MAX_STORAGE_RESERVATION_PERIOD_SECS) * above / capacity;
        // Averaged over the bytes: the first one above the threshold pays for no time, the last one for the period.
        self.memory(above as u64, (period / 2) as u64)
    }

    /// Returns what a canister burns in a day when it does nothing.
    pub(crate) fn idle_burned_per_day(&self, holdings: &Holdings) -> Cycles {
        let day = SECONDS_PER_DAY as u64;
        self.memory(holdings.memory_usage.max(holdings.memory_allocation), day)
            + self.memory(holdings.message_memory, day)
            + self.compute(holdings.compute_allocation, day)
    }

    /// Returns the balance below which a canister is frozen.
    pub(crate) fn freezing_threshold(&self, holdings: &Holdings) -> Cycles {
        (self.idle_burned_per_day(holdings) * u128::from(holdings.freezing_threshold) / SECONDS_PER_DAY)
            .saturating_sub(holdings.reserved_balance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLICATION: CostModel = CostModel { subnet_size: 13, free: false };

    #[test]
    fn should_charge_known_prices_on_thirteen_nodes() {
        assert_eq!(APPLICATION.creation_fee(), 500_000_000_000);
        assert_eq!(APPLICATION.ingress_induction(2 << 20), 1_200_000 + 2_000 * 2_097_152);
        assert_eq!(APPLICATION.execution(1_000_000, false), 6_000_000);
        assert_eq!(APPLICATION.execution(1_000_000, true), 7_000_000);
        let gib_year = APPLICATION.memory(1 << 30, 365 * 86_400);
        assert_eq!(gib_year, 317_500 * 365 * 86_400);
    }

    #[test]
    fn should_prepay_forty_two_billion_for_a_call() {
        let cost = APPLICATION.call_prepayment(100, 2_097_152, 40_000_000_000, false);
        assert_eq!(cost, 260_000 + 100_000 + 2_097_152_000 + 40_005_000_000);
    }

    #[test]
    fn should_freeze_at_thirty_days_of_rent_less_what_is_reserved() {
        let mut holdings = Holdings { memory_usage: 1 << 30, freezing_threshold: 2_592_000, ..Holdings::default() };
        let threshold = APPLICATION.freezing_threshold(&holdings);
        assert_eq!(threshold, 317_500 * 86_400 * 30);
        holdings.reserved_balance = threshold + 1;
        assert_eq!(APPLICATION.freezing_threshold(&holdings), 0);
    }

    #[test]
    fn should_reserve_storage_above_the_threshold_only() {
        let threshold = STORAGE_RESERVATION_THRESHOLD_BYTES;
        assert_eq!(APPLICATION.storage_reservation(0, threshold), 0);
        let first = APPLICATION.storage_reservation(threshold, 1 << 30);
        let later = APPLICATION.storage_reservation(threshold + (100 << 30), 1 << 30);
        assert!(0 < first && first < later, "{first} {later}");
        let split = APPLICATION.storage_reservation(threshold - 5, 10 << 30)
            + APPLICATION.storage_reservation(threshold - 5 + (10 << 30), 10 << 30);
        assert_eq!(split, APPLICATION.storage_reservation(threshold - 5, 20 << 30));
    }

    #[test]
    fn should_cost_nothing_on_a_free_subnet() {
        let free = CostModel { subnet_size: 13, free: true };
        assert_eq!(free.creation_fee() + free.ingress_induction(9) + free.memory(1 << 40, 1_000), 0);
    }

    #[test]
    fn should_scale_with_the_number_of_nodes() {
        let fiduciary = CostModel { subnet_size: 34, free: false };
        assert_eq!(fiduciary.creation_fee(), 500_000_000_000 * 34 / 13);
    }
}
