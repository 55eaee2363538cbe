//! The factory on the Internet Computer: the one file that calls other canisters.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

use candid::{CandidType, Nat, Principal, utils::ArgumentEncoder};
use depot_types::{
    Hash,
    blob_store::ModuleInfo,
    catalog::{CatalogSource, ResolveError, ResolvedModule},
    factory::FactoryArgs,
    usage::{Meter, MethodUsage},
};
use factory::{
    Factory,
    runtime::{CallError, Installation, ManagementMethod, NewCanister, Runtime},
};
use ic_cdk::call::{Call, CallFailed, Response};
use ic_cdk_management_canister::{
    CanisterInstallMode, CanisterSettings, ChunkHash, ClearChunkStoreArgs, CreateCanisterArgs, CreateCanisterResult,
    EnvironmentVariable, InstallChunkedCodeArgs, StoredChunksArgs, StoredChunksResult, UpdateSettingsArgs,
    UploadChunkArgs,
};
use ic_stable_structures::DefaultMemoryImpl;
use serde::{Deserialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

type IcFactory = Factory<IcRuntime, DefaultMemoryImpl>;

thread_local! {
    static FACTORY: OnceCell<Rc<IcFactory>> = const { OnceCell::new() };
    static METER: RefCell<Meter> = RefCell::default();
}

/// Installs the factory.
///
/// # Traps
///
/// When the arguments do not suffice.
pub(crate) fn install(args: FactoryArgs) {
    match Factory::install(IcRuntime, DefaultMemoryImpl::default(), args) {
        Ok(factory) => set_factory(factory),
        Err(error) => ic_cdk::trap(error.to_string()),
    }
}

/// Takes the factory out of stable memory after an upgrade.
///
/// # Traps
///
/// When stable memory cannot be taken over.
pub(crate) fn reopen(args: Option<FactoryArgs>) {
    match Factory::reopen(IcRuntime, DefaultMemoryImpl::default(), args) {
        Ok(factory) => set_factory(factory),
        Err(error) => ic_cdk::trap(error.to_string()),
    }
}

fn set_factory(factory: IcFactory) {
    FACTORY.with(|cell| {
        if cell.set(Rc::new(factory)).is_err() {
            ic_cdk::trap("BUG: the factory is set up twice");
        }
    });
}

/// Returns the factory.
pub(crate) fn factory() -> Rc<IcFactory> {
    match FACTORY.with(|cell| cell.get().cloned()) {
        Some(factory) => factory,
        None => ic_cdk::trap("BUG: the factory is not set up"),
    }
}

/// Returns the caller of the message.
pub(crate) fn caller() -> Principal {
    ic_cdk::api::msg_caller()
}

/// Counts what a method costs when the value is dropped at its end.
#[must_use]
pub(crate) struct Measure(&'static str);

/// Begins to measure a method.
pub(crate) fn measure(method: &'static str) -> Measure {
    Measure(method)
}

impl Drop for Measure {
    fn drop(&mut self) {
        // A method that traps is not counted: it did not run to its end.
        if !ic_cdk::futures::is_recovering_from_trap() {
            let instructions = ic_cdk::api::call_context_instruction_counter();
            METER.with_borrow_mut(|meter| meter.count(self.0, instructions));
        }
    }
}

/// Returns what methods cost so far.
pub(crate) fn usage() -> Vec<MethodUsage> {
    METER.with_borrow(Meter::usage)
}

/// The system, through `ic_cdk`.
pub(crate) struct IcRuntime;

impl Runtime for IcRuntime {
    fn now_ns(&self) -> u64 {
        ic_cdk::api::time()
    }

    fn own_id(&self) -> Principal {
        ic_cdk::api::canister_self()
    }

    fn is_controller(&self, principal: &Principal) -> bool {
        ic_cdk::api::is_controller(principal)
    }

    fn liquid_cycles(&self) -> u128 {
        ic_cdk::api::canister_liquid_cycle_balance()
    }

    fn creation_fee(&self) -> u128 {
        ic_cdk::api::cost_create_canister()
    }

    fn call_cost(&self, method: &str, argument_bytes: u64) -> u128 {
        ic_cdk::api::cost_call(method.len() as u64, argument_bytes)
    }

    async fn resolve(
        &self,
        catalog: Principal,
        source: &CatalogSource,
    ) -> Result<Result<ResolvedModule, ResolveError>, CallError> {
        read(catalog, "resolve", &(source,)).await
    }

    async fn module_info(&self, blob_store: Principal, module_hash: Hash) -> Result<Option<ModuleInfo>, CallError> {
        read(blob_store, "module_info", &(module_hash,)).await
    }

    async fn get_chunk(&self, blob_store: Principal, chunk_hash: Hash) -> Result<Option<Vec<u8>>, CallError> {
        let chunk: Option<ByteBuf> = read(blob_store, "get_chunk", &(chunk_hash,)).await?;
        Ok(chunk.map(ByteBuf::into_vec))
    }

    async fn upload_chunk(&self, bytes: Vec<u8>) -> Result<(), CallError> {
        let args = UploadChunkArgs { canister_id: self.own_id(), chunk: bytes };
        let _hash: ChunkHash = change(ManagementMethod::UploadChunk, &args, 0).await?;
        Ok(())
    }

    async fn stored_chunks(&self) -> Result<Vec<Hash>, CallError> {
        let args = StoredChunksArgs { canister_id: self.own_id() };
        let chunks: StoredChunksResult = ask(ManagementMethod::StoredChunks, args).await?;
        chunks.iter().map(|chunk| to_hash(&chunk.hash)).collect()
    }

    async fn clear_chunk_store(&self) -> Result<(), CallError> {
        change_silently(ManagementMethod::ClearChunkStore, &ClearChunkStoreArgs { canister_id: self.own_id() }).await
    }

    async fn create_canister(&self, settings: NewCanister, cycles: u128) -> Result<Principal, CallError> {
        let settings = CanisterSettings {
            controllers: Some(vec![self.own_id()]),
            compute_allocation: settings.compute_allocation.map(Nat::from),
            memory_allocation: settings.memory_allocation.map(Nat::from),
            freezing_threshold: settings.freezing_threshold.map(Nat::from),
            reserved_cycles_limit: settings.reserved_cycles_limit.map(Nat::from),
            wasm_memory_limit: settings.wasm_memory_limit.map(Nat::from),
            environment_variables: Some(
                settings
                    .environment_variables
                    .into_iter()
                    .map(|(name, value)| EnvironmentVariable { name, value })
                    .collect(),
            ),
            ..CanisterSettings::default()
        };
        let args = CreateCanisterArgs { settings: Some(settings) };
        let created: CreateCanisterResult = change(ManagementMethod::CreateCanister, &args, cycles).await?;
        Ok(created.canister_id)
    }

    async fn install(&self, installation: Installation) -> Result<(), CallError> {
        let chunk_hashes_list =
            installation.chunk_hashes.iter().map(|hash| ChunkHash { hash: hash.as_bytes().to_vec() }).collect();
        let args = InstallChunkedCodeArgs {
            mode: CanisterInstallMode::Install,
            target_canister: installation.canister_id,
            store_canister: Some(self.own_id()),
            chunk_hashes_list,
            wasm_module_hash: installation.module_hash.as_bytes().to_vec(),
            arg: installation.init_arg,
        };
        change_silently(ManagementMethod::InstallChunkedCode, &args).await
    }

    async fn module_hash_of(&self, canister_id: Principal) -> Result<Option<Hash>, CallError> {
        let status: StatusExcerpt =
            ask(ManagementMethod::CanisterStatus, ic_cdk_management_canister::CanisterStatusArgs { canister_id })
                .await?;
        status.module_hash.as_deref().map(|hash| to_hash(hash)).transpose()
    }

    async fn controllers_of(&self, canister_id: Principal) -> Result<Vec<Principal>, CallError> {
        let args = ic_cdk_management_canister::CanisterInfoArgs { canister_id, num_requested_changes: None };
        let info: InfoExcerpt = ask(ManagementMethod::CanisterInfo, args).await?;
        Ok(info.controllers)
    }

    async fn set_controllers(&self, canister_id: Principal, controllers: Vec<Principal>) -> Result<(), CallError> {
        let settings = CanisterSettings { controllers: Some(controllers), ..CanisterSettings::default() };
        change_silently(ManagementMethod::UpdateSettings, &UpdateSettingsArgs { canister_id, settings }).await
    }
}

/// What the factory reads in the answer of `canister_status`. Fields that it does not need do not matter, so that it
/// understands networks with more of them or fewer.
#[derive(CandidType, Deserialize)]
struct StatusExcerpt {
    module_hash: Option<ByteBuf>,
}

/// What the factory reads in the answer of `canister_info`.
#[derive(CandidType, Deserialize)]
struct InfoExcerpt {
    controllers: Vec<Principal>,
}

/// Asks a canister something: a bounded-wait call, for a lost answer does no harm.
async fn read<A: ArgumentEncoder, T: CandidType + DeserializeOwned>(
    canister_id: Principal,
    method: &str,
    args: &A,
) -> Result<T, CallError> {
    decode(Call::bounded_wait(canister_id, method).with_args(args).await)
}

/// Asks the management canister something.
async fn ask<A: CandidType, T: CandidType + DeserializeOwned>(
    method: ManagementMethod,
    args: A,
) -> Result<T, CallError> {
    read(Principal::management_canister(), method.name(), &(args,)).await
}

/// Has the management canister change something: a call that waits for its answer however long it takes.
async fn change<A: CandidType, T: CandidType + DeserializeOwned>(
    method: ManagementMethod,
    args: &A,
    cycles: u128,
) -> Result<T, CallError> {
    let call = Call::unbounded_wait(Principal::management_canister(), method.name());
    decode(call.with_arg(args).with_cycles(cycles).await)
}

/// Has the management canister change something that it answers nothing to.
async fn change_silently<A: CandidType>(method: ManagementMethod, args: &A) -> Result<(), CallError> {
    let call = Call::unbounded_wait(Principal::management_canister(), method.name());
    call.with_arg(args).await.map(|_| ()).map_err(to_error)
}

fn decode<T: CandidType + DeserializeOwned>(answer: Result<Response, CallFailed>) -> Result<T, CallError> {
    let response = answer.map_err(to_error)?;
    response.candid().map_err(|error| CallError::Unreadable { message: error.to_string() })
}

fn to_error(failure: CallFailed) -> CallError {
    match failure {
        CallFailed::InsufficientLiquidCycleBalance(error) => CallError::NotMade { message: error.to_string() },
        CallFailed::CallPerformFailed(error) => CallError::NotMade { message: error.to_string() },
        CallFailed::CallRejected(rejection) => CallError::Rejected {
            code: rejection.raw_reject_code().into(),
            message: rejection.reject_message().to_string(),
        },
    }
}

fn to_hash(bytes: &[u8]) -> Result<Hash, CallError> {
    Hash::try_from(bytes).map_err(|error| CallError::Unreadable { message: error.to_string() })
}
