//! What the catalog certifies: which commit each branch is at, what each release is, and pages for HTTP gateways
//! ([`http`](crate::http)).
//!
//! The first two are folders of nodes as the history has them, apart from it: names of branches, whose hashes are ids of
//! commits; and packages, in which versions have digests of releases as their hashes. The ids of the two top nodes make
//! the canister's certified data, so a witness is the nodes on the way to a name, and nothing has to be computed anew
//! after an upgrade. See [`depot_types::proof`].

use std::{collections::BTreeSet, rc::Rc};

use depot_types::{
    Hash,
    catalog::{ProofTarget, ProveError, ReleaseInfo, Revision, Witness},
    limits::{MAX_BRANCH_NAME_BYTES, MAX_PACKAGE_NAME_BYTES, MAX_PATH_BYTES},
    objects::{Entry, Node},
    path::ModulePath,
    proof::{certified_folder, certified_root, release_digest},
};
use ic_certification::{HashTree, fork, pruned};
use ic_stable_structures::{Memory, StableBTreeMap};
use serde_bytes::ByteBuf;

use crate::{
    history::Path,
    limits::{MAX_PROOF_COMMITS, MAX_PROOF_COMMITS_LOOKED_AT},
    releases::parse_version,
    state::State,
    stored::{Record, StoredHash},
    text::excerpt,
    trees::{Nodes, PathChange, Target, edit},
};

/// Nodes that are certified.
struct CertifiedNodes<'a, M: Memory>(&'a StableBTreeMap<StoredHash, Vec<u8>, M>);

impl<M: Memory> Nodes for CertifiedNodes<'_, M> {
    fn node(&self, id: &Hash) -> Rc<Node> {
        let bytes = self.0.get(id.as_bytes()).unwrap_or_else(|| panic!("BUG: the certified node {id} is missing"));
        Rc::new(Node::decode(&bytes).expect("BUG: a certified node cannot be read"))
    }
}

impl<M: Memory> State<M> {
    /// Returns the hash that the canister certifies.
    pub fn certified_data(&self) -> Hash {
        let (heads, releases) = self.certified_tops();
        certified_root(heads.as_ref(), &self.unstable_pages.root(), releases.as_ref())
    }

    /// Returns the whole tree of which a part, that of HTTP gateways, is shown.
    pub(crate) fn tree_around(&self, http: HashTree) -> HashTree {
        let (heads, releases) = self.certified_tops();
        let folder = |label: &str, top: Option<Hash>| pruned(*certified_folder(label, top.as_ref()).as_bytes());
        fork(fork(folder("heads", heads), http), folder("releases", releases))
    }

    /// Returns the ids of the tops of the folders of branches and of packages.
    fn certified_tops(&self) -> (Option<Hash>, Option<Hash>) {
        let Record(certified) = self.certified.get();
        (certified.heads.map(Hash::new), certified.releases.map(Hash::new))
    }

    /// Certifies the commit that a branch is at; nothing for a branch that is empty or gone.
    pub(crate) fn certify_head(&mut self, branch: &str, head: Option<Hash>) {
        let Record(mut certified) = self.certified.get().clone();
        let segments = vec![branch.to_string()];
        certified.heads = self.certify(certified.heads, segments, head);
        self.certified.set(Record(certified));
    }

    /// Certifies a release.
    pub(crate) fn certify_release(&mut self, release: &ReleaseInfo) {
        let Record(mut certified) = self.certified.get().clone();
        let segments = vec![release.package.clone(), release.version.clone()];
        certified.releases = self.certify(certified.releases, segments, Some(release_digest(release)));
        self.certified.set(Record(certified));
    }

    fn certify(&mut self, root: Option<StoredHash>, segments: Vec<String>, hash: Option<Hash>) -> Option<StoredHash> {
        let path = ModulePath::of_segments(segments);
        let change = PathChange { path, target: Target::Put(hash.map(Entry::Module)) };
        let edited = edit(&CertifiedNodes(&self.certified_nodes), root.map(Hash::new), &[change])
            .expect("BUG: names of branches and releases meet in one node by the thousand");
        for node in edited.nodes {
            self.keep_object(&node.id);
            self.certified_nodes.insert(*node.id.as_bytes(), node.bytes);
        }
        // Nothing has one form only, whether there was something before or not.
        let is_empty = CertifiedNodes(&self.certified_nodes).node(&edited.root).names() == 0;
        (!is_empty).then_some(*edited.root.as_bytes())
    }

