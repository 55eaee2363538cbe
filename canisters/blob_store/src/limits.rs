//! Limits of the blob store that are its own. Those that others must know are in `depot_types::limits`.

use depot_types::limits::MAX_MODULE_BYTES;

/// An hour in nanoseconds.
const HOUR_NS: u64 = 60 * 60 * 1_000_000_000;

/// Uploads that a principal may have open.
pub const MAX_UPLOADS_PER_PRINCIPAL: u32 = 8;

/// Bytes of the modules that a principal may have open uploads of: 400 MiB, four of the largest ones.
pub const MAX_BYTES_IN_FLIGHT: u64 = 4 * MAX_MODULE_BYTES;

/// Bytes of the modules that a principal may have sealed and in flight, unless set otherwise: 50 GiB, a tenth of what
/// a canister can keep.
pub const DEFAULT_MAX_STORED_BYTES: u64 = 50 << 30;

/// Uploads that all principals together may have open.
pub const MAX_UPLOADS: u32 = 1_000;

/// How long an upload stays open after the last thing that was put: 24 hours in nanoseconds.
pub const UPLOAD_LIFETIME_NS: u64 = 24 * HOUR_NS;

/// Expired uploads that one call removes: each gives back up to 100 chunks.
pub const MAX_UPLOADS_SWEPT: usize = 4;

/// Principals on the list of uploaders.
pub const MAX_UPLOADERS: u32 = 100;

/// Principals that may retain modules.
pub const MAX_HOLDERS: u32 = 8;

/// How long a module that nobody retains is kept before it is condemned, unless set otherwise: 7 days.
pub const DEFAULT_GRACE_PERIOD_NS: u64 = 7 * 24 * HOUR_NS;
/// The shortest grace period that can be set: one hour. Between sealing a module and retaining it there are calls.
pub const MIN_GRACE_PERIOD_NS: u64 = HOUR_NS;
/// The longest grace period that can be set: 365 days.
pub const MAX_GRACE_PERIOD_NS: u64 = 365 * 24 * HOUR_NS;

/// How long a condemned module can still be read: 24 hours, so that whoever has begun to read it comes to the end.
pub const CONDEMNED_NS: u64 = 24 * HOUR_NS;

/// How often the store cleans up by itself.
pub const CLEANING_INTERVAL_NS: u64 = HOUR_NS;

/// Expired uploads that a slice of cleaning up removes: each gives back up to 100 chunks.
pub const MAX_UPLOADS_PER_SLICE: u32 = 10;
/// References of removed holders that a slice drops.
pub const MAX_REFERENCES_PER_SLICE: u32 = 1_000;
/// Modules of an earlier layout that a slice adopts.
pub const MAX_ADOPTED_PER_SLICE: u32 = 100;
/// Modules that a slice, or an upgrade, certifies anew: each has up to 100 chunks, of some 300,000 instructions each.
pub const MAX_RENEWED_PER_SLICE: u32 = 100;
/// Modules that a slice condemns.
pub const MAX_CONDEMNED_PER_SLICE: u32 = 1_000;
/// Condemned modules that a slice removes: each gives back up to 100 chunks.
pub const MAX_REMOVED_PER_SLICE: u32 = 10;

/// Modules that one call of `list_modules` looks at, whether or not they pass the filters.
pub const MAX_MODULES_EXAMINED: u32 = 2_000;

/// Instructions that hashing and validating a module may take: what a message has (40 billion), less what is needed to
/// look at the clock and to seal the module.
pub const MAX_COMMIT_INSTRUCTIONS: u64 = 38_000_000_000;

/// Bytes by which the canister's memory may grow while it validates a module: a third of what it can have, so that what
/// is between two looks at it fits too.
pub const MAX_COMMIT_HEAP_BYTES: u64 = 1 << 30;
