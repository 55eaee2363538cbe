//! Collections of garbage.

use std::collections::BTreeSet;

use depot_types::{
    Hash,
    catalog::{CollectGarbageArgs, EventKind, MovedBy},
    objects::Object,
};

use super::Both;
use crate::{
    collection::collect_garbage,
    events::Actor,
    history::{Fields, PlaceOfChange},
    test_fixtures::{CONTROLLER, block_on},
};

impl Both {
    /// Runs a slice of a collection, or a whole one.
    pub(super) fn collect(&mut self, squash: Option<&str>, whole: bool) {
        let squash = squash.filter(|branch| self.model.branches.contains_key(*branch));
        let is_new = !self.is_collecting;
        let actor = Actor { caller: CONTROLLER, now_ns: self.now_ns };
        if is_new {
            self.squash(squash, actor);
        }
        let mut calls = 0;
        loop {
            // Each look at the counter costs so much that a slice has a few steps only.
            self.fixture.runtime.set_instructions_per_look(1_000_000_000);
            let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
            let status =
                block_on(collect_garbage(&self.fixture.state, &self.fixture.runtime, CONTROLLER, args)).unwrap();
            calls += 1;
            self.is_collecting = !status.finished;
            if status.finished {
                self.model.forget_unreachable();
                let freed = status.commits + status.nodes + status.modules;
                self.model.log(actor, EventKind::GarbageCollected { freed });
                if is_new && whole {
                    self.check_nothing_is_left();
                }
                break;
            }
            assert!(calls < 1_000, "the collection does not end");
            if !whole {
                break;
            }
        }
        self.fixture.runtime.set_instructions_per_look(0);
    }

    /// Expects a commit of the same content in place of a branch's history.
    fn squash(&mut self, squash: Option<&str>, actor: Actor) {
        let Some((branch, head)) = squash.and_then(|branch| Some((branch, self.head(branch)?))) else { return };
        if self.model.commits[&head].info.parents.is_empty() {
            return;
        }
        let content = self.model.content(Some(head));
        self.model.commit(branch, vec![], content, "GC", MovedBy::Squash, actor);
    }

    /// Checks that exactly what branches lead to is stored, and exactly what that and releases name is retained.
    fn check_nothing_is_left(&self) {
        let state = self.fixture.state.borrow();
        let mut waiting: Vec<Hash> = self.model.branches.values().flatten().copied().collect();
        let mut modules: BTreeSet<Hash> = self.model.releases.values().map(|release| release.module_hash).collect();
        let mut objects = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if !objects.insert(id) {
                continue;
            }
            match Object::verify(&id, &state.object(&id).unwrap()).unwrap() {
                Object::Commit(commit) => waiting.extend(commit.parents.into_iter().chain([commit.tree])),
                Object::Node(node) => {
                    modules.extend(node.modules());
                    waiting.extend(node.objects());
                }
            }
        }
        assert_eq!(state.objects.len(), objects.len() as u64);
        assert_eq!(state.modules.len(), modules.len() as u64);
        assert_eq!(self.fixture.runtime.retained(), modules);
        assert!(state.leaving.is_empty() && state.marks.is_empty() && state.waiting.is_empty());
        for row in state.path_changes.keys() {
            let place = PlaceOfChange::read(&mut Fields(&row[20..])).place();
            assert!(state.lines.contains_key(&place));
        }
    }
}
