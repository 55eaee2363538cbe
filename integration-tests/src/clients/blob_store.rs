use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, BlobStoreStats, CommitUploadError, ModuleInfo, ModuleMetadataArgs,
        PutChunkArgs, PutChunkError, PutChunkOk, UploadStatus, UploaderError,
    },
    chunk,
};
use serde_bytes::ByteBuf;

use super::{Answer, Client};

/// The blob store.
#[derive(Clone, Copy)]
pub struct BlobStore<'a>(pub Client<'a>);

impl BlobStore<'_> {
    /// Declares a module by its bytes.
    pub fn begin_upload_of(&self, module: &[u8]) -> Answer<Result<UploadStatus, BeginUploadError>> {
        self.begin_upload(BeginUploadArgs {
            module_hash: Hash::of(module),
            size: module.len() as u64,
            chunk_hashes: chunk::hashes(module),
        })
    }

    /// Declares a module.
    pub fn begin_upload(&self, args: BeginUploadArgs) -> Answer<Result<UploadStatus, BeginUploadError>> {
        self.0.update("begin_upload", (args,))
    }

    /// Sends one chunk.
    pub fn put_chunk(&self, module_hash: Hash, index: u32, bytes: &[u8]) -> Answer<Result<PutChunkOk, PutChunkError>> {
        let bytes = ByteBuf::from(bytes.to_vec());
        self.0.update("put_chunk", (PutChunkArgs { module_hash, index, bytes },))
    }

    /// Seals a module.
    pub fn commit_upload(&self, module_hash: Hash) -> Answer<Result<ModuleInfo, CommitUploadError>> {
        self.0.update("commit_upload", (module_hash,))
    }

    /// Gives an upload up.
    pub fn abort_upload(&self, module_hash: Hash) -> Answer<bool> {
        self.0.update("abort_upload", (module_hash,))
    }

    /// Asks where an upload stands.
    pub fn upload_status(&self, module_hash: Hash) -> Answer<Option<UploadStatus>> {
        self.0.query("upload_status", (module_hash,))
    }

    /// Describes a sealed module.
    pub fn module_info(&self, module_hash: Hash) -> Answer<Option<ModuleInfo>> {
        self.0.query("module_info", (module_hash,))
    }

    /// Reads an `icp:` section of a sealed module.
    pub fn module_metadata(&self, module_hash: Hash, name: &str) -> Answer<Option<ByteBuf>> {
        self.0.query("module_metadata", (ModuleMetadataArgs { module_hash, name: name.to_string() },))
    }

    /// Reads a chunk.
    pub fn get_chunk(&self, chunk_hash: Hash) -> Answer<Option<ByteBuf>> {
        self.0.query("get_chunk", (chunk_hash,))
    }

    /// Counts what the store holds.
    pub fn stats(&self) -> Answer<BlobStoreStats> {
        self.0.query("stats", ())
    }

    /// Lets a principal upload.
    pub fn add_uploader(&self, principal: Principal) -> Answer<Result<(), UploaderError>> {
        self.0.update("add_uploader", (principal,))
    }

    /// Lets a principal upload no more.
    pub fn remove_uploader(&self, principal: Principal) -> Answer<Result<(), UploaderError>> {
        self.0.update("remove_uploader", (principal,))
    }

    /// Lists who may upload besides controllers.
    pub fn uploaders(&self) -> Answer<Vec<Principal>> {
        self.0.query("uploaders", ())
    }
}
