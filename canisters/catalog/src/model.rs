//! Random histories of the catalog against a model that keeps every commit as a map.

use std::collections::{BTreeMap, BTreeSet};

use depot_types::{
    Hash,
    catalog::{
        AuditArgs, Change, CollectGarbageArgs, CommitArgs, CommitError, ContainsArgs, CreateBranchArgs,
        DeleteBranchArgs, DiffArgs, EventKind, EventsArgs, ExportArgs, ImportArgs, ListArgs, LogArgs, LookupArgs,
        MergeArgs, MergeError, Merged, Note, PathEntry, PathVersionArgs, PathVersionsArgs, PathsOfArgs, QueryError,
        Resolution, RestoreArgs, Revision, RollbackArgs, Take, Target, UndoError,
    },
    objects::Object,
};
use proptest::prelude::*;

use crate::{
    branches::{create_branch, delete_branch},
    collection::collect_garbage,
    import::import,
    merge::merge,
    test_fixtures::{ALICE, CONTROLLER, Fixture, block_on, commit_args, module, remove, set},
    undo::{restore, rollback},
};

type Path = Vec<String>;
/// Paths to modules, by segments.
type Content = BTreeMap<Path, Hash>;

#[derive(Clone, Debug)]
struct ModelCommit {
    parents: Vec<Hash>,
    content: Content,
    order: usize,
}

#[derive(Clone, Debug, Default)]
struct Model {
    commits: BTreeMap<Hash, ModelCommit>,
    branches: BTreeMap<String, Option<Hash>>,
    next: usize,
}

/// A change of a path, as the model sees it.
type ModelChange = (usize, Hash, Option<Hash>);

impl Model {
    fn new() -> Self {
        Self { branches: BTreeMap::from([("main".to_string(), None)]), ..Self::default() }
    }

    fn add(&mut self, id: Hash, parents: Vec<Hash>, content: Content) {
        let order = self.next;
        self.next += 1;
        assert!(self.commits.insert(id, ModelCommit { parents, content, order }).is_none(), "the id is new");
    }

    fn content(&self, commit: Option<Hash>) -> Content {
        commit.map(|commit| self.commits[&commit].content.clone()).unwrap_or_default()
    }

