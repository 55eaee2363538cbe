//! Cycles: balances, and cycles that come with, go with, or come back from calls.

use wasmtime::{Caller, Linker};

use super::{Halt, HostState, Run, Size, enter, heap_access::write_cycles, mode};
use crate::message::Cycles;

type Call<'a> = Caller<'a, HostState>;

/// Puts the halves of an amount together.
pub(super) fn amount(high: u64, low: u64) -> Cycles {
    Cycles::from(high) << 64 | Cycles::from(low)
}

pub(super) fn define<I: Size>(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "ic0",
        "canister_cycle_balance128",
        |mut caller: Call<'_>, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "canister_cycle_balance128", mode::ALL_BUT_START, 500)?;
            let balance = caller.data_mut().run()?.balance;
            write_cycles(&mut caller, "canister_cycle_balance128", destination.wide(), balance)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "canister_liquid_cycle_balance128",
        |mut caller: Call<'_>, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "canister_liquid_cycle_balance128", mode::ALL_BUT_START, 500)?;
            let balance = caller.data_mut().run()?.liquid_balance();
            write_cycles(&mut caller, "canister_liquid_cycle_balance128", destination.wide(), balance)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_available128",
        |mut caller: Call<'_>, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "msg_cycles_available128", mode::ACCEPTING_CYCLES, 500)?;
            let available = available(caller.data_mut().run()?);
            write_cycles(&mut caller, "msg_cycles_available128", destination.wide(), available)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_refunded128",
        |mut caller: Call<'_>, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "msg_cycles_refunded128", mode::REFUNDED_CYCLES, 500)?;
            let refunded = caller.data_mut().run()?.refunded;
            write_cycles(&mut caller, "msg_cycles_refunded128", destination.wide(), refunded)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_accept128",
        |mut caller: Call<'_>, high: u64, low: u64, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "msg_cycles_accept128", mode::ACCEPTING_CYCLES, 500)?;
            let accepted = accept(caller.data_mut().run()?, amount(high, low));
            write_cycles(&mut caller, "msg_cycles_accept128", destination.wide(), accepted)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cycles_burn128",
        |mut caller: Call<'_>, high: u64, low: u64, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "cycles_burn128", mode::BURNING_CYCLES, 500)?;
            let run = caller.data_mut().run()?;
            let burned = amount(high, low).min(run.liquid_balance());
            run.balance -= burned;
            run.effects.cycles_burned += burned;
            write_cycles(&mut caller, "cycles_burn128", destination.wide(), burned)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "mint_cycles128",
        |mut caller: Call<'_>, high: u64, low: u64, destination: I| -> wasmtime::Result<()> {
            enter(&mut caller, "mint_cycles128", mode::ATTACHING_CYCLES, 0)?;
            let run = caller.data_mut().run()?;
            if !run.environment.may_mint {
                return Err(Halt::Contract(
                    "mint_cycles128 cannot be executed on a canister other than the cycles minting \
                                           canister"
                        .to_owned(),
                )
                .into());
            }
            let minted = amount(high, low).min(Cycles::MAX - run.balance);
            run.balance += minted;
            run.effects.cycles_minted += minted;
            write_cycles(&mut caller, "mint_cycles128", destination.wide(), minted)
        },
    )?;
    Ok(())
}

/// Defines the functions that answer 64-bit amounts, and trap when an amount is larger.
pub(super) fn define_legacy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("ic0", "canister_cycle_balance", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "canister_cycle_balance", mode::ALL_BUT_START, 500)?;
        narrow(caller.data_mut().run()?.balance)
    })?;
    linker.func_wrap("ic0", "msg_cycles_available", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "msg_cycles_available", mode::ACCEPTING_CYCLES, 500)?;
        narrow(available(caller.data_mut().run()?))
    })?;
    linker.func_wrap("ic0", "msg_cycles_refunded", |mut caller: Call<'_>| -> wasmtime::Result<u64> {
        enter(&mut caller, "msg_cycles_refunded", mode::REFUNDED_CYCLES, 500)?;
        narrow(caller.data_mut().run()?.refunded)
    })?;
    linker.func_wrap("ic0", "msg_cycles_accept", |mut caller: Call<'_>, most: u64| -> wasmtime::Result<u64> {
        enter(&mut caller, "msg_cycles_accept", mode::ACCEPTING_CYCLES, 500)?;
        narrow(accept(caller.data_mut().run()?, Cycles::from(most)))
    })?;
    Ok(())
}

fn available(run: &mut Run) -> Cycles {
    run.environment.cycles_available.saturating_sub(run.effects.cycles_accepted)
}

fn accept(run: &mut Run, most: Cycles) -> Cycles {
    let accepted = most.min(available(run));
    run.effects.cycles_accepted += accepted;
    run.balance = run.balance.saturating_add(accepted);
    accepted
}

fn narrow(amount: Cycles) -> wasmtime::Result<u64> {
    u64::try_from(amount).map_err(|_| Halt::Trapped("cycles amount exceeds 64-bit representation").into())
}
