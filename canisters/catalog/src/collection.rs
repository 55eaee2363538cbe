//! Collecting garbage: deleting what no branch leads to, and letting go of modules that nothing names.
//!
//! A collection marks everything that branches, releases and what is certified lead to, and then deletes what has no
//! mark. It runs in slices, between which everybody works on: what comes to be in use while marks are made waits to be
//! marked, too, and what does later is marked at once. A commit without a mark is gone as soon as deleting begins, so
//! nothing can lead to what is about to be deleted.

use std::{cell::RefCell, ops::Bound};

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{CollectGarbageArgs, CollectGarbageError, CollectionStatus, EventKind, MovedBy},
    limits::MAX_BRANCH_NAME_BYTES,
    objects::{Commit, EncodedObject, Node, Object},
};
use ic_stable_structures::Memory;
use serde::{Deserialize, Serialize};

use crate::{
    access::check_controller,
    blob_store::module_error,
    events::Actor,
    history::{Fields, PlaceOfChange, StoredPathChange, module_path_key},
    limits::{MAX_GC_SLICE_INSTRUCTIONS, MAX_LOOKED_AT, MAX_MODULES_PER_CALL},
    runtime::Runtime,
    state::State,
    stored::{Record, StoredHash},
    text::excerpt,
};

/// A collection that is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredCollection {
    phase: Phase,
    marked: u64,
    commits: u64,
    nodes: u64,
    modules: u64,
}

