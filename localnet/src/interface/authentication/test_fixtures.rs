//! Signers of every kind, and envelopes signed by them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use candid::Principal;
use ciborium::{Value, cbor};
use ic_certification::{Certificate, Delegation as SubnetDelegation, HashTree, hash_tree};
use ic_verify_bls_signature::PrivateKey as BlsKey;
use rsa::{BigUint, RsaPrivateKey, traits::PublicKeyParts};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use crate::interface::{
    cbor,
    envelope::{Content, Delegation, Envelope, Invocation, Request, SignedDelegation, UserSignature},
};

/// The time of the tests, in ns.
pub(crate) const NOW: u64 = 1_700_000_000_000_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

const RSA_P: &str = "c44adda16cb2b39a65866ba5efc60bb593d9eb10d12374160ab4c5460b734310dadc2ee80bfe38fb0d7a249205a451df\
b610c51e4cde30df8e8d794fe8a28d2175291124ee2240ddf4a4b72a7d760619902d9bb43c275427f8f52b6df3ee003f537debe839d9f919b8f880bda1\
0fa1dc9ffedce12b71f65fce18effef2f6061b";
const RSA_Q: &str = "be8837f46b2e341185d8d8dbed8fe515a6d5d0fb7c5f418eddfb4a7499933143cde4604d9acb139d9b6cefa8fa020b81\
9df05481d2d45b6f6390b1437e9f3eeeb99be788a468731fed1f2c2a44a739d497605a0e27c728c2cd678d14e032d07f0b738779ecd3d014018bad2d15\
f0f0bcf8f7b4e65c9182f6551e070ba03df0cd";

const OID_COSE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
const OID_CANISTER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];

/// Encodes a DER value.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let length = match length {
        0..=127 => vec![length as u8],
        128..=255 => vec![0x81, length as u8],
        _ => [vec![0x82], length.to_be_bytes().to_vec()].concat(),
    };
    [vec![tag], length, content.to_vec()].concat()
}

/// Encodes a public key whose algorithm has no parameters.
pub(crate) fn spki(oid: &[u8], key: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &der(0x06, oid));
    let key = der(0x03, &[&[0], key].concat());
    der(0x30, &[algorithm, key].concat())
}

/// Somebody who signs.
pub(crate) enum Signer {
    Ed25519(ic_ed25519::PrivateKey),
    Secp256k1(Box<k256::ecdsa::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    WebAuthnP256(Box<p256::ecdsa::SigningKey>),
    WebAuthnRsa(Box<RsaPrivateKey>),
    Canister { canister: Principal, seed: Vec<u8>, issuer: Box<Issuer> },
}

/// Names of all kinds of signers, in the order of [`Signer::of_each_kind`].
pub(crate) const KINDS: usize = 6;

impl Signer {
    /// Makes the signer of one kind with a key made from a number.
    pub(crate) fn new(kind: usize, number: u8) -> Self {
        let bytes: [u8; 32] = Sha256::digest([kind as u8, number]).into();
        let p256 = || Box::new(p256::ecdsa::SigningKey::from_slice(&bytes).unwrap());
        match kind {
            0 => Self::Ed25519(ic_ed25519::PrivateKey::generate_from_seed(&bytes)),
            1 => Self::Secp256k1(Box::new(k256::ecdsa::SigningKey::from_slice(&bytes).unwrap())),
            2 => Self::P256(p256()),
            3 => Self::WebAuthnP256(p256()),
            4 => {
                let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap();
                let key = RsaPrivateKey::from_p_q(number(RSA_P), number(RSA_Q), BigUint::from(65_537u32)).unwrap();
                Self::WebAuthnRsa(Box::new(key))
            }
            5 => Self::Canister {
                canister: Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, number, 1, 1]),
                seed: bytes.to_vec(),
                issuer: Box::new(Issuer::new()),
            },
            _ => panic!("there are {KINDS} kinds"),
        }
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        use k256::pkcs8::EncodePublicKey;

