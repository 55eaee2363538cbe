//! An installed module with its memories: runs messages and commits or undoes what they did.

use std::{collections::BTreeMap, fmt, io, mem::discriminant, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};
use wasmtime::{Func, Global, Instance, Memory, Ref, Store, Table, V128, Val};

use super::{
    Closure, CompiledModule, Effects, Entry, Environment, Keep, Outcome, StableMemory,
    engine::engine,
    heap::{Heap, capacity, capture},
    heap_leaves::HeapLeaf,
    module::{MEMORY_EXPORT, TABLE_EXPORT, entry_export, global_export},
    stable::{PAGE_BYTES, WASM_PAGE_BYTES},
    system_api::{Halt, HostState, Mode, Run},
};
use crate::error::{ErrorCode, UserError, UserResult};

/// Heap, globals and stable memory of a canister, detached from running code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memories {
    /// Stable memory.
    pub stable: StableMemory,
    /// Heap and globals; `None` for a fresh heap with the module's data segments.
    heap: Option<Arc<HeapImage>>,
}

/// A heap detached from running code.
#[derive(Debug)]
struct HeapImage {
    /// The content, kept in the form of stable memory for its sharing of pages.
    content: StableMemory,
    /// Mutable globals in order.
    globals: Vec<GlobalValue>,
    /// Hash of the module that the globals belong to; none when they are to be as a module defines them.
    module: Option<[u8; 32]>,
}

impl Memories {
    /// Returns a fresh heap beside the stable memory given.
    pub(crate) fn fresh(stable: StableMemory) -> Self {
        Self { stable, heap: None }
    }

    /// Puts memories together from their parts, to run the module given.
    ///
    /// Answers `None` when the globals are not those that the module can change, in number and type, or when the heap
    /// is larger than one of the module can be.
    pub(crate) fn from_parts(
        module: &Arc<CompiledModule>,
        stable: StableMemory,
        heap: StableMemory,
        globals: Vec<GlobalValue>,
    ) -> UserResult<Option<Self>> {
        let fresh = Sandbox::new(Arc::clone(module), Self::default())?;
        let same_types = fresh.globals.len() == globals.len()
            && fresh.globals.iter().zip(&globals).all(|(one, other)| discriminant(one) == discriminant(other));
        if !same_types || heap.bytes() > capacity(module.is_wasm64()) {
            return Ok(None);
        }
        let image = HeapImage { content: heap, globals, module: Some(module.hash()) };
        Ok(Some(Self { stable, heap: Some(Arc::new(image)) }))
    }

    /// Returns the heap, unless it is a fresh one.
    pub(crate) fn heap(&self) -> Option<&StableMemory> {
        self.heap.as_ref().map(|heap| &heap.content)
    }

    /// Returns the values of the globals that the module can change, unless they are fresh.
    pub(crate) fn globals(&self) -> &[GlobalValue] {
        self.heap.as_ref().map_or(&[], |heap| &heap.globals)
    }

    /// Forgets the globals: they will be as the module that takes the memories over defines them.
    pub(crate) fn without_globals(self) -> Self {
        let fresh =
            |heap: Arc<HeapImage>| HeapImage { content: heap.content.clone(), globals: Vec::new(), module: None };
        Self { heap: self.heap.map(|heap| Arc::new(fresh(heap))), ..self }
    }
}

/// The value of a global that the module can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GlobalValue {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// A vector.
    V128(u128),
}

impl GlobalValue {
    /// Returns the value; modules with references in globals are refused, so every value is one.
    fn of(value: &Val) -> Option<Self> {
        match value {
            Val::I32(value) => Some(Self::I32(*value)),
            Val::I64(value) => Some(Self::I64(*value)),
            Val::F32(bits) => Some(Self::F32(*bits)),
            Val::F64(bits) => Some(Self::F64(*bits)),
            Val::V128(value) => Some(Self::V128(value.as_u128())),
            _ => None,
        }
    }
}

