//! The files of a state directory: their names, the lock, and writing so that a crash leaves the old or the new.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{StateError, frame};

/// Held locked by whoever uses the folder.
const LOCK: &str = "lock";
/// Names the other files.
pub(super) const MANIFEST: &str = "manifest.cbor";
/// Ends the name of a file until it is complete.
const UNFINISHED: &str = ".part";

/// Returns the name of the file with a network's state.
pub(super) fn state_name(number: u64) -> String {
    format!("state-{number}.cbor")
}

/// Returns the name of a pack.
pub(super) fn pack_name(number: u64) -> String {
    format!("pack-{number}.bin")
}

/// Returns true for the names of files that come and go.
fn is_numbered(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    let number = |prefix, suffix| name.strip_prefix(prefix).and_then(|name| name.strip_suffix(suffix));
    let number = number("state-", ".cbor").or_else(|| number("pack-", ".bin"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A folder that this process holds the lock of.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    /// Takes the folder, which is made if there is none.
    ///
    /// # Errors
    /// When it is used by somebody else or holds files that localnet did not put there; nothing is changed then.
    pub(super) fn take(path: &Path) -> Result<Self, StateError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| StateError::Io { path, source }
        };
        fs::create_dir_all(path).map_err(io(path))?;
        // A folder that is not ours does not get a lock file either.
        let names = list(path)?;
        if let Some(foreign) = names.iter().find(|name| !is_own(name)) {
            return Err(StateError::Foreign { path: path.join(foreign) });
        }
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StateError::InUse { path: path.to_owned() }),
            Err(errno) => return Err(io(&lock_path)(errno.into())),
        }
        let directory = Self { path: path.to_owned(), _lock: lock };
        // Complete files without the manifest that names them are not thrown away.
        let complete = |name: &&String| is_numbered(name) && !name.ends_with(UNFINISHED);
        if !names.contains(MANIFEST) && names.iter().any(|name| complete(&name)) {
            return Err(StateError::Missing { path: directory.file(MANIFEST) });
        }
        Ok(directory)
    }

    /// Returns the path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes an error of a file.
    pub(super) fn io(&self, name: &str, source: io::Error) -> StateError {
        let path = self.file(name);
        if source.kind() == io::ErrorKind::NotFound {
            StateError::Missing { path }
        } else {
            StateError::Io { path, source }
        }
    }

    /// Makes an error of a file that is not what was written.
    pub(super) fn damaged(&self, name: &str, what: impl ToString) -> StateError {
        StateError::Damaged { path: self.file(name), what: what.to_string() }
    }

    /// Reads the payload of a framed file; `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let bytes = match fs::read(self.file(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(name, error)),
        };
        match frame::unwrap(&bytes) {
            Ok(payload) => Ok(Some(payload.to_vec())),
            Err(frame::Flaw::Newer(found)) => {
                Err(StateError::Newer { path: self.file(name), found, known: frame::LAYOUT })
            }
            Err(flaw) => Err(self.damaged(name, flaw)),
        }
    }

    /// Writes a framed file: afterwards it is on the disk, or nothing was changed.
    pub(super) fn write(&self, name: &str, payload: &[u8]) -> Result<(), StateError> {
        self.write_with(name, |file| file.write_all(&frame::wrap(payload)))
    }

    /// Writes a file with whatever `fill` writes: afterwards it is on the disk, or nothing was changed.
    pub(super) fn write_with(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), StateError> {
        let unfinished = format!("{name}{UNFINISHED}");
        let make = || -> io::Result<()> {
            let mut file = File::create(self.file(&unfinished))?;
            fill(&mut file)?;
            file.sync_all()?;
            fs::rename(self.file(&unfinished), self.file(name))?;
            // The new name is on the disk only when the folder is.
            File::open(&self.path)?.sync_all()
        };
        make().map_err(|error| {
            // What cannot be removed now is when the folder is taken the next time.
            let _ = fs::remove_file(self.file(&unfinished));
            StateError::Io { path: self.file(name), source: error }
        })
    }

    /// Removes all numbered files but those named.
    pub(super) fn keep_only(&self, named: &BTreeSet<String>) -> Result<(), StateError> {
        for name in list(&self.path)? {
            let unfinished = name.strip_suffix(UNFINISHED) == Some(MANIFEST);
            if unfinished || (is_numbered(&name) && !named.contains(&name)) {
                fs::remove_file(self.file(&name)).map_err(|error| self.io(&name, error))?;
            }
        }
        Ok(())
    }
}

