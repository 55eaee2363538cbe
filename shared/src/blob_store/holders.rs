//! Holders: what they retain, and how long the rest is kept.

use candid::{CandidType, Principal};
use serde::Deserialize;

use super::StorageFull;
use crate::Hash;

/// Why a module is kept, without the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum RetentionKind {
    /// A holder retains it.
    Retained,
    /// Nobody retains it; the grace period runs.
    Unretained,
    /// Nobody retained it for the grace period; it can be read for a while longer and then goes away.
    Condemned,
}

/// Why a module is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Retention {
    /// Holders retain it.
    Retained {
        /// These.
        holders: Vec<Principal>,
    },
    /// Nobody retains it.
    Unretained {
        /// Since when: when it was sealed, last released, or asked for by an upload. `None` for a short while after
        /// the upgrade from a version that did not count.
        since_ns: Option<u64>,
        /// When it is condemned, unless somebody retains or uploads it.
        condemned_at_ns: Option<u64>,
    },
    /// Nobody retained it for the grace period. It can be read until it is removed; who retains or uploads it keeps it.
    Condemned {
        /// Since when.
        since_ns: u64,
        /// When it is removed, or soon after.
        removed_at_ns: u64,
    },
}

/// Which of the modules to retain are retained now.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct RetainOk {
    /// Those that are not sealed, in the order given; all others are retained by the caller.
    pub unknown: Vec<Hash>,
}

/// Why nothing is retained or released.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum RetainError {
    /// The caller is no holder.
    NotHolder {
        /// The caller.
        caller: Principal,
    },
    /// Too many modules for one call.
    TooManyHashes {
        /// Hashes given.
        received: u32,
        /// Hashes allowed.
        max: u32,
    },
    /// There is no room to note it down.
    StorageFull(StorageFull),
}

/// Asks for a page of what a holder retains, in the order of hashes.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListRetainedArgs {
    /// The holder.
    pub holder: Principal,
    /// Begins behind this hash; at the first one when absent.
    pub after: Option<Hash>,
    /// Hashes of the page: [`DEFAULT_PAGE_ENTRIES`](crate::limits::DEFAULT_PAGE_ENTRIES) when absent, at most
    /// [`MAX_PAGE_ENTRIES`](crate::limits::MAX_PAGE_ENTRIES).
    pub limit: Option<u32>,
}

/// A page of what a holder retains.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct RetainedPage {
    /// Hashes of modules, ascending.
    pub modules: Vec<Hash>,
    /// Where the next page begins, if there is one.
    pub next: Option<Hash>,
}

/// Why a change of the list of holders is refused.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum HolderError {
    /// Only controllers of the store change the list.
    NotController {
        /// The caller.
        caller: Principal,
    },
    /// The anonymous principal may never retain anything.
    AnonymousHolder,
    /// The list is full. Holders that were removed count until their references are gone.
    TooManyHolders {
        /// Entries allowed.
        max: u32,
    },
    /// The principal was removed, and its references are still being removed: try again soon.
    HolderLeaving {
        /// References left.
        references: u64,
    },
}
