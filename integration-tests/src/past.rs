//! Long histories as they come about in use, made call by call.
//!
//! Several authors change modules in folders on `main`. Every other commit brings a new module to one path, as a service
//! that is released all the time does; the others go round several hundred paths, which sometimes lose their module. From
//! time to time a commit is made on a side branch and merged.

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{Change, CommitArgs, CreateBranchArgs, MergeArgs, Note, PublishArgs, Revision},
};

/// The path that every other commit changes.
pub const HOT_PATH: &str = "apps/service.wasm";
/// The branch that is created in the middle of a history and stays there.
pub const STALE_BRANCH: &str = "stale";
/// Paths besides the hot one and those of side branches, in folders of ten in folders of ten.
const PATHS: usize = 400;
/// Commits on `main` from one merge to the next.
const COMMITS_BETWEEN_MERGES: usize = 50;
/// Commits on `main` from one release to the next.
const COMMITS_BETWEEN_RELEASES: usize = 1_000;
/// Side branches, one after the other.
const SIDE_BRANCHES: usize = 10;
/// Every so many changes of a path take its module away.
const CHANGES_BETWEEN_REMOVALS: usize = 8;

/// A call that changes the catalog.
#[derive(Clone, Debug)]
pub enum Call {
    /// `commit`
    Commit(CommitArgs),
    /// `create_branch`
    CreateBranch(CreateBranchArgs),
    /// `merge`
    Merge(MergeArgs),
    /// `publish`
    Publish(PublishArgs),
}

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Commits on `main`, merges among them.
    pub commits: usize,
    /// The modules that paths come to name, at least two. As many as half the commits if the hot path shall have a new
    /// one each time.
    pub modules: &'a [Hash],
    /// Who makes the calls in turn, at least one.
    pub authors: &'a [Principal],
}

impl Past<'_> {
    /// Returns the calls that make the history, and who makes each.
    pub fn calls(&self) -> Vec<(Principal, Call)> {
        let mut calls = vec![];
        let mut changes = [0; PATHS];
        let per_side = self.commits.div_ceil(SIDE_BRANCHES).max(1);
        for number in 0..self.commits {
            let author = self.authors[number % self.authors.len()];
            let mut call = |call| calls.push((author, call));
            let side = format!("side-{}", number / per_side);
            if number % per_side == 1 {
                call(Call::CreateBranch(CreateBranchArgs { name: side.clone(), from: None }));
            }
            if number == self.commits / 2 && number > 0 {
                call(Call::CreateBranch(CreateBranchArgs { name: STALE_BRANCH.to_string(), from: None }));
            }
            if number % COMMITS_BETWEEN_RELEASES == COMMITS_BETWEEN_RELEASES / 2 {
                call(Call::Publish(self.release(number)));
            }
            if number % COMMITS_BETWEEN_MERGES == COMMITS_BETWEEN_MERGES - 1 {
                call(self.commit(
                    &side,
                    number,
                    self.set(&format!("sides/{side}.wasm"), number / COMMITS_BETWEEN_MERGES),
                ));
                let from = Revision::Branch(side);
                call(Call::Merge(MergeArgs { into: None, from, resolutions: vec![], note: Note::default() }));
                continue;
            }
            if number % 2 == 0 {
                call(self.commit("main", number, self.set(HOT_PATH, number / 2)));
                continue;
            }
            // A prime, so that the paths come in another order than that of their names.
            let path = number / 2 * 83 % PATHS;
            changes[path] += 1;
            let name = path_of(path);
            let change = if changes[path] % CHANGES_BETWEEN_REMOVALS == 0 {
                Change::Remove { path: name }
            } else {
                self.set(&name, path + changes[path])
            };
            call(self.commit("main", number, change));
        }
        calls
    }

    fn set(&self, path: &str, module: usize) -> Change {
        Change::Set { path: path.to_string(), module_hash: self.modules[module % self.modules.len()] }
    }

    fn commit(&self, branch: &str, number: usize, change: Change) -> Call {
        Call::Commit(CommitArgs {
            branch: Some(branch.to_string()),
            create_branch: None,
            changes: vec![change],
            message: format!("Change number {number}"),
            author_name: number.is_multiple_of(3).then(|| format!("Author {}", number % self.authors.len())),
            expected_head: None,
        })
    }

    fn release(&self, number: usize) -> PublishArgs {
        PublishArgs {
            package: "service".to_string(),
            version: format!("1.{}.0", number / COMMITS_BETWEEN_RELEASES),
            module_hash: self.modules[number / 2 % self.modules.len()],
            description: format!("What commit number {number} brought"),
            source: None,
        }
    }
}

/// Returns the name of one of the paths.
fn path_of(number: usize) -> String {
    format!("teams/{}/{}/{}.wasm", number / 100, number / 10 % 10, number % 10)
}
