//! Wire types of the catalog.

use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::{
    Hash,
    path::{NameError, PathError},
    usage::MethodUsage,
};

mod asking;
mod changing;
mod conversions;
mod upkeep;

pub use asking::*;
pub use changing::*;
pub use upkeep::*;

/// The branch that is meant when none is named, until controllers name another one.
pub const DEFAULT_BRANCH: &str = "main";

/// Arguments of the installation and upgrade of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct CatalogArgs {
    /// The blob store whose modules the catalog names. Required at installation; kept when absent at an upgrade.
    pub blob_store: Option<Principal>,
    /// Principals that may commit and publish, besides the canister's controllers, from the start.
    pub publishers: Vec<Principal>,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Change {
    /// Lets a path name a module; it may name another one before.
    Set {
        /// The path.
        path: String,
        /// A module sealed in the blob store.
        module_hash: Hash,
    },
    /// Removes a path, or everything below it.
    Remove {
        /// The path.
        path: String,
    },
    /// Removes every path that names a module; it is no error when there is none.
    RemoveModule {
        /// The module.
        module_hash: Hash,
    },
}

/// Asks for a commit on a branch.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct CommitArgs {
    /// The branch; the default branch when absent.
    pub branch: Option<String>,
    /// Whether a branch that does not exist is created, without anything in it; it is not when absent.
    pub create_branch: Option<bool>,
    /// What to change; applied together or not at all.
    pub changes: Vec<Change>,
    /// Why, for people.
    pub message: String,
    /// The author's name, for people; the author's principal is always kept.
    pub author_name: Option<String>,
    /// The commit that the branch must be at, or the commit is refused.
    pub expected_head: Option<Hash>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct CommitInfo {
    /// Its id.
    pub id: Hash,
    /// The id of its tree.
    pub tree: Hash,
    /// The commits it follows: none for the first one.
    pub parents: Vec<Hash>,
    /// Who made it.
    pub author: Principal,
    /// The author's name.
    pub author_name: Option<String>,
    /// Why it was made.
    pub message: String,
    /// When it was made.
    pub time_ns: u64,
}

/// Why a commit is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum CommitError {
    /// The anonymous principal may not commit.
    AnonymousCaller,
    /// The caller is neither a controller nor a publisher.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// The branch name breaks a rule.
    InvalidBranch(NameError),
    /// There is no such branch.
    UnknownBranch {
        /// The branch.
        branch: String,
    },
    /// No change was given.
    NoChanges,
    /// Too many changes were given.
    TooManyChanges {
        /// Changes given.
        count: u32,
        /// Changes allowed.
        max: u32,
    },
    /// A text is too long.
    TextTooLong {
        /// Which field.
        field: String,
        /// Bytes given.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// A path breaks a rule.
    InvalidPath {
        /// The path.
        path: String,
        /// The rule.
        reason: PathError,
    },
    /// Two changes touch the same path, or one lies below the other.
    OverlappingChanges {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A path would have to be a module and a folder at once.
    PathConflict {
        /// The path to set.
        path: String,
        /// The path of the module that stands where a folder would have to be, or of the folder that stands where the
        /// module would.
        existing: String,
    },
    /// A path to remove does not exist.
    UnknownPath {
        /// The path.
        path: String,
    },
    /// Too many names of a folder would meet in one of its nodes.
    FolderFull {
        /// The folder; empty for the top.
        path: String,
        /// Names of a node.
        max: u32,
    },
    /// The folders that the changes touch are too large together: make several commits.
    FoldersTooLarge {
        /// Names, in all nodes that have to be read, that one commit may change.
        max: u64,
    },
    /// Too many paths would change, all below removed folders counted: make several commits.
    TooManyPaths {
        /// Paths that one commit may change.
        max: u32,
    },
    /// The branch is protected: only controllers change it.
    ProtectedBranch {
        /// The branch.
        branch: String,
    },
    /// A backup is being read in.
    Importing,
    /// There are as many branches as there can be.
    TooManyBranches {
        /// Branches allowed.
        max: u32,
    },
    /// The blob store does not let the catalog retain modules: its controllers have to call `add_holder` with the
    /// catalog's id.
    NotHolder {
        /// The blob store.
        blob_store: Principal,
    },
    /// The blob store has no sealed module of this hash.
    UnknownModule {
        /// The hash.
        module_hash: Hash,
    },
    /// The branch is not at the commit expected.
    HeadMoved {
        /// The commit expected.
        expected: Hash,
        /// The commit the branch is at, if it has one.
        actual: Option<Hash>,
    },
    /// The branch already is as the changes would make it.
    NothingChanged,
    /// The blob store could not be asked; try again.
    BlobStoreUnavailable(CallFailure),
}

/// How a call to another canister failed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct CallFailure {
    /// The method called.
    pub method: String,
    /// The reject code (1 to 6), or 0 when the call was not made or its answer could not be read.
    pub reject_code: u32,
    /// What was said, for people.
    pub message: String,
}

/// Asks what a path names.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct FindArgs {
    /// The branch; the default branch when absent.
    pub branch: Option<String>,
    /// The path.
    pub path: String,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Found {
    /// The path, normalised.
    pub path: String,
    /// The module.
    pub module_hash: Hash,
    /// The commit that the branch is at.
    pub commit: Hash,
}

/// Why a path names nothing.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum FindError {
    /// There is no such branch.
    UnknownBranch {
        /// The branch.
        branch: String,
    },
    /// The path breaks a rule.
    InvalidPath {
        /// The path.
        path: String,
        /// The rule.
        reason: PathError,
    },
    /// Nothing has this path.
    NotFound {
        /// The path.
        path: String,
    },
    /// The path is a folder.
    IsFolder {
        /// The path.
        path: String,
    },
}

