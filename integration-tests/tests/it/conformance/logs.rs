//! What canisters print, and who may read it.

use candid::{Encode, Nat, Principal};
use ic_management_canister_types as wire;
use integration_tests::universal::{self as u, Universal};
use pocket_ic::{ErrorCode, PocketIc, RejectResponse};

use super::world::*;

/// Bytes of a log that are kept when the settings ask for nothing else.
const DEFAULT_LIMIT: usize = 4_096;

fn fetch_filtered(
    network: &PocketIc,
    sender: Principal,
    id: Principal,
    filter: Option<wire::CanisterLogFilter>,
) -> Result<Vec<wire::CanisterLogRecord>, RejectResponse> {
    let args = wire::FetchCanisterLogsArgs { canister_id: id, filter };
    let reply = query_management(network, sender, id, "fetch_canister_logs", &args)?;
    Ok(decode::<wire::FetchCanisterLogsResult>(&reply).canister_log_records)
}

fn fetch(network: &PocketIc, sender: Principal, id: Principal) -> Result<Vec<wire::CanisterLogRecord>, RejectResponse> {
    fetch_filtered(network, sender, id, None)
}

fn show_to(network: &PocketIc, id: Principal, visibility: wire::LogVisibility) {
    let settings = wire::CanisterSettings { log_visibility: Some(visibility), ..Default::default() };
    set(network, OWNER, id, settings).expect("the owner may");
}