impl From<GlobalValue> for Val {
    fn from(value: GlobalValue) -> Self {
        match value {
            GlobalValue::I32(value) => Val::I32(value),
            GlobalValue::I64(value) => Val::I64(value),
            GlobalValue::F32(bits) => Val::F32(bits),
            GlobalValue::F64(bits) => Val::F64(bits),
            GlobalValue::V128(value) => Val::V128(V128::from(value)),
        }
    }
}

/// What a message changed, detached from running code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Offsets and contents of the pages of the heap that changed.
    pages: Vec<(u64, Vec<u8>)>,
    /// Bytes of the heap afterwards.
    heap_bytes: u64,
    /// Mutable globals in order.
    globals: Vec<GlobalValue>,
    /// Stable memory, all of it.
    #[serde(with = "super::stable::pages")]
    stable: StableMemory,
}

/// The state to return to when a message, or all that was held, is undone.
struct Checkpoint {
    stable: StableMemory,
    globals: Vec<GlobalValue>,
    heap_bytes: usize,
    /// Pages that differed from the committed ones, with their content.
    held_pages: Vec<(Range<usize>, Vec<u8>)>,
}

/// A running instance and what the sandbox reaches of it.
struct Running {
    store: Store<HostState>,
    instance: Instance,
    memory: Option<Memory>,
    heap: Option<Arc<Heap>>,
    table: Option<Table>,
    globals: Vec<Global>,
}

/// An installed module with its memories.
pub(crate) struct Sandbox {
    module: Arc<CompiledModule>,
    running: Running,
    /// The mutable globals as the last message left them.
    globals: Vec<GlobalValue>,
    /// The committed state, while changes are held.
    held: Option<Checkpoint>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sandbox")
            .field("module", &self.module)
            .field("heap_bytes", &self.heap_bytes())
            .field("stable", self.stable())
            .finish_non_exhaustive()
    }
}

/// Takes the result of an operation on mappings that this process owns. Were one refused, the canister's memory would
/// be in an unknown state, and going on would show it as the canister's.
fn mapped<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("the operating system refused to manage a heap: {error}"))
}

impl Running {
    /// Instantiates the module over a heap, or over a new one.
    fn new(module: &CompiledModule, stable: StableMemory, heap: Option<Arc<Heap>>) -> wasmtime::Result<Self> {
        let wasm64 = module.is_wasm64();
        let mut store = Store::new(engine(wasm64), HostState { stable, wasm64, ..HostState::default() });
        store.limiter(|state| state);
        // Writing segments takes fuel too; it is no instruction of the canister.
        store.set_fuel(u64::MAX)?;
        let (instance, heap) = capture(heap, || module.instance().instantiate(&mut store));
        let instance = instance?;
        let memory = instance.get_memory(&mut store, MEMORY_EXPORT);
        let table = instance.get_table(&mut store, TABLE_EXPORT);
        let globals = (0..module.mutable_globals())
            .filter_map(|rank| instance.get_global(&mut store, &global_export(rank)))
            .collect();
        store.data_mut().memory = memory;
        Ok(Self { store, instance, memory, heap, table, globals })
    }

    /// Returns the ranges of the heap that differ from the committed ones.
    fn dirty(&mut self) -> Vec<Range<usize>> {
        self.heap.as_ref().map_or_else(Vec::new, |heap| mapped(heap.dirty(&mut self.store)))
    }

    fn commit(&mut self, dirty: &[Range<usize>]) {
        if let Some(heap) = &self.heap {
            mapped(heap.commit(&mut self.store, dirty));
        }
    }

    fn discard(&mut self, dirty: &[Range<usize>]) {
        if let Some(heap) = &self.heap {
            mapped(heap.discard(&mut self.store, dirty));
        }
    }

    fn heap_bytes(&self) -> usize {
        self.heap.as_ref().map_or(0, |heap| heap.bytes())
    }

