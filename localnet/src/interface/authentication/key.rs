//! Public keys of senders, and the signatures made with them.

use ic_ed25519::SIGNATURE_BYTES;
use k256::pkcs8::{DecodePublicKey, EncodePublicKey, ObjectIdentifier, der::Decode, spki::SubjectPublicKeyInfoRef};

use super::{
    canister_signature::{CanisterKey, CanisterSignatureError},
    webauthn::{self, WebAuthnError, WebAuthnKey},
};

/// Longest public key. Keys of canisters and RSA are the longest, and stay far below.
pub(super) const MAX_KEY_BYTES: usize = 4 << 10;
/// Longest signature. Those of canisters bring certificates, which are some KiB long.
pub(super) const MAX_SIGNATURE_BYTES: usize = 256 << 10;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const COSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.56387.1.1");
const CANISTER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.56387.1.2");

/// Why bytes are no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// They are too long.
    #[error("{0} bytes are more than a public key has")]
    TooLong(usize),
    /// They are not DER, or not the DER of a public key.
    #[error("it is no DER-encoded public key")]
    NotDer,
    /// The algorithm is not known.
    #[error("the algorithm {0} is not supported")]
    UnknownAlgorithm(String),
    /// The bytes inside do not make a key of this algorithm, or not in the form that is the only one allowed.
    #[error("it is no {0} key in canonical form")]
    Malformed(&'static str),
    /// RSA is for WebAuthn only.
    #[error("RSA signatures are not allowed except in webauthn context")]
    PlainRsa,
    /// A COSE key is not right.
    #[error("{0}")]
    Cose(WebAuthnError),
}

/// Why a signature is not right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    /// The key is none.
    #[error("Invalid public key: {0}")]
    Key(KeyError),
    /// It is too long.
    #[error("Invalid signature: {0} bytes are more than a signature has")]
    TooLong(usize),
    /// It has the wrong form.
    #[error("Invalid basic signature: malformed {0} signature")]
    Malformed(&'static str),
    /// Somebody else made it, or for something else.
    #[error("Invalid basic signature: {0} signature could not be verified")]
    Wrong(&'static str),
    /// A WebAuthn signature is not right.
    #[error("{0}")]
    WebAuthn(WebAuthnError),
    /// A canister signature is not right.
    #[error("Invalid canister signature: {0}")]
    Canister(CanisterSignatureError),
}

/// A public key.
#[derive(Clone, Debug)]
pub(super) enum PublicKey {
    /// Ed25519.
    Ed25519(ic_ed25519::PublicKey),
    /// ECDSA on secp256k1 with SHA-256.
    Secp256k1(k256::ecdsa::VerifyingKey),
    /// ECDSA on P-256 with SHA-256.
    P256(p256::ecdsa::VerifyingKey),
    /// A key of an authenticator.
    WebAuthn(WebAuthnKey),
    /// A canister in the place of a key.
    Canister(CanisterKey),
}

impl PublicKey {
    /// Reads a DER-encoded key. There is one encoding for each key: others are refused, since a principal is a hash
    /// of the encoding.
    ///
    /// # Errors
    /// Why the bytes are no key.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong(bytes.len()));
        }
        let info = SubjectPublicKeyInfoRef::from_der(bytes).map_err(|_| KeyError::NotDer)?;
        let algorithm = info.algorithm.oid;
        let has_parameters = info.algorithm.parameters.is_some();
        let content = info.subject_public_key.as_bytes().ok_or(KeyError::NotDer)?;
        if algorithm == ED25519 {
            let key = ic_ed25519::PublicKey::deserialize_rfc8410_der(bytes);
            let key = key.ok().filter(|key| key.serialize_rfc8410_der() == bytes);
            key.map(Self::Ed25519).ok_or(KeyError::Malformed("Ed25519"))
        } else if algorithm == ELLIPTIC_CURVE {
            let curve = info.algorithm.parameters_oid().map_err(|_| KeyError::NotDer)?;
            if curve == SECP256K1 {
                let key = k256::ecdsa::VerifyingKey::from_public_key_der(bytes);
                let key = key.ok().filter(|key| is_encoding(key, bytes));
                key.map(Self::Secp256k1).ok_or(KeyError::Malformed("ECDSA secp256k1"))
            } else if curve == P256 {
                let key = p256::ecdsa::VerifyingKey::from_public_key_der(bytes);
                let key = key.ok().filter(|key| is_encoding(key, bytes));
                key.map(Self::P256).ok_or(KeyError::Malformed("ECDSA P-256"))
            } else {
                Err(KeyError::UnknownAlgorithm(format!("ECDSA on curve {curve}")))
            }
        } else if algorithm == COSE && !has_parameters {
            WebAuthnKey::read(content).map(Self::WebAuthn).map_err(KeyError::Cose)
        } else if algorithm == CANISTER && !has_parameters {
            CanisterKey::read(content).map(Self::Canister).ok_or(KeyError::Malformed("canister signature"))
        } else if algorithm == RSA {
            Err(KeyError::PlainRsa)
        } else {
            Err(KeyError::UnknownAlgorithm(algorithm.to_string()))
        }
    }

    /// Checks that the key signed the message, which begins with a domain separator.
    ///
    /// # Errors
    /// Why it did not.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8], root_key: &[u8]) -> Result<(), SignatureError> {
        use k256::ecdsa::signature::Verifier;

        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::TooLong(signature.len()));
        }
        match self {
            Self::Ed25519(key) => {
                if signature.len() != SIGNATURE_BYTES {
                    return Err(SignatureError::Malformed("Ed25519"));
                }
                key.verify_signature(message, signature).map_err(|_| SignatureError::Wrong("Ed25519"))
            }
            Self::Secp256k1(key) => {
                let name = "ECDSA secp256k1";
                let signature =
                    k256::ecdsa::Signature::from_slice(signature).map_err(|_| SignatureError::Malformed(name))?;
                // Either of the two forms of a signature is one.
                let signature = signature.normalize_s().unwrap_or(signature);
                key.verify(message, &signature).map_err(|_| SignatureError::Wrong(name))
            }
            Self::P256(key) => {
                let name = "ECDSA P-256";
                let signature =
                    p256::ecdsa::Signature::from_slice(signature).map_err(|_| SignatureError::Malformed(name))?;
                key.verify(message, &signature).map_err(|_| SignatureError::Wrong(name))
            }
            Self::WebAuthn(key) => webauthn::verify(key, message, signature).map_err(SignatureError::WebAuthn),
            Self::Canister(key) => key.verify(message, signature, root_key).map_err(SignatureError::Canister),
        }
    }
}

fn is_encoding(key: &impl EncodePublicKey, bytes: &[u8]) -> bool {
    key.to_public_key_der().is_ok_and(|canonical| canonical.as_bytes() == bytes)
}
