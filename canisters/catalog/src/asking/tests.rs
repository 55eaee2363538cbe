use depot_types::{
    catalog::{
        AuditArgs, Change, CommitInfo, LogArgs, PathAudit, PathVersion, PathVersionArgs, PathVersionsArgs, Target,
    },
    objects::Commit,
};

use super::*;
use crate::{
    history::{CommitPlace, Place},
    limits::MAX_LOG_LINES,
    test_fixtures::{ALICE, Fixture, commit_args, module, remove, set},
};

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

/// Stores a commit without what the history knows of it but its number and its parents.
fn add_row(fixture: &Fixture, tree: Hash, parents: Vec<u64>) -> u64 {
    let mut state = fixture.state.borrow_mut();
    let ids = parents.iter().map(|parent| state.commit_place(*parent).id).collect();
    let number = state.commits.last_key_value().map_or(0, |(last, _)| last + 1);
    let (message, time_ns) = (String::new(), number);
    let commit = Commit { tree, parents: ids, author: ALICE, author_name: None, message, time_ns };
    let object = commit.encode();
    let place = CommitPlace { id: object.id, tree, place: Place { line: number, position: 0 }, parents };
    state.commit_numbers.insert(*object.id.as_bytes(), number);
    state.commits.insert(number, place);
    state.put_object(object);
    number
}

/// Returns the log of merges, one after the other, of so many histories that have nothing in common.
fn log_of_lines(lines: usize) -> Result<Vec<CommitInfo>, QueryError> {
    let fixture = Fixture::new();
    let tree = fixture.store_tree(1);
    let roots: Vec<u64> = (0..lines).map(|_| add_row(&fixture, tree, vec![])).collect();
    let last = roots.iter().copied().reduce(|merged, root| add_row(&fixture, tree, vec![merged, root])).unwrap();
    let state = fixture.state.borrow();
    let at = Some(Revision::Commit(state.commit_place(last).id));
    let (mut commits, mut after) = (vec![], None);
    loop {
        let page = state.commit_log(&LogArgs { at: at.clone(), after, limit: Some(MAX_PAGE_ENTRIES) })?;
        commits.extend(page.commits);
        after = page.next;
        if after.is_none() {
            return Ok(commits);
        }
    }
}

#[test]
fn should_go_on_with_so_many_lines_of_a_log_and_not_with_one_more() {
    let log = log_of_lines(MAX_LOG_LINES).unwrap();
    assert_eq!(log.len(), 2 * MAX_LOG_LINES - 1);
    let times: Vec<u64> = log.iter().map(|commit| commit.time_ns).collect();
    assert!(times.is_sorted_by(|one, other| one > other), "latest first, each once");
    let refused = log_of_lines(MAX_LOG_LINES + 1);
    assert_eq!(refused, Err(QueryError::TooManyLines { max: MAX_LOG_LINES as u32 }));
}

#[test]
fn should_look_at_so_many_paths_for_a_page_and_leave_the_rest_to_the_next_one() {
    let fixture = Fixture::new();
    let commit = fixture.commit(&[set("z", 1)]).unwrap().id;
    // `z` comes after all of them.
    fixture.record_old_paths(&module(1), MAX_LOOKED_AT - 1);
    let state = || fixture.state.borrow();
    let page = |after| state().paths_of(&PathsOfArgs { at: None, module_hash: module(1), after, limit: None }).unwrap();
    let whole = PathsPage { commit: Some(commit), paths: vec!["z".to_string()], next: None };
    assert_eq!(page(None), whole);
    fixture.record_old_paths(&module(1), MAX_LOOKED_AT);
    let first = page(None);
    assert_eq!(first.paths, Vec::<String>::new());
    assert_eq!(page(Some(first.next.unwrap())), whole);
}

