//! Drivers that end between two awaits, by an upgrade or by a trap.

use depot_types::factory::{DeploymentStatus, FailureReason, Step};

use crate::test_world::{CYCLES, Depot, Task, failure, release_args};

/// How a driver ends before its time.
#[derive(Clone, Copy, Debug)]
enum Crash {
    /// The heap is lost.
    Upgrade,
    /// The message is undone, the heap stays.
    Trap,
}

fn crash<T>(depot: &Depot, crash: Crash, task: Task<T>) {
    drop(task);
    match crash {
        Crash::Upgrade => depot.upgrade(),
        Crash::Trap => {}
    }
}

/// Checks what must hold when all is settled.
fn check(depot: &Depot, what: &str) {
    let deployment = depot.deployment(0);
    let created = depot.look().count("create_canister");
    assert_eq!(created, 1, "{what}: {deployment:?}");
    let canisters: Vec<_> = depot.look().canisters.keys().copied().collect();
    match &deployment.status {
        DeploymentStatus::Succeeded => {
            assert_eq!(canisters, [deployment.canister_id.unwrap()], "{what}");
            assert_eq!(depot.look().canisters[&canisters[0]].controllers, deployment.controllers, "{what}");
        }
        DeploymentStatus::Failed { step, reason } => {
            assert_eq!((step, reason), (&Step::Create, &FailureReason::CreationUnknown), "{what}");
            assert_eq!(deployment.cycles_spent, CYCLES, "{what}");
        }
        DeploymentStatus::InProgress { .. } => panic!("{what}: {deployment:?}"),
    }
    assert_eq!(depot.factory().stats(vec![]).in_progress, 0, "{what}");
}

#[test]
fn should_settle_after_a_crash_at_any_two_awaits() {
    let mut succeeded = 0;
    let mut failed = 0;
    for is_late in [false, true] {
        for kind in [Crash::Upgrade, Crash::Trap] {
            for first in 1.. {
                let depot = Depot::new();
                depot.publish();
                depot.world().is_late = is_late;
                let mut task = depot.start(release_args("first"));
                if (0..first).any(|_| task.poll().is_some()) {
                    assert_eq!(first, 15, "there are 14 awaits");
                    break;
                }
                crash(&depot, kind, task);
                for second in 1..20 {
                    // Each second crash comes on top of those before: the deployment is resumed again and again.
                    let what = format!("{kind:?}, late {is_late}, after {first}, then {second}");
                    let Some(mut task) = depot.resume().pop() else { break };
                    if (0..second).any(|_| task.poll().is_some()) {
                        break;
                    }
                    crash(&depot, kind, task);
                    assert!(depot.look().count("create_canister") <= 1, "{what}");
                }
                depot.settle();
                check(&depot, &format!("{kind:?}, late {is_late}, after {first}"));
                match depot.deployment(0).status {
                    DeploymentStatus::Succeeded => succeeded += 1,
                    _ => failed += 1,
                }
            }
        }
    }
    assert!(succeeded > 0 && failed > 0, "{succeeded} succeeded, {failed} failed");
}

#[test]
fn should_fail_only_when_the_answer_of_the_creation_is_lost() {
    for is_late in [false, true] {
        for first in 1..=13 {
            let depot = Depot::new();
            depot.publish();
            depot.world().is_late = is_late;
            let mut task = depot.start(release_args("first"));
            task.poll_times(first);
            let lost = *depot.look().calls.last().unwrap();
            drop(task);
            depot.upgrade();
            depot.settle();
            check(&depot, &format!("late {is_late}, after {first}"));
            let deployment = depot.deployment(0);
            if lost == "create_canister" {
                assert_eq!(failure(&deployment), (Step::Create, FailureReason::CreationUnknown));
            } else {
                assert_eq!(deployment.status, DeploymentStatus::Succeeded, "{lost} was lost");
            }
        }
    }
}

#[test]
fn should_leave_a_deployment_to_its_driver() {
    let depot = Depot::new();
    depot.publish();
    let mut task = depot.start(release_args("first"));
    task.poll_times(2);
    assert!(depot.resume().is_empty(), "it has a driver");
    let factory = depot.factory();
    Task::new(async move { factory.drive(0).await }).finish();
    assert_eq!(depot.look().calls.len(), 2, "a second driver does nothing");
    drop(task);
    assert_eq!(depot.resume().len(), 1);
}
