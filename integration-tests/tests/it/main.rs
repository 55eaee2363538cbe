//! The depot on a network: every test runs on `localnet`, or on the official server when `POCKET_IC_BIN` is set.

mod blob_store;
mod blob_store_http;
mod candid_interfaces;
mod catalog;
mod catalog_history;
mod catalog_http;
mod catalog_scale;
mod conformance;
mod demo;
mod deploy;
mod gateway;
mod growth;
mod upload;
