//! The system API with slices in place of addresses.

/// Declares imported functions that take numbers only, and gives them away as they are.
mod imports {
    #[link(wasm_import_module = "ic0")]
    unsafe extern "C" {
        pub(super) fn msg_arg_data_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn msg_caller_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn msg_caller_info_data_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn msg_caller_info_signer_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn msg_reject_msg_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn msg_method_name_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn canister_self_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn subnet_self_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn root_key_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn data_certificate_copy(destination: usize, offset: usize, size: usize);
        pub(super) fn env_var_name_copy(index: usize, destination: usize, offset: usize, size: usize);
        pub(super) fn env_var_value_copy(name: usize, name_size: usize, destination: usize, offset: usize, size: usize);
        pub(super) fn stable64_read(destination: u64, offset: u64, size: u64);
        pub(super) fn stable_read(destination: u32, offset: u32, size: u32);
        pub(super) fn msg_cycles_available128(destination: usize);
        pub(super) fn msg_cycles_refunded128(destination: usize);
        pub(super) fn msg_cycles_accept128(high: u64, low: u64, destination: usize);
        pub(super) fn cycles_burn128(high: u64, low: u64, destination: usize);
        pub(super) fn mint_cycles128(high: u64, low: u64, destination: usize);
        pub(super) fn canister_cycle_balance128(destination: usize);
        pub(super) fn canister_liquid_cycle_balance128(destination: usize);
        pub(super) fn cost_call(method_size: u64, payload_size: u64, destination: usize);
        pub(super) fn cost_create_canister(destination: usize);
        pub(super) fn cost_http_request(request_size: u64, max_response_size: u64, destination: usize);
        pub(super) fn cost_http_request_v2(parameters: usize, size: usize, destination: usize);
        pub(super) fn cost_sign_with_ecdsa(name: usize, size: usize, curve: u32, destination: usize) -> u32;
        pub(super) fn cost_sign_with_schnorr(name: usize, size: usize, algorithm: u32, destination: usize) -> u32;
        pub(super) fn cost_vetkd_derive_key(name: usize, size: usize, curve: u32, destination: usize) -> u32;

        pub(super) safe fn msg_arg_data_size() -> usize;
        pub(super) safe fn msg_caller_size() -> usize;
        pub(super) safe fn msg_caller_info_data_size() -> usize;
        pub(super) safe fn msg_caller_info_signer_size() -> usize;
        pub(super) safe fn msg_reject_msg_size() -> usize;
        pub(super) safe fn msg_method_name_size() -> usize;
        pub(super) safe fn canister_self_size() -> usize;
        pub(super) safe fn subnet_self_size() -> usize;
        pub(super) safe fn root_key_size() -> usize;
        pub(super) safe fn data_certificate_size() -> usize;
        pub(super) safe fn env_var_name_size(index: usize) -> usize;
        pub(super) safe fn env_var_value_size(name: usize, name_size: usize) -> usize;
        pub(super) safe fn env_var_name_exists(name: usize, name_size: usize) -> u32;
        // These read memory that a slice lends, or that tests ask for: reading cannot do harm.
        pub(super) safe fn msg_reply_data_append(source: usize, size: usize);
        pub(super) safe fn msg_reject(source: usize, size: usize);
        pub(super) safe fn certified_data_set(source: usize, size: usize);
        pub(super) safe fn is_controller(source: usize, size: usize) -> u32;
        pub(super) safe fn debug_print(source: usize, size: usize);
        pub(super) safe fn trap(source: usize, size: usize) -> !;
        pub(super) safe fn call_data_append(source: usize, size: usize);
        pub(super) safe fn stable64_write(offset: u64, source: u64, size: u64);
        pub(super) safe fn stable_write(offset: u32, source: u32, size: u32);
        pub(super) safe fn call_new(
            receiver: usize,
            receiver_size: usize,
            method: usize,
            method_size: usize,
            reply_function: usize,
            reply_environment: usize,
            reject_function: usize,
            reject_environment: usize,
        );
    }
}

