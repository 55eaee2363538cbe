use depot_types::catalog::{
    AuditArgs, Change, CommitInfo, LogArgs, PathAudit, PathVersion, PathVersionArgs, PathVersionsArgs, Target,
};

use super::*;
use crate::test_fixtures::{ALICE, Fixture, commit_args, module, remove, set};

fn history(fixture: &Fixture, commits: &[&[Change]]) -> Vec<CommitInfo> {
    commits.iter().map(|changes| fixture.commit(changes).unwrap()).collect()
}

fn list(fixture: &Fixture, args: ListArgs) -> Vec<String> {
    let page = fixture.state.borrow().list(&args).unwrap();
    page.modules.into_iter().map(|found| found.path).collect()
}

#[test]
fn should_tell_modules_folders_and_nothing_apart() {
    let fixture = Fixture::new();
    let commits = history(&fixture, &[&[set("a/b", 1)], &[set("c", 2)]]);
    let state = fixture.state.borrow();
    let lookup = |path: &str, at| state.lookup(&LookupArgs { at, path: path.to_string() });
    let found = lookup("/a//b", None).unwrap();
    assert_eq!((found.path.as_str(), found.entry), ("a/b", PathEntry::Module(module(1))));
    assert_eq!((found.commit, found.changed_by), (commits[1].id, Some(commits[0].id)));
    let top = lookup("", None).unwrap();
    assert_eq!((top.entry, top.changed_by), (PathEntry::Folder(commits[1].tree), None));
    assert!(matches!(lookup("a", None).unwrap().entry, PathEntry::Folder(_)));
    let before = Some(Revision::Commit(commits[0].id));
    assert_eq!(lookup("c", before), Err(QueryError::NotFound { path: "c".to_string() }));
    assert!(matches!(lookup("a/..", None), Err(QueryError::InvalidPath { .. })));
    let unknown = module(9);
    assert_eq!(lookup("c", Some(Revision::Commit(unknown))), Err(QueryError::UnknownCommit { commit: unknown }));
}

#[test]
fn should_list_below_a_folder_while_the_branch_moves() {
    let fixture = Fixture::new();
    history(&fixture, &[&[set("a/x", 1), set("a/y", 2), set("a/z/1", 3), set("b", 4)]]);
    let all = |prefix: Option<&str>| ListArgs { prefix: prefix.map(str::to_string), ..ListArgs::default() };
    assert_eq!(list(&fixture, all(None)), ["a/x", "a/y", "a/z/1", "b"]);
    assert_eq!(list(&fixture, all(Some("/a/"))), ["a/x", "a/y", "a/z/1"]);
    for nothing in ["b", "c", "a/x"] {
        assert_eq!(list(&fixture, all(Some(nothing))), Vec::<String>::new());
    }
    let first = fixture.state.borrow().list(&ListArgs { limit: Some(1), ..all(Some("a")) }).unwrap();
    fixture.commit(&[remove("a")]).unwrap();
    fixture.commit(&[set("a", 5)]).unwrap();
    let rest = fixture.state.borrow().list(&ListArgs { after: first.next, ..all(Some("a")) }).unwrap();
    let paths: Vec<String> = rest.modules.into_iter().map(|found| found.path).collect();
    assert_eq!((paths, rest.commit, rest.next), (vec!["a/y".to_string(), "a/z/1".to_string()], first.commit, None));
}

#[test]
fn should_look_at_as_many_paths_of_a_module_as_at_the_limit_and_not_one_past() {
    let fixture = Fixture::new();
    let move_all = |from: u64, paths: std::ops::Range<usize>| {
        let paths: Vec<usize> = paths.collect();
        for batch in paths.chunks(100) {
            let changes: Vec<Change> = batch.iter().map(|number| set(&format!("{number:05}"), from)).collect();
            fixture.commit(&changes).unwrap();
        }
    };
    let contains = || fixture.state.borrow().contains(&ContainsArgs { at: None, target: Target::Module(module(1)) });
    move_all(1, 0..MAX_LOOKED_AT);
    assert_eq!(contains(), Ok(true));
    move_all(2, 0..MAX_LOOKED_AT);
    assert_eq!(contains(), Ok(false));
    move_all(1, MAX_LOOKED_AT - 1..MAX_LOOKED_AT);
    assert_eq!(contains(), Ok(true));
    move_all(2, MAX_LOOKED_AT - 1..MAX_LOOKED_AT);
    move_all(1, MAX_LOOKED_AT..MAX_LOOKED_AT + 1);
    assert_eq!(contains(), Err(QueryError::TooMany { max: MAX_LOOKED_AT as u32 }));
    let args = PathsOfArgs { at: None, module_hash: module(1), after: None, limit: None };
    let page = fixture.state.borrow().paths_of(&args).unwrap();
    assert!(page.paths.is_empty() && page.next.is_some());
    let page = fixture.state.borrow().paths_of(&PathsOfArgs { after: page.next, ..args }).unwrap();
    assert_eq!((page.paths, page.next), (vec![format!("{MAX_LOOKED_AT:05}")], None));
}

