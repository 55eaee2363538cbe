//! Merges.

use std::collections::BTreeSet;

use depot_types::{
    Hash,
    catalog::{MergeArgs, MergeError, MergePreview, Merged, MovedBy, Note, Resolution, Revision, Take},
};

use super::{
    Both,
    history::Model,
    trees::{Content, Path, is_below, segments},
};
use crate::{
    merge::merge,
    test_fixtures::{ALICE, block_on},
};

impl Model {
    /// The commits that both sides follow and that no other such commit follows, oldest first.
    fn bases(&self, ours: &[Hash], theirs: Hash) -> Vec<Hash> {
        let common: BTreeSet<Hash> =
            self.ancestors_of_all(ours).intersection(&self.ancestors(theirs)).copied().collect();
        let covered = self.ancestors_of_all(common.iter().flat_map(|id| &self.commits[id].info.parents));
        self.in_order(common.difference(&covered).copied())
    }

    /// What a path names in the merged bases; nothing when they disagree.
    fn in_bases(&self, bases: &[Hash], path: &Path) -> Option<Option<Hash>> {
        let Some((first, rest)) = bases.split_first() else { return Some(None) };
        let (mut merged, mut seen) = (Some(self.module(first, path)), vec![*first]);
        for next in rest {
            let theirs = Some(self.module(next, path));
            if merged != theirs {
                let base = self.in_bases(&self.bases(&seen, *next), path);
                merged = match base {
                    None => None,
                    base if base == merged => theirs,
                    base if base == theirs => merged,
                    _ => None,
                };
            }
            seen.push(*next);
        }
        merged
    }

    /// The content of a merge, or the paths in conflict.
    fn merged(&self, ours: Hash, theirs: Hash) -> Result<Content, BTreeSet<Path>> {
        let bases = self.bases(&[ours], theirs);
        let (our, their) = (&self.commits[&ours].content, &self.commits[&theirs].content);
        let paths: BTreeSet<&Path> = our.keys().chain(their.keys()).collect();
        let (mut content, mut conflicts) = (Content::new(), BTreeSet::new());
        for path in paths {
            let (one, other) = (our.get(path).copied(), their.get(path).copied());
            let base = self.in_bases(&bases, path);
            let outcome = match base {
                _ if one == other => one,
                Some(base) if base == one => other,
                Some(base) if base == other => one,
                _ => {
                    conflicts.insert(path.clone());
                    continue;
                }
            };
            if let Some(outcome) = outcome {
                content.insert(path.clone(), outcome);
            }
        }
        let obstacles: Vec<Path> = content
            .keys()
            .filter(|path| content.keys().any(|other| is_below(other, path) || is_below(path, other)))
            .cloned()
            .collect();
        conflicts.extend(obstacles);
        if conflicts.is_empty() { Ok(content) } else { Err(conflicts) }
    }
}

impl Both {
    pub(super) fn merge(&mut self, into: &str, from: &str, ours: bool) {
        let outcome = self.call_merge(into, from, vec![]);
        let (true, Some(theirs)) = (self.model.branches.contains_key(into), self.head(from)) else {
            assert!(matches!(outcome, Err(MergeError::UnknownBranch { .. } | MergeError::EmptyBranch { .. })));
            return;
        };
        let previous = self.head(into);
        let Some(head) = previous.filter(|head| !self.model.ancestors(*head).contains(&theirs)) else {
            match previous {
                Some(head) => assert_eq!(outcome, Ok(Merged::UpToDate { head })),
                None => self.forwarded(into, theirs, outcome),
            }
            return;
        };
        if self.model.ancestors(theirs).contains(&head) {
            self.forwarded(into, theirs, outcome);
            return;
        }
        let (outcome, content) = match self.model.merged(head, theirs) {
            Ok(content) => {
                let Ok(Merged::Commit(commit)) = &outcome else { panic!("{outcome:?}") };
                self.check_other_way(from, head, commit.tree);
                (outcome, content)
            }
            Err(conflicts) => {
                let Err(MergeError::Conflicts { conflicts: found, total }) = outcome else { panic!("{outcome:?}") };
                let found: BTreeSet<Path> = found.iter().map(|conflict| segments(&conflict.path)).collect();
                assert_eq!((found.len(), &found), (total as usize, &conflicts));
                let take = if ours { Take::Ours } else { Take::Theirs };
                let resolutions = conflicts.iter().map(|path| Resolution { path: path.join("/"), take: take.clone() });
                let outcome = self.call_merge(into, from, resolutions.collect());
                let Ok(Merged::Commit(commit)) = &outcome else {
                    // One side alone resolves everything but what its modules meet elsewhere.
                    assert!(matches!(outcome, Err(MergeError::Conflicts { .. })), "{outcome:?}");
                    return;
                };
                let content = self.listed(super::at(commit.id), None);
                let side = self.model.content(Some(if ours { head } else { theirs }));
                for path in conflicts {
                    assert_eq!(content.get(&path), side.get(&path));
                }
                (outcome, content)
            }
        };
        let (message, actor) = (format!("Merge {from}"), self.actor());
        let commit = self.model.commit(into, vec![head, theirs], content, &message, MovedBy::Merge, actor);
        assert_eq!(outcome, Ok(Merged::Commit(commit)));
    }

    /// Merges, and checks that the preview says the same.
    fn call_merge(&self, into: &str, from: &str, resolutions: Vec<Resolution>) -> Result<Merged, MergeError> {
        let from = Revision::Branch(from.to_string());
        let args = MergeArgs { into: self.named(into), from, resolutions, note: Note::default() };
        let preview = self.fixture.state.borrow().preview_merge(args.clone());
        let outcome = block_on(merge(&self.fixture.state, &self.fixture.runtime, ALICE, args));
        match (&preview, &outcome) {
            (Ok(MergePreview::UpToDate { head: one }), Ok(Merged::UpToDate { head: other }))
            | (Ok(MergePreview::FastForward { head: one }), Ok(Merged::FastForward { head: other, .. })) => {
                assert_eq!(one, other);
            }
            (Ok(MergePreview::Commit { tree, paths }), Ok(Merged::Commit(commit))) => {
                assert_eq!(*tree, commit.tree);
                let changed = self.differences(super::at(commit.parents[0]), Revision::Commit(commit.id));
                assert_eq!(*paths as usize, changed.len());
            }
            (Err(one), Err(other)) => assert_eq!(one, other),
            other => panic!("{other:?}"),
        }
        outcome
    }

    fn forwarded(&mut self, into: &str, head: Hash, outcome: Result<Merged, MergeError>) {
        assert_eq!(outcome, Ok(Merged::FastForward { previous: self.head(into), head }));
        self.model.move_head(into, Some(head), MovedBy::FastForward, self.actor());
    }

    /// Checks that the merge of two branches is the same from both sides, where it makes no difference.
    fn check_other_way(&self, from: &str, head: Hash, tree: Hash) {
        let into = Some(from.to_string());
        let args = MergeArgs { into, from: Revision::Commit(head), resolutions: vec![], note: Note::default() };
        let other = self.fixture.state.borrow().preview_merge(args);
        let Ok(MergePreview::Commit { tree: other, .. }) = other else { panic!("{other:?}") };
        assert_eq!(other, tree);
    }
}
