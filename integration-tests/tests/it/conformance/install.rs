//! Installing, reinstalling and upgrading code.

use ic_management_canister_types::{
    CanisterInstallMode, CanisterSettings, EnvironmentVariable, UpgradeFlags, WasmMemoryPersistence,
};
use integration_tests::universal::{self as u, Call, Hook, Module, Universal};
use pocket_ic::{ErrorCode, PocketIc, RejectResponse};

use super::world::*;

/// Instructions that an installation may use, which its target pays in advance.
const INSTALL_LIMIT: u128 = 300_000_000_000;
/// What every execution costs.
const EXECUTION_FEE: u128 = 5_000_000;

fn install_bytes(network: &PocketIc, module: Vec<u8>) -> Result<Vec<u8>, RejectResponse> {
    let id = network.create_canister();
    install(network, OWNER, id, CanisterInstallMode::Install, module, program())
}

fn flags(skip_pre_upgrade: Option<bool>, persistence: Option<WasmMemoryPersistence>) -> CanisterInstallMode {
    CanisterInstallMode::Upgrade(Some(UpgradeFlags { skip_pre_upgrade, wasm_memory_persistence: persistence }))
}

fn expect_invalid(text: &str) {
    let network = start();
    assert_eq!(code(install_bytes(&network, wat(text))), ErrorCode::CanisterInvalidWasm);
}

