//! Runs canister Wasm: what one message sees, what it may do, and what it did.
//!
//! This module owns compiled modules, heaps, stable memory and the system API. It knows nothing of queues, call
//! contexts, subnets or the management canister: [`crate::network`] calls it with everything a message may see and
//! applies the [`Outcome`] it answers. A message that traps leaves the canister's memories as they were.

use std::sync::Arc;

use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::{
    cycles::{CostModel, Holdings},
    error::UserResult,
    message::{Answer, Cycles},
};

mod code_cache;
mod engine;
#[cfg(test)]
mod fixtures;
mod heap;
mod heap_leaves;
mod module;
mod sandbox;
mod stable;
mod system_api;
mod weights;

pub(crate) use engine::compile;
pub(crate) use heap_leaves::{HeapLeaf, LeafContent};
pub(crate) use module::{CompiledModule, MethodKind, Visibility};
pub(crate) use sandbox::{Changes, GlobalValue, Memories, Sandbox};
pub(crate) use stable::{LEAF_PAGES, Leaf, PAGE_BYTES, StableMemory, WASM_PAGE_BYTES};

/// A function of the canister with the environment it is called with: one callback of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closure {
    /// Index in table 0, resolved when the response arrives.
    pub function: u64,
    /// The argument it is called with.
    pub environment: u64,
}

/// Which code of the canister a message runs.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The Wasm `start` function.
    Start,
    /// `canister_init`.
    Init,
    /// `canister_pre_upgrade`.
    PreUpgrade,
    /// `canister_post_upgrade`.
    PostUpgrade,
    /// `canister_inspect_message`, for the method named.
    InspectMessage {
        /// The method that the ingress message calls.
        method: String,
    },
    /// `canister_update NAME`.
    Update {
        /// The method name.
        method: String,
    },
    /// `canister_query NAME`, as an ingress query (`replicated` false) or called by an update or ingress message.
    Query {
        /// The method name.
        method: String,
        /// True when all replicas execute it.
        replicated: bool,
    },
    /// `canister_composite_query NAME`; never replicated.
    CompositeQuery {
        /// The method name.
        method: String,
    },
    /// The reply or reject callback of a call, by the answer that arrived.
    Callback {
        /// The callback to run.
        closure: Closure,
        /// The answer to show it.
        answer: Answer,
        /// Cycles that came back.
        refunded: Cycles,
        /// True inside a composite query.
        composite: bool,
    },
    /// The cleanup callback, after a callback of the same call trapped.
    Cleanup {
        /// The cleanup to run.
        closure: Closure,
        /// The answer that the trapped callback had been shown.
        answer: Answer,
        /// True inside a composite query.
        composite: bool,
    },
    /// `canister_heartbeat`.
    Heartbeat,
    /// `canister_global_timer`.
    GlobalTimer,
    /// `canister_on_low_wasm_memory`.
    OnLowWasmMemory,
}

impl Entry {
    /// Returns true where state changes are kept when the message succeeds.
    ///
    /// Queries and message inspection always roll back; composite queries keep their state between callbacks with
    /// [`Keep::Hold`].
    pub(crate) fn keeps_state(&self) -> bool {
        match self {
            Entry::Start | Entry::Init | Entry::PreUpgrade | Entry::PostUpgrade | Entry::Update { .. } => true,
            Entry::Heartbeat | Entry::GlobalTimer | Entry::OnLowWasmMemory => true,
            Entry::Callback { composite, .. } | Entry::Cleanup { composite, .. } => !composite,
            Entry::InspectMessage { .. } | Entry::Query { .. } | Entry::CompositeQuery { .. } => false,
        }
    }
}

/// What becomes of the memories after a message that did not trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Changes are committed.
    Commit,
    /// Changes are committed when the message used at most so many instructions. Otherwise they are undone, but come
    /// with the [`Outcome`], to be [applied](Sandbox::apply) later.
    CommitUpTo(u64),
    /// Changes stay visible to later messages but can still be undone by [`Sandbox::rollback`].
    ///
    /// For composite queries between their callbacks and for `pre_upgrade` before the new code is known to work.
    Hold,
    /// Changes are undone.
    Discard,
}

