//! Runs programs.

use std::{cell::RefCell, collections::BTreeMap, hint::black_box};

use universal::{HOOKS, Hook, Operation};

use crate::ic0::{self, Closure};

/// Bytes that are filled between two looks at the instruction counter, while instructions are spent.
const SPENDING_BYTES: usize = 32 << 10;

thread_local! {
    static SLOTS: RefCell<BTreeMap<u64, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static HOOK_PROGRAMS: RefCell<[Option<Vec<u8>>; HOOKS]> = const { RefCell::new([const { None }; HOOKS]) };
}

/// Returns the program that was set for a hook.
pub(crate) fn hook_program(hook: Hook) -> Option<Vec<u8>> {
    HOOK_PROGRAMS.with_borrow(|programs| programs[hook as usize].clone())
}

/// Runs a program from an empty stack.
pub(crate) fn run(program: &[u8]) {
    Machine { stack: Vec::new() }.run(program);
}

enum Value {
    Int(u64),
    Bytes(Vec<u8>),
}

struct Machine {
    stack: Vec<Value>,
}

impl Machine {
    fn run(&mut self, mut program: &[u8]) {
        while let Some((byte, rest)) = program.split_first() {
            program = rest;
            match Operation::ALL.get(usize::from(*byte)) {
                Some(operation) => self.step(*operation, &mut program),
                None => malformed("there is no such operation"),
            }
        }
    }

    fn step(&mut self, operation: Operation, program: &mut &[u8]) {
        use Operation as Op;
        match operation {
            Op::Int => {
                let value = u64::from_le_bytes(take_array(program));
                self.put_int(value);
            }
            Op::Bytes => {
                let value = take_bytes(program).to_vec();
                self.put(value);
            }
            Op::Drop => drop(self.take()),
            Op::Add => self.combine(u64::wrapping_add),
            Op::Subtract => self.combine(u64::wrapping_sub),
            Op::Less => self.combine(|a, b| u64::from(a < b)),
            Op::Equal => self.combine(|a, b| u64::from(a == b)),
            Op::Join => {
                let end = self.bytes();
                let mut joined = self.bytes();
                joined.extend(end);
                self.put(joined);
            }
            Op::Length => {
                let length = self.bytes().len();
                self.put_int(length as u64);
            }
            Op::Fill => {
                let (byte, count) = self.two_ints();
                self.put(vec![byte as u8; count as usize]);
            }
            Op::ToBytes => {
                let value = self.int();
                self.put(value.to_le_bytes().to_vec());
            }
            Op::ToInt => {
                let mut bytes = self.bytes();
                bytes.resize(size_of::<u64>(), 0);
                self.put_int(u64::from_le_bytes(take_array(&mut bytes.as_slice())));
            }
            Op::Store => {
                let bytes = self.bytes();
                let slot = self.int();
                SLOTS.with_borrow_mut(|slots| slots.insert(slot, bytes));
            }
            Op::Load => {
                let slot = self.int();
                let bytes = SLOTS.with_borrow(|slots| slots.get(&slot).cloned());
                self.put(bytes.unwrap_or_default());
            }
            Op::SetHook => {
                let [hook] = take_array(program);
                let hook_program = self.bytes();
                HOOK_PROGRAMS.with_borrow_mut(|programs| match programs.get_mut(usize::from(hook)) {
                    Some(place) => *place = Some(hook_program),
                    None => malformed("there is no such hook"),
                });
            }
            Op::If => {
                let body = take_bytes(program);
                if self.int() != 0 {
                    self.run(body);
                }
            }
            Op::Repeat => {
                let body = take_bytes(program);
                for _ in 0..self.int() {
                    self.run(body);
                }
            }
            Op::Run => {
                let body = self.bytes();
                self.run(&body);
            }
            Op::Spend => spend(self.int()),
            Op::GrowHeap => {
                let pages = self.int();
                self.put_int(core::arch::wasm32::memory_grow::<0>(pages as usize) as u64);
            }
            Op::Unreachable => core::arch::wasm32::unreachable(),
            Op::OverflowStack => {
                black_box(overflow_stack(1));
            }
            Op::ReadOutOfBounds => read_out_of_bounds(),
            Op::CallMissingFunction => call_missing_function(),
            _ => self.call_system(operation),
        }
    }

