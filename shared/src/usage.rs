//! What the update methods of a canister cost.

use candid::CandidType;
use serde::Deserialize;

/// What an update method cost since the canister was last installed or upgraded.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct MethodUsage {
    /// The method.
    pub method: String,
    /// How often it ran to its end.
    pub calls: u64,
    /// Instructions that these calls used, over all of their callbacks.
    pub instructions: u64,
}

/// Adds up what methods cost. Kept on the heap: it starts anew with every upgrade.
#[derive(Clone, Debug, Default)]
pub struct Meter(Vec<MethodUsage>);

impl Meter {
    /// Counts a call that used so many instructions.
    pub fn count(&mut self, method: &str, instructions: u64) {
        let index = self.0.iter().position(|usage| usage.method == method).unwrap_or_else(|| {
            self.0.push(MethodUsage { method: method.to_string(), ..MethodUsage::default() });
            self.0.len() - 1
        });
        let usage = &mut self.0[index];
        usage.calls += 1;
        usage.instructions += instructions;
    }

    /// Returns what each method cost so far, in the order of their first calls.
    pub fn usage(&self) -> Vec<MethodUsage> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_add_up_by_method() {
        let mut meter = Meter::default();
        meter.count("a", 5);
        meter.count("b", 1);
        meter.count("a", 7);
        let usage = meter.usage();
        assert_eq!((usage[0].calls, usage[0].instructions), (2, 12));
        assert_eq!((usage[1].method.as_str(), usage[1].calls), ("b", 1));
    }
}
