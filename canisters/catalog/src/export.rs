//! Backups: everything that the catalog holds, in pages.
//!
//! A page's cursor names the collections of garbage so far, the events when the backup began, a part and a key. What
//! branches, releases and publishers are is in the first pages, so all that they lead to is in those that follow; what
//! is added while a backup is made may be in it or not. After a collection of garbage a backup has to begin anew.

use std::ops::Bound;

use depot_types::{
    catalog::{BackupItem, BranchInfo, ExportArgs, ExportError, ExportPage},
    objects::Commit,
};
use ic_stable_structures::Memory;
use serde_bytes::ByteBuf;

use crate::{
    limits::{MAX_EXPORT_BYTES, MAX_LOOKED_AT},
    releases::release_info,
    state::State,
    version_key::package_of,
};

/// Where a backup goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    collections: u64,
    events: u64,
    items: u64,
    part: u8,
    /// The key behind which the part goes on; from its start when empty.
    key: Vec<u8>,
}

const BRANCHES: u8 = 0;
const PUBLISHERS: u8 = 1;
const RELEASES: u8 = 2;
const NODES: u8 = 3;
const COMMITS: u8 = 4;
const EVENTS: u8 = 5;
const END: u8 = 6;

/// The byte that commits start with.
const COMMIT_BYTE: u8 = Commit::FIRST_BYTE;

impl Cursor {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (collections, rest) = bytes.split_first_chunk()?;
        let (events, rest) = rest.split_first_chunk()?;
        let (items, rest) = rest.split_first_chunk()?;
        let ([part], key) = rest.split_first_chunk()?;
        let number = u64::from_be_bytes;
        let (collections, events, items) = (number(*collections), number(*events), number(*items));
        Some(Self { collections, events, items, part: *part, key: key.to_vec() })
    }

    fn write(&self) -> ByteBuf {
        let Self { collections, events, items, part, key } = self;
        let numbers = [collections, events, items].map(|number| number.to_be_bytes()).concat();
        ByteBuf::from([numbers.as_slice(), &[*part], key].concat())
    }
}

/// A page while it is filled.
struct Page {
    items: Vec<BackupItem>,
    bytes: usize,
    looked_at: usize,
}

impl Page {
    fn has_room(&self) -> bool {
        self.bytes < MAX_EXPORT_BYTES && self.looked_at < MAX_LOOKED_AT
    }

    fn push(&mut self, item: BackupItem, bytes: usize) {
        self.items.push(item);
        // What a record needs besides its texts and bytes.
        self.bytes += bytes + 100;
    }
}

impl<M: Memory> State<M> {
    /// Returns a page of a backup.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn export(&self, args: &ExportArgs) -> Result<ExportPage, ExportError> {
        let collections = self.installed().collections;
        let mut cursor = match &args.after {
            None => Cursor { collections, events: self.last_event(), items: 0, part: BRANCHES, key: vec![] },
            Some(after) => Cursor::read(after).ok_or(ExportError::InvalidCursor)?,
        };
        if cursor.collections != collections || self.collection.get().0.is_some() {
            return Err(ExportError::Interrupted);
        }
        let mut page = Page { items: vec![], bytes: 0, looked_at: 0 };
        while page.has_room() && cursor.part < END {
            let before = page.looked_at;
            self.export_part(&mut cursor, &mut page)?;
            if page.has_room() || page.looked_at == before {
                cursor.part += 1;
                cursor.key.clear();
            }
        }
        cursor.items += page.items.len() as u64;
        if cursor.part >= END {
            page.items.push(BackupItem::End { items: cursor.items });
            return Ok(ExportPage { items: page.items, next: None });
        }
        Ok(ExportPage { items: page.items, next: Some(cursor.write()) })
    }

    /// Fills a page with what follows in a part.
    fn export_part(&self, cursor: &mut Cursor, page: &mut Page) -> Result<(), ExportError> {
        let invalid = |_| ExportError::InvalidCursor;
        let is_start = cursor.key.is_empty();
        match cursor.part {
            BRANCHES => {
                let after = String::from_utf8(cursor.key.clone()).map_err(|_| ExportError::InvalidCursor)?;
                for branch in self.branches().into_iter().filter(|branch| is_start || branch.name > after) {
                    if !page.has_room() {
                        break;
                    }
                    cursor.key = branch.name.clone().into_bytes();
                    page.looked_at += 1;
                    let bytes = branch.name.len();
                    let BranchInfo { name, head, protected, default } = branch;
                    page.push(BackupItem::Branch { name, head, protected, default }, bytes);
                }
            }
            PUBLISHERS => {
                for publisher in self.publishers() {
                    if !is_start && publisher.as_slice() <= cursor.key.as_slice() {
                        continue;
                    }
                    if !page.has_room() {
                        break;
                    }
                    cursor.key = publisher.as_slice().to_vec();
                    page.looked_at += 1;
                    page.push(BackupItem::Publisher(publisher), 0);
                }
            }
            RELEASES => {
                for entry in self.releases.range(behind(is_start, cursor.key.clone())) {
                    if !page.has_room() {
                        break;
                    }
                    cursor.key = entry.key().clone();
                    page.looked_at += 1;
                    let release = release_info(package_of(entry.key()), entry.value().0);
                    let bytes = release.description.len() + release.source.as_ref().map_or(0, String::len) + 200;
                    page.push(BackupItem::Release(release), bytes);
                }
            }
            NODES => {
                let key: [u8; 32] = key_or_zero(&cursor.key).map_err(invalid)?;
                for entry in self.objects.range(behind(is_start, key)) {
                    if !page.has_room() {
                        break;
                    }
                    cursor.key = entry.key().to_vec();
                    page.looked_at += 1;
                    let bytes = entry.value();
                    if bytes.first() != Some(&COMMIT_BYTE) {
                        let len = bytes.len();
                        page.push(BackupItem::Node(ByteBuf::from(bytes)), len);
                    }
                }
            }
            COMMITS => {
                let key: [u8; 8] = key_or_zero(&cursor.key).map_err(invalid)?;
                for entry in self.commits.range(behind(is_start, u64::from_be_bytes(key))) {
                    if !page.has_room() {
                        break;
                    }
                    cursor.key = entry.key().to_be_bytes().to_vec();
                    page.looked_at += 1;
                    // The last number is kept when its commit is not.
                    if let Some(bytes) = self.object(&entry.value().id) {
                        let len = bytes.len();
                        page.push(BackupItem::Commit(ByteBuf::from(bytes)), len);
                    }
                }
            }
            EVENTS.. => {
                let key: [u8; 8] = key_or_zero(&cursor.key).map_err(invalid)?;
                for number in u64::from_be_bytes(key) + 1..=cursor.events {
                    if !page.has_room() {
                        break;
                    }
                    cursor.key = number.to_be_bytes().to_vec();
                    page.looked_at += 1;
                    if let Some(event) = self.event(number) {
                        page.push(BackupItem::Event(event), 400);
                    }
                }
            }
        }
        Ok(())
    }
}

fn behind<K>(is_start: bool, key: K) -> (Bound<K>, Bound<K>) {
    (if is_start { Bound::Unbounded } else { Bound::Excluded(key) }, Bound::Unbounded)
}

fn key_or_zero<const N: usize>(key: &[u8]) -> Result<[u8; N], std::array::TryFromSliceError> {
    if key.is_empty() { Ok([0; N]) } else { key.try_into() }
}

#[cfg(test)]
mod tests;
