//! The questions that a catalog answers about its history, as calls with the answers expected, and what they cost.

use anyhow::{Context, anyhow, ensure};
use candid::{CandidType, Encode};
use depot_types::{
    Hash,
    catalog::{
        AuditArgs, ContainsArgs, DiffArgs, EventsArgs, ExportArgs, ListArgs, ListVersionsArgs, LogArgs, LookupArgs,
        MergeArgs, Note, PathVersionArgs, PathVersionsArgs, PathsOfArgs, ProofTarget, QueryError, Revision, Target,
        VersionArgs,
    },
    catalog::{CatalogSource, FindArgs},
    limits::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES},
};

use crate::{
    depot::Depot,
    offline::{Offline, OfflineState},
    past::{HOT_PATH, STALE_BRANCH},
};

/// A path that changes, but seldom.
pub const COLD_PATH: &str = "teams/1/2/3.wasm";
/// A folder in which a quarter of the paths are.
const FOLDER: &str = "teams/1";
/// Objects that are asked for at once, at the most.
const MOST_OBJECTS: usize = 100;

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked, in short: the method, and which page of a list or which case it is.
    pub name: String,
    /// The method.
    pub method: &'static str,
    /// Its argument.
    pub arg: Vec<u8>,
    /// The answer expected; none where it depends on the certificate of the moment.
    pub answer: Option<Vec<u8>>,
    /// The entries of the page that is answered, if it is a list.
    pub entries: Option<usize>,
}

/// Questions about a catalog.
struct Questions<'a> {
    state: &'a OfflineState,
    questions: Vec<Question>,
}

impl Questions<'_> {
    fn add<T: CandidType>(
        &mut self,
        name: &str,
        method: &'static str,
        arg: Vec<u8>,
        answer: &T,
        entries: Option<usize>,
    ) -> anyhow::Result<()> {
        let answer = Some(Encode!(answer)?);
        self.questions.push(Question { name: name.to_string(), method, arg, answer, entries });
        Ok(())
    }

    /// Adds the first page of a list, the largest one, and a late one: `page` answers a page with how many entries it has
    /// and the cursor of the next one.
    fn list<A: CandidType, T: CandidType, C: Clone>(
        &mut self,
        name: &str,
        method: &'static str,
        args: impl Fn(Option<C>, Option<u32>) -> A,
        page: impl Fn(&OfflineState, &A) -> anyhow::Result<(T, usize, Option<C>)>,
    ) -> anyhow::Result<()> {
        let first = args(None, None);
        let (answer, entries, next) = page(self.state, &first)?;
        self.add(&format!("{name}.first"), method, Encode!(&first)?, &answer, Some(entries))?;
        ensure!(next.is_none() || entries == DEFAULT_PAGE_ENTRIES as usize, "the first page of `{name}` has {entries}");
        let largest = args(None, Some(MAX_PAGE_ENTRIES));
        let (answer, entries, mut next) = page(self.state, &largest)?;
        self.add(&format!("{name}.largest"), method, Encode!(&largest)?, &answer, Some(entries))?;
        // The last full page, which begins where the page before it ended.
        let mut late = None;
        while let Some(cursor) = next.take() {
            let args = args(Some(cursor), Some(MAX_PAGE_ENTRIES));
            let (answer, entries, behind) = page(self.state, &args)?;
            if entries == MAX_PAGE_ENTRIES as usize {
                late = Some((Encode!(&args)?, answer, entries));
            }
            next = behind;
        }
        if let Some((arg, answer, entries)) = late {
            self.add(&format!("{name}.late"), method, arg, &answer, Some(entries))?;
        }
        Ok(())
    }
}

/// Returns questions about a history that [`Past`](crate::past::Past) made: each kind of them, and of each list the first
/// page, the largest one, and a late one.
///
/// # Errors
/// When the catalog does not answer one of them.
pub fn questions(offline: &Offline) -> anyhow::Result<Vec<Question>> {
    offline.ask(|state| {
        let mut questions = Questions { state, questions: vec![] };
        lists(&mut questions)?;
        singles(&mut questions)?;
        backup(&mut questions)?;
        proofs(&mut questions)?;
        Ok(questions.questions)
    })
}

fn refused(error: QueryError) -> anyhow::Error {
    anyhow!("the catalog does not answer: {error:?}")
}

