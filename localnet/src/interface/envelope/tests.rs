use ciborium::Value;
use ic_transport_types::{
    Delegation as ReferenceDelegation, EnvelopeContent, SenderInfo as ReferenceSenderInfo, to_request_id,
};

use super::*;

const CANISTER: [u8; 10] = [0, 0, 0, 0, 0, 0x10, 0, 1, 1, 1];

/// A map with text keys.
type Map = Vec<(&'static str, Value)>;

fn map(entries: Map) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (Value::Text(key.to_owned()), value)).collect())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn number(number: u64) -> Value {
    Value::Integer(number.into())
}

fn call() -> Map {
    vec![
        ("request_type", text("call")),
        ("sender", bytes(&[4])),
        ("ingress_expiry", number(1_700_000_000_000_000_000)),
        ("canister_id", bytes(&CANISTER)),
        ("method_name", text("method")),
        ("arg", bytes(b"argument")),
    ]
}

fn read_state(paths: Vec<Value>) -> Map {
    vec![
        ("request_type", text("read_state")),
        ("sender", bytes(&[4])),
        ("ingress_expiry", number(1)),
        ("paths", Value::Array(paths)),
    ]
}

fn with(mut content: Map, key: &'static str, value: Value) -> Map {
    content.retain(|(other, _)| *other != key);
    content.push((key, value));
    content
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn read(content: Map, expected: RequestType) -> Result<Envelope, EnvelopeError> {
    Envelope::read(&encoded(&map(vec![("content", map(content))])), expected)
}

fn refused(content: Map, expected: RequestType) -> String {
    read(content, expected).unwrap_err().to_string()
}

fn signed(entries: Map) -> Result<Envelope, EnvelopeError> {
    let mut all = vec![("content", map(call()))];
    all.extend(entries);
    Envelope::read(&encoded(&map(all)), RequestType::Call)
}

fn delegation(entries: Map) -> Value {
    let mut all = vec![("pubkey", bytes(b"key")), ("expiration", number(5))];
    all.extend(entries);
    map(vec![("delegation", map(all)), ("signature", bytes(b"signature"))])
}

fn delegated(delegations: Vec<Value>) -> Result<Envelope, EnvelopeError> {
    signed(vec![
        ("sender_pubkey", bytes(b"root")),
        ("sender_sig", bytes(b"signed")),
        ("sender_delegation", Value::Array(delegations)),
    ])
}

#[test]
fn should_read_calls_with_all_their_fields() {
    let info = map(vec![("info", bytes(b"info")), ("signer", bytes(&[9])), ("sig", bytes(b"sig"))]);
    let content = with(with(call(), "nonce", bytes(&[7; 32])), "sender_info", info);
    let envelope = read(content, RequestType::Call).unwrap();
    let invocation = envelope.content.request.invocation().unwrap();
    assert_eq!(envelope.content.sender, Principal::anonymous());
    assert_eq!(envelope.content.nonce, Some(vec![7; 32]));
    assert_eq!(invocation.canister_id, Principal::from_slice(&CANISTER));
    assert_eq!((invocation.method_name.as_str(), invocation.arg.as_slice()), ("method", b"argument".as_slice()));
    let info = invocation.sender_info.as_ref().unwrap();
    assert_eq!(
        (info.info.as_slice(), info.signer, info.signature.as_slice()),
        (b"info".as_slice(), Principal::from_slice(&[9]), b"sig".as_slice())
    );
    assert!(envelope.signature.is_none());
}

#[test]
fn should_count_the_bytes_of_the_whole_envelope() {
    let plain = encoded(&map(vec![("content", map(call()))]));
    let tagged = [cbor::SELF_DESCRIBED.as_slice(), &plain].concat();
    assert_eq!(Envelope::read(&plain, RequestType::Call).unwrap().bytes, plain.len());
    assert_eq!(Envelope::read(&tagged, RequestType::Call).unwrap().bytes, plain.len() + 3);
}

#[test]
fn should_read_absent_and_null_fields_alike() {
    for nothing in [Value::Null, encoded_undefined()] {
        let envelope = signed(vec![("sender_pubkey", nothing.clone()), ("sender_delegation", nothing)]).unwrap();
        assert!(envelope.signature.is_none());
    }
}

/// `undefined`, which some encoders write for what is not there.
fn encoded_undefined() -> Value {
    // Reading it gives null, as it should; written again it is null.
    ciborium::from_reader([0xf7].as_slice()).unwrap()
}

#[test]
fn should_name_requests_as_clients_do() {
    let sender = Principal::self_authenticating([1, 2, 3]);
    let canister_id = Principal::from_slice(&CANISTER);
    let info = ReferenceSenderInfo { info: vec![1], signer: vec![2], sig: vec![3] };
    let references = [
        EnvelopeContent::Call {
            nonce: Some(vec![1, 2]),
            ingress_expiry: 77,
            sender,
            canister_id,
            method_name: "m".to_owned(),
            arg: vec![9; 100],
            sender_info: Some(info),
        },
        EnvelopeContent::Query {
            nonce: None,
            ingress_expiry: u64::MAX,
            sender,
            canister_id,
            method_name: String::new(),
            arg: vec![],
            sender_info: None,
        },
        EnvelopeContent::ReadState {
            ingress_expiry: 0,
            sender,
            paths: vec![vec!["time".into()], vec![], vec!["a".into(), vec![0xff].into()]],
        },
    ];
    let types = [RequestType::Call, RequestType::Query, RequestType::ReadState];
    for (reference, request_type) in references.into_iter().zip(types) {
        let envelope = ic_transport_types::Envelope {
            content: std::borrow::Cow::Borrowed(&reference),
            sender_pubkey: Some(vec![1]),
            sender_sig: Some(vec![2]),
            sender_delegation: None,
        };
        let read = Envelope::read(&envelope.encode_bytes(), request_type).unwrap();
        assert_eq!(read.content.id().as_slice(), reference.to_request_id().as_slice());
        for other in types.into_iter().filter(|other| *other != request_type) {
            assert!(matches!(Envelope::read(&envelope.encode_bytes(), other), Err(EnvelopeError::WrongType { .. })));
        }
    }
}

#[test]
fn should_hash_delegations_as_clients_do() {
    let targets = vec![Principal::from_slice(&[1]), Principal::from_slice(&[2, 3])];
    for targets in [None, Some(vec![]), Some(targets)] {
        for permissions in [None, Some(Permissions::Queries), Some(Permissions::All)] {
            let ours =
                Delegation { public_key: vec![8; 44], expiration: 123_456, targets: targets.clone(), permissions };
            let reference = ReferenceDelegation {
                pubkey: vec![8; 44],
                expiration: 123_456,
                targets: targets.clone(),
                permissions: permissions.map(|permissions| match permissions {
                    Permissions::Queries => ic_transport_types::DelegationPermissions::Queries,
                    Permissions::All => ic_transport_types::DelegationPermissions::All,
                }),
            };
            assert_eq!(ours.hash().as_slice(), to_request_id(&reference).unwrap().as_slice());
        }
    }
}

#[test]
fn should_name_the_field_that_is_missing_unknown_or_wrong() {
    for field in ["canister_id", "method_name", "arg"] {
        let mut content = call();
        content.retain(|(key, _)| *key != field);
        assert_eq!(refused(content, RequestType::Call), format!("Malformed request: missing field {field}"));
    }
    for field in ["request_type", "sender", "ingress_expiry"] {
        let mut content = call();
        content.retain(|(key, _)| *key != field);
        assert!(refused(content, RequestType::Call).contains(&format!("missing field `{field}`")));
    }
    let unknown = refused(with(call(), "extra", number(1)), RequestType::Call);
    assert!(unknown.contains("unknown field `extra`"), "{unknown}");
    for (field, value) in [
        ("sender", text("aaaaa-aa")),
        ("ingress_expiry", text("1")),
        ("ingress_expiry", Value::Integer((-1).into())),
        ("ingress_expiry", Value::Float(1.0)),
        ("method_name", bytes(b"m")),
        ("arg", text("x")),
        ("nonce", number(1)),
        ("request_type", number(1)),
        ("sender_info", bytes(b"x")),
    ] {
        let error = read(with(call(), field, value), RequestType::Call).unwrap_err();
        assert!(matches!(error, EnvelopeError::Malformed(_)), "{field}: {error}");
    }
    assert_eq!(
        refused(with(call(), "paths", Value::Array(vec![])), RequestType::Call),
        "Malformed request: unexpected field paths"
    );
    assert_eq!(
        refused(with(read_state(vec![]), "arg", bytes(b"")), RequestType::ReadState),
        "Malformed request: unexpected field arg"
    );
    assert_eq!(
        refused(with(call(), "request_type", text("query")), RequestType::Call),
        "Malformed request: request_type is \"query\", expected \"call\""
    );
    let twice = encoded(&map(vec![("content", map(call())), ("content", map(call()))]));
    assert!(Envelope::read(&twice, RequestType::Call).unwrap_err().to_string().contains("duplicate"));
}

#[test]
fn should_refuse_what_is_no_principal() {
    for field in ["sender", "canister_id"] {
        assert!(read(with(call(), field, bytes(&[1; 29])), RequestType::Call).is_ok());
        assert_eq!(
            refused(with(call(), field, bytes(&[1; 30])), RequestType::Call),
            format!("Malformed request: {field} is no principal: 30 bytes, at most 29 are allowed")
        );
    }
}

#[test]
fn should_bound_nonces_paths_and_labels() {
    assert!(read(with(call(), "nonce", bytes(&[0; MAX_NONCE_BYTES])), RequestType::Call).is_ok());
    assert_eq!(
        refused(with(call(), "nonce", bytes(&[0; MAX_NONCE_BYTES + 1])), RequestType::Call),
        "Nonce in request is too big: got 33 bytes, but at most 32 are allowed"
    );
    let path = |labels: usize| Value::Array(vec![bytes(b"x"); labels]);
    assert!(read(read_state(vec![path(1); MAX_PATHS]), RequestType::ReadState).is_ok());
    assert!(refused(read_state(vec![path(1); MAX_PATHS + 1]), RequestType::ReadState).contains("more than 1000"));
    assert!(read(read_state(vec![path(MAX_LABELS)]), RequestType::ReadState).is_ok());
    assert!(refused(read_state(vec![path(MAX_LABELS + 1)]), RequestType::ReadState).contains("more than 127"));
}

#[test]
fn should_bound_delegations_and_targets() {
    let count =
        |result: Result<Envelope, EnvelopeError>| result.map(|envelope| envelope.signature.unwrap().delegations.len());
    assert_eq!(count(delegated(vec![])), Ok(0));
    assert_eq!(count(delegated(vec![delegation(vec![]); MAX_DELEGATIONS])), Ok(MAX_DELEGATIONS));
    let error = delegated(vec![delegation(vec![]); MAX_DELEGATIONS + 1]).unwrap_err().to_string();
    assert!(error.contains("more than 20"), "{error}");
    let targets = |number: usize| delegation(vec![("targets", Value::Array(vec![bytes(&CANISTER); number]))]);
    assert_eq!(count(delegated(vec![targets(MAX_TARGETS)])), Ok(1));
    assert!(delegated(vec![targets(MAX_TARGETS + 1)]).unwrap_err().to_string().contains("more than 1000"));
}

#[test]
fn should_read_delegations() {
    let targets = Value::Array(vec![bytes(&CANISTER)]);
    let read = delegated(vec![delegation(vec![("targets", targets), ("permissions", text("queries"))])]).unwrap();
    let signature = read.signature.unwrap();
    assert_eq!(
        (signature.public_key.as_slice(), signature.signature.as_slice()),
        (b"root".as_slice(), b"signed".as_slice())
    );
    let signed = &signature.delegations[0];
    assert_eq!(signed.signature, b"signature");
    assert_eq!(
        signed.delegation,
        Delegation {
            public_key: b"key".to_vec(),
            expiration: 5,
            targets: Some(vec![Principal::from_slice(&CANISTER)]),
            permissions: Some(Permissions::Queries),
        }
    );
    let long = delegated(vec![delegation(vec![("targets", Value::Array(vec![bytes(&[0; 30])]))])]);
    assert!(matches!(long, Err(EnvelopeError::NoPrincipal { length: 30, .. })));
    let unknown = delegated(vec![delegation(vec![("permissions", text("everything"))])]);
    assert_eq!(unknown.unwrap_err(), EnvelopeError::UnknownPermissions("everything".to_owned()));
}

#[test]
fn should_refuse_half_signed_envelopes() {
    for entries in [
        vec![("sender_pubkey", bytes(b"key"))],
        vec![("sender_sig", bytes(b"sig"))],
        vec![("sender_delegation", Value::Array(vec![]))],
        vec![("sender_sig", bytes(b"sig")), ("sender_delegation", Value::Array(vec![]))],
    ] {
        assert_eq!(signed(entries).unwrap_err(), EnvelopeError::HalfSigned);
    }
}

#[test]
fn should_refuse_truncated_and_continued_envelopes() {
    let whole = encoded(&map(vec![("content", map(call()))]));
    for length in 0..whole.len() {
        assert!(Envelope::read(&whole[..length], RequestType::Call).is_err(), "{length}");
    }
    for more in [0x00, 0xf6, 0xff] {
        let longer = [whole.as_slice(), &[more]].concat();
        assert!(Envelope::read(&longer, RequestType::Call).unwrap_err().to_string().contains("trailing"));
    }
}
