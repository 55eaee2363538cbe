//! Proofs, and histories read from their objects alone.

use std::collections::BTreeSet;

use depot_types::{
    Hash,
    catalog::{PathEntry, ProofTarget, ProveError, ReleaseInfo},
    objects::{Commit, Entry, Node, Object},
    path::ModulePath,
    proof::{ProofError, Proven},
};

use super::{
    Both, NAMES,
    trees::{Content, Path},
};
use crate::{limits::MAX_OBJECTS_PER_READ, test_fixtures::module};

impl Both {
    /// Checks that everything that the catalog says of branches, paths, versions and releases is proven.
    pub(super) fn check_proofs(&self, asked: &[Path]) {
        for name in NAMES {
            let proven = self.proven(ProofTarget::Head { branch: name.to_string() }).unwrap();
            assert_eq!(proven.head(name), Ok(self.head(name)));
        }
        for (branch, head) in &self.model.branches {
            for path in asked {
                self.check_path_proofs(branch, *head, path);
            }
            if let Some(head) = *head {
                self.check_objects(head);
            }
        }
        for version in 0..6 {
            let text = format!("1.0.{version}");
            let target = ProofTarget::Release { package: "p".to_string(), version: text.clone() };
            let proven = self.proven(target).unwrap();
            let other = ReleaseInfo {
                package: "p".to_string(),
                version: text,
                module_hash: module(99),
                description: String::new(),
                source: None,
                publisher: crate::test_fixtures::ALICE,
                published_at_ns: 0,
            };
            assert_eq!(proven.release(&other), Err(ProofError::OtherRelease));
            if let Some(release) = self.model.releases.get(&version) {
                assert_eq!(proven.release(release), Ok(()));
            }
        }
    }

    fn proven(&self, target: ProofTarget) -> Result<Proven, ProveError> {
        let state = self.fixture.state.borrow();
        let witness = state.prove(&target, Some(vec![]))?;
        Ok(Proven::check(&witness, &state.certified_data()).unwrap())
    }

    fn check_path_proofs(&self, branch: &str, head: Option<Hash>, path: &Path) {
        let (name, text) = (branch.to_string(), path.join("/"));
        let parsed = ModulePath::parse(&text).unwrap();
        let proven = self.proven(ProofTarget::Path { branch: name.clone(), path: text.clone() });
        let Some(head) = head else {
            assert_eq!(proven.err(), Some(ProveError::UnknownBranch { branch: name }));
            return;
        };
        let entry = self.model.entry(&head, path).map(|entry| match entry {
            PathEntry::Module(hash) => Entry::Module(hash),
            PathEntry::Folder(id) => Entry::Folder(id),
        });
        assert_eq!(proven.unwrap().path(branch, &parsed), Ok(entry));
        let versions = self.model.versions(head, path);
        let target = |index| ProofTarget::PathVersion { branch: name.clone(), path: text.clone(), index };
        for ((module, commit), index) in versions.iter().zip(0..) {
            let proven = self.proven(target(index)).unwrap();
            assert_eq!(proven.path_in(branch, commit, &parsed), Ok(Some(Entry::Module(*module))));
        }
        let versions = versions.len() as u32;
        assert_eq!(self.proven(target(versions)).err(), Some(ProveError::UnknownVersion { versions }));
    }

    /// Checks the history of a commit as whoever has the objects alone can read it.
    fn check_objects(&self, head: Hash) {
        let ancestors: Vec<Hash> = self.model.ancestors(head).into_iter().collect();
        let mut read = BTreeSet::new();
        for (id, object) in ancestors.iter().zip(self.objects(&ancestors)) {
            let Object::Commit(commit) = object else { panic!("{id} is no commit") };
            let stored = &self.model.commits[id];
            let tree = commit.tree;
            assert_eq!(Commit::into_info(commit, *id), stored.info);
            if read.insert(tree) {
                let mut content = Content::new();
                self.read_folder(tree, &mut vec![], &mut content);
                assert_eq!(content, stored.content);
            }
        }
    }

    fn read_folder(&self, id: Hash, folder: &mut Path, content: &mut Content) {
        for object in self.objects(&[id]) {
            match object {
                Object::Node(Node::Inner { children, .. }) => {
                    children.iter().for_each(|child| self.read_folder(child.id, folder, content));
                }
                Object::Node(Node::Leaf(entries)) => {
                    for (name, entry) in entries {
                        folder.push(name);
                        match entry {
                            Entry::Module(module) => _ = content.insert(folder.clone(), module),
                            Entry::Folder(id) => self.read_folder(id, folder, content),
                        }
                        folder.pop();
                    }
                }
                Object::Commit(_) => panic!("{id} is no node"),
            }
        }
    }

    fn objects(&self, ids: &[Hash]) -> Vec<Object> {
        let state = self.fixture.state.borrow();
        let parts = ids.chunks(MAX_OBJECTS_PER_READ).flat_map(|part| state.objects(part).unwrap());
        parts.zip(ids).map(|(bytes, id)| Object::verify(id, &bytes.unwrap()).unwrap()).collect()
    }
}
