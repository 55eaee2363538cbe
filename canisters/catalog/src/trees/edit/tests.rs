use std::cell::Cell;

use depot_types::catalog::Change;
use proptest::prelude::*;

use super::*;
use crate::{
    changes::read_changes,
    test_fixtures::{module, remove, set},
    trees::entry_at,
};

/// Nodes in memory, and the id of the top folder.
#[derive(Default)]
pub(crate) struct MemoryNodes {
    pub(crate) objects: BTreeMap<Hash, Vec<u8>>,
    pub(crate) root: Option<Hash>,
    pub(crate) reads: Cell<usize>,
}

impl Nodes for MemoryNodes {
    fn node(&self, id: &Hash) -> Rc<Node> {
        self.reads.set(self.reads.get() + 1);
        Rc::new(Node::decode(&self.objects[id]).unwrap())
    }
}

impl MemoryNodes {
    fn edit(&self, changes: &[Change]) -> Result<Edited, EditError> {
        edit(self, self.root, &read_changes(changes).unwrap().paths)
    }

    pub(crate) fn apply(&mut self, changes: &[Change]) -> Edited {
        let edited = self.edit(changes).unwrap();
        for object in &edited.nodes {
            self.objects.insert(object.id, object.bytes.clone());
        }
        self.root = Some(edited.root);
        edited
    }

    fn with(changes: &[Change]) -> Self {
        let mut nodes = Self::default();
        for part in changes.chunks(100) {
            nodes.apply(part);
        }
        nodes
    }

    /// Checks that every node that the top folder leads to is one that the format allows, and returns how many.
    fn check(&self) -> usize {
        let mut waiting = vec![self.root.unwrap()];
        let mut count = 0;
        while let Some(id) = waiting.pop() {
            count += 1;
            let node = Node::decode(&self.objects[&id]).unwrap();
            if let Node::Inner { level, children } = &node {
                for child in children {
                    let below = Node::decode(&self.objects[&child.id]).unwrap();
                    assert_eq!((below.level(), below.names()), (level - 1, child.names));
                }
            }
            waiting.extend(node.objects());
        }
        count
    }
}

#[test]
fn should_share_what_does_not_change() {
    let mut store = MemoryNodes::with(&[set("a/x/1", 1), set("a/y/2", 2), set("b/z/3", 3)]);
    let edited = store.apply(&[set("a/x/4", 4)]);
    assert_eq!(edited.nodes.len(), 3, "the folders `a/x`, `a` and the top one");
    let Some(Entry::Folder(b)) = entry_at(&store, edited.root, &["b"]) else { panic!("`b` is no folder") };
    assert!(edited.nodes.iter().all(|node| node.id != b));
}

#[test]
fn should_drop_folders_that_become_empty() {
    let mut store = MemoryNodes::with(&[set("a", 1)]);
    let before = store.root;
    store.apply(&[set("b/c/d/e", 1), set("b/c/f", 2)]);
    store.apply(&[remove("b/c/d/e")]);
    store.apply(&[remove("b/c/f")]);
    assert_eq!(store.root, before);
    store.apply(&[remove("a")]);
    let empty = Node::Leaf(vec![]).encode().id;
    assert_eq!(store.root, Some(empty));
    store.apply(&[set("a", 1)]);
    assert_eq!(store.root, before);
}

#[test]
fn should_remove_a_folder_with_all_below_it() {
    let mut store = MemoryNodes::with(&[set("a", 1), set("b/c/d", 1), set("b/e", 1)]);
    store.apply(&[remove("b")]);
    assert_eq!(store.root, MemoryNodes::with(&[set("a", 1)]).root);
}

#[test]
fn should_name_what_stands_in_the_way() {
    let store = MemoryNodes::with(&[set("a", 1), set("b/c/d", 1)]);
    let conflict = |path: &str, existing: &str| {
        Err(EditError::PathConflict { path: path.to_string(), existing: existing.to_string() })
    };
    assert_eq!(store.edit(&[set("a/x/y", 1)]), conflict("a/x/y", "a"));
    assert_eq!(store.edit(&[set("b/c", 1)]), conflict("b/c", "b/c"));
    assert_eq!(store.edit(&[set("b/c/d/e", 1), set("z", 1)]), conflict("b/c/d/e", "b/c/d"));
}