        match self {
            Self::Ed25519(key) => key.public_key().serialize_rfc8410_der(),
            Self::Secp256k1(key) => key.verifying_key().to_public_key_der().unwrap().into_vec(),
            Self::P256(key) => key.verifying_key().to_public_key_der().unwrap().into_vec(),
            Self::WebAuthnP256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = (Value::Bytes(point.x().unwrap().to_vec()), Value::Bytes(point.y().unwrap().to_vec()));
                spki(OID_COSE, &plain(&cbor!({ 1 => 2, 3 => -7, -1 => 1, -2 => x, -3 => y }).unwrap()))
            }
            Self::WebAuthnRsa(key) => {
                let (n, e) = (Value::Bytes(key.n().to_bytes_be()), Value::Bytes(key.e().to_bytes_be()));
                spki(OID_COSE, &plain(&cbor!({ 1 => 3, 3 => -257, -1 => n, -2 => e }).unwrap()))
            }
            Self::Canister { canister, seed, .. } => {
                let id = canister.as_slice();
                spki(OID_CANISTER, &[[id.len() as u8].as_slice(), id, seed].concat())
            }
        }
    }

    pub(crate) fn principal(&self) -> Principal {
        Principal::self_authenticating(self.public_key())
    }

    /// Signs a message, which begins with a domain separator.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        use p256::ecdsa::signature::Signer as _;

        match self {
            Self::Ed25519(key) => key.sign_message(message).to_vec(),
            Self::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Self::WebAuthnP256(key) => webauthn(message, |signed| {
                let signature: p256::ecdsa::Signature = key.sign(signed);
                signature.to_der().as_bytes().to_vec()
            }),
            Self::WebAuthnRsa(key) => webauthn(message, |signed| {
                let digest = rsa::sha2::Sha256::digest(signed);
                key.sign(rsa::Pkcs1v15Sign::new::<rsa::sha2::Sha256>(), &digest).unwrap()
            }),
            Self::Canister { canister, seed, issuer } => issuer.canister_signature(*canister, seed, message),
        }
    }
}

/// Encodes without the tag, as in COSE keys.
fn plain(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn webauthn(message: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(message);
    let client_data = format!(
        r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"http://localhost","crossOrigin":false}}"#
    );
    let authenticator_data = vec![7; 37];
    let signed = [authenticator_data.as_slice(), &Sha256::digest(&client_data)].concat();
    let signature = Value::Bytes(sign(&signed));
    let authenticator_data = Value::Bytes(authenticator_data);
    let value = cbor!({
        "authenticator_data" => authenticator_data, "client_data_json" => client_data, "signature" => signature
    });
    cbor::write(&value.unwrap())
}