fn is_own(name: &str) -> bool {
    [LOCK, MANIFEST].contains(&name) || name.strip_suffix(UNFINISHED) == Some(MANIFEST) || is_numbered(name)
}

/// Lists the names of what lies in a folder. A name that is not text is shown as well as can be.
fn list(path: &Path) -> Result<BTreeSet<String>, StateError> {
    let io = |source| StateError::Io { path: path.to_owned(), source };
    let entries = fs::read_dir(path).map_err(io)?;
    entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).map_err(io)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::Folder;

    #[test]
    fn should_be_taken_by_one_at_a_time() {
        let folder = Folder::new("lock");
        let taken = Directory::take(&folder.0).unwrap();
        assert!(matches!(Directory::take(&folder.0), Err(StateError::InUse { .. })));
        drop(taken);
        Directory::take(&folder.0).unwrap();
    }

    #[test]
    fn should_refuse_a_folder_with_other_files_and_leave_it_alone() {
        let folder = Folder::new("foreign");
        for name in ["thesis.doc", "state-.cbor", "pack-1x.bin", "pack-1", "lock.part"] {
            let path = folder.0.join(name);
            fs::write(&path, "x").unwrap();
            let error = Directory::take(&folder.0).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(list(&folder.0).unwrap().len(), 1, "nothing was put there");
            fs::remove_file(path).unwrap();
        }
        fs::create_dir(folder.0.join("folder")).unwrap();
        assert!(matches!(Directory::take(&folder.0), Err(StateError::Foreign { .. })));
    }

    #[test]
    fn should_not_throw_files_away_because_the_manifest_is_gone() {
        let folder = Folder::new("no-manifest");
        fs::write(folder.0.join(pack_name(1)), "x").unwrap();
        let error = Directory::take(&folder.0).unwrap_err();
        assert!(matches!(&error, StateError::Missing { path } if path.ends_with(MANIFEST)), "{error}");
    }

    #[test]
    fn should_write_whole_files_and_remove_those_not_named() {
        let folder = Folder::new("write");
        let directory = Directory::take(&folder.0).unwrap();
        directory.write(MANIFEST, b"first").unwrap();
        directory.write(MANIFEST, b"second").unwrap();
        assert_eq!(directory.read(MANIFEST).unwrap().unwrap(), b"second");
        assert!(directory.read("state-1.cbor").unwrap().is_none());
        for name in ["state-1.cbor", "state-2.cbor", "pack-1.bin.part", "manifest.cbor.part"] {
            fs::write(folder.0.join(name), "x").unwrap();
        }
        directory.keep_only(&BTreeSet::from([state_name(2)])).unwrap();
        let left: Vec<_> = list(&folder.0).unwrap().into_iter().collect();
        assert_eq!(left, [LOCK, MANIFEST, "state-2.cbor"]);
    }

    #[test]
    fn should_leave_the_old_file_when_writing_fails() {
        let folder = Folder::new("fail");
        let directory = Directory::take(&folder.0).unwrap();
        directory.write(MANIFEST, b"old").unwrap();
        let error = directory.write_with(MANIFEST, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(error, Err(StateError::Io { .. })));
        assert_eq!(directory.read(MANIFEST).unwrap().unwrap(), b"old");
        assert_eq!(list(&folder.0).unwrap().len(), 2);
    }
}