    /// Returns what proves an answer, given the certificate of the canister's data.
    ///
    /// # Errors
    /// [`ProveError`]: there is nothing to prove, or not here.
    pub fn prove(&self, target: &ProofTarget, certificate: Option<Vec<u8>>) -> Result<Witness, ProveError> {
        let (heads, releases) = self.certified_tops();
        let mut objects = BTreeSet::new();
        match target {
            ProofTarget::Head { branch } => self.prove_head(branch, heads, &mut objects),
            ProofTarget::Path { branch, path } => {
                let path = read_path(path)?;
                let head = self.known_head(branch)?;
                self.prove_head(branch, heads, &mut objects);
                self.prove_path(head, &path, &mut objects);
            }
            ProofTarget::PathVersion { branch, path, index } => {
                let path = read_path(path)?;
                let head = self.known_head(branch)?;
                self.prove_head(branch, heads, &mut objects);
                self.prove_version(head, &path, *index, &mut objects)?;
            }
            ProofTarget::Release { package, version } => {
                let unknown = || ProveError::UnknownRelease {
                    package: excerpt(package, MAX_PACKAGE_NAME_BYTES),
                    version: excerpt(version, depot_types::limits::MAX_VERSION_BYTES),
                };
                let version = parse_version(version).ok_or_else(unknown)?.to_string();
                if let Some(root) = releases {
                    let nodes = CertifiedNodes(&self.certified_nodes);
                    visit(&nodes, root, &[package.clone(), version], &mut objects);
                }
            }
        }
        let objects = objects.into_iter().map(|id| {
            let bytes = self.objects.get(id.as_bytes()).or_else(|| self.certified_nodes.get(id.as_bytes()));
            ByteBuf::from(bytes.unwrap_or_else(|| panic!("BUG: the object {id} is missing")))
        });
        let (objects, http) = (objects.collect(), self.unstable_pages.root());
        let certificate = ByteBuf::from(certificate.ok_or(ProveError::NoCertificate)?);
        Ok(Witness { certificate, heads, releases, http, objects })
    }

    fn known_head(&self, branch: &str) -> Result<Hash, ProveError> {
        let revision = Revision::Branch(branch.to_string());
        self.revision(Some(&revision))
            .map_err(|_| ProveError::UnknownBranch { branch: excerpt(branch, MAX_BRANCH_NAME_BYTES) })
    }

    fn prove_head(&self, branch: &str, heads: Option<Hash>, objects: &mut BTreeSet<Hash>) {
        if let Some(heads) = heads {
            visit(&CertifiedNodes(&self.certified_nodes), heads, &[branch.to_string()], objects);
        }
    }

    fn prove_path(&self, commit: Hash, path: &[String], objects: &mut BTreeSet<Hash>) {
        objects.insert(commit);
        visit(self, self.place_of(&commit).tree, path, objects);
    }

    /// Proves a version of a path by the commits from the head to the one that brought it.
    fn prove_version(
        &self,
        head: Hash,
        path: &[String],
        index: u32,
        objects: &mut BTreeSet<Hash>,
    ) -> Result<(), ProveError> {
        let key = Path::new(path);
        let last = self.last_change(&key, self.place_of(&head).place);
        let versions = last.as_ref().map_or(0, |last| last.node.versions);
        let found = last.and_then(|last| self.version_change(&key, &last.node, index.saturating_add(1)));
        let target = found.ok_or(ProveError::UnknownVersion { versions })?.node.commit;
        let goal = self.commit_place(target);
        let way = self.way_back(&self.place_of(&head), &goal, MAX_PROOF_COMMITS_LOOKED_AT);
        let too_many = || ProveError::TooManyCommits { max: MAX_PROOF_COMMITS as u32 };
        let way = way.filter(|way| way.len() <= MAX_PROOF_COMMITS).ok_or_else(too_many)?;
        objects.extend(way.into_iter().map(|commit| commit.id));
        self.prove_path(goal.id, path, objects);
        Ok(())
    }
}

fn read_path(path: &str) -> Result<Vec<String>, ProveError> {
    match ModulePath::parse(path) {
        Ok(path) => Ok(path.segments().to_vec()),
        Err(reason) => Err(ProveError::InvalidPath { path: excerpt(path, MAX_PATH_BYTES), reason }),
    }
}

/// Adds the ids of the nodes on the way to a path to those of a witness.
fn visit(nodes: &impl Nodes, root: Hash, path: &[String], objects: &mut BTreeSet<Hash>) {
    let mut folder = Some(root);
    for name in path {
        let Some(mut id) = folder.take() else { return };
        loop {
            objects.insert(id);
            match &*nodes.node(&id) {
                Node::Inner { children, .. } => {
                    let Some(child) = children.get(Node::child_of(children, name)) else { return };
                    id = child.id;
                }
                Node::Leaf(entries) => {
                    let found = entries.iter().find(|(other, _)| other == name);
                    if let Some((_, Entry::Folder(below))) = found {
                        folder = Some(*below);
                    }
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
