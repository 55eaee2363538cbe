//! Taking changes back, and bringing back what was there.

use depot_types::catalog::{LogArgs, QueryError, UndoError};

use super::*;

impl World {
    fn log(&self) -> Vec<Hash> {
        let page = self.catalog().log(LogArgs::default()).unwrap().unwrap();
        page.commits.into_iter().map(|commit| commit.id).collect()
    }
}

/// Rows 14, 19: the snapshot of a branch, and bringing it back as a whole.
#[test]
fn should_restore_a_whole_tree() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("p", 0), world.set("d/x", 0)]).id;
    let second = world.commit("main", &[world.set("p", 1), remove("d")]).id;
    let catalog = world.catalog();
    assert_eq!(catalog.snapshot(None).unwrap(), Ok(second));
    let change = catalog.restore(restore(first, None, false)).unwrap().unwrap();
    assert_eq!((change.previous, change.head, change.commit), (Some(second), Some(first), None));
    assert_eq!((catalog.snapshot(None).unwrap(), world.log()), (Ok(first), vec![first]));
    assert_eq!(world.found("main", "d/x"), Some(world.modules[0]));
    assert!(catalog.commit_info(second).unwrap().is_some(), "what came after is there by its id until it is collected");
    assert_eq!(catalog.restore(restore(second, None, false)).unwrap().unwrap().head, Some(second));
    let commit = catalog.restore(restore(first, None, true)).unwrap().unwrap().commit.unwrap();
    assert_eq!((commit.parents, world.log()), (vec![second], vec![commit.id, second, first]));
    assert_eq!(world.found("main", "p"), Some(world.modules[0]));
    // Whatever branch it came from.
    let other = world.commit("other", &[world.set("q", 1)]).id;
    assert_eq!(catalog.restore(restore(other, None, false)).unwrap().unwrap().head, Some(other));
    assert_eq!(world.list("main", ""), ["q"]);
    let unknown = UndoError::UnknownCommit { commit: world.modules[0] };
    assert_eq!(catalog.restore(restore(world.modules[0], None, false)).unwrap(), Err(unknown));
}

/// Row 20: bringing back a path or a folder, on top of the head.
#[test]
fn should_restore_a_path_or_a_folder() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("p", 0), world.set("d/x", 0)]).id;
    let second = world.commit("main", &[world.set("p", 1), remove("d"), world.set("new", 1)]).id;
    let restored = |path: &str, from| world.catalog().restore(restore(from, Some(path), false)).unwrap();
    let commit = restored("d", first).unwrap().commit.unwrap();
    assert_eq!((commit.parents.as_slice(), commit.message.as_str()), (&[second][..], "Restore /d"));
    assert_eq!(world.log(), [commit.id, second, first], "nothing that came after drops out of the log");
    assert_eq!(world.list("main", ""), ["d/x", "new", "p"]);
    assert_eq!(world.found("main", "p"), Some(world.modules[1]), "the rest stays as it is");
    restored("p", first).unwrap();
    assert_eq!(world.found("main", "p"), Some(world.modules[0]));
    restored("new", first).unwrap();
    assert_eq!(world.list("main", ""), ["d/x", "p"], "what was not there goes away");
    assert_eq!(restored("new", first), Err(UndoError::NothingChanged));
}

/// Row 21: a path gets what it was before its last changes.
#[test]
fn should_roll_back_a_path() {
    let world = World::new(3);
    let commits = [0, 1, 2].map(|module| world.commit("main", &[world.set("p", module), world.set("d/x", module)]).id);
    let rolled = |path: &str, count| world.catalog().rollback(rollback(Some(path), count, false)).unwrap();
    let commit = rolled("p", 1).unwrap().commit.unwrap();
    assert_eq!((commit.parents.as_slice(), commit.message.as_str()), (&commits[2..], "Rollback /p"));
    assert_eq!(world.found("main", "p"), Some(world.modules[1]));
    assert_eq!(world.found("main", "d/x"), Some(world.modules[2]), "the rest stays as it is");
    // A folder, too; and that rollback was a change itself.
    rolled("d", 2).unwrap();
    assert_eq!(world.found("main", "d/x"), Some(world.modules[0]));
    assert_eq!(rolled("p", 5), Err(UndoError::TooFew { available: 4 }));
    rolled("p", 4).unwrap();
    assert_eq!(world.found("main", "p"), None, "before its first change there was nothing");
    assert_eq!(rolled("never", 1), Err(UndoError::UnknownPath { path: "never".to_string() }));
}

/// Row 22: a branch goes back by so many commits.
#[test]
fn should_roll_back_a_branch() {
    let world = World::new(3);
    let commits = [0, 1, 2].map(|module| world.commit("main", &[world.set("p", module)]).id);
    let catalog = world.catalog();
    let rolled = |count, revert| catalog.rollback(rollback(None, count, revert)).unwrap();
    let change = rolled(1, false).unwrap();
    assert_eq!((change.previous, change.head, change.commit), (Some(commits[2]), Some(commits[1]), None));
    assert_eq!((world.found("main", "p"), world.log()), (Some(world.modules[1]), vec![commits[1], commits[0]]));
    catalog.restore(restore(commits[2], None, false)).unwrap().unwrap();
    let commit = rolled(2, true).unwrap().commit.unwrap();
    assert_eq!((commit.parents, world.found("main", "p")), (vec![commits[2]], Some(world.modules[0])));
    assert_eq!(rolled(5, false), Err(UndoError::TooFew { available: 4 }));
    assert_eq!(rolled(4, false).unwrap().head, None);
    let empty = || "main".to_string();
    assert_eq!(catalog.snapshot(None).unwrap(), Err(QueryError::EmptyBranch { branch: empty() }));
    assert_eq!(rolled(1, false), Err(UndoError::EmptyBranch { branch: empty() }));
    assert_eq!(world.list("main", ""), Vec::<String>::new());
}