    /// Returns the bytes of the heap as Wasm sees them.
    fn content(&self) -> &[u8] {
        self.memory.map_or(&[], |memory| memory.data(&self.store))
    }

    /// Copies what is in the heap; pages that were never written to take no space.
    fn copy_heap(&mut self) -> StableMemory {
        let dirty = self.dirty();
        let mut copy = StableMemory::zeroed(self.heap_bytes() as u64 / WASM_PAGE_BYTES);
        let Some(heap) = &self.heap else { return copy };
        let content = self.content();
        for range in heap.written(&dirty) {
            for offset in range.step_by(PAGE_BYTES) {
                let page = &content[offset..offset + PAGE_BYTES];
                if page.iter().any(|byte| *byte != 0) {
                    copy.write(offset as u64, page);
                }
            }
        }
        copy
    }

    fn globals(&mut self) -> Vec<GlobalValue> {
        self.globals.iter().filter_map(|global| GlobalValue::of(&global.get(&mut self.store))).collect()
    }

    fn set_globals(&mut self, values: &[GlobalValue]) {
        for (global, value) in self.globals.iter().zip(values) {
            global.set(&mut self.store, Val::from(*value)).expect("the value was read from the same mutable global");
        }
    }

    /// Writes pages that were held, over whatever is there.
    fn put_back(&mut self, pages: &[(Range<usize>, Vec<u8>)]) {
        let Some(memory) = self.memory else { return };
        let content = memory.data_mut(&mut self.store);
        for (range, bytes) in pages {
            content[range.clone()].copy_from_slice(bytes);
        }
    }

    /// Makes the heap at least as large as a message made it before.
    fn grow(&mut self, bytes: u64) {
        let Some(memory) = self.memory else { return };
        let missing = bytes.saturating_sub(self.heap_bytes() as u64) / WASM_PAGE_BYTES;
        if missing > 0 {
            memory.grow(&mut self.store, missing).expect("the heap was as large before, and no message limits it now");
        }
    }

    /// Makes the heap as large as it was before it grew. The pages behind must have been discarded.
    fn shrink(&mut self, bytes: usize) {
        let (Some(heap), Some(memory)) = (&self.heap, self.memory) else { return };
        if heap.bytes() > bytes {
            mapped(heap.shrink(&mut self.store, bytes));
            // Growing by nothing makes the engine read the size of the memory again.
            memory.grow(&mut self.store, 0).expect("growing by nothing succeeds");
        }
    }

    /// Finds the function that an entry runs; `None` when the module need not have it and does not.
    fn function(&mut self, entry: &Entry) -> Result<Option<Func>, Halt> {
        let missing = |kind, name: &String| Halt::NoMethod { kind, name: name.clone() };
        let found = match entry {
            Entry::Callback { closure, .. } | Entry::Cleanup { closure, .. } => {
                return self.callback(closure).map(Some);
            }
            _ => entry_export(entry).and_then(|name| self.instance.get_func(&mut self.store, &name)),
        };
        match (found, entry) {
            (None, Entry::Update { method }) => Err(missing("update", method)),
            (None, Entry::Query { method, .. }) => Err(missing("query", method)),
            (None, Entry::CompositeQuery { method }) => Err(missing("composite_query", method)),
            (found, _) => Ok(found),
        }
    }

    fn callback(&mut self, closure: &Closure) -> Result<Func, Halt> {
        let element = self.table.and_then(|table| table.get(&mut self.store, closure.function));
        match element {
            Some(Ref::Func(Some(function))) => Ok(function),
            _ => Err(Halt::NoFunction(closure.function)),
        }
    }

