//! The output folder: one compressed module per canister and the list of their hashes.
//!
//! Beside cargo's intermediate files a stamp per canister remembers which input gave which output, so that packing is
//! skipped when it would give the same again.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process,
};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::{module::Packed, tool_hash};

/// The list of hashes, in the form that `sha256sum --check` reads.
const SUMS: &str = "SHA256SUMS";

/// Ending of the modules' files.
const MODULE_ENDING: &str = ".wasm.gz";

/// The output folder.
pub(crate) struct Artifacts {
    output: PathBuf,
    stamps: PathBuf,
    tool_hash: String,
}

/// A module in the output folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// Name of the canister.
    pub(crate) name: String,
    /// Size before compression, in bytes.
    pub(crate) raw_bytes: usize,
    /// Size of the file, in bytes.
    pub(crate) gzip_bytes: usize,
    /// Hash of the file in hexadecimal: the module hash once it is installed.
    pub(crate) sha256: String,
}

impl Artifacts {
    /// Opens the folder `output`, with stamps below `target_dir`; makes both when they are missing.
    ///
    /// # Errors
    /// When a folder cannot be made or this program's file cannot be read.
    pub(crate) fn open(output: PathBuf, target_dir: &Path) -> anyhow::Result<Self> {
        let stamps = target_dir.join("canister-stamps");
        for folder in [&output, &stamps] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(Self { output, stamps, tool_hash: tool_hash()? })
    }

    /// Returns one value for everything that a module is made from, this program included.
    pub(crate) fn fingerprint(&self, inputs: &[&[u8]]) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.tool_hash);
        for input in inputs {
            // Hashing each input apart keeps ("ab", "c") different from ("a", "bc").
            hasher.update(Sha256::digest(input));
        }
        hex::encode(hasher.finalize())
    }

    /// Returns the module of `name` when it was made from inputs of this fingerprint and is still what was made.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub(crate) fn up_to_date(&self, name: &str, fingerprint: &str) -> anyhow::Result<Option<Artifact>> {
        let Some(stamp) = read_if_present(&self.stamp_path(name))? else { return Ok(None) };
        let Some(module) = read_if_present(&self.module_path(name))? else { return Ok(None) };
        let artifact = Stamp::parse(&stamp)
            .filter(|stamp| stamp.fingerprint == fingerprint && stamp.sha256 == sha256(&module))
            .map(|stamp| Artifact {
                name: name.to_owned(),
                raw_bytes: stamp.raw_bytes,
                gzip_bytes: module.len(),
                sha256: stamp.sha256.to_owned(),
            });
        Ok(artifact)
    }

    /// Writes the module of `name` and remembers what it was made from.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn store(&self, name: &str, fingerprint: &str, packed: &Packed) -> anyhow::Result<Artifact> {
        let sha256 = sha256(&packed.gzip);
        write_whole(&self.module_path(name), &packed.gzip)?;
        let stamp = Stamp { fingerprint, sha256: &sha256, raw_bytes: packed.raw_bytes };
        write_whole(&self.stamp_path(name), stamp.to_text().as_bytes())?;
        Ok(Artifact { name: name.to_owned(), raw_bytes: packed.raw_bytes, gzip_bytes: packed.gzip.len(), sha256 })
    }

    /// Writes the hashes of all modules in the folder that belong to `names`, which are sorted.
    ///
    /// Modules of earlier builds stay in the list; those of canisters that are no more are deleted.
    ///
    /// # Errors
    /// When a file cannot be read, written or deleted.
    pub(crate) fn write_sums(&self, names: &[&str]) -> anyhow::Result<()> {
        self.delete_unknown(names)?;
        let mut sums = String::new();
        for name in names {
            if let Some(module) = read_if_present(&self.module_path(name))? {
                sums.push_str(&format!("{}  {name}{MODULE_ENDING}\n", sha256(&module)));
            }
        }
        write_whole(&self.output.join(SUMS), sums.as_bytes())
    }

    fn delete_unknown(&self, names: &[&str]) -> anyhow::Result<()> {
        let context = || format!("cannot tidy the folder {}", self.output.display());
        for entry in fs::read_dir(&self.output).with_context(context)? {
            let entry = entry.with_context(context)?;
            let file_name = entry.file_name();
            let stale = file_name
                .to_str()
                .and_then(|file_name| file_name.strip_suffix(MODULE_ENDING))
                .is_some_and(|name| !names.contains(&name));
            if stale {
                fs::remove_file(entry.path()).with_context(context)?;
            }
        }
        Ok(())
    }

    fn module_path(&self, name: &str) -> PathBuf {
        self.output.join(format!("{name}{MODULE_ENDING}"))
    }

    fn stamp_path(&self, name: &str) -> PathBuf {
        self.stamps.join(name)
    }
}

