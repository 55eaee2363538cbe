use candid::CandidType;
use serde::Deserialize;

use super::{Answer, Client};

/// Arguments of the sample canister's init function.
#[derive(Clone, Debug, Default, CandidType, Deserialize)]
pub struct CounterArgs {
    /// The number it starts at.
    pub start: Option<u64>,
    /// The text it traps with instead of starting.
    pub fail_with: Option<String>,
}

/// The sample canister.
#[derive(Clone, Copy)]
pub struct Counter<'a>(pub Client<'a>);

impl Counter<'_> {
    /// Reads the number.
    pub fn get(&self) -> Answer<u64> {
        self.0.query("get", ())
    }

    /// Adds one and returns the number.
    pub fn increment(&self) -> Answer<u64> {
        self.0.update("increment", ())
    }
}