/// What makes certificates: a root key and a subnet with the canisters 00 to ff of range 0x10.
pub(crate) struct Issuer {
    root: BlsKey,
    subnet: BlsKey,
    /// False to certify by the root key itself.
    pub(crate) delegates: bool,
    /// Canister ids of the subnet, first and last.
    pub(crate) range: (Principal, Principal),
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = |number: u8| {
            let mut bytes = [0; 32];
            bytes[31] = number;
            BlsKey::deserialize(&bytes).unwrap()
        };
        let id = |number: u8| Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, number, 1, 1]);
        Self { root: key(5), subnet: key(6), delegates: true, range: (id(0), id(255)) }
    }

    /// Returns the DER-encoded root key.
    pub(crate) fn root_key(&self) -> Vec<u8> {
        Self::der(&self.root)
    }

    fn der(key: &BlsKey) -> Vec<u8> {
        let prefix = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100";
        [hex::decode(prefix).unwrap(), key.public_key().serialize().to_vec()].concat()
    }

    fn certificate(key: &BlsKey, tree: HashTree, delegation: Option<SubnetDelegation>) -> Vec<u8> {
        let message = [b"\x0Dic-state-root".as_slice(), &tree.digest()].concat();
        let signature = key.sign(&message).serialize().to_vec();
        cbor::write(&Certificate { tree, signature, delegation })
    }

    /// Certifies the data of a canister.
    pub(crate) fn certify(&self, canister: Principal, data: [u8; 32]) -> Vec<u8> {
        let tree = labels(&[b"canister", canister.as_slice(), b"certified_data"], hash_tree::leaf(data.to_vec()));
        if !self.delegates {
            return Self::certificate(&self.root, tree, None);
        }
        let public_key = Self::der(&self.subnet);
        let subnet_id = Principal::self_authenticating(&public_key);
        let (first, last) = &self.range;
        let ranges =
            cbor::write(&vec![(ByteBuf::from(first.as_slice().to_vec()), ByteBuf::from(last.as_slice().to_vec()))]);
        let subnet = labels(&[b"subnet", subnet_id.as_slice(), b"public_key"], hash_tree::leaf(public_key));
        let shard = [b"canister_ranges".as_slice(), subnet_id.as_slice(), first.as_slice()];
        let tree = hash_tree::fork(labels(&shard, hash_tree::leaf(ranges)), subnet);
        let certificate = Self::certificate(&self.root, tree, None);
        let delegation = SubnetDelegation { subnet_id: subnet_id.as_slice().to_vec(), certificate };
        Self::certificate(
            &self.subnet,
            labels(&[b"canister", canister.as_slice(), b"certified_data"], hash_tree::leaf(data.to_vec())),
            Some(delegation),
        )
    }

    fn canister_signature(&self, canister: Principal, seed: &[u8], message: &[u8]) -> Vec<u8> {
        let path: [&[u8]; 3] = [b"sig", &Sha256::digest(seed), &Sha256::digest(message)];
        let tree = beside_others(labels(&path, hash_tree::leaf(Vec::new())));
        let certificate = self.certify(canister, tree.digest());
        signature_of_canister(certificate, &tree)
    }
}

/// Encodes a canister signature.
pub(crate) fn signature_of_canister(certificate: Vec<u8>, tree: &HashTree) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Signature<'a> {
        certificate: ByteBuf,
        tree: &'a HashTree,
    }
    cbor::write(&Signature { certificate: certificate.into(), tree })
}

/// Puts a tree beside others that are not shown.
fn beside_others(tree: HashTree) -> HashTree {
    hash_tree::fork(hash_tree::pruned([1; 32]), hash_tree::fork(tree, hash_tree::pruned([2; 32])))
}

/// Puts a tree below labels.
pub(crate) fn labels(path: &[&[u8]], tree: HashTree) -> HashTree {
    path.iter().rev().fold(tree, |tree, name| hash_tree::label(name.to_vec(), tree))
}

/// Returns the content of an update call.
pub(crate) fn call(sender: Principal, canister_id: Principal) -> Content {
    Content {
        sender,
        ingress_expiry: NOW + 60 * SECOND,
        nonce: Some(vec![1, 2, 3]),
        request: Request::Call(Invocation {
            canister_id,
            method_name: "method".to_owned(),
            arg: b"argument".to_vec(),
            sender_info: None,
        }),
    }
}

/// Signs a content by the last of the signers, with a delegation from each to the next.
pub(crate) fn signed(content: Content, chain: &[&Signer]) -> Envelope {
    signed_with(content, chain, |_, _| {})
}

/// Signs like [`signed`], with delegations changed before they are signed.
pub(crate) fn signed_with(content: Content, chain: &[&Signer], change: impl Fn(usize, &mut Delegation)) -> Envelope {
    let delegations = chain
        .windows(2)
        .enumerate()
        .map(|(index, pair)| {
            let mut delegation = Delegation {
                public_key: pair[1].public_key(),
                expiration: NOW + 3_600 * SECOND,
                targets: None,
                permissions: None,
            };
            change(index, &mut delegation);
            let message = [b"\x1Aic-request-auth-delegation".as_slice(), &delegation.hash()].concat();
            SignedDelegation { signature: pair[0].sign(&message), delegation }
        })
        .collect();
    let message = [b"\x0Aic-request".as_slice(), &content.id()].concat();
    let signature = UserSignature {
        public_key: chain[0].public_key(),
        signature: chain[chain.len() - 1].sign(&message),
        delegations,
    };
    Envelope { content, signature: Some(signature), bytes: 0 }
}
