//! Reading the changes of a commit.

use std::collections::BTreeSet;

use depot_types::{
    Hash,
    catalog::{Change, CommitError},
    limits::{MAX_CHANGES_PER_COMMIT, MAX_PATH_BYTES},
    path::ModulePath,
};

use crate::text::excerpt;

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathChange {
    pub(crate) path: ModulePath,
    /// The module that the path names from now on; none when the path, or all below it, goes away.
    pub(crate) module: Option<Hash>,
}

/// Reads changes into the order of their paths, in which no change lies below another one.
pub(crate) fn read_changes(changes: &[Change]) -> Result<Vec<PathChange>, CommitError> {
    if changes.is_empty() {
        return Err(CommitError::NoChanges);
    }
    if changes.len() > MAX_CHANGES_PER_COMMIT {
        return Err(CommitError::TooManyChanges { count: changes.len() as u32, max: MAX_CHANGES_PER_COMMIT as u32 });
    }
    let mut read = changes.iter().map(read_change).collect::<Result<Vec<_>, _>>()?;
    read.sort_by(|one, other| one.path.cmp(&other.path));
    // Paths are ordered by segments, so what lies below a path follows it directly.
    for pair in read.windows(2) {
        if let [first, second] = pair
            && second.path.segments().starts_with(first.path.segments())
        {
            return Err(CommitError::OverlappingChanges {
                first: first.path.to_string(),
                second: second.path.to_string(),
            });
        }
    }
    Ok(read)
}

/// Returns the modules that changes name, each once.
pub(crate) fn modules_of(changes: &[PathChange]) -> BTreeSet<Hash> {
    changes.iter().filter_map(|change| change.module).collect()
}

fn read_change(change: &Change) -> Result<PathChange, CommitError> {
    let (text, module) = match change {
        Change::Set { path, module_hash } => (path, Some(*module_hash)),
        Change::Remove { path } => (path, None),
    };
    match ModulePath::parse(text) {
        Ok(path) => Ok(PathChange { path, module }),
        Err(reason) => Err(CommitError::InvalidPath { path: excerpt(text, MAX_PATH_BYTES), reason }),
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
        let read: Vec<(String, Option<Hash>)> =
            changes.iter().map(|change| (change.path.to_string(), change.module)).collect();
        // Bytewise `a.b` comes before `a/c`, but `a` comes before `a.b`.
        let expected = [("a/c", Some(module(2))), ("a.b", Some(module(1))), ("b/c", None)];
        assert_eq!(read, expected.map(|(path, module)| (path.to_string(), module)));
        assert_eq!(modules_of(&changes), BTreeSet::from([module(1), module(2)]));
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
        assert_eq!(read_changes(&changes).unwrap().len(), MAX_CHANGES_PER_COMMIT);
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
