//! Folders for tests.

use std::{fs, path::PathBuf, process};

/// A folder that is gone with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes an empty folder; the name must be another one for each test.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("localnet-state-{}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays in the temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
