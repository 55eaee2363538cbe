//! An Internet Computer with a catalog and a blob store on it, as far as the factory can tell. Futures are polled by
//! hand: each call is pending exactly once, so a test can stop, interleave and drop drivers at every await.

use std::{
    cell::{Ref, RefCell, RefMut},
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use candid::{Nat, Principal};
use depot_types::{
    Hash,
    blob_store::{Encoding, ModuleInfo, ModuleKind},
    catalog::{CatalogSource, ResolveError, ResolvedModule},
    factory::{DeployArgs, DeployError, Deployment, DeploymentStatus, FactoryArgs, FailureReason, ModuleSource, Step},
};
use ic_stable_structures::VectorMemory;
use serde_bytes::ByteBuf;

use crate::{
    Factory,
    deploy::Begun,
    runtime::{CallError, Installation, NewCanister, RejectCode, Runtime},
};

/// Who controls the factory.
pub(crate) const CONTROLLER: Principal = Principal::from_slice(&[1, 1]);
/// Who may deploy.
pub(crate) const DEPLOYER: Principal = Principal::from_slice(&[1, 2]);
/// The factory.
pub(crate) const FACTORY: Principal = Principal::from_slice(&[1, 3]);

/// The creation fee, in cycles.
pub(crate) const CREATION_FEE: u128 = 500_000_000_000;
/// Cycles set aside while a call is open.
pub(crate) const CALL_COST: u128 = 43_000_000_000;
/// Cycles of a usual deployment.
pub(crate) const CYCLES: u128 = 2_000_000_000_000;
/// An init argument at which every module traps.
pub(crate) const TRAPPING_INIT_ARG: &[u8] = b"trap";

/// Returns a principal that is nobody else's.
pub(crate) fn principal(number: u64) -> Principal {
    Principal::from_slice(&[[9].as_slice(), &number.to_be_bytes()].concat())
}

/// A call that goes wrong.
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    /// So many calls of the method go well before.
    pub(crate) skip: usize,
    pub(crate) error: CallError,
    /// Whether the call has its effect all the same, and only its answer is lost.
    pub(crate) has_effect: bool,
}

/// A canister that the factory made.
#[derive(Clone, Debug, Default)]
pub(crate) struct MadeCanister {
    pub(crate) module_hash: Option<Hash>,
    pub(crate) init_arg: Vec<u8>,
    pub(crate) controllers: Vec<Principal>,
    pub(crate) cycles: u128,
    pub(crate) settings: NewCanister,
}

/// The state of everything around the factory.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) now_ns: u64,
    pub(crate) cycles: u128,
    pub(crate) controllers: Vec<Principal>,
    pub(crate) resolved: Option<Result<ResolvedModule, ResolveError>>,
    pub(crate) modules: BTreeMap<Hash, ModuleInfo>,
    pub(crate) chunks: BTreeMap<Hash, Vec<u8>>,
    pub(crate) chunk_store: BTreeSet<Hash>,
    pub(crate) canisters: BTreeMap<Principal, MadeCanister>,
    /// Methods of other canisters that were called, in order.
    pub(crate) calls: Vec<&'static str>,
    pub(crate) faults: Vec<Fault>,
    /// Calls have their effect when their answer is taken instead of when they are made: a dropped one has none.
    pub(crate) is_late: bool,
}

impl World {
    pub(crate) fn new() -> Rc<RefCell<Self>> {
        let world = Self { now_ns: 1, cycles: 100 * CYCLES, controllers: vec![CONTROLLER], ..Self::default() };
        Rc::new(RefCell::new(world))
    }

