//! Taking changes back, and bringing back what was there.

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{HeadChange, MovedBy, Note, RestoreArgs, RollbackArgs, UndoError},
    limits::{MAX_BRANCH_NAME_BYTES, MAX_PATH_BYTES},
    objects::{Entry, Node},
    path::ModulePath,
};
use ic_stable_structures::Memory;

use crate::{
    access::{Movement, check_branch},
    commit::{CommitNote, Prepared, Unprepared, check_note},
    events::Actor,
    history::Path,
    runtime::Runtime,
    state::State,
    text::excerpt,
    trees::{Edited, PathChange, Target},
};

/// Takes back the last changes of a branch or of a path.
///
/// # Errors
/// [`UndoError`]; nothing was changed.
pub fn rollback<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: RollbackArgs,
) -> Result<HeadChange, UndoError> {
    let RollbackArgs { branch, path, count, revert, note } = args;
    let undo = Undo::begin(state, runtime, caller, branch, path, revert, note)?;
    if count == 0 {
        return Err(UndoError::TooFew { available: undo.available(state) });
    }
    let Some(head) = undo.head else { return Err(UndoError::EmptyBranch { branch: undo.branch }) };
    match &undo.path {
        Some(path) => {
            let entry = state.earlier_entry(path, &head, count)?;
            let message = format!("Rollback /{path}");
            undo.put(state, entry, message, MovedBy::Rollback)
        }
        None => {
            let target = state.earlier_commit(&head, u64::from(count))?;
            undo.go(state, target, "Rollback".to_string(), MovedBy::Rollback)
        }
    }
}

/// Brings back what a commit had.
///
/// # Errors
/// [`UndoError`]; nothing was changed.
pub fn restore<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: RestoreArgs,
) -> Result<HeadChange, UndoError> {
    let RestoreArgs { branch, from, path, revert, note } = args;
    let undo = Undo::begin(state, runtime, caller, branch, path, revert, note)?;
    let from = state.revision(Some(&from))?;
    match &undo.path {
        Some(path) => {
            let entry = state.entry(state.place_of(&from).tree, path.segments());
            let message = format!("Restore /{path}");
            undo.put(state, entry, message, MovedBy::Restore)
        }
        None => undo.go(state, Some(from), format!("Restore {from}"), MovedBy::Restore),
    }
}

/// What is to be undone where, checked.
struct Undo {
    branch: String,
    head: Option<Hash>,
    path: Option<ModulePath>,
    revert: bool,
    note: Note,
    actor: Actor,
}

impl Undo {
    fn begin<M: Memory>(
        state: &State<M>,
        runtime: &impl Runtime,
        caller: Principal,
        branch: Option<String>,
        path: Option<String>,
        revert: bool,
        note: Note,
    ) -> Result<Self, UndoError> {
        let branch = branch.unwrap_or_else(|| state.default_branch());
        let movement = if revert || path.is_some() { Movement::Forward } else { Movement::Anywhere };
        check_branch(state, runtime, caller, &branch, movement)?;
        check_note(note.message.as_deref(), note.author_name.as_deref())?;
        let path = path.map(|path| {
            ModulePath::parse(&path)
                .map_err(|reason| UndoError::InvalidPath { path: excerpt(&path, MAX_PATH_BYTES), reason })
        });
        let path = path.transpose()?;
        let head = state
            .head(&branch)
            .ok_or_else(|| UndoError::UnknownBranch { branch: excerpt(&branch, MAX_BRANCH_NAME_BYTES) })?;
        if let Some(expected) = note.expected_head
            && head != Some(expected)
        {
            return Err(UndoError::HeadMoved { expected, actual: head });
        }
        Ok(Self { branch, head, path, revert, note, actor: Actor { caller, now_ns: runtime.now_ns() } })
    }

    fn available<M: Memory>(&self, state: &State<M>) -> u64 {
        let Some(place) = self.head.map(|head| state.place_of(&head).place) else { return 0 };
        match &self.path {
            Some(path) => {
                let last = state.last_change(&Path::new(path.segments()), place);
                last.map_or(0, |last| u64::from(last.node.changes))
            }
            None => state.first_parent(place, u64::MAX).err().map_or(0, |before| before + 1),
        }
    }

