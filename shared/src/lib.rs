//! What the canisters of the depot and their clients share: wire types, hashes, limits, and the rules for paths,
//! names and Wasm modules.
//!
//! Nothing here imports `ic-cdk`, so clients outside of canisters use it too. Every type is a wire type (Candid):
//! canisters keep types of their own in stable memory. Sizes are bytes, times are nanoseconds since 1970
//! (`…_ns`), amounts of cycles are `nat`.

pub mod blob_store;
pub mod catalog;
pub mod chunk;
pub mod factory;
mod hash;
pub mod http;
pub mod limits;
pub mod objects;
pub mod path;
pub mod proof;
pub mod usage;
#[cfg(feature = "wasm")]
pub mod wasm;

pub use hash::{Hash, ParseHashError};
