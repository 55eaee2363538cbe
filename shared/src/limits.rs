//! Every limit that more than one part of the depot, or a client, must know. All sizes are bytes.

/// A chunk: all chunks of a module but the last have exactly this size.
///
/// It is the chunk size of the Internet Computer's chunk store, so the chunk hashes of a module are the hashes that
/// `install_chunked_code` takes.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Chunks of a module at the most: the number of entries of a chunk store.
pub const MAX_CHUNKS: u64 = 100;

/// A module as uploaded, raw or gzip: what fits a chunk store.
pub const MAX_MODULE_BYTES: u64 = MAX_CHUNKS * CHUNK_BYTES;

/// A module uncompressed: the Internet Computer's `WASM_MAX_SIZE`.
pub const MAX_RAW_MODULE_BYTES: u64 = 100 << 20;

/// Modules that one call of the blob store retains or releases.
pub const MAX_RETAINED_PER_CALL: usize = 100;
/// Bytes of a module that the blob store answers at a time: leaves room for the rest of a 2 MiB reply.
pub const MAX_READ_BYTES: u32 = 2_000_000;

/// A path in a branch.
pub const MAX_PATH_BYTES: usize = 1_024;
/// A segment of a path.
pub const MAX_SEGMENT_BYTES: usize = 255;
/// Segments of a path.
pub const MAX_PATH_SEGMENTS: usize = 32;
/// A branch name.
pub const MAX_BRANCH_NAME_BYTES: usize = 128;
/// A package name.
pub const MAX_PACKAGE_NAME_BYTES: usize = 64;
/// A version (semver) as text.
pub const MAX_VERSION_BYTES: usize = 64;
/// A version requirement as text.
pub const MAX_REQUIREMENT_BYTES: usize = 128;
/// The message of a commit.
pub const MAX_COMMIT_MESSAGE_BYTES: usize = 4_096;
/// The author name of a commit.
pub const MAX_AUTHOR_NAME_BYTES: usize = 128;
/// The description of a release.
pub const MAX_DESCRIPTION_BYTES: usize = 4_096;
/// The source reference of a release.
pub const MAX_SOURCE_BYTES: usize = 512;
/// Changes in one commit.
pub const MAX_CHANGES_PER_COMMIT: usize = 100;
/// Entries of a page when the caller does not say.
pub const DEFAULT_PAGE_ENTRIES: u32 = 50;
/// Entries of a page at the most.
pub const MAX_PAGE_ENTRIES: u32 = 500;

/// An idempotency key of a deployment.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;
/// An init argument: leaves room for the rest of a 2 MiB message.
pub const MAX_INIT_ARG_BYTES: usize = 1 << 20;
/// Controllers of a canister: the Internet Computer's limit.
pub const MAX_CONTROLLERS: usize = 10;
/// Environment variables of a canister: the Internet Computer's limit.
pub const MAX_ENVIRONMENT_VARIABLES: usize = 20;
/// Name of an environment variable: longer names exist but trap when looked up by the canister.
pub const MAX_ENVIRONMENT_VARIABLE_NAME_BYTES: usize = 100;
/// Value of an environment variable: the Internet Computer's limit.
pub const MAX_ENVIRONMENT_VARIABLE_VALUE_BYTES: usize = 128;
