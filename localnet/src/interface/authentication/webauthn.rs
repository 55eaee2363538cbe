//! Signatures of authenticators (WebAuthn): the message is the challenge inside of what is signed.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ciborium::Value;
use rsa::{BigUint, RsaPublicKey, pkcs1v15, traits::PublicKeyParts};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use sha2::{Digest, Sha256};

use crate::interface::cbor;

/// Sizes of RSA keys, in bits.
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;
/// Bytes of a coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

// Labels and values of COSE keys (RFC 8152 and RFC 8812).
const KEY_TYPE: i128 = 1;
const KEY_TYPE_EC2: i128 = 2;
const KEY_TYPE_RSA: i128 = 3;
const ALGORITHM: i128 = 3;
const ALGORITHM_ES256: i128 = -7;
const ALGORITHM_RS256: i128 = -257;
const KEY_OPERATIONS: i128 = 4;
const KEY_OPERATION_VERIFY: i128 = 2;
const EC2_CURVE: i128 = -1;
const EC2_CURVE_P256: i128 = 1;
const EC2_X: i128 = -2;
const EC2_Y: i128 = -3;
const RSA_N: i128 = -1;
const RSA_E: i128 = -2;

/// What is wrong with a key or signature of an authenticator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebAuthnError {
    /// The key is no COSE key.
    #[error("malformed COSE key: {0}")]
    MalformedKey(String),
    /// Its algorithm is not one of the two that are allowed.
    #[error("Only ECDSA on curve P-256 and RSA PKCS #1 v1.5 are supported for WebAuthn")]
    Algorithm,
    /// It is not meant for verifying.
    #[error("the COSE key is not for verifying signatures")]
    KeyOperations,
    /// The RSA modulus is too short or too long.
    #[error("an RSA key of {0} bits is not allowed, only from {MIN_RSA_BITS} to {MAX_RSA_BITS}")]
    RsaBits(usize),
    /// The signature is no WebAuthn signature.
    #[error("malformed WebAuthn signature: {0}")]
    MalformedSignature(String),
    /// The client data is not JSON with a challenge.
    #[error("malformed client data in a WebAuthn signature: {0}")]
    MalformedClientData(String),
    /// The authenticator signed something else.
    #[error("Challenge in webauthn is {given} while it is expected to be {expected}")]
    OtherChallenge {
        /// What was signed, in hex.
        given: String,
        /// What should have been, in hex.
        expected: String,
    },
    /// The signature is wrong.
    #[error("Verifying signature failed")]
    Wrong,
}

/// The key of an authenticator.
#[derive(Clone, Debug)]
pub(crate) enum WebAuthnKey {
    /// ECDSA on P-256 with SHA-256.
    Es256(p256::ecdsa::VerifyingKey),
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256(Box<RsaPublicKey>),
}

impl WebAuthnKey {
    /// Reads a COSE key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, WebAuthnError> {
        let malformed = |text: &str| WebAuthnError::MalformedKey(text.to_owned());
        let Value::Map(entries) = cbor::read(bytes).map_err(WebAuthnError::MalformedKey)? else {
            return Err(malformed("it is no map"));
        };
        let mut fields: BTreeMap<i128, Value> = BTreeMap::new();
        for (label, value) in entries {
            let Value::Integer(label) = label else { return Err(malformed("a label is no integer")) };
            if fields.insert(label.into(), value).is_some() {
                return Err(malformed("a label is there twice"));
            }
        }
        let integer = |label: i128| match fields.get(&label) {
            Some(Value::Integer(value)) => Some(i128::from(*value)),
            _ => None,
        };
        let bytes = |label: i128| match fields.get(&label) {
            Some(Value::Bytes(bytes)) => Ok(bytes.as_slice()),
            _ => Err(WebAuthnError::MalformedKey(format!("no bytes at label {label}"))),
        };
        if let Some(operations) = fields.get(&KEY_OPERATIONS) {
            let verify = Value::Integer(2.into());
            debug_assert_eq!(verify.as_integer().map(i128::from), Some(KEY_OPERATION_VERIFY));
            if !operations.as_array().is_some_and(|operations| operations.contains(&verify)) {
                return Err(WebAuthnError::KeyOperations);
            }
        }
        match (integer(KEY_TYPE), integer(ALGORITHM)) {
            (Some(KEY_TYPE_EC2), Some(ALGORITHM_ES256)) => {
                if integer(EC2_CURVE) != Some(EC2_CURVE_P256) {
                    return Err(WebAuthnError::Algorithm);
                }
                let (x, y) = (bytes(EC2_X)?, bytes(EC2_Y)?);
                if x.len() != COORDINATE_BYTES || y.len() != COORDINATE_BYTES {
                    return Err(malformed("a coordinate has not 32 bytes"));
                }
                let point = [[4].as_slice(), x, y].concat();
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point);
                key.map(Self::Es256).map_err(|_| malformed("the point is not on the curve"))
            }
            (Some(KEY_TYPE_RSA), Some(ALGORITHM_RS256)) => {
                let (n, e) = (BigUint::from_bytes_be(bytes(RSA_N)?), BigUint::from_bytes_be(bytes(RSA_E)?));
                if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&n.bits()) {
                    return Err(WebAuthnError::RsaBits(n.bits()));
                }
                let key = RsaPublicKey::new_with_max_size(n, e, MAX_RSA_BITS);
                key.map(|key| Self::Rs256(Box::new(key))).map_err(|error| malformed(&error.to_string()))
            }
            _ => Err(WebAuthnError::Algorithm),
        }
    }
}

