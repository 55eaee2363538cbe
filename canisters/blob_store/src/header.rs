//! Totals and settings, kept in the header of stable memory.

use ic_stable_structures::{Memory, StableCell};

use crate::{
    chunks::Freed,
    limits::{DEFAULT_GRACE_PERIOD_NS, DEFAULT_MAX_STORED_BYTES},
    space::pages_of,
    storable::{StoredHash, StoredHeader},
};

/// The header of stable memory.
pub(crate) struct Header<M: Memory> {
    cell: StableCell<StoredHeader, M>,
}

impl<M: Memory> Header<M> {
    /// Opens the header; an empty memory gets that of a new store of the layout given, whose modules are certified in
    /// the form given.
    pub(crate) fn open(memory: M, new_layout: u32, form: u32) -> Self {
        let new = StoredHeader { form, ..Self::with_defaults(StoredHeader::layout_1(new_layout, 0)) };
        Self { cell: StableCell::init(memory, new) }
    }

    pub(crate) fn layout(&self) -> u32 {
        self.cell.get().layout
    }

    /// Turns the header of layout 1 into one of layout 2, of whose modules none is adopted, and whose chunks have so many
    /// pages.
    pub(crate) fn take_over_layout_1(&mut self, used_pages: u64) {
        let header = Self::with_defaults(*self.cell.get());
        self.cell.set(StoredHeader { layout: 2, used_pages, adopted: Some(StoredHash::default()), ..header });
    }

    /// Turns the header of layout 2 into one of layout 3. Modules are certified in the first form, if at all.
    pub(crate) fn take_over_layout_2(&mut self) {
        self.change(|header| (header.layout, header.form) = (3, 1));
    }

    /// Takes in that modules are certified in the form given from now on: those that are in another one are to be
    /// certified anew.
    pub(crate) fn expect_form(&mut self, form: u32) {
        if self.cell.get().form != form {
            self.change(|header| (header.form, header.renewed) = (form, Some(StoredHash::default())));
        }
    }

    /// Returns up to which hash modules are certified anew; `None` when none is left.
    pub(crate) fn renewed(&self) -> Option<StoredHash> {
        self.cell.get().renewed
    }

    pub(crate) fn set_renewed(&mut self, renewed: Option<StoredHash>) {
        self.change(|header| header.renewed = renewed);
    }

    fn with_defaults(header: StoredHeader) -> StoredHeader {
        StoredHeader { grace_period_ns: DEFAULT_GRACE_PERIOD_NS, max_stored_bytes: DEFAULT_MAX_STORED_BYTES, ..header }
    }

    /// Returns the bytes of all chunks.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.cell.get().chunk_bytes
    }

    /// Returns how many pages of 64 KiB chunks have.
    pub(crate) fn used_pages(&self) -> u64 {
        self.cell.get().used_pages
    }

    /// Counts a chunk that came.
    pub(crate) fn add_chunk(&mut self, bytes: u64) {
        self.change(|header| {
            header.chunk_bytes += bytes;
            header.used_pages += u64::from(pages_of(bytes));
        });
    }

    /// Counts chunks that are gone.
    pub(crate) fn remove_chunks(&mut self, freed: Freed) {
        let Freed { bytes, pages } = freed;
        if bytes > 0 {
            self.change(|header| {
                header.used_pages =
                    header.used_pages.checked_sub(pages).expect("BUG: the count of used pages is wrong");
                header.chunk_bytes = header.chunk_bytes.checked_sub(bytes).expect("BUG: the total of bytes is wrong");
            });
        }
    }

    /// Returns how many modules are condemned.
    pub(crate) fn condemned(&self) -> u64 {
        self.cell.get().condemned
    }

    /// Counts a module that was condemned or not before, and is or is not now.
    pub(crate) fn count_condemned(&mut self, was: bool, is: bool) {
        if was != is {
            self.change(|header| {
                let count = header.condemned.checked_add_signed(if is { 1 } else { -1 });
                header.condemned = count.expect("BUG: the count of condemned modules is wrong");
            });
        }
    }

    pub(crate) fn grace_period_ns(&self) -> u64 {
        self.cell.get().grace_period_ns
    }

    pub(crate) fn set_grace_period_ns(&mut self, grace_period_ns: u64) {
        self.change(|header| header.grace_period_ns = grace_period_ns);
    }

    /// Returns the bytes of modules that each principal may have.
    pub(crate) fn max_stored_bytes(&self) -> u64 {
        self.cell.get().max_stored_bytes
    }

    pub(crate) fn set_max_stored_bytes(&mut self, max_stored_bytes: u64) {
        self.change(|header| header.max_stored_bytes = max_stored_bytes);
    }

    /// Returns up to which hash modules of layout 1 are adopted; `None` when none is left.
    pub(crate) fn adopted(&self) -> Option<StoredHash> {
        self.cell.get().adopted
    }

    pub(crate) fn set_adopted(&mut self, adopted: Option<StoredHash>) {
        self.change(|header| header.adopted = adopted);
    }

    fn change(&mut self, change: impl FnOnce(&mut StoredHeader)) {
        let mut header = *self.cell.get();
        change(&mut header);
        self.cell.set(header);
    }
}