/// All that one message may see of the world.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The canister itself.
    pub canister_id: Principal,
    /// Who calls (the management canister for tasks).
    pub caller: Principal,
    /// The argument (empty where there is none).
    pub argument: Vec<u8>,
    /// Signed attributes the caller came with, and their signer (ingress only).
    pub caller_info: Option<(Vec<u8>, Principal)>,
    /// Cycles of the call that can still be accepted.
    pub cycles_available: Cycles,
    /// Deadline of the call being answered in ns, for best-effort calls.
    pub deadline: Option<u64>,
    /// True when the call context was answered already: `msg_reply` and `msg_reject` then trap.
    pub answered: bool,
    /// Block time in ns.
    pub time: u64,
    /// Number of the canister's state.
    pub canister_version: u64,
    /// 1 running, 2 stopping, 3 stopped.
    pub canister_status: u32,
    /// The canister's controllers.
    pub controllers: Vec<Principal>,
    /// Main balance before the message.
    pub balance: Cycles,
    /// Cycles prepaid for this message, which were taken from the balance and whose rest comes back after it.
    pub prepaid: Cycles,
    /// What bears on the freezing threshold; `memory_usage` counts everything *but* heap and stable memory.
    pub holdings: Holdings,
    /// Most cycles that the canister may set aside for storage.
    pub reserved_cycles_limit: Cycles,
    /// Bytes of memory that the canisters of the subnet take before the message. Not asked for where nothing is taken:
    /// in queries, in inspection and while code is installed.
    pub subnet_memory: u64,
    /// Prices of the subnet.
    pub cost_model: CostModel,
    /// The subnet.
    pub subnet_id: Principal,
    /// DER-encoded public key of the root subnet.
    pub root_key: Arc<Vec<u8>>,
    /// Environment variables, sorted by name.
    pub environment_variables: Arc<Vec<(String, String)>>,
    /// Certificate over `certified_data`; present only in non-replicated queries at the root of the call graph.
    pub data_certificate: Option<Vec<u8>>,
    /// The global timer's deadline in ns, 0 when off.
    pub global_timer: u64,
    /// Heap limit of the settings in bytes (0: none); enforced for init, start and update.
    pub wasm_memory_limit: u64,
    /// Instructions that earlier messages of the same call context used, for `performance_counter(1)`.
    pub call_context_instructions: u64,
    /// Instruction limit of this message.
    pub instruction_limit: u64,
    /// Instruction limit of a callback, which calls prepay.
    pub callback_instruction_limit: u64,
    /// Bytes that the canister's log can hold.
    pub log_capacity: u64,
    /// Bytes of memory that the canister may still take for responses to calls with guaranteed response.
    pub response_memory_available: u64,
    /// How many more calls may be made before callbacks run out.
    pub callbacks_available: u64,
    /// Free slots in the output queue to each canister; a receiver not listed has [`crate::limits::QUEUE_CAPACITY`].
    pub queue_slots: Vec<(Principal, usize)>,
    /// True on a system subnet where `mint_cycles128` is allowed (the cycles minting canister).
    pub may_mint: bool,
}

/// A call that a message made, to be put into an output queue when the message succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingCall {
    /// The called canister.
    pub receiver: Principal,
    /// The method name.
    pub method: String,
    /// The argument.
    pub payload: Vec<u8>,
    /// Cycles attached.
    pub cycles: Cycles,
    /// Called with a reply.
    pub on_reply: Closure,
    /// Called with a reject.
    pub on_reject: Closure,
    /// Called when one of the other two traps.
    pub on_cleanup: Option<Closure>,
    /// Set for best-effort calls: seconds to wait, at most 300.
    pub timeout_seconds: Option<u32>,
    /// What was taken from the balance for the call, besides the cycles attached.
    pub prepayment: Cycles,
}

/// What a message did besides changing its memories. All of it, but the logs, is void when the message trapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effects {
    /// The answer to the caller, if the message gave one.
    pub answer: Option<Answer>,
    /// True when `accept_message` was called.
    pub message_accepted: bool,
    /// Calls in the order they were made.
    pub calls: Vec<OutgoingCall>,
    /// Cycles accepted from the call.
    pub cycles_accepted: Cycles,
    /// Cycles burned with `cycles_burn128`.
    pub cycles_burned: Cycles,
    /// Cycles made with `mint_cycles128`.
    pub cycles_minted: Cycles,
    /// Cycles that went from the main to the reserved balance for memory that grew. Messages that were saved by earlier
    /// versions set none aside.
    #[serde(default)]
    pub cycles_reserved: Cycles,
    /// New certified data.
    pub certified_data: Option<Vec<u8>>,
    /// New deadline of the global timer in ns; 0 turns it off.
    pub global_timer: Option<u64>,
}

/// How a message ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// `Err` when the message trapped, ran out of a resource, or the function was missing: nothing was kept.
    pub result: UserResult<Effects>,
    /// Instructions used.
    pub instructions: u64,
    /// 4 KiB pages of the heap and of stable memory changed by the message; 0 when it trapped.
    pub dirty_pages: u64,
    /// What the canister printed, and its trap if there was one, in order.
    pub logs: Vec<String>,
    /// The changes of the memories, when they are to be applied later.
    pub changes: Option<Box<Changes>>,
}
