use depot_types::{
    catalog::{CommitError, Denied, Event, ExportArgs, MovedBy},
    limits::{MAX_AUTHOR_NAME_BYTES, MAX_COMMIT_MESSAGE_BYTES},
};

use super::*;
use crate::test_fixtures::{ALICE, CONTROLLER, Fixture, commit_args, module, principal, remove, set};

fn backup(fixture: &Fixture) -> Vec<BackupItem> {
    let (mut items, mut after) = (vec![], None);
    loop {
        let page = fixture.state.borrow().export(&ExportArgs { after }).unwrap();
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return items;
        }
    }
}

fn read_in(fixture: &Fixture, position: u64, items: &[BackupItem]) -> Result<ImportStatus, ImportError> {
    let args = ImportArgs { position, items: items.to_vec() };
    import(&mut fixture.state.borrow_mut(), &fixture.runtime, CONTROLLER, args)
}

fn original() -> Fixture {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("d/b", 2)]).unwrap();
    fixture.commit(&[remove("a"), set("d/c", 3)]).unwrap();
    fixture.publish("p", "1.0.0", 9).unwrap();
    fixture
}

#[test]
fn should_read_in_a_backup_with_the_same_ids_and_events() {
    let old = original();
    let items = backup(&old);
    let new = Fixture::new();
    let status = read_in(&new, 0, &items).unwrap();
    assert_eq!(status, ImportStatus { position: items.len() as u64, finished: true });
    let (one, other) = (old.state.borrow(), new.state.borrow());
    assert_eq!(one.branches(), other.branches());
    assert_eq!(one.publishers(), other.publishers());
    assert_eq!(one.certified_data(), other.certified_data());
    let last = one.last_event();
    assert_eq!(other.last_event(), last + 1);
    assert!((1..=last).all(|number| one.event(number) == other.event(number)));
    assert_eq!(other.event(last + 1).unwrap().kind, EventKind::Imported { commits: 2 });
    drop((one, other));
    assert_eq!(new.found("main", "d/c"), Some(module(3)));
    assert_eq!(new.state.borrow().unknown_modules([module(3)]), [module(3)], "the blob store was not asked yet");
    new.commit(&[set("d/c", 4)]).unwrap();
}

#[test]
fn should_go_on_where_a_message_ended() {
    let items = backup(&original());
    let fixture = Fixture::new();
    fixture.runtime.set_instructions_per_look(MAX_IMPORT_INSTRUCTIONS / 2);
    let status = read_in(&fixture, 0, &items).unwrap();
    assert_eq!(status, ImportStatus { position: 2, finished: false });
    assert_eq!(fixture.state.borrow().import_position(), Some(2));
    let refused = fixture.commit_as(CONTROLLER, commit_args(&[set("a", 1)]));
    assert_eq!(refused, Err(CommitError::Importing));
    fixture.runtime.set_instructions_per_look(0);
    assert_eq!(read_in(&fixture, 0, &items), Err(ImportError::WrongPosition { position: 2 }));
    assert!(read_in(&fixture, 2, &items[2..]).unwrap().finished);
    assert_eq!(fixture.found("main", "d/b"), Some(module(2)));
}

#[test]
fn should_read_in_nothing_beside_what_is_there() {
    let items = backup(&original());
    assert_eq!(read_in(&original(), 0, &items), Err(ImportError::NotEmpty));
    let args = ImportArgs { position: 0, items };
    let fixture = Fixture::new();
    let refused = import(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args);
    assert_eq!(refused, Err(ImportError::Denied(Denied::NotController { caller: ALICE })));
}

#[test]
fn should_refuse_items_that_are_not_what_they_have_to_be() {
    let items = backup(&original());
    let refused = |items: &[BackupItem], position: usize, reason: InvalidItem| {
        let refused = read_in(&Fixture::new(), 0, items);
        assert_eq!(refused, Err(ImportError::InvalidItem { position: position as u64, reason }));
    };
    let index_of = |is: fn(&BackupItem) -> bool| items.iter().position(is).unwrap();
    let node = index_of(|item| matches!(item, BackupItem::Node(_)));
    let commit = index_of(|item| matches!(item, BackupItem::Commit(_)));

    let mut malformed = items.clone();
    malformed[node] = BackupItem::Node(vec![0xff].into());
    refused(&malformed, node, InvalidItem::Malformed);
    let mut swapped = items.clone();
    swapped.swap(commit, commit + 1);
    let BackupItem::Commit(first) = &items[commit] else { panic!() };
    let first = Object::read(first).unwrap().0;
    refused(&swapped, commit, InvalidItem::MissingObject { id: first });
    let mut without = items.clone();
    let BackupItem::Node(removed) = without.remove(node) else { panic!() };
    let removed = Object::read(&removed).unwrap().0;
    let missing = read_in(&Fixture::new(), 0, &without);
    let Err(ImportError::InvalidItem { reason: InvalidItem::MissingObject { id }, .. }) = missing else {
        panic!("{missing:?}")
    };
    assert_eq!(id, removed);
    let mut short = items.clone();
    short.remove(items.len() - 2);
    refused(&short, items.len() - 2, InvalidItem::WrongCount);
    let twice: Vec<BackupItem> = items.iter().cloned().chain([BackupItem::End { items: 1 }]).collect();
    refused(&twice, items.len(), InvalidItem::OutOfPlace);
    let named = |name: &str| BackupItem::Branch { name: name.to_string(), head: None, protected: false, default: true };
    refused(&[named("a/b")], 0, InvalidItem::BreaksRule);
    refused(&[named("b"), named("a")], 1, InvalidItem::OutOfPlace);
    refused(&[BackupItem::End { items: 0 }], 0, InvalidItem::OutOfPlace);
    let dots = Node::leaf([("..".to_string(), depot_types::objects::Entry::Module(module(1)))]).encode();
    refused(&[BackupItem::Node(dots.bytes.into())], 0, InvalidItem::BreaksRule);
    let event = Event {
        number: 2,
        time_ns: 0,
        caller: ALICE,
        kind: EventKind::HeadMoved { branch: "b".to_string(), old: None, new: None, by: MovedBy::Commit },
    };
    refused(&[BackupItem::Event(event)], 0, InvalidItem::OutOfPlace);
}

