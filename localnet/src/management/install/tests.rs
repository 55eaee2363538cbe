//! Tests of installing, with canisters whose entry points leave marks.

use sha2::{Digest, Sha256};

use super::*;
use crate::{
    error::{ErrorCode, UserResult},
    management::test_fixtures::{World, code, decoded, from_canister, record, user},
};

/// Writes a byte to stable memory on each entry point, so that a test can tell which of them ran.
const TRACER: &str = r#"(module
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_size" (func $size (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "global_timer_set" (func $timer (param i64) (result i64)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (memory 1)
    (data (i32.const 0) "SIGU")
    (func $mark (param $at i64)
        (if (i64.eqz (call $size)) (then (drop (call $grow (i64.const 1)))))
        (call $write (local.get $at) (local.get $at) (i64.const 1)))
    (func (export "canister_init")
        (call $mark (i64.const 1))
        (drop (call $timer (i64.const 99)))
        (call $certify (i32.const 0) (i32.const 4))
        (call $print (i32.const 0) (i32.const 2))
        (if (call $arg_size) (then (call $trap (i32.const 0) (i32.const 4)))))
    (func (export "canister_pre_upgrade") (call $mark (i64.const 2)))
    (func (export "canister_post_upgrade")
        (call $mark (i64.const 3))
        (if (call $arg_size) (then (call $trap (i32.const 0) (i32.const 4))))))"#;
const EMPTY: &str = "(module)";

fn args(id: Principal, mode: wire::CanisterInstallMode, text: &str, arg: &[u8]) -> wire::InstallCodeArgs {
    wire::InstallCodeArgs {
        mode,
        canister_id: id,
        wasm_module: wat::parse_str(text).expect("test modules are valid"),
        arg: arg.to_vec(),
        sender_canister_version: None,
    }
}

fn install(world: &mut World, args: &wire::InstallCodeArgs) -> UserResult<Vec<u8>> {
    world.as_user(user(1), "install_code", args)
}

fn upgrade() -> wire::CanisterInstallMode {
    wire::CanisterInstallMode::Upgrade(None)
}

fn upgrade_with(skip: Option<bool>, persistence: Option<wire::WasmMemoryPersistence>) -> wire::CanisterInstallMode {
    wire::CanisterInstallMode::Upgrade(Some(wire::UpgradeFlags {
        skip_pre_upgrade: skip,
        wasm_memory_persistence: persistence,
    }))
}

/// Which of the entry points left their mark: init, pre_upgrade, post_upgrade.
fn marks(world: &mut World, id: Principal) -> Vec<u8> {
    let stable = world.canister(id).sandbox.as_ref().expect("code is installed").stable();
    stable.to_bytes().into_iter().take(4).filter(|byte| *byte != 0).collect()
}

/// A world without rate limits and a canister with the tracer.
fn traced() -> (World, Principal) {
    let mut world = World::new();
    world.subnet.rate_limits_disabled = true;
    let id = world.create(user(1));
    install(&mut world, &args(id, wire::CanisterInstallMode::Install, TRACER, b"")).expect("the tracer installs");
    (world, id)
}

#[test]
fn should_install_and_take_over_what_init_did() {
    let (mut world, id) = traced();
    assert_eq!(marks(&mut world, id), b"I");
    let hash = world.canister(id).module().expect("code is installed").hash();
    let canister = world.canister(id);
    assert_eq!(canister.global_timer, 99);
    assert_eq!(canister.certified_data, b"SIGU");
    assert_eq!(canister.logs.len(), 1);
    assert_eq!(canister.version, 1);
    let details = &canister.history.recent[1].details;
    assert_eq!(*details, ChangeDetails::CodeDeployment(DeploymentMode::Install, hash));
    let status: wire::CanisterStatusResult = decoded(world.as_user(user(1), "canister_status", &record(id)));
    assert_eq!(status.module_hash, Some(hash.to_vec()));
}

#[test]
fn should_demand_the_mode_that_fits_what_is_installed() {
    let (mut world, id) = traced();
    let again = args(id, wire::CanisterInstallMode::Install, EMPTY, b"");
    assert_eq!(code(install(&mut world, &again)), ErrorCode::CanisterNonEmpty);
    let empty = world.create(user(1));
    let nothing_there = args(empty, upgrade(), EMPTY, b"");
    assert_eq!(code(install(&mut world, &nothing_there)), ErrorCode::CanisterWasmModuleNotFound);
    let reinstall = args(empty, wire::CanisterInstallMode::Reinstall, EMPTY, b"");
    install(&mut world, &reinstall).expect("an empty canister can be reinstalled");
    let stranger = world.as_user(user(2), "install_code", &reinstall);
    assert_eq!(code(stranger), ErrorCode::CanisterInvalidController);
}

