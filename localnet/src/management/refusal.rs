//! Why a management call fails: every reason with its operands, and the error code a replica gives it.

use candid::Principal;

use crate::{
    error::{ErrorCode, UserError},
    limits::{
        CHUNK_BYTES, HEAP_DELTA_RATE_LIMIT, MAX_CHUNKS, MAX_CONTROLLERS, MAX_ENVIRONMENT_VARIABLE,
        MAX_ENVIRONMENT_VARIABLES, MAX_LOG_MEMORY_LIMIT, MAX_SNAPSHOT_SLICE, MAX_SNAPSHOTS, MIN_LOG_MEMORY_LIMIT,
    },
    message::Cycles,
};

/// A reason for which a management call is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    // The call itself.
    #[error("Management canister has no method '{method}'")]
    UnknownMethod { method: String },
    #[error("Management canister method '{method}' is not supported on this network")]
    UnsupportedMethod { method: &'static str },
    #[error("Query method {method} not found.")]
    UnknownQueryMethod { method: String },
    #[error("Error decoding candid: {reason}")]
    Undecodable { reason: String },
    #[error("Error encoding candid: {reason}")]
    Unencodable { reason: String },
    #[error("Error decoding candid: The number of elements exceeds maximum allowed {MAX_CONTROLLERS}")]
    TooManyElements,
    #[error(
        "IC0504: Management canister call payload includes sender canister version {claimed} that does not match the \
         actual sender canister version {actual}."
    )]
    SenderVersionMismatch { claimed: u64, actual: u64 },

    // Who may call.
    #[error("Only canisters can call ic00 method {method}")]
    OnlyCanisters { method: &'static str },
    #[error("fetch_canister_logs API is only accessible in non-replicated mode")]
    OnlyAsQuery,
    #[error("Only controllers of canister {canister} can call ic00 method {method}")]
    IngressByStranger { canister: Principal, method: &'static str },
    #[error(
        "Only the controllers of the canister {canister} can control it.\nCanister's controllers: {}\nSender's ID: \
         {caller}",
        .controllers.iter().map(Principal::to_text).collect::<Vec<_>>().join(" ")
    )]
    NotController { canister: Principal, controllers: Vec<Principal>, caller: Principal },
    #[error("Caller {caller} is not allowed to read the status of canister {canister}")]
    StatusAccessDenied { canister: Principal, caller: Principal },
    #[error("Caller {caller} is not allowed to access canister logs")]
    LogAccessDenied { caller: Principal },
    #[error("Caller {caller} is not allowed to read snapshots of canister {canister}")]
    SnapshotAccessDenied { canister: Principal, caller: Principal },

    // Canisters and their lives.
    #[error("Canister {canister} not found.")]
    CanisterNotFound { canister: Principal },
    #[error(
        "Creating a canister requires a fee of {required} that is deducted from the canister's initial balance \
             but only {sent} cycles were received with the create_canister request."
    )]
    CreationFeeNotCovered { required: Cycles, sent: Cycles },
    #[error("Could not create canister. Subnet has surpassed its canister ID allocation.")]
    OutOfCanisterIds,
    #[error(
        "The `specified_id` {id} is invalid because it belongs to the canister allocation ranges of the test \
             environment."
    )]
    SpecifiedIdAllocatable { id: Principal },
    #[error("Unsuccessful validation of specified ID: canister {id} is not hosted by subnet {subnet}.")]
    SpecifiedIdElsewhere { id: Principal, subnet: Principal },
    #[error("Canister {id} is already installed.")]
    CanisterExists { id: Principal },
    #[error("Canister {canister} must be stopped before it is deleted.")]
    DeleteNotStopped { canister: Principal },
    #[error("Canister {canister} cannot delete itself.")]
    DeleteSelf { canister: Principal },
    #[error("Canister {canister} has messages in its queues and cannot be deleted now. Please retry after some time.")]
    DeleteQueueNotEmpty { canister: Principal },

    // Settings.
    #[error("Could not validate the settings: {setting} must lie in the range [0..{max}], but {value} was given.")]
    SettingOutOfRange { setting: &'static str, value: String, max: u128 },
    #[error("Duplicate environment variables are not allowed")]
    DuplicateEnvironmentVariable,
    #[error("Too many environment variables: {count} (max: {MAX_ENVIRONMENT_VARIABLES})")]
    TooManyEnvironmentVariables { count: usize },
    #[error("Environment variable name \"{name}\" exceeds the maximum allowed length of {MAX_ENVIRONMENT_VARIABLE}.")]
    EnvironmentVariableNameTooLong { name: String },
    #[error(
        "Environment variable value \"{value}\" exceeds the maximum allowed length of \
             {MAX_ENVIRONMENT_VARIABLE}."
    )]
    EnvironmentVariableValueTooLong { value: String },
    #[error("The canister log memory limit {bytes} is too high. It must be at most {MAX_LOG_MEMORY_LIMIT}.")]
    LogMemoryLimitTooHigh { bytes: u64 },
    #[error("The canister log memory limit {bytes} is too low. It must be 0 or at least {MIN_LOG_MEMORY_LIMIT}.")]
    LogMemoryLimitTooLow { bytes: u64 },
    #[error(
        "Canister requested a compute allocation of {requested}% which cannot be satisfied because the Subnet's \
             remaining compute capacity is {available}%."
    )]
    ComputeOversubscribed { requested: u64, available: u64 },
    #[error("Canister requested {requested} bytes of memory but only {available} are available in the subnet.")]
    MemoryOversubscribed { requested: u64, available: u64 },
    #[error(
        "Cannot increase compute allocation to {allocation} due to insufficient cycles. At least {missing} \
             additional cycles are required."
    )]
    ComputeAllocationUnpayable { allocation: u64, missing: Cycles },
    #[error(
        "Cannot increase memory allocation to {allocation} due to insufficient cycles. At least {missing} \
             additional cycles are required."
    )]
    MemoryAllocationUnpayable { allocation: u64, missing: Cycles },
    #[error(
        "Cannot increase memory allocation to {allocation} due to its reserved cycles limit. The current limit \
             ({limit}) would be exceeded by {excess}."
    )]
    MemoryAllocationOverReserve { allocation: u64, limit: Cycles, excess: Cycles },
    #[error(
        "Cannot set the reserved cycles limit {limit} below the reserved cycles balance of the canister \
             {reserved}."
    )]
    ReservedCyclesLimitTooLow { limit: Cycles, reserved: Cycles },

    // Memory.
    #[error(
        "Canister cannot grow memory by {bytes} bytes due to insufficient cycles. At least {missing} additional \
             cycles are required."
    )]
    MemoryGrowUnpayable { bytes: u64, missing: Cycles },
    #[error(
        "Canister cannot grow memory by {bytes} bytes due to its reserved cycles limit. The current limit \
             ({limit}) would be exceeded by {excess}."
    )]
    MemoryGrowOverReserve { bytes: u64, limit: Cycles, excess: Cycles },
    #[error(
        "Canister {canister} is heap delta rate limited: current delta debit is {debit}, but limit is \
             {HEAP_DELTA_RATE_LIMIT}."
    )]
    HeapDeltaRateLimited { canister: Principal, debit: u64 },

    // Installing code.
    #[error(
        "Canister {canister} cannot be installed because the canister is not empty. Try installing with \
             mode='reinstall' instead."
    )]
    NotEmpty { canister: Principal },
    #[error("Canister {canister} has no Wasm module, so there is nothing to upgrade.")]
    NothingToUpgrade { canister: Principal },
    #[error(
        "Canister {canister} is rate limited because it executed too many instructions in the previous \
             install_code messages. Please retry installation after several minutes."
    )]
    InstallRateLimited { canister: Principal },
    #[error("Canister installation failed with `{reason}`.")]
    InstallUnpayable { reason: String },
    #[error("Canister {canister} exceeded the limit of {limit} instructions for installing code.")]
    InstallInstructionsExceeded { canister: Principal, limit: u64 },
    #[error("Missing upgrade option: the installed module keeps its heap, so `wasm_memory_persistence` must be given.")]
    PersistenceMissing,
    #[error(
        "Invalid upgrade option: `wasm_memory_persistence: keep` needs a new module with enhanced orthogonal \
             persistence."
    )]
    PersistenceUnsupported,
    #[error("{0}")]
    Execution(UserError),

    // The chunk store.
    #[error("Error charging for 'upload_chunk': {reason}")]
    UploadUnpayable { reason: String },
    #[error("Error from Wasm chunk store: Wasm chunk size {size} exceeds the maximum chunk size of {CHUNK_BYTES}.")]
    ChunkTooLarge { size: usize },
    #[error("Error from Wasm chunk store: Wasm chunk store has already reached maximum capacity of {} bytes or the \
             maximum number of entries, {MAX_CHUNKS}.", MAX_CHUNKS * CHUNK_BYTES)]
    ChunkStoreFull,
    #[error("Error from Wasm chunk store: The chunk list has {count} hashes, but at most {MAX_CHUNKS} are allowed.")]
    TooManyChunkHashes { count: usize },
    #[error(
        "InstallChunkedCode Error: Store canister {store} was not found on subnet {subnet} of target canister \
             {target}"
    )]
    StoreNotFound { store: Principal, subnet: Principal, target: Principal },
    #[error("Error from Wasm chunk store: Invalid wasm hash: it has {length} bytes instead of 32.")]
    ChunkHashInvalid { length: usize },
    #[error("Error from Wasm chunk store: Chunk hash {} was not found.", hex::encode(.hash))]
    ChunkNotFound { hash: [u8; 32] },
    #[error("Error from Wasm chunk store: Wasm module hash {} does not match given hash {}.", hex::encode(.actual),
            hex::encode(.given))]
    ModuleHashMismatch { actual: [u8; 32], given: Vec<u8> },

    // Snapshots.
    #[error("Could not find the snapshot ID {} for canister {canister}.", hex::encode(.id))]
    SnapshotNotFound { canister: Principal, id: Vec<u8> },
    #[error("The snapshot {} does not belong to canister {canister}.", hex::encode(.id))]
    SnapshotOfAnother { canister: Principal, id: Vec<u8> },
    #[error("Only a controller of the canister that snapshot {} belongs to can load it on canister {canister}. \
             Sender: {caller}.", hex::encode(.id))]
    SnapshotOwnerNotControlled { canister: Principal, id: Vec<u8>, caller: Principal },
    #[error("Failed to create snapshot for empty canister {canister}.")]
    SnapshotOfEmpty { canister: Principal },
    #[error("Canister {canister} has reached the maximum number of snapshots allowed: {MAX_SNAPSHOTS}.")]
    TooManySnapshots { canister: Principal },
    #[error("Canister snapshotting failed with: `{reason}`")]
    SnapshotUnpayable { reason: String },
    #[error("Only canister snapshots created by metadata upload can be mutated.")]
    SnapshotImmutable,
    #[error("Invalid subslice into wasm module / main memory / stable memory: offset: {offset}, size: {size}")]
    SliceOutOfBounds { offset: u64, size: u64 },
    #[error("Requested slice too large: {size} > {MAX_SNAPSHOT_SLICE}")]
    SliceTooLarge { size: u64 },
    #[error("Could not validate the snapshot metadata: {field} is {value}, but at most {max} is allowed.")]
    SnapshotMetadataOutOfRange { field: &'static str, value: u64, max: u64 },
    #[error("Could not validate the snapshot metadata: {field} is {bytes}, which is not a multiple of 65536.")]
    SnapshotNotWholePages { field: &'static str, bytes: u64 },
    #[error("The uploaded snapshot does not fit together: {reason}")]
    SnapshotInconsistent { reason: String },

    // Metadata.
    #[error("The canister {canister} has no Wasm module and hence no metadata is available.")]
    NoModuleForMetadata { canister: Principal },
    #[error("The canister {canister} has no metadata section with the name {name}.")]
    MetadataNotFound { canister: Principal, name: String },
    #[error("The caller is not authorized to call this method.")]
    MetadataPrivate,
}

impl Refusal {
    /// Returns the replica's error code.
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownMethod { .. } | Self::UnsupportedMethod { .. } | Self::UnknownQueryMethod { .. } => {
                ErrorCode::CanisterMethodNotFound
            }
            Self::Undecodable { .. }
            | Self::Unencodable { .. }
            | Self::TooManyElements
            | Self::SpecifiedIdAllocatable { .. }
            | Self::DuplicateEnvironmentVariable
            | Self::TooManyEnvironmentVariables { .. }
            | Self::EnvironmentVariableNameTooLong { .. }
            | Self::EnvironmentVariableValueTooLong { .. }
            | Self::SliceOutOfBounds { .. }
            | Self::SliceTooLarge { .. }
            | Self::SnapshotMetadataOutOfRange { .. }
            | Self::SnapshotNotWholePages { .. }
            | Self::SnapshotInconsistent { .. } => ErrorCode::InvalidManagementPayload,
            Self::OnlyCanisters { .. }
            | Self::OnlyAsQuery
            | Self::LogAccessDenied { .. }
            | Self::SnapshotAccessDenied { .. }
            | Self::LogMemoryLimitTooHigh { .. }
            | Self::LogMemoryLimitTooLow { .. }
            | Self::SnapshotOfAnother { .. }
            | Self::SnapshotOwnerNotControlled { .. }
            | Self::SnapshotOfEmpty { .. }
            | Self::TooManySnapshots { .. }
            | Self::NoModuleForMetadata { .. }
            | Self::MetadataNotFound { .. }
            | Self::MetadataPrivate => ErrorCode::CanisterRejectedMessage,
            Self::SenderVersionMismatch { .. }
            | Self::SettingOutOfRange { .. }
            | Self::PersistenceMissing
            | Self::PersistenceUnsupported
            | Self::UploadUnpayable { .. }
            | Self::ChunkTooLarge { .. }
            | Self::ChunkStoreFull
            | Self::TooManyChunkHashes { .. }
            | Self::ChunkHashInvalid { .. }
            | Self::ChunkNotFound { .. }
            | Self::ModuleHashMismatch { .. } => ErrorCode::CanisterContractViolation,
            Self::IngressByStranger { .. } | Self::NotController { .. } | Self::DeleteSelf { .. } => {
                ErrorCode::CanisterInvalidController
            }
            Self::StatusAccessDenied { .. } => ErrorCode::CanisterStatusAccessDenied,
            Self::CanisterNotFound { .. } | Self::StoreNotFound { .. } => ErrorCode::CanisterNotFound,
            Self::CreationFeeNotCovered { .. } => ErrorCode::InsufficientCyclesForCreateCanister,
            Self::OutOfCanisterIds | Self::ComputeOversubscribed { .. } | Self::MemoryOversubscribed { .. } => {
                ErrorCode::SubnetOversubscribed
            }
            Self::SpecifiedIdElsewhere { .. } => ErrorCode::CanisterNotHostedBySubnet,
            Self::CanisterExists { .. } => ErrorCode::CanisterAlreadyInstalled,
            Self::DeleteNotStopped { .. } => ErrorCode::CanisterNotStopped,
            Self::DeleteQueueNotEmpty { .. } => ErrorCode::CanisterQueueNotEmpty,
            Self::ComputeAllocationUnpayable { .. } => ErrorCode::InsufficientCyclesInComputeAllocation,
            Self::MemoryAllocationUnpayable { .. } => ErrorCode::InsufficientCyclesInMemoryAllocation,
            Self::MemoryAllocationOverReserve { .. } => ErrorCode::ReservedCyclesLimitExceededInMemoryAllocation,
            Self::ReservedCyclesLimitTooLow { .. } => ErrorCode::ReservedCyclesLimitIsTooLow,
            Self::MemoryGrowUnpayable { .. } => ErrorCode::InsufficientCyclesInMemoryGrow,
            Self::MemoryGrowOverReserve { .. } => ErrorCode::ReservedCyclesLimitExceededInMemoryGrow,
            Self::HeapDeltaRateLimited { .. } => ErrorCode::CanisterHeapDeltaRateLimited,
            Self::NotEmpty { .. } => ErrorCode::CanisterNonEmpty,
            Self::NothingToUpgrade { .. } => ErrorCode::CanisterWasmModuleNotFound,
            Self::InstallRateLimited { .. } => ErrorCode::CanisterInstallCodeRateLimited,
            Self::InstallUnpayable { .. } | Self::SnapshotUnpayable { .. } => ErrorCode::CanisterOutOfCycles,
            Self::InstallInstructionsExceeded { .. } => ErrorCode::CanisterInstructionLimitExceeded,
            Self::Execution(error) => error.code,
            Self::SnapshotNotFound { .. } => ErrorCode::CanisterSnapshotNotFound,
            Self::SnapshotImmutable => ErrorCode::CanisterSnapshotImmutable,
        }
    }
}

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        Self::Execution(error)
    }
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Execution(error) => error,
            refusal => UserError::new(refusal.code(), refusal.to_string()),
        }
    }
}
