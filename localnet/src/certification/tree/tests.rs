//! Tests of trees: their shape, and that witnesses prove what the whole tree says.

use std::collections::BTreeMap;

use ic_certification::{HashTree, LookupResult, SubtreeLookupResult};
use proptest::{collection, prelude::*};

use super::*;

fn whole(tree: &Tree) -> HashTree {
    tree.witness(&Selection::Whole)
}

fn path(labels: &[&str]) -> Vec<Vec<u8>> {
    labels.iter().map(|label| label.as_bytes().to_vec()).collect()
}

fn select(paths: &[Vec<Vec<u8>>]) -> Selection {
    Selection::of(paths.iter().map(Vec::as_slice))
}

/// Returns a node with children `00` to one below the number.
fn numbered(children: usize) -> Tree {
    Tree::branch((0..children).map(|number| (format!("{number:02}"), Tree::leaf(vec![number as u8]))))
}

#[test]
fn should_join_children_from_left_to_right() {
    let child = |number: u8| labeled(format!("{number:02}"), leaf(vec![number]));
    assert_eq!(whole(&numbered(0)), empty());
    assert_eq!(whole(&numbered(1)), child(0));
    assert_eq!(whole(&numbered(2)), fork(child(0), child(1)));
    assert_eq!(whole(&numbered(3)), fork(fork(child(0), child(1)), child(2)));
    let four = fork(fork(child(0), child(1)), fork(child(2), child(3)));
    assert_eq!(whole(&numbered(7)), fork(four, fork(fork(child(4), child(5)), child(6))));
}

#[test]
fn should_hash_as_the_library_does() {
    for children in 0..20 {
        let tree = Tree::branch([("a", numbered(children)), ("b", Tree::leaf("bytes"))]);
        assert_eq!(tree.digest(), whole(&tree).digest(), "{children}");
    }
}

#[test]
fn should_prune_everything_else() {
    let tree = numbered(4);
    let shown = tree.witness(&select(&[path(&["02"])]));
    let child = |number: u8| labeled(format!("{number:02}"), leaf(vec![number]));
    let left = fork(child(0), child(1)).digest();
    assert_eq!(shown, fork(pruned(left), fork(child(2), pruned(child(3).digest()))));
}

#[test]
fn should_prove_absence_by_the_neighbours() {
    let tree = numbered(9);
    for missing in ["/", "00x", "03x", "99", ""] {
        let shown = tree.witness(&select(&[path(&[missing])]));
        assert_eq!(shown.lookup_path([missing]), LookupResult::Absent, "{missing}");
        assert!(shown.list_paths().is_empty(), "no value is shown for {missing}");
        assert_eq!(shown.digest(), tree.digest());
    }
    let nothing = Tree::branch::<&str>([]);
    assert_eq!(nothing.witness(&select(&[path(&["x"])])).lookup_path(["x"]), LookupResult::Absent);
}

#[test]
fn should_show_a_neighbour_that_is_asked_for_itself() {
    let tree = numbered(9);
    let shown = tree.witness(&select(&[path(&["03"]), path(&["03x"]), path(&["04"])]));
    assert_eq!(shown.lookup_path(["03"]), LookupResult::Found(&[3]));
    assert_eq!(shown.lookup_path(["03x"]), LookupResult::Absent);
    assert_eq!(shown.lookup_path(["04"]), LookupResult::Found(&[4]));
    assert_eq!(shown.lookup_path(["05"]), LookupResult::Unknown);
}

#[test]
fn should_keep_what_is_below_a_leaf_and_in_sealed_trees_unknown() {
    let tree = Tree::branch([("leaf", Tree::leaf("x")), ("sealed", Tree::Sealed(numbered(3).digest()))]);
    let shown = tree.witness(&select(&[path(&["leaf", "more"]), path(&["sealed", "00"])]));
    assert_eq!(shown.lookup_path(["leaf", "more"]), LookupResult::Unknown);
    assert_eq!(shown.lookup_path(["sealed", "00"]), LookupResult::Unknown);
    assert_eq!(shown.digest(), Tree::branch([("leaf", Tree::leaf("x")), ("sealed", numbered(3))]).digest());
}

#[test]
fn should_let_a_shorter_path_win() {
    let selected = select(&[path(&["a", "b", "c"]), path(&["a"]), path(&["a", "d"])]);
    assert_eq!(selected, Selection::Within(BTreeMap::from([(b"a".to_vec(), Selection::Whole)])));
    assert_eq!(select(&[path(&["a"]), path(&[])]), Selection::Whole);
    assert!(selected.touches(b"a") && !selected.touches(b"b") && Selection::Whole.touches(b"b"));
}

#[test]
fn should_prune_all_when_nothing_is_selected() {
    let tree = numbered(3);
    assert_eq!(tree.witness(&select(&[])), pruned(tree.digest()));
}

/// Labels that are often prefixes and neighbours of each other.
fn any_label() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x61), Just(0xff)], 0..3)
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = collection::vec(any::<u8>(), 0..5).prop_map(Tree::leaf);
    leaf.prop_recursive(4, 64, 9, |child| collection::vec((any_label(), child), 0..9).prop_map(Tree::branch))
}

fn any_paths() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    collection::vec(collection::vec(any_label(), 1..5), 0..6)
}

proptest! {
    #[test]
    fn should_prove_of_the_selected_paths_what_the_whole_tree_says(tree in any_tree(), paths in any_paths()) {
        let (all, shown) = (whole(&tree), tree.witness(&select(&paths)));
        prop_assert_eq!(all.digest(), tree.digest());
        prop_assert_eq!(shown.digest(), tree.digest());
        for path in &paths {
            match (all.lookup_subtree(path), shown.lookup_subtree(path)) {
                // Below a leaf nothing is said.
                (SubtreeLookupResult::Absent, SubtreeLookupResult::Unknown) => {
                    let above = (1..path.len()).map(|length| all.lookup_path(&path[..length]));
                    prop_assert!(above.into_iter().any(|found| matches!(found, LookupResult::Found(_)))
                        || matches!(tree, Tree::Leaf(..)));
                }
                (expected, proven) => prop_assert_eq!(expected, proven),
            }
        }
    }

    #[test]
    fn should_never_prove_what_the_whole_tree_denies(tree in any_tree(), paths in any_paths(), others in any_paths()) {
        let (all, shown) = (whole(&tree), tree.witness(&select(&paths)));
        for other in &others {
            match shown.lookup_path(other) {
                LookupResult::Found(bytes) => prop_assert_eq!(all.lookup_path(other), LookupResult::Found(bytes)),
                LookupResult::Absent => prop_assert_eq!(all.lookup_path(other), LookupResult::Absent),
                LookupResult::Unknown | LookupResult::Error => {}
            }
        }
    }

    #[test]
    fn should_update_forks_to_what_new_ones_would_be(
        steps in collection::vec((0_usize..20, collection::vec(0_u8..4, 0..20)), 1..5),
    ) {
        let mut forks = Forks::default();
        let mut all: Vec<Digest> = Vec::new();
        for (kept, children) in steps {
            all.truncate(kept);
            let first = all.len();
            all.extend(children.iter().map(|byte| [*byte; 32]));
            forks.update(first, all[first..].to_vec());
            prop_assert_eq!(&forks.levels, &Forks::new(all.clone()).levels);
        }
    }
}
