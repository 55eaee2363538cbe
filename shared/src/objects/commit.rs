//! Commits.

use candid::Principal;

use super::{
    EncodedObject,
    cbor::{DecodeError, Reader, Writer},
    node::read_hash,
};
use crate::{Hash, catalog::CommitInfo};

/// The version of the encoding of commits.
const VERSION: u64 = 1;

/// A commit: the content of a branch at a time, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The id of the top folder.
    pub tree: Hash,
    /// The commits it follows, in the order given when it was made: none for the first one.
    pub parents: Vec<Hash>,
    /// Who made it.
    pub author: Principal,
    /// The author's name, for people.
    pub author_name: Option<String>,
    /// Why it was made, for people.
    pub message: String,
    /// When it was made.
    pub time_ns: u64,
}

impl Commit {
    /// The domain tag of commits.
    pub const TAG: &'static str = "wasm-depot commit v1";
    /// The byte that commits start with, and nodes do not.
    pub const FIRST_BYTE: u8 = 0x87;

    /// Encodes and names the commit.
    pub fn encode(&self) -> EncodedObject {
        let mut writer = Writer::default();
        writer.array(7).unsigned(VERSION).bytes(self.tree.as_bytes()).array(self.parents.len());
        for parent in &self.parents {
            writer.bytes(parent.as_bytes());
        }
        writer.bytes(self.author.as_slice());
        match &self.author_name {
            Some(name) => writer.text(name),
            None => writer.null(),
        };
        writer.text(&self.message).unsigned(self.time_ns);
        EncodedObject::new(Self::TAG, writer.finish())
    }

    /// Reads the bytes of a commit.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not exactly what [`Commit::encode`] makes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array_of(7)?;
        match reader.unsigned()? {
            VERSION => (),
            version => return Err(DecodeError::UnknownVersion { version }),
        }
        let tree = read_hash(&mut reader)?;
        let parents = (0..reader.array()?).map(|_| read_hash(&mut reader)).collect::<Result<_, _>>()?;
        let author = reader.bytes()?;
        let author = Principal::try_from_slice(author).map_err(|_| DecodeError::WrongLength { bytes: author.len() })?;
        let author_name = if reader.null() { None } else { Some(reader.text()?.to_string()) };
        let message = reader.text()?.to_string();
        let time_ns = reader.unsigned()?;
        reader.finish()?;
        Ok(Self { tree, parents, author, author_name, message, time_ns })
    }

    /// Shows the commit, whose id is given, on the wire.
    pub fn into_info(self, id: Hash) -> CommitInfo {
        let Self { tree, parents, author, author_name, message, time_ns } = self;
        CommitInfo { id, tree, parents, author, author_name, message, time_ns }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::objects::Node;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The empty folder of version 1 of the format.
    fn empty_folder() -> Hash {
        super::super::tagged_hash(Node::TAG_V1, &[0x82, 0x01, 0x80])
    }

    /// The first commit of `docs/object-format.md`.
    fn first() -> Commit {
        Commit {
            tree: empty_folder(),
            parents: vec![],
            author: Principal::anonymous(),
            author_name: None,
            message: String::new(),
            time_ns: 0,
        }
    }

    /// The second commit of `docs/object-format.md`.
    fn second() -> Commit {
        Commit {
            tree: Hash::new([0x33; 32]),
            parents: vec![first().encode().id],
            author: Principal::from_slice(&[0x1d; 29]),
            author_name: Some("Zoë".to_string()),
            message: "Add the counter".to_string(),
            time_ns: 1_790_000_000_000_000_000,
        }
    }

    #[test]
    fn should_encode_the_documented_commits() {
        let (first, second) = (first().encode(), second().encode());
        assert_eq!(hex(&first.bytes), format!("87015820{}80{}f66000", empty_folder(), "4104"));
        assert_eq!(first.id.to_string(), "4ed68fd1afad4df2e4c270e8012cf2b59d864734f50164772577745207b37000");
        let expected = format!(
            "87015820{}815820{}581d{}{}{}{}",
            "33".repeat(32),
            first.id,
            "1d".repeat(29),
            "645a6fc3ab",
            "6f4164642074686520636f756e746572",
            "1b18d75b8423f30000",
        );
        assert_eq!(hex(&second.bytes), expected);
        assert_eq!(second.id.to_string(), "11b7f8a62689eccf726e7b51cc955bb06bb0b83f462b30819a80b0fff3f0960d");
    }

    #[test]
    fn should_refuse_what_it_would_not_write() {
        let good = second().encode().bytes;
        assert_eq!(Commit::decode(&good), Ok(second()));
        assert_eq!(Commit::decode(&[&good[..], &[0]].concat()), Err(DecodeError::TrailingBytes));
        assert_eq!(Commit::decode(&Node::Leaf(vec![]).encode().bytes), Err(DecodeError::Unexpected));
        let mut version = good.clone();
        version[1] = 0;
        assert_eq!(Commit::decode(&version), Err(DecodeError::UnknownVersion { version: 0 }));
        for end in 0..good.len() {
            assert_eq!(Commit::decode(&good[..end]), Err(DecodeError::Truncated), "{end}");
        }
    }

    proptest! {
        #[test]
        fn should_read_back_what_it_writes(
            tree in any::<[u8; 32]>(),
            parents in prop::collection::vec(any::<[u8; 32]>(), 0..30),
            author in prop::collection::vec(any::<u8>(), 0..=29),
            author_name in prop::option::of(".*"),
            message in ".*",
            time_ns in any::<u64>(),
        ) {
            let commit = Commit {
                tree: Hash::new(tree),
                parents: parents.into_iter().map(Hash::new).collect(),
                author: Principal::from_slice(&author),
                author_name,
                message,
                time_ns,
            };
            prop_assert_eq!(Commit::decode(&commit.encode().bytes), Ok(commit));
        }
    }
}
