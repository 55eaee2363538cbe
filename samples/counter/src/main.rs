//! A counter canister: something small to deploy, upgrade, roll back and watch fail.
//!
//! The count lives in stable memory, so that an upgrade which keeps it can be told from a reinstallation, and the
//! argument [`CounterArgs::fail_with`] makes an installation or an upgrade trap on request.

use std::cell::RefCell;

use candid::CandidType;
use ic_stable_structures::{Cell, DefaultMemoryImpl};
use serde::Deserialize;

/// The argument of installations and upgrades; both also accept none at all.
#[derive(CandidType, Deserialize, Debug, Default)]
struct CounterArgs {
    /// First value of the counter, 0 when absent; upgrades ignore it.
    start: Option<u64>,
    /// Text to trap with, instead of installing or upgrading.
    fail_with: Option<String>,
}

thread_local! {
    /// The count is the only state, so it has the whole stable memory: no memory manager is needed.
    static COUNT: RefCell<Cell<u64, DefaultMemoryImpl>> = RefCell::new(Cell::init(DefaultMemoryImpl::default(), 0));
}

/// Sets the first value.
///
/// # Traps
/// When the argument asks for it.
#[ic_cdk::init]
fn init(args: Option<CounterArgs>) {
    let args = args.unwrap_or_default();
    trap_if_asked(args.fail_with);
    set_count(args.start.unwrap_or(0));
}

/// Keeps the count.
///
/// # Traps
/// When the argument asks for it.
#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<CounterArgs>) {
    trap_if_asked(args.unwrap_or_default().fail_with);
}

/// Returns the current value.
#[ic_cdk::query]
fn get() -> u64 {
    COUNT.with_borrow(|count| *count.get())
}

/// Adds one and returns the new value; the largest value stays.
#[ic_cdk::update]
fn increment() -> u64 {
    let next = get().saturating_add(1);
    set_count(next);
    next
}

/// Returns a greeting for `name`.
#[ic_cdk::query]
fn greet(name: String) -> String {
    format!("Hello, {name}!")
}

fn set_count(value: u64) {
    COUNT.with_borrow_mut(|count| count.set(value));
}

fn trap_if_asked(fail_with: Option<String>) {
    if let Some(text) = fail_with {
        ic_cdk::trap(text);
    }
}

fn main() {}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    candid::export_service!();

    #[test]
    fn should_implement_exactly_the_published_interface() {
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("counter.did");
        service_equal(CandidSource::Text(&__export_service()), CandidSource::File(&published)).unwrap();
    }

    #[test]
    fn should_count_from_the_given_start() {
        init(Some(CounterArgs { start: Some(41), fail_with: None }));
        assert_eq!(get(), 41);
        assert_eq!(increment(), 42);
        assert_eq!(get(), 42);
    }

    #[test]
    fn should_count_from_zero_without_argument_and_keep_the_count_in_upgrades() {
        init(None);
        increment();
        post_upgrade(Some(CounterArgs { start: Some(9), fail_with: None }));
        assert_eq!(get(), 1);
    }

    #[test]
    fn should_stay_at_the_largest_value() {
        init(Some(CounterArgs { start: Some(u64::MAX), fail_with: None }));
        assert_eq!(increment(), u64::MAX);
    }
}
