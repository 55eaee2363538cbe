//! Commits, branches and releases.

use depot_types::catalog::{
    BranchError, BranchInfo, Change, CommitArgs, CommitError, CreateBranchArgs, DeleteBranchArgs, EventKind, MovedBy,
    PublishError, ReleaseInfo, RenameBranchArgs,
};
use proptest::prelude::*;

use super::{Both, NAMES, at, trees::apply};
use crate::{
    branches::{create_branch, delete_branch, rename_branch, set_default_branch},
    events::Actor,
    test_fixtures::{ALICE, CONTROLLER, commit_args, module},
};

impl Both {
    pub(super) fn commit(&mut self, branch: &str, changes: &[Change], create: bool) {
        let args = CommitArgs { branch: self.named(branch), create_branch: Some(create), ..commit_args(changes) };
        let outcome = self.fixture.commit_as(ALICE, args);
        let is_there = self.model.branches.contains_key(branch);
        if !create && !is_there {
            let is_refused =
                matches!(outcome, Err(CommitError::UnknownBranch { .. } | CommitError::OverlappingChanges { .. }));
            assert!(is_refused, "{outcome:?}");
            return;
        }
        let head = self.head(branch);
        let before = self.model.content(head);
        match apply(&before, changes) {
            None => {
                let is_refused = matches!(
                    outcome,
                    Err(CommitError::OverlappingChanges { .. }
                        | CommitError::PathConflict { .. }
                        | CommitError::UnknownPath { .. })
                );
                assert!(is_refused, "{outcome:?}");
            }
            Some(after) if after == before => assert_eq!(outcome, Err(CommitError::NothingChanged)),
            Some(after) => {
                if !is_there {
                    self.expect(EventKind::BranchCreated { branch: branch.to_string(), head: None });
                }
                let (parents, actor) = (Vec::from_iter(head), self.actor());
                let commit = self.model.commit(branch, parents, after, "", MovedBy::Commit, actor);
                assert_eq!(outcome, Ok(commit));
            }
        }
    }

    pub(super) fn branch(&mut self, from: prop::sample::Index) {
        let free = NAMES.iter().find(|name| !self.model.branches.contains_key(**name));
        let (Some(name), Some(commit)) = (free, self.any_commit(from)) else { return };
        let name = name.to_string();
        let args = CreateBranchArgs { name: name.clone(), from: at(commit) };
        let outcome = create_branch(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        if outcome == Err(BranchError::UnknownCommit { commit }) {
            assert!(self.may_be_gone(commit));
            return;
        }
        let head = Some(commit);
        assert_eq!(outcome, Ok(BranchInfo { name: name.clone(), head, protected: false, default: false }));
        self.model.branches.insert(name.clone(), head);
        self.expect(EventKind::BranchCreated { branch: name, head });
    }

    pub(super) fn delete(&mut self, branch: &str) {
        let branch = branch.to_string();
        let args = DeleteBranchArgs { name: branch.clone(), expected_head: None };
        let outcome = delete_branch(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, ALICE, args);
        if !self.model.branches.contains_key(&branch) {
            assert_eq!(outcome, Err(BranchError::UnknownBranch { branch }));
        } else if branch == self.model.default {
            assert_eq!(outcome, Err(BranchError::DefaultBranch { branch }));
        } else {
            assert_eq!(outcome, Ok(()));
            let head = self.model.branches.remove(&branch).unwrap();
            self.expect(EventKind::BranchDeleted { branch, head });
        }
    }

    pub(super) fn rename(&mut self, branch: &str, name: &str) {
        let (old, new) = (branch.to_string(), name.to_string());
        let args = RenameBranchArgs { name: old.clone(), new_name: new.clone() };
        let outcome = rename_branch(&mut self.fixture.state.borrow_mut(), &self.fixture.runtime, CONTROLLER, args);
        if !self.model.branches.contains_key(&old) {
            assert_eq!(outcome, Err(BranchError::UnknownBranch { branch: old }));
        } else if self.model.branches.contains_key(&new) {
            assert_eq!(outcome, Err(BranchError::BranchExists { branch: new }));
        } else {
            let (head, default) = (self.model.branches.remove(&old).unwrap(), old == self.model.default);
            assert_eq!(outcome, Ok(BranchInfo { name: new.clone(), head, protected: false, default }));
            self.model.branches.insert(new.clone(), head);
            if default {
                self.model.default = new.clone();
            }
            let actor = Actor { caller: CONTROLLER, now_ns: self.now_ns };
            self.model.log(actor, EventKind::BranchRenamed { old, new });
        }
    }

    pub(super) fn set_default(&mut self, branch: &str) {
        let new = branch.to_string();
        let mut state = self.fixture.state.borrow_mut();
        let outcome = set_default_branch(&mut state, &self.fixture.runtime, CONTROLLER, new.clone());
        drop(state);
        if !self.model.branches.contains_key(&new) {
            assert_eq!(outcome, Err(BranchError::UnknownBranch { branch: new }));
            return;
        }
        assert_eq!(outcome, Ok(()));
        let old = std::mem::replace(&mut self.model.default, new.clone());
        if old != new {
            let actor = Actor { caller: CONTROLLER, now_ns: self.now_ns };
            self.model.log(actor, EventKind::DefaultBranchChanged { old, new });
        }
    }

    pub(super) fn publish(&mut self, version: u64, number: u64) {
        let text = format!("1.0.{version}");
        let outcome = self.fixture.publish("p", &text, number);
        if let Some(known) = self.model.releases.get(&version) {
            assert_eq!(outcome, Err(PublishError::AlreadyPublished { module_hash: known.module_hash }));
            return;
        }
        let (package, module_hash) = ("p".to_string(), module(number));
        let release = ReleaseInfo {
            package: package.clone(),
            version: text.clone(),
            module_hash,
            description: String::new(),
            source: None,
            publisher: ALICE,
            published_at_ns: self.now_ns,
        };
        assert_eq!(outcome.as_ref(), Ok(&release));
        self.model.releases.insert(version, release);
        self.expect(EventKind::ReleasePublished { package, version: text, module_hash });
    }
}
