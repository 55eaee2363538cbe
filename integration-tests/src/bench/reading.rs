//! What reading costs at the least: a canister that does nothing but read stable memory and reply.
//!
//! A query in a message of its own costs a cycle for each instruction, and fees that are the same for all of them. Handing
//! a byte of a reply to the system counts as many instructions, whoever does it; what is left without that is the reading.

use anyhow::{anyhow, ensure};
use candid::Principal;
use depot_types::limits::CHUNK_BYTES;
use pocket_ic::PocketIc;

use super::Figure;
use crate::{depot, network};

/// Replies with nothing, with a mebibyte, and with a mebibyte that it reads from stable memory at once.
const READER: &str = r#"(module
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (memory 16)
    (func (export "canister_init") (drop (call $grow (i64.const 16))))
    (func (export "canister_query nothing") (call $reply))
    (func (export "canister_query reply") (call $append (i32.const 0) (i32.const 1048576)) (call $reply))
    (func (export "canister_query read_and_reply")
        (call $read (i64.const 0) (i64.const 0) (i64.const 1048576))
        (call $append (i32.const 0) (i32.const 1048576))
        (call $reply)))"#;

pub(super) fn run() -> anyhow::Result<Vec<Figure>> {
    let [nothing, reply, read] = costs()?;
    let per_byte = |instructions: u64| instructions as f64 / CHUNK_BYTES as f64;
    let figure =
        |name: &str, value: f64| Figure::new(&format!("blob_store.raw_read.{name}"), value, "instructions/byte");
    Ok(vec![
        figure("instructions_per_byte", per_byte(read - nothing)),
        figure("reading.instructions_per_byte", per_byte(read - reply)),
    ])
}

/// Returns the instructions that a reply of a mebibyte takes, without reading it.
pub(super) fn replying() -> anyhow::Result<u64> {
    let [nothing, reply, _] = costs()?;
    Ok(reply - nothing)
}

fn costs() -> anyhow::Result<[u64; 3]> {
    let network = network::start();
    let admin = depot::user(1);
    let canister = depot::create(&network, admin);
    network.install_canister(canister, wat::parse_str(READER)?, vec![], Some(admin));
    let [nothing, reply, read] =
        ["nothing", "reply", "read_and_reply"].map(|method| cost(&network, canister, method, vec![]));
    let costs = [nothing?, reply?, read?];
    ensure!(costs.is_sorted(), "{costs:?}");
    Ok(costs)
}

/// Returns the cycles that a message to a query method costs.
pub(super) fn cost(network: &PocketIc, canister: Principal, method: &str, arg: Vec<u8>) -> anyhow::Result<u64> {
    let before = network.cycle_balance(canister);
    let answer = network.update_call(canister, depot::user(1), method, arg);
    answer.map_err(|reject| anyhow!("{reject}"))?;
    Ok(u64::try_from(before - network.cycle_balance(canister))?)
}
