use super::*;
use crate::{
    limits::MAX_GC_SLICE_INSTRUCTIONS,
    test_fixtures::{CONTROLLER, Fixture, block_on, set},
};

#[test]
fn should_bound_pages_and_end_with_the_count() {
    let fixture = Fixture::new();
    for part in 0..10u64 {
        let changes: Vec<_> = (0..100).map(|number| set(&format!("{:0200}/{number}", part), number)).collect();
        fixture.commit(&changes).unwrap();
    }
    let text = "d".repeat(4_096);
    for number in 0..500 {
        let args = depot_types::catalog::PublishArgs {
            description: text.clone(),
            ..crate::test_fixtures::publish_args("p", &format!("1.0.{number}"), 1)
        };
        fixture.publish_as(CONTROLLER, args).unwrap();
    }
    let (mut items, mut after, mut pages) = (vec![], None, 0);
    loop {
        let page = fixture.state.borrow().export(&ExportArgs { after }).unwrap();
        let bytes = candid::encode_one(&page).unwrap().len();
        assert!(bytes < 2_000_000, "{bytes}");
        pages += 1;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(pages > 1);
    let count = items.len() as u64 - 1;
    assert_eq!(items.last(), Some(&BackupItem::End { items: count }));
    let commits = items.iter().filter(|item| matches!(item, BackupItem::Commit(_))).count();
    let events = items.iter().filter(|item| matches!(item, BackupItem::Event(_))).count();
    assert_eq!((commits, events), (10, 510));
}

#[test]
fn should_begin_anew_after_a_collection_of_garbage() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let cursor = Cursor { collections: 0, events: 1, items: 1, part: NODES, key: vec![] }.write();
    let export = |after| fixture.state.borrow().export(&ExportArgs { after });
    assert!(export(Some(cursor.clone())).is_ok());
    let collect = || {
        let args = depot_types::catalog::CollectGarbageArgs::default();
        block_on(crate::collection::collect_garbage(&fixture.state, &fixture.runtime, CONTROLLER, args)).unwrap()
    };
    fixture.runtime.set_instructions_per_look(MAX_GC_SLICE_INSTRUCTIONS);
    assert!(!collect().finished);
    assert_eq!(export(None), Err(ExportError::Interrupted), "what is deleted meanwhile would be missing");
    fixture.runtime.set_instructions_per_look(0);
    assert!(collect().finished);
    assert_eq!(export(Some(cursor)), Err(ExportError::Interrupted));
    assert!(export(None).is_ok());
    assert_eq!(export(Some(ByteBuf::from(vec![1]))), Err(ExportError::InvalidCursor));
}

#[test]
fn should_look_at_so_many_objects_for_a_page_and_leave_the_rest_to_the_next_one() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    // Commits are passed over where nodes are looked for: three of four objects are.
    fixture.lengthen("main", MAX_LOOKED_AT);
    let export = |after| fixture.state.borrow().export(&ExportArgs { after }).unwrap();
    let (mut after, mut looked_at, mut pages) = (None, 0, vec![]);
    loop {
        let page = export(after);
        pages.push(page.items.len());
        looked_at += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // A branch, a publisher, a node, the commits, two events, the end.
    assert_eq!(looked_at, 1 + 1 + 1 + MAX_LOOKED_AT + 1 + 2 + 1);
    // Branch and publisher are looked at before the 2,002 objects, and the rest of those before the commits.
    assert!(pages.len() == 3 && pages.iter().all(|items| *items <= MAX_LOOKED_AT), "{pages:?}");
}
