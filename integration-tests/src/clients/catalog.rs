use candid::Principal;
use depot_types::{
    Hash,
    catalog::{
        BranchInfo, CatalogSource, CatalogStats, CommitArgs, CommitError, CommitInfo, FindArgs, FindError, Found,
        ListVersionsArgs, PublishArgs, PublishError, PublisherError, ReleaseInfo, ResolveError, ResolvedModule,
        VersionArgs, VersionError, VersionPage,
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
