//! The system API: the functions of module `ic0` that a canister imports.
//!
//! Each function first checks that it may be used in the mode of the message, then charges its instructions, then
//! acts on the [`Run`] of the message. Nothing here outlives the message: what it did is taken from the run when it
//! ended well.

mod calls;
mod costs;
mod cycles;
mod heap_access;
mod identity;
mod mode;
mod network_state;
mod response;
mod run;
mod stable_memory;
mod trap;

use std::{collections::BTreeMap, sync::LazyLock};

use wasmparser::ValType;
use wasmtime::{Caller, Extern, Linker, Store, WasmTy};

pub(super) use mode::Mode;
pub(super) use run::{HostState, Run};
pub(super) use trap::Halt;

use super::engine::engine;
use mode::Modes;

/// An address or a size: `i32` or `i64`, by the module's memory.
trait Size: WasmTy + Copy {
    /// Returns the value as an unsigned 64-bit one.
    fn wide(self) -> u64;
    /// Makes the value from a length of bytes that limits keep far below 4 GiB.
    fn of(length: usize) -> Self;
}

impl Size for u32 {
    fn wide(self) -> u64 {
        u64::from(self)
    }
    fn of(length: usize) -> Self {
        length as u32
    }
}

impl Size for u64 {
    fn wide(self) -> u64 {
        self
    }
    fn of(length: usize) -> Self {
        length as u64
    }
}

static LINKER32: LazyLock<Linker<HostState>> = LazyLock::new(|| {
    let mut linker = Linker::new(engine(false));
    define::<u32>(&mut linker).and_then(|()| define_legacy(&mut linker)).expect("no function is defined twice");
    linker
});

static LINKER64: LazyLock<Linker<HostState>> = LazyLock::new(|| {
    let mut linker = Linker::new(engine(true));
    define::<u64>(&mut linker).expect("no function is defined twice");
    linker
});

/// Returns all functions for modules with a 32-bit or a 64-bit memory.
pub(super) fn linker(wasm64: bool) -> &'static Linker<HostState> {
    if wasm64 { &LINKER64 } else { &LINKER32 }
}

fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    response::define::<I>(linker)?;
    identity::define::<I>(linker)?;
    network_state::define::<I>(linker)?;
    cycles::define::<I>(linker)?;
    calls::define::<I>(linker)?;
    costs::define::<I>(linker)?;
    stable_memory::define(linker)?;
    trap::define::<I>(linker)
}

/// Defines what only modules with a 32-bit memory may import.
fn define_legacy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    cycles::define_legacy(linker)?;
    stable_memory::define_legacy(linker)
}

type Signature = (Vec<ValType>, Vec<ValType>);

static SIGNATURES32: LazyLock<BTreeMap<String, Signature>> = LazyLock::new(|| signatures(false));
static SIGNATURES64: LazyLock<BTreeMap<String, Signature>> = LazyLock::new(|| signatures(true));

/// Returns parameters and results of a function, or `None` when there is no such function.
pub(super) fn import_signature(wasm64: bool, name: &str) -> Option<(&'static [ValType], &'static [ValType])> {
    let signatures = if wasm64 { &SIGNATURES64 } else { &SIGNATURES32 };
    signatures.get(name).map(|(parameters, results)| (parameters.as_slice(), results.as_slice()))
}

/// Reads the signatures from the functions themselves, so that the two cannot differ.
fn signatures(wasm64: bool) -> BTreeMap<String, Signature> {
    let translate = |ty: wasmtime::ValType| if ty.is_i32() { ValType::I32 } else { ValType::I64 };
    let mut store = Store::new(engine(wasm64), HostState::default());
    let functions: Vec<_> =
        linker(wasm64).iter(&mut store).map(|(_, name, function)| (name.to_owned(), function)).collect();
    let signature = |(name, function): (String, Extern)| {
        let ty = function.into_func()?.ty(&store);
        Some((name, (ty.params().map(translate).collect(), ty.results().map(translate).collect())))
    };
    functions.into_iter().filter_map(signature).collect()
}

/// Begins a function: checks that the mode allows it and charges its fixed instructions.
fn enter(
    caller: &mut Caller<'_, HostState>,
    name: &'static str,
    modes: Modes,
    instructions: u64,
) -> wasmtime::Result<()> {
    let mode = caller.data_mut().run()?.mode;
    if !modes.contains(mode) {
        return Err(Halt::Contract(format!("\"ic0_{name}\" cannot be executed in {mode} mode")).into());
    }
    charge(caller, instructions)
}

/// What the replica counts for each byte of a payload that leaves the canister.
const TRANSMITTED_BYTE: u64 = 50;

/// Takes instructions from what the message has left.
fn charge(caller: &mut Caller<'_, HostState>, instructions: u64) -> wasmtime::Result<()> {
    let owed = std::mem::take(&mut caller.data_mut().owed_instructions);
    let instructions = instructions.saturating_add(owed);
    let left = caller.get_fuel()?;
    match left.checked_sub(instructions) {
        Some(rest) => caller.set_fuel(rest),
        None => {
            caller.set_fuel(0)?;
            Err(wasmtime::Trap::OutOfFuel.into())
        }
    }
}

/// Charges for bytes that leave the canister in a request or a response.
fn charge_transmission(caller: &mut Caller<'_, HostState>, bytes: u64) -> wasmtime::Result<()> {
    charge(caller, bytes.saturating_mul(TRANSMITTED_BYTE))
}

#[cfg(test)]
mod tests;
