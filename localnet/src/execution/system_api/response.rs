//! Arguments, answers, and what a callback learns of the answer to a call.

use wasmtime::{Caller, Linker};

use super::{
    Halt, HostState, Run, Size, charge_transmission, enter,
    heap_access::{CopyOut, copy_in, copy_out},
    mode::{self, Modes},
};
use crate::{
    error::RejectCode,
    message::{Answer, shorten},
};

type Call<'a> = Caller<'a, HostState>;

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    define_bytes::<I>(linker, "msg_arg_data_size", "msg_arg_data_copy", mode::ARGUMENT, |run| {
        Ok(&run.environment.argument)
    })?;
    define_bytes::<I>(linker, "msg_method_name_size", "msg_method_name_copy", mode::INSPECTION, |run| {
        Ok(run.method_name.as_bytes())
    })?;
    define_bytes::<I>(linker, "msg_reject_msg_size", "msg_reject_msg_copy", mode::REJECT_MESSAGE, |run| {
        Ok(run.reject.1.as_bytes())
    })?;
    linker.func_wrap("ic0", "msg_reject_code", |mut caller: Call<'_>| -> wasmtime::Result<u32> {
        enter(&mut caller, "msg_reject_code", mode::REJECT_CODE, 500)?;
        Ok(caller.data_mut().run()?.reject.0)
    })?;
    linker.func_wrap("ic0", "msg_deadline", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "msg_deadline", mode::ANSWERING, 500)?;
        Ok(caller.data_mut().run()?.environment.deadline.unwrap_or(0))
    })?;
    linker.func_wrap("ic0", "msg_reply_data_append", |mut caller: Call<'_>, source: I, size: I| {
        append_reply(&mut caller, source.wide(), size.wide())
    })?;
    linker.func_wrap("ic0", "msg_reply", |mut caller: Call<'_>| -> wasmtime::Result<()> {
        enter(&mut caller, "msg_reply", mode::ANSWERING, 500)?;
        let run = caller.data_mut().run()?;
        check_unanswered(run, "msg_reply")?;
        run.effects.answer = Some(Answer::Reply(std::mem::take(&mut run.reply)));
        Ok(())
    })?;
    linker.func_wrap("ic0", "msg_reject", |mut caller: Call<'_>, source: I, size: I| {
        reject(&mut caller, source.wide(), size.wide())
    })?;
    linker.func_wrap("ic0", "accept_message", |mut caller: Call<'_>| -> wasmtime::Result<()> {
        enter(&mut caller, "accept_message", mode::INSPECTION, 500)?;
        let run = caller.data_mut().run()?;
        if std::mem::replace(&mut run.effects.message_accepted, true) {
            return Err(Halt::Contract("accept_message: the function was already called.".to_owned()).into());
        }
        Ok(())
    })?;
    Ok(())
}

/// Defines the pair of functions that tells the size of some bytes and copies them.
pub(super) fn define_bytes<I: Size>(
    linker: &mut Linker<HostState>,
    size_name: &'static str,
    copy_name: &'static str,
    modes: Modes,
    pick: fn(&Run) -> Result<&[u8], Halt>,
) -> wasmtime::Result<()> {
    linker.func_wrap("ic0", size_name, move |mut caller: Call<'_>| -> wasmtime::Result<I> {
        enter(&mut caller, size_name, modes, 500)?;
        Ok(I::of(pick(caller.data_mut().run()?)?.len()))
    })?;
    linker.func_wrap(
        "ic0",
        copy_name,
        move |mut caller: Call<'_>, destination: I, offset: I, size: I| -> wasmtime::Result<()> {
            enter(&mut caller, copy_name, modes, 500)?;
            let copy = CopyOut { destination: destination.wide(), offset: offset.wide(), size: size.wide() };
            copy_out(&mut caller, copy_name, copy, pick)
        },
    )?;
    Ok(())
}

fn check_unanswered(run: &Run, name: &str) -> Result<(), Halt> {
    if run.is_answered() {
        return Err(Halt::Contract(format!("{name}: the call is already replied")));
    }
    Ok(())
}

fn append_reply(caller: &mut Call<'_>, source: u64, size: u64) -> wasmtime::Result<()> {
    let name = "msg_reply_data_append";
    enter(caller, name, mode::ANSWERING, 500)?;
    let run = caller.data_mut().run()?;
    check_unanswered(run, name)?;
    let (length, limit) = ((run.reply.len() as u64).saturating_add(size), run.max_reply());
    if length > limit as u64 {
        return Err(Halt::Contract(format!(
            "ic0.{name}: application payload size ({length}) cannot be larger than {limit}"
        ))
        .into());
    }
    charge_transmission(caller, size)?;
    let bytes = copy_in(caller, name, source, size, limit)?;
    caller.data_mut().run()?.reply.extend(bytes);
    Ok(())
}

fn reject(caller: &mut Call<'_>, source: u64, size: u64) -> wasmtime::Result<()> {
    let name = "msg_reject";
    enter(caller, name, mode::ANSWERING, 500)?;
    let run = caller.data_mut().run()?;
    check_unanswered(run, name)?;
    let limit = run.max_reply();
    charge_transmission(caller, size)?;
    let bytes = copy_in(caller, name, source, size, limit)?;
    let message =
        String::from_utf8(bytes).map_err(|_| Halt::Contract(format!("ic0.{name}: the message is not UTF-8 text")))?;
    let message = shorten(message);
    let run = caller.data_mut().run()?;
    run.reply = Vec::new();
    run.effects.answer = Some(Answer::Reject(RejectCode::CanisterReject, message));
    Ok(())
}
