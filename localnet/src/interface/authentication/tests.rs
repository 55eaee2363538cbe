use candid::Principal;
use ic_certification::hash_tree;
use sha2::{Digest, Sha256};

use super::{
    certificate::CertificateError,
    key::{MAX_KEY_BYTES, MAX_SIGNATURE_BYTES},
    test_fixtures::*,
    webauthn::WebAuthnError,
    *,
};
use crate::interface::envelope::{Invocation, MAX_DELEGATIONS, RequestType};

fn canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, 9, 1, 1])
}

fn check(envelope: &Envelope) -> Result<Targets, AuthenticationError> {
    authenticate(envelope, NOW, &Issuer::new().root_key())
}

fn signature(envelope: &mut Envelope) -> &mut UserSignature {
    envelope.signature.as_mut().unwrap()
}

fn invocation(envelope: &mut Envelope) -> &mut Invocation {
    match &mut envelope.content.request {
        Request::Call(invocation) | Request::Query(invocation) => invocation,
        Request::ReadState(_) => panic!("no invocation"),
    }
}

/// A random number generator with a fixed seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    /// Changes one bit.
    fn flip(&mut self, bytes: &mut [u8]) {
        let bit = self.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn should_believe_signers_of_every_kind() {
    for kind in 0..KINDS {
        let signer = Signer::new(kind, 1);
        let envelope = signed(call(signer.principal(), canister()), &[&signer]);
        assert_eq!(check(&envelope), Ok(Targets::All), "kind {kind}");
    }
}

#[test]
fn should_believe_delegations_from_every_kind_to_every_other() {
    for from in 0..KINDS {
        for to in 0..KINDS {
            let (root, session) = (Signer::new(from, 1), Signer::new(to, 2));
            if root.public_key() == session.public_key() {
                // There is one RSA key only.
                continue;
            }
            let envelope = signed(call(root.principal(), canister()), &[&root, &session]);
            assert_eq!(check(&envelope), Ok(Targets::All), "from kind {from} to kind {to}");
        }
    }
}

#[test]
fn should_refuse_signatures_of_others() {
    for kind in [0, 1, 2, 3, 5] {
        let (signer, other) = (Signer::new(kind, 1), Signer::new(kind, 2));
        let content = call(signer.principal(), canister());
        let mut envelope = signed(content.clone(), &[&other]);
        assert!(matches!(check(&envelope), Err(AuthenticationError::WrongKey { .. })), "kind {kind}");
        signature(&mut envelope).public_key = signer.public_key();
        assert!(matches!(check(&envelope), Err(AuthenticationError::Signature(_))), "kind {kind}");
        let mut elsewhere = signed(content, &[&signer]);
        elsewhere.content.ingress_expiry += 1;
        assert!(matches!(check(&elsewhere), Err(AuthenticationError::Signature(_))), "kind {kind}");
    }
}

#[test]
fn should_refuse_every_single_bit_changed() {
    let mut random = Random(1);
    for kind in 0..KINDS {
        let (signer, session) = (Signer::new(0, 1), Signer::new(kind, 2));
        // Both ways round: the kind signs the request, and the kind signs the delegation.
        for chain in [[&signer, &session], [&session, &signer]] {
            let original = signed_with(call(chain[0].principal(), canister()), &chain, |_, delegation| {
                delegation.targets = Some(vec![canister()]);
            });
            assert!(check(&original).is_ok());
            for round in 0..60 {
                let mut envelope = original.clone();
                let changed = match round % 10 {
                    0 | 1 => {
                        random.flip(&mut signature(&mut envelope).signature);
                        "signature"
                    }
                    2 | 3 => {
                        random.flip(&mut signature(&mut envelope).delegations[0].signature);
                        "signature of the delegation"
                    }
                    4 => {
                        random.flip(&mut signature(&mut envelope).public_key);
                        "key"
                    }
                    5 => {
                        random.flip(&mut signature(&mut envelope).delegations[0].delegation.public_key);
                        "delegated key"
                    }
                    6 => {
                        // The high bits make it far too late, the low ones are signed.
                        signature(&mut envelope).delegations[0].delegation.expiration ^= 1 << random.below(64);
                        "expiration"
                    }
                    7 => {
                        envelope.content.ingress_expiry ^= 1 << random.below(64);
                        "expiry"
                    }
                    8 => {
                        random.flip(&mut invocation(&mut envelope).arg);
                        "argument"
                    }
                    _ => {
                        random.flip(envelope.content.nonce.as_mut().unwrap());
                        "nonce"
                    }
                };
                // Inside of a WebAuthn or canister signature there is CBOR, and CBOR says some things in two ways.
                // What it says must be signed all the same.
                if let Ok(targets) = check(&envelope) {
                    assert!(
                        changed.starts_with("signature") && kind >= 3 && is_other_encoding(&envelope, &original),
                        "kind {kind}, {changed}: {targets:?}"
                    );
                }
            }
        }
    }
}

/// Tells whether the signatures of two envelopes say the same, read as CBOR.
fn is_other_encoding(one: &Envelope, other: &Envelope) -> bool {
    let read = |envelope: &Envelope| -> Vec<String> {
        let signature = envelope.signature.as_ref().unwrap();
        [&signature.signature, &signature.delegations[0].signature]
            .map(|bytes| match crate::interface::cbor::read::<ciborium::Value>(bytes) {
                Ok(value) => format!("{:?}", untagged(value)),
                Err(_) => hex::encode(bytes),
            })
            .to_vec()
    };
    read(one) == read(other)
}

fn untagged(value: ciborium::Value) -> ciborium::Value {
    match value {
        ciborium::Value::Tag(_, inner) => untagged(*inner),
        ciborium::Value::Map(entries) => {
            ciborium::Value::Map(entries.into_iter().map(|(key, value)| (untagged(key), untagged(value))).collect())
        }
        // Byte strings may hold CBOR of their own, such as certificates.
        ciborium::Value::Bytes(bytes) => match crate::interface::cbor::read::<ciborium::Value>(&bytes) {
            Ok(value @ (ciborium::Value::Tag(..) | ciborium::Value::Map(_))) => untagged(value),
            _ => ciborium::Value::Bytes(bytes),
        },
        ciborium::Value::Text(text) => ciborium::Value::Bytes(text.into_bytes()),
        ciborium::Value::Array(values) => ciborium::Value::Array(values.into_iter().map(untagged).collect()),
        other => other,
    }
}

#[test]
fn should_accept_expiries_in_the_window_and_no_others() {
    let signer = Signer::new(0, 1);
    let latest = NOW + 330 * SECOND;
    let at = |ingress_expiry: u64| {
        let mut content = call(signer.principal(), canister());
        content.ingress_expiry = ingress_expiry;
        check(&signed(content, &[&signer]))
    };
    assert!(at(NOW).is_ok());
    assert!(at(latest).is_ok());
    for outside in [0, NOW - 1, latest + 1, u64::MAX] {
        let text = at(outside).unwrap_err().to_string();
        assert!(text.starts_with("Specified ingress_expiry not within expected range: Minimum allowed expiry: 2023-"));
    }
    assert_eq!(
        at(NOW - 1).unwrap_err().to_string(),
        "Specified ingress_expiry not within expected range: Minimum allowed expiry: 2023-11-14 22:13:20 UTC, Maximum \
         allowed expiry: 2023-11-14 22:18:50 UTC, Provided expiry:        2023-11-14 22:13:19.999999999 UTC"
    );
    // Near the end of time nothing overflows.
    assert!(authenticate(&signed(call(signer.principal(), canister()), &[&signer]), u64::MAX, &[]).is_err());
}

#[test]
fn should_take_anonymous_requests_without_signature_only() {
    let anonymous = |request_type: RequestType, ingress_expiry: u64| {
        let mut content = call(Principal::anonymous(), canister());
        content.ingress_expiry = ingress_expiry;
        let Request::Call(invocation) = content.request else { unreachable!() };
        content.request = match request_type {
            RequestType::Call => Request::Call(invocation),
            RequestType::Query => Request::Query(invocation),
            RequestType::ReadState => Request::ReadState(vec![]),
        };
        Envelope { content, signature: None, bytes: 0 }
    };
    for request_type in [RequestType::Query, RequestType::ReadState] {
        for expiry in [0, NOW, u64::MAX] {
            assert_eq!(check(&anonymous(request_type, expiry)), Ok(Targets::All));
        }
    }
    assert_eq!(check(&anonymous(RequestType::Call, NOW)), Ok(Targets::All));
    assert!(matches!(check(&anonymous(RequestType::Call, 0)), Err(AuthenticationError::Expiry { .. })));
    let signer = Signer::new(0, 1);
    let mut envelope = anonymous(RequestType::Call, NOW);
    envelope.signature = signed(call(signer.principal(), canister()), &[&signer]).signature;
    assert_eq!(check(&envelope), Err(AuthenticationError::AnonymousSigned));
    envelope = anonymous(RequestType::Call, NOW);
    envelope.content.sender = signer.principal();
    assert_eq!(check(&envelope), Err(AuthenticationError::MissingSignature(signer.principal())));
}

#[test]
fn should_refuse_senders_that_are_no_keys() {
    let signer = Signer::new(0, 1);
    for sender in [Principal::management_canister(), canister(), Signer::new(0, 2).principal()] {
        let envelope = signed(call(sender, canister()), &[&signer]);
        assert!(matches!(check(&envelope), Err(AuthenticationError::WrongKey { .. })));
    }
}

#[test]
fn should_believe_long_chains_and_refuse_broken_ones() {
    let signers: Vec<Signer> = (0..=MAX_DELEGATIONS as u8).map(|number| Signer::new(0, number)).collect();
    let chain: Vec<&Signer> = signers.iter().collect();
    let content = call(signers[0].principal(), canister());
    let whole = signed(content.clone(), &chain);
    assert_eq!(signature(&mut whole.clone()).delegations.len(), MAX_DELEGATIONS);
    assert_eq!(check(&whole), Ok(Targets::All));
    for missing in [0, 7, MAX_DELEGATIONS - 1] {
        let mut broken = whole.clone();
        signature(&mut broken).delegations.remove(missing);
        assert!(check(&broken).is_err());
        let mut swapped = whole.clone();
        signature(&mut swapped).delegations.swap(missing, (missing + 1) % MAX_DELEGATIONS);
        assert!(check(&swapped).is_err());
    }
}

#[test]
fn should_refuse_cycles() {
    let (a, b, c) = (Signer::new(0, 1), Signer::new(1, 2), Signer::new(2, 3));
    for chain in [vec![&a, &a], vec![&a, &b, &a], vec![&a, &b, &c, &b], vec![&a, &b, &b]] {
        let envelope = signed(call(a.principal(), canister()), &chain);
        assert!(matches!(check(&envelope), Err(AuthenticationError::DelegationCycle(_))));
    }
}

#[test]
fn should_refuse_expired_delegations_wherever_they_are() {
    let signers: Vec<Signer> = (0..4).map(|number| Signer::new(0, number)).collect();
    let chain: Vec<&Signer> = signers.iter().collect();
    for expired in 0..3 {
        let with = |expiration: u64| {
            signed_with(call(signers[0].principal(), canister()), &chain, |index, delegation| {
                if index == expired {
                    delegation.expiration = expiration;
                }
            })
        };
        assert_eq!(check(&with(NOW)), Ok(Targets::All));
        assert!(matches!(check(&with(NOW - 1)), Err(AuthenticationError::DelegationExpired { .. })));
    }
}

#[test]
fn should_restrict_to_the_targets_that_all_delegations_have() {
    let signers: Vec<Signer> = (0..4).map(|number| Signer::new(0, number)).collect();
    let chain: Vec<&Signer> = signers.iter().collect();
    let id = |number: u8| Principal::from_slice(&[number, 1, 1]);
    let with = |canister: Principal, read_state: bool| {
        let mut content = call(signers[0].principal(), canister);
        if read_state {
            content.request = Request::ReadState(vec![]);
        }
        signed_with(content, &chain, |index, delegation| {
            delegation.targets =
                [Some(vec![id(1), id(2), id(3)]), None, Some(vec![id(2), id(3), id(4)])][index].clone();
        })
    };
    let both = Targets::Only([id(2), id(3)].into());
    assert_eq!(check(&with(id(2), false)), Ok(both.clone()));
    assert_eq!(check(&with(id(9), true)), Ok(both), "what may be read is decided by path");
    for other in [id(1), id(4), id(9), Principal::management_canister()] {
        assert_eq!(check(&with(other, false)), Err(AuthenticationError::NotATarget(other)));
    }
    let none = signed_with(call(signers[0].principal(), id(1)), &chain, |_, delegation| {
        delegation.targets = Some(vec![]);
    });
    assert_eq!(check(&none), Err(AuthenticationError::NotATarget(id(1))));
}

#[test]
fn should_keep_delegations_for_queries_from_calls() {
    let (root, session) = (Signer::new(0, 1), Signer::new(0, 2));
    let with = |permissions: Permissions, query: bool| {
        let mut content = call(root.principal(), canister());
        if query {
            let Request::Call(invocation) = content.request else { unreachable!() };
            content.request = Request::Query(invocation);
        }
        check(&signed_with(content, &[&root, &session], |_, delegation| {
            delegation.permissions = Some(permissions);
        }))
    };
    assert_eq!(with(Permissions::All, false), Ok(Targets::All));
    assert_eq!(with(Permissions::Queries, true), Ok(Targets::All));
    assert_eq!(with(Permissions::Queries, false), Err(AuthenticationError::OnlyQueries));
}

#[test]
fn should_refuse_keys_in_any_but_the_canonical_form() {
    let refused = |bytes: &[u8]| PublicKey::read(bytes).map(|_| ()).unwrap_err();
    for kind in 0..KINDS {
        let key = Signer::new(kind, 1).public_key();
        assert!(PublicKey::read(&key).is_ok());
        assert_eq!(refused(&[key.as_slice(), &[0]].concat()), KeyError::NotDer);
        assert_eq!(refused(&key[..key.len() - 1]), KeyError::NotDer);
        assert_eq!(refused(&[]), KeyError::NotDer);
    }
    use k256::elliptic_curve::sec1::ToEncodedPoint;
    let Signer::Secp256k1(key) = Signer::new(1, 1) else { unreachable!() };
    let compressed = key.verifying_key().as_affine().to_encoded_point(true);
    let algorithm = der(0x30, &hex::decode("06072a8648ce3d020106052b8104000a").unwrap());
    let bits = der(0x03, &[&[0], compressed.as_bytes()].concat());
    assert_eq!(refused(&der(0x30, &[algorithm, bits].concat())), KeyError::Malformed("ECDSA secp256k1"));
    let unknown = spki(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], &[1, 2, 3]);
    assert_eq!(refused(&unknown), KeyError::UnknownAlgorithm("1.2.840.113549.1.1.11".to_owned()));
    let rsa = der(0x30, &[der(0x30, &hex::decode("06092a864886f70d0101010500").unwrap()), der(0x03, &[0, 1])].concat());
    assert_eq!(refused(&rsa), KeyError::PlainRsa);
    assert_eq!(refused(&vec![0x30; MAX_KEY_BYTES]), KeyError::NotDer);
    assert_eq!(refused(&vec![0x30; MAX_KEY_BYTES + 1]), KeyError::TooLong(MAX_KEY_BYTES + 1));
}

