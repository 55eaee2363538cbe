//! Why a message ends early, and the two functions for programmers: `trap` and `debug_print`.

use candid::Principal;
use wasmtime::{Caller, Linker, Trap};

use super::{HostState, Size, charge, enter, heap_access, mode};
use crate::{
    error::{ErrorCode, UserError},
    limits::{MAX_DIRTY_STABLE_PAGES_MESSAGE, MAX_DIRTY_STABLE_PAGES_QUERY, MAX_DIRTY_STABLE_PAGES_UPGRADE},
    message::Cycles,
};

/// Longest text taken from `trap` and `debug_print`; longer ones are cut.
const MAX_TEXT: u64 = 32 << 10;

/// Why the system API ended a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::execution) enum Halt {
    /// The canister used the system API in a way it must not.
    #[error("violated contract: {0}")]
    Contract(String),
    /// The canister called `trap`.
    #[error("called `ic0.trap` with message: '{0}'")]
    CalledTrap(String),
    /// The canister's own code trapped.
    #[error("trapped: {0}")]
    Trapped(&'static str),
    /// The message used more instructions than it may.
    #[error("exceeded the limit of {0} instructions for single message execution.")]
    InstructionLimit(u64),
    /// The message changed more stable memory than it may.
    #[error(
        "exceeded memory access limits: Exceeded the limit for the number of modified pages in the stable memory in a \
         single message execution: limit {} KB for regular messages, {} KB for upgrade messages and {} KB for queries.",
        MAX_DIRTY_STABLE_PAGES_MESSAGE * 4,
        MAX_DIRTY_STABLE_PAGES_UPGRADE * 4,
        MAX_DIRTY_STABLE_PAGES_QUERY * 4
    )]
    ChangedStablePages,
    /// The message reached more of stable memory than it may.
    #[error(
        "exceeded memory access limits: Exceeded the limit for the number of accessed pages in the stable memory in a \
         single message execution: limit {} KB for regular messages and {} KB for queries.",
        MAX_DIRTY_STABLE_PAGES_MESSAGE * 4,
        MAX_DIRTY_STABLE_PAGES_QUERY * 4
    )]
    TouchedStablePages,
    /// The balance does not carry more memory.
    #[error(
        "cannot grow memory by {bytes} bytes due to insufficient cycles. At least {missing} additional cycles are required."
    )]
    CyclesForMemory {
        /// By how much memory was to grow.
        bytes: u64,
        /// What the balance lacks.
        missing: Cycles,
    },
    /// More cycles would have to be set aside for memory than the settings allow.
    #[error(
        "cannot grow memory by {bytes} bytes due to its reserved cycles limit. The current limit ({limit}) would be \
         exceeded by {excess}."
    )]
    ReservedCyclesLimit {
        /// By how much memory was to grow.
        bytes: u64,
        /// What the settings allow.
        limit: Cycles,
        /// By how much it would be more.
        excess: Cycles,
    },
    /// The heap is larger than the settings allow.
    #[error("exceeded its current Wasm memory limit of {limit} bytes. The peak Wasm memory usage was {bytes} bytes.")]
    HeapLimit {
        /// What the heap has or would have.
        bytes: u64,
        /// What the settings allow.
        limit: u64,
    },
    /// The balance does not carry the cycles attached to a call.
    #[error("is out of cycles: please top up the canister with at least {missing} additional cycles")]
    CyclesForCall {
        /// What the balance lacks.
        missing: Cycles,
    },
    /// A callback is not in the table.
    #[error("requested to invoke a non-existent Wasm function {0} from table 0")]
    NoFunction(u64),
    /// The method is not exported.
    #[error("has no {kind} method '{name}'.")]
    NoMethod {
        /// `update`, `query` or `composite_query`.
        kind: &'static str,
        /// The method called.
        name: String,
    },
    /// The host failed; nothing that a canister does leads here.
    #[error("encountered a Wasm engine error: {0}")]
    Engine(String),
}

