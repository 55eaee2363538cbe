//! The demo: a module goes in, a running canister comes out.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use candid::{Encode, Principal};
use clap::Parser;
use depot_types::{
    Hash,
    factory::{Deployment, DeploymentStatus, FailureReason},
};

use crate::{
    clients::{Client, Counter, CounterArgs},
    depot::{Depot, deploy_args, release, running_module},
};

mod module;
mod report;

use module::Module;
use report::{Report, grouped};

/// Stores a Wasm module on a local network, publishes it, and deploys a canister from it.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    after_help = "Examples:\n  ./scripts/demo\n  ./scripts/demo my_canister.wasm.gz\n  ./scripts/demo ledger.wasm --init-arg '(record { owner = principal \"aaaaa-aa\" })'"
)]
pub struct Args {
    /// A canister module, raw or gzip; a small sample canister when absent.
    file: Option<PathBuf>,
    /// Argument of the module's init function, in Candid's text form; `()` when absent.
    #[arg(long, value_name = "CANDID")]
    init_arg: Option<String>,
}

/// Runs the demo and prints its steps; the last line names the canister and its module.
///
/// # Errors
/// When the file is not a module that the Internet Computer would run, or a step fails; nothing is left behind, since
/// the network ends with the process.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let module = match &args.file {
        Some(file) => Module::read(file)?,
        None => Module::sample()?,
    };
    let init_arg = match &args.init_arg {
        Some(text) => crate::candid_text::encode_init_args(text, module.interface.as_deref())?,
        None if args.file.is_none() => Encode!(&CounterArgs { start: Some(41), fail_with: None })?,
        None => Encode!()?,
    };
    println!("{}", module.describe());

    let mut report = Report::new();
    let depot = report.step("start a network, install blob store, catalog and factory", Depot::install)?;
    report.watch(&depot);
    let info = report.progress_step("upload the module and seal it by its hash", module.bytes.len() as u64, |bar| {
        depot.upload(&module.bytes, |bytes| bar.inc(bytes))
    })?;
    report.note(&format!("{} chunks, sealed as {}", info.chunk_hashes.len(), info.module_hash));
    let path = format!("demo/{}", module.name);
    let commit = report.step(&format!("commit `{path}` to branch main"), || depot.set_path(&path, module.hash))?;
    report.note(&format!("commit {commit}"));
    report.step("publish release demo 1.0.0", || depot.publish("demo", "1.0.0", module.hash))?;
    let deployment = report.step("deploy a canister from release demo ^1", || {
        let args = deploy_args("demo", release("demo", "^1"), init_arg);
        let begun = depot.factory().deploy(args).map_err(|reject| anyhow!("{reject}"))?;
        let begun = begun.map_err(|error| anyhow!("the factory refuses the deployment: {error:?}"))?;
        depot.factory().settled(begun).map_err(|reject| anyhow!("{reject}"))
    })?;
    let canister = succeeded(&deployment)?;
    let controllers: Vec<String> = deployment.controllers.iter().map(Principal::to_text).collect();
    report.note(&format!("{canister}, controlled by {}", controllers.join(", ")));
    let kept = grouped(depot.network.cycle_balance(canister));
    report.note(&format!("created with {} cycles, of which it still has {kept}", deployment.cycles_spent));

    report.watch_also(canister);
    let running = running_module(&depot.network, canister, depot.admin)?;
    if running != module.hash {
        bail!("canister {canister} runs {running}, not {}", module.hash);
    }
    if args.file.is_none() {
        call_sample(&mut report, &depot, canister, args.init_arg.is_none())?;
    }
    report.total();
    println!("canister {canister} runs module {running}");
    Ok(())
}

fn call_sample(report: &mut Report, depot: &Depot, canister: Principal, known_start: bool) -> anyhow::Result<()> {
    let counter = Counter(Client::new(&depot.network, canister, depot.admin));
    let (before, after) = report.step("call the canister: get, then increment", || {
        let before = counter.get().map_err(|reject| anyhow!("{reject}"))?;
        Ok((before, counter.increment().map_err(|reject| anyhow!("{reject}"))?))
    })?;
    report.note(&format!("get answered {before}, increment answered {after}"));
    if after != before + 1 || known_start && before != 41 {
        bail!("the sample canister counts wrongly");
    }
    Ok(())
}

fn succeeded(deployment: &Deployment) -> anyhow::Result<Principal> {
    match (&deployment.status, deployment.canister_id) {
        (DeploymentStatus::Succeeded, Some(canister)) => Ok(canister),
        (DeploymentStatus::Failed { step, reason: FailureReason::CallFailed(failure) }, _) => {
            bail!("the deployment failed at step {step:?}: {}: {}", failure.method, failure.message)
        }
        (DeploymentStatus::Failed { step, reason }, _) => bail!("the deployment failed at step {step:?}: {reason:?}"),
        (status, _) => bail!("the deployment did not end: {status:?}"),
    }
}

/// Returns an error as one line.
pub fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the start of a hash, enough for people to tell modules apart.
fn short(hash: &Hash) -> String {
    hash.to_string()[..12].to_string()
}
