//! Reading from and writing to the canister's heap, with the checks that every function makes.

use wasmtime::Caller;

use super::{Halt, HostState, Run, charge};
use crate::message::Cycles;

/// Returns the heap and the state of the message; the heap of a module without memory is empty.
pub(super) fn split<'a>(caller: &'a mut Caller<'_, HostState>) -> wasmtime::Result<(&'a mut [u8], &'a mut HostState)> {
    match caller.data().memory {
        Some(memory) => Ok(memory.data_and_store_mut(caller)),
        None => Ok((&mut [], caller.data_mut())),
    }
}

/// Returns the part of `bytes` that a canister named, or the contract violation that it named too much.
pub(super) fn slice<'a>(bytes: &'a [u8], name: &str, offset: u64, size: u64) -> Result<&'a [u8], Halt> {
    range(bytes.len(), name, offset, size).map(|range| &bytes[range])
}

/// As [`slice`], to be written to.
pub(super) fn slice_mut<'a>(bytes: &'a mut [u8], name: &str, offset: u64, size: u64) -> Result<&'a mut [u8], Halt> {
    range(bytes.len(), name, offset, size).map(|range| &mut bytes[range])
}

fn range(length: usize, name: &str, offset: u64, size: u64) -> Result<std::ops::Range<usize>, Halt> {
    match offset.checked_add(size) {
        Some(end) if end <= length as u64 => Ok(offset as usize..end as usize),
        _ => Err(Halt::Contract(format!("{name}: src={offset} + length={size} exceeds the slice size={length}"))),
    }
}

/// Where a canister wants bytes to be copied from and to.
#[derive(Clone, Copy)]
pub(super) struct CopyOut {
    /// Address in the heap.
    pub(super) destination: u64,
    /// Offset in what is copied.
    pub(super) offset: u64,
    /// How many bytes.
    pub(super) size: u64,
}

/// Copies part of what `pick` finds in the message to the heap, and charges an instruction for each byte.
pub(super) fn copy_out(
    caller: &mut Caller<'_, HostState>,
    name: &str,
    copy: CopyOut,
    pick: impl FnOnce(&Run) -> Result<&[u8], Halt>,
) -> wasmtime::Result<()> {
    charge(caller, copy.size)?;
    let (heap, state) = split(caller)?;
    let source = slice(pick(state.run()?)?, name, copy.offset, copy.size)?;
    slice_mut(heap, name, copy.destination, copy.size)?.copy_from_slice(source);
    Ok(())
}

/// Reads bytes from the heap, at most `limit`, and charges an instruction for each.
pub(super) fn read(
    caller: &mut Caller<'_, HostState>,
    name: &str,
    source: u64,
    size: u64,
    limit: usize,
) -> wasmtime::Result<Vec<u8>> {
    charge(caller, size)?;
    copy_in(caller, name, source, size, limit)
}

/// Reads bytes from the heap, at most `limit`, which were charged for already.
pub(super) fn copy_in(
    caller: &mut Caller<'_, HostState>,
    name: &str,
    source: u64,
    size: u64,
    limit: usize,
) -> wasmtime::Result<Vec<u8>> {
    let (heap, _) = split(caller)?;
    let bytes = slice(heap, name, source, size)?;
    if bytes.len() > limit {
        return Err(Halt::Contract(format!("{name}: size {size} exceeds the limit {limit}")).into());
    }
    Ok(bytes.to_vec())
}

/// Reads text from the heap as [`read`] does.
pub(super) fn read_text(
    caller: &mut Caller<'_, HostState>,
    name: &str,
    source: u64,
    size: u64,
    limit: usize,
) -> wasmtime::Result<String> {
    charge(caller, size)?;
    copy_in_text(caller, name, source, size, limit)
}

/// Reads text from the heap as [`copy_in`] does.
pub(super) fn copy_in_text(
    caller: &mut Caller<'_, HostState>,
    name: &str,
    source: u64,
    size: u64,
    limit: usize,
) -> wasmtime::Result<String> {
    let bytes = copy_in(caller, name, source, size, limit)?;
    String::from_utf8(bytes).map_err(|_| Halt::Contract(format!("{name}: the bytes are not UTF-8 text")).into())
}

/// Writes an amount as 16 bytes, least significant first.
pub(super) fn write_cycles(
    caller: &mut Caller<'_, HostState>,
    name: &str,
    destination: u64,
    amount: Cycles,
) -> wasmtime::Result<()> {
    let bytes = amount.to_le_bytes();
    let (heap, _) = split(caller)?;
    slice_mut(heap, name, destination, bytes.len() as u64)?.copy_from_slice(&bytes);
    Ok(())
}
