//! Wire types of questions about the history.

use candid::{CandidType, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{CommitInfo, Revision};
use crate::{Hash, path::PathError};

/// Where a list goes on: opaque bytes that one page answers and that ask for the next one.
///
/// A cursor holds on to the commit that the list began with: pages fit together however the branch moves meanwhile.
pub type ListCursor = ByteBuf;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum QueryError {
    /// There is no such branch.
    UnknownBranch {
        /// The branch.
        branch: String,
    },
    /// Nothing was committed to the branch yet.
    EmptyBranch {
        /// The branch.
        branch: String,
    },
    /// There is no such commit, or no more since garbage was collected.
    UnknownCommit {
        /// Its id.
        commit: Hash,
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
        /// The path; empty for the top folder.
        path: String,
    },
    /// The path has no version of this index.
    UnknownVersion {
        /// How many versions there are.
        versions: u32,
    },
    /// The cursor is not one that this list answered.
    InvalidCursor,
    /// Too many things were asked for at once, or would have to be looked at.
    TooMany {
        /// How many may be.
        max: u32,
    },
    /// The history has too many lines that are open at once to go on.
    TooManyLines {
        /// Lines of history that may be open.
        max: u32,
    },
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum PathEntry {
    /// A module, by its hash.
    Module(Hash),
    /// A folder, by the id of its top node.
    Folder(Hash),
}

/// Asks what a path stands for.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct LookupArgs {
    /// The commit; that of the default branch when absent.
    pub at: Option<Revision>,
    /// The path; empty for the top folder.
    pub path: String,
}

/// What a path stands for in a commit.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathInfo {
    /// The path, normalised.
    pub path: String,
    /// What it stands for.
    pub entry: PathEntry,
    /// The commit.
    pub commit: Hash,
    /// The commit that last changed the path; absent for the top folder.
    pub changed_by: Option<Hash>,
}

/// Asks for the modules below a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListArgs {
    /// The commit; that of the default branch when absent. Not looked at with a cursor.
    pub at: Option<Revision>,
    /// The folder; the top one when absent or empty. An unknown one, or a module, has an empty list.
    pub prefix: Option<String>,
    /// Where to go on: `next` of the page before.
    pub after: Option<ListCursor>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of modules, by path: depth first, segments in bytewise order.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListPage {
    /// The commit that all pages of the list are about; absent when nothing was committed yet.
    pub commit: Option<Hash>,
    /// The modules.
    pub modules: Vec<ListedModule>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ListCursor>,
}

/// A module in a list.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListedModule {
    /// The path.
    pub path: String,
    /// The module.
    pub module_hash: Hash,
}

/// Asks which paths name a module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathsOfArgs {
    /// The commit; that of the default branch when absent. Not looked at with a cursor.
    pub at: Option<Revision>,
    /// The module.
    pub module_hash: Hash,
    /// Where to go on: `next` of the page before.
    pub after: Option<ListCursor>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of paths, in bytewise order. It can be short, or empty, and still not be the last one.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathsPage {
    /// The commit that all pages of the list are about; absent when nothing was committed yet.
    pub commit: Option<Hash>,
    /// The paths.
    pub paths: Vec<String>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ListCursor>,
}

/// Asks whether a path names a module, or a module has a path.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ContainsArgs {
    /// The commit; that of the default branch when absent.
    pub at: Option<Revision>,
    /// What to look for.
    pub target: Target,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Target {
    /// A path that names a module.
    Path(String),
    /// A module that a path names.
    Module(Hash),
}

/// Asks for the versions of a path: each module that it ever named, at the commit where it first did.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathVersionsArgs {
    /// The commit to look back from; that of the default branch when absent. Not looked at with a cursor.
    pub at: Option<Revision>,
    /// The path.
    pub path: String,
    /// Where to go on: `next` of the page before.
    pub after: Option<ListCursor>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of versions of a path, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathVersionsPage {
    /// The versions.
    pub versions: Vec<PathVersion>,
    /// How many there are in all.
    pub total: u32,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ListCursor>,
}

