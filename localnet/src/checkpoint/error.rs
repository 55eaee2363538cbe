//! Why a state directory cannot be used.

use std::{io, path::PathBuf};

/// Why a state directory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it refused.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else uses the folder.
    #[error("the state directory {} is used by another network", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something that localnet did not put there.
    #[error("{} is no part of a state directory; nothing was changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file that must be there is not.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A later localnet wrote the file.
    #[error("{} has layout {found}; this localnet knows layouts up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The last layout known.
        known: u32,
    },
    /// The file is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The state is whole, but this localnet cannot go on with it.
    #[error("{} holds a state that this localnet cannot go on with: {what}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
}
