use std::cell::Cell;

use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::*;
use crate::blob_store::Countable;

pub(super) mod components;
mod obstacles;

/// A module that the Internet Computer would install.
const CANISTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_arg_data_copy" (func (param i32 i32 i32)))
    (import "ic0" "performance_counter" (func (param i32) (result i64)))
    (memory (export "memory") 1)
    (table 1 funcref)
    (global $count (mut i32) (i32.const 0))
    (elem (i32.const 0) $run)
    (data (i32.const 8) "depot")
    (func $run (export "canister_update run")
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (memory.fill (i32.const 0) (i32.const 0) (i32.const 4))
        (call $reply))
    (func (export "canister_init"))
    (func (export "not for the system") (param i32))
    (@custom "icp:public candid:service" "service : {}")
    (@custom "icp:private secret" "s")
    (@custom "name of no matter" "x"))"#;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn inspection(text: &str) -> Inspection {
    inspect(&wasm(text)).unwrap()
}

fn obstacles_of(text: &str) -> Vec<Obstacle> {
    inspection(text).obstacles
}

/// Compresses with a length that may be wrong.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    stream.extend(compress_to_vec(bytes, 6));
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    stream.extend((!crc).to_le_bytes());
    stream.extend((bytes.len() as u32).to_le_bytes());
    stream
}

#[test]
fn should_tell_what_a_raw_module_is() {
    let bytes = wasm(CANISTER);
    let section =
        |name: &str, public, content: &[u8]| Section { name: name.to_string(), public, content: content.to_vec() };
    let expected = Inspection {
        encoding: Encoding::Raw,
        kind: ModuleKind::CoreModule,
        raw_size: bytes.len() as u64,
        raw_hash: Hash::of(&bytes),
        obstacles: vec![],
        sections: vec![section("candid:service", true, b"service : {}"), section("secret", false, b"s")],
    };
    assert_eq!(inspect(&bytes), Ok(expected));
}

#[test]
fn should_tell_the_same_of_a_compressed_module() {
    let raw = wasm(CANISTER);
    let expected = Inspection { encoding: Encoding::Gzip, ..inspect(&raw).unwrap() };
    assert_eq!(inspect(&gzip(&raw)), Ok(expected));
}

#[test]
fn should_take_the_hash_of_a_raw_module_as_given() {
    let given = Hash::of(b"given");
    let raw = wasm(CANISTER);
    let inspect = |bytes: &[u8]| inspect_hashed(bytes, given, Budget::UNLIMITED).unwrap();
    assert_eq!(inspect(&raw).raw_hash, given);
    assert_eq!(inspect(&gzip(&raw)).raw_hash, Hash::of(&raw));
}

#[test]
fn should_accept_components_which_are_not_run() {
    let component = r#"(component
        (core module $m (func (export "f") (result i32) i32.const 1))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f")))
        (@custom "icp:nonsense" "x"))"#;
    let Inspection { kind, obstacles, sections, .. } = inspection(component);
    assert_eq!((kind, obstacles, sections), (ModuleKind::Component, vec![Obstacle::Component], vec![]));
    let invalid = wasm(r#"(component (core module (func (result i32))))"#);
    assert!(matches!(inspect(&invalid), Err(InvalidModule::Malformed { .. })));
}

#[test]
fn should_refuse_nothing() {
    assert_eq!(inspect(b""), Err(InvalidModule::Empty));
    assert_eq!(inspect(&gzip(b"")), Err(InvalidModule::Empty));
}

#[test]
fn should_refuse_what_is_not_wasm() {
    for bytes in [&b"#!/bin/sh"[..], b"\x01", b"\0asn", b"\x1f"] {
        assert_eq!(inspect(bytes), Err(InvalidModule::NotWasm));
    }
    assert_eq!(inspect(&gzip(&gzip(&wasm(CANISTER)))), Err(InvalidModule::NotWasm));
}

#[test]
fn should_call_a_module_truncated_wherever_it_is_cut() {
    let whole = wasm(CANISTER);
    let mut truncated = 0;
    for end in 1..whole.len() {
        match inspect(&whole[..end]) {
            Err(InvalidModule::Truncated { offset }) => {
                assert_eq!(offset, end as u64);
                truncated += 1;
            }
            // Between sections the module is whole, or misses the bodies of its functions.
            Ok(_) | Err(InvalidModule::Malformed { .. }) => {}
            Err(other) => panic!("cut at {end}: {other:?}"),
        }
    }
    assert!(whole.len() - truncated < 20, "{truncated} of {} cuts", whole.len());
}

