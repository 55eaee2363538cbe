//! Making a new tree out of an old one and changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use depot_types::{
    Hash,
    objects::{Child, EncodedObject, Entry, Node, name_level},
    path::ModulePath,
};

use super::{Nodes, entry_of};
use crate::limits::{MAX_NAMES_PER_CHANGE, MAX_NODE_NAMES};

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathChange {
    pub(crate) path: ModulePath,
    pub(crate) target: Target,
}

/// What a path stands for after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The module; there must be no folder at the path.
    Set(Hash),
    /// Nothing; the path must stand for something, and all below it goes with it.
    Remove,
    /// What is given, whatever stands there.
    Put(Option<Entry>),
}

/// A tree that changes lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The id of its top folder.
    pub(crate) root: Hash,
    /// The nodes that the changes made, in the order in which they were made: a node comes after those that it leads
    /// to. All others are shared with the old tree.
    pub(crate) nodes: Vec<EncodedObject>,
}

/// Why a tree cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EditError {
    /// A path would have to be a module and a folder at once.
    PathConflict { path: String, existing: String },
    /// A path to remove does not exist.
    UnknownPath { path: String },
    /// A node of a folder would have too many names; the top folder has an empty path.
    FolderFull { path: String },
    /// The nodes that the changes touch have too many names together.
    TooLarge,
}

/// Applies changes, in the order of their paths, to a tree or to nothing. None may lie below another one, but for those
/// that are put.
///
/// Only nodes on the paths that change are read and made anew.
pub(crate) fn edit(nodes: &impl Nodes, root: Option<Hash>, changes: &[PathChange]) -> Result<Edited, EditError> {
    let mut editor = Editor { nodes, read: BTreeMap::new(), names: 0, made: Vec::new() };
    let root = match editor.edit_folder(root, 0, changes)? {
        Some(root) => root,
        None => editor.keep(&Node::Leaf(vec![])),
    };
    Ok(Edited { root, nodes: editor.made })
}

/// What stands behind a name at some level of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Entry(Entry),
    Node { id: Hash, names: u64 },
}

/// Slots by name, and what becomes of them.
type Edits = BTreeMap<String, Option<Slot>>;

struct Editor<'a, N> {
    nodes: &'a N,
    read: BTreeMap<Hash, Rc<Node>>,
    names: u64,
    made: Vec<EncodedObject>,
}

