//! What the canister exports.

use universal::Hook;

use crate::{
    ic0,
    machine::{hook_program, run},
};

#[unsafe(export_name = "canister_init")]
extern "C" fn init() {
    run(&ic0::msg_arg_data());
}

#[unsafe(export_name = "canister_post_upgrade")]
extern "C" fn post_upgrade() {
    run(&ic0::msg_arg_data());
}

#[unsafe(export_name = "canister_update update")]
extern "C" fn update() {
    run(&ic0::msg_arg_data());
}

#[unsafe(export_name = "canister_query query")]
extern "C" fn query() {
    run(&ic0::msg_arg_data());
}

#[unsafe(export_name = "canister_composite_query composite_query")]
extern "C" fn composite_query() {
    run(&ic0::msg_arg_data());
}

#[unsafe(export_name = "canister_pre_upgrade")]
extern "C" fn pre_upgrade() {
    run_hook(Hook::PreUpgrade);
}

#[unsafe(export_name = "canister_heartbeat")]
extern "C" fn heartbeat() {
    run_hook(Hook::Heartbeat);
}

#[unsafe(export_name = "canister_global_timer")]
extern "C" fn global_timer() {
    run_hook(Hook::GlobalTimer);
}

#[unsafe(export_name = "canister_on_low_wasm_memory")]
extern "C" fn on_low_wasm_memory() {
    run_hook(Hook::OnLowWasmMemory);
}

#[unsafe(export_name = "canister_inspect_message")]
extern "C" fn inspect_message() {
    match hook_program(Hook::InspectMessage) {
        Some(program) => run(&program),
        None => ic0::accept_message(),
    }
}

fn run_hook(hook: Hook) {
    if let Some(program) = hook_program(hook) {
        run(&program);
    }
}
