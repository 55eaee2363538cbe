//! The model: every commit with all that is in it, and what follows from that.

use std::collections::{BTreeMap, BTreeSet};

use depot_types::{
    Hash,
    catalog::{CommitInfo, Event, EventKind, MovedBy, PathEntry, ReleaseInfo},
    objects::Commit,
};

use super::trees::{Content, Path, folders};
use crate::events::Actor;

#[derive(Clone, Debug)]
pub(super) struct ModelCommit {
    pub(super) info: CommitInfo,
    pub(super) content: Content,
    /// The ids of all folders.
    pub(super) folders: BTreeMap<Path, Hash>,
    /// Its number, in the order in which commits came.
    pub(super) order: usize,
}

/// A change of a path, as seen from a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelChange {
    order: usize,
    pub(super) commit: Hash,
    pub(super) entry: Option<PathEntry>,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) commits: BTreeMap<Hash, ModelCommit>,
    pub(super) branches: BTreeMap<String, Option<Hash>>,
    pub(super) default: String,
    /// By the last number of the version.
    pub(super) releases: BTreeMap<u64, ReleaseInfo>,
    pub(super) events: Vec<Event>,
    next: usize,
}

impl Model {
    pub(super) fn new() -> Self {
        let default = "main".to_string();
        Self {
            commits: BTreeMap::new(),
            branches: BTreeMap::from([(default.clone(), None)]),
            default,
            releases: BTreeMap::new(),
            events: vec![],
            next: 0,
        }
    }

    /// Makes a commit and lets a branch be at it; returns what the catalog has to answer.
    pub(super) fn commit(
        &mut self,
        branch: &str,
        parents: Vec<Hash>,
        content: Content,
        message: &str,
        by: MovedBy,
        actor: Actor,
    ) -> CommitInfo {
        let folders = folders(&content);
        let Actor { caller: author, now_ns: time_ns } = actor;
        let tree = folders[&vec![]];
        let commit = Commit { tree, parents, author, author_name: None, message: message.to_string(), time_ns };
        let id = commit.encode().id;
        let info = commit.into_info(id);
        let order = self.next;
        self.next += 1;
        let known = self.commits.insert(id, ModelCommit { info: info.clone(), content, folders, order });
        assert!(known.is_none(), "the id is new");
        self.move_head(branch, Some(id), by, actor);
        info
    }

    /// Lets a branch be at another commit.
    pub(super) fn move_head(&mut self, branch: &str, new: Option<Hash>, by: MovedBy, actor: Actor) {
        let old = self.branches.insert(branch.to_string(), new).flatten();
        self.log(actor, EventKind::HeadMoved { branch: branch.to_string(), old, new, by });
    }

    pub(super) fn log(&mut self, actor: Actor, kind: EventKind) {
        let Actor { caller, now_ns: time_ns } = actor;
        self.events.push(Event { number: self.events.len() as u64 + 1, time_ns, caller, kind });
    }

    pub(super) fn content(&self, commit: Option<Hash>) -> Content {
        commit.map(|commit| self.commits[&commit].content.clone()).unwrap_or_default()
    }

    /// What a path names in a commit.
    pub(super) fn module(&self, commit: &Hash, path: &Path) -> Option<Hash> {
        self.commits[commit].content.get(path).copied()
    }

    /// What a path stands for in a commit.
    pub(super) fn entry(&self, commit: &Hash, path: &Path) -> Option<PathEntry> {
        let folder = || self.commits[commit].folders.get(path).copied().map(PathEntry::Folder);
        self.module(commit, path).map(PathEntry::Module).or_else(folder)
    }

