//! Hash trees and certificates as they come from clients.
//!
//! The types of `ic-certification` serialise themselves, but they read pruned parts only from formats that lend bytes.

use std::fmt;

use ic_certification::{Certificate, Delegation, HashTree, hash_tree};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_bytes::ByteBuf;

/// A hash tree that reads itself.
pub(super) struct Tree(pub(super) HashTree);

#[derive(Deserialize)]
struct RawCertificate {
    tree: Tree,
    signature: ByteBuf,
    delegation: Option<RawDelegation>,
}

#[derive(Deserialize)]
struct RawDelegation {
    subnet_id: ByteBuf,
    certificate: ByteBuf,
}

/// Reads a certificate.
///
/// # Errors
/// A sentence, when the bytes are none.
pub(super) fn read_certificate(bytes: &[u8]) -> Result<Certificate, String> {
    let raw: RawCertificate = crate::interface::cbor::read(bytes)?;
    let delegation = raw.delegation.map(|delegation| Delegation {
        subnet_id: delegation.subnet_id.into_vec(),
        certificate: delegation.certificate.into_vec(),
    });
    Ok(Certificate { tree: raw.tree.0, signature: raw.signature.into_vec(), delegation })
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Node)
    }
}

/// A node of a tree: a list that begins with the number of its kind.
struct Node;

impl<'de> Visitor<'de> for Node {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a node of a hash tree")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let tree = match next::<u8, A>(&mut list)? {
            0 => hash_tree::empty(),
            1 => {
                let Tree(left) = next(&mut list)?;
                let Tree(right) = next(&mut list)?;
                hash_tree::fork(left, right)
            }
            2 => {
                let label: ByteBuf = next(&mut list)?;
                let Tree(below) = next(&mut list)?;
                hash_tree::label(label.into_vec(), below)
            }
            3 => hash_tree::leaf(next::<ByteBuf, A>(&mut list)?.into_vec()),
            4 => {
                let digest: ByteBuf = next(&mut list)?;
                let digest: [u8; 32] =
                    digest.as_slice().try_into().map_err(|_| A::Error::custom("a digest has not 32 bytes"))?;
                hash_tree::pruned(digest)
            }
            kind => return Err(A::Error::custom(format!("there is no kind {kind} of nodes in a hash tree"))),
        };
        match list.next_element::<IgnoredAny>()? {
            None => Ok(Tree(tree)),
            Some(_) => Err(A::Error::custom("a node of a hash tree is too long")),
        }
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(list: &mut A) -> Result<T, A::Error> {
    list.next_element()?.ok_or_else(|| A::Error::custom("a node of a hash tree is too short"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::cbor;

    #[test]
    fn should_read_every_kind_of_node() {
        let tree: HashTree = hash_tree::fork(
            hash_tree::label(b"a".to_vec(), hash_tree::leaf(vec![1; 5000])),
            hash_tree::fork(hash_tree::pruned([7; 32]), hash_tree::label(b"b".to_vec(), hash_tree::empty())),
        );
        let Tree(read) = cbor::read(&cbor::write(&tree)).unwrap();
        assert_eq!(read, tree);
        assert_eq!(read.digest(), tree.digest());
    }

    #[test]
    fn should_refuse_what_is_no_node() {
        let refused = |bytes: &[u8]| cbor::read::<Tree>(bytes).err().unwrap();
        assert!(refused(&[0x80]).contains("too short"));
        assert!(refused(&[0x82, 0, 0]).contains("too long"));
        assert!(refused(&[0x81, 1]).contains("too short"));
        assert!(refused(&[0x82, 1, 0x81, 0]).contains("too short"));
        assert!(refused(&[0x84, 1, 0x81, 0, 0x81, 0, 0]).contains("too long"));
        assert!(refused(&[0x82, 4, 0x41, 7]).contains("32 bytes"));
        assert!(refused(&[0x81, 5]).contains("no kind 5"));
        // As deep as a tree can be nested, and deeper.
        let nested = |depth: usize| [[0x83, 1, 0x81, 0].repeat(depth), vec![0x81, 0]].concat();
        assert!(cbor::read::<Tree>(&nested(100)).is_ok());
        assert!(refused(&nested(1_000_000)).contains("nested"));
    }
}
