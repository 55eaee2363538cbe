//! Sealed modules and their metadata. They are added, never changed, and removed.

use std::ops::Bound;

use depot_types::{Hash, blob_store::ModuleInfo, wasm::Section};
use ic_stable_structures::{Memory, StableBTreeMap};

use crate::storable::{StoredHash, StoredModule};

/// The sealed modules.
pub(crate) struct Modules<M: Memory> {
    modules: StableBTreeMap<StoredHash, StoredModule, M>,
    metadata: StableBTreeMap<(StoredHash, u8), Vec<u8>, M>,
}

impl<M: Memory> Modules<M> {
    pub(crate) fn open(modules: M, metadata: M) -> Self {
        Self { modules: StableBTreeMap::init(modules), metadata: StableBTreeMap::init(metadata) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.modules.len()
    }

    pub(crate) fn get(&self, module_hash: &StoredHash) -> Option<StoredModule> {
        self.modules.get(module_hash)
    }

    pub(crate) fn contains(&self, module_hash: &Hash) -> bool {
        self.modules.contains_key(module_hash.as_bytes())
    }

    /// Returns the modules behind a hash, or all of them, ascending.
    pub(crate) fn behind(
        &self,
        after: Option<&StoredHash>,
    ) -> impl Iterator<Item = (StoredHash, StoredModule)> + use<'_, M> {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
        self.modules.range((start, Bound::Unbounded)).map(|entry| (*entry.key(), entry.value()))
    }

    /// Returns what there is to know of a module.
    pub(crate) fn info(&self, module_hash: &Hash) -> Option<ModuleInfo> {
        self.modules.get(module_hash.as_bytes()).map(|module| module.into_info(*module_hash))
    }

    /// Returns the content of the `icp:` custom section of this name.
    pub(crate) fn metadata(&self, module_hash: &Hash, name: &str) -> Option<Vec<u8>> {
        let module = self.modules.get(module_hash.as_bytes())?;
        let number = module.metadata.iter().position(|section| section.name == name)?;
        self.metadata.get(&(*module_hash.as_bytes(), number as u8))
    }

    /// Adds a module, with the content of its metadata in the order of the record.
    pub(crate) fn insert(&mut self, module_hash: &Hash, module: StoredModule, sections: Vec<Section>) {
        for (number, section) in sections.into_iter().enumerate() {
            self.metadata.insert((*module_hash.as_bytes(), number as u8), section.content);
        }
        self.modules.insert(*module_hash.as_bytes(), module);
    }

    /// Removes a module with its metadata, and returns it.
    pub(crate) fn remove(&mut self, module_hash: &StoredHash) -> Option<StoredModule> {
        let module = self.modules.remove(module_hash)?;
        for number in 0..module.metadata.len() {
            self.metadata.remove(&(*module_hash, number as u8));
        }
        Some(module)
    }

    /// Returns how many contents of custom sections there are.
    #[cfg(test)]
    pub(crate) fn metadata_len(&self) -> u64 {
        self.metadata.len()
    }

    /// Returns all modules.
    #[cfg(test)]
    pub(crate) fn records(&self) -> Vec<(StoredHash, StoredModule)> {
        self.modules.iter().map(|entry| (*entry.key(), entry.value())).collect()
    }
}
