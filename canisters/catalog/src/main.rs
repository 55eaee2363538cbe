//! Entry points of the catalog; what they do is in the library.

mod timers;

use std::cell::{Cell, RefCell};

use candid::Principal;
use catalog::{
    blob_store, branches, collection, commit, import, lifecycle, memory, merge, publish, publishers,
    runtime::IcRuntime, undo,
};
use depot_types::{
    Hash,
    catalog::{
        AuditArgs, AuditPage, BranchError, BranchInfo, CatalogArgs, CatalogSource, CatalogStats, CollectGarbageArgs,
        CollectGarbageError, CollectionStatus, CommitArgs, CommitError, CommitInfo, ContainsArgs, CreateBranchArgs,
        DeleteBranchArgs, DiffArgs, DiffPage, EventsArgs, EventsPage, ExportArgs, ExportError, ExportPage, FindArgs,
        FindError, Found, HeadChange, ImportArgs, ImportError, ImportStatus, ListArgs, ListPage, ListVersionsArgs,
        LogArgs, LogPage, LookupArgs, MergeArgs, MergeError, MergePreview, Merged, PathInfo, PathVersion,
        PathVersionArgs, PathVersionsArgs, PathVersionsPage, PathsOfArgs, PathsPage, ProofTarget, ProtectBranchArgs,
        ProveError, PublishArgs, PublishError, PublisherError, QueryError, ReleaseInfo, RenameBranchArgs, ResolveError,
        ResolvedModule, RestoreArgs, RetainModulesArgs, RetainModulesError, RetainStatus, RollbackArgs, UndoError,
        VersionArgs, VersionError, VersionPage, Witness,
    },
    http::{HttpRequest, HttpResponse},
    usage::Meter,
};
use ic_cdk::api::{call_context_instruction_counter, canister_self, certified_data_set, data_certificate, msg_caller};
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

/// Certifies what an update method has changed, and counts what it cost, at its end: nothing may borrow the state then.
fn metered<T>(method: &str, answer: T) -> T {
    certify();
    UNSTABLE_METER.with_borrow_mut(|meter| meter.count(method, call_context_instruction_counter()));
    answer
}

/// Sets the certified data to what the state is. The last thing in each message that may have changed it.
fn certify() {
    let state = memory::state();
    let mut state = state.borrow_mut();
    state.forget_outdated_pages();
    certified_data_set(state.certified_data().as_bytes());
}

#[ic_cdk::init]
fn init(args: CatalogArgs) {
    if let Err(error) = lifecycle::install(&mut memory::state().borrow_mut(), args) {
        ic_cdk::trap(error.to_string());
    }
    certify();
    timers::start();
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
    metered("post_upgrade", ());
    timers::start();
}

#[ic_cdk::update]
async fn commit(args: CommitArgs) -> Result<CommitInfo, CommitError> {
    let _waiting = Waiting::begin();
    metered("commit", commit::commit(&memory::state(), &IcRuntime, msg_caller(), args).await)
}

#[ic_cdk::update]
async fn merge(args: MergeArgs) -> Result<Merged, MergeError> {
    let _waiting = Waiting::begin();
    metered("merge", merge::merge(&memory::state(), &IcRuntime, msg_caller(), args).await)
}

