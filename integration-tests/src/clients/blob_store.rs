use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, BlobStoreStats, CommitUploadError, GarbageError, GarbageReport, HolderError,
        ListModulesArgs, ListRetainedArgs, ModuleInfo, ModuleMetadataArgs, ModulePage, PutChunkArgs, PutChunkError,
        PutChunkOk, ReadModuleArgs, ReadModuleError, RetainError, RetainOk, RetainedPage, Retention, UploadStatus,
        UploaderError,
    },
    chunk,
    http::{HttpRequest, HttpResponse},
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

    /// Reads a part of a sealed module.
    pub fn read_module(&self, module_hash: Hash, offset: u64, length: u32) -> Answer<Result<ByteBuf, ReadModuleError>> {
        self.0.query("read_module", (ReadModuleArgs { module_hash, offset, length },))
    }

    /// Lists sealed modules.
    pub fn list_modules(&self, args: ListModulesArgs) -> Answer<ModulePage> {
        self.0.query("list_modules", (args,))
    }

    /// Retains modules.
    pub fn retain(&self, module_hashes: &[Hash]) -> Answer<Result<RetainOk, RetainError>> {
        self.0.update("retain", (module_hashes,))
    }

    /// Releases modules.
    pub fn release(&self, module_hashes: &[Hash]) -> Answer<Result<(), RetainError>> {
        self.0.update("release", (module_hashes,))
    }

    /// Lists what a holder retains.
    pub fn list_retained(&self, args: ListRetainedArgs) -> Answer<RetainedPage> {
        self.0.query("list_retained", (args,))
    }

    /// Asks why a module is kept.
    pub fn retention(&self, module_hash: Hash) -> Answer<Option<Retention>> {
        self.0.query("retention", (module_hash,))
    }

    /// Lets a principal retain modules.
    pub fn add_holder(&self, principal: Principal) -> Answer<Result<(), HolderError>> {
        self.0.update("add_holder", (principal,))
    }

    /// Lets a principal retain modules no more.
    pub fn remove_holder(&self, principal: Principal) -> Answer<Result<(), HolderError>> {
        self.0.update("remove_holder", (principal,))
    }

    /// Lists who may retain modules.
    pub fn holders(&self) -> Answer<Vec<Principal>> {
        self.0.query("holders", ())
    }

    /// Does one slice of cleaning up.
    pub fn collect_garbage(&self) -> Answer<Result<GarbageReport, GarbageError>> {
        self.0.update("collect_garbage", ())
    }

    /// Asks as an HTTP gateway does.
    pub fn http_request(&self, request: &HttpRequest) -> Answer<HttpResponse> {
        self.0.query("http_request", (request,))
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