    fn ancestors(&self, commit: Hash) -> BTreeSet<Hash> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![commit];
        while let Some(id) = waiting.pop() {
            if seen.insert(id) {
                waiting.extend(&self.commits[&id].parents);
            }
        }
        seen
    }

    fn ancestors_of_all(&self, commits: &[Hash]) -> BTreeSet<Hash> {
        commits.iter().flat_map(|commit| self.ancestors(*commit)).collect()
    }

    /// The commits that both sides follow and that no other such commit follows, oldest first.
    fn bases(&self, ours: &[Hash], theirs: Hash) -> Vec<Hash> {
        let common: BTreeSet<Hash> =
            self.ancestors_of_all(ours).intersection(&self.ancestors(theirs)).copied().collect();
        let covered: BTreeSet<Hash> = common
            .iter()
            .flat_map(|id| self.commits[id].parents.iter().flat_map(|parent| self.ancestors(*parent)))
            .collect();
        let mut bases: Vec<Hash> = common.difference(&covered).copied().collect();
        bases.sort_by_key(|id| self.commits[id].order);
        bases
    }

    /// What a path names in the merged bases; nothing when they disagree.
    fn in_bases(&self, bases: &[Hash], path: &Path) -> Option<Option<Hash>> {
        let value = |commit: &Hash| self.commits[commit].content.get(path).copied();
        let Some((first, rest)) = bases.split_first() else { return Some(None) };
        let (mut merged, mut seen) = (Some(value(first)), vec![*first]);
        for next in rest {
            let theirs = Some(value(next));
            if merged != theirs {
                let base = self.in_bases(&self.bases(&seen, *next), path);
                merged = match base {
                    None => None,
                    base if base == merged => theirs,
                    base if base == theirs => merged,
                    _ => None,
                };
            }
            seen.push(*next);
        }
        merged
    }

    /// The content of a merge, or the paths in conflict.
    fn merged(&self, ours: Hash, theirs: Hash) -> Result<Content, BTreeSet<Path>> {
        let bases = self.bases(&[ours], theirs);
        let (our, their) = (&self.commits[&ours].content, &self.commits[&theirs].content);
        let paths: BTreeSet<&Path> = our.keys().chain(their.keys()).collect();
        let (mut content, mut conflicts) = (Content::new(), BTreeSet::new());
        for path in paths {
            let (one, other) = (our.get(path).copied(), their.get(path).copied());
            let base = self.in_bases(&bases, path);
            let outcome = match base {
                _ if one == other => one,
                Some(base) if base == one => other,
                Some(base) if base == other => one,
                _ => {
                    conflicts.insert(path.clone());
                    continue;
                }
            };
            if let Some(outcome) = outcome {
                content.insert(path.clone(), outcome);
            }
        }
        let obstacles: Vec<Path> = content
            .keys()
            .filter(|path| content.keys().any(|other| is_below(other, path) || is_below(path, other)))
            .cloned()
            .collect();
        conflicts.extend(obstacles);
        if conflicts.is_empty() { Ok(content) } else { Err(conflicts) }
    }

    /// The changes of a path that a commit looks back on: by the order of their commits, at a merge those of both
    /// sides.
    fn changes(&self, commit: Hash, path: &Path, known: &mut BTreeMap<Hash, Vec<ModelChange>>) -> Vec<ModelChange> {
        if let Some(changes) = known.get(&commit) {
            return changes.clone();
        }
        let ModelCommit { parents, content, order } = &self.commits[&commit];
        let mut changes: BTreeMap<usize, ModelChange> = BTreeMap::new();
        for parent in parents {
            changes.extend(self.changes(*parent, path, known).into_iter().map(|change| (change.0, change)));
        }
        let value = content.get(path).copied();
        if changes.last_key_value().and_then(|(_, (_, _, value))| *value) != value {
            changes.insert(*order, (*order, commit, value));
        }
        let changes: Vec<ModelChange> = changes.into_values().collect();
        known.insert(commit, changes.clone());
        changes
    }

    /// The versions of a path, oldest first.
    fn versions(&self, commit: Hash, path: &Path) -> Vec<(Hash, Hash)> {
        let mut versions: Vec<(Hash, Hash)> = vec![];
        for (_, commit, value) in self.changes(commit, path, &mut BTreeMap::new()) {
            if let Some(module) = value
                && versions.iter().all(|(other, _)| *other != module)
            {
                versions.push((module, commit));
            }
        }
        versions
    }

    /// The versions of a path by the rule of wasmstore: commits in which the path differs from all their parents.
    fn versions_by_parents(&self, commit: Hash, path: &Path) -> Vec<(Hash, Hash)> {
        let value = |id: &Hash| self.commits[id].content.get(path).copied();
        let mut ids: Vec<Hash> = self.ancestors(commit).into_iter().collect();
        ids.sort_by_key(|id| self.commits[id].order);
        let mut versions: Vec<(Hash, Hash)> = vec![];
        for id in ids {
            if let Some(module) = value(&id)
                && self.commits[&id].parents.iter().all(|parent| value(parent) != Some(module))
                && versions.iter().all(|(other, _)| *other != module)
            {
                versions.push((module, id));
            }
        }
        versions
    }

    fn forget_unreachable(&mut self) {
        let heads: Vec<Hash> = self.branches.values().flatten().copied().collect();
        let reachable = self.ancestors_of_all(&heads);
        self.commits.retain(|id, _| reachable.contains(id));
    }
}

fn is_below(path: &[String], folder: &[String]) -> bool {
    path.len() > folder.len() && path.starts_with(folder)
}

fn segments(path: &str) -> Path {
    path.split('/').map(str::to_string).collect()
}

/// Applies changes to content; nothing when the catalog has to refuse them.
fn apply(content: &Content, changes: &[Change]) -> Option<Content> {
    let path_of = |change: &Change| match change {
        Change::Set { path, .. } | Change::Remove { path } => Some(segments(path)),
        Change::RemoveModule { .. } => None,
    };
    let mut paths: Vec<Path> = changes.iter().filter_map(path_of).collect();
    let mut extra: Vec<Path> = vec![];
    for change in changes {
        if let Change::RemoveModule { module_hash } = change {
            let holds = |(path, hash): &(&Path, &Hash)| {
                *hash == module_hash && !paths.iter().any(|other| path.starts_with(other))
            };
            extra.extend(content.iter().filter(holds).map(|(path, _)| path.clone()));
        }
    }
    extra.sort();
    extra.dedup();
    paths.extend(extra.iter().cloned());
    for (index, one) in paths.iter().enumerate() {
        if paths[index + 1..].iter().any(|other| one.starts_with(other) || other.starts_with(one)) {
            return None;
        }
    }
    let mut after = content.clone();
    for change in changes {
        let Some(path) = path_of(change) else { continue };
        match change {
            Change::Set { module_hash, .. } => {
                // In the way is only what was there before: changes of one commit do not touch each other.
                let goes = |other: &Path| extra.contains(other);
                if content.keys().any(|other| is_below(other, &path) || (is_below(&path, other) && !goes(other))) {
                    return None;
                }
                after.insert(path, *module_hash);
            }
            Change::Remove { .. } => {
                let before = after.len();
                after.retain(|other, _| *other != path && !is_below(other, &path));
                if after.len() == before {
                    return None;
                }
            }
            Change::RemoveModule { .. } => (),
        }
    }
    after.retain(|path, _| !extra.contains(path));
    Some(after)
}

