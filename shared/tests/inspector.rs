//! The inspector of modules on damaged real modules and on bombs: it answers, and takes no more memory than it may.
//!
//! `PROPTEST_CASES` sets how many damaged modules are tried. Needs the modules that `scripts/build` makes.

use std::{fs, path::Path};

use depot_types::{
    Hash,
    blob_store::InvalidModule,
    limits::MAX_RAW_MODULE_BYTES,
    wasm::{Inspection, MAX_OBSTACLES, inspect},
};
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec};
use proptest::{collection::vec, prelude::*, sample::Index};

/// Damaged modules tried unless the environment says how many.
const CASES: u32 = 200;

/// Memory that the process may have used at most: twice the largest module, uncompressed, and as much for what is
/// computed from it.
const MAX_MEMORY_BYTES: u64 = 4 * MAX_RAW_MODULE_BYTES;

/// Bytes of the gzip header that the build writes: without name or other optional fields.
const GZIP_HEADER_BYTES: usize = 10;
/// Bytes of the gzip trailer.
const GZIP_TRAILER_BYTES: usize = 8;

/// Damage to a module.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    /// The largest number in LEB128, where another number may be.
    LargestNumber(Index),
    /// Cuts the end off.
    Cut(Index),
    /// Copies bytes to another place, over what is there.
    Copy(Index, Index, usize),
    /// Takes bytes out.
    Remove(Index, usize),
    /// Puts the same byte in many times.
    Insert(Index, u8, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        3 => at().prop_map(Damage::LargestNumber),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), at(), 1..10_000_usize).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
        2 => (at(), 1..100_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        2 => (at(), any::<u8>(), 1..10_000_usize).prop_map(|(at, byte, count)| Damage::Insert(at, byte, count)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let end = |start: usize, length: usize, bytes: &[u8]| (start + length).min(bytes.len());
        match self {
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::LargestNumber(at) => {
                let at = at.index(bytes.len());
                let number = [0xff, 0xff, 0xff, 0xff, 0x0f];
                let end = end(at, number.len(), bytes);
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Copy(from, to, length) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let length = end(from.max(to), *length, bytes) - from.max(to);
                bytes.copy_within(from..from + length, to);
            }
            Self::Remove(at, length) => {
                let at = at.index(bytes.len());
                bytes.drain(at..end(at, *length, bytes));
            }
            Self::Insert(at, byte, count) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, std::iter::repeat_n(*byte, *count));
            }
        }
    }
}

/// Returns a component that has a module, and types, imports and instances of its own.
fn component_of(module: &[u8]) -> Vec<u8> {
    let text = r#"(component
        (type $point (record (field "x" u32) (field "names" (list string))))
        (import "host" (instance $host
            (export "r" (type $r (sub resource)))
            (export "f" (func (param "r" (borrow $r)) (result (own $r))))))
        (alias export $host "r" (type $r))
        (component $inner (type $t (option u8)) (export $e "t" (type $t)) (type (list $e)))
        (instance $x (instantiate $inner))
        (instance $y (instantiate $inner))
        (core func (canon resource.drop $r))
        (type (component (import "a" (instance (export "t" (type (sub resource))))) (export "b" (func))))
        (export "x" (instance $x)))"#;
    let mut component = wat::parse_str(text).unwrap();
    component.push(1);
    let mut size = module.len();
    while size >= 0x80 {
        component.push(size as u8 | 0x80);
        size >>= 7;
    }
    component.push(size as u8);
    component.extend(module);
    component
}

/// Returns built modules: gzip, what is inside, and a component with one of them.
fn real_modules() -> Vec<Vec<u8>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wasms"));
    let load = |name: &str| {
        let path = folder.join(format!("{name}.wasm.gz"));
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run ./scripts/build first", path.display()))
    };
    let gzip = ["counter", "catalog"].map(load);
    let deflated = |gzip: &Vec<u8>| gzip[GZIP_HEADER_BYTES..gzip.len() - GZIP_TRAILER_BYTES].to_vec();
    let raw = gzip.each_ref().map(|gzip| decompress_to_vec(&deflated(gzip)).unwrap());
    let component = component_of(&raw[0]);
    raw.into_iter().chain(gzip).chain([component]).collect()
}

/// Returns the most memory that this process had.
fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

fn check(bytes: &[u8], inspected: &Result<Inspection, InvalidModule>) {
    if let Ok(Inspection { obstacles, raw_size, raw_hash, encoding, .. }) = inspected {
        assert!(obstacles.len() <= MAX_OBSTACLES);
        if *encoding == depot_types::blob_store::Encoding::Raw {
            assert_eq!((*raw_size, *raw_hash), (bytes.len() as u64, Hash::of(bytes)));
        }
    }
    assert!(peak_memory_bytes() <= MAX_MEMORY_BYTES, "{} bytes", peak_memory_bytes());
}

fn gzip_of(deflated: &[u8], declared_length: u32) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    stream.extend(deflated);
    stream.extend([0; 4]);
    stream.extend(declared_length.to_le_bytes());
    stream
}

/// One test, since it measures the memory of the whole process.
#[test]
fn should_answer_damaged_modules_and_bombs_within_bounds() {
    let modules = real_modules();
    for module in &modules {
        let inspected = inspect(module);
        assert!(inspected.is_ok(), "{inspected:?}");
        check(module, &inspected);
    }

    // What expands to more than a module may have is refused before it is there, whatever length it declares.
    let too_large = Err(InvalidModule::TooLarge { max: MAX_RAW_MODULE_BYTES });
    let bomb = compress_to_vec(&vec![0; 150 << 20], 6);
    for declared_length in [0, 150 << 20, u32::MAX] {
        assert_eq!(inspect(&gzip_of(&bomb, declared_length)), too_large);
    }
    drop(bomb);

    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (0..modules.len(), vec(damage(), 1..8));
    let result = proptest::test_runner::TestRunner::new(config).run(&strategy, |(number, damages)| {
        let mut bytes = modules[number].clone();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        check(&bytes, &inspect(&bytes));
        Ok(())
    });
    result.unwrap();
}
