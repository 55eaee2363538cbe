//! Reading a backup in, into an empty catalog.
//!
//! Items come in the order in which [`crate::export`] gives them. Nothing of them is in use before the end: branches
//! wait, and so a catalog that a backup is read into has none. Ids are those of the backup, since they follow from the
//! bytes; everything else that the catalog keeps about the history is made anew.

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{BackupItem, DEFAULT_BRANCH, EventKind, ImportArgs, ImportError, ImportStatus, InvalidItem, ReleaseInfo},
    limits::{MAX_DESCRIPTION_BYTES, MAX_SOURCE_BYTES},
    objects::{Child, Commit, EncodedObject, Node, Object},
    path::{ModulePath, check_branch_name, check_package_name},
};
use ic_stable_structures::Memory;
use serde::{Deserialize, Serialize};

use crate::{
    access::check_controller,
    commit::check_note,
    events::Actor,
    history::MAX_PARENTS,
    http::CertifiedPages,
    limits::{
        MAX_BRANCHES, MAX_COMMITS_PER_MERGE, MAX_IMPORT_INSTRUCTIONS, MAX_PUBLISHERS, MAX_STEPS_APART,
        MAX_VERSIONS_PER_PACKAGE,
    },
    releases::{parse_version, stored_release},
    runtime::Runtime,
    state::State,
    stored::{Record, StoredBranch, StoredHash},
    version_key::release_key,
};

/// A backup that is being read in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredImport {
    /// Items read in.
    position: u64,
    commits: u64,
    branches: Vec<PendingBranch>,
    default: Option<String>,
}

/// A branch of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PendingBranch {
    name: String,
    #[serde(with = "serde_bytes")]
    head: Option<StoredHash>,
    protected: bool,
}

/// Reads in a page of a backup, or as much of it as a message can.
///
/// # Errors
/// [`ImportError`]; items before the one that it names were read in.
pub fn import<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    args: ImportArgs,
) -> Result<ImportStatus, ImportError> {
    check_controller(runtime, caller).map_err(ImportError::Denied)?;
    let mut import = match state.import.get().clone().0 {
        Some(import) => import,
        None if state.is_empty() => StoredImport::default(),
        None => return Err(ImportError::NotEmpty),
    };
    if args.position != import.position {
        return Err(ImportError::WrongPosition { position: import.position });
    }
    let mut finished = false;
    let mut failure = None;
    for item in args.items {
        if runtime.instructions() > MAX_IMPORT_INSTRUCTIONS {
            break;
        }
        let reason = if finished { Err(InvalidItem::OutOfPlace) } else { state.import_item(&mut import, item) };
        match reason {
            Ok(is_end) => finished = is_end,
            Err(reason) => {
                failure = Some(ImportError::InvalidItem { position: import.position, reason });
                break;
            }
        }
        import.position += 1;
    }
    let position = import.position;
    if finished {
        let actor = Actor { caller, now_ns: runtime.now_ns() };
        state.finish_import(import, actor);
    } else {
        state.import.set(Record(Some(import)));
    }
    failure.map_or(Ok(ImportStatus { position, finished }), Err)
}

impl<M: Memory> State<M> {
    /// Tells how many items of a backup were read in, if one is being read in.
    pub fn import_position(&self) -> Option<u64> {
        self.import.get().0.as_ref().map(|import| import.position)
    }

    /// Tells whether nothing was ever done with the catalog but giving it publishers.
    fn is_empty(&self) -> bool {
        self.objects.is_empty()
            && self.releases.is_empty()
            && self.branches.iter().all(|branch| branch.value().0.head.is_none())
            && self.collection.get().0.is_none()
    }

