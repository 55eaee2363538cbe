//! Folders as trees of nodes: looking up, listing, comparing and changing them.
//!
//! Everything here reads nodes through [`Nodes`] and returns new ones to whoever stores them; nothing is stored here.

mod cursor;
mod diff;
mod edit;
mod list;

use std::rc::Rc;

use depot_types::{
    Hash,
    objects::{Entry, Node},
};

pub(crate) use diff::{PathDiff, diff};
pub(crate) use edit::{EditError, Edited, PathChange, Target, edit};
pub(crate) use list::list;

#[cfg(test)]
pub(crate) use edit::tests::MemoryNodes;

/// Where nodes are read from.
pub(crate) trait Nodes {
    /// Returns a node that another one, or a commit, leads to.
    fn node(&self, id: &Hash) -> Rc<Node>;
}

/// Returns what a path stands for below a folder; no segment is the folder itself.
pub(crate) fn entry_at<S: AsRef<str>>(nodes: &impl Nodes, root: Hash, segments: &[S]) -> Option<Entry> {
    segments.iter().try_fold(Entry::Folder(root), |entry, segment| match entry {
        Entry::Folder(id) => entry_of(nodes, id, segment.as_ref()),
        Entry::Module(_) => None,
    })
}

/// Returns what a name in a folder stands for.
pub(crate) fn entry_of(nodes: &impl Nodes, folder: Hash, name: &str) -> Option<Entry> {
    let mut node = nodes.node(&folder);
    loop {
        match &*node {
            Node::Leaf(entries) => {
                let found = entries.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
                return entries.get(found).map(|(_, entry)| *entry);
            }
            Node::Inner { children, .. } => {
                let id = children.get(Node::child_of(children, name))?.id;
                node = nodes.node(&id);
            }
        }
    }
}
