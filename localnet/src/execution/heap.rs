//! The Wasm heap: a memory that knows which of its pages changed and can forget the changes.
//!
//! The committed content lives in an anonymous file that is mapped twice. Wasm runs on a private (copy-on-write)
//! mapping; commits go through a shared one. The kernel tells which pages of the private mapping were copied because
//! they were written to: those are the dirty ones. Committing copies them over and drops the private copies, undoing
//! only drops them. Both cost time by what was changed, not by the size of the heap.
//!
//! This relies on Linux (`memfd_create` and `/proc/self/pagemap`) and is the only module with unsafe code.
//!
//! The kernel looks at every page of the private mapping that is there when it is asked for the dirty ones, so pages
//! that were only read are unmapped from time to time: a message takes time by what it touches, however large the heap.
#![expect(unsafe_code, reason = "memory mappings shared with compiled Wasm cannot be expressed safely")]

mod page_map;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("localnet runs on 64-bit Linux only: its heaps need memfd and /proc/self/pagemap");

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::c_void,
    io,
    ops::Range,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap},
};
use wasmtime::{AsContextMut, LinearMemory, MemoryCreator, MemoryType};

use super::{
    heap_leaves::{HeapLeaf, HeapLeaves},
    stable::{PAGE_BYTES, Page, PageSet},
};
use crate::limits::{MAX_WASM32_HEAP, MAX_WASM64_HEAP};

/// Inaccessible bytes behind a heap, so that 32-bit addresses with an offset need no bounds check.
pub(super) const GUARD_BYTES: u64 = 32 << 20;

/// Pages that may stay mapped though they were only read.
const MAX_CLEAN_PAGES: usize = 512;

/// Returns the bytes of address space that a heap may grow to.
pub(super) fn capacity(wasm64: bool) -> u64 {
    if wasm64 { MAX_WASM64_HEAP } else { MAX_WASM32_HEAP }
}

/// The mappings of one heap.
#[derive(Debug)]
pub(super) struct Heap {
    /// Start of the private mapping, which Wasm sees; followed by an inaccessible guard.
    private: *mut u8,
    /// Bytes of address space taken by the private mapping with its guard.
    reserved: usize,
    /// Start of the shared mapping: the committed content.
    shared: *mut u8,
    /// Bytes of the file and of either mapping.
    capacity: usize,
    /// Bytes of the private mapping that are accessible: the size of the Wasm memory.
    bytes: AtomicUsize,
    /// What was committed, and what of it since it was last saved.
    leaves: Mutex<HeapLeaves>,
}

// SAFETY: the pointers are to mappings that this value owns until it is dropped; nothing about them belongs to a thread.
unsafe impl Send for Heap {}
// SAFETY: through a shared reference the mappings are touched only by `grow_to`, which wasmtime calls while it has the
// store exclusively, and by methods that demand a mutable store as proof that no Wasm runs and no slice is borrowed.
unsafe impl Sync for Heap {}