    /// Lets the path stand for what is given, by a commit.
    fn put<M: Memory>(
        self,
        state: &mut State<M>,
        entry: Option<Entry>,
        message: String,
        by: MovedBy,
    ) -> Result<HeadChange, UndoError> {
        let tree = self.head.map(|head| state.place_of(&head).tree);
        let changes: Vec<PathChange> =
            self.path.iter().map(|path| PathChange { path: path.clone(), target: Target::Put(entry) }).collect();
        let prepared = state.prepare(tree, &changes)?;
        self.commit(state, prepared, message, by)
    }

    /// Lets the branch be at another commit, or before its first one; or makes a commit that has the same content.
    fn go<M: Memory>(
        self,
        state: &mut State<M>,
        target: Option<Hash>,
        message: String,
        by: MovedBy,
    ) -> Result<HeadChange, UndoError> {
        if self.revert {
            let before = self.head.map(|head| state.place_of(&head).tree);
            let prepared = match target {
                Some(target) => state.prepare_stored(before, state.place_of(&target).tree)?,
                None => {
                    let empty = Node::Leaf(vec![]).encode();
                    let changed = state.changed_paths(before, None)?;
                    Prepared { edited: Edited { root: empty.id, nodes: vec![empty] }, changed }
                }
            };
            return self.commit(state, prepared, message, MovedBy::Revert);
        }
        if target == self.head {
            return Err(UndoError::NothingChanged);
        }
        if let Some(target) = &target {
            state.revive(target);
        }
        state.move_head(&self.branch, target, by, self.actor);
        Ok(HeadChange { branch: self.branch, previous: self.head, head: target, commit: None })
    }

    fn commit<M: Memory>(
        self,
        state: &mut State<M>,
        prepared: Prepared,
        message: String,
        by: MovedBy,
    ) -> Result<HeadChange, UndoError> {
        if prepared.changed.is_empty() {
            return Err(UndoError::NothingChanged);
        }
        let by = if self.revert { MovedBy::Revert } else { by };
        let Note { message: given, author_name, .. } = self.note;
        let note = CommitNote { message: given.unwrap_or(message), author_name, by };
        let commit = state.store_commit(&self.branch, self.head.into_iter().collect(), prepared, note, self.actor);
        let (previous, head) = (self.head, Some(commit.id));
        Ok(HeadChange { branch: self.branch, previous, head, commit: Some(commit) })
    }
}

impl<M: Memory> State<M> {
    /// Returns the commit so many first parents before another one; nothing is before the first one.
    fn earlier_commit(&self, head: &Hash, count: u64) -> Result<Option<Hash>, UndoError> {
        match self.first_parent(self.place_of(head).place, count) {
            Ok(place) => Ok(Some(self.commit_place(self.commit_at(place)).id)),
            Err(before) if before + 1 == count => Ok(None),
            Err(before) => Err(UndoError::TooFew { available: before + 1 }),
        }
    }

    /// Returns what a path stood for before so many of its last changes.
    fn earlier_entry(&self, path: &ModulePath, head: &Hash, count: u32) -> Result<Option<Entry>, UndoError> {
        let text = path.to_string();
        let path = Path::new(path.segments());
        let Some(last) = self.last_change(&path, self.place_of(head).place) else {
            return Err(UndoError::UnknownPath { path: text });
        };
        if count > last.node.changes {
            return Err(UndoError::TooFew { available: u64::from(last.node.changes) });
        }
        let mut found = Some(last);
        for _ in 0..count {
            found = found.and_then(|found| self.change_before(&path, &found.node));
        }
        Ok(found.and_then(|found| found.node.entry))
    }
}

impl From<Unprepared> for UndoError {
    fn from(error: Unprepared) -> Self {
        match error {
            Unprepared::Tree(error) => Self::Tree(error),
            Unprepared::UnknownPath { path } => Self::UnknownPath { path },
        }
    }
}

#[cfg(test)]
mod tests;
