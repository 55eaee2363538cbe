//! What the factory needs from the system: time, cycles, and calls to other canisters.

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::ModuleInfo,
    catalog::{CallFailure, CatalogSource, ResolveError, ResolvedModule},
};

use crate::limits::MAX_MESSAGE_BYTES;

/// The system as the factory sees it.
///
/// Each call is made when its future is first polled. Reads are bounded-wait calls, whose answers may be lost
/// ([`RejectCode::SysUnknown`]); calls that change something wait for their answer however long it takes.
pub trait Runtime {
    /// Returns the time in nanoseconds since 1970.
    fn now_ns(&self) -> u64;
    /// Returns the principal of the factory itself.
    fn own_id(&self) -> Principal;
    /// Returns true when the principal controls the factory.
    fn is_controller(&self, principal: &Principal) -> bool;
    /// Returns the cycles that the factory may spend without being frozen.
    fn liquid_cycles(&self) -> u128;
    /// Returns the fee for creating a canister, in cycles.
    fn creation_fee(&self) -> u128;
    /// Returns the cycles that are set aside while a call with so many bytes of argument is open.
    fn call_cost(&self, method: &str, argument_bytes: u64) -> u128;

    /// Asks the catalog what a source means.
    fn resolve(
        &self,
        catalog: Principal,
        source: &CatalogSource,
    ) -> impl Future<Output = Result<Result<ResolvedModule, ResolveError>, CallError>>;
    /// Asks the blob store for the description of a module.
    fn module_info(
        &self,
        blob_store: Principal,
        module_hash: Hash,
    ) -> impl Future<Output = Result<Option<ModuleInfo>, CallError>>;
    /// Asks the blob store for the bytes of a chunk.
    fn get_chunk(
        &self,
        blob_store: Principal,
        chunk_hash: Hash,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, CallError>>;

    /// Puts a chunk into the factory's own chunk store.
    fn upload_chunk(&self, bytes: Vec<u8>) -> impl Future<Output = Result<(), CallError>>;
    /// Lists the hashes in the factory's own chunk store.
    fn stored_chunks(&self) -> impl Future<Output = Result<Vec<Hash>, CallError>>;
    /// Empties the factory's own chunk store.
    fn clear_chunk_store(&self) -> impl Future<Output = Result<(), CallError>>;
    /// Creates a canister with the cycles given, creation fee included, and the factory as its only controller.
    fn create_canister(
        &self,
        settings: NewCanister,
        cycles: u128,
    ) -> impl Future<Output = Result<Principal, CallError>>;
    /// Installs a module from the factory's own chunk store into an empty canister.
    fn install(&self, installation: Installation) -> impl Future<Output = Result<(), CallError>>;
    /// Asks a canister that the factory controls for the hash of its module.
    fn module_hash_of(&self, canister_id: Principal) -> impl Future<Output = Result<Option<Hash>, CallError>>;
    /// Asks who controls a canister.
    fn controllers_of(&self, canister_id: Principal) -> impl Future<Output = Result<Vec<Principal>, CallError>>;
    /// Replaces the controllers of a canister.
    fn set_controllers(
        &self,
        canister_id: Principal,
        controllers: Vec<Principal>,
    ) -> impl Future<Output = Result<(), CallError>>;
}

/// What a canister is created with, besides cycles and its controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewCanister {
    /// Compute allocation in percent.
    pub compute_allocation: Option<u128>,
    /// Memory allocation in bytes.
    pub memory_allocation: Option<u128>,
    /// Freezing threshold in seconds.
    pub freezing_threshold: Option<u128>,
    /// Most cycles reserved for storage.
    pub reserved_cycles_limit: Option<u128>,
    /// Heap limit in bytes.
    pub wasm_memory_limit: Option<u128>,
    /// Names and values of environment variables.
    pub environment_variables: Vec<(String, String)>,
}

/// What to install where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The empty canister.
    pub canister_id: Principal,
    /// The module.
    pub module_hash: Hash,
    /// Its chunks in order.
    pub chunk_hashes: Vec<Hash>,
    /// Argument of its init function.
    pub init_arg: Vec<u8>,
}

/// Methods of the management canister that the factory calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ManagementMethod {
    /// Puts a chunk into a chunk store.
    UploadChunk,
    /// Lists a chunk store.
    StoredChunks,
    /// Empties a chunk store.
    ClearChunkStore,
    /// Creates a canister.
    CreateCanister,
    /// Installs a module from a chunk store.
    InstallChunkedCode,
    /// Tells controllers about a canister.
    CanisterStatus,
    /// Tells anyone about a canister.
    CanisterInfo,
    /// Changes settings of a canister.
    UpdateSettings,
}

impl ManagementMethod {
    /// Returns the name of the method.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadChunk => "upload_chunk",
            Self::StoredChunks => "stored_chunks",
            Self::ClearChunkStore => "clear_chunk_store",
            Self::CreateCanister => "create_canister",
            Self::InstallChunkedCode => "install_chunked_code",
            Self::CanisterStatus => "canister_status",
            Self::CanisterInfo => "canister_info",
            Self::UpdateSettings => "update_settings",
        }
    }
}

