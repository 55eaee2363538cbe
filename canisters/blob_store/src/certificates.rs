//! The hash tree over what is certified about all modules.
//!
//! Modules are leaves, labelled with their hash in hex digits. Those whose hashes begin with the same 12 bits are a
//! bucket; over the 4,096 buckets stands a binary tree of fixed form, whose hashes are kept in stable memory: a change
//! of one module computes the hashes of its bucket and of 12 nodes anew, however many modules there are, and nothing has
//! to be made anew after an upgrade. Where one side of a node is empty, the node is its other side.

use std::{collections::BTreeMap, ops::Bound};

use depot_types::Hash;
use ic_stable_structures::Memory;

use crate::{retentions::Retentions, storable::StoredHash, tree::Tree};

/// Bits of a module hash that tell its bucket.
const BUCKET_BITS: u32 = 12;
/// Nodes of the tree: node 1 is the root, nodes 2n and 2n + 1 are the sides of node n, and the last half are buckets.
const NODES: u64 = 2 << BUCKET_BITS;
/// The node of the first bucket.
const FIRST_BUCKET: u64 = 1 << BUCKET_BITS;
/// Pages of 64 KiB of all nodes.
const PAGES: u64 = (NODES * Hash::BYTES as u64) >> 16;
/// What stands for a node without modules.
const EMPTY: StoredHash = [0; Hash::BYTES];

/// The tree over all modules.
pub(crate) struct Certificates<M: Memory> {
    nodes: M,
}

/// What is to be shown of modules: their label, and as much of what is below as is given.
pub(crate) type Shown = BTreeMap<StoredHash, Option<Tree>>;

impl<M: Memory> Certificates<M> {
    pub(crate) fn open(nodes: M) -> Self {
        if nodes.size() == 0 {
            assert!(nodes.grow(PAGES) >= 0, "BUG: there is no room for the tree of certificates");
        }
        Self { nodes }
    }

    /// Returns the hash of the tree; `None` when there are no modules.
    pub(crate) fn root(&self) -> Option<StoredHash> {
        self.node(1)
    }

    /// Takes in that the record of a module changed, came or went.
    pub(crate) fn update(&mut self, retentions: &Retentions<M>, module_hash: &StoredHash) {
        let mut node = bucket_of(module_hash);
        let bucket = bucket(retentions, node, &mut Shown::new());
        self.set(node, bucket.as_ref().map(Tree::digest));
        while node > 1 {
            node /= 2;
            let sides = [2 * node, 2 * node + 1].map(|side| self.node(side).map(Tree::Hidden));
            let joined = Tree::join(sides.into_iter().flatten().collect());
            self.set(node, joined.as_ref().map(Tree::digest));
        }
    }

    /// Returns the tree with what is to be shown; `None` when there are no modules.
    pub(crate) fn witness(&self, retentions: &Retentions<M>, mut shown: Shown) -> Option<Tree> {
        self.subtree(retentions, 1, &mut shown)
    }

    fn subtree(&self, retentions: &Retentions<M>, node: u64, shown: &mut Shown) -> Option<Tree> {
        let is_below = |module_hash: &StoredHash| {
            let bucket = bucket_of(module_hash);
            bucket >> (bucket.ilog2() - node.ilog2()) == node
        };
        if !shown.keys().any(is_below) {
            return self.node(node).map(Tree::Hidden);
        }
        if node >= FIRST_BUCKET {
            return bucket(retentions, node, shown);
        }
        let sides = [2 * node, 2 * node + 1].map(|side| self.subtree(retentions, side, shown));
        Tree::join(sides.into_iter().flatten().collect())
    }

    fn node(&self, node: u64) -> Option<StoredHash> {
        let mut hash = EMPTY;
        self.nodes.read(node * Hash::BYTES as u64, &mut hash);
        (hash != EMPTY).then_some(hash)
    }

    fn set(&mut self, node: u64, hash: Option<StoredHash>) {
        self.nodes.write(node * Hash::BYTES as u64, &hash.unwrap_or(EMPTY));
    }
}

/// Returns the node of the bucket of a module.
fn bucket_of(module_hash: &StoredHash) -> u64 {
    let first = u64::from(u16::from_be_bytes([module_hash[0], module_hash[1]]));
    FIRST_BUCKET + (first >> (u16::BITS - BUCKET_BITS))
}

/// Returns the tree of a bucket; `None` when it is empty.
fn bucket<M: Memory>(retentions: &Retentions<M>, node: u64, shown: &mut Shown) -> Option<Tree> {
    let first = |node: u64| {
        let mut hash = [0; Hash::BYTES];
        let bits = ((node - FIRST_BUCKET) << (u16::BITS - BUCKET_BITS)) as u16;
        hash[..2].copy_from_slice(&bits.to_be_bytes());
        hash
    };
    let end = if node + 1 < NODES { Bound::Excluded(first(node + 1)) } else { Bound::Unbounded };
    let modules = retentions.certified((Bound::Included(first(node)), end));
    let leaves = modules.map(|(module_hash, certified)| {
        let label = Hash::new(module_hash).to_string();
        match shown.remove(&module_hash) {
            None => Tree::Hidden(certified).under(label.as_bytes()),
            Some(content) => content.unwrap_or(Tree::Hidden(certified)).under_shown(label.as_bytes()),
        }
    });
    Tree::join(leaves.collect())
}

/// Returns the modules whose labels are next to a text that is no module's label: before it and behind it.
pub(crate) fn neighbours<M: Memory>(retentions: &Retentions<M>, text: &str) -> impl Iterator<Item = StoredHash> {
    let (before, behind) = split_at(text);
    let before = retentions.certified((Bound::Unbounded, before)).next_back();
    let behind = retentions.certified((behind, Bound::Unbounded)).next();
    before.into_iter().chain(behind).map(|(module_hash, _)| module_hash)
}

/// Returns the end of the hashes whose hex digits are less than a text, and the beginning of those that are greater.
fn split_at(text: &str) -> (Bound<StoredHash>, Bound<StoredHash>) {
    let mut hash = [0; Hash::BYTES];
    let mut set = |position: usize, digit: u8| hash[position / 2] |= digit << (4 * (1 - position % 2));
    for (position, byte) in text.bytes().enumerate() {
        if position == 2 * Hash::BYTES {
            // Longer than a label that it begins with.
            return (Bound::Included(hash), Bound::Excluded(hash));
        }
        match byte {
            b'0'..=b'9' => set(position, byte - b'0'),
            b'a'..=b'f' => set(position, byte - b'a' + 10),
            0..b'0' => break,
            // Between the digits and the letters: what is greater begins with the letters.
            b':'..b'a' => {
                set(position, 10);
                break;
            }
            _ => {
                for rest in position..2 * Hash::BYTES {
                    set(rest, 15);
                }
                return (Bound::Included(hash), Bound::Excluded(hash));
            }
        }
    }
    (Bound::Excluded(hash), Bound::Included(hash))
}

#[cfg(test)]
mod tests;
