//! The state of the catalog, in stable structures but for what calls that are open need: nothing has to be saved before
//! an upgrade.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{CatalogStats, CommitInfo, DEFAULT_BRANCH},
    objects::{Commit, EncodedObject},
    usage::MethodUsage,
};
use ic_stable_structures::{Memory, StableBTreeMap, StableCell, memory_manager::MemoryId};

use crate::{
    collection::StoredCollection,
    events::StoredEvent,
    history::{CommitPlace, LineStart, Place, StoredPathChange},
    http::CertifiedPages,
    import::StoredImport,
    memory::{
        BRANCHES_MEMORY_ID, CERTIFIED_MEMORY_ID, CERTIFIED_NODES_MEMORY_ID, COLLECTION_MEMORY_ID,
        COMMIT_NUMBERS_MEMORY_ID, COMMITS_MEMORY_ID, CONFIG_MEMORY_ID, EVENTS_MEMORY_ID, IMPORT_MEMORY_ID,
        LAYOUT_MEMORY_ID, LEAVING_MEMORY_ID, LINE_STARTS_MEMORY_ID, LINES_MEMORY_ID, MARKS_MEMORY_ID, MERGES_MEMORY_ID,
        MODULE_PATHS_MEMORY_ID, MODULES_MEMORY_ID, OBJECTS_MEMORY_ID, PACKAGES_MEMORY_ID, PATH_CHANGES_MEMORY_ID,
        PATH_FIRSTS_MEMORY_ID, PUBLISHERS_MEMORY_ID, RELEASES_MEMORY_ID, WAITING_MEMORY_ID,
    },
    stored::{
        Record, StoredBranch, StoredCertified, StoredConfig, StoredHash, StoredPackage, StoredRelease, StoredSettings,
    },
};

/// The layout of stable memory that this code writes.
///
/// 1. Objects, branches, releases, publishers.
/// 2. The history indexed by commits and paths; events; garbage collection; import.
pub const LAYOUT_VERSION: u32 = 2;

/// All that the catalog knows, and on the heap which pages are certified.
pub struct State<M: Memory> {
    pub(crate) config: StableCell<Record<StoredConfig>, M>,
    pub(crate) objects: StableBTreeMap<StoredHash, Vec<u8>, M>,
    pub(crate) branches: StableBTreeMap<String, Record<StoredBranch>, M>,
    pub(crate) packages: StableBTreeMap<String, Record<StoredPackage>, M>,
    pub(crate) releases: StableBTreeMap<Vec<u8>, Record<StoredRelease>, M>,
    pub(crate) modules: StableBTreeMap<StoredHash, (), M>,
    pub(crate) publishers: StableBTreeMap<Principal, (), M>,
    pub(crate) commits: StableBTreeMap<u64, CommitPlace, M>,
    pub(crate) commit_numbers: StableBTreeMap<StoredHash, u64, M>,
    pub(crate) lines: StableBTreeMap<Place, u64, M>,
    pub(crate) line_starts: StableBTreeMap<u64, LineStart, M>,
    pub(crate) merges: StableBTreeMap<Place, u64, M>,
    pub(crate) path_changes: StableBTreeMap<[u8; 40], StoredPathChange, M>,
    pub(crate) path_firsts: StableBTreeMap<[u8; 72], (), M>,
    pub(crate) module_paths: StableBTreeMap<Vec<u8>, (), M>,
    pub(crate) events: StableBTreeMap<u64, Record<StoredEvent>, M>,
    pub(crate) collection: StableCell<Record<Option<StoredCollection>>, M>,
    pub(crate) marks: StableBTreeMap<StoredHash, (), M>,
    pub(crate) leaving: StableBTreeMap<StoredHash, (), M>,
    pub(crate) waiting: StableBTreeMap<StoredHash, (), M>,
    pub(crate) import: StableCell<Record<Option<StoredImport>>, M>,
    pub(crate) certified: StableCell<Record<StoredCertified>, M>,
    pub(crate) certified_nodes: StableBTreeMap<StoredHash, Vec<u8>, M>,
    /// Not stable: an upgrade begins anew.
    pub(crate) unstable_pages: CertifiedPages,
    /// Modules that the blob store is being asked to retain, and by how many calls. On the heap: an upgrade waits for
    /// the answers.
    pub(crate) unstable_retaining: BTreeMap<Hash, usize>,
}

/// Stable memory has a layout that this code cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLayout {
    /// The version found.
    pub found: u32,
}

impl fmt::Display for UnknownLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found } = self;
        write!(f, "stable memory has layout {found}, but this catalog reads layouts up to {LAYOUT_VERSION} only")
    }
}

