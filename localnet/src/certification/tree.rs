//! Trees of labels as the Internet Computer hashes them, and partial trees that prove what is at single paths.
//!
//! The children of a node are sorted by label and joined by forks: neighbours are paired from left to right, an odd one
//! at the end is carried over, and the same is done with the pairs until one is left. The hashes of the forks are kept
//! ([`Forks`]), so that a change costs only the forks above it.

use std::collections::BTreeMap;

use ic_certification::{HashTree, empty, fork, labeled, leaf, pruned};
use sha2::{Digest as _, Sha256};

/// The hash of a tree.
pub(crate) type Digest = [u8; 32];

/// Domain separators; each is hashed with its length in front.
const EMPTY: &[u8] = b"ic-hashtree-empty";
const FORK: &[u8] = b"ic-hashtree-fork";
const LABELED: &[u8] = b"ic-hashtree-labeled";
const LEAF: &[u8] = b"ic-hashtree-leaf";

fn hash(domain: &[u8], parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([domain.len() as u8]);
    hasher.update(domain);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Returns the hash of a node with a label on its edge.
pub(super) fn labeled_digest(label: &[u8], child: &Digest) -> Digest {
    hash(LABELED, &[label, child])
}

/// The hashes of the children of a node, with their labels, and of the forks that join them.
#[derive(Clone, Debug, Default)]
pub(super) struct Forks {
    /// The children first, then each level of forks, up to the one that joins all.
    levels: Vec<Vec<Digest>>,
}

impl Forks {
    /// Joins children.
    pub(super) fn new(children: impl IntoIterator<Item = Digest>) -> Self {
        let mut forks = Self::default();
        forks.update(0, children);
        forks
    }

    /// Replaces the children from this number on. Only forks above changed places are hashed.
    pub(super) fn update(&mut self, first: usize, children: impl IntoIterator<Item = Digest>) {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        // Of each level: how many hashes at the front stay, and what was there after them.
        let mut kept = first.min(self.levels[0].len());
        let mut replaced = self.levels[0].split_off(kept);
        self.levels[0].extend(children);
        let mut level = 0;
        while self.levels[level].len() > 1 {
            if self.levels.len() == level + 1 {
                self.levels.push(Vec::new());
            }
            let (below, above) = self.levels.split_at_mut(level + 1);
            let (below, above) = (&below[level], &mut above[0]);
            let stayed = |index: usize| index < kept || replaced.get(index - kept) == below.get(index);
            let kept_above = kept / 2;
            let replaced_above = above.split_off(kept_above);
            for (index, pair) in (kept_above..).zip(below[2 * kept_above..].chunks(2)) {
                above.push(match pair {
                    [left, right] => match replaced_above.get(index - kept_above) {
                        Some(known) if stayed(2 * index) && stayed(2 * index + 1) => *known,
                        _ => hash(FORK, &[left, right]),
                    },
                    single => single[0],
                });
            }
            (kept, replaced) = (kept_above, replaced_above);
            level += 1;
        }
        self.levels.truncate(level + 1);
    }

    /// Returns the hash of all.
    pub(super) fn digest(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| hash(EMPTY, &[]))
    }

    /// Builds the tree in which the children with these numbers are shown as they are given, and all else is pruned.
    fn witness(&self, mut shown: BTreeMap<usize, HashTree>) -> HashTree {
        match self.levels.last() {
            Some(top) if !top.is_empty() => self.part(self.levels.len() - 1, 0, &mut shown),
            _ => empty(),
        }
    }

    fn part(&self, level: usize, index: usize, shown: &mut BTreeMap<usize, HashTree>) -> HashTree {
        if shown.range(index << level..(index + 1) << level).next().is_none() {
            return pruned(self.levels[level][index]);
        }
        if level == 0 {
            return shown.remove(&index).unwrap_or_else(empty);
        }
        let below = level - 1;
        let left = self.part(below, 2 * index, shown);
        if 2 * index + 1 < self.levels[below].len() { fork(left, self.part(below, 2 * index + 1, shown)) } else { left }
    }
}

/// Which parts of a tree to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it.
    Whole,
    /// What is under these labels; of a label that is not there, that it is not.
    Within(BTreeMap<Vec<u8>, Selection>),
}

