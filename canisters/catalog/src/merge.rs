//! Merging.

mod conflicts;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{Conflict, MergeArgs, MergeError, MergePreview, Merged, MovedBy, Note, Resolution, Revision, Take},
    limits::{MAX_BRANCH_NAME_BYTES, MAX_CHANGES_PER_COMMIT, MAX_PATH_BYTES},
    objects::Entry,
    path::ModulePath,
};
use ic_stable_structures::Memory;

use self::conflicts::{Side, Sides};
use crate::{
    access::{Movement, check_branch},
    blob_store::retain,
    commit::{CommitNote, Prepared, Unprepared, check_note},
    events::Actor,
    history::{Apart, CommitPlace, Place},
    limits::{
        MAX_COMMITS_PER_MERGE, MAX_CONFLICTS_SHOWN, MAX_MERGE_BASE_DEPTH, MAX_MERGE_BASE_TREES, MAX_MERGE_BASES,
        MAX_STEPS_APART,
    },
    runtime::Runtime,
    state::State,
    text::excerpt,
    trees::{PathChange, PathDiff, Target},
};

/// Brings the changes of a commit, and of all it follows, into a branch.
///
/// Works like [`commit`](crate::commit::commit) when resolutions name modules that have to be retained first.
///
/// # Errors
/// [`MergeError`]; nothing was changed.
pub async fn merge<M: Memory>(
    state: &RefCell<State<M>>,
    runtime: &impl Runtime,
    caller: Principal,
    args: MergeArgs,
) -> Result<Merged, MergeError> {
    let request = Request::read(args, || state.borrow().default_branch())?;
    check_branch(&state.borrow(), runtime, caller, &request.into, Movement::Forward)?;
    let modules = request.modules();
    if !state.borrow().unknown_modules(modules.iter().copied()).is_empty() {
        state.borrow().plan_merge(&request)?;
        retain(state, runtime, modules).await.map_err(MergeError::Module)?;
        check_branch(&state.borrow(), runtime, caller, &request.into, Movement::Forward)?;
    }
    state.borrow_mut().apply_merge(request, Actor { caller, now_ns: runtime.now_ns() })
}

/// A merge asked for, with all that can be checked without the state.
struct Request {
    into: String,
    from: Revision,
    resolutions: BTreeMap<Vec<String>, Take>,
    note: Note,
}

impl Request {
    fn read(args: MergeArgs, default_branch: impl FnOnce() -> String) -> Result<Self, MergeError> {
        let MergeArgs { into, from, resolutions, note } = args;
        check_note(note.message.as_deref(), note.author_name.as_deref())?;
        if resolutions.len() > MAX_CHANGES_PER_COMMIT {
            let (count, max) = (resolutions.len() as u32, MAX_CHANGES_PER_COMMIT as u32);
            return Err(MergeError::TooManyResolutions { count, max });
        }
        let mut read = BTreeMap::new();
        for Resolution { path, take } in resolutions {
            let parsed = ModulePath::parse(&path)
                .map_err(|reason| MergeError::InvalidPath { path: excerpt(&path, MAX_PATH_BYTES), reason })?;
            if read.insert(parsed.segments().to_vec(), take).is_some() {
                return Err(MergeError::NotInConflict { path: parsed.to_string() });
            }
        }
        Ok(Self { into: into.unwrap_or_else(default_branch), from, resolutions: read, note })
    }

    fn modules(&self) -> BTreeSet<Hash> {
        let module = |take: &Take| match take {
            Take::Module(hash) => Some(*hash),
            Take::Ours | Take::Theirs | Take::Nothing => None,
        };
        self.resolutions.values().filter_map(module).collect()
    }
}

/// What a merge comes to.
enum Plan {
    UpToDate { head: Hash },
    FastForward { previous: Option<Hash>, head: Hash },
    Commit { parents: [Hash; 2], prepared: Prepared },
}

/// A tree that several commits have in common, or that is made of several such trees.
enum Base {
    /// No tree.
    Nothing,
    Tree(Hash),
    /// One that is not looked for any more.
    Unknown,
    /// What two bases come to when they are merged on their own base.
    Merged {
        one: Box<Base>,
        other: Box<Base>,
        base: Box<Base>,
    },
}

