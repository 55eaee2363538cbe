//! What canisters do unasked: timers, heartbeats, and the hook of low memory.

use std::time::Duration;

use candid::{Nat, Principal};
use ic_management_canister_types::CanisterSettings;
use integration_tests::universal::{self as u, Call, Export, Hook, Module, Program, Universal};
use pocket_ic::PocketIc;

use super::world::*;

const SECOND: u64 = 1_000_000_000;

fn now(network: &PocketIc) -> u64 {
    network.get_time().as_nanos_since_unix_epoch()
}

fn slot(canister: &Universal<'_>, slot: u64) -> Vec<u8> {
    canister.query(program().reply_with(u::load(slot))).expect("slots can be read")
}

/// Counts in a slot how often it runs.
fn count() -> Program {
    program().store(1, u::load(1).join("x"))
}

fn on_timer(canister: &Universal<'_>, hook: Program) {
    canister.update(program().set_hook(Hook::GlobalTimer, hook).reply()).expect("hooks can be set");
}

fn set_timer(canister: &Universal<'_>, deadline: u64) -> u64 {
    int(&canister.update(program().reply_with(u::set_timer(deadline))).expect("timers can be set"))
}

cases! {
    should_run_a_timer_when_its_time_has_come: "a timer runs once, in the first round at or after its time" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        set_timer(&canister, now(&network) + 10 * SECOND);
        ticks(&network, 3);
        pass(&network, Duration::from_secs(9));
        assert!(slot(&canister, 1).is_empty());
        pass(&network, Duration::from_secs(2));
        ticks(&network, 3);
        assert_eq!(slot(&canister, 1), b"x");
    }

    should_run_a_timer_of_the_past_at_once: "a timer in the past runs in the next round" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        set_timer(&canister, 1);
        ticks(&network, 3);
        assert_eq!(slot(&canister, 1), b"x");
    }

    should_answer_the_previous_deadline: "global_timer_set answers what was set before" => {
        with_canister!(network, canister);
        let later = now(&network) + 1_000 * SECOND;
        assert_eq!(set_timer(&canister, later), 0);
        assert_eq!(set_timer(&canister, later + 1), later);
        assert_eq!(set_timer(&canister, 0), later + 1);
        assert_eq!(set_timer(&canister, 0), 0);
    }

    should_not_run_a_timer_that_was_cleared: "a deadline of 0 turns the timer off" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        set_timer(&canister, now(&network) + 10 * SECOND);
        set_timer(&canister, 0);
        pass(&network, Duration::from_secs(20));
        ticks(&network, 3);
        assert!(slot(&canister, 1).is_empty());
    }

    should_be_off_while_the_timer_runs: "a timer is off when its code begins" => {
        with_canister!(network, canister);
        on_timer(&canister, program().store(1, u::set_timer(0)));
        set_timer(&canister, 1);
        ticks(&network, 3);
        assert_eq!(int(&slot(&canister, 1)), 0);
    }

    should_set_the_timer_again: "a timer may set itself again" => {
        with_canister!(network, canister);
        on_timer(&canister, count().run_int(u::set_timer(u::time().add(10 * SECOND))));
        set_timer(&canister, 1);
        ticks(&network, 2);
        for _ in 0..3 {
            pass(&network, Duration::from_secs(11));
            ticks(&network, 2);
        }
        let runs = slot(&canister, 1).len();
        assert_eq!(runs, 4);
    }

    should_call_others_from_a_timer: "a timer may call canisters" => {
        with_canister!(network, canister);
        let call = Call::update(canister.id, program().reply_with("there"))
            .on_reply(program().store(1, u::argument()));
        on_timer(&canister, program().call(call));
        set_timer(&canister, 1);
        ticks(&network, 4);
        assert_eq!(slot(&canister, 1), b"there");
    }

    should_have_the_management_canister_as_caller: "in a timer the caller is the management canister" => {
        with_canister!(network, canister);
        on_timer(&canister, program().store(1, u::caller()).store(2, "ran"));
        set_timer(&canister, 1);
        ticks(&network, 3);
        assert_eq!(slot(&canister, 2), b"ran");
        assert_eq!(slot(&canister, 1), Principal::management_canister().as_slice());
    }

    should_not_run_timers_of_stopped_canisters: "a stopped canister's timer waits until it is started" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        set_timer(&canister, now(&network) + 10 * SECOND);
        network.stop_canister(canister.id, None).unwrap();
        pass(&network, Duration::from_secs(20));
        ticks(&network, 3);
        network.start_canister(canister.id, None).unwrap();
        ticks(&network, 3);
        assert_eq!(slot(&canister, 1), b"x");
    }

    should_charge_for_timers: "a timer costs an execution" => {
        with_canister!(network, canister);
        on_timer(&canister, program().spend(100_000_000));
        set_timer(&canister, now(&network) + 5 * SECOND);
        let before = network.cycle_balance(canister.id);
        pass(&network, Duration::from_secs(6));
        ticks(&network, 2);
        let price = before - network.cycle_balance(canister.id);
        assert!((105_000_000..107_000_000).contains(&price), "{price}");
    }

    should_count_timers_for_the_version: "a timer that ran counts for the version" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        set_timer(&canister, now(&network) + 5 * SECOND);
        let before = status(&network, canister.id).version;
        pass(&network, Duration::from_secs(6));
        ticks(&network, 2);
        assert_eq!(status(&network, canister.id).version, before + 1);
    }

    should_beat_every_round: "a heartbeat runs in every round" => {
        let network = start();
        let module = Module::with(&[Export::Heartbeat]);
        let canister = Universal::install_module(&network, &module, program().set_hook(Hook::Heartbeat, count()));
        let before = slot(&canister, 1).len();
        ticks(&network, 5);
        assert_eq!(slot(&canister, 1).len() - before, 5);
    }

    should_not_beat_when_stopped: "a stopped canister has no heartbeat" => {
        let network = start();
        let module = Module::with(&[Export::Heartbeat]);
        let canister = Universal::install_module(&network, &module, program().set_hook(Hook::Heartbeat, count()));
        network.stop_canister(canister.id, None).unwrap();
        let version = status(&network, canister.id).version;
        ticks(&network, 5);
        assert_eq!(status(&network, canister.id).version, version);
    }

    should_not_beat_when_frozen: "a canister that cannot pay has no heartbeat" => {
        let network = start();
        let module = Module::with(&[Export::Heartbeat]);
        let canister = Universal::install_module(&network, &module, program().set_hook(Hook::Heartbeat, count()));
        let settings = CanisterSettings { freezing_threshold: Some(Nat::from(u64::MAX)), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        let version = status(&network, canister.id).version;
        ticks(&network, 5);
        assert_eq!(status(&network, canister.id).version, version);
    }

    should_call_from_a_heartbeat: "a heartbeat may call canisters" => {
        let network = start();
        let module = Module::with(&[Export::Heartbeat]);
        let canister = Universal::install_module(&network, &module, program());
        let call = Call::update(canister.id, program().reply()).on_reply(count());
        canister.update(program().set_hook(Hook::Heartbeat, program().call(call)).reply()).unwrap();
        ticks(&network, 5);
        assert!(!slot(&canister, 1).is_empty());
    }

    should_warn_of_low_memory_once: "the hook of low memory runs once when free heap falls below the threshold" => {
        let network = start();
        let module = Module::with(&[Export::OnLowWasmMemory]);
        let hook = program().set_hook(Hook::OnLowWasmMemory, count());
        let canister = Universal::install_module(&network, &module, hook);
        let settings = CanisterSettings {
            wasm_memory_limit: Some(Nat::from(64 * MIB)),
            wasm_memory_threshold: Some(Nat::from(32 * MIB)),
            ..Default::default()
        };
        set(&network, OWNER, canister.id, settings).unwrap();
        ticks(&network, 3);
        assert!(slot(&canister, 1).is_empty());
        canister.update(program().run_int(u::grow_heap(40 * MIB / PAGE)).reply()).unwrap();
        ticks(&network, 3);
        assert_eq!(slot(&canister, 1), b"x");
        canister.update(program().run_int(u::grow_heap(1)).reply()).unwrap();
        ticks(&network, 3);
        assert_eq!(slot(&canister, 1), b"x");
    }

    should_run_a_timer_before_messages_of_its_round: "a timer that is due runs, whatever messages wait" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        set_timer(&canister, now(&network) + 10 * SECOND);
        network.advance_time(Duration::from_secs(11));
        canister.update(program().reply()).unwrap();
        ticks(&network, 2);
        assert_eq!(slot(&canister, 1), b"x");
    }

    should_run_a_timer_once_for_many_settings: "the timer is one: setting it again replaces it" => {
        with_canister!(network, canister);
        on_timer(&canister, count());
        let later = now(&network) + 10 * SECOND;
        for step in 0..3 {
            set_timer(&canister, later + step);
        }
        pass(&network, Duration::from_secs(20));
        ticks(&network, 3);
        assert_eq!(slot(&canister, 1), b"x");
    }

    should_have_one_time_in_a_message: "the time does not move within a message, and not backwards after it" => {
        with_canister!(network, canister);
        let program = program().append(u::time()).spend(50_000_000).append(u::time()).reply();
        let times = ints(&canister.update(program.clone()).unwrap());
        assert_eq!(times[0], times[1]);
        pass(&network, Duration::from_secs(5));
        let later = ints(&canister.update(program).unwrap());
        assert!(later[0] >= times[0] + 5 * SECOND);
    }

    should_see_the_time_of_the_network: "a query sees the time of the last round" => {
        with_canister!(network, canister);
        pass(&network, Duration::from_secs(77));
        let time = int(&canister.query(program().reply_with(u::time())).unwrap());
        assert!(time <= now(&network) && now(&network) - time < SECOND);
    }
}
