//! Nodes of folders.
//!
//! A folder is a search tree whose shape follows from its names alone, whatever happened before: a node of level *l*
//! ends before a name whose own level is greater than *l*, and one name in sixteen has a level above each. So a change
//! makes a few small nodes anew, however many names the folder has.

use super::{
    EncodedObject,
    cbor::{DecodeError, Reader, Writer},
};
use crate::Hash;

const MODULE: u64 = 0;
const FOLDER: u64 = 1;

/// The highest level of a name, and so of a node: what the bits of [`name_level`]'s hash can give.
pub const MAX_LEVEL: u8 = 16;

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A module, by its hash.
    Module(Hash),
    /// A folder, by the id of its top node.
    Folder(Hash),
}

/// A node below another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The first name below it.
    pub first: String,
    /// Its id.
    pub id: Hash,
    /// How many names are below it.
    pub names: u64,
}

/// A node of a folder: of level 0 with the names themselves, or above with the nodes of the level below.
///
/// Only the top folder of a commit may be empty: a folder that loses its last entry goes away, so the same content
/// always has the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Names in bytewise order.
    Leaf(Vec<(String, Entry)>),
    /// Nodes in the order of their names.
    Inner {
        /// The level, at least 1.
        level: u8,
        /// The nodes, all of the level below.
        children: Vec<Child>,
    },
}

/// Returns the level of a name: how many times in a row its hash ends in four zero bits.
///
/// The hash is FNV-1a of 64 bits, mixed so that its low bits depend on all of the name. It needs no strength: whoever
/// picks names of one level makes a folder slow that he may change anyway, and the size of a node is limited.
pub fn name_level(name: &str) -> u8 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    (hash.trailing_zeros() / 4) as u8
}

impl Node {
    /// The domain tag of nodes.
    pub const TAG: &'static str = "wasm-depot tree v2";
    /// The domain tag of the folders of version 1, which were one object each.
    pub const TAG_V1: &'static str = "wasm-depot tree v1";

    /// Makes a node of level 0 of names in ascending order.
    pub fn leaf(entries: impl IntoIterator<Item = (String, Entry)>) -> Self {
        Self::Leaf(entries.into_iter().collect())
    }

