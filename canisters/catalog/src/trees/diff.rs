//! Comparing two folders.

use std::ops::ControlFlow;

use depot_types::{Hash, objects::Entry};

use super::{
    Nodes,
    cursor::{Cursor, Item},
};

/// A path that names another module, or one more or less, on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathDiff {
    pub(crate) path: Vec<String>,
    pub(crate) old: Option<Hash>,
    pub(crate) new: Option<Hash>,
}

/// Calls `found` for each path that does not name the same module in both folders, in the order of paths, until it
/// breaks. What both folders share is not read.
///
/// `after`, segments of a path that need not exist, lets the comparison start behind that path.
pub(crate) fn diff<N: Nodes>(
    nodes: &N,
    old: Option<Hash>,
    new: Option<Hash>,
    after: Option<&[String]>,
    found: &mut impl FnMut(PathDiff) -> ControlFlow<()>,
) -> ControlFlow<()> {
    diff_below(nodes, old, new, &mut vec![], after, found)
}

fn diff_below<N: Nodes>(
    nodes: &N,
    old: Option<Hash>,
    new: Option<Hash>,
    path: &mut Vec<String>,
    after: Option<&[String]>,
    found: &mut impl FnMut(PathDiff) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if old == new {
        return ControlFlow::Continue(());
    }
    let (mut old, mut new) = (Cursor::new(nodes, old), Cursor::new(nodes, new));
    let mut after = after.and_then(<[String]>::split_first);
    if let Some((name, _)) = after {
        old.seek(name);
        new.seek(name);
    }
    while let Some(step) = next_step(&old, &new) {
        match step {
            Step::Same => {
                old.advance();
                new.advance();
            }
            Step::Enter { old: enter_old, new: enter_new } => {
                if enter_old {
                    old.enter();
                }
                if enter_new {
                    new.enter();
                }
            }
            Step::Name { name, old: before, new: now } => {
                let behind = after.take().filter(|(first, _)| **first == name).map(|(_, rest)| rest);
                if before.is_some() {
                    old.advance();
                }
                if now.is_some() {
                    new.advance();
                }
                path.push(name);
                let flow = diff_entry(nodes, before, now, path, behind, found);
                path.pop();
                flow?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// Compares what a name stands for; `behind` are the segments below the name that the comparison starts behind.
fn diff_entry<N: Nodes>(
    nodes: &N,
    old: Option<Entry>,
    new: Option<Entry>,
    path: &mut Vec<String>,
    behind: Option<&[String]>,
    found: &mut impl FnMut(PathDiff) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let module = |entry| match entry {
        Some(Entry::Module(hash)) => Some(hash),
        Some(Entry::Folder(_)) | None => None,
    };
    let folder = |entry| match entry {
        Some(Entry::Folder(id)) => Some(id),
        Some(Entry::Module(_)) | None => None,
    };
    if behind.is_none() && module(old) != module(new) {
        found(PathDiff { path: path.clone(), old: module(old), new: module(new) })?;
    }
    diff_below(nodes, folder(old), folder(new), path, behind.filter(|rest| !rest.is_empty()), found)
}

enum Step {
    /// Both stand at the same node.
    Same,
    /// Nodes have to be entered.
    Enter { old: bool, new: bool },
    /// The next name, and what it stands for on each side.
    Name { name: String, old: Option<Entry>, new: Option<Entry> },
}

fn next_step<N: Nodes>(old: &Cursor<'_, N>, new: &Cursor<'_, N>) -> Option<Step> {
    let name = |name: &str, old, new| Some(Step::Name { name: name.to_string(), old, new });
    let enter = |old, new| Some(Step::Enter { old, new });
    match (old.item(), new.item()) {
        (None, None) => None,
        (Some(Item::Node(one, _)), Some(Item::Node(other, _))) if one.id == other.id => Some(Step::Same),
        (Some(Item::Node(_, one)), Some(Item::Node(_, other))) => enter(one >= other, other >= one),
        (Some(Item::Node(..)), None) => enter(true, false),
        (None, Some(Item::Node(..))) => enter(false, true),
        // A name before a node is on its side alone, and the node may still turn out to be shared.
        (Some(Item::Node(node, _)), Some(Item::Name(other, entry))) => {
            if other < node.first.as_str() {
                name(other, None, Some(entry))
            } else {
                enter(true, false)
            }
        }
        (Some(Item::Name(one, entry)), Some(Item::Node(node, _))) => {
            if one < node.first.as_str() {
                name(one, Some(entry), None)
            } else {
                enter(false, true)
            }
        }
        (Some(Item::Name(one, entry)), None) => name(one, Some(entry), None),
        (None, Some(Item::Name(other, entry))) => name(other, None, Some(entry)),
        (Some(Item::Name(one, old)), Some(Item::Name(other, new))) => match one.cmp(other) {
            std::cmp::Ordering::Less => name(one, Some(old), None),
            std::cmp::Ordering::Greater => name(other, None, Some(new)),
            std::cmp::Ordering::Equal => name(one, Some(old), Some(new)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        test_fixtures::{module, set},
        trees::MemoryNodes,
    };

    type Content = BTreeMap<Vec<String>, u64>;

    fn contents() -> impl Strategy<Value = (Content, Content)> {
        let path = (0..4u32, 0..120u32).prop_map(|(folder, number)| match folder {
            0 => vec![format!("m{number}")],
            1 => vec!["m1".to_string(), "x".to_string()],
            _ => vec![format!("f{folder}"), format!("{number}")],
        });
        let content = || prop::collection::btree_map(path.clone(), 0..3u64, 0..150);
        (content(), content(), any::<bool>()).prop_map(|(one, two, alike)| {
            let fixed = |mut content: Content| {
                if content.contains_key(&vec!["m1".to_string()]) {
                    content.remove(&vec!["m1".to_string(), "x".to_string()]);
                }
                content
            };
            let other = if alike { one.clone().into_iter().chain(two.into_iter().take(3)).collect() } else { two };
            (fixed(one), fixed(other))
        })
    }

    fn differences(nodes: &MemoryNodes, old: Option<Hash>, new: Option<Hash>, page: usize) -> Vec<PathDiff> {
        let mut all: Vec<PathDiff> = vec![];
        loop {
            let before = all.len();
            let after = all.last().map(|last: &PathDiff| last.path.clone());
            _ = diff(nodes, old, new, after.as_deref(), &mut |found| {
                all.push(found);
                if all.len() == before + page { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if all.len() == before {
                return all;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn should_find_what_maps_differ_in((one, other) in contents(), page in 1..40usize) {
            let mut nodes = MemoryNodes::default();
            let mut root_of = |content: &Content| {
                nodes.root = None;
                let changes: Vec<_> = content.iter().map(|(path, number)| set(&path.join("/"), *number)).collect();
                for part in changes.chunks(100) {
                    nodes.apply(part);
                }
                nodes.root
            };
            let (old, new) = (root_of(&one), root_of(&other));
            let paths: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).cloned().collect();
            let expected: Vec<PathDiff> = paths
                .into_iter()
                .map(|path| {
                    let of = |content: &Content| content.get(&path).map(|number| module(*number));
                    PathDiff { old: of(&one), new: of(&other), path }
                })
                .filter(|found| found.old != found.new)
                .collect();
            prop_assert_eq!(differences(&nodes, old, new, usize::MAX), expected.clone());
            prop_assert_eq!(differences(&nodes, old, new, page), expected);
        }
    }

    #[test]
    fn should_read_little_when_little_differs() {
        let mut nodes = MemoryNodes::default();
        for part in (0..5_000).collect::<Vec<u64>>().chunks(100) {
            nodes.apply(&part.iter().map(|number| set(&format!("f/{number}"), 1)).collect::<Vec<_>>());
        }
        let old = nodes.root;
        nodes.apply(&[set("f/77", 2), set("f/x", 1)]);
        nodes.reads.set(0);
        assert_eq!(differences(&nodes, old, nodes.root, 100).len(), 2);
        assert!(nodes.reads.get() < 100, "{} nodes were read", nodes.reads.get());
    }
}
