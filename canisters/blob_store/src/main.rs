//! Entry points of the blob store; what they do is in the library.

mod growth;
mod meter;
mod sending;
mod timers;

use std::marker::PhantomData;

use blob_store::{
    access::Caller,
    lifecycle,
    limits::{MAX_COMMIT_HEAP_BYTES, MAX_COMMIT_INSTRUCTIONS},
    memory,
    metrics::{self, Environment},
};
use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, BlobStoreArgs, BlobStoreStats, CommitUploadError, GarbageError,
        GarbageReport, HolderError, ListModulesArgs, ListRetainedArgs, ModuleInfo, ModuleMetadataArgs, ModulePage,
        PutChunkArgs, PutChunkError, PutChunkOk, ReadModuleArgs, ReadModuleError, RetainError, RetainOk, RetainedPage,
        Retention, UploadStatus, UploaderError,
    },
    http::{HttpRequest, HttpResponse},
    wasm::Budget,
};
use ic_cdk::{
    api::{
        accept_message, canister_cycle_balance, certified_data_set, data_certificate, instruction_counter,
        is_controller, msg_caller, msg_method_name, time,
    },
    stable::{WASM_PAGE_SIZE_IN_BYTES, stable_size},
};
use serde_bytes::ByteBuf;

use self::{growth::with_room, meter::metered, sending::send};

fn main() {}