#[test]
fn should_keep_stable_memory_and_certified_data_on_upgrade() {
    let (mut world, id) = traced();
    install(&mut world, &args(id, upgrade(), TRACER, b"")).expect("the upgrade works");
    assert_eq!(marks(&mut world, id), b"IGU");
    let canister = world.canister(id);
    assert_eq!(canister.global_timer, 0, "timers do not survive");
    assert_eq!(canister.certified_data, b"SIGU");
    assert_eq!(canister.logs.len(), 1);
    assert_eq!(canister.version, 2);
    install(&mut world, &args(id, upgrade_with(Some(true), None), EMPTY, b"")).expect("the upgrade works");
    assert_eq!(marks(&mut world, id), b"IGU");
}

#[test]
fn should_skip_pre_upgrade_when_told_to() {
    let (mut world, id) = traced();
    install(&mut world, &args(id, upgrade_with(Some(true), None), TRACER, b"")).expect("the upgrade works");
    assert_eq!(marks(&mut world, id), b"IU");
}

#[test]
fn should_start_afresh_on_reinstall() {
    let (mut world, id) = traced();
    install(&mut world, &args(id, wire::CanisterInstallMode::Reinstall, EMPTY, b"")).expect("it works");
    let canister = world.canister(id);
    assert!(canister.certified_data.is_empty() && canister.logs.is_empty());
    assert_eq!(canister.global_timer, 0);
    assert!(marks(&mut world, id).is_empty());
}

#[test]
fn should_leave_everything_but_the_balance_when_it_fails() {
    let (mut world, id) = traced();
    let hash = world.canister(id).module().map(|module| module.hash());
    for mode in [upgrade(), wire::CanisterInstallMode::Reinstall] {
        let before = world.canister(id).balance;
        let consumed = world.subnet.consumed;
        let answer = install(&mut world, &args(id, mode, TRACER, b"trap"));
        assert_eq!(code(answer), ErrorCode::CanisterCalledTrap);
        assert_eq!(marks(&mut world, id), b"I", "also what pre_upgrade did is undone");
        let canister = world.canister(id);
        assert_eq!(canister.module().map(|module| module.hash()), hash);
        assert_eq!((canister.version, canister.global_timer), (1, 99));
        assert_eq!(canister.history.total, 2);
        let paid = before - canister.balance;
        assert!(paid > 5_000_000 + u128::from(COMPILE_BASE), "{paid}");
        assert_eq!(world.subnet.consumed - consumed, paid);
    }
    let logs = world.canister(id).logs.len();
    assert!(logs > 2, "what failing code printed is kept: {logs}");
}

#[test]
fn should_refuse_invalid_modules() {
    let mut world = World::new();
    let id = world.create(user(1));
    let mut broken = args(id, wire::CanisterInstallMode::Install, EMPTY, b"");
    broken.wasm_module = b"not wasm".to_vec();
    assert_eq!(code(install(&mut world, &broken)), ErrorCode::CanisterInvalidWasm);
    assert!(world.canister(id).sandbox.is_none());
    assert!(world.canister(id).install_debt >= COMPILE_BASE);
}

#[test]
fn should_charge_the_target_what_was_used_and_no_more() {
    let mut world = World::new();
    let id = world.create(user(1));
    let before = world.canister(id).balance;
    let call = args(id, wire::CanisterInstallMode::Install, EMPTY, b"");
    let origin = from_canister(user(1));
    let (_, usage) = world.execute(origin, "install_code", &call, 0);
    let instructions = usage.instructions;
    assert!(instructions >= COMPILE_BASE);
    let paid = before - world.canister(id).balance;
    assert_eq!(paid, 5_000_000 + u128::from(instructions));
    assert_eq!(world.canister(id).install_debt, instructions);
    assert_eq!(code(install(&mut world, &args(id, upgrade(), EMPTY, b""))), ErrorCode::CanisterInstallCodeRateLimited);
    world.canister(id).install_debt = 0;
    assert!(install(&mut world, &args(id, upgrade(), EMPTY, b"")).is_ok());
}

