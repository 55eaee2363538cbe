//! What the largest module and the largest component cost, raw and in gzip, step by step.

use std::io::Write;

use anyhow::{anyhow, ensure};
use depot_types::{
    Hash,
    blob_store::{Encoding, ModuleKind},
    http::HttpRequest,
    limits::{MAX_MODULE_BYTES, MAX_RAW_MODULE_BYTES},
};
use flate2::{Compression, write::GzEncoder};
use serde_bytes::ByteBuf;

use super::{Figure, figures::instructions};
use crate::{depot::Depot, made};

/// Bytes of a module of one data segment besides the segment, for segments of this size.
const MODULE_OVERHEAD: usize = 28;

/// Steps of an upload, and the methods that do them.
const STEPS: [(&str, &str); 3] = [("begin", "begin_upload"), ("put_chunks", "put_chunk"), ("commit", "commit_upload")];

pub(super) fn run() -> anyhow::Result<Vec<Figure>> {
    let bytes = MAX_RAW_MODULE_BYTES as usize;
    let raw = made::data_module(bytes - MODULE_OVERHEAD);
    let gzip = compressed(&made::half_compressible_module(bytes - MODULE_OVERHEAD))?;
    let mut figures = measure("raw", &raw, ModuleKind::CoreModule)?;
    figures.extend(measure("gzip", &gzip, ModuleKind::CoreModule)?);
    // Code is what takes longest to validate, and a component can be all code.
    let raw = made::code_component(bytes);
    figures.extend(measure("component_raw", &raw, ModuleKind::Component)?);
    figures.extend(measure("component_gzip", &compressed(&raw)?, ModuleKind::Component)?);
    Ok(figures)
}

fn compressed(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(module)?;
    let gzip = encoder.finish()?;
    ensure!(gzip.len() as u64 <= MAX_MODULE_BYTES, "the gzip module has {} bytes", gzip.len());
    Ok(gzip)
}

/// Uploads a module, reads it back, and returns what that cost.
fn measure(name: &str, module: &[u8], kind: ModuleKind) -> anyhow::Result<Vec<Figure>> {
    let depot = Depot::install()?;
    let balance = || depot.network.cycle_balance(depot.blob_store_id);
    let before = balance();
    let info = depot.upload(module, |_| ())?;
    let cycles = before - balance();
    ensure!((info.kind, info.raw_size) == (kind, MAX_RAW_MODULE_BYTES), "{info:?}");
    ensure!((info.encoding == Encoding::Gzip) == name.ends_with("gzip"), "{:?}", info.encoding);
    ensure!(info.is_deployable() == (kind == ModuleKind::CoreModule), "{:?}", info.obstacles);
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
    figures.push(Figure::new(&name("heap_bytes"), heap_bytes(&depot)? as f64, "bytes"));
    Ok(figures)
}

/// Returns the memory that the blob store has. It never becomes less, so it is the most that it had.
fn heap_bytes(depot: &Depot) -> anyhow::Result<u64> {
    let request = HttpRequest {
        method: "GET".to_string(),
        url: "/metrics".to_string(),
        headers: vec![],
        body: ByteBuf::new(),
        certificate_version: None,
    };
    let response = depot.blob_store().http_request(&request).map_err(|reject| anyhow!("{reject}"))?;
    let text = String::from_utf8(response.body.into_vec())?;
    let found = text.lines().find_map(|line| line.strip_prefix("blob_store_heap_memory_bytes "));
    Ok(found.ok_or_else(|| anyhow!("the metrics have no heap:\n{text}"))?.parse()?)
}
