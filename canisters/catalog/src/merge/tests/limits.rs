//! Merges at the limits and one past them.

use depot_types::catalog::{PathVersionsArgs, PathVersionsPage};

use super::*;
use crate::limits::MAX_VERSIONS_JOINED;

fn head(fixture: &Fixture, branch: &str) -> Hash {
    fixture.state.borrow().head(branch).flatten().unwrap()
}

fn merged_commit(
    fixture: &Fixture,
    into: &str,
    from: Hash,
    resolutions: &[(&str, Take)],
) -> Result<Merged, MergeError> {
    let args = MergeArgs { from: Revision::Commit(from), ..args(into, "", resolutions) };
    block_on(merge(&fixture.state, &fixture.runtime, ALICE, args))
}

fn commit_all(fixture: &Fixture, branch: &str, changes: &[Change]) {
    for part in changes.chunks(MAX_CHANGES_PER_COMMIT) {
        fixture.commit_on(branch, part).unwrap();
    }
}

#[test]
fn should_take_in_so_many_commits_and_not_one_more() {
    let fixture = diverged(&[set("a", 1)], &[set("a", 2)], &[set("b", 3)]);
    // One commit was made already.
    fixture.lengthen("dev", MAX_COMMITS_PER_MERGE - 1);
    let at_limit = head(&fixture, "dev");
    fixture.lengthen("dev", 1);
    let refused = Err(MergeError::TooManyCommits { max: MAX_COMMITS_PER_MERGE as u32 });
    assert_eq!(merged(&fixture, "main", "dev"), refused);
    // As the error says: an earlier one of them first.
    commit_of(merged_commit(&fixture, "main", at_limit, &[]));
    assert_eq!(fixture.found("main", "b"), Some(module(3)));
    commit_of(merged(&fixture, "main", "dev"));
}

#[test]
fn should_show_so_many_conflicts_and_count_all() {
    let fixture = diverged(&[set("a", 1)], &[set("b", 1)], &[set("c", 1)]);
    let path = |number: usize| format!("d/{number:03}");
    let side = |module| -> Vec<Change> { (0..=MAX_CONFLICTS_SHOWN).map(|number| set(&path(number), module)).collect() };
    let (ours, theirs) = (side(1), side(2));
    let check = |count: usize| {
        let refused = merged(&fixture, "main", "dev");
        let Err(MergeError::Conflicts { conflicts, total }) = refused else { panic!("{refused:?}") };
        assert_eq!((conflicts.len(), total as usize), (count.min(MAX_CONFLICTS_SHOWN), count));
        let paths: Vec<String> = conflicts.into_iter().map(|conflict| conflict.path).collect();
        assert_eq!(paths, (0..paths.len()).map(path).collect::<Vec<_>>());
    };
    commit_all(&fixture, "main", &ours[..MAX_CONFLICTS_SHOWN]);
    commit_all(&fixture, "dev", &theirs[..MAX_CONFLICTS_SHOWN]);
    check(MAX_CONFLICTS_SHOWN);
    fixture.commit(&ours[MAX_CONFLICTS_SHOWN..]).unwrap();
    fixture.commit_on("dev", &theirs[MAX_CONFLICTS_SHOWN..]).unwrap();
    check(MAX_CONFLICTS_SHOWN + 1);
    // More than can be resolved in one call: what commits make alike is no conflict any more.
    let rest = MAX_CHANGES_PER_COMMIT;
    commit_all(&fixture, "main", &theirs[rest..]);
    check(rest);
    let paths: Vec<String> = (0..=rest).map(path).collect();
    let mut resolutions: Vec<(&str, Take)> = paths.iter().map(|path| (path.as_str(), Take::Ours)).collect();
    let refused = resolved(&fixture, "main", "dev", &resolutions);
    assert_eq!(refused, Err(MergeError::TooManyResolutions { count: rest as u32 + 1, max: rest as u32 }));
    resolutions.pop();
    commit_of(resolved(&fixture, "main", "dev", &resolutions));
    assert_eq!(
        (fixture.found("main", &path(0)), fixture.found("main", &path(rest))),
        (Some(module(1)), Some(module(2)))
    );
}

/// Two branches that have so many last commits in common, each of which brings a path.
fn with_bases(count: usize) -> Fixture {
    let fixture = diverged(&[set("a", 1)], &[set("b", 1)], &[set("c", 1)]);
    let first = fixture.state.borrow().commit_info(&head(&fixture, "dev")).unwrap().parents[0];
    for number in 0..count {
        let name = format!("base-{number}");
        branch(&fixture, &name, first);
        fixture.commit_on(&name, &[set(&name, 2)]).unwrap();
        commit_of(merged(&fixture, "main", &name));
        commit_of(merged(&fixture, "dev", &name));
    }
    fixture.commit(&[set("base-0", 3)]).unwrap();
    fixture.commit_on("dev", &[remove("base-1")]).unwrap();
    fixture
}

#[test]
fn should_merge_so_many_common_ancestors_and_not_one_more() {
    let fixture = with_bases(MAX_MERGE_BASES);
    commit_of(merged(&fixture, "main", "dev"));
    let found = ["base-0", "base-1", "base-2", "b", "c"].map(|path| fixture.found("main", path));
    assert_eq!(found, [Some(module(3)), None, Some(module(2)), Some(module(1)), Some(module(1))]);
    let refused = merged(&with_bases(MAX_MERGE_BASES + 1), "main", "dev");
    assert_eq!(refused, Err(MergeError::TooManyBases { max: MAX_MERGE_BASES as u32 }));
}

