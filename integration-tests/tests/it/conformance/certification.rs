//! Certified data and where its certificate can be read.

use integration_tests::universal::{self as u, Call, Universal};
use pocket_ic::ErrorCode;

use super::world::*;

cases! {
    should_bound_certified_data: "certified data has at most 32 bytes" => {
        with_canister!(network, canister);
        canister.update(program().certify([1_u8; 32].as_slice()).reply()).unwrap();
        let result = canister.update(program().certify([1_u8; 33].as_slice()).reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_have_a_certificate_in_queries: "a query has a certificate" => {
        with_canister!(network, canister);
        canister.update(program().certify("data").reply()).unwrap();
        network.tick();
        let answer = canister.query(program().append(u::certificate_present()).append(u::certificate()).reply()).unwrap();
        assert_eq!(int(&answer[..8]), 1);
        let certificate = &answer[8..];
        assert!(certificate.windows(4).any(|bytes| bytes == b"data"), "the certificate has the data");
    }

    should_have_a_certificate_in_composite_queries: "a composite query has a certificate, but not those that it calls" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let call = Call::query(other.id, program().reply_with(u::certificate_present()))
            .on_reply(program().append(u::argument()).reply());
        let answer = canister.composite_query(program().append(u::certificate_present()).call(call)).unwrap();
        assert_eq!(int(&answer[answer.len() - 8..]), 0);
        let own = canister.composite_query(program().reply_with(u::certificate_present())).unwrap();
        assert_eq!(int(&own), 1);
    }

    should_have_no_certificate_in_updates: "an update has no certificate" => {
        with_canister!(network, canister);
        assert_eq!(int(&canister.update(program().reply_with(u::certificate_present())).unwrap()), 0);
        assert_eq!(int(&canister.replicated_query(program().reply_with(u::certificate_present())).unwrap()), 0);
    }

    should_undo_certified_data_of_a_trap: "a trap undoes certified_data_set" => {
        with_canister!(network, canister);
        canister.update(program().certify("kept").reply()).unwrap();
        canister.update(program().certify("lost").unreachable()).unwrap_err();
        let args = ic_management_canister_types::TakeCanisterSnapshotArgs {
            canister_id: canister.id,
            replace_snapshot: None,
            uninstall_code: None,
            sender_canister_version: None,
        };
        let reply = manage(&network, OWNER, canister.id, "take_canister_snapshot", &args).unwrap();
        let snapshot: ic_management_canister_types::Snapshot = decode(&reply);
        let args = ic_management_canister_types::ReadCanisterSnapshotMetadataArgs {
            canister_id: canister.id,
            snapshot_id: snapshot.id,
        };
        let reply = manage(&network, OWNER, canister.id, "read_canister_snapshot_metadata", &args).unwrap();
        let metadata: ic_management_canister_types::ReadCanisterSnapshotMetadataResult = decode(&reply);
        assert_eq!(metadata.certified_data, b"kept");
    }
}
