//! Charging for storage and compute, and what happens to canisters that cannot pay.

use candid::Principal;

use super::{conclude::NS_PER_SECOND, round::Round};
use crate::{
    canister::{Canister, ChangeOrigin},
    cycles::CostModel,
    limits::CHARGE_INTERVAL_NS,
    management,
    message::Cycles,
};

impl Round<'_> {
    /// Charges every canister whose last charge is long enough ago. Those that cannot pay lose their code, their
    /// snapshots, their allocations and what was left of their cycles; they stay, with their controllers.
    pub(super) fn charge_rent(&mut self) {
        let now = self.context.now;
        let mut exhausted = Vec::new();
        let mut charged: Cycles = 0;
        for canister in self.subnet.canisters.values_mut() {
            let elapsed = now.saturating_sub(canister.charged_until);
            // The balance stays as it is while a message or installation is under way.
            if elapsed < CHARGE_INTERVAL_NS || canister.paused.is_some() || canister.long_installation.is_some() {
                continue;
            }
            let seconds = elapsed / NS_PER_SECOND;
            canister.charged_until = now;
            let price = rent(canister, &self.subnet.cost_model, seconds);
            if price > canister.reserved_balance.saturating_add(canister.balance) {
                exhausted.push(canister.id);
                continue;
            }
            charged = charged.saturating_add(price);
            let from_reserve = price.min(canister.reserved_balance);
            canister.reserved_balance -= from_reserve;
            canister.balance -= price - from_reserve;
        }
        self.consume(charged);
        for id in exhausted {
            self.uninstall_exhausted(id);
        }
    }

    fn uninstall_exhausted(&mut self, id: Principal) {
        let Some(canister) = self.subnet.canisters.get_mut(&id) else { return };
        let lost = canister.balance.saturating_add(canister.reserved_balance);
        canister.balance = 0;
        canister.reserved_balance = 0;
        let origin = ChangeOrigin::Canister(Principal::management_canister(), None);
        let rejected = management::uninstall(canister, self.context.now, origin);
        canister.settings.compute_allocation = 0;
        canister.settings.memory_allocation = 0;
        canister.snapshots.clear();
        canister.history.recent.clear();
        self.consume(lost);
        for (origin, cycles) in rejected {
            let error = super::respond::uninstalled();
            self.respond(id, origin, Err(error), cycles);
        }
    }
}

fn rent(canister: &Canister, cost_model: &CostModel, seconds: u64) -> Cycles {
    let bytes = canister.memory_usage().max(canister.settings.memory_allocation);
    cost_model.memory(bytes, seconds)
        + cost_model.memory(canister.message_memory(), seconds)
        + cost_model.compute(canister.settings.compute_allocation, seconds)
}
