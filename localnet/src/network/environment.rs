//! What a canister's code sees while it runs, and what running it costs.
//!
//! Shared by everything that executes canister code: rounds, queries, message inspection and installation.

use std::{collections::BTreeMap, sync::Arc};

use candid::Principal;

use super::Subnet;
use crate::{
    canister::Canister,
    cycles::CostModel,
    error::{ErrorCode, UserError, UserResult},
    execution::Environment,
    limits::{GUARANTEED_CALLBACKS, GUARANTEED_RESPONSE_MEMORY, QUEUE_CAPACITY, SCHEDULER_CORES, SUBNET_CALLBACKS},
    management,
    message::Cycles,
};

/// Builds the environment of a message that answers no call: nothing to accept, no deadline, nothing prepaid; and of one
/// that takes no memory of the subnet, as in queries and installations.
///
/// The balance shown is the canister's balance now, that is after [`prepay`]. Whoever executes a call fills in the
/// fields of the call afterwards, and a round what its messages may take.
pub(crate) fn environment(
    subnet: &Subnet,
    canister: &Canister,
    context: &management::Context,
    caller: Principal,
    argument: Vec<u8>,
    instruction_limit: u64,
) -> Environment {
    let mut holdings = canister.holdings();
    holdings.memory_usage = canister.other_memory();
    Environment {
        canister_id: canister.id,
        caller,
        argument,
        caller_info: None,
        cycles_available: 0,
        deadline: None,
        answered: false,
        time: context.now,
        canister_version: canister.version,
        canister_status: canister.status_number(),
        controllers: canister.settings.controllers.clone(),
        balance: canister.balance,
        prepaid: 0,
        holdings,
        reserved_cycles_limit: canister.settings.reserved_cycles_limit,
        subnet_memory: 0,
        cost_model: subnet.cost_model,
        subnet_id: subnet.id,
        root_key: Arc::clone(&context.root_key),
        environment_variables: Arc::clone(&canister.settings.environment_variables),
        data_certificate: None,
        global_timer: canister.global_timer,
        wasm_memory_limit: canister.settings.wasm_memory_limit,
        call_context_instructions: 0,
        instruction_limit,
        callback_instruction_limit: subnet.instruction_limits.message,
        log_capacity: canister.settings.log_memory_limit,
        response_memory_available: response_memory_available(subnet),
        callbacks_available: callbacks_available(subnet, canister),
        queue_slots: queue_slots(canister),
        may_mint: false,
    }
}

/// Returns how many more calls the canister may make: its guaranteed share, or what is left of the subnet's.
fn callbacks_available(subnet: &Subnet, canister: &Canister) -> u64 {
    let in_use: u64 = subnet.canisters.values().map(|other| other.callbacks.len() as u64).sum();
    let own = canister.callbacks.len() as u64;
    SUBNET_CALLBACKS.saturating_sub(in_use).max(GUARANTEED_CALLBACKS.saturating_sub(own))
}

/// Returns the bytes of memory that a message may take for responses. Each core has its share of what is left.
fn response_memory_available(subnet: &Subnet) -> u64 {
    let in_use: u64 = subnet.canisters.values().map(Canister::message_memory).sum();
    GUARANTEED_RESPONSE_MEMORY.saturating_sub(in_use) / SCHEDULER_CORES as u64
}

/// Returns the free slots towards every canister that a call is open to: a call holds its slot until the response is
/// executed, since room for the response was kept with it.
fn queue_slots(canister: &Canister) -> Vec<(Principal, usize)> {
    let mut open: BTreeMap<Principal, usize> = BTreeMap::new();
    for callback in canister.callbacks.values() {
        *open.entry(callback.respondent).or_default() += 1;
    }
    open.into_iter().map(|(receiver, calls)| (receiver, QUEUE_CAPACITY.saturating_sub(calls))).collect()
}

/// Takes the price of `instructions` from the balance before they are executed; [`settle`] gives back the rest.
///
/// # Errors
/// `CanisterOutOfCycles` when the balance would fall below the freezing threshold; nothing is taken then.
pub(crate) fn prepay(
    canister: &mut Canister,
    cost_model: &CostModel,
    instructions: u64,
    wasm64: bool,
) -> UserResult<Cycles> {
    let price = cost_model.execution(instructions, wasm64);
    charge(canister, cost_model, price)?;
    Ok(price)
}

/// Gives back what was prepaid but is not needed for the instructions used; returns the price kept.
pub(crate) fn settle(
    canister: &mut Canister,
    cost_model: &CostModel,
    prepaid: Cycles,
    used_instructions: u64,
    wasm64: bool,
) -> Cycles {
    let price = cost_model.execution(used_instructions, wasm64).min(prepaid);
    canister.balance = canister.balance.saturating_add(prepaid - price);
    price
}

/// Takes an amount from the balance as long as the canister does not freeze by it.
///
/// # Errors
/// `CanisterOutOfCycles` when the balance would fall below the freezing threshold; nothing is taken then.
pub(crate) fn charge(canister: &mut Canister, cost_model: &CostModel, amount: Cycles) -> UserResult<()> {
    check_payable(canister, cost_model, amount)?;
    canister.balance -= amount;
    Ok(())
}

/// Tests whether the canister can pay an amount without freezing. A canister with nothing to pay always can.
///
/// # Errors
/// `CanisterOutOfCycles`, with the amount that is missing.
pub(crate) fn check_payable(canister: &Canister, cost_model: &CostModel, amount: Cycles) -> UserResult<()> {
    let needed = amount.saturating_add(cost_model.freezing_threshold(&canister.holdings()));
    if amount > 0 && canister.balance < needed {
        return Err(UserError::new(
            ErrorCode::CanisterOutOfCycles,
            format!(
                "Canister {} is out of cycles: please top up the canister with at least {} additional cycles",
                canister.id,
                needed - canister.balance
            ),
        ));
    }
    Ok(())
}