    /// Puts a module of so many chunks into the blob store. Modules of different names share no chunk.
    pub(crate) fn add_module(&mut self, name: &str, chunk_count: usize) -> Hash {
        let chunks: Vec<Vec<u8>> = (0..chunk_count).map(|index| format!("{name} {index};").into_bytes()).collect();
        let module = chunks.concat();
        let module_hash = Hash::of(&module);
        let chunk_hashes = chunks.iter().map(|chunk| Hash::of(chunk)).collect();
        let info = ModuleInfo {
            module_hash,
            size: module.len() as u64,
            chunk_hashes,
            encoding: Encoding::Raw,
            kind: ModuleKind::CoreModule,
            raw_hash: module_hash,
            raw_size: module.len() as u64,
            obstacles: vec![],
            metadata: vec![],
            sealed_by: CONTROLLER,
            sealed_at_ns: 0,
        };
        self.modules.insert(module_hash, info);
        self.chunks.extend(chunks.into_iter().map(|chunk| (Hash::of(&chunk), chunk)));
        module_hash
    }

    /// Returns how often a method was called.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.calls.iter().filter(|call| **call == method).count()
    }

    /// Lets calls of a method fail once `skip` of them went well.
    pub(crate) fn fail(&mut self, method: &'static str, skip: usize, code: u32, has_effect: bool) {
        self.faults.push(Fault { method, skip, error: rejection(code), has_effect });
    }

    fn take_fault(&mut self, method: &str) -> Option<Fault> {
        let index = self.faults.iter().position(|fault| fault.method == method)?;
        if self.faults[index].skip == 0 {
            return Some(self.faults.remove(index));
        }
        self.faults[index].skip -= 1;
        None
    }

    fn perform<T>(
        &mut self,
        method: &str,
        effect: impl FnOnce(&mut Self) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        match self.take_fault(method) {
            None => effect(self),
            Some(fault) => {
                if fault.has_effect {
                    effect(self)?;
                }
                Err(fault.error)
            }
        }
    }

    fn controlled(&mut self, canister_id: Principal) -> Result<&mut MadeCanister, CallError> {
        let canister = self.canisters.get_mut(&canister_id).ok_or_else(|| rejection(3))?;
        if canister.controllers.contains(&FACTORY) { Ok(canister) } else { Err(rejection(5)) }
    }
}

/// Returns a rejection with this code.
pub(crate) fn rejection(code: u32) -> CallError {
    CallError::Rejected { code: RejectCode::from(code), message: format!("rejected with {code}") }
}

/// The runtime of a factory in a [`World`].
pub(crate) struct WorldRuntime(Rc<RefCell<World>>);

impl WorldRuntime {
    pub(crate) fn new(world: Rc<RefCell<World>>) -> Self {
        Self(world)
    }

    async fn call<T>(
        &self,
        method: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.0.borrow_mut().calls.push(method);
        if self.0.borrow().is_late {
            pause().await;
            self.0.borrow_mut().perform(method, effect)
        } else {
            let answer = self.0.borrow_mut().perform(method, effect);
            pause().await;
            answer
        }
    }
}

