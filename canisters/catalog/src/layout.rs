//! Taking over what an earlier layout of stable memory holds.

use std::ops::ControlFlow;

use depot_types::{
    Hash,
    objects::{Commit, EncodedObject},
};
use ic_stable_structures::Memory;

use crate::{
    releases::release_info,
    state::State,
    stored::{Record, StoredConfig},
    trees::{PathDiff, diff},
    version_key::package_of,
};

impl<M: Memory> State<M> {
    /// Brings what layout 1 holds to layout 2: places of commits, changes of paths, and what is certified.
    ///
    /// Layout 1 did not let the blob store retain modules; that is left to
    /// [`retain_modules`](crate::blob_store::retain_modules), since an upgrade cannot wait for answers.
    pub(crate) fn index_layout_1(&mut self) {
        let heads: Vec<(String, Option<Hash>)> =
            self.branches.iter().map(|entry| (entry.key().clone(), entry.value().0.head.map(Hash::new))).collect();
        for (branch, head) in heads {
            let mut ids = vec![];
            let mut next = head;
            while let Some(id) = next {
                next = self.stored_commit(&id).parents.first().copied();
                ids.push(id);
            }
            for id in ids.into_iter().rev() {
                self.index_commit(id);
            }
            self.certify_head(&branch, head);
        }
        let releases: Vec<_> =
            self.releases.iter().map(|entry| release_info(package_of(entry.key()), entry.value().0)).collect();
        for release in &releases {
            self.certify_release(release);
        }
        if matches!(self.config.get(), Record(StoredConfig::Installed(_))) {
            self.update_settings(|settings| settings.retain_from = Some([0; 32]));
        }
    }

    fn index_commit(&mut self, id: Hash) {
        let bytes = self.stored_object(&id);
        let commit = Commit::decode(&bytes).expect("BUG: a stored commit cannot be read");
        let before = commit.parents.first().map(|parent| self.place_of(parent).tree);
        let mut changed: Vec<PathDiff> = vec![];
        _ = diff(self, before, Some(commit.tree), None, &mut |found| {
            changed.push(found);
            ControlFlow::Continue(())
        });
        self.add_commit(EncodedObject { id, bytes }, &commit, &changed);
    }
}

#[cfg(test)]
mod tests;
