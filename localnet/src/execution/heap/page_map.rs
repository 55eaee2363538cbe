//! What the kernel knows of the pages of a mapping: which are there, and which were copied because they were written to.
//!
//! Newer kernels (6.7 and later) answer with ranges, and skip what is not mapped; older ones only with an entry for
//! each page of the range, whether or not it is there.

use std::{
    ffi::c_void,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode},
};

use crate::execution::stable::PAGE_BYTES;

/// Bytes of one entry of `/proc/self/pagemap`.
const ENTRY_BYTES: usize = 8;
/// Entries of the page map read at once.
const ENTRIES_AT_ONCE: usize = 8192;
/// Set in an entry when the page is in memory.
const ENTRY_PRESENT: u64 = 1 << 63;
/// Set in an entry when the page was swapped out.
const ENTRY_SWAPPED: u64 = 1 << 62;
/// Set in an entry when the page belongs to the file, that is, was not copied for writing.
const ENTRY_OF_FILE: u64 = 1 << 61;

/// Ranges that one scan answers at once.
const RANGES_AT_ONCE: usize = 512;
/// Category of pages that belong to the file.
const OF_FILE: u64 = 1 << 2;
/// Category of pages in memory.
const PRESENT: u64 = 1 << 3;
/// Category of pages that were swapped out.
const SWAPPED: u64 = 1 << 4;

static PAGE_MAP: LazyLock<Result<File, String>> =
    LazyLock::new(|| File::open("/proc/self/pagemap").map_err(|error| error.to_string()));
/// False once the kernel said that it knows no scans.
static HAS_SCAN: AtomicBool = AtomicBool::new(true);

/// Visits the pages between two addresses (whole pages) that are there, in order, as ranges of addresses. The flag is
/// true for those that were copied for writing.
///
/// # Errors
/// When the page map cannot be read.
pub(super) fn visit(range: Range<usize>, mut visitor: impl FnMut(Range<usize>, bool)) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let map = PAGE_MAP.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    if HAS_SCAN.load(Ordering::Relaxed) {
        match scan(map, range.clone(), &mut visitor) {
            Err(Errno::NOTTY | Errno::INVAL | Errno::OPNOTSUPP) => HAS_SCAN.store(false, Ordering::Relaxed),
            done => return Ok(done?),
        }
    }
    read(map, range, &mut visitor)
}

/// The kernel's `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// The kernel's `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_length: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// One scan: answers how many regions were filled in.
struct Scan<'a>(&'a mut ScanArgument);

// SAFETY: the opcode and the layout of the argument are those of `PAGEMAP_SCAN` in the kernel's `linux/fs.h`, and what
// the kernel answers is a number. The regions that it writes to are borrowed by `scan` for the time of the call.
unsafe impl Ioctl for Scan<'_> {
    type Output = usize;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<ScanArgument>(b'f', 16)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
        usize::try_from(output).map_err(|_| Errno::INVAL)
    }
}

fn scan(map: &File, range: Range<usize>, visitor: &mut impl FnMut(Range<usize>, bool)) -> rustix::io::Result<()> {
    let mut regions = [PageRegion::default(); RANGES_AT_ONCE];
    let mut start = range.start as u64;
    while start < range.end as u64 {
        let mut argument = ScanArgument {
            size: size_of::<ScanArgument>() as u64,
            start,
            end: range.end as u64,
            regions: regions.as_mut_ptr() as u64,
            regions_length: RANGES_AT_ONCE as u64,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: OF_FILE,
            ..ScanArgument::default()
        };
        // SAFETY: the kernel writes to at most `RANGES_AT_ONCE` regions of the array, and to the argument.
        let filled = unsafe { ioctl(map, Scan(&mut argument)) }?;
        for region in regions.iter().take(filled) {
            visitor(region.start as usize..region.end as usize, region.categories & OF_FILE == 0);
        }
        if argument.walk_end <= start {
            return Err(Errno::INVAL);
        }
        start = argument.walk_end;
    }
    Ok(())
}