/// Is pending once.
async fn pause() {
    let mut is_done = false;
    poll_fn(|_| if std::mem::replace(&mut is_done, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl Runtime for WorldRuntime {
    fn now_ns(&self) -> u64 {
        self.0.borrow().now_ns
    }

    fn own_id(&self) -> Principal {
        FACTORY
    }

    fn is_controller(&self, principal: &Principal) -> bool {
        self.0.borrow().controllers.contains(principal)
    }

    fn liquid_cycles(&self) -> u128 {
        self.0.borrow().cycles
    }

    fn creation_fee(&self) -> u128 {
        CREATION_FEE
    }

    fn call_cost(&self, _method: &str, _argument_bytes: u64) -> u128 {
        CALL_COST
    }

    async fn resolve(
        &self,
        _catalog: Principal,
        _source: &CatalogSource,
    ) -> Result<Result<ResolvedModule, ResolveError>, CallError> {
        self.call("resolve", |world| world.resolved.clone().ok_or_else(|| rejection(3))).await
    }

    async fn module_info(&self, _blob_store: Principal, module_hash: Hash) -> Result<Option<ModuleInfo>, CallError> {
        self.call("module_info", |world| Ok(world.modules.get(&module_hash).cloned())).await
    }

    async fn get_chunk(&self, _blob_store: Principal, chunk_hash: Hash) -> Result<Option<Vec<u8>>, CallError> {
        self.call("get_chunk", |world| Ok(world.chunks.get(&chunk_hash).cloned())).await
    }

    async fn upload_chunk(&self, bytes: Vec<u8>) -> Result<(), CallError> {
        self.call("upload_chunk", |world| {
            let hash = Hash::of(&bytes);
            if world.chunk_store.len() == 100 && !world.chunk_store.contains(&hash) {
                return Err(rejection(5));
            }
            world.chunk_store.insert(hash);
            Ok(())
        })
        .await
    }

    async fn stored_chunks(&self) -> Result<Vec<Hash>, CallError> {
        self.call("stored_chunks", |world| Ok(world.chunk_store.iter().copied().collect())).await
    }

    async fn clear_chunk_store(&self) -> Result<(), CallError> {
        self.call("clear_chunk_store", |world| {
            world.chunk_store.clear();
            Ok(())
        })
        .await
    }

    async fn create_canister(&self, settings: NewCanister, cycles: u128) -> Result<Principal, CallError> {
        self.0.borrow_mut().cycles -= cycles;
        let answer = self
            .call("create_canister", |world| {
                let canister_id = principal(10_000 + world.canisters.len() as u64);
                let canister = MadeCanister {
                    controllers: vec![FACTORY],
                    cycles: cycles - CREATION_FEE,
                    settings,
                    ..MadeCanister::default()
                };
                world.canisters.insert(canister_id, canister);
                Ok(canister_id)
            })
            .await;
        if answer.is_err() {
            self.0.borrow_mut().cycles += cycles;
        }
        answer
    }

    async fn install(&self, installation: Installation) -> Result<(), CallError> {
        self.call("install_chunked_code", |world| {
            let Installation { canister_id, module_hash, chunk_hashes, init_arg } = installation;
            if !chunk_hashes.iter().all(|hash| world.chunk_store.contains(hash)) {
                return Err(rejection(5));
            }
            let module: Vec<u8> = chunk_hashes.iter().flat_map(|hash| world.chunks[hash].clone()).collect();
            let canister = world.controlled(canister_id)?;
            if canister.module_hash.is_some() || Hash::of(&module) != module_hash || init_arg == TRAPPING_INIT_ARG {
                return Err(rejection(5));
            }
            canister.module_hash = Some(module_hash);
            canister.init_arg = init_arg;
            Ok(())
        })
        .await
    }

    async fn module_hash_of(&self, canister_id: Principal) -> Result<Option<Hash>, CallError> {
        self.call("canister_status", |world| Ok(world.controlled(canister_id)?.module_hash)).await
    }

    async fn controllers_of(&self, canister_id: Principal) -> Result<Vec<Principal>, CallError> {
        self.call("canister_info", |world| Ok(world.canisters[&canister_id].controllers.clone())).await
    }

    async fn set_controllers(&self, canister_id: Principal, controllers: Vec<Principal>) -> Result<(), CallError> {
        self.call("update_settings", |world| {
            world.controlled(canister_id)?.controllers = controllers;
            Ok(())
        })
        .await
    }
}

/// A future that is polled by hand.
pub(crate) struct Task<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Task<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Goes on to the next await; returns the result at the end.
    pub(crate) fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// Goes on over so many awaits, which must not be the end.
    pub(crate) fn poll_times(&mut self, times: usize) {
        for _ in 0..times {
            assert!(self.poll().is_none(), "it ended too early");
        }
    }

    /// Goes on to the end.
    pub(crate) fn finish(mut self) -> T {
        for _ in 0..10_000 {
            if let Some(result) = self.poll() {
                return result;
            }
        }
        panic!("it does not end");
    }
}

pub(crate) type DeployTask = Task<Result<Deployment, DeployError>>;

/// A factory in a world.
pub(crate) struct Depot {
    world: Rc<RefCell<World>>,
    memory: VectorMemory,
    factory: RefCell<Rc<Factory<WorldRuntime, VectorMemory>>>,
}

impl Depot {
    /// Installs a factory with one deployer.
    pub(crate) fn new() -> Self {
        let world = World::new();
        let memory = VectorMemory::default();
        let args =
            FactoryArgs { blob_store: Some(principal(1)), catalog: Some(principal(2)), deployers: vec![DEPLOYER] };
        let factory = Factory::install(WorldRuntime::new(world.clone()), memory.clone(), args).ok().unwrap();
        Self { world, memory, factory: RefCell::new(Rc::new(factory)) }
    }

    pub(crate) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    pub(crate) fn look(&self) -> Ref<'_, World> {
        self.world.borrow()
    }

    pub(crate) fn factory(&self) -> Rc<Factory<WorldRuntime, VectorMemory>> {
        self.factory.borrow().clone()
    }

    /// Upgrades the factory: all that is on its heap is gone.
    pub(crate) fn upgrade(&self) {
        let runtime = WorldRuntime::new(self.world.clone());
        *self.factory.borrow_mut() = Rc::new(Factory::reopen(runtime, self.memory.clone(), None).ok().unwrap());
    }

    /// Adds a module of three chunks to the blob store, and has the catalog name it whatever it is asked for.
    pub(crate) fn publish(&self) -> Hash {
        let module_hash = self.world().add_module("app", 3);
        let resolved = ResolvedModule { module_hash, version: Some("1.2.3".to_string()), commit: None };
        self.world().resolved = Some(Ok(resolved));
        module_hash
    }

    /// Calls `deploy`, up to the first await when polled once.
    pub(crate) fn start(&self, args: DeployArgs) -> DeployTask {
        let factory = self.factory();
        Task::new(async move {
            let id = match factory.begin(DEPLOYER, args)? {
                Begun::Existing(id) => id,
                Begun::New(id) => {
                    factory.drive(id).await;
                    id
                }
            };
            Ok(factory.deployment(id).unwrap())
        })
    }

    /// Calls `deploy` and waits for the answer.
    pub(crate) fn deploy(&self, args: DeployArgs) -> Result<Deployment, DeployError> {
        self.start(args).finish()
    }

    /// Drives what is due, once.
    pub(crate) fn resume(&self) -> Vec<Task<()>> {
        let factory = self.factory();
        let drive = |id| {
            let factory = factory.clone();
            Task::new(async move { factory.drive(id).await })
        };
        factory.due_deployments().into_iter().map(drive).collect()
    }

    /// Lets the watchdog work until no deployment is in progress.
    pub(crate) fn settle(&self) {
        for _ in 0..2_000 {
            let Some(delay) = self.factory().next_look() else { return };
            self.world().now_ns += delay.as_nanos() as u64;
            for task in self.resume() {
                task.finish();
            }
        }
        panic!("deployments stay in progress");
    }

    /// Returns a deployment, which must exist.
    pub(crate) fn deployment(&self, id: u64) -> Deployment {
        self.factory().deployment(id).unwrap()
    }
}

/// Asks for a module of the catalog.
pub(crate) fn release_args(key: &str) -> DeployArgs {
    let source = CatalogSource::Release { package: "app".to_string(), requirement: "^1".to_string() };
    DeployArgs {
        idempotency_key: key.to_string(),
        source: ModuleSource::Catalog(source),
        init_arg: ByteBuf::from(*b"DIDL\0\0"),
        controllers: Some(vec![CONTROLLER, DEPLOYER]),
        settings: None,
        environment_variables: vec![],
        cycles: Nat::from(CYCLES),
    }
}

/// Asks for a module by its hash.
pub(crate) fn module_args(key: &str, module_hash: Hash) -> DeployArgs {
    DeployArgs { source: ModuleSource::Module { module_hash }, ..release_args(key) }
}

/// Returns the step and the reason of a failed deployment.
pub(crate) fn failure(deployment: &Deployment) -> (Step, FailureReason) {
    match &deployment.status {
        DeploymentStatus::Failed { step, reason } => (*step, reason.clone()),
        status => panic!("it did not fail: {status:?}"),
    }
}
