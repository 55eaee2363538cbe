use candid::Principal;
use depot_types::{
    Hash,
    catalog::{
        AuditArgs, AuditPage, BranchError, BranchInfo, CatalogSource, CatalogStats, CollectGarbageArgs,
        CollectGarbageError, CollectionStatus, CommitArgs, CommitError, CommitInfo, ContainsArgs, CreateBranchArgs,
        DeleteBranchArgs, DiffArgs, DiffPage, EventsArgs, EventsPage, ExportArgs, ExportError, ExportPage, FindArgs,
        FindError, Found, HeadChange, ImportArgs, ImportError, ImportStatus, ListArgs, ListPage, ListVersionsArgs,
        LogArgs, LogPage, LookupArgs, MergeArgs, MergeError, MergePreview, Merged, PathInfo, PathVersion,
        PathVersionArgs, PathVersionsArgs, PathVersionsPage, PathsOfArgs, PathsPage, ProofTarget, ProtectBranchArgs,
        ProveError, PublishArgs, PublishError, PublisherError, QueryError, ReleaseInfo, RenameBranchArgs, ResolveError,
        ResolvedModule, RestoreArgs, RetainModulesArgs, RetainModulesError, RetainStatus, RollbackArgs, UndoError,
        VersionArgs, VersionError, VersionPage, Witness,
    },
};
use serde_bytes::ByteBuf;

use super::{Answer, Client};

/// The catalog.
#[derive(Clone, Copy)]
pub struct Catalog<'a>(pub Client<'a>);