#[test]
fn should_refuse_to_remove_what_is_not_there() {
    let store = MemoryNodes::with(&[set("a", 1), set("b/c", 1)]);
    for path in ["x", "x/y", "a/x", "b/x", "b/c/d"] {
        assert_eq!(store.edit(&[remove(path)]), Err(EditError::UnknownPath { path: path.to_string() }));
    }
}

#[test]
fn should_put_whatever_is_given_in_place_of_whatever_is_there() {
    let mut store = MemoryNodes::with(&[set("a/b", 1), set("c", 2)]);
    let folder = entry_at(&store, store.root.unwrap(), &["a"]);
    let put = |path: &str, entry| PathChange { path: ModulePath::parse(path).unwrap(), target: Target::Put(entry) };
    let edited = edit(&store, store.root, &[put("a", None), put("c", folder)]).unwrap();
    let expected = MemoryNodes::with(&[set("c/b", 1)]).root;
    assert_eq!(Some(edited.root), expected);
    let same = edit(&store, store.root, &[put("c/x/y", None), put("d", None)]).unwrap();
    assert_eq!((Some(same.root), same.nodes.len()), (store.root, 0));
    let blocked = edit(&store, store.root, &[put("c/x", folder)]);
    assert_eq!(blocked, Err(EditError::PathConflict { path: "c/x".to_string(), existing: "c".to_string() }));
    store.apply(&[remove("a"), remove("c")]);
}

#[test]
fn should_make_little_anew_in_a_folder_of_many_names() {
    let names: Vec<Change> = (0..10_000).map(|number| set(&format!("f/{number}"), 1)).collect();
    let mut store = MemoryNodes::with(&names);
    assert!(store.check() > 500);
    store.reads.set(0);
    let edited = store.apply(&[set("f/5000.5", 2)]);
    let bytes: usize = edited.nodes.iter().map(|node| node.bytes.len()).sum();
    assert!(edited.nodes.len() < 12 && bytes < 20_000, "{} nodes, {bytes} bytes", edited.nodes.len());
    assert!(store.reads.get() < 30, "{}", store.reads.get());
}

#[test]
fn should_hold_the_names_of_a_node_at_and_one_past() {
    let names: Vec<String> = (0..)
        .map(|number| format!("n{number}"))
        .filter(|name| name_level(name) == 0)
        .take(MAX_NODE_NAMES + 1)
        .collect();
    let changes: Vec<Change> = names.iter().map(|name| set(&format!("a/b/{name}"), 1)).collect();
    let mut store = MemoryNodes::with(&changes[..MAX_NODE_NAMES]);
    let one_more = [changes[MAX_NODE_NAMES].clone()];
    assert_eq!(store.edit(&one_more), Err(EditError::FolderFull { path: "a/b".to_string() }));
    let instead = [one_more[0].clone(), remove(&format!("a/b/{}", names[0]))];
    store.apply(&instead);
}

