//! What the largest module costs, raw and in gzip, step by step.

use std::io::Write;

use anyhow::{anyhow, ensure};
use depot_types::{
    Hash,
    blob_store::Encoding,
    limits::{MAX_MODULE_BYTES, MAX_RAW_MODULE_BYTES},
};
use flate2::{Compression, write::GzEncoder};

use super::{Figure, figures::instructions};
use crate::{depot::Depot, made};

/// Bytes of a module of one data segment besides the segment, for segments of this size.
const MODULE_OVERHEAD: usize = 28;

/// Steps of an upload, and the methods that do them.
const STEPS: [(&str, &str); 3] = [("begin", "begin_upload"), ("put_chunks", "put_chunk"), ("commit", "commit_upload")];

pub(super) fn run() -> anyhow::Result<Vec<Figure>> {
    let bytes = MAX_RAW_MODULE_BYTES as usize;
    let raw = made::data_module(bytes - MODULE_OVERHEAD);
    ensure!(raw.len() == bytes, "the raw module has {} bytes", raw.len());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&made::half_compressible_module(bytes - MODULE_OVERHEAD))?;
    let gzip = encoder.finish()?;
    ensure!(gzip.len() as u64 <= MAX_MODULE_BYTES, "the gzip module has {} bytes", gzip.len());
    let mut figures = measure("raw", &raw, Encoding::Raw)?;
    figures.extend(measure("gzip", &gzip, Encoding::Gzip)?);
    Ok(figures)
}

/// Uploads a module, reads it back, and returns what that cost.
fn measure(name: &str, module: &[u8], encoding: Encoding) -> anyhow::Result<Vec<Figure>> {
    let depot = Depot::install()?;
    let balance = || depot.network.cycle_balance(depot.blob_store_id);
    let before = balance();
    let info = depot.upload(module, |_| ())?;
    let cycles = before - balance();
    ensure!((info.encoding, info.raw_size) == (encoding, MAX_RAW_MODULE_BYTES), "{info:?}");
    ensure!(info.is_deployable(), "{:?}", info.obstacles);
    let mut read = Vec::with_capacity(module.len());
    for hash in &info.chunk_hashes {
        let chunk = depot.blob_store().get_chunk(*hash).map_err(|reject| anyhow!("{reject}"))?;
        read.extend(chunk.ok_or_else(|| anyhow!("the chunk {hash} is missing"))?.into_vec());
    }
    ensure!(Hash::of(&read) == info.module_hash, "the module read is another one");
    let methods = depot.blob_store().stats().map_err(|reject| anyhow!("{reject}"))?.methods;
    let name = |figure: &str| format!("blob_store.largest.{name}.{figure}");
    let mut figures = vec![
        Figure::new(&name("bytes"), module.len() as f64, "bytes"),
        Figure::new(&name("cycles"), cycles as f64, "cycles"),
    ];
    for (step, method) in STEPS {
        let count = instructions(&methods, method)?;
        figures.push(Figure::new(&name(&format!("{step}.instructions")), count as f64, "instructions"));
    }
    Ok(figures)
}
