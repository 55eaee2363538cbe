//! Checking what the catalog answers, from the root key of the Internet Computer to the hash of a module.
//!
//! The catalog certifies one hash: the root of a hash tree as the Internet Computer's interface specification has them,
//! with three labels. `heads` has the id of the top node of a folder of branches, `releases` that of a folder of packages
//! and versions, or nothing while there is none; `http_expr` has what is certified for HTTP gateways, of which only the
//! hash matters here. A [`Witness`] holds the objects on the way from there to the answer, and each object is checked by
//! recomputing its id. Nothing that the catalog says has to be believed, but for how old the certificate may be.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    Hash,
    catalog::{ReleaseInfo, Witness},
    objects::{Commit, Entry, Node, Object, Writer, tagged_hash},
    path::ModulePath,
};

#[cfg(feature = "verify")]
mod certificate;

#[cfg(feature = "verify")]
pub use certificate::{CertificateError, MAX_CERTIFICATE_AGE_NS, certified_data};

/// The domain tag of releases.
pub const RELEASE_TAG: &str = "wasm-depot release v1";

/// Why a witness does not prove what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The ids of the two folders are not what is certified.
    #[error("the witness is about {found}, but {certified} is certified")]
    NotCertified {
        /// The certified data.
        certified: Hash,
        /// The hash that the witness leads to.
        found: Hash,
    },
    /// An object on the way is not part of the witness.
    #[error("the object {id} is not part of the witness")]
    MissingObject {
        /// Its id.
        id: Hash,
    },
    /// An object is not of the kind that it has to be.
    #[error("the object {id} is of another kind")]
    OtherKind {
        /// Its id.
        id: Hash,
    },
    /// The bytes of an object cannot be read.
    #[error("an object of the witness cannot be read")]
    Malformed,
    /// The branch is certified to be empty or not to exist.
    #[error("the branch has no commit")]
    NoHead,
    /// The release is certified to be another one, or not to exist.
    #[error("the release is not what is certified")]
    OtherRelease,
    /// The commit is not behind the head of the branch, as far as the witness shows.
    #[error("the commit {commit} is not behind the head of the branch")]
    NotInHistory {
        /// The commit.
        commit: Hash,
    },
}

/// Computes the hash that a catalog certifies, given the tops of its two folders and the hash of the part of the tree that
/// is labelled `http_expr`, with the label.
pub fn certified_root(heads: Option<&Hash>, http: &Hash, releases: Option<&Hash>) -> Hash {
    let [heads, releases] = [certified_folder("heads", heads), certified_folder("releases", releases)];
    fork_hash(&fork_hash(&heads, http), &releases)
}

/// Computes the hash of the part of the tree that has the top of a folder under a label.
pub fn certified_folder(label: &str, top: Option<&Hash>) -> Hash {
    let leaf = domain_hash("ic-hashtree-leaf", &[top.map_or(&[][..], |hash| hash.as_bytes().as_slice())]);
    domain_hash("ic-hashtree-labeled", &[label.as_bytes(), leaf.as_bytes()])
}

fn fork_hash(left: &Hash, right: &Hash) -> Hash {
    domain_hash("ic-hashtree-fork", &[left.as_bytes(), right.as_bytes()])
}

fn domain_hash(domain: &str, parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([domain.len() as u8]);
    hasher.update(domain);
    for part in parts {
        hasher.update(part);
    }
    Hash::new(hasher.finalize().into())
}

/// Computes the digest of a release that is certified: that of everything that is said about it.
pub fn release_digest(release: &ReleaseInfo) -> Hash {
    let ReleaseInfo { package, version, module_hash, description, source, publisher, published_at_ns } = release;
    let mut writer = Writer::default();
    writer.array(8).unsigned(1).text(package).text(version).bytes(module_hash.as_bytes()).text(description);
    match source {
        Some(source) => writer.text(source),
        None => writer.null(),
    };
    writer.bytes(publisher.as_slice()).unsigned(*published_at_ns);
    tagged_hash(RELEASE_TAG, &writer.finish())
}

/// A witness whose objects were named anew and that leads to what is certified.
#[derive(Clone, Debug)]
pub struct Proven {
    heads: Option<Hash>,
    releases: Option<Hash>,
    objects: BTreeMap<Hash, Object>,
}

