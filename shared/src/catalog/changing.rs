//! Wire types of branches, undoing and merging.

use candid::{CandidType, Principal};
use serde::Deserialize;

use super::{CallFailure, CommitInfo};
use crate::{
    Hash,
    path::{NameError, PathError},
};

/// Names a commit.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Revision {
    /// The commit that a branch is at.
    Branch(String),
    /// A commit by its id.
    Commit(Hash),
}

/// Why a caller may not do something.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Denied {
    /// The anonymous principal may change nothing.
    AnonymousCaller,
    /// The caller is neither a controller nor a publisher.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// Only controllers of the catalog may do this.
    NotController {
        /// The caller.
        caller: Principal,
    },
    /// The branch is protected: only controllers move it, and only forward, by commits, merges and reverts.
    ProtectedBranch {
        /// The branch.
        branch: String,
    },
    /// A backup is being read in.
    Importing,
}

/// Why a tree cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum TreeError {
    /// A path would have to be a module and a folder at once.
    PathConflict {
        /// The path.
        path: String,
        /// The path of the module that stands where a folder would have to be, or of the folder that stands where the
        /// module would.
        existing: String,
    },
    /// Too many names of a folder would meet in one of its nodes.
    FolderFull {
        /// The folder; empty for the top.
        path: String,
        /// Names of a node.
        max: u32,
    },
    /// The folders that would change are too large together.
    FoldersTooLarge {
        /// Names, in all nodes that have to be read, that one commit may change.
        max: u64,
    },
    /// Too many paths would change.
    TooManyPaths {
        /// Paths that one commit may change.
        max: u32,
    },
}

/// Asks for a branch.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct CreateBranchArgs {
    /// The name: `A`–`Z`, `a`–`z`, `0`–`9`, `.`, `_`, `-`; 1 to 128 of them.
    pub name: String,
    /// The commit that it starts at; that of the default branch when absent.
    pub from: Option<Revision>,
}

/// Asks for the end of a branch; its commits stay until garbage collection.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct DeleteBranchArgs {
    /// The branch.
    pub name: String,
    /// The commit that the branch must be at, or it stays.
    pub expected_head: Option<Hash>,
}

/// Asks for another name of a branch.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct RenameBranchArgs {
    /// The branch.
    pub name: String,
    /// Its name from then on.
    pub new_name: String,
}

/// Asks for the protection of a branch.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ProtectBranchArgs {
    /// The branch.
    pub name: String,
    /// Whether only controllers move it, and only forward.
    pub protected: bool,
}

/// Why a branch is not created, deleted, renamed or changed otherwise. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum BranchError {
    /// The caller may not.
    Denied(Denied),
    /// The name breaks a rule.
    InvalidBranch(NameError),
    /// There is no such branch.
    UnknownBranch {
        /// The branch.
        branch: String,
    },
    /// There is a branch of this name.
    BranchExists {
        /// The branch.
        branch: String,
    },
    /// There is no such commit.
    UnknownCommit {
        /// Its id.
        commit: Hash,
    },
    /// Nothing was committed to the branch yet.
    EmptyBranch {
        /// The branch.
        branch: String,
    },
    /// The default branch cannot be deleted: name another one as the default first.
    DefaultBranch {
        /// The branch.
        branch: String,
    },
    /// There are as many branches as there can be.
    TooManyBranches {
        /// Branches allowed.
        max: u32,
    },
    /// The branch is not at the commit expected.
    HeadMoved {
        /// The commit expected.
        expected: Hash,
        /// The commit the branch is at, if it has one.
        actual: Option<Hash>,
    },
}

/// Who changes something and why, for commits that the catalog makes by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct Note {
    /// Why, for people; the catalog says what was done when absent.
    pub message: Option<String>,
    /// The author's name, for people; the author's principal is always kept.
    pub author_name: Option<String>,
    /// The commit that the branch must be at, or nothing is done.
    pub expected_head: Option<Hash>,
}

/// Takes back the last changes of a branch or of a path.
///
/// Without a path the branch goes back to an earlier commit: to its first parent, so many times. With a path, a commit
/// gives the path what it stood for before its last changes: a module, a folder, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct RollbackArgs {
    /// The branch; the default branch when absent.
    pub branch: Option<String>,
    /// A path, for which alone changes are taken back.
    pub path: Option<String>,
    /// How many commits, or changes of the path: at least 1.
    pub count: u32,
    /// Whether a commit brings back the earlier content instead of the branch going back. A path is always brought
    /// back by a commit.
    pub revert: bool,
    /// Who and why.
    pub note: Note,
}

/// Brings back what a commit had.
///
/// Without a path the branch goes to the commit, whatever branch it came from. With a path, a commit gives the path
/// what it stood for there: a module, a folder, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct RestoreArgs {
    /// The branch; the default branch when absent.
    pub branch: Option<String>,
    /// The commit to bring back, by its id or as another branch's.
    pub from: Revision,
    /// A path, which alone is brought back.
    pub path: Option<String>,
    /// Whether a commit brings back the content instead of the branch going to the commit. A path is always brought
    /// back by a commit.
    pub revert: bool,
    /// Who and why.
    pub note: Note,
}

