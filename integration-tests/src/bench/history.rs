//! What operations on the history cost as it grows.

use anyhow::anyhow;
use candid::{CandidType, encode_args, utils::ArgumentEncoder};
use depot_types::{
    Hash,
    catalog::{Change, CommitArgs, CreateBranchArgs, LookupArgs, MergeArgs, Note, PathVersionsArgs, Revision},
};
use serde::de::DeserializeOwned;

use super::{Figure, figures::instructions};
use crate::{depot::Depot, made};

/// How many paths, all in one folder, and how many commits, all of one path.
const PATHS: [usize; 3] = [10, 1_000, 100_000];
const COMMITS: [usize; 3] = [10, 1_000, 10_000];
/// Paths that one commit sets.
const BATCH: usize = 100;

/// Measures over paths.
pub(super) fn over_paths() -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![];
    for count in PATHS {
        let bench = History::new()?;
        let paths: Vec<usize> = (0..count).collect();
        for batch in paths.chunks(BATCH) {
            bench.commit("main", batch.iter().map(|number| (path_of(*number), 0)))?;
        }
        figures.extend(bench.figures("paths", count, &path_of(count / 2))?);
    }
    Ok(figures)
}

/// Measures over commits.
pub(super) fn over_commits() -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![];
    for count in COMMITS {
        let bench = History::new()?;
        for number in 0..count {
            bench.commit("main", [("f/p".to_string(), number % 2)])?;
        }
        figures.extend(bench.figures("commits", count, "f/p")?);
    }
    Ok(figures)
}

fn path_of(number: usize) -> String {
    format!("f/{number}.wasm")
}

struct History {
    depot: Depot,
    modules: Vec<Hash>,
}

impl History {
    fn new() -> anyhow::Result<Self> {
        let depot = Depot::install()?;
        let upload = |index: usize| Ok(depot.upload(&made::data_module(100 + index), |_| ())?.module_hash);
        let modules = (0..3).map(upload).collect::<anyhow::Result<_>>()?;
        Ok(Self { depot, modules })
    }

    fn commit(&self, branch: &str, changes: impl IntoIterator<Item = (String, usize)>) -> anyhow::Result<()> {
        let change = |(path, module): (String, usize)| Change::Set { path, module_hash: self.modules[module] };
        let args = CommitArgs {
            branch: Some(branch.to_string()),
            create_branch: None,
            changes: changes.into_iter().map(change).collect(),
            message: String::new(),
            author_name: None,
            expected_head: None,
        };
        let commit = self.depot.catalog().commit(args).map_err(|reject| anyhow!("{reject}"))?;
        commit.map_err(|error| anyhow!("the catalog refuses the commit: {error:?}"))?;
        Ok(())
    }

    fn spent(&self, method: &str) -> anyhow::Result<u64> {
        instructions(&self.depot.catalog().stats().map_err(|reject| anyhow!("{reject}"))?.methods, method)
    }

    /// Returns what a query costs the catalog when it is called as an update, by which cycles tell the instructions.
    fn cycles<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> anyhow::Result<u128> {
        let (network, catalog) = (&self.depot.network, self.depot.catalog_id);
        let before = network.cycle_balance(catalog);
        let bytes = network
            .update_call(catalog, self.depot.admin, method, encode_args(args)?)
            .map_err(|reject| anyhow!("{reject}"))?;
        let answer: Result<T, candid::Reserved> = candid::decode_one(&bytes)?;
        answer.map_err(|_| anyhow!("`{method}` answers an error"))?;
        Ok(before - network.cycle_balance(catalog))
    }

    /// Measures on a history of so many paths or commits.
    fn figures(&self, of: &str, count: usize, path: &str) -> anyhow::Result<Vec<Figure>> {
        let catalog = self.depot.catalog();
        let create = CreateBranchArgs { name: "side".to_string(), from: None };
        let created = catalog.create_branch(create).map_err(|reject| anyhow!("{reject}"))?;
        created.map_err(|error| anyhow!("the catalog refuses the branch: {error:?}"))?;
        // The first commit on each side is not measured: it may write what later ones find.
        self.commit("main", [("f/a".to_string(), 2)])?;
        let before = self.spent("commit")?;
        self.commit("main", [(path.to_string(), 2)])?;
        let commit = self.spent("commit")? - before;
        self.commit("side", [("f/b".to_string(), 2)])?;
        let from = Revision::Branch("side".to_string());
        let args = MergeArgs { into: None, from, resolutions: vec![], note: Note::default() };
        let merged = catalog.merge(args).map_err(|reject| anyhow!("{reject}"))?;
        merged.map_err(|error| anyhow!("the catalog refuses the merge: {error:?}"))?;
        let merge = self.spent("merge")?;
        let lookup = LookupArgs { at: None, path: path.to_string() };
        let lookup = self.cycles::<depot_types::catalog::PathInfo>("lookup", (lookup,))?;
        let versions = PathVersionsArgs { at: None, path: path.to_string(), after: None, limit: None };
        let versions = self.cycles::<depot_types::catalog::PathVersionsPage>("path_versions", (versions,))?;
        let name = |operation: &str, unit: &str| format!("catalog.{operation}.{of}_{count}.{unit}");
        Ok(vec![
            Figure::new(&name("commit", "instructions"), commit as f64, "instructions"),
            Figure::new(&name("merge", "instructions"), merge as f64, "instructions"),
            Figure::new(&name("lookup", "cycles"), lookup as f64, "cycles"),
            Figure::new(&name("versions", "cycles"), versions as f64, "cycles"),
        ])
    }
}
