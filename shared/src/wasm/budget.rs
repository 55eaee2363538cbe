//! Bounds what an inspection costs.
//!
//! Nearly all modules take some 130 instructions for each byte of code. But a few bytes can ask for much more, such as a
//! branch that carries a thousand values, and a canister must answer before it runs out of instructions or memory.

use crate::blob_store::InvalidModule;

/// How much an inspection may take, and how much it took.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// Returns the instructions taken so far, those before the inspection among them.
    pub spent: &'a dyn Fn() -> u64,
    /// Instructions allowed.
    pub max: u64,
    /// Returns the bytes by which the memory of the program has grown for the inspection. What was free of it before can be
    /// used all the same, and does not count.
    pub heap_bytes: &'a dyn Fn() -> u64,
    /// Bytes by which it may grow. There should be as much again, for what is between two looks at it.
    pub max_heap_bytes: u64,
}

impl Budget<'static> {
    /// No bound, for programs outside of canisters.
    pub const UNLIMITED: Self = Self { spent: &|| 0, max: u64::MAX, heap_bytes: &|| 0, max_heap_bytes: u64::MAX };
}

impl Budget<'_> {
    /// Checks that so many more instructions can be taken.
    pub(super) fn check(&self, more: u64, offset: u64) -> Result<(), Stop> {
        self.check_with_memory(more, 0, offset)
    }

    /// Checks that so many more instructions and bytes of memory can be taken.
    pub(super) fn check_with_memory(&self, more: u64, bytes: u64, offset: u64) -> Result<(), Stop> {
        let is_within = (self.spent)().saturating_add(more) <= self.max
            && (self.heap_bytes)().saturating_add(bytes) <= self.max_heap_bytes;
        if is_within { Ok(()) } else { Err(Stop::TooComplex { offset }) }
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
