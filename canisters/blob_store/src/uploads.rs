//! The life of an upload: begin, put, abort, expire. Its end in a sealed module is in `seal.rs`.
//!
//! An upload refers to chunks that are in the store: those that it put, and those that were there. The rest is missing.
//! A chunk that comes into the store after the upload began is not missing any more, but is referred to from the next
//! time on that the uploader begins, puts or commits, and may go away again until then.

use std::collections::BTreeMap;

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, OpenUpload, PutChunkArgs, PutChunkError, PutChunkOk, UploadStatus,
    },
    chunk,
    limits::MAX_MODULE_BYTES,
};
use ic_stable_structures::Memory;

use crate::{
    access::Caller,
    chunks::Freed,
    limits::{MAX_BYTES_IN_FLIGHT, MAX_UPLOADS, MAX_UPLOADS_PER_PRINCIPAL, MAX_UPLOADS_SWEPT, UPLOAD_LIFETIME_NS},
    state::State,
    storable::{StoredUpload, UploadKey},
};

impl<M: Memory> State<M> {
    /// Declares a module. An upload of the caller that is open is taken up again; a sealed module that nobody retains
    /// is kept for another grace period.
    ///
    /// # Errors
    /// [`BeginUploadError`]; no upload was begun or changed.
    pub fn begin_upload(
        &mut self,
        caller: Caller,
        now_ns: u64,
        args: &BeginUploadArgs,
    ) -> Result<UploadStatus, BeginUploadError> {
        check_caller(self, caller)?;
        self.sweep(now_ns);
        let BeginUploadArgs { module_hash, size, chunk_hashes } = args;
        let key = UploadKey::new(&caller.principal, module_hash);
        if let Some(info) = self.modules.info(module_hash) {
            self.drop_upload(&key);
            self.keep(module_hash, now_ns);
            return Ok(UploadStatus::Sealed(info));
        }
        check_declaration(*size, chunk_hashes)?;
        let mut upload = match self.sessions.get(&key, now_ns) {
            Some(upload) if is_of(&upload, *size, chunk_hashes) => upload,
            Some(_) => return Err(BeginUploadError::DeclaredDifferently),
            None => {
                self.check_quotas(caller.principal, now_ns, *size)?;
                StoredUpload::new(*size, chunk_hashes, now_ns)
            }
        };
        let missing = self.missing(&upload);
        let size_of = |index: &u32| (upload.chunk_hashes()[*index as usize], chunk_size(&upload, *index));
        let new_chunks: BTreeMap<_, _> = missing.iter().map(size_of).collect();
        let new_blocks = self.chunks.new_blocks_for(new_chunks.into_values());
        self.room.check(new_blocks).map_err(BeginUploadError::StorageFull)?;
        for index in 0..upload.chunk_count() {
            self.acquire(&mut upload, index);
        }
        upload.expires_at_ns = now_ns.saturating_add(UPLOAD_LIFETIME_NS);
        let open = self.open_upload(*module_hash, &upload);
        self.sessions.put(key, upload);
        Ok(UploadStatus::Open(open))
    }

    /// Takes in one chunk of a declared module. Putting a chunk that is there does no harm.
    ///
    /// # Errors
    /// [`PutChunkError`]; nothing was changed.
    pub fn put_chunk(&mut self, caller: Caller, now_ns: u64, args: &PutChunkArgs) -> Result<PutChunkOk, PutChunkError> {
        let PutChunkArgs { module_hash, index, bytes } = args;
        if !self.may_upload(caller) {
            return Err(PutChunkError::NotAllowed { caller: caller.principal });
        }
        let key = UploadKey::new(&caller.principal, module_hash);
        let mut upload =
            self.sessions.get(&key, now_ns).ok_or(PutChunkError::NoUpload { module_hash: *module_hash })?;
        let hash = check_chunk(&upload, *index, bytes)?;
        if !self.chunks.contains(hash.as_bytes(), bytes.len() as u64) {
            let size = bytes.len() as u64;
            let new_blocks = self.chunks.new_blocks_for([size].into_iter());
            self.room.check(new_blocks).map_err(PutChunkError::StorageFull)?;
            self.chunks.insert(hash.as_bytes(), bytes);
            self.header.add_chunk(size);
            upload.hold(*index);
        }
        // The module may have the same chunk in other places too.
        for index in 0..upload.chunk_count() {
            if upload.chunk_hashes()[index as usize] == *hash.as_bytes() {
                self.acquire(&mut upload, index);
            }
        }
        upload.expires_at_ns = now_ns.saturating_add(UPLOAD_LIFETIME_NS);
        let put = PutChunkOk { missing_count: upload.not_held_count(), expires_at_ns: upload.expires_at_ns };
        self.sessions.put(key, upload);
        Ok(put)
    }

    /// Ends the caller's upload of a module and forgets what only it has; returns false when there is none.
    pub fn abort_upload(&mut self, caller: Principal, now_ns: u64, module_hash: &Hash) -> bool {
        let key = UploadKey::new(&caller, module_hash);
        let is_open = self.sessions.get(&key, now_ns).is_some();
        self.drop_upload(&key);
        is_open
    }

    /// Returns where an upload of the caller stands.
    pub fn upload_status(&self, caller: Principal, now_ns: u64, module_hash: &Hash) -> Option<UploadStatus> {
        if let Some(info) = self.modules.info(module_hash) {
            return Some(UploadStatus::Sealed(info));
        }
        let upload = self.sessions.get(&UploadKey::new(&caller, module_hash), now_ns)?;
        Some(UploadStatus::Open(self.open_upload(*module_hash, &upload)))
    }

