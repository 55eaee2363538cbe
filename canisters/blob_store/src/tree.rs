//! Hash trees of which parts are shown and the rest is known by its hash.

use ic_certification::{HashTree, fork, fork_hash, labeled, labeled_hash, leaf, leaf_hash, pruned};

use crate::storable::StoredHash;

/// A hash tree, as far as it is to be shown.
pub(crate) enum Tree {
    /// Only the hash is known.
    Hidden(StoredHash),
    /// At least some of it is shown.
    Shown(HashTree),
}

impl Tree {
    /// A leaf without content, shown or not.
    pub(crate) fn leaf(is_shown: bool) -> Self {
        if is_shown { Self::Shown(leaf(Vec::new())) } else { Self::Hidden(leaf_hash(&[])) }
    }

    /// A tree under a label, which is shown when the tree is.
    pub(crate) fn under(self, label: &[u8]) -> Self {
        match self {
            Self::Hidden(hash) => Self::Hidden(labeled_hash(label, &hash)),
            Self::Shown(tree) => Self::Shown(labeled(label, tree)),
        }
    }

    /// A tree under a label that is shown in any case.
    pub(crate) fn under_shown(self, label: &[u8]) -> Self {
        Self::Shown(labeled(label, self.into_hash_tree()))
    }

    /// Two trees side by side. The labels of the first one are all less than those of the second one.
    pub(crate) fn fork(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Hidden(left), Self::Hidden(right)) => Self::Hidden(fork_hash(&left, &right)),
            (left, right) => Self::Shown(fork(left.into_hash_tree(), right.into_hash_tree())),
        }
    }

    /// All of these side by side, ascending by label; `None` when there is none.
    pub(crate) fn join(mut trees: Vec<Self>) -> Option<Self> {
        if trees.len() > 1 {
            let right = trees.split_off(trees.len() / 2);
            return Some(Self::fork(Self::join(trees)?, Self::join(right)?));
        }
        trees.pop()
    }

    /// Returns the hash, the same whatever is shown.
    pub(crate) fn digest(&self) -> StoredHash {
        match self {
            Self::Hidden(hash) => *hash,
            Self::Shown(tree) => tree.digest(),
        }
    }

    pub(crate) fn into_hash_tree(self) -> HashTree {
        match self {
            Self::Hidden(hash) => pruned(hash),
            Self::Shown(tree) => tree,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_have_the_same_hash_whatever_is_shown() {
        let tree = |shown: [bool; 3]| {
            let leaves = [b"a", b"b", b"c"].into_iter().zip(shown);
            Tree::join(leaves.map(|(label, is_shown)| Tree::leaf(is_shown).under(label)).collect()).unwrap()
        };
        let hidden = tree([false; 3]);
        assert!(matches!(hidden, Tree::Hidden(_)));
        for shown in [[true; 3], [false, true, false], [true, false, true]] {
            let tree = tree(shown);
            assert_eq!(tree.digest(), hidden.digest());
            let tree = tree.into_hash_tree();
            for (label, is_shown) in [b"a", b"b", b"c"].into_iter().zip(shown) {
                let is_found = matches!(tree.lookup_path([label]), ic_certification::LookupResult::Found(_));
                assert_eq!(is_found, is_shown);
            }
        }
        assert!(Tree::join(vec![]).is_none());
    }
}
