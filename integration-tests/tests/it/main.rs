//! The depot on a network: every test runs on `localnet`, or on the official server when `POCKET_IC_BIN` is set.

mod blob_store;
mod candid_interfaces;
mod catalog;
mod catalog_history;
mod conformance;
mod demo;
mod deploy;
mod gateway;
mod growth;
mod upload;
