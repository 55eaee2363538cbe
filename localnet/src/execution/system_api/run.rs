//! What a running message knows and has done so far.

use std::collections::{BTreeMap, VecDeque};

use candid::Principal;
use wasmtime::{Memory, ResourceLimiter};

use super::{Halt, Mode, TRANSMITTED_BYTE, calls::PendingCall};
use crate::{
    cycles::{Growth, Holdings, Purse, Unreservable},
    error::RejectCode,
    execution::{
        Effects, Entry, Environment, StableMemory, heap::capacity, stable::PageSet, weights::MEMORY_GROW_EXTRA,
    },
    limits::{
        MAX_DIRTY_STABLE_PAGES_MESSAGE, MAX_DIRTY_STABLE_PAGES_QUERY, MAX_DIRTY_STABLE_PAGES_UPGRADE,
        MAX_INTER_CANISTER_PAYLOAD, MAX_QUERY_REPLY,
    },
    message::{Answer, Cycles},
};

/// Most bytes of log lines kept of one message; the oldest lines go first.
const MAX_LOG_BYTES: usize = 2 << 20;
/// What a record of the log counts for besides the bytes printed.
const LOG_RECORD_BYTES: usize = 40;
/// Most elements of a table, declared or grown to.
const MAX_TABLE_ELEMENTS: usize = 10_000_000;

/// What a store holds for the system API.
#[derive(Default)]
pub(in crate::execution) struct HostState {
    /// The heap, once the module is instantiated, if it has one.
    pub(in crate::execution) memory: Option<Memory>,
    /// True when the heap is 64-bit.
    pub(in crate::execution) wasm64: bool,
    /// Stable memory.
    pub(in crate::execution) stable: StableMemory,
    /// The message that runs.
    pub(in crate::execution) run: Option<Box<Run>>,
    /// Instructions that were used but not yet counted.
    pub(in crate::execution) owed_instructions: u64,
}

impl HostState {
    /// Returns the message that runs. Only running messages call the system API, so there is one.
    pub(super) fn run(&mut self) -> Result<&mut Run, Halt> {
        self.run.as_deref_mut().ok_or_else(|| Halt::Engine("no message is running".to_owned()))
    }

    /// Counts `bytes` more of heap or stable memory; see [`Run::grow_memory`].
    pub(super) fn grow_memory(&mut self, bytes: u64) -> Result<bool, Halt> {
        self.run()?.grow_memory(bytes)
    }
}

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired as u64 > capacity(self.wasm64) || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        // Without a message the module is being instantiated, which the installation accounts for.
        if let Some(run) = &self.run {
            let limit = run.environment.wasm_memory_limit;
            if run.mode.obeys_heap_limit() && limit > 0 && desired as u64 > limit {
                return Err(Halt::HeapLimit { bytes: desired as u64, limit }.into());
            }
            if !self.grow_memory((desired - current) as u64)? {
                return Ok(false);
            }
            self.owed_instructions += MEMORY_GROW_EXTRA;
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum))
    }
}

/// A message that runs.
pub(in crate::execution) struct Run {
    /// How it is executed.
    pub(in crate::execution) mode: Mode,
    /// What it may see. In a reply callback the argument is the reply.
    pub(super) environment: Environment,
    /// What it did.
    pub(super) effects: Effects,
    /// True when the module's memory is 64-bit.
    pub(super) wasm64: bool,
    /// What the balance is by now.
    pub(super) balance: Cycles,
    /// Bytes of heap and stable memory by now.
    pub(super) memory_bytes: u64,
    /// Bytes that the message took from the subnet so far.
    subnet_memory_taken: u64,
    /// Stable pages changed so far.
    pub(in crate::execution) dirty_stable_pages: u64,
    /// Stable pages read or changed so far.
    pub(super) touched_stable_pages: PageSet,
    /// Bytes kept for responses to the calls made so far.
    pub(super) response_memory: u64,
    /// The reply as far as it was appended.
    pub(super) reply: Vec<u8>,
    /// The call under construction.
    pub(super) pending_call: Option<PendingCall>,
    /// Calls made to each canister so far.
    pub(super) calls_by_receiver: BTreeMap<Principal, usize>,
    /// Method that an inspected message calls.
    pub(super) method_name: String,
    /// Reject code and message shown to a callback.
    pub(super) reject: (u32, String),
    /// Cycles that came back with the response.
    pub(super) refunded: Cycles,
    logs: VecDeque<String>,
    log_bytes: usize,
}

impl Run {
    /// Begins a message, when heap and stable memory have `memory_bytes`.
    pub(in crate::execution) fn new(
        entry: &Entry,
        mut environment: Environment,
        memory_bytes: u64,
        wasm64: bool,
    ) -> Self {
        let (mut method_name, mut reject, mut refunded) = (String::new(), (0, String::new()), 0);
        match entry {
            Entry::InspectMessage { method } => method_name.clone_from(method),
            Entry::Callback { answer, refunded: cycles, .. } => {
                refunded = *cycles;
                match answer {
                    Answer::Reply(reply) => environment.argument.clone_from(reply),
                    Answer::Reject(code, message) => reject = (number(*code), message.clone()),
                }
            }
            Entry::Cleanup { answer: Answer::Reject(code, message), .. } => reject = (number(*code), message.clone()),
            _ => {}
        }
        Self {
            mode: Mode::from(entry),
            balance: environment.balance,
            environment,
            effects: Effects::default(),
            wasm64,
            memory_bytes,
            subnet_memory_taken: 0,
            dirty_stable_pages: 0,
            touched_stable_pages: PageSet::default(),
            response_memory: 0,
            reply: Vec::new(),
            pending_call: None,
            calls_by_receiver: BTreeMap::new(),
            method_name,
            reject,
            refunded,
            logs: VecDeque::new(),
            log_bytes: 0,
        }
    }

