//! Stable memory, by the functions of 64 and of 32 bits.

use ic_management_canister_types::CanisterSettings;
use integration_tests::universal::{self as u, Universal};
use pocket_ic::ErrorCode;

use super::world::*;

/// Pages of the largest stable memory, 500 GiB.
const MAX_PAGES: u64 = 500 << 14;
/// Pages that the functions of 32 bits can reach.
const PAGES_OF_32_BITS: u64 = 1 << 16;

cases! {
    should_begin_empty: "stable memory begins with no pages" => {
        with_canister!(network, canister);
        let sizes = canister.query(program().append(u::stable_size()).append(u::stable_size32()).reply()).unwrap();
        assert_eq!(ints(&sizes), [0, 0]);
    }

    should_answer_the_size_before_it_grew: "growing answers the pages before" => {
        with_canister!(network, canister);
        let program = program()
            .append(u::grow_stable(3))
            .append(u::grow_stable32(4))
            .append(u::grow_stable(0))
            .append(u::stable_size())
            .append(u::stable_size32())
            .reply();
        assert_eq!(ints(&canister.update(program).unwrap()), [0, 3, 7, 7, 7]);
    }

    should_begin_with_zeros: "new pages are zero" => {
        with_canister!(network, canister);
        let program = program().run_int(u::grow_stable(1)).reply_with(u::read_stable(PAGE - 8, 8));
        assert_eq!(canister.update(program).unwrap(), [0; 8]);
    }

    should_keep_what_was_written: "both kinds of functions see the same bytes" => {
        with_canister!(network, canister);
        let write = program().run_int(u::grow_stable(1)).write_stable(10, "abc").write_stable32(13, "def").reply();
        canister.update(write).unwrap();
        let read = program().append(u::read_stable(10, 6)).append(u::read_stable32(10, 6)).reply();
        assert_eq!(canister.query(read).unwrap(), b"abcdefabcdef");
    }

    should_trap_behind_the_end: "reads and writes behind the end trap" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1)).reply()).unwrap();
        let attempts = [
            program().run(u::read_stable(PAGE - 1, 2)),
            program().run(u::read_stable32(PAGE - 1, 2)),
            program().write_stable(PAGE - 1, "ab"),
            program().write_stable32(PAGE - 1, "ab"),
            program().write_stable(u64::MAX, "ab"),
        ];
        for attempt in attempts {
            assert_eq!(code(canister.update(attempt.reply())), ErrorCode::CanisterTrapped);
        }
        canister.update(program().write_stable(PAGE - 2, "ab").reply()).unwrap();
    }

    should_not_grow_past_the_largest_size: "stable memory has at most 500 GiB" => {
        with_canister!(network, canister);
        network.add_cycles(canister.id, 10_000 * T);
        let program = program()
            .append(u::grow_stable(MAX_PAGES + 1))
            .append(u::grow_stable(MAX_PAGES))
            .append(u::grow_stable(1))
            .append(u::stable_size())
            .reply();
        assert_eq!(ints(&canister.update(program).unwrap()), [u64::MAX, 0, u64::MAX, MAX_PAGES]);
    }

    should_not_grow_past_32_bits_by_32_bits: "the functions of 32 bits grow to 4 GiB at the most" => {
        with_canister!(network, canister);
        let program = program()
            .append(u::grow_stable32(PAGES_OF_32_BITS + 1))
            .append(u::grow_stable32(PAGES_OF_32_BITS))
            .append(u::grow_stable32(1))
            .reply();
        let minus_one = u64::from(u32::MAX);
        assert_eq!(ints(&canister.update(program).unwrap()), [minus_one, 0, minus_one]);
    }

    should_not_use_32_bits_past_4_gib: "the functions of 32 bits trap once stable memory is larger" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(PAGES_OF_32_BITS + 1)).reply()).unwrap();
        for attempt in [program().run_int(u::stable_size32()), program().run(u::read_stable32(0, 1))] {
            assert_eq!(code(canister.query(attempt.reply())), ErrorCode::CanisterTrapped);
        }
        canister.query(program().run(u::read_stable(PAGES_OF_32_BITS * PAGE, 5)).reply()).unwrap();
    }

    should_want_cycles_for_growth: "growing needs cycles for the freezing threshold" => {
        with_canister!(network, canister);
        // 200 GiB for 30 days cost 164 T cycles.
        let result = canister.update(program().run_int(u::grow_stable(200 << 14)).reply());
        assert_eq!(code(result), ErrorCode::InsufficientCyclesInMemoryGrow);
        assert_eq!(int(&canister.query(program().reply_with(u::stable_size())).unwrap()), 0);
    }

    should_grow_freely_without_a_freezing_threshold: "without a freezing threshold growth needs no cycles" => {
        with_canister!(network, canister);
        let settings = CanisterSettings { freezing_threshold: Some(0_u8.into()), ..Default::default() };
        set(&network, OWNER, canister.id, settings).unwrap();
        canister.update(program().run_int(u::grow_stable(200 << 14)).reply()).unwrap();
    }

    should_read_it_from_outside: "test networks show stable memory and replace it" => {
        with_canister!(network, canister);
        canister.update(program().run_int(u::grow_stable(1)).write_stable(3, "here").reply()).unwrap();
        let mut bytes = network.get_stable_memory(canister.id);
        assert_eq!(&bytes[3..7], b"here");
        bytes[3..7].copy_from_slice(b"HERE");
        network.set_stable_memory(canister.id, bytes, pocket_ic::common::rest::BlobCompression::NoCompression);
        assert_eq!(canister.query(program().reply_with(u::read_stable(3, 4))).unwrap(), b"HERE");
    }

    should_count_instructions_for_bytes: "stable memory costs an instruction for each byte moved" => {
        with_canister!(network, canister);
        let moving = |bytes: u64| {
            let program = program()
                .run_int(u::grow_stable(40))
                .append(u::performance_counter(0))
                .run(u::read_stable(0, bytes))
                .append(u::performance_counter(0))
                .reply();
            let counts = ints(&canister.query(program).unwrap());
            counts[1] - counts[0]
        };
        let difference = moving(2_000_000) - moving(1_000_000);
        assert!(difference >= 1_000_000, "{difference}");
    }

    should_survive_in_another_canister: "each canister has its own stable memory" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        canister.update(program().run_int(u::grow_stable(1)).reply()).unwrap();
        assert_eq!(int(&other.query(program().reply_with(u::stable_size())).unwrap()), 0);
    }
}
