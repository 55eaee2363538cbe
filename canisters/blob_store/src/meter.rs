//! Counts what the update methods cost.

use std::cell::RefCell;

use depot_types::usage::{Meter, MethodUsage};
use ic_cdk::api::call_context_instruction_counter;

thread_local! {
    /// What the update methods cost since the last upgrade.
    static UNSTABLE_METER: RefCell<Meter> = RefCell::default();
}

/// Counts what a method cost, at its end.
pub(crate) fn metered<T>(method: &str, answer: T) -> T {
    UNSTABLE_METER.with_borrow_mut(|meter| meter.count(method, call_context_instruction_counter()));
    answer
}

/// Returns what the methods cost since the last upgrade.
pub(crate) fn usage() -> Vec<MethodUsage> {
    UNSTABLE_METER.with_borrow(Meter::usage)
}