    /// Calls the function of an entry with its environment, if it takes one.
    fn call(&mut self, entry: &Entry, function: Func, limit: u64) -> Result<(), Halt> {
        let mismatch = |_| Halt::Contract("function invocation does not match its signature".to_owned());
        let environment = match entry {
            Entry::Callback { closure, .. } | Entry::Cleanup { closure, .. } => Some(closure.environment),
            _ => None,
        };
        let result = match environment {
            None => function.typed::<(), ()>(&self.store).map_err(mismatch)?.call(&mut self.store, ()),
            Some(environment) if self.store.data().wasm64 => {
                function.typed::<u64, ()>(&self.store).map_err(mismatch)?.call(&mut self.store, environment)
            }
            // The environment came from a 32-bit module, so nothing is cut off.
            Some(environment) => {
                function.typed::<u32, ()>(&self.store).map_err(mismatch)?.call(&mut self.store, environment as u32)
            }
        };
        result.map_err(|error| Halt::from_failure(&error, limit))
    }
}

impl Sandbox {
    /// Makes the memories ready to run the module. Runs no code of the canister: `Entry::Start` does.
    ///
    /// A heap that comes from another module is kept as it is, with the globals of the new module.
    ///
    /// # Errors
    /// `CanisterInvalidWasm` when data segments do not fit, `CanisterOutOfMemory`.
    pub(crate) fn new(module: Arc<CompiledModule>, memories: Memories) -> UserResult<Self> {
        let out_of_memory = |error: &dyn fmt::Display| {
            UserError::new(
                ErrorCode::CanisterOutOfMemory,
                format!("Canister exceeded its allowed memory allocation: {error}"),
            )
        };
        let image = memories.heap;
        let heap = match (&image, module.memory_pages()) {
            (None, _) | (_, None) => None,
            (Some(image), Some(least)) => {
                let pages = image.content.wasm_pages().max(least);
                let bytes = (pages * WASM_PAGE_BYTES) as usize;
                Some(Heap::zeroed(module.is_wasm64(), bytes).map_err(|error| out_of_memory(&error))?)
            }
        };
        let mut running = Running::new(&module, memories.stable, heap).map_err(|error| match error.downcast_ref() {
            Some(wasmtime::Trap::MemoryOutOfBounds | wasmtime::Trap::TableOutOfBounds) => UserError::new(
                ErrorCode::CanisterInvalidWasm,
                "Canister's Wasm module is not valid: a segment does not fit into its memory or table",
            ),
            _ => out_of_memory(&error),
        })?;
        let dirty = running.dirty();
        match image {
            // Instantiation wrote the data segments: they are the first content.
            None => running.commit(&dirty),
            // They are not wanted over a heap that has a past.
            Some(image) => {
                running.discard(&dirty);
                if let Some(heap) = &running.heap {
                    for (offset, page) in image.content.written_pages() {
                        mapped(heap.load(&mut running.store, offset as usize, page));
                    }
                }
                if image.module == Some(module.hash()) {
                    running.set_globals(&image.globals);
                }
            }
        }
        let globals = running.globals();
        Ok(Self { module, running, globals, held: None })
    }

    /// Returns the module.
    pub(crate) fn module(&self) -> &Arc<CompiledModule> {
        &self.module
    }