    /// Returns the numbers of the chunks that are not in the store.
    pub(crate) fn missing(&self, upload: &StoredUpload) -> Vec<u32> {
        let is_missing = |index: &u32| {
            let hash = &upload.chunk_hashes()[*index as usize];
            !upload.holds(*index) && !self.chunks.contains(hash, chunk_size(upload, *index))
        };
        (0..upload.chunk_count()).filter(is_missing).collect()
    }

    /// Removes an upload if there is one, and gives up its chunks. Returns the bytes that this freed.
    pub(crate) fn drop_upload(&mut self, key: &UploadKey) -> u64 {
        let Some(upload) = self.sessions.remove(key) else { return 0 };
        let held = (0..).zip(upload.chunk_hashes()).filter(|(index, _)| upload.holds(*index));
        let freed: Freed = held.map(|(_, hash)| self.chunks.release(hash)).sum();
        self.header.remove_chunks(freed);
        freed.bytes
    }

    /// Makes an upload refer to a chunk, if it does not yet and the chunk is there.
    fn acquire(&mut self, upload: &mut StoredUpload, index: u32) {
        if !upload.holds(index)
            && self.chunks.acquire(&upload.chunk_hashes()[index as usize], chunk_size(upload, index))
        {
            upload.hold(index);
        }
    }

    fn open_upload(&self, module_hash: Hash, upload: &StoredUpload) -> OpenUpload {
        OpenUpload {
            module_hash,
            size: upload.size,
            chunk_count: upload.chunk_count(),
            missing: self.missing(upload),
            expires_at_ns: upload.expires_at_ns,
        }
    }

    /// Removes some of the uploads that have expired.
    fn sweep(&mut self, now_ns: u64) {
        for _ in 0..MAX_UPLOADS_SWEPT {
            let Some(key) = self.sessions.first_expired(now_ns) else { return };
            self.drop_upload(&key);
        }
    }

    /// Checks that a principal may open one more upload, of a module of so many bytes. Its own expired ones do not count
    /// and are removed.
    fn check_quotas(&mut self, principal: Principal, now_ns: u64, declared: u64) -> Result<(), BeginUploadError> {
        let (mut open, mut in_flight) = (0, 0);
        for key in self.sessions.keys_of(&principal) {
            if let Some(upload) = self.sessions.get(&key, now_ns) {
                open += 1;
                in_flight += upload.size;
            } else {
                self.drop_upload(&key);
            }
        }
        if open >= MAX_UPLOADS_PER_PRINCIPAL {
            return Err(BeginUploadError::TooManyUploads { open, max: MAX_UPLOADS_PER_PRINCIPAL });
        }
        let max = MAX_BYTES_IN_FLIGHT;
        if in_flight + declared > max {
            return Err(BeginUploadError::TooManyBytesInFlight { declared, in_flight, max });
        }
        let (stored, max) = (self.accounts.stored_bytes(&principal), self.header.max_stored_bytes());
        if stored.saturating_add(in_flight + declared) > max {
            return Err(BeginUploadError::TooManyBytesStored { declared, in_flight, stored, max });
        }
        // The number of uploads never passes the limit, which is a u32.
        let open = self.sessions.len() as u32;
        if open >= MAX_UPLOADS {
            return Err(BeginUploadError::StoreBusy { open, max: MAX_UPLOADS });
        }
        Ok(())
    }
}

/// Checks that the caller may upload.
fn check_caller<M: Memory>(state: &State<M>, caller: Caller) -> Result<(), BeginUploadError> {
    if state.may_upload(caller) {
        Ok(())
    } else if caller.principal == Principal::anonymous() {
        Err(BeginUploadError::AnonymousCaller)
    } else {
        Err(BeginUploadError::NotAllowed { caller: caller.principal })
    }
}

/// Checks size and number of chunks of a declared module.
fn check_declaration(size: u64, chunk_hashes: &[Hash]) -> Result<(), BeginUploadError> {
    if size == 0 || size > MAX_MODULE_BYTES {
        return Err(BeginUploadError::InvalidSize { size, max: MAX_MODULE_BYTES });
    }
    let expected = chunk::count(size);
    if expected != chunk_hashes.len() as u64 {
        let received = u32::try_from(chunk_hashes.len()).unwrap_or(u32::MAX);
        return Err(BeginUploadError::WrongChunkCount { expected: expected as u32, received });
    }
    Ok(())
}

/// Checks that the bytes are those declared, and returns their hash.
fn check_chunk(upload: &StoredUpload, index: u32, bytes: &[u8]) -> Result<Hash, PutChunkError> {
    let Some(expected) = upload.chunk_hashes().get(index as usize).copied().map(Hash::new) else {
        return Err(PutChunkError::IndexOutOfRange { index, chunk_count: upload.chunk_count() });
    };
    let (expected_size, size) = (chunk_size(upload, index), bytes.len() as u64);
    if size != expected_size {
        return Err(PutChunkError::WrongSize { expected: expected_size, received: size });
    }
    let received = Hash::of(bytes);
    if received == expected { Ok(received) } else { Err(PutChunkError::WrongHash { expected, received }) }
}

/// Returns true when the upload was declared like this.
fn is_of(upload: &StoredUpload, size: u64, chunk_hashes: &[Hash]) -> bool {
    upload.size == size && upload.chunk_hashes().iter().eq(chunk_hashes.iter().map(Hash::as_bytes))
}

/// Returns the size that a chunk of an upload must have.
fn chunk_size(upload: &StoredUpload, index: u32) -> u64 {
    chunk::size_of(upload.size, u64::from(index)).expect("BUG: an upload has no such chunk")
}

#[cfg(test)]
mod tests;
