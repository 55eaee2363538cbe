//! Modules, principals and states for tests.

use candid::{CandidType, Principal, decode_one};
use depot_types::wasm::Budget;
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
use serde::de::DeserializeOwned;
use serde_bytes::{ByteArray, ByteBuf};

use crate::{
    access::Caller,
    certificates::Certificates,
    lifecycle, pages,
    reply::Reply,
    retentions::Retentions,
    room::Backing,
    state::State,
    storable::{StoredEncoding, StoredKind, StoredModule, StoredRetention},
};

pub(crate) type TestState = State<VirtualMemory<VectorMemory>>;

pub(crate) const ALICE: Principal = Principal::from_slice(&[1, 1]);
pub(crate) const BOB: Principal = Principal::from_slice(&[2, 1]);
pub(crate) const CONTROLLER: Caller = Caller { principal: Principal::from_slice(&[3, 1]), is_controller: true };
pub(crate) const CATALOG: Principal = Principal::from_slice(&[4, 1]);
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

/// Stable memory without end.
pub(crate) fn backing() -> Backing {
    Backing { bucket_pages: u64::from(BUCKET_PAGES), pages: Box::new(|| u64::MAX) }
}

/// Opens what is there.
pub(crate) fn open(manager: &MemoryManager<VectorMemory>) -> TestState {
    State::open(|id| manager.get(id), backing()).unwrap()
}

/// A new store where Alice and Bob may upload.
pub(crate) fn new_state() -> TestState {
    let mut state = open(&new_manager());
    lifecycle::apply(&mut state, Some(new_args())).unwrap();
    state
}

/// Arguments that let Alice and Bob upload.
pub(crate) fn new_args() -> BlobStoreArgs {
    BlobStoreArgs { uploaders: vec![ALICE, BOB], ..BlobStoreArgs::default() }
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

    /// A module that the Internet Computer would not install.
    pub(crate) fn with_unknown_import() -> Self {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        // A type section with one function type, and an import section with `env` `f` of it.
        wasm.extend([1, 4, 1, 0x60, 0, 0]);
        wasm.extend([2, 9, 1, 3, b'e', b'n', b'v', 1, b'f', 0, 0]);
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
        state.put_chunk(caller, now_ns, &module.put(index)).unwrap();
    }
}

/// Uploads and seals a module.
pub(crate) fn seal(state: &mut TestState, principal: Principal, module: &Module) -> ModuleInfo {
    put_all(state, uploader(principal), NOW, module);
    state.commit_upload(uploader(principal), NOW, &module.hash, Budget::UNLIMITED).unwrap()
}

/// A record of a module without chunks.
pub(crate) fn stored_module(sealed_by: Principal) -> StoredModule {
    StoredModule {
        size: 5,
        chunk_hashes: ByteBuf::new(),
        encoding: StoredEncoding::Raw,
        kind: StoredKind::CoreModule,
        raw_hash: ByteArray::default(),
        raw_size: 5,
        obstacles: vec![],
        metadata: vec![],
        sealed_by,
        sealed_at_ns: NOW,
    }
}

impl TestState {
    /// Returns an answer as who asked would decode it.
    pub(crate) fn answer<T: CandidType + DeserializeOwned>(&self, reply: &Reply) -> T {
        let mut message = Vec::new();
        self.send(reply, &mut [0; 1_000], |piece| message.extend(piece));
        decode_one(&message).unwrap()
    }

    /// Checks what always holds: references are counted right, no page is lost or used twice, bytes are those of the
    /// hash.
    pub(crate) fn check_invariants(&self) {
        let uploads = self.sessions.records();
        let modules = self.modules.records();
        let chunks = self.chunks.records();
        let (mut total, mut used) = (0, 0);
        let mut extents = self.chunks.space().free_extents();
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
            extents.push((chunk.page, chunk.pages));
            used += u64::from(chunk.pages);
        }
        let is_kept = |hash| chunks.iter().any(|(of, _)| of == hash);
        assert!(modules.iter().flat_map(|(_, module)| module.chunk_hashes()).all(is_kept));
        assert_eq!((self.header.chunk_bytes(), self.header.used_pages()), (total, used));
        extents.sort_unstable();
        let mut end = 0;
        for (page, pages) in extents {
            assert_eq!(page, end, "each page is used once or free");
            end = page + pages;
        }
        assert_eq!(u64::from(end), self.chunks.space().len());
        self.check_retentions();
    }

    /// Checks that references, retentions and accounts fit the modules.
    fn check_retentions(&self) {
        let modules = self.modules.records();
        let retentions = self.retentions.records();
        let hashes = |records: &mut dyn Iterator<Item = [u8; 32]>| records.collect::<Vec<_>>();
        let with_record = hashes(&mut retentions.iter().map(|(hash, _)| *hash));
        assert_eq!(with_record, hashes(&mut modules.iter().map(|(hash, _)| *hash)));
        let mut references = 0;
        for (holder, record) in self.holders.iter().map(|entry| (*entry.key(), entry.value())) {
            assert_eq!(self.retentions.references_of(&holder, None).count() as u64, record.references);
            references += record.references;
        }
        assert_eq!(self.retentions.references_len(), references);
        assert_eq!(retentions.iter().map(|(_, record)| u64::from(record.references)).sum::<u64>(), references);
        for (hash, record) in &retentions {
            let holders = self.holders.keys().filter(|holder| self.retentions.has_reference(holder, &Hash::new(*hash)));
            assert_eq!(holders.count() as u32, record.references);
            assert!(!record.condemned || record.references == 0);
        }
        assert_eq!(retentions.iter().filter(|(_, record)| record.condemned).count() as u64, self.header.condemned());
        let mut accounts = std::collections::BTreeMap::new();
        for (_, module) in &modules {
            *accounts.entry(module.sealed_by).or_insert(0) += module.size;
        }
        assert_eq!(self.accounts.records(), accounts.into_iter().collect::<Vec<_>>());
        let mut fresh = Certificates::open(VectorMemory::default());
        let mut known = Retentions::open(VectorMemory::default(), VectorMemory::default(), VectorMemory::default());
        for (hash, module) in &modules {
            let certified = pages::certified(hash, module, None).digest();
            known.put(hash, StoredRetention { references: 0, condemned: false, since_ns: 0, certified });
            fresh.update(&known, hash);
        }
        assert_eq!(self.certificates.root(), fresh.root());
        let metadata: usize = modules.iter().map(|(_, module)| module.metadata.len()).sum();
        assert_eq!(self.modules.metadata_len(), metadata as u64);
    }
}