/// What a path names in a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InBase {
    Entry(Option<Hash>),
    /// The bases disagree.
    Unclear,
}

impl<M: Memory> State<M> {
    /// Tells what a merge would come to, without making it.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn preview_merge(&self, args: MergeArgs) -> Result<MergePreview, MergeError> {
        let request = Request::read(args, || self.default_branch())?;
        Ok(match self.plan_merge(&request)? {
            Plan::UpToDate { head } => MergePreview::UpToDate { head },
            Plan::FastForward { head, .. } => MergePreview::FastForward { head },
            Plan::Commit { prepared, .. } => {
                MergePreview::Commit { tree: prepared.edited.root, paths: prepared.changed.len() as u32 }
            }
        })
    }

    fn plan_merge(&self, request: &Request) -> Result<Plan, MergeError> {
        let head = self
            .head(&request.into)
            .ok_or_else(|| MergeError::UnknownBranch { branch: excerpt(&request.into, MAX_BRANCH_NAME_BYTES) })?;
        if let Some(expected) = request.note.expected_head
            && head != Some(expected)
        {
            return Err(MergeError::HeadMoved { expected, actual: head });
        }
        let from = self.revision(Some(&request.from))?;
        let theirs = self.place_of(&from);
        let Some(head) = head else { return Ok(Plan::FastForward { previous: None, head: from }) };
        let ours = self.place_of(&head);
        let apart = self.merge_sides([ours.place], [theirs.place])?;
        if apart.ours.has(theirs.place) {
            return Ok(Plan::UpToDate { head });
        }
        if apart.theirs.has(ours.place) {
            return Ok(Plan::FastForward { previous: Some(head), head: from });
        }
        if self.only_theirs(&apart, MAX_COMMITS_PER_MERGE).is_none() {
            return Err(MergeError::TooManyCommits { max: MAX_COMMITS_PER_MERGE as u32 });
        }
        let base = self.base(&apart, 0, &mut 0)?;
        let changes = self.three_way(&base, &ours, &theirs, &request.resolutions)?;
        let prepared = self.prepare(Some(ours.tree), &changes)?;
        Ok(Plan::Commit { parents: [head, from], prepared })
    }

    fn merge_sides(
        &self,
        ours: impl IntoIterator<Item = Place>,
        theirs: impl IntoIterator<Item = Place>,
    ) -> Result<Apart, MergeError> {
        let apart = self.apart(ours, theirs, MAX_STEPS_APART);
        apart.ok_or(MergeError::TooManyCommits { max: MAX_STEPS_APART as u32 })
    }

    /// Returns what two sides have in common, which are themselves common ancestors of `nested` others.
    ///
    /// `trees` counts all common ancestors that are looked at for a merge.
    fn base(&self, apart: &Apart, nested: usize, trees: &mut usize) -> Result<Base, MergeError> {
        let heads = self.common_heads(apart);
        if heads.len() > MAX_MERGE_BASES {
            return Err(MergeError::TooManyBases { max: MAX_MERGE_BASES as u32 });
        }
        *trees += heads.len();
        if heads.len() > 1 && (nested > MAX_MERGE_BASE_DEPTH || *trees > MAX_MERGE_BASE_TREES) {
            return Ok(Base::Unknown);
        }
        let mut places = heads.into_iter().map(|number| self.commit_place(number)).rev();
        let Some(first) = places.next() else { return Ok(Base::Nothing) };
        let (mut base, mut seen) = (Base::Tree(first.tree), vec![first.place]);
        for next in places {
            let apart = self.merge_sides(seen.clone(), [next.place])?;
            let below = self.base(&apart, nested + 1, trees)?;
            base = Base::Merged { one: Box::new(base), other: Box::new(Base::Tree(next.tree)), base: Box::new(below) };
            seen.push(next.place);
        }
        Ok(base)
    }

    fn in_base(&self, base: &Base, path: &[String]) -> InBase {
        match base {
            Base::Nothing => InBase::Entry(None),
            // Whatever is taken could be what nobody meant: whoever merges has to say.
            Base::Unknown => InBase::Unclear,
            Base::Tree(tree) => InBase::Entry(self.module_at(*tree, path)),
            Base::Merged { one, other, base } => {
                let (one, other) = (self.in_base(one, path), self.in_base(other, path));
                if one == other {
                    return one;
                }
                let base = self.in_base(base, path);
                match (base == one, base == other) {
                    _ if base == InBase::Unclear => InBase::Unclear,
                    (true, _) => other,
                    (_, true) => one,
                    (false, false) => InBase::Unclear,
                }
            }
        }
    }

    fn module_at(&self, tree: Hash, path: &[String]) -> Option<Hash> {
        match self.entry(tree, path) {
            Some(Entry::Module(hash)) => Some(hash),
            Some(Entry::Folder(_)) | None => None,
        }
    }

    /// Returns the changes that make the merged tree out of ours.
    fn three_way(
        &self,
        base: &Base,
        ours: &CommitPlace,
        theirs: &CommitPlace,
        resolutions: &BTreeMap<Vec<String>, Take>,
    ) -> Result<Vec<PathChange>, MergeError> {
        let differences = self.changed_paths(Some(ours.tree), Some(theirs.tree)).map_err(MergeError::Tree)?;
        let mut sides = Sides::default();
        for PathDiff { path, old, new } in differences {
            let base = self.in_base(base, &path);
            let outcome = match base {
                InBase::Entry(base) if base == old => Some(new),
                InBase::Entry(base) if base == new => Some(old),
                InBase::Entry(_) | InBase::Unclear => None,
            };
            let base = match base {
                InBase::Entry(base) => base,
                InBase::Unclear => None,
            };
            sides.add(path, Side { base, ours: old, theirs: new, outcome, in_the_way: None });
        }
        sides.find_obstacles();
        for (path, take) in resolutions {
            if !sides.resolve(path, take) {
                return Err(MergeError::NotInConflict { path: path.join("/") });
            }
        }
        // What was resolved may stand in the way of something else.
        sides.find_obstacles();
        let conflicts = sides.conflicts();
        if !conflicts.is_empty() {
            let total = conflicts.len() as u32;
            let conflicts: Vec<Conflict> = conflicts.into_iter().take(MAX_CONFLICTS_SHOWN).collect();
            return Err(MergeError::Conflicts { conflicts, total });
        }
        let change = |(path, module): (Vec<String>, Option<Hash>)| PathChange {
            path: ModulePath::of_segments(path),
            target: Target::Put(module.map(Entry::Module)),
        };
        Ok(sides.changes().into_iter().map(change).collect())
    }

    fn apply_merge(&mut self, request: Request, actor: Actor) -> Result<Merged, MergeError> {
        let plan = self.plan_merge(&request)?;
        let Request { into, from, note, .. } = request;
        match plan {
            Plan::UpToDate { head } => Ok(Merged::UpToDate { head }),
            Plan::FastForward { previous, head } => {
                self.revive(&head);
                self.move_head(&into, Some(head), MovedBy::FastForward, actor);
                Ok(Merged::FastForward { previous, head })
            }
            Plan::Commit { parents: [ours, theirs], prepared } => {
                self.revive(&theirs);
                let source = match from {
                    Revision::Branch(branch) => branch,
                    Revision::Commit(id) => id.to_string(),
                };
                let message = note.message.unwrap_or_else(|| format!("Merge {source}"));
                let note = CommitNote { message, author_name: note.author_name, by: MovedBy::Merge };
                Ok(Merged::Commit(self.store_commit(&into, vec![ours, theirs], prepared, note, actor)))
            }
        }
    }
}

impl From<Unprepared> for MergeError {
    fn from(error: Unprepared) -> Self {
        match error {
            Unprepared::Tree(error) => Self::Tree(error),
            Unprepared::UnknownPath { path } => Self::NotInConflict { path },
        }
    }
}

#[cfg(test)]
mod tests;
