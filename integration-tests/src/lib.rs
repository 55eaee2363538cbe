//! Drives the depot on a test network: typed clients, whole flows, the demo and the benchmarks.
//!
//! The network is [`localnet`] in this process, or the official PocketIC server when `POCKET_IC_BIN` names its
//! binary. [`network::builder`] is the only place that knows which.

pub mod bench;
pub mod candid_text;
pub mod clients;
pub mod demo;
pub mod depot;

pub mod made;
pub mod network;
pub mod offline;
pub mod past;
pub mod questions;
pub mod universal;
pub mod wasms;
