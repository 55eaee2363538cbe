//! Making a new tree out of an old one and changes.

use depot_types::{Hash, catalog::CommitError};

use crate::{
    changes::PathChange,
    limits::{MAX_FOLDER_BYTES_PER_COMMIT, MAX_FOLDER_ENTRIES},
    objects::{EncodedObject, Entry, Tree},
};

/// A tree that changes lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The id of its top folder.
    pub(crate) root: Hash,
    /// The folders that the changes touched, the top one among them; all others are shared with the old tree.
    pub(crate) folders: Vec<EncodedObject>,
}

/// Applies changes, in the order that [`crate::changes::read_changes`] gives them, to a tree or to nothing.
///
/// `read` returns the bytes of a folder. Only folders on the paths that change are read and made anew.
pub(crate) fn edit(
    root: Option<Hash>,
    changes: &[PathChange],
    read: impl Fn(&Hash) -> Vec<u8>,
) -> Result<Edited, CommitError> {
    let mut editor = Editor { read, read_bytes: 0, folders: Vec::new() };
    let top = editor.edit_folder(root, 0, changes)?;
    let root = editor.keep(&top);
    Ok(Edited { root, folders: editor.folders })
}

struct Editor<F> {
    read: F,
    read_bytes: u64,
    folders: Vec<EncodedObject>,
}

impl<F: Fn(&Hash) -> Vec<u8>> Editor<F> {
    /// Applies changes, all of which lie in the folder given, `depth` segments below the top.
    fn edit_folder(&mut self, id: Option<Hash>, depth: usize, changes: &[PathChange]) -> Result<Tree, CommitError> {
        let mut folder = self.load(id)?;
        let name_of = |change: &PathChange| change.path.segments().get(depth).cloned();
        for below in changes.chunk_by(|one, other| name_of(one) == name_of(other)) {
            if let [change, ..] = below
                && let Some(name) = change.path.segments().get(depth)
            {
                let entry = self.edit_entry(folder.get(name), depth, change, below)?;
                match entry {
                    Some(entry) => folder.set(name, entry),
                    None => _ = folder.remove(name),
                }
            }
        }
        if folder.len() > MAX_FOLDER_ENTRIES {
            let path = changes.first().map(|change| prefix(change, depth)).unwrap_or_default();
            return Err(CommitError::FolderFull { path, max: MAX_FOLDER_ENTRIES as u32 });
        }
        Ok(folder)
    }

    /// Returns what becomes of an entry; `changes`, of which `change` is the first, concern it or what lies below it.
    fn edit_entry(
        &mut self,
        entry: Option<Entry>,
        depth: usize,
        change: &PathChange,
        changes: &[PathChange],
    ) -> Result<Option<Entry>, CommitError> {
        let conflict = |existing| CommitError::PathConflict { path: change.path.to_string(), existing };
        let unknown = || CommitError::UnknownPath { path: change.path.to_string() };
        let is_here = change.path.segments().len() == depth + 1;
        match (is_here, change.module, entry) {
            (true, Some(_), Some(Entry::Folder(_))) => Err(conflict(change.path.to_string())),
            (true, Some(module), Some(Entry::Module(_)) | None) => Ok(Some(Entry::Module(module))),
            (true, None, Some(_)) => Ok(None),
            (true, None, None) => Err(unknown()),
            (false, Some(_), Some(Entry::Module(_))) => Err(conflict(prefix(change, depth + 1))),
            (false, None, Some(Entry::Module(_))) => Err(unknown()),
            (false, _, Some(Entry::Folder(id))) => self.edit_below(Some(id), depth, changes),
            (false, _, None) => self.edit_below(None, depth, changes),
        }
    }

    fn edit_below(
        &mut self,
        id: Option<Hash>,
        depth: usize,
        changes: &[PathChange],
    ) -> Result<Option<Entry>, CommitError> {
        let folder = self.edit_folder(id, depth + 1, changes)?;
        // A folder lives by its entries: the same paths must give the same tree whatever was there before.
        Ok(if folder.is_empty() { None } else { Some(Entry::Folder(self.keep(&folder))) })
    }