/// Reads a list in pages of one entry; between two pages the store changes.
fn pages_while_working<C, T>(fixture: &Fixture, mut page: impl FnMut(Option<C>) -> (Vec<T>, Option<C>)) -> Vec<T> {
    let (mut all, mut after, mut count) = (vec![], None, 0);
    loop {
        let (items, next) = page(after);
        all.extend(items);
        after = next;
        if after.is_none() {
            assert!(count > 2, "there is more than one page");
            return all;
        }
        count += 1;
        let time = fixture.head().map_or(0, |head| fixture.state.borrow().stored_commit(&head).time_ns);
        fixture.runtime.set_now_ns(time + 1);
        match count % 3 {
            0 => _ = fixture.commit(&[set("d/new", time)]).unwrap(),
            1 => _ = fixture.commit(&[set("d/new", time), set("a", time), set(&format!("n{time}"), 1)]).unwrap(),
            _ => fixture.reopen(),
        }
    }
}

#[test]
fn should_go_on_with_every_list_while_the_store_changes() {
    let fixture = Fixture::new();
    let old = history(
        &fixture,
        &[
            &[set("d/x", 1), set("d/y", 1), set("d/z", 1), set("a", 1)],
            &[set("a", 2), set("d/new", 8)],
            &[set("a", 3), set("d/x", 9)],
            &[set("a", 4)],
        ],
    );
    let args = depot_types::catalog::CreateBranchArgs { name: "kept".to_string(), from: None };
    crate::branches::create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
    let state = || fixture.state.borrow();
    let limit = Some(1);
    let at = || Some(Revision::Branch("main".to_string()));
    let first = Some(Revision::Commit(old[0].id));
    let text = |path: &str| path.to_string();

    // A list asked for by the name of a branch is about the commit that the branch was at.
    let whole = |revision| state().list(&ListArgs { at: revision, ..ListArgs::default() }).unwrap().modules;
    let expected = whole(at());
    let listed = pages_while_working(&fixture, |after| {
        let page = state().list(&ListArgs { at: at(), after, limit, prefix: None }).unwrap();
        (page.modules, page.next)
    });
    assert_eq!(listed, expected);

    let old_head = || Some(Revision::Branch("kept".to_string()));
    let listed = pages_while_working(&fixture, |after| {
        let args = PathsOfArgs { at: first.clone(), module_hash: module(1), after, limit };
        let page = state().paths_of(&args).unwrap();
        (page.paths, page.next)
    });
    assert_eq!(listed, ["a", "d/x", "d/y", "d/z"]);

    let listed = pages_while_working(&fixture, |after| {
        let args = PathVersionsArgs { at: old_head(), path: text("a"), after, limit };
        let page = state().path_versions(&args).unwrap();
        (page.versions, page.next)
    });
    let found: Vec<(Hash, Hash)> = listed.into_iter().map(|version| (version.module_hash, version.commit)).collect();
    let expected: Vec<(Hash, Hash)> = (1..).zip(&old).map(|(number, commit)| (module(number), commit.id)).collect();
    assert_eq!(found, expected);

    let listed = pages_while_working(&fixture, |after| {
        let page = state().commit_log(&LogArgs { at: old_head(), after, limit }).unwrap();
        (page.commits, page.next)
    });
    assert_eq!(listed, old.iter().rev().cloned().collect::<Vec<_>>());

    let listed = pages_while_working(&fixture, |after| {
        let page = state().audit(&AuditArgs { at: old_head(), path: text("a"), after, limit }).unwrap();
        (page.changes, page.next)
    });
    let found: Vec<Hash> = listed.into_iter().map(|change| change.commit).collect();
    assert_eq!(found, old.iter().rev().map(|commit| commit.id).collect::<Vec<_>>());

    let listed = pages_while_working(&fixture, |after| {
        let args = DiffArgs { from: first.clone(), to: Revision::Branch("main".to_string()), after, limit };
        let page = state().diff(&args).unwrap();
        (page.changes, page.next)
    });
    let to = listed.iter().position(|change| change.path == "d/x").unwrap();
    assert_eq!((listed[0].path.as_str(), listed[to].new), ("a", Some(module(9))));
    assert!(listed.is_sorted_by(|one, other| segments_of(&one.path) < segments_of(&other.path)), "each once");
}