    /// Operations that are functions of the system API.
    fn call_system(&mut self, operation: Operation) {
        use Operation as Op;
        match operation {
            Op::MsgArgData => self.put(ic0::msg_arg_data()),
            Op::MsgArgDataPart => {
                let (offset, size) = self.two_ints();
                self.put(ic0::msg_arg_data_part(offset as usize, size as usize));
            }
            Op::MsgCaller => self.put(ic0::msg_caller()),
            Op::MsgCallerInfoData => self.put(ic0::msg_caller_info_data()),
            Op::MsgCallerInfoSigner => self.put(ic0::msg_caller_info_signer()),
            Op::MsgRejectCode => self.put_int(ic0::msg_reject_code().into()),
            Op::MsgRejectMsg => self.put(ic0::msg_reject_msg()),
            Op::MsgDeadline => self.put_int(ic0::msg_deadline()),
            Op::MsgReplyDataAppend => ic0::msg_reply_data_append(&self.bytes()),
            Op::MsgReplyDataAppendAt => {
                let (source, size) = self.two_ints();
                ic0::msg_reply_data_append_at(source as usize, size as usize);
            }
            Op::MsgReply => ic0::msg_reply(),
            Op::MsgReject => ic0::msg_reject(&self.bytes()),
            Op::MsgMethodName => self.put(ic0::msg_method_name()),
            Op::AcceptMessage => ic0::accept_message(),
            Op::MsgCyclesAvailable128 => self.put(ic0::msg_cycles_available128()),
            Op::MsgCyclesRefunded128 => self.put(ic0::msg_cycles_refunded128()),
            Op::MsgCyclesAccept128 => self.map_two(ic0::msg_cycles_accept128),
            Op::CyclesBurn128 => self.map_two(ic0::cycles_burn128),
            Op::CanisterCycleBalance128 => self.put(ic0::canister_cycle_balance128()),
            Op::CanisterLiquidCycleBalance128 => self.put(ic0::canister_liquid_cycle_balance128()),
            Op::MsgCyclesAvailable => self.put_int(ic0::msg_cycles_available()),
            Op::MsgCyclesRefunded => self.put_int(ic0::msg_cycles_refunded()),
            Op::MsgCyclesAccept => self.map_int(|amount| ic0::msg_cycles_accept(amount)),
            Op::CanisterCycleBalance => self.put_int(ic0::canister_cycle_balance()),
            Op::MintCycles128 => self.map_two(ic0::mint_cycles128),
            Op::CanisterSelf => self.put(ic0::canister_self()),
            Op::CanisterStatus => self.put_int(ic0::canister_status().into()),
            Op::CanisterVersion => self.put_int(ic0::canister_version()),
            Op::SubnetSelf => self.put(ic0::subnet_self()),
            Op::RootKey => self.put(ic0::root_key()),
            Op::CertifiedDataSet => ic0::certified_data_set(&self.bytes()),
            Op::DataCertificatePresent => self.put_int(ic0::data_certificate_present().into()),
            Op::DataCertificate => self.put(ic0::data_certificate()),
            Op::Time => self.put_int(ic0::time()),
            Op::GlobalTimerSet => self.map_int(|deadline| ic0::global_timer_set(deadline)),
            Op::PerformanceCounter => self.map_int(|counter| ic0::performance_counter(counter as u32)),
            Op::IsController => {
                let principal = self.bytes();
                self.put_int(ic0::is_controller(&principal).into());
            }
            Op::InReplicatedExecution => self.put_int(ic0::in_replicated_execution().into()),
            Op::EnvVarCount => self.put_int(ic0::env_var_count() as u64),
            Op::EnvVarName => {
                let index = self.int();
                self.put(ic0::env_var_name(index as usize));
            }
            Op::EnvVarNameExists => {
                let name = self.bytes();
                self.put_int(ic0::env_var_name_exists(&name).into());
            }
            Op::EnvVarValue => {
                let name = self.bytes();
                self.put(ic0::env_var_value(&name));
            }
            Op::DebugPrint => ic0::debug_print(&self.bytes()),
            Op::Trap => ic0::trap(&self.bytes()),
            Op::CallNew => {
                let on_reject = closure(self.bytes());
                let on_reply = closure(self.bytes());
                let method = self.bytes();
                ic0::call_new(&self.bytes(), &method, on_reply, on_reject);
            }
            Op::CallNewAt => {
                let (function, environment) = self.two_ints();
                let closure = Closure { function: function as usize, environment: environment as usize };
                let method = self.bytes();
                ic0::call_new(&self.bytes(), &method, closure, closure);
            }
            Op::CallOnCleanup => {
                let Closure { function, environment } = closure(self.bytes());
                ic0::call_on_cleanup(function, environment);
            }
            Op::CallDataAppend => ic0::call_data_append(&self.bytes()),
            Op::CallWithBestEffortResponse => ic0::call_with_best_effort_response(self.int() as u32),
            Op::CallCyclesAdd128 => {
                let (high, low) = self.two_ints();
                ic0::call_cycles_add128(high, low);
            }
            Op::CallCyclesAdd => ic0::call_cycles_add(self.int()),
            Op::CallPerform => self.put_int(ic0::call_perform().into()),
            Op::Stable64Size => self.put_int(ic0::stable64_size()),
            Op::Stable64Grow => self.map_int(|pages| ic0::stable64_grow(pages)),
            Op::Stable64Write => {
                let bytes = self.bytes();
                ic0::stable64_write(self.int(), &bytes);
            }
            Op::Stable64Read => self.map_two(ic0::stable64_read),
            Op::StableSize => self.put_int(ic0::stable_size().into()),
            Op::StableGrow => self.map_int(|pages| ic0::stable_grow(pages as u32).into()),
            Op::StableWrite => {
                let bytes = self.bytes();
                ic0::stable_write(self.int() as u32, &bytes);
            }
            Op::StableRead => self.map_two(|offset, size| ic0::stable_read(offset as u32, size as u32)),
            Op::CostCall => self.map_two(ic0::cost_call),
            Op::CostCreateCanister => self.put(ic0::cost_create_canister()),
            Op::CostHttpRequest => self.map_two(ic0::cost_http_request),
            Op::CostHttpRequestV2 => {
                let parameters = self.bytes();
                self.put(ic0::cost_http_request_v2(&parameters));
            }
            Op::CostSignWithEcdsa => self.put_price(ic0::cost_sign_with_ecdsa),
            Op::CostSignWithSchnorr => self.put_price(ic0::cost_sign_with_schnorr),
            Op::CostVetkdDeriveKey => self.put_price(ic0::cost_vetkd_derive_key),
            _ => malformed("the operation is not of the system API"),
        }
    }