impl Heap {
    /// Reserves address space for a heap of up to `capacity` bytes with `guard` inaccessible bytes behind. The heap
    /// is empty.
    fn new(capacity: usize, guard: usize) -> io::Result<Arc<Self>> {
        if rustix::param::page_size() != PAGE_BYTES {
            return Err(io::Error::other("localnet needs a kernel with pages of 4 KiB"));
        }
        let file = memfd_create("localnet-heap", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, capacity as u64)?;
        let reserved = capacity + guard;
        // SAFETY: the kernel chooses the addresses, so no existing mapping is touched.
        let private = unsafe {
            mmap_anonymous(ptr::null_mut(), reserved, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
        }?;
        let mut heap = Self {
            private: private.cast(),
            reserved,
            shared: ptr::null_mut(),
            capacity,
            bytes: AtomicUsize::new(0),
            leaves: Mutex::default(),
        };
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: this replaces the first part of the reservation just made, which nothing refers to yet.
        unsafe { mmap(private, capacity, ProtFlags::empty(), flags, &file, 0) }?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address. The file is known to nobody else and keeps its length.
        heap.shared =
            unsafe { mmap(ptr::null_mut(), capacity, access, MapFlags::SHARED | MapFlags::NORESERVE, &file, 0) }?
                .cast();
        Ok(Arc::new(heap))
    }

    /// Makes a heap of zeros, to be given to an instance by [`capture`].
    pub(super) fn zeroed(wasm64: bool, bytes: usize) -> io::Result<Arc<Self>> {
        let heap = Self::new(capacity(wasm64) as usize, GUARD_BYTES as usize)?;
        heap.resize(bytes)?;
        Ok(heap)
    }

    /// Returns the size of the Wasm memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Makes the first `bytes` bytes accessible and no others.
    fn resize(&self, bytes: usize) -> io::Result<()> {
        let old = self.bytes();
        if bytes > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let (start, end, access) = if bytes > old {
            (old, bytes, MprotectFlags::READ | MprotectFlags::WRITE)
        } else {
            (bytes, old, MprotectFlags::empty())
        };
        if start < end {
            // SAFETY: the range lies within the private mapping, whose capacity was checked above.
            unsafe { mprotect(self.private.add(start).cast::<c_void>(), end - start, access) }?;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Shrinks the memory to `bytes`, after growth is undone. Pages behind must have been [discarded](Self::discard).
    ///
    /// The Wasm instance must be told of its new size before it runs again.
    pub(super) fn shrink(&self, _exclusive: impl AsContextMut, bytes: usize) -> io::Result<()> {
        self.resize(bytes)
    }

    /// Returns the byte ranges of pages that were written to since they were last committed or discarded, in order.
    pub(super) fn dirty(&self, _exclusive: impl AsContextMut) -> io::Result<Vec<Range<usize>>> {
        let start = self.private as usize;
        let mut dirty: Vec<Range<usize>> = Vec::new();
        let mut clean: Vec<Range<usize>> = Vec::new();
        page_map::visit(start..start + self.bytes(), |range, copied| {
            let range = range.start - start..range.end - start;
            let ranges = if copied { &mut dirty } else { &mut clean };
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        })?;
        if clean.iter().map(ExactSizeIterator::len).sum::<usize>() > MAX_CLEAN_PAGES * PAGE_BYTES {
            for range in &clean {
                self.forget(range)?;
            }
        }
        Ok(dirty)
    }

    /// Returns the byte ranges that may hold something else than zeros, in order: what was ever committed, and `dirty`.
    pub(super) fn written(&self, dirty: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut pages = PageSet::default();
        for offset in self.leaves().committed() {
            pages.insert(offset as u64, PAGE_BYTES as u64);
        }
        for range in dirty {
            pages.insert(range.start as u64, range.len() as u64);
        }
        pages.ranges().map(|range| range.start as usize..range.end as usize).collect()
    }

    /// Makes the content of dirty ranges the committed one.
    pub(super) fn commit(&self, _exclusive: impl AsContextMut, ranges: &[Range<usize>]) -> io::Result<()> {
        for range in ranges {
            self.check(range)?;
            // SAFETY: the range is accessible in both mappings, which do not overlap; nobody else touches either.
            unsafe {
                ptr::copy_nonoverlapping(self.private.add(range.start), self.shared.add(range.start), range.len())
            };
            self.forget(range)?;
            self.leaves().note(range);
        }
        Ok(())
    }

    /// Returns dirty ranges to their committed content.
    pub(super) fn discard(&self, _exclusive: impl AsContextMut, ranges: &[Range<usize>]) -> io::Result<()> {
        for range in ranges {
            self.check(range)?;
            self.forget(range)?;
        }
        Ok(())
    }

    /// Writes committed content, for a heap that nothing has been written to. The range must be accessible.
    pub(super) fn load(&self, _exclusive: impl AsContextMut, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.check(&(offset..offset + bytes.len()))?;
        // SAFETY: the range was checked to lie within the shared mapping, and `bytes` cannot overlap it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.shared.add(offset), bytes.len()) };
        self.leaves().note(&(offset..offset + bytes.len()));
        Ok(())
    }

    /// Returns the committed content by leaves. Those that did not change since they were last asked for are the same
    /// as then; only the others are copied.
    pub(super) fn committed_leaves(&self, _exclusive: impl AsContextMut) -> BTreeMap<u64, Arc<HeapLeaf>> {
        self.leaves().current(|offset| {
            let mut page = Arc::<Page>::new_uninit();
            let target = Arc::get_mut(&mut page).expect("nobody else has the page yet").as_mut_ptr();
            // SAFETY: pages that were noted lie within the shared mapping, and nobody writes to it meanwhile. All bytes
            // of the new page are written.
            unsafe {
                ptr::copy_nonoverlapping(self.shared.add(offset), target.cast(), PAGE_BYTES);
                page.assume_init()
            }
        })
    }

    /// Takes note that leaves with the present content are saved already, under these numbers.
    pub(super) fn mark_saved(&self, saved: BTreeMap<u64, u64>) {
        self.leaves().mark_saved(saved);
    }

    fn leaves(&self) -> MutexGuard<'_, HeapLeaves> {
        // Nothing that holds the lock panics half way.
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the private copies of the pages in a range that was checked.
    fn forget(&self, range: &Range<usize>) -> io::Result<()> {
        let start = self.private.wrapping_add(range.start);
        // SAFETY: the range lies within the private mapping; after this its pages read as the file's again.
        unsafe { madvise(start.cast::<c_void>(), range.len(), Advice::LinuxDontNeed) }?;
        Ok(())
    }

    fn check(&self, range: &Range<usize>) -> io::Result<()> {
        if range.start <= range.end && range.end <= self.bytes() {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the mappings were made by `new` and nobody can refer to them any more: wasmtime's handle to them is
        // an `Arc` of this value. A failure would only leak address space.
        unsafe {
            let _ = munmap(self.private.cast(), self.reserved);
            if !self.shared.is_null() {
                let _ = munmap(self.shared.cast(), self.capacity);
            }
        }
    }
}

thread_local! {
    /// The heap that the instantiation under way on this thread made or was given.
    static CURRENT: RefCell<Option<Arc<Heap>>> = const { RefCell::new(None) };
}

/// Runs an instantiation, and returns its result with the heap it made, if the module has a memory.
///
/// A heap given is used again instead of making one.
pub(super) fn capture<T>(given: Option<Arc<Heap>>, instantiate: impl FnOnce() -> T) -> (T, Option<Arc<Heap>>) {
    CURRENT.set(given);
    let result = instantiate();
    (result, CURRENT.take())
}

/// Makes the memories of all instances.
#[derive(Debug)]
pub(super) struct HeapCreator;

// SAFETY: `Heap::new` reserves what is asked for, guard included; memory that is not accessible is mapped so that
// touching it faults; the base never moves; new pages come from a fresh file and are zero.
unsafe impl MemoryCreator for HeapCreator {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let make = || -> io::Result<Arc<Heap>> {
            if let Some(heap) = CURRENT.take() {
                return Ok(heap);
            }
            let heap = Heap::new(reserved_size_in_bytes.unwrap_or(minimum).max(minimum), guard_size_in_bytes)?;
            heap.resize(minimum)?;
            Ok(heap)
        };
        let heap = make().map_err(|error| format!("cannot map a heap: {error}"))?;
        CURRENT.set(Some(Arc::clone(&heap)));
        Ok(Box::new(HeapHandle(heap)))
    }
}

/// The instance's hold on its heap.
struct HeapHandle(Arc<Heap>);

// SAFETY: see `HeapCreator`; `byte_size` and the protection of the pages are always changed together.
unsafe impl LinearMemory for HeapHandle {
    fn byte_size(&self) -> usize {
        self.0.bytes()
    }

    fn byte_capacity(&self) -> usize {
        self.0.capacity
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.0.resize(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.private
    }
}
