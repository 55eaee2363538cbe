//! Limits of the blob store that are its own. Those that others must know are in `depot_types::limits`.

/// Uploads that a principal may have open.
pub const MAX_UPLOADS_PER_PRINCIPAL: u32 = 8;

/// Uploads that all principals together may have open.
pub const MAX_UPLOADS: u32 = 1_000;

/// How long an upload stays open after the last thing that was put: 24 hours in nanoseconds.
pub const UPLOAD_LIFETIME_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Expired uploads that one call removes: each gives back up to 100 chunks.
pub const MAX_UPLOADS_SWEPT: usize = 4;

/// Principals on the list of uploaders.
pub const MAX_UPLOADERS: u32 = 100;