#[link(wasm_import_module = "ic0")]
unsafe extern "C" {
    pub(crate) safe fn msg_reject_code() -> u32;
    pub(crate) safe fn msg_deadline() -> u64;
    pub(crate) safe fn msg_reply();
    pub(crate) safe fn accept_message();
    pub(crate) safe fn msg_cycles_available() -> u64;
    pub(crate) safe fn msg_cycles_refunded() -> u64;
    pub(crate) safe fn msg_cycles_accept(amount: u64) -> u64;
    pub(crate) safe fn canister_cycle_balance() -> u64;
    pub(crate) safe fn canister_status() -> u32;
    pub(crate) safe fn canister_version() -> u64;
    pub(crate) safe fn data_certificate_present() -> u32;
    pub(crate) safe fn time() -> u64;
    pub(crate) safe fn global_timer_set(deadline: u64) -> u64;
    pub(crate) safe fn performance_counter(counter: u32) -> u64;
    pub(crate) safe fn in_replicated_execution() -> u32;
    pub(crate) safe fn env_var_count() -> usize;
    pub(crate) safe fn call_on_cleanup(function: usize, environment: usize);
    pub(crate) safe fn call_with_best_effort_response(seconds: u32);
    pub(crate) safe fn call_cycles_add128(high: u64, low: u64);
    pub(crate) safe fn call_cycles_add(amount: u64);
    pub(crate) safe fn call_perform() -> u32;
    pub(crate) safe fn stable64_size() -> u64;
    pub(crate) safe fn stable64_grow(pages: u64) -> u64;
    pub(crate) safe fn stable_size() -> u32;
    pub(crate) safe fn stable_grow(pages: u32) -> u32;
}

/// Bytes of an amount of cycles.
const CYCLES_BYTES: usize = 16;

/// Makes a buffer of `size` bytes and lets `fill` write to its address.
fn filled(size: usize, fill: impl FnOnce(usize)) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fill(bytes.as_mut_ptr() as usize);
    bytes
}

/// Defines functions that read byte strings of the system.
macro_rules! byte_strings {
    ($($name:ident: $size:ident, $copy:ident;)*) => {
        $(pub(crate) fn $name() -> Vec<u8> {
            let size = imports::$size();
            // SAFETY: the buffer has the size that is copied.
            filled(size, |destination| unsafe { imports::$copy(destination, 0, size) })
        })*
    };
}

byte_strings! {
    msg_arg_data: msg_arg_data_size, msg_arg_data_copy;
    msg_caller: msg_caller_size, msg_caller_copy;
    msg_caller_info_data: msg_caller_info_data_size, msg_caller_info_data_copy;
    msg_caller_info_signer: msg_caller_info_signer_size, msg_caller_info_signer_copy;
    msg_reject_msg: msg_reject_msg_size, msg_reject_msg_copy;
    msg_method_name: msg_method_name_size, msg_method_name_copy;
    canister_self: canister_self_size, canister_self_copy;
    subnet_self: subnet_self_size, subnet_self_copy;
    root_key: root_key_size, root_key_copy;
    data_certificate: data_certificate_size, data_certificate_copy;
}

/// Defines functions that answer an amount of cycles and take integers.
macro_rules! amounts {
    ($($name:ident($($argument:ident),*);)*) => {
        $(pub(crate) fn $name($($argument: u64),*) -> Vec<u8> {
            // SAFETY: the buffer has room for an amount.
            filled(CYCLES_BYTES, |destination| unsafe { imports::$name($($argument,)* destination) })
        })*
    };
}

amounts! {
    msg_cycles_available128();
    msg_cycles_refunded128();
    msg_cycles_accept128(high, low);
    cycles_burn128(high, low);
    mint_cycles128(high, low);
    canister_cycle_balance128();
    canister_liquid_cycle_balance128();
    cost_call(method_size, payload_size);
    cost_create_canister();
    cost_http_request(request_size, max_response_size);
}