    /// Runs one message. When it traps everything it changed is undone, also what [`Keep::Hold`] kept since the last
    /// commit is left as it was before this message.
    ///
    /// An entry point that is no method and that the module does not have does nothing and succeeds.
    pub(crate) fn execute(&mut self, entry: &Entry, environment: Environment, keep: Keep) -> Outcome {
        let checkpoint = self.checkpoint();
        let canister = environment.canister_id;
        let limit = environment.instruction_limit;
        let memory_bytes = self.heap_bytes() + self.stable().bytes();
        let run = Run::new(entry, environment, memory_bytes, self.module.is_wasm64());

        let mut ended = self.run(entry, run, limit);
        let dirty = self.running.dirty();
        let heap_pages = dirty.iter().map(ExactSizeIterator::len).sum::<usize>() / PAGE_BYTES;
        let held_pages = checkpoint.held_pages.iter().map(|(range, _)| range.len()).sum::<usize>() / PAGE_BYTES;
        let changed_pages = heap_pages.saturating_sub(held_pages) as u64 + ended.dirty_stable_pages;
        let mut changes = None;
        match (&ended.result, keep) {
            (Ok(_), Keep::CommitUpTo(limit)) if ended.instructions > limit => {
                changes = Some(Box::new(self.changes()));
                self.restore(&checkpoint, &dirty);
            }
            (Ok(_), Keep::Commit | Keep::CommitUpTo(_)) => {
                self.globals = self.running.globals();
                self.running.commit(&dirty);
                self.held = None;
            }
            (Ok(_), Keep::Hold) => {
                self.globals = self.running.globals();
                self.held.get_or_insert(Checkpoint { held_pages: Vec::new(), ..checkpoint });
            }
            (Ok(_), Keep::Discard) | (Err(_), _) => self.restore(&checkpoint, &dirty),
        }
        if self.module.drops_segments() {
            self.renew();
        }
        if let Err(halt) = &ended.result {
            ended.logs.extend(halt.log());
        }
        Outcome {
            dirty_pages: if ended.result.is_ok() && keep != Keep::Discard { changed_pages } else { 0 },
            result: ended.result.map_err(|halt| halt.into_user_error(&canister)),
            instructions: ended.instructions,
            logs: ended.logs,
            changes,
        }
    }

    /// Copies what differs from the committed state.
    fn changes(&mut self) -> Changes {
        let pages = self.dirty_pages().into_iter().map(|(range, bytes)| (range.start as u64, bytes)).collect();
        let globals = self.running.globals();
        Changes { pages, heap_bytes: self.heap_bytes(), globals, stable: self.stable().clone() }
    }

    /// Commits changes that a message made earlier and that came with its outcome. Nothing may have run since then but
    /// what left no trace, and nothing may be held.
    pub(crate) fn apply(&mut self, changes: Changes) {
        self.running.grow(changes.heap_bytes);
        let range = |offset: u64, bytes: &[u8]| offset as usize..offset as usize + bytes.len();
        let pages: Vec<_> = changes.pages.into_iter().map(|(offset, bytes)| (range(offset, &bytes), bytes)).collect();
        self.running.put_back(&pages);
        let dirty = self.running.dirty();
        self.running.commit(&dirty);
        self.running.set_globals(&changes.globals);
        self.globals = changes.globals;
        self.running.store.data_mut().stable = changes.stable;
    }

    fn run(&mut self, entry: &Entry, run: Run, limit: u64) -> Ended {
        let heap_limit = run.heap_limit();
        let heap_bytes = self.heap_bytes();
        let obeys_heap_limit = Mode::from(entry).obeys_heap_limit() && heap_limit > 0;
        let running = &mut self.running;
        let begin = |running: &mut Running| -> Result<Option<Func>, Halt> {
            if obeys_heap_limit && heap_bytes > heap_limit {
                return Err(Halt::HeapLimit { bytes: heap_bytes, limit: heap_limit });
            }
            running.function(entry)
        };
        let function = match begin(running) {
            Ok(Some(function)) => function,
            Ok(None) => return Ended::at_once(Ok(Effects::default())),
            Err(halt) => return Ended::at_once(Err(halt)),
        };
        running.store.data_mut().run = Some(Box::new(run));
        running.store.data_mut().owed_instructions = 0;
        running.store.set_fuel(limit).expect("the engine is configured to consume fuel");
        let result = running.call(entry, function, limit);
        let left = running.store.get_fuel().expect("the engine is configured to consume fuel");
        let run = running.store.data_mut().run.take();
        let dirty_stable_pages = run.as_ref().map_or(0, |run| run.dirty_stable_pages);
        let (effects, logs) = run.map_or_else(Default::default, |run| run.finish());
        let owed = running.store.data().owed_instructions;
        let instructions = (limit - left.min(limit)).saturating_add(owed).min(limit);
        Ended { result: result.map(|()| effects), instructions, dirty_stable_pages, logs }
    }