impl Selection {
    /// Selects everything at and below the paths. The empty path is the whole tree.
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a [Vec<u8>]>) -> Self {
        let mut selection = Self::Within(BTreeMap::new());
        for path in paths {
            selection.add(path);
        }
        selection
    }

    fn add(&mut self, path: &[Vec<u8>]) {
        match (&mut *self, path) {
            (Self::Whole, _) => {}
            (_, []) => *self = Self::Whole,
            (Self::Within(labels), [label, rest @ ..]) => {
                labels.entry(label.clone()).or_insert_with(|| Self::Within(BTreeMap::new())).add(rest);
            }
        }
    }

    /// Returns true when something at or below the label is selected.
    pub(super) fn touches(&self, label: &[u8]) -> bool {
        match self {
            Self::Whole => true,
            Self::Within(labels) => labels.contains_key(label),
        }
    }
}

/// The children of a node, wherever they are kept.
pub(super) trait Children {
    /// The hashes of the children.
    fn forks(&self) -> &Forks;
    /// Returns how many there are.
    fn count(&self) -> usize;
    /// Returns the label of a child. Labels are sorted.
    fn label(&self, index: usize) -> &[u8];
    /// Returns the hash of the subtree of a child, without its label.
    fn digest(&self, index: usize) -> Digest;
    /// Shows a part of the subtree of a child.
    fn show(&self, index: usize, selection: &Selection) -> HashTree;
}

/// Shows a part of a node.
pub(super) fn witness(children: &impl Children, selection: &Selection) -> HashTree {
    let mut shown = BTreeMap::new();
    let node = |index: usize, child: HashTree| labeled(children.label(index), child);
    match selection {
        Selection::Whole => {
            for index in 0..children.count() {
                shown.insert(index, node(index, children.show(index, selection)));
            }
        }
        Selection::Within(labels) => {
            for (label, below) in labels {
                match find(children, label) {
                    Ok(index) => drop(shown.insert(index, node(index, children.show(index, below)))),
                    // A label is not there when its neighbours to be are next to each other.
                    Err(index) => {
                        for neighbour in index.saturating_sub(1)..(index + 1).min(children.count()) {
                            shown
                                .entry(neighbour)
                                .or_insert_with(|| node(neighbour, pruned(children.digest(neighbour))));
                        }
                    }
                }
            }
        }
    }
    children.forks().witness(shown)
}

/// Finds a child, or the place where it would be.
fn find(children: &impl Children, label: &[u8]) -> Result<usize, usize> {
    let (mut low, mut high) = (0, children.count());
    while low < high {
        let middle = (low + high) / 2;
        match children.label(middle).cmp(label) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// A tree with its hashes.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// Bytes at the end of a path, and their hash.
    Leaf(Vec<u8>, Digest),
    /// Children under labels.
    Branch(Branch),
    /// A subtree of which only the hash is known here; it is always pruned.
    Sealed(Digest),
}

/// The children of a node in a [`Tree`].
#[derive(Clone, Debug)]
pub(super) struct Branch {
    children: Vec<(Vec<u8>, Tree)>,
    forks: Forks,
}

impl Tree {
    /// Makes a leaf.
    pub(super) fn leaf(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let digest = hash(LEAF, &[&bytes]);
        Self::Leaf(bytes, digest)
    }

    /// Makes a node of children with their labels, in any order. Of children with the same label the last one counts.
    pub(super) fn branch<L: AsRef<[u8]>>(children: impl IntoIterator<Item = (L, Self)>) -> Self {
        let sorted: BTreeMap<Vec<u8>, Self> =
            children.into_iter().map(|(label, child)| (label.as_ref().to_vec(), child)).collect();
        let forks = Forks::new(sorted.iter().map(|(label, child)| labeled_digest(label, &child.digest())));
        Self::Branch(Branch { children: sorted.into_iter().collect(), forks })
    }

    /// Returns the hash.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Leaf(_, digest) | Self::Sealed(digest) => *digest,
            Self::Branch(branch) => branch.forks.digest(),
        }
    }

    /// Shows a part of the tree. What a path says that goes on below a leaf stays unknown.
    pub(super) fn witness(&self, selection: &Selection) -> HashTree {
        match (self, selection) {
            (Self::Leaf(bytes, _), Selection::Whole) => leaf(bytes.as_slice()),
            (Self::Leaf(_, digest), Selection::Within(_)) | (Self::Sealed(digest), _) => pruned(*digest),
            (Self::Branch(branch), _) => witness(branch, selection),
        }
    }
}

impl Children for Branch {
    fn forks(&self) -> &Forks {
        &self.forks
    }

    fn count(&self) -> usize {
        self.children.len()
    }

    fn label(&self, index: usize) -> &[u8] {
        &self.children[index].0
    }

    fn digest(&self, index: usize) -> Digest {
        self.children[index].1.digest()
    }

    fn show(&self, index: usize, selection: &Selection) -> HashTree {
        self.children[index].1.witness(selection)
    }
}

#[cfg(test)]
mod tests;
