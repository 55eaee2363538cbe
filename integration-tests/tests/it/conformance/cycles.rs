//! What things cost.

use std::time::Duration;

use candid::{Nat, Principal};
use ic_management_canister_types::CanisterSettings;
use integration_tests::{
    network,
    universal::{self as u, Call, Universal},
};
use pocket_ic::ErrorCode;

use super::world::*;

const EXECUTION_FEE: u128 = 5_000_000;
const CALL_FEE: u128 = 260_000;
const BYTE_FEE: u128 = 1_000;
const MAX_RESPONSE: u128 = 2_097_152;
const MESSAGE_LIMIT: u128 = 40_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);
/// Instructions that a program uses after it has read the counter.
const AFTER_COUNTING: u128 = 20_000;

/// The price of a call, with all that it binds until the answer is there.
fn price_of_call(bytes: u128) -> u128 {
    CALL_FEE + BYTE_FEE * (bytes + MAX_RESPONSE) + EXECUTION_FEE + MESSAGE_LIMIT
}

/// Tests that a price is a known part and some instructions that were not counted.
fn expect_about(price: u128, known: u128, uncounted: u128) {
    assert!((known..known + uncounted).contains(&price), "{price} is not {known}");
}

cases! {
    should_price_calls: "cost_call is fee, bytes, the largest response, and its execution at the limit" => {
        with_canister!(network, canister);
        for (method, argument) in [(0, 0), (7, 0), (0, 7), (100, 2_000_000)] {
            let price = cycles(&canister.query(program().reply_with(u::cost_call(method, argument))).unwrap());
            assert_eq!(price, price_of_call(u128::from(method + argument)));
        }
    }

    should_price_creation: "cost_create_canister is 500 G" => {
        with_canister!(network, canister);
        let price = cycles(&canister.query(program().reply_with(u::cost_create_canister())).unwrap());
        assert_eq!(price, 500_000_000_000);
    }

    should_price_http_outcalls: "cost_http_request grows with bytes, for each of 13 nodes" => {
        with_canister!(network, canister);
        let price = |request, response| {
            cycles(&canister.query(program().reply_with(u::cost_http_request(request, response))).unwrap())
        };
        assert_eq!(price(0, 0), (3_000_000 + 60_000 * 13) * 13);
        assert_eq!(price(1_000, 5_000) - price(0, 0), (400 * 1_000 + 800 * 5_000) * 13);
    }

    should_charge_executions: "a message costs 5 M cycles and one for each instruction" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        for instructions in [100_000, 50_000_000] {
            let before = network.cycle_balance(other.id);
            let work = program().spend(instructions).reply_with(u::performance_counter(0));
            let counted = int(&canister.call(Call::update(other.id, work)).unwrap());
            expect_about(before - network.cycle_balance(other.id), EXECUTION_FEE + u128::from(counted), AFTER_COUNTING);
        }
    }

    should_charge_replicated_queries: "a query that all nodes run costs what an update costs" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let before = network.cycle_balance(other.id);
        let work = program().spend(1_000_000).reply_with(u::performance_counter(0));
        let counted = int(&canister.call(Call::query(other.id, work)).unwrap());
        expect_about(before - network.cycle_balance(other.id), EXECUTION_FEE + u128::from(counted), AFTER_COUNTING);
    }

    should_charge_calls: "a call costs 260,000 cycles and 1,000 a byte both ways, and its callback an execution" => {
        with_canister!(network, canister);
        let middle = Universal::install(&network);
        let (argument, reply) = (1_000_u128, 500_u128);
        let inner_program = {
            let replying = program().reply_with(u::fill(1, reply as u64));
            let padding = argument as usize - replying.clone().into_bytes().len();
            // A program may be followed by what it never reaches: it ends in a reply, so pad it with nothing to do.
            replying.then(u::Program::of_bytes(&drops(padding)))
        };
        let call = Call::update(canister.id, inner_program)
            .on_reply(program().append(u::performance_counter(1)).reply());
        let before = network.cycle_balance(middle.id);
        let counted = int(&canister.call(Call::update(middle.id, program().call(call))).unwrap());
        let bytes = "update".len() as u128 + argument + reply;
        let known = 2 * EXECUTION_FEE + CALL_FEE + BYTE_FEE * bytes + u128::from(counted);
        expect_about(before - network.cycle_balance(middle.id), known, AFTER_COUNTING);
    }

    should_bind_the_price_of_a_call: "while a call is open its largest response stays paid for" => {
        with_canister!(network, canister);
        let call = Call::new(Principal::management_canister(), "raw_rand").argument(b"DIDL\0\0").on_reply(program());
        let before = canister.update(program().append(u::balance()).call(call).append(u::balance()).reply()).unwrap();
        let bound = cycles(&before[..16]) - cycles(&before[16..]);
        assert_eq!(bound, price_of_call("raw_rand".len() as u128 + 6));
    }

    should_burn_cycles: "cycles_burn128 burns what is asked for" => {
        with_canister!(network, canister);
        let before = network.cycle_balance(canister.id);
        assert_eq!(cycles(&canister.update(program().reply_with(u::burn_cycles(3 * T))).unwrap()), 3 * T);
        let spent = before - network.cycle_balance(canister.id);
        assert!((3 * T..3 * T + T / 10).contains(&spent), "{spent}");
    }

    should_burn_no_more_than_is_free: "cycles_burn128 leaves the freezing threshold" => {
        with_canister!(network, canister);
        let burned = cycles(&canister.update(program().reply_with(u::burn_cycles(u128::MAX))).unwrap());
        assert!(burned > 99 * T, "{burned}");
        let left = network.cycle_balance(canister.id);
        let threshold = small(&status(&network, canister.id).idle_cycles_burned_per_day) * 30;
        // What the message did not use of its 40 G comes back after it.
        assert!(left >= threshold && left < threshold + MESSAGE_LIMIT + EXECUTION_FEE, "{left}");
    }

    should_charge_storage_over_time: "storage is paid by the second, 317,500 cycles for a GiB" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(16_384)).reply()).unwrap();
        pass(&network, Duration::from_secs(20));
        let rate = small(&status(&network, canister.id).idle_cycles_burned_per_day);
        let before = network.cycle_balance(canister.id);
        pass(&network, DAY);
        let price = before - network.cycle_balance(canister.id);
        // Charges are made in whole seconds.
        assert!(price.abs_diff(rate) <= rate / 1_000, "{price} instead of {rate}");
        assert!(rate > 317_500 * 86_400, "a GiB and the code");
    }

    should_charge_compute_over_time: "a compute allocation is paid by the second" => {
        let network = start();
        let id = create_with(&network, 1_000 * T);
        let settings = CanisterSettings { compute_allocation: Some(Nat::from(10_u8)), ..Default::default() };
        set(&network, OWNER, id, settings).unwrap();
        pass(&network, Duration::from_secs(20));
        let before = network.cycle_balance(id);
        pass(&network, DAY);
        let price = before - network.cycle_balance(id);
        let expected = 10 * 10_000_000 * 86_400;
        assert!(price.abs_diff(expected) <= expected / 1_000, "{price} instead of {expected}");
    }

    should_not_charge_storage_at_once: "storage is not charged again within ten seconds" => {
        with_canister!(network, canister);
        pass(&network, Duration::from_secs(20));
        let before = network.cycle_balance(canister.id);
        pass(&network, Duration::from_secs(5));
        assert_eq!(network.cycle_balance(canister.id), before);
    }

    should_charge_nothing_for_time_when_empty: "a canister without code pays for its history only" => {
        let network = start();
        let id = create_with(&network, T);
        pass(&network, DAY);
        let price = T - network.cycle_balance(id);
        assert!(price < 1_000_000, "{price}");
    }

    should_empty_canisters_that_run_out: "a canister that cannot pay for storage loses its code, and stays" => {
        with_canister!(network, canister);
        let settings = CanisterSettings { freezing_threshold: Some(Nat::from(0_u8)), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        canister.update(program().run_int(u::grow_stable(100 << 14)).reply()).unwrap();
        // 100 GiB cost 2.7 T a day.
        pass(&network, 60 * DAY);
        ticks(&network, 2);
        assert_eq!(network.cycle_balance(canister.id), 0);
        let status = status(&network, canister.id);
        assert_eq!(status.module_hash, None);
        assert_eq!(status.settings.controllers, [OWNER]);
        assert_eq!(code(canister.query(program().reply())), ErrorCode::CanisterWasmModuleNotFound);
    }

    should_lose_allocations_with_the_code: "a canister that ran out has no allocations any more" => {
        let network = start();
        let id = create_with(&network, 100 * T);
        let settings = CanisterSettings {
            compute_allocation: Some(Nat::from(1_u8)),
            freezing_threshold: Some(Nat::from(0_u8)),
            ..Default::default()
        };
        set(&network, OWNER, id, settings).unwrap();
        pass(&network, 200 * DAY);
        ticks(&network, 2);
        let status = status(&network, id);
        assert_eq!((small(&status.cycles), small(&status.settings.compute_allocation)), (0, 0));
    }

    should_freeze_below_the_threshold: "a canister freezes below what its freezing threshold costs" => {
        with_canister!(network, canister);
        let rate = small(&status(&network, canister.id).idle_cycles_burned_per_day);
        let days = DEFAULT_BALANCE / rate;
        let with = |days: u128| {
            let seconds = Nat::from(days * 86_400);
            set(&network, OWNER, canister.id, CanisterSettings { freezing_threshold: Some(seconds), ..Default::default() })
        };
        with(days * 11 / 10).unwrap();
        assert_eq!(code(canister.query(program().reply())), ErrorCode::CanisterOutOfCycles);
        with(days / 2).unwrap();
        canister.query(program().reply()).unwrap();
        canister.update(program().reply()).unwrap();
    }

    should_want_the_whole_limit_of_an_update: "an update needs 40.005 G cycles above the threshold" => {
        with_canister!(network, canister);
        let burn = u::burn_cycles(u128::MAX);
        canister.update(program().run(burn).reply()).unwrap();
        let before = network.cycle_balance(canister.id);
        assert!(before < 2 * MESSAGE_LIMIT);
        assert_eq!(code(canister.update(program().reply())), ErrorCode::CanisterOutOfCycles);
        // A query that all nodes run binds 5.005 G only.
        canister.replicated_query(program().reply()).unwrap();
        network.add_cycles(canister.id, MESSAGE_LIMIT);
        canister.update(program().reply()).unwrap();
    }

    should_reserve_cycles_on_a_full_subnet: "memory past 750 GiB of a subnet binds cycles of whoever takes it" => {
        let network = start();
        let id = create_with(&network, 10_000_000 * T);
        let with = |gib: u64, limit: u128| CanisterSettings {
            memory_allocation: Some(Nat::from(gib << 30)),
            reserved_cycles_limit: Some(Nat::from(limit)),
            ..Default::default()
        };
        set(&network, OWNER, id, with(700, 5 * T)).unwrap();
        assert_eq!(small(&status(&network, id).reserved_cycles), 0);
        let refused = set(&network, OWNER, id, with(1_000, 10));
        assert_eq!(code(refused), ErrorCode::ReservedCyclesLimitExceededInMemoryAllocation);
        let before = network.cycle_balance(id);
        set(&network, OWNER, id, with(1_000, 1_000_000 * T)).unwrap();
        let reserved = small(&status(&network, id).reserved_cycles);
        assert!(reserved > 0);
        let moved = before - network.cycle_balance(id);
        assert!(moved.abs_diff(reserved) < 10_000_000, "{moved} and {reserved}");
        let refused = set(&network, OWNER, id, with(1_000, reserved - 1));
        assert_eq!(code(refused), ErrorCode::ReservedCyclesLimitIsTooLow);
    }

    should_reserve_cycles_for_growth_on_a_full_subnet: "memory that grows in a message binds cycles up to the limit" => {
        with_canister!(network, canister);
        let other = create_with(&network, 10_000_000 * T);
        let settings = CanisterSettings {
            memory_allocation: Some(Nat::from(1_000_u64 << 30)),
            reserved_cycles_limit: Some(Nat::from(1_000_000 * T)),
            ..Default::default()
        };
        set(&network, OWNER, other, settings).unwrap();
        let limit = |limit: u128| {
            let settings = CanisterSettings { reserved_cycles_limit: Some(Nat::from(limit)), ..Default::default() };
            set(&network, OWNER, canister.id, settings).unwrap();
        };
        let grow = || canister.update(program().run_int(u::grow_stable(100)).reply());
        limit(0);
        assert_eq!(code(grow()), ErrorCode::ReservedCyclesLimitExceededInMemoryGrow);
        // Nothing of a query stays, so it binds nothing.
        canister.replicated_query(program().run_int(u::grow_stable(100)).reply()).unwrap();
        assert_eq!(small(&status(&network, canister.id).reserved_cycles), 0);
        limit(5 * T);
        let trapping = program().run_int(u::grow_stable(100)).trap("undone");
        assert_eq!(code(canister.update(trapping)), ErrorCode::CanisterCalledTrap);
        let before = network.cycle_balance(canister.id);
        let sizes = program().append(u::stable_size()).run_int(u::grow_stable(100)).append(u::stable_size()).reply();
        assert_eq!(ints(&canister.update(sizes).unwrap()), [0, 100]);
        let reserved = small(&status(&network, canister.id).reserved_cycles);
        expect_about(before - network.cycle_balance(canister.id), EXECUTION_FEE + reserved, 10_000_000);
        // 6.25 MiB, of which each GiB is paid for as much of 300,000,000 s as the subnet is past 750 GiB of 2 TiB.
        let rate = 317_500 * 300_000_000 * 250 / (2_048 - 750);
        let expected = rate * (100 * u128::from(PAGE)) / (1 << 30);
        // The heap may grow by a page or two as well.
        assert!((expected * 99 / 100..expected * 105 / 100).contains(&reserved), "{reserved} instead of {expected}");
    }

    should_pay_storage_from_reserved_cycles: "reserved cycles pay storage first" => {
        let network = start();
        let id = create_with(&network, 10_000_000 * T);
        let settings = CanisterSettings {
            memory_allocation: Some(Nat::from(1_000_u64 << 30)),
            reserved_cycles_limit: Some(Nat::from(1_000_000 * T)),
            ..Default::default()
        };
        set(&network, OWNER, id, settings).unwrap();
        pass(&network, Duration::from_secs(20));
        let (balance, reserved) = (network.cycle_balance(id), small(&status(&network, id).reserved_cycles));
        pass(&network, DAY);
        assert_eq!(network.cycle_balance(id), balance);
        assert!(small(&status(&network, id).reserved_cycles) < reserved);
    }

    should_be_free_on_system_subnets: "on a system subnet nothing costs anything" => {
        let network = network::builder().with_system_subnet().build();
        let canister = Universal::install(&network);
        let before = network.cycle_balance(canister.id);
        canister.update(program().spend(10_000_000).reply()).unwrap();
        pass(&network, DAY);
        assert_eq!(network.cycle_balance(canister.id), before);
        let price = cycles(&canister.query(program().reply_with(u::cost_create_canister())).unwrap());
        assert_eq!(price, 0);
    }

    should_move_cycles_between_canisters: "cycles that are accepted leave one balance and come to the other" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let (mine, theirs) = (network.cycle_balance(canister.id), network.cycle_balance(other.id));
        let call = Call::update(other.id, program().reply_with(u::accept_cycles(5 * T))).cycles(5 * T);
        canister.call(call).unwrap();
        let given = mine - network.cycle_balance(canister.id);
        let got = network.cycle_balance(other.id) - theirs;
        assert!((5 * T..5 * T + T / 10).contains(&given), "{given}");
        assert!((5 * T - T / 10..5 * T).contains(&got), "{got}");
    }
}

/// Makes a program of so many bytes that does nothing, and is at least long enough to be one.
fn drops(bytes: usize) -> Vec<u8> {
    let empty = program().when(u::Int::from(0), program()).into_bytes();
    let mut padding = program().when(u::Int::from(0), u::Program::of_bytes(&vec![0; bytes - empty.len()])).into_bytes();
    padding.truncate(bytes);
    padding
}
