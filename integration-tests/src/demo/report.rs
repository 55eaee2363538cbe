//! Prints the steps of the demo: what happened, how long it took, and what it cost.

use std::time::{Duration, Instant};

use candid::Principal;
use indicatif::{ProgressBar, ProgressStyle};
use pocket_ic::PocketIc;

use crate::depot::Depot;

/// Width that step descriptions are padded to.
const WIDTH: usize = 58;

/// Prints steps and adds up their costs.
pub(super) struct Report<'a> {
    watched: Option<(&'a PocketIc, Vec<Principal>)>,
    started: Instant,
    spent: u128,
}

impl<'a> Report<'a> {
    pub(super) fn new() -> Self {
        Self { watched: None, started: Instant::now(), spent: 0 }
    }

    /// Counts from now on what the canisters of the depot spend.
    pub(super) fn watch(&mut self, depot: &'a Depot) {
        self.watched = Some((&depot.network, vec![depot.blob_store_id, depot.catalog_id, depot.factory_id]));
    }

    /// Counts from now on what one more canister spends.
    pub(super) fn watch_also(&mut self, canister: Principal) {
        if let Some((_, canisters)) = &mut self.watched {
            canisters.push(canister);
        }
    }

    /// Runs a step and prints a line about it.
    pub(super) fn step<T>(&mut self, what: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let spinner = ProgressBar::new_spinner().with_message(what.to_string());
        spinner.enable_steady_tick(Duration::from_millis(120));
        self.measure(what, &spinner, run)
    }

    /// Runs a step that moves bytes, with a bar, and prints a line about it.
    pub(super) fn progress_step<T>(
        &mut self,
        what: &str,
        bytes: u64,
        run: impl FnOnce(&ProgressBar) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let style =
            ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes}").expect("the template is valid");
        let bar = ProgressBar::new(bytes).with_style(style).with_message(what.to_string());
        self.measure(what, &bar, || run(&bar))
    }

    fn measure<T>(
        &mut self,
        what: &str,
        bar: &ProgressBar,
        run: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (before, started) = (self.balance(), Instant::now());
        let result = run();
        let elapsed = started.elapsed();
        bar.finish_and_clear();
        let result = result?;
        let cost = before.zip(self.balance()).map(|(before, after)| before.saturating_sub(after));
        self.spent += cost.unwrap_or(0);
        let cost = cost.map_or(String::new(), |cost| format!("  {:>19} cycles", grouped(cost)));
        println!("{what:<WIDTH$} {:>7.2} s{cost}", elapsed.as_secs_f64());
        Ok(result)
    }

    /// Prints what came of the step before.
    pub(super) fn note(&self, text: &str) {
        println!("    {text}");
    }

    /// Prints the sums.
    pub(super) fn total(&self) {
        let what = "all of it (the new canister keeps what it did not use)";
        println!("{what:<WIDTH$} {:>7.2} s  {:>19} cycles", self.started.elapsed().as_secs_f64(), grouped(self.spent));
    }

    fn balance(&self) -> Option<u128> {
        let (network, canisters) = self.watched.as_ref()?;
        Some(canisters.iter().map(|id| network.cycle_balance(*id)).sum())
    }
}

/// Writes a number with its thousands apart.
pub(super) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_group_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1_234_567");
    }
}
