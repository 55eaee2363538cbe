use std::collections::{BTreeMap, BTreeSet, VecDeque};

use depot_types::{
    Hash,
    catalog::{CommitArgs, CreateBranchArgs, DeleteBranchArgs, MergeArgs, Note, Resolution, Revision, Take},
};

use super::{
    lines::{BeforeLine, LineStart},
    *,
};
use crate::{
    branches::{create_branch, delete_branch},
    merge::merge,
    test_fixtures::{ALICE, Fixture, TestState, block_on, commit_args, remove, set},
};

/// Numbers that look random, always the same for a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }
}

/// Makes a history of branches that come, are merged and go, in which a line ends at almost every merge.
fn history(seed: u64) -> Fixture {
    let (fixture, mut chance) = (Fixture::new(), Chance(0x9e37_79b9_7f4a_7c15 ^ seed));
    fixture.commit(&[set("0", 0), set("f/0", 0)]).unwrap();
    let mut branches = vec!["main".to_string()];
    for number in 1..240_u64 {
        let branch = branches[chance.below(branches.len() as u64) as usize].clone();
        let path = format!("{}{}", ["", "f/"][chance.below(2) as usize], chance.below(4));
        match chance.below(5) {
            0 if branches.len() < 6 => {
                let name = format!("b{number}");
                let args = CreateBranchArgs { name: name.clone(), from: Some(Revision::Branch(branch)) };
                create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
                branches.push(name);
            }
            1 | 2 if branches.len() > 1 => {
                let from = branches[chance.below(branches.len() as u64) as usize].clone();
                merge_all(&fixture, &branch, &from);
                if from != "main" && from != branch && chance.below(2) == 0 {
                    let args = DeleteBranchArgs { name: from.clone(), expected_head: None };
                    delete_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
                    branches.retain(|branch| *branch != from);
                }
            }
            3 => {
                let args = CommitArgs { branch: Some(branch), ..commit_args(&[remove(&path)]) };
                // There may be nothing to remove.
                _ = fixture.commit_as(ALICE, args);
            }
            _ => {
                let args = CommitArgs { branch: Some(branch), ..commit_args(&[set(&path, number)]) };
                fixture.commit_as(ALICE, args).unwrap();
            }
        }
    }
    fixture
}