impl Catalog<'_> {
    /// Changes a branch.
    pub fn commit(&self, args: CommitArgs) -> Answer<Result<CommitInfo, CommitError>> {
        self.0.update("commit", (args,))
    }

    /// Merges into a branch.
    pub fn merge(&self, args: MergeArgs) -> Answer<Result<Merged, MergeError>> {
        self.0.update("merge", (args,))
    }

    /// Tells what a merge would come to.
    pub fn preview_merge(&self, args: MergeArgs) -> Answer<Result<MergePreview, MergeError>> {
        self.0.query("preview_merge", (args,))
    }

    /// Takes changes back.
    pub fn rollback(&self, args: RollbackArgs) -> Answer<Result<HeadChange, UndoError>> {
        self.0.update("rollback", (args,))
    }

    /// Brings back what a commit had.
    pub fn restore(&self, args: RestoreArgs) -> Answer<Result<HeadChange, UndoError>> {
        self.0.update("restore", (args,))
    }

    /// Creates a branch.
    pub fn create_branch(&self, args: CreateBranchArgs) -> Answer<Result<BranchInfo, BranchError>> {
        self.0.update("create_branch", (args,))
    }

    /// Deletes a branch.
    pub fn delete_branch(&self, args: DeleteBranchArgs) -> Answer<Result<(), BranchError>> {
        self.0.update("delete_branch", (args,))
    }

    /// Renames a branch.
    pub fn rename_branch(&self, args: RenameBranchArgs) -> Answer<Result<BranchInfo, BranchError>> {
        self.0.update("rename_branch", (args,))
    }

    /// Names the default branch.
    pub fn set_default_branch(&self, args: &str) -> Answer<Result<(), BranchError>> {
        self.0.update("set_default_branch", (args,))
    }

    /// Protects a branch, or no longer.
    pub fn protect_branch(&self, args: ProtectBranchArgs) -> Answer<Result<(), BranchError>> {
        self.0.update("protect_branch", (args,))
    }

    /// Returns the commit that a branch is at.
    pub fn snapshot(&self, args: Option<&str>) -> Answer<Result<Hash, QueryError>> {
        self.0.query("snapshot", (args,))
    }

    /// Asks what a path stands for.
    pub fn lookup(&self, args: LookupArgs) -> Answer<Result<PathInfo, QueryError>> {
        self.0.query("lookup", (args,))
    }

    /// Asks whether something is in a commit.
    pub fn contains(&self, args: ContainsArgs) -> Answer<Result<bool, QueryError>> {
        self.0.query("contains", (args,))
    }

    /// Lists modules.
    pub fn list(&self, args: ListArgs) -> Answer<Result<ListPage, QueryError>> {
        self.0.query("list", (args,))
    }

    /// Lists the paths of a module.
    pub fn paths_of(&self, args: PathsOfArgs) -> Answer<Result<PathsPage, QueryError>> {
        self.0.query("paths_of", (args,))
    }

    /// Lists the versions of a path.
    pub fn path_versions(&self, args: PathVersionsArgs) -> Answer<Result<PathVersionsPage, QueryError>> {
        self.0.query("path_versions", (args,))
    }

    /// Returns a version of a path.
    pub fn path_version(&self, args: PathVersionArgs) -> Answer<Result<PathVersion, QueryError>> {
        self.0.query("path_version", (args,))
    }

    /// Lists commits, latest first.
    pub fn log(&self, args: LogArgs) -> Answer<Result<LogPage, QueryError>> {
        self.0.query("log", (args,))
    }

    /// Lists the changes of a path.
    pub fn audit(&self, args: AuditArgs) -> Answer<Result<AuditPage, QueryError>> {
        self.0.query("audit", (args,))
    }

    /// Compares two commits.
    pub fn diff(&self, args: DiffArgs) -> Answer<Result<DiffPage, QueryError>> {
        self.0.query("diff", (args,))
    }

    /// Proves an answer.
    pub fn prove(&self, args: ProofTarget) -> Answer<Result<Witness, ProveError>> {
        self.0.query("prove", (args,))
    }

    /// Lists events.
    pub fn events(&self, args: EventsArgs) -> Answer<EventsPage> {
        self.0.query("events", (args,))
    }

    /// Runs a slice of a collection of garbage.
    pub fn collect_garbage(&self, args: CollectGarbageArgs) -> Answer<Result<CollectionStatus, CollectGarbageError>> {
        self.0.update("collect_garbage", (args,))
    }

    /// Lets the blob store retain modules.
    pub fn retain_modules(&self, args: RetainModulesArgs) -> Answer<Result<RetainStatus, RetainModulesError>> {
        self.0.update("retain_modules", (args,))
    }

    /// Returns a page of a backup.
    pub fn export(&self, args: ExportArgs) -> Answer<Result<ExportPage, ExportError>> {
        self.0.query("export", (args,))
    }

    /// Reads in a page of a backup.
    pub fn import(&self, args: ImportArgs) -> Answer<Result<ImportStatus, ImportError>> {
        self.0.update("import", (args,))
    }

    /// Publishes a release.
    pub fn publish(&self, args: PublishArgs) -> Answer<Result<ReleaseInfo, PublishError>> {
        self.0.update("publish", (args,))
    }

    /// Asks what a path names.
    pub fn find(&self, branch: Option<&str>, path: &str) -> Answer<Result<Found, FindError>> {
        self.0.query("find", (FindArgs { branch: branch.map(str::to_string), path: path.to_string() },))
    }

    /// Lists branches.
    pub fn branches(&self) -> Answer<Vec<BranchInfo>> {
        self.0.query("branches", ())
    }

    /// Describes a commit.
    pub fn commit_info(&self, id: Hash) -> Answer<Option<CommitInfo>> {
        self.0.query("commit_info", (id,))
    }

    /// Reads an object's bytes.
    pub fn object(&self, id: Hash) -> Answer<Option<ByteBuf>> {
        self.0.query("object", (id,))
    }

    /// Lists versions of a package, newest first.
    pub fn list_versions(&self, args: ListVersionsArgs) -> Answer<Result<VersionPage, VersionError>> {
        self.0.query("list_versions", (args,))
    }

    /// Describes a release.
    pub fn get_version_info(&self, package: &str, version: &str) -> Answer<Result<ReleaseInfo, VersionError>> {
        self.0.query("get_version_info", (VersionArgs { package: package.to_string(), version: version.to_string() },))
    }

    /// Asks which module a source means now.
    pub fn resolve(&self, source: CatalogSource) -> Answer<Result<ResolvedModule, ResolveError>> {
        self.0.query("resolve", (source,))
    }

    /// Counts what the catalog holds.
    pub fn stats(&self) -> Answer<CatalogStats> {
        self.0.query("stats", ())
    }

    /// Lets a principal commit and publish.
    pub fn add_publisher(&self, principal: Principal) -> Answer<Result<(), PublisherError>> {
        self.0.update("add_publisher", (principal,))
    }

    /// Lets a principal commit and publish no more.
    pub fn remove_publisher(&self, principal: Principal) -> Answer<Result<(), PublisherError>> {
        self.0.update("remove_publisher", (principal,))
    }
}
