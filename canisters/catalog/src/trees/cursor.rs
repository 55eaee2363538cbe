//! Walking over the names of one folder.

use std::rc::Rc;

use depot_types::{
    Hash,
    objects::{Child, Entry, Node},
};

use super::Nodes;

/// What a cursor stands at.
pub(super) enum Item<'a> {
    /// A node of this level that was not entered.
    Node(&'a Child, u8),
    /// A name.
    Name(&'a str, Entry),
}

/// A place in a folder, from its first name to past its last.
pub(super) struct Cursor<'a, N> {
    nodes: &'a N,
    stack: Vec<(Rc<Node>, usize)>,
}

impl<'a, N: Nodes> Cursor<'a, N> {
    /// Stands at the start of a folder, or at the end of nothing.
    pub(super) fn new(nodes: &'a N, folder: Option<Hash>) -> Self {
        let mut cursor = Self { nodes, stack: vec![] };
        if let Some(folder) = folder {
            cursor.stack.push((nodes.node(&folder), 0));
            cursor.leave_ended();
        }
        cursor
    }

    pub(super) fn item(&self) -> Option<Item<'_>> {
        let (node, index) = self.stack.last()?;
        match &**node {
            Node::Leaf(entries) => entries.get(*index).map(|(name, entry)| Item::Name(name, *entry)),
            Node::Inner { level, children } => {
                children.get(*index).map(|child| Item::Node(child, level.saturating_sub(1)))
            }
        }
    }

    /// Goes into the node that it stands at; stays at a name.
    pub(super) fn enter(&mut self) {
        let id = match self.item() {
            Some(Item::Node(child, _)) => child.id,
            Some(Item::Name(..)) | None => return,
        };
        self.stack.push((self.nodes.node(&id), 0));
        self.leave_ended();
    }

    /// Goes past the item.
    pub(super) fn advance(&mut self) {
        if let Some((_, index)) = self.stack.last_mut() {
            *index += 1;
        }
        self.leave_ended();
    }

    /// Goes to the first name that is not before the one given.
    pub(super) fn seek(&mut self, name: &str) {
        loop {
            let Some((node, index)) = self.stack.last_mut() else { return };
            match &**node {
                Node::Leaf(entries) => {
                    *index = (*index).max(entries.partition_point(|(other, _)| other.as_str() < name));
                    self.leave_ended();
                    // What follows in other nodes is not before the name: the way here led to where it would be.
                    return;
                }
                Node::Inner { children, .. } => {
                    *index = (*index).max(Node::child_of(children, name));
                    self.enter();
                }
            }
        }
    }

    fn leave_ended(&mut self) {
        while let Some((node, index)) = self.stack.last() {
            let len = match &**node {
                Node::Leaf(entries) => entries.len(),
                Node::Inner { children, .. } => children.len(),
            };
            if *index < len {
                return;
            }
            self.stack.pop();
            if let Some((_, index)) = self.stack.last_mut() {
                *index += 1;
            }
        }
    }
}
