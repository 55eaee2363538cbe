//! Every question, about every branch and about commits that need not be at the end of one.

use std::collections::{BTreeMap, BTreeSet};

use depot_types::{
    Hash,
    catalog::{
        AuditArgs, BranchInfo, CatalogSource, CommitInfo, ContainsArgs, DiffArgs, EventsArgs, FindArgs, FindError,
        Found, ListArgs, ListVersionsArgs, LogArgs, LookupArgs, PathAudit, PathEntry, PathInfo, PathVersion,
        PathVersionArgs, PathVersionsArgs, PathsOfArgs, QueryError, ResolveError, Revision, Target, VersionArgs,
        VersionError,
    },
};
use proptest::prelude::*;

use super::{
    Both, MODULES, NAMES, at, pages,
    trees::{Content, Path, part, segments},
};
use crate::test_fixtures::module;

impl Both {
    /// Checks all that the catalog answers: about its branches, and about some commits.
    pub(super) fn check(&self, asked: &[Path], commits: &[(prop::sample::Index, prop::sample::Index)]) {
        self.check_branches();
        self.check_events();
        self.check_releases();
        for (branch, head) in &self.model.branches {
            let revision = Some(Revision::Branch(branch.clone()));
            match *head {
                Some(head) => {
                    self.check_commit(revision, head, asked);
                    self.check_found(branch, head, asked);
                }
                None => assert_eq!(self.listed(revision.clone(), None), Content::new()),
            }
            self.check_log(Some(Revision::Branch(branch.clone())), *head);
        }
        for (one, other) in commits {
            let (Some(one), Some(other)) = (self.any_commit(*one), self.any_commit(*other)) else { continue };
            if self.may_be_gone(one) || self.may_be_gone(other) {
                continue;
            }
            self.check_commit(at(one), one, asked);
            self.check_log(at(one), Some(one));
            self.check_diff(Some(one), other);
            self.check_diff(None, other);
        }
        self.check_proofs(asked);
    }

    fn check_branches(&self) {
        let state = self.fixture.state.borrow();
        let info = |(name, head): (&String, &Option<Hash>)| BranchInfo {
            name: name.clone(),
            head: *head,
            protected: false,
            default: *name == self.model.default,
        };
        assert_eq!(state.branches(), self.model.branches.iter().map(info).collect::<Vec<_>>());
        assert_eq!(state.default_branch(), self.model.default);
        for name in NAMES {
            let expected = match self.model.branches.get(name) {
                Some(Some(head)) => Ok(*head),
                Some(None) => Err(QueryError::EmptyBranch { branch: name.to_string() }),
                None => Err(QueryError::UnknownBranch { branch: name.to_string() }),
            };
            assert_eq!(state.snapshot(Some(name.to_string())), expected);
            if name == self.model.default {
                assert_eq!(state.snapshot(None), expected);
            }
        }
        assert_eq!(state.commit_info(&module(0)), None);
    }

    /// Checks all answers about a commit, which is asked for by its id or by a branch.
    fn check_commit(&self, revision: Option<Revision>, commit: Hash, asked: &[Path]) {
        let stored = &self.model.commits[&commit];
        assert_eq!(self.fixture.state.borrow().commit_info(&commit).as_ref(), Some(&stored.info));
        assert_eq!(self.listed(revision.clone(), None), stored.content);
        let paths: BTreeSet<&Path> = asked.iter().chain(stored.content.keys()).chain(stored.folders.keys()).collect();
        for path in paths {
            self.check_lookup(&revision, commit, path);
            if path.is_empty() {
                continue;
            }
            let mut below = part(&stored.content, path);
            below.remove(path);
            assert_eq!(self.listed(revision.clone(), Some(path)), below);
            self.check_versions(&revision, commit, path);
            self.check_audit(&revision, commit, path);
        }
        for number in 0..MODULES {
            self.check_paths_of(&revision, &stored.content, &module(number));
        }
    }

    pub(super) fn listed(&self, revision: Option<Revision>, prefix: Option<&Path>) -> Content {
        let found = pages(|after| {
            let prefix = prefix.map(|path| path.join("/"));
            let args = ListArgs { at: revision.clone(), prefix, after, limit: Some(2) };
            let page = self.fixture.state.borrow().list(&args).unwrap();
            (page.modules, page.next)
        });
        assert!(found.is_sorted_by_key(|found| segments(&found.path)));
        found.into_iter().map(|found| (segments(&found.path), found.module_hash)).collect()
    }

