//! Checking certificates.

use candid::Principal;
use ciborium::Value;
use ic_cbor::CertificateToCbor;
use ic_certificate_verification::{CertificateVerificationError, VerifyCertificate};
use ic_certification::{Certificate, LookupResult};

use crate::Hash;

/// How old a certificate, or how far in the future, may be: what agents allow.
pub const MAX_CERTIFICATE_AGE_NS: u64 = 300_000_000_000;

/// The tag 55799, which says that what follows is CBOR: RFC 8949, section 3.4.6.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Why a certificate does not say what a canister certifies.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("the bytes are no certificate")]
    Malformed,
    /// It is too old, not signed for the canister, or has another fault.
    #[error("the certificate cannot be trusted: {0}")]
    Untrusted(CertificateVerificationError),
    /// It says nothing about the canister's certified data, or they are no hash.
    #[error("the certificate has no certified data of the canister {canister}")]
    NoCertifiedData {
        /// The canister.
        canister: Principal,
    },
}

/// Returns the hash that a canister certifies, as a certificate signed under the root key given says.
///
/// `root_key` is in DER form, as the Internet Computer's status endpoint answers it; `max_age_ns` is how much the
/// certificate's time may differ from `now_ns`.
///
/// # Errors
/// [`CertificateError`].
pub fn certified_data(
    certificate: &[u8],
    canister: Principal,
    root_key: &[u8],
    now_ns: u64,
    max_age_ns: u64,
) -> Result<Hash, CertificateError> {
    check_form(certificate)?;
    let certificate = Certificate::from_cbor(certificate).map_err(|_| CertificateError::Malformed)?;
    certificate
        .verify(canister.as_slice(), root_key, &u128::from(now_ns), &u128::from(max_age_ns))
        .map_err(CertificateError::Untrusted)?;
    let path: [&[u8]; 3] = [b"canister", canister.as_slice(), b"certified_data"];
    match certificate.tree.lookup_path(&path) {
        LookupResult::Found(data) => Hash::try_from(data).map_err(|_| CertificateError::NoCertifiedData { canister }),
        LookupResult::Absent | LookupResult::Unknown | LookupResult::Error => {
            Err(CertificateError::NoCertifiedData { canister })
        }
    }
}

/// Checks that a certificate, and the one of its delegation, are made as certificates are.
///
/// The reader of `ic-cbor` believes any length, goes as deep as it is led, and begins anew where it fails: what it would
/// panic at, or not come to an end with, ends here.
fn check_form(certificate: &[u8]) -> Result<(), CertificateError> {
    let certificate = read(certificate)?;
    let Some(delegation) = field(&certificate, "delegation") else { return Ok(()) };
    match field(delegation, "certificate") {
        Some(Value::Bytes(delegated)) => read(delegated).map(|_| ()),
        _ => Err(CertificateError::Malformed),
    }
}