#[test]
fn should_refuse_signatures_of_wrong_lengths() {
    for kind in 0..KINDS {
        let signer = Signer::new(kind, 1);
        let original = signed(call(signer.principal(), canister()), &[&signer]);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut envelope = original.clone();
            change(&mut signature(&mut envelope).signature);
            check(&envelope).unwrap_err()
        };
        for error in [
            with(&|signature| signature.clear()),
            with(&|signature| signature.push(0)),
            with(&|signature| signature.truncate(signature.len() - 1)),
            with(&|signature| *signature = vec![0; 64]),
            with(&|signature| *signature = vec![0xff; MAX_SIGNATURE_BYTES]),
        ] {
            assert!(matches!(error, AuthenticationError::Signature(_)), "kind {kind}: {error}");
        }
        assert_eq!(
            with(&|signature| *signature = vec![0xff; MAX_SIGNATURE_BYTES + 1]),
            AuthenticationError::Signature(SignatureError::TooLong(MAX_SIGNATURE_BYTES + 1))
        );
    }
}

#[test]
fn should_accept_either_form_of_an_ecdsa_signature() {
    let signer = Signer::new(1, 1);
    let mut envelope = signed(call(signer.principal(), canister()), &[&signer]);
    let low = k256::ecdsa::Signature::from_slice(&signature(&mut envelope).signature).unwrap();
    let (r, s) = low.split_scalars();
    let high = k256::ecdsa::Signature::from_scalars(r, -s).unwrap();
    signature(&mut envelope).signature = high.to_vec();
    assert_eq!(check(&envelope), Ok(Targets::All));
}