#[derive(Deserialize)]
struct RawSignature {
    authenticator_data: BytesOrText,
    client_data_json: BytesOrText,
    signature: BytesOrText,
}

#[derive(Deserialize)]
struct ClientData {
    challenge: String,
}

/// Checks that an authenticator signed the message.
///
/// # Errors
/// Why it did not.
pub(super) fn verify(key: &WebAuthnKey, message: &[u8], signature: &[u8]) -> Result<(), WebAuthnError> {
    let raw: RawSignature = cbor::read(signature).map_err(WebAuthnError::MalformedSignature)?;
    let client_data: ClientData = serde_json::from_slice(&raw.client_data_json.0)
        .map_err(|error| WebAuthnError::MalformedClientData(error.to_string()))?;
    let challenge = BASE64_URL_SAFE_NO_PAD
        .decode(client_data.challenge.as_bytes())
        .map_err(|error| WebAuthnError::MalformedClientData(format!("the challenge is not base64: {error}")))?;
    if challenge != message {
        return Err(WebAuthnError::OtherChallenge {
            given: hex::encode(&challenge[..challenge.len().min(64)]),
            expected: hex::encode(message),
        });
    }
    let signed = [raw.authenticator_data.0.as_slice(), Sha256::digest(&raw.client_data_json.0).as_slice()].concat();
    match key {
        WebAuthnKey::Es256(key) => {
            use p256::ecdsa::signature::Verifier;

            let signature = p256::ecdsa::Signature::from_der(&raw.signature.0)
                .map_err(|error| WebAuthnError::MalformedSignature(error.to_string()))?;
            key.verify(&signed, &signature).map_err(|_| WebAuthnError::Wrong)
        }
        WebAuthnKey::Rs256(key) => {
            use rsa::signature::Verifier;

            if raw.signature.0.len() != key.size() {
                return Err(WebAuthnError::MalformedSignature(format!(
                    "{} bytes for a key of {}",
                    raw.signature.0.len(),
                    key.size()
                )));
            }
            let signature = pkcs1v15::Signature::try_from(raw.signature.0.as_slice())
                .map_err(|error| WebAuthnError::MalformedSignature(error.to_string()))?;
            let key = pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(*key.clone());
            key.verify(&signed, &signature).map_err(|_| WebAuthnError::Wrong)
        }
    }
}

/// Bytes. Clients write the client data as text or as bytes.
struct BytesOrText(Vec<u8>);

impl<'de> Deserialize<'de> for BytesOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = BytesOrText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes or text")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<BytesOrText, E> {
                Ok(BytesOrText(bytes.to_vec()))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<BytesOrText, E> {
                Ok(BytesOrText(bytes))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<BytesOrText, E> {
                Ok(BytesOrText(text.as_bytes().to_vec()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<BytesOrText, E> {
                Ok(BytesOrText(text.into_bytes()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
