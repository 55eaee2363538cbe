//! Since when a path stands for what, as seen from any commit.
//!
//! A path has a *change* at each commit in which it stands for something else than in the commit's first parent. The
//! changes that a commit looks back on are chained, oldest first, in the order of the numbers of their commits; so
//! what the path was before, and how many versions it has, is known at each of them. Changes are stored by path, line
//! and position of the commit at which they became part of the chain: the last one at or before a commit on its line,
//! or else on the lines before, is the commit's last change of the path.
//!
//! A line's first commit that follows nothing has no changes stored: they are what its tree has.
//!
//! A merge joins the chains of both sides where both have changes that the other one lacks, which writes those that
//! come out of order anew. For folders the chain is that of the first parent.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use depot_types::{Hash, objects::Entry};
use ic_stable_structures::{Memory, Storable, storable::Bound};

use super::{Apart, CommitPlace, Fields, Place, lines::BeforeLine};
use crate::{
    limits::{MAX_COMMITS_PER_MERGE, MAX_STEPS_APART, MAX_VERSIONS_JOINED},
    state::State,
    trees::{PathDiff, diff},
};

/// A path, and what it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    key: PathKey,
}

/// The first bytes of the SHA-256 of a path's text.
type PathKey = [u8; 20];

impl Path {
    pub(crate) fn new(segments: &[String]) -> Self {
        let hash = Hash::of(segments.join("/").as_bytes());
        let (key, _) = hash.as_bytes().split_first_chunk().expect("BUG: a hash is shorter than a key");
        Self { segments: segments.to_vec(), key: *key }
    }

    fn row(&self, at: PlaceOfChange) -> PathChangeKey {
        let mut key = [0; 40];
        let (path, place) = key.split_at_mut(20);
        path.copy_from_slice(&self.key);
        place.copy_from_slice(&at.to_array());
        key
    }

    fn first(&self, module: &Hash, at: PlaceOfChange) -> PathFirstKey {
        let mut key = [0; 72];
        let (path, rest) = key.split_at_mut(20);
        let (hash, place) = rest.split_at_mut(32);
        path.copy_from_slice(&self.key);
        hash.copy_from_slice(module.as_bytes());
        place.copy_from_slice(&at.to_array());
        key
    }
}

/// Key of a change: path, line, position, number among those of one commit.
pub(crate) type PathChangeKey = [u8; 40];
/// Key of a first appearance: path, module, and the place of the change.
pub(crate) type PathFirstKey = [u8; 72];

/// Where a change of a path is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlaceOfChange {
    place: Place,
    index: u32,
}

/// The index of a change that is not stored, since the commit follows nothing.
const UNSTORED: u32 = u32::MAX;

impl PlaceOfChange {
    pub(crate) const BYTES: usize = Place::BYTES + 4;

    pub(crate) fn to_array(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (place, index) = bytes.split_at_mut(Place::BYTES);
        place.copy_from_slice(&self.place.to_array());
        index.copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Self {
        let place = Place { line: fields.number(), position: fields.number() };
        Self { place, index: fields.small_number() }
    }

    /// Returns the place of the commit.
    pub(crate) fn place(self) -> Place {
        self.place
    }
}

/// A change of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathNode {
    /// The number of the commit that made it.
    pub(crate) commit: u64,
    /// What the path stands for from then on.
    pub(crate) entry: Option<Entry>,
    /// The change before.
    pub(crate) before: Option<PlaceOfChange>,
    /// How many changes there are up to this one.
    pub(crate) changes: u32,
    /// How many different modules the path has named up to this one: its versions.
    pub(crate) versions: u32,
    /// The last change up to this one that brought a module for the first time.
    last_version: Option<PlaceOfChange>,
    /// For a change that brought a module for the first time: the one before, and one far before.
    skips: Option<(PlaceOfChange, PlaceOfChange)>,
}

/// What is stored at a place: a change, or where the chain goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoredPathChange {
    Change(PathNode),
    /// The chain of the commit merged is also that of the merge.
    At(PlaceOfChange),
}