    /// Returns the level.
    pub fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner { level, .. } => *level,
        }
    }

    /// Returns how many names are in it and below it.
    pub fn names(&self) -> u64 {
        match self {
            Self::Leaf(entries) => entries.len() as u64,
            Self::Inner { children, .. } => children.iter().map(|child| child.names).sum(),
        }
    }

    /// Returns the ids of the objects that the node leads to; modules are not among them.
    pub fn objects(&self) -> Vec<Hash> {
        match self {
            Self::Leaf(entries) => entries
                .iter()
                .filter_map(|(_, entry)| match entry {
                    Entry::Folder(id) => Some(*id),
                    Entry::Module(_) => None,
                })
                .collect(),
            Self::Inner { children, .. } => children.iter().map(|child| child.id).collect(),
        }
    }

    /// Returns the hashes of the modules that the node names.
    pub fn modules(&self) -> Vec<Hash> {
        match self {
            Self::Leaf(entries) => entries
                .iter()
                .filter_map(|(_, entry)| match entry {
                    Entry::Module(hash) => Some(*hash),
                    Entry::Folder(_) => None,
                })
                .collect(),
            Self::Inner { .. } => vec![],
        }
    }

    /// Returns the child below which a name is, if it is anywhere.
    pub fn child_of(children: &[Child], name: &str) -> usize {
        children.partition_point(|child| child.first.as_str() <= name).saturating_sub(1)
    }

    /// Encodes and names the node.
    pub fn encode(&self) -> EncodedObject {
        let mut writer = Writer::default();
        writer.array(3).unsigned(2).unsigned(u64::from(self.level()));
        match self {
            Self::Leaf(entries) => {
                writer.array(entries.len());
                for (name, entry) in entries {
                    let (kind, hash) = match entry {
                        Entry::Module(hash) => (MODULE, hash),
                        Entry::Folder(id) => (FOLDER, id),
                    };
                    writer.array(3).text(name).unsigned(kind).bytes(hash.as_bytes());
                }
            }
            Self::Inner { children, .. } => {
                writer.array(children.len());
                for Child { first, id, names } in children {
                    writer.array(3).text(first).bytes(id.as_bytes()).unsigned(*names);
                }
            }
        }
        EncodedObject::new(Self::TAG, writer.finish())
    }

    /// Reads the bytes of a node, or of a folder of version 1 as the one node that it is.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not exactly what [`Node::encode`], or the encoding of version 1, makes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_tagged(bytes).map(|(_, node)| node)
    }

    pub(super) fn decode_tagged(bytes: &[u8]) -> Result<(&'static str, Self), DecodeError> {
        let mut reader = Reader::new(bytes);
        let items = reader.array()?;
        let version = if items == 2 || items == 3 { reader.unsigned()? } else { return Err(DecodeError::Unexpected) };
        let (tag, level) = match (items, version) {
            (2, 1) => (Self::TAG_V1, 0),
            (3, 2) => (Self::TAG, reader.unsigned()?),
            (2, _) | (3, _) => return Err(DecodeError::UnknownVersion { version }),
            _ => return Err(DecodeError::Unexpected),
        };
        let node = if level == 0 {
            Self::Leaf(read_entries(&mut reader)?)
        } else {
            let level = u8::try_from(level).ok().filter(|level| *level <= MAX_LEVEL);
            Self::Inner { level: level.ok_or(DecodeError::Unexpected)?, children: read_children(&mut reader)? }
        };
        reader.finish()?;
        if tag == Self::TAG && !node.ends_where_it_must() {
            return Err(DecodeError::Misplaced);
        }
        Ok((tag, node))
    }

    /// Tells whether no name but the first would have to start a node of its own, and each starts what it starts.
    fn ends_where_it_must(&self) -> bool {
        match self {
            Self::Leaf(entries) => entries.iter().skip(1).all(|(name, _)| name_level(name) == 0),
            Self::Inner { level, children } => children.iter().skip(1).all(|child| name_level(&child.first) == *level),
        }
    }
}

fn read_entries(reader: &mut Reader<'_>) -> Result<Vec<(String, Entry)>, DecodeError> {
    let mut entries: Vec<(String, Entry)> = Vec::new();
    for _ in 0..reader.array()? {
        reader.array_of(3)?;
        let name = reader.text()?;
        if entries.last().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(DecodeError::Unsorted);
        }
        let kind = reader.unsigned()?;
        let hash = read_hash(reader)?;
        let entry = match kind {
            MODULE => Entry::Module(hash),
            FOLDER => Entry::Folder(hash),
            _ => return Err(DecodeError::Unexpected),
        };
        entries.push((name.to_string(), entry));
    }
    Ok(entries)
}

fn read_children(reader: &mut Reader<'_>) -> Result<Vec<Child>, DecodeError> {
    let mut children: Vec<Child> = Vec::new();
    for _ in 0..reader.array()? {
        reader.array_of(3)?;
        let first = reader.text()?;
        if children.last().is_some_and(|last| last.first.as_str() >= first) {
            return Err(DecodeError::Unsorted);
        }
        let id = read_hash(reader)?;
        let names = reader.unsigned()?;
        children.push(Child { first: first.to_string(), id, names });
    }
    if children.is_empty() { Err(DecodeError::Unexpected) } else { Ok(children) }
}

pub(super) fn read_hash(reader: &mut Reader<'_>) -> Result<Hash, DecodeError> {
    let bytes = reader.bytes()?;
    Hash::try_from(bytes).map_err(|_| DecodeError::WrongLength { bytes: bytes.len() })
}

#[cfg(test)]
mod tests;
