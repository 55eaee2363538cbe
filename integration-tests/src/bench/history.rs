//! What the catalog's operations cost as its history grows.
//!
//! Histories are made without a network, which is the same for the canister (see [`crate::offline`]) and much faster.

use anyhow::{Context, anyhow, bail, ensure};
use candid::{CandidType, Encode, Principal};
use depot_types::{
    Hash,
    catalog::{
        Change, CollectGarbageArgs, CollectionStatus, CommitArgs, CommitInfo, CreateBranchArgs, ExportArgs, ImportArgs,
        ImportStatus, LogArgs, MergeArgs, Merged, Note, RestoreArgs, Revision, RollbackArgs,
    },
    limits::MAX_PAGE_ENTRIES,
};

use super::{Figure, figures::instructions};
use crate::{
    clients::Answer,
    depot::{Depot, user},
    offline::Offline,
    past::{Call, HOT_PATH, Past, STALE_BRANCH},
    questions::{COLD_PATH, Gauge, Question, questions},
};

/// How many paths, all in one folder.
const PATHS: [usize; 3] = [10, 1_000, 100_000];
/// How many commits, in histories that [`Past`] makes.
const COMMITS: [usize; 2] = [10, 1_000];
const MANY_COMMITS: [usize; 2] = [10_000, 100_000];
/// Paths that one commit sets.
const BATCH: usize = 100;
/// Instructions that a query may use.
const MAX_QUERY_INSTRUCTIONS: u64 = 5_000_000_000;
/// Instructions that a page of a list may use.
const MAX_PAGE_INSTRUCTIONS: u64 = 1_000_000_000;

/// Measures over paths.
pub(super) fn over_paths() -> anyhow::Result<Vec<Figure>> {
    PATHS.into_iter().try_fold(vec![], |mut figures, count| {
        let ids = Ids::learn()?;
        let offline = Offline::install(ids.admin, ids.blob_store)?;
        let modules = modules(3);
        // Names all modules, so that the catalog knows them.
        let first = modules.iter().enumerate().map(|(number, module)| (format!("m/{number}"), *module));
        let numbers: Vec<usize> = (0..count).collect();
        let batches = numbers.chunks(BATCH).map(|batch| {
            let paths = batch.iter().map(|number| (format!("f/{number}.wasm"), modules[0]));
            paths.collect::<Vec<_>>()
        });
        for (second, batch) in (1..).zip(std::iter::once(first.collect()).chain(batches)) {
            offline.call(ids.admin, commit("main", batch), second * 1_000_000_000)?;
        }
        let bench = ids.bench(&offline)?;
        let path = format!("f/{}.wasm", count / 2);
        figures.extend(bench.operations("paths", count, [&path, "f/a", "f/b"], &modules)?);
        Ok(figures)
    })
}

/// Measures over commits.
pub(super) fn over_commits() -> anyhow::Result<Vec<Figure>> {
    measure_all(&COMMITS)
}

/// Measures with long histories.
pub(super) fn long() -> anyhow::Result<Vec<Figure>> {
    measure_all(&MANY_COMMITS)
}

fn measure_all(counts: &[usize]) -> anyhow::Result<Vec<Figure>> {
    counts.iter().try_fold(vec![], |mut figures, count| {
        figures.extend(measure(*count)?);
        Ok(figures)
    })
}

fn measure(count: usize) -> anyhow::Result<Vec<Figure>> {
    let (ids, modules) = (Ids::learn()?, modules(count));
    let authors: Vec<Principal> = std::iter::once(ids.admin).chain((2..6).map(user)).collect();
    let past = Past { commits: count, modules: &modules, authors: &authors };
    let offline = Offline::with(ids.admin, ids.blob_store, &past)?;
    let questions = if count > 10 { questions(&offline)? } else { vec![] };
    let bench = ids.bench(&offline)?;
    let mut figures = vec![bench.figure("upgrade", count, bench.spent("post_upgrade")?)];
    figures.extend(bench.questions(count, &questions)?);
    figures.extend(bench.operations("commits", count, [HOT_PATH, COLD_PATH, "sides/new.wasm"], &modules)?);
    if count > 10 {
        figures.extend(bench.undoing(count)?);
        figures.extend(bench.collections(count)?);
        drop(bench);
        figures.extend(imports(count, &ids, &offline)?);
    }
    Ok(figures)
}

/// Returns hashes of modules that no blob store has.
fn modules(count: usize) -> Vec<Hash> {
    (0..count.max(3) as u64).map(|number| Hash::of(&number.to_be_bytes())).collect()
}

fn commit(branch: &str, paths: impl IntoIterator<Item = (String, Hash)>) -> Call {
    Call::Commit(commit_args(branch, paths))
}

fn commit_args(branch: &str, paths: impl IntoIterator<Item = (String, Hash)>) -> CommitArgs {
    CommitArgs {
        branch: Some(branch.to_string()),
        create_branch: None,
        changes: paths.into_iter().map(|(path, module_hash)| Change::Set { path, module_hash }).collect(),
        message: String::new(),
        author_name: None,
        expected_head: None,
    }
}

