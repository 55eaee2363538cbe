//! The language of the universal canister: programs for a stack machine whose instructions are the system API.
//!
//! A program is a string of operations. An operation is one byte, followed by its operand if it has one. Operations
//! take what they need from a stack of integers (`u64`) and byte strings, the last one first, and put back what they
//! answer. The comment of each operation shows both: `a b -> c` takes `b`, then `a`, and puts `c`. Amounts of cycles
//! are put as byte strings of 16 bytes, little-endian, and taken as two integers, the high half first.
//!
//! A program that is not well formed, or finds the wrong kind of value on the stack, traps with `ic0.trap`.

/// Defines the operations, and the way back from a byte.
macro_rules! operations {
    ($($(#[$comment:meta])* $name:ident,)*) => {
        /// One step of a program.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Operation {
            $($(#[$comment])* $name,)*
        }

        impl Operation {
            /// All operations; each stands at the place of its byte.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

operations! {
    // Values.
    /// `-> int`: the operand of 8 bytes, little-endian.
    Int,
    /// `-> bytes`: the operand: its length in 4 bytes, little-endian, then itself.
    Bytes,
    /// `value ->`
    Drop,
    /// `a b -> a + b`, modulo 2^64
    Add,
    /// `a b -> a - b`, modulo 2^64
    Subtract,
    /// `a b -> 1` when `a < b`, else `0`
    Less,
    /// `a b -> 1` when the integers are equal, else `0`
    Equal,
    /// `bytes bytes -> bytes`, one after the other
    Join,
    /// `bytes -> int`
    Length,
    /// `byte count -> bytes`: the same byte over and over
    Fill,
    /// `int -> bytes`: 8 bytes, little-endian
    ToBytes,
    /// `bytes -> int`: of the first 8 bytes, little-endian; missing ones are 0
    ToInt,

    // State on the heap. It lives until the next installation or upgrade.
    /// `slot bytes ->`
    Store,
    /// `slot -> bytes`: what was stored, or nothing
    Load,
    /// `program ->`: what the hook runs from now on; the operand is a byte of [`Hook`].
    SetHook,

    // Control.
    /// `int ->`: runs the operand (a program, encoded like a byte string) unless the integer is 0.
    If,
    /// `count ->`: runs the operand (a program, encoded like a byte string) so many times.
    Repeat,
    /// `program ->`: runs it with this stack.
    Run,
    /// `int ->`: does nothing until the message has used so many instructions.
    Spend,
    /// `pages -> int`: `memory.grow`; the pages before, or 2^32 - 1 when it failed
    GrowHeap,
    /// `->`: executes `unreachable`.
    Unreachable,
    /// `->`: calls itself until the stack is full.
    OverflowStack,
    /// `->`: reads behind the end of the heap.
    ReadOutOfBounds,
    /// `->`: calls a function of the table that is not there.
    CallMissingFunction,

    // The message.
    /// `-> bytes`
    MsgArgData,
    /// `offset size -> bytes`: `msg_arg_data_copy` with exactly these
    MsgArgDataPart,
    /// `-> bytes`
    MsgCaller,
    /// `-> bytes`
    MsgCallerInfoData,
    /// `-> bytes`
    MsgCallerInfoSigner,
    /// `-> int`
    MsgRejectCode,
    /// `-> bytes`
    MsgRejectMsg,
    /// `-> int`
    MsgDeadline,
    /// `bytes ->`
    MsgReplyDataAppend,
    /// `source size ->`: `msg_reply_data_append` with exactly these
    MsgReplyDataAppendAt,
    /// `->`
    MsgReply,
    /// `bytes ->`
    MsgReject,
    /// `-> bytes`
    MsgMethodName,
    /// `->`
    AcceptMessage,

    // Cycles.
    /// `-> cycles`
    MsgCyclesAvailable128,
    /// `-> cycles`
    MsgCyclesRefunded128,
    /// `high low -> cycles`
    MsgCyclesAccept128,
    /// `high low -> cycles`
    CyclesBurn128,
    /// `-> cycles`
    CanisterCycleBalance128,
    /// `-> cycles`
    CanisterLiquidCycleBalance128,
    /// `-> int`
    MsgCyclesAvailable,
    /// `-> int`
    MsgCyclesRefunded,
    /// `int -> int`
    MsgCyclesAccept,
    /// `-> int`
    CanisterCycleBalance,
    /// `high low -> cycles`
    MintCycles128,

    // The canister and its subnet.
    /// `-> bytes`
    CanisterSelf,
    /// `-> int`
    CanisterStatus,
    /// `-> int`
    CanisterVersion,
    /// `-> bytes`
    SubnetSelf,
    /// `-> bytes`
    RootKey,
    /// `bytes ->`
    CertifiedDataSet,
    /// `-> int`
    DataCertificatePresent,
    /// `-> bytes`
    DataCertificate,
    /// `-> int`
    Time,
    /// `int -> int`
    GlobalTimerSet,
    /// `int -> int`
    PerformanceCounter,
    /// `bytes -> int`
    IsController,
    /// `-> int`
    InReplicatedExecution,
    /// `-> int`
    EnvVarCount,
    /// `index -> bytes`
    EnvVarName,
    /// `bytes -> int`
    EnvVarNameExists,
    /// `bytes -> bytes`
    EnvVarValue,
    /// `bytes ->`
    DebugPrint,
    /// `bytes ->`
    Trap,

    // Calls.
    /// `receiver method on_reply on_reject ->`: the last two are programs that run when the answer arrives.
    CallNew,
    /// `receiver method function environment ->`: `call_new` with these for both callbacks
    CallNewAt,
    /// `program ->`
    CallOnCleanup,
    /// `bytes ->`
    CallDataAppend,
    /// `seconds ->`
    CallWithBestEffortResponse,
    /// `high low ->`
    CallCyclesAdd128,
    /// `int ->`
    CallCyclesAdd,
    /// `-> int`
    CallPerform,

    // Stable memory. Sizes are in pages of 64 KiB.
    /// `-> int`
    Stable64Size,
    /// `pages -> int`
    Stable64Grow,
    /// `offset bytes ->`
    Stable64Write,
    /// `offset size -> bytes`
    Stable64Read,
    /// `-> int`
    StableSize,
    /// `pages -> int`
    StableGrow,
    /// `offset bytes ->`
    StableWrite,
    /// `offset size -> bytes`
    StableRead,

    // Prices.
    /// `method_bytes argument_bytes -> cycles`
    CostCall,
    /// `-> cycles`
    CostCreateCanister,
    /// `request_bytes response_bytes -> cycles`
    CostHttpRequest,
    /// `bytes -> cycles`
    CostHttpRequestV2,
    /// `key_name curve -> int cycles`: what the function returned, and the price
    CostSignWithEcdsa,
    /// `key_name algorithm -> int cycles`
    CostSignWithSchnorr,
    /// `key_name curve -> int cycles`
    CostVetkdDeriveKey,
}

/// An entry point without an argument, which runs the program that was set for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hook {
    /// `canister_pre_upgrade`
    PreUpgrade,
    /// `canister_heartbeat`
    Heartbeat,
    /// `canister_global_timer`
    GlobalTimer,
    /// `canister_inspect_message`; without a program every message is accepted.
    InspectMessage,
    /// `canister_on_low_wasm_memory`
    OnLowWasmMemory,
}

/// Number of hooks.
pub const HOOKS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_every_operation_by_its_byte() {
        for (byte, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, byte);
        }
        assert!(Operation::ALL.len() <= usize::from(u8::MAX));
    }
}
