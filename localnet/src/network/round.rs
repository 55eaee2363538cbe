//! One round of one subnet: what is due happens, then management calls and messages run in iterations until nothing is
//! left or the round is used up, then what became due is settled.
//!
//! In an iteration each canister runs all that waits for it, apart from the others; what canisters of the subnet sent
//! each other arrives after the iteration. There are as many cores as on the replica, with the instructions of a round
//! each, and canisters are dealt to them; they take their turns one after the other, since nobody sees the difference.

use std::collections::{BTreeMap, VecDeque};

use candid::Principal;

use super::{
    Disposition, InstructionLimits, ManagementCall, Parcel, Subnet,
    config::is_system,
    ingress::is_charged_late,
    respond::user_result,
    routes::Routes,
    schedule::{Next, Schedule},
};
use crate::{
    canister::{Canister, Input, LongInstallation, NextMethod, Status},
    error::UserResult,
    execution::Entry,
    limits::{HEAP_DELTA_RATE_LIMIT, MAX_HEAP_DELTA_PER_ITERATION, SYSTEM_MAX_HEAP_DELTA_PER_ITERATION, instructions},
    management::{self, Target},
    message::{CallOrigin, Cycles, MessageId},
};

/// What a round leaves for the network to do.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Messages for other subnets, and for this one in the next round.
    pub(super) outbound: Vec<(Principal, Parcel)>,
    /// Ingress messages that were answered.
    pub(super) answered: Vec<(MessageId, UserResult<Vec<u8>>)>,
}

/// A message between canisters of the subnet that is not there yet.
pub(super) struct Sent {
    /// Who sent it.
    pub(super) sender: Principal,
    /// Who it is for.
    pub(super) receiver: Principal,
    /// The message.
    pub(super) parcel: Parcel,
}

/// What one execution did to the round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Instructions it took of the round.
    pub(super) instructions: u64,
    /// Bytes of memory it changed.
    pub(super) heap_delta: u64,
    /// False when the message goes on in the next round.
    pub(super) finished: bool,
}

impl Step {
    const NOTHING: Self = Self { instructions: 0, heap_delta: 0, finished: true };
}

/// A round under way.
pub(super) struct Round<'a> {
    pub(super) subnet: &'a mut Subnet,
    pub(super) context: &'a management::Context,
    pub(super) routes: &'a Routes,
    pub(super) report: Report,
    /// What canisters of the subnet sent each other since the last iteration.
    pub(super) outbox: Vec<Sent>,
    /// What the execution under way did so far.
    pub(super) step: Step,
    /// Heartbeats and timers that are due in this round.
    pub(super) tasks: BTreeMap<Principal, VecDeque<Entry>>,
    /// Bytes of memory that the canisters take, while their messages are executed. Adding it up for each message would
    /// take longer than small messages do.
    pub(super) subnet_memory: u64,
    /// Instructions left for canisters on each core, and for management calls. Executions begin as long as there are
    /// any, so that these may fall below zero.
    left: i64,
    left_for_management: i64,
}

/// Runs one round.
pub(super) fn run(subnet: &mut Subnet, context: &management::Context, routes: &Routes) -> Report {
    subnet.rounds += 1;
    let InstructionLimits { round, slice, install_slice, .. } = subnet.instruction_limits;
    let mut round = Round {
        // So that a slice that begins with the last instruction ends within the round.
        left: signed(round.saturating_sub(slice.max(install_slice))) + 1,
        left_for_management: signed(round / instructions::MANAGEMENT_FRACTION),
        subnet,
        context,
        routes,
        report: Report::default(),
        outbox: Vec::new(),
        step: Step::NOTHING,
        tasks: BTreeMap::new(),
        subnet_memory: 0,
    };
    round.expire_calls();
    round.take_in_parcels();
    round.take_in_ingress();
    round.expire_ingress();
    round.answer_raw_rand();
    round.advance_installations();
    round.execute_messages();
    round.complete_stops();
    round.time_out_stops();
    round.charge_rent();
    round.work_off_debts();
    round.abort_paused();
    round.post();
    round.report
}

fn signed(instructions: u64) -> i64 {
    i64::try_from(instructions).unwrap_or(i64::MAX)
}