    fn load(&mut self, id: Option<Hash>) -> Result<Tree, CommitError> {
        let Some(id) = id else { return Ok(Tree::default()) };
        let bytes = (self.read)(&id);
        self.read_bytes += bytes.len() as u64;
        if self.read_bytes > MAX_FOLDER_BYTES_PER_COMMIT {
            return Err(CommitError::FoldersTooLarge { max: MAX_FOLDER_BYTES_PER_COMMIT });
        }
        Ok(Tree::decode(&bytes).expect("BUG: a stored folder cannot be read"))
    }

    fn keep(&mut self, folder: &Tree) -> Hash {
        let object = folder.encode();
        let id = object.id;
        self.folders.push(object);
        id
    }
}

/// Returns the first `depth` segments of a change's path.
fn prefix(change: &PathChange, depth: usize) -> String {
    let segments = change.path.segments();
    segments.get(..depth).unwrap_or(segments).join("/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use depot_types::catalog::Change;

    use super::*;
    use crate::{
        changes::read_changes,
        test_fixtures::{module, remove, set},
    };

    /// Folders by id, and the id of the top one.
    #[derive(Default)]
    struct Store {
        objects: BTreeMap<Hash, Vec<u8>>,
        root: Option<Hash>,
    }

    impl Store {
        fn edit(&self, changes: &[Change]) -> Result<Edited, CommitError> {
            edit(self.root, &read_changes(changes)?, |id| self.objects[id].clone())
        }

        #[track_caller]
        fn apply(&mut self, changes: &[Change]) -> Edited {
            let edited = self.edit(changes).unwrap();
            self.objects.extend(edited.folders.iter().map(|folder| (folder.id, folder.bytes.clone())));
            self.root = Some(edited.root);
            edited
        }

        fn with(changes: &[Change]) -> Self {
            let mut store = Self::default();
            store.apply(changes);
            store
        }
    }

    #[test]
    fn should_share_what_does_not_change() {
        let mut store = Store::with(&[set("a/x/1", 1), set("a/y/2", 2), set("b/z/3", 3)]);
        let edited = store.apply(&[set("a/x/4", 4)]);
        assert_eq!(edited.folders.len(), 3, "the folders `a/x`, `a` and the top one");
        let top = Tree::decode(&store.objects[&edited.root]).unwrap();
        let Some(Entry::Folder(b)) = top.get("b") else { panic!("`b` is no folder") };
        assert!(edited.folders.iter().all(|folder| folder.id != b));
    }

    #[test]
    fn should_drop_folders_that_become_empty() {
        let mut store = Store::with(&[set("a", 1)]);
        let before = store.root;
        store.apply(&[set("b/c/d/e", 1), set("b/c/f", 2)]);
        store.apply(&[remove("b/c/d/e")]);
        store.apply(&[remove("b/c/f")]);
        assert_eq!(store.root, before);
        store.apply(&[remove("a")]);
        assert_eq!(store.root, Some(Tree::default().encode().id));
    }

    #[test]
    fn should_remove_a_folder_with_all_below_it() {
        let mut store = Store::with(&[set("a", 1), set("b/c/d", 1), set("b/e", 1)]);
        store.apply(&[remove("b")]);
        assert_eq!(store.root, Store::with(&[set("a", 1)]).root);
    }

    #[test]
    fn should_name_what_stands_in_the_way() {
        let store = Store::with(&[set("a", 1), set("b/c/d", 1)]);
        let conflict = |path: &str, existing: &str| {
            Err(CommitError::PathConflict { path: path.to_string(), existing: existing.to_string() })
        };
        assert_eq!(store.edit(&[set("a/x/y", 1)]), conflict("a/x/y", "a"));
        assert_eq!(store.edit(&[set("b/c", 1)]), conflict("b/c", "b/c"));
        assert_eq!(store.edit(&[set("b/c/d/e", 1), set("z", 1)]), conflict("b/c/d/e", "b/c/d"));
    }

    #[test]
    fn should_refuse_to_remove_what_is_not_there() {
        let store = Store::with(&[set("a", 1), set("b/c", 1)]);
        for path in ["x", "x/y", "a/x", "b/x", "b/c/d"] {
            assert_eq!(store.edit(&[remove(path)]), Err(CommitError::UnknownPath { path: path.to_string() }));
        }
    }

    /// A folder with the entries given, put below the path given.
    fn filled(store: &mut Store, path: &[&str], names: impl Iterator<Item = String>) {
        let mut folder = Tree::default();
        for name in names {
            folder.set(&name, Entry::Module(module(1)));
        }
        let mut object = folder.encode();
        for segment in path.iter().rev() {
            let mut above = Tree::default();
            above.set(segment, Entry::Folder(object.id));
            store.objects.insert(object.id, object.bytes);
            object = above.encode();
        }
        store.root = Some(object.id);
        store.objects.insert(object.id, object.bytes);
    }

    #[test]
    fn should_hold_the_entries_of_a_folder_at_and_one_past() {
        let mut store = Store::default();
        filled(&mut store, &["a", "b"], (1..MAX_FOLDER_ENTRIES).map(|number| number.to_string()));
        let full = |path: &str| Err(CommitError::FolderFull { path: path.to_string(), max: MAX_FOLDER_ENTRIES as u32 });
        assert!(store.edit(&[set("a/b/x", 1)]).is_ok());
        assert_eq!(store.edit(&[set("a/b/x", 1), set("a/b/y", 1)]), full("a/b"));
        assert!(store.edit(&[set("a/b/x", 1), set("a/b/y", 1), remove("a/b/1")]).is_ok());

        filled(&mut store, &[], (0..MAX_FOLDER_ENTRIES).map(|number| number.to_string()));
        assert!(store.edit(&[set("1", 2)]).is_ok());
        assert_eq!(store.edit(&[set("x", 1)]), full(""));
    }

    #[test]
    fn should_bound_the_bytes_of_the_folders_read() {
        let name = |number: usize| format!("{number:0255}");
        let mut folder = Tree::default();
        for number in 0..MAX_FOLDER_ENTRIES {
            folder.set(&name(number), Entry::Module(module(1)));
        }
        let folder = folder.encode();
        assert!(folder.bytes.len() < 300_000, "{}", folder.bytes.len());
        let count = 100;
        let mut middle = Tree::default();
        for number in 0..count {
            middle.set(&number.to_string(), Entry::Folder(folder.id));
        }
        let middle = middle.encode();
        let mut top = Tree::default();
        for number in 0..2 {
            top.set(&number.to_string(), Entry::Folder(middle.id));
        }
        let top = top.encode();
        let top_bytes = top.bytes.len() as u64;
        let fit = (MAX_FOLDER_BYTES_PER_COMMIT - top_bytes - 2 * middle.bytes.len() as u64) / folder.bytes.len() as u64;
        assert!(fit > count, "one commit can read all folders of one middle folder");
        let store = Store {
            root: Some(top.id),
            objects: [folder, middle, top].into_iter().map(|object| (object.id, object.bytes)).collect(),
        };
        let mut changes: Vec<PathChange> = (0..=fit)
            .map(|number| format!("{}/{}/{}", number / count, number % count, name(0)))
            .flat_map(|path| read_changes(&[remove(&path)]).unwrap())
            .collect();
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        let read = |id: &Hash| store.objects[id].clone();
        assert!(edit(store.root, &changes[..fit as usize], read).is_ok());
        let expected = Err(CommitError::FoldersTooLarge { max: MAX_FOLDER_BYTES_PER_COMMIT });
        assert_eq!(edit(store.root, &changes, read), expected);
    }
}