    /// Remembers the present state.
    fn checkpoint(&mut self) -> Checkpoint {
        let held_pages = if self.held.is_some() { self.dirty_pages() } else { Vec::new() };
        Checkpoint {
            stable: self.stable().clone(),
            globals: self.globals.clone(),
            heap_bytes: self.running.heap_bytes(),
            held_pages,
        }
    }

    fn dirty_pages(&mut self) -> Vec<(Range<usize>, Vec<u8>)> {
        let dirty = self.running.dirty();
        let content = self.running.content();
        dirty.into_iter().map(|range| (range.clone(), content[range].to_vec())).collect()
    }

    /// Goes back to a checkpoint; `dirty` are the pages that differ from the last commit.
    fn restore(&mut self, checkpoint: &Checkpoint, dirty: &[Range<usize>]) {
        self.running.discard(dirty);
        self.running.shrink(checkpoint.heap_bytes);
        self.running.put_back(&checkpoint.held_pages);
        self.running.set_globals(&checkpoint.globals);
        self.globals.clone_from(&checkpoint.globals);
        self.running.store.data_mut().stable = checkpoint.stable.clone();
    }

    /// Instantiates the module again over the same memories, so that segments it dropped are back.
    fn renew(&mut self) {
        let held_pages = self.dirty_pages();
        let stable = self.stable().clone();
        self.running = Running::new(&self.module, stable, self.running.heap.clone())
            .expect("the module was instantiated before, and over a heap at most as large");
        let dirty = self.running.dirty();
        self.running.discard(&dirty);
        self.running.put_back(&held_pages);
        self.running.set_globals(&self.globals);
    }

    /// Undoes held changes.
    pub(crate) fn rollback(&mut self) {
        if let Some(checkpoint) = self.held.take() {
            let dirty = self.running.dirty();
            self.restore(&checkpoint, &dirty);
        }
    }

    /// Copies the memories, for a snapshot or to carry them to other code.
    ///
    /// Held changes are in the copy.
    pub(crate) fn memories(&mut self) -> Memories {
        let image = HeapImage {
            content: self.running.copy_heap(),
            globals: self.globals.clone(),
            module: Some(self.module.hash()),
        };
        Memories { stable: self.stable().clone(), heap: Some(Arc::new(image)) }
    }

    /// Returns the committed heap by leaves of 2 MiB, to be saved; leaves never written to are not among them.
    pub(crate) fn heap_leaves(&mut self) -> BTreeMap<u64, Arc<HeapLeaf>> {
        let store = &mut self.running.store;
        self.running.heap.as_ref().map_or_else(BTreeMap::new, |heap| heap.committed_leaves(store))
    }

    /// Takes note that the leaves of the heap are saved already, under these numbers.
    pub(crate) fn mark_heap_saved(&self, saved: BTreeMap<u64, u64>) {
        if let Some(heap) = &self.running.heap {
            heap.mark_saved(saved);
        }
    }

    /// Returns the values of the globals that the module can change, as the last message left them.
    pub(crate) fn globals(&self) -> &[GlobalValue] {
        &self.globals
    }

    /// Returns the size of the heap in bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        self.running.heap_bytes() as u64
    }

    /// Returns the stable memory.
    pub(crate) fn stable(&self) -> &StableMemory {
        &self.running.store.data().stable
    }

    /// Replaces the stable memory.
    pub(crate) fn set_stable(&mut self, stable: StableMemory) {
        self.running.store.data_mut().stable = stable;
    }
}

/// How the code of a message ended, before its changes are kept or undone.
struct Ended {
    result: Result<Effects, Halt>,
    instructions: u64,
    dirty_stable_pages: u64,
    logs: Vec<String>,
}

impl Ended {
    /// Ends a message that ran no code.
    fn at_once(result: Result<Effects, Halt>) -> Self {
        Self { result, instructions: 0, dirty_stable_pages: 0, logs: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
