//! Holds the store against a model of it: a plain map of uploads and a set of modules.

use std::collections::{BTreeMap, BTreeSet};

use candid::{Principal, decode_one};
use depot_types::{
    Hash,
    blob_store::{BeginUploadError, CommitUploadError, PutChunkError, UploadStatus},
};
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use crate::access::Caller;
use crate::{
    limits::{MAX_UPLOADS_PER_PRINCIPAL, MAX_UPLOADS_SWEPT, UPLOAD_LIFETIME_NS},
    storable::UploadKey,
    test_fixtures::{ALICE, BOB, CONTROLLER, Module, NOW, TestState, new_state, principal},
};

/// What can be done, with numbers of callers and modules.
#[derive(Clone, Debug)]
enum Step {
    Begin(usize, usize),
    Put(usize, usize, u32),
    PutWrong(usize, usize, u32),
    Commit(usize, usize),
    Abort(usize, usize),
    Wait(u64),
}

fn callers() -> [Caller; 4] {
    let uploader = |principal| Caller { principal, is_controller: false };
    [uploader(ALICE), uploader(BOB), CONTROLLER, uploader(principal(99))]
}

/// Modules that share chunks, one of them no Wasm, and enough of them to reach the limit of uploads.
fn modules() -> Vec<Module> {
    let mut modules =
        vec![Module::large(1, 1), Module::large(1, 2), Module::large(2, 1), Module::new(vec![7; 2 << 20])];
    modules.extend((0..6).map(Module::small));
    modules
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || (0..callers().len(), 0..10_usize);
    let step = prop_oneof![
        5 => who().prop_map(|(caller, module)| Step::Begin(caller, module)),
        8 => (who(), 0..4_u32).prop_map(|((caller, module), index)| Step::Put(caller, module, index)),
        1 => (who(), 0..3_u32).prop_map(|((caller, module), index)| Step::PutWrong(caller, module, index)),
        4 => who().prop_map(|(caller, module)| Step::Commit(caller, module)),
        2 => who().prop_map(|(caller, module)| Step::Abort(caller, module)),
        1 => prop_oneof![Just(1), Just(UPLOAD_LIFETIME_NS / 2), Just(UPLOAD_LIFETIME_NS)].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// An upload in the model.
struct Upload {
    module: usize,
    expires_at_ns: u64,
    held: BTreeSet<u32>,
}

/// The store as it should be.
struct Model {
    modules: Vec<Module>,
    hashes: Vec<Vec<Hash>>,
    now_ns: u64,
    uploads: BTreeMap<UploadKey, Upload>,
    sealed: BTreeSet<usize>,
}

impl Model {
    fn new() -> Self {
        let modules = modules();
        let hashes = modules.iter().map(Module::chunk_hashes).collect();
        Self { modules, hashes, now_ns: NOW, uploads: BTreeMap::new(), sealed: BTreeSet::new() }
    }

    fn key(&self, caller: Principal, module: usize) -> UploadKey {
        UploadKey::new(&caller, &self.modules[module].hash)
    }

    /// Returns all chunks that something refers to.
    fn chunks(&self) -> BTreeSet<Hash> {
        let held = self
            .uploads
            .values()
            .flat_map(|upload| upload.held.iter().map(|index| self.hashes[upload.module][*index as usize]));
        held.chain(self.sealed_chunks()).collect()
    }

    fn sealed_chunks(&self) -> BTreeSet<Hash> {
        self.sealed.iter().flat_map(|module| self.hashes[*module].iter().copied()).collect()
    }

    fn missing(&self, module: usize, chunks: &BTreeSet<Hash>) -> Vec<u32> {
        (0..).zip(&self.hashes[module]).filter(|(_, hash)| !chunks.contains(hash)).map(|(index, _)| index).collect()
    }

    /// Returns the caller's upload unless it has expired.
    fn open(&mut self, caller: Principal, module: usize) -> Option<&mut Upload> {
        let key = self.key(caller, module);
        let now_ns = self.now_ns;
        self.uploads.get_mut(&key).filter(|upload| upload.expires_at_ns > now_ns)
    }

    fn sweep(&mut self) {
        for _ in 0..MAX_UPLOADS_SWEPT {
            let expired = self.uploads.iter().filter(|(_, upload)| upload.expires_at_ns <= self.now_ns);
            let Some(key) = expired.map(|(key, upload)| (upload.expires_at_ns, *key)).min() else { return };
            self.uploads.remove(&key.1);
        }
    }

    /// Begins an upload; returns the missing chunks, or `None` when the module is sealed.
    fn begin(&mut self, caller: Caller, module: usize) -> Result<Option<Vec<u32>>, BeginUploadError> {
        let principal = caller.principal;
        if principal == callers()[3].principal {
            return Err(BeginUploadError::NotAllowed { caller: principal });
        }
        self.sweep();
        let key = self.key(principal, module);
        if self.sealed.contains(&module) {
            self.uploads.remove(&key);
            return Ok(None);
        }
        if self.open(principal, module).is_none() {
            let (first, last) = UploadKey::range_of(&principal);
            let now_ns = self.now_ns;
            self.uploads.retain(|key, upload| !(first..=last).contains(key) || upload.expires_at_ns > now_ns);
            let open = self.uploads.range(first..=last).count() as u32;
            if open >= MAX_UPLOADS_PER_PRINCIPAL {
                return Err(BeginUploadError::TooManyUploads { open, max: MAX_UPLOADS_PER_PRINCIPAL });
            }
        }
        let chunks = self.chunks();
        let missing = self.missing(module, &chunks);
        let all = 0..self.hashes[module].len() as u32;
        let held = all.filter(|index| !missing.contains(index)).collect();
        let expires_at_ns = self.now_ns + UPLOAD_LIFETIME_NS;
        self.uploads.insert(key, Upload { module, expires_at_ns, held });
        Ok(Some(missing))
    }

    /// Puts a right chunk; returns how many are not held then.
    fn put(&mut self, caller: Principal, module: usize, index: u32) -> Result<u32, PutChunkError> {
        if caller == callers()[3].principal {
            return Err(PutChunkError::NotAllowed { caller });
        }
        let hashes = self.hashes[module].clone();
        let expires_at_ns = self.now_ns + UPLOAD_LIFETIME_NS;
        let module_hash = self.modules[module].hash;
        let upload = self.open(caller, module).ok_or(PutChunkError::NoUpload { module_hash })?;
        let same = |of: &u32| hashes[*of as usize] == hashes[index as usize];
        upload.held.extend((0..hashes.len() as u32).filter(same));
        upload.expires_at_ns = expires_at_ns;
        Ok(hashes.len() as u32 - upload.held.len() as u32)
    }

    fn commit(&mut self, caller: Principal, module: usize) -> Result<(), CommitUploadError> {
        if caller == callers()[3].principal {
            return Err(CommitUploadError::NotAllowed { caller });
        }
        let key = self.key(caller, module);
        if self.sealed.contains(&module) {
            self.uploads.remove(&key);
            return Ok(());
        }
        let module_hash = self.modules[module].hash;
        self.open(caller, module).ok_or(CommitUploadError::NoUpload { module_hash })?;
        let missing = self.missing(module, &self.chunks());
        if !missing.is_empty() {
            return Err(CommitUploadError::MissingChunks { missing });
        }
        let wasm = &self.modules[module].bytes;
        if let Err(invalid) = depot_types::wasm::inspect(wasm) {
            return Err(CommitUploadError::InvalidModule(invalid));
        }
        self.sealed.insert(module);
        self.uploads.remove(&key);
        Ok(())
    }

    fn abort(&mut self, caller: Principal, module: usize) -> bool {
        let is_open = self.open(caller, module).is_some();
        let key = self.key(caller, module);
        self.uploads.remove(&key);
        is_open
    }

    /// Returns the missing chunks of an upload that is open.
    fn status(&mut self, caller: Principal, module: usize) -> Option<Vec<u32>> {
        self.open(caller, module)?;
        Some(self.missing(module, &self.chunks()))
    }
}

/// Returns the missing chunks, or `None` when the module is sealed.
fn missing(status: UploadStatus) -> Option<Vec<u32>> {
    match status {
        UploadStatus::Open(open) => Some(open.missing),
        UploadStatus::Sealed(_) => None,
    }
}

fn take(step: &Step, state: &mut TestState, model: &mut Model) {
    let caller = |number: usize| callers()[number];
    let now_ns = model.now_ns;
    match *step {
        Step::Begin(number, module) => {
            let answer = state.begin_upload(caller(number), now_ns, &model.modules[module].declaration());
            assert_eq!(answer.map(missing), model.begin(caller(number), module));
        }
        Step::Put(number, module, index) => {
            let index = index % model.hashes[module].len() as u32;
            let answer = state.put_chunk(caller(number), now_ns, &model.modules[module].put(index));
            assert_eq!(answer.map(|put| put.missing_count), model.put(caller(number).principal, module, index));
        }
        Step::PutWrong(number, module, index) => {
            let mut args = model.modules[module].put(index % model.hashes[module].len() as u32);
            args.bytes[0] ^= 1;
            let answer = state.put_chunk(caller(number), now_ns, &args);
            let is_open = model.open(caller(number).principal, module).is_some();
            let is_allowed = number != 3;
            assert_eq!(matches!(answer, Err(PutChunkError::WrongHash { .. })), is_open);
            assert_eq!(matches!(answer, Err(PutChunkError::NoUpload { .. })), !is_open && is_allowed);
        }
        Step::Commit(number, module) => {
            let answer = state.commit_upload(caller(number), now_ns, &model.modules[module].hash).map(|_| ());
            assert_eq!(answer, model.commit(caller(number).principal, module));
        }
        Step::Abort(number, module) => {
            let answer = state.abort_upload(caller(number).principal, now_ns, &model.modules[module].hash);
            assert_eq!(answer, model.abort(caller(number).principal, module));
        }
        Step::Wait(time_ns) => model.now_ns += time_ns,
    }
}

fn compare(state: &TestState, model: &mut Model) {
    let stats = state.stats(0, vec![]);
    let counts = (stats.modules, stats.chunks, stats.uploads);
    assert_eq!(counts, (model.sealed.len() as u64, model.chunks().len() as u64, model.uploads.len() as u64));
    for module in 0..model.modules.len() {
        let hash = model.modules[module].hash;
        let is_sealed = model.sealed.contains(&module);
        assert_eq!(state.module_info(&hash).is_some(), is_sealed);
        for caller in callers() {
            let status = state.upload_status(caller.principal, model.now_ns, &hash);
            if is_sealed {
                assert!(matches!(status, Some(UploadStatus::Sealed(_))));
            } else {
                assert_eq!(status.and_then(missing), model.status(caller.principal, module));
            }
        }
    }
}

fn compare_bytes(state: &TestState, model: &Model) {
    let sealed = model.sealed_chunks();
    for (module, hashes) in model.modules.iter().zip(&model.hashes) {
        for (hash, chunk) in hashes.iter().zip(module.chunks()) {
            let read: Option<ByteBuf> = decode_one(&state.encoded_chunk(hash)).unwrap();
            assert_eq!(read.as_deref().map(Vec::as_slice), sealed.contains(hash).then_some(chunk));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn should_do_what_the_model_does(steps in steps()) {
        let mut state = new_state();
        let mut model = Model::new();
        for step in &steps {
            take(step, &mut state, &mut model);
            compare(&state, &mut model);
        }
        state.check_invariants();
        compare_bytes(&state, &model);
    }
}