cases! {
    should_number_and_date_what_is_printed: "records are numbered from 0 and have the time of their round" => {
        with_canister!(network, canister);
        canister.update(program().print("one").print("two").reply()).unwrap();
        pass(&network, std::time::Duration::from_secs(5));
        canister.update(program().print("three").reply()).unwrap();
        let records = fetch(&network, OWNER, canister.id).unwrap();
        let numbers: Vec<_> = records.iter().map(|record| record.idx).collect();
        let lines: Vec<_> = records.iter().map(|record| record.content.as_slice()).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(lines, [b"one".as_slice(), b"two", b"three"]);
        assert_eq!(records[0].timestamp_nanos, records[1].timestamp_nanos);
        assert!(records[2].timestamp_nanos >= records[1].timestamp_nanos + 5_000_000_000);
    }

    should_log_traps: "a trap leaves a record" => {
        with_canister!(network, canister);
        canister.update(program().trap("on purpose")).unwrap_err();
        let records = fetch(&network, OWNER, canister.id).unwrap();
        assert_eq!(records.len(), 1);
        assert!(records[0].content.windows(10).any(|bytes| bytes == b"on purpose"));
    }

    should_not_log_queries: "what queries of one node print is not kept" => {
        with_canister!(network, canister);
        canister.query(program().print("lost").reply()).unwrap();
        assert!(fetch(&network, OWNER, canister.id).unwrap().is_empty());
    }

    should_log_replicated_queries: "what queries of all nodes print is kept" => {
        with_canister!(network, canister);
        canister.replicated_query(program().print("kept").reply()).unwrap();
        assert_eq!(fetch(&network, OWNER, canister.id).unwrap().len(), 1);
    }

    should_log_installations: "what init prints is kept" => {
        let network = start();
        let canister = Universal::install_module(&network, &u::module(), program().print("made"));
        assert_eq!(fetch(&network, OWNER, canister.id).unwrap()[0].content, b"made");
    }

    should_keep_the_newest_records: "the log keeps 4 KiB, and forgets the oldest first" => {
        with_canister!(network, canister);
        for number in 0..10_u8 {
            canister.update(program().print(vec![b'a' + number; 1_000]).reply()).unwrap();
        }
        let records = fetch(&network, OWNER, canister.id).unwrap();
        assert!(records.len() < 5 && records.iter().map(|record| record.content.len()).sum::<usize>() <= DEFAULT_LIMIT);
        assert_eq!(records.last().unwrap().content, [b'j'; 1_000]);
        assert_eq!(records.last().unwrap().idx, 9);
    }

    should_keep_logs_over_upgrades: "an upgrade keeps the log" => {
        with_canister!(network, canister);
        canister.update(program().print("kept").reply()).unwrap();
        upgrade(&canister, program().print("more")).unwrap();
        let lines: Vec<_> = fetch(&network, OWNER, canister.id).unwrap().into_iter().map(|record| record.content).collect();
        assert_eq!(lines, [b"kept", b"more"]);
    }

    should_lose_logs_with_the_code: "reinstalling and removing code clear the log" => {
        with_canister!(network, canister);
        canister.update(program().print("lost").reply()).unwrap();
        let mode = wire::CanisterInstallMode::Reinstall;
        install(&network, OWNER, canister.id, mode, u::module().bytes(), program()).unwrap();
        assert!(fetch(&network, OWNER, canister.id).unwrap().is_empty());
        canister.update(program().print("lost").reply()).unwrap();
        network.uninstall_canister(canister.id, None).unwrap();
        assert!(fetch(&network, OWNER, canister.id).unwrap().is_empty());
    }

    should_show_logs_to_controllers: "by default the log is for controllers" => {
        with_canister!(network, canister);
        fetch(&network, OWNER, canister.id).unwrap();
        assert_eq!(code(fetch(&network, stranger(), canister.id)), ErrorCode::CanisterRejectedMessage);
    }

    should_show_public_logs_to_everybody: "a public log is for everybody" => {
        with_canister!(network, canister);
        show_to(&network, canister.id, wire::LogVisibility::Public);
        fetch(&network, stranger(), canister.id).unwrap();
    }

    should_show_logs_to_viewers: "viewers read the log, and controllers still do" => {
        with_canister!(network, canister);
        show_to(&network, canister.id, wire::LogVisibility::AllowedViewers(vec![user(1)]));
        fetch(&network, user(1), canister.id).unwrap();
        fetch(&network, OWNER, canister.id).unwrap();
        assert_eq!(code(fetch(&network, stranger(), canister.id)), ErrorCode::CanisterRejectedMessage);
    }

    should_filter_logs: "a filter shows records by number" => {
        with_canister!(network, canister);
        for line in ["zero", "one", "two", "three"] {
            canister.update(program().print(line).reply()).unwrap();
        }
        let filter = wire::CanisterLogFilter::ByIdx { start: 1, end: 3 };
        let records = fetch_filtered(&network, OWNER, canister.id, Some(filter)).unwrap();
        let numbers: Vec<_> = records.iter().map(|record| record.idx).collect();
        assert!(numbers == [1, 2] || numbers == [1, 2, 3], "{numbers:?}");
    }

    should_not_show_logs_of_missing_canisters: "a canister that is not there has no log" => {
        let network = start();
        let gone = network.create_canister();
        network.stop_canister(gone, None).unwrap();
        network.delete_canister(gone, None).unwrap();
        assert!(fetch(&network, OWNER, gone).is_err());
    }

    should_bound_the_log_limit: "a log keeps at most 2 MiB, and not less than 4 KiB" => {
        let network = start();
        let id = network.create_canister();
        let with = |bytes: u64| wire::CanisterSettings { log_memory_limit: Some(Nat::from(bytes)), ..Default::default() };
        set(&network, OWNER, id, with(2 * MIB + 1)).unwrap_err();
        set(&network, OWNER, id, with(4_095)).unwrap_err();
        set(&network, OWNER, id, with(4_096)).unwrap();
    }

    should_print_what_is_no_text: "bytes that are no text can be printed" => {
        with_canister!(network, canister);
        canister.update(program().print(&[0xff, 0, 1]).reply()).unwrap();
        assert_eq!(fetch(&network, OWNER, canister.id).unwrap().len(), 1);
        assert!(Encode!(&()).is_ok());
    }
}