/// Gives a path what other content has there; nothing when a module is in the way.
fn put(content: &Content, path: &Path, from: &Content) -> Option<Content> {
    let is_at = |other: &Path| other == path || is_below(other, path);
    let given: Content =
        from.iter().filter(|(other, _)| is_at(other)).map(|(path, hash)| (path.clone(), *hash)).collect();
    if !given.is_empty() && content.keys().any(|other| is_below(path, other)) {
        return None;
    }
    let mut after = content.clone();
    after.retain(|other, _| !is_at(other));
    after.extend(given);
    Some(after)
}

#[derive(Clone, Debug)]
enum Step {
    Commit { branch: usize, changes: Vec<Change>, create: bool },
    Branch { from: prop::sample::Index },
    Delete { branch: usize },
    Merge { into: usize, from: usize, ours: bool },
    Rollback { branch: usize, path: Option<String>, count: u32, revert: bool },
    Restore { branch: usize, from: prop::sample::Index, path: Option<String>, revert: bool },
    Collect { squash: Option<usize>, whole: bool },
    Upgrade,
}

const NAMES: [&str; 4] = ["main", "one", "two", "three"];

/// Paths of few short segments, so that they meet often.
fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[ab]", Just("a.b".to_string())], 1..4).prop_map(|segments| segments.join("/"))
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        6 => (paths(), 0..4u64).prop_map(|(path, number)| set(&path, number)),
        2 => paths().prop_map(|path| remove(&path)),
        1 => (0..4u64).prop_map(|number| Change::RemoveModule { module_hash: module(number) }),
    ];
    prop::collection::vec(change, 1..4)
}

fn steps() -> impl Strategy<Value = Step> {
    let branch = || 0..NAMES.len();
    let path = || prop::option::of(paths());
    prop_oneof![
        8 => (branch(), changes(), prop::bool::weighted(0.3))
            .prop_map(|(branch, changes, create)| Step::Commit { branch, changes, create }),
        2 => any::<prop::sample::Index>().prop_map(|from| Step::Branch { from }),
        1 => branch().prop_map(|branch| Step::Delete { branch }),
        5 => (branch(), branch(), any::<bool>()).prop_map(|(into, from, ours)| Step::Merge { into, from, ours }),
        2 => (branch(), path(), 1..4u32, any::<bool>())
            .prop_map(|(branch, path, count, revert)| Step::Rollback { branch, path, count, revert }),
        2 => (branch(), any::<prop::sample::Index>(), path(), any::<bool>())
            .prop_map(|(branch, from, path, revert)| Step::Restore { branch, from, path, revert }),
        2 => (prop::option::weighted(0.3, branch()), any::<bool>())
            .prop_map(|(squash, whole)| Step::Collect { squash, whole }),
        1 => Just(Step::Upgrade),
    ]
}

/// The catalog and its model.
struct Both {
    fixture: Fixture,
    model: Model,
    /// Whether a collection is going on, in which commits that no branch leads to may be gone.
    is_collecting: bool,
    now_ns: u64,
}

impl Both {
    fn new() -> Self {
        Self { fixture: Fixture::new(), model: Model::new(), is_collecting: false, now_ns: 0 }
    }

    fn head(&self, branch: &str) -> Option<Hash> {
        self.model.branches.get(branch).copied().flatten()
    }

    /// A commit that there is, or was.
    fn any_commit(&self, index: prop::sample::Index) -> Option<Hash> {
        let ids: Vec<Hash> = self.model.commits.keys().copied().collect();
        if ids.is_empty() { None } else { Some(ids[index.index(ids.len())]) }
    }

    fn is_reachable(&self, commit: Hash) -> bool {
        let heads: Vec<Hash> = self.model.branches.values().flatten().copied().collect();
        self.model.ancestors_of_all(&heads).contains(&commit)
    }