#[test]
fn should_refuse_authenticators_that_signed_another_challenge() {
    for kind in [3, 4] {
        let signer = Signer::new(kind, 1);
        let mut envelope = signed(call(signer.principal(), canister()), &[&signer]);
        signature(&mut envelope).signature = signer.sign(b"another message");
        let error = check(&envelope).unwrap_err();
        assert!(
            matches!(
                error,
                AuthenticationError::Signature(SignatureError::WebAuthn(WebAuthnError::OtherChallenge { .. }))
            ),
            "{error}"
        );
    }
}

#[test]
fn should_refuse_cose_keys_of_other_algorithms() {
    use ciborium::{Value, cbor};
    let oid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
    let refused = |value: Value| {
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).unwrap();
        match PublicKey::read(&spki(&oid, &bytes)).map(|_| ()).unwrap_err() {
            KeyError::Cose(error) => error,
            other => panic!("{other}"),
        }
    };
    let bytes = |length: usize| Value::Bytes(vec![0xff; length]);
    // Ed25519, which the Internet Computer does not take from authenticators.
    assert_eq!(refused(cbor!({ 1 => 1, 3 => -8, -1 => 6, -2 => bytes(32) }).unwrap()), WebAuthnError::Algorithm);
    assert_eq!(
        refused(cbor!({ 1 => 2, 3 => -7, -1 => 2, -2 => bytes(32), -3 => bytes(32) }).unwrap()),
        WebAuthnError::Algorithm
    );
    assert!(matches!(
        refused(cbor!({ 1 => 2, 3 => -7, -1 => 1, -2 => bytes(32), -3 => bytes(32) }).unwrap()),
        WebAuthnError::MalformedKey(_)
    ));
    assert!(matches!(
        refused(cbor!({ 1 => 2, 3 => -7, -1 => 1, -2 => bytes(31), -3 => bytes(32) }).unwrap()),
        WebAuthnError::MalformedKey(_)
    ));
    assert_eq!(
        refused(cbor!({ 1 => 2, 3 => -7, 4 => [1], -1 => 1, -2 => bytes(32), -3 => bytes(32) }).unwrap()),
        WebAuthnError::KeyOperations
    );
    let e = || Value::Bytes(vec![1, 0, 1]);
    assert_eq!(
        refused(cbor!({ 1 => 3, 3 => -257, -1 => bytes(255), -2 => e() }).unwrap()),
        WebAuthnError::RsaBits(2040)
    );
    assert_eq!(
        refused(cbor!({ 1 => 3, 3 => -257, -1 => bytes(1025), -2 => e() }).unwrap()),
        WebAuthnError::RsaBits(8200)
    );
    assert!(matches!(refused(cbor!([1, 2]).unwrap()), WebAuthnError::MalformedKey(_)));
}