impl Storable for StoredPathChange {
    const BOUND: Bound = Bound::Bounded { max_size: 136, is_fixed_size: false };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(136);
        match self {
            Self::At(at) => {
                bytes.push(0);
                bytes.extend_from_slice(&at.to_array());
            }
            Self::Change(PathNode { commit, entry, before, changes, versions, last_version, skips }) => {
                let kind = match entry {
                    None => 0,
                    Some(Entry::Module(_)) => 1,
                    Some(Entry::Folder(_)) => 2,
                };
                let flags = u8::from(before.is_some())
                    | u8::from(last_version.is_some()) << 1
                    | u8::from(skips.is_some()) << 2
                    | kind << 4;
                bytes.extend_from_slice(&[1, flags]);
                bytes.extend_from_slice(&commit.to_be_bytes());
                bytes.extend_from_slice(&changes.to_be_bytes());
                bytes.extend_from_slice(&versions.to_be_bytes());
                if let Some(Entry::Module(hash) | Entry::Folder(hash)) = entry {
                    bytes.extend_from_slice(hash.as_bytes());
                }
                let places = before.iter().chain(last_version).chain(skips.iter().flat_map(|(one, far)| [one, far]));
                for place in places {
                    bytes.extend_from_slice(&place.to_array());
                }
            }
        }
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let mut fields = Fields(&bytes);
        if fields.take::<1>() == [0] {
            return Self::At(PlaceOfChange::read(&mut fields));
        }
        let [flags] = fields.take();
        let commit = fields.number();
        let (changes, versions) = (fields.small_number(), fields.small_number());
        let entry = match flags >> 4 {
            0 => None,
            1 => Some(Entry::Module(fields.hash())),
            _ => Some(Entry::Folder(fields.hash())),
        };
        let mut place = |flag: u8| (flags & flag != 0).then(|| PlaceOfChange::read(&mut fields));
        let (before, last_version, one) = (place(1), place(2), place(4));
        let skips = one.map(|one| (one, PlaceOfChange::read(&mut fields)));
        Self::Change(PathNode { commit, entry, before, changes, versions, last_version, skips })
    }
}

/// A change of a path and where it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) at: PlaceOfChange,
    pub(crate) node: PathNode,
}

impl<M: Memory> State<M> {
    /// Returns the last change of a path that a commit looks back on.
    pub(crate) fn last_change(&self, path: &Path, commit: Place) -> Option<Found> {
        let lowest = path.row(PlaceOfChange { place: Place { line: 0, position: 0 }, index: 0 });
        let mut place = commit;
        loop {
            // A line has a greater number than those that it comes from, so this is the last change on the lines that the
            // commit looks back on, if it is not on a line that went off from them.
            let last = path.row(PlaceOfChange { place, index: UNSTORED });
            let row = self.path_changes.range(lowest..=last).next_back();
            let Some(row) = row else {
                return self.first_change(path, self.root_line(place));
            };
            let (_, tail) = row.key().split_at(20);
            let at = PlaceOfChange::read(&mut Fields(tail));
            if at.place.line == place.line {
                return Some(match row.value() {
                    StoredPathChange::Change(node) => Found { at, node },
                    StoredPathChange::At(at) => self.change_at(path, at),
                });
            }
            match self.back_to_line(place, at.place.line) {
                Ok(back) => place = back,
                Err(BeforeLine { root }) => return self.first_change(path, root),
            }
        }
    }

    /// Returns the change of a path by the first commit of a line that follows nothing.
    fn first_change(&self, path: &Path, line: u64) -> Option<Found> {
        let place = Place { line, position: 0 };
        let commit = self.commit_at(place);
        let entry = self.entry(self.commit_place(commit).tree, &path.segments)?;
        let at = PlaceOfChange { place, index: UNSTORED };
        let is_version = matches!(entry, Entry::Module(_));
        let node = PathNode {
            commit,
            entry: Some(entry),
            before: None,
            changes: 1,
            versions: u32::from(is_version),
            last_version: is_version.then_some(at),
            skips: None,
        };
        Some(Found { at, node })
    }

    /// Returns the change stored at a place.
    pub(crate) fn change_at(&self, path: &Path, at: PlaceOfChange) -> Found {
        self.stored_change(path, at).unwrap_or_else(|| panic!("BUG: a change of {:?} is missing", path.segments))
    }

    /// Returns the change stored at a place, which may have been collected.
    pub(crate) fn stored_change(&self, path: &Path, at: PlaceOfChange) -> Option<Found> {
        if at.index == UNSTORED {
            self.lines.get(&at.place)?;
            return self.first_change(path, at.place.line);
        }
        match self.path_changes.get(&path.row(at))? {
            StoredPathChange::Change(node) => Some(Found { at, node }),
            StoredPathChange::At(at) => Some(self.change_at(path, at)),
        }
    }

    /// Returns the change before.
    pub(crate) fn change_before(&self, path: &Path, node: &PathNode) -> Option<Found> {
        node.before.map(|at| self.change_at(path, at))
    }

    /// Returns the change that brought a version, counted from 1, as far as it is among those up to the one given.
    pub(crate) fn version_change(&self, path: &Path, last: &PathNode, version: u32) -> Option<Found> {
        if version == 0 || version > last.versions {
            return None;
        }
        let mut found = self.change_at(path, last.last_version?);
        while found.node.versions > version {
            let (one, far) = found.node.skips?;
            let skipped = self.change_at(path, far);
            found = if skipped.node.versions >= version { skipped } else { self.change_at(path, one) };
        }
        Some(found)
    }

