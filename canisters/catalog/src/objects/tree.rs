//! Folders.

use std::collections::BTreeMap;

use depot_types::Hash;

use super::{
    EncodedObject, FORMAT_VERSION,
    cbor::{DecodeError, Reader, Writer},
};

const MODULE: u64 = 0;
const FOLDER: u64 = 1;

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A module, by its hash.
    Module(Hash),
    /// A folder, by its id.
    Folder(Hash),
}

/// A folder: names in bytewise order.
///
/// Only the top folder of a commit may be empty: a folder that loses its last entry goes away, so the same content
/// always has the same id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// The domain tag of folders.
    pub const TAG: &'static str = "wasm-depot tree v1";

    /// Returns what a name stands for.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.entries.get(name).copied()
    }

    /// Lets a name stand for something; it may have stood for something else.
    pub fn set(&mut self, name: &str, entry: Entry) {
        self.entries.insert(name.to_string(), entry);
    }

    /// Removes a name and returns what it stood for.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// Returns how many names there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true when there is no name.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Encodes and names the folder.
    pub fn encode(&self) -> EncodedObject {
        let mut writer = Writer::default();
        writer.array(2).unsigned(FORMAT_VERSION).array(self.entries.len());
        for (name, entry) in &self.entries {
            let (kind, hash) = match entry {
                Entry::Module(hash) => (MODULE, hash),
                Entry::Folder(id) => (FOLDER, id),
            };
            writer.array(3).text(name).unsigned(kind).bytes(hash.as_bytes());
        }
        EncodedObject::new(Self::TAG, writer.finish())
    }

    /// Reads the bytes of a folder.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not exactly what [`Tree::encode`] makes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array_of(2)?;
        read_version(&mut reader)?;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for _ in 0..reader.array()? {
            reader.array_of(3)?;
            let name = reader.text()?;
            if entries.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(DecodeError::Unsorted);
            }
            let kind = reader.unsigned()?;
            let hash = read_hash(&mut reader)?;
            let entry = match kind {
                MODULE => Entry::Module(hash),
                FOLDER => Entry::Folder(hash),
                _ => return Err(DecodeError::Unexpected),
            };
            entries.insert(name.to_string(), entry);
        }
        reader.finish()?;
        Ok(Self { entries })
    }
}

pub(super) fn read_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.unsigned()? {
        FORMAT_VERSION => Ok(()),
        version => Err(DecodeError::UnknownVersion { version }),
    }
}

pub(super) fn read_hash(reader: &mut Reader<'_>) -> Result<Hash, DecodeError> {
    let bytes = reader.bytes()?;
    Hash::try_from(bytes).map_err(|_| DecodeError::WrongLength { bytes: bytes.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_fixtures::{hex, unhex};

    /// The folder of `docs/object-format.md`: a module `a.wasm` whose hash is thirty-two bytes `11`.
    fn lib() -> Tree {
        let mut lib = Tree::default();
        lib.set("a.wasm", Entry::Module(Hash::new([0x11; 32])));
        lib
    }

    #[test]
    fn should_encode_the_documented_folders() {
        let empty = Tree::default().encode();
        assert_eq!(hex(&empty.bytes), "820180");
        assert_eq!(empty.id.to_string(), "f1bd1eefe6febfecf02b3c949251491d5ba597e2bb8483681c32e2b570f1fc94");

        let lib = lib().encode();
        let ones = "11".repeat(32);
        assert_eq!(hex(&lib.bytes), format!("820181{}", format_args!("8366612e7761736d005820{ones}")));
        assert_eq!(lib.id.to_string(), "c53fe5f16398495ffa9a6518de58c864fd5220170af536483b3f496d87c138ec");

        let mut top = Tree::default();
        top.set("é", Entry::Module(Hash::new([0x22; 32])));
        top.set("lib", Entry::Folder(lib.id));
        top.set("Z", Entry::Module(Hash::new([0x11; 32])));
        let top = top.encode();
        let twos = "22".repeat(32);
        let (z, l, e) =
            (format!("83615a005820{ones}"), format!("83636c6962015820{}", lib.id), format!("8362c3a9005820{twos}"));
        assert_eq!(hex(&top.bytes), format!("820183{z}{l}{e}"));
        assert_eq!(top.id.to_string(), "9a414ea3f40931c4dd78618a4a09cf289ab514d933371ba0ec69e937298dedc1");
    }

    #[test]
    fn should_refuse_what_it_would_not_write() {
        let good = lib().encode().bytes;
        assert_eq!(Tree::decode(&good), Ok(lib()));
        let mut version = good.clone();
        version[1] = 2;
        assert_eq!(Tree::decode(&version), Err(DecodeError::UnknownVersion { version: 2 }));
        let kind = good.iter().rposition(|byte| *byte == 0).unwrap();
        let mut other = good.clone();
        other[kind] = 2;
        assert_eq!(Tree::decode(&other), Err(DecodeError::Unexpected));
        assert_eq!(Tree::decode(&[&good[..], &[0]].concat()), Err(DecodeError::TrailingBytes));
        assert_eq!(Tree::decode(&good[..good.len() - 1]), Err(DecodeError::Truncated));

        let entry = hex(&good)["820181".len()..].to_string();
        assert_eq!(Tree::decode(&unhex(&format!("820182{entry}{entry}"))), Err(DecodeError::Unsorted));
        let earlier = entry.replacen("612e7761736d", "412e7761736d", 1);
        assert!(Tree::decode(&unhex(&format!("820182{earlier}{entry}"))).is_ok());
        assert_eq!(Tree::decode(&unhex(&format!("820182{entry}{earlier}"))), Err(DecodeError::Unsorted));
        assert_eq!(Tree::decode(&unhex("82018183616100421111")), Err(DecodeError::WrongLength { bytes: 2 }));
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let entries = prop::collection::btree_map("\\PC{1,20}", (any::<bool>(), any::<[u8; 32]>()), 0..30);
        entries.prop_map(|entries| {
            let mut tree = Tree::default();
            for (name, (module, hash)) in entries {
                let hash = Hash::new(hash);
                tree.set(&name, if module { Entry::Module(hash) } else { Entry::Folder(hash) });
            }
            tree
        })
    }

    proptest! {
        #[test]
        fn should_read_back_what_it_writes(tree in trees()) {
            prop_assert_eq!(Tree::decode(&tree.encode().bytes), Ok(tree));
        }

        #[test]
        fn should_have_one_encoding_only(tree in trees(), position in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = tree.encode().bytes;
            let position = position.index(bytes.len());
            bytes[position] ^= 1u8 << bit;
            if let Ok(other) = Tree::decode(&bytes) {
                prop_assert_eq!(other.encode().bytes, bytes);
            }
        }
    }
}