/// What a collection does. Keys are those behind which it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Marks the modules of releases.
    MarkReleases(#[serde(with = "serde_bytes")] Option<Vec<u8>>),
    /// Marks what waits, and lets what that leads to wait.
    MarkObjects,
    DeleteObjects(#[serde(with = "serde_bytes")] Option<StoredHash>),
    DeleteCertified(#[serde(with = "serde_bytes")] Option<StoredHash>),
    DeletePathChanges(#[serde(with = "serde_bytes")] Option<Vec<u8>>),
    DeletePathFirsts(#[serde(with = "serde_bytes")] Option<Vec<u8>>),
    /// Finds the modules to let go of.
    FindModules(#[serde(with = "serde_bytes")] Option<StoredHash>),
    /// Tells the blob store to let go of them.
    ReleaseModules(#[serde(with = "serde_bytes")] Option<StoredHash>),
}

impl StoredCollection {
    fn status(&self, finished: bool) -> CollectionStatus {
        let Self { marked, commits, nodes, modules, .. } = *self;
        CollectionStatus { finished, marked, commits, nodes, modules }
    }

    fn is_marking(&self) -> bool {
        matches!(self.phase, Phase::MarkReleases(_) | Phase::MarkObjects)
    }

    fn is_releasing(&self) -> bool {
        matches!(self.phase, Phase::FindModules(_) | Phase::ReleaseModules(_))
    }
}

/// Runs a slice of a collection of garbage, and begins one when none is going on.
///
/// # Errors
/// [`CollectGarbageError`]. When the blob store cannot be told to let go of modules, all else was done.
pub async fn collect_garbage<M: Memory>(
    state: &RefCell<State<M>>,
    runtime: &impl Runtime,
    caller: Principal,
    args: CollectGarbageArgs,
) -> Result<CollectionStatus, CollectGarbageError> {
    check_controller(runtime, caller).map_err(CollectGarbageError::Denied)?;
    let actor = Actor { caller, now_ns: runtime.now_ns() };
    let (blob_store, modules) = {
        let mut state = state.borrow_mut();
        if state.import.get().0.is_some() {
            return Err(CollectGarbageError::Importing);
        }
        if state.collection.get().0.is_none() {
            state.begin_collection(args.squash, actor)?;
        }
        while runtime.instructions() < MAX_GC_SLICE_INSTRUCTIONS && state.collect_step() {}
        match state.modules_to_release() {
            None => return Ok(state.collection_status()),
            Some(modules) if modules.is_empty() => return Ok(state.end_collection(actor)),
            Some(modules) => {
                // What was deleted and moved is answered while the blob store is waited for.
                state.forget_outdated_pages();
                runtime.certify(&state.certified_data());
                (state.blob_store(), modules)
            }
        }
    };
    let released = runtime.release(blob_store, &modules).await;
    released.map_err(|failure| CollectGarbageError::BlobStore(module_error(failure, blob_store)))?;
    Ok(state.borrow_mut().record_released(&modules))
}

/// What a step of a phase has come to.
enum Step<K> {
    /// The key behind which the phase goes on.
    Behind(K),
    Done,
}

impl<M: Memory> State<M> {
    /// Tells how far the collection is that is going on, if any.
    pub fn collection_status(&self) -> CollectionStatus {
        match &self.collection.get().0 {
            Some(collection) => collection.status(false),
            None => CollectionStatus { finished: true, ..CollectionStatus::default() },
        }
    }

    /// Tells whether a collection is going on that has all its marks, and deletes what has none.
    pub(crate) fn is_deleting(&self) -> bool {
        self.collection.get().0.as_ref().is_some_and(|collection| !collection.is_marking())
    }

    /// Tells whether a commit is about to be deleted.
    pub(crate) fn is_leaving(&self, commit: &Hash) -> bool {
        self.is_deleting() && !self.marks.contains_key(commit.as_bytes())
    }

    /// Tells whether modules are on their way out.
    pub(crate) fn is_releasing(&self) -> bool {
        self.collection.get().0.as_ref().is_some_and(StoredCollection::is_releasing)
    }

    /// Keeps a commit, and all that it leads to, that comes into use again from being deleted.
    pub(crate) fn revive(&mut self, commit: &Hash) {
        self.keep_object(commit);
    }

    /// Keeps an object that is in use from now on from being deleted. It must lead to nothing that is about to be.
    pub(crate) fn keep_object(&mut self, id: &Hash) {
        match &self.collection.get().0 {
            None => (),
            Some(_) if self.marks.contains_key(id.as_bytes()) => (),
            Some(collection) if collection.is_marking() => _ = self.waiting.insert(*id.as_bytes(), ()),
            Some(_) => _ = self.marks.insert(*id.as_bytes(), ()),
        }
    }

    /// Keeps a module that is named from now on.
    pub(crate) fn keep_module(&mut self, module: &Hash) {
        if self.collection.get().0.is_some() {
            self.marks.insert(*module.as_bytes(), ());
        }
    }

    fn begin_collection(&mut self, squash: Option<String>, actor: Actor) -> Result<(), CollectGarbageError> {
        if let Some(branch) = squash {
            self.squash(&branch, actor)?;
        }
        let heads: Vec<StoredHash> = self.branches.iter().filter_map(|entry| entry.value().0.head).collect();
        let certified = self.certified.get().0.clone();
        for root in heads.into_iter().chain(certified.heads).chain(certified.releases) {
            self.waiting.insert(root, ());
        }
        let phase = Phase::MarkReleases(None);
        self.collection.set(Record(Some(StoredCollection { phase, marked: 0, commits: 0, nodes: 0, modules: 0 })));
        Ok(())
    }

    /// Puts a commit of the same content that follows nothing in place of a branch's history.
    fn squash(&mut self, branch: &str, actor: Actor) -> Result<(), CollectGarbageError> {
        let head = self
            .head(branch)
            .ok_or_else(|| CollectGarbageError::UnknownBranch { branch: excerpt(branch, MAX_BRANCH_NAME_BYTES) })?;
        let Some(head) = head.map(|head| self.place_of(&head)) else { return Ok(()) };
        if head.parents.is_empty() {
            return Ok(());
        }
        let Actor { caller: author, now_ns: time_ns } = actor;
        let (tree, message) = (head.tree, "GC".to_string());
        let commit = Commit { tree, parents: vec![], author, author_name: None, message, time_ns };
        let object = commit.encode();
        let id = object.id;
        // What its paths name was recorded when they came to name it.
        self.add_commit(object, &commit, &[]);
        self.move_head(branch, Some(id), MovedBy::Squash, actor);
        Ok(())
    }

    /// Does the next step of the collection; returns false when there is none but to release modules.
    fn collect_step(&mut self) -> bool {
        let Record(Some(mut collection)) = self.collection.get().clone() else { return false };
        let phase = match &collection.phase {
            Phase::MarkReleases(after) => match self.mark_releases(after.clone()) {
                Step::Behind(key) => Phase::MarkReleases(Some(key)),
                Step::Done => Phase::MarkObjects,
            },
            Phase::MarkObjects => match self.mark_objects() {
                0 => Phase::DeleteObjects(None),
                marked => {
                    collection.marked += marked;
                    Phase::MarkObjects
                }
            },
            Phase::DeleteObjects(after) => match self.delete_objects(*after, &mut collection) {
                Step::Behind(key) => Phase::DeleteObjects(Some(key)),
                Step::Done => Phase::DeleteCertified(None),
            },
            Phase::DeleteCertified(after) => match self.delete_certified(*after) {
                Step::Behind(key) => Phase::DeleteCertified(Some(key)),
                Step::Done => Phase::DeletePathChanges(None),
            },
            Phase::DeletePathChanges(after) => match self.delete_path_changes(after.as_deref()) {
                Step::Behind(key) => Phase::DeletePathChanges(Some(key)),
                Step::Done => Phase::DeletePathFirsts(None),
            },
            Phase::DeletePathFirsts(after) => match self.delete_path_firsts(after.as_deref()) {
                Step::Behind(key) => Phase::DeletePathFirsts(Some(key)),
                Step::Done => Phase::FindModules(None),
            },
            Phase::FindModules(after) => match self.find_modules(*after) {
                Step::Behind(key) => Phase::FindModules(Some(key)),
                Step::Done => Phase::ReleaseModules(None),
            },
            Phase::ReleaseModules(_) => return false,
        };
        collection.phase = phase;
        self.collection.set(Record(Some(collection)));
        true
    }

    fn mark_releases(&mut self, after: Option<Vec<u8>>) -> Step<Vec<u8>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page: Vec<(Vec<u8>, StoredHash)> = self
            .releases
            .range((start, Bound::Unbounded))
            .take(STEP)
            .map(|entry| (entry.key().clone(), entry.value().0.module_hash))
            .collect();
        for (_, module) in &page {
            self.marks.insert(*module, ());
        }
        behind(page.into_iter().next_back().map(|(key, _)| key))
    }

    /// Marks some of what waits; returns how much.
    fn mark_objects(&mut self) -> u64 {
        let mut marked = 0;
        while marked < STEP as u64 {
            let Some((id, ())) = self.waiting.pop_first() else { break };
            if self.marks.contains_key(&id) {
                continue;
            }
            let leads_to = match self.objects.get(&id) {
                Some(bytes) => match Object::read(&bytes).expect("BUG: a stored object cannot be read").1 {
                    Object::Commit(Commit { tree, parents, .. }) => parents.into_iter().chain([tree]).collect(),
                    Object::Node(node) => {
                        for module in node.modules() {
                            self.marks.insert(*module.as_bytes(), ());
                        }
                        node.objects()
                    }
                },
                None => {
                    let bytes = self.certified_nodes.get(&id);
                    let bytes = bytes.unwrap_or_else(|| panic!("BUG: the object {} is missing", Hash::new(id)));
                    // What stands for modules there are commits, which are reached from branches, and digests.
                    Node::decode(&bytes).expect("BUG: a certified node cannot be read").objects()
                }
            };
            self.marks.insert(id, ());
            marked += 1;
            for object in leads_to {
                if !self.marks.contains_key(object.as_bytes()) {
                    self.waiting.insert(*object.as_bytes(), ());
                }
            }
        }
        marked
    }

    fn delete_objects(&mut self, after: Option<StoredHash>, collection: &mut StoredCollection) -> Step<StoredHash> {
        let page: Vec<StoredHash> = self.objects.keys_range(bounds(after)).take(STEP).collect();
        for id in &page {
            if self.marks.contains_key(id) {
                continue;
            }
            self.objects.remove(id);
            match self.commit_numbers.remove(id) {
                Some(number) => {
                    self.forget_commit(number);
                    collection.commits += 1;
                }
                None => collection.nodes += 1,
            }
        }
        behind(page.last().copied())
    }

    fn forget_commit(&mut self, number: u64) {
        let place = self.commit_place(number).place;
        self.lines.remove(&place);
        self.merges.remove(&place);
        // The last number stays, so that it is not given to another commit.
        if self.commits.last_key_value().is_some_and(|(last, _)| last != number) {
            self.commits.remove(&number);
        }
    }

    fn delete_certified(&mut self, after: Option<StoredHash>) -> Step<StoredHash> {
        let page: Vec<StoredHash> = self.certified_nodes.keys_range(bounds(after)).take(STEP).collect();
        for id in page.iter().filter(|id| !self.marks.contains_key(id)).collect::<Vec<_>>() {
            self.certified_nodes.remove(id);
        }
        behind(page.last().copied())
    }

    /// Deletes changes of paths by commits that are gone.
    fn delete_path_changes(&mut self, after: Option<&[u8]>) -> Step<Vec<u8>> {
        let after: Option<[u8; 40]> = after.map(|key| Fields(key).take());
        let page: Vec<[u8; 40]> = self.path_changes.keys_range(bounds(after)).take(STEP).collect();
        for key in &page {
            let (_, tail) = key.split_at(20);
            if !self.lines.contains_key(&PlaceOfChange::read(&mut Fields(tail)).place()) {
                self.path_changes.remove(key);
            }
        }
        behind(page.last().map(|key| key.to_vec()))
    }

    /// Deletes first appearances of modules whose changes are gone.
    fn delete_path_firsts(&mut self, after: Option<&[u8]>) -> Step<Vec<u8>> {
        let after: Option<[u8; 72]> = after.map(|key| Fields(key).take());
        let page: Vec<[u8; 72]> = self.path_firsts.keys_range(bounds(after)).take(STEP).collect();
        for key in &page {
            let mut fields = Fields(key);
            let (path, _, place) = (fields.take::<20>(), fields.hash(), fields.take::<20>());
            let mut change = [0; 40];
            change[..20].copy_from_slice(&path);
            change[20..].copy_from_slice(&place);
            if !matches!(self.path_changes.get(&change), Some(StoredPathChange::Change(_))) {
                self.path_firsts.remove(key);
            }
        }
        behind(page.last().map(|key| key.to_vec()))
    }

    fn find_modules(&mut self, after: Option<StoredHash>) -> Step<StoredHash> {
        let page: Vec<StoredHash> = self.modules.keys_range(bounds(after)).take(STEP).collect();
        for module in page.iter().filter(|module| !self.marks.contains_key(module)).collect::<Vec<_>>() {
            self.leaving.insert(*module, ());
        }
        behind(page.last().copied())
    }

    /// Returns the modules to tell the blob store about next, none when all are done; nothing when it is not yet time.
    fn modules_to_release(&self) -> Option<Vec<Hash>> {
        let Record(Some(StoredCollection { phase: Phase::ReleaseModules(after), .. })) = self.collection.get() else {
            return None;
        };
        // The blob store acts in the order of calls: a release behind a call to retain would undo it.
        let is_asked_for = |module: &StoredHash| self.unstable_retaining.contains_key(&Hash::new(*module));
        let unused = |module: &StoredHash| !self.marks.contains_key(module) && !is_asked_for(module);
        let modules = self.leaving.keys_range(bounds(*after)).filter(unused).take(MAX_MODULES_PER_CALL);
        Some(modules.map(Hash::new).collect())
    }

    /// Forgets modules that the blob store has let go of, but for those that it was asked to retain anew meanwhile.
    fn record_released(&mut self, modules: &[Hash]) -> CollectionStatus {
        let mut released = 0;
        for module in modules {
            if self.leaving.remove(module.as_bytes()).is_some() {
                self.modules.remove(module.as_bytes());
                self.forget_module_paths(module);
                released += 1;
            }
        }
        if let Record(Some(mut collection)) = self.collection.get().clone() {
            collection.modules += released;
            if let (Phase::ReleaseModules(after), Some(last)) = (&mut collection.phase, modules.last()) {
                *after = Some(*last.as_bytes()).max(*after);
            }
            self.collection.set(Record(Some(collection)));
        }
        self.collection_status()
    }

    /// Forgets which paths named a module; the paths that are left do no harm, since each is looked up again.
    fn forget_module_paths(&mut self, module: &Hash) {
        let start = module_path_key(module, "");
        let keys = self.module_paths.keys_range(start..).take(MAX_LOOKED_AT);
        let keys: Vec<Vec<u8>> = keys.take_while(|key| key.starts_with(module.as_bytes())).collect();
        for key in keys {
            self.module_paths.remove(&key);
        }
    }

    fn end_collection(&mut self, actor: Actor) -> CollectionStatus {
        let Record(Some(collection)) = self.collection.get().clone() else { return self.collection_status() };
        self.collection.set(Record(None));
        self.marks.clear_new();
        self.update_settings(|settings| settings.collections += 1);
        let status = collection.status(true);
        self.log(actor, EventKind::GarbageCollected { freed: status.commits + status.nodes + status.modules });
        status
    }

    /// Stores a node of a folder of the history.
    pub(crate) fn put_node(&mut self, object: EncodedObject) {
        if self.collection.get().0.is_some() {
            let node = Node::decode(&object.bytes).expect("BUG: a node just made cannot be read");
            for module in node.modules() {
                self.keep_module(&module);
            }
        }
        self.put_object(object);
    }
}

/// Entries that a step looks at.
const STEP: usize = 200;

fn behind<K>(key: Option<K>) -> Step<K> {
    key.map_or(Step::Done, Step::Behind)
}

fn bounds<K>(after: Option<K>) -> (Bound<K>, Bound<K>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[cfg(test)]
mod tests;
