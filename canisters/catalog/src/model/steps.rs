//! What happens to the catalog in a random history.

use depot_types::catalog::Change;
use proptest::prelude::*;

use super::{MODULES, NAMES};
use crate::test_fixtures::{module, remove, set};

/// Something that happens. Branches are numbers of their names.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit { branch: usize, changes: Vec<Change>, create: bool },
    Branch { from: prop::sample::Index },
    Delete { branch: usize },
    Rename { branch: usize, name: usize },
    Default { branch: usize },
    Publish { version: u64, number: u64 },
    Merge { into: usize, from: usize, ours: bool },
    Rollback { branch: usize, path: Option<String>, count: u32, revert: bool },
    Restore { branch: usize, from: prop::sample::Index, path: Option<String>, revert: bool },
    Collect { squash: Option<usize>, whole: bool },
    Upgrade,
    Move,
}

/// Paths of few short segments, so that they meet often; `f` begins a node of its own in a folder.
pub(super) fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[abf]", Just("a.b".to_string())], 1..4).prop_map(|segments| segments.join("/"))
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        6 => (paths(), 0..MODULES).prop_map(|(path, number)| set(&path, number)),
        2 => paths().prop_map(|path| remove(&path)),
        1 => (0..MODULES).prop_map(|number| Change::RemoveModule { module_hash: module(number) }),
    ];
    prop::collection::vec(change, 1..4)
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let branch = || 0..NAMES.len();
    let path = || prop::option::of(paths());
    prop_oneof![
        16 => (branch(), changes(), prop::bool::weighted(0.3))
            .prop_map(|(branch, changes, create)| Step::Commit { branch, changes, create }),
        4 => any::<prop::sample::Index>().prop_map(|from| Step::Branch { from }),
        2 => branch().prop_map(|branch| Step::Delete { branch }),
        1 => (branch(), branch()).prop_map(|(branch, name)| Step::Rename { branch, name }),
        1 => branch().prop_map(|branch| Step::Default { branch }),
        2 => (0..6u64, 0..2 * MODULES).prop_map(|(version, number)| Step::Publish { version, number }),
        10 => (branch(), branch(), any::<bool>()).prop_map(|(into, from, ours)| Step::Merge { into, from, ours }),
        4 => (branch(), path(), 1..4u32, any::<bool>())
            .prop_map(|(branch, path, count, revert)| Step::Rollback { branch, path, count, revert }),
        4 => (branch(), any::<prop::sample::Index>(), path(), any::<bool>())
            .prop_map(|(branch, from, path, revert)| Step::Restore { branch, from, path, revert }),
        4 => (prop::option::weighted(0.3, branch()), any::<bool>())
            .prop_map(|(squash, whole)| Step::Collect { squash, whole }),
        2 => Just(Step::Upgrade),
        1 => Just(Step::Move),
    ]
}
