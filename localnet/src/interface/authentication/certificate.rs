//! Checking certificates that clients bring, from the root key on.

use candid::Principal;
use ic_certification::{Certificate, HashTree, LookupResult, SubtreeLookupResult};
use ic_verify_bls_signature::verify_bls_signature;
use serde_bytes::ByteBuf;

use super::tree::read_certificate;
use crate::interface::cbor;

/// What comes before the key itself in the DER encoding of a BLS12-381 key in G2.
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02,
    0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00,
];
/// Bytes of the key itself.
const KEY_BYTES: usize = 96;
const STATE_ROOT_DOMAIN: &[u8] = b"\x0Dic-state-root";

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    /// It is no certificate.
    #[error("malformed certificate: {0}")]
    Malformed(String),
    /// A key is no DER-encoded BLS12-381 key.
    #[error("malformed BLS key")]
    Key,
    /// The signature is wrong.
    #[error("the signature of the certificate is wrong")]
    Signature,
    /// The delegation has itself one.
    #[error("a delegation of a delegation is not allowed")]
    NestedDelegation,
    /// The delegation says nothing of this part of its subnet.
    #[error("the delegation has no {0} of the subnet")]
    IncompleteDelegation(&'static str),
    /// The subnet does not speak for this canister.
    #[error("canister {0} is not on the subnet of the certificate")]
    OtherSubnet(Principal),
}

/// Checks a certificate about a canister, and returns its tree.
///
/// # Errors
/// Why it is not believed.
pub(super) fn verify(certificate: &[u8], canister: &Principal, root_key: &[u8]) -> Result<HashTree, CertificateError> {
    let certificate = read(certificate)?;
    let key = match &certificate.delegation {
        None => root_key.to_vec(),
        Some(delegation) => {
            let inner = read(&delegation.certificate)?;
            if inner.delegation.is_some() {
                return Err(CertificateError::NestedDelegation);
            }
            verify_signature(&inner, root_key)?;
            let subnet = delegation.subnet_id.as_slice();
            let in_range =
                ranges(&inner.tree, subnet)?.iter().any(|(first, last)| first <= canister && canister <= last);
            if !in_range {
                return Err(CertificateError::OtherSubnet(*canister));
            }
            match inner.tree.lookup_path([b"subnet", subnet, b"public_key"]) {
                LookupResult::Found(key) => key.to_vec(),
                _ => return Err(CertificateError::IncompleteDelegation("public key")),
            }
        }
    };
    verify_signature(&certificate, &key)?;
    Ok(certificate.tree)
}

fn read(bytes: &[u8]) -> Result<Certificate, CertificateError> {
    read_certificate(bytes).map_err(CertificateError::Malformed)
}

fn verify_signature(certificate: &Certificate, der: &[u8]) -> Result<(), CertificateError> {
    let key = der.strip_prefix(&DER_PREFIX).filter(|key| key.len() == KEY_BYTES).ok_or(CertificateError::Key)?;
    let message = [STATE_ROOT_DOMAIN, &certificate.tree.digest()].concat();
    verify_bls_signature(&certificate.signature, &message, key).map_err(|()| CertificateError::Signature)
}

/// Returns the canister ranges of a subnet, from the place where they are or the one where they used to be.
fn ranges(tree: &HashTree, subnet: &[u8]) -> Result<Vec<(Principal, Principal)>, CertificateError> {
    let leaves: Vec<Vec<u8>> = match tree.lookup_subtree([b"canister_ranges", subnet]) {
        SubtreeLookupResult::Found(shards) => shards
            .list_paths()
            .iter()
            .filter_map(|path| match shards.lookup_path(path) {
                LookupResult::Found(leaf) => Some(leaf.to_vec()),
                _ => None,
            })
            .collect(),
        _ => match tree.lookup_path([b"subnet", subnet, b"canister_ranges"]) {
            LookupResult::Found(leaf) => vec![leaf.to_vec()],
            _ => Vec::new(),
        },
    };
    if leaves.is_empty() {
        return Err(CertificateError::IncompleteDelegation("canister ranges"));
    }
    let principal = |bytes: &ByteBuf| {
        Principal::try_from_slice(bytes).map_err(|error| CertificateError::Malformed(error.to_string()))
    };
    let mut ranges = Vec::new();
    for leaf in leaves {
        let pairs: Vec<(ByteBuf, ByteBuf)> = cbor::read(&leaf).map_err(CertificateError::Malformed)?;
        for (first, last) in &pairs {
            ranges.push((principal(first)?, principal(last)?));
        }
    }
    Ok(ranges)
}
