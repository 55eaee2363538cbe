//! Random histories of the catalog against a model that keeps every commit as a map, and computes every id by itself.
//!
//! `PROPTEST_CASES` sets how many random sequences are tried.

mod asking;
mod changing;
mod collecting;
mod history;
mod merging;
mod moving;
mod proving;
mod steps;
mod trees;
mod undoing;

use depot_types::{
    Hash,
    catalog::{EventKind, Revision},
};
use proptest::prelude::*;

use self::{
    history::Model,
    steps::{Step, paths, steps},
    trees::Path,
};
use crate::{
    events::Actor,
    test_fixtures::{ALICE, Fixture},
};

/// The branches that there can be.
const NAMES: [&str; 4] = ["main", "one", "two", "three"];

/// How many modules paths name; releases name more.
const MODULES: u64 = 4;

/// The catalog and its model.
struct Both {
    fixture: Fixture,
    model: Model,
    /// Whether a collection is going on, in which commits that no branch leads to may be gone.
    is_collecting: bool,
    now_ns: u64,
}

impl Both {
    fn new() -> Self {
        Self { fixture: Fixture::new(), model: Model::new(), is_collecting: false, now_ns: 0 }
    }

    fn step(&mut self, step: Step) {
        // Each step has a time of its own, so that no two commits are the same.
        self.now_ns += 1;
        self.fixture.runtime.set_now_ns(self.now_ns);
        match step {
            Step::Commit { branch, changes, create } => self.commit(NAMES[branch], &changes, create),
            Step::Branch { from } => self.branch(from),
            Step::Delete { branch } => self.delete(NAMES[branch]),
            Step::Rename { branch, name } => self.rename(NAMES[branch], NAMES[name]),
            Step::Default { branch } => self.set_default(NAMES[branch]),
            Step::Publish { version, number } => self.publish(version, number),
            Step::Merge { into, from, ours } => self.merge(NAMES[into], NAMES[from], ours),
            Step::Rollback { branch, path, count, revert } => self.rollback(NAMES[branch], path, count, revert),
            Step::Restore { branch, from, path, revert } => self.restore(NAMES[branch], from, path, revert),
            Step::Collect { squash, whole } => self.collect(squash.map(|branch| NAMES[branch]), whole),
            Step::Upgrade => self.fixture.reopen(),
            Step::Move => self.move_elsewhere(),
        }
    }

    fn actor(&self) -> Actor {
        Actor { caller: ALICE, now_ns: self.now_ns }
    }

    /// Expects an event that Alice caused.
    fn expect(&mut self, kind: EventKind) {
        self.model.log(self.actor(), kind);
    }

    fn head(&self, branch: &str) -> Option<Hash> {
        self.model.branches.get(branch).copied().flatten()
    }

    /// Names a branch, unless it is the one that is meant when none is named.
    fn named(&self, branch: &str) -> Option<String> {
        (branch != self.model.default).then(|| branch.to_string())
    }

    /// A commit that there is, or was.
    fn any_commit(&self, index: prop::sample::Index) -> Option<Hash> {
        let ids: Vec<Hash> = self.model.commits.keys().copied().collect();
        if ids.is_empty() { None } else { Some(ids[index.index(ids.len())]) }
    }

    /// Tells whether a commit may be gone, or about to go.
    fn may_be_gone(&self, commit: Hash) -> bool {
        self.is_collecting && !self.model.reachable().contains(&commit)
    }
}

/// Reads all pages of a list.
fn pages<C, T>(mut page: impl FnMut(Option<C>) -> (Vec<T>, Option<C>)) -> Vec<T> {
    let (mut all, mut after) = (vec![], None);
    loop {
        let (items, next) = page(after);
        all.extend(items);
        after = next;
        if after.is_none() {
            return all;
        }
    }
}

fn at(commit: Hash) -> Option<Revision> {
    Some(Revision::Commit(commit))
}

/// How many sequences a run tries by itself.
const CASES: u32 = 96;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn should_agree_with_a_model_that_keeps_every_commit(
        steps in prop::collection::vec(steps(), 1..40),
        asked in prop::collection::vec(paths(), 4),
        commits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 3),
    ) {
        let asked: Vec<Path> = asked.iter().map(|path| trees::segments(path)).collect();
        let mut both = Both::new();
        for (index, step) in steps.into_iter().enumerate() {
            both.step(step);
            if index % 8 == 7 {
                both.check(&asked, &commits);
            }
        }
        both.check(&asked, &commits);
        both.collect(None, true);
        both.collect(None, true);
        both.check(&asked, &commits);
        both.fixture.reopen();
        both.check(&asked, &commits);
        both.move_elsewhere();
        both.check(&asked, &commits);
    }
}