fn canister_error(envelope: &Envelope) -> CanisterSignatureError {
    match check(envelope).unwrap_err() {
        AuthenticationError::Signature(SignatureError::Canister(error)) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn should_check_the_certificates_of_canister_signatures() {
    let by = |change: &dyn Fn(&mut Issuer)| {
        let mut issuer = Issuer::new();
        change(&mut issuer);
        let signer = Signer::Canister { canister: canister(), seed: vec![1], issuer: Box::new(issuer) };
        signed(call(signer.principal(), canister()), &[&signer])
    };
    assert_eq!(check(&by(&|_| {})), Ok(Targets::All));
    assert_eq!(check(&by(&|issuer| issuer.delegates = false)), Ok(Targets::All), "the root subnet signs by itself");
    let id = |number: u8| Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, number, 1, 1]);
    assert_eq!(check(&by(&|issuer| issuer.range = (id(9), id(9)))), Ok(Targets::All));
    for range in [(id(0), id(8)), (id(10), id(255)), (id(9), id(8))] {
        assert_eq!(
            canister_error(&by(&|issuer| issuer.range = range)),
            CanisterSignatureError::Certificate(CertificateError::OtherSubnet(canister()))
        );
    }
    let other_root = authenticate(&by(&|_| {}), NOW, &Issuer::new().root_key()[1..]);
    assert!(matches!(other_root, Err(AuthenticationError::Signature(SignatureError::Canister(_)))));
}

