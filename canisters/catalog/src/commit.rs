//! Committing changes to a branch.

use std::cell::RefCell;

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{CommitArgs, CommitError, CommitInfo, DEFAULT_BRANCH},
    limits::{MAX_AUTHOR_NAME_BYTES, MAX_COMMIT_MESSAGE_BYTES},
    path::check_branch_name,
};
use ic_stable_structures::Memory;

use crate::{
    blob_store::{NotSealed, check_sealed},
    changes::{PathChange, modules_of, read_changes},
    edit::{Edited, edit},
    objects::Commit,
    publishers::{Refusal, check_publisher},
    runtime::Runtime,
    state::State,
    stored::{Record, StoredBranch},
    text::{TextTooLong, check_length},
};

/// Commits changes to a branch, all of them or none.
///
/// 1. Checks everything that can be checked here, against the branch as it is.
/// 2. Asks the blob store about the modules that the catalog does not know yet.
/// 3. Checks everything again, since others may have acted in the meantime, and applies the changes to the branch as
///    it is then.
///
/// # Errors
/// [`CommitError`]; nothing was changed.
pub async fn commit<M: Memory, R: Runtime>(
    state: &RefCell<State<M>>,
    runtime: &R,
    caller: Principal,
    args: CommitArgs,
) -> Result<CommitInfo, CommitError> {
    check_publisher(&state.borrow(), runtime, caller)?;
    let request = Request::read(args)?;
    let (blob_store, unknown) = {
        let state = state.borrow();
        state.plan(&request)?;
        (state.blob_store(), state.unknown_modules(modules_of(&request.changes)))
    };
    check_sealed(runtime, blob_store, &unknown).await?;
    check_publisher(&state.borrow(), runtime, caller)?;
    state.borrow_mut().apply(request, caller, runtime.now_ns())
}

/// A commit asked for, with all that can be checked without the state.
struct Request {
    branch: String,
    changes: Vec<PathChange>,
    message: String,
    author_name: Option<String>,
    expected_head: Option<Hash>,
}

impl Request {
    fn read(args: CommitArgs) -> Result<Self, CommitError> {
        let CommitArgs { branch, changes, message, author_name, expected_head } = args;
        let branch = branch.unwrap_or_else(|| DEFAULT_BRANCH.to_string());
        check_branch_name(&branch).map_err(CommitError::InvalidBranch)?;
        check_length("message", &message, MAX_COMMIT_MESSAGE_BYTES)?;
        if let Some(author_name) = &author_name {
            check_length("author_name", author_name, MAX_AUTHOR_NAME_BYTES)?;
        }
        Ok(Self { branch, changes: read_changes(&changes)?, message, author_name, expected_head })
    }
}

/// What a commit comes to on a branch as it is.
struct Plan {
    head: Option<Hash>,
    edited: Edited,
}

impl<M: Memory> State<M> {
    fn plan(&self, request: &Request) -> Result<Plan, CommitError> {
        let head =
            self.head(&request.branch).ok_or_else(|| CommitError::UnknownBranch { branch: request.branch.clone() })?;
        if let Some(expected) = request.expected_head
            && head != Some(expected)
        {
            return Err(CommitError::HeadMoved { expected, actual: head });
        }
        let tree = head.map(|head| self.tree_of(&head));
        let edited = edit(tree, &request.changes, |id| self.stored_object(id))?;
        if tree == Some(edited.root) {
            return Err(CommitError::NothingChanged);
        }
        Ok(Plan { head, edited })
    }

    fn apply(&mut self, request: Request, author: Principal, time_ns: u64) -> Result<CommitInfo, CommitError> {
        let Plan { head, edited } = self.plan(&request)?;
        let Request { branch, changes, message, author_name, expected_head: _ } = request;
        let parents = head.into_iter().collect();
        let commit = Commit { tree: edited.root, parents, author, author_name, message, time_ns };
        let object = commit.encode();
        let id = object.id;
        for object in edited.folders.into_iter().chain([object]) {
            self.put_object(object);
        }
        for module in modules_of(&changes) {
            self.modules.insert(*module.as_bytes(), ());
        }
        self.branches.insert(branch, Record(StoredBranch { head: Some(*id.as_bytes()) }));
        Ok(commit.into_info(id))
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::AnonymousCaller,
            Refusal::NotAllowed(caller) => Self::NotAllowed { caller },
        }
    }
}

impl From<NotSealed> for CommitError {
    fn from(not_sealed: NotSealed) -> Self {
        match not_sealed {
            NotSealed::UnknownModule(module_hash) => Self::UnknownModule { module_hash },
            NotSealed::Unavailable(failure) => Self::BlobStoreUnavailable(failure),
        }
    }
}

impl From<TextTooLong> for CommitError {
    fn from(TextTooLong { field, bytes, max }: TextTooLong) -> Self {
        Self::TextTooLong { field: field.to_string(), bytes: bytes as u32, max: max as u32 }
    }
}

#[cfg(test)]
mod tests;