impl Halt {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Contract(_) => ErrorCode::CanisterContractViolation,
            Self::CalledTrap(_) => ErrorCode::CanisterCalledTrap,
            Self::Trapped(_) => ErrorCode::CanisterTrapped,
            Self::InstructionLimit(_) => ErrorCode::CanisterInstructionLimitExceeded,
            Self::ChangedStablePages | Self::TouchedStablePages => ErrorCode::CanisterMemoryAccessLimitExceeded,
            Self::CyclesForMemory { .. } => ErrorCode::InsufficientCyclesInMemoryGrow,
            Self::ReservedCyclesLimit { .. } => ErrorCode::ReservedCyclesLimitExceededInMemoryGrow,
            Self::HeapLimit { .. } => ErrorCode::CanisterWasmMemoryLimitExceeded,
            Self::CyclesForCall { .. } => ErrorCode::InsufficientCyclesInCall,
            Self::NoFunction(_) => ErrorCode::CanisterFunctionNotFound,
            Self::NoMethod { .. } => ErrorCode::CanisterMethodNotFound,
            Self::Engine(_) => ErrorCode::CanisterWasmEngineError,
        }
    }

    /// Returns the error that the sender of the message gets.
    pub(in crate::execution) fn into_user_error(self, canister: &Principal) -> UserError {
        UserError::new(self.code(), format!("Error from Canister {canister}: Canister {self}"))
    }

    /// Returns what the canister's log says of it: only of traps.
    pub(in crate::execution) fn log(&self) -> Option<String> {
        match self {
            Self::CalledTrap(message) if message.is_empty() => Some("[TRAP]: (no message)".to_owned()),
            Self::CalledTrap(message) => Some(format!("[TRAP]: {message}")),
            Self::Trapped(reason) => Some(format!("[TRAP]: {reason}")),
            _ => None,
        }
    }

    /// Finds out why an execution that had `limit` instructions failed.
    pub(in crate::execution) fn from_failure(error: &wasmtime::Error, limit: u64) -> Self {
        if let Some(halt) = error.downcast_ref::<Self>() {
            return halt.clone();
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Self::InstructionLimit(limit),
            Some(Trap::StackOverflow) => Self::Trapped("stack overflow"),
            Some(Trap::MemoryOutOfBounds) => Self::Trapped("heap out of bounds"),
            Some(Trap::IntegerDivisionByZero) => Self::Trapped("integer division by 0"),
            Some(Trap::UnreachableCodeReached) => Self::Trapped("unreachable"),
            Some(Trap::TableOutOfBounds) => Self::Trapped("table out of bounds"),
            Some(_) => Self::Trapped("unknown"),
            None => Self::Engine(format!("{error:#}")),
        }
    }
}

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "ic0",
        "trap",
        |mut caller: Caller<'_, HostState>, source: I, size: I| -> wasmtime::Result<()> {
            enter(&mut caller, "trap", mode::ANY, 500)?;
            charge_for_log(&mut caller, size.wide())?;
            Err(Halt::CalledTrap(read_text(&mut caller, "trap", source.wide(), size.wide())?).into())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "debug_print",
        |mut caller: Caller<'_, HostState>, source: I, size: I| -> wasmtime::Result<()> {
            enter(&mut caller, "debug_print", mode::ANY, 100)?;
            charge_for_log(&mut caller, size.wide())?;
            let text = read_text(&mut caller, "debug_print", source.wide(), size.wide())?;
            caller.data_mut().run()?.log(text);
            Ok(())
        },
    )?;
    Ok(())
}

fn charge_for_log(caller: &mut Caller<'_, HostState>, size: u64) -> wasmtime::Result<()> {
    let instructions = caller.data_mut().run()?.log_instructions(size);
    charge(caller, instructions)
}

fn read_text(caller: &mut Caller<'_, HostState>, name: &str, source: u64, size: u64) -> wasmtime::Result<String> {
    charge(caller, size)?;
    let (heap, _) = heap_access::split(caller)?;
    let bytes = heap_access::slice(heap, name, source, size)?;
    Ok(String::from_utf8_lossy(&bytes[..size.min(MAX_TEXT) as usize]).into_owned())
}
