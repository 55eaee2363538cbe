//! The state of network and canister that a message sees: time, versions, counters, certificates, the timer.

use wasmtime::{Caller, Linker};

use super::{Halt, HostState, Size, enter, heap_access::read, mode, response::define_bytes};
use crate::limits::MAX_CERTIFIED_DATA;

type Call<'a> = Caller<'a, HostState>;

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("ic0", "time", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "time", mode::ALL_BUT_START, 500)?;
        Ok(caller.data_mut().run()?.environment.time)
    })?;
    linker.func_wrap("ic0", "canister_version", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "canister_version", mode::ALL_BUT_START, 500)?;
        Ok(caller.data_mut().run()?.environment.canister_version)
    })?;
    linker.func_wrap("ic0", "canister_status", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "canister_status", mode::ALL_BUT_START, 500)?;
        Ok(caller.data_mut().run()?.environment.canister_status)
    })?;
    linker.func_wrap("ic0", "in_replicated_execution", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "in_replicated_execution", mode::ANY, 500)?;
        Ok(u32::from(caller.data_mut().run()?.mode.is_replicated()))
    })?;
    linker.func_wrap("ic0", "performance_counter", |mut caller: Call<'_>, kind: u32| -> wasmtime::Result<u64> {
        enter(&mut caller, "performance_counter", mode::ANY, 200)?;
        let left = caller.get_fuel()?;
        let run = caller.data_mut().run()?;
        let used = run.environment.instruction_limit.saturating_sub(left);
        match kind {
            0 => Ok(used),
            1 => Ok(run.environment.call_context_instructions.saturating_add(used)),
            _ => Err(Halt::Contract(format!("performance_counter: there is no counter of type {kind}")).into()),
        }
    })?;
    linker.func_wrap("ic0", "global_timer_set", |mut caller: Call<'_>, deadline: u64| -> wasmtime::Result<u64> {
        enter(&mut caller, "global_timer_set", mode::TIMER, 500)?;
        let run = caller.data_mut().run()?;
        Ok(run.effects.global_timer.replace(deadline).unwrap_or(run.environment.global_timer))
    })?;
    define_certification::<I>(linker)
}

fn define_certification<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    define_bytes::<I>(linker, "root_key_size", "root_key_copy", mode::BURNING_CYCLES, |run| {
        Ok(&run.environment.root_key)
    })?;
    linker.func_wrap("ic0", "data_certificate_present", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "data_certificate_present", mode::ALL_BUT_START, 500)?;
        let run = caller.data_mut().run()?;
        Ok(u32::from(mode::CERTIFICATE.contains(run.mode) && run.environment.data_certificate.is_some()))
    })?;
    define_bytes::<I>(linker, "data_certificate_size", "data_certificate_copy", mode::CERTIFICATE, |run| {
        let missing = || Halt::Contract("data_certificate: there is no certificate".to_owned());
        run.environment.data_certificate.as_deref().ok_or_else(missing)
    })?;
    linker.func_wrap(
        "ic0",
        "certified_data_set",
        |mut caller: Call<'_>, source: I, size: I| -> wasmtime::Result<()> {
            enter(&mut caller, "certified_data_set", mode::CERTIFYING, 500)?;
            let data = read(&mut caller, "certified_data_set", source.wide(), size.wide(), MAX_CERTIFIED_DATA)?;
            caller.data_mut().run()?.effects.certified_data = Some(data);
            Ok(())
        },
    )?;
    Ok(())
}