#[test]
fn should_answer_about_an_empty_branch() {
    let fixture = Fixture::new();
    let state = fixture.state.borrow();
    assert_eq!(state.list(&ListArgs::default()).unwrap().modules, []);
    assert_eq!(state.commit_log(&LogArgs::default()).unwrap().commits, []);
    let target = Target::Path("a".to_string());
    assert_eq!(state.contains(&ContainsArgs { at: None, target }), Ok(false));
    let args = PathVersionsArgs { at: None, path: "a".to_string(), after: None, limit: None };
    assert_eq!(state.path_versions(&args).unwrap().total, 0);
    let empty = QueryError::EmptyBranch { branch: "main".to_string() };
    assert_eq!(state.snapshot(None), Err(empty));
    let unknown = QueryError::UnknownBranch { branch: "dev".to_string() };
    assert_eq!(state.snapshot(Some("dev".to_string())), Err(unknown));
}

/// As in wasmstore: A, B, A gives A at the first commit and B at the second.
#[test]
fn should_keep_each_version_once_at_its_oldest_commit() {
    let fixture = Fixture::new();
    let commits = history(
        &fixture,
        &[&[set("p", 1)], &[set("p", 2)], &[set("p", 1)], &[remove("p")], &[set("q", 3)], &[set("p", 2)]],
    );
    let state = fixture.state.borrow();
    let args = PathVersionsArgs { at: None, path: "p".to_string(), after: None, limit: None };
    let version = |index: u32, number, commit: usize| PathVersion {
        index,
        module_hash: module(number),
        commit: commits[commit].id,
    };
    assert_eq!(state.path_versions(&args).unwrap().versions, [version(0, 1, 0), version(1, 2, 1)]);
    let at = |index| state.path_version_at(&PathVersionArgs { at: None, path: "p".to_string(), index });
    assert_eq!(at(1), Ok(version(1, 2, 1)));
    assert_eq!(at(2), Err(QueryError::UnknownVersion { versions: 2 }));
    assert_eq!(at(u32::MAX), Err(QueryError::UnknownVersion { versions: 2 }));
    let removed = PathVersionsArgs { at: Some(Revision::Commit(commits[3].id)), ..args };
    assert_eq!(state.path_versions(&removed).unwrap().total, 2, "versions survive the removal of the path");
}

#[test]
fn should_find_any_of_many_versions() {
    let fixture = Fixture::new();
    let count = 700;
    for number in 0..count {
        // Old versions come back in between, which makes no new ones.
        let changes = [set("p", number)];
        fixture.commit(&changes).unwrap();
        if number % 3 == 0 && number > 0 {
            fixture.commit(&[set("p", number / 2)]).unwrap();
        }
    }
    let state = fixture.state.borrow();
    for index in 0..count {
        let args = PathVersionArgs { at: None, path: "p".to_string(), index: index as u32 };
        assert_eq!(state.path_version_at(&args).unwrap().module_hash, module(index));
    }
}

#[test]
fn should_tell_who_changed_a_path_when_and_why() {
    let fixture = Fixture::new();
    fixture.runtime.set_now_ns(7);
    let args = CommitArgsOf { message: "why", author_name: "who" };
    let first = args.commit(&fixture, &[set("d/p", 1)]);
    history(&fixture, &[&[set("q", 1)], &[remove("d")]]);
    let state = fixture.state.borrow();
    let audit = |path: &str| {
        state.audit(&AuditArgs { at: None, path: path.to_string(), after: None, limit: None }).unwrap().changes
    };
    let changes = audit("d/p");
    let expected = PathAudit {
        entry: Some(PathEntry::Module(module(1))),
        commit: first.id,
        author: ALICE,
        author_name: Some("who".to_string()),
        message: "why".to_string(),
        time_ns: 7,
    };
    assert_eq!(changes[1], expected);
    assert_eq!((changes.len(), changes[0].entry), (2, None));
    assert_eq!(audit("d").len(), 2, "folders have changes, too");
    assert_eq!(audit("x"), []);
}

