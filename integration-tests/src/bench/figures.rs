//! The benchmarks.

use anyhow::{anyhow, bail};
use candid::{Encode, Principal};
use depot_types::{factory::DeploymentStatus, usage::MethodUsage};
use pocket_ic::PocketIc;

use super::{Figure, history, largest, reading, stored};
use crate::{
    clients::CounterArgs,
    depot::{Depot, deploy_args, release},
    made, wasms,
};

/// A benchmark: a name that its figures start with, and what computes them.
pub(super) struct Benchmark {
    pub(super) name: &'static str,
    /// Whether it is run only when it is asked for.
    pub(super) takes_minutes: bool,
    pub(super) run: fn() -> anyhow::Result<Vec<Figure>>,
}

/// All benchmarks.
pub(super) const ALL: &[Benchmark] = &[
    Benchmark { name: "blob_store.", takes_minutes: false, run: blob_store },
    Benchmark { name: "blob_store.at_", takes_minutes: true, run: stored::run },
    Benchmark { name: "blob_store.largest.", takes_minutes: true, run: largest::run },
    Benchmark { name: "blob_store.raw_read.", takes_minutes: false, run: reading::run },
    Benchmark { name: "catalog.commit.", takes_minutes: false, run: catalog_commit },
    Benchmark { name: "catalog.", takes_minutes: false, run: history::over_paths },
    Benchmark { name: "catalog.", takes_minutes: false, run: history::over_commits },
    Benchmark { name: "catalog.", takes_minutes: true, run: history::long },
    Benchmark { name: "factory.deploy.", takes_minutes: false, run: factory_deploy },
    Benchmark { name: "wasm.", takes_minutes: false, run: wasm_sizes },
];

/// Size of the module that uploads are measured with; most of it is one data segment.
pub(super) const MODULE_BYTES: usize = 4 << 20;

fn blob_store() -> anyhow::Result<Vec<Figure>> {
    let depot = Depot::install()?;
    let module = made::data_module(MODULE_BYTES);
    let before = depot.network.cycle_balance(depot.blob_store_id);
    let info = depot.upload(&module, |_| ())?;
    let cycles = before - depot.network.cycle_balance(depot.blob_store_id);
    if info.chunk_hashes.len() < 4 {
        bail!("the module has too few chunks to measure");
    }
    let methods = depot.blob_store().stats().map_err(|reject| anyhow!("{reject}"))?.methods;
    let bytes = module.len() as f64;
    let per_byte = |method| Ok::<_, anyhow::Error>(instructions(&methods, method)? as f64 / bytes);
    Ok(vec![
        Figure::new("blob_store.put_chunk.instructions_per_byte", per_byte("put_chunk")?, "instructions/byte"),
        Figure::new("blob_store.commit.instructions_per_byte", per_byte("commit_upload")?, "instructions/byte"),
        Figure::new("blob_store.upload.cycles_per_mib", (cycles as f64 / bytes * 1_048_576.0).round(), "cycles/MiB"),
    ])
}

fn catalog_commit() -> anyhow::Result<Vec<Figure>> {
    let depot = Depot::install()?;
    let info = depot.upload(&wasms::load("counter")?, |_| ())?;
    // The first commit asks the blob store about the module; later ones know it. The later one is the common case.
    depot.set_path("apps/first.wasm", info.module_hash)?;
    let first = catalog_usage(&depot)?;
    let before = depot.network.cycle_balance(depot.catalog_id);
    depot.set_path("apps/second.wasm", info.module_hash)?;
    let cycles = before - depot.network.cycle_balance(depot.catalog_id);
    let second = catalog_usage(&depot)?;
    Ok(vec![
        Figure::new("catalog.commit.new_module.instructions", first as f64, "instructions"),
        Figure::new("catalog.commit.known_module.instructions", (second - first) as f64, "instructions"),
        Figure::new("catalog.commit.known_module.cycles", cycles as f64, "cycles"),
    ])
}

fn catalog_usage(depot: &Depot) -> anyhow::Result<u64> {
    instructions(&depot.catalog().stats().map_err(|reject| anyhow!("{reject}"))?.methods, "commit")
}

fn factory_deploy() -> anyhow::Result<Vec<Figure>> {
    let depot = Depot::install()?;
    let info = depot.upload(&wasms::load("counter")?, |_| ())?;
    depot.publish("counter", "1.0.0", info.module_hash)?;
    let (first, first_cycles) = deploy(&depot, "first")?;
    let (second, second_cycles) = deploy(&depot, "second")?;
    Ok(vec![
        Figure::new("factory.deploy.first.instructions", first as f64, "instructions"),
        Figure::new("factory.deploy.first.cycles", first_cycles as f64, "cycles"),
        Figure::new("factory.deploy.staged.instructions", (second - first) as f64, "instructions"),
        Figure::new("factory.deploy.staged.cycles", second_cycles as f64, "cycles"),
    ])
}

/// Deploys the sample; answers the instructions of all deployments so far, and the cycles that this one cost the
/// depot besides those that the new canister holds.
fn deploy(depot: &Depot, key: &str) -> anyhow::Result<(u64, u128)> {
    let before = balance(&depot.network, &[depot.factory_id]);
    let init_arg = Encode!(&CounterArgs::default())?;
    let args = deploy_args(key, release("counter", "1.0.0"), init_arg);
    let begun = depot.factory().deploy(args).map_err(|reject| anyhow!("{reject}"))?;
    let begun = begun.map_err(|error| anyhow!("the factory refuses the deployment: {error:?}"))?;
    let ended = depot.factory().settled(begun).map_err(|reject| anyhow!("{reject}"))?;
    let (DeploymentStatus::Succeeded, Some(canister)) = (&ended.status, ended.canister_id) else {
        bail!("the deployment did not succeed: {:?}", ended.status);
    };
    let cycles = before - balance(&depot.network, &[depot.factory_id, canister]);
    let methods = depot.factory().stats().map_err(|reject| anyhow!("{reject}"))?.methods;
    Ok((instructions(&methods, "deploy")?, cycles))
}

fn balance(network: &PocketIc, canisters: &[Principal]) -> u128 {
    canisters.iter().map(|id| network.cycle_balance(*id)).sum()
}

fn wasm_sizes() -> anyhow::Result<Vec<Figure>> {
    let size = |name: &str| {
        let bytes = wasms::load(name)?.len();
        Ok(Figure::new(&format!("wasm.{name}.gzip_bytes"), bytes as f64, "bytes"))
    };
    ["blob_store", "catalog", "factory"].into_iter().map(size).collect()
}

pub(super) fn instructions(methods: &[MethodUsage], method: &str) -> anyhow::Result<u64> {
    let usage = methods.iter().find(|usage| usage.method == method);
    usage.map(|usage| usage.instructions).ok_or_else(|| anyhow!("`{method}` was not counted"))
}
