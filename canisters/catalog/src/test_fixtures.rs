//! What the tests share.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    mem,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{
        CallFailure, CatalogArgs, Change, CommitArgs, CommitError, CommitInfo, FindArgs, MovedBy, PublishArgs,
        PublishError, ReleaseInfo,
    },
    objects::Commit,
    path::ModulePath,
};
use ic_stable_structures::{
    Memory, VectorMemory,
    memory_manager::{MemoryManager, VirtualMemory},
};

use crate::{
    commit::commit,
    events::Actor,
    history::module_path_key,
    lifecycle,
    publish::publish,
    runtime::{BlobStoreFailure, Runtime},
    state::State,
    trees::{PathChange, Target, edit},
};

/// The controller of the catalog.
pub(crate) const CONTROLLER: Principal = Principal::from_slice(&[1, 1]);
/// A publisher.
pub(crate) const ALICE: Principal = Principal::from_slice(&[2, 1]);
/// Somebody without rights.
pub(crate) const BOB: Principal = Principal::from_slice(&[3, 1]);
/// The blob store.
pub(crate) const BLOB_STORE: Principal = Principal::from_slice(&[4, 1]);

pub(crate) fn principal(number: u64) -> Principal {
    Principal::from_slice(&number.to_be_bytes())
}

pub(crate) fn module(number: u64) -> Hash {
    Hash::of(&number.to_be_bytes())
}

pub(crate) fn set(path: &str, number: u64) -> Change {
    Change::Set { path: path.to_string(), module_hash: module(number) }
}

pub(crate) fn remove(path: &str) -> Change {
    Change::Remove { path: path.to_string() }
}

pub(crate) fn commit_args(changes: &[Change]) -> CommitArgs {
    let changes = changes.to_vec();
    CommitArgs {
        branch: None,
        create_branch: None,
        changes,
        message: String::new(),
        author_name: None,
        expected_head: None,
    }
}

pub(crate) fn publish_args(package: &str, version: &str, number: u64) -> PublishArgs {
    PublishArgs {
        package: package.to_string(),
        version: version.to_string(),
        module_hash: module(number),
        description: String::new(),
        source: None,
    }
}

pub(crate) fn unavailable() -> CallFailure {
    CallFailure { method: "retain".to_string(), reject_code: 2, message: "busy".to_string() }
}