/// Defines functions that take a byte string.
macro_rules! consumers {
    ($($name:ident -> $answer:ty;)*) => {
        $(pub(crate) fn $name(bytes: &[u8]) -> $answer {
            imports::$name(bytes.as_ptr() as usize, bytes.len())
        })*
    };
}

consumers! {
    msg_reply_data_append -> ();
    msg_reject -> ();
    certified_data_set -> ();
    is_controller -> u32;
    env_var_name_exists -> u32;
    debug_print -> ();
    trap -> !;
    call_data_append -> ();
}

/// Defines functions that answer the price of a signature, and first what they return.
macro_rules! signature_prices {
    ($($name:ident;)*) => {
        $(pub(crate) fn $name(key: &[u8], kind: u32) -> (u32, Vec<u8>) {
            let mut returned = 0;
            let cycles = filled(CYCLES_BYTES, |destination| {
                // SAFETY: the buffer has room for an amount.
                returned = unsafe { imports::$name(key.as_ptr() as usize, key.len(), kind, destination) };
            });
            (returned, cycles)
        })*
    };
}

signature_prices! {
    cost_sign_with_ecdsa;
    cost_sign_with_schnorr;
    cost_vetkd_derive_key;
}

pub(crate) fn cost_http_request_v2(parameters: &[u8]) -> Vec<u8> {
    filled(CYCLES_BYTES, |destination| {
        // SAFETY: the buffer has room for an amount.
        unsafe { imports::cost_http_request_v2(parameters.as_ptr() as usize, parameters.len(), destination) }
    })
}

pub(crate) fn msg_arg_data_part(offset: usize, size: usize) -> Vec<u8> {
    // SAFETY: the buffer has the size that is copied.
    filled(size, |destination| unsafe { imports::msg_arg_data_copy(destination, offset, size) })
}

pub(crate) fn msg_reply_data_append_at(source: usize, size: usize) {
    imports::msg_reply_data_append(source, size);
}

pub(crate) fn env_var_name(index: usize) -> Vec<u8> {
    let size = imports::env_var_name_size(index);
    // SAFETY: the buffer has the size that is copied.
    filled(size, |destination| unsafe { imports::env_var_name_copy(index, destination, 0, size) })
}

pub(crate) fn env_var_value(name: &[u8]) -> Vec<u8> {
    let (address, length) = (name.as_ptr() as usize, name.len());
    let size = imports::env_var_value_size(address, length);
    // SAFETY: the buffer has the size that is copied.
    filled(size, |destination| unsafe { imports::env_var_value_copy(address, length, destination, 0, size) })
}

pub(crate) fn stable64_read(offset: u64, size: u64) -> Vec<u8> {
    // SAFETY: the buffer has the size that is copied.
    filled(size as usize, |destination| unsafe { imports::stable64_read(destination as u64, offset, size) })
}

pub(crate) fn stable64_write(offset: u64, bytes: &[u8]) {
    imports::stable64_write(offset, bytes.as_ptr() as u64, bytes.len() as u64);
}

pub(crate) fn stable_read(offset: u32, size: u32) -> Vec<u8> {
    // SAFETY: the buffer has the size that is copied.
    filled(size as usize, |destination| unsafe { imports::stable_read(destination as u32, offset, size) })
}

pub(crate) fn stable_write(offset: u32, bytes: &[u8]) {
    imports::stable_write(offset, bytes.as_ptr() as u32, bytes.len() as u32);
}

/// A function of the table with its environment.
#[derive(Clone, Copy)]
pub(crate) struct Closure {
    pub(crate) function: usize,
    pub(crate) environment: usize,
}

pub(crate) fn call_new(receiver: &[u8], method: &[u8], on_reply: Closure, on_reject: Closure) {
    imports::call_new(
        receiver.as_ptr() as usize,
        receiver.len(),
        method.as_ptr() as usize,
        method.len(),
        on_reply.function,
        on_reply.environment,
        on_reject.function,
        on_reject.environment,
    );
}