impl std::error::Error for UnknownLayout {}

impl<M: Memory> State<M> {
    /// Opens the state in the memories given, which are all empty for a new one, and brings layout 1 to layout 2.
    ///
    /// A new state has one branch, `main`, without a commit.
    ///
    /// # Errors
    /// [`UnknownLayout`] when the memories were written in another layout; they are left as they are.
    pub fn open(memory: impl Fn(MemoryId) -> M) -> Result<Self, UnknownLayout> {
        // The version comes first: opening a structure of another layout could misread or damage it.
        let mut layout = StableCell::init(memory(LAYOUT_MEMORY_ID), LAYOUT_VERSION);
        let found = *layout.get();
        if !(1..=LAYOUT_VERSION).contains(&found) {
            return Err(UnknownLayout { found });
        }
        let mut branches: StableBTreeMap<String, Record<StoredBranch>, M> =
            StableBTreeMap::init(memory(BRANCHES_MEMORY_ID));
        if branches.is_empty() && found == LAYOUT_VERSION {
            branches.insert(DEFAULT_BRANCH.to_string(), Record(StoredBranch::default()));
        }
        let mut state = Self {
            config: StableCell::init(memory(CONFIG_MEMORY_ID), Record(StoredConfig::Uninitialized)),
            objects: StableBTreeMap::init(memory(OBJECTS_MEMORY_ID)),
            branches,
            packages: StableBTreeMap::init(memory(PACKAGES_MEMORY_ID)),
            releases: StableBTreeMap::init(memory(RELEASES_MEMORY_ID)),
            modules: StableBTreeMap::init(memory(MODULES_MEMORY_ID)),
            publishers: StableBTreeMap::init(memory(PUBLISHERS_MEMORY_ID)),
            commits: StableBTreeMap::init(memory(COMMITS_MEMORY_ID)),
            commit_numbers: StableBTreeMap::init(memory(COMMIT_NUMBERS_MEMORY_ID)),
            lines: StableBTreeMap::init(memory(LINES_MEMORY_ID)),
            line_starts: StableBTreeMap::init(memory(LINE_STARTS_MEMORY_ID)),
            merges: StableBTreeMap::init(memory(MERGES_MEMORY_ID)),
            path_changes: StableBTreeMap::init(memory(PATH_CHANGES_MEMORY_ID)),
            path_firsts: StableBTreeMap::init(memory(PATH_FIRSTS_MEMORY_ID)),
            module_paths: StableBTreeMap::init(memory(MODULE_PATHS_MEMORY_ID)),
            events: StableBTreeMap::init(memory(EVENTS_MEMORY_ID)),
            collection: StableCell::init(memory(COLLECTION_MEMORY_ID), Record(None)),
            marks: StableBTreeMap::init(memory(MARKS_MEMORY_ID)),
            leaving: StableBTreeMap::init(memory(LEAVING_MEMORY_ID)),
            waiting: StableBTreeMap::init(memory(WAITING_MEMORY_ID)),
            import: StableCell::init(memory(IMPORT_MEMORY_ID), Record(None)),
            certified: StableCell::init(memory(CERTIFIED_MEMORY_ID), Record(StoredCertified::default())),
            certified_nodes: StableBTreeMap::init(memory(CERTIFIED_NODES_MEMORY_ID)),
            unstable_pages: CertifiedPages::default(),
            unstable_retaining: BTreeMap::new(),
        };
        if found == 1 {
            state.index_layout_1();
            layout.set(LAYOUT_VERSION);
        }
        Ok(state)
    }

    /// Returns the blob store whose modules the catalog names.
    ///
    /// # Panics
    /// Before [`crate::lifecycle::install`], which is the first thing that happens to a canister.
    pub fn blob_store(&self) -> Principal {
        self.installed().blob_store
    }

    pub(crate) fn installed(&self) -> &StoredSettings {
        match self.config.get() {
            Record(StoredConfig::Installed(settings)) => settings,
            Record(StoredConfig::Uninitialized) => panic!("BUG: the catalog is in use but was never installed"),
        }
    }

    /// Changes the settings of an installed catalog.
    pub(crate) fn update_settings(&mut self, update: impl FnOnce(&mut StoredSettings)) {
        let mut settings = self.installed().clone();
        update(&mut settings);
        self.config.set(Record(StoredConfig::Installed(settings)));
    }

    /// Returns the bytes of an object: a node of a folder or a commit.
    pub fn object(&self, id: &Hash) -> Option<Vec<u8>> {
        self.objects.get(id.as_bytes())
    }

