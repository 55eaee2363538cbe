//! The state of the catalog, in stable structures only: nothing has to be saved before an upgrade.

use std::fmt;

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{BranchInfo, CatalogStats, CommitInfo, DEFAULT_BRANCH},
    usage::MethodUsage,
};
use ic_stable_structures::{Memory, StableBTreeMap, StableCell, memory_manager::MemoryId};

use crate::{
    memory::{
        BRANCHES_MEMORY_ID, CONFIG_MEMORY_ID, LAYOUT_MEMORY_ID, MODULES_MEMORY_ID, OBJECTS_MEMORY_ID,
        PACKAGES_MEMORY_ID, PUBLISHERS_MEMORY_ID, RELEASES_MEMORY_ID,
    },
    objects::{Commit, EncodedObject},
    stored::{Record, StoredBranch, StoredConfig, StoredHash, StoredPackage, StoredRelease},
};

/// The layout of stable memory that this code writes.
///
/// 1. The first one.
pub const LAYOUT_VERSION: u32 = 1;

/// All that the catalog knows.
pub struct State<M: Memory> {
    pub(crate) config: StableCell<Record<StoredConfig>, M>,
    pub(crate) objects: StableBTreeMap<StoredHash, Vec<u8>, M>,
    pub(crate) branches: StableBTreeMap<String, Record<StoredBranch>, M>,
    pub(crate) packages: StableBTreeMap<String, Record<StoredPackage>, M>,
    pub(crate) releases: StableBTreeMap<Vec<u8>, Record<StoredRelease>, M>,
    pub(crate) modules: StableBTreeMap<StoredHash, (), M>,
    pub(crate) publishers: StableBTreeMap<Principal, (), M>,
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
        write!(f, "stable memory has layout {found}, but this catalog reads layout {LAYOUT_VERSION} only")
    }
}

impl std::error::Error for UnknownLayout {}

impl<M: Memory> State<M> {
    /// Opens the state in the memories given, which are all empty for a new one.
    ///
    /// A new state has one branch, `main`, without a commit.
    ///
    /// # Errors
    /// [`UnknownLayout`] when the memories were written in another layout; they are left as they are.
    pub fn open(memory: impl Fn(MemoryId) -> M) -> Result<Self, UnknownLayout> {
        // The version comes first: opening a structure of another layout could misread or damage it.
        let found = *StableCell::init(memory(LAYOUT_MEMORY_ID), LAYOUT_VERSION).get();
        if found != LAYOUT_VERSION {
            return Err(UnknownLayout { found });
        }
        let mut branches: StableBTreeMap<String, Record<StoredBranch>, M> =
            StableBTreeMap::init(memory(BRANCHES_MEMORY_ID));
        if branches.is_empty() {
            branches.insert(DEFAULT_BRANCH.to_string(), Record(StoredBranch::default()));
        }
        Ok(Self {
            config: StableCell::init(memory(CONFIG_MEMORY_ID), Record(StoredConfig::Uninitialized)),
            objects: StableBTreeMap::init(memory(OBJECTS_MEMORY_ID)),
            branches,
            packages: StableBTreeMap::init(memory(PACKAGES_MEMORY_ID)),
            releases: StableBTreeMap::init(memory(RELEASES_MEMORY_ID)),
            modules: StableBTreeMap::init(memory(MODULES_MEMORY_ID)),
            publishers: StableBTreeMap::init(memory(PUBLISHERS_MEMORY_ID)),
        })
    }

    /// Returns the blob store whose modules the catalog names.
    ///
    /// # Panics
    /// Before [`crate::lifecycle::install`], which is the first thing that happens to a canister.
    pub fn blob_store(&self) -> Principal {
        match self.config.get() {
            Record(StoredConfig::Installed { blob_store }) => *blob_store,
            Record(StoredConfig::Uninitialized) => panic!("BUG: the catalog is in use but was never installed"),
        }
    }

    /// Lists the branches, by name.
    pub fn branches(&self) -> Vec<BranchInfo> {
        let branch = |name: &String, branch: Record<StoredBranch>| BranchInfo {
            name: name.clone(),
            head: branch.0.head.map(Hash::new),
        };
        self.branches.iter().map(|entry| branch(entry.key(), entry.value())).collect()
    }

    /// Returns the bytes of an object: a folder or a commit.
    pub fn object(&self, id: &Hash) -> Option<Vec<u8>> {
        self.objects.get(id.as_bytes())
    }

    /// Returns a commit, unless there is none of this id.
    pub fn commit_info(&self, id: &Hash) -> Option<CommitInfo> {
        // The id may be that of a folder, whose bytes are not those of a commit.
        Commit::decode(&self.object(id)?).ok().map(|commit| commit.into_info(*id))
    }

    /// Counts what the catalog holds; what only the canister knows is given.
    pub fn stats(&self, stable_bytes: u64, methods: Vec<MethodUsage>) -> CatalogStats {
        CatalogStats {
            objects: self.objects.len(),
            branches: self.branches.len(),
            releases: self.releases.len(),
            stable_bytes,
            methods,
        }
    }

    /// Returns the commit that a branch is at; the outer option is empty when there is no such branch.
    pub(crate) fn head(&self, branch: &str) -> Option<Option<Hash>> {
        self.branches.get(&branch.to_string()).map(|Record(branch)| branch.head.map(Hash::new))
    }

    /// Returns the id of a commit's top folder.
    pub(crate) fn tree_of(&self, commit: &Hash) -> Hash {
        Commit::decode(&self.stored_object(commit)).expect("BUG: the head of a branch is not a commit").tree
    }

    /// Returns the bytes of an object that another one or a branch leads to.
    pub(crate) fn stored_object(&self, id: &Hash) -> Vec<u8> {
        self.object(id).unwrap_or_else(|| panic!("BUG: the object {id} is missing"))
    }

    /// Stores an object, unless it is there.
    pub(crate) fn put_object(&mut self, object: EncodedObject) {
        if !self.objects.contains_key(object.id.as_bytes()) {
            self.objects.insert(*object.id.as_bytes(), object.bytes);
        }
    }

    /// Returns those of the modules, each once, that the catalog does not know to be sealed.
    ///
    /// A module that a commit or a release names was sealed when it was named, and what is sealed does not change.
    pub(crate) fn unknown_modules(&self, modules: impl IntoIterator<Item = Hash>) -> Vec<Hash> {
        let mut unknown: Vec<Hash> =
            modules.into_iter().filter(|module| !self.modules.contains_key(module.as_bytes())).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(state.branches(), [BranchInfo { name: "main".to_string(), head: None }]);
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
        let folder = crate::objects::Tree::default().encode();
        state.put_object(folder.clone());
        assert_eq!(state.commit_info(&folder.id), None);
        assert_eq!(state.commit_info(&Hash::of(b"nothing")), None);
    }
}
