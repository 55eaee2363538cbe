//! Networks as they are saved, and put together again.

use std::{collections::BTreeMap, sync::Arc};

use pocket_ic::common::rest::InstanceConfig;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use super::{
    Network, Subnet,
    config::{asked_time, check_supported, rate_limits_disabled},
};
use crate::{
    canister::{Canister, Snapshot, SnapshotCode, UploadedCode},
    checkpoint::{Capture, Clock, Collector, Loaded, MemoryDocument, Source, StateError, Store},
    execution::{GlobalValue, Memories, Sandbox},
};

type Hash = ByteArray<32>;

/// What is small of a network. Written with references, read with values.
#[derive(Serialize, Deserialize)]
struct NetworkDocument<S, C> {
    /// In the order of their turns.
    subnets: Vec<SubnetDocument<S, C>>,
    submitted: u64,
}

#[derive(Serialize, Deserialize)]
struct SubnetDocument<S, C> {
    subnet: S,
    canisters: Vec<CanisterDocument<C>>,
}

#[derive(Serialize, Deserialize)]
struct CanisterDocument<C> {
    canister: C,
    code: Option<CodeDocument>,
    chunks: Vec<Hash>,
    snapshots: Vec<SnapshotDocument>,
}

/// A module with its memories.
#[derive(Serialize, Deserialize)]
struct CodeDocument {
    module: Hash,
    stable: MemoryDocument,
    /// None for a fresh heap with fresh globals.
    heap: Option<HeapDocument>,
}

#[derive(Serialize, Deserialize)]
struct HeapDocument {
    memory: MemoryDocument,
    globals: Vec<GlobalValue>,
}

#[derive(Serialize, Deserialize)]
struct SnapshotDocument {
    id: ByteBuf,
    taken_at: u64,
    version: u64,
    code: SnapshotCodeDocument,
    chunks: Vec<Hash>,
    certified_data: ByteBuf,
    global_timer: u64,
    low_memory_hook_due: bool,
    size: u64,
}

#[derive(Serialize, Deserialize)]
enum SnapshotCodeDocument {
    Taken(CodeDocument),
    Uploaded {
        module: MemoryDocument,
        module_bytes: u64,
        heap: MemoryDocument,
        stable: MemoryDocument,
        globals: Vec<GlobalValue>,
    },
}

/// Why a network cannot be put together again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Config(String),
}

impl Network {
    /// Captures all there is to the network. Time is taken by what changed in memories since the last capture.
    pub(crate) fn capture(&mut self) -> Capture {
        // Destructured so that a new field cannot be overlooked: what is not written must follow from what is.
        let Self { subnets, order, routes: _, root: _, root_key: _, time, last_round, submitted, certification: _ } =
            self;
        let clock = Clock { time: *time, last_round: *last_round };
        let mut collector = Collector::default();
        // Two steps, since heaps need the sandboxes for themselves and documents only look at the canisters.
        let mut codes: BTreeMap<_, _> = BTreeMap::new();
        for subnet in subnets.values_mut() {
            for canister in subnet.canisters.values_mut() {
                if let Some(sandbox) = &mut canister.sandbox {
                    codes.insert(canister.id, code_document(sandbox, &mut collector));
                }
            }
        }
        let mut documents = Vec::with_capacity(order.len());
        for subnet in order.iter().filter_map(|id| subnets.get(id)) {
            let canisters = subnet.canisters.values().map(|canister| CanisterDocument {
                code: codes.remove(&canister.id),
                chunks: canister
                    .chunks
                    .iter()
                    .map(|(hash, chunk)| chunk_document(*hash, chunk, &mut collector))
                    .collect(),
                snapshots: canister
                    .snapshots
                    .iter()
                    .map(|(id, snapshot)| snapshot_document(id, snapshot, &mut collector))
                    .collect(),
                canister,
            });
            documents.push(SubnetDocument { canisters: canisters.collect(), subnet });
        }
        collector.finish(clock, &NetworkDocument { subnets: documents, submitted: *submitted })
    }

    /// Puts a network together as it was captured. Of the configuration only what is no part of the state counts.
    ///
    /// # Errors
    /// When the state is damaged, or this version of localnet cannot go on with it, or the configuration asks for what
    /// cannot be.
    pub(crate) fn restore(config: &InstanceConfig, store: &mut Store, loaded: &Loaded) -> Result<Self, RestoreError> {
        check_supported(config).map_err(RestoreError::Config)?;
        let asked = asked_time(config).map_err(RestoreError::Config)?;
        let document: NetworkDocument<Subnet, Canister> = loaded.document()?;
        let mut source = Source::new(store, loaded)?;
        let mut subnets = Vec::with_capacity(document.subnets.len());
        for (index, SubnetDocument { subnet, canisters }) in document.subnets.into_iter().enumerate() {
            let mut subnet = renew(subnet, index).map_err(|what| loaded.unusable(what))?;
            subnet.rate_limits_disabled |= rate_limits_disabled(config);
            for document in canisters {
                let canister = restore_canister(document, &mut source, loaded)?;
                subnet.canisters.insert(canister.id, canister);
            }
            subnets.push(subnet);
        }
        let leaves = source.into_leaves();
        let mut network = Self::of_subnets(subnets, loaded.clock.time).map_err(|what| loaded.unusable(what))?;
        network.last_round = loaded.clock.last_round;
        network.submitted = document.submitted;
        // Time never goes back; an earlier one is over.
        network.time = network.time.max(asked.unwrap_or_default());
        store.know_leaves(&leaves);
        Ok(network)
    }
}

