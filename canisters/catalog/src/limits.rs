//! The bounds that the catalog alone keeps; those that clients need are in [`depot_types::limits`].

/// Names of a node of a folder.
///
/// Nodes have sixteen names on average, and one in 10^28 has more than this; the limit holds whoever picks names so that
/// they all meet in one node. It is also what folders of version 1 of the object format could have.
pub const MAX_NODE_NAMES: usize = 1_000;

/// Names in all nodes that one change of a tree reads in order to change them.
///
/// Reading, hashing and storing a node anew takes up to 10,000 instructions for each name, so a change at this limit
/// needs less than half of the 40 billion that a message may use.
pub const MAX_NAMES_PER_CHANGE: u64 = 1_500_000;

/// Paths that one commit changes: with a folder that is removed, restored or merged, all below it.
///
/// Each takes up to 500,000 instructions for its place in the history of the path.
pub const MAX_PATHS_PER_COMMIT: usize = 30_000;

/// Commits of the other side that a merge takes in.
pub const MAX_COMMITS_PER_MERGE: usize = 10_000;

/// Lines and merges of both sides of a merge, since they went apart, that are gone through for it.
///
/// Each takes up to 100,000 instructions, so asking what a merge would come to stays within the limit of a query.
pub const MAX_STEPS_APART: usize = 30_000;

/// Versions of a path, on both sides together, that a merge brings into one order.
pub const MAX_VERSIONS_JOINED: usize = 5_000;

/// Conflicts of a merge that are answered.
pub const MAX_CONFLICTS_SHOWN: usize = 200;

/// Common ancestors of which none is before another one, that are merged with each other for a merge.
pub const MAX_MERGE_BASES: usize = 16;

/// How often common ancestors that have several common ancestors themselves are looked through for a merge.
///
/// Past that, paths of which they tell different things are in conflict.
pub const MAX_MERGE_BASE_DEPTH: usize = 16;

/// Common ancestors, theirs and so on, that are looked at for a merge; past that as with [`MAX_MERGE_BASE_DEPTH`].
pub const MAX_MERGE_BASE_TREES: usize = 256;

/// Branches.
pub const MAX_BRANCHES: u64 = 1_000;

/// Lines of history that are open at one place of a log, which its cursor has to name.
pub const MAX_LOG_LINES: usize = 2_000;

/// Entries that a page of a list looks at, where not each of them is shown.
pub const MAX_LOOKED_AT: usize = 2_000;

/// Bytes of a page of a backup: leaves room for the rest of a 2 MiB message.
pub const MAX_EXPORT_BYTES: usize = 1_500_000;

/// Objects that may be asked for at once.
pub const MAX_OBJECTS_PER_READ: usize = 100;

/// Versions of a package: resolving a requirement may look at each of them.
pub const MAX_VERSIONS_PER_PACKAGE: u32 = 10_000;

/// Principals on the list of publishers, which is answered as a whole.
pub const MAX_PUBLISHERS: u64 = 250;

/// Modules that the blob store is asked to retain, or to let go of, in one call.
pub const MAX_MODULES_PER_CALL: usize = depot_types::limits::MAX_RETAINED_PER_CALL;

/// How often a change retains its modules anew because a collection of garbage let go of them meanwhile.
pub const MAX_RETAIN_ROUNDS: usize = 3;

/// How often the blob store is asked to retain what it is not known to, in seconds.
pub const RETAIN_INTERVAL_SECONDS: u64 = 3_600;

/// How long the blob store may take to answer, in seconds.
pub const BLOB_STORE_TIMEOUT_SECONDS: u32 = 60;

/// Instructions after which a slice of a collection of garbage ends.
pub const MAX_GC_SLICE_INSTRUCTIONS: u64 = 4_000_000_000;

/// Commits that a witness holds: between a branch's head and the commit that brought a version of a path.
pub const MAX_PROOF_COMMITS: usize = 1_000;

/// Commits that are looked at for a witness: those of it, and others that were made between them.
pub const MAX_PROOF_COMMITS_LOOKED_AT: usize = 10_000;

/// Instructions after which an import leaves the rest of a page to the next message.
pub const MAX_IMPORT_INSTRUCTIONS: u64 = 15_000_000_000;

/// Bytes of the URL of a request over HTTP: more than a path and a cursor of the greatest length have, encoded.
pub const MAX_HTTP_URL_BYTES: usize = 8_192;

/// Segments of the path of such a URL: those of the longest path of a module, and what is before them.
pub const MAX_HTTP_URL_SEGMENTS: usize = 40;

/// Bytes of an answer over HTTP that lists something as a whole: leaves room for the rest of a 2 MiB reply.
pub const MAX_HTTP_BODY_BYTES: usize = 1_500_000;

/// Pages that are certified for HTTP gateways at a time; each has some 2 KiB on the heap.
pub const MAX_CERTIFIED_PAGES: usize = 1_000;
