//! The catalog against a model of a branch: a map of paths to modules.

use std::collections::BTreeMap;

use depot_types::{
    Hash,
    catalog::{Change, CommitError, FindArgs, FindError},
};
use proptest::prelude::*;

use crate::test_fixtures::{Fixture, remove, set};

/// Paths to modules, by segments.
type Model = BTreeMap<Vec<String>, Hash>;

/// Paths of few short segments, so that they meet often.
fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[ab]", Just("a.b".to_string())], 1..4).prop_map(|segments| segments.join("/"))
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        3 => (paths(), 0..4u64).prop_map(|(path, number)| set(&path, number)),
        1 => paths().prop_map(|path| remove(&path)),
    ];
    prop::collection::vec(change, 1..4)
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').map(str::to_string).collect()
}

fn is_below(path: &[String], folder: &[String]) -> bool {
    path.len() > folder.len() && path.starts_with(folder)
}

/// Applies changes to the model; nothing when the catalog has to refuse them.
fn apply(model: &Model, changes: &[Change]) -> Option<Model> {
    let path_of = |change: &Change| match change {
        Change::Set { path, .. } | Change::Remove { path } => segments(path),
    };
    for (index, change) in changes.iter().enumerate() {
        for other in &changes[index + 1..] {
            let (one, other) = (path_of(change), path_of(other));
            if one.starts_with(&other) || other.starts_with(&one) {
                return None;
            }
        }
    }
    let mut after = model.clone();
    for change in changes {
        let path = path_of(change);
        match change {
            Change::Set { module_hash, .. } => {
                // In the way is only what was there before: changes of one commit do not touch each other.
                if model.keys().any(|other| is_below(other, &path) || is_below(&path, other)) {
                    return None;
                }
                after.insert(path, *module_hash);
            }
            Change::Remove { .. } => {
                let before = after.len();
                after.retain(|other, _| *other != path && !is_below(other, &path));
                if after.len() == before {
                    return None;
                }
            }
        }
    }
    Some(after)
}

/// Makes the content of the model in one commit of a new catalog and returns the id of its tree.
fn tree_in_one_commit(model: &Model) -> Option<Hash> {
    let changes: Vec<Change> = model
        .iter()
        .map(|(path, module_hash)| Change::Set { path: path.join("/"), module_hash: *module_hash })
        .collect();
    if changes.is_empty() { None } else { Some(Fixture::new().commit(&changes).unwrap().tree) }
}

fn check_find(fixture: &Fixture, model: &Model, path: String) {
    let key = segments(&path);
    let found = fixture.state.borrow().find(&FindArgs { branch: None, path: path.clone() });
    match model.get(&key) {
        Some(module) => assert_eq!(found.map(|found| found.module_hash), Ok(*module)),
        None if model.keys().any(|other| is_below(other, &key)) => {
            assert_eq!(found, Err(FindError::IsFolder { path }));
        }
        None => assert_eq!(found, Err(FindError::NotFound { path })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn should_agree_with_a_map_of_paths(commits in prop::collection::vec(changes(), 1..12), asked in prop::collection::vec(paths(), 8)) {
        let fixture = Fixture::new();
        let mut model = Model::new();
        for changes in commits {
            let head = fixture.head();
            let outcome = fixture.commit(&changes);
            match apply(&model, &changes) {
                None => {
                    let refused = matches!(
                        outcome,
                        Err(CommitError::OverlappingChanges { .. }
                            | CommitError::PathConflict { .. }
                            | CommitError::UnknownPath { .. })
                    );
                    prop_assert!(refused, "{outcome:?}");
                    prop_assert_eq!(fixture.head(), head);
                }
                Some(after) if after == model => {
                    prop_assert_eq!(outcome, Err(CommitError::NothingChanged));
                    prop_assert_eq!(fixture.head(), head);
                }
                Some(after) => {
                    let commit = outcome.unwrap();
                    prop_assert_eq!(commit.parents, Vec::from_iter(head));
                    prop_assert_eq!(fixture.head(), Some(commit.id));
                    if let Some(tree) = tree_in_one_commit(&after) {
                        prop_assert_eq!(commit.tree, tree, "the same content has the same tree");
                    }
                    model = after;
                }
            }
            for path in asked.iter().cloned().chain(model.keys().map(|path| path.join("/"))) {
                check_find(&fixture, &model, path);
            }
        }
    }
}
