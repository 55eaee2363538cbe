//! Reading the changes of a commit.

use std::collections::BTreeSet;

use depot_types::{
    Hash,
    catalog::{Change, CommitError},
    limits::{MAX_CHANGES_PER_COMMIT, MAX_PATH_BYTES},
    path::ModulePath,
};

use crate::{
    text::excerpt,
    trees::{PathChange, Target},
};

/// The changes of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// By path, in the order of paths, in which no change lies below another one.
    pub(crate) paths: Vec<PathChange>,
    /// Modules to be removed from all paths that name them.
    pub(crate) removed_modules: BTreeSet<Hash>,
}

/// Reads changes.
pub(crate) fn read_changes(changes: &[Change]) -> Result<Changes, CommitError> {
    if changes.is_empty() {
        return Err(CommitError::NoChanges);
    }
    if changes.len() > MAX_CHANGES_PER_COMMIT {
        return Err(CommitError::TooManyChanges { count: changes.len() as u32, max: MAX_CHANGES_PER_COMMIT as u32 });
    }
    let mut read = Changes::default();
    for change in changes {
        let (path, target) = match change {
            Change::Set { path, module_hash } => (path, Target::Set(*module_hash)),
            Change::Remove { path } => (path, Target::Remove),
            Change::RemoveModule { module_hash } => {
                read.removed_modules.insert(*module_hash);
                continue;
            }
        };
        let path = ModulePath::parse(path)
            .map_err(|reason| CommitError::InvalidPath { path: excerpt(path, MAX_PATH_BYTES), reason })?;
        read.paths.push(PathChange { path, target });
    }
    sort_apart(&mut read.paths)?;
    Ok(read)
}

/// Sorts changes by path; none may lie below another one.
pub(crate) fn sort_apart(changes: &mut [PathChange]) -> Result<(), CommitError> {
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    // Paths are ordered by segments, so what lies below a path follows it directly.
    for pair in changes.windows(2) {
        if let [first, second] = pair
            && second.path.segments().starts_with(first.path.segments())
        {
            return Err(CommitError::OverlappingChanges {
                first: first.path.to_string(),
                second: second.path.to_string(),
            });
        }
    }
    Ok(())
}

impl Changes {
    /// Returns the modules that the changes name, each once.
    pub(crate) fn modules(&self) -> BTreeSet<Hash> {
        self.paths
            .iter()
            .filter_map(|change| match change.target {
                Target::Set(hash) => Some(hash),
                Target::Remove | Target::Put(_) => None,
            })
            .collect()
    }

    /// Tells whether a change concerns a path: this one, or one that it lies below.
    pub(crate) fn concern(&self, path: &[String]) -> bool {
        self.paths.iter().any(|change| path.starts_with(change.path.segments()))
    }
}

#[cfg(test)]
mod tests {
    use depot_types::path::PathError;

    use super::*;
    use crate::test_fixtures::{module, remove, set};

    #[test]
    fn should_order_changes_by_segments() {
        let changes = read_changes(&[set("/a.b", 1), remove("b//c/"), set("a/c", 2)]).unwrap();
        let read: Vec<(String, Target)> =
            changes.paths.iter().map(|change| (change.path.to_string(), change.target)).collect();
        // Bytewise `a.b` comes before `a/c`, but `a` comes before `a.b`.
        let expected = [("a/c", Target::Set(module(2))), ("a.b", Target::Set(module(1))), ("b/c", Target::Remove)];
        assert_eq!(read, expected.map(|(path, target)| (path.to_string(), target)));
        assert_eq!(changes.modules(), BTreeSet::from([module(1), module(2)]));
    }

    #[test]
    fn should_find_changes_that_overlap() {
        for (one, other, first, second) in [
            (set("a", 1), set("/a/", 1), "a", "a"),
            (set("a/b/c", 1), remove("a"), "a", "a/b/c"),
            (remove("a/b"), remove("a/b/c/d"), "a/b", "a/b/c/d"),
        ] {
            let between = [set("a.x", 1), one, set("0", 1), other];
            let expected = CommitError::OverlappingChanges { first: first.to_string(), second: second.to_string() };
            assert_eq!(read_changes(&between), Err(expected));
        }
        assert!(read_changes(&[set("a", 1), set("ab", 1), set("a.b/c", 1)]).is_ok());
    }

    #[test]
    fn should_hold_the_number_of_changes_at_and_one_past() {
        assert_eq!(read_changes(&[]), Err(CommitError::NoChanges));
        let mut changes: Vec<Change> = (0..MAX_CHANGES_PER_COMMIT).map(|number| set(&number.to_string(), 1)).collect();
        assert_eq!(read_changes(&changes).unwrap().paths.len(), MAX_CHANGES_PER_COMMIT);
        changes.push(set("one more", 1));
        let expected = CommitError::TooManyChanges { count: 101, max: 100 };
        assert_eq!(read_changes(&changes), Err(expected));
    }

    #[test]
    fn should_name_the_path_that_breaks_a_rule() {
        let expected =
            CommitError::InvalidPath { path: "a/..".to_string(), reason: PathError::DotSegment { segment: 1 } };
        assert_eq!(read_changes(&[set("b", 1), remove("a/..")]), Err(expected));
        let long = "x/".repeat(MAX_PATH_BYTES);
        let Err(CommitError::InvalidPath { path, reason: PathError::TooLong { .. } }) = read_changes(&[remove(&long)])
        else {
            panic!("a path of {} bytes is accepted", long.len());
        };
        assert_eq!(path, long[..MAX_PATH_BYTES]);
    }
}