/// Returns what a call answers.
fn done<T, E: std::fmt::Debug>(answer: Answer<Result<T, E>>) -> anyhow::Result<T> {
    answer.map_err(|reject| anyhow!("{reject}"))?.map_err(|error| anyhow!("the catalog refuses: {error:?}"))
}

/// Who is who on each fresh network. A history is made for them before its network is started, which is not left waiting
/// for minutes then: connections that nobody uses are closed.
struct Ids {
    admin: Principal,
    blob_store: Principal,
}

impl Ids {
    fn learn() -> anyhow::Result<Self> {
        let depot = Depot::install()?;
        Ok(Self { admin: depot.admin, blob_store: depot.blob_store_id })
    }

    /// Returns a depot whose catalog has a history.
    fn bench(&self, offline: &Offline) -> anyhow::Result<Bench> {
        let depot = Depot::install()?;
        ensure!(depot.blob_store_id == self.blob_store, "the blob store has another id on each network");
        depot.replace_catalog(offline.stable_memory())?;
        Ok(Bench { depot })
    }
}

/// A depot whose catalog is measured.
struct Bench {
    depot: Depot,
}

impl Bench {
    fn figure(&self, operation: &str, count: usize, instructions: u64) -> Figure {
        Figure::new(&format!("catalog.{operation}.commits_{count}.instructions"), instructions as f64, "instructions")
    }

    /// Returns the instructions that all calls of a method took so far.
    fn spent(&self, method: &str) -> anyhow::Result<u64> {
        instructions(&self.depot.catalog().stats().map_err(|reject| anyhow!("{reject}"))?.methods, method)
    }

    /// Makes a call; returns the answer and the instructions that it took.
    fn cost<T>(&self, method: &str, call: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, u64)> {
        let before = self.spent(method).unwrap_or_default();
        let answer = call()?;
        Ok((answer, self.spent(method)? - before))
    }

    fn commit(&self, branch: &str, path: &str, module: Hash) -> anyhow::Result<(CommitInfo, u64)> {
        let args = commit_args(branch, [(path.to_string(), module)]);
        self.cost("commit", || done(self.depot.catalog().commit(args)))
    }

    fn merge(&self, branch: &str) -> anyhow::Result<u64> {
        let from = Revision::Branch(branch.to_string());
        let args = MergeArgs { into: None, from, resolutions: vec![], note: Note::default() };
        let (merged, cost) = self.cost("merge", || done(self.depot.catalog().merge(args)))?;
        ensure!(matches!(merged, Merged::Commit(_)), "the merge makes no commit: {merged:?}");
        Ok(cost)
    }

