//! Retaining goes on by itself: the blob store is asked at once after an installation or upgrade, and every hour, as long
//! as it is not known to retain all modules that the catalog names.

use std::time::Duration;

use catalog::{blob_store, limits::RETAIN_INTERVAL_SECONDS, memory, runtime::IcRuntime};
use ic_cdk_timers::{set_timer, set_timer_interval};

use crate::{Waiting, metered};

/// Sets the timers. They do not survive an upgrade.
pub(crate) fn start() {
    set_timer(Duration::ZERO, retain());
    set_timer_interval(Duration::from_secs(RETAIN_INTERVAL_SECONDS), retain);
}

async fn retain() {
    let _waiting = Waiting::begin();
    // What cannot be retained now is tried again; `stats` tells how much that is.
    let retained = blob_store::retain_all(&memory::state(), &IcRuntime).await;
    _ = metered("timer", retained);
}
