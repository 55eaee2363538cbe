//! A small Internet Computer in one process, for tests and demonstrations.
//!
//! It executes real canister Wasm, speaks the PocketIC REST protocol so that the official `pocket-ic` client drives
//! it, and holds no production promise. Where it differs from the official PocketIC server, the official server is
//! right.
//!
//! [`LocalNet::start`] serves any number of independent networks from one process.

mod canister;
mod certification;
mod checkpoint;
pub mod command;
mod cycles;
mod error;
mod execution;
mod gateway;
mod interface;
mod limits;
mod management;
mod message;
mod network;
mod server;

pub use server::{EndError, LiveConfig, LiveNetwork, LocalNet, LocalNetBuilder, StartError};