#[test]
fn should_refuse_canister_signatures_of_other_messages_seeds_and_trees() {
    let issuer = Issuer::new();
    let signer = Signer::new(5, 9);
    let Signer::Canister { canister, seed, .. } = &signer else { unreachable!() };
    let content = call(signer.principal(), *canister);
    let message = [REQUEST_DOMAIN, &content.id()].concat();
    let with = |path: [&[u8]; 3], leaf: &[u8], certified: Option<[u8; 32]>| {
        let tree = labels(&path, hash_tree::leaf(leaf.to_vec()));
        let certificate = issuer.certify(*canister, certified.unwrap_or(tree.digest()));
        let mut envelope = signed(content.clone(), &[&signer]);
        signature(&mut envelope).signature = signature_of_canister(certificate, &tree);
        envelope
    };
    let (seed, hash) = (Sha256::digest(seed), Sha256::digest(&message));
    assert_eq!(check(&with([b"sig", &seed, &hash], b"", None)), Ok(Targets::All));
    for (path, leaf) in [
        ([b"sig".as_slice(), &seed, &[7; 32]], b"".as_slice()),
        ([b"sig", &[7; 32], &hash], b""),
        ([b"other", &seed, &hash], b""),
        ([b"sig", &seed, &hash], b"something"),
    ] {
        assert_eq!(canister_error(&with(path, leaf, None)), CanisterSignatureError::NotSigned);
    }
    assert_eq!(
        canister_error(&with([b"sig", &seed, &hash], b"", Some([7; 32]))),
        CanisterSignatureError::OtherTree(*canister)
    );
}

