//! Holds the store against a model of it: plain maps of uploads, sealed modules and holders.
//!
//! `PROPTEST_CASES` sets how many random sequences are tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use candid::Principal;
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadArgs, BeginUploadError, BlobStoreArgs, CommitUploadError, GarbageReport, HolderError,
        ListRetainedArgs, PutChunkError, RetainError, Retention, UploadStatus,
    },
    wasm::Budget,
};
use ic_stable_structures::{VectorMemory, memory_manager::MemoryManager};
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use crate::access::Caller;
use crate::{
    lifecycle,
    limits::{
        CONDEMNED_NS, DEFAULT_GRACE_PERIOD_NS, MAX_UPLOADS_PER_PRINCIPAL, MAX_UPLOADS_PER_SLICE, MAX_UPLOADS_SWEPT,
        UPLOAD_LIFETIME_NS,
    },
    storable::UploadKey,
    test_fixtures::{ALICE, BOB, CATALOG, CONTROLLER, Module, NOW, TestState, new_args, new_manager, open, principal},
};

/// Sequences tried unless the environment says how many.
const CASES: u32 = 64;
/// Bytes that each principal may have: a few of the large modules.
const MAX_STORED_BYTES: u64 = 7 << 20;

/// What can be done, with numbers of callers, modules and holders.
#[derive(Clone, Debug)]
enum Step {
    Begin(usize, usize),
    Put(usize, usize, u32),
    PutWrong(usize, usize, u32),
    Upload(usize, usize),
    Commit(usize, usize),
    Abort(usize, usize),
    Retain(usize, Vec<usize>),
    Release(usize, Vec<usize>),
    AddHolder(usize),
    RemoveHolder(usize),
    Collect,
    Upgrade,
    Wait(u64),
}

fn callers() -> [Caller; 4] {
    let uploader = |principal| Caller { principal, is_controller: false };
    [uploader(ALICE), uploader(BOB), CONTROLLER, uploader(principal(99))]
}

const HOLDERS: [Principal; 3] = [CATALOG, Principal::from_slice(&[5, 1]), Principal::from_slice(&[6, 1])];

/// A module with all that is computed from it.
struct Known {
    module: Module,
    hashes: Vec<Hash>,
    is_valid: bool,
}

