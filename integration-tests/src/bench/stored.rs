//! What an upload costs in a store that has much already.
//!
//! To fill a store with 100 GiB would take hours. So its stable memory is made here: an index with as many chunks as that
//! would be, and a memory of chunks of that size without anything in it. What an upload costs depends on the index and on
//! sizes, not on the bytes of other chunks.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use anyhow::{anyhow, ensure};
use blob_store::memory::{CHUNKS_MEMORY_ID, PAGES_MEMORY_ID};
use candid::Encode;
use depot_types::{Hash, blob_store::BlobStoreArgs, limits::CHUNK_BYTES};
use ic_stable_structures::{Memory, StableBTreeMap, memory_manager::MemoryManager};
use pocket_ic::common::rest::BlobCompression;

use super::{
    Figure,
    figures::{MODULE_BYTES, instructions},
    reading,
};
use crate::{depot::Depot, made, wasms};

const PAGE_BYTES: u64 = 64 << 10;
/// Pages of a bucket of the blob store's stable memory.
const BUCKET_PAGES: u16 = 256;
/// Bytes that the index and what is before it take at the most; behind it are chunks only.
const MAX_IMAGE_BYTES: usize = 64 << 20;

/// Rounds after which a canister that was just installed can be upgraded.
const ROUNDS_BETWEEN_INSTALLATIONS: usize = 20;

/// Sizes of stores, in chunks, and what they are called.
const STORES: [(&str, u64); 3] = [("0", 0), ("1_gib", 1 << 10), ("100_gib", 100 << 10)];

pub(super) fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, chunks) in STORES {
        figures.extend(measure(name, chunks)?);
    }
    Ok(figures)
}

fn measure(name: &str, chunks: u64) -> anyhow::Result<Vec<Figure>> {
    let depot = Depot::install()?;
    if chunks > 0 {
        let image = image(chunks)?;
        depot.network.set_stable_memory(depot.blob_store_id, image, BlobCompression::Gzip);
        let arg = Encode!(&None::<BlobStoreArgs>)?;
        // An installation makes the next one wait for as many rounds as its instructions take.
        for _ in 0..ROUNDS_BETWEEN_INSTALLATIONS {
            depot.network.tick();
        }
        let upgraded =
            depot.network.upgrade_canister(depot.blob_store_id, wasms::load("blob_store")?, arg, Some(depot.admin));
        upgraded.map_err(|reject| anyhow!("{reject}"))?;
    }
    let store = depot.blob_store();
    let stats = || store.stats().map_err(|reject| anyhow!("{reject}"));
    ensure!(stats()?.chunks == chunks, "the store does not have the chunks that were made");
    let module = made::seeded_data_module(chunks, MODULE_BYTES);
    let info = depot.upload(&module, |_| ())?;
    let methods = stats()?.methods;
    let per_byte = |count: u64, bytes: usize| count as f64 / bytes as f64;
    let figure = |what: &str, value: f64, unit: &str| Figure::new(&format!("blob_store.at_{name}.{what}"), value, unit);
    let unit = "instructions/byte";
    let chunk_cost = |method: &str, arg: Vec<u8>, none: Vec<u8>| -> anyhow::Result<u64> {
        let cost = |arg| reading::cost(&depot.network, depot.blob_store_id, method, arg);
        Ok(cost(arg)?.saturating_sub(cost(none)?))
    };
    let get_chunk = chunk_cost("get_chunk", Encode!(&info.chunk_hashes[1])?, Encode!(&Hash::of(b"unknown"))?)?;
    // Most of what an answer costs is handing it to the system. What reading costs is the rest.
    let replying = reading::replying()?;
    let mut figures = vec![
        figure("put_chunk.instructions_per_byte", per_byte(instructions(&methods, "put_chunk")?, module.len()), unit),
        figure("commit.instructions_per_byte", per_byte(instructions(&methods, "commit_upload")?, module.len()), unit),
        figure("get_chunk.instructions_per_byte", per_byte(get_chunk, CHUNK_BYTES as usize), unit),
        figure(
            "get_chunk.reading.instructions_per_byte",
            per_byte(get_chunk.saturating_sub(replying), CHUNK_BYTES as usize),
            unit,
        ),
    ];
    if chunks > 0 {
        let stored = (chunks * CHUNK_BYTES) as f64 + module.len() as f64;
        let overhead = (stats()?.stable_bytes as f64 / stored - 1.0) * 100.0;
        figures.push(figure("stable_memory_overhead", overhead, "percent"));
    }
    Ok(figures)
}

/// Makes the beginning of the stable memory of a store with so many chunks, in gzip; the rest is chunks.
fn image(chunks: u64) -> anyhow::Result<Vec<u8>> {
    let memory = Sparse::default();
    let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
    // The records of the blob store's index: first page, size, one reference of a module.
    let mut index = StableBTreeMap::init(manager.get(CHUNKS_MEMORY_ID));
    for number in 0..chunks {
        let page = (number * CHUNK_BYTES / PAGE_BYTES) as u32;
        let mut record = [0; 20];
        record[..4].copy_from_slice(&page.to_le_bytes());
        record[4..8].copy_from_slice(&(CHUNK_BYTES as u32 | 1 << 31).to_le_bytes());
        record[12] = 1;
        index.insert(*Hash::of(&number.to_le_bytes()).as_bytes(), record);
    }
    let pages = manager.get(PAGES_MEMORY_ID);
    ensure!(pages.grow(chunks * CHUNK_BYTES / PAGE_BYTES) >= 0, "the chunks are too large for the address space");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &memory.bytes.borrow())?;
    Ok(encoder.finish()?)
}

/// A memory of any size of which only the beginning is written.
#[derive(Clone, Default)]
struct Sparse {
    pages: Rc<Cell<u64>>,
    bytes: Rc<RefCell<Vec<u8>>>,
}

impl Memory for Sparse {
    fn size(&self) -> u64 {
        self.pages.get()
    }

    fn grow(&self, pages: u64) -> i64 {
        self.pages.replace(self.pages.get() + pages) as i64
    }

    fn read(&self, offset: u64, target: &mut [u8]) {
        target.fill(0);
        let bytes = self.bytes.borrow();
        let written = bytes.get(offset as usize..).unwrap_or_default();
        let length = written.len().min(target.len());
        target[..length].copy_from_slice(&written[..length]);
    }

    fn write(&self, offset: u64, source: &[u8]) {
        let end = offset as usize + source.len();
        assert!(end <= MAX_IMAGE_BYTES, "only the beginning of the memory is written");
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(source);
    }
}
