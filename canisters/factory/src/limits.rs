//! Limits and reserves of the factory. Limits that clients must know too are in [`depot_types::limits`].

use std::time::Duration;

/// Deployments in progress at the most: each may hold one open call, of the 50 that a canister is guaranteed.
pub const MAX_OPEN_DEPLOYMENTS: u64 = 20;
/// Deployments of a page at the most: each takes up to 6 KB, and a reply has room for 2 MiB.
pub const MAX_DEPLOYMENTS_PER_PAGE: u32 = 200;
/// Entries of the list of deployers.
pub const MAX_DEPLOYERS: u64 = 100;

/// Entries of a chunk store: the Internet Computer's limit.
pub const CHUNK_STORE_SLOTS: u64 = depot_types::limits::MAX_CHUNKS;

/// Tries of a step that makes no progress before the deployment fails.
pub const MAX_ATTEMPTS: u32 = 8;
/// The same once there is a canister, which would be left without its controllers: a working day of tries.
pub const MAX_ATTEMPTS_WITH_CANISTER: u32 = 500;
/// How often a deployment waits for room in the chunk store, or for others that stage the same chunks: an hour.
pub const MAX_WAITS_FOR_STORE: u32 = 65;
/// How often a deployment goes back from installing to staging because chunks vanished from the store.
pub const MAX_RESTAGES: u32 = 3;
/// How often one run of the staging step looks into the chunk store while others stage the chunks it needs.
pub const MAX_STORE_LOOKS: u32 = 50;
/// Rounds of one run of the staging step: room for every chunk of a module and for all looks.
pub const MAX_STAGE_ROUNDS: u32 = 2 * (CHUNK_STORE_SLOTS as u32 + MAX_STORE_LOOKS);
/// Delay before the second try of a step; doubles with each further try.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest delay between two tries of a step.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// How often the watchdog looks for deployments without a driver while any is in progress.
pub const WATCHDOG_INTERVAL: Duration = Duration::from_secs(30);

/// Cycles that a canister must be able to prepay for an installation: 300 G instructions and the fixed fee.
pub const INSTALL_PREPAYMENT_CYCLES: u128 = 300_005_000_000;
/// Cycles of a new canister beyond creation and prepayment, for its storage and freezing threshold.
pub const WORKING_MARGIN_CYCLES: u128 = 100_000_000_000;
/// Cycles of the factory that are never given to a new canister, so that it can go on calling and answering.
pub const BALANCE_FLOOR_CYCLES: u128 = 500_000_000_000;

/// Bytes of what a failed call said that are kept.
pub const MAX_MESSAGE_BYTES: usize = 1_024;
/// Bytes of a failure, encoded, that are kept.
pub const MAX_REASON_BYTES: usize = 4_096;