pub(crate) fn args() -> CatalogArgs {
    CatalogArgs { blob_store: Some(BLOB_STORE), publishers: vec![ALICE] }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(crate) type TestState = Rc<RefCell<State<VirtualMemory<VectorMemory>>>>;

/// An installed catalog.
pub(crate) fn new_state() -> TestState {
    Fixture::new().state
}

/// An installed catalog and the system that it runs on.
pub(crate) struct Fixture {
    pub(crate) state: TestState,
    pub(crate) runtime: ScriptedRuntime,
    memory: VectorMemory,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let memory = VectorMemory::default();
        let mut state = open(&memory);
        lifecycle::install(&mut state, args()).unwrap();
        Self { state: Rc::new(RefCell::new(state)), runtime: ScriptedRuntime::default(), memory }
    }

    /// Returns the catalog that a memory holds.
    pub(crate) fn on(memory: VectorMemory) -> Self {
        Self { state: Rc::new(RefCell::new(open(&memory))), runtime: ScriptedRuntime::default(), memory }
    }

    /// Opens the state anew from its memory, as an upgrade does.
    pub(crate) fn reopen(&self) {
        *self.state.borrow_mut() = open(&self.memory);
    }

    /// Returns another view of the same catalog, with a runtime of its own.
    pub(crate) fn twin(&self) -> Self {
        Self { state: Rc::clone(&self.state), runtime: ScriptedRuntime::default(), memory: self.memory.clone() }
    }

    pub(crate) fn commit(&self, changes: &[Change]) -> Result<CommitInfo, CommitError> {
        self.commit_as(ALICE, commit_args(changes))
    }

    pub(crate) fn commit_as(&self, caller: Principal, args: CommitArgs) -> Result<CommitInfo, CommitError> {
        block_on(commit(&self.state, &self.runtime, caller, args))
    }

    pub(crate) fn commit_on(&self, branch: &str, changes: &[Change]) -> Result<CommitInfo, CommitError> {
        self.commit_as(ALICE, CommitArgs { branch: Some(branch.to_string()), ..commit_args(changes) })
    }

    /// Appends commits to a branch that all have its content, which takes less time than changing something.
    pub(crate) fn lengthen(&self, branch: &str, count: usize) {
        let mut state = self.state.borrow_mut();
        let mut head = state.head(branch).flatten().unwrap();
        let tree = state.place_of(&head).tree;
        for _ in 0..count {
            head = state.add_bare_commit(tree, vec![head]);
        }
        state.move_head(branch, Some(head), MovedBy::Commit, Actor { caller: ALICE, now_ns: 0 });
    }

    /// Records that a module has named paths that it does not name any more.
    pub(crate) fn record_old_paths(&self, module: &Hash, count: usize) {
        let mut state = self.state.borrow_mut();
        for number in 0..count {
            state.module_paths.insert(module_path_key(module, &format!("old/{number:06}")), ());
        }
    }

    /// Stores a tree whose folder `d` has so many modules; no commit has it.
    pub(crate) fn store_tree(&self, modules: usize) -> Hash {
        let mut state = self.state.borrow_mut();
        let change = |number| PathChange {
            path: ModulePath::of_segments(vec!["d".to_string(), format!("{number:06}")]),
            target: Target::Set(module(1)),
        };
        let changes: Vec<PathChange> = (0..modules).map(change).collect();
        let edited = edit(&*state, None, &changes).unwrap();
        edited.nodes.into_iter().for_each(|node| state.put_node(node));
        edited.root
    }

    /// Returns the module that a path of a branch names.
    pub(crate) fn found(&self, branch: &str, path: &str) -> Option<Hash> {
        let args = FindArgs { branch: Some(branch.to_string()), path: path.to_string() };
        self.state.borrow().find(&args).ok().map(|found| found.module_hash)
    }

    pub(crate) fn publish(&self, package: &str, version: &str, number: u64) -> Result<ReleaseInfo, PublishError> {
        self.publish_as(ALICE, publish_args(package, version, number))
    }

    pub(crate) fn publish_as(&self, caller: Principal, args: PublishArgs) -> Result<ReleaseInfo, PublishError> {
        block_on(publish(&self.state, &self.runtime, caller, args))
    }

    pub(crate) fn head(&self) -> Option<Hash> {
        self.state.borrow().head("main").unwrap()
    }
}

impl<M: Memory> State<M> {
    /// Stores a commit of which no path is recorded to have changed.
    pub(crate) fn add_bare_commit(&mut self, tree: Hash, parents: Vec<Hash>) -> Hash {
        let (message, time_ns) = (String::new(), 0);
        let commit = Commit { tree, parents, author: ALICE, author_name: None, message, time_ns };
        let object = commit.encode();
        let id = object.id;
        self.add_commit(object, &commit, &[]);
        id
    }
}

pub(crate) fn open(memory: &VectorMemory) -> State<VirtualMemory<VectorMemory>> {
    let manager = MemoryManager::init_with_bucket_size(memory.clone(), 1);
    State::open(|id| manager.get(id)).unwrap()
}

/// A system whose blob store answers as told; a module that nothing was said about is sealed.
pub(crate) struct ScriptedRuntime {
    now_ns: Cell<u64>,
    blob_store: Cell<Principal>,
    is_holder: Cell<bool>,
    answers: RefCell<BTreeMap<Hash, Result<bool, CallFailure>>>,
    asked: RefCell<Vec<Hash>>,
    largest_call: Cell<usize>,
    retained: RefCell<BTreeSet<Hash>>,
    instructions: Cell<u64>,
    instructions_per_look: Cell<u64>,
    leaving: RefCell<Option<Leaving>>,
    during_next_call: RefCell<Option<Box<dyn FnOnce()>>>,
    certified: Rc<Cell<Option<Hash>>>,
}

/// Modules that are let go of while others are asked for.
struct Leaving {
    modules: Vec<Hash>,
    /// Calls during which they are.
    calls: usize,
    state: TestState,
}

impl Leaving {
    fn during_call(&mut self, asked: &[Hash]) {
        let Some(rest) = self.calls.checked_sub(1) else { return };
        self.calls = rest;
        for module in self.modules.iter().filter(|module| !asked.contains(module)) {
            self.state.borrow_mut().leaving.insert(*module.as_bytes(), ());
        }
    }
}