    fn put(&mut self, bytes: Vec<u8>) {
        self.stack.push(Value::Bytes(bytes));
    }

    fn put_int(&mut self, value: u64) {
        self.stack.push(Value::Int(value));
    }

    fn take(&mut self) -> Value {
        match self.stack.pop() {
            Some(value) => value,
            None => malformed("the stack is empty"),
        }
    }

    fn int(&mut self) -> u64 {
        match self.take() {
            Value::Int(value) => value,
            Value::Bytes(_) => malformed("an integer is expected"),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self.take() {
            Value::Bytes(bytes) => bytes,
            Value::Int(_) => malformed("a byte string is expected"),
        }
    }

    /// Takes two integers, in the order in which they were put.
    fn two_ints(&mut self) -> (u64, u64) {
        let second = self.int();
        (self.int(), second)
    }

    fn combine(&mut self, operation: impl FnOnce(u64, u64) -> u64) {
        let (a, b) = self.two_ints();
        self.put_int(operation(a, b));
    }

    fn map_int(&mut self, function: impl FnOnce(u64) -> u64) {
        let value = self.int();
        self.put_int(function(value));
    }

    fn map_two(&mut self, function: impl FnOnce(u64, u64) -> Vec<u8>) {
        let (a, b) = self.two_ints();
        self.put(function(a, b));
    }

    fn put_price(&mut self, function: impl FnOnce(&[u8], u32) -> (u32, Vec<u8>)) {
        let kind = self.int();
        let key = self.bytes();
        let (returned, cycles) = function(&key, kind as u32);
        self.put_int(returned.into());
        self.put(cycles);
    }
}

fn malformed(reason: &str) -> ! {
    ic0::trap(format!("malformed program: {reason}").as_bytes())
}

fn take_array<const N: usize>(program: &mut &[u8]) -> [u8; N] {
    match program.split_first_chunk() {
        Some((array, rest)) => {
            *program = rest;
            *array
        }
        None => malformed("an operand is missing"),
    }
}

fn take_bytes<'a>(program: &mut &'a [u8]) -> &'a [u8] {
    let length = u32::from_le_bytes(take_array(program)) as usize;
    match program.split_at_checked(length) {
        Some((bytes, rest)) => {
            *program = rest;
            bytes
        }
        None => malformed("an operand is missing"),
    }
}

/// Makes a callback of a program. The program is given back when the callback runs; of two callbacks for one call the
/// other one's stays on the heap.
fn closure(program: Vec<u8>) -> Closure {
    let function: extern "C" fn(*mut Vec<u8>) = run_callback;
    Closure { function: function as usize, environment: Box::into_raw(Box::new(program)) as usize }
}

extern "C" fn run_callback(program: *mut Vec<u8>) {
    // SAFETY: the environment is the address that `closure` gave away, and each callback runs at most once: one that
    // trapped has left no trace.
    let program = unsafe { Box::from_raw(program) };
    run(&program);
}

/// Uses up instructions by filling bytes, which counts one for each and takes less time than anything else.
fn spend(target: u64) {
    let mut bytes = vec![0_u8; SPENDING_BYTES];
    while ic0::performance_counter(0) < target {
        black_box(&mut bytes).fill(black_box(1));
    }
}

#[expect(unconditional_recursion, reason = "it is to end in a trap")]
fn overflow_stack(depth: u64) -> u64 {
    let mut frame = [depth; 512];
    black_box(&mut frame);
    overflow_stack(frame[17] + 1) + frame[34]
}

fn read_out_of_bounds() {
    let end = core::arch::wasm32::memory_size::<0>() << 16;
    // SAFETY: not sound, on purpose: the access lies behind the end of the heap and must trap.
    black_box(unsafe { core::ptr::read_volatile(black_box(end + 64) as *const u8) });
}

fn call_missing_function() {
    // SAFETY: not sound, on purpose: the table has no such function, and the call must trap.
    let function: extern "C" fn() = unsafe { core::mem::transmute(black_box(usize::MAX)) };
    function();
}