    /// Returns the change that brought the version before the one that a change brought.
    pub(crate) fn version_before(&self, path: &Path, version: &PathNode) -> Option<Found> {
        version.skips.map(|(one, _)| self.change_at(path, one))
    }

    /// Tells whether a path has named a module in the changes up to the one given.
    fn has_named(&self, path: &Path, last: &PathNode, module: &Hash) -> bool {
        let oldest = self.version_change(path, last, 1);
        if oldest.is_some_and(|oldest| oldest.node.entry == Some(Entry::Module(*module))) {
            return true;
        }
        let lowest = PlaceOfChange { place: Place { line: 0, position: 0 }, index: 0 };
        let highest = PlaceOfChange { place: Place { line: u64::MAX, position: u64::MAX }, index: UNSTORED };
        // As many as there are lines of history on which the module came to the path by itself.
        self.path_firsts.range(path.first(module, lowest)..=path.first(module, highest)).any(|row| {
            let (_, tail) = row.key().split_at(52);
            let at = PlaceOfChange::read(&mut Fields(tail));
            // While garbage is collected the change may be gone before its first appearance is.
            let Some(StoredPathChange::Change(first)) = self.path_changes.get(&path.row(at)) else { return false };
            self.version_change(path, last, first.versions).is_some_and(|found| found.at == at)
        })
    }

    /// Appends a change to the chain that ends with `before`.
    fn append_change(
        &mut self,
        path: &Path,
        at: PlaceOfChange,
        before: Option<&Found>,
        commit: u64,
        entry: Option<Entry>,
    ) -> Found {
        let mut node = PathNode {
            commit,
            entry,
            before: before.map(|before| before.at),
            changes: before.map_or(0, |before| before.node.changes) + 1,
            versions: before.map_or(0, |before| before.node.versions),
            last_version: before.and_then(|before| before.node.last_version),
            skips: None,
        };
        if let Some(Entry::Module(module)) = entry
            && !before.is_some_and(|before| self.has_named(path, &before.node, &module))
        {
            node.skips = node.last_version.map(|last| (last, self.skip_from(path, last)));
            node.versions += 1;
            node.last_version = Some(at);
            self.path_firsts.insert(path.first(&module, at), ());
            self.record_module_path(&module, &path.segments);
        }
        self.path_changes.insert(path.row(at), StoredPathChange::Change(node.clone()));
        Found { at, node }
    }

    /// Returns how far a version that follows the one given can skip: with skips of this length every version is a
    /// logarithm of steps away.
    fn skip_from(&self, path: &Path, last: PlaceOfChange) -> PlaceOfChange {
        let far = |found: &Found| found.node.skips.map_or(found.at, |(_, far)| far);
        let one = self.change_at(path, last);
        let two = self.change_at(path, far(&one));
        let three = self.change_at(path, far(&two));
        let (near, beyond) = (one.node.versions - two.node.versions, two.node.versions - three.node.versions);
        if near == beyond { three.at } else { one.at }
    }

    /// Records that a path names a module, for [`State::paths_of`].
    fn record_module_path(&mut self, module: &Hash, segments: &[String]) {
        self.module_paths.insert(module_path_key(module, &segments.join("/")), ());
    }

    /// Records what a commit changes of which paths.
    pub(super) fn record_paths(
        &mut self,
        number: u64,
        commit: &CommitPlace,
        parents: &[CommitPlace],
        changed: &[PathDiff],
    ) {
        match parents {
            [] => {
                for PathDiff { path, new, .. } in changed {
                    if let Some(module) = new {
                        self.record_module_path(module, path);
                    }
                }
            }
            [parent] => {
                let mut entries: BTreeMap<Vec<String>, Option<Entry>> =
                    changed.iter().map(|PathDiff { path, new, .. }| (path.clone(), new.map(Entry::Module))).collect();
                // A folder can stand where a module was.
                for folder in folders_of(changed) {
                    let entry = self.entry(commit.tree, &folder);
                    entries.insert(folder, entry);
                }
                for (segments, entry) in entries {
                    self.record_change(&segments, entry, parent.place, number, commit.place);
                }
            }
            [ours, theirs, ..] => self.record_merge(number, commit, ours, theirs, changed),
        }
    }

    fn record_change(&mut self, segments: &[String], entry: Option<Entry>, parent: Place, number: u64, place: Place) {
        let path = Path::new(segments);
        let before = self.last_change(&path, parent);
        if before.as_ref().and_then(|before| before.node.entry) != entry {
            self.append_change(&path, PlaceOfChange { place, index: 0 }, before.as_ref(), number, entry);
        }
    }

