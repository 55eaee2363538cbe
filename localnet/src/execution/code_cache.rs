//! Machine code kept in a folder from one process to the next.
//!
//! Compiling the modules of a test suite takes longer than running it, and they are mostly the same as last time. The
//! environment variable [`FOLDER_VARIABLE`] names a folder to keep them in; without it nothing is kept. The folder may
//! be deleted at any time. What lies in it is executed, so it must belong to the user alone, as a target folder does.
#![expect(unsafe_code, reason = "machine code from a file cannot be checked, see `load`")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

/// The environment variable that names the folder.
const FOLDER_VARIABLE: &str = "LOCALNET_CODE_CACHE";
/// Files kept; past that the oldest are removed.
const MAX_FILES: usize = 200;

/// Compiles a module, or takes its machine code from the folder.
///
/// # Errors
/// When the module cannot be compiled. Whatever is wrong with the folder only costs time.
pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Module> {
    match std::env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty()) {
        None => Module::new(engine, wasm),
        Some(folder) => compile_in(Path::new(&folder), engine, wasm),
    }
}

fn compile_in(folder: &Path, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Module> {
    let file = folder.join(format!("{}.bin", hex::encode(Sha256::digest(wasm))));
    if let Some(module) = load(engine, &file) {
        return Ok(module);
    }
    let module = Module::new(engine, wasm)?;
    if let Err(error) = module.serialize().map_err(io::Error::other).and_then(|code| store(&file, &code)) {
        eprintln!("localnet: machine code cannot be kept in {}: {error}", folder.display());
    }
    Ok(module)
}

/// Loads machine code, unless there is none or it was made by another version or configuration of the engine.
fn load(engine: &Engine, file: &Path) -> Option<Module> {
    if !file.exists() {
        return None;
    }
    // SAFETY: the file was written by `store` from what the engine made, whole or not at all, into a folder that the
    // user chose and that only the user writes to. The engine checks its version and configuration, not the code.
    unsafe { Module::deserialize_file(engine, file) }.ok()
}

fn store(file: &Path, code: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder)?;
    // Another process may load the file while it is written, so it appears under its name only when it is whole.
    let unfinished = folder.join(format!("{}-{}.part", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&unfinished, code)?;
    fs::rename(&unfinished, file)?;
    remove_oldest(folder, MAX_FILES)
}

fn remove_oldest(folder: &Path, keep: usize) -> io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file that another process removed meanwhile needs no thought.
        if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) {
            files.push((modified, entry.path()));
        }
    }
    files.sort();
    for (_, file) in files.iter().take(files.len().saturating_sub(keep)) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::engine::engine;

    /// A folder that is gone with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("localnet-{}-{name}", process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn files(&self) -> Vec<PathBuf> {
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // What stays in the temporary folder does no harm.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn should_load_what_it_compiled_before() {
        let folder = Folder::new("load");
        let wasm = wat::parse_str("(module (func (export \"f\")))").unwrap();
        compile_in(&folder.0, engine(false), &wasm).unwrap();
        let files = folder.files();
        assert_eq!(files.len(), 1);
        assert!(load(engine(false), &files[0]).is_some());
        assert_eq!(compile_in(&folder.0, engine(false), &wasm).unwrap().exports().count(), 1);
        assert_eq!(folder.files(), files);
    }

    #[test]
    fn should_compile_anew_what_another_engine_made() {
        let folder = Folder::new("engine");
        let wasm = wat::parse_str("(module (func (export \"f\")))").unwrap();
        compile_in(&folder.0, engine(true), &wasm).unwrap();
        assert!(load(engine(false), &folder.files()[0]).is_none());
        assert!(compile_in(&folder.0, engine(false), &wasm).is_ok());
    }

    #[test]
    fn should_compile_without_a_usable_folder() {
        let folder = Folder::new("file");
        let blocked = folder.0.join("file");
        fs::write(&blocked, "not a folder").unwrap();
        let wasm = wat::parse_str("(module)").unwrap();
        assert!(compile_in(&blocked, engine(false), &wasm).is_ok());
    }

    #[test]
    fn should_keep_a_bounded_number_of_files() {
        let folder = Folder::new("bound");
        for number in 0..5 {
            store(&folder.0.join(format!("{number}.bin")), b"code").unwrap();
        }
        remove_oldest(&folder.0, 5).unwrap();
        assert_eq!(folder.files().len(), 5);
        remove_oldest(&folder.0, 3).unwrap();
        assert_eq!(folder.files().len(), 3);
    }
}