/// What became of a branch.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct HeadChange {
    /// The branch.
    pub branch: String,
    /// The commit that it was at.
    pub previous: Option<Hash>,
    /// The commit that it is at; absent when it went back behind its first one.
    pub head: Option<Hash>,
    /// The commit that was made, if any.
    pub commit: Option<CommitInfo>,
}

/// Why nothing is taken or brought back. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum UndoError {
    /// The caller may not.
    Denied(Denied),
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
    /// There is no such commit.
    UnknownCommit {
        /// Its id.
        commit: Hash,
    },
    /// The branch is not at the commit expected.
    HeadMoved {
        /// The commit expected.
        expected: Hash,
        /// The commit the branch is at, if it has one.
        actual: Option<Hash>,
    },
    /// The path breaks a rule.
    InvalidPath {
        /// The path.
        path: String,
        /// The rule.
        reason: PathError,
    },
    /// The path was never changed on this branch.
    UnknownPath {
        /// The path.
        path: String,
    },
    /// The count is 0, or there are not so many commits, or changes of the path.
    TooFew {
        /// How many there are.
        available: u64,
    },
    /// The branch, or the path, already is as it would become.
    NothingChanged,
    /// The tree cannot be made.
    Tree(TreeError),
    /// A text is too long.
    TextTooLong {
        /// Which field.
        field: String,
        /// Bytes given.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
}

/// Brings the changes of a commit, and of all it follows, into a branch.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct MergeArgs {
    /// The branch that takes the changes; the default branch when absent.
    pub into: Option<String>,
    /// What to merge; a branch stays where it is.
    pub from: Revision,
    /// What to do about conflicts, at most 100 of them.
    pub resolutions: Vec<Resolution>,
    /// Who and why.
    pub note: Note,
}

/// What becomes of a path that both sides changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Resolution {
    /// The path of a conflict.
    pub path: String,
    /// What it names.
    pub take: Take,
}

/// Which side a path is taken from.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Take {
    /// The branch that takes the changes.
    Ours,
    /// The commit that is merged.
    Theirs,
    /// Neither: this module, sealed in the blob store.
    Module(Hash),
    /// Neither: the path goes away.
    Nothing,
}

/// A path that both sides changed, and not to the same.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Conflict {
    /// The path.
    pub path: String,
    /// The module that it named in the last commit that both sides have in common; absent also when there are several
    /// such commits that disagree.
    pub base: Option<Hash>,
    /// The module that it names in the branch.
    pub ours: Option<Hash>,
    /// The module that it names in the commit merged.
    pub theirs: Option<Hash>,
    /// The path of a module that would have to be a folder for this one, or lies below this one; it is in conflict,
    /// too.
    pub in_the_way: Option<String>,
}

/// How a merge came out.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Merged {
    /// The branch already has everything.
    UpToDate {
        /// The commit it is at.
        head: Hash,
    },
    /// The branch had nothing of its own and went to the commit merged.
    FastForward {
        /// The commit it was at.
        previous: Option<Hash>,
        /// The commit it is at.
        head: Hash,
    },
    /// A commit has both sides as parents: the branch first, then the commit merged.
    Commit(CommitInfo),
}

/// How a merge would come out.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum MergePreview {
    /// The branch already has everything.
    UpToDate {
        /// The commit it is at.
        head: Hash,
    },
    /// The branch has nothing of its own and would go to the commit merged.
    FastForward {
        /// That commit.
        head: Hash,
    },
    /// A commit would be made.
    Commit {
        /// The id of its tree.
        tree: Hash,
        /// Paths that would change in the branch.
        paths: u32,
    },
}

/// Why nothing is merged. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum MergeError {
    /// The caller may not.
    Denied(Denied),
    /// There is no such branch.
    UnknownBranch {
        /// The branch.
        branch: String,
    },
    /// Nothing was committed to the branch to merge yet.
    EmptyBranch {
        /// The branch.
        branch: String,
    },
    /// There is no such commit.
    UnknownCommit {
        /// Its id.
        commit: Hash,
    },
    /// The branch is not at the commit expected.
    HeadMoved {
        /// The commit expected.
        expected: Hash,
        /// The commit the branch is at, if it has one.
        actual: Option<Hash>,
    },
    /// Both sides changed the same paths to different ends.
    Conflicts {
        /// The first of them, by path.
        conflicts: Vec<Conflict>,
        /// How many there are.
        total: u32,
    },
    /// A resolution names a path that is not in conflict, or one twice.
    NotInConflict {
        /// The path.
        path: String,
    },
    /// Too many resolutions were given.
    TooManyResolutions {
        /// Resolutions given.
        count: u32,
        /// Resolutions allowed.
        max: u32,
    },
    /// A path breaks a rule.
    InvalidPath {
        /// The path.
        path: String,
        /// The rule.
        reason: PathError,
    },
    /// The other side has too many commits that the branch lacks: merge an earlier one of them first.
    TooManyCommits {
        /// Commits that one merge takes in.
        max: u32,
    },
    /// The sides have too many last commits in common.
    TooManyBases {
        /// Such commits allowed.
        max: u32,
    },
    /// The tree cannot be made.
    Tree(TreeError),
    /// A text is too long.
    TextTooLong {
        /// Which field.
        field: String,
        /// Bytes given.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// A module cannot be named.
    Module(ModuleError),
}

/// Why a module cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ModuleError {
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
