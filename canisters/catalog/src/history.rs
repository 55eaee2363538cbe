//! The commits and how they follow each other.
//!
//! Commits are numbered in the order in which they came, so a commit has a greater number than those it follows. Each
//! one lies on a *line*: it continues the line of its first parent when that is the last of its line, and starts a new
//! line otherwise. What leads from commit to commit is then one step for a whole line: ancestors by first parents ([`lines`]),
//! what two commits have in common ([`reach`]), and since when a path stands for what ([`paths`]).

mod lines;
mod paths;
mod reach;

use std::{borrow::Cow, ops::RangeInclusive, rc::Rc};

use depot_types::{
    Hash,
    objects::{Commit, EncodedObject, Entry, Node},
};
use ic_stable_structures::{Memory, Storable, storable::Bound};

pub(crate) use lines::LineStart;
pub(crate) use paths::{Found, Path, PlaceOfChange, StoredPathChange, module_path_key};
pub(crate) use reach::Apart;

use crate::{
    state::State,
    trees::{Nodes, PathDiff, entry_at},
};

/// Where a commit is: the line and the position on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) position: u64,
}

impl Place {
    const BYTES: usize = 16;

    fn to_array(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (line, position) = bytes.split_at_mut(8);
        line.copy_from_slice(&self.line.to_be_bytes());
        position.copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    /// Returns the places of a line between two positions.
    fn between(line: u64, positions: RangeInclusive<u64>) -> RangeInclusive<Self> {
        Self { line, position: *positions.start() }..=Self { line, position: *positions.end() }
    }
}

impl Storable for Place {
    const BOUND: Bound = Bound::Bounded { max_size: Self::BYTES as u32, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_array().to_vec())
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_array().to_vec()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let mut fields = Fields(&bytes);
        Self { line: fields.number(), position: fields.number() }
    }
}

/// A commit's place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitPlace {
    pub(crate) id: Hash,
    pub(crate) tree: Hash,
    pub(crate) place: Place,
    /// The numbers of the commits it follows: two at the most.
    pub(crate) parents: Vec<u64>,
}

/// Parents of a commit, at the most.
pub(crate) const MAX_PARENTS: usize = 2;

impl Storable for CommitPlace {
    const BOUND: Bound =
        Bound::Bounded { max_size: (64 + Place::BYTES + 8 * MAX_PARENTS) as u32, is_fixed_size: false };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(self.tree.as_bytes());
        bytes.extend_from_slice(&self.place.to_array());
        for parent in &self.parents {
            bytes.extend_from_slice(&parent.to_be_bytes());
        }
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let mut fields = Fields(&bytes);
        let (id, tree) = (fields.hash(), fields.hash());
        let place = Place { line: fields.number(), position: fields.number() };
        let mut parents = Vec::new();
        while !fields.0.is_empty() {
            parents.push(fields.number());
        }
        Self { id, tree, place, parents }
    }
}

/// Reads fields of fixed length that this code wrote.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("BUG: a stored record is too short");
        self.0 = rest;
        *taken
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    pub(crate) fn small_number(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    pub(crate) fn hash(&mut self) -> Hash {
        Hash::new(self.take())
    }
}

impl<M: Memory> State<M> {
    /// Returns the number of a commit, unless there is none of this id, or garbage collection is about to take it.
    pub(crate) fn commit_number(&self, id: &Hash) -> Option<u64> {
        self.commit_numbers.get(id.as_bytes()).filter(|_| !self.is_leaving(id))
    }

    /// Returns a commit's place by its number.
    pub(crate) fn commit_place(&self, number: u64) -> CommitPlace {
        self.commits.get(&number).unwrap_or_else(|| panic!("BUG: commit number {number} is missing"))
    }

    /// Returns the place of a commit that a branch or another commit leads to.
    pub(crate) fn place_of(&self, id: &Hash) -> CommitPlace {
        let number = self.commit_numbers.get(id.as_bytes());
        self.commit_place(number.unwrap_or_else(|| panic!("BUG: the commit {id} is missing")))
    }

    pub(crate) fn commit_at(&self, place: Place) -> u64 {
        self.lines.get(&place).unwrap_or_else(|| panic!("BUG: there is no commit at {place:?}"))
    }

    /// Stores a commit whose nodes are stored and whose parents are known, and what it changes of which paths; one
    /// that is there stays as it is.
    ///
    /// `changed` is what its tree has other than that of its first parent.
    pub(crate) fn add_commit(&mut self, object: EncodedObject, commit: &Commit, changed: &[PathDiff]) {
        let id = object.id;
        if self.commit_numbers.contains_key(id.as_bytes()) {
            self.keep_object(&id);
            return;
        }
        self.put_object(object);
        let parents: Vec<CommitPlace> = commit.parents.iter().map(|parent| self.place_of(parent)).collect();
        // Garbage collection leaves the last number in place, so none comes twice.
        let number = self.commits.last_key_value().map_or(0, |(last, _)| last + 1);
        let place = self.next_place(parents.first().map(|parent| parent.place));
        let parent_numbers: Vec<u64> = parents.iter().map(|parent| self.commit_at(parent.place)).collect();
        if let [_, merged, ..] = parent_numbers.as_slice() {
            self.merges.insert(place, *merged);
        }
        let stored = CommitPlace { id, tree: commit.tree, place, parents: parent_numbers };
        self.commits.insert(number, stored.clone());
        self.commit_numbers.insert(*id.as_bytes(), number);
        self.lines.insert(place, number);
        self.record_paths(number, &stored, &parents, changed);
    }

    /// Returns what a path stands for in a commit's tree.
    pub(crate) fn entry(&self, tree: Hash, segments: &[String]) -> Option<Entry> {
        entry_at(self, tree, segments)
    }
}

impl<M: Memory> Nodes for State<M> {
    fn node(&self, id: &Hash) -> Rc<Node> {
        let bytes = self.stored_object(id);
        Rc::new(Node::decode(&bytes).expect("BUG: a stored node cannot be read"))
    }
}

#[cfg(test)]
mod tests;
