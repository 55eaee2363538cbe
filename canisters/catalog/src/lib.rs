//! The catalog: gives modules names, keeps their history, and answers what a name means.
//!
//! Owns the objects of the history, branches, releases, events and the list of publishers. Does not own module bytes:
//! those are the blob store's, and nothing is named here before the blob store says that it retains it.
//!
//! What always holds:
//! - an object's id is the hash of its bytes, and every object that a branch leads to is stored;
//! - a version of a package means one module for ever;
//! - a message either applies all of a change or nothing of it;
//! - rights, branch heads and versions are checked again after each call to another canister.

mod access;
mod asking;
pub mod blob_store;
pub mod branches;
mod certification;
mod changes;
pub mod collection;
pub mod commit;
mod events;
mod export;
pub mod find;
mod history;
mod http;
pub mod import;
mod layout;
pub mod lifecycle;
pub mod limits;
pub mod memory;
pub mod merge;
pub mod publish;
pub mod publishers;
pub mod releases;
pub mod runtime;
pub mod state;
mod stored;
mod text;
mod trees;
pub mod undo;
mod version_key;

#[cfg(test)]
mod model;
#[cfg(test)]
mod test_fixtures;
