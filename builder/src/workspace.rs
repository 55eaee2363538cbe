//! Finds the canisters of the workspace.
//!
//! A package declares that it is a canister in its `Cargo.toml`, so that a new one needs no change here:
//!
//! ```toml
//! [package.metadata.canister]
//! name = "blob_store"                # the module becomes blob_store.wasm.gz
//! candid = "candid/blob_store.did"   # its interface, relative to the workspace root
//! bin = "blob_store_canister"        # optional: the binary target, when it is not called NAME_canister
//! ```

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::compile::cargo;

/// The workspace around the current directory.
pub(crate) struct Workspace {
    /// Folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Folder of cargo's intermediate files.
    pub(crate) target_dir: PathBuf,
    canisters: Vec<Canister>,
}

/// A package that is built into a canister module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Canister {
    /// Name of the module's file without its ending.
    pub(crate) name: String,
    /// The cargo package.
    pub(crate) package: String,
    /// The package's binary target.
    pub(crate) bin: String,
    /// The package's version, embedded in the module.
    pub(crate) version: String,
    /// The Candid file, relative to the workspace root.
    pub(crate) candid: PathBuf,
}

impl Workspace {
    /// Asks cargo for the workspace around the current directory.
    ///
    /// # Errors
    /// When cargo fails, or a canister entry is incomplete, names a missing binary or is not unique.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .context("cannot run cargo")?;
        ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        Self::from_metadata(&output.stdout)
    }

    /// Reads the answer of `cargo metadata`.
    fn from_metadata(json: &[u8]) -> anyhow::Result<Self> {
        let metadata: CargoMetadata = serde_json::from_slice(json).context("cargo metadata has an unknown form")?;
        let mut canisters = Vec::new();
        for package in metadata.packages {
            let CargoPackage { name, version, targets, metadata } = package;
            let Some(entry) = metadata.and_then(|metadata| metadata.canister) else { continue };
            let bin = entry.bin.unwrap_or_else(|| format!("{}_canister", entry.name));
            if !targets.iter().any(|target| target.name == bin && target.kind.iter().any(|kind| kind == "bin")) {
                bail!("package `{name}` has no binary target `{bin}`");
            }
            canisters.push(Canister { name: entry.name, package: name, bin, version, candid: entry.candid });
        }
        canisters.sort_by(|a, b| a.name.cmp(&b.name));
        let mut names = BTreeSet::new();
        for canister in &canisters {
            ensure!(is_file_name(&canister.name), "`{}` is no canister name: use a-z, 0-9 and _", canister.name);
            ensure!(names.insert(&canister.name), "two packages declare the canister `{}`", canister.name);
        }
        Ok(Self { root: metadata.workspace_root, target_dir: metadata.target_directory, canisters })
    }

    /// Returns the canisters, sorted by name.
    pub(crate) fn canisters(&self) -> &[Canister] {
        &self.canisters
    }
}

/// Names become file names in the output folder, so they may not point out of it.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[derive(Deserialize)]
struct CargoMetadata {
    packages: Vec<CargoPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
    version: String,
    targets: Vec<CargoTarget>,
    metadata: Option<PackageMetadata>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct PackageMetadata {
    canister: Option<CanisterEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanisterEntry {
    name: String,
    candid: PathBuf,
    bin: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer of cargo for packages with the given `metadata` entries and a binary target `a_canister` each.
    fn answer(entries: &[&str]) -> String {
        let packages: Vec<String> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                format!(
                    r#"{{"name": "package-{index}", "version": "1.2.3", "metadata": {entry},
                        "targets": [{{"name": "a_canister", "kind": ["bin"]}}, {{"name": "lib", "kind": ["lib"]}}]}}"#
                )
            })
            .collect();
        format!(r#"{{"packages": [{}], "workspace_root": "/w", "target_directory": "/w/target"}}"#, packages.join(", "))
    }

    fn error(entries: &[&str]) -> String {
        Workspace::from_metadata(answer(entries).as_bytes()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn should_find_packages_with_a_canister_entry_only() {
        let json = answer(&[
            "null",
            r#"{"other": 1}"#,
            r#"{"canister": {"name": "b", "candid": "b.did", "bin": "a_canister"}}"#,
            r#"{"canister": {"name": "a", "candid": "candid/a.did"}}"#,
        ]);
        let workspace = Workspace::from_metadata(json.as_bytes()).unwrap();
        assert_eq!(workspace.root, PathBuf::from("/w"));
        let found: Vec<_> = workspace
            .canisters()
            .iter()
            .map(|canister| (canister.name.as_str(), canister.package.as_str(), canister.bin.as_str()))
            .collect();
        assert_eq!(found, [("a", "package-3", "a_canister"), ("b", "package-2", "a_canister")]);
    }

    #[test]
    fn should_reject_a_missing_binary_target() {
        let message = error(&[r#"{"canister": {"name": "c", "candid": "c.did"}}"#]);
        assert_eq!(message, "package `package-0` has no binary target `c_canister`");
        assert!(error(&[r#"{"canister": {"name": "c", "candid": "c.did", "bin": "lib"}}"#]).contains("`lib`"));
    }

    #[test]
    fn should_reject_a_name_declared_twice() {
        let entry = r#"{"canister": {"name": "a", "candid": "a.did"}}"#;
        assert_eq!(error(&[entry, entry]), "two packages declare the canister `a`");
    }

    #[test]
    fn should_reject_names_that_leave_the_output_folder() {
        for name in ["", "../a", "a/b", "A"] {
            let entry = format!(r#"{{"canister": {{"name": "{name}", "candid": "a.did", "bin": "a_canister"}}}}"#);
            assert!(error(&[&entry]).contains("is no canister name"), "{name}");
        }
    }

    #[test]
    fn should_reject_unknown_keys() {
        assert!(!error(&[r#"{"canister": {"name": "a", "candid": "a.did", "candit": "b.did"}}"#]).is_empty());
    }
}
