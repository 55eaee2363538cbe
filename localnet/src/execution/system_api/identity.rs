//! Who is who: the canister itself, its subnet, the caller, controllers, and environment variables.

use candid::Principal;
use wasmtime::{Caller, Linker};

use super::{
    Halt, HostState, Run, Size, enter,
    heap_access::{CopyOut, copy_in_text, copy_out, read},
    mode,
    response::define_bytes,
};
use crate::limits::MAX_ENVIRONMENT_VARIABLE_LOOKUP;

type Call<'a> = Caller<'a, HostState>;

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    define_bytes::<I>(linker, "msg_caller_size", "msg_caller_copy", mode::ALL_BUT_START, |run| {
        Ok(run.environment.caller.as_slice())
    })?;
    define_bytes::<I>(linker, "msg_caller_info_data_size", "msg_caller_info_data_copy", mode::CALLER_INFO, |run| {
        Ok(run.environment.caller_info.as_ref().map_or(&[], |(info, _)| info))
    })?;
    define_bytes::<I>(
        linker,
        "msg_caller_info_signer_size",
        "msg_caller_info_signer_copy",
        mode::CALLER_INFO,
        |run| Ok(run.environment.caller_info.as_ref().map_or(&[], |(_, signer)| signer.as_slice())),
    )?;
    define_bytes::<I>(linker, "canister_self_size", "canister_self_copy", mode::ALL_BUT_START, |run| {
        Ok(run.environment.canister_id.as_slice())
    })?;
    define_bytes::<I>(linker, "subnet_self_size", "subnet_self_copy", mode::ALL_BUT_START, |run| {
        Ok(run.environment.subnet_id.as_slice())
    })?;
    linker.func_wrap("ic0", "subnet_self_node_count", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "subnet_self_node_count", mode::ALL_BUT_START, 500)?;
        let nodes = caller.data_mut().run()?.environment.cost_model.subnet_size;
        Ok(u32::try_from(nodes).unwrap_or(u32::MAX))
    })?;
    linker.func_wrap("ic0", "is_controller", |mut caller: Call<'_>, source: I, size: I| -> wasmtime::Result<u32> {
        enter(&mut caller, "is_controller", mode::ANY, 1_000)?;
        let bytes = read(&mut caller, "is_controller", source.wide(), size.wide(), Principal::MAX_LENGTH_IN_BYTES)?;
        let principal = Principal::try_from_slice(&bytes)
            .map_err(|error| Halt::Contract(format!("is_controller: invalid principal id: {error}")))?;
        Ok(u32::from(caller.data_mut().run()?.environment.controllers.contains(&principal)))
    })?;
    define_variables::<I>(linker)
}

fn define_variables<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("ic0", "env_var_count", |mut caller: Call<'_>| -> wasmtime::Result<I> {
        enter(&mut caller, "env_var_count", mode::ALL_BUT_START, 500)?;
        Ok(I::of(caller.data_mut().run()?.environment.environment_variables.len()))
    })?;
    linker.func_wrap("ic0", "env_var_name_size", |mut caller: Call<'_>, index: I| -> wasmtime::Result<I> {
        enter(&mut caller, "env_var_name_size", mode::ALL_BUT_START, 500)?;
        Ok(I::of(variable_name(caller.data_mut().run()?, "env_var_name_size", index.wide())?.len()))
    })?;
    linker.func_wrap(
        "ic0",
        "env_var_name_copy",
        |mut caller: Call<'_>, index: I, destination: I, offset: I, size: I| -> wasmtime::Result<()> {
            enter(&mut caller, "env_var_name_copy", mode::ALL_BUT_START, 500)?;
            let copy = CopyOut { destination: destination.wide(), offset: offset.wide(), size: size.wide() };
            copy_out(&mut caller, "env_var_name_copy", copy, |run| {
                variable_name(run, "env_var_name_copy", index.wide())
            })
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_name_exists",
        |mut caller: Call<'_>, name: I, size: I| -> wasmtime::Result<u32> {
            enter(&mut caller, "env_var_name_exists", mode::ALL_BUT_START, 500)?;
            let name = read_name(&mut caller, "env_var_name_exists", name.wide(), size.wide())?;
            Ok(u32::from(variable_value(caller.data_mut().run()?, "env_var_name_exists", &name).is_ok()))
        },
    )?;
    linker.func_wrap("ic0", "env_var_value_size", |mut caller: Call<'_>, name: I, size: I| -> wasmtime::Result<I> {
        enter(&mut caller, "env_var_value_size", mode::ALL_BUT_START, 500)?;
        let name = read_name(&mut caller, "env_var_value_size", name.wide(), size.wide())?;
        Ok(I::of(variable_value(caller.data_mut().run()?, "env_var_value_size", &name)?.len()))
    })?;
    linker.func_wrap(
        "ic0",
        "env_var_value_copy",
        |mut caller: Call<'_>, name: I, name_size: I, destination: I, offset: I, size: I| -> wasmtime::Result<()> {
            enter(&mut caller, "env_var_value_copy", mode::ALL_BUT_START, 500)?;
            let name = read_name(&mut caller, "env_var_value_copy", name.wide(), name_size.wide())?;
            let copy = CopyOut { destination: destination.wide(), offset: offset.wide(), size: size.wide() };
            copy_out(&mut caller, "env_var_value_copy", copy, |run| variable_value(run, "env_var_value_copy", &name))
        },
    )?;
    Ok(())
}

fn read_name(caller: &mut Call<'_>, function: &str, source: u64, size: u64) -> wasmtime::Result<String> {
    copy_in_text(caller, function, source, size, MAX_ENVIRONMENT_VARIABLE_LOOKUP)
}

fn variable_name<'a>(run: &'a Run, function: &str, index: u64) -> Result<&'a [u8], Halt> {
    let variables = &run.environment.environment_variables;
    usize::try_from(index).ok().and_then(|index| variables.get(index)).map(|(name, _)| name.as_bytes()).ok_or_else(
        || {
            Halt::Contract(format!(
                "{function}: index {index} is out of bounds, there are {} variables",
                variables.len()
            ))
        },
    )
}

fn variable_value<'a>(run: &'a Run, function: &str, name: &str) -> Result<&'a [u8], Halt> {
    let variables = &run.environment.environment_variables;
    let found = variables.binary_search_by(|(existing, _)| existing.as_str().cmp(name));
    match found {
        Ok(index) => Ok(variables[index].1.as_bytes()),
        Err(_) => Err(Halt::Contract(format!("{function}: no environment variable is named '{name}'"))),
    }
}
