//! The bounds that the catalog alone keeps; those that clients need are in [`depot_types::limits`].

/// Entries of a folder.
///
/// A commit writes each folder on a changed path anew, so this bounds what one change costs: with segments of the
/// greatest length such a folder has less than 300 KB.
pub const MAX_FOLDER_ENTRIES: usize = 1_000;

/// Bytes of all folders that one commit reads in order to change them.
///
/// Reading, hashing and storing a byte anew is estimated at 150 instructions, and a message does it twice at the most:
/// to check and to apply. So a commit at this limit needs about a quarter of the 40 billion that a message may use.
pub const MAX_FOLDER_BYTES_PER_COMMIT: u64 = 32 << 20;

/// Versions of a package: resolving a requirement may look at each of them.
pub const MAX_VERSIONS_PER_PACKAGE: u32 = 10_000;

/// Principals on the list of publishers, which is answered as a whole.
pub const MAX_PUBLISHERS: u64 = 250;

/// Calls to the blob store that one message has open at a time.
///
/// An open call locks about 42 billion cycles, and the queue to one canister has 500 places for all messages together.
pub const MAX_CONCURRENT_MODULE_CHECKS: usize = 10;

/// How long the blob store may take to answer, in seconds.
pub const BLOB_STORE_TIMEOUT_SECONDS: u32 = 60;
