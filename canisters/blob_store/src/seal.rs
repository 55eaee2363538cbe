//! Makes a module of an upload.

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{CommitUploadError, ModuleInfo},
    limits::CHUNK_BYTES,
    wasm::{self, Budget, Inspection, Section},
};
use ic_stable_structures::Memory;
use serde_bytes::{ByteArray, ByteBuf};

use crate::{
    access::Caller,
    state::State,
    storable::{StoredMetadata, StoredModule, StoredUpload, UploadKey},
};

impl<M: Memory> State<M> {
    /// Hashes and validates all bytes of the caller's upload and makes it a module for everybody to see.
    ///
    /// A module that is sealed already is answered as it is, so the call can be repeated.
    ///
    /// # Errors
    /// [`CommitUploadError`]; nothing was changed.
    pub fn commit_upload(
        &mut self,
        caller: Caller,
        now_ns: u64,
        module_hash: &Hash,
        budget: Budget<'_>,
    ) -> Result<ModuleInfo, CommitUploadError> {
        if !self.may_upload(caller) {
            return Err(CommitUploadError::NotAllowed { caller: caller.principal });
        }
        let key = UploadKey::new(&caller.principal, module_hash);
        if let Some(info) = self.modules.info(module_hash) {
            self.drop_upload(&key);
            self.keep(module_hash, now_ns);
            return Ok(info);
        }
        let upload =
            self.sessions.get(&key, now_ns).ok_or(CommitUploadError::NoUpload { module_hash: *module_hash })?;
        let missing = self.missing(&upload);
        if !missing.is_empty() {
            return Err(CommitUploadError::MissingChunks { missing });
        }
        self.room.check(0).map_err(CommitUploadError::StorageFull)?;
        let inspection = self.inspect(module_hash, &upload, budget)?;
        // Nothing can go wrong from here on. The module refers to its chunks before the upload gives them up.
        for hash in upload.chunk_hashes() {
            self.chunks.seal(hash);
        }
        self.drop_upload(&key);
        let (module, sections) = new_module(&upload, inspection, caller.principal, now_ns);
        self.modules.insert(module_hash, module.clone(), sections);
        self.begin_retention(module_hash.as_bytes(), &module, now_ns);
        Ok(module.into_info(*module_hash))
    }

    /// Hashes and inspects the whole module, whose chunks are all there.
    fn inspect(
        &self,
        module_hash: &Hash,
        upload: &StoredUpload,
        budget: Budget<'_>,
    ) -> Result<Inspection, CommitUploadError> {
        let mut bytes = vec![0; upload.size as usize];
        for (hash, chunk) in upload.chunk_hashes().iter().zip(bytes.chunks_mut(CHUNK_BYTES as usize)) {
            self.chunks.load(hash, chunk);
        }
        let received = Hash::of(&bytes);
        if received != *module_hash {
            return Err(CommitUploadError::WrongModuleHash { expected: *module_hash, received });
        }
        wasm::inspect_hashed(&bytes, received, budget).map_err(CommitUploadError::InvalidModule)
    }
}

fn new_module(
    upload: &StoredUpload,
    inspection: Inspection,
    sealed_by: Principal,
    sealed_at_ns: u64,
) -> (StoredModule, Vec<Section>) {
    let Inspection { encoding, kind, raw_size, raw_hash, obstacles, sections } = inspection;
    let metadata = |section: &Section| StoredMetadata {
        name: section.name.clone(),
        public: section.public,
        size: section.content.len() as u64,
    };
    let module = StoredModule {
        size: upload.size,
        chunk_hashes: ByteBuf::from(upload.chunk_hashes().as_flattened()),
        encoding: encoding.into(),
        kind: kind.into(),
        raw_hash: ByteArray::new(*raw_hash.as_bytes()),
        raw_size,
        obstacles: obstacles.into_iter().map(Into::into).collect(),
        metadata: sections.iter().map(metadata).collect(),
        sealed_by,
        sealed_at_ns,
    };
    (module, sections)
}

#[cfg(test)]
mod tests;
