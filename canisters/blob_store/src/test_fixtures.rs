//! Modules, principals and states for tests.

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{BeginUploadArgs, BlobStoreArgs, ModuleInfo, PutChunkArgs, UploadStatus},
    chunk,
    limits::CHUNK_BYTES,
};
use ic_stable_structures::{
    VectorMemory,
    memory_manager::{MemoryManager, VirtualMemory},
};
use serde_bytes::ByteBuf;

use crate::{access::Caller, lifecycle, state::State};

pub(crate) type TestState = State<VirtualMemory<VectorMemory>>;

pub(crate) const ALICE: Principal = Principal::from_slice(&[1, 1]);
pub(crate) const BOB: Principal = Principal::from_slice(&[2, 1]);
pub(crate) const CONTROLLER: Caller = Caller { principal: Principal::from_slice(&[3, 1]), is_controller: true };
pub(crate) const NOW: u64 = 1_000_000_000_000_000_000;

/// Pages of 64 KiB by which a memory grows: small, so that a state of a test is.
const BUCKET_PAGES: u16 = 2;

pub(crate) fn principal(number: u64) -> Principal {
    Principal::from_slice(&number.to_be_bytes())
}

/// A caller that is no controller.
pub(crate) fn uploader(principal: Principal) -> Caller {
    Caller { principal, is_controller: false }
}

pub(crate) fn new_manager() -> MemoryManager<VectorMemory> {
    MemoryManager::init_with_bucket_size(VectorMemory::default(), BUCKET_PAGES)
}

/// A new store where Alice and Bob may upload.
pub(crate) fn new_state() -> TestState {
    let manager = new_manager();
    let mut state = State::open(|id| manager.get(id)).unwrap();
    lifecycle::apply(&mut state, Some(BlobStoreArgs { uploaders: vec![ALICE, BOB] })).unwrap();
    state
}

/// A module to upload.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: Hash,
}

impl Module {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { hash: Hash::of(&bytes), bytes }
    }

    /// A valid module of a few bytes.
    pub(crate) fn small(seed: u8) -> Self {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        push_custom_section(&mut wasm, "seed", &[seed]);
        Self::new(wasm)
    }

    /// A valid module of so many whole chunks, equal in all such modules, and a last one of the seed.
    pub(crate) fn large(whole_chunks: usize, seed: u8) -> Self {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        for chunk in 1..=whole_chunks {
            // A section with a name of one byte and a size of three has 6 bytes besides its content.
            let content = chunk * CHUNK_BYTES as usize - wasm.len() - 6;
            push_custom_section(&mut wasm, "x", &vec![7; content]);
            assert_eq!(wasm.len(), chunk * CHUNK_BYTES as usize);
        }
        push_custom_section(&mut wasm, "seed", &[seed; 3]);
        Self::new(wasm)
    }

    /// A module with a public and a private section of metadata.
    pub(crate) fn with_metadata() -> Self {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        push_custom_section(&mut wasm, "icp:public candid:service", b"service : {}");
        push_custom_section(&mut wasm, "icp:private secret", b"s");
        Self::new(wasm)
    }

    pub(crate) fn chunks(&self) -> Vec<&[u8]> {
        chunk::split(&self.bytes).collect()
    }

    pub(crate) fn chunk_hashes(&self) -> Vec<Hash> {
        chunk::hashes(&self.bytes)
    }

    pub(crate) fn declaration(&self) -> BeginUploadArgs {
        BeginUploadArgs { module_hash: self.hash, size: self.bytes.len() as u64, chunk_hashes: self.chunk_hashes() }
    }

    pub(crate) fn put(&self, index: u32) -> PutChunkArgs {
        let bytes = ByteBuf::from(self.chunks()[index as usize]);
        PutChunkArgs { module_hash: self.hash, index, bytes }
    }
}

fn push_custom_section(wasm: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut size = 1 + name.len() + content.len();
    wasm.push(0);
    while size >= 0x80 {
        wasm.push(size as u8 | 0x80);
        size >>= 7;
    }
    wasm.push(size as u8);
    wasm.push(name.len() as u8);
    wasm.extend(name.as_bytes());
    wasm.extend(content);
}

/// Begins an upload and returns the numbers of the chunks that are missing.
pub(crate) fn begin(state: &mut TestState, caller: Caller, now_ns: u64, module: &Module) -> Vec<u32> {
    match state.begin_upload(caller, now_ns, &module.declaration()).unwrap() {
        UploadStatus::Open(open) => open.missing,
        UploadStatus::Sealed(_) => panic!("the module is sealed"),
    }
}

/// Begins an upload and puts what is missing.
pub(crate) fn put_all(state: &mut TestState, caller: Caller, now_ns: u64, module: &Module) {
    for index in begin(state, caller, now_ns, module) {
        state.put_chunk(caller.principal, now_ns, &module.put(index)).unwrap();
    }
}

/// Uploads and seals a module.
pub(crate) fn seal(state: &mut TestState, principal: Principal, module: &Module) -> ModuleInfo {
    put_all(state, uploader(principal), NOW, module);
    state.commit_upload(principal, NOW, &module.hash).unwrap()
}

impl TestState {
    /// Checks what always holds: references are counted right, no slot is lost or used twice, bytes are those of the
    /// hash.
    pub(crate) fn check_invariants(&self) {
        let uploads = self.sessions.records();
        let modules = self.modules.records();
        let chunks = self.chunks.records();
        let mut total = 0;
        let mut slots = self.chunks.space().free_slots();
        for (hash, chunk) in &chunks {
            let held = |upload: &crate::storable::StoredUpload| {
                (0..).zip(upload.chunk_hashes()).filter(|(index, of)| *of == hash && upload.holds(*index)).count()
            };
            let from_uploads: usize = uploads.iter().map(|(_, upload)| held(upload)).sum();
            let from_modules: usize =
                modules.iter().flat_map(|(_, module)| module.chunk_hashes()).filter(|of| *of == hash).count();
            assert_eq!((chunk.uploads as usize, chunk.modules as usize), (from_uploads, from_modules));
            assert!(from_uploads + from_modules > 0, "a chunk that nothing refers to is kept");
            let mut bytes = vec![0; chunk.size as usize];
            self.chunks.load(hash, &mut bytes);
            assert_eq!(Hash::of(&bytes).as_bytes(), hash);
            total += u64::from(chunk.size);
            slots.push(chunk.slot);
        }
        let is_kept = |hash| chunks.iter().any(|(of, _)| of == hash);
        assert!(modules.iter().flat_map(|(_, module)| module.chunk_hashes()).all(is_kept));
        assert_eq!(self.chunks.total_bytes(), total);
        slots.sort_unstable();
        let all: Vec<u32> = (0..self.chunks.space().slot_count() as u32).collect();
        assert_eq!(slots, all, "each slot is used once or free");
    }
}
