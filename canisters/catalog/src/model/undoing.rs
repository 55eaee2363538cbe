//! Taking changes back, and bringing back what was there.

use depot_types::{
    Hash,
    catalog::{HeadChange, MovedBy, Note, RestoreArgs, Revision, RollbackArgs, UndoError},
};
use proptest::prelude::*;

use super::{
    Both,
    trees::{Content, part, put, segments},
};
use crate::{
    test_fixtures::ALICE,
    undo::{restore, rollback},
};

impl Both {
    pub(super) fn rollback(&mut self, branch: &str, path: Option<String>, count: u32, revert: bool) {
        let args =
            RollbackArgs { branch: self.named(branch), path: path.clone(), count, revert, note: Note::default() };
        let outcome = rollback(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        let Some(head) = self.head(branch) else {
            assert!(matches!(outcome, Err(UndoError::UnknownBranch { .. } | UndoError::EmptyBranch { .. })));
            return;
        };
        let by = if revert { MovedBy::Revert } else { MovedBy::Rollback };
        let Some(path) = path else {
            let mut target = Some(head);
            for step in 0..count {
                let Some(id) = target else {
                    assert_eq!(outcome, Err(UndoError::TooFew { available: u64::from(step) }));
                    return;
                };
                target = self.model.commits[&id].info.parents.first().copied();
            }
            if revert {
                self.undone(branch, outcome, Some(self.model.content(target)), "Rollback", by);
            } else {
                self.moved(branch, outcome, target, by);
            }
            return;
        };
        let message = format!("Rollback /{path}");
        let path = segments(&path);
        let changes = self.model.changes(head, &path);
        if changes.is_empty() {
            assert_eq!(outcome, Err(UndoError::UnknownPath { path: path.join("/") }));
            return;
        }
        let Some(rest) = changes.len().checked_sub(count as usize) else {
            assert_eq!(outcome, Err(UndoError::TooFew { available: changes.len() as u64 }));
            return;
        };
        let earlier = changes[..rest].last().map(|change| change.commit);
        let from = part(&self.model.content(earlier), &path);
        let content = put(&self.model.content(Some(head)), &path, &from);
        self.undone(branch, outcome, content, &message, by);
    }

    pub(super) fn restore(&mut self, branch: &str, from: prop::sample::Index, path: Option<String>, revert: bool) {
        let Some(from) = self.any_commit(from) else { return };
        let (name, note, commit) = (self.named(branch), Note::default(), Revision::Commit(from));
        let args = RestoreArgs { branch: name, from: commit, path: path.clone(), revert, note };
        let outcome = restore(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        if !self.model.branches.contains_key(branch) {
            assert_eq!(outcome, Err(UndoError::UnknownBranch { branch: branch.to_string() }));
            return;
        }
        if outcome == Err(UndoError::UnknownCommit { commit: from }) {
            assert!(self.may_be_gone(from));
            return;
        }
        let (head, brought) = (self.head(branch), self.model.content(Some(from)));
        let by = if revert { MovedBy::Revert } else { MovedBy::Restore };
        match path {
            Some(path) => {
                let content = put(&self.model.content(head), &segments(&path), &brought);
                self.undone(branch, outcome, content, &format!("Restore /{path}"), by);
            }
            None if revert => self.undone(branch, outcome, Some(brought), &format!("Restore {from}"), by),
            None if head == Some(from) => assert_eq!(outcome, Err(UndoError::NothingChanged)),
            None => self.moved(branch, outcome, Some(from), by),
        }
    }

    /// Takes over that a branch went to another commit.
    fn moved(&mut self, branch: &str, outcome: Result<HeadChange, UndoError>, head: Option<Hash>, by: MovedBy) {
        let previous = self.head(branch);
        assert_eq!(outcome, Ok(HeadChange { branch: branch.to_string(), previous, head, commit: None }));
        self.model.move_head(branch, head, by, self.actor());
    }

    /// Takes over a commit on a branch that undid something, if it changes anything.
    fn undone(
        &mut self,
        branch: &str,
        outcome: Result<HeadChange, UndoError>,
        content: Option<Content>,
        message: &str,
        by: MovedBy,
    ) {
        let previous = self.head(branch);
        match content {
            None => assert!(matches!(outcome, Err(UndoError::Tree(_))), "{outcome:?}"),
            Some(content) if content == self.model.content(previous) => {
                assert_eq!(outcome, Err(UndoError::NothingChanged));
            }
            Some(content) => {
                let (parents, actor) = (Vec::from_iter(previous), self.actor());
                let commit = self.model.commit(branch, parents, content, message, by, actor);
                let (head, branch) = (Some(commit.id), branch.to_string());
                assert_eq!(outcome, Ok(HeadChange { branch, previous, head, commit: Some(commit) }));
            }
        }
    }
}