    fn record_merge(
        &mut self,
        number: u64,
        commit: &CommitPlace,
        ours: &CommitPlace,
        theirs: &CommitPlace,
        changed: &[PathDiff],
    ) {
        let apart = self.apart([ours.place], [theirs.place], MAX_STEPS_APART);
        let apart = apart.expect("BUG: the sides of a merge are further apart than was allowed");
        let taken_in = self
            .only_theirs(&apart, MAX_COMMITS_PER_MERGE)
            .expect("BUG: a merge takes in more commits than were allowed");
        let mut paths: BTreeSet<Vec<String>> = changed.iter().map(|change| change.path.clone()).collect();
        for taken in &taken_in {
            let taken = self.commit_place(*taken);
            let parents: Vec<Option<Hash>> = if taken.parents.is_empty() {
                vec![None]
            } else {
                taken.parents.iter().map(|parent| Some(self.commit_place(*parent).tree)).collect()
            };
            for parent in parents {
                _ = diff(self, parent, Some(taken.tree), None, &mut |found| {
                    paths.insert(found.path);
                    ControlFlow::Continue(())
                });
            }
        }
        let oldest = taken_in.iter().min().copied().unwrap_or(number);
        let mut folders = folders_of(changed);
        for segments in paths {
            folders.remove(&segments);
            let path = Path::new(&segments);
            let entry = self.entry(commit.tree, &segments);
            let (joined, index) = self.join(&path, ours.place, theirs.place, &apart, oldest, commit.place);
            if joined.as_ref().and_then(|joined| joined.node.entry) != entry {
                let at = PlaceOfChange { place: commit.place, index };
                self.append_change(&path, at, joined.as_ref(), number, entry);
            }
        }
        for folder in folders {
            let entry = self.entry(commit.tree, &folder);
            self.record_change(&folder, entry, ours.place, number, commit.place);
        }
    }

    /// Joins the chains of a path for a merge; returns the last change and the index for one that follows it.
    ///
    /// `oldest` is the least number of the commits that only their side looks back on.
    fn join(
        &mut self,
        path: &Path,
        ours: Place,
        theirs: Place,
        apart: &Apart,
        oldest: u64,
        place: Place,
    ) -> (Option<Found>, u32) {
        let our_last = self.last_change(path, ours);
        let Some(their_last) = self.last_change(path, theirs) else { return (our_last, 0) };
        // What only their side has; changes are in the order of commits, so before the oldest there is nothing more.
        let (mut their_own, mut walked, mut contiguous) = (vec![], 0, 0);
        let mut next = Some(their_last.clone());
        while let Some(found) = next.take_if(|found| found.node.commit >= oldest) {
            walked += 1;
            if !apart.ours.has(self.commit_place(found.node.commit).place) {
                their_own.push(found.clone());
                contiguous = walked;
            }
            next = self.change_before(path, &found.node);
            if walked > MAX_VERSIONS_JOINED {
                return (our_last, 0);
            }
        }
        let Some(first) = their_own.last().cloned() else { return (our_last, 0) };
        let (mut our_tail, mut trunk) = (vec![], our_last.clone());
        while let Some(found) = trunk.take_if(|found| found.node.commit > first.node.commit) {
            trunk = self.change_before(path, &found.node);
            our_tail.push(found);
            if our_tail.len() > MAX_VERSIONS_JOINED {
                return (our_last, 0);
            }
        }
        let is_continued = first.node.before == trunk.as_ref().map(|trunk| trunk.at);
        if our_tail.is_empty() && is_continued && contiguous == their_own.len() {
            let at = PlaceOfChange { place, index: 0 };
            self.path_changes.insert(path.row(at), StoredPathChange::At(their_last.at));
            return (Some(their_last), 1);
        }
        let mut tail: BTreeMap<u64, Option<Entry>> = BTreeMap::new();
        tail.extend(our_tail.into_iter().chain(their_own).map(|found| (found.node.commit, found.node.entry)));
        let (mut last, mut index) = (trunk, 0);
        for (commit, entry) in tail {
            let at = PlaceOfChange { place, index };
            last = Some(self.append_change(path, at, last.as_ref(), commit, entry));
            index += 1;
        }
        (last, index)
    }
}

/// Returns the key under which a path is recorded to have named a module.
pub(crate) fn module_path_key(module: &Hash, path: &str) -> Vec<u8> {
    [module.as_bytes().as_slice(), path.as_bytes()].concat()
}

/// Returns the folders in which paths changed, but for the top one.
fn folders_of(changed: &[PathDiff]) -> BTreeSet<Vec<String>> {
    let mut folders = BTreeSet::new();
    for PathDiff { path, .. } in changed {
        for depth in (1..path.len()).rev() {
            let Some(folder) = path.get(..depth) else { continue };
            if !folders.insert(folder.to_vec()) {
                break;
            }
        }
    }
    folders
}
