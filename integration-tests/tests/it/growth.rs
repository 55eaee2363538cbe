//! The blob store when stable memory cannot grow: it says so, nothing is changed, and the upload goes on afterwards.

use candid::{Encode, Nat, Principal};
use depot_types::{
    Hash,
    blob_store::{
        BeginUploadError, BlobStoreArgs, BlobStoreStats, OpenUpload, PutChunkError, StorageFull, UploadStatus,
    },
};
use integration_tests::{
    clients::{BlobStore, Client},
    depot::{create_with_cycles, user},
    made::{data_module, seeded_data_module},
    network, wasms,
};
use pocket_ic::{CanisterSettings, PocketIc};

const CHUNK: usize = 1 << 20;
const SECONDS_PER_DAY: u128 = 86_400;
/// What the blob store has to begin with.
const CYCLES: u128 = 1_000_000_000_000_000;
/// Memory of a subnet that is more than the 750 GiB past which cycles are set aside for memory.
const CROWDED_BYTES: u64 = 1_000 << 30;
/// Cycles that let a message begin, but not send a message.
const ONE_MESSAGE: u128 = 60_000_000_000;
/// Cycles that let a message begin and send several, but do not carry much more storage.
const SEVERAL_MESSAGES: u128 = 500_000_000_000;

/// A blob store that can be short of cycles.
struct Store {
    network: PocketIc,
    id: Principal,
    admin: Principal,
}

impl Store {
    fn install() -> Self {
        let (network, admin) = (network::start(), user(1));
        let id = create_with_cycles(&network, admin, CYCLES);
        let arg = Encode!(&None::<BlobStoreArgs>).unwrap();
        network.install_canister(id, wasms::load("blob_store").unwrap(), arg, Some(admin));
        Self { network, id, admin }
    }

    fn client(&self) -> BlobStore<'_> {
        BlobStore(Client::new(&self.network, self.id, self.admin))
    }

    fn set(&self, settings: CanisterSettings) {
        self.network.update_canister_settings(self.id, Some(self.admin), settings).unwrap();
    }

    fn set_threshold(&self, seconds: u128) {
        self.set(CanisterSettings { freezing_threshold: Some(seconds.into()), ..CanisterSettings::default() });
    }

    /// Sets the freezing threshold so that all but so many cycles are frozen.
    fn freeze_all_but(&self, cycles: u128) {
        let status = self.network.canister_status(self.id, Some(self.admin)).unwrap();
        let frozen = number(&status.cycles) - cycles;
        self.set_threshold(frozen * SECONDS_PER_DAY / number(&status.idle_cycles_burned_per_day));
    }

    fn set_reserved_cycles_limit(&self, limit: u128) {
        self.set(CanisterSettings { reserved_cycles_limit: Some(limit.into()), ..CanisterSettings::default() });
    }

    /// Returns the cycles that the blob store has set aside for its memory.
    fn reserved_cycles(&self) -> u128 {
        number(&self.network.canister_status(self.id, Some(self.admin)).unwrap().reserved_cycles)
    }

    /// Lets another canister allocate so much of the subnet's memory that cycles must be set aside for any more.
    fn crowd_subnet(&self) {
        let other = create_with_cycles(&self.network, self.admin, 1_000 * CYCLES);
        let settings = CanisterSettings {
            memory_allocation: Some(CROWDED_BYTES.into()),
            reserved_cycles_limit: Some((100 * CYCLES).into()),
            ..CanisterSettings::default()
        };
        self.network.update_canister_settings(other, Some(self.admin), settings).unwrap();
    }

    fn put(&self, module: &[u8], index: usize) -> Result<(), PutChunkError> {
        let chunk = module.chunks(CHUNK).nth(index).unwrap();
        self.client().put_chunk(Hash::of(module), index as u32, chunk).unwrap().map(|_| ())
    }

    fn begin(&self, module: &[u8]) -> Result<UploadStatus, BeginUploadError> {
        self.client().begin_upload_of(module).unwrap()
    }

    fn open(&self, module: &[u8]) -> Option<OpenUpload> {
        match self.client().upload_status(Hash::of(module)).unwrap()? {
            UploadStatus::Open(open) => Some(open),
            UploadStatus::Sealed(info) => panic!("{} is sealed", info.module_hash),
        }
    }

    /// Returns what is stored, without what methods cost.
    fn stats(&self) -> BlobStoreStats {
        BlobStoreStats { methods: vec![], ..self.client().stats().unwrap() }
    }

    /// Puts what is missing, and seals the module.
    fn finish(&self, module: &[u8]) {
        let UploadStatus::Open(open) = self.begin(module).unwrap() else { panic!("the module is sealed") };
        for index in open.missing {
            self.put(module, index as usize).unwrap();
        }
        let info = self.client().commit_upload(Hash::of(module)).unwrap().unwrap();
        assert_eq!(info.size, module.len() as u64);
    }

    /// Stores a module, and six chunks of another one, of which the seventh needs more memory.
    ///
    /// Each finds room when it begins, in the same bucket of 16 MiB, which does not hold both: ten chunks, of which the last
    /// one is a few bytes.
    fn store_one_and_begin_another(&self) -> [Vec<u8>; 2] {
        let modules = [seeded_data_module(1, 9 * CHUNK), seeded_data_module(2, 9 * CHUNK)];
        for module in &modules {
            assert!(matches!(self.begin(module), Ok(UploadStatus::Open(_))));
        }
        let [first, second] = &modules;
        self.finish(first);
        for index in 0..6 {
            self.put(second, index).unwrap();
        }
        modules
    }

    /// Checks that what is there can be read, and put again.
    fn check_first_chunks(&self, [first, second]: &[Vec<u8>; 2]) {
        self.put(second, 0).unwrap();
        assert!(self.client().get_chunk(Hash::of(&first[..CHUNK])).unwrap().is_some());
    }
}