#[test]
fn should_hold_branches_publishers_releases_and_texts_at_their_limits_and_one_past() {
    let branch = |number: u64, head| {
        let (name, default) = (format!("b{number:04}"), number == 0);
        BackupItem::Branch { name, head, protected: false, default }
    };
    let publisher = |number: u64| BackupItem::Publisher(principal(100 + number));
    let release = |version: &str, description: usize, source: usize| {
        BackupItem::Release(ReleaseInfo {
            package: "p".to_string(),
            version: version.to_string(),
            module_hash: module(1),
            description: "d".repeat(description),
            source: Some("s".repeat(source)),
            publisher: ALICE,
            published_at_ns: 1,
        })
    };
    let check = |fixture: &Fixture, good: Vec<BackupItem>, bad: BackupItem| {
        let count = good.len() as u64;
        assert_eq!(read_in(fixture, 0, &good), Ok(ImportStatus { position: count, finished: false }));
        let refused = ImportError::InvalidItem { position: count, reason: InvalidItem::BreaksRule };
        assert_eq!(read_in(fixture, count, &[bad]), Err(refused));
    };
    let branches: Vec<BackupItem> = (0..MAX_BRANCHES).map(|number| branch(number, None)).collect();
    check(&Fixture::new(), branches, branch(MAX_BRANCHES, None));
    // Alice is on the list already.
    let publishers: Vec<BackupItem> = (0..MAX_PUBLISHERS - 1).map(publisher).collect();
    let again = [publishers, vec![publisher(0), BackupItem::Publisher(ALICE)]].concat();
    check(&Fixture::new(), again, publisher(MAX_PUBLISHERS));

    let longest = || vec![release("1.0.0", MAX_DESCRIPTION_BYTES, MAX_SOURCE_BYTES)];
    check(&Fixture::new(), longest(), release("1.0.1", MAX_DESCRIPTION_BYTES + 1, 0));
    check(&Fixture::new(), longest(), release("1.0.1", 0, MAX_SOURCE_BYTES + 1));
    check(&Fixture::new(), longest(), release("1.0", 0, 0));
    let fixture = Fixture::new();
    let almost = Record(crate::stored::StoredPackage { versions: MAX_VERSIONS_PER_PACKAGE - 1 });
    fixture.state.borrow_mut().packages.insert("p".to_string(), almost);
    check(&fixture, longest(), release("1.0.1", 0, 0));
}

#[test]
fn should_read_in_commits_at_their_limits_and_not_past_them() {
    let tree = Node::Leaf(vec![]).encode();
    let commit = |number: usize, parents: Vec<Hash>, message: usize, author_name: usize| {
        let (message, author_name) = ("m".repeat(message), Some("n".repeat(author_name)));
        Commit { tree: tree.id, parents, author: ALICE, author_name, message, time_ns: number as u64 }.encode()
    };
    let item = |object: &EncodedObject| BackupItem::Commit(object.bytes.clone().into());
    let parents = [0, 1, 2].map(|number| commit(number, vec![], 0, 0));
    let ids = |count: usize| parents[..count].iter().map(|parent| parent.id).collect::<Vec<Hash>>();
    let good = commit(3, ids(MAX_PARENTS), MAX_COMMIT_MESSAGE_BYTES, MAX_AUTHOR_NAME_BYTES);
    let fixture = Fixture::new();
    let mut items = vec![BackupItem::Node(tree.bytes.clone().into())];
    items.extend(parents.iter().chain([&good]).map(item));
    read_in(&fixture, 0, &items).unwrap();
    for bad in [
        commit(4, ids(MAX_PARENTS + 1), 0, 0),
        commit(4, vec![], MAX_COMMIT_MESSAGE_BYTES + 1, 0),
        commit(4, vec![], 0, MAX_AUTHOR_NAME_BYTES + 1),
    ] {
        let position = items.len() as u64;
        let refused = ImportError::InvalidItem { position, reason: InvalidItem::BreaksRule };
        assert_eq!(read_in(&fixture, position, &[item(&bad)]), Err(refused));
    }
}

#[test]
fn should_read_in_merges_that_take_in_so_many_commits_and_not_one_more() {
    let fixture = Fixture::new();
    let base = fixture.commit(&[set("a", 1)]).unwrap();
    let tree = fixture.store_tree(1);
    let ours = fixture.state.borrow_mut().add_bare_commit(tree, vec![base.id]);
    fixture.lengthen("main", MAX_COMMITS_PER_MERGE);
    let check = || {
        let (message, time_ns) = (String::new(), 1);
        let parents = vec![ours, fixture.head().unwrap()];
        let merge = Commit { tree, parents, author: ALICE, author_name: None, message, time_ns };
        fixture.state.borrow().check_merge(&merge)
    };
    assert_eq!(check(), Ok(()));
    fixture.lengthen("main", 1);
    assert_eq!(check(), Err(InvalidItem::BreaksRule));
}