/// Returns an answer on the wire, which is either a page or why there is none.
fn answered<T>(page: T) -> Result<T, QueryError> {
    Ok(page)
}

fn lists(questions: &mut Questions<'_>) -> anyhow::Result<()> {
    let path = |path: &str| path.to_string();
    questions.list(
        "list",
        "list",
        |after, limit| ListArgs { at: None, prefix: None, after, limit },
        |state, args| {
            let page = state.list(args).map_err(refused)?;
            let (entries, next) = (page.modules.len(), page.next.clone());
            Ok((answered(page), entries, next))
        },
    )?;
    for (name, of) in [("path_versions", HOT_PATH), ("path_versions.cold", COLD_PATH)] {
        questions.list(
            name,
            "path_versions",
            |after, limit| PathVersionsArgs { at: None, path: path(of), after, limit },
            |state, args| {
                let page = state.path_versions(args).map_err(refused)?;
                let (entries, next) = (page.versions.len(), page.next.clone());
                Ok((answered(page), entries, next))
            },
        )?;
    }
    questions.list(
        "log",
        "log",
        |after, limit| LogArgs { at: None, after, limit },
        |state, args| {
            let page = state.commit_log(args).map_err(refused)?;
            let (entries, next) = (page.commits.len(), page.next.clone());
            Ok((answered(page), entries, next))
        },
    )?;
    for (name, of) in [("audit", HOT_PATH), ("audit.cold", COLD_PATH), ("audit.folder", FOLDER)] {
        questions.list(
            name,
            "audit",
            |after, limit| AuditArgs { at: None, path: path(of), after, limit },
            |state, args| {
                let page = state.audit(args).map_err(refused)?;
                let (entries, next) = (page.changes.len(), page.next.clone());
                Ok((answered(page), entries, next))
            },
        )?;
    }
    questions.list(
        "events",
        "events",
        |after, limit| EventsArgs { after, limit },
        |state, args| {
            let page = state.events(args);
            let (entries, last) = (page.events.len(), page.events.last().map(|event| event.number));
            let next = last.filter(|last| *last < page.last);
            Ok((page, entries, next))
        },
    )?;
    questions.list(
        "list_versions",
        "list_versions",
        |after, limit| ListVersionsArgs { package: path("service"), after, limit },
        |state, args| {
            let page = state.list_versions(args);
            let (entries, next) = match &page {
                Ok(page) => (page.versions.len(), page.next.clone()),
                Err(_) => (0, None),
            };
            Ok((page, entries, next))
        },
    )?;
    let (first, head) = ends(questions.state)?;
    let before = Revision::Commit(parent_of(questions.state, &head)?);
    for (name, from) in [("diff.adjacent", before), ("diff.all", Revision::Commit(first))] {
        questions.list(
            name,
            "diff",
            |after, limit| DiffArgs { from: Some(from.clone()), to: Revision::Commit(head), after, limit },
            |state, args| {
                let page = state.diff(args).map_err(refused)?;
                let (entries, next) = (page.changes.len(), page.next.clone());
                Ok((answered(page), entries, next))
            },
        )?;
    }
    let module = module_of(questions.state, COLD_PATH).unwrap_or_default();
    questions.list(
        "paths_of",
        "paths_of",
        |after, limit| PathsOfArgs { at: None, module_hash: module, after, limit },
        |state, args| {
            let page = state.paths_of(args).map_err(refused)?;
            let (entries, next) = (page.paths.len(), page.next.clone());
            Ok((answered(page), entries, next))
        },
    )
}

