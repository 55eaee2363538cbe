//! Bounds what an inspection costs.
//!
//! Nearly all modules take some 130 instructions for each byte of code. But a few bytes can ask for much more, such as a
//! branch that carries a thousand values, and a canister must answer before it runs out of instructions.

use crate::blob_store::InvalidModule;

/// How many instructions an inspection may take, and how many it took.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// Returns the instructions taken so far, those before the inspection among them.
    pub spent: &'a dyn Fn() -> u64,
    /// Instructions allowed.
    pub max: u64,
}

impl Budget<'static> {
    /// No bound, for programs outside of canisters.
    pub const UNLIMITED: Self = Self { spent: &|| 0, max: u64::MAX };
}

impl Budget<'_> {
    /// Checks that so many more instructions can be taken.
    pub(super) fn check(&self, more: u64, offset: u64) -> Result<(), Stop> {
        if (self.spent)().saturating_add(more) > self.max { Err(Stop::TooComplex { offset }) } else { Ok(()) }
    }
}

/// Why a pass over a module ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The module breaks a rule, of those that were asked for.
    Invalid(wasmparser::Error),
    /// The budget is used up.
    TooComplex { offset: u64 },
}

impl From<wasmparser::Error> for Stop {
    fn from(error: wasmparser::Error) -> Self {
        Self::Invalid(error)
    }
}

impl Stop {
    /// Says that a module is invalid because of this.
    pub(super) fn into_invalid(self, budget: Budget<'_>) -> InvalidModule {
        match self {
            Self::Invalid(error) => {
                InvalidModule::Malformed { offset: error.offset(), message: super::obstacles::bounded(error.message()) }
            }
            Self::TooComplex { offset } => InvalidModule::TooComplex { offset, max_instructions: budget.max },
        }
    }
}