/// What is remembered of one packed module.
struct Stamp<'a> {
    fingerprint: &'a str,
    sha256: &'a str,
    raw_bytes: usize,
}

impl<'a> Stamp<'a> {
    fn to_text(&self) -> String {
        format!("{} {} {}\n", self.fingerprint, self.sha256, self.raw_bytes)
    }

    /// Reads a stamp; one of another form counts as none.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.split_whitespace();
        let stamp = Self { fingerprint: words.next()?, sha256: words.next()?, raw_bytes: words.next()?.parse().ok()? };
        words.next().is_none().then_some(stamp)
    }
}

/// Returns the SHA-256 of `bytes` in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn read_if_present(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Replaces a file in one step, so that a reader or a second build never sees half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", process::id()));
    let mut file = fs::File::create(&temporary).with_context(context)?;
    file.write_all(bytes).and_then(|()| file.flush()).with_context(context)?;
    fs::rename(&temporary, path).with_context(context)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path().join("wasms"), &folder.path().join("target")).unwrap();
        (folder, artifacts)
    }

    fn packed(bytes: &[u8]) -> Packed {
        Packed { raw_bytes: 1000, gzip: bytes.to_vec() }
    }

    #[test]
    fn should_find_a_stored_module_up_to_date_until_an_input_changes() {
        let (_folder, artifacts) = folder();
        let fingerprint = artifacts.fingerprint(&[b"wasm", b"did"]);
        assert_eq!(artifacts.up_to_date("a", &fingerprint).unwrap(), None);
        let stored = artifacts.store("a", &fingerprint, &packed(b"module")).unwrap();
        assert_eq!(stored.gzip_bytes, 6);
        assert_eq!(artifacts.up_to_date("a", &fingerprint).unwrap(), Some(stored));
        assert_eq!(artifacts.up_to_date("a", &artifacts.fingerprint(&[b"wasm", b"did2"])).unwrap(), None);
    }

    #[test]
    fn should_not_trust_a_module_that_was_changed_or_deleted() {
        let (_folder, artifacts) = folder();
        artifacts.store("a", "f", &packed(b"module")).unwrap();
        fs::write(artifacts.module_path("a"), b"other").unwrap();
        assert_eq!(artifacts.up_to_date("a", "f").unwrap(), None);
        fs::remove_file(artifacts.module_path("a")).unwrap();
        assert_eq!(artifacts.up_to_date("a", "f").unwrap(), None);
    }

    #[test]
    fn should_take_a_damaged_stamp_for_none() {
        let (_folder, artifacts) = folder();
        artifacts.store("a", "f", &packed(b"module")).unwrap();
        for damaged in ["", "f", "f 00 x", "f 00 1 more"] {
            fs::write(artifacts.stamp_path("a"), damaged).unwrap();
            assert_eq!(artifacts.up_to_date("a", "f").unwrap(), None, "{damaged:?}");
        }
    }

    #[test]
    fn should_tell_inputs_apart_that_are_equal_when_joined() {
        let (_folder, artifacts) = folder();
        assert_ne!(artifacts.fingerprint(&[b"ab", b"c"]), artifacts.fingerprint(&[b"a", b"bc"]));
    }

    #[test]
    fn should_list_known_modules_and_delete_unknown_ones() {
        let (_folder, artifacts) = folder();
        for name in ["b", "a", "gone"] {
            artifacts.store(name, "f", &packed(name.as_bytes())).unwrap();
        }
        artifacts.write_sums(&["a", "b", "never_built"]).unwrap();
        let sums = fs::read_to_string(artifacts.output.join(SUMS)).unwrap();
        assert_eq!(sums, format!("{}  a.wasm.gz\n{}  b.wasm.gz\n", sha256(b"a"), sha256(b"b")));
        assert!(!artifacts.module_path("gone").exists());
    }
}
