//! The universal canister: it runs the programs that it is called with, so that tests need no module each.
//!
//! `update`, `query` and `composite_query` run their argument, and so do installations and upgrades. The other entry
//! points run the program that was set for them. [`universal::Operation`] is the language.
#![allow(unsafe_code, reason = "the functions of the system API take addresses")]

#[cfg(target_family = "wasm")]
mod entry_points;
#[cfg(target_family = "wasm")]
mod ic0;
#[cfg(target_family = "wasm")]
mod machine;

fn main() {}