#[test]
fn should_look_at_so_many_common_ancestors_and_not_at_one_more() {
    let fixture = with_bases(2);
    let state = fixture.state.borrow();
    let place = |branch: &str| state.place_of(&state.head(branch).flatten().unwrap()).place;
    let apart = state.merge_sides([place("main")], [place("dev")]).unwrap();
    // When so many were looked at before these two.
    let base = |mut before: usize| state.base(&apart, 0, &mut before).unwrap();
    assert!(matches!(base(MAX_MERGE_BASE_TREES - 2), Base::Merged { .. }));
    assert!(matches!(base(MAX_MERGE_BASE_TREES - 1), Base::Unknown));
}

/// Two branches that have merged each other's last commit so many times at once.
///
/// `main` removes `p` and sets it again in turn, and `dev` has it as `main` did before: each time only the merges before
/// tell which of the two is newer, down to the first ones.
fn crossed(times: usize) -> Fixture {
    let fixture = diverged(&[set("p", 1)], &[remove("p")], &[set("q/first", 1)]);
    for time in 0..times {
        let (ours, theirs) = (head(&fixture, "main"), head(&fixture, "dev"));
        commit_of(merged_commit(&fixture, "main", theirs, &[]));
        commit_of(merged_commit(&fixture, "dev", ours, &[]));
        fixture.commit(&[if time % 2 == 0 { set("p", 1) } else { remove("p") }]).unwrap();
        fixture.commit_on("dev", &[set(&format!("q/{time}"), 1)]).unwrap();
    }
    fixture
}

/// Common ancestors that have several common ancestors themselves so many times are looked through. Past that it is not
/// known which side changed a path, so it is in conflict: nothing is merged in silence that nobody meant.
#[test]
fn should_look_through_so_many_merges_and_take_paths_for_conflicts_past_that() {
    for times in [1, 2, MAX_MERGE_BASE_DEPTH, MAX_MERGE_BASE_DEPTH + 1] {
        let fixture = crossed(times);
        let expected = fixture.found("main", "p");
        commit_of(merged(&fixture, "main", "dev"));
        assert_eq!(fixture.found("main", "p"), expected, "{times}");
    }
    let fixture = crossed(MAX_MERGE_BASE_DEPTH + 2);
    let (ours, theirs) = (fixture.found("main", "p"), fixture.found("dev", "p"));
    let conflict = Conflict { path: "p".to_string(), base: None, ours, theirs, in_the_way: None };
    assert_eq!(merged(&fixture, "main", "dev"), conflicts(&[conflict]));
    commit_of(resolved(&fixture, "main", "dev", &[("p", Take::Ours)]));
    assert_eq!(fixture.found("main", "p"), ours);
}

fn versions(fixture: &Fixture, branch: &str) -> PathVersionsPage {
    let at = Some(Revision::Branch(branch.to_string()));
    let args = PathVersionsArgs { at, path: "p".to_string(), after: None, limit: None };
    fixture.state.borrow().path_versions(&args).unwrap()
}

/// Past the limit, what the other side had before is listed from its own branch only.
#[test]
fn should_join_so_many_versions_of_a_path_and_not_one_more() {
    let fixture = diverged(&[set("p", 0)], &[set("q", 1)], &[set("p", 1)]);
    let base = fixture.state.borrow().commit_info(&head(&fixture, "dev")).unwrap().parents[0];
    branch(&fixture, "other", head(&fixture, "main"));
    branch(&fixture, "side", base);
    fixture.commit_on("side", &[set("p", 1_000_000)]).unwrap();
    for number in 2..=MAX_VERSIONS_JOINED as u64 {
        fixture.commit_on("dev", &[set("p", number)]).unwrap();
    }
    let count = MAX_VERSIONS_JOINED as u32;
    let (at_limit, side, ours) = (head(&fixture, "dev"), head(&fixture, "side"), [("p", Take::Ours)]);
    // What one side alone has.
    commit_of(merged(&fixture, "main", "dev"));
    assert_eq!(versions(&fixture, "main").total, 1 + count);
    branch(&fixture, "longer", at_limit);
    fixture.commit_on("longer", &[set("p", 2_000_000)]).unwrap();
    assert_eq!(versions(&fixture, "longer").total, 1 + count + 1);
    commit_of(merged(&fixture, "other", "longer"));
    let found: Vec<Hash> =
        versions(&fixture, "other").versions.into_iter().map(|version| version.module_hash).collect();
    assert_eq!(found, [module(0), module(2_000_000)]);
    // What both sides have: all changes but two came after the one of the other side.
    branch(&fixture, "longest", head(&fixture, "longer"));
    fixture.commit_on("longest", &[set("p", 3_000_000)]).unwrap();
    commit_of(merged_commit(&fixture, "longer", side, &ours));
    let joined = versions(&fixture, "longer");
    assert_eq!((joined.total, joined.versions[2].module_hash), (1 + count + 1 + 1, module(1_000_000)));
    commit_of(merged_commit(&fixture, "longest", side, &ours));
    let own = versions(&fixture, "longest");
    assert_eq!((own.total, own.versions[2].module_hash), (1 + count + 2, module(2)));
}
