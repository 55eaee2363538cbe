//! The watchdog: looks after deployments that are in progress without a driver.

use std::{cell::RefCell, time::Duration};

use ic_cdk_timers::{TimerId, clear_timer, set_timer};

use crate::ic::factory;

/// How late a look may be before it is planned anew, in nanoseconds.
const OVERDUE_NS: u64 = 60_000_000_000;

thread_local! {
    /// The timer that is set, and the time it is set for.
    static NEXT_LOOK: RefCell<Option<(TimerId, u64)>> = const { RefCell::new(None) };
}

/// Sets the timer for the next look, if a deployment is in progress and no earlier look is planned.
pub(crate) fn watch() {
    let Some(delay) = factory().next_look() else { return };
    let time_ns = ic_cdk::api::time().saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
    NEXT_LOOK.with_borrow_mut(|next| {
        if let Some((timer, planned_ns)) = *next {
            // A look that is long overdue was lost with a trap, or while the canister was frozen.
            let is_lost = planned_ns.saturating_add(OVERDUE_NS) < ic_cdk::api::time();
            if planned_ns <= time_ns && !is_lost {
                return;
            }
            clear_timer(timer);
        }
        *next = Some((set_timer(delay, async { look() }), time_ns));
    });
}

/// Gives a driver to each deployment that is due. Each runs in a call context of its own, so that a trap of one driver
/// does not end the others.
fn look() {
    NEXT_LOOK.set(None);
    for id in factory().due_deployments() {
        set_timer(Duration::ZERO, async move {
            factory().drive(id).await;
            watch();
        });
    }
    watch();
}
