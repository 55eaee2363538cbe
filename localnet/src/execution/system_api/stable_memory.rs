//! Stable memory, through 64-bit and through 32-bit addresses.

use wasmtime::{Caller, Linker};

use super::{Halt, HostState, charge, enter, heap_access::split, mode};
use crate::{execution::stable::WASM_PAGE_BYTES, limits::MAX_STABLE_MEMORY};

type Call<'a> = Caller<'a, HostState>;

/// Instructions for each stable page that a message changes.
const DIRTY_PAGE_INSTRUCTIONS: u64 = 1_000;
/// Instructions for a copy, besides one for each byte.
const COPY_INSTRUCTIONS: u64 = 20;
/// Most Wasm pages that the 32-bit functions can address.
const MAX_PAGES_32: u64 = (4 << 30) / WASM_PAGE_BYTES;
/// What growing answers when it cannot.
const NOT_GROWN: u64 = u64::MAX;

const OUT_OF_BOUNDS: Halt = Halt::Trapped("stable memory out of bounds");
const HEAP_OUT_OF_BOUNDS: Halt = Halt::Trapped("heap out of bounds");
const TOO_BIG: Halt = Halt::Trapped("32 bit stable memory api used on a memory larger than 4GB");

pub(super) fn define(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("ic0", "stable64_size", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "stable64_size", mode::ANY, 0)?;
        Ok(caller.data().stable.wasm_pages())
    })?;
    linker.func_wrap("ic0", "stable64_grow", |mut caller: Call<'_>, pages: u64| -> wasmtime::Result<u64> {
        enter(&mut caller, "stable64_grow", mode::ANY, 100)?;
        grow(&mut caller, pages, MAX_STABLE_MEMORY / WASM_PAGE_BYTES)
    })?;
    linker.func_wrap(
        "ic0",
        "stable64_read",
        |mut caller: Call<'_>, destination: u64, offset: u64, size: u64| -> wasmtime::Result<()> {
            enter_copy(&mut caller, "stable64_read", size)?;
            // The replica looks at nothing else when there is nothing to copy.
            if size == 0 { Ok(()) } else { read(&mut caller, destination, offset, size) }
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable64_write",
        |mut caller: Call<'_>, offset: u64, source: u64, size: u64| -> wasmtime::Result<()> {
            enter_copy(&mut caller, "stable64_write", size)?;
            if size == 0 { Ok(()) } else { write(&mut caller, offset, source, size) }
        },
    )?;
    Ok(())
}

/// Defines the functions with 32-bit addresses, which trap once the memory has grown beyond them.
pub(super) fn define_legacy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("ic0", "stable_size", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "stable_size", mode::ANY, 0)?;
        check_addressable(&caller)?;
        Ok(caller.data().stable.wasm_pages() as u32)
    })?;
    linker.func_wrap("ic0", "stable_grow", |mut caller: Call<'_>, pages: u32| -> wasmtime::Result<u32> {
        enter(&mut caller, "stable_grow", mode::ANY, 100)?;
        check_addressable(&caller)?;
        // The size before fits 32 bits, and the answer for failure is all ones in either width.
        Ok(grow(&mut caller, u64::from(pages), MAX_PAGES_32)? as u32)
    })?;
    linker.func_wrap(
        "ic0",
        "stable_read",
        |mut caller: Call<'_>, destination: u32, offset: u32, size: u32| -> wasmtime::Result<()> {
            enter_copy(&mut caller, "stable_read", u64::from(size))?;
            if size == 0 {
                return Ok(());
            }
            check_addressable(&caller)?;
            read(&mut caller, u64::from(destination), u64::from(offset), u64::from(size))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable_write",
        |mut caller: Call<'_>, offset: u32, source: u32, size: u32| -> wasmtime::Result<()> {
            enter_copy(&mut caller, "stable_write", u64::from(size))?;
            check_addressable(&caller)?;
            if size == 0 {
                let is_within = caller.data().stable.contains(u64::from(offset), 0);
                return if is_within { Ok(()) } else { Err(OUT_OF_BOUNDS.into()) };
            }
            write(&mut caller, u64::from(offset), u64::from(source), u64::from(size))
        },
    )?;
    Ok(())
}

/// Begins to copy `size` bytes from or to stable memory.
fn enter_copy(caller: &mut Call<'_>, name: &'static str, size: u64) -> wasmtime::Result<()> {
    enter(caller, name, mode::ANY, COPY_INSTRUCTIONS.saturating_add(size))
}

fn check_addressable(caller: &Call<'_>) -> Result<(), Halt> {
    if caller.data().stable.wasm_pages() > MAX_PAGES_32 { Err(TOO_BIG) } else { Ok(()) }
}

fn grow(caller: &mut Call<'_>, pages: u64, most: u64) -> wasmtime::Result<u64> {
    let state = caller.data_mut();
    let before = state.stable.wasm_pages();
    if before.checked_add(pages).is_none_or(|after| after > most) {
        return Ok(NOT_GROWN);
    }
    if !state.grow_memory(pages * WASM_PAGE_BYTES)? {
        return Ok(NOT_GROWN);
    }
    state.stable.grow(pages);
    Ok(before)
}

fn read(caller: &mut Call<'_>, destination: u64, offset: u64, size: u64) -> wasmtime::Result<()> {
    let (heap, state) = split(caller)?;
    if !state.stable.contains(offset, size) {
        return Err(OUT_OF_BOUNDS.into());
    }
    let end = destination.checked_add(size).ok_or(HEAP_OUT_OF_BOUNDS)?;
    let target = heap.get_mut(destination as usize..end as usize).ok_or(HEAP_OUT_OF_BOUNDS)?;
    state.stable.read(offset, target);
    touch(state, offset, size)
}

fn write(caller: &mut Call<'_>, offset: u64, source: u64, size: u64) -> wasmtime::Result<()> {
    let (heap, state) = split(caller)?;
    if !state.stable.contains(offset, size) {
        return Err(OUT_OF_BOUNDS.into());
    }
    let end = source.checked_add(size).ok_or(HEAP_OUT_OF_BOUNDS)?;
    if heap.get(source as usize..end as usize).is_none() {
        return Err(HEAP_OUT_OF_BOUNDS.into());
    }
    touch(state, offset, size)?;
    // Counted before anything is written, so that a write past the limit takes no memory.
    let pages = state.stable.newly_dirtied_by(offset, size as usize);
    let run = state.run()?;
    run.dirty_stable_pages += pages;
    if run.dirty_stable_pages > run.max_stable_pages() {
        return Err(Halt::ChangedStablePages.into());
    }
    charge(caller, pages * DIRTY_PAGE_INSTRUCTIONS)?;
    let (heap, state) = split(caller)?;
    state.stable.write(offset, &heap[source as usize..end as usize]);
    Ok(())
}

/// Counts the pages of a range that the message reaches for the first time.
fn touch(state: &mut HostState, offset: u64, size: u64) -> wasmtime::Result<()> {
    let run = state.run()?;
    run.touched_stable_pages.insert(offset, size);
    if run.touched_stable_pages.count() > run.max_stable_pages() {
        return Err(Halt::TouchedStablePages.into());
    }
    Ok(())
}