    fn step(&mut self, step: Step) {
        // Each step has a time of its own, so that no two commits are the same.
        self.now_ns += 1;
        self.fixture.runtime.set_now_ns(self.now_ns);
        match step {
            Step::Commit { branch, changes, create } => self.commit(NAMES[branch], &changes, create),
            Step::Branch { from } => self.branch(from),
            Step::Delete { branch } => self.delete(NAMES[branch]),
            Step::Merge { into, from, ours } => self.merge(NAMES[into], NAMES[from], ours),
            Step::Rollback { branch, path, count, revert } => self.rollback(NAMES[branch], path, count, revert),
            Step::Restore { branch, from, path, revert } => self.restore(NAMES[branch], from, path, revert),
            Step::Collect { squash, whole } => self.collect(squash.map(|branch| NAMES[branch]), whole),
            Step::Upgrade => self.fixture.reopen(),
        }
    }

    fn commit(&mut self, branch: &str, changes: &[Change], create: bool) {
        let create_branch = Some(create);
        let args = CommitArgs { branch: Some(branch.to_string()), create_branch, ..commit_args(changes) };
        let outcome = self.fixture.commit_as(ALICE, args);
        if !create && !self.model.branches.contains_key(branch) {
            let is_refused =
                matches!(outcome, Err(CommitError::UnknownBranch { .. } | CommitError::OverlappingChanges { .. }));
            assert!(is_refused, "{outcome:?}");
            return;
        }
        let head = self.head(branch);
        match apply(&self.model.content(head), changes) {
            None => {
                let is_refused = matches!(
                    outcome,
                    Err(CommitError::OverlappingChanges { .. }
                        | CommitError::PathConflict { .. }
                        | CommitError::UnknownPath { .. })
                );
                assert!(is_refused, "{outcome:?}");
            }
            Some(after) if after == self.model.content(head) => assert_eq!(outcome, Err(CommitError::NothingChanged)),
            Some(after) => {
                let commit = outcome.unwrap();
                assert_eq!(commit.parents, Vec::from_iter(head));
                self.model.add(commit.id, commit.parents, after);
                self.model.branches.insert(branch.to_string(), Some(commit.id));
            }
        }
    }