/// A branch and the commit it is at.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct BranchInfo {
    /// Its name.
    pub name: String,
    /// The commit it is at; absent when nothing was committed yet.
    pub head: Option<Hash>,
    /// Whether only controllers move it, and never back.
    pub protected: bool,
    /// Whether it is meant when no branch is named.
    pub default: bool,
}

/// Publishes a release: from then on the version always means this module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PublishArgs {
    /// The package.
    pub package: String,
    /// The version, by semantic versioning (`1.2.3`, `2.0.0-rc.1`).
    pub version: String,
    /// A module sealed in the blob store.
    pub module_hash: Hash,
    /// What it is, for people.
    pub description: String,
    /// Where it was built from, such as a repository and commit; not checked.
    pub source: Option<String>,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ReleaseInfo {
    /// The package.
    pub package: String,
    /// The version.
    pub version: String,
    /// The module.
    pub module_hash: Hash,
    /// What it is.
    pub description: String,
    /// Where it was built from.
    pub source: Option<String>,
    /// Who published it.
    pub publisher: Principal,
    /// When it was published.
    pub published_at_ns: u64,
}

/// Why a release is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum PublishError {
    /// The anonymous principal may not publish.
    AnonymousCaller,
    /// The caller is neither a controller nor a publisher.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// A backup is being read in.
    Importing,
    /// The package name breaks a rule.
    InvalidPackage(NameError),
    /// The version is not a semantic version.
    InvalidVersion {
        /// The text given.
        version: String,
    },
    /// A text is too long.
    TextTooLong {
        /// Which field.
        field: String,
        /// Bytes given.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// The package has this version; releases do not change.
    AlreadyPublished {
        /// The module that the version means.
        module_hash: Hash,
    },
    /// The package has as many versions as a package can have.
    TooManyVersions {
        /// Versions allowed.
        max: u32,
    },
    /// The blob store has no sealed module of this hash.
    UnknownModule {
        /// The hash.
        module_hash: Hash,
    },
    /// The blob store does not let the catalog retain modules: its controllers have to call `add_holder` with the
    /// catalog's id.
    NotHolder {
        /// The blob store.
        blob_store: Principal,
    },
    /// The blob store could not be asked; try again.
    BlobStoreUnavailable(CallFailure),
}

/// Asks for the versions of a package.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListVersionsArgs {
    /// The package.
    pub package: String,
    /// The version after which the page starts: `next` of the page before.
    pub after: Option<String>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of versions, newest first by semantic versioning.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct VersionPage {
    /// The versions.
    pub versions: Vec<VersionSummary>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct VersionSummary {
    /// The version.
    pub version: String,
    /// The module.
    pub module_hash: Hash,
    /// When it was published.
    pub published_at_ns: u64,
}

/// Names a release.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct VersionArgs {
    /// The package.
    pub package: String,
    /// The version.
    pub version: String,
}

/// Why a release or the versions of a package cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum VersionError {
    /// There is no such package.
    UnknownPackage {
        /// The package.
        package: String,
    },
    /// The package has no such version.
    UnknownVersion {
        /// The version.
        version: String,
    },
    /// The version is not a semantic version.
    InvalidVersion {
        /// The text given.
        version: String,
    },
}

/// Where the module of a deployment comes from, if from the catalog.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum CatalogSource {
    /// The newest release that a requirement allows.
    Release {
        /// The package.
        package: String,
        /// A requirement on the version, as Cargo reads it (`^1.2`, `=1.2.3`, `*`); a bare full version means exactly
        /// that version.
        requirement: String,
    },
    /// What a path names now.
    Path {
        /// The branch; the default branch when absent.
        branch: Option<String>,
        /// The path.
        path: String,
    },
}

/// The module that a [`CatalogSource`] means now.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ResolvedModule {
    /// The module.
    pub module_hash: Hash,
    /// The version chosen, for a release.
    pub version: Option<String>,
    /// The commit that the branch is at, for a path.
    pub commit: Option<Hash>,
}

/// Why a [`CatalogSource`] means nothing.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ResolveError {
    /// There is no such package.
    UnknownPackage {
        /// The package.
        package: String,
    },
    /// The requirement cannot be read.
    InvalidRequirement {
        /// The text given.
        requirement: String,
    },
    /// No version of the package is allowed by the requirement.
    NoMatchingVersion {
        /// The package.
        package: String,
        /// The requirement.
        requirement: String,
    },
    /// The path names nothing.
    Path(FindError),
}

/// Why a change of the list of publishers is refused.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum PublisherError {
    /// Only controllers of the catalog change the list.
    NotController {
        /// The caller.
        caller: Principal,
    },
    /// The anonymous principal may never publish.
    AnonymousPublisher,
    /// The list is full.
    TooManyPublishers {
        /// Entries allowed.
        max: u32,
    },
}

/// What the catalog holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct CatalogStats {
    /// Commits and nodes of folders.
    pub objects: u64,
    /// Commits.
    pub commits: u64,
    /// Branches.
    pub branches: u64,
    /// Releases.
    pub releases: u64,
    /// Modules that the blob store retains for the catalog.
    pub modules: u64,
    /// Those of them that it is not known to retain: after another blob store was named, a backup read in, or an upgrade
    /// from version 0.1. The catalog asks for them by itself, every hour; what stays is not in the blob store, or the
    /// blob store does not let it.
    pub modules_to_retain: u64,
    /// The number of the last event.
    pub events: u64,
    /// Bytes of stable memory in use for all of it.
    pub stable_bytes: u64,
    /// What the update methods cost since the last upgrade: `main.rs` counts `performance_counter(1)` at the end of
    /// each update into a [`Meter`](crate::usage::Meter) on the heap.
    pub methods: Vec<MethodUsage>,
}
