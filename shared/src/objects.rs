//! The objects that a history is made of: nodes of folders ([`Node`]) and commits ([`Commit`]), each named by a hash.
//!
//! The bytes of an object and its id are specified in `docs/object-format.md`, so that anyone can recompute a history
//! offline. What is decoded here is exactly what can be encoded here: each object has one encoding.

mod cbor;
mod commit;
mod node;

use sha2::{Digest, Sha256};

pub use cbor::DecodeError;
pub(crate) use cbor::Writer;
pub use commit::Commit;
pub use node::{Child, Entry, MAX_LEVEL, Node, name_level};

use crate::Hash;

/// An object ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedObject {
    /// Its id.
    pub id: Hash,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl EncodedObject {
    fn new(tag: &str, bytes: Vec<u8>) -> Self {
        Self { id: tagged_hash(tag, &bytes), bytes }
    }
}

/// Names bytes: SHA-256 of the tag's length in one byte, the tag, and the bytes.
///
/// The tag keeps the ids of different kinds apart, and apart from hashes of modules; its length keeps the end of the
/// tag apart from the start of the bytes.
pub(crate) fn tagged_hash(tag: &str, bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([tag.len() as u8]);
    hasher.update(tag);
    hasher.update(bytes);
    Hash::new(hasher.finalize().into())
}

/// An object read from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A node of a folder.
    Node(Node),
    /// A commit.
    Commit(Commit),
}

impl Object {
    /// Reads an object and computes its id: whoever asked for an id compares it with the one answered.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no object.
    pub fn read(bytes: &[u8]) -> Result<(Hash, Self), DecodeError> {
        if bytes.first() == Some(&Commit::FIRST_BYTE) {
            return Ok((tagged_hash(Commit::TAG, bytes), Self::Commit(Commit::decode(bytes)?)));
        }
        let (tag, node) = Node::decode_tagged(bytes)?;
        Ok((tagged_hash(tag, bytes), Self::Node(node)))
    }

    /// Reads an object that must have the id given.
    ///
    /// # Errors
    /// [`VerifyError`] when the bytes are no object, or that of another id.
    pub fn verify(id: &Hash, bytes: &[u8]) -> Result<Self, VerifyError> {
        let (found, object) = Self::read(bytes).map_err(VerifyError::Malformed)?;
        if found == *id { Ok(object) } else { Err(VerifyError::OtherId { expected: *id, found }) }
    }
}

/// Why bytes are not the object of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// They are no object.
    #[error("the bytes are no object: {0}")]
    Malformed(DecodeError),
    /// They are another object.
    #[error("the bytes are the object {found}, not {expected}")]
    OtherId {
        /// The id expected.
        expected: Hash,
        /// The id of the bytes.
        found: Hash,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_recompute_ids_from_bytes() {
        let node = Node::leaf([("a".to_string(), Entry::Module(Hash::new([0x11; 32])))]).encode();
        assert!(matches!(Object::verify(&node.id, &node.bytes), Ok(Object::Node(_))));
        let commit = Commit {
            tree: node.id,
            parents: vec![],
            author: candid::Principal::anonymous(),
            author_name: None,
            message: String::new(),
            time_ns: 0,
        }
        .encode();
        assert!(matches!(Object::verify(&commit.id, &commit.bytes), Ok(Object::Commit(_))));
        let other = VerifyError::OtherId { expected: node.id, found: commit.id };
        assert_eq!(Object::verify(&node.id, &commit.bytes), Err(other));
        assert_eq!(Object::verify(&node.id, &[0x80]), Err(VerifyError::Malformed(DecodeError::Unexpected)));
        assert_eq!(Object::verify(&node.id, &[]), Err(VerifyError::Malformed(DecodeError::Truncated)));
    }
}
