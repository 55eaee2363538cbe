//! Wire types of events, garbage collection, and backups.

use candid::{CandidType, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{Denied, ModuleError};
use crate::Hash;

/// Asks for events.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct EventsArgs {
    /// The number of the event after which the page starts; from the first one when absent.
    pub after: Option<u64>,
    /// Most entries of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

/// A page of events, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct EventsPage {
    /// The events.
    pub events: Vec<Event>,
    /// The number of the last event there is, from 1; 0 when there is none.
    pub last: u64,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Event {
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// When.
    pub time_ns: u64,
    /// Who.
    pub caller: Principal,
    /// What.
    pub kind: EventKind,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum EventKind {
    /// A branch was created.
    BranchCreated {
        /// The branch.
        branch: String,
        /// The commit it started at.
        head: Option<Hash>,
    },
    /// A branch is at another commit; what that changes of which paths is what the two commits differ in.
    HeadMoved {
        /// The branch.
        branch: String,
        /// The commit it was at.
        old: Option<Hash>,
        /// The commit it is at.
        new: Option<Hash>,
        /// By what.
        by: MovedBy,
    },
    /// A branch was deleted.
    BranchDeleted {
        /// The branch.
        branch: String,
        /// The commit it was at.
        head: Option<Hash>,
    },
    /// A branch has another name.
    BranchRenamed {
        /// Its name until then.
        old: String,
        /// Its name.
        new: String,
    },
    /// Another branch is the default.
    DefaultBranchChanged {
        /// The one until then.
        old: String,
        /// The one from then on.
        new: String,
    },
    /// A branch is protected, or no longer.
    ProtectionChanged {
        /// The branch.
        branch: String,
        /// Whether it is.
        protected: bool,
    },
    /// A release was published.
    ReleasePublished {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// The module.
        module_hash: Hash,
    },
    /// A principal may publish.
    PublisherAdded {
        /// The principal.
        publisher: Principal,
    },
    /// A principal may publish no longer.
    PublisherRemoved {
        /// The principal.
        publisher: Principal,
    },
    /// Garbage was collected.
    GarbageCollected {
        /// Objects and modules that were let go of.
        freed: u64,
    },
    /// A backup was read in.
    Imported {
        /// Commits in it.
        commits: u64,
    },
}

/// What moved a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum MovedBy {
    /// A commit of changes.
    Commit,
    /// A merge.
    Merge,
    /// A merge that needed no commit.
    FastForward,
    /// Changes taken back.
    Rollback,
    /// Something brought back.
    Restore,
    /// A commit that took changes back or brought something back.
    Revert,
    /// A commit in place of a history.
    Squash,
}

/// Asks for a collection of garbage, or for the next slice of the one that is going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct CollectGarbageArgs {
    /// A branch whose history becomes one commit first; not looked at while a collection is going on. When absent, all
    /// that a branch looks back on stays.
    pub squash: Option<String>,
}

/// How far a collection of garbage is.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct CollectionStatus {
    /// Whether it is complete; call again when not.
    pub finished: bool,
    /// Objects found to be in use so far.
    pub marked: u64,
    /// Commits deleted so far.
    pub commits: u64,
    /// Nodes of folders deleted so far.
    pub nodes: u64,
    /// Modules that the blob store was told to let go of so far.
    pub modules: u64,
}

/// Why garbage is not collected.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum CollectGarbageError {
    /// The caller may not.
    Denied(Denied),
    /// There is no such branch.
    UnknownBranch {
        /// The branch.
        branch: String,
    },
    /// A backup is being read in.
    Importing,
    /// The blob store could not be told to let go of modules; call again. The rest is done.
    BlobStore(ModuleError),
}

/// Asks for the next modules to be retained.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct RetainModulesArgs {
    /// Whether to begin anew with the first module, also when all have been asked for.
    pub restart: Option<bool>,
}

/// How far the blob store is with retaining all modules that the catalog names.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct RetainStatus {
    /// Whether all have been asked for; call again when not.
    pub finished: bool,
    /// Modules of this call that the blob store does not have.
    pub missing: Vec<Hash>,
}

/// Why modules are not retained.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum RetainModulesError {
    /// The caller may not.
    Denied(Denied),
    /// The blob store refuses or could not be asked; call again.
    BlobStore(ModuleError),
}

/// Asks for a page of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct ExportArgs {
    /// Where to go on: `next` of the page before; from the start when absent.
    pub after: Option<ByteBuf>,
}

/// A page of a backup. All pages, in their order, are a backup.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ExportPage {
    /// What is in it.
    pub items: Vec<BackupItem>,
    /// What to give as `after` for the next page; absent on the last one.
    pub next: Option<ByteBuf>,
}

/// A part of a backup.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum BackupItem {
    /// A branch.
    Branch {
        /// Its name.
        name: String,
        /// The commit it is at.
        head: Option<Hash>,
        /// Whether it is protected.
        protected: bool,
        /// Whether it is the default one.
        default: bool,
    },
    /// A principal that may publish.
    Publisher(Principal),
    /// A release.
    Release(super::ReleaseInfo),
    /// A node of a folder.
    Node(ByteBuf),
    /// A commit; those that it follows come before it.
    Commit(ByteBuf),
    /// An event.
    Event(Event),
    /// The end: how many items there are before it.
    End {
        /// Items.
        items: u64,
    },
}

/// Why there is no page of a backup.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ExportError {
    /// Garbage was collected since the backup began: start anew.
    Interrupted,
    /// `after` is not what a page answered.
    InvalidCursor,
}

/// Reads in a page of a backup: pages in their order, into an empty catalog.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ImportArgs {
    /// How many items were read in before: a page that was read in already is told apart from the next one.
    pub position: u64,
    /// The items of the page.
    pub items: Vec<BackupItem>,
}

/// How far a backup is read in.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct ImportStatus {
    /// Items read in.
    pub position: u64,
    /// Whether the backup is complete and the catalog in use.
    pub finished: bool,
}

/// Why a page of a backup is not read in, or not all of it: items before the one named were.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ImportError {
    /// The caller may not.
    Denied(Denied),
    /// The catalog is not empty.
    NotEmpty,
    /// Another page is next.
    WrongPosition {
        /// How many items were read in.
        position: u64,
    },
    /// An item is not what it has to be.
    InvalidItem {
        /// The position of the item, from 0 for the first one of the backup.
        position: u64,
        /// What is wrong with it.
        reason: InvalidItem,
    },
}

/// What is wrong with an item of a backup.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum InvalidItem {
    /// The bytes are no object.
    Malformed,
    /// It leads to an object that did not come before it.
    MissingObject {
        /// The object.
        id: Hash,
    },
    /// A name, path, version or text breaks a rule, or there are too many.
    BreaksRule,
    /// It is of a kind that must not come here, or not twice.
    OutOfPlace,
    /// The end counts other items than there were.
    WrongCount,
}