struct CommitArgsOf {
    message: &'static str,
    author_name: &'static str,
}

impl CommitArgsOf {
    fn commit(&self, fixture: &Fixture, changes: &[Change]) -> CommitInfo {
        let args = depot_types::catalog::CommitArgs {
            message: self.message.to_string(),
            author_name: Some(self.author_name.to_string()),
            ..commit_args(changes)
        };
        fixture.commit_as(ALICE, args).unwrap()
    }
}

#[test]
fn should_refuse_cursors_that_it_did_not_answer() {
    let fixture = Fixture::new();
    history(&fixture, &[&[set("a", 1)]]);
    let state = fixture.state.borrow();
    for bytes in [&[][..], &[1, 2, 3], &[7; 31]] {
        let after = Some(ListCursor::from(bytes.to_vec()));
        let list = state.list(&ListArgs { after: after.clone(), ..ListArgs::default() });
        assert_eq!(list, Err(QueryError::InvalidCursor));
        assert_eq!(
            state.commit_log(&LogArgs { after: after.clone(), ..LogArgs::default() }),
            Err(QueryError::InvalidCursor)
        );
        let to = Revision::Branch("main".to_string());
        assert_eq!(state.diff(&DiffArgs { from: None, to, after, limit: None }), Err(QueryError::InvalidCursor));
    }
    let gone = ListCursor::from(module(5).as_bytes().to_vec());
    let list = state.list(&ListArgs { after: Some(gone), ..ListArgs::default() });
    assert_eq!(list, Err(QueryError::UnknownCommit { commit: module(5) }));
    let head = state.snapshot(None).unwrap();
    let short = ListCursor::from([head.as_bytes().as_slice(), &[1]].concat());
    let args = AuditArgs { at: None, path: "a".to_string(), after: Some(short.clone()), limit: None };
    assert_eq!(state.audit(&args), Err(QueryError::InvalidCursor));
    let args = PathVersionsArgs { at: None, path: "a".to_string(), after: Some(short), limit: None };
    assert_eq!(state.path_versions(&args), Err(QueryError::InvalidCursor));
}

#[test]
fn should_hold_pages_and_objects_at_their_limits() {
    let fixture = Fixture::new();
    for part in 0..7u64 {
        let changes: Vec<Change> = (0..100).map(|number| set(&format!("{}", part * 100 + number), 1)).collect();
        fixture.commit(&changes).unwrap();
    }
    let page = |limit| list(&fixture, ListArgs { limit, ..ListArgs::default() }).len();
    assert_eq!((page(None), page(Some(0)), page(Some(500)), page(Some(501))), (50, 1, 500, 500));
    let state = fixture.state.borrow();
    let ids = vec![state.snapshot(None).unwrap(); MAX_OBJECTS_PER_READ + 1];
    assert_eq!(state.objects(&ids[1..]).unwrap().len(), MAX_OBJECTS_PER_READ);
    assert_eq!(state.objects(&ids), Err(QueryError::TooMany { max: 100 }));
}

#[test]
fn should_compare_any_two_commits_and_nothing() {
    let fixture = Fixture::new();
    let commits = history(&fixture, &[&[set("a", 1), set("d/b", 2)]]);
    let second = fixture.commit(&[remove("a"), set("e", 3)]).unwrap();
    let state = fixture.state.borrow();
    let diff = |from, to: &CommitInfo| {
        let args = DiffArgs { from, to: Revision::Commit(to.id), after: None, limit: None };
        state.diff(&args).unwrap().changes
    };
    let change = |path: &str, old: Option<u64>, new: Option<u64>| PathDifference {
        path: path.to_string(),
        old: old.map(module),
        new: new.map(module),
    };
    assert_eq!(diff(None, &commits[0]), [change("a", None, Some(1)), change("d/b", None, Some(2))]);
    let from = Some(Revision::Commit(commits[0].id));
    assert_eq!(diff(from, &second), [change("a", Some(1), None), change("e", None, Some(3))]);
}