/// Why a call has no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The call was not made: too few cycles, or too many open calls.
    NotMade {
        /// Why, for people.
        message: String,
    },
    /// The call was rejected.
    Rejected {
        /// The class of the rejection.
        code: RejectCode,
        /// What was said, for people.
        message: String,
    },
    /// The call was answered, but not in the form agreed upon.
    Unreadable {
        /// What is wrong, for people.
        message: String,
    },
}

/// Classes of rejections on the Internet Computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectCode {
    /// 1: fatal, retrying does not help.
    SysFatal,
    /// 2: transient, retrying may help.
    SysTransient,
    /// 3: there is no such canister.
    DestinationInvalid,
    /// 4: the canister refused.
    CanisterReject,
    /// 5: the canister trapped, or a rule was broken.
    CanisterError,
    /// 6: the answer of a bounded-wait call was lost.
    SysUnknown,
    /// A code unknown at the time of writing.
    Other(u32),
}

impl From<u32> for RejectCode {
    fn from(code: u32) -> Self {
        match code {
            1 => Self::SysFatal,
            2 => Self::SysTransient,
            3 => Self::DestinationInvalid,
            4 => Self::CanisterReject,
            5 => Self::CanisterError,
            6 => Self::SysUnknown,
            other => Self::Other(other),
        }
    }
}

impl From<RejectCode> for u32 {
    fn from(code: RejectCode) -> Self {
        match code {
            RejectCode::SysFatal => 1,
            RejectCode::SysTransient => 2,
            RejectCode::DestinationInvalid => 3,
            RejectCode::CanisterReject => 4,
            RejectCode::CanisterError => 5,
            RejectCode::SysUnknown => 6,
            RejectCode::Other(other) => other,
        }
    }
}

/// What a failed call means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happened; it may work later.
    Retry,
    /// Nothing happened, and nothing will.
    Refused,
    /// It may have happened: repeat what is idempotent, look for the effect of what is not.
    Unknown,
    /// It happened, but the answer says nothing.
    Unreadable,
}

impl CallError {
    /// Tells what the failure means.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::NotMade { .. } => Verdict::Retry, // cycles may arrive, queues drain
            Self::Rejected { code, .. } => match code {
                RejectCode::SysTransient => Verdict::Retry, // never reached the callee, or a rate limit
                RejectCode::SysFatal => Verdict::Refused,   // such as a subnet without room
                RejectCode::DestinationInvalid => Verdict::Refused,
                RejectCode::CanisterReject => Verdict::Refused,
                RejectCode::CanisterError => Verdict::Refused, // rolled back by the callee
                RejectCode::SysUnknown => Verdict::Unknown,
                RejectCode::Other(_) => Verdict::Unknown, // the cautious reading
            },
            Self::Unreadable { .. } => Verdict::Unreadable,
        }
    }

    /// Describes the failure of a call of `method` on the wire, with a message of bounded length.
    pub fn to_failure(&self, method: &str) -> CallFailure {
        let (reject_code, message) = match self {
            Self::NotMade { message } => (0, message),
            Self::Rejected { code, message } => ((*code).into(), message),
            Self::Unreadable { message } => (0, message),
        };
        CallFailure { method: method.to_string(), reject_code, message: shorten(message) }
    }
}

/// Returns the start of a message, at most [`MAX_MESSAGE_BYTES`] of it.
fn shorten(message: &str) -> String {
    let end = (0..=MAX_MESSAGE_BYTES.min(message.len())).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    message[..end].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_judge_each_way_a_call_can_fail() {
        let rejected = |code: u32| CallError::Rejected { code: code.into(), message: String::new() }.verdict();
        let verdicts: Vec<Verdict> = (1..=7).map(rejected).collect();
        use Verdict::{Refused, Retry, Unknown, Unreadable};
        assert_eq!(verdicts, [Refused, Retry, Refused, Refused, Refused, Unknown, Unknown]);
        assert_eq!(CallError::NotMade { message: String::new() }.verdict(), Retry);
        assert_eq!(CallError::Unreadable { message: String::new() }.verdict(), Unreadable);
    }

    #[test]
    fn should_keep_reject_codes_as_they_are() {
        for code in 0..=9 {
            assert_eq!(u32::from(RejectCode::from(code)), code);
        }
    }

    #[test]
    fn should_keep_the_start_of_a_message_at_and_past_the_limit() {
        let whole = "x".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(shorten(&whole), whole);
        assert_eq!(shorten(&format!("{whole}x")), whole);
        let wide = format!("{}é", "x".repeat(MAX_MESSAGE_BYTES - 1));
        assert_eq!(shorten(&wide), "x".repeat(MAX_MESSAGE_BYTES - 1));
    }
}