#[test]
fn should_believe_sender_info_of_the_canister_that_the_sender_signs_with() {
    let canister_signer = Signer::new(5, 9);
    let session = Signer::new(0, 2);
    let info = |signer: &Signer, by: Principal| SenderInfo {
        info: b"attributes".to_vec(),
        signer: by,
        signature: signer.sign(b"\x0Eic-sender-infoattributes"),
    };
    let with = |root: &Signer, info: SenderInfo| {
        let mut content = call(root.principal(), canister());
        let Request::Call(invocation) = &mut content.request else { unreachable!() };
        invocation.sender_info = Some(info);
        check(&signed(content, &[root, &session]))
    };
    let good = info(&canister_signer, canister());
    assert_eq!(with(&canister_signer, good.clone()), Ok(Targets::All));
    let refused = |result: Result<Targets, AuthenticationError>| match result.unwrap_err() {
        AuthenticationError::SenderInfo(error) => error,
        other => panic!("{other}"),
    };
    let other = Signer::new(5, 8);
    assert!(matches!(
        refused(with(&canister_signer, info(&canister_signer, Principal::anonymous()))),
        SenderInfoError::OtherSigner { .. }
    ));
    assert!(matches!(refused(with(&canister_signer, info(&other, canister()))), SenderInfoError::Signature(_)));
    assert_eq!(refused(with(&Signer::new(0, 1), good.clone())), SenderInfoError::NoCanisterKey);
    let mut changed = good.clone();
    changed.info.push(0);
    assert!(matches!(refused(with(&canister_signer, changed)), SenderInfoError::Signature(_)));
    let mut anonymous = call(Principal::anonymous(), canister());
    let Request::Call(invocation) = &mut anonymous.request else { unreachable!() };
    invocation.sender_info = Some(good);
    assert_eq!(refused(check(&Envelope { content: anonymous, signature: None, bytes: 0 })), SenderInfoError::Unsigned);
}
