//! Entry points of the catalog; what they do is in the library.

use std::cell::{Cell, RefCell};

use candid::Principal;
use catalog::{commit, lifecycle, memory, publish, publishers, runtime::IcRuntime};
use depot_types::{
    Hash,
    catalog::{
        BranchInfo, CatalogArgs, CatalogSource, CatalogStats, CommitArgs, CommitError, CommitInfo, FindArgs, FindError,
        Found, ListVersionsArgs, PublishArgs, PublishError, PublisherError, ReleaseInfo, ResolveError, ResolvedModule,
        VersionArgs, VersionError, VersionPage,
    },
    usage::Meter,
};
use ic_cdk::api::{call_context_instruction_counter, msg_caller};
use serde_bytes::ByteBuf;

fn main() {}

thread_local! {
    /// Starts anew with every upgrade.
    static UNSTABLE_METER: RefCell<Meter> = RefCell::default();
    /// Messages that wait for the blob store.
    static UNSTABLE_WAITING: Cell<usize> = const { Cell::new(0) };
}

/// Counts a message as waiting until it is dropped, which it is also when the message traps after a call.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        UNSTABLE_WAITING.set(UNSTABLE_WAITING.get() + 1);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        UNSTABLE_WAITING.set(UNSTABLE_WAITING.get().saturating_sub(1));
    }
}

/// Counts what a method cost, at its end.
fn metered<T>(method: &str, answer: T) -> T {
    UNSTABLE_METER.with_borrow_mut(|meter| meter.count(method, call_context_instruction_counter()));
    answer
}

#[ic_cdk::init]
fn init(args: CatalogArgs) {
    if let Err(error) = lifecycle::install(&mut memory::state().borrow_mut(), args) {
        ic_cdk::trap(error.to_string());
    }
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    // Nothing is to be saved. But the answer to an open call would come to code that never made the call.
    let waiting = UNSTABLE_WAITING.get();
    if waiting > 0 {
        ic_cdk::trap(format!(
            "{waiting} messages wait for the blob store: stop the catalog, which waits for them, then upgrade and start it"
        ));
    }
}

#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<CatalogArgs>) {
    // Opened in any case, so that a layout that this module cannot read fails the upgrade and not what comes after.
    let state = memory::state();
    if let Some(args) = args
        && let Err(error) = lifecycle::upgrade(&mut state.borrow_mut(), args)
    {
        ic_cdk::trap(error.to_string());
    }
}

#[ic_cdk::update]
async fn commit(args: CommitArgs) -> Result<CommitInfo, CommitError> {
    let _waiting = Waiting::begin();
    metered("commit", commit::commit(&memory::state(), &IcRuntime, msg_caller(), args).await)
}

#[ic_cdk::update]
async fn publish(args: PublishArgs) -> Result<ReleaseInfo, PublishError> {
    let _waiting = Waiting::begin();
    metered("publish", publish::publish(&memory::state(), &IcRuntime, msg_caller(), args).await)
}

#[ic_cdk::update]
fn add_publisher(publisher: Principal) -> Result<(), PublisherError> {
    let answer = publishers::add_publisher(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), publisher);
    metered("add_publisher", answer)
}

#[ic_cdk::update]
fn remove_publisher(publisher: Principal) -> Result<(), PublisherError> {
    let answer = publishers::remove_publisher(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), publisher);
    metered("remove_publisher", answer)
}

#[ic_cdk::query]
fn publishers() -> Vec<Principal> {
    memory::state().borrow().publishers()
}

#[ic_cdk::query]
fn blob_store() -> Principal {
    memory::state().borrow().blob_store()
}

#[ic_cdk::query]
fn branches() -> Vec<BranchInfo> {
    memory::state().borrow().branches()
}

#[ic_cdk::query]
fn find(args: FindArgs) -> Result<Found, FindError> {
    memory::state().borrow().find(&args)
}

#[ic_cdk::query]
fn commit_info(id: Hash) -> Option<CommitInfo> {
    memory::state().borrow().commit_info(&id)
}

#[ic_cdk::query]
fn object(id: Hash) -> Option<ByteBuf> {
    memory::state().borrow().object(&id).map(ByteBuf::from)
}

#[ic_cdk::query]
fn list_versions(args: ListVersionsArgs) -> Result<VersionPage, VersionError> {
    memory::state().borrow().list_versions(&args)
}

#[ic_cdk::query]
fn get_version_info(args: VersionArgs) -> Result<ReleaseInfo, VersionError> {
    memory::state().borrow().version_info(&args)
}

#[ic_cdk::query]
fn resolve(source: CatalogSource) -> Result<ResolvedModule, ResolveError> {
    memory::state().borrow().resolve(&source)
}

#[ic_cdk::query]
fn stats() -> CatalogStats {
    let methods = UNSTABLE_METER.with_borrow(Meter::usage);
    memory::state().borrow().stats(memory::stable_bytes(), methods)
}

#[cfg(test)]
mod tests {
    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    candid::export_service!();

    #[test]
    fn should_have_the_interface_that_is_written_for_readers() {
        let written = include_str!("../../../candid/catalog.did");
        let built = __export_service();
        if let Err(error) = service_equal(CandidSource::Text(&built), CandidSource::Text(written)) {
            panic!("candid/catalog.did differs: {error}\nthe code has:\n{built}");
        }
    }
}