/// Reads CBOR of nothing but what certificates are made of, in the one form that they are written in.
fn read(bytes: &[u8]) -> Result<Value, CertificateError> {
    let content = bytes.strip_prefix(&SELF_DESCRIBED).unwrap_or(bytes);
    let value = ciborium::from_reader(content).map_err(|_| CertificateError::Malformed)?;
    // The shortest form has no lengths left open, and no numbers that are bytes.
    let mut written = Vec::with_capacity(content.len());
    let is_written = is_plain(&value) && ciborium::into_writer(&value, &mut written).is_ok();
    if is_written && written == content { Ok(value) } else { Err(CertificateError::Malformed) }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Bytes(_) | Value::Text(_) => true,
        Value::Integer(number) => u64::try_from(*number).is_ok(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Map(fields) => fields.iter().all(|(name, value)| name.is_text() && is_plain(value)),
        _ => false,
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_map()?;
    // The reader takes the last one of a name.
    fields.iter().rev().find(|(other, _)| other.as_text() == Some(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The number of fields of a map that has none of them: 2^63 - 1.
    const ENDLESS: [u8; 9] = [0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

    fn check(certificate: &[u8]) -> Result<Hash, CertificateError> {
        certified_data(certificate, Principal::management_canister(), &[], 0, MAX_CERTIFICATE_AGE_NS)
    }

    fn bytes(content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = match length {
            0..24 => vec![0x40 | length as u8],
            24..256 => vec![0x58, length as u8],
            _ => [&[0x59][..], &(length as u16).to_be_bytes()].concat(),
        };
        bytes.extend(content);
        bytes
    }

    fn map(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut map = vec![0xa0 | fields.len() as u8];
        for (name, value) in fields {
            map.push(0x60 | name.len() as u8);
            map.extend(name.as_bytes());
            map.extend(*value);
        }
        map
    }

    /// A certificate of time zero that nobody signed, with a delegation by the certificate given.
    fn certificate(delegated: Option<&[u8]>) -> Vec<u8> {
        certificate_with(delegated.map(bytes).as_deref())
    }

    /// The same, where what should be the bytes of the delegation's certificate may be anything.
    fn certificate_with(delegated: Option<&[u8]>) -> Vec<u8> {
        let tree = [b"\x83\x01\x83\x02\x44time\x82\x03\x41\0\x82\x04\x58\x20".as_slice(), &[7; 32]].concat();
        let mut fields = vec![("tree", tree), ("signature", bytes(&[1; 48]))];
        if let Some(delegated) = delegated {
            let delegation = map(&[("subnet_id", &bytes(&[2; 29])), ("certificate", delegated)]);
            fields.push(("delegation", delegation));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        [SELF_DESCRIBED.as_slice(), &map(&fields)].concat()
    }

    #[test]
    fn should_not_trust_what_nobody_signed() {
        for certificate in [certificate(None), certificate(Some(&certificate(None)))] {
            let checked = check(&certificate);
            assert!(matches!(checked, Err(CertificateError::Untrusted(_))), "{checked:?}");
        }
    }

    #[test]
    fn should_refuse_what_is_not_made_as_certificates_are() {
        let malformed = [
            Vec::new(),
            // More fields than there are bytes in the world.
            ENDLESS.to_vec(),
            [SELF_DESCRIBED.as_slice(), &ENDLESS].concat(),
            // Deeper than a stack can go: lists, tags, and what is skipped.
            vec![0x81; 1_000_000],
            vec![0xc0; 1_000_000],
            [vec![0x9a, 0, 0x0f, 0x42, 0x40], vec![0xf6; 1_000_000]].concat(),
            // Numbers below zero, names that are none, and lists that have no length.
            vec![0x38, 0xff],
            vec![0xa1, 0x00, 0x00],
            vec![0x9f, 0xff, 0x00],
            b"no certificate".to_vec(),
        ];
        for certificate in &malformed {
            let checked = check(certificate);
            assert!(
                matches!(checked, Err(CertificateError::Malformed)),
                "{:?}: {checked:?}",
                &certificate[..certificate.len().min(20)]
            );
        }
        for delegated in malformed.iter().filter(|bytes| bytes.len() < 1_000) {
            let checked = check(&certificate(Some(delegated)));
            assert!(matches!(checked, Err(CertificateError::Malformed)), "{delegated:?}: {checked:?}");
        }
    }

    #[test]
    fn should_refuse_delegations_whose_certificates_are_no_bytes() {
        for delegated in [
            // Text that reads as a map without end, and as lists within one another.
            [&[0x6a, 0xc2, 0xbb][..], &[0x7f; 8]].concat(),
            [&[0x7a, 0, 0x1e, 0x84, 0x80][..], "\u{81}".repeat(1_000_000).as_bytes()].concat(),
            // A number as bytes with a tag.
            vec![0xc2, 0x45, 0xba, 0xff, 0xff, 0xff, 0xff],
            vec![0],
            vec![0x80],
        ] {
            let checked = check(&certificate_with(Some(&delegated)));
            assert!(matches!(checked, Err(CertificateError::Malformed)), "{checked:?}");
        }
    }

    #[test]
    fn should_refuse_what_would_be_read_over_and_over() {
        // Each list has a map whose only value has no length. A reader that takes maps for shorter where they cannot be read
        // would read what is within twice.
        let mut nested = vec![0x9f, 0xff];
        for _ in 0..60 {
            nested = [&[0x83, 0xa1, 0x61, 0x61], nested.as_slice(), &[0, 0]].concat();
        }
        for certificate in [nested.clone(), certificate(Some(&nested))] {
            assert!(matches!(check(&certificate), Err(CertificateError::Malformed)));
        }
    }

    proptest! {
        #[test]
        fn should_not_trust_what_was_changed(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut changed = certificate(Some(&certificate(None)));
            for (index, byte) in changes {
                let index = index.index(changed.len());
                changed[index] = byte;
            }
            prop_assert!(check(&changed).is_err());
        }
    }
}