    /// Reads an item in; returns true when it is the end.
    fn import_item(&mut self, import: &mut StoredImport, item: BackupItem) -> Result<bool, InvalidItem> {
        match item {
            BackupItem::Branch { name, head, protected, default } => {
                check_branch_name(&name).map_err(|_| InvalidItem::BreaksRule)?;
                let is_sorted = import.branches.last().is_none_or(|last| last.name < name);
                if !is_sorted || (default && import.default.is_some()) {
                    return Err(InvalidItem::OutOfPlace);
                }
                if import.branches.len() as u64 >= MAX_BRANCHES {
                    return Err(InvalidItem::BreaksRule);
                }
                if default {
                    import.default = Some(name.clone());
                }
                let head = head.map(|head| *head.as_bytes());
                import.branches.push(PendingBranch { name, head, protected });
            }
            BackupItem::Publisher(publisher) => {
                let is_full = self.publishers.len() >= MAX_PUBLISHERS && !self.publishers.contains_key(&publisher);
                if is_full || publisher == Principal::anonymous() {
                    return Err(InvalidItem::BreaksRule);
                }
                self.publishers.insert(publisher, ());
            }
            BackupItem::Release(release) => self.import_release(release)?,
            BackupItem::Node(bytes) => self.import_node(bytes.into_vec())?,
            BackupItem::Commit(bytes) => {
                self.import_commit(bytes.into_vec())?;
                import.commits += 1;
            }
            BackupItem::Event(event) => {
                // What the new catalog logged before, such as publishers, gives way to the log of the old one.
                if event.number == 1 && import.commits == self.commit_numbers.len() {
                    self.events.clear_new();
                }
                if !self.import_event(event) {
                    return Err(InvalidItem::OutOfPlace);
                }
            }
            BackupItem::End { items } => {
                if items != import.position {
                    return Err(InvalidItem::WrongCount);
                }
                if import.branches.is_empty() {
                    return Err(InvalidItem::OutOfPlace);
                }
                for branch in &import.branches {
                    if let Some(head) = branch.head
                        && !self.commit_numbers.contains_key(&head)
                    {
                        return Err(InvalidItem::MissingObject { id: Hash::new(head) });
                    }
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn import_release(&mut self, release: ReleaseInfo) -> Result<(), InvalidItem> {
        let version = parse_version(&release.version).ok_or(InvalidItem::BreaksRule)?;
        let fits = check_package_name(&release.package).is_ok()
            && release.description.len() <= MAX_DESCRIPTION_BYTES
            && release.source.as_ref().is_none_or(|source| source.len() <= MAX_SOURCE_BYTES)
            && self.version_count(&release.package) < MAX_VERSIONS_PER_PACKAGE;
        if !fits {
            return Err(InvalidItem::BreaksRule);
        }
        if self.releases.contains_key(&release_key(&release.package, &version)) {
            return Err(InvalidItem::OutOfPlace);
        }
        self.modules.insert(*release.module_hash.as_bytes(), ());
        let (package, stored) = stored_release(release);
        self.add_release(package, &version, stored);
        Ok(())
    }

    fn import_node(&mut self, bytes: Vec<u8>) -> Result<(), InvalidItem> {
        let (id, object) = Object::read(&bytes).map_err(|_| InvalidItem::Malformed)?;
        let Object::Node(node) = object else { return Err(InvalidItem::OutOfPlace) };
        let names: Vec<&str> = match &node {
            Node::Leaf(entries) => entries.iter().map(|(name, _)| name.as_str()).collect(),
            Node::Inner { children, .. } => children.iter().map(|child| child.first.as_str()).collect(),
        };
        if names.iter().any(|name| ModulePath::parse(name).is_err() || name.contains('/')) {
            return Err(InvalidItem::BreaksRule);
        }
        for module in node.modules() {
            self.modules.insert(*module.as_bytes(), ());
        }
        self.put_object(EncodedObject { id, bytes });
        Ok(())
    }

    fn import_commit(&mut self, bytes: Vec<u8>) -> Result<(), InvalidItem> {
        let (id, object) = Object::read(&bytes).map_err(|_| InvalidItem::Malformed)?;
        let Object::Commit(commit) = object else { return Err(InvalidItem::OutOfPlace) };
        check_note(Some(&commit.message), commit.author_name.as_deref()).map_err(|_| InvalidItem::BreaksRule)?;
        if commit.parents.len() > MAX_PARENTS {
            return Err(InvalidItem::BreaksRule);
        }
        for parent in &commit.parents {
            if !self.commit_numbers.contains_key(parent.as_bytes()) {
                return Err(InvalidItem::MissingObject { id: *parent });
            }
        }
        self.check_tree(commit.tree)?;
        let before = commit.parents.first().map(|parent| self.place_of(parent).tree);
        let prepared = self.prepare_stored(before, commit.tree).map_err(|_| InvalidItem::BreaksRule)?;
        self.check_merge(&commit)?;
        self.add_commit(EncodedObject { id, bytes }, &commit, &prepared.changed);
        Ok(())
    }

    /// Checks that all nodes of a tree are there and fit each other; what was checked has a mark.
    fn check_tree(&mut self, tree: Hash) -> Result<(), InvalidItem> {
        // What a node above says of a node: level, names, first name.
        type Said = (u8, u64, String);
        let mut waiting: Vec<(Hash, Option<Said>)> = vec![(tree, None)];
        while let Some((id, expected)) = waiting.pop() {
            let is_checked = self.marks.contains_key(id.as_bytes());
            if is_checked && expected.is_none() {
                continue;
            }
            let bytes = self.object(&id).ok_or(InvalidItem::MissingObject { id })?;
            let node = Node::decode(&bytes).map_err(|_| InvalidItem::OutOfPlace)?;
            let first = match &node {
                Node::Leaf(entries) => entries.first().map(|(name, _)| name.clone()),
                Node::Inner { children, .. } => children.first().map(|child| child.first.clone()),
            };
            if let Some((level, names, expected)) = expected
                && (node.level(), node.names(), first) != (level, names, Some(expected))
            {
                return Err(InvalidItem::BreaksRule);
            }
            if is_checked {
                continue;
            }
            self.marks.insert(*id.as_bytes(), ());
            match node {
                Node::Leaf(_) => waiting.extend(node.objects().into_iter().map(|id| (id, None))),
                Node::Inner { level, children } => {
                    let below = |child: Child| (child.id, Some((level.saturating_sub(1), child.names, child.first)));
                    waiting.extend(children.into_iter().map(below));
                }
            }
        }
        Ok(())
    }

    /// Checks that a merge takes in no more commits than one may.
    fn check_merge(&self, commit: &Commit) -> Result<(), InvalidItem> {
        let [ours, theirs] = commit.parents.as_slice() else { return Ok(()) };
        let apart = self.apart([self.place_of(ours).place], [self.place_of(theirs).place], MAX_STEPS_APART);
        let taken_in = apart.and_then(|apart| self.only_theirs(&apart, MAX_COMMITS_PER_MERGE));
        if taken_in.is_some() { Ok(()) } else { Err(InvalidItem::BreaksRule) }
    }

    fn finish_import(&mut self, import: StoredImport, actor: Actor) {
        self.branches.clear_new();
        for PendingBranch { name, head, protected } in import.branches {
            self.set_branch(&name, StoredBranch { head, protected });
            self.certify_head(&name, head.map(Hash::new));
        }
        let default = import.default.unwrap_or_else(|| DEFAULT_BRANCH.to_string());
        self.update_settings(|settings| {
            settings.default_branch = Some(default);
            // The blob store was not asked about any of the modules.
            settings.retain_from = Some([0; 32]);
        });
        self.marks.clear_new();
        self.import.set(Record(None));
        // The events are others now, but may be as many.
        self.unstable_pages = CertifiedPages::default();
        self.log(actor, EventKind::Imported { commits: import.commits });
    }
}

#[cfg(test)]
mod tests;