fn singles(questions: &mut Questions<'_>) -> anyhow::Result<()> {
    let state = questions.state;
    let (first, head) = ends(state)?;
    let path = HOT_PATH.to_string();
    for (name, at) in [("lookup", None), ("lookup.first_commit", Some(Revision::Commit(first)))] {
        let args = LookupArgs { at, path: path.clone() };
        questions.add(name, "lookup", Encode!(&args)?, &state.lookup(&args), None)?;
    }
    let args = FindArgs { branch: None, path: path.clone() };
    questions.add("find", "find", Encode!(&args)?, &state.find(&args), None)?;
    let args = CatalogSource::Path { branch: None, path: path.clone() };
    questions.add("resolve", "resolve", Encode!(&args)?, &state.resolve(&args), None)?;
    let (oldest, newest) = (module_at(state, first), module_at(state, head));
    for (name, target) in [
        ("contains.path", Some(Target::Path(path.clone()))),
        ("contains.module", newest.map(Target::Module)),
        ("contains.old_module", oldest.map(Target::Module)),
    ] {
        let target = target.with_context(|| format!("there is nothing to ask about in `{name}`"))?;
        let args = ContainsArgs { at: None, target };
        questions.add(name, "contains", Encode!(&args)?, &state.contains(&args), None)?;
    }
    let versions = PathVersionsArgs { at: None, path: path.clone(), after: None, limit: Some(1) };
    let total = state.path_versions(&versions).map_err(refused)?.total;
    for (name, index) in [("first", 0), ("middle", total / 2), ("last", total - 1)] {
        let args = PathVersionArgs { at: None, path: path.clone(), index };
        let answer = state.path_version_at(&args);
        questions.add(&format!("path_version.{name}"), "path_version", Encode!(&args)?, &answer, None)?;
    }
    questions.add("snapshot", "snapshot", Encode!(&None::<String>)?, &state.snapshot(None), None)?;
    questions.add("branches", "branches", Encode!()?, &state.branches(), None)?;
    questions.add("commit_info", "commit_info", Encode!(&first)?, &state.commit_info(&first), None)?;
    let log = LogArgs { at: None, after: None, limit: Some(MOST_OBJECTS as u32) };
    let ids: Vec<Hash> = state.commit_log(&log).map_err(refused)?.commits.iter().map(|commit| commit.id).collect();
    questions.add("objects", "objects", Encode!(&ids)?, &state.objects(&ids), Some(ids.len()))?;
    let from = Revision::Branch(STALE_BRANCH.to_string());
    let into = Some(STALE_BRANCH.to_string());
    for (name, into, from) in [
        ("preview_merge.up_to_date", None, from),
        ("preview_merge.fast_forward", into, Revision::Branch("main".to_string())),
    ] {
        let args = MergeArgs { into, from, resolutions: vec![], note: Note::default() };
        let arg = Encode!(&args)?;
        questions.add(name, "preview_merge", arg, &state.preview_merge(args), None)?;
    }
    let args = VersionArgs { package: "service".to_string(), version: "1.0.0".to_string() };
    questions.add("get_version_info", "get_version_info", Encode!(&args)?, &state.version_info(&args), None)
}

/// Adds the first page of a backup, one of nodes, one of commits, and the last one.
fn backup(questions: &mut Questions<'_>) -> anyhow::Result<()> {
    let mut pages = vec![];
    let mut after = None;
    loop {
        let args = ExportArgs { after };
        let page = questions.state.export(&args).map_err(|error| anyhow!("there is no backup: {error:?}"))?;
        after = page.next;
        pages.push(args);
        if after.is_none() {
            break;
        }
    }
    let count = pages.len();
    for (name, index) in [("first", 0), ("middle", count / 2), ("late", count * 4 / 5), ("last", count - 1)] {
        let args = &pages[index];
        let answer = questions.state.export(args);
        questions.add(&format!("export.{name}"), "export", Encode!(args)?, &answer, None)?;
    }
    Ok(())
}

fn proofs(questions: &mut Questions<'_>) -> anyhow::Result<()> {
    let branch = || "main".to_string();
    let path = HOT_PATH.to_string();
    let versions = PathVersionsArgs { at: None, path: path.clone(), after: None, limit: Some(1) };
    let total = questions.state.path_versions(&versions).map_err(refused)?.total;
    // The oldest version whose proof is not refused for its length: those of all later ones are shorter.
    let is_proven = |index: u32| {
        let target = ProofTarget::PathVersion { branch: branch(), path: path.clone(), index };
        questions.state.prove(&target, Some(vec![])).is_ok()
    };
    let (mut oldest, mut refused) = (total - 1, None);
    while oldest > refused.map_or(0, |refused: u32| refused + 1) {
        let middle = refused.map_or(0, |refused| refused + 1).midpoint(oldest);
        if is_proven(middle) { oldest = middle } else { refused = Some(middle) }
    }
    for (name, target) in [
        ("head", ProofTarget::Head { branch: branch() }),
        ("path", ProofTarget::Path { branch: branch(), path: path.clone() }),
        ("last_version", ProofTarget::PathVersion { branch: branch(), path: path.clone(), index: total - 1 }),
        ("oldest_version", ProofTarget::PathVersion { branch: branch(), path: path.clone(), index: oldest }),
        ("first_version", ProofTarget::PathVersion { branch: branch(), path: path.clone(), index: 0 }),
    ] {
        let name = format!("prove.{name}");
        questions.questions.push(Question {
            name,
            method: "prove",
            arg: Encode!(&target)?,
            answer: None,
            entries: None,
        });
    }
    Ok(())
}

