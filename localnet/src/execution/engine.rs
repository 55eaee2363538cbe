//! The Wasm engine and its cache of compiled modules.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, OptLevel, WasmFeatures};

use super::{
    CompiledModule,
    heap::{GUARD_BYTES, HeapCreator, capacity},
    weights::operator_cost,
};
use crate::{error::UserResult, limits::MAX_WASM_STACK};

/// Most compiled modules kept for installing again.
const MAX_CACHED_MODULES: usize = 256;
/// Most bytes of uploaded modules that the cached ones came from; compiled code is a small multiple of it.
const MAX_CACHED_BYTES: usize = 512 << 20;

/// What modules may use. References other than to functions are left out: the engine is built without them.
const FEATURES: WasmFeatures =
    WasmFeatures::WASM2.difference(WasmFeatures::GC_TYPES).union(WasmFeatures::MEMORY64).union(WasmFeatures::TAIL_CALL);

static ENGINE32: LazyLock<Engine> = LazyLock::new(|| make_engine(false));
static ENGINE64: LazyLock<Engine> = LazyLock::new(|| make_engine(true));

/// Returns the engine for modules with a 32-bit or a 64-bit memory: their instructions weigh differently.
pub(super) fn engine(wasm64: bool) -> &'static Engine {
    if wasm64 { &ENGINE64 } else { &ENGINE32 }
}

fn make_engine(wasm64: bool) -> Engine {
    let mut config = Config::new();
    config
        .wasm_features(!FEATURES, false)
        .wasm_features(FEATURES, true)
        .cranelift_nan_canonicalization(true)
        // Canisters come optimised. Optimising again makes compiling a quarter slower, for code that tests run briefly.
        .cranelift_opt_level(OptLevel::None)
        .consume_fuel(true)
        .operator_cost(operator_cost(wasm64))
        .max_wasm_stack(MAX_WASM_STACK)
        // Unused, but the engine demands that it is no less.
        .async_stack_size(MAX_WASM_STACK)
        .wasm_backtrace_max_frames(None)
        .memory_init_cow(false)
        .memory_may_move(false)
        .memory_reservation(capacity(wasm64))
        .memory_guard_size(GUARD_BYTES)
        .with_host_memory(Arc::new(HeapCreator));
    Engine::new(&config).expect("the configuration is constant and supported on 64-bit Linux")
}

/// The modules compiled last, least recently used first.
static CACHE: Mutex<VecDeque<Arc<CompiledModule>>> = Mutex::new(VecDeque::new());

/// Decodes, validates and compiles a module (raw or gzip), or answers the one compiled before from the same bytes.
///
/// # Errors
/// `CanisterInvalidWasm` with the reason, as the replica gives it.
pub(crate) fn compile(bytes: &[u8]) -> UserResult<Arc<CompiledModule>> {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(module) = find(&hash) {
        return Ok(module);
    }
    // Compiling takes seconds for a large module and uses all processors: other modules wait a little, and a thread
    // that comes with the same module finds it compiled.
    let _compiling = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = find(&hash) {
        return Ok(module);
    }
    let module = Arc::new(CompiledModule::new(hash, bytes)?);
    remember(Arc::clone(&module));
    Ok(module)
}

/// Held while a module is compiled.
static COMPILING: Mutex<()> = Mutex::new(());

fn find(hash: &[u8; 32]) -> Option<Arc<CompiledModule>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = cache.iter().position(|module| module.hash() == *hash)?;
    let module = cache.remove(index)?;
    cache.push_back(Arc::clone(&module));
    Some(module)
}

fn remember(module: Arc<CompiledModule>) {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    cache.push_back(module);
    let mut bytes: usize = cache.iter().map(|module| module.uploaded_bytes()).sum();
    while cache.len() > MAX_CACHED_MODULES || (bytes > MAX_CACHED_BYTES && cache.len() > 1) {
        bytes -= cache.pop_front().map_or(0, |module| module.uploaded_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_answer_the_same_module_for_the_same_bytes() {
        let wasm = wat::parse_str("(module (func (export \"canister_init\")))").unwrap();
        let first = compile(&wasm).unwrap();
        let second = compile(&wasm).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.hash(), <[u8; 32]>::from(Sha256::digest(&wasm)));
    }

    #[test]
    fn should_keep_a_bounded_number_of_modules() {
        for number in 0..MAX_CACHED_MODULES + 5 {
            let text = format!("(module (func (export \"canister_init\")) (@custom \"bound {number}\" \"\"))");
            compile(&wat::parse_str(text).unwrap()).unwrap();
        }
        assert!(CACHE.lock().unwrap().len() <= MAX_CACHED_MODULES);
    }
}