/// Merges, and takes their side of what is in conflict.
fn merge_all(fixture: &Fixture, into: &str, from: &str) {
    let mut resolutions = vec![];
    for _ in 0..2 {
        let args = MergeArgs {
            into: Some(into.to_string()),
            from: Revision::Branch(from.to_string()),
            resolutions: resolutions.clone(),
            note: Note::default(),
        };
        match block_on(merge(&fixture.state, &fixture.runtime, ALICE, args)) {
            Ok(_) => return,
            Err(depot_types::catalog::MergeError::Conflicts { conflicts, .. }) => {
                let theirs = |path| Resolution { path, take: Take::Theirs };
                resolutions = conflicts.into_iter().map(|conflict| theirs(conflict.path)).collect();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("a merge with all resolutions is in conflict");
}

fn numbers(state: &TestState) -> Vec<u64> {
    state.borrow().commits.keys().collect()
}

/// Returns a commit and all that it follows by first parents, commit by commit.
fn first_parents(state: &TestState, number: u64) -> Vec<u64> {
    let mut chain = vec![number];
    while let Some(parent) = state.borrow().commit_place(*chain.last().unwrap()).parents.first() {
        chain.push(*parent);
    }
    chain
}

/// Returns commits and all that they follow, commit by commit.
fn ancestors(state: &TestState, number: u64) -> BTreeSet<u64> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![number]);
    while let Some(number) = waiting.pop() {
        if found.insert(number) {
            waiting.extend(state.borrow().commit_place(number).parents);
        }
    }
    found
}

/// Takes away what older catalogs did not write down of every second line.
fn forget_what_is_before(state: &TestState) {
    let mut state = state.borrow_mut();
    let lines: Vec<(u64, LineStart)> = state.line_starts.iter().map(|entry| (*entry.key(), entry.value())).collect();
    for (line, start) in lines.into_iter().step_by(2) {
        state.line_starts.insert(line, LineStart { before: None, ..start });
    }
}

#[test]
fn should_go_back_by_first_parents_as_if_from_commit_to_commit() {
    let mut lines = 0;
    for seed in 0..6 {
        let fixture = history(seed);
        let state = &fixture.state;
        if seed % 2 == 1 {
            forget_what_is_before(state);
        }
        lines = lines.max(state.borrow().line_starts.len());
        for number in numbers(state) {
            let chain = first_parents(state, number);
            let state = state.borrow();
            let place = state.commit_place(number).place;
            for (steps, expected) in chain.iter().enumerate() {
                assert_eq!(state.first_parent(place, steps as u64), Ok(state.commit_place(*expected).place));
            }
            let most = chain.len() as u64 - 1;
            assert_eq!(state.first_parent(place, most + 1), Err(most));
            assert_eq!(state.first_parent(place, u64::MAX), Err(most));
            let places: Vec<Place> = chain.iter().map(|number| state.commit_place(*number).place).collect();
            let root = places.last().unwrap().line;
            assert_eq!(state.root_line(place), root);
            for line in 0..=place.line {
                let expected = places.iter().find(|place| place.line <= line).copied().ok_or(BeforeLine { root });
                assert_eq!(state.back_to_line(place, line), expected);
            }
        }
    }
    assert!(lines > 20, "there are {lines} lines at the most");
}

#[test]
fn should_find_the_last_change_of_a_path_wherever_branches_went() {
    for seed in 0..6 {
        let fixture = history(seed);
        let state = fixture.state.borrow();
        for number in numbers(&fixture.state) {
            let commit = state.commit_place(number);
            for name in ["0", "1", "2", "3", "f/0", "f/1", "f/2", "f/3"] {
                let segments: Vec<String> = name.split('/').map(str::to_string).collect();
                let last = state.last_change(&Path::new(&segments), commit.place);
                let expected = state.entry(commit.tree, &segments);
                assert_eq!(last.and_then(|last| last.node.entry), expected, "{name} in commit {number}");
            }
        }
    }
}

#[test]
fn should_tell_two_sides_apart_as_if_from_commit_to_commit() {
    for seed in 0..6 {
        let fixture = history(seed);
        let numbers = numbers(&fixture.state);
        let behind: BTreeMap<u64, BTreeSet<u64>> =
            numbers.iter().map(|number| (*number, ancestors(&fixture.state, *number))).collect();
        let state = fixture.state.borrow();
        for one in numbers.iter().step_by(3) {
            for other in numbers.iter().step_by(2) {
                let (ours, theirs) = (state.commit_place(*one).place, state.commit_place(*other).place);
                let apart = state.apart([ours], [theirs], usize::MAX).unwrap();
                assert_eq!(apart.ours.has(theirs), behind[one].contains(other), "{one} {other}");
                assert_eq!(apart.theirs.has(ours), behind[other].contains(one), "{one} {other}");
                let only: BTreeSet<u64> = behind[other].difference(&behind[one]).copied().collect();
                let found = state.only_theirs(&apart, only.len()).unwrap();
                assert_eq!(found.iter().copied().collect::<BTreeSet<u64>>(), only, "{one} {other}");
                assert_eq!(found.len(), only.len());
                if let Some(most) = only.len().checked_sub(1) {
                    assert_eq!(state.only_theirs(&apart, most), None);
                }
                let common: Vec<u64> = behind[one].intersection(&behind[other]).copied().collect();
                let is_head =
                    |number: &u64| !common.iter().any(|other| other != number && behind[other].contains(number));
                let heads: Vec<u64> = common.iter().rev().filter(|number| is_head(number)).copied().collect();
                assert_eq!(state.common_heads(&apart), heads, "{one} {other}");
            }
        }
    }
}

#[test]
fn should_not_look_at_what_both_sides_have() {
    let fixture = Fixture::new();
    fixture.commit(&[set("0", 0)]).unwrap();
    for number in 1..100 {
        let create = |name: &str| {
            let args = CreateBranchArgs { name: name.to_string(), from: None };
            create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
        };
        let name = format!("b{number}");
        create(&name);
        let on = |branch: &str, path: &str| CommitArgs {
            branch: Some(branch.to_string()),
            ..commit_args(&[set(path, number)])
        };
        fixture.commit_as(ALICE, on(&name, "theirs")).unwrap();
        fixture.commit_as(ALICE, on("main", "ours")).unwrap();
        merge_all(&fixture, "main", &name);
    }
    let state = fixture.state.borrow();
    let last = state.place_of(&state.head("main").unwrap().unwrap()).place;
    let [ours, theirs] = [state.first_parent(last, 1).unwrap(), last];
    let few = state.apart([ours], [theirs], usize::MAX).unwrap();
    assert_eq!(state.only_theirs(&few, 10).unwrap().len(), 2);
    let far = state.first_parent(last, 100).unwrap();
    let steps = |ours, theirs| (0..).find(|most| state.apart([ours], [theirs], *most).is_some()).unwrap();
    let (near, far) = (steps(ours, theirs), steps(far, theirs));
    assert!(near <= 10 && far > 100, "{near} and {far} steps");
}

#[test]
fn should_find_the_shortest_way_back() {
    let fixture = history(1);
    let numbers = numbers(&fixture.state);
    let state = fixture.state.borrow();
    for from in numbers.iter().step_by(5) {
        for to in &numbers {
            let (head, goal) = (state.commit_place(*from), state.commit_place(*to));
            let way = state.way_back(&head, &goal, usize::MAX);
            let shortest = steps_back(&state, *from, *to);
            assert_eq!(way.as_ref().map(Vec::len), shortest.map(|steps| steps + 1), "from {from} to {to}");
            let Some(way) = way else { continue };
            let ids: Vec<Hash> = way.iter().map(|commit| commit.id).collect();
            assert_eq!((ids.first(), ids.last()), (Some(&goal.id), Some(&head.id)));
            for pair in way.windows(2) {
                let parents: Vec<Hash> = pair[1].parents.iter().map(|parent| state.commit_place(*parent).id).collect();
                assert!(parents.contains(&pair[0].id));
            }
        }
    }
    let (last, first) = (state.commit_place(*numbers.last().unwrap()), state.commit_place(0));
    assert_eq!(state.way_back(&last, &first, 5), None, "it looks at few commits");
}

/// Counts the steps of the shortest way from a commit to one that it follows.
fn steps_back<M: Memory>(state: &State<M>, from: u64, to: u64) -> Option<usize> {
    let (mut waiting, mut seen) = (VecDeque::from([(from, 0)]), BTreeSet::from([from]));
    while let Some((number, steps)) = waiting.pop_front() {
        if number == to {
            return Some(steps);
        }
        for parent in state.commit_place(number).parents {
            if seen.insert(parent) {
                waiting.push_back((parent, steps + 1));
            }
        }
    }
    None
}

/// Returns what a search for two sides or a way comes to with the fewest looks that are enough, and checks that it comes to
/// nothing with fewer and to the same with more.
fn with_the_fewest<T: PartialEq + std::fmt::Debug>(search: impl Fn(usize) -> Option<T>) -> (usize, T) {
    let fewest = (0..10_000).find(|most| search(*most).is_some()).unwrap();
    let found = search(fewest);
    assert!((0..fewest).all(|most| search(most).is_none()));
    assert!([fewest + 1, usize::MAX].into_iter().all(|most| search(most) == found));
    (fewest, found.unwrap())
}

#[test]
fn should_look_at_so_many_steps_and_commits_and_not_at_one_more() {
    let fixture = history(3);
    let state = fixture.state.borrow();
    let last = state.commits.last_key_value().unwrap().0;
    let (first, last) = (state.commit_place(0), state.commit_place(last));
    let middle = state.commit_place(state.commit_number(&last.id).unwrap() / 2);
    let (steps, _) = with_the_fewest(|most| state.apart([last.place], [middle.place], most));
    assert!(steps > 10, "{steps}");
    let (looked_at, way) = with_the_fewest(|most| state.way_back(&last, &first, most));
    assert!(looked_at > way.len() && way.len() > 10, "{looked_at}, {}", way.len());
}