#[test]
fn should_refuse_modules_that_break_the_specification() {
    let cases: [(&[u8], u64); 4] = [
        (b"\0asm\x02\0\0\0", 4),
        (b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff", 9),
        (b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x1f", 9),
        (b"\0asm\x01\0\0\0\x7f\x00", 10),
    ];
    for (bytes, expected) in cases {
        match inspect(bytes) {
            Err(InvalidModule::Malformed { offset, .. }) => assert_eq!(offset, expected),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
    for text in ["(module (func (result i32)))", "(module (func (i64.const 1) (i32.eqz) drop))"] {
        assert!(matches!(inspect(&wasm(text)), Err(InvalidModule::Malformed { .. })), "{text}");
    }
}

#[test]
fn should_refuse_modules_that_are_too_large_uncompressed() {
    let mut large = b"\0asm\x01\0\0\0".to_vec();
    large.resize(MAX_RAW_MODULE_BYTES as usize + 1, 0);
    let refused = inspect_hashed(&large, Hash::default(), Budget::UNLIMITED);
    assert_eq!(refused, Err(InvalidModule::TooLarge { max: MAX_RAW_MODULE_BYTES }));
}

/// Instructions that each look at the budget counts for: more than what is looked at before it is looked into.
const LOOK: u64 = 1_000_000;

/// Inspects with a budget of so many looks at it.
fn inspect_with_looks(bytes: &[u8], looks: u64) -> Result<Inspection, InvalidModule> {
    let spent = Cell::new(0);
    let look = || {
        spent.set(spent.get() + LOOK);
        spent.get()
    };
    inspect_hashed(bytes, Hash::of(bytes), Budget { spent: &look, max: looks * LOOK + LOOK - 1, ..Budget::UNLIMITED })
}

/// Inspects with so many instructions left.
fn inspect_within(bytes: &[u8], max: u64) -> Result<Inspection, InvalidModule> {
    inspect_hashed(bytes, Hash::default(), Budget { max, ..Budget::UNLIMITED })
}

#[test]
fn should_give_up_when_the_budget_is_used_up() {
    let many = wasm(&format!("(module (func {}))", "nop ".repeat(5_000)));
    let mut given_up = Vec::new();
    let mut looks = 0;
    let inspection = loop {
        match inspect_with_looks(&many, looks) {
            Err(InvalidModule::TooComplex { offset, max_instructions }) => {
                assert_eq!(max_instructions / LOOK, looks);
                given_up.push(offset);
            }
            inspected => break inspected.unwrap(),
        }
        looks += 1;
    };
    assert_eq!(inspection, inspect(&many).unwrap());
    // Looks at the module, at each section, and at every 256th of the 5,001 instructions.
    assert_eq!(given_up.len(), 1 + 3 + 20);
    assert!(given_up.is_sorted() && given_up[23] - given_up[22] == 256);
}

#[test]
fn should_give_up_before_a_branch_that_would_take_too_long() {
    let values = "i32.const 0 ".repeat(1_000);
    let results = "i32 ".repeat(1_000);
    let targets = "0 ".repeat(100_000);
    let text = format!(
        "(module (type $many (func (result {results}))) (func (type $many) (block (type $many) {values} i32.const 0 \
         br_table {targets} 0)))"
    );
    let bytes = wasm(&text);
    let budget = |max| inspect_within(&bytes, max);
    // 100,000 targets of 1,000 values each, at 50 instructions a value.
    let max = 100_000 * 1_001 * 50;
    assert!(matches!(budget(max - 1), Err(InvalidModule::TooComplex { .. })));
    assert_eq!(budget(max).unwrap().obstacles, []);
}

#[test]
fn should_give_up_before_handlers_that_would_take_too_long() {
    let values = "i32 ".repeat(1_000);
    let handlers = "(catch $tag 0) ".repeat(9_000);
    let text = format!(
        "(module (type $many (func (param {values}))) (tag $tag (type $many)) (func (result {values})
            (try_table {handlers} unreachable) unreachable))"
    );
    let bytes = wasm(&text);
    let max = 9_000 * 1_001 * 200;
    assert!(matches!(inspect_within(&bytes, max - 1), Err(InvalidModule::TooComplex { .. })));
    assert!(inspect_within(&bytes, max).is_ok());
    // The type of its block is not taken for the number of its targets.
    for block in ["", "(result i32)", "(result externref)", "(result (ref null $t))", "(type $t)"] {
        let text = format!(
            "(module (type $t (func)) (tag $tag) (func (result i32) (block (try_table {block} (catch $tag 0)              unreachable) unreachable) unreachable))"
        );
        let bytes = wasm(&text);
        assert!(inspect_within(&bytes, 50_000).is_ok(), "{block}: {:?}", inspect_within(&bytes, 50_000));
    }
}

#[test]
fn should_give_up_when_there_is_too_little_memory() {
    let bytes = wasm(CANISTER);
    let within = |heap_bytes: u64| {
        let budget = Budget { heap_bytes: &|| heap_bytes, max_heap_bytes: 1_000, ..Budget::UNLIMITED };
        inspect_hashed(&bytes, Hash::default(), budget)
    };
    assert!(matches!(within(1_001), Err(InvalidModule::TooComplex { offset: 0, .. })));
    assert!(within(1_000).is_ok());
}

proptest! {
    #[test]
    fn should_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = wasm(CANISTER);
        for (index, byte) in changes {
            // The magic is left alone, so that most cases get further than that.
            let position = 8 + index.index(bytes.len() - 8);
            bytes[position] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(inspection) = inspect(&bytes) {
            prop_assert!(inspection.obstacles.len() <= MAX_OBSTACLES);
            prop_assert_eq!(inspection.raw_hash, Hash::of(&bytes));
        }
    }
}
