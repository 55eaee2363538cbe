//! Checking certificates.

use candid::Principal;
use ic_cbor::CertificateToCbor;
use ic_certificate_verification::{CertificateVerificationError, VerifyCertificate};
use ic_certification::{Certificate, LookupResult};

use crate::Hash;

/// How old a certificate, or how far in the future, may be: what agents allow.
pub const MAX_CERTIFICATE_AGE_NS: u64 = 300_000_000_000;

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
