//! The record of an obstacle.

use depot_types::blob_store::{Countable, Obstacle};
use serde::{Deserialize, Serialize};

/// A rule of the Internet Computer that a module breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredObstacle {
    Component,
    Import { module: String, name: String },
    Export { name: String },
    DuplicateMethod { method: String },
    TooMany { what: StoredCountable, count: u64, max: u64 },
    Feature { offset: u64, message: String },
    CustomSectionName { name: String },
    DuplicateCustomSection { name: String },
}

/// What a module may have only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredCountable {
    CodeSectionBytes,
    Functions,
    InstructionsInFunction,
    FunctionComplexity,
    Globals,
    Memories,
    Tables,
    ExportedFunctions,
    ExportedNameBytes,
    CustomSections,
    CustomSectionBytes,
    InitialMemoryPages,
    MaximumMemoryPages,
}

impl From<Obstacle> for StoredObstacle {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Component => Self::Component,
            Obstacle::Import { module, name } => Self::Import { module, name },
            Obstacle::Export { name } => Self::Export { name },
            Obstacle::DuplicateMethod { method } => Self::DuplicateMethod { method },
            Obstacle::TooMany { what, count, max } => Self::TooMany { what: what.into(), count, max },
            Obstacle::Feature { offset, message } => Self::Feature { offset, message },
            Obstacle::CustomSectionName { name } => Self::CustomSectionName { name },
            Obstacle::DuplicateCustomSection { name } => Self::DuplicateCustomSection { name },
        }
    }
}

impl From<StoredObstacle> for Obstacle {
    fn from(obstacle: StoredObstacle) -> Self {
        match obstacle {
            StoredObstacle::Component => Self::Component,
            StoredObstacle::Import { module, name } => Self::Import { module, name },
            StoredObstacle::Export { name } => Self::Export { name },
            StoredObstacle::DuplicateMethod { method } => Self::DuplicateMethod { method },
            StoredObstacle::TooMany { what, count, max } => Self::TooMany { what: what.into(), count, max },
            StoredObstacle::Feature { offset, message } => Self::Feature { offset, message },
            StoredObstacle::CustomSectionName { name } => Self::CustomSectionName { name },
            StoredObstacle::DuplicateCustomSection { name } => Self::DuplicateCustomSection { name },
        }
    }
}

/// Converts both ways between enums of the same variants.
macro_rules! same_variants {
    ($wire:ident, $stored:ident: $($variant:ident)*) => {
        impl From<$wire> for $stored {
            fn from(wire: $wire) -> Self {
                match wire {
                    $($wire::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$stored> for $wire {
            fn from(stored: $stored) -> Self {
                match stored {
                    $($stored::$variant => Self::$variant,)*
                }
            }
        }
    };
}
pub(super) use same_variants;

same_variants! {
    Countable, StoredCountable:
    CodeSectionBytes Functions InstructionsInFunction FunctionComplexity Globals Memories Tables ExportedFunctions
    ExportedNameBytes CustomSections CustomSectionBytes InitialMemoryPages MaximumMemoryPages
}
