//! Which canisters run in a round, in what order and on which core.
//!
//! Canisters are owed compute: an equal share of what others left, besides what they have allocated. Those that are
//! owed most run first. Messages that take several rounds run on cores of their own.

use std::collections::BTreeSet;

use candid::Principal;

use super::Subnet;
use crate::{
    canister::Canister,
    limits::{HEAP_DELTA_RATE_LIMIT, SCHEDULER_CORES},
};

/// A percent of a core in one round.
const PERCENT: i64 = 1_000_000;
/// A core in one round.
const CORE: i64 = 100 * PERCENT;
/// Beyond so many rounds that a canister is owed, the excess fades.
const MOST_OWED: i64 = 5 * CORE;
/// Beyond so many rounds that a canister owes, the excess fades.
const LEAST_OWED: i64 = -20 * CORE;
/// What is left of an excess after a round, in percent.
const FADING_PERCENT: i64 = 80;

/// What a canister does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// It begins with a task or a message.
    Begin,
    /// It goes on with a message that takes several rounds.
    Continue,
    /// Its installation goes on.
    Install,
}

/// The schedule of a round.
pub(super) struct Schedule {
    /// Canisters with a message under way, in order.
    long: Vec<Principal>,
    /// The others, in order.
    new: Vec<Principal>,
    /// Cores for messages under way.
    long_cores: usize,
    /// Canisters that had a message under way when the round began.
    long_at_start: BTreeSet<Principal>,
    /// Canisters that finished a message.
    finished: BTreeSet<Principal>,
    /// Canisters that had a core to themselves, or did all there was to do.
    full: BTreeSet<Principal>,
    /// Canisters that changed so much memory that they must wait.
    postponed: BTreeSet<Principal>,
}

fn allocated(canister: &Canister) -> i64 {
    i64::try_from(canister.settings.compute_allocation).unwrap_or(100) * PERCENT
}

impl Schedule {
    /// Orders the canisters at the begin of a round.
    pub(super) fn new(subnet: &Subnet) -> Self {
        let (mut long, mut new) = (Vec::new(), Vec::new());
        let (mut total, mut of_long) = (0, 0);
        for canister in subnet.canisters.values() {
            let allocated = allocated(canister);
            let owed = canister.priority.accumulated + allocated;
            total += allocated;
            if canister.paused.is_some() {
                of_long += allocated;
                let since = canister.priority.long_since.unwrap_or(subnet.rounds);
                long.push((-canister.priority.executed_rounds.max(1), -owed, since, canister.id));
            } else {
                new.push((-owed, canister.id));
            }
        }
        long.sort();
        new.sort();
        let (count, all) = (long.len() as i64, subnet.canisters.len().max(1) as i64);
        let long_cores = if count == all {
            SCHEDULER_CORES
        } else {
            // One core is always kept for messages under way.
            let free = CORE * (SCHEDULER_CORES as i64 - 1) - total;
            let share = of_long + free * count / all;
            usize::try_from((share + CORE - 1) / CORE).unwrap_or(0)
        };
        let long: Vec<Principal> = long.into_iter().map(|(.., id)| id).collect();
        Self {
            long_cores: long_cores.min(long.len()),
            long_at_start: long.iter().copied().collect(),
            long,
            new: new.into_iter().map(|(_, id)| id).collect(),
            finished: BTreeSet::new(),
            full: BTreeSet::new(),
            postponed: BTreeSet::new(),
        }
    }