#[ic_cdk::init]
fn init(args: Option<BlobStoreArgs>) {
    apply(args);
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    // Nothing is to be saved. But the answer to an open call would come to code that never made the call.
    if growth::is_waiting() {
        ic_cdk::trap(
            "stable memory is being grown: stop the blob store, which waits for that, then upgrade and start it",
        );
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<BlobStoreArgs>) {
    apply(args);
}

/// Opens the state in any case, so that a layout that this module cannot read fails the upgrade to it.
fn apply(args: Option<BlobStoreArgs>) {
    if let Err(error) = lifecycle::apply(&mut memory::state().borrow_mut(), args) {
        ic_cdk::trap(error.to_string());
    }
    certify();
    timers::start();
}

/// Certifies what is sealed now; called in the message that changed it.
fn certify() {
    certified_data_set(memory::state().borrow().certified_data());
}

/// Spares the store the cost of chunks that strangers send: a message that is not accepted costs nothing.
///
/// All other methods answer strangers with an error that says why.
#[ic_cdk::inspect_message]
fn inspect_message() {
    if msg_method_name() != "put_chunk" || memory::state().borrow().may_upload(caller()) {
        accept_message();
    }
}

fn caller() -> Caller {
    let principal = msg_caller();
    Caller { principal, is_controller: is_controller(&principal) }
}

#[ic_cdk::update]
async fn begin_upload(args: BeginUploadArgs) -> Result<UploadStatus, BeginUploadError> {
    let caller = caller();
    let answer = with_room(|| memory::state().borrow_mut().begin_upload(caller, time(), &args)).await;
    certify();
    metered("begin_upload", answer)
}

#[ic_cdk::update]
async fn put_chunk(args: PutChunkArgs) -> Result<PutChunkOk, PutChunkError> {
    let caller = caller();
    let answer = with_room(|| memory::state().borrow_mut().put_chunk(caller, time(), &args)).await;
    metered("put_chunk", answer)
}

#[ic_cdk::update]
async fn commit_upload(module_hash: Hash) -> Result<ModuleInfo, CommitUploadError> {
    let caller = caller();
    // Memory that was taken once stays: what is free of it can be used all the same.
    let before = heap_bytes();
    let grown = || heap_bytes() - before;
    let budget = Budget {
        spent: &instruction_counter,
        max: MAX_COMMIT_INSTRUCTIONS,
        heap_bytes: &grown,
        max_heap_bytes: MAX_COMMIT_HEAP_BYTES,
    };
    let answer = with_room(|| memory::state().borrow_mut().commit_upload(caller, time(), &module_hash, budget)).await;
    certify();
    metered("commit_upload", answer)
}

#[ic_cdk::update]
fn abort_upload(module_hash: Hash) -> bool {
    metered("abort_upload", memory::state().borrow_mut().abort_upload(msg_caller(), time(), &module_hash))
}

#[ic_cdk::query]
fn upload_status(module_hash: Hash) -> Option<UploadStatus> {
    memory::state().borrow().upload_status(msg_caller(), time(), &module_hash)
}

#[ic_cdk::query]
fn module_info(module_hash: Hash) -> Option<ModuleInfo> {
    memory::state().borrow().module_info(&module_hash)
}

#[ic_cdk::query]
fn module_metadata(args: ModuleMetadataArgs) -> Option<ByteBuf> {
    memory::state().borrow().module_metadata(&args).map(ByteBuf::from)
}

#[ic_cdk::query(manual_reply = true)]
fn get_chunk(hash: Hash) -> PhantomData<Option<ByteBuf>> {
    send(&memory::state().borrow().get_chunk(&hash))
}

#[ic_cdk::query(manual_reply = true)]
fn read_module(args: ReadModuleArgs) -> PhantomData<Result<ByteBuf, ReadModuleError>> {
    send(&memory::state().borrow().read_module(&args))
}

#[ic_cdk::query]
fn list_modules(args: ListModulesArgs) -> ModulePage {
    memory::state().borrow().list_modules(&args)
}

#[ic_cdk::query]
fn stats() -> BlobStoreStats {
    memory::state().borrow().stats(stable_size() * WASM_PAGE_SIZE_IN_BYTES, meter::usage())
}

#[ic_cdk::update]
async fn retain(module_hashes: Vec<Hash>) -> Result<RetainOk, RetainError> {
    let caller = msg_caller();
    let answer = with_room(|| memory::state().borrow_mut().retain(caller, &module_hashes)).await;
    certify();
    metered("retain", answer)
}

#[ic_cdk::update]
fn release(module_hashes: Vec<Hash>) -> Result<(), RetainError> {
    metered("release", memory::state().borrow_mut().release(msg_caller(), time(), &module_hashes))
}

#[ic_cdk::query]
fn list_retained(args: ListRetainedArgs) -> RetainedPage {
    memory::state().borrow().list_retained(&args)
}

#[ic_cdk::query]
fn retention(module_hash: Hash) -> Option<Retention> {
    memory::state().borrow().retention(&module_hash)
}

#[ic_cdk::update]
fn add_uploader(uploader: Principal) -> Result<(), UploaderError> {
    metered("add_uploader", memory::state().borrow_mut().add_uploader(caller(), uploader))
}

#[ic_cdk::update]
fn remove_uploader(uploader: Principal) -> Result<(), UploaderError> {
    metered("remove_uploader", memory::state().borrow_mut().remove_uploader(caller(), uploader))
}

#[ic_cdk::query]
fn uploaders() -> Vec<Principal> {
    memory::state().borrow().uploaders()
}

#[ic_cdk::update]
fn add_holder(holder: Principal) -> Result<(), HolderError> {
    metered("add_holder", memory::state().borrow_mut().add_holder(caller(), holder))
}

#[ic_cdk::update]
fn remove_holder(holder: Principal) -> Result<(), HolderError> {
    metered("remove_holder", memory::state().borrow_mut().remove_holder(caller(), holder))
}

#[ic_cdk::query]
fn holders() -> Vec<Principal> {
    memory::state().borrow().holders()
}

#[ic_cdk::update]
fn collect_garbage() -> Result<GarbageReport, GarbageError> {
    let answer = memory::state().borrow_mut().collect_garbage(caller(), time());
    certify();
    metered("collect_garbage", answer)
}

#[ic_cdk::query(manual_reply = true)]
fn http_request(request: HttpRequest) -> PhantomData<HttpResponse> {
    send(&memory::state().borrow().http_request(&request, data_certificate().as_deref(), metrics_text))
}

#[ic_cdk::update(manual_reply = true)]
fn http_request_update(request: HttpRequest) -> PhantomData<HttpResponse> {
    let answer = send(&memory::state().borrow().http_request_update(&request, metrics_text));
    metered("http_request_update", answer)
}

fn metrics_text() -> String {
    metrics::text(&stats(), Environment { cycles: canister_cycle_balance(), heap_bytes: heap_bytes() })
}

fn heap_bytes() -> u64 {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size(0) as u64;
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0;
    pages * WASM_PAGE_SIZE_IN_BYTES
}

#[cfg(test)]
mod tests {
    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    candid::export_service!();

    #[test]
    fn should_have_the_interface_that_is_written_for_readers() {
        let written = include_str!("../../../candid/blob_store.did");
        let built = __export_service();
        if let Err(error) = service_equal(CandidSource::Text(&built), CandidSource::Text(written)) {
            panic!("candid/blob_store.did differs: {error}\nthe code has:\n{built}");
        }
    }
}