/// Makes the subnet anew that a document describes, so that what follows from its kind is what this version of
/// localnet makes of it, and gives it its state.
fn renew(state: Subnet, index: usize) -> Result<Subnet, String> {
    let fresh = Subnet::new(state.kind, state.spec.clone(), index as u64);
    if fresh.id != state.id {
        return Err(format!("subnet {index} was {} and would be {} now", state.id, fresh.id));
    }
    Ok(Subnet {
        public_key: fresh.public_key,
        cost_model: fresh.cost_model,
        instruction_limits: fresh.instruction_limits,
        rate_limits_disabled: fresh.rate_limits_disabled,
        ..state
    })
}

fn chunk_document(hash: [u8; 32], chunk: &Arc<Vec<u8>>, collector: &mut Collector) -> Hash {
    collector.chunk(hash, chunk);
    Hash::new(hash)
}

fn code_document(sandbox: &mut Sandbox, collector: &mut Collector) -> CodeDocument {
    let leaves = sandbox.heap_leaves();
    CodeDocument {
        module: Hash::new(collector.module(sandbox.module())),
        stable: collector.memory(sandbox.stable()),
        heap: Some(HeapDocument {
            memory: collector.heap(sandbox.heap_bytes(), leaves),
            globals: sandbox.globals().to_vec(),
        }),
    }
}

fn snapshot_document(id: &[u8], snapshot: &Snapshot, collector: &mut Collector) -> SnapshotDocument {
    let Snapshot { taken_at, version, code, chunks, certified_data, global_timer, low_memory_hook_due, size } =
        snapshot;
    let code = match code {
        SnapshotCode::Taken { module, memories } => SnapshotCodeDocument::Taken(CodeDocument {
            module: Hash::new(collector.module(module)),
            stable: collector.memory(&memories.stable),
            heap: memories
                .heap()
                .map(|heap| HeapDocument { memory: collector.memory(heap), globals: memories.globals().to_vec() }),
        }),
        SnapshotCode::Uploaded(UploadedCode { module, module_bytes, heap, stable, globals }) => {
            SnapshotCodeDocument::Uploaded {
                module: collector.memory(module),
                module_bytes: *module_bytes,
                heap: collector.memory(heap),
                stable: collector.memory(stable),
                globals: globals.clone(),
            }
        }
    };
    SnapshotDocument {
        id: ByteBuf::from(id),
        taken_at: *taken_at,
        version: *version,
        code,
        chunks: chunks.iter().map(|(hash, chunk)| chunk_document(*hash, chunk, collector)).collect(),
        certified_data: ByteBuf::from(certified_data.clone()),
        global_timer: *global_timer,
        low_memory_hook_due: *low_memory_hook_due,
        size: *size,
    }
}

fn restore_canister(
    document: CanisterDocument<Canister>,
    source: &mut Source<'_>,
    loaded: &Loaded,
) -> Result<Canister, StateError> {
    let CanisterDocument { mut canister, code, chunks, snapshots } = document;
    canister.sandbox = code.map(|code| restore_code(&code, source, loaded)).transpose()?;
    for hash in chunks {
        canister.chunks.insert(*hash, source.chunk(&hash)?);
    }
    for snapshot in snapshots {
        let id = snapshot.id.to_vec();
        canister.snapshots.insert(id, restore_snapshot(snapshot, source, loaded)?);
    }
    Ok(canister)
}

fn restore_code(code: &CodeDocument, source: &mut Source<'_>, loaded: &Loaded) -> Result<Sandbox, StateError> {
    let module = source.module(&code.module)?;
    let stable = source.memory(&code.stable)?;
    let Some(heap) = &code.heap else {
        return Sandbox::new(module, Memories::fresh(stable)).map_err(|error| loaded.unusable(error));
    };
    let (content, pieces) = source.heap(&heap.memory)?;
    let memories = Memories::from_parts(&module, stable, content, heap.globals.clone());
    let memories = memories.map_err(|error| loaded.unusable(error))?;
    let memories = memories.ok_or_else(|| loaded.unusable("a heap or its globals do not fit the module"))?;
    let sandbox = Sandbox::new(module, memories).map_err(|error| loaded.unusable(error))?;
    sandbox.mark_heap_saved(pieces);
    Ok(sandbox)
}

fn restore_snapshot(
    document: SnapshotDocument,
    source: &mut Source<'_>,
    loaded: &Loaded,
) -> Result<Snapshot, StateError> {
    let code = match document.code {
        SnapshotCodeDocument::Taken(code) => {
            let module = source.module(&code.module)?;
            let stable = source.memory(&code.stable)?;
            let memories = match code.heap {
                None => Memories::fresh(stable),
                Some(heap) => {
                    let content = source.memory(&heap.memory)?;
                    let memories = Memories::from_parts(&module, stable, content, heap.globals);
                    let memories = memories.map_err(|error| loaded.unusable(error))?;
                    memories.ok_or_else(|| loaded.unusable("the heap of a snapshot does not fit its module"))?
                }
            };
            SnapshotCode::Taken { module, memories }
        }
        SnapshotCodeDocument::Uploaded { module, module_bytes, heap, stable, globals } => {
            SnapshotCode::Uploaded(UploadedCode {
                module: source.memory(&module)?,
                module_bytes,
                heap: source.memory(&heap)?,
                stable: source.memory(&stable)?,
                globals,
            })
        }
    };
    let mut chunks = BTreeMap::new();
    for hash in &document.chunks {
        chunks.insert(**hash, source.chunk(hash)?);
    }
    Ok(Snapshot {
        taken_at: document.taken_at,
        version: document.version,
        code,
        chunks,
        certified_data: document.certified_data.into_vec(),
        global_timer: document.global_timer,
        low_memory_hook_due: document.low_memory_hook_due,
        size: document.size,
    })
}