/// A version of a path.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathVersion {
    /// Its number, from 0 for the oldest.
    pub index: u32,
    /// The module.
    pub module_hash: Hash,
    /// The commit at which the path first named it.
    pub commit: Hash,
}

/// Asks for one version of a path.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathVersionArgs {
    /// The commit to look back from; that of the default branch when absent.
    pub at: Option<Revision>,
    /// The path.
    pub path: String,
    /// The number of the version, from 0 for the oldest.
    pub index: u32,
}

/// Asks for a commit and all that it follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct LogArgs {
    /// The commit to start at; that of the default branch when absent. Not looked at with a cursor.
    pub at: Option<Revision>,
    /// Where to go on: `next` of the page before.
    pub after: Option<ListCursor>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of commits, latest first: a commit comes before those that it follows.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct LogPage {
    /// The commits.
    pub commits: Vec<CommitInfo>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ListCursor>,
}

/// Asks who changed a path, when and to what.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct AuditArgs {
    /// The commit to look back from; that of the default branch when absent. Not looked at with a cursor.
    pub at: Option<Revision>,
    /// The path: that of a module or of a folder.
    pub path: String,
    /// Where to go on: `next` of the page before.
    pub after: Option<ListCursor>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of changes of a path, latest first.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct AuditPage {
    /// The changes.
    pub changes: Vec<PathAudit>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ListCursor>,
}

/// A change of a path.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathAudit {
    /// What the path stood for from then on; absent when it was removed.
    pub entry: Option<PathEntry>,
    /// The commit that made the change.
    pub commit: Hash,
    /// Its author.
    pub author: Principal,
    /// The author's name.
    pub author_name: Option<String>,
    /// Why.
    pub message: String,
    /// When.
    pub time_ns: u64,
}

/// Asks in which paths two commits differ.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct DiffArgs {
    /// The one commit; nothing when absent. Not looked at with a cursor.
    pub from: Option<Revision>,
    /// The other commit. Not looked at with a cursor.
    pub to: Revision,
    /// Where to go on: `next` of the page before.
    pub after: Option<ListCursor>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of differences, by path.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct DiffPage {
    /// The differences.
    pub changes: Vec<PathDifference>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ListCursor>,
}

/// A path that does not name the same module in two commits.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct PathDifference {
    /// The path.
    pub path: String,
    /// The module in the one.
    pub old: Option<Hash>,
    /// The module in the other.
    pub new: Option<Hash>,
}

/// What to prove.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ProofTarget {
    /// The commit that a branch is at, or that there is none.
    Head {
        /// The branch.
        branch: String,
    },
    /// What a path of a branch stands for, or that it stands for nothing.
    Path {
        /// The branch.
        branch: String,
        /// The path.
        path: String,
    },
    /// That a path of a branch named a module in one of the commits that the branch looks back on.
    PathVersion {
        /// The branch.
        branch: String,
        /// The path.
        path: String,
        /// The number of the version, from 0 for the oldest.
        index: u32,
    },
    /// What a release is, or that there is none.
    Release {
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
}

/// What proves an answer: see [`Proven`](crate::proof::Proven).
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Witness {
    /// The certificate of the catalog's certified data, as the Internet Computer signed it.
    pub certificate: ByteBuf,
    /// The id of the top node of the folder of branches.
    pub heads: Option<Hash>,
    /// The id of the top node of the folder of packages.
    pub releases: Option<Hash>,
    /// The hash of what is certified for HTTP gateways beside these.
    pub http: Hash,
    /// The objects on the way to the answer, in no order.
    pub objects: Vec<ByteBuf>,
}

/// Why nothing is proven.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ProveError {
    /// Certificates are for queries only, and only for those that a client sends itself.
    NoCertificate,
    /// There is no such branch, or nothing was committed to it yet.
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
    /// The path has no version of this index.
    UnknownVersion {
        /// How many versions there are.
        versions: u32,
    },
    /// The version is not a semantic version.
    UnknownRelease {
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
    /// The version is too far behind the head: ask for the commits between them with `objects`.
    TooManyCommits {
        /// Commits that a witness holds.
        max: u32,
    },
}
