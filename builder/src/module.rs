//! Turns what the compiler made into the module that is installed: smaller, self-describing, compressed.

use std::{io::Write, path::Path};

use anyhow::{Context, anyhow};
use candid::{TypeEnv, pretty::candid::pp_init_args, types::Type};
use candid_parser::{
    bindings::analysis::chase_types,
    utils::{CandidSource, instantiate_candid},
};
use flate2::{Compression, GzBuilder};
use ic_wasm::{
    metadata::{Kind, add_metadata},
    shrink::shrink,
    utils::parse_wasm,
};

/// Width of the pretty-printed init arguments, in columns.
const ARGS_WIDTH: usize = 100;

/// The gzip header's value for an unknown operating system, which is the same on all of them.
const UNKNOWN_OPERATING_SYSTEM: u8 = 255;

/// What a module says about itself, in sections that everybody can read.
pub(crate) struct Metadata {
    /// `candid:service`: the interface, as written for readers.
    service: String,
    /// `candid:args`: the types of the init arguments.
    args: String,
    /// `depot:version`: the version of this project.
    version: String,
}

/// A module before and after compression.
pub(crate) struct Packed {
    /// Size of the module inside the compressed one, in bytes.
    pub(crate) raw_bytes: usize,
    /// The compressed module.
    pub(crate) gzip: Vec<u8>,
}

impl Metadata {
    /// Describes a module of the given interface, which was read from `path`.
    ///
    /// # Errors
    /// When the interface is not valid Candid or has no service.
    pub(crate) fn new(path: &Path, service: String, version: &str) -> anyhow::Result<Self> {
        let (args, (env, _)) = instantiate_candid(CandidSource::File(path))
            .map_err(|error| anyhow!("the interface {} is not valid: {error}", path.display()))?;
        let args = init_args(&env, &args)?;
        Ok(Self { service, args, version: version.to_owned() })
    }
}

/// Writes the types of init arguments as Candid text, with the definitions they need and no others.
fn init_args(env: &TypeEnv, args: &[Type]) -> anyhow::Result<String> {
    let needed = chase_types(env, args).map_err(|error| anyhow!("an init argument has an unknown type: {error}"))?;
    let definitions = env.0.iter().filter(|(name, _)| needed.contains(&name.as_str()));
    let env = TypeEnv(definitions.map(|(name, ty)| (name.clone(), ty.clone())).collect());
    Ok(pp_init_args(&env, args).pretty(ARGS_WIDTH).to_string())
}

/// Removes names and unused functions from `wasm`, embeds `metadata` and compresses the result.
///
/// # Errors
/// When `wasm` is not a module.
pub(crate) fn pack(wasm: &[u8], metadata: &Metadata) -> anyhow::Result<Packed> {
    let keep_names = false;
    let mut module = parse_wasm(wasm, keep_names).context("the compiler's module cannot be read")?;
    shrink(&mut module);
    for (name, text) in
        [("candid:service", &metadata.service), ("candid:args", &metadata.args), ("depot:version", &metadata.version)]
    {
        add_metadata(&mut module, Kind::Public, name, text.clone().into_bytes());
    }
    let raw = module.emit_wasm();
    Ok(Packed { raw_bytes: raw.len(), gzip: compress(&raw)? })
}

/// Compresses without file name, time or operating system: equal bytes stay equal.
fn compress(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder =
        GzBuilder::new().mtime(0).operating_system(UNKNOWN_OPERATING_SYSTEM).write(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).context("cannot compress the module")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use ic_wasm::metadata::{get_metadata, list_metadata};

    use super::*;

    const INTERFACE: &str = "
        type Unused = record { a : nat };
        type Inner = record { start : opt nat64 };
        type Args = variant { Init : Inner };
        service : (opt Args, text) -> { get : () -> (Unused) query };
    ";

    fn metadata(interface: &str) -> anyhow::Result<Metadata> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.did");
        std::fs::write(&path, interface).unwrap();
        Metadata::new(&path, interface.to_owned(), "1.2.3")
    }

    fn unpack(packed: &Packed) -> Vec<u8> {
        let mut raw = Vec::new();
        GzDecoder::new(packed.gzip.as_slice()).read_to_end(&mut raw).unwrap();
        raw
    }

    #[test]
    fn should_tell_the_init_arguments_with_only_the_definitions_they_need() {
        let args = metadata(INTERFACE).unwrap().args;
        assert_eq!(
            args,
            "type Args = variant { Init : Inner };\ntype Inner = record { start : opt nat64 };\n(opt Args, text)"
        );
    }

    #[test]
    fn should_tell_the_absence_of_init_arguments() {
        assert_eq!(metadata("service : { get : () -> (nat) query }").unwrap().args, "()");
    }

    #[test]
    fn should_reject_interfaces_without_service() {
        assert!(metadata("type A = nat;").is_err());
        assert!(metadata("service : { get : () -> (Missing) }").is_err());
    }

    #[test]
    fn should_embed_metadata_and_drop_names_and_unused_functions() {
        let wasm = wat::parse_str(
            r#"(module
                (func $used (export "canister_query get") (call $also_used))
                (func $also_used)
                (func $unused (drop (i32.const 123456789))))"#,
        )
        .unwrap();
        let packed = pack(&wasm, &metadata(INTERFACE).unwrap()).unwrap();
        let raw = unpack(&packed);
        assert_eq!(raw.len(), packed.raw_bytes);

        let module = parse_wasm(&raw, true).unwrap();
        assert_eq!(module.funcs.iter().count(), 2);
        assert!(module.funcs.iter().all(|function| function.name.is_none()));
        let mut sections = list_metadata(&module);
        sections.sort_unstable();
        assert_eq!(sections, ["icp:public candid:args", "icp:public candid:service", "icp:public depot:version"]);
        assert_eq!(get_metadata(&module, "candid:service").unwrap().as_ref(), INTERFACE.as_bytes());
        assert_eq!(get_metadata(&module, "depot:version").unwrap().as_ref(), b"1.2.3");
    }

    #[test]
    fn should_give_equal_bytes_for_equal_input() {
        let wasm = wat::parse_str(r#"(module (func (export "canister_update a")))"#).unwrap();
        let metadata = metadata(INTERFACE).unwrap();
        assert_eq!(pack(&wasm, &metadata).unwrap().gzip, pack(&wasm, &metadata).unwrap().gzip);
    }

    #[test]
    fn should_compress_without_time_name_and_system() {
        let header = &compress(b"bytes").unwrap()[..10];
        // RFC 1952: magic, method, no flags (so no name), four bytes of time, compression level, operating system.
        assert_eq!(header, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, UNKNOWN_OPERATING_SYSTEM]);
    }

    #[test]
    fn should_reject_what_is_not_a_module() {
        assert!(pack(b"not wasm", &metadata(INTERFACE).unwrap()).is_err());
    }
}
