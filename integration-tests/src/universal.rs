//! Programs for the universal canister, and the canister on a network.
//!
//! An expression is code that leaves a value on the stack: [`Int`] an integer, [`Bytes`] a byte string. A [`Program`]
//! is a sequence of statements. Literals turn into expressions by themselves:
//!
//! ```
//! use integration_tests::universal::{Program, caller};
//! let program = Program::new().append("hello, ").append(caller()).reply();
//! ```

use candid::Principal;
use universal::Operation as Op;

mod canister;
mod module;

pub use canister::{Rejection, Universal, forward};
pub use module::{Export, Module, module};
pub use universal::Hook;

/// Code that leaves an integer.
#[derive(Clone, Debug)]
pub struct Int(Vec<u8>);

/// Code that leaves a byte string.
#[derive(Clone, Debug)]
pub struct Bytes(Vec<u8>);

/// A program: what a method, a hook or a callback does.
#[derive(Clone, Debug, Default)]
pub struct Program(Vec<u8>);

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        let mut code = vec![Op::Int as u8];
        code.extend(value.to_le_bytes());
        Self(code)
    }
}

impl From<&[u8]> for Bytes {
    fn from(value: &[u8]) -> Self {
        let mut code = Vec::with_capacity(value.len() + 5);
        put_block(&mut code, Op::Bytes, value);
        Self(code)
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(value: &[u8; N]) -> Self {
        value.as_slice().into()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(value: Vec<u8>) -> Self {
        value.as_slice().into()
    }
}

impl From<&str> for Bytes {
    fn from(value: &str) -> Self {
        value.as_bytes().into()
    }
}

impl From<Principal> for Bytes {
    fn from(value: Principal) -> Self {
        value.as_slice().into()
    }
}

/// The integer as 8 bytes, little-endian.
impl From<Int> for Bytes {
    fn from(value: Int) -> Self {
        Self(then(value.0, Op::ToBytes))
    }
}

/// The program itself, as an argument of a call to a universal canister.
impl From<Program> for Bytes {
    fn from(program: Program) -> Self {
        program.0.into()
    }
}

impl From<Program> for Vec<u8> {
    fn from(program: Program) -> Self {
        program.0
    }
}

fn then(mut code: Vec<u8>, operation: Op) -> Vec<u8> {
    code.push(operation as u8);
    code
}

fn put_block(code: &mut Vec<u8>, operation: Op, block: &[u8]) {
    code.push(operation as u8);
    code.extend(u32::try_from(block.len()).expect("blocks are far shorter than 4 GiB").to_le_bytes());
    code.extend(block);
}

/// Puts expressions one after the other, then the operation that takes their values.
macro_rules! code {
    ($operation:expr $(, $argument:expr)*) => {{
        let arguments: &[Vec<u8>] = &[$($argument.0),*];
        then(arguments.concat(), $operation)
    }};
}

fn high_low(amount: u128) -> (Int, Int) {
    (((amount >> 64) as u64).into(), (amount as u64).into())
}

/// Defines expressions that take nothing.
macro_rules! readers {
    ($($(#[$comment:meta])* $name:ident: $kind:ident = $operation:ident;)*) => {
        $($(#[$comment])* pub fn $name() -> $kind {
            $kind(vec![Op::$operation as u8])
        })*
    };
}

readers! {
    /// The argument of the message, or the reply that a callback got.
    argument: Bytes = MsgArgData;
    /// The caller's principal.
    caller: Bytes = MsgCaller;
    /// The caller's attributes.
    caller_info_data: Bytes = MsgCallerInfoData;
    /// Who signed the caller's attributes.
    caller_info_signer: Bytes = MsgCallerInfoSigner;
    /// The code of a reject.
    reject_code: Int = MsgRejectCode;
    /// The message of a reject.
    reject_message: Bytes = MsgRejectMsg;
    /// The deadline of a best-effort call in ns, or 0.
    deadline: Int = MsgDeadline;
    /// The method that a user wants to call.
    method_name: Bytes = MsgMethodName;
    /// Cycles of the call that were not accepted yet.
    cycles_available: Bytes = MsgCyclesAvailable128;
    /// Cycles that came back with an answer.
    cycles_refunded: Bytes = MsgCyclesRefunded128;
    /// The main balance.
    balance: Bytes = CanisterCycleBalance128;
    /// The main balance above the freezing threshold.
    liquid_balance: Bytes = CanisterLiquidCycleBalance128;
    /// As [`cycles_available`], by the function of 64 bits.
    cycles_available64: Int = MsgCyclesAvailable;
    /// As [`cycles_refunded`], by the function of 64 bits.
    cycles_refunded64: Int = MsgCyclesRefunded;
    /// As [`balance`], by the function of 64 bits.
    balance64: Int = CanisterCycleBalance;
    /// The canister's own id.
    own_id: Bytes = CanisterSelf;
    /// 1 running, 2 stopping, 3 stopped.
    status: Int = CanisterStatus;
    /// The canister's version.
    version: Int = CanisterVersion;
    /// The id of the subnet.
    subnet_id: Bytes = SubnetSelf;
    /// The key of the root subnet.
    root_key: Bytes = RootKey;
    /// 1 when there is a data certificate.
    certificate_present: Int = DataCertificatePresent;
    /// The data certificate.
    certificate: Bytes = DataCertificate;
    /// The time in ns.
    time: Int = Time;
    /// 1 when all nodes of the subnet execute the message.
    in_replicated_execution: Int = InReplicatedExecution;
    /// Number of environment variables.
    variable_count: Int = EnvVarCount;
    /// Performs the call under construction; 0 when it was put into the queue.
    perform: Int = CallPerform;
    /// Pages of stable memory.
    stable_size: Int = Stable64Size;
    /// As [`stable_size`], by the function of 32 bits.
    stable_size32: Int = StableSize;
    /// The price of making a canister.
    cost_create_canister: Bytes = CostCreateCanister;
}

/// Reads so many bytes of the argument from an offset on, whether or not they are there.
pub fn argument_part(offset: u64, size: u64) -> Bytes {
    Bytes(code!(Op::MsgArgDataPart, Int::from(offset), Int::from(size)))
}

/// Accepts up to `amount` cycles of the call; what was accepted.
pub fn accept_cycles(amount: u128) -> Bytes {
    let (high, low) = high_low(amount);
    Bytes(code!(Op::MsgCyclesAccept128, high, low))
}

/// As [`accept_cycles`], by the function of 64 bits.
pub fn accept_cycles64(amount: u64) -> Int {
    Int(code!(Op::MsgCyclesAccept, Int::from(amount)))
}

/// Burns up to `amount` cycles; what was burned.
pub fn burn_cycles(amount: u128) -> Bytes {
    let (high, low) = high_low(amount);
    Bytes(code!(Op::CyclesBurn128, high, low))
}

/// Makes cycles, which one canister of the Internet Computer may.
pub fn mint_cycles(amount: u128) -> Bytes {
    let (high, low) = high_low(amount);
    Bytes(code!(Op::MintCycles128, high, low))
}

/// Sets the global timer to a time in ns; what it was set to.
pub fn set_timer(deadline: impl Into<Int>) -> Int {
    Int(code!(Op::GlobalTimerSet, deadline.into()))
}

/// Reads a counter of instructions: 0 for the message, 1 for the whole call.
pub fn performance_counter(counter: u64) -> Int {
    Int(code!(Op::PerformanceCounter, Int::from(counter)))
}

/// 1 when the principal controls the canister.
pub fn is_controller(principal: impl Into<Bytes>) -> Int {
    Int(code!(Op::IsController, principal.into()))
}

/// The name of an environment variable.
pub fn variable_name(index: u64) -> Bytes {
    Bytes(code!(Op::EnvVarName, Int::from(index)))
}

/// 1 when there is an environment variable of this name.
pub fn variable_exists(name: impl Into<Bytes>) -> Int {
    Int(code!(Op::EnvVarNameExists, name.into()))
}

/// The value of an environment variable.
pub fn variable_value(name: impl Into<Bytes>) -> Bytes {
    Bytes(code!(Op::EnvVarValue, name.into()))
}

/// Grows stable memory; the pages before, or all ones when it cannot.
pub fn grow_stable(pages: u64) -> Int {
    Int(code!(Op::Stable64Grow, Int::from(pages)))
}

/// As [`grow_stable`], by the function of 32 bits.
pub fn grow_stable32(pages: u64) -> Int {
    Int(code!(Op::StableGrow, Int::from(pages)))
}

/// Reads stable memory.
pub fn read_stable(offset: u64, size: u64) -> Bytes {
    Bytes(code!(Op::Stable64Read, Int::from(offset), Int::from(size)))
}

/// As [`read_stable`], by the function of 32 bits.
pub fn read_stable32(offset: u64, size: u64) -> Bytes {
    Bytes(code!(Op::StableRead, Int::from(offset), Int::from(size)))
}

/// Grows the heap; the pages before, or 2^32 - 1 when it cannot.
pub fn grow_heap(pages: u64) -> Int {
    Int(code!(Op::GrowHeap, Int::from(pages)))
}

/// What was stored in a slot of the heap.
pub fn load(slot: u64) -> Bytes {
    Bytes(code!(Op::Load, Int::from(slot)))
}

/// The same byte over and over.
pub fn fill(byte: u8, count: u64) -> Bytes {
    Bytes(code!(Op::Fill, Int::from(u64::from(byte)), Int::from(count)))
}

/// The price of a call.
pub fn cost_call(method_bytes: u64, argument_bytes: u64) -> Bytes {
    Bytes(code!(Op::CostCall, Int::from(method_bytes), Int::from(argument_bytes)))
}

/// The price of an HTTP outcall.
pub fn cost_http_request(request_bytes: u64, response_bytes: u64) -> Bytes {
    Bytes(code!(Op::CostHttpRequest, Int::from(request_bytes), Int::from(response_bytes)))
}

/// The price of an HTTP outcall with the parameters given.
pub fn cost_http_request_v2(parameters: impl Into<Bytes>) -> Bytes {
    Bytes(code!(Op::CostHttpRequestV2, parameters.into()))
}

/// A function that prices signatures.
#[derive(Clone, Copy, Debug)]
pub enum SignatureKind {
    /// `cost_sign_with_ecdsa`
    Ecdsa,
    /// `cost_sign_with_schnorr`
    Schnorr,
    /// `cost_vetkd_derive_key`
    Vetkd,
}

impl Int {
    /// Adds.
    #[expect(clippy::should_implement_trait, reason = "literals are not operands of operators")]
    pub fn add(self, other: impl Into<Self>) -> Self {
        Self(code!(Op::Add, self, other.into()))
    }

    /// Subtracts.
    #[expect(clippy::should_implement_trait, reason = "literals are not operands of operators")]
    pub fn sub(self, other: impl Into<Self>) -> Self {
        Self(code!(Op::Subtract, self, other.into()))
    }

    /// 1 when this is less.
    pub fn less_than(self, other: impl Into<Self>) -> Self {
        Self(code!(Op::Less, self, other.into()))
    }

    /// 1 when both are equal.
    pub fn equals(self, other: impl Into<Self>) -> Self {
        Self(code!(Op::Equal, self, other.into()))
    }
}

impl Bytes {
    /// Puts other bytes behind these.
    pub fn join(self, other: impl Into<Self>) -> Self {
        Self(code!(Op::Join, self, other.into()))
    }

    /// How many they are.
    pub fn length(self) -> Int {
        Int(code!(Op::Length, self))
    }

    /// The first eight as an integer.
    pub fn to_int(self) -> Int {
        Int(code!(Op::ToInt, self))
    }
}

impl Program {
    /// Makes a program that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a program of arbitrary bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    fn push(mut self, code: Vec<u8>) -> Self {
        self.0.extend(code);
        self
    }

    /// Runs another program after this one.
    pub fn then(self, other: Self) -> Self {
        self.push(other.0)
    }

    /// Evaluates an expression for what it does.
    pub fn run(self, value: impl Into<Bytes>) -> Self {
        self.push(code!(Op::Drop, value.into()))
    }

    /// Evaluates an expression for what it does.
    pub fn run_int(self, value: Int) -> Self {
        self.push(code!(Op::Drop, value))
    }

    /// Appends to the reply.
    pub fn append(self, bytes: impl Into<Bytes>) -> Self {
        self.push(code!(Op::MsgReplyDataAppend, bytes.into()))
    }

    /// Replies with what was appended.
    pub fn reply(self) -> Self {
        self.push(code!(Op::MsgReply))
    }

    /// Appends and replies.
    pub fn reply_with(self, bytes: impl Into<Bytes>) -> Self {
        self.append(bytes).reply()
    }

    /// Appends to the reply from an address that the heap need not have.
    pub fn append_at(self, source: u64, size: u64) -> Self {
        self.push(code!(Op::MsgReplyDataAppendAt, Int::from(source), Int::from(size)))
    }

    /// Rejects.
    pub fn reject(self, message: impl Into<Bytes>) -> Self {
        self.push(code!(Op::MsgReject, message.into()))
    }

    /// Accepts the message under inspection.
    pub fn accept_message(self) -> Self {
        self.push(code!(Op::AcceptMessage))
    }

    /// Traps with a message.
    pub fn trap(self, message: impl Into<Bytes>) -> Self {
        self.push(code!(Op::Trap, message.into()))
    }

    /// Executes `unreachable`.
    pub fn unreachable(self) -> Self {
        self.push(code!(Op::Unreachable))
    }

    /// Fills the stack until it overflows.
    pub fn overflow_stack(self) -> Self {
        self.push(code!(Op::OverflowStack))
    }

    /// Reads behind the end of the heap.
    pub fn read_out_of_bounds(self) -> Self {
        self.push(code!(Op::ReadOutOfBounds))
    }

    /// Calls a function of the table that is not there.
    pub fn call_missing_function(self) -> Self {
        self.push(code!(Op::CallMissingFunction))
    }

    /// Uses instructions up to the number given.
    pub fn spend(self, instructions: u64) -> Self {
        self.push(code!(Op::Spend, Int::from(instructions)))
    }

    /// Prints to the log.
    pub fn print(self, text: impl Into<Bytes>) -> Self {
        self.push(code!(Op::DebugPrint, text.into()))
    }

    /// Stores in a slot of the heap.
    pub fn store(self, slot: u64, bytes: impl Into<Bytes>) -> Self {
        self.push(code!(Op::Store, Int::from(slot), bytes.into()))
    }

    /// Writes stable memory.
    pub fn write_stable(self, offset: u64, bytes: impl Into<Bytes>) -> Self {
        self.push(code!(Op::Stable64Write, Int::from(offset), bytes.into()))
    }

    /// As [`Self::write_stable`], by the function of 32 bits.
    pub fn write_stable32(self, offset: u64, bytes: impl Into<Bytes>) -> Self {
        self.push(code!(Op::StableWrite, Int::from(offset), bytes.into()))
    }

    /// Sets the certified data.
    pub fn certify(self, bytes: impl Into<Bytes>) -> Self {
        self.push(code!(Op::CertifiedDataSet, bytes.into()))
    }

    /// Sets what a hook runs.
    pub fn set_hook(self, hook: Hook, program: Self) -> Self {
        let mut code = Bytes::from(program).0;
        code.extend([Op::SetHook as u8, hook as u8]);
        self.push(code)
    }

    /// Runs a program when a condition is not 0.
    pub fn when(mut self, condition: Int, body: Self) -> Self {
        self.0.extend(condition.0);
        put_block(&mut self.0, Op::If, &body.0);
        self
    }

    /// Runs a program so many times.
    pub fn repeat(mut self, count: u64, body: Self) -> Self {
        self.0.extend(Int::from(count).0);
        put_block(&mut self.0, Op::Repeat, &body.0);
        self
    }

    /// Runs bytes as a program.
    pub fn run_program(self, program: impl Into<Bytes>) -> Self {
        self.push(code!(Op::Run, program.into()))
    }

    /// Makes a call; traps when it cannot be performed.
    pub fn call(self, call: Call) -> Self {
        let refused = perform().equals(0).less_than(1);
        self.build_call(call).when(refused, Self::new().trap("the call was not performed"))
    }

    /// Makes a call and appends what `call_perform` returned, as 8 bytes.
    pub fn call_and_tell(self, call: Call) -> Self {
        self.build_call(call).append(perform())
    }

    /// Builds a call up to `call_perform`, which is left out.
    pub fn build_call(mut self, call: Call) -> Self {
        self.0.extend(call.receiver.0);
        self.0.extend(call.method.0);
        match call.closures {
            Closures::Programs { on_reply, on_reject } => {
                self.0.extend(Bytes::from(on_reply).0);
                self.0.extend(Bytes::from(on_reject).0);
                self.0.push(Op::CallNew as u8);
            }
            Closures::Function(function) => {
                self.0.extend(Int::from(function).0);
                self.0.extend(Int::from(0).0);
                self.0.push(Op::CallNewAt as u8);
            }
        }
        if let Some(program) = call.on_cleanup {
            self = self.on_cleanup(program);
        }
        if let Some(argument) = call.argument {
            self = self.append_call_data(argument);
        }
        if let Some(cycles) = call.cycles {
            self = self.add_call_cycles(cycles);
        }
        if let Some(seconds) = call.timeout_seconds {
            self = self.best_effort(seconds);
        }
        self
    }

    /// Sets the cleanup of the call under construction.
    pub fn on_cleanup(self, program: Self) -> Self {
        self.push(code!(Op::CallOnCleanup, Bytes::from(program)))
    }

    /// Appends to the argument of the call under construction.
    pub fn append_call_data(self, bytes: impl Into<Bytes>) -> Self {
        self.push(code!(Op::CallDataAppend, bytes.into()))
    }

    /// Attaches cycles to the call under construction.
    pub fn add_call_cycles(self, cycles: u128) -> Self {
        let (high, low) = high_low(cycles);
        self.push(code!(Op::CallCyclesAdd128, high, low))
    }

    /// As [`Self::add_call_cycles`], by the function of 64 bits.
    pub fn add_call_cycles64(self, cycles: u64) -> Self {
        self.push(code!(Op::CallCyclesAdd, Int::from(cycles)))
    }

    /// Limits how long the answer of the call under construction is waited for.
    pub fn best_effort(self, seconds: u64) -> Self {
        self.push(code!(Op::CallWithBestEffortResponse, Int::from(seconds)))
    }

    /// Appends what a function that prices signatures returned, as 8 bytes, and then the price, if `kind` is known to it.
    pub fn append_signature_cost(self, kind: SignatureKind, key: &str, algorithm: u64) -> Self {
        let operation = match kind {
            SignatureKind::Ecdsa => Op::CostSignWithEcdsa,
            SignatureKind::Schnorr => Op::CostSignWithSchnorr,
            SignatureKind::Vetkd => Op::CostVetkdDeriveKey,
        };
        // The price is on top; both are appended, the price first.
        let mut code = code!(operation, Bytes::from(key), Int::from(algorithm));
        code.push(Op::MsgReplyDataAppend as u8);
        code.extend([Op::ToBytes as u8, Op::MsgReplyDataAppend as u8]);
        self.push(code)
    }

    /// Returns the bytes of the program.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call {
    receiver: Bytes,
    method: Bytes,
    closures: Closures,
    on_cleanup: Option<Program>,
    argument: Option<Bytes>,
    cycles: Option<u128>,
    timeout_seconds: Option<u64>,
}

#[derive(Clone, Debug)]
enum Closures {
    Programs { on_reply: Program, on_reject: Program },
    Function(u64),
}

impl Call {
    /// Calls a method; the answer is forwarded to the caller as [`forward`] reads it.
    pub fn new(receiver: impl Into<Bytes>, method: impl Into<Bytes>) -> Self {
        Self {
            receiver: receiver.into(),
            method: method.into(),
            closures: Closures::Programs { on_reply: reply_forwarder(), on_reject: reject_forwarder() },
            on_cleanup: None,
            argument: None,
            cycles: None,
            timeout_seconds: None,
        }
    }

    /// Calls `update` of a universal canister with a program.
    pub fn update(receiver: impl Into<Bytes>, program: Program) -> Self {
        Self::new(receiver, "update").argument(program)
    }

    /// Calls `query` of a universal canister with a program.
    pub fn query(receiver: impl Into<Bytes>, program: Program) -> Self {
        Self::new(receiver, "query").argument(program)
    }

    /// Sets the argument.
    pub fn argument(self, argument: impl Into<Bytes>) -> Self {
        Self { argument: Some(argument.into()), ..self }
    }

    /// Attaches cycles.
    pub fn cycles(self, cycles: u128) -> Self {
        Self { cycles: Some(cycles), ..self }
    }

    /// Waits so many seconds for the answer at the most.
    pub fn timeout(self, seconds: u64) -> Self {
        Self { timeout_seconds: Some(seconds), ..self }
    }

    /// Sets what runs when the call is replied to.
    pub fn on_reply(mut self, program: Program) -> Self {
        let on_reject = match self.closures {
            Closures::Programs { on_reject, .. } => on_reject,
            Closures::Function(_) => reject_forwarder(),
        };
        self.closures = Closures::Programs { on_reply: program, on_reject };
        self
    }

    /// Sets what runs when the call is rejected.
    pub fn on_reject(mut self, program: Program) -> Self {
        let on_reply = match self.closures {
            Closures::Programs { on_reply, .. } => on_reply,
            Closures::Function(_) => reply_forwarder(),
        };
        self.closures = Closures::Programs { on_reply, on_reject: program };
        self
    }

    /// Sets what runs when a callback traps.
    pub fn on_cleanup(self, program: Program) -> Self {
        Self { on_cleanup: Some(program), ..self }
    }

    /// Makes both callbacks the function at this place of the table.
    pub fn closure_at(self, function: u64) -> Self {
        Self { closures: Closures::Function(function), ..self }
    }
}

/// What [`forward`] reads: whether the call was replied to, then the reply.
fn reply_forwarder() -> Program {
    Program::new().append(&[canister::REPLIED]).append(argument()).reply()
}

/// What [`forward`] reads: whether the call was replied to, the reject code in 8 bytes, the message.
fn reject_forwarder() -> Program {
    Program::new().append(&[canister::REJECTED]).append(reject_code()).append(reject_message()).reply()
}
