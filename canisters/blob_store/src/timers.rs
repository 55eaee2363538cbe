//! Cleaning up goes on by itself: a slice every hour, and the next one at once as long as there is more to do.

use std::time::Duration;

use blob_store::{limits::CLEANING_INTERVAL_NS, memory};
use ic_cdk_timers::{set_timer, set_timer_interval};

use crate::{certify, meter::metered};

/// Sets the timers. They do not survive an upgrade.
pub(crate) fn start() {
    set_timer(Duration::ZERO, async { clean_up() });
    set_timer_interval(Duration::from_nanos(CLEANING_INTERVAL_NS), async || clean_up());
}

fn clean_up() {
    let report = memory::state().borrow_mut().collect(ic_cdk::api::time());
    certify();
    if metered("timer", report).more {
        set_timer(Duration::ZERO, async { clean_up() });
    }
}
