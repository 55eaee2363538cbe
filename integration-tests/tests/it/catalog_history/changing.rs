//! Changing branches.

use candid::Encode;
use depot_types::{
    catalog::{CommitError, EventKind, EventsArgs, MovedBy},
    path::PathError,
};

use super::*;

/// Row 4: paths are nested and normalised; what would be dangerous in a folder is refused.
#[test]
fn should_normalise_paths_and_refuse_dangerous_ones() {
    let world = World::new(1);
    world.commit("main", &[world.set("/b//two/", 0), world.set("a/x", 0), world.set("a.b", 0), world.set("a/y/z", 0)]);
    assert_eq!(world.list("main", ""), ["a/x", "a/y/z", "a.b", "b/two"]);
    let refused = |path: &str| match world.try_commit("main", &[world.set(path, 0)]) {
        Err(CommitError::InvalidPath { reason, .. }) => reason,
        other => panic!("{path}: {other:?}"),
    };
    for path in [".", "a/./b"] {
        assert!(matches!(refused(path), PathError::DotSegment { .. }));
    }
    assert_eq!(refused("../a"), PathError::DotSegment { segment: 0 });
    assert_eq!(refused("a/.."), PathError::DotSegment { segment: 1 });
    assert_eq!(refused("a/b\u{7}"), PathError::ControlCharacter { segment: 1 });
    assert_eq!(refused("//"), PathError::Empty);
    assert!(matches!(refused(&"d/".repeat(33)), PathError::TooDeep { .. }));
    assert!(matches!(refused(&"s".repeat(256)), PathError::SegmentTooLong { .. }));
    world.commit("main", &[world.set("名前/..wasm", 0), world.set(&vec!["d"; 32].join("/"), 0)]);
}

/// Rows 10, 11: removing a path, a folder, a module; setting a path to a module that is known.
#[test]
fn should_remove_paths_folders_and_modules() {
    let world = World::new(3);
    let changes = ["a", "d/x", "d/y", "e"].map(|path| world.set(path, usize::from(path == "e")));
    world.commit("main", &changes);
    world.commit("main", &[Change::RemoveModule { module_hash: world.modules[0] }, world.set("n", 2)]);
    assert_eq!(world.list("main", ""), ["e", "n"]);
    world.commit("main", &[world.set("d/x", 0), world.set("d/y/z", 0)]);
    world.commit("main", &[remove("d")]);
    let head = world.commit("main", &[world.set("n", 1)]).id;
    assert_eq!(
        (world.list("main", ""), world.found("main", "n")),
        (vec!["e".into(), "n".into()], Some(world.modules[1]))
    );

    let unknown = |path: &str| Err(CommitError::UnknownPath { path: path.to_string() });
    assert_eq!(world.try_commit("main", &[remove("d")]), unknown("d"));
    let empty = CommitError::InvalidPath { path: String::new(), reason: PathError::Empty };
    assert_eq!(world.try_commit("main", &[remove("")]), Err(empty), "it does not empty the branch");
    // A commit and a folder are no modules.
    let tree = world.catalog().commit_info(head).unwrap().unwrap().tree;
    for module_hash in [head, tree] {
        let change = Change::Set { path: "c".to_string(), module_hash };
        assert_eq!(world.try_commit("main", &[change]), Err(CommitError::UnknownModule { module_hash }));
    }
    world.commit("main", &[world.set("d/x", 0)]);
    let conflict = |path: &str, existing: &str| {
        Err(CommitError::PathConflict { path: path.to_string(), existing: existing.to_string() })
    };
    assert_eq!(world.try_commit("main", &[world.set("d", 1)]), conflict("d", "d"), "nothing is replaced in silence");
    assert_eq!(world.try_commit("main", &[world.set("e/f", 1)]), conflict("e/f", "e"));
}

/// Rows 13, 51: a commit for all changes of a call, or none of them; compare-and-set on the head.
#[test]
fn should_commit_all_changes_or_none() {
    let world = World::new(2);
    let first = world.commit("main", &[world.set("a", 0), world.set("b/c", 1), world.set("b/d", 0)]);
    assert_eq!((first.author, first.author_name.as_deref()), (world.depot.admin, Some("who")));
    assert_eq!((first.message.as_str(), first.parents.len()), ("why", 0));
    let refused = world.try_commit("main", &[world.set("e", 0), remove("b"), remove("gone")]);
    assert_eq!(refused, Err(CommitError::UnknownPath { path: "gone".to_string() }));
    let overlapping = world.try_commit("main", &[remove("b"), world.set("b/x", 0)]);
    let (one, other) = ("b".to_string(), "b/x".to_string());
    assert_eq!(overlapping, Err(CommitError::OverlappingChanges { first: one, second: other }));
    assert_eq!(world.try_commit("main", &[world.set("a", 0)]), Err(CommitError::NothingChanged));
    assert_eq!(world.catalog().snapshot(None).unwrap(), Ok(first.id));

    let expecting = |expected_head, changes: &[Change]| {
        let args = CommitArgs { expected_head: Some(expected_head), ..commit_args("main", changes) };
        world.catalog().commit(args).unwrap()
    };
    let second = expecting(first.id, &[remove("b"), world.set("e", 1)]).unwrap();
    assert_eq!((second.parents, world.list("main", "")), (vec![first.id], vec!["a".into(), "e".into()]));
    let moved = CommitError::HeadMoved { expected: first.id, actual: Some(second.id) };
    assert_eq!(expecting(first.id, &[world.set("f", 0)]), Err(moved));
}