    /// Returns a commit, unless there is none of this id.
    pub fn commit_info(&self, id: &Hash) -> Option<CommitInfo> {
        self.commit_number(id)?;
        Some(self.stored_commit(id).into_info(*id))
    }

    /// Counts what the catalog holds; what only the canister knows is given.
    pub fn stats(&self, stable_bytes: u64, methods: Vec<MethodUsage>) -> CatalogStats {
        CatalogStats {
            objects: self.objects.len(),
            commits: self.commit_numbers.len(),
            branches: self.branches.len(),
            releases: self.releases.len(),
            modules: self.modules.len(),
            modules_to_retain: self.modules_to_retain(),
            events: self.events.last_key_value().map_or(0, |(last, _)| last),
            stable_bytes,
            methods,
        }
    }

    /// Returns a commit that is stored.
    pub(crate) fn stored_commit(&self, id: &Hash) -> Commit {
        Commit::decode(&self.stored_object(id)).expect("BUG: a stored commit cannot be read")
    }

    /// Returns the bytes of an object that another one or a branch leads to.
    pub(crate) fn stored_object(&self, id: &Hash) -> Vec<u8> {
        self.object(id).unwrap_or_else(|| panic!("BUG: the object {id} is missing"))
    }

    /// Stores an object, unless it is there.
    pub(crate) fn put_object(&mut self, object: EncodedObject) {
        self.keep_object(&object.id);
        let EncodedObject { id, bytes } = object;
        if !self.objects.contains_key(id.as_bytes()) {
            self.objects.insert(*id.as_bytes(), bytes);
        }
    }

    /// Returns the modules of those given of which it is not known that the blob store retains them.
    pub(crate) fn unknown_modules(&self, modules: impl IntoIterator<Item = Hash>) -> Vec<Hash> {
        let unsure = self.installed().retain_from;
        let is_unsure = |module: &Hash| unsure.is_some_and(|from| *module.as_bytes() >= from);
        let unknown: BTreeSet<Hash> =
            modules.into_iter().filter(|module| is_unsure(module) || !self.is_held(module)).collect();
        unknown.into_iter().collect()
    }

    /// Returns the modules of those given that were retained but are being let go of.
    pub(crate) fn leaving_modules(&self, modules: impl IntoIterator<Item = Hash>) -> Vec<Hash> {
        let leaving: BTreeSet<Hash> = modules.into_iter().filter(|module| !self.is_held(module)).collect();
        leaving.into_iter().collect()
    }

    fn is_held(&self, module: &Hash) -> bool {
        self.modules.contains_key(module.as_bytes()) && !self.leaving.contains_key(module.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use depot_types::objects::Node;
    use ic_stable_structures::{VectorMemory, memory_manager::MemoryManager};

    use super::*;
    use crate::lifecycle;
    use crate::test_fixtures::{BLOB_STORE, args};

    #[test]
    fn should_open_what_it_wrote() {
        let manager = MemoryManager::init(VectorMemory::default());
        let mut state = State::open(|id| manager.get(id)).unwrap();
        lifecycle::install(&mut state, args()).unwrap();
        let object = EncodedObject { id: Hash::of(b"id"), bytes: vec![1, 2, 3] };
        state.put_object(object.clone());
        drop(state);
        let state = State::open(|id| manager.get(id)).unwrap();
        assert_eq!(state.blob_store(), BLOB_STORE);
        assert_eq!(state.object(&object.id), Some(object.bytes));
        let branches = state.branches();
        assert_eq!(branches.len(), 1);
        assert_eq!((branches[0].name.as_str(), branches[0].head), ("main", None));
    }

    #[test]
    fn should_refuse_another_layout_and_leave_it_alone() {
        let manager = MemoryManager::init(VectorMemory::default());
        StableCell::init(manager.get(LAYOUT_MEMORY_ID), LAYOUT_VERSION + 1);
        let refused = State::open(|id| manager.get(id)).err();
        assert_eq!(refused, Some(UnknownLayout { found: LAYOUT_VERSION + 1 }));
        assert_eq!(manager.get(BRANCHES_MEMORY_ID).size(), 0);
    }

    #[test]
    fn should_know_no_commit_where_the_object_is_a_folder() {
        let manager = MemoryManager::init(VectorMemory::default());
        let mut state = State::open(|id| manager.get(id)).unwrap();
        let folder = Node::Leaf(vec![]).encode();
        state.put_object(folder.clone());
        assert_eq!(state.commit_info(&folder.id), None);
        assert_eq!(state.commit_info(&Hash::of(b"nothing")), None);
    }
}