impl Default for ScriptedRuntime {
    fn default() -> Self {
        Self {
            now_ns: Cell::default(),
            blob_store: Cell::new(BLOB_STORE),
            is_holder: Cell::new(true),
            answers: RefCell::default(),
            asked: RefCell::default(),
            largest_call: Cell::default(),
            retained: RefCell::default(),
            instructions: Cell::default(),
            instructions_per_look: Cell::default(),
            leaving: RefCell::default(),
            during_next_call: RefCell::default(),
            certified: Rc::default(),
        }
    }
}

impl ScriptedRuntime {
    pub(crate) fn set_now_ns(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
    }

    pub(crate) fn answer(&self, module: Hash, answer: Result<bool, CallFailure>) {
        self.answers.borrow_mut().insert(module, answer);
    }

    /// Returns what was certified last before a call, as it comes to be.
    pub(crate) fn certified(&self) -> Rc<Cell<Option<Hash>>> {
        Rc::clone(&self.certified)
    }

    /// Lets something happen after the next call was made and before it is answered.
    pub(crate) fn during_next_call(&self, happening: impl FnOnce() + 'static) {
        *self.during_next_call.borrow_mut() = Some(Box::new(happening));
    }

    /// Lets modules be let go of during each of so many calls that is not about them.
    pub(crate) fn leave_during_calls(&self, modules: Vec<Hash>, calls: usize, state: TestState) {
        *self.leaving.borrow_mut() = Some(Leaving { modules, calls, state });
    }

    pub(crate) fn set_holder(&self, is_holder: bool) {
        self.is_holder.set(is_holder);
    }

    pub(crate) fn set_blob_store(&self, blob_store: Principal) {
        self.blob_store.set(blob_store);
    }

    /// Lets each look at the counter of instructions count so many.
    pub(crate) fn set_instructions_per_look(&self, instructions: u64) {
        self.instructions.set(0);
        self.instructions_per_look.set(instructions);
    }

    /// Returns the modules that were to be retained, in order.
    pub(crate) fn asked(&self) -> Vec<Hash> {
        self.asked.borrow().clone()
    }

    /// Returns the modules that the blob store retains.
    pub(crate) fn retained(&self) -> BTreeSet<Hash> {
        self.retained.borrow().clone()
    }

    pub(crate) fn largest_call(&self) -> usize {
        self.largest_call.get()
    }

    async fn call(&self, blob_store: Principal, modules: &[Hash]) -> Result<(), BlobStoreFailure> {
        assert_eq!(blob_store, self.blob_store.get());
        self.largest_call.set(self.largest_call.get().max(modules.len()));
        if !self.is_holder.get() {
            return Err(BlobStoreFailure::NotHolder);
        }
        let happening = self.during_next_call.borrow_mut().take();
        next_message().await;
        if let Some(happening) = happening {
            happening();
        }
        Ok(())
    }
}

impl Runtime for ScriptedRuntime {
    fn is_controller(&self, principal: &Principal) -> bool {
        *principal == CONTROLLER
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn certify(&self, data: &Hash) {
        self.certified.set(Some(*data));
    }

    fn instructions(&self) -> u64 {
        self.instructions.set(self.instructions.get() + self.instructions_per_look.get());
        self.instructions.get()
    }

    async fn retain(&self, blob_store: Principal, modules: &[Hash]) -> Result<Vec<Hash>, BlobStoreFailure> {
        self.asked.borrow_mut().extend_from_slice(modules);
        // The blob store acts when the call comes, which is in the order of calls.
        let mut unknown = vec![];
        for module in modules {
            let answer = self.answers.borrow().get(module).cloned();
            match answer.unwrap_or(Ok(true)) {
                Ok(true) if self.is_holder.get() => _ = self.retained.borrow_mut().insert(*module),
                Ok(true) => (),
                Ok(false) => unknown.push(*module),
                Err(failure) => {
                    next_message().await;
                    return Err(BlobStoreFailure::Unavailable(failure));
                }
            }
        }
        self.call(blob_store, modules).await?;
        if let Some(leaving) = &mut *self.leaving.borrow_mut() {
            leaving.during_call(modules);
        }
        Ok(unknown)
    }

    async fn release(&self, blob_store: Principal, modules: &[Hash]) -> Result<(), BlobStoreFailure> {
        if self.is_holder.get() {
            for module in modules {
                self.retained.borrow_mut().remove(module);
            }
        }
        self.call(blob_store, modules).await
    }
}

/// Waits once, as for the answer to a call.
async fn next_message() {
    let mut has_waited = false;
    poll_fn(|_| if mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls a future until it is ready.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the future is not ready after 1000 polls");
}