fn read(map: &File, range: Range<usize>, visitor: &mut impl FnMut(Range<usize>, bool)) -> io::Result<()> {
    let (first, pages) = (range.start / PAGE_BYTES, range.len() / PAGE_BYTES);
    let mut buffer = vec![0; ENTRIES_AT_ONCE.min(pages) * ENTRY_BYTES];
    let mut open: Option<(Range<usize>, bool)> = None;
    for start in (0..pages).step_by(ENTRIES_AT_ONCE) {
        let count = ENTRIES_AT_ONCE.min(pages - start);
        let entries = &mut buffer[..count * ENTRY_BYTES];
        map.read_exact_at(entries, ((first + start) * ENTRY_BYTES) as u64)?;
        for (index, entry) in entries.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            if entry & (ENTRY_PRESENT | ENTRY_SWAPPED) == 0 {
                continue;
            }
            let copied = entry & ENTRY_OF_FILE == 0;
            let address = (first + start + index) * PAGE_BYTES;
            match &mut open {
                Some((last, same)) if last.end == address && *same == copied => last.end += PAGE_BYTES,
                _ => {
                    let page = address..address + PAGE_BYTES;
                    if let Some((last, copied)) = open.replace((page, copied)) {
                        visitor(last, copied);
                    }
                }
            }
        }
    }
    if let Some((last, copied)) = open {
        visitor(last, copied);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::{
        fs::{MemfdFlags, ftruncate, memfd_create},
        mm::{MapFlags, ProtFlags, mmap, munmap},
    };

    use super::*;

    #[test]
    fn should_tell_copied_pages_from_others_in_both_ways() {
        const PAGES: usize = 3 * ENTRIES_AT_ONCE;
        let file = memfd_create("page-map-test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, (PAGES * PAGE_BYTES) as u64).unwrap();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping of a file that nobody else knows.
        let base = unsafe { mmap(std::ptr::null_mut(), PAGES * PAGE_BYTES, access, MapFlags::PRIVATE, &file, 0) };
        let base = base.unwrap().cast::<u8>();
        for page in [1, 2, 700, ENTRIES_AT_ONCE - 1, ENTRIES_AT_ONCE, PAGES - 1] {
            // SAFETY: the page lies within the mapping.
            unsafe { base.add(page * PAGE_BYTES).write_volatile(1) };
        }
        // SAFETY: the page lies within the mapping.
        unsafe { base.add(5 * PAGE_BYTES).read_volatile() };
        let map = File::open("/proc/self/pagemap").unwrap();
        let range = base as usize..base as usize + PAGES * PAGE_BYTES;
        let page_of = |address: usize| (address - base as usize) / PAGE_BYTES;
        let expected = [1..3, 700..701, ENTRIES_AT_ONCE - 1..ENTRIES_AT_ONCE + 1, PAGES - 1..PAGES].to_vec();
        let (mut copied, mut clean) = (Vec::new(), Vec::new());
        let mut sort = |range: Range<usize>, is_copied| {
            if is_copied { &mut copied } else { &mut clean }.push(page_of(range.start)..page_of(range.end));
        };
        read(&map, range.clone(), &mut sort).unwrap();
        assert_eq!(copied, expected);
        assert!(clean.iter().any(|range| range.contains(&5)), "{clean:?}");
        copied.clear();
        let mut sort = |range: Range<usize>, is_copied| {
            if is_copied {
                copied.push(page_of(range.start)..page_of(range.end));
            }
        };
        // A kernel that knows no scans is tested with the other way only.
        if !matches!(scan(&map, range, &mut sort), Err(Errno::NOTTY)) {
            assert_eq!(copied, expected);
        }
        // SAFETY: nothing refers to the mapping any more.
        unsafe { munmap(base.cast(), PAGES * PAGE_BYTES) }.unwrap();
    }
}