impl Proven {
    /// Checks that a witness is about the data certified, which comes from the witness's certificate.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn check(witness: &Witness, certified: &Hash) -> Result<Self, ProofError> {
        let found = certified_root(witness.heads.as_ref(), &witness.http, witness.releases.as_ref());
        if found != *certified {
            return Err(ProofError::NotCertified { certified: *certified, found });
        }
        let objects = witness.objects.iter().map(|bytes| Object::read(bytes).map_err(|_| ProofError::Malformed));
        let objects = objects.collect::<Result<_, _>>()?;
        Ok(Self { heads: witness.heads, releases: witness.releases, objects })
    }

    /// Returns the commit that a branch is at; nothing when it is certified to be empty or not to exist.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn head(&self, branch: &str) -> Result<Option<Hash>, ProofError> {
        self.hash_at(self.heads, &[branch.to_string()])
    }

    /// Returns what a path of a branch stands for; nothing when it is certified to stand for nothing.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn path(&self, branch: &str, path: &ModulePath) -> Result<Option<Entry>, ProofError> {
        let head = self.head(branch)?.ok_or(ProofError::NoHead)?;
        self.entry_at(self.commit(&head)?.tree, path.segments())
    }

    /// Returns what a path stood for in a commit that a branch looks back on.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn path_in(&self, branch: &str, commit: &Hash, path: &ModulePath) -> Result<Option<Entry>, ProofError> {
        let head = self.head(branch)?.ok_or(ProofError::NoHead)?;
        let mut waiting = vec![head];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if id == *commit {
                return self.entry_at(self.commit(&id)?.tree, path.segments());
            }
            // A commit that is not part of the witness leads nowhere that it proves.
            if seen.insert(id)
                && let Some(Object::Commit(commit)) = self.objects.get(&id)
            {
                waiting.extend(&commit.parents);
            }
        }
        Err(ProofError::NotInHistory { commit: *commit })
    }

    /// Checks that a release is what is certified.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn release(&self, release: &ReleaseInfo) -> Result<(), ProofError> {
        let certified = self.release_digest(&release.package, &release.version)?;
        if certified == Some(release_digest(release)) { Ok(()) } else { Err(ProofError::OtherRelease) }
    }

    /// Returns the [`release_digest`] that is certified of a version of a package; nothing when it is certified not to
    /// exist.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn release_digest(&self, package: &str, version: &str) -> Result<Option<Hash>, ProofError> {
        self.hash_at(self.releases, &[package.to_string(), version.to_string()])
    }

    fn hash_at(&self, root: Option<Hash>, path: &[String]) -> Result<Option<Hash>, ProofError> {
        let Some(root) = root else { return Ok(None) };
        match self.entry_at(root, path)? {
            Some(Entry::Module(hash)) => Ok(Some(hash)),
            Some(Entry::Folder(id)) => Err(ProofError::OtherKind { id }),
            None => Ok(None),
        }
    }

    fn entry_at(&self, root: Hash, path: &[String]) -> Result<Option<Entry>, ProofError> {
        let mut entry = Entry::Folder(root);
        for name in path {
            let Entry::Folder(mut id) = entry else { return Ok(None) };
            entry = loop {
                match self.node(&id)? {
                    Node::Leaf(entries) => match entries.iter().find(|(other, _)| other == name) {
                        Some((_, entry)) => break *entry,
                        None => return Ok(None),
                    },
                    Node::Inner { children, .. } => match children.get(Node::child_of(children, name)) {
                        Some(child) => id = child.id,
                        None => return Err(ProofError::Malformed),
                    },
                }
            };
        }
        Ok(Some(entry))
    }

    fn node(&self, id: &Hash) -> Result<&Node, ProofError> {
        match self.objects.get(id) {
            Some(Object::Node(node)) => Ok(node),
            Some(Object::Commit(_)) => Err(ProofError::OtherKind { id: *id }),
            None => Err(ProofError::MissingObject { id: *id }),
        }
    }

    fn commit(&self, id: &Hash) -> Result<&Commit, ProofError> {
        match self.objects.get(id) {
            Some(Object::Commit(commit)) => Ok(commit),
            Some(Object::Node(_)) => Err(ProofError::OtherKind { id: *id }),
            None => Err(ProofError::MissingObject { id: *id }),
        }
    }
}

#[cfg(test)]
mod tests;
