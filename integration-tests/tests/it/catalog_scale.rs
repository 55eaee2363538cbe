//! Long histories: made without a network, as calls on one would have made them, and what they cost.

use candid::Principal;
use depot_types::{Hash, catalog::EventsArgs};
use integration_tests::{
    depot::{Depot, user},
    made::data_module,
    offline::Offline,
    past::{Call, Past},
    questions::{Gauge, questions},
};

/// Instructions that a page of any list takes at the most.
const MAX_PAGE_INSTRUCTIONS: u64 = 1_000_000_000;
/// Instructions that an upgrade takes at the most.
const MAX_UPGRADE_INSTRUCTIONS: u64 = 2_000_000;
/// Instructions by which upgrades may differ: with a release there is one more hash to read and to certify.
const MAX_UPGRADE_DIFFERENCE: u64 = 1_000;

fn authors(depot: &Depot) -> [Principal; 3] {
    [depot.admin, user(2), user(3)]
}

fn make(depot: &Depot, caller: Principal, call: Call) {
    let catalog = depot.catalog_as(caller);
    match call {
        Call::Commit(args) => _ = catalog.commit(args).unwrap().unwrap(),
        Call::CreateBranch(args) => _ = catalog.create_branch(args).unwrap().unwrap(),
        Call::Merge(args) => _ = catalog.merge(args).unwrap().unwrap(),
        Call::Publish(args) => _ = catalog.publish(args).unwrap().unwrap(),
    }
}

/// Returns the time of the last event.
fn last_event_ns(depot: &Depot) -> u64 {
    let page = |after| depot.catalog().events(EventsArgs { after, limit: Some(1) }).unwrap();
    let last = page(None).last;
    page(Some(last - 1)).events[0].time_ns
}

/// What is measured on histories made without a network holds for those that calls make only if nothing tells them apart.
#[test]
fn should_make_the_same_stable_memory_without_a_network() {
    let depot = Depot::install().unwrap();
    let upload = |index: usize| depot.upload(&data_module(100 + index), |_| ()).unwrap().module_hash;
    let modules: Vec<Hash> = (0..7).map(upload).collect();
    let past = Past { commits: 130, modules: &modules, authors: &authors(&depot) };
    let offline = Offline::install(depot.admin, depot.blob_store_id).unwrap();
    for author in authors(&depot) {
        depot.catalog().add_publisher(author).unwrap().unwrap();
        offline.add_publishers([(author, last_event_ns(&depot))]).unwrap();
    }
    for (author, call) in past.calls() {
        make(&depot, author, call.clone());
        offline.call(author, call, last_event_ns(&depot)).unwrap();
    }
    let made = depot.network.get_stable_memory(depot.catalog_id);
    let offline = offline.stable_memory();
    assert_eq!(made.len(), offline.len());
    let differs = made.iter().zip(&offline).position(|(made, offline)| made != offline);
    assert_eq!(differs, None, "of {} bytes", made.len());
}

#[test]
fn should_answer_every_question_and_be_upgraded_within_bounds_however_long_the_history() {
    let mut upgrades = vec![];
    for commits in [10, 2_000] {
        let depot = Depot::install().unwrap();
        let modules: Vec<Hash> = (0..1_000_u64).map(|number| Hash::of(&number.to_be_bytes())).collect();
        let past = Past { commits, modules: &modules, authors: &authors(&depot) };
        let offline = Offline::with(depot.admin, depot.blob_store_id, &past).unwrap();
        depot.replace_catalog(offline.stable_memory()).unwrap();
        let methods = depot.catalog().stats().unwrap().methods;
        let upgrade = methods.iter().find(|usage| usage.method == "post_upgrade").unwrap();
        upgrades.push(upgrade.instructions);
        if commits > 10 {
            let gauge = Gauge::new(&depot).unwrap();
            for question in questions(&offline).unwrap() {
                let instructions = gauge.instructions(&question).unwrap();
                assert!(instructions < MAX_PAGE_INSTRUCTIONS, "{}: {instructions} instructions", question.name);
            }
        }
    }
    assert!(upgrades[1] < MAX_UPGRADE_INSTRUCTIONS, "{upgrades:?}");
    assert!(upgrades[1].abs_diff(upgrades[0]) <= MAX_UPGRADE_DIFFERENCE, "{upgrades:?}");
}
