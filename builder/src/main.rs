//! `depot-builder`: builds the canisters of this workspace into the Wasm modules that are tested and released.
//!
//! A canister is any package with an entry `[package.metadata.canister]` (see [`workspace`]). For each one the tool
//! compiles the package for the Internet Computer ([`compile`]), removes what a canister does not need, embeds its
//! interface as metadata and compresses the result ([`module`]), and writes `NAME.wasm.gz` and the list `SHA256SUMS`
//! into the output folder ([`artifacts`]).
//!
//! The modules are reproducible: the same sources, lock file and toolchain give the same bytes in any folder.

mod artifacts;
mod compile;
mod module;
mod workspace;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;

use crate::{
    artifacts::{Artifact, Artifacts, sha256},
    compile::Compiler,
    module::Metadata,
    workspace::{Canister, Workspace},
};

/// Builds canisters into reproducible Wasm modules: NAME.wasm.gz and SHA256SUMS.
#[derive(Parser)]
#[command(name = "build", version)]
struct Options {
    /// Canisters to build; all of the workspace when none is named.
    names: Vec<String>,
    /// Folder for the modules, relative to the workspace.
    #[arg(long, default_value = "wasms", value_name = "DIR")]
    output: PathBuf,
    /// Folder for cargo's intermediate files; cargo's own choice when absent.
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Say nothing about canisters that are up to date, and print no table.
    #[arg(long, short)]
    quiet: bool,
    /// Print the name and the package of each canister and stop.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    if options.list {
        for canister in workspace.canisters() {
            println!("{} {}", canister.name, canister.package);
        }
        return Ok(());
    }
    let chosen = choose(&workspace, &options.names)?;
    let target_dir = match &options.target_dir {
        Some(dir) => workspace.root.join(dir),
        None => workspace.target_dir.clone(),
    };
    let compiler = Compiler::new(&workspace.root, &target_dir)?;
    let artifacts = Artifacts::open(workspace.root.join(&options.output), &target_dir)?;

    let mut built = Vec::with_capacity(chosen.len());
    let mut failed = Vec::new();
    for (index, canister) in chosen.iter().enumerate() {
        let progress = Progress::new(index + 1, chosen.len(), &canister.name, options.quiet);
        match build(canister, &compiler, &artifacts, &workspace, &progress) {
            Ok(artifact) => built.push(artifact),
            // The others are built all the same: they do not depend on this one.
            Err(error) => {
                progress.failed(&error);
                failed.push(canister.name.as_str());
            }
        }
    }
    let names: Vec<&str> = workspace.canisters().iter().map(|canister| canister.name.as_str()).collect();
    artifacts.write_sums(&names)?;
    if !options.quiet {
        print_table(&built);
    }
    ensure!(failed.is_empty(), "not built: {}", failed.join(", "));
    Ok(())
}

/// Returns the canisters named on the command line, each once, or all of them.
fn choose<'a>(workspace: &'a Workspace, names: &[String]) -> anyhow::Result<Vec<&'a Canister>> {
    let known = workspace.canisters();
    for name in names {
        if !known.iter().any(|canister| canister.name == *name) {
            let list = known.iter().map(|canister| canister.name.as_str()).collect::<Vec<_>>().join(", ");
            bail!("there is no canister `{name}`; known are: {list}");
        }
    }
    Ok(known.iter().filter(|canister| names.is_empty() || names.contains(&canister.name)).collect())
}

/// Compiles one canister and, unless its module is known to be what would come out again, packs it.
fn build(
    canister: &Canister,
    compiler: &Compiler,
    artifacts: &Artifacts,
    workspace: &Workspace,
    progress: &Progress,
) -> anyhow::Result<Artifact> {
    progress.say("compile");
    let started = Instant::now();
    let compiled = compiler.compile(canister)?;
    let wasm = fs::read(&compiled).with_context(|| format!("cannot read {}", compiled.display()))?;
    let interface_path = workspace.root.join(&canister.candid);
    let interface = fs::read_to_string(&interface_path)
        .with_context(|| format!("cannot read the interface {}", interface_path.display()))?;

    let fingerprint = artifacts.fingerprint(&[&wasm, interface.as_bytes(), canister.version.as_bytes()]);
    if let Some(artifact) = artifacts.up_to_date(&canister.name, &fingerprint)? {
        progress.up_to_date(started.elapsed());
        return Ok(artifact);
    }
    progress.say("shrink, embed the interface, compress");
    let metadata = Metadata::new(&interface_path, interface, &canister.version)?;
    let packed = module::pack(&wasm, &metadata)?;
    let artifact = artifacts.store(&canister.name, &fingerprint, &packed)?;
    progress.done(&artifact, started.elapsed());
    Ok(artifact)
}

/// Prints what is being done for one canister, to standard error.
struct Progress<'a> {
    prefix: String,
    name: &'a str,
    quiet: bool,
}

impl<'a> Progress<'a> {
    fn new(number: usize, total: usize, name: &'a str, quiet: bool) -> Self {
        Self { prefix: format!("[{number}/{total}]"), name, quiet }
    }

    fn say(&self, step: &str) {
        // A quiet run is started by a script that says itself what it waits for.
        if !self.quiet {
            eprintln!("{} {}: {step}", self.prefix, self.name);
        }
    }

    fn up_to_date(&self, elapsed: Duration) {
        if !self.quiet {
            eprintln!("{} {}: up to date ({:.1} s)", self.prefix, self.name, elapsed.as_secs_f64());
        }
    }

    fn failed(&self, error: &anyhow::Error) {
        eprintln!("{} {}: failed: {error:#}", self.prefix, self.name);
    }

    fn done(&self, artifact: &Artifact, elapsed: Duration) {
        eprintln!(
            "{} {}: built {} bytes ({:.1} s)",
            self.prefix,
            self.name,
            artifact.gzip_bytes,
            elapsed.as_secs_f64()
        );
    }
}

/// Prints name, sizes and module hash of each canister to standard output.
fn print_table(artifacts: &[Artifact]) {
    let width = artifacts.iter().map(|artifact| artifact.name.len()).max().unwrap_or_default().max("NAME".len());
    println!("{:width$}  {:>10}  {:>10}  SHA256 (module hash)", "NAME", "RAW BYTES", "GZIP BYTES");
    for Artifact { name, raw_bytes, gzip_bytes, sha256 } in artifacts {
        println!("{name:width$}  {raw_bytes:>10}  {gzip_bytes:>10}  {sha256}");
    }
}

/// Returns the hash of this very program, so that a changed tool makes its modules anew.
fn tool_hash() -> anyhow::Result<String> {
    let path = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(sha256(&fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
}
