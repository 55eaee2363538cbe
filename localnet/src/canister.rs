//! A canister's state: settings, balance, code and memories, open calls, queues, history.
//!
//! Plain data with the invariants of single fields. What moves messages is in [`crate::network`]; what changes
//! canisters at the wish of their controllers is in [`crate::management`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use candid::Principal;
use serde::{Deserialize, Serialize};

mod inputs;
mod paused;

pub(crate) use inputs::Inputs;
pub(crate) use paused::{Finished, LongInstallation, NextMethod, Paused, Priority};

use crate::{
    cycles::{DEFAULT_FREEZING_THRESHOLD_SECS, DEFAULT_RESERVED_CYCLES_LIMIT, Holdings, Purse},
    execution::{Closure, CompiledModule, GlobalValue, Memories, Sandbox, StableMemory},
    limits::{CHUNK_BYTES, DEFAULT_WASM_MEMORY_LIMIT, MAX_HISTORY, MAX_INTER_CANISTER_PAYLOAD},
    message::{CallContextId, CallOrigin, CallbackId, Cycles, Request, Response},
};

/// Chunks of modules, by SHA-256.
pub(crate) type Chunks = BTreeMap<[u8; 32], Arc<Vec<u8>>>;

/// Who may read a canister's logs, snapshots or status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Viewers {
    /// Controllers only.
    Controllers,
    /// Everybody.
    Public,
    /// Controllers and the principals listed.
    Allowed(Vec<Principal>),
}

/// A canister's settings, as `update_settings` changes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Who controls the canister; at most ten, sorted, without repetition.
    pub controllers: Vec<Principal>,
    /// Compute allocation in percent.
    pub compute_allocation: u64,
    /// Memory allocation in bytes, 0 for none.
    pub memory_allocation: u64,
    /// Freezing threshold in seconds.
    pub freezing_threshold: u64,
    /// Most cycles the reserved balance may hold.
    pub reserved_cycles_limit: Cycles,
    /// Heap limit in bytes, 0 for none.
    pub wasm_memory_limit: u64,
    /// Free heap in bytes below which `canister_on_low_wasm_memory` runs, 0 for never.
    pub wasm_memory_threshold: u64,
    /// Who may read the logs.
    pub log_visibility: Viewers,
    /// Who may read snapshots.
    pub snapshot_visibility: Viewers,
    /// Who may read the status.
    pub status_visibility: Viewers,
    /// Most log bytes kept.
    pub log_memory_limit: u64,
    /// Fewest cycles that a call from another canister must bring.
    pub minimum_incoming_canister_call_cycles: Cycles,
    /// Environment variables sorted by name.
    #[serde(with = "crate::checkpoint::shared")]
    pub environment_variables: Arc<Vec<(String, String)>>,
}

impl Settings {
    /// Returns what a new canister gets when nothing is asked for.
    pub(crate) fn new(controllers: Vec<Principal>) -> Self {
        Self {
            controllers,
            compute_allocation: 0,
            memory_allocation: 0,
            freezing_threshold: DEFAULT_FREEZING_THRESHOLD_SECS,
            reserved_cycles_limit: DEFAULT_RESERVED_CYCLES_LIMIT,
            wasm_memory_limit: DEFAULT_WASM_MEMORY_LIMIT,
            wasm_memory_threshold: 0,
            log_visibility: Viewers::Controllers,
            snapshot_visibility: Viewers::Controllers,
            status_visibility: Viewers::Controllers,
            log_memory_limit: crate::limits::MAX_LOG_BYTES as u64,
            minimum_incoming_canister_call_cycles: 0,
            environment_variables: Arc::default(),
        }
    }
}

/// A `stop_canister` call that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StopRequest {
    /// Who waits for the answer.
    pub origin: CallOrigin,
    /// Cycles to give back with it.
    pub cycles: Cycles,
    /// When it was made, in ns.
    pub since: u64,
}

/// Whether a canister takes calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Status {
    /// Takes calls.
    Running,
    /// Takes responses only, until no call is open.
    Stopping(Vec<StopRequest>),
    /// Takes nothing.
    Stopped,
}

/// A call that the canister is answering.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CallContext {
    /// Who waits for the answer.
    pub origin: CallOrigin,
    /// True when the answer was given.
    pub answered: bool,
    /// Cycles of the call that were not accepted yet.
    pub cycles_available: Cycles,
    /// Instructions used so far.
    pub instructions: u64,
    /// Callbacks that may still act for this call.
    pub open_callbacks: usize,
    /// True when the code was uninstalled while the call was open.
    pub deleted: bool,
    /// Signed attributes of the caller, and their signer.
    pub caller_info: Option<(Vec<u8>, Principal)>,
}

