//! The catalog's history: each test that names rows is about those of the table in `docs/wasmstore.md`.

mod asking;
mod branches;
mod changing;
mod proofs;
mod storing;
mod undoing;
mod upkeep;

use depot_types::{
    Hash,
    catalog::{
        Change, CollectGarbageArgs, CommitArgs, CommitError, CommitInfo, CreateBranchArgs, ListArgs, MergeArgs, Note,
        Resolution, RestoreArgs, Revision, RollbackArgs, Take,
    },
};
use integration_tests::{clients::Catalog, depot::Depot, made::data_module};

/// A depot with small modules sealed in its blob store.
struct World {
    depot: Depot,
    modules: Vec<Hash>,
}

impl World {
    fn new(modules: usize) -> Self {
        Self::on(Depot::install().unwrap(), modules)
    }

    fn on(depot: Depot, modules: usize) -> Self {
        let upload = |index| depot.upload(&data_module(100 + index), |_| ()).unwrap().module_hash;
        let modules = (0..modules).map(upload).collect();
        Self { depot, modules }
    }

    fn catalog(&self) -> Catalog<'_> {
        self.depot.catalog()
    }

    fn set(&self, path: &str, module: usize) -> Change {
        Change::Set { path: path.to_string(), module_hash: self.modules[module] }
    }

    fn commit(&self, branch: &str, changes: &[Change]) -> CommitInfo {
        self.try_commit(branch, changes).unwrap()
    }

    fn try_commit(&self, branch: &str, changes: &[Change]) -> Result<CommitInfo, CommitError> {
        self.catalog().commit(commit_args(branch, changes)).unwrap()
    }

    fn branch(&self, name: &str) {
        let args = CreateBranchArgs { name: name.to_string(), from: None };
        self.catalog().create_branch(args).unwrap().unwrap();
    }

    fn found(&self, branch: &str, path: &str) -> Option<Hash> {
        self.catalog().find(Some(branch), path).unwrap().ok().map(|found| found.module_hash)
    }

    fn list(&self, branch: &str, prefix: &str) -> Vec<String> {
        let args = ListArgs { at: at(branch), prefix: Some(prefix.to_string()), ..ListArgs::default() };
        let page = self.catalog().list(args).unwrap().unwrap();
        page.modules.into_iter().map(|found| found.path).collect()
    }

    fn collect(&self, squash: Option<&str>) -> u64 {
        loop {
            let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
            let status = self.catalog().collect_garbage(args).unwrap().unwrap();
            if status.finished {
                return status.commits + status.nodes + status.modules;
            }
        }
    }
}

/// Asks for a commit on a branch, which is created when there is none.
fn commit_args(branch: &str, changes: &[Change]) -> CommitArgs {
    CommitArgs {
        branch: Some(branch.to_string()),
        create_branch: Some(true),
        changes: changes.to_vec(),
        message: "why".to_string(),
        author_name: Some("who".to_string()),
        expected_head: None,
    }
}

fn at(branch: &str) -> Option<Revision> {
    Some(Revision::Branch(branch.to_string()))
}

fn remove(path: &str) -> Change {
    Change::Remove { path: path.to_string() }
}

fn rollback(path: Option<&str>, count: u32, revert: bool) -> RollbackArgs {
    RollbackArgs { branch: None, path: path.map(str::to_string), count, revert, note: Note::default() }
}

fn restore(from: Hash, path: Option<&str>, revert: bool) -> RestoreArgs {
    let from = Revision::Commit(from);
    RestoreArgs { branch: None, from, path: path.map(str::to_string), revert, note: Note::default() }
}

fn merge(into: &str, from: &str, resolutions: &[(&str, Take)]) -> MergeArgs {
    let resolution = |(path, take): &(&str, Take)| Resolution { path: path.to_string(), take: take.clone() };
    MergeArgs {
        into: Some(into.to_string()),
        from: Revision::Branch(from.to_string()),
        resolutions: resolutions.iter().map(resolution).collect(),
        note: Note::default(),
    }
}
