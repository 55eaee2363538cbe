//! The record of a sealed module.

use std::borrow::Cow;

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{Encoding, MetadataSection, ModuleInfo, ModuleKind},
};
use ic_stable_structures::{Storable, storable::Bound};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use super::{StoredHash, StoredObstacle, obstacle::same_variants};

/// A sealed module; its hash is the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredModule {
    pub(crate) size: u64,
    /// Hashes of the chunks one after the other.
    pub(crate) chunk_hashes: ByteBuf,
    pub(crate) encoding: StoredEncoding,
    pub(crate) kind: StoredKind,
    pub(crate) raw_hash: ByteArray<{ Hash::BYTES }>,
    pub(crate) raw_size: u64,
    pub(crate) obstacles: Vec<StoredObstacle>,
    pub(crate) metadata: Vec<StoredMetadata>,
    pub(crate) sealed_by: Principal,
    pub(crate) sealed_at_ns: u64,
}

/// How a module is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredEncoding {
    Raw,
    Gzip,
}

/// What sort of Wasm binary it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredKind {
    CoreModule,
    Component,
}

/// An `icp:` custom section; its content is kept by module and number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredMetadata {
    pub(crate) name: String,
    pub(crate) public: bool,
    pub(crate) size: u64,
}

same_variants! { Encoding, StoredEncoding: Raw Gzip }
same_variants! { ModuleKind, StoredKind: CoreModule Component }

impl From<StoredMetadata> for MetadataSection {
    fn from(StoredMetadata { name, public, size }: StoredMetadata) -> Self {
        Self { name, public, size }
    }
}

impl StoredModule {
    /// Returns the hashes of the chunks, in order.
    pub(crate) fn chunk_hashes(&self) -> &[StoredHash] {
        self.chunk_hashes.as_chunks().0
    }

    /// Returns what there is to know of the module with this hash.
    pub(crate) fn into_info(self, module_hash: Hash) -> ModuleInfo {
        let hashes: &[StoredHash] = self.chunk_hashes.as_chunks().0;
        ModuleInfo {
            module_hash,
            size: self.size,
            chunk_hashes: hashes.iter().copied().map(Hash::new).collect(),
            encoding: self.encoding.into(),
            kind: self.kind.into(),
            raw_hash: Hash::new(self.raw_hash.into_array()),
            raw_size: self.raw_size,
            obstacles: self.obstacles.into_iter().map(Into::into).collect(),
            metadata: self.metadata.into_iter().map(Into::into).collect(),
            sealed_by: self.sealed_by,
            sealed_at_ns: self.sealed_at_ns,
        }
    }
}

impl Storable for StoredModule {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).expect("BUG: a record of plain fields cannot be encoded");
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        ciborium::from_reader(bytes.as_ref()).expect("BUG: a stored module has another layout")
    }
}

#[cfg(test)]
mod tests;