fn number(nat: &Nat) -> u128 {
    u128::try_from(nat.0.clone()).unwrap()
}

/// Checks that there is no room, and that the reason names what is to be done about it.
fn check_full(full: &StorageFull, before: &BlobStoreStats, words: &[&str]) {
    let StorageFull { needed, reason } = full;
    assert!(*needed > before.stable_bytes, "{needed}");
    let reason = reason.to_lowercase();
    assert!(words.iter().all(|word| reason.contains(word)) && reason.len() <= 256, "{reason}");
}

fn begin_refused(refused: Result<UploadStatus, BeginUploadError>) -> StorageFull {
    match refused {
        Err(BeginUploadError::StorageFull(full)) => full,
        other => panic!("{other:?}"),
    }
}

fn put_refused(refused: Result<(), PutChunkError>) -> StorageFull {
    match refused {
        Err(PutChunkError::StorageFull(full)) => full,
        other => panic!("{other:?}"),
    }
}

#[test]
fn should_tell_that_a_message_to_grow_cannot_be_paid() {
    let store = Store::install();
    let module = data_module(100_000);
    let before = store.stats();
    store.freeze_all_but(ONE_MESSAGE);
    check_full(&begin_refused(store.begin(&module)), &before, &["cycles"]);
    assert_eq!((store.stats(), store.open(&module)), (before, None));
    store.set_threshold(SECONDS_PER_DAY);
    store.finish(&module);
}

#[test]
fn should_tell_that_more_storage_is_beyond_the_freezing_threshold() {
    let store = Store::install();
    let module = data_module(100_000);
    let before = store.stats();
    store.freeze_all_but(SEVERAL_MESSAGES);
    // The message that grows stable memory is begun, and ended by the system.
    check_full(&begin_refused(store.begin(&module)), &before, &["cycles", "memory"]);
    assert_eq!((store.stats(), store.open(&module)), (before, None));
    store.network.add_cycles(store.id, CYCLES);
    store.finish(&module);
}

#[test]
fn should_go_on_with_an_upload_that_found_no_room_on_the_way() {
    let store = Store::install();
    let modules = store.store_one_and_begin_another();
    let [_, second] = &modules;
    store.freeze_all_but(SEVERAL_MESSAGES);
    let (before, open) = (store.stats(), store.open(second).unwrap());
    check_full(&put_refused(store.put(second, 6)), &before, &["cycles", "memory"]);
    assert_eq!((store.stats(), store.open(second)), (before, Some(open)));
    store.check_first_chunks(&modules);
    store.network.add_cycles(store.id, CYCLES);
    store.finish(second);
    assert_eq!(store.stats().modules, 2);
}

#[test]
fn should_tell_that_the_subnet_is_crowded_and_cycles_may_not_be_set_aside() {
    let store = Store::install();
    let modules = store.store_one_and_begin_another();
    let [_, second] = &modules;
    store.crowd_subnet();
    store.set_reserved_cycles_limit(0);
    let (before, open) = (store.stats(), store.open(second).unwrap());
    for _ in 0..2 {
        check_full(&put_refused(store.put(second, 6)), &before, &["reserved cycles limit", "memory"]);
        assert_eq!((store.stats(), store.open(second)), (before.clone(), Some(open.clone())));
    }
    assert_eq!(store.reserved_cycles(), 0);
    store.check_first_chunks(&modules);
    store.set_reserved_cycles_limit(CYCLES);
    store.finish(second);
    assert_eq!(store.stats().modules, 2);
    assert!(store.reserved_cycles() > 0);
    let chunk = &second[6 * CHUNK..7 * CHUNK];
    assert_eq!(store.client().get_chunk(Hash::of(chunk)).unwrap().unwrap().as_slice(), chunk);
}