    fn check_lookup(&self, revision: &Option<Revision>, commit: Hash, path: &Path) {
        let state = self.fixture.state.borrow();
        let text = path.join("/");
        let found = state.lookup(&LookupArgs { at: revision.clone(), path: text.clone() });
        let expected = match self.model.entry(&commit, path) {
            Some(entry) => {
                let changed_by = self.model.changes(commit, path).last().map(|last| last.commit);
                let changed_by = changed_by.filter(|_| !path.is_empty());
                Ok(PathInfo { path: text.clone(), entry, commit, changed_by })
            }
            None => Err(QueryError::NotFound { path: text.clone() }),
        };
        assert_eq!(found, expected);
        if !path.is_empty() {
            let args = ContainsArgs { at: revision.clone(), target: Target::Path(text) };
            assert_eq!(state.contains(&args), Ok(self.model.module(&commit, path).is_some()));
        }
    }

    /// Checks what paths of a branch mean, and that the factory is told the same.
    fn check_found(&self, branch: &str, commit: Hash, asked: &[Path]) {
        let state = self.fixture.state.borrow();
        for path in asked {
            let (text, branch) = (path.join("/"), self.named(branch));
            let expected = match self.model.entry(&commit, path) {
                Some(PathEntry::Module(module_hash)) => Ok(Found { path: text.clone(), module_hash, commit }),
                Some(PathEntry::Folder(_)) => Err(FindError::IsFolder { path: text.clone() }),
                None => Err(FindError::NotFound { path: text.clone() }),
            };
            let args = FindArgs { branch: branch.clone(), path: text.clone() };
            assert_eq!(state.find(&args), expected);
            let resolved = state.resolve(&CatalogSource::Path { branch, path: text });
            let resolved = resolved.map(|resolved| (resolved.module_hash, resolved.commit));
            let expected = expected.map(|found| (found.module_hash, Some(found.commit)));
            assert_eq!(resolved, expected.map_err(ResolveError::Path));
        }
    }

    fn check_versions(&self, revision: &Option<Revision>, commit: Hash, path: &Path) {
        let state = self.fixture.state.borrow();
        let text = path.join("/");
        let versions = self.model.versions(commit, path);
        assert_eq!(versions, self.model.versions_by_parents(commit, path), "{text}");
        let total = versions.len() as u32;
        let versions: Vec<PathVersion> = versions
            .into_iter()
            .zip(0..)
            .map(|((module_hash, commit), index)| PathVersion { index, module_hash, commit })
            .collect();
        let paged = pages(|after| {
            let args = PathVersionsArgs { at: revision.clone(), path: text.clone(), after, limit: Some(2) };
            let page = state.path_versions(&args).unwrap();
            assert_eq!(page.total, total);
            (page.versions, page.next)
        });
        assert_eq!(paged, versions, "{text}");
        for index in 0..=total {
            let args = PathVersionArgs { at: revision.clone(), path: text.clone(), index };
            let expected = versions.get(index as usize).cloned();
            assert_eq!(state.path_version_at(&args), expected.ok_or(QueryError::UnknownVersion { versions: total }));
        }
    }

    fn check_audit(&self, revision: &Option<Revision>, commit: Hash, path: &Path) {
        let text = path.join("/");
        let mut audit = pages(|after| {
            let args = AuditArgs { at: revision.clone(), path: text.clone(), after, limit: Some(2) };
            let page = self.fixture.state.borrow().audit(&args).unwrap();
            (page.changes, page.next)
        });
        audit.reverse();
        let expected: Vec<PathAudit> = self
            .model
            .changes(commit, path)
            .into_iter()
            .map(|change| {
                let info = &self.model.commits[&change.commit].info;
                let CommitInfo { id: commit, author, author_name, message, time_ns, .. } = info.clone();
                PathAudit { entry: change.entry, commit, author, author_name, message, time_ns }
            })
            .collect();
        assert_eq!(audit, expected, "{text}");
    }

    fn check_paths_of(&self, revision: &Option<Revision>, content: &Content, module: &Hash) {
        let state = self.fixture.state.borrow();
        let paths = pages(|after| {
            let args = PathsOfArgs { at: revision.clone(), module_hash: *module, after, limit: Some(1) };
            let page = state.paths_of(&args).unwrap();
            (page.paths, page.next)
        });
        let mut expected: Vec<String> =
            content.iter().filter(|(_, hash)| *hash == module).map(|(path, _)| path.join("/")).collect();
        expected.sort();
        assert_eq!(paths, expected);
        let args = ContainsArgs { at: revision.clone(), target: Target::Module(*module) };
        assert_eq!(state.contains(&args), Ok(!expected.is_empty()));
    }

