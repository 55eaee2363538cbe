//! State directories: networks are written to files and read back.
//!
//! [`Capture`] is what a network looks like at one moment. It is taken on the network's thread and shares or copies
//! what is large; a [`Store`] writes it to a folder, on another thread if it likes. Whatever happens meanwhile, the
//! folder holds the last capture that was written completely:
//!
//! | file | holds |
//! |---|---|
//! | `lock` | nothing; whoever uses the folder holds its lock |
//! | `manifest.cbor` | the names and sizes of the files below; it is replaced last, and at once |
//! | `state-N.cbor` | the state of the network but for what is large, and where that is |
//! | `pack-N.bin` | pieces: modules, chunks, and memories by leaves of 2 MiB without the pages that are zero |
//!
//! A capture adds one pack with the pieces that are new. Packs that are mostly out of use are written again. What the
//! manifest does not name is left from a crash and removed.

mod directory;
mod document;
mod error;
mod frame;
mod keeper;
mod leaf;
mod packs;
pub(crate) mod shared;
mod source;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use document::{Capture, Clock, Collector, MemoryDocument};
pub(crate) use error::StateError;
pub(crate) use keeper::Keeper;
pub(crate) use source::Source;
pub(crate) use store::{Loaded, Store};
