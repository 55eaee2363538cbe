//! The objects that a history is made of: folders ([`Tree`]) and commits ([`Commit`]), each named by a hash.
//!
//! The bytes of an object and its id are specified in `docs/object-format.md`, so that anyone can recompute a history
//! offline. What is decoded here is exactly what can be encoded here: each object has one encoding.

mod cbor;
mod commit;
mod tree;

use depot_types::Hash;
use sha2::{Digest, Sha256};

pub use cbor::DecodeError;
pub use commit::Commit;
pub use tree::{Entry, Tree};

/// The version of the encoding, the first item of every object.
pub const FORMAT_VERSION: u64 = 1;

/// An object ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedObject {
    /// Its id.
    pub id: Hash,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl EncodedObject {
    /// Names the bytes: SHA-256 of the tag's length in one byte, the tag, and the bytes.
    ///
    /// The tag keeps the ids of different kinds apart, and apart from hashes of modules; its length keeps the end of
    /// the tag apart from the start of the bytes.
    fn new(tag: &'static str, bytes: Vec<u8>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([tag.len() as u8]);
        hasher.update(tag);
        hasher.update(&bytes);
        Self { id: Hash::new(hasher.finalize().into()), bytes }
    }
}