/// Modules that share chunks, one of them no Wasm, and enough of them to reach the limit of uploads.
static MODULES: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let mut modules =
        vec![Module::large(1, 1), Module::large(1, 2), Module::large(2, 1), Module::new(vec![7; 2 << 20])];
    modules.push(Module::with_metadata());
    modules.extend((0..5).map(Module::small));
    let known = |module: Module| {
        let is_valid = depot_types::wasm::inspect(&module.bytes).is_ok();
        Known { hashes: module.chunk_hashes(), is_valid, module }
    };
    modules.into_iter().map(known).collect()
});

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || (0..callers().len(), 0..10_usize);
    let holder = || 0..HOLDERS.len();
    let some = || prop::collection::vec(0..10_usize, 1..4);
    let hour = 60 * 60 * 1_000_000_000_u64;
    let times = [1, UPLOAD_LIFETIME_NS / 2, UPLOAD_LIFETIME_NS, CONDEMNED_NS + hour, DEFAULT_GRACE_PERIOD_NS];
    let step = prop_oneof![
        5 => who().prop_map(|(caller, module)| Step::Begin(caller, module)),
        5 => (who(), 0..4_u32).prop_map(|((caller, module), index)| Step::Put(caller, module, index)),
        1 => (who(), 0..3_u32).prop_map(|((caller, module), index)| Step::PutWrong(caller, module, index)),
        4 => who().prop_map(|(caller, module)| Step::Upload(caller, module)),
        4 => who().prop_map(|(caller, module)| Step::Commit(caller, module)),
        2 => who().prop_map(|(caller, module)| Step::Abort(caller, module)),
        4 => (holder(), some()).prop_map(|(holder, modules)| Step::Retain(holder, modules)),
        3 => (holder(), some()).prop_map(|(holder, modules)| Step::Release(holder, modules)),
        2 => holder().prop_map(Step::AddHolder),
        1 => holder().prop_map(Step::RemoveHolder),
        4 => Just(Step::Collect),
        2 => Just(Step::Upgrade),
        4 => prop::sample::select(times.to_vec()).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

/// An upload in the model.
struct Upload {
    module: usize,
    expires_at_ns: u64,
    held: BTreeSet<u32>,
}

/// A sealed module in the model.
struct Sealed {
    by: Principal,
    holders: BTreeSet<Principal>,
    since_ns: u64,
    condemned: bool,
}

/// The store as it should be.
struct Model {
    now_ns: u64,
    uploads: BTreeMap<UploadKey, Upload>,
    sealed: BTreeMap<usize, Sealed>,
    /// Holders, with true for those that were removed.
    holders: BTreeMap<Principal, bool>,
}

impl Model {
    fn new() -> Self {
        Self { now_ns: NOW, uploads: BTreeMap::new(), sealed: BTreeMap::new(), holders: BTreeMap::new() }
    }

    fn key(caller: Principal, module: usize) -> UploadKey {
        UploadKey::new(&caller, &MODULES[module].module.hash)
    }

    /// Returns all chunks that something refers to, with their sizes.
    fn chunks(&self) -> BTreeMap<Hash, u64> {
        let held = self.uploads.values().flat_map(|upload| upload.held.iter().map(|index| (upload.module, *index)));
        let all = |module: &usize| {
            (0..MODULES[*module].hashes.len() as u32).map(|index| (*module, index)).collect::<Vec<_>>()
        };
        let places = held.chain(self.sealed.keys().flat_map(all));
        places
            .map(|(module, index)| {
                let chunk = MODULES[module].module.chunks()[index as usize];
                (MODULES[module].hashes[index as usize], chunk.len() as u64)
            })
            .collect()
    }

    fn sealed_chunks(&self) -> BTreeSet<Hash> {
        self.sealed.keys().flat_map(|module| MODULES[*module].hashes.iter().copied()).collect()
    }

    fn missing(module: usize, chunks: &BTreeMap<Hash, u64>) -> Vec<u32> {
        let missing = (0..).zip(&MODULES[module].hashes).filter(|(_, hash)| !chunks.contains_key(hash));
        missing.map(|(index, _)| index).collect()
    }

    /// Returns the caller's upload unless it has expired.
    fn open(&mut self, caller: Principal, module: usize) -> Option<&mut Upload> {
        let now_ns = self.now_ns;
        self.uploads.get_mut(&Self::key(caller, module)).filter(|upload| upload.expires_at_ns > now_ns)
    }

    /// Removes uploads that have expired, the first ones, and returns how many.
    fn sweep(&mut self, max: usize) -> usize {
        let expired = self.uploads.iter().filter(|(_, upload)| upload.expires_at_ns <= self.now_ns);
        let mut keys: Vec<_> = expired.map(|(key, upload)| (upload.expires_at_ns, *key)).collect();
        keys.sort_unstable();
        for (_, key) in keys.iter().take(max) {
            self.uploads.remove(key);
        }
        keys.len().min(max)
    }

    /// Starts the grace period of a sealed module anew.
    fn keep(&mut self, module: usize) -> bool {
        let Some(sealed) = self.sealed.get_mut(&module) else { return false };
        if sealed.holders.is_empty() {
            (sealed.since_ns, sealed.condemned) = (self.now_ns, false);
        }
        true
    }

    /// Begins an upload; returns the missing chunks, or `None` when the module is sealed.
    fn begin(&mut self, caller: Caller, module: usize) -> Result<Option<Vec<u32>>, BeginUploadError> {
        let principal = caller.principal;
        if principal == callers()[3].principal {
            return Err(BeginUploadError::NotAllowed { caller: principal });
        }
        self.sweep(MAX_UPLOADS_SWEPT);
        let key = Self::key(principal, module);
        if self.keep(module) {
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
            let size = |module: usize| MODULES[module].module.bytes.len() as u64;
            let in_flight = self.uploads.range(first..=last).map(|(_, upload)| size(upload.module)).sum();
            let stored_by = self.sealed.iter().filter(|(_, sealed)| sealed.by == principal);
            let stored = stored_by.map(|(module, _)| size(*module)).sum();
            let (declared, max) = (size(module), MAX_STORED_BYTES);
            if stored + in_flight + declared > max {
                return Err(BeginUploadError::TooManyBytesStored { declared, in_flight, stored, max });
            }
        }
        let missing = Self::missing(module, &self.chunks());
        let all = 0..MODULES[module].hashes.len() as u32;
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
        let hashes = &MODULES[module].hashes;
        let expires_at_ns = self.now_ns + UPLOAD_LIFETIME_NS;
        let module_hash = MODULES[module].module.hash;
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
        let key = Self::key(caller, module);
        if self.keep(module) {
            self.uploads.remove(&key);
            return Ok(());
        }
        let module_hash = MODULES[module].module.hash;
        self.open(caller, module).ok_or(CommitUploadError::NoUpload { module_hash })?;
        let missing = Self::missing(module, &self.chunks());
        if !missing.is_empty() {
            return Err(CommitUploadError::MissingChunks { missing });
        }
        if !MODULES[module].is_valid {
            let invalid = depot_types::wasm::inspect(&MODULES[module].module.bytes).unwrap_err();
            return Err(CommitUploadError::InvalidModule(invalid));
        }
        let sealed = Sealed { by: caller, holders: BTreeSet::new(), since_ns: self.now_ns, condemned: false };
        self.sealed.insert(module, sealed);
        self.uploads.remove(&key);
        Ok(())
    }

    fn abort(&mut self, caller: Principal, module: usize) -> bool {
        let is_open = self.open(caller, module).is_some();
        self.uploads.remove(&Self::key(caller, module));
        is_open
    }

    /// Returns the missing chunks of an upload that is open.
    fn status(&mut self, caller: Principal, module: usize) -> Option<Vec<u32>> {
        self.open(caller, module)?;
        Some(Self::missing(module, &self.chunks()))
    }

    fn check_holder(&self, caller: Principal) -> Result<(), RetainError> {
        if self.holders.get(&caller) == Some(&false) { Ok(()) } else { Err(RetainError::NotHolder { caller }) }
    }

    fn retain(&mut self, caller: Principal, modules: &[usize]) -> Result<Vec<Hash>, RetainError> {
        self.check_holder(caller)?;
        let mut unknown = Vec::new();
        for module in modules {
            match self.sealed.get_mut(module) {
                None => unknown.push(MODULES[*module].module.hash),
                Some(sealed) => {
                    sealed.holders.insert(caller);
                    sealed.condemned = false;
                }
            }
        }
        Ok(unknown)
    }

    fn release(&mut self, caller: Principal, modules: &[usize]) -> Result<(), RetainError> {
        self.check_holder(caller)?;
        for module in modules {
            self.drop_reference(caller, *module);
        }
        Ok(())
    }

    fn drop_reference(&mut self, holder: Principal, module: usize) -> u32 {
        let now_ns = self.now_ns;
        let dropped = self.sealed.get_mut(&module).is_some_and(|sealed| {
            let dropped = sealed.holders.remove(&holder);
            if dropped {
                sealed.since_ns = now_ns;
            }
            dropped
        });
        u32::from(dropped)
    }

    fn add_holder(&mut self, holder: Principal) -> Result<(), HolderError> {
        if self.holders.get(&holder) == Some(&true) {
            let references = self.references_of(holder).len() as u64;
            return Err(HolderError::HolderLeaving { references });
        }
        self.holders.insert(holder, false);
        Ok(())
    }

    fn remove_holder(&mut self, holder: Principal) {
        if self.references_of(holder).is_empty() {
            self.holders.remove(&holder);
        } else {
            self.holders.insert(holder, true);
        }
    }

    fn references_of(&self, holder: Principal) -> Vec<Hash> {
        let of = self.sealed.iter().filter(|(_, sealed)| sealed.holders.contains(&holder));
        let mut hashes: Vec<Hash> = of.map(|(module, _)| MODULES[*module].module.hash).collect();
        hashes.sort_unstable();
        hashes
    }

    fn collect(&mut self) -> GarbageReport {
        let bytes_before: u64 = self.chunks().values().sum();
        let uploads_removed = self.sweep(MAX_UPLOADS_PER_SLICE as usize) as u32;
        let mut report = GarbageReport { uploads_removed, ..GarbageReport::default() };
        report.more = self.uploads.values().any(|upload| upload.expires_at_ns <= self.now_ns);
        let leaving: Vec<_> = self.holders.iter().filter(|(_, leaving)| **leaving).map(|(holder, _)| *holder).collect();
        for holder in leaving {
            for module in 0..MODULES.len() {
                report.references_dropped += self.drop_reference(holder, module);
            }
            self.holders.remove(&holder);
        }
        let now_ns = self.now_ns;
        for sealed in self.sealed.values_mut().filter(|sealed| sealed.holders.is_empty() && !sealed.condemned) {
            if sealed.since_ns + DEFAULT_GRACE_PERIOD_NS <= now_ns {
                (sealed.since_ns, sealed.condemned) = (now_ns, true);
                report.modules_condemned += 1;
            }
        }
        let before = self.sealed.len();
        self.sealed.retain(|_, sealed| !sealed.condemned || sealed.since_ns + CONDEMNED_NS > now_ns);
        report.modules_removed = (before - self.sealed.len()) as u32;
        report.bytes_freed = bytes_before - self.chunks().values().sum::<u64>();
        report
    }

    fn retention(&self, module: usize) -> Option<Retention> {
        let Sealed { holders, since_ns, condemned, .. } = self.sealed.get(&module)?;
        let since_ns = *since_ns;
        Some(if !holders.is_empty() {
            Retention::Retained { holders: holders.iter().copied().collect() }
        } else if *condemned {
            Retention::Condemned { since_ns, removed_at_ns: since_ns + CONDEMNED_NS }
        } else {
            let condemned_at_ns = Some(since_ns + DEFAULT_GRACE_PERIOD_NS);
            Retention::Unretained { since_ns: Some(since_ns), condemned_at_ns }
        })
    }
}

/// Returns the missing chunks, or `None` when the module is sealed.
fn missing(status: UploadStatus) -> Option<Vec<u32>> {
    match status {
        UploadStatus::Open(open) => Some(open.missing),
        UploadStatus::Sealed(_) => None,
    }
}

/// The store, the memory that it is in, and its model.
struct Trial {
    manager: MemoryManager<VectorMemory>,
    state: TestState,
    model: Model,
}

impl Trial {
    fn new() -> Self {
        let manager = new_manager();
        let mut state = open(&manager);
        let args = BlobStoreArgs { max_stored_bytes_per_principal: Some(MAX_STORED_BYTES), ..new_args() };
        lifecycle::apply(&mut state, Some(args)).unwrap();
        Self { manager, state, model: Model::new() }
    }

    fn begin(&mut self, number: usize, module: usize) {
        let (caller, known) = (callers()[number], &MODULES[module]);
        let args = BeginUploadArgs {
            module_hash: known.module.hash,
            size: known.module.bytes.len() as u64,
            chunk_hashes: known.hashes.clone(),
        };
        let answer = self.state.begin_upload(caller, self.model.now_ns, &args);
        assert_eq!(answer.map(missing), self.model.begin(caller, module));
    }

    fn put(&mut self, number: usize, module: usize, index: u32) {
        let caller = callers()[number];
        let index = index % MODULES[module].hashes.len() as u32;
        let answer = self.state.put_chunk(caller, self.model.now_ns, &MODULES[module].module.put(index));
        assert_eq!(answer.map(|put| put.missing_count), self.model.put(caller.principal, module, index));
    }

    fn take(&mut self, step: &Step) {
        let now_ns = self.model.now_ns;
        let hashes =
            |modules: &[usize]| -> Vec<Hash> { modules.iter().map(|module| MODULES[*module].module.hash).collect() };
        match step {
            Step::Begin(number, module) => self.begin(*number, *module),
            Step::Put(number, module, index) => self.put(*number, *module, *index),
            Step::PutWrong(number, module, index) => {
                let caller = callers()[*number];
                let known = &MODULES[*module];
                let mut args = known.module.put(index % known.hashes.len() as u32);
                args.bytes[0] ^= 1;
                let answer = self.state.put_chunk(caller, now_ns, &args);
                let is_open = self.model.open(caller.principal, *module).is_some();
                let is_allowed = *number != 3;
                assert_eq!(matches!(answer, Err(PutChunkError::WrongHash { .. })), is_open);
                assert_eq!(matches!(answer, Err(PutChunkError::NoUpload { .. })), !is_open && is_allowed);
            }
            Step::Upload(number, module) => {
                self.begin(*number, *module);
                for index in 0..MODULES[*module].hashes.len() as u32 {
                    self.put(*number, *module, index);
                }
            }
            Step::Commit(number, module) => {
                let caller = callers()[*number];
                let module_hash = &MODULES[*module].module.hash;
                let answer = self.state.commit_upload(caller, now_ns, module_hash, Budget::UNLIMITED).map(|_| ());
                assert_eq!(answer, self.model.commit(caller.principal, *module));
            }
            Step::Abort(number, module) => {
                let caller = callers()[*number].principal;
                let answer = self.state.abort_upload(caller, now_ns, &MODULES[*module].module.hash);
                assert_eq!(answer, self.model.abort(caller, *module));
            }
            Step::Retain(holder, modules) => {
                let answer = self.state.retain(HOLDERS[*holder], &hashes(modules));
                assert_eq!(answer.map(|retained| retained.unknown), self.model.retain(HOLDERS[*holder], modules));
            }
            Step::Release(holder, modules) => {
                let answer = self.state.release(HOLDERS[*holder], now_ns, &hashes(modules));
                assert_eq!(answer, self.model.release(HOLDERS[*holder], modules));
            }
            Step::AddHolder(holder) => {
                let answer = self.state.add_holder(CONTROLLER, HOLDERS[*holder]);
                assert_eq!(answer, self.model.add_holder(HOLDERS[*holder]));
            }
            Step::RemoveHolder(holder) => {
                self.state.remove_holder(CONTROLLER, HOLDERS[*holder]).unwrap();
                self.model.remove_holder(HOLDERS[*holder]);
            }
            Step::Collect => assert_eq!(self.state.collect(now_ns), self.model.collect()),
            Step::Upgrade => {
                self.state = open(&self.manager);
                lifecycle::apply(&mut self.state, None).unwrap();
            }
            Step::Wait(time_ns) => self.model.now_ns += time_ns,
        }
    }

    fn compare(&mut self) {
        let Self { state, model, .. } = self;
        let stats = state.stats(0, vec![]);
        let chunks = model.chunks();
        let counts = (stats.modules, stats.chunks, stats.chunk_bytes, stats.uploads);
        let chunk_bytes = chunks.values().sum::<u64>();
        assert_eq!(counts, (model.sealed.len() as u64, chunks.len() as u64, chunk_bytes, model.uploads.len() as u64));
        let count = |is: &dyn Fn(&&Sealed) -> bool| model.sealed.values().filter(is).count() as u64;
        let kept = (stats.unretained_modules, stats.condemned_modules, stats.references);
        let references: usize = model.sealed.values().map(|sealed| sealed.holders.len()).sum();
        assert_eq!(
            kept,
            (count(&|sealed| sealed.holders.is_empty()), count(&|sealed| sealed.condemned), references as u64)
        );
        for (module, known) in MODULES.iter().enumerate() {
            let hash = known.module.hash;
            let is_sealed = model.sealed.contains_key(&module);
            assert_eq!(state.module_info(&hash).is_some(), is_sealed);
            assert_eq!(state.retention(&hash), model.retention(module));
            for caller in callers() {
                let status = state.upload_status(caller.principal, model.now_ns, &hash);
                if is_sealed {
                    assert!(matches!(status, Some(UploadStatus::Sealed(_))));
                } else {
                    assert_eq!(status.and_then(missing), model.status(caller.principal, module));
                }
            }
        }
        for holder in HOLDERS {
            let page = state.list_retained(&ListRetainedArgs { holder, after: None, limit: None });
            assert_eq!(page.modules, model.references_of(holder));
        }
        let holders: Vec<_> =
            model.holders.iter().filter(|(_, leaving)| !**leaving).map(|(holder, _)| *holder).collect();
        assert_eq!(state.holders(), holders);
    }

    fn compare_bytes(&self) {
        let sealed = self.model.sealed_chunks();
        for known in MODULES.iter() {
            for (hash, chunk) in known.hashes.iter().zip(known.module.chunks()) {
                let read: Option<ByteBuf> = self.state.answer(&self.state.get_chunk(hash));
                assert_eq!(read.as_deref().map(Vec::as_slice), sealed.contains(hash).then_some(chunk));
            }
        }
    }
}

/// Returns how many sequences to try.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn should_do_what_the_model_does(steps in steps()) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.take(step);
            trial.compare();
        }
        trial.state.check_invariants();
        trial.compare_bytes();
    }
}