cases! {
    should_run_init_with_the_argument: "init gets the argument of the installation" => {
        let network = start();
        let canister = Universal::install_module(&network, &u::module(), program().store(1, "made"));
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), b"made");
    }

    should_name_the_installer_as_caller: "in init msg_caller is who installs" => {
        let network = start();
        let canister = Universal::install_module(&network, &u::module(), program().store(1, u::caller()));
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), OWNER.as_slice());
    }

    should_not_install_over_code: "mode install needs an empty canister" => {
        with_canister!(network, canister);
        let result = install(&network, OWNER, canister.id, CanisterInstallMode::Install, u::module().bytes(), program());
        assert_eq!(code(result), ErrorCode::CanisterNonEmpty);
    }

    should_not_upgrade_nothing: "mode upgrade needs a module" => {
        let network = start();
        let id = network.create_canister();
        let result = install(&network, OWNER, id, CanisterInstallMode::Upgrade(None), u::module().bytes(), program());
        assert_eq!(code(result), ErrorCode::CanisterWasmModuleNotFound);
    }

    should_reinstall_on_empty_canisters: "mode reinstall takes empty canisters, too" => {
        let network = start();
        let id = network.create_canister();
        install(&network, OWNER, id, CanisterInstallMode::Reinstall, u::module().bytes(), program()).unwrap();
        assert!(status(&network, id).module_hash.is_some());
    }

    should_clear_everything_in_a_reinstallation: "reinstalling clears heap and stable memory" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "old").run_int(u::grow_stable(3)).reply()).unwrap();
        install(&network, OWNER, canister.id, CanisterInstallMode::Reinstall, u::module().bytes(), program()).unwrap();
        let state = canister.query(program().append(u::stable_size()).append(u::load(1)).reply()).unwrap();
        assert_eq!(int(&state), 0);
    }

    should_keep_stable_memory_in_an_upgrade: "an upgrade keeps stable memory and loses the heap" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "old").run_int(u::grow_stable(1)).write_stable(7, "kept").reply()).unwrap();
        upgrade(&canister, program().store(2, u::load(1)).store(3, u::argument().length())).unwrap();
        let state = canister.query(program().append(u::read_stable(7, 4)).append(u::load(1)).append(u::load(2)).reply());
        assert_eq!(state.unwrap(), b"kept");
    }

    should_run_pre_upgrade_before_post_upgrade: "what pre_upgrade writes to stable memory post_upgrade reads" => {
        with_canister!(network, canister);
        let hook = program().run_int(u::grow_stable(1)).write_stable(0, u::load(1));
        canister.update(program().store(1, "saved").set_hook(Hook::PreUpgrade, hook).reply()).unwrap();
        upgrade(&canister, program().store(1, u::read_stable(0, 5))).unwrap();
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), b"saved");
    }

    should_skip_pre_upgrade_when_asked_to: "an upgrade may leave pre_upgrade out" => {
        with_canister!(network, canister);
        canister.update(program().set_hook(Hook::PreUpgrade, program().trap("on purpose")).reply()).unwrap();
        let module = u::module().bytes();
        let attempt = |mode| install(&network, OWNER, canister.id, mode, module.clone(), program());
        assert_eq!(code(attempt(flags(Some(false), None))), ErrorCode::CanisterCalledTrap);
        attempt(flags(Some(true), None)).unwrap();
    }

    should_replace_the_heap_when_asked_to: "wasm_memory_persistence may ask for what is the default" => {
        with_canister!(network, canister);
        canister.update(program().store(1, "lost").reply()).unwrap();
        let mode = flags(None, Some(WasmMemoryPersistence::Replace));
        install(&network, OWNER, canister.id, mode, u::module().bytes(), program()).unwrap();
        assert!(canister.query(program().reply_with(u::load(1))).unwrap().is_empty());
    }

    should_keep_the_heap_of_modules_that_say_so_only: "keeping the heap needs a new module with enhanced orthogonal persistence" => {
        with_canister!(network, canister);
        let mode = flags(None, Some(WasmMemoryPersistence::Keep));
        let result = install(&network, OWNER, canister.id, mode, u::module().bytes(), program());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_want_to_know_what_becomes_of_a_persistent_heap: "upgrading a module with enhanced orthogonal persistence must say what becomes of the heap" => {
        let network = start();
        let module = u::module().with_section("icp:private enhanced-orthogonal-persistence", b"");
        let canister = Universal::install_module(&network, &module, program());
        assert_eq!(code(upgrade(&canister, program())), ErrorCode::CanisterContractViolation);
        let mode = flags(None, Some(WasmMemoryPersistence::Replace));
        install(&network, OWNER, canister.id, mode, u::module().bytes(), program()).unwrap();
    }

    should_deactivate_the_timer_in_an_upgrade: "an upgrade turns the timer off" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::set_timer(u64::MAX)).reply()).unwrap();
        upgrade(&canister, program()).unwrap();
        assert_eq!(int(&canister.update(program().reply_with(u::set_timer(0))).unwrap()), 0);
    }

    should_set_a_timer_in_post_upgrade: "a timer that post_upgrade sets stays" => {
        with_canister!(network, canister);
        upgrade(&canister, program().run_int(u::set_timer(u64::MAX))).unwrap();
        assert_ne!(int(&canister.update(program().reply_with(u::set_timer(0))).unwrap()), 0);
    }

    should_keep_settings_through_reinstallations: "environment variables and settings outlive the code" => {
        with_canister!(network, canister);
        let variable = EnvironmentVariable { name: "KEY".into(), value: "value".into() };
        let settings = CanisterSettings { environment_variables: Some(vec![variable]), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        install(&network, OWNER, canister.id, CanisterInstallMode::Reinstall, u::module().bytes(), program()).unwrap();
        assert_eq!(canister.query(program().reply_with(u::variable_value("KEY"))).unwrap(), b"value");
    }

    should_install_while_stopped: "a stopped canister can be upgraded" => {
        with_canister!(network, canister);
        network.stop_canister(canister.id, None).unwrap();
        upgrade(&canister, program().store(1, "new")).unwrap();
        network.start_canister(canister.id, None).unwrap();
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), b"new");
    }

    should_let_only_controllers_install: "strangers install nothing" => {
        with_canister!(network, canister);
        for mode in [CanisterInstallMode::Install, CanisterInstallMode::Reinstall, CanisterInstallMode::Upgrade(None)] {
            let result = install(&network, stranger(), canister.id, mode, u::module().bytes(), program());
            assert_eq!(code(result), ErrorCode::CanisterInvalidController);
        }
    }

    should_take_gzip: "a module may be gzip; its hash is that of the bytes as they came" => {
        let network = start();
        let id = network.create_canister();
        let compressed = integration_tests::wasms::load("universal").unwrap();
        let mode = CanisterInstallMode::Install;
        install(&network, OWNER, id, mode, compressed.clone(), program()).unwrap();
        assert_eq!(status(&network, id).module_hash.unwrap(), depot_types::Hash::of(&compressed).as_bytes());
    }

    should_not_take_what_is_no_module: "bytes that are no module are refused" => {
        let network = start();
        for bytes in [b"".as_slice(), b"\0asm", b"hello, world", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(code(install_bytes(&network, bytes.to_vec())), ErrorCode::CanisterInvalidWasm);
        }
    }

    should_take_the_smallest_module: "an empty module is a module" => {
        let network = start();
        install_bytes(&network, wat("(module)")).unwrap();
    }

    should_not_take_unknown_imports: "a module may import the system API only" => {
        expect_invalid(r#"(module (import "env" "f" (func)))"#);
        expect_invalid(r#"(module (import "ic0" "no_such_function" (func)))"#);
    }

    should_not_take_imports_of_another_type: "imports must have the types of the interface" => {
        expect_invalid(r#"(module (import "ic0" "msg_reply" (func (param i32))))"#);
        expect_invalid(r#"(module (import "ic0" "time" (func (result i32))))"#);
    }

    should_not_take_unknown_exports: "exports that begin with canister_ must be known" => {
        expect_invalid(r#"(module (func (export "canister_fly")))"#);
    }

    should_not_take_a_method_of_two_kinds: "a method is an update or a query, not both" => {
        expect_invalid(r#"(module (func (export "canister_update go")) (func (export "canister_query go")))"#);
        expect_invalid(r#"(module (func (export "canister_composite_query go")) (func (export "canister_query go")))"#);
    }

    should_not_take_entry_points_with_parameters: "entry points have no parameters and no results" => {
        expect_invalid(r#"(module (func (export "canister_init") (param i32)))"#);
        expect_invalid(r#"(module (func (export "canister_update go") (result i32) (i32.const 1)))"#);
    }

    should_bound_exported_functions: "a module exports at most 1,000 methods" => {
        let network = start();
        let exports = |count: usize| {
            let list: String = (0..count).map(|index| format!(r#"(export "canister_update f{index}" (func 0))"#)).collect();
            wat(&format!("(module (func) {list})"))
        };
        install_bytes(&network, exports(1_000)).unwrap();
        assert_eq!(code(install_bytes(&network, exports(1_001))), ErrorCode::CanisterInvalidWasm);
    }

    should_bound_globals: "a module has at most 1,000 globals" => {
        let network = start();
        let globals = |count: usize| wat(&format!("(module {})", "(global i32 (i32.const 0))".repeat(count)));
        install_bytes(&network, globals(1_000)).unwrap();
        assert_eq!(code(install_bytes(&network, globals(1_001))), ErrorCode::CanisterInvalidWasm);
    }

    should_bound_functions: "a module has at most 50,000 functions" => {
        let network = start();
        let functions = |count: usize| wat(&format!("(module {})", "(func)".repeat(count)));
        install_bytes(&network, functions(50_000)).unwrap();
        assert_eq!(code(install_bytes(&network, functions(50_001))), ErrorCode::CanisterInvalidWasm);
    }

    should_bound_metadata_sections: "a module has at most 16 icp: sections" => {
        let network = start();
        let sections = |count: usize| {
            let module = (0..count).fold(u::module(), |module: Module, index| {
                module.with_section(&format!("icp:public extra{index}"), b"x")
            });
            module.bytes()
        };
        let own = 3;
        install_bytes(&network, sections(16 - own)).unwrap();
        assert_eq!(code(install_bytes(&network, sections(17 - own))), ErrorCode::CanisterInvalidWasm);
    }

    should_bound_bytes_of_metadata: "icp: sections have at most 1 MiB together" => {
        let network = start();
        let with = |bytes: usize| u::module().with_section("icp:public big", &vec![b'x'; bytes]).bytes();
        install_bytes(&network, with(MIB as usize - 10_000)).unwrap();
        assert_eq!(code(install_bytes(&network, with(MIB as usize))), ErrorCode::CanisterInvalidWasm);
    }

    should_not_take_metadata_twice: "two icp: sections of the same name are refused" => {
        let network = start();
        let module = u::module().with_section("icp:public twice", b"1").with_section("icp:private twice", b"2");
        assert_eq!(code(install_bytes(&network, module.bytes())), ErrorCode::CanisterInvalidWasm);
    }

    should_want_the_target_to_pay_in_advance: "an installation binds 300.005 G cycles of the target" => {
        let network = start();
        let required = INSTALL_LIMIT + EXECUTION_FEE;
        let poor = create_with(&network, required);
        let result = install(&network, OWNER, poor, CanisterInstallMode::Install, wat("(module)"), program());
        assert_eq!(code(result), ErrorCode::CanisterOutOfCycles);
        let rich = create_with(&network, required + 1_000_000_000);
        install(&network, OWNER, rich, CanisterInstallMode::Install, wat("(module)"), program()).unwrap();
    }

    should_limit_the_rate_of_installations: "a canister whose installation used much must wait for the next one" => {
        let network = start();
        let canister = Universal::install_module(&network, &u::module(), program().spend(12_000_000_000));
        assert_eq!(code(upgrade(&canister, program())), ErrorCode::CanisterInstallCodeRateLimited);
        // Each round works off 2 G instructions.
        ticks(&network, 10);
        upgrade(&canister, program()).unwrap();
    }

    should_hold_init_to_the_heap_limit: "init may not grow the heap past the limit of the settings" => {
        let network = start();
        let id = network.create_canister();
        let settings = CanisterSettings { wasm_memory_limit: Some(8_388_608_u64.into()), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap();
        let init = program().run_int(u::grow_heap(200));
        let result = install(&network, OWNER, id, CanisterInstallMode::Install, u::module().bytes(), init);
        assert_eq!(code(result), ErrorCode::CanisterWasmMemoryLimitExceeded);
    }

    should_run_modules_of_64_bits: "a module may have a memory of 64 bits; its instructions cost double" => {
        with_canister!(network, canister);
        let price = |memory: &str, size: &str| {
            let module = wat(&format!(
                r#"(module
                    (import "ic0" "msg_reply" (func $reply))
                    (import "ic0" "msg_reply_data_append" (func $append (param {size} {size})))
                    (memory {memory} 1)
                    (func (export "canister_update work") (local $left i32)
                        (local.set $left (i32.const 1000000))
                        (loop $again
                            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                            (br_if $again (local.get $left)))
                        (call $append ({size}.const 0) ({size}.const 8))
                        (call $reply)))"#
            ));
            let id = network.create_canister();
            install(&network, OWNER, id, CanisterInstallMode::Install, module, program()).unwrap();
            let before = network.cycle_balance(id);
            assert_eq!(canister.call(Call::new(id, "work")).unwrap(), [0; 8]);
            before - network.cycle_balance(id) - EXECUTION_FEE
        };
        let (narrow, wide) = (price("", "i32"), price("i64", "i64"));
        assert!(narrow > 1_000_000 && wide == 2 * narrow, "{narrow} and {wide}");
    }

    should_give_back_what_an_installation_did_not_use: "instructions that an installation did not use are refunded" => {
        let network = start();
        let id = network.create_canister();
        install(&network, OWNER, id, CanisterInstallMode::Install, wat("(module)"), program()).unwrap();
        let spent = DEFAULT_BALANCE - network.cycle_balance(id);
        assert!((EXECUTION_FEE..200_000_000).contains(&spent), "{spent}");
    }

    should_charge_compilation_by_instruction: "compiling costs 6,000 instructions for each of the module, once" => {
        let network = start();
        let cost = |text: &str| {
            let id = network.create_canister();
            install(&network, OWNER, id, CanisterInstallMode::Install, wat(text), program()).unwrap();
            DEFAULT_BALANCE - network.cycle_balance(id)
        };
        let nops = format!("(module (func {}))", "nop ".repeat(10_000));
        let more = format!("(module (func {}))", "nop ".repeat(30_000));
        // The ingress messages differ by as many bytes, too, for 2,000 cycles each.
        let difference = cost(&more) - cost(&nops);
        let expected = 20_000 * (6_000 + 2_000);
        assert!((expected..expected + 100_000).contains(&difference), "{difference}");
    }
}