    fn check_log(&self, revision: Option<Revision>, head: Option<Hash>) {
        let log = pages(|after| {
            let args = LogArgs { at: revision.clone(), after, limit: Some(3) };
            let page = self.fixture.state.borrow().commit_log(&args).unwrap();
            (page.commits, page.next)
        });
        let mut expected: Vec<CommitInfo> = head.map_or_else(Vec::new, |head| {
            let ids = self.model.in_order(self.model.ancestors(head));
            ids.iter().map(|id| self.model.commits[id].info.clone()).collect()
        });
        expected.reverse();
        assert_eq!(log, expected);
    }

    /// Returns the paths in which two commits differ, by what the catalog answers.
    pub(super) fn differences(&self, from: Option<Revision>, to: Revision) -> Vec<(Path, Option<Hash>, Option<Hash>)> {
        let found = pages(|after| {
            let args = DiffArgs { from: from.clone(), to: to.clone(), after, limit: Some(2) };
            let page = self.fixture.state.borrow().diff(&args).unwrap();
            (page.changes, page.next)
        });
        found.into_iter().map(|change| (segments(&change.path), change.old, change.new)).collect()
    }

    fn check_diff(&self, from: Option<Hash>, to: Hash) {
        let (old, new) = (self.model.content(from), self.model.content(Some(to)));
        let paths: BTreeSet<&Path> = old.keys().chain(new.keys()).collect();
        let expected: Vec<(Path, Option<Hash>, Option<Hash>)> = paths
            .into_iter()
            .map(|path| (path.clone(), old.get(path).copied(), new.get(path).copied()))
            .filter(|(_, old, new)| old != new)
            .collect();
        assert_eq!(self.differences(from.and_then(at), Revision::Commit(to)), expected);
    }

    /// Checks the log of events, and that it leads to the branches that there are.
    fn check_events(&self) {
        let state = self.fixture.state.borrow();
        let last = self.model.events.len() as u64;
        let events = pages(|after| {
            let page = state.events(&EventsArgs { after, limit: Some(7) });
            assert_eq!(page.last, last);
            let next = page.events.last().map(|event| event.number);
            (page.events, next)
        });
        assert_eq!(events, self.model.events);
        let mut branches: BTreeMap<String, Option<Hash>> = BTreeMap::from([("main".to_string(), None)]);
        for event in events {
            use depot_types::catalog::EventKind as Kind;
            match event.kind {
                Kind::BranchCreated { branch, head } => assert_eq!(branches.insert(branch, head), None),
                Kind::HeadMoved { branch, old, new, .. } => assert_eq!(branches.insert(branch, new), Some(old)),
                Kind::BranchDeleted { branch, head } => assert_eq!(branches.remove(&branch), Some(head)),
                Kind::BranchRenamed { old, new } => {
                    let head = branches.remove(&old).unwrap();
                    assert_eq!(branches.insert(new, head), None);
                }
                _ => (),
            }
        }
        assert_eq!(branches, self.model.branches);
    }

    fn check_releases(&self) {
        let state = self.fixture.state.borrow();
        let package = || "p".to_string();
        let list = |after, limit| state.list_versions(&ListVersionsArgs { package: package(), after, limit });
        if self.model.releases.is_empty() {
            assert_eq!(list(None, None), Err(VersionError::UnknownPackage { package: package() }));
            return;
        }
        let listed = pages(|after| {
            let page = list(after, Some(2)).unwrap();
            (page.versions, page.next)
        });
        let listed: Vec<(String, Hash, u64)> =
            listed.into_iter().map(|found| (found.version, found.module_hash, found.published_at_ns)).collect();
        let releases = self.model.releases.values().rev();
        let expected: Vec<(String, Hash, u64)> =
            releases.map(|release| (release.version.clone(), release.module_hash, release.published_at_ns)).collect();
        assert_eq!(listed, expected);
        for release in self.model.releases.values() {
            let args = VersionArgs { package: package(), version: release.version.clone() };
            assert_eq!(state.version_info(&args).as_ref(), Ok(release));
        }
        let (_, newest) = self.model.releases.last_key_value().unwrap();
        let resolved =
            state.resolve(&CatalogSource::Release { package: package(), requirement: "^1".to_string() }).unwrap();
        assert_eq!((resolved.version.as_ref(), resolved.module_hash), (Some(&newest.version), newest.module_hash));
    }
}