impl CallContext {
    /// Returns true when a canister waits for the answer without a deadline.
    fn owes_guaranteed_response(&self) -> bool {
        !self.answered && !self.deleted && matches!(self.origin, CallOrigin::Canister { deadline: None, .. })
    }
}

/// What to do when a call is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Callback {
    /// The call context in which the call was made.
    pub context: CallContextId,
    /// The called canister.
    pub respondent: Principal,
    /// Run on a reply.
    pub on_reply: Closure,
    /// Run on a reject.
    pub on_reject: Closure,
    /// Run when one of the two traps.
    pub on_cleanup: Option<Closure>,
    /// Prepaid for the response's transmission at its largest.
    pub prepaid_transmission: Cycles,
    /// Prepaid for the response's execution at its limit.
    pub prepaid_execution: Cycles,
    /// Deadline in ns, for best-effort calls.
    pub deadline: Option<u64>,
}

/// Something that waits in a canister's input queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Input {
    /// A user's message.
    Ingress {
        /// The message.
        #[serde(with = "serde_bytes")]
        id: [u8; 32],
        /// Who sent it.
        sender: Principal,
        /// The method it calls.
        method: String,
        /// The argument.
        #[serde(with = "serde_bytes")]
        payload: Vec<u8>,
        /// Signed attributes of the sender, and their signer.
        sender_info: Option<(Vec<u8>, Principal)>,
        /// When it expires, in ns.
        expiry: u64,
    },
    /// A canister's call.
    Request(Request),
    /// The answer to a call of this canister.
    Response(Response),
}

/// Why a canister changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeOrigin {
    /// A user did it.
    User(Principal),
    /// A canister did it, at the version given, if it said so.
    Canister(Principal, Option<u64>),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeDetails {
    /// The canister was created with these controllers and, if any, the hash of its environment variables.
    Creation(Vec<Principal>, Option<[u8; 32]>),
    /// The code was removed.
    CodeUninstall,
    /// Code was installed: how, and the module's hash.
    CodeDeployment(DeploymentMode, [u8; 32]),
    /// A snapshot was loaded.
    LoadSnapshot(LoadedSnapshot),
    /// The controllers changed.
    ControllersChange(Vec<Principal>),
}

/// How code was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeploymentMode {
    /// There was none before.
    Install,
    /// What was there before is gone.
    Reinstall,
    /// Stable memory was kept.
    Upgrade,
}

/// What a canister's history says of a snapshot that was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadedSnapshot {
    /// The snapshot.
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    /// Version that the canister had when it was taken.
    pub version: u64,
    /// When it was taken, in ns.
    pub taken_at: u64,
    /// The canister it belongs to, if that is another.
    pub owner: Option<Principal>,
    /// True when it was uploaded, not taken.
    pub uploaded: bool,
}

/// An entry of a canister's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// When, in ns.
    pub time: u64,
    /// Version of the canister after the change.
    pub version: u64,
    /// Who did it.
    pub origin: ChangeOrigin,
    /// What was done.
    pub details: ChangeDetails,
}

/// A canister's history: the newest changes and how many there ever were.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// Number of changes ever.
    pub total: u64,
    /// The newest changes, oldest first.
    pub recent: VecDeque<Change>,
}

impl History {
    /// Adds a change and forgets the oldest past the limit.
    pub(crate) fn record(&mut self, change: Change) {
        self.total += 1;
        self.recent.push_back(change);
        if self.recent.len() > MAX_HISTORY {
            self.recent.pop_front();
        }
    }
}

/// One record of a canister's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogRecord {
    /// Number of the record.
    pub index: u64,
    /// When, in ns.
    pub time: u64,
    /// The bytes printed.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

impl LogRecord {
    /// Bytes that a record counts for besides its content: its number and its time.
    const HEADER_BYTES: usize = size_of::<u64>() * 2;

    /// Returns the bytes that the record counts for.
    pub(crate) fn bytes(&self) -> usize {
        Self::HEADER_BYTES + self.content.len()
    }
}

/// A snapshot of a canister.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// When it was taken or its upload began, in ns.
    pub taken_at: u64,
    /// Version of the canister then.
    pub version: u64,
    /// Code and memories.
    pub code: SnapshotCode,
    /// Chunk store.
    pub chunks: Chunks,
    /// Certified data.
    pub certified_data: Vec<u8>,
    /// The global timer's deadline.
    pub global_timer: u64,
    /// True when the low-memory hook was to run.
    pub low_memory_hook_due: bool,
    /// Bytes it counts for.
    pub size: u64,
}

