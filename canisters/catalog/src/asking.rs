//! Asking about the history: what is where, since when, by whom, and in what commits differ.
//!
//! Lists come in pages. A page's cursor holds the commit that the list is about and where it goes on, so the pages of a
//! list fit together however branches move meanwhile; it fails when the commit was collected.

mod log;
mod paths;

use std::ops::ControlFlow;

use depot_types::{
    Hash,
    catalog::{
        ContainsArgs, DiffArgs, DiffPage, ListArgs, ListCursor, ListPage, ListedModule, LookupArgs, PathDifference,
        PathEntry, PathInfo, PathsOfArgs, PathsPage, QueryError, Revision, Target,
    },
    limits::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES, MAX_PATH_BYTES},
    objects::Entry,
    path::ModulePath,
};
use ic_stable_structures::Memory;

use crate::{
    branches::NoRevision,
    history::{Path, module_path_key},
    limits::{MAX_LOOKED_AT, MAX_OBJECTS_PER_READ},
    state::State,
    text::excerpt,
    trees::{diff, list},
};

impl<M: Memory> State<M> {
    /// Returns what a path stands for.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn lookup(&self, args: &LookupArgs) -> Result<PathInfo, QueryError> {
        let commit = self.revision(args.at.as_ref())?;
        let segments = read_folder(&args.path)?;
        let place = self.place_of(&commit);
        let path = segments.join("/");
        let entry = self.entry(place.tree, &segments).ok_or_else(|| QueryError::NotFound { path: path.clone() })?;
        let last = if segments.is_empty() { None } else { self.last_change(&Path::new(&segments), place.place) };
        let changed_by = last.map(|last| self.commit_place(last.node.commit).id);
        Ok(PathInfo { path, entry: path_entry(entry), commit, changed_by })
    }

    /// Returns the commit that a branch is at: the default branch when none is named.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn snapshot(&self, branch: Option<String>) -> Result<Hash, QueryError> {
        Ok(self.revision(branch.map(Revision::Branch).as_ref())?)
    }

    /// Tells whether a path names a module, or a module has a path. Nothing is in a branch without commits.
    ///
    /// # Errors
    /// [`QueryError`]; [`QueryError::TooMany`] when a module had many paths, and none of the first [`MAX_LOOKED_AT`] of
    /// them names it: [`State::paths_of`] goes through all.
    pub fn contains(&self, args: &ContainsArgs) -> Result<bool, QueryError> {
        let commit = match self.revision(args.at.as_ref()) {
            Ok(commit) => commit,
            Err(NoRevision::EmptyBranch { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let tree = self.place_of(&commit).tree;
        Ok(match &args.target {
            Target::Path(path) => matches!(self.entry(tree, &read_path(path)?), Some(Entry::Module(_))),
            Target::Module(module) => {
                let mut paths = self.paths_ever_of(module, None);
                let found = paths.by_ref().take(MAX_LOOKED_AT).any(|path| self.names(tree, &path, module));
                if !found && paths.next().is_some() {
                    return Err(QueryError::TooMany { max: MAX_LOOKED_AT as u32 });
                }
                found
            }
        })
    }

    /// Lists modules below a folder, by path.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn list(&self, args: &ListArgs) -> Result<ListPage, QueryError> {
        let prefix = read_folder(args.prefix.as_deref().unwrap_or_default())?;
        let Some(Start { commit, after }) = self.start_of(args.at.as_ref(), args.after.as_ref())? else {
            return Ok(ListPage { commit: None, modules: vec![], next: None });
        };
        let (limit, mut modules) = (page(args.limit), vec![]);
        if let Some(Entry::Folder(folder)) = self.entry(self.place_of(&commit).tree, &prefix) {
            let after: Option<Vec<String>> = after.map(text).transpose()?.map(|path| segments_of(&path));
            let mut path = prefix.clone();
            _ = list(self, folder, &mut path, after.as_deref(), &mut |path, module_hash| {
                modules.push(ListedModule { path: path.join("/"), module_hash });
                if modules.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        let below = |path: &str| segments_of(path).split_off(prefix.len()).join("/");
        let next = cut(&mut modules, limit, |last| cursor(&commit, below(&last.path).as_bytes()));
        Ok(ListPage { commit: Some(commit), modules, next })
    }

    /// Lists the paths that name a module.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn paths_of(&self, args: &PathsOfArgs) -> Result<PathsPage, QueryError> {
        let Some(Start { commit, after }) = self.start_of(args.at.as_ref(), args.after.as_ref())? else {
            return Ok(PathsPage { commit: None, paths: vec![], next: None });
        };
        let tree = self.place_of(&commit).tree;
        let after = after.map(text).transpose()?;
        let (limit, mut paths, mut last) = (page(args.limit), vec![], None);
        let mut candidates = self.paths_ever_of(&args.module_hash, after.as_deref());
        for path in candidates.by_ref().take(MAX_LOOKED_AT) {
            if self.names(tree, &path, &args.module_hash) {
                paths.push(path.clone());
            }
            last = Some(path);
            if paths.len() == limit {
                break;
            }
        }
        let has_more = candidates.next().is_some();
        let next = last.filter(|_| has_more).map(|last| cursor(&commit, last.as_bytes()));
        Ok(PathsPage { commit: Some(commit), paths, next })
    }

    /// Lists the paths in which two commits differ.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn diff(&self, args: &DiffArgs) -> Result<DiffPage, QueryError> {
        let (from, to, after) = match &args.after {
            Some(after) => {
                let mut rest = after.as_slice();
                let from = match take::<1>(&mut rest)? {
                    [0] => None,
                    _ => Some(Hash::new(take(&mut rest)?)),
                };
                (from, Hash::new(take(&mut rest)?), Some(segments_of(&text(rest.to_vec())?)))
            }
            None => {
                let from = args.from.as_ref().map(|from| self.revision(Some(from))).transpose()?;
                (from, self.revision(Some(&args.to))?, None)
            }
        };
        let tree = |commit: &Hash| {
            let known = self.commit_number(commit).ok_or(QueryError::UnknownCommit { commit: *commit });
            known.map(|number| self.commit_place(number).tree)
        };
        let (old, new) = (from.as_ref().map(tree).transpose()?, tree(&to)?);
        let (limit, mut changes) = (page(args.limit), vec![]);
        _ = diff(self, old, Some(new), after.as_deref(), &mut |found| {
            changes.push(PathDifference { path: found.path.join("/"), old: found.old, new: found.new });
            if changes.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let next = cut(&mut changes, limit, |last| {
            let mut bytes = vec![u8::from(from.is_some())];
            from.iter().for_each(|from| bytes.extend_from_slice(from.as_bytes()));
            ListCursor::from([&bytes, to.as_bytes().as_slice(), last.path.as_bytes()].concat())
        });
        Ok(DiffPage { changes, next })
    }

    /// Returns the bytes of objects, at most [`MAX_OBJECTS_PER_READ`], in the order asked for.
    ///
    /// # Errors
    /// [`QueryError::TooMany`].
    pub fn objects(&self, ids: &[Hash]) -> Result<Vec<Option<serde_bytes::ByteBuf>>, QueryError> {
        if ids.len() > MAX_OBJECTS_PER_READ {
            return Err(QueryError::TooMany { max: MAX_OBJECTS_PER_READ as u32 });
        }
        Ok(ids.iter().map(|id| self.object(id).map(serde_bytes::ByteBuf::from)).collect())
    }

    /// Returns the paths that ever named a module, behind one of them, in bytewise order.
    pub(crate) fn paths_ever_of(&self, module: &Hash, after: Option<&str>) -> impl Iterator<Item = String> {
        let start = match after {
            Some(after) => std::ops::Bound::Excluded(module_path_key(module, after)),
            None => std::ops::Bound::Included(module_path_key(module, "")),
        };
        let module = *module;
        self.module_paths
            .keys_range((start, std::ops::Bound::Unbounded))
            .take_while(move |key| key.starts_with(module.as_bytes()))
            .map(|key| {
                let (_, path) = key.split_at(Hash::BYTES);
                String::from_utf8(path.to_vec()).expect("BUG: a stored path is not UTF-8")
            })
    }

    fn names(&self, tree: Hash, path: &str, module: &Hash) -> bool {
        self.entry(tree, &segments_of(path)) == Some(Entry::Module(*module))
    }

    /// Returns what a list is about: as its cursor says, or as it begins. An empty branch has nothing to list.
    fn start_of(&self, at: Option<&Revision>, after: Option<&ListCursor>) -> Result<Option<Start>, QueryError> {
        if let Some(after) = after {
            let mut rest = after.as_slice();
            let commit = Hash::new(take(&mut rest)?);
            self.commit_number(&commit).ok_or(QueryError::UnknownCommit { commit })?;
            return Ok(Some(Start { commit, after: Some(rest.to_vec()) }));
        }
        match self.revision(at) {
            Ok(commit) => Ok(Some(Start { commit, after: None })),
            Err(NoRevision::EmptyBranch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a list is about and where it goes on.
struct Start {
    commit: Hash,
    after: Option<Vec<u8>>,
}

/// Returns the entries of a page.
fn page(limit: Option<u32>) -> usize {
    limit.unwrap_or(DEFAULT_PAGE_ENTRIES).clamp(1, MAX_PAGE_ENTRIES) as usize
}

fn cursor(commit: &Hash, rest: &[u8]) -> ListCursor {
    ListCursor::from([commit.as_bytes().as_slice(), rest].concat())
}

/// Cuts a list that has one entry too many; returns the cursor behind its last entry, if it was cut.
fn cut<T>(entries: &mut Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> ListCursor) -> Option<ListCursor> {
    let is_cut = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| is_cut).map(cursor)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], QueryError> {
    let (taken, tail) = rest.split_first_chunk().ok_or(QueryError::InvalidCursor)?;
    *rest = tail;
    Ok(*taken)
}

fn text(bytes: Vec<u8>) -> Result<String, QueryError> {
    String::from_utf8(bytes).map_err(|_| QueryError::InvalidCursor)
}

fn segments_of(path: &str) -> Vec<String> {
    path.split('/').map(str::to_string).collect()
}

fn read_path(path: &str) -> Result<Vec<String>, QueryError> {
    match ModulePath::parse(path) {
        Ok(path) => Ok(path.segments().to_vec()),
        Err(reason) => Err(QueryError::InvalidPath { path: excerpt(path, MAX_PATH_BYTES), reason }),
    }
}

/// Reads the path of a folder: the top one has no segment.
fn read_folder(path: &str) -> Result<Vec<String>, QueryError> {
    if path.len() <= MAX_PATH_BYTES && path.bytes().all(|byte| byte == b'/') { Ok(vec![]) } else { read_path(path) }
}

pub(crate) fn path_entry(entry: Entry) -> PathEntry {
    match entry {
        Entry::Module(hash) => PathEntry::Module(hash),
        Entry::Folder(id) => PathEntry::Folder(id),
    }
}

#[cfg(test)]
mod tests;