    /// Deals the canisters that have something to do to the cores.
    pub(super) fn deal(
        &mut self,
        subnet: &mut Subnet,
        is_first: bool,
        next: impl Fn(&Canister) -> Next,
    ) -> Vec<Vec<Principal>> {
        let mut active = |id: &Principal, wanted: Next| {
            let canister = subnet.canisters.get_mut(id)?;
            if !subnet.rate_limits_disabled && canister.heap_delta_debt >= HEAP_DELTA_RATE_LIMIT {
                self.postponed.insert(*id);
                if is_first {
                    // It counts as if it had run.
                    canister.priority.accumulated -= CORE;
                }
                return None;
            }
            (next(canister) == wanted).then_some(*id)
        };
        let long: Vec<Principal> = self.long.iter().filter_map(|id| active(id, Next::Continue)).collect();
        // A message that takes more than this round may have begun in this round, but has had its part of it.
        let new: Vec<Principal> = self.new.iter().filter_map(|id| active(id, Next::Begin)).collect();
        let mut cores = vec![Vec::new(); SCHEDULER_CORES];
        let long_cores = self.long_cores.min(long.len());
        for (index, id) in long.iter().enumerate() {
            cores[index % long_cores].push(*id);
        }
        let new_cores = (SCHEDULER_CORES - long_cores).max(1);
        for (index, id) in new.iter().enumerate() {
            cores[(long_cores + index % new_cores).min(SCHEDULER_CORES - 1)].push(*id);
        }
        if is_first {
            self.full.extend(cores.iter().filter_map(|core| core.first()));
        }
        cores
    }

    /// Notes what a canister did in an iteration.
    pub(super) fn note(&mut self, subnet: &mut Subnet, id: Principal, finished: bool, next: Next) {
        let round = subnet.rounds;
        let Some(canister) = subnet.canisters.get_mut(&id) else { return };
        if finished {
            self.finished.insert(id);
            canister.priority.long_since = None;
        }
        match next {
            Next::Nothing => {
                self.full.insert(id);
            }
            Next::Continue => {
                self.full.insert(id);
                canister.priority.long_since.get_or_insert(round);
            }
            Next::Begin if self.long_at_start.contains(&id) => {
                self.full.insert(id);
            }
            Next::Begin | Next::Install => {}
        }
    }

    /// Settles what canisters are owed at the end of the round.
    pub(super) fn settle(&self, subnet: &mut Subnet) {
        let round = subnet.rounds;
        for id in &self.full {
            if let Some(canister) = subnet.canisters.get_mut(id) {
                canister.priority.executed_rounds += 1;
            }
        }
        let (mut total, mut total_allocated) = (0_i64, 0_i64);
        let mut shares = Vec::with_capacity(subnet.canisters.len());
        for canister in subnet.canisters.values_mut() {
            let allocated = allocated(canister);
            let is_long = canister.paused.is_some();
            let priority = &mut canister.priority;
            if priority.executed_rounds == 1 && priority.long_since == Some(round) {
                priority.accumulated -= CORE;
            }
            // The further rounds of a message are paid for when it is done.
            if priority.executed_rounds > 0 && (!is_long || self.finished.contains(&canister.id)) {
                priority.accumulated -= CORE * (priority.executed_rounds - 1).max(1);
                priority.executed_rounds = 0;
            }
            priority.accumulated += allocated;
            if priority.accumulated > MOST_OWED {
                priority.accumulated = MOST_OWED + (priority.accumulated - MOST_OWED) * FADING_PERCENT / 100;
            } else if priority.accumulated < LEAST_OWED {
                priority.accumulated = LEAST_OWED + (priority.accumulated - LEAST_OWED) * FADING_PERCENT / 100;
            }
            total += priority.accumulated;
            total_allocated += allocated;
            shares.push((allocated, canister.id));
        }
        let mut free = -total;
        if free <= 0 {
            return;
        }
        let count = shares.len() as i64;
        let most = if free + total_allocated > CORE * count { (free + total_allocated - 1) / count + 1 } else { CORE };
        shares.sort_by_key(|(allocated, id)| (std::cmp::Reverse(*allocated), *id));
        for (rank, (allocated, id)) in shares.into_iter().enumerate() {
            let share = (free / (count - rank as i64)).min(most - allocated);
            if let Some(canister) = subnet.canisters.get_mut(&id) {
                canister.priority.accumulated += share;
                free -= share;
            }
        }
    }
}