impl Round<'_> {
    /// Lets the debts of installations and of changed memory fall.
    fn work_off_debts(&mut self) {
        for canister in self.subnet.canisters.values_mut() {
            // What an installation used is owed from its end on.
            if canister.long_installation.is_none() {
                canister.install_debt = canister.install_debt.saturating_sub(instructions::INSTALL_DEBT_PER_ROUND);
            }
            canister.heap_delta_debt = canister.heap_delta_debt.saturating_sub(HEAP_DELTA_RATE_LIMIT);
        }
    }

    fn answer_raw_rand(&mut self) {
        for call in std::mem::take(&mut self.subnet.postponed_raw_rand) {
            let result = user_result(management::answer_raw_rand(self.subnet, &call));
            self.respond_as_management(call.origin, result, call.cycles);
        }
    }

    /// Goes on with installations that take several rounds, and answers those that are done.
    fn advance_installations(&mut self) {
        let mut done: Vec<LongInstallation> = Vec::new();
        for canister in self.subnet.canisters.values_mut() {
            let Some(installation) = &mut canister.long_installation else { continue };
            installation.rounds = installation.rounds.saturating_sub(1);
            // It takes all that management calls may use.
            self.left_for_management = 0;
            if installation.rounds == 0 {
                done.extend(canister.long_installation.take());
            }
        }
        for LongInstallation { origin, result, refund, .. } in done {
            self.respond_as_management(origin, result, refund);
        }
    }

    /// Finds the tasks that are due. A canister that has messages, too, begins in turns with the one and the others;
    /// a round that begins with a message has no tasks.
    fn collect_tasks(&mut self) {
        for canister in self.subnet.canisters.values_mut() {
            let Some(module) = canister.sandbox.as_ref().map(|sandbox| sandbox.module()) else { continue };
            let is_busy = canister.paused.is_some() || canister.long_installation.is_some();
            if is_busy || !matches!(canister.status, Status::Running) {
                continue;
            }
            let beats = module.has_entry(&Entry::Heartbeat);
            let timer_due = canister.global_timer != 0
                && canister.global_timer <= self.context.now
                && module.has_entry(&Entry::GlobalTimer);
            // The hook comes before everything, and a round that begins with it has no tasks.
            if (beats || timer_due) && !is_hook_due(canister) {
                let due = tasks_in_turn(canister, beats, timer_due);
                if !due.is_empty() {
                    self.tasks.insert(canister.id, due.into());
                }
            }
        }
    }

    fn execute_messages(&mut self) {
        let mut schedule = Schedule::new(self.subnet);
        let mut heap_delta = 0;
        let mut is_first = true;
        loop {
            self.execute_management_calls();
            if self.left <= 0 {
                break;
            }
            if is_first {
                self.collect_tasks();
            }
            let tasks = std::mem::take(&mut self.tasks);
            let cores = schedule.deal(self.subnet, is_first, |canister| next_of(canister, &tasks));
            self.tasks = tasks;
            if cores.iter().all(Vec::is_empty) {
                break;
            }
            self.subnet_memory = self.subnet.memory_taken();
            let budget = self.left;
            let mut least = budget;
            for core in cores {
                self.left = budget;
                heap_delta += self.run_core(core, &mut schedule);
                least = least.min(self.left);
            }
            self.left =
                least - signed(instructions::ITERATION_OVERHEAD_PER_CANISTER) * self.subnet.canisters.len() as i64;
            if least == budget || heap_delta >= self.max_heap_delta() {
                break;
            }
            self.induct();
            is_first = false;
        }
        // They come again in the next round.
        self.tasks.clear();
        schedule.settle(self.subnet);
    }

    fn max_heap_delta(&self) -> u64 {
        if is_system(self.subnet.kind) { SYSTEM_MAX_HEAP_DELTA_PER_ITERATION } else { MAX_HEAP_DELTA_PER_ITERATION }
    }

    /// Runs the canisters of one core one after the other; returns the bytes of memory that they changed.
    fn run_core(&mut self, canisters: Vec<Principal>, schedule: &mut Schedule) -> u64 {
        let mut heap_delta = 0;
        for id in canisters {
            if self.left <= 0 || heap_delta >= self.max_heap_delta() {
                break;
            }
            let was_paused = self.is_paused(id);
            let (mut used, mut finished) = (0, false);
            while self.left > 0 && matches!(self.next_of(id), Next::Begin | Next::Continue) {
                let memory_before = self.memory_taken(id);
                let step = self.execute_next(id);
                self.subnet_memory =
                    self.subnet_memory.saturating_add(self.memory_taken(id)).saturating_sub(memory_before);
                used += step.instructions;
                finished |= step.finished && step.instructions > 0;
                heap_delta += step.heap_delta;
                self.left -= signed(step.instructions) + signed(instructions::MESSAGE_OVERHEAD);
                let ended_long = was_paused && !self.is_paused(id);
                if !step.finished || ended_long || heap_delta >= self.max_heap_delta() {
                    break;
                }
            }
            if used > 0 {
                self.left -= signed(instructions::CANISTER_OVERHEAD);
                let next = self.next_of(id);
                schedule.note(self.subnet, id, finished, next);
            }
        }
        heap_delta
    }

    fn memory_taken(&self, id: Principal) -> u64 {
        self.subnet.canisters.get(&id).map_or(0, Canister::memory_taken)
    }

    fn is_paused(&self, id: Principal) -> bool {
        self.subnet.canisters.get(&id).is_some_and(|canister| canister.paused.is_some())
    }

    fn next_of(&self, id: Principal) -> Next {
        self.subnet.canisters.get(&id).map_or(Next::Nothing, |canister| next_of(canister, &self.tasks))
    }

    /// Goes on with the message under way, or executes a task or message.
    fn execute_next(&mut self, id: Principal) -> Step {
        self.step = Step::NOTHING;
        if self.is_paused(id) {
            self.advance(id);
            return self.step;
        }
        if self.subnet.canisters.get(&id).is_some_and(is_hook_due) {
            self.execute_task(id, Entry::OnLowWasmMemory);
            return self.step;
        }
        if let Some(tasks) = self.tasks.get_mut(&id) {
            let task = tasks.pop_front();
            if tasks.is_empty() {
                self.tasks.remove(&id);
            }
            if let Some(task) = task {
                self.execute_task(id, task);
                return self.step;
            }
        }
        match self.subnet.canisters.get_mut(&id).and_then(|canister| canister.input.pop()) {
            None => {}
            Some(Input::Ingress { id: message, sender, method, payload, sender_info, expiry }) => {
                self.execute_ingress(id, message, sender, method, payload, sender_info, expiry);
            }
            Some(Input::Request(request)) => self.execute_request(id, request),
            Some(Input::Response(response)) => self.execute_response(id, response),
        }
        self.step
    }

    /// Executes management calls until none is left that may run in this round.
    fn execute_management_calls(&mut self) {
        let mut position = 0;
        while let Some(call) = self.subnet.management_input.get(position) {
            if !self.may_execute(call) {
                position += 1;
                continue;
            }
            let Some(call) = self.subnet.management_input.remove(position) else { break };
            self.execute_management(call);
        }
    }

    /// Returns true when a management call need not wait: for a message or installation of its canister, for the only
    /// installation that may be under way, or for the next round.
    fn may_execute(&self, call: &ManagementCall) -> bool {
        let is_installation = matches!(call.method.as_str(), "install_code" | "install_chunked_code");
        if HEAVY_METHODS.contains(&call.method.as_str()) && self.left_for_management <= 0 {
            return false;
        }
        let installing = |canister: &Canister| canister.long_installation.is_some();
        if is_installation && self.subnet.canisters.values().any(installing) {
            return false;
        }
        let is_long_anywhere =
            self.subnet.canisters.values().any(|canister| installing(canister) || canister.paused.is_some());
        if !is_long_anywhere {
            return true;
        }
        match management::target(&call.method, &call.payload) {
            Ok(Target::Canister(id)) => self
                .subnet
                .canisters
                .get(&id)
                .is_none_or(|canister| canister.paused.is_none() && canister.long_installation.is_none()),
            Ok(Target::NewCanister(_) | Target::CallersSubnet) | Err(_) => true,
        }
    }

    fn execute_management(&mut self, call: ManagementCall) {
        let origin = call.origin.clone();
        let late_charge = self.late_charge(&call);
        let target = management::target(&call.method, &call.payload);
        let (disposition, usage) = management::execute(self.subnet, self.context, call);
        self.left_for_management -= signed(usage.instructions);
        if let Some((canister, sender, bytes)) = late_charge {
            self.charge_for_settings(canister, &sender, bytes);
        }
        match disposition {
            Disposition::Done(result, refund) if usage.further_rounds > 0 => {
                let canister = match target {
                    Ok(Target::Canister(id)) => self.subnet.canisters.get_mut(&id),
                    _ => None,
                };
                match canister {
                    Some(canister) => {
                        let rounds = usage.further_rounds;
                        canister.long_installation = Some(LongInstallation { rounds, origin, result, refund });
                        self.left_for_management = 0;
                    }
                    None => self.respond_as_management(origin, result, refund),
                }
            }
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

/// Methods that wait for the next round when management calls have used up theirs.
const HEAVY_METHODS: [&str; 8] = [
    "install_code",
    "install_chunked_code",
    "upload_chunk",
    "take_canister_snapshot",
    "load_canister_snapshot",
    "read_canister_snapshot_data",
    "upload_canister_snapshot_metadata",
    "upload_canister_snapshot_data",
];

/// Returns what the canister does next.
fn next_of(canister: &Canister, tasks: &BTreeMap<Principal, VecDeque<Entry>>) -> Next {
    if canister.paused.is_some() {
        Next::Continue
    } else if canister.long_installation.is_some() {
        Next::Install
    } else if canister.input.is_empty() && !tasks.contains_key(&canister.id) && !is_hook_due(canister) {
        Next::Nothing
    } else {
        Next::Begin
    }
}

/// Returns true when the hook for low memory runs next.
fn is_hook_due(canister: &Canister) -> bool {
    canister.low_memory_hook_due
        && matches!(canister.status, Status::Running)
        && canister.module().is_some_and(|module| module.has_entry(&Entry::OnLowWasmMemory))
}

/// Returns the tasks that the canister begins the round with, unless it is the turn of messages.
fn tasks_in_turn(canister: &mut Canister, beats: bool, timer_due: bool) -> Vec<Entry> {
    for _ in 0..3 {
        let method = canister.next_method;
        canister.next_method = method.next();
        let (first, second) = match method {
            NextMethod::Message if !canister.input.is_empty() => return Vec::new(),
            NextMethod::GlobalTimer if timer_due => (Entry::GlobalTimer, beats.then_some(Entry::Heartbeat)),
            NextMethod::Heartbeat if beats => (Entry::Heartbeat, timer_due.then_some(Entry::GlobalTimer)),
            _ => continue,
        };
        return [Some(first), second].into_iter().flatten().collect();
    }
    Vec::new()
}