/// Returns the first and the last commit of `main`.
fn ends(state: &OfflineState) -> anyhow::Result<(Hash, Hash)> {
    let head = state.snapshot(None).map_err(refused)?;
    let mut after = None;
    loop {
        let args = LogArgs { at: None, after, limit: Some(MAX_PAGE_ENTRIES) };
        let page = state.commit_log(&args).map_err(refused)?;
        after = page.next;
        if after.is_none() {
            return Ok((page.commits.last().context("there is no commit")?.id, head));
        }
    }
}

fn parent_of(state: &OfflineState, commit: &Hash) -> anyhow::Result<Hash> {
    let info = state.commit_info(commit).context("the commit is unknown")?;
    info.parents.first().copied().context("the commit follows nothing")
}

fn module_of(state: &OfflineState, path: &str) -> Option<Hash> {
    state.find(&FindArgs { branch: None, path: path.to_string() }).ok().map(|found| found.module_hash)
}

/// Returns the module that the hot path names in a commit.
fn module_at(state: &OfflineState, commit: Hash) -> Option<Hash> {
    let args = ListArgs { at: Some(Revision::Commit(commit)), prefix: Some("apps".to_string()), ..ListArgs::default() };
    state.list(&args).ok()?.modules.first().map(|found| found.module_hash)
}

/// Counts the instructions of queries.
///
/// A query in a message of its own costs a cycle for each instruction, and fees that depend on nothing but how long the
/// message is. They are known from a query that does next to nothing, whose few thousand instructions are taken for zero.
pub struct Gauge<'a> {
    depot: &'a Depot,
    fees: u128,
}

/// The query that does next to nothing.
const IDLE: &str = "blob_store";
/// Cycles for each byte of a message from outside.
const CYCLES_PER_BYTE: u128 = 2_000;

impl<'a> Gauge<'a> {
    /// Makes a gauge of a depot's catalog.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub fn new(depot: &'a Depot) -> anyhow::Result<Self> {
        let gauge = Self { depot, fees: 0 };
        let arg = Encode!()?;
        let (_, fees) = gauge.call(IDLE, arg.clone())?;
        Ok(Self { fees: fees - Self::by_length(IDLE, &arg), ..gauge })
    }

    /// Asks the catalog; returns the answer and the instructions.
    ///
    /// # Errors
    /// When the catalog rejects the call.
    pub fn ask(&self, question: &Question) -> anyhow::Result<(Vec<u8>, u64)> {
        let Question { method, arg, .. } = question;
        let (answer, cycles) = self.call(method, arg.clone())?;
        let instructions = cycles.saturating_sub(self.fees + Self::by_length(method, arg));
        Ok((answer, u64::try_from(instructions)?))
    }

    /// Asks the catalog, and checks that it answers as expected.
    ///
    /// # Errors
    /// When it does not.
    pub fn instructions(&self, question: &Question) -> anyhow::Result<u64> {
        let (answer, instructions) = self.ask(question)?;
        let is_expected = question.answer.as_ref().is_none_or(|expected| *expected == answer);
        ensure!(is_expected, "`{}` is answered in another way than without a network", question.name);
        Ok(instructions)
    }

    /// Asks the catalog; returns the cycles that it pays for the question.
    ///
    /// # Errors
    /// When the catalog rejects the call.
    pub fn cycles(&self, question: &Question) -> anyhow::Result<u128> {
        Ok(self.call(question.method, question.arg.clone())?.1)
    }

    fn by_length(method: &str, arg: &[u8]) -> u128 {
        CYCLES_PER_BYTE * (method.len() + arg.len()) as u128
    }

    fn call(&self, method: &str, arg: Vec<u8>) -> anyhow::Result<(Vec<u8>, u128)> {
        let (network, catalog) = (&self.depot.network, self.depot.catalog_id);
        let before = network.cycle_balance(catalog);
        let answer = network.update_call(catalog, self.depot.admin, method, arg);
        let answer = answer.map_err(|reject| anyhow!("`{method}` was rejected: {reject}"))?;
        Ok((answer, before - network.cycle_balance(catalog)))
    }
}
