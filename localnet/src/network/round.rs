//! One round of one subnet: what is due happens, then messages run until nothing is left or the round is used up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use candid::Principal;

use super::{
    Disposition, ManagementCall, Parcel, Subnet, ingress::is_charged_late, respond::user_result, routes::Routes,
};
use crate::{
    canister::{Canister, Input, Status},
    error::UserResult,
    execution::Entry,
    limits::{HEAP_DELTA_RATE_LIMIT, instructions},
    management::{self, Target},
    message::{CallOrigin, Cycles, MessageId},
};

/// What a round leaves for the network to do.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Messages for other subnets.
    pub(super) outbound: Vec<(Principal, Parcel)>,
    /// Ingress messages that were answered.
    pub(super) answered: Vec<(MessageId, UserResult<Vec<u8>>)>,
}

/// A round under way.
pub(super) struct Round<'a> {
    pub(super) subnet: &'a mut Subnet,
    pub(super) context: &'a management::Context,
    pub(super) routes: &'a Routes,
    pub(super) report: Report,
    /// Instructions used so far.
    pub(super) instructions: u64,
    /// Heartbeats, timers and hooks that are due in this round.
    tasks: BTreeMap<Principal, VecDeque<Entry>>,
    /// Canisters that changed so much memory that they must wait.
    postponed: BTreeSet<Principal>,
}

/// Runs one round.
pub(super) fn run(subnet: &mut Subnet, context: &management::Context, routes: &Routes) -> Report {
    let mut round = Round {
        subnet,
        context,
        routes,
        report: Report::default(),
        instructions: 0,
        tasks: BTreeMap::new(),
        postponed: BTreeSet::new(),
    };
    round.charge_rent();
    round.work_off_debts();
    round.answer_raw_rand();
    round.time_out_stops();
    round.expire_calls();
    round.take_in_parcels();
    round.take_in_ingress();
    round.collect_tasks();
    round.execute_messages();
    round.report
}

impl Round<'_> {
    /// Lets the debts of installations and of changed memory fall, and finds who must still wait.
    fn work_off_debts(&mut self) {
        for canister in self.subnet.canisters.values_mut() {
            if !self.subnet.rate_limits_disabled && canister.heap_delta_debt >= HEAP_DELTA_RATE_LIMIT {
                self.postponed.insert(canister.id);
            }
            canister.install_debt = canister.install_debt.saturating_sub(instructions::INSTALL_DEBT_PER_ROUND);
            canister.heap_delta_debt = canister.heap_delta_debt.saturating_sub(HEAP_DELTA_RATE_LIMIT);
        }
    }

    fn answer_raw_rand(&mut self) {
        for call in std::mem::take(&mut self.subnet.postponed_raw_rand) {
            let result = user_result(management::answer_raw_rand(self.subnet, &call));
            self.respond_as_management(call.origin, result, call.cycles);
        }
    }

    fn collect_tasks(&mut self) {
        for canister in self.subnet.canisters.values() {
            let Some(module) = canister.module() else { continue };
            if !matches!(canister.status, Status::Running) {
                continue;
            }
            let timer_due = canister.global_timer != 0 && canister.global_timer <= self.context.now;
            let due: VecDeque<Entry> = [
                (Entry::OnLowWasmMemory, canister.low_memory_hook_due),
                (Entry::Heartbeat, true),
                (Entry::GlobalTimer, timer_due),
            ]
            .into_iter()
            .filter(|(entry, due)| *due && module.has_entry(entry))
            .map(|(entry, _)| entry)
            .collect();
            if !due.is_empty() {
                self.tasks.insert(canister.id, due);
            }
        }
    }

    /// Runs management calls and then one message of each canister, over and over. Messages sent within the subnet
    /// arrive at once, so that a call and its response need not take a round each.
    fn execute_messages(&mut self) {
        loop {
            let mut progressed = false;
            while !self.is_used_up() {
                let Some(call) = self.subnet.management_input.pop_front() else { break };
                progressed = true;
                self.execute_management(call);
            }
            self.complete_stops();
            for id in self.turns() {
                if self.is_used_up() {
                    return;
                }
                if self.execute_next(id) {
                    progressed = true;
                    self.subnet.last_scheduled = Some(id);
                }
            }
            self.complete_stops();
            if !progressed || self.is_used_up() {
                return;
            }
        }
    }

    fn is_used_up(&self) -> bool {
        self.instructions >= self.subnet.instruction_limits.round
    }

    /// Lists the canisters with something to do, beginning after the one whose turn was last.
    fn turns(&self) -> Vec<Principal> {
        let has_work = |canister: &&Canister| {
            !self.postponed.contains(&canister.id)
                && (!canister.input.is_empty() || self.tasks.contains_key(&canister.id))
        };
        let mut turns: Vec<Principal> =
            self.subnet.canisters.values().filter(has_work).map(|canister| canister.id).collect();
        if let Some(last) = self.subnet.last_scheduled {
            let next = turns.partition_point(|id| *id <= last);
            turns.rotate_left(next);
        }
        turns
    }

    /// Executes one task or message of the canister; false when it had none.
    fn execute_next(&mut self, id: Principal) -> bool {
        self.instructions = self.instructions.saturating_add(instructions::MESSAGE_OVERHEAD);
        if let Some(tasks) = self.tasks.get_mut(&id) {
            let task = tasks.pop_front();
            if tasks.is_empty() {
                self.tasks.remove(&id);
            }
            if let Some(task) = task {
                self.execute_task(id, task);
                return true;
            }
        }
        let Some(input) = self.subnet.canisters.get_mut(&id).and_then(|canister| canister.input.pop_front()) else {
            return false;
        };
        match input {
            Input::Ingress { id: message, sender, method, payload, sender_info, expiry } => {
                self.execute_ingress(id, message, sender, method, payload, sender_info, expiry);
            }
            Input::Request(request) => self.execute_request(id, request),
            Input::Response(response) => self.execute_response(id, response),
        }
        true
    }

    fn execute_management(&mut self, call: ManagementCall) {
        let origin = call.origin.clone();
        let late_charge = self.late_charge(&call);
        let (disposition, instructions) = management::execute(self.subnet, self.context, call);
        self.instructions = self.instructions.saturating_add(instructions);
        if let Some((canister, sender, bytes)) = late_charge {
            self.charge_for_settings(canister, &sender, bytes);
        }
        match disposition {
            Disposition::Done(result, cycles) => self.respond_as_management(origin, result, cycles),
            Disposition::Waiting => {}
            Disposition::DoneWithStops(result, cycles, waiting) => {
                for (origin, cycles, error) in waiting {
                    self.respond_as_management(origin, Err(error), cycles);
                }
                self.respond_as_management(origin, result, cycles);
            }
        }
    }

    /// Returns who is charged, and for what sender and argument length, when a user's call is charged after it.
    fn late_charge(&self, call: &ManagementCall) -> Option<(Principal, Principal, usize)> {
        let CallOrigin::Ingress { sender, .. } = call.origin else { return None };
        if !is_charged_late(&call.method, &call.payload) {
            return None;
        }
        match management::target(&call.method, &call.payload) {
            Ok(Target::Canister(canister)) => Some((canister, sender, call.payload.len())),
            Ok(Target::NewCanister(_) | Target::CallersSubnet) | Err(_) => None,
        }
    }

    /// Notes cycles that left the canisters of this subnet for good.
    pub(super) fn consume(&mut self, cycles: Cycles) {
        self.subnet.consumed = self.subnet.consumed.saturating_add(cycles);
    }
}