/// Folders of version 1: one node each, whatever the levels of the names.
#[test]
fn should_split_a_folder_of_version_1_when_it_changes() {
    let names: Vec<String> = (0..900).map(|number| format!("{number:04}")).collect();
    let all = Node::leaf(names.iter().map(|name| (name.clone(), Entry::Module(module(1)))));
    let bytes = {
        let mut bytes = all.encode().bytes;
        bytes.splice(0..3, [0x82, 0x01]);
        bytes
    };
    let mut store = MemoryNodes::default();
    let id = depot_types::objects::Object::read(&bytes).unwrap().0;
    store.objects.insert(id, bytes);
    store.root = Some(id);
    store.apply(&[set("0500", 2)]);
    let changes: Vec<Change> = names.iter().map(|name| set(name, if name == "0500" { 2 } else { 1 })).collect();
    assert_eq!(store.root, MemoryNodes::with(&changes).root);
    assert!(store.check() > 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The shape of a folder follows from its names, not from the way they came.
    #[test]
    fn should_have_one_shape_for_the_same_names(
        batches in prop::collection::vec(prop::collection::btree_map(0..400u32, prop::option::weighted(0.6, 0..3u64), 1..90), 1..12),
    ) {
        let name = |number: u32| format!("{}", number * 7919 % 1000);
        let mut store = MemoryNodes::default();
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        for batch in batches {
            let mut changes = vec![];
            for (number, target) in batch {
                match target {
                    Some(module) => {
                        model.insert(number, module);
                        changes.push(set(&name(number), module));
                    }
                    None => if model.remove(&number).is_some() { changes.push(remove(&name(number))) },
                }
            }
            if changes.is_empty() {
                continue;
            }
            store.apply(&changes);
            store.check();
            for number in 0..400 {
                let expected = model.get(&number).map(|number| Entry::Module(module(*number)));
                prop_assert_eq!(entry_at(&store, store.root.unwrap(), &[name(number)]), expected);
            }
            let at_once: Vec<Change> = model.iter().map(|(number, module)| set(&name(*number), *module)).collect();
            let expected = if at_once.is_empty() { Some(Node::Leaf(vec![]).encode().id) } else { MemoryNodes::with(&at_once).root };
            prop_assert_eq!(store.root, expected);
        }
    }
}

/// A folder of three, in which so many folders have as many names as a node can have; the first one has fewer.
struct FullFolders {
    nodes: BTreeMap<Hash, Rc<Node>>,
    full: Rc<Node>,
    changes: Vec<PathChange>,
}

impl FullFolders {
    /// Makes folders whose nodes have so many names together, and a change in each of them.
    fn new(names: usize) -> Self {
        let level_0 = (0..).map(|number| format!("{number}")).filter(|name| name_level(name) == 0);
        let all: Vec<String> = level_0.take(MAX_NODE_NAMES).collect();
        let leaf = |count: usize| {
            let mut entries: Vec<_> =
                all[..count].iter().map(|name| (name.clone(), Entry::Module(module(1)))).collect();
            entries.sort();
            Rc::new(Node::Leaf(entries))
        };
        let mut made = Self { nodes: BTreeMap::new(), full: leaf(MAX_NODE_NAMES), changes: vec![] };
        let folder = |id: &[&str]| Hash::of(id.join("/").as_bytes());
        let top = ["a", "b", "c"];
        // The top folder, two that have the full ones, and the names in those.
        let full = (names - top.len()) / (MAX_NODE_NAMES + 1);
        let rest = (names - top.len()) % (MAX_NODE_NAMES + 1);
        let entries = |path: &str, names: &[String]| {
            let mut entries: Vec<_> =
                names.iter().map(|name| (name.clone(), Entry::Folder(folder(&[path, name])))).collect();
            entries.sort();
            Rc::new(Node::Leaf(entries))
        };
        let half = full / 2;
        made.nodes.insert(folder(&[]), entries("", &top.map(str::to_string)));
        made.nodes.insert(folder(&["", "a"]), leaf(rest));
        for (name, folders) in [("b", &all[..half]), ("c", &all[..full - half])] {
            made.nodes.insert(folder(&["", name]), entries(name, folders));
            let changed = folders.iter().map(|folder| vec![name.to_string(), folder.clone(), all[0].clone()]);
            made.changes.extend(changed.map(Self::change));
        }
        made.changes.push(Self::change(vec!["a".to_string(), all[0].clone()]));
        made.changes.sort_by(|one, other| one.path.cmp(&other.path));
        made
    }

    fn change(segments: Vec<String>) -> PathChange {
        PathChange { path: ModulePath::of_segments(segments), target: Target::Set(module(2)) }
    }
}

impl Nodes for FullFolders {
    fn node(&self, id: &Hash) -> Rc<Node> {
        Rc::clone(self.nodes.get(id).unwrap_or(&self.full))
    }
}

#[test]
fn should_read_so_many_names_for_a_change_and_not_one_more() {
    let edited = |names: u64| {
        let folders = FullFolders::new(names as usize);
        edit(&folders, Some(Hash::of(b"")), &folders.changes).map(|edited| edited.nodes.len())
    };
    // A node for each folder: the top one, three in it, and the full ones.
    assert_eq!(edited(MAX_NAMES_PER_CHANGE), Ok(1 + 3 + (MAX_NAMES_PER_CHANGE as usize - 3) / (MAX_NODE_NAMES + 1)));
    assert_eq!(edited(MAX_NAMES_PER_CHANGE + 1), Err(EditError::TooLarge));
}
