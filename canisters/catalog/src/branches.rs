//! Branches: movable names for commits.

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{
        BranchError, BranchInfo, CreateBranchArgs, DEFAULT_BRANCH, DeleteBranchArgs, EventKind, MergeError, MovedBy,
        ProtectBranchArgs, QueryError, RenameBranchArgs, Revision, UndoError,
    },
    limits::MAX_BRANCH_NAME_BYTES,
    path::check_branch_name,
};
use ic_stable_structures::Memory;

use crate::{
    access::{Movement, check_branch, check_controller},
    events::Actor,
    limits::MAX_BRANCHES,
    publishers::check_publisher,
    runtime::Runtime,
    state::State,
    stored::{Record, StoredBranch},
    text::excerpt,
};

/// Why a revision names no commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRevision {
    UnknownBranch { branch: String },
    EmptyBranch { branch: String },
    UnknownCommit { commit: Hash },
}

/// Lets errors of operations on a revision tell why it names no commit.
macro_rules! tell_no_revision {
    ($($error:ident),+) => {$(
        impl From<NoRevision> for $error {
            fn from(error: NoRevision) -> Self {
                match error {
                    NoRevision::UnknownBranch { branch } => Self::UnknownBranch { branch },
                    NoRevision::EmptyBranch { branch } => Self::EmptyBranch { branch },
                    NoRevision::UnknownCommit { commit } => Self::UnknownCommit { commit },
                }
            }
        }
    )+};
}

tell_no_revision!(BranchError, MergeError, QueryError, UndoError);

impl<M: Memory> State<M> {
    /// Lists the branches, by name.
    pub fn branches(&self) -> Vec<BranchInfo> {
        let default = self.default_branch();
        let branch = |name: &String, Record(branch): Record<StoredBranch>| BranchInfo {
            name: name.clone(),
            head: branch.head.map(Hash::new),
            protected: branch.protected,
            default: *name == default,
        };
        self.branches.iter().map(|entry| branch(entry.key(), entry.value())).collect()
    }

    /// Returns the branch that is meant when none is named.
    pub fn default_branch(&self) -> String {
        self.installed().default_branch.clone().unwrap_or_else(|| DEFAULT_BRANCH.to_string())
    }

    pub(crate) fn branch(&self, name: &str) -> Option<StoredBranch> {
        self.branches.get(&name.to_string()).map(|Record(branch)| branch)
    }

    pub(crate) fn set_branch(&mut self, name: &str, branch: StoredBranch) {
        self.branches.insert(name.to_string(), Record(branch));
    }

    /// Returns the commit that a branch is at; the outer option is empty when there is no such branch.
    pub(crate) fn head(&self, branch: &str) -> Option<Option<Hash>> {
        self.branch(branch).map(|branch| branch.head.map(Hash::new))
    }

    /// Returns the commit that a revision names: that of the default branch when none is given.
    pub(crate) fn revision(&self, revision: Option<&Revision>) -> Result<Hash, NoRevision> {
        let branch = match revision {
            Some(Revision::Commit(commit)) => {
                let known = self.commit_number(commit);
                return known.map(|_| *commit).ok_or(NoRevision::UnknownCommit { commit: *commit });
            }
            Some(Revision::Branch(branch)) => branch.clone(),
            None => self.default_branch(),
        };
        match self.head(&branch) {
            Some(Some(head)) => Ok(head),
            Some(None) => Err(NoRevision::EmptyBranch { branch }),
            None => Err(NoRevision::UnknownBranch { branch: excerpt(&branch, MAX_BRANCH_NAME_BYTES) }),
        }
    }

    /// Lets a branch that exists be at another commit.
    pub(crate) fn move_head(&mut self, branch: &str, new: Option<Hash>, by: MovedBy, actor: Actor) {
        let stored = self.branch(branch).unwrap_or_default();
        let old = stored.head.map(Hash::new);
        self.set_branch(branch, StoredBranch { head: new.map(|head| *head.as_bytes()), ..stored });
        self.certify_head(branch, new);
        self.log(actor, EventKind::HeadMoved { branch: branch.to_string(), old, new, by });
    }

    /// Makes a branch that does not exist.
    pub(crate) fn add_branch(&mut self, branch: &str, head: Option<Hash>, actor: Actor) {
        self.set_branch(branch, StoredBranch { head: head.map(|head| *head.as_bytes()), protected: false });
        self.certify_head(branch, head);
        self.log(actor, EventKind::BranchCreated { branch: branch.to_string(), head });
    }
}

