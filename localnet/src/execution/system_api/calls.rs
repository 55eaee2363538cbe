//! Calls to other canisters: built up step by step, then performed or dropped.

use candid::Principal;
use wasmtime::{Caller, Linker};

use super::{
    Halt, HostState, Run, Size, charge_transmission,
    cycles::amount,
    enter,
    heap_access::{copy_in, read, read_text},
    mode,
};
use crate::{
    execution::{Closure, OutgoingCall},
    limits::{
        MAX_CALL_TIMEOUT_SECONDS, MAX_INTER_CANISTER_PAYLOAD, MAX_LOCAL_REQUEST_PAYLOAD, MAX_METHOD_NAME,
        QUEUE_CAPACITY,
    },
    message::Cycles,
};

type Call<'a> = Caller<'a, HostState>;

/// What `call_perform` answers when the call was put into the queue.
const PERFORMED: u32 = 0;
/// What `call_perform` answers when cycles, callbacks or queue slots are lacking: the code of a transient reject.
const NOT_PERFORMED: u32 = 2;

/// A call under construction. Cycles attached were taken from the balance.
pub(super) struct PendingCall {
    receiver: Principal,
    method: String,
    payload: Vec<u8>,
    cycles: Cycles,
    on_reply: Closure,
    on_reject: Closure,
    on_cleanup: Option<Closure>,
    timeout_seconds: Option<u32>,
}

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "ic0",
        "call_new",
        |mut caller: Call<'_>,
         receiver: I,
         receiver_size: I,
         method: I,
         method_size: I,
         reply_function: I,
         reply_environment: I,
         reject_function: I,
         reject_environment: I|
         -> wasmtime::Result<()> {
            let name = "call_new";
            enter(&mut caller, name, mode::CALLING, 1_500)?;
            drop_pending(caller.data_mut().run()?);
            let receiver =
                read(&mut caller, name, receiver.wide(), receiver_size.wide(), Principal::MAX_LENGTH_IN_BYTES)?;
            let receiver = Principal::try_from_slice(&receiver)
                .map_err(|error| Halt::Contract(format!("{name}: invalid principal id: {error}")))?;
            let method = read_text(&mut caller, name, method.wide(), method_size.wide(), MAX_METHOD_NAME)?;
            caller.data_mut().run()?.pending_call = Some(PendingCall {
                receiver,
                method,
                payload: Vec::new(),
                cycles: 0,
                on_reply: Closure { function: reply_function.wide(), environment: reply_environment.wide() },
                on_reject: Closure { function: reject_function.wide(), environment: reject_environment.wide() },
                on_cleanup: None,
                timeout_seconds: None,
            });
            Ok(())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_on_cleanup",
        |mut caller: Call<'_>, function: I, environment: I| -> wasmtime::Result<()> {
            enter(&mut caller, "call_on_cleanup", mode::CALLING, 500)?;
            let call = pending(caller.data_mut().run()?, "call_on_cleanup")?;
            let closure = Closure { function: function.wide(), environment: environment.wide() };
            match call.on_cleanup.replace(closure) {
                None => Ok(()),
                Some(_) => Err(Halt::Contract("call_on_cleanup can be called at most once".to_owned()).into()),
            }
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_data_append",
        |mut caller: Call<'_>, source: I, size: I| -> wasmtime::Result<()> {
            let name = "call_data_append";
            enter(&mut caller, name, mode::CALLING, 500)?;
            charge_transmission(&mut caller, size.wide())?;
            let bytes = copy_in(&mut caller, name, source.wide(), size.wide(), MAX_LOCAL_REQUEST_PAYLOAD)?;
            let call = pending(caller.data_mut().run()?, name)?;
            check_size(name, call.method.len() + call.payload.len() + bytes.len())?;
            call.payload.extend(bytes);
            Ok(())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_with_best_effort_response",
        |mut caller: Call<'_>, timeout: u32| -> wasmtime::Result<()> {
            let name = "call_with_best_effort_response";
            enter(&mut caller, name, mode::CALLING, 500)?;
            let call = pending(caller.data_mut().run()?, name)?;
            match call.timeout_seconds.replace(timeout.min(MAX_CALL_TIMEOUT_SECONDS)) {
                None => Ok(()),
                Some(_) => Err(Halt::Contract(format!("{name}: a timeout was set already")).into()),
            }
        },
    )?;
    linker.func_wrap("ic0", "call_cycles_add", |mut caller: Call<'_>, cycles: u64| -> wasmtime::Result<()> {
        enter(&mut caller, "call_cycles_add", mode::ATTACHING_CYCLES, 500)?;
        add_cycles(caller.data_mut().run()?, "call_cycles_add", Cycles::from(cycles))
    })?;
    linker.func_wrap(
        "ic0",
        "call_cycles_add128",
        |mut caller: Call<'_>, high: u64, low: u64| -> wasmtime::Result<()> {
            enter(&mut caller, "call_cycles_add128", mode::ATTACHING_CYCLES, 500)?;
            add_cycles(caller.data_mut().run()?, "call_cycles_add128", amount(high, low))
        },
    )?;
    linker.func_wrap("ic0", "call_perform", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "call_perform", mode::CALLING, 5_000)?;
        perform(caller.data_mut().run()?)
    })?;
    Ok(())
}