impl<N: Nodes> Editor<'_, N> {
    /// Applies changes, all of which lie in the folder given, `depth` segments below the top; returns the folder, or
    /// nothing when it is empty.
    fn edit_folder(
        &mut self,
        folder: Option<Hash>,
        depth: usize,
        changes: &[PathChange],
    ) -> Result<Option<Hash>, EditError> {
        let name_of = |change: &PathChange| change.path.segments().get(depth).cloned();
        let mut edits = Edits::new();
        for below in changes.chunk_by(|one, other| name_of(one) == name_of(other)) {
            let [change, ..] = below else { continue };
            let Some(name) = name_of(change) else { continue };
            let old = folder.and_then(|folder| entry_of(self.nodes, folder, &name));
            let new = self.edit_entry(old, depth, change, below)?;
            if new != old {
                edits.insert(name, new.map(Slot::Entry));
            }
        }
        if edits.is_empty() {
            return Ok(folder);
        }
        self.edit_names(folder, edits).map_err(|error| match error {
            EditError::FolderFull { .. } => {
                EditError::FolderFull { path: changes.first().map(|change| prefix(change, depth)).unwrap_or_default() }
            }
            other => other,
        })
    }

    /// Returns what becomes of an entry; `changes`, of which `change` is the first, concern it or what lies below it.
    fn edit_entry(
        &mut self,
        entry: Option<Entry>,
        depth: usize,
        change: &PathChange,
        changes: &[PathChange],
    ) -> Result<Option<Entry>, EditError> {
        let conflict = |existing| EditError::PathConflict { path: change.path.to_string(), existing };
        let unknown = || EditError::UnknownPath { path: change.path.to_string() };
        let is_here = change.path.segments().len() == depth + 1;
        // A path can be put to nothing, or anything, and what lies below it be put, too: a folder comes to stand where
        // a module was, or the other way round.
        if is_here
            && let [_, rest @ ..] = changes
            && let [next, ..] = rest
        {
            let entry = self.edit_entry(entry, depth, change, std::slice::from_ref(change))?;
            return self.edit_entry(entry, depth, next, rest);
        }
        match (is_here, change.target, entry) {
            (true, Target::Put(entry), _) => Ok(entry),
            (true, Target::Set(_), Some(Entry::Folder(_))) => Err(conflict(change.path.to_string())),
            (true, Target::Set(module), Some(Entry::Module(_)) | None) => Ok(Some(Entry::Module(module))),
            (true, Target::Remove, Some(_)) => Ok(None),
            (true, Target::Remove, None) => Err(unknown()),
            (false, Target::Remove, Some(Entry::Module(_))) => Err(unknown()),
            (false, Target::Put(None), Some(Entry::Module(_))) => Ok(entry),
            (false, _, Some(Entry::Module(_))) => Err(conflict(prefix(change, depth + 1))),
            (false, _, Some(Entry::Folder(id))) => self.edit_below(Some(id), depth, changes),
            (false, _, None) => self.edit_below(None, depth, changes),
        }
    }

    fn edit_below(
        &mut self,
        folder: Option<Hash>,
        depth: usize,
        changes: &[PathChange],
    ) -> Result<Option<Entry>, EditError> {
        // A folder lives by its entries: the same paths must give the same tree whatever was there before.
        Ok(self.edit_folder(folder, depth + 1, changes)?.map(Entry::Folder))
    }

    /// Applies edits of names to a folder; returns its top node, or nothing when it is empty.
    ///
    /// Level by level: edits of what the nodes of one level hold become edits of the nodes themselves, which are what
    /// the level above holds.
    fn edit_names(&mut self, folder: Option<Hash>, mut edits: Edits) -> Result<Option<Hash>, EditError> {
        let Some(folder) = folder else { return self.build(0, slots(edits)) };
        let top = self.node(&folder)?.level();
        for level in 0..=top {
            edits = self.edit_level(folder, top, level, edits)?;
        }
        // The top level had one node, so what is left of the edits are all nodes of that level.
        self.grow(top, slots(edits))
    }

    /// Applies edits to the nodes of a level; returns the edits of the level above.
    fn edit_level(&mut self, folder: Hash, top: u8, level: u8, edits: Edits) -> Result<Edits, EditError> {
        // A node is known by its first name; where that name goes away, what is left joins the node before.
        let mut touched: BTreeMap<String, (Hash, Edits)> = BTreeMap::new();
        let mut joining: BTreeSet<String> = BTreeSet::new();
        for (name, slot) in edits {
            let (first, id) = self.node_of(folder, top, level, &name)?;
            if slot.is_none()
                && first == name
                && let Some((before, id)) = self.node_before(folder, top, level, &first)?
            {
                joining.insert(first.clone());
                touched.entry(before).or_insert_with(|| (id, Edits::new()));
            }
            touched.entry(first).or_insert_with(|| (id, Edits::new())).1.insert(name, slot);
        }
        let mut above = Edits::new();
        let mut run: BTreeMap<String, Slot> = BTreeMap::new();
        let mut made: Edits = Edits::new();
        for (first, (id, edits)) in touched {
            if !joining.contains(&first) {
                self.split(level, std::mem::take(&mut run), &mut made)?;
            }
            run.extend(self.slots_of(&id)?);
            for (name, slot) in edits {
                match slot {
                    Some(slot) => _ = run.insert(name, slot),
                    None => _ = run.remove(&name),
                }
            }
            above.insert(first, None);
        }
        self.split(level, run, &mut made)?;
        above.extend(made);
        Ok(above)
    }

    /// Makes nodes of slots that follow each other, the first of which starts a node whatever its level.
    fn split(&mut self, level: u8, slots: BTreeMap<String, Slot>, made: &mut Edits) -> Result<(), EditError> {
        let mut piece: Vec<(String, Slot)> = Vec::new();
        for (name, slot) in slots {
            if !piece.is_empty() && name_level(&name) > level {
                self.make(level, std::mem::take(&mut piece), made)?;
            }
            piece.push((name, slot));
        }
        if piece.is_empty() { Ok(()) } else { self.make(level, piece, made) }
    }

    fn make(&mut self, level: u8, piece: Vec<(String, Slot)>, made: &mut Edits) -> Result<(), EditError> {
        if piece.len() > MAX_NODE_NAMES {
            return Err(EditError::FolderFull { path: String::new() });
        }
        let Some((first, _)) = piece.first() else { return Ok(()) };
        let first = first.clone();
        let entry = |(name, slot)| match slot {
            Slot::Entry(entry) => Some((name, entry)),
            Slot::Node { .. } => None,
        };
        let child = |(first, slot)| match slot {
            Slot::Node { id, names } => Some(Child { first, id, names }),
            Slot::Entry(_) => None,
        };
        let node = if level == 0 {
            Node::Leaf(piece.into_iter().filter_map(entry).collect())
        } else {
            Node::Inner { level, children: piece.into_iter().filter_map(child).collect() }
        };
        let id = self.keep(&node);
        made.insert(first, Some(Slot::Node { id, names: node.names() }));
        Ok(())
    }

    /// Makes a folder of the slots of a level.
    fn build(&mut self, level: u8, slots: BTreeMap<String, Slot>) -> Result<Option<Hash>, EditError> {
        let mut made = Edits::new();
        self.split(level, slots, &mut made)?;
        self.grow(level, self::slots(made))
    }

    /// Makes a folder of all nodes of a level: its top node is the lowest one that has all names.
    fn grow(&mut self, level: u8, mut nodes: BTreeMap<String, Slot>) -> Result<Option<Hash>, EditError> {
        if nodes.len() > 1 {
            return self.build(level + 1, nodes);
        }
        let Some((_, Slot::Node { mut id, .. })) = nodes.pop_first() else { return Ok(None) };
        loop {
            let node = self.node(&id)?;
            match &*node {
                Node::Inner { children, .. } if children.len() == 1 => {
                    id = children.first().map_or(id, |child| child.id);
                }
                Node::Inner { .. } | Node::Leaf(_) => return Ok(Some(id)),
            }
        }
    }

    /// Returns the node of a level in which a name is, if it is anywhere, and the first name of the node.
    fn node_of(&mut self, folder: Hash, top: u8, level: u8, name: &str) -> Result<(String, Hash), EditError> {
        let (mut first, mut id) = (String::new(), folder);
        for _ in level..top {
            let node = self.node(&id)?;
            if let Node::Inner { children, .. } = &*node
                && let Some(child) = children.get(Node::child_of(children, name))
            {
                (first, id) = (child.first.clone(), child.id);
            }
        }
        if level == top {
            first = self.first_of(&id)?;
        }
        Ok((first, id))
    }

    /// Returns the node of a level before the one with the first name given.
    fn node_before(
        &mut self,
        folder: Hash,
        top: u8,
        level: u8,
        first: &str,
    ) -> Result<Option<(String, Hash)>, EditError> {
        let (mut found, mut id) = (None, folder);
        for _ in level..top {
            let node = self.node(&id)?;
            let Node::Inner { children, .. } = &*node else { return Ok(None) };
            let before = children.partition_point(|child| child.first.as_str() < first);
            let Some(child) = before.checked_sub(1).and_then(|index| children.get(index)) else { return Ok(None) };
            id = child.id;
            found = Some((child.first.clone(), child.id));
        }
        Ok(found)
    }

    fn first_of(&mut self, id: &Hash) -> Result<String, EditError> {
        let node = self.node(id)?;
        let first = match &*node {
            Node::Leaf(entries) => entries.first().map(|(name, _)| name.clone()),
            Node::Inner { children, .. } => children.first().map(|child| child.first.clone()),
        };
        Ok(first.unwrap_or_default())
    }

    fn slots_of(&mut self, id: &Hash) -> Result<BTreeMap<String, Slot>, EditError> {
        let node = self.node(id)?;
        Ok(match &*node {
            Node::Leaf(entries) => entries.iter().map(|(name, entry)| (name.clone(), Slot::Entry(*entry))).collect(),
            Node::Inner { children, .. } => children
                .iter()
                .map(|child| (child.first.clone(), Slot::Node { id: child.id, names: child.names }))
                .collect(),
        })
    }

    fn node(&mut self, id: &Hash) -> Result<Rc<Node>, EditError> {
        if let Some(node) = self.read.get(id) {
            return Ok(Rc::clone(node));
        }
        let node = self.nodes.node(id);
        self.names += match &*node {
            Node::Leaf(entries) => entries.len() as u64,
            Node::Inner { children, .. } => children.len() as u64,
        };
        if self.names > MAX_NAMES_PER_CHANGE {
            return Err(EditError::TooLarge);
        }
        self.read.insert(*id, Rc::clone(&node));
        Ok(node)
    }

    fn keep(&mut self, node: &Node) -> Hash {
        let object = node.encode();
        let id = object.id;
        self.read.insert(id, Rc::new(node.clone()));
        self.made.push(object);
        id
    }
}

/// Returns the slots that edits leave.
fn slots(edits: Edits) -> BTreeMap<String, Slot> {
    edits.into_iter().filter_map(|(name, slot)| slot.map(|slot| (name, slot))).collect()
}

/// Returns the first `depth` segments of a change's path.
fn prefix(change: &PathChange, depth: usize) -> String {
    let segments = change.path.segments();
    segments.get(..depth).unwrap_or(segments).join("/")
}

#[cfg(test)]
pub(crate) mod tests;