    /// Measures a commit, a merge, a lookup and the versions of a path. Three paths, the first one to be measured and the
    /// others to be changed on `main` and on a branch.
    fn operations(&self, of: &str, count: usize, paths: [&str; 3], modules: &[Hash]) -> anyhow::Result<Vec<Figure>> {
        let [path, on_main, on_side] = paths;
        let create = CreateBranchArgs { name: "side".to_string(), from: None };
        done(self.depot.catalog().create_branch(create))?;
        // The first commit on each side is not measured: it may write what later ones find.
        self.commit("main", on_main, modules[2])?;
        let (_, commit) = self.commit("main", path, modules[1])?;
        self.commit("side", on_side, modules[2])?;
        let merge = self.merge("side")?;
        let gauge = Gauge::new(&self.depot)?;
        let cycles = |method: &'static str, args: &dyn Fn() -> anyhow::Result<Vec<u8>>| {
            let (name, answer, entries) = (method.to_string(), None, None);
            gauge.cycles(&Question { name, method, arg: args()?, answer, entries })
        };
        let lookup =
            cycles("lookup", &|| encode(&depot_types::catalog::LookupArgs { at: None, path: path.to_string() }))?;
        let versions = cycles("path_versions", &|| {
            let path = path.to_string();
            encode(&depot_types::catalog::PathVersionsArgs { at: None, path, after: None, limit: None })
        })?;
        let name = |operation: &str, unit: &str| format!("catalog.{operation}.{of}_{count}.{unit}");
        Ok(vec![
            Figure::new(&name("commit", "instructions"), commit as f64, "instructions"),
            Figure::new(&name("merge", "instructions"), merge as f64, "instructions"),
            Figure::new(&name("lookup", "cycles"), lookup as f64, "cycles"),
            Figure::new(&name("versions", "cycles"), versions as f64, "cycles"),
        ])
    }

    /// Asks all questions; fails when one takes more than it may.
    fn questions(&self, count: usize, questions: &[Question]) -> anyhow::Result<Vec<Figure>> {
        let gauge = Gauge::new(&self.depot)?;
        let mut figures = vec![];
        for question in questions {
            let cost = gauge.instructions(question)?;
            let (kind, most) = match question.entries {
                Some(_) => ("page", MAX_PAGE_INSTRUCTIONS),
                None => ("query", MAX_QUERY_INSTRUCTIONS),
            };
            ensure!(cost <= most, "`{}` takes {cost} instructions of {most}", question.name);
            figures.push(self.figure(&format!("{kind}.{}", question.name), count, cost));
        }
        Ok(figures)
    }

    /// Measures merging what went apart long ago, and undoing.
    fn undoing(&self, count: usize) -> anyhow::Result<Vec<Figure>> {
        let catalog = self.depot.catalog();
        let half = (count / 2) as u32;
        let head = done(catalog.snapshot(None))?;
        let mut figures = vec![];
        let mut measured = |name: &str, cost: u64| figures.push(self.figure(&format!("update.{name}"), count, cost));
        let create =
            CreateBranchArgs { name: "old".to_string(), from: Some(Revision::Branch(STALE_BRANCH.to_string())) };
        measured("create_branch", self.cost("create_branch", || done(catalog.create_branch(create)))?.1);
        self.commit("old", "sides/old.wasm", modules(1)[0])?;
        measured("merge_stale", self.merge("old")?);
        let path = Some(HOT_PATH.to_string());
        let rollback = |path: &Option<String>, steps, revert| RollbackArgs {
            branch: None,
            path: path.clone(),
            count: steps,
            revert,
            note: Note::default(),
        };
        for (name, args) in [
            ("rollback_path", rollback(&path, 2, false)),
            ("rollback_path_far", rollback(&path, half / 2, false)),
            ("revert_far", rollback(&None, half, true)),
            ("rollback_far", rollback(&None, half, false)),
        ] {
            measured(name, self.cost("rollback", || done(catalog.rollback(args)))?.1);
        }
        let restore = |from, path: &Option<String>, revert| RestoreArgs {
            branch: None,
            from: Revision::Commit(from),
            path: path.clone(),
            revert,
            note: Note::default(),
        };
        for (name, args) in [
            ("restore_path", restore(head, &path, false)),
            ("restore_revert", restore(head, &None, true)),
            ("restore", restore(head, &None, false)),
        ] {
            measured(name, self.cost("restore", || done(catalog.restore(args)))?.1);
        }
        Ok(figures)
    }

    /// Measures the slices of collections of garbage, without and with squashing the history.
    fn collections(&self, count: usize) -> anyhow::Result<Vec<Figure>> {
        let mut figures = vec![];
        for (name, squash) in [("collect", None), ("squash", Some("main"))] {
            let (mut slices, mut all, mut largest) = (0, 0, 0);
            loop {
                let (status, cost) = self.collect(squash)?;
                (slices, all, largest) = (slices + 1, all + cost, largest.max(cost));
                if status.finished {
                    break;
                }
            }
            figures.push(self.figure(&format!("update.{name}_largest_slice"), count, largest));
            figures.push(self.figure(&format!("update.{name}_all_slices"), count, all));
            let name = format!("catalog.update.{name}.commits_{count}.slices");
            figures.push(Figure::new(&name, f64::from(slices), "slices"));
        }
        Ok(figures)
    }

    fn collect(&self, squash: Option<&str>) -> anyhow::Result<(CollectionStatus, u64)> {
        let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
        self.cost("collect_garbage", || done(self.depot.catalog().collect_garbage(args)))
    }
}

/// Measures slices of reading a backup in: one of nodes and one of commits, when most is read in.
fn imports(count: usize, ids: &Ids, offline: &Offline) -> anyhow::Result<Vec<Figure>> {
    let mut pages = vec![];
    let mut after = None;
    loop {
        let page = offline.ask(|state| state.export(&ExportArgs { after: after.take() }));
        let page = page.map_err(|error| anyhow!("there is no backup: {error:?}"))?;
        pages.push(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let is_commit =
        |item: &depot_types::catalog::BackupItem| matches!(item, depot_types::catalog::BackupItem::Commit(_));
    let first = pages.iter().position(|page| page.iter().any(is_commit)).context("there is no commit")?;
    let last = pages.iter().rposition(|page| page.iter().any(is_commit)).context("there is no commit")?;
    let copy = Offline::install(ids.admin, ids.blob_store)?;
    let (mut figures, mut position) = (vec![], 0);
    for (index, items) in pages.into_iter().enumerate() {
        for (name, at) in [("import_nodes", first.saturating_sub(1)), ("import_commits", last)] {
            if index == at {
                let bench = ids.bench(&copy)?;
                let args = ImportArgs { position, items: items.clone() };
                let call = || done(bench.depot.catalog().import(args));
                let (status, cost): (ImportStatus, u64) = bench.cost("import", call)?;
                let read = status.position - position;
                ensure!(read > 0, "nothing was read in");
                figures.push(bench.figure(&format!("update.{name}_slice"), count, cost));
                let name = format!("catalog.update.{name}.commits_{count}.instructions_per_item");
                figures.push(Figure::new(&name, (cost / read) as f64, "instructions/item"));
            }
        }
        position = copy.import(position, items)?;
    }
    let log = |of: &Offline| {
        of.ask(|state| state.commit_log(&LogArgs { limit: Some(MAX_PAGE_ENTRIES), ..LogArgs::default() }))
    };
    if log(&copy) != log(offline) {
        bail!("the backup gives another history");
    }
    Ok(figures)
}

fn encode(args: &impl CandidType) -> anyhow::Result<Vec<u8>> {
    Ok(Encode!(args)?)
}