    fn branch(&mut self, from: prop::sample::Index) {
        let free = NAMES.iter().find(|name| !self.model.branches.contains_key(**name));
        let (Some(name), Some(commit)) = (free, self.any_commit(from)) else { return };
        let args = CreateBranchArgs { name: name.to_string(), from: Some(Revision::Commit(commit)) };
        let outcome = create_branch(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        if outcome.is_err() {
            assert!(self.is_collecting && !self.is_reachable(commit), "{outcome:?}");
            return;
        }
        self.model.branches.insert(name.to_string(), Some(commit));
    }

    fn delete(&mut self, branch: &str) {
        let args = DeleteBranchArgs { name: branch.to_string(), expected_head: None };
        let outcome = delete_branch(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        let is_there = branch != "main" && self.model.branches.contains_key(branch);
        assert_eq!(outcome.is_ok(), is_there, "{outcome:?}");
        if is_there {
            self.model.branches.remove(branch);
        }
    }

    fn merge(&mut self, into: &str, from: &str, ours: bool) {
        let call = |fixture: &Fixture, into: &str, from: &str, resolutions: Vec<Resolution>| {
            let from = Revision::Branch(from.to_string());
            let args = MergeArgs { into: Some(into.to_string()), from, resolutions, note: Note::default() };
            block_on(merge(&fixture.state, &fixture.runtime, ALICE, args))
        };
        let outcome = call(&self.fixture, into, from, vec![]);
        let (true, Some(theirs)) = (self.model.branches.contains_key(into), self.head(from)) else {
            assert!(matches!(outcome, Err(MergeError::UnknownBranch { .. } | MergeError::EmptyBranch { .. })));
            return;
        };
        let Some(head) = self.head(into).filter(|head| !self.model.ancestors(theirs).contains(head)) else {
            let up_to_date = self.head(into) == Some(theirs);
            match outcome {
                Ok(Merged::UpToDate { head }) => assert!(up_to_date && head == theirs),
                other => assert_eq!(other, Ok(Merged::FastForward { previous: self.head(into), head: theirs })),
            }
            self.model.branches.insert(into.to_string(), Some(theirs));
            return;
        };
        if self.model.ancestors(head).contains(&theirs) {
            assert_eq!(outcome, Ok(Merged::UpToDate { head }));
            return;
        }
        let (commit, content) = match self.model.merged(head, theirs) {
            Ok(content) => {
                let Ok(Merged::Commit(commit)) = outcome else { panic!("{outcome:?}") };
                self.check_other_way(into, from, head, commit.tree);
                (commit, content)
            }
            Err(conflicts) => {
                let Err(MergeError::Conflicts { conflicts: found, total }) = outcome else { panic!("{outcome:?}") };
                let found: BTreeSet<Path> = found.iter().map(|conflict| segments(&conflict.path)).collect();
                assert_eq!((found.len(), &found), (total as usize, &conflicts));
                let take = if ours { Take::Ours } else { Take::Theirs };
                let resolutions = conflicts.iter().map(|path| Resolution { path: path.join("/"), take: take.clone() });
                let outcome = call(&self.fixture, into, from, resolutions.collect());
                match outcome {
                    Ok(Merged::Commit(commit)) => {
                        let content = self.listed(Some(Revision::Commit(commit.id)));
                        let side = self.model.content(Some(if ours { head } else { theirs }));
                        for path in conflicts {
                            assert_eq!(content.get(&path), side.get(&path));
                        }
                        (commit, content)
                    }
                    // One side alone resolves everything but what its modules meet elsewhere.
                    Err(MergeError::Conflicts { .. }) => return,
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(commit.parents, [head, theirs]);
        self.model.add(commit.id, commit.parents, content);
        self.model.branches.insert(into.to_string(), Some(commit.id));
    }

    /// Checks that the merge of two branches is the same from both sides, where it makes no difference.
    fn check_other_way(&self, into: &str, from: &str, head: Hash, tree: Hash) {
        let args = MergeArgs {
            into: Some(from.to_string()),
            from: Revision::Commit(head),
            resolutions: vec![],
            note: Note::default(),
        };
        let other = self.fixture.state.borrow().preview_merge(args);
        let Ok(depot_types::catalog::MergePreview::Commit { tree: other, .. }) = other else {
            panic!("{into}, {from}: {other:?}")
        };
        assert_eq!(other, tree);
    }

    fn rollback(&mut self, branch: &str, path: Option<String>, count: u32, revert: bool) {
        let (name, note) = (Some(branch.to_string()), Note::default());
        let args = RollbackArgs { branch: name, path: path.clone(), count, revert, note };
        let outcome = rollback(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        let Some(head) = self.head(branch) else {
            assert!(matches!(outcome, Err(UndoError::UnknownBranch { .. } | UndoError::EmptyBranch { .. })));
            return;
        };
        match path {
            Some(path) => {
                let path = segments(&path);
                let content = self.model.content(Some(head));
                let changes = self.model.changes(head, &path, &mut BTreeMap::new());
                // The model has changes of modules only; the path may be, or have been, a folder.
                let was_folder = self
                    .model
                    .ancestors(head)
                    .iter()
                    .any(|id| self.model.commits[id].content.keys().any(|other| is_below(other, &path)));
                if was_folder {
                    if let Ok(change) = outcome {
                        let commit = change.commit.unwrap();
                        let content = self.listed(Some(Revision::Commit(commit.id)));
                        self.model.add(commit.id, commit.parents, content);
                        self.model.branches.insert(branch.to_string(), Some(commit.id));
                    }
                    return;
                }
                if changes.is_empty() {
                    assert_eq!(outcome, Err(UndoError::UnknownPath { path: path.join("/") }));
                    return;
                }
                let Some(rest) = changes.len().checked_sub(count as usize) else {
                    assert_eq!(outcome, Err(UndoError::TooFew { available: changes.len() as u64 }));
                    return;
                };
                let value = changes[..rest].last().and_then(|(_, _, value)| *value);
                let from: Content = value.map(|hash| (path.clone(), hash)).into_iter().collect();
                self.undone(branch, outcome, put(&content, &path, &from));
            }
            None => {
                let mut target = Some(head);
                for step in 0..count {
                    let Some(id) = target else {
                        assert_eq!(outcome, Err(UndoError::TooFew { available: u64::from(step) }));
                        return;
                    };
                    target = self.model.commits[&id].parents.first().copied();
                }
                if revert {
                    self.undone(branch, outcome, Some(self.model.content(target)));
                } else {
                    assert_eq!(outcome.unwrap().head, target);
                    self.model.branches.insert(branch.to_string(), target);
                }
            }
        }
    }

    fn restore(&mut self, branch: &str, from: prop::sample::Index, path: Option<String>, revert: bool) {
        let Some(from) = self.any_commit(from) else { return };
        let (name, note) = (Some(branch.to_string()), Note::default());
        let args = RestoreArgs { branch: name, from: Revision::Commit(from), path: path.clone(), revert, note };
        let outcome = restore(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        if !self.model.branches.contains_key(branch) {
            assert_eq!(outcome, Err(UndoError::UnknownBranch { branch: branch.to_string() }));
            return;
        }
        if outcome == Err(UndoError::UnknownCommit { commit: from }) {
            assert!(self.is_collecting && !self.is_reachable(from));
            return;
        }
        let head = self.head(branch);
        match path {
            Some(path) => {
                let content = put(&self.model.content(head), &segments(&path), &self.model.content(Some(from)));
                self.undone(branch, outcome, content);
            }
            None if revert => self.undone(branch, outcome, Some(self.model.content(Some(from)))),
            None if head == Some(from) => assert_eq!(outcome, Err(UndoError::NothingChanged)),
            None => {
                assert_eq!(outcome.unwrap().head, Some(from));
                self.model.branches.insert(branch.to_string(), Some(from));
            }
        }
    }

    /// Takes over a commit on a branch that undid something, if it changes anything.
    fn undone(
        &mut self,
        branch: &str,
        outcome: Result<depot_types::catalog::HeadChange, UndoError>,
        content: Option<Content>,
    ) {
        let head = self.head(branch);
        match content {
            None => assert!(matches!(outcome, Err(UndoError::Tree(_))), "{outcome:?}"),
            Some(content) if content == self.model.content(head) => {
                assert_eq!(outcome, Err(UndoError::NothingChanged));
            }
            Some(content) => {
                let commit = outcome.unwrap().commit.unwrap();
                assert_eq!(commit.parents, Vec::from_iter(head));
                self.model.add(commit.id, commit.parents, content);
                self.model.branches.insert(branch.to_string(), Some(commit.id));
            }
        }
    }

    fn collect(&mut self, squash: Option<&str>, whole: bool) {
        let squash = squash.filter(|branch| self.model.branches.contains_key(*branch));
        let is_new = !self.is_collecting;
        // Each look at the counter costs so much that a slice has a few steps only.
        self.fixture.runtime.set_instructions_per_look(1_000_000_000);
        let mut calls = 0;
        loop {
            let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
            let status =
                block_on(collect_garbage(&self.fixture.state, &self.fixture.runtime, CONTROLLER, args)).unwrap();
            self.fixture.runtime.set_instructions_per_look(1_000_000_000);
            if is_new && calls == 0 {
                self.squashed(squash);
            }
            calls += 1;
            self.is_collecting = !status.finished;
            if status.finished {
                self.model.forget_unreachable();
                if is_new && whole {
                    self.check_nothing_is_left();
                }
                break;
            }
            assert!(calls < 1_000, "the collection does not end");
            if !whole {
                break;
            }
        }
        self.fixture.runtime.set_instructions_per_look(0);
    }

    fn squashed(&mut self, squash: Option<&str>) {
        let Some((branch, head)) = squash.and_then(|branch| Some((branch, self.head(branch)?))) else { return };
        if self.model.commits[&head].parents.is_empty() {
            return;
        }
        let id = self.fixture.state.borrow().head(branch).unwrap().unwrap();
        let content = self.model.content(Some(head));
        if !self.model.commits.contains_key(&id) {
            self.model.add(id, vec![], content);
        }
        self.model.branches.insert(branch.to_string(), Some(id));
    }

    /// Checks that exactly what branches lead to is stored, and exactly what that names is retained.
    fn check_nothing_is_left(&self) {
        let state = self.fixture.state.borrow();
        let mut waiting: Vec<Hash> = self.model.branches.values().flatten().copied().collect();
        let (mut objects, mut modules) = (BTreeSet::new(), BTreeSet::new());
        while let Some(id) = waiting.pop() {
            if !objects.insert(id) {
                continue;
            }
            match Object::verify(&id, &state.object(&id).unwrap()).unwrap() {
                Object::Commit(commit) => waiting.extend(commit.parents.into_iter().chain([commit.tree])),
                Object::Node(node) => {
                    modules.extend(node.modules());
                    waiting.extend(node.objects());
                }
            }
        }
        assert_eq!(state.objects.len(), objects.len() as u64);
        assert_eq!(self.fixture.runtime.retained(), modules);
        assert_eq!(state.modules.len(), modules.len() as u64);
        assert!(state.leaving.is_empty() && state.marks.is_empty() && state.waiting.is_empty());
        for row in state.path_changes.keys() {
            let place = crate::history::PlaceOfChange::read(&mut crate::history::Fields(&row[20..])).place();
            assert!(state.lines.contains_key(&place));
        }
    }

    fn listed(&self, at: Option<Revision>) -> Content {
        let (mut content, mut after) = (Content::new(), None);
        loop {
            let args = ListArgs { at: at.clone(), prefix: None, after, limit: Some(2) };
            let page = self.fixture.state.borrow().list(&args).unwrap();
            content.extend(page.modules.into_iter().map(|found| (segments(&found.path), found.module_hash)));
            after = page.next;
            if after.is_none() {
                return content;
            }
        }
    }

    fn check(&self, asked: &[String]) {
        let state = self.fixture.state.borrow();
        let branches: BTreeMap<String, Option<Hash>> =
            state.branches().into_iter().map(|branch| (branch.name, branch.head)).collect();
        assert_eq!(branches, self.model.branches);
        drop(state);
        for (branch, head) in &self.model.branches {
            let at = Some(Revision::Branch(branch.clone()));
            assert_eq!(self.listed(at.clone()), self.model.content(*head));
            self.check_log(at.clone(), *head);
            let Some(head) = *head else { continue };
            let paths: BTreeSet<Path> =
                asked.iter().map(|path| segments(path)).chain(self.model.content(Some(head)).into_keys()).collect();
            for path in paths {
                self.check_path(&at, head, &path);
            }
            for number in 0..4 {
                self.check_paths_of(&at, head, &module(number));
            }
        }
        self.check_events();
    }

    fn check_log(&self, at: Option<Revision>, head: Option<Hash>) {
        let (mut log, mut after) = (vec![], None);
        loop {
            let args = LogArgs { at: at.clone(), after, limit: Some(3) };
            let page = self.fixture.state.borrow().commit_log(&args).unwrap();
            log.extend(page.commits.into_iter().map(|commit| commit.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut expected: Vec<Hash> =
            head.map(|head| self.model.ancestors(head).into_iter().collect()).unwrap_or_default();
        expected.sort_by_key(|id| std::cmp::Reverse(self.model.commits[id].order));
        assert_eq!(log, expected);
    }

    fn check_path(&self, at: &Option<Revision>, head: Hash, path: &Path) {
        let state = self.fixture.state.borrow();
        let (text, at) = (path.join("/"), at.clone());
        let content = &self.model.commits[&head].content;
        let is_folder = content.keys().any(|other| is_below(other, path));
        let found = state.lookup(&LookupArgs { at: at.clone(), path: text.clone() });
        match content.get(path) {
            Some(module) => assert_eq!(found.unwrap().entry, PathEntry::Module(*module)),
            None if is_folder => assert!(matches!(found.unwrap().entry, PathEntry::Folder(_))),
            None => assert_eq!(found, Err(QueryError::NotFound { path: text.clone() })),
        }
        let target = Target::Path(text.clone());
        assert_eq!(state.contains(&ContainsArgs { at: at.clone(), target }), Ok(content.contains_key(path)));

        let versions = self.model.versions(head, path);
        assert_eq!(versions, self.model.versions_by_parents(head, path), "{text}");
        let (mut paged, mut after) = (vec![], None);
        loop {
            let args = PathVersionsArgs { at: at.clone(), path: text.clone(), after, limit: Some(2) };
            let page = state.path_versions(&args).unwrap();
            assert_eq!(page.total as usize, versions.len());
            paged.extend(page.versions.into_iter().map(|version| (version.module_hash, version.commit)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, versions, "{text}");
        for index in 0..=versions.len() {
            let args = PathVersionArgs { at: at.clone(), path: text.clone(), index: index as u32 };
            let found = state.path_version_at(&args);
            match versions.get(index) {
                Some((module, commit)) => {
                    let found = found.unwrap();
                    assert_eq!((found.module_hash, found.commit, found.index), (*module, *commit, index as u32));
                }
                None => assert_eq!(found, Err(QueryError::UnknownVersion { versions: index as u32 })),
            }
        }
        let (mut audit, mut after) = (vec![], None);
        loop {
            let args = AuditArgs { at: at.clone(), path: text.clone(), after, limit: Some(2) };
            let page = state.audit(&args).unwrap();
            audit.extend(page.changes.into_iter().map(|change| (change.commit, change.entry)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        audit.reverse();
        if audit.iter().all(|(_, entry)| !matches!(entry, Some(PathEntry::Folder(_)))) {
            let changes = self.model.changes(head, path, &mut BTreeMap::new());
            let expected: Vec<(Hash, Option<PathEntry>)> =
                changes.into_iter().map(|(_, commit, value)| (commit, value.map(PathEntry::Module))).collect();
            assert_eq!(audit, expected, "{text}");
        }
    }

    fn check_paths_of(&self, at: &Option<Revision>, head: Hash, module: &Hash) {
        let state = self.fixture.state.borrow();
        let (mut paths, mut after) = (vec![], None);
        loop {
            let args = PathsOfArgs { at: at.clone(), module_hash: *module, after, limit: Some(1) };
            let page = state.paths_of(&args).unwrap();
            paths.extend(page.paths);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let content = &self.model.commits[&head].content;
        let mut expected: Vec<String> =
            content.iter().filter(|(_, hash)| *hash == module).map(|(path, _)| path.join("/")).collect();
        expected.sort();
        assert_eq!(paths, expected);
        let args = ContainsArgs { at: at.clone(), target: Target::Module(*module) };
        assert_eq!(state.contains(&args), Ok(!expected.is_empty()));
    }

    /// Checks that the log of events leads to the branches that there are.
    fn check_events(&self) {
        let mut branches: BTreeMap<String, Option<Hash>> = BTreeMap::from([("main".to_string(), None)]);
        let (mut after, state) = (0, self.fixture.state.borrow());
        loop {
            let page = state.events(&EventsArgs { after: Some(after), limit: Some(7) });
            let Some(last) = page.events.last() else { break };
            after = last.number;
            for event in page.events {
                match event.kind {
                    EventKind::BranchCreated { branch, head } => {
                        assert_eq!(branches.insert(branch, head), None);
                    }
                    EventKind::HeadMoved { branch, old, new, .. } => {
                        assert_eq!(branches.insert(branch, new), Some(old));
                    }
                    EventKind::BranchDeleted { branch, head } => assert_eq!(branches.remove(&branch), Some(head)),
                    _ => (),
                }
            }
        }
        assert_eq!(branches, self.model.branches);
    }

    fn check_diff(&self, one: prop::sample::Index, other: prop::sample::Index) {
        let (Some(one), Some(other)) = (self.any_commit(one), self.any_commit(other)) else { return };
        if self.is_collecting && !(self.is_reachable(one) && self.is_reachable(other)) {
            return;
        }
        let (mut found, mut after) = (vec![], None);
        loop {
            let (from, to) = (Some(Revision::Commit(one)), Revision::Commit(other));
            let page = self.fixture.state.borrow().diff(&DiffArgs { from, to, after, limit: Some(2) }).unwrap();
            found.extend(page.changes.into_iter().map(|change| (segments(&change.path), change.old, change.new)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let (old, new) = (self.model.content(Some(one)), self.model.content(Some(other)));
        let paths: BTreeSet<&Path> = old.keys().chain(new.keys()).collect();
        let expected: Vec<(Path, Option<Hash>, Option<Hash>)> = paths
            .into_iter()
            .map(|path| (path.clone(), old.get(path).copied(), new.get(path).copied()))
            .filter(|(_, old, new)| old != new)
            .collect();
        assert_eq!(found, expected);
    }

    /// Reads a backup into an empty catalog, which then answers the same.
    fn restored_elsewhere(&self) -> Self {
        let (mut items, mut after) = (vec![], None);
        loop {
            let page = self.fixture.state.borrow().export(&ExportArgs { after }).unwrap();
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let other = Self { fixture: Fixture::new(), model: self.model.clone(), is_collecting: false, now_ns: 0 };
        let mut position = 0;
        for part in items.chunks(5) {
            let args = ImportArgs { position, items: part.to_vec() };
            let status =
                import(&mut other.fixture.state.borrow_mut(), &other.fixture.runtime, CONTROLLER, args).unwrap();
            position = status.position;
            assert_eq!(status.finished, position as usize == items.len());
        }
        let state = (self.fixture.state.borrow(), other.fixture.state.borrow());
        let ids = |state: &crate::state::State<_>| state.objects.keys().collect::<BTreeSet<_>>();
        assert_eq!(ids(&state.0), ids(&state.1));
        assert_eq!(state.0.certified_data(), state.1.certified_data());
        drop(state);
        other
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn should_agree_with_a_model_that_keeps_every_commit(
        steps in prop::collection::vec(steps(), 1..40),
        asked in prop::collection::vec(paths(), 4),
        pairs in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 3),
    ) {
        let mut both = Both::new();
        for (index, step) in steps.into_iter().enumerate() {
            both.step(step);
            if index % 8 == 7 {
                both.check(&asked);
            }
        }
        both.check(&asked);
        for (one, other) in &pairs {
            both.check_diff(*one, *other);
        }
        both.collect(None, true);
        both.collect(None, true);
        both.check(&asked);
        both.fixture.reopen();
        let other = both.restored_elsewhere();
        other.check(&asked);
        for (one, other_commit) in &pairs {
            other.check_diff(*one, *other_commit);
        }
    }
}
