//! What becomes of the paths in which two sides differ.

use std::collections::BTreeMap;

use depot_types::{
    Hash,
    catalog::{Conflict, Take},
};

/// A path in which two sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) base: Option<Hash>,
    pub(super) ours: Option<Hash>,
    pub(super) theirs: Option<Hash>,
    /// What the path names after the merge; nothing of it is known while the path is in conflict.
    pub(super) outcome: Option<Option<Hash>>,
    /// Another path that cannot name a module beside this one.
    pub(super) in_the_way: Option<Vec<String>>,
}

/// All such paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides(BTreeMap<Vec<String>, Side>);

impl Sides {
    pub(super) fn add(&mut self, path: Vec<String>, side: Side) {
        self.0.insert(path, side);
    }

    /// Puts paths into conflict that would have to be modules and folders at once.
    ///
    /// Where one side has a module and the other one a folder, both differ in the module and in all below the folder,
    /// so each such path is among these.
    pub(super) fn find_obstacles(&mut self) {
        let mut obstacles: Vec<(Vec<String>, Vec<String>)> = vec![];
        let mut above: Option<&Vec<String>> = None;
        let modules = self.0.iter().filter(|(_, side)| matches!(side.outcome, Some(Some(_))));
        // Paths are in the order of their segments: all that lies below one follows it.
        for (path, _) in modules {
            match above {
                Some(above) if path.starts_with(above) => obstacles.push((above.clone(), path.clone())),
                Some(_) | None => above = Some(path),
            }
        }
        for (above, below) in obstacles {
            for (path, other) in [(&above, &below), (&below, &above)] {
                if let Some(side) = self.0.get_mut(path) {
                    side.outcome = None;
                    side.in_the_way = Some(other.clone());
                }
            }
        }
    }

    /// Resolves a path; returns false when it is not in conflict.
    pub(super) fn resolve(&mut self, path: &[String], take: &Take) -> bool {
        let Some(side) = self.0.get_mut(path).filter(|side| side.outcome.is_none()) else { return false };
        side.outcome = Some(match take {
            Take::Ours => side.ours,
            Take::Theirs => side.theirs,
            Take::Module(hash) => Some(*hash),
            Take::Nothing => None,
        });
        side.in_the_way = None;
        true
    }

    /// Returns the paths in conflict, in their order.
    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |(path, side): (&Vec<String>, &Side)| Conflict {
            path: path.join("/"),
            base: side.base,
            ours: side.ours,
            theirs: side.theirs,
            in_the_way: side.in_the_way.as_ref().map(|path| path.join("/")),
        };
        self.0.iter().filter(|(_, side)| side.outcome.is_none()).map(conflict).collect()
    }

    /// Returns what the paths that change on our side name after the merge, in the order of paths.
    pub(super) fn changes(self) -> Vec<(Vec<String>, Option<Hash>)> {
        let change = |(path, side): (Vec<String>, Side)| {
            side.outcome.filter(|outcome| *outcome != side.ours).map(|outcome| (path, outcome))
        };
        self.0.into_iter().filter_map(change).collect()
    }
}
