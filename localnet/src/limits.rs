//! The limits of the Internet Computer, by name. Sizes are bytes unless the name says otherwise.

/// Largest ingress message on an application subnet, counted over the whole envelope.
pub(crate) const MAX_INGRESS_BYTES_APPLICATION: usize = 2 << 20;
/// Largest ingress message on a system subnet.
pub(crate) const MAX_INGRESS_BYTES_SYSTEM: usize = (7 << 20) / 2;
/// Largest request across subnets and largest response anywhere: method name plus argument.
pub(crate) const MAX_INTER_CANISTER_PAYLOAD: usize = 2 << 20;
/// Largest request to a canister of the same subnet.
pub(crate) const MAX_LOCAL_REQUEST_PAYLOAD: usize = 10 << 20;
/// Largest reply of a non-replicated query.
pub(crate) const MAX_QUERY_REPLY: usize = 3 << 20;
/// Longest reject message; longer ones are cut.
pub(crate) const MAX_REJECT_MESSAGE: usize = 8 << 10;
/// Longest method name in a call.
pub(crate) const MAX_METHOD_NAME: usize = 20_000;
/// Longest certified data.
pub(crate) const MAX_CERTIFIED_DATA: usize = 32;
/// Longest time a best-effort call waits, in seconds; longer ones are clamped.
pub(crate) const MAX_CALL_TIMEOUT_SECONDS: u32 = 300;
/// Requests that may be under way between one canister and another.
pub(crate) const QUEUE_CAPACITY: usize = 500;
/// Open callbacks that a canister is sure to get.
pub(crate) const GUARANTEED_CALLBACKS: u64 = 50;
/// Open callbacks of a subnet.
pub(crate) const SUBNET_CALLBACKS: u64 = 1_000_000;

/// Largest module, uncompressed.
pub(crate) const MAX_WASM: usize = 100 << 20;
/// Largest code section.
pub(crate) const MAX_CODE_SECTION: usize = 12 << 20;
/// Most functions in a module.
pub(crate) const MAX_FUNCTIONS: usize = 50_000;
/// Most globals in a module.
pub(crate) const MAX_GLOBALS: usize = 1_000;
/// What a global counts for in memory, whatever its type.
pub(crate) const GLOBAL_BYTES: usize = 32;
/// Most `icp:` custom sections in a module.
pub(crate) const MAX_CUSTOM_SECTIONS: usize = 16;
/// Largest sum of `icp:` custom section names and contents.
pub(crate) const MAX_CUSTOM_SECTIONS_BYTES: usize = 1 << 20;
/// Most exported functions.
pub(crate) const MAX_EXPORTED_FUNCTIONS: usize = 1_000;
/// Largest sum of exported function names.
pub(crate) const MAX_EXPORTED_NAME_BYTES: usize = 20_000;
/// Most instructions (operators) in one function.
pub(crate) const MAX_FUNCTION_OPERATORS: usize = 1_000_000;
/// Longest name of a Wasm function.
pub(crate) const MAX_FUNCTION_NAME: usize = 1 << 20;
/// Wasm stack.
pub(crate) const MAX_WASM_STACK: usize = 5 << 20;
/// Largest stable memory.
pub(crate) const MAX_STABLE_MEMORY: u64 = 500 << 30;
/// Largest heap of a wasm32 canister.
pub(crate) const MAX_WASM32_HEAP: u64 = 4 << 30;
/// Largest heap of a wasm64 canister.
pub(crate) const MAX_WASM64_HEAP: u64 = 6 << 30;
/// Heap limit that a new canister gets.
pub(crate) const DEFAULT_WASM_MEMORY_LIMIT: u64 = 3 << 30;
/// Stable pages (4 KiB) that one message may change.
pub(crate) const MAX_DIRTY_STABLE_PAGES_MESSAGE: u64 = (2 << 30) / 4096;
/// Stable pages (4 KiB) that an upgrade may change.
pub(crate) const MAX_DIRTY_STABLE_PAGES_UPGRADE: u64 = (8 << 30) / 4096;
/// Stable pages (4 KiB) that a query may touch.
pub(crate) const MAX_DIRTY_STABLE_PAGES_QUERY: u64 = (1 << 30) / 4096;
/// Cores on which the canisters of a subnet run.
pub(crate) const SCHEDULER_CORES: usize = 4;
/// Messages of a subnet that may be under way between rounds; those beyond must begin again.
pub(crate) const MAX_PAUSED_EXECUTIONS: usize = 4;
/// Memory of a subnet for responses to calls with guaranteed response.
pub(crate) const GUARANTEED_RESPONSE_MEMORY: u64 = 15 << 30;
/// Heap delta at which a core, and after an iteration the subnet, does no more in a round.
pub(crate) const MAX_HEAP_DELTA_PER_ITERATION: u64 = 200_000_000;
/// As [`MAX_HEAP_DELTA_PER_ITERATION`], on system subnets.
pub(crate) const SYSTEM_MAX_HEAP_DELTA_PER_ITERATION: u64 = 2_000_000_000;
/// Heap delta at which a canister must wait; it falls by as much every round.
pub(crate) const HEAP_DELTA_RATE_LIMIT: u64 = 75 << 20;