    pub(super) fn ancestors(&self, commit: Hash) -> BTreeSet<Hash> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![commit];
        while let Some(id) = waiting.pop() {
            if seen.insert(id) {
                waiting.extend(&self.commits[&id].info.parents);
            }
        }
        seen
    }

    pub(super) fn ancestors_of_all<'a>(&self, commits: impl IntoIterator<Item = &'a Hash>) -> BTreeSet<Hash> {
        commits.into_iter().flat_map(|commit| self.ancestors(*commit)).collect()
    }

    /// All that a branch looks back on.
    pub(super) fn reachable(&self) -> BTreeSet<Hash> {
        self.ancestors_of_all(self.branches.values().flatten())
    }

    pub(super) fn forget_unreachable(&mut self) {
        let reachable = self.reachable();
        self.commits.retain(|id, _| reachable.contains(id));
    }

    /// The changes of a path that a commit looks back on, in the order of the commits that made them.
    pub(super) fn changes(&self, commit: Hash, path: &Path) -> Vec<ModelChange> {
        self.known_changes(commit, path, &mut BTreeMap::new())
    }

    fn known_changes(
        &self,
        commit: Hash,
        path: &Path,
        known: &mut BTreeMap<Hash, Vec<ModelChange>>,
    ) -> Vec<ModelChange> {
        if let Some(changes) = known.get(&commit) {
            return changes.clone();
        }
        let ModelCommit { info, order, .. } = &self.commits[&commit];
        let mut changes = match info.parents.as_slice() {
            [] => vec![],
            [parent] => self.known_changes(*parent, path, known),
            [ours, theirs, ..] => {
                let mut changes = self.known_changes(*ours, path, known);
                if self.is_joined(commit, *ours, *theirs, path) {
                    let ours = self.ancestors(*ours);
                    let theirs = self.known_changes(*theirs, path, known);
                    changes.extend(theirs.into_iter().filter(|change| !ours.contains(&change.commit)));
                    changes.sort_by_key(|change| change.order);
                }
                changes
            }
        };
        let entry = self.entry(&commit, path);
        if changes.last().and_then(|last| last.entry) != entry {
            changes.push(ModelChange { order: *order, commit, entry });
        }
        known.insert(commit, changes.clone());
        changes
    }

    /// Tells whether a merge brings the changes of both sides into one order: when a module came to the path, or left
    /// it, by the merge itself or by a commit that it takes in. A folder's changes are those of the first parent.
    fn is_joined(&self, merge: Hash, ours: Hash, theirs: Hash, path: &Path) -> bool {
        let taken_in: Vec<Hash> = self.ancestors(theirs).difference(&self.ancestors(ours)).copied().collect();
        let module = |commit: &Hash| self.module(commit, path);
        let is_changed = |commit: &Hash| match self.commits[commit].info.parents.as_slice() {
            [] => module(commit).is_some(),
            parents => parents.iter().any(|parent| module(parent) != module(commit)),
        };
        module(&ours) != module(&merge) || taken_in.iter().any(is_changed)
    }

    /// The versions of a path, oldest first: module and commit.
    pub(super) fn versions(&self, commit: Hash, path: &Path) -> Vec<(Hash, Hash)> {
        let mut versions: Vec<(Hash, Hash)> = vec![];
        for change in self.changes(commit, path) {
            if let Some(PathEntry::Module(module)) = change.entry
                && versions.iter().all(|(other, _)| *other != module)
            {
                versions.push((module, change.commit));
            }
        }
        versions
    }

    /// The versions of a path by the rule of wasmstore: commits in which the path differs from all their parents.
    pub(super) fn versions_by_parents(&self, commit: Hash, path: &Path) -> Vec<(Hash, Hash)> {
        let mut versions: Vec<(Hash, Hash)> = vec![];
        for id in self.in_order(self.ancestors(commit)) {
            if let Some(module) = self.module(&id, path)
                && self.commits[&id].info.parents.iter().all(|parent| self.module(parent, path) != Some(module))
                && versions.iter().all(|(other, _)| *other != module)
            {
                versions.push((module, id));
            }
        }
        versions
    }

    /// Commits, oldest first.
    pub(super) fn in_order(&self, commits: impl IntoIterator<Item = Hash>) -> Vec<Hash> {
        let mut commits: Vec<Hash> = commits.into_iter().collect();
        commits.sort_by_key(|id| self.commits[id].order);
        commits
    }
}
