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