/// Code and memories of a snapshot.
#[derive(Clone, Debug)]
pub(crate) enum SnapshotCode {
    /// As they were in the canister. Never changes.
    Taken {
        /// The code.
        module: Arc<CompiledModule>,
        /// Heap, globals and stable memory.
        memories: Memories,
    },
    /// As they were uploaded so far.
    Uploaded(UploadedCode),
}

/// Code and memories that are uploaded in slices. The sizes were declared first; what was not uploaded is zero.
#[derive(Clone, Debug)]
pub(crate) struct UploadedCode {
    /// The module, in memory of whole pages.
    pub module: StableMemory,
    /// Length of the module.
    pub module_bytes: u64,
    /// The heap.
    pub heap: StableMemory,
    /// Stable memory.
    pub stable: StableMemory,
    /// The globals that the module can change.
    pub globals: Vec<GlobalValue>,
}

/// A canister. What is skipped by serde is large: [`crate::checkpoint`] keeps it apart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Canister {
    /// Its id.
    pub id: Principal,
    /// Its settings.
    pub settings: Settings,
    /// Whether it takes calls.
    pub status: Status,
    /// Number of its state; grows with every change.
    pub version: u64,
    /// Main balance.
    pub balance: Cycles,
    /// Cycles set aside for storage.
    pub reserved_balance: Cycles,
    /// Code and memories, if there is code.
    #[serde(skip)]
    pub sandbox: Option<Sandbox>,
    /// Certified data, at most 32 bytes.
    #[serde(with = "serde_bytes")]
    pub certified_data: Vec<u8>,
    /// The global timer's deadline in ns, 0 when off.
    pub global_timer: u64,
    /// True when the low-memory hook should run.
    pub low_memory_hook_due: bool,
    /// True when the low-memory hook ran and memory has been low ever since.
    pub low_memory_hook_ran: bool,
    /// The chunk store, by hash.
    #[serde(skip)]
    pub chunks: Chunks,
    /// Snapshots by id, oldest first.
    #[serde(skip)]
    pub snapshots: BTreeMap<Vec<u8>, Snapshot>,
    /// Number given to the next snapshot.
    pub next_snapshot: u64,
    /// What happened to it.
    pub history: History,
    /// What it printed.
    pub logs: VecDeque<LogRecord>,
    /// Number of the next log record.
    pub next_log: u64,
    /// Calls being answered.
    pub call_contexts: BTreeMap<CallContextId, CallContext>,
    /// Calls waiting for an answer.
    pub callbacks: BTreeMap<CallbackId, Callback>,
    /// Number of the next call context or callback.
    pub next_call: u64,
    /// What waits to be executed.
    pub input: Inputs,
    /// A message that takes more than one round.
    pub paused: Option<Paused>,
    /// An installation that takes more than one round.
    pub long_installation: Option<LongInstallation>,
    /// What the next round begins with.
    pub next_method: NextMethod,
    /// What the scheduler remembers.
    pub priority: Priority,
    /// Instructions of installations not yet worked off.
    pub install_debt: u64,
    /// Dirtied bytes not yet worked off.
    pub heap_delta_debt: u64,
    /// When storage and compute were last charged, in ns.
    pub charged_until: u64,
    /// Query calls, instructions, request bytes, response bytes.
    pub query_stats: [u128; 4],
}

impl Canister {
    /// Makes an empty running canister with the balance given.
    pub(crate) fn new(id: Principal, settings: Settings, balance: Cycles, now: u64) -> Self {
        Self {
            id,
            settings,
            status: Status::Running,
            version: 0,
            balance,
            reserved_balance: 0,
            sandbox: None,
            certified_data: Vec::new(),
            global_timer: 0,
            low_memory_hook_due: false,
            low_memory_hook_ran: false,
            chunks: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            next_snapshot: 0,
            history: History::default(),
            logs: VecDeque::new(),
            next_log: 0,
            call_contexts: BTreeMap::new(),
            callbacks: BTreeMap::new(),
            next_call: 1,
            input: Inputs::default(),
            paused: None,
            long_installation: None,
            next_method: NextMethod::default(),
            priority: Priority::default(),
            install_debt: 0,
            heap_delta_debt: 0,
            charged_until: now,
            query_stats: [0; 4],
        }
    }

    /// Returns the installed module.
    pub(crate) fn module(&self) -> Option<&Arc<CompiledModule>> {
        self.sandbox.as_ref().map(Sandbox::module)
    }

    /// Returns true when the principal controls the canister.
    pub(crate) fn is_controller(&self, principal: &Principal) -> bool {
        self.settings.controllers.contains(principal)
    }