/// A chunk of the chunk store.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Chunks in a chunk store; each counts as a whole chunk.
pub(crate) const MAX_CHUNKS: usize = 100;
/// Snapshots of a canister.
pub(crate) const MAX_SNAPSHOTS: usize = 10;
/// Largest slice of snapshot data read or written by one call.
pub(crate) const MAX_SNAPSHOT_SLICE: u64 = 2_000_000;
/// Environment variables of a canister.
pub(crate) const MAX_ENVIRONMENT_VARIABLES: usize = 20;
/// Longest name or value of an environment variable.
pub(crate) const MAX_ENVIRONMENT_VARIABLE: usize = 128;
/// Longest environment variable name that the system API looks up.
pub(crate) const MAX_ENVIRONMENT_VARIABLE_LOOKUP: usize = 100;
/// Controllers of a canister; also viewers of its logs and snapshots.
pub(crate) const MAX_CONTROLLERS: usize = 10;
/// Changes remembered in a canister's history.
pub(crate) const MAX_HISTORY: usize = 20;
/// Longest time a stop request waits, in ns.
pub(crate) const STOP_TIMEOUT_NS: u64 = 300_000_000_000;
/// Canister ids in a subnet's range.
pub(crate) const CANISTER_IDS_PER_SUBNET: u64 = 1 << 20;
/// Log bytes kept for a canister.
pub(crate) const MAX_LOG_BYTES: usize = 4 << 10;
/// Smallest `log_memory_limit` that settings may ask for, besides 0 for no log at all.
pub(crate) const MIN_LOG_MEMORY_LIMIT: u64 = 4 << 10;
/// Largest `log_memory_limit` that settings may ask for.
pub(crate) const MAX_LOG_MEMORY_LIMIT: u64 = 2 << 20;
/// Most log bytes that one `fetch_canister_logs` answers.
pub(crate) const MAX_LOG_REPLY: usize = 2_000_000;
/// Largest heap limit and heap threshold that settings may ask for.
pub(crate) const MAX_WASM_MEMORY_SETTING: u64 = 1 << 48;
/// Compute, in percent of a core, that the allocations of a subnet's canisters share; one percent is always kept free.
pub(crate) const SUBNET_COMPUTE_CAPACITY: u64 = 300;
/// How long an ingress message may live, in ns.
pub(crate) const MAX_INGRESS_TTL_NS: u64 = 300_000_000_000;
/// Time between two charges for storage and compute, in ns.
pub(crate) const CHARGE_INTERVAL_NS: u64 = 10_000_000_000;

/// Instruction limits of an application subnet.
pub(crate) mod instructions {
    /// Update, callback, heartbeat, timer.
    pub(crate) const MESSAGE: u64 = 40_000_000_000;
    /// Query, also when replicated; a whole composite query graph.
    pub(crate) const QUERY: u64 = 5_000_000_000;
    /// The whole of an installation or upgrade.
    pub(crate) const INSTALL: u64 = 300_000_000_000;
    /// Message inspection.
    pub(crate) const INSPECT: u64 = 200_000_000;
    /// A round, on each core.
    pub(crate) const ROUND: u64 = 4_000_000_000;
    /// The part of a message or installation that runs in one round.
    pub(crate) const SLICE: u64 = 2_000_000_000;
    /// Management calls of a round get this fraction of its instructions.
    pub(crate) const MANAGEMENT_FRACTION: u64 = 16;
    /// What each execution takes of a round besides its instructions; nobody pays for it.
    pub(crate) const MESSAGE_OVERHEAD: u64 = 2_000_000;
    /// What each canister that runs takes of a round besides.
    pub(crate) const CANISTER_OVERHEAD: u64 = 8_000_000;
    /// What each canister of the subnet takes of a round after each iteration.
    pub(crate) const ITERATION_OVERHEAD_PER_CANISTER: u64 = 12_000;
    /// By how much the debt of installations falls each round.
    pub(crate) const INSTALL_DEBT_PER_ROUND: u64 = 2_000_000_000;
    /// Part of the limit kept for a cleanup callback, in percent.
    pub(crate) const CLEANUP_PERCENT: u64 = 5;
    /// Flat cost of `upload_chunk`.
    pub(crate) const UPLOAD_CHUNK: u64 = 200_000_000;
    /// Flat cost of compiling a module.
    pub(crate) const COMPILE_BASE: u64 = 20_000_000;
    /// Cost of compiling one Wasm instruction.
    pub(crate) const COMPILE_PER_INSTRUCTION: u64 = 6_000;
    /// Flat cost of taking or loading a snapshot.
    pub(crate) const SNAPSHOT_BASE: u64 = 2_000_000_000;
    /// Flat cost of reading or writing snapshot data.
    pub(crate) const SNAPSHOT_DATA_BASE: u64 = 5_000_000;
    /// A composite query's overhead for each call.
    pub(crate) const COMPOSITE_CALL: u64 = 50_000_000;
    /// Depth of a composite query's call graph.
    pub(crate) const MAX_QUERY_CALL_DEPTH: usize = 6;
    /// Update on a system subnet.
    pub(crate) const SYSTEM_MESSAGE: u64 = 50_000_000_000;
    /// Query on a system subnet.
    pub(crate) const SYSTEM_QUERY: u64 = 50_000_000_000;
    /// A round on a system subnet, on each core.
    pub(crate) const SYSTEM_ROUND: u64 = 7_000_000_000;
    /// The part of an installation that runs in one round, on a system subnet.
    pub(crate) const SYSTEM_INSTALL_SLICE: u64 = 5_000_000_000;
    /// Installation on a system subnet.
    pub(crate) const SYSTEM_INSTALL: u64 = 1_000_000_000_000;
    /// Everything, under the benchmarking configuration.
    pub(crate) const BENCHMARKING: u64 = 99_999_999_999_999;
}