#[ic_cdk::update]
fn rollback(args: RollbackArgs) -> Result<HeadChange, UndoError> {
    let answer = undo::rollback(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("rollback", answer)
}

#[ic_cdk::update]
fn restore(args: RestoreArgs) -> Result<HeadChange, UndoError> {
    let answer = undo::restore(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("restore", answer)
}

#[ic_cdk::update]
fn create_branch(args: CreateBranchArgs) -> Result<BranchInfo, BranchError> {
    let answer = branches::create_branch(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("create_branch", answer)
}

#[ic_cdk::update]
fn delete_branch(args: DeleteBranchArgs) -> Result<(), BranchError> {
    let answer = branches::delete_branch(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("delete_branch", answer)
}

#[ic_cdk::update]
fn rename_branch(args: RenameBranchArgs) -> Result<BranchInfo, BranchError> {
    let answer = branches::rename_branch(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("rename_branch", answer)
}

#[ic_cdk::update]
fn set_default_branch(name: String) -> Result<(), BranchError> {
    let answer = branches::set_default_branch(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), name);
    metered("set_default_branch", answer)
}

#[ic_cdk::update]
fn protect_branch(args: ProtectBranchArgs) -> Result<(), BranchError> {
    let answer = branches::protect_branch(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("protect_branch", answer)
}

#[ic_cdk::update]
async fn publish(args: PublishArgs) -> Result<ReleaseInfo, PublishError> {
    let _waiting = Waiting::begin();
    metered("publish", publish::publish(&memory::state(), &IcRuntime, msg_caller(), args).await)
}

#[ic_cdk::update]
async fn collect_garbage(args: CollectGarbageArgs) -> Result<CollectionStatus, CollectGarbageError> {
    let _waiting = Waiting::begin();
    let answer = collection::collect_garbage(&memory::state(), &IcRuntime, msg_caller(), args).await;
    metered("collect_garbage", answer)
}

#[ic_cdk::update]
async fn retain_modules(args: RetainModulesArgs) -> Result<RetainStatus, RetainModulesError> {
    let _waiting = Waiting::begin();
    let answer = blob_store::retain_modules(&memory::state(), &IcRuntime, msg_caller(), args).await;
    metered("retain_modules", answer)
}

#[ic_cdk::update]
fn import(args: ImportArgs) -> Result<ImportStatus, ImportError> {
    let answer = import::import(&mut memory::state().borrow_mut(), &IcRuntime, msg_caller(), args);
    metered("import", answer)
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
fn default_branch() -> String {
    memory::state().borrow().default_branch()
}

#[ic_cdk::query]
fn snapshot(branch: Option<String>) -> Result<Hash, QueryError> {
    memory::state().borrow().snapshot(branch)
}

#[ic_cdk::query]
fn find(args: FindArgs) -> Result<Found, FindError> {
    memory::state().borrow().find(&args)
}

#[ic_cdk::query]
fn lookup(args: LookupArgs) -> Result<PathInfo, QueryError> {
    memory::state().borrow().lookup(&args)
}

#[ic_cdk::query]
fn contains(args: ContainsArgs) -> Result<bool, QueryError> {
    memory::state().borrow().contains(&args)
}

#[ic_cdk::query]
fn list(args: ListArgs) -> Result<ListPage, QueryError> {
    memory::state().borrow().list(&args)
}

#[ic_cdk::query]
fn paths_of(args: PathsOfArgs) -> Result<PathsPage, QueryError> {
    memory::state().borrow().paths_of(&args)
}

#[ic_cdk::query]
fn path_versions(args: PathVersionsArgs) -> Result<PathVersionsPage, QueryError> {
    memory::state().borrow().path_versions(&args)
}

#[ic_cdk::query]
fn path_version(args: PathVersionArgs) -> Result<PathVersion, QueryError> {
    memory::state().borrow().path_version_at(&args)
}

#[ic_cdk::query]
fn log(args: LogArgs) -> Result<LogPage, QueryError> {
    memory::state().borrow().commit_log(&args)
}

#[ic_cdk::query]
fn audit(args: AuditArgs) -> Result<AuditPage, QueryError> {
    memory::state().borrow().audit(&args)
}

#[ic_cdk::query]
fn diff(args: DiffArgs) -> Result<DiffPage, QueryError> {
    memory::state().borrow().diff(&args)
}

#[ic_cdk::query]
fn preview_merge(args: MergeArgs) -> Result<MergePreview, MergeError> {
    memory::state().borrow().preview_merge(args)
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
fn objects(ids: Vec<Hash>) -> Result<Vec<Option<ByteBuf>>, QueryError> {
    memory::state().borrow().objects(&ids)
}

#[ic_cdk::query]
fn prove(target: ProofTarget) -> Result<Witness, ProveError> {
    memory::state().borrow().prove(&target, data_certificate())
}

#[ic_cdk::query]
fn events(args: EventsArgs) -> EventsPage {
    memory::state().borrow().events(&args)
}

#[ic_cdk::query]
fn collection_status() -> CollectionStatus {
    memory::state().borrow().collection_status()
}

#[ic_cdk::query]
fn export(args: ExportArgs) -> Result<ExportPage, ExportError> {
    memory::state().borrow().export(&args)
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
fn http_request(request: HttpRequest) -> HttpResponse {
    memory::state().borrow().http_request(&request, canister_self(), data_certificate().as_deref())
}

#[ic_cdk::update]
fn http_request_update(request: HttpRequest) -> HttpResponse {
    let answer = memory::state().borrow_mut().http_request_update(&request, canister_self());
    metered("http_request_update", answer)
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
