//! Entry points of the blob store; what they do is in the library.

use std::{cell::RefCell, marker::PhantomData};

use blob_store::{access::Caller, lifecycle, memory};
use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, BlobStoreArgs, BlobStoreStats, CommitUploadError, ModuleInfo,
        ModuleMetadataArgs, PutChunkArgs, PutChunkError, PutChunkOk, UploadStatus, UploaderError,
    },
    usage::Meter,
};
use ic_cdk::{
    api::{is_controller, msg_caller, msg_reply, performance_counter, time},
    stable::{WASM_PAGE_SIZE_IN_BYTES, stable_size},
};
use serde_bytes::ByteBuf;

/// The performance counter of instructions over all of a call.
const CALL_INSTRUCTIONS: u32 = 1;

thread_local! {
    /// What the update methods cost since the last upgrade.
    static UNSTABLE_METER: RefCell<Meter> = RefCell::default();
}

fn main() {}

#[ic_cdk::init]
fn init(args: Option<BlobStoreArgs>) {
    apply(args);
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
}

fn caller() -> Caller {
    let principal = msg_caller();
    Caller { principal, is_controller: is_controller(&principal) }
}

/// Does the work of an update method and counts what it cost.
fn metered<T>(method: &str, work: impl FnOnce() -> T) -> T {
    let result = work();
    UNSTABLE_METER.with_borrow_mut(|meter| meter.count(method, performance_counter(CALL_INSTRUCTIONS)));
    result
}

#[ic_cdk::update]
fn begin_upload(args: BeginUploadArgs) -> Result<UploadStatus, BeginUploadError> {
    metered("begin_upload", || memory::state().borrow_mut().begin_upload(caller(), time(), &args))
}

#[ic_cdk::update]
fn put_chunk(args: PutChunkArgs) -> Result<PutChunkOk, PutChunkError> {
    metered("put_chunk", || memory::state().borrow_mut().put_chunk(msg_caller(), time(), &args))
}

#[ic_cdk::update]
fn commit_upload(module_hash: Hash) -> Result<ModuleInfo, CommitUploadError> {
    metered("commit_upload", || memory::state().borrow_mut().commit_upload(msg_caller(), time(), &module_hash))
}

#[ic_cdk::update]
fn abort_upload(module_hash: Hash) -> bool {
    metered("abort_upload", || memory::state().borrow_mut().abort_upload(msg_caller(), time(), &module_hash))
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
    msg_reply(memory::state().borrow().encoded_chunk(&hash));
    PhantomData
}

#[ic_cdk::query]
fn stats() -> BlobStoreStats {
    let methods = UNSTABLE_METER.with_borrow(Meter::usage);
    memory::state().borrow().stats(stable_size() * WASM_PAGE_SIZE_IN_BYTES, methods)
}

#[ic_cdk::update]
fn add_uploader(uploader: Principal) -> Result<(), UploaderError> {
    metered("add_uploader", || memory::state().borrow_mut().add_uploader(caller(), uploader))
}

#[ic_cdk::update]
fn remove_uploader(uploader: Principal) -> Result<(), UploaderError> {
    metered("remove_uploader", || memory::state().borrow_mut().remove_uploader(caller(), uploader))
}

#[ic_cdk::query]
fn uploaders() -> Vec<Principal> {
    memory::state().borrow().uploaders()
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
