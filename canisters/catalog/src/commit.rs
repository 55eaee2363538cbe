//! Committing changes to a branch.

use std::{cell::RefCell, collections::BTreeMap, ops::ControlFlow, rc::Rc};

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{CommitArgs, CommitError, CommitInfo, MovedBy, TreeError},
    limits::{MAX_AUTHOR_NAME_BYTES, MAX_COMMIT_MESSAGE_BYTES},
    objects::{Commit, Entry, Node},
    path::{ModulePath, check_branch_name},
};
use ic_stable_structures::Memory;

use crate::{
    access::{Movement, check_branch},
    blob_store::retain,
    changes::{Changes, read_changes, sort_apart},
    events::Actor,
    limits::{MAX_BRANCHES, MAX_NAMES_PER_CHANGE, MAX_NODE_NAMES, MAX_PATHS_PER_COMMIT},
    runtime::Runtime,
    state::State,
    text::{TextTooLong, check_length},
    trees::{EditError, Edited, Nodes, PathChange, PathDiff, Target, diff, edit},
};

/// Commits changes to a branch, all of them or none.
///
/// 1. Checks everything that can be checked here, against the branch as it is.
/// 2. Lets the blob store retain the modules that it is not known to retain yet.
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
    let request = Request::read(args, || state.borrow().default_branch())?;
    check_branch(&state.borrow(), runtime, caller, &request.branch, Movement::Forward)?;
    let modules = request.changes.modules();
    if !state.borrow().unknown_modules(modules.iter().copied()).is_empty() {
        state.borrow().plan(&request)?;
        retain(state, runtime, modules).await?;
        check_branch(&state.borrow(), runtime, caller, &request.branch, Movement::Forward)?;
    }
    state.borrow_mut().apply(request, Actor { caller, now_ns: runtime.now_ns() })
}

/// A commit asked for, with all that can be checked without the state.
struct Request {
    branch: String,
    create_branch: bool,
    changes: Changes,
    message: String,
    author_name: Option<String>,
    expected_head: Option<Hash>,
}

impl Request {
    fn read(args: CommitArgs, default_branch: impl FnOnce() -> String) -> Result<Self, CommitError> {
        let CommitArgs { branch, create_branch, changes, message, author_name, expected_head } = args;
        let branch = branch.unwrap_or_else(default_branch);
        check_branch_name(&branch).map_err(CommitError::InvalidBranch)?;
        check_note(Some(&message), author_name.as_deref())?;
        let create_branch = create_branch.unwrap_or(false);
        Ok(Self { branch, create_branch, changes: read_changes(&changes)?, message, author_name, expected_head })
    }
}

/// Checks the texts of a commit.
pub(crate) fn check_note(message: Option<&str>, author_name: Option<&str>) -> Result<(), TextTooLong> {
    if let Some(message) = message {
        check_length("message", message, MAX_COMMIT_MESSAGE_BYTES)?;
    }
    if let Some(author_name) = author_name {
        check_length("author_name", author_name, MAX_AUTHOR_NAME_BYTES)?;
    }
    Ok(())
}

/// A tree to be committed, and in what it differs from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) edited: Edited,
    pub(crate) changed: Vec<PathDiff>,
}

/// What a commit comes to on a branch as it is.
struct Plan {
    head: Option<Hash>,
    prepared: Prepared,
}

/// How and why a commit is made.
pub(crate) struct CommitNote {
    pub(crate) message: String,
    pub(crate) author_name: Option<String>,
    pub(crate) by: MovedBy,
}

impl<M: Memory> State<M> {
    fn plan(&self, request: &Request) -> Result<Plan, CommitError> {
        let unknown = || CommitError::UnknownBranch { branch: request.branch.clone() };
        let head = match self.head(&request.branch) {
            Some(head) => head,
            None if !request.create_branch => return Err(unknown()),
            None if self.branches.len() >= MAX_BRANCHES => {
                return Err(CommitError::TooManyBranches { max: MAX_BRANCHES as u32 });
            }
            None => None,
        };
        if let Some(expected) = request.expected_head
            && head != Some(expected)
        {
            return Err(CommitError::HeadMoved { expected, actual: head });
        }
        let tree = head.map(|head| self.place_of(&head).tree);
        let changes = self.expand(&request.changes, tree)?;
        let prepared = self.prepare(tree, &changes)?;
        if prepared.changed.is_empty() {
            return Err(CommitError::NothingChanged);
        }
        Ok(Plan { head, prepared })
    }

    /// Returns the changes with the removal of a module as that of its paths.
    fn expand(&self, changes: &Changes, tree: Option<Hash>) -> Result<Vec<PathChange>, CommitError> {
        let mut paths = changes.paths.clone();
        for module in &changes.removed_modules {
            let Some(tree) = tree else { break };
            for (looked_at, path) in self.paths_ever_of(module, None).enumerate() {
                if looked_at >= MAX_PATHS_PER_COMMIT {
                    return Err(CommitError::TooManyPaths { max: MAX_PATHS_PER_COMMIT as u32 });
                }
                let path = ModulePath::parse(&path).expect("BUG: a stored path breaks a rule");
                let names_it = self.entry(tree, path.segments()) == Some(Entry::Module(*module));
                if names_it && !changes.concern(path.segments()) {
                    paths.push(PathChange { path, target: Target::Remove });
                }
            }
        }
        sort_apart(&mut paths)?;
        Ok(paths)
    }