    /// Returns the heap limit of the settings in bytes, 0 for none.
    pub(in crate::execution) fn heap_limit(&self) -> u64 {
        self.environment.wasm_memory_limit
    }

    /// Ends the message: what it did and what it printed.
    pub(in crate::execution) fn finish(self) -> (Effects, Vec<String>) {
        (self.effects, self.logs.into())
    }

    /// Returns the instructions for keeping a line of `bytes` in the log: two for each byte that the log can hold at
    /// all, and the price of transmission for each that it can still hold.
    pub(super) fn log_instructions(&self, bytes: u64) -> u64 {
        let capacity = self.environment.log_capacity;
        let taken = self.logs.iter().map(|line| (LOG_RECORD_BYTES + line.len()) as u64).sum::<u64>();
        2 * bytes.min(capacity) + TRANSMITTED_BYTE * bytes.min(capacity.saturating_sub(taken))
    }

    /// Adds a line to what the canister printed.
    pub(super) fn log(&mut self, line: String) {
        // An empty line counts too, or a message could print them without end.
        let bytes = |line: &String| size_of::<String>() + line.len();
        self.log_bytes += bytes(&line);
        self.logs.push_back(line);
        while self.log_bytes > MAX_LOG_BYTES
            && let Some(oldest) = self.logs.pop_front()
        {
            self.log_bytes -= bytes(&oldest);
        }
    }

    /// Returns true when the call was answered, by this message or one before.
    pub(super) fn is_answered(&self) -> bool {
        self.environment.answered || self.effects.answer.is_some()
    }

    /// Returns the largest reply that may be given.
    pub(super) fn max_reply(&self) -> usize {
        if self.mode.is_non_replicated_query() { MAX_QUERY_REPLY } else { MAX_INTER_CANISTER_PAYLOAD }
    }

    /// Returns how many stable pages the message may change, and how many it may read or change.
    pub(super) fn max_stable_pages(&self) -> u64 {
        if self.mode.is_query() {
            MAX_DIRTY_STABLE_PAGES_QUERY
        } else if self.mode.is_installation() {
            MAX_DIRTY_STABLE_PAGES_UPGRADE
        } else {
            MAX_DIRTY_STABLE_PAGES_MESSAGE
        }
    }

    /// Lets heap or stable memory grow by `bytes`, and sets the cycles aside that this asks for. Answers false, and does
    /// nothing, when the subnet has no memory left.
    fn grow_memory(&mut self, bytes: u64) -> Result<bool, Halt> {
        let now = self.holdings();
        let grown = Holdings { memory_usage: now.memory_usage.saturating_add(bytes), ..now };
        let subnet_memory = self.environment.subnet_memory.saturating_add(self.subnet_memory_taken);
        let growth = Growth::of_use(now.memory_usage, grown.memory_usage, now.memory_allocation, subnet_memory);
        let bytes_taken = growth.taken;
        let cost_model = self.environment.cost_model;
        if self.mode.obeys_freezing_threshold() && bytes_taken > 0 {
            let missing = cost_model.freezing_threshold(&grown).saturating_sub(self.balance);
            if missing > 0 {
                return Err(Halt::CyclesForMemory { bytes: bytes_taken, missing });
            }
        }
        if self.mode.takes_memory() {
            if !growth.is_available() {
                return Ok(false);
            }
            let limit = self.environment.reserved_cycles_limit;
            let purse = Purse { balance: self.balance, reserved: now.reserved_balance, limit };
            let reservation = growth.reservation(&cost_model, &purse).map_err(|reason| match reason {
                Unreservable::OverLimit { limit, excess } => {
                    Halt::ReservedCyclesLimit { bytes: bytes_taken, limit, excess }
                }
                Unreservable::Unpayable { missing } => Halt::CyclesForMemory { bytes: bytes_taken, missing },
            })?;
            self.balance -= reservation;
            self.effects.cycles_reserved += reservation;
            self.subnet_memory_taken += bytes_taken;
        }
        self.memory_bytes += bytes;
        Ok(true)
    }

    /// Returns what bears on the freezing threshold, as it is by now.
    fn holdings(&self) -> Holdings {
        let before = &self.environment.holdings;
        Holdings {
            memory_usage: before.memory_usage.saturating_add(self.memory_bytes),
            message_memory: before.message_memory.saturating_add(self.response_memory),
            reserved_balance: before.reserved_balance.saturating_add(self.effects.cycles_reserved),
            ..*before
        }
    }

    /// Returns the balance below which the canister is frozen, with the memory it has by now.
    pub(super) fn freezing_threshold(&self) -> Cycles {
        self.environment.cost_model.freezing_threshold(&self.holdings())
    }

    /// Returns what the canister can spend without being frozen.
    pub(super) fn liquid_balance(&self) -> Cycles {
        self.balance.saturating_sub(self.freezing_threshold())
    }
}

fn number(code: RejectCode) -> u32 {
    code as u32
}
