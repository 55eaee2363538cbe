//! The system API of the Internet Computer and the functions that it calls: names and types.

use wasmparser::{FuncType, ValType};

/// The module that the system API is imported from.
pub(super) const MODULE: &str = "ic0";
/// Begins the names of all functions that the system calls; other functions must not have it.
pub(super) const EXPORT_PREFIX: &str = "canister_";
/// Begins the export of a method; its name follows.
const METHOD_PREFIXES: [&str; 3] = ["canister_update ", "canister_query ", "canister_composite_query "];
/// Functions that the system calls, besides methods.
const ENTRY_POINTS: [&str; 7] = [
    "canister_global_timer",
    "canister_heartbeat",
    "canister_init",
    "canister_inspect_message",
    "canister_on_low_wasm_memory",
    "canister_post_upgrade",
    "canister_pre_upgrade",
];
/// Names that the replica gives to what it adds to a module.
const RESERVED_EXPORTS: [&str; 6] = [
    "canister counter_accessed_pages",
    "canister counter_dirty_pages",
    "canister counter_instructions",
    "canister_start",
    "stable_memory",
    "stable_bytemap_memory",
];

/// What the system makes of an exported function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// A method of this name.
    Method(&'a str),
    /// A function that the system calls at times of its own.
    EntryPoint,
    /// The name is kept for the system, and it knows no such function.
    Unknown,
    /// Nothing.
    None,
}

/// Returns what the system makes of a function exported with this name.
pub(super) fn role(name: &str) -> Role<'_> {
    if let Some(method) = METHOD_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        Role::Method(method)
    } else if ENTRY_POINTS.contains(&name) {
        Role::EntryPoint
    } else if name.starts_with(EXPORT_PREFIX) {
        Role::Unknown
    } else {
        Role::None
    }
}

/// Returns true when nothing may be exported with this name.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED_EXPORTS.contains(&name)
}

/// Returns true when the system API has a function of this name and type for a module with such a memory.
pub(super) fn has_function(name: &str, function: &FuncType, memory64: bool) -> bool {
    let Ok(index) = FUNCTIONS.binary_search_by_key(&name, |row| row.0) else {
        return false;
    };
    let (_, parameters, results) = FUNCTIONS[index];
    // Functions of the time before 64-bit addresses exist in 32-bit modules only.
    (!memory64 || !ONLY_MEMORY32.contains(&name))
        && is_of_types(function.params(), parameters, memory64)
        && is_of_types(function.results(), results, memory64)
}

/// Compares types with letters: `i` is an i32, `l` an i64, `p` an address or a length of memory.
fn is_of_types(types: &[ValType], letters: &str, memory64: bool) -> bool {
    types.len() == letters.len()
        && types.iter().zip(letters.chars()).all(|(of, letter)| match letter {
            'l' => *of == ValType::I64,
            'p' if memory64 => *of == ValType::I64,
            _ => *of == ValType::I32,
        })
}

/// Functions that modules with a 64-bit memory do not have.
const ONLY_MEMORY32: [&str; 8] = [
    "canister_cycle_balance",
    "msg_cycles_accept",
    "msg_cycles_available",
    "msg_cycles_refunded",
    "stable_grow",
    "stable_read",
    "stable_size",
    "stable_write",
];

/// The system API in the order of names: name, parameters, results.
static FUNCTIONS: [(&str, &str, &str); 77] = [
    ("accept_message", "", ""),
    ("call_cycles_add", "l", ""),
    ("call_cycles_add128", "ll", ""),
    ("call_data_append", "pp", ""),
    ("call_new", "pppppppp", ""),
    ("call_on_cleanup", "pp", ""),
    ("call_perform", "", "i"),
    ("call_with_best_effort_response", "i", ""),
    ("canister_cycle_balance", "", "l"),
    ("canister_cycle_balance128", "p", ""),
    ("canister_liquid_cycle_balance128", "p", ""),
    ("canister_self_copy", "ppp", ""),
    ("canister_self_size", "", "p"),
    ("canister_status", "", "i"),
    ("canister_version", "", "l"),
    ("certified_data_set", "pp", ""),
    ("cost_call", "llp", ""),
    ("cost_create_canister", "p", ""),
    ("cost_http_request", "llp", ""),
    ("cost_http_request_v2", "ppp", ""),
    ("cost_sign_with_ecdsa", "ppip", "i"),
    ("cost_sign_with_schnorr", "ppip", "i"),
    ("cost_vetkd_derive_key", "ppip", "i"),
    ("cycles_burn128", "llp", ""),
    ("data_certificate_copy", "ppp", ""),
    ("data_certificate_present", "", "i"),
    ("data_certificate_size", "", "p"),
    ("debug_print", "pp", ""),
    ("env_var_count", "", "p"),
    ("env_var_name_copy", "pppp", ""),
    ("env_var_name_exists", "pp", "i"),
    ("env_var_name_size", "p", "p"),
    ("env_var_value_copy", "ppppp", ""),
    ("env_var_value_size", "pp", "p"),
    ("global_timer_set", "l", "l"),
    ("in_replicated_execution", "", "i"),
    ("is_controller", "pp", "i"),
    ("mint_cycles128", "llp", ""),
    ("msg_arg_data_copy", "ppp", ""),
    ("msg_arg_data_size", "", "p"),
    ("msg_caller_copy", "ppp", ""),
    ("msg_caller_info_data_copy", "ppp", ""),
    ("msg_caller_info_data_size", "", "p"),
    ("msg_caller_info_signer_copy", "ppp", ""),
    ("msg_caller_info_signer_size", "", "p"),
    ("msg_caller_size", "", "p"),
    ("msg_cycles_accept", "l", "l"),
    ("msg_cycles_accept128", "llp", ""),
    ("msg_cycles_available", "", "l"),
    ("msg_cycles_available128", "p", ""),
    ("msg_cycles_refunded", "", "l"),
    ("msg_cycles_refunded128", "p", ""),
    ("msg_deadline", "", "l"),
    ("msg_method_name_copy", "ppp", ""),
    ("msg_method_name_size", "", "p"),
    ("msg_reject", "pp", ""),
    ("msg_reject_code", "", "i"),
    ("msg_reject_msg_copy", "ppp", ""),
    ("msg_reject_msg_size", "", "p"),
    ("msg_reply", "", ""),
    ("msg_reply_data_append", "pp", ""),
    ("performance_counter", "i", "l"),
    ("root_key_copy", "ppp", ""),
    ("root_key_size", "", "p"),
    ("stable64_grow", "l", "l"),
    ("stable64_read", "lll", ""),
    ("stable64_size", "", "l"),
    ("stable64_write", "lll", ""),
    ("stable_grow", "i", "i"),
    ("stable_read", "iii", ""),
    ("stable_size", "", "i"),
    ("stable_write", "iii", ""),
    ("subnet_self_copy", "ppp", ""),
    ("subnet_self_node_count", "", "i"),
    ("subnet_self_size", "", "p"),
    ("time", "", "l"),
    ("trap", "pp", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_be_in_the_order_of_names() {
        assert!(FUNCTIONS.is_sorted_by(|first, second| first.0 < second.0));
        assert!(ONLY_MEMORY32.iter().all(|name| FUNCTIONS.iter().any(|row| row.0 == *name)));
    }
}