    /// Returns bytes of memory that are neither heap nor stable memory: code, metadata, globals, history, chunks,
    /// snapshots and logs.
    pub(crate) fn other_memory(&self) -> u64 {
        let module = self.module().map_or(0, |module| module.memory_bytes());
        let chunks = (self.chunks.len() * CHUNK_BYTES) as u64;
        let snapshots: u64 = self.snapshots.values().map(|snapshot| snapshot.size).sum();
        let history: u64 = self.history.recent.iter().map(Change::bytes).sum();
        let logs: usize = self.logs.iter().map(LogRecord::bytes).sum();
        module + chunks + snapshots + history + logs as u64
    }

    /// Returns all bytes of memory that the canister pays for.
    pub(crate) fn memory_usage(&self) -> u64 {
        self.other_memory() + self.sandbox.as_ref().map_or(0, |sandbox| sandbox.heap_bytes() + sandbox.stable().bytes())
    }

    /// Returns bytes of memory kept for responses to calls with guaranteed response: those that the canister waits for,
    /// and those that it has to give.
    pub(crate) fn message_memory(&self) -> u64 {
        let awaited = self.callbacks.values().filter(|callback| callback.deadline.is_none()).count();
        let owed = self.call_contexts.values().filter(|context| context.owes_guaranteed_response()).count();
        let is_guaranteed = |input: &&Input| matches!(input, Input::Request(request) if request.deadline.is_none());
        let waiting = self.input.iter().filter(is_guaranteed).count();
        ((awaited + owed + waiting) * MAX_INTER_CANISTER_PAYLOAD) as u64
    }

    /// Returns what bears on the freezing threshold.
    pub(crate) fn holdings(&self) -> Holdings {
        Holdings {
            memory_usage: self.memory_usage(),
            message_memory: self.message_memory(),
            memory_allocation: self.settings.memory_allocation,
            compute_allocation: self.settings.compute_allocation,
            freezing_threshold: self.settings.freezing_threshold,
            reserved_balance: self.reserved_balance,
        }
    }

    /// Returns what there is for cycles to be set aside.
    pub(crate) fn purse(&self) -> Purse {
        Purse { balance: self.balance, reserved: self.reserved_balance, limit: self.settings.reserved_cycles_limit }
    }

    /// Moves cycles from the main to the reserved balance. The amount was tested against the balance, which may have
    /// changed since then.
    pub(crate) fn reserve(&mut self, amount: Cycles) {
        let amount = amount.min(self.balance);
        self.balance -= amount;
        self.reserved_balance = self.reserved_balance.saturating_add(amount);
    }

    /// Appends what the code printed to the log, and forgets the oldest records past the limit of the settings.
    pub(crate) fn print(&mut self, now: u64, lines: impl IntoIterator<Item = String>) {
        let limit = usize::try_from(self.settings.log_memory_limit).unwrap_or(usize::MAX);
        for line in lines {
            let mut content = line.into_bytes();
            content.truncate(limit.saturating_sub(LogRecord::HEADER_BYTES));
            self.logs.push_back(LogRecord { index: self.next_log, time: now, content });
            self.next_log += 1;
        }
        let mut bytes: usize = self.logs.iter().map(LogRecord::bytes).sum();
        while bytes > limit
            && let Some(oldest) = self.logs.pop_front()
        {
            bytes -= oldest.bytes();
        }
    }

    /// Returns bytes of memory that the canister's memory allocation or, if that is less, its use takes on the subnet.
    pub(crate) fn memory_taken(&self) -> u64 {
        self.memory_usage().max(self.settings.memory_allocation)
    }

    /// Returns true when no call is open: nobody waits for an answer of this canister, and it waits for none.
    pub(crate) fn is_quiet(&self) -> bool {
        self.callbacks.is_empty() && self.call_contexts.values().all(|context| context.deleted)
    }

    /// Returns the number 1, 2 or 3 that the system API gives for running, stopping and stopped.
    pub(crate) fn status_number(&self) -> u32 {
        match self.status {
            Status::Running => 1,
            Status::Stopping(_) => 2,
            Status::Stopped => 3,
        }
    }
}

impl Change {
    /// Returns the bytes that the entry counts for.
    pub(crate) fn bytes(&self) -> u64 {
        let controllers = match &self.details {
            ChangeDetails::Creation(controllers, _) | ChangeDetails::ControllersChange(controllers) => {
                controllers.len()
            }
            _ => 0,
        };
        (size_of::<Self>() + controllers * size_of::<Principal>()) as u64
    }
}
