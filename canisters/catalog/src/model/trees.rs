//! What is in a commit, as a map, and the ids that follow from it.

use std::collections::BTreeMap;

use depot_types::{
    Hash,
    catalog::Change,
    objects::{Child, Entry, Node, name_level},
};

/// A path, by segments.
pub(super) type Path = Vec<String>;
/// Paths to modules.
pub(super) type Content = BTreeMap<Path, Hash>;

pub(super) fn segments(path: &str) -> Path {
    path.split('/').map(str::to_string).collect()
}

pub(super) fn is_below(path: &[String], folder: &[String]) -> bool {
    path.len() > folder.len() && path.starts_with(folder)
}

/// Returns what content has at a path and below it.
pub(super) fn part(content: &Content, path: &Path) -> Content {
    let is_there = |(other, _): &(&Path, &Hash)| other.starts_with(path);
    content.iter().filter(is_there).map(|(path, hash)| (path.clone(), *hash)).collect()
}

/// Returns the ids of all folders that content makes, the top one included, as the object format says: nothing of the
/// catalog's own code is used but the encoding of one node.
pub(super) fn folders(content: &Content) -> BTreeMap<Path, Hash> {
    let mut ids = BTreeMap::new();
    let entries: Vec<(&[String], Hash)> = content.iter().map(|(path, hash)| (path.as_slice(), *hash)).collect();
    add_folder(&mut vec![], &entries, &mut ids);
    ids
}

fn add_folder(folder: &mut Path, content: &[(&[String], Hash)], ids: &mut BTreeMap<Path, Hash>) -> Hash {
    let mut names: Vec<(String, Entry)> = vec![];
    for group in content.chunk_by(|(one, _), (other, _)| one[0] == other[0]) {
        let (path, module) = group[0];
        let entry = if path.len() == 1 {
            Entry::Module(module)
        } else {
            let below: Vec<(&[String], Hash)> = group.iter().map(|(path, hash)| (&path[1..], *hash)).collect();
            folder.push(path[0].clone());
            let id = add_folder(folder, &below, ids);
            folder.pop();
            Entry::Folder(id)
        };
        names.push((path[0].clone(), entry));
    }
    let id = top_node(names);
    ids.insert(folder.clone(), id);
    id
}

/// Returns the id of the top node of a folder.
fn top_node(names: Vec<(String, Entry)>) -> Hash {
    let child = |node: Node, first: String| Child { first, id: node.encode().id, names: node.names() };
    let mut nodes: Vec<Child> = pieces(names, 0, |(name, _)| name)
        .into_iter()
        .map(|piece| {
            let first = piece[0].0.clone();
            child(Node::Leaf(piece), first)
        })
        .collect();
    let mut level = 0;
    while nodes.len() > 1 {
        level += 1;
        let inner = |children: Vec<Child>| {
            let first = children[0].first.clone();
            child(Node::Inner { level, children }, first)
        };
        nodes = pieces(nodes, level, |child| &child.first).into_iter().map(inner).collect();
    }
    nodes.pop().map_or_else(|| Node::Leaf(vec![]).encode().id, |top| top.id)
}

/// Cuts a list before each name whose level is greater than the one given.
fn pieces<T>(items: Vec<T>, level: u8, name: impl Fn(&T) -> &String) -> Vec<Vec<T>> {
    let mut pieces: Vec<Vec<T>> = vec![];
    for item in items {
        match pieces.last_mut().filter(|_| name_level(name(&item)) <= level) {
            Some(piece) => piece.push(item),
            None => pieces.push(vec![item]),
        }
    }
    pieces
}

/// Applies changes to content; nothing when the catalog has to refuse them.
pub(super) fn apply(content: &Content, changes: &[Change]) -> Option<Content> {
    let path_of = |change: &Change| match change {
        Change::Set { path, .. } | Change::Remove { path } => Some(segments(path)),
        Change::RemoveModule { .. } => None,
    };
    let mut paths: Vec<Path> = changes.iter().filter_map(path_of).collect();
    let mut extra: Vec<Path> = vec![];
    for change in changes {
        if let Change::RemoveModule { module_hash } = change {
            let holds = |(path, hash): &(&Path, &Hash)| {
                *hash == module_hash && !paths.iter().any(|other| path.starts_with(other))
            };
            extra.extend(content.iter().filter(holds).map(|(path, _)| path.clone()));
        }
    }
    extra.sort();
    extra.dedup();
    paths.extend(extra.iter().cloned());
    for (index, one) in paths.iter().enumerate() {
        if paths[index + 1..].iter().any(|other| one.starts_with(other) || other.starts_with(one)) {
            return None;
        }
    }
    let mut after = content.clone();
    for change in changes {
        let Some(path) = path_of(change) else { continue };
        match change {
            Change::Set { module_hash, .. } => {
                // In the way is only what was there before: changes of one commit do not touch each other.
                let goes = |other: &Path| extra.contains(other);
                if content.keys().any(|other| is_below(other, &path) || (is_below(&path, other) && !goes(other))) {
                    return None;
                }
                after.insert(path, *module_hash);
            }
            Change::Remove { .. } => {
                let before = after.len();
                after.retain(|other, _| *other != path && !is_below(other, &path));
                if after.len() == before {
                    return None;
                }
            }
            Change::RemoveModule { .. } => (),
        }
    }
    after.retain(|path, _| !extra.contains(path));
    Some(after)
}

/// Gives a path what other content has there; nothing when a module is in the way.
pub(super) fn put(content: &Content, path: &Path, from: &Content) -> Option<Content> {
    let given = part(from, path);
    if !given.is_empty() && content.keys().any(|other| is_below(path, other)) {
        return None;
    }
    let mut after = content.clone();
    after.retain(|other, _| !other.starts_with(path));
    after.extend(given);
    Some(after)
}
