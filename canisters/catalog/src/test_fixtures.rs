//! What the tests share.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
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
        CallFailure, CatalogArgs, Change, CommitArgs, CommitError, CommitInfo, PublishArgs, PublishError, ReleaseInfo,
    },
};
use ic_stable_structures::{
    VectorMemory,
    memory_manager::{MemoryManager, VirtualMemory},
};

use crate::{commit::commit, lifecycle, publish::publish, runtime::Runtime, state::State};

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
    CommitArgs { branch: None, changes, message: String::new(), author_name: None, expected_head: None }
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
    CallFailure { method: "module_info".to_string(), reject_code: 2, message: "busy".to_string() }
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
    let manager = MemoryManager::init_with_bucket_size(VectorMemory::default(), 1);
    let mut state = State::open(|id| manager.get(id)).unwrap();
    lifecycle::install(&mut state, args()).unwrap();
    Rc::new(RefCell::new(state))
}

/// An installed catalog and the system that it runs on.
pub(crate) struct Fixture {
    pub(crate) state: TestState,
    pub(crate) runtime: ScriptedRuntime,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { state: new_state(), runtime: ScriptedRuntime::default() }
    }

    pub(crate) fn commit(&self, changes: &[Change]) -> Result<CommitInfo, CommitError> {
        self.commit_as(ALICE, commit_args(changes))
    }

    pub(crate) fn commit_as(&self, caller: Principal, args: CommitArgs) -> Result<CommitInfo, CommitError> {
        block_on(commit(&self.state, &self.runtime, caller, args))
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

/// A system whose blob store answers as told; a module that nothing was said about is sealed.
#[derive(Default)]
pub(crate) struct ScriptedRuntime {
    now_ns: Cell<u64>,
    answers: RefCell<BTreeMap<Hash, Result<bool, CallFailure>>>,
    asked: RefCell<Vec<Hash>>,
    open_calls: Cell<usize>,
    most_open_calls: Cell<usize>,
    during_next_call: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl ScriptedRuntime {
    pub(crate) fn set_now_ns(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
    }

    pub(crate) fn answer(&self, module: Hash, answer: Result<bool, CallFailure>) {
        self.answers.borrow_mut().insert(module, answer);
    }

    /// Lets something happen after the next call was made and before it is answered.
    pub(crate) fn during_next_call(&self, happening: impl FnOnce() + 'static) {
        *self.during_next_call.borrow_mut() = Some(Box::new(happening));
    }

    /// Returns the modules asked about, in order.
    pub(crate) fn asked(&self) -> Vec<Hash> {
        self.asked.borrow().clone()
    }

    pub(crate) fn most_open_calls(&self) -> usize {
        self.most_open_calls.get()
    }
}

impl Runtime for ScriptedRuntime {
    fn is_controller(&self, principal: &Principal) -> bool {
        *principal == CONTROLLER
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    async fn is_sealed(&self, blob_store: Principal, module_hash: Hash) -> Result<bool, CallFailure> {
        assert_eq!(blob_store, BLOB_STORE);
        self.asked.borrow_mut().push(module_hash);
        self.open_calls.set(self.open_calls.get() + 1);
        self.most_open_calls.set(self.most_open_calls.get().max(self.open_calls.get()));
        let happening = self.during_next_call.borrow_mut().take();
        next_message().await;
        if let Some(happening) = happening {
            happening();
        }
        self.open_calls.set(self.open_calls.get() - 1);
        self.answers.borrow().get(&module_hash).cloned().unwrap_or(Ok(true))
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