/// Row 41: none of many writers at once fails for being one of many; of those who expect the same head, one wins.
#[test]
fn should_take_the_commits_of_many_writers_at_once() {
    let world = World::new(3);
    let first = world.commit("main", &[world.set("start", 0)]).id;
    let submit = |args: CommitArgs| {
        let (id, admin) = (world.depot.catalog_id, world.depot.admin);
        world.depot.network.submit_call(id, admin, "commit", Encode!(&args).unwrap()).unwrap()
    };
    let writers = 40;
    let calls: Vec<_> = (0..writers)
        // Some wait for the blob store, and others do not.
        .map(|number| submit(commit_args("main", &[world.set(&format!("d/{number}"), number % 3)])))
        .collect();
    let answer = |call| {
        let bytes = world.depot.network.await_call(call).unwrap();
        candid::decode_one::<Result<CommitInfo, CommitError>>(&bytes).unwrap()
    };
    let ids: std::collections::BTreeSet<Hash> = calls.into_iter().map(|call| answer(call).unwrap().id).collect();
    assert_eq!((ids.len(), world.list("main", "d").len()), (writers, writers));
    let page = world.catalog().log(depot_types::catalog::LogArgs::default()).unwrap().unwrap();
    assert_eq!((page.commits.len(), page.commits.last().unwrap().id), (writers + 1, first));
    assert!(page.commits.windows(2).all(|pair| pair[0].parents == [pair[1].id]), "one after the other");

    let head = page.commits[0].id;
    let calls: Vec<_> = (0..8)
        .map(|number| {
            let changes = [world.set(&format!("one/{number}"), 0)];
            submit(CommitArgs { expected_head: Some(head), ..commit_args("main", &changes) })
        })
        .collect();
    let answers: Vec<_> = calls.into_iter().map(answer).collect();
    let winner = answers.iter().flatten().next().unwrap().id;
    let moved = CommitError::HeadMoved { expected: head, actual: Some(winner) };
    assert_eq!(answers.iter().filter(|answer| **answer == Err(moved.clone())).count(), 7);
    assert_eq!(world.list("main", "one").len(), 1);
}

/// Rows 32, 33: everything that changed, to be watched from any point.
#[test]
fn should_log_events_and_tell_what_they_changed() {
    use depot_types::catalog::DiffArgs;

    let world = World::new(2);
    let commits = [
        world.commit("main", &[world.set("p", 0)]),
        world.commit("main", &[world.set("p", 1), world.set("q", 0)]),
        world.commit("main", &[remove("q")]),
    ];
    world.catalog().restore(restore(commits[0].id, None, false)).unwrap().unwrap();
    let events = |after| world.catalog().events(EventsArgs { after, limit: None }).unwrap();
    let all = events(None);
    let moves: Vec<(u64, Option<Hash>, Option<Hash>, MovedBy)> = all
        .events
        .iter()
        .map(|event| match &event.kind {
            EventKind::HeadMoved { branch, old, new, by } if branch == "main" => (event.number, *old, *new, *by),
            other => panic!("{other:?}"),
        })
        .collect();
    let [first, second, third] = commits.map(|commit| Some(commit.id));
    let expected = [
        (1, None, first, MovedBy::Commit),
        (2, first, second, MovedBy::Commit),
        (3, second, third, MovedBy::Commit),
        (4, third, first, MovedBy::Restore),
    ];
    assert_eq!((moves, all.last), (expected.to_vec(), 4));
    assert!(all.events.iter().all(|event| event.caller == world.depot.admin && event.time_ns > 0));
    assert_eq!(events(Some(2)).events, all.events[2..], "from any point");
    assert_eq!(events(Some(4)).events, []);
    // A removal is one; several paths of a commit are told together.
    let changed = |from: Option<Hash>, to: Option<Hash>| {
        let (from, to) = (from.map(Revision::Commit), Revision::Commit(to.unwrap()));
        let page = world.catalog().diff(DiffArgs { from, to, after: None, limit: None }).unwrap().unwrap();
        page.changes.into_iter().map(|change| (change.path, change.old, change.new)).collect::<Vec<_>>()
    };
    let [zero, one] = [0, 1].map(|module| Some(world.modules[module]));
    let [p, q] = ["p", "q"].map(str::to_string);
    assert_eq!(changed(None, first), [(p.clone(), None, zero)]);
    assert_eq!(changed(first, second), [(p.clone(), zero, one), (q.clone(), None, zero)]);
    assert_eq!(changed(second, third), [(q, zero, None)]);
    assert_eq!(changed(third, first), [(p, one, zero)]);
}