/// Creates a branch at a commit.
///
/// # Errors
/// [`BranchError`]; nothing was changed.
pub fn create_branch<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: CreateBranchArgs,
) -> Result<BranchInfo, BranchError> {
    check_publisher(state, runtime, caller).map_err(|refusal| BranchError::Denied(refusal.into()))?;
    check_free(state, &args.name)?;
    if state.branches.len() >= MAX_BRANCHES {
        return Err(BranchError::TooManyBranches { max: MAX_BRANCHES as u32 });
    }
    let head = state.revision(args.from.as_ref())?;
    state.revive(&head);
    state.add_branch(&args.name, Some(head), Actor { caller, now_ns: runtime.now_ns() });
    Ok(BranchInfo { name: args.name, head: Some(head), protected: false, default: false })
}

/// Deletes a branch. Its commits stay until garbage collection.
///
/// # Errors
/// [`BranchError`]; nothing was changed.
pub fn delete_branch<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: DeleteBranchArgs,
) -> Result<(), BranchError> {
    check_branch(state, runtime, caller, &args.name, Movement::Anywhere).map_err(BranchError::Denied)?;
    let branch = known(state, &args.name)?;
    let head = branch.head.map(Hash::new);
    if let Some(expected) = args.expected_head
        && head != Some(expected)
    {
        return Err(BranchError::HeadMoved { expected, actual: head });
    }
    if args.name == state.default_branch() {
        return Err(BranchError::DefaultBranch { branch: args.name });
    }
    state.branches.remove(&args.name);
    state.certify_head(&args.name, None);
    let actor = Actor { caller, now_ns: runtime.now_ns() };
    state.log(actor, EventKind::BranchDeleted { branch: args.name, head });
    Ok(())
}

/// Gives a branch another name; the default branch stays the default one.
///
/// # Errors
/// [`BranchError`]; nothing was changed.
pub fn rename_branch<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: RenameBranchArgs,
) -> Result<BranchInfo, BranchError> {
    let RenameBranchArgs { name, new_name } = args;
    check_branch(state, runtime, caller, &name, Movement::Anywhere).map_err(BranchError::Denied)?;
    let branch = known(state, &name)?;
    let is_default = name == state.default_branch();
    if is_default {
        check_controller(runtime, caller).map_err(BranchError::Denied)?;
    }
    check_free(state, &new_name)?;
    let head = branch.head.map(Hash::new);
    state.branches.remove(&name);
    state.certify_head(&name, None);
    state.set_branch(&new_name, branch);
    state.certify_head(&new_name, head);
    if is_default {
        state.update_settings(|settings| settings.default_branch = Some(new_name.clone()));
    }
    let actor = Actor { caller, now_ns: runtime.now_ns() };
    state.log(actor, EventKind::BranchRenamed { old: name, new: new_name.clone() });
    Ok(BranchInfo { name: new_name, head, protected: false, default: is_default })
}

/// Names the branch that is meant when none is named. For controllers.
///
/// # Errors
/// [`BranchError`]; nothing was changed.
pub fn set_default_branch<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    name: String,
) -> Result<(), BranchError> {
    check_controller(runtime, caller).map_err(BranchError::Denied)?;
    known(state, &name)?;
    let old = state.default_branch();
    if old != name {
        state.update_settings(|settings| settings.default_branch = Some(name.clone()));
        let actor = Actor { caller, now_ns: runtime.now_ns() };
        state.log(actor, EventKind::DefaultBranchChanged { old, new: name });
    }
    Ok(())
}

/// Protects a branch, or no longer. For controllers.
///
/// # Errors
/// [`BranchError`]; nothing was changed.
pub fn protect_branch<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: ProtectBranchArgs,
) -> Result<(), BranchError> {
    let ProtectBranchArgs { name, protected } = args;
    check_controller(runtime, caller).map_err(BranchError::Denied)?;
    let branch = known(state, &name)?;
    if branch.protected != protected {
        state.set_branch(&name, StoredBranch { protected, ..branch });
        let actor = Actor { caller, now_ns: runtime.now_ns() };
        state.log(actor, EventKind::ProtectionChanged { branch: name, protected });
    }
    Ok(())
}

fn known<M: Memory>(state: &State<M>, name: &str) -> Result<StoredBranch, BranchError> {
    state.branch(name).ok_or_else(|| BranchError::UnknownBranch { branch: excerpt(name, MAX_BRANCH_NAME_BYTES) })
}

fn check_free<M: Memory>(state: &State<M>, name: &str) -> Result<(), BranchError> {
    check_branch_name(name).map_err(BranchError::InvalidBranch)?;
    if state.branch(name).is_some() {
        return Err(BranchError::BranchExists { branch: name.to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
