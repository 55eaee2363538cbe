//! Compiles one canister with cargo, in a way that keeps everything about this machine out of the module.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::workspace::Canister;

/// The target of canisters.
const TARGET: &str = "wasm32-unknown-unknown";

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\x1f";

/// Variables that would change what the release profile means.
const PROFILE_OVERRIDES: &str = "CARGO_PROFILE_RELEASE_";

/// Runs cargo for canisters.
pub(crate) struct Compiler {
    root: PathBuf,
    target_dir: PathBuf,
    rustflags: String,
}

impl Compiler {
    /// Prepares builds of the workspace at `root`.
    ///
    /// # Errors
    /// When the Rust toolchain cannot be asked for its paths.
    pub(crate) fn new(root: &Path, target_dir: &Path) -> anyhow::Result<Self> {
        let mappings = [
            (root.to_path_buf(), "/depot".to_owned()),
            (cargo_home()?, "/cargo".to_owned()),
            standard_library_sources(root)?,
        ];
        Ok(Self { root: root.to_path_buf(), target_dir: target_dir.to_path_buf(), rustflags: remap_flags(&mappings) })
    }

    /// Builds `canister` in release mode and returns the path of the module that cargo made.
    ///
    /// # Errors
    /// When cargo fails; it has then said why on standard error.
    pub(crate) fn compile(&self, canister: &Canister) -> anyhow::Result<PathBuf> {
        let mut command = Command::new(cargo());
        // One package at a time: cargo unifies the features of packages built together, so that a module would depend
        // on which others were asked for.
        command.args(["build", "--release", "--locked", "--target", TARGET]);
        command.args(["--package", &canister.package, "--bin", &canister.bin]);
        command.arg("--target-dir").arg(&self.target_dir).current_dir(&self.root);
        if !io::stderr().is_terminal() {
            command.arg("--quiet");
        }
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with(PROFILE_OVERRIDES) {
                command.env_remove(name);
            }
        }
        // The encoded form wins over every other source of flags, so that none from this machine gets in.
        command.env("CARGO_ENCODED_RUSTFLAGS", &self.rustflags).env("CARGO_INCREMENTAL", "0");
        let status = command.status().context("cannot run cargo")?;
        ensure!(status.success(), "cargo build failed for package `{}` ({status})", canister.package);
        Ok(self.target_dir.join(TARGET).join("release").join(format!("{}.wasm", canister.bin)))
    }
}

/// Returns the cargo that started this program, or the one in the path.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the compiler flags that replace each folder by a name that is the same everywhere.
fn remap_flags(mappings: &[(PathBuf, String)]) -> String {
    let flags: Vec<String> =
        mappings.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect();
    flags.join(FLAG_SEPARATOR)
}

/// Returns the folder that holds the sources of dependencies.
fn cargo_home() -> anyhow::Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => Ok(env::home_dir().context("there is no home directory")?.join(".cargo")),
    }
}

/// Returns where the standard library's sources are when they are installed, and the name they have when they are not.
fn standard_library_sources(root: &Path) -> anyhow::Result<(PathBuf, String)> {
    let sysroot = rustc(root, &["--print", "sysroot"])?;
    let version = rustc(root, &["--version", "--verbose"])?;
    let commit = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "))
        .context("rustc does not tell its commit-hash")?;
    Ok((Path::new(sysroot.trim()).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")))
}

fn rustc(root: &Path, args: &[&str]) -> anyhow::Result<String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).args(args).current_dir(root).output().context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("the answer of rustc is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_separate_flags_so_that_folders_may_contain_spaces() {
        let mappings = [(PathBuf::from("/my depot"), "/depot".to_owned()), (PathBuf::from("/c"), "/cargo".to_owned())];
        assert_eq!(remap_flags(&mappings), "--remap-path-prefix=/my depot=/depot\u{1f}--remap-path-prefix=/c=/cargo");
    }

    #[test]
    fn should_name_the_standard_library_by_its_commit() {
        let (from, to) = standard_library_sources(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(from.ends_with("lib/rustlib/src/rust"));
        let commit = to.strip_prefix("/rustc/").unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{to}");
    }
}