#[test]
fn should_demand_the_whole_prepayment_above_the_freezing_threshold() {
    let mut world = World::new();
    let prepayment = 300_005_000_000;
    let id = world.create_with(user(1), Some(prepayment));
    let call = args(id, wire::CanisterInstallMode::Install, EMPTY, b"");
    assert_eq!(code(install(&mut world, &call)), ErrorCode::CanisterOutOfCycles);
    assert_eq!(world.canister(id).balance, prepayment);
    let holdings = world.canister(id).holdings();
    let threshold = world.subnet.cost_model.freezing_threshold(&holdings);
    world.canister(id).balance = prepayment + threshold - 1;
    assert_eq!(code(install(&mut world, &call)), ErrorCode::CanisterOutOfCycles);
    world.canister(id).balance = prepayment + threshold;
    install(&mut world, &call).expect("it just suffices");
}

#[test]
fn should_undo_an_upgrade_whose_memory_the_balance_cannot_hold() {
    let (mut world, id) = traced();
    world.canister(id).balance = 301_000_000_000;
    let large = "(module (memory 16384))";
    let answer = install(&mut world, &args(id, upgrade(), large, b""));
    assert_eq!(code(answer), ErrorCode::InsufficientCyclesInMemoryGrow);
    assert_eq!(marks(&mut world, id), b"I");
    world.canister(id).balance = 10_000_000_000_000;
    install(&mut world, &args(id, upgrade(), large, b"")).expect("now it can");
}

#[test]
fn should_keep_the_heap_only_for_modules_that_are_made_for_it() {
    let section = r#"(@custom "icp:private enhanced-orthogonal-persistence" "")"#;
    let keeper = format!(
        r#"(module {section}
            (import "ic0" "trap" (func $trap (param i32 i32)))
            (memory 1)
            (func (export "canister_init") (i32.store8 (i32.const 5) (i32.const 42)))
            (func (export "canister_post_upgrade")
                (if (i32.ne (i32.load8_u (i32.const 5)) (i32.const 42))
                    (then (call $trap (i32.const 0) (i32.const 0))))))"#
    );
    let mut world = World::new();
    world.subnet.rate_limits_disabled = true;
    let id = world.create(user(1));
    install(&mut world, &args(id, wire::CanisterInstallMode::Install, &keeper, b"")).expect("it installs");
    let keep = upgrade_with(None, Some(wire::WasmMemoryPersistence::Keep));
    let replace = upgrade_with(None, Some(wire::WasmMemoryPersistence::Replace));
    assert_eq!(code(install(&mut world, &args(id, upgrade(), &keeper, b""))), ErrorCode::CanisterContractViolation);
    assert_eq!(code(install(&mut world, &args(id, keep, EMPTY, b""))), ErrorCode::CanisterContractViolation);
    install(&mut world, &args(id, keep, &keeper, b"")).expect("the heap is kept");
    let answer = install(&mut world, &args(id, replace, &keeper, b""));
    assert_eq!(code(answer), ErrorCode::CanisterCalledTrap, "the heap is fresh");
}

#[test]
fn should_install_from_chunks_of_another_canister() {
    let (mut world, store) = traced();
    let target = world.create(store);
    let module = wat::parse_str(TRACER).expect("test modules are valid");
    let (one, two) = module.split_at(100);
    let mut hashes = Vec::new();
    for part in [one, two] {
        let chunk = wire::UploadChunkArgs { canister_id: store, chunk: part.to_vec() };
        let (answer, _) = world.as_canister(store, "upload_chunk", &chunk, 0);
        hashes.push(decoded::<wire::ChunkHash>(answer));
    }
    let call = wire::InstallChunkedCodeArgs {
        mode: wire::CanisterInstallMode::Install,
        target_canister: target,
        store_canister: Some(store),
        chunk_hashes_list: hashes,
        wasm_module_hash: Sha256::digest(&module).to_vec(),
        arg: Vec::new(),
        sender_canister_version: None,
    };
    let (answer, _) = world.as_canister(store, "install_chunked_code", &call, 0);
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(marks(&mut world, target), b"I");
}

#[test]
fn should_stop_at_the_instruction_limit() {
    let mut world = World::new();
    world.subnet.instruction_limits.install = COMPILE_BASE + 1_000_000;
    let id = world.create(user(1));
    let endless = r#"(module (func (export "canister_init") (loop (br 0))))"#;
    let answer = install(&mut world, &args(id, wire::CanisterInstallMode::Install, endless, b""));
    assert_eq!(code(answer), ErrorCode::CanisterInstructionLimitExceeded);
    assert_eq!(world.canister(id).install_debt, COMPILE_BASE + 1_000_000);
    assert!(world.canister(id).sandbox.is_none());
}