    /// Makes the tree that changes lead to, without storing it.
    ///
    /// # Errors
    /// [`Unprepared`]: the tree cannot be made, or a path to remove is not there.
    pub(crate) fn prepare(&self, tree: Option<Hash>, changes: &[PathChange]) -> Result<Prepared, Unprepared> {
        let overlay = Overlay { state: self, known: RefCell::default() };
        let edited = edit(&overlay, tree, changes)?;
        let made = edited.nodes.iter().map(|object| {
            let node = Node::decode(&object.bytes).expect("BUG: a node just made cannot be read");
            (object.id, Rc::new(node))
        });
        overlay.known.borrow_mut().extend(made);
        let changed = changed_paths(&overlay, tree, Some(edited.root)).map_err(Unprepared::Tree)?;
        Ok(Prepared { edited, changed })
    }

    /// Prepares a tree that is stored.
    pub(crate) fn prepare_stored(&self, before: Option<Hash>, tree: Hash) -> Result<Prepared, TreeError> {
        let changed = self.changed_paths(before, Some(tree))?;
        Ok(Prepared { edited: Edited { root: tree, nodes: vec![] }, changed })
    }

    /// Returns the paths in which two stored trees differ, if they are not too many for a commit.
    pub(crate) fn changed_paths(&self, old: Option<Hash>, new: Option<Hash>) -> Result<Vec<PathDiff>, TreeError> {
        changed_paths(self, old, new)
    }

    /// Stores a commit and lets a branch, which may be new, be at it.
    pub(crate) fn store_commit(
        &mut self,
        branch: &str,
        parents: Vec<Hash>,
        prepared: Prepared,
        note: CommitNote,
        actor: Actor,
    ) -> CommitInfo {
        let Prepared { edited, changed } = prepared;
        for node in edited.nodes {
            self.put_node(node);
        }
        let CommitNote { message, author_name, by } = note;
        let Actor { caller: author, now_ns: time_ns } = actor;
        let commit = Commit { tree: edited.root, parents, author, author_name, message, time_ns };
        let object = commit.encode();
        let id = object.id;
        self.add_commit(object, &commit, &changed);
        if self.branch(branch).is_none() {
            self.add_branch(branch, None, actor);
        }
        self.move_head(branch, Some(id), by, actor);
        commit.into_info(id)
    }

    fn apply(&mut self, request: Request, actor: Actor) -> Result<CommitInfo, CommitError> {
        let Plan { head, prepared } = self.plan(&request)?;
        let Request { branch, message, author_name, .. } = request;
        let note = CommitNote { message, author_name, by: MovedBy::Commit };
        Ok(self.store_commit(&branch, head.into_iter().collect(), prepared, note, actor))
    }
}

/// Nodes that are stored, each of which is read once, and such as are about to be.
struct Overlay<'a, M: Memory> {
    state: &'a State<M>,
    known: RefCell<BTreeMap<Hash, Rc<Node>>>,
}

impl<M: Memory> Nodes for Overlay<'_, M> {
    fn node(&self, id: &Hash) -> Rc<Node> {
        Rc::clone(self.known.borrow_mut().entry(*id).or_insert_with(|| self.state.node(id)))
    }
}

/// Returns the paths in which two trees differ, if they are not too many for a commit.
fn changed_paths(nodes: &impl Nodes, old: Option<Hash>, new: Option<Hash>) -> Result<Vec<PathDiff>, TreeError> {
    let mut changed = vec![];
    let flow = diff(nodes, old, new, None, &mut |found| {
        changed.push(found);
        if changed.len() > MAX_PATHS_PER_COMMIT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match flow {
        ControlFlow::Continue(()) => Ok(changed),
        ControlFlow::Break(()) => Err(TreeError::TooManyPaths { max: MAX_PATHS_PER_COMMIT as u32 }),
    }
}

/// Why changes lead to no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unprepared {
    /// The tree cannot be made.
    Tree(TreeError),
    /// A path to remove does not exist.
    UnknownPath { path: String },
}

impl From<EditError> for Unprepared {
    fn from(error: EditError) -> Self {
        Self::Tree(match error {
            EditError::UnknownPath { path } => return Self::UnknownPath { path },
            EditError::PathConflict { path, existing } => TreeError::PathConflict { path, existing },
            EditError::FolderFull { path } => TreeError::FolderFull { path, max: MAX_NODE_NAMES as u32 },
            EditError::TooLarge => TreeError::FoldersTooLarge { max: MAX_NAMES_PER_CHANGE },
        })
    }
}

impl From<Unprepared> for CommitError {
    fn from(error: Unprepared) -> Self {
        match error {
            Unprepared::UnknownPath { path } => Self::UnknownPath { path },
            Unprepared::Tree(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
