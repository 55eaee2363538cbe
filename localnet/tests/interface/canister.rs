//! The canister that the tests call.

/// A canister with a counter in its heap: `increment` adds one and replies with four bytes, `read` returns them. `echo`
/// returns its argument, `caller` the caller, `refuse` rejects with the text "no", and `fail` traps. `never` calls a
/// method of its own that does not come to an end until the canister is uninstalled. `certify` certifies its argument,
/// and `certificate` returns the certificate of that; `caller_info` returns what is said of the caller. `hidden` with an argument is refused
/// by `inspect_message`.
const COUNTER: &str = r#"(module
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "msg_caller_size" (func $caller_size (result i32)))
    (import "ic0" "msg_caller_copy" (func $caller_copy (param i32 i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_reject" (func $reject (param i32 i32)))
    (import "ic0" "accept_message" (func $accept))
    (import "ic0" "msg_method_name_size" (func $name_size (result i32)))
    (import "ic0" "canister_self_size" (func $self_size (result i32)))
    (import "ic0" "canister_self_copy" (func $self_copy (param i32 i32 i32)))
    (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_perform" (func $call_perform (result i32)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (import "ic0" "data_certificate_size" (func $certificate_size (result i32)))
    (import "ic0" "data_certificate_copy" (func $certificate_copy (param i32 i32 i32)))
    (import "ic0" "msg_caller_info_data_size" (func $info_size (result i32)))
    (import "ic0" "msg_caller_info_data_copy" (func $info_copy (param i32 i32 i32)))
    (memory 40)
    (table 1 funcref)
    (elem (i32.const 0) $again)
    (data (i32.const 100) "no")
    (data (i32.const 110) "fail")
    (func $again (param i32) (call $self_call))
    (func $self_call
        (call $self_copy (i32.const 200) (i32.const 0) (call $self_size))
        (call $call_new (i32.const 200) (call $self_size) (i32.const 110) (i32.const 4)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (drop (call $call_perform)))
    (func (export "canister_update increment")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (call $append (i32.const 0) (i32.const 4))
        (call $reply))
    (func (export "canister_query read")
        (call $append (i32.const 0) (i32.const 4))
        (call $reply))
    (func $echo
        (call $arg_copy (i32.const 1000) (i32.const 0) (call $arg_size))
        (call $append (i32.const 1000) (call $arg_size))
        (call $reply))
    (func (export "canister_update echo") (call $echo))
    (func $caller
        (call $caller_copy (i32.const 1000) (i32.const 0) (call $caller_size))
        (call $append (i32.const 1000) (call $caller_size))
        (call $reply))
    (func (export "canister_update caller") (call $caller))
    (func (export "canister_query caller_query") (call $caller))
    (func (export "canister_update certify")
        (call $arg_copy (i32.const 1000) (i32.const 0) (call $arg_size))
        (call $certify (i32.const 1000) (call $arg_size))
        (call $reply))
    (func (export "canister_query certificate")
        (call $certificate_copy (i32.const 1000) (i32.const 0) (call $certificate_size))
        (call $append (i32.const 1000) (call $certificate_size))
        (call $reply))
    (func (export "canister_query caller_info")
        (call $info_copy (i32.const 1000) (i32.const 0) (call $info_size))
        (call $append (i32.const 1000) (call $info_size))
        (call $reply))
    (func (export "canister_update refuse") (call $reject (i32.const 100) (i32.const 2)))
    (func (export "canister_query refuse_query") (call $reject (i32.const 100) (i32.const 2)))
    (func (export "canister_update fail") (unreachable))
    (func (export "canister_update never") (call $self_call))
    (func (export "canister_update hidden") (call $reply))
    (func (export "canister_inspect_message")
        (if (i32.ne (call $name_size) (i32.const 6)) (then (call $accept)) (else
            (if (i32.eqz (call $arg_size)) (then (call $accept))))))
    (@custom "icp:public candid:service" "service : {}")
    (@custom "icp:private secret" "do not tell"))"#;

/// Returns the module.
pub(crate) fn wasm() -> Vec<u8> {
    wat::parse_str(COUNTER).unwrap()
}