/// Returns what a call with `request_bytes` takes from the balance besides the cycles attached.
pub(super) fn prepayment(run: &Run, request_bytes: u64) -> Cycles {
    let instructions = run.environment.callback_instruction_limit;
    let response_bytes = MAX_INTER_CANISTER_PAYLOAD as u64;
    run.environment.cost_model.call_prepayment(request_bytes, response_bytes, instructions, run.wasm64)
}

fn pending<'a>(run: &'a mut Run, name: &str) -> Result<&'a mut PendingCall, Halt> {
    run.pending_call
        .as_mut()
        .ok_or_else(|| Halt::Contract(format!("{name} called when no call is under construction.")))
}

fn check_size(name: &str, size: usize) -> Result<(), Halt> {
    if size > MAX_LOCAL_REQUEST_PAYLOAD {
        return Err(Halt::Contract(format!(
            "ic0.{name}: the payload size {size} cannot be larger than {MAX_LOCAL_REQUEST_PAYLOAD}"
        )));
    }
    Ok(())
}

/// Gives up the call under construction, if there is one, and takes its cycles back.
fn drop_pending(run: &mut Run) {
    if let Some(call) = run.pending_call.take() {
        run.balance = run.balance.saturating_add(call.cycles);
    }
}

fn add_cycles(run: &mut Run, name: &str, cycles: Cycles) -> wasmtime::Result<()> {
    pending(run, name)?;
    let missing = cycles.saturating_sub(run.liquid_balance());
    if missing > 0 {
        return Err(Halt::CyclesForCall { missing }.into());
    }
    run.balance -= cycles;
    pending(run, name)?.cycles += cycles;
    Ok(())
}

fn perform(run: &mut Run) -> wasmtime::Result<u32> {
    let call = pending(run, "call_perform")?;
    let request_bytes = call.method.len() + call.payload.len();
    check_size("call_perform", request_bytes)?;
    let receiver = call.receiver;
    // Composite queries pay nothing for their calls.
    let prepayment = if run.mode.is_non_replicated_query() { 0 } else { prepayment(run, request_bytes as u64) };
    let slots = &run.environment.queue_slots;
    let slots = slots.iter().find(|(canister, _)| *canister == receiver).map_or(QUEUE_CAPACITY, |(_, slots)| *slots);
    let made = run.calls_by_receiver.get(&receiver).copied().unwrap_or(0);
    // Room for the largest response is kept from now on, and bears on the freezing threshold.
    let is_query = run.mode.is_non_replicated_query();
    let is_guaranteed = !is_query && run.pending_call.as_ref().is_some_and(|call| call.timeout_seconds.is_none());
    let response_memory = if is_guaranteed { MAX_INTER_CANISTER_PAYLOAD as u64 } else { 0 };
    run.response_memory += response_memory;
    let is_affordable = prepayment == 0 || prepayment <= run.liquid_balance();
    let has_memory = run.response_memory <= run.environment.response_memory_available;
    let has_callback = (run.effects.calls.len() as u64) < run.environment.callbacks_available;
    if !is_affordable || !has_memory || !has_callback || made >= slots {
        run.response_memory -= response_memory;
        drop_pending(run);
        return Ok(NOT_PERFORMED);
    }
    if let Some(call) = run.pending_call.take() {
        run.balance -= prepayment;
        *run.calls_by_receiver.entry(receiver).or_default() += 1;
        run.effects.calls.push(OutgoingCall {
            receiver,
            method: call.method,
            payload: call.payload,
            cycles: call.cycles,
            on_reply: call.on_reply,
            on_reject: call.on_reject,
            on_cleanup: call.on_cleanup,
            timeout_seconds: call.timeout_seconds,
            prepayment,
        });
    }
    Ok(PERFORMED)
}
