//! Listing the modules below a folder.

use std::ops::ControlFlow;

use depot_types::{Hash, objects::Entry};

use super::{
    Nodes,
    cursor::{Cursor, Item},
};

/// Calls `found` for each module below a folder, in the order of paths, until it breaks.
///
/// `path` holds the segments of the folder and those of each module while it is shown; it is left as it was. With
/// `after`, the segments below the folder of a path that need not exist, the list starts behind that path.
pub(crate) fn list<N: Nodes>(
    nodes: &N,
    folder: Hash,
    path: &mut Vec<String>,
    after: Option<&[String]>,
    found: &mut impl FnMut(&[String], Hash) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut cursor = Cursor::new(nodes, Some(folder));
    let mut after = after.and_then(<[String]>::split_first);
    if let Some((name, _)) = after {
        cursor.seek(name);
    }
    loop {
        let (name, entry) = match cursor.item() {
            None => return ControlFlow::Continue(()),
            Some(Item::Node(..)) => {
                cursor.enter();
                continue;
            }
            Some(Item::Name(name, entry)) => (name.to_string(), entry),
        };
        // Only the first name can be the one that the list starts behind.
        let behind = after.take().filter(|(first, _)| **first == name).map(|(_, rest)| rest);
        path.push(name);
        let flow = match entry {
            Entry::Module(_) if behind.is_some() => ControlFlow::Continue(()),
            Entry::Module(hash) => found(path, hash),
            Entry::Folder(id) => list(nodes, id, path, behind.filter(|rest| !rest.is_empty()), found),
        };
        path.pop();
        flow?;
        cursor.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        test_fixtures::{module, set},
        trees::MemoryNodes,
    };

    fn names(nodes: &MemoryNodes, after: Option<&str>, most: usize) -> Vec<String> {
        let after: Option<Vec<String>> = after.map(|path| path.split('/').map(str::to_string).collect());
        let mut names = vec![];
        let root = nodes.root.unwrap();
        let mut path = vec![];
        _ = list(nodes, root, &mut path, after.as_deref(), &mut |path, _| {
            names.push(path.join("/"));
            if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(path, Vec::<String>::new());
        names
    }

    #[test]
    fn should_list_depth_first_and_go_on_behind_any_path() {
        let mut nodes = MemoryNodes::default();
        let paths = ["a/b/c", "a/b/d", "a/x", "a.b", "b", "c/d"];
        nodes.apply(&paths.map(|path| set(path, 1)));
        assert_eq!(names(&nodes, None, 100), paths);
        assert_eq!(names(&nodes, None, 3), paths[..3]);
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(names(&nodes, Some(path), 100), paths[index + 1..], "{path}");
        }
        for (after, rest) in [("a/b", 0), ("a/b/c/z", 1), ("a/c", 2), ("a.c", 4), ("0", 0), ("z", 6), ("a", 0)] {
            assert_eq!(names(&nodes, Some(after), 100), paths[rest..], "{after}");
        }
    }

    #[test]
    fn should_page_over_a_folder_of_many_nodes() {
        let mut nodes = MemoryNodes::default();
        let mut paths: Vec<String> = (0..2_000).map(|number| format!("big/{number}.wasm")).collect();
        for part in paths.chunks(100) {
            nodes.apply(&part.iter().map(|path| set(path, 1)).collect::<Vec<_>>());
        }
        paths.sort();
        let mut listed: Vec<String> = vec![];
        loop {
            let page = names(&nodes, listed.last().map(String::as_str), 77);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, paths);
        assert_eq!(module(1), module(1));
    }
}
