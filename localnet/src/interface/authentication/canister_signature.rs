//! Signatures of canisters: a canister signs by certifying the hash of a message.

use candid::Principal;
use ic_certification::LookupResult;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use super::{
    certificate::{self, CertificateError},
    tree::Tree,
};
use crate::interface::cbor;

/// Why a signature of a canister is not right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CanisterSignatureError {
    /// It is none.
    #[error("malformed signature: {0}")]
    Malformed(String),
    /// Its certificate is not believed.
    #[error("{0}")]
    Certificate(CertificateError),
    /// The certificate is not about this tree of signatures.
    #[error("the certified data of canister {0} is not the root of the tree of signatures")]
    OtherTree(Principal),
    /// The tree does not hold this message, signed with this seed.
    #[error("the tree of signatures does not hold the message")]
    NotSigned,
}

/// A canister and the seed that tells its keys apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanisterKey {
    /// The canister.
    pub canister: Principal,
    /// The seed.
    pub seed: Vec<u8>,
}

#[derive(Deserialize)]
struct RawSignature {
    certificate: ByteBuf,
    tree: Tree,
}

impl CanisterKey {
    /// Reads the inside of a DER-encoded key: the length of the canister id, the id, and the seed.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first()?;
        let (id, seed) = rest.split_at_checked(usize::from(*length))?;
        Some(Self { canister: Principal::try_from_slice(id).ok()?, seed: seed.to_vec() })
    }

    /// Checks that the canister signed the message.
    ///
    /// # Errors
    /// Why it did not.
    pub(crate) fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
        root_key: &[u8],
    ) -> Result<(), CanisterSignatureError> {
        let RawSignature { certificate, tree: Tree(tree) } =
            cbor::read(signature).map_err(CanisterSignatureError::Malformed)?;
        // What is cheap to check goes first.
        let path: [&[u8]; 3] = [b"sig", &Sha256::digest(&self.seed), &Sha256::digest(message)];
        if !matches!(tree.lookup_path(path), LookupResult::Found(leaf) if leaf.is_empty()) {
            return Err(CanisterSignatureError::NotSigned);
        }
        let state =
            certificate::verify(&certificate, &self.canister, root_key).map_err(CanisterSignatureError::Certificate)?;
        let path: [&[u8]; 3] = [b"canister", self.canister.as_slice(), b"certified_data"];
        match state.lookup_path(path) {
            LookupResult::Found(data) if data == tree.digest() => Ok(()),
            _ => Err(CanisterSignatureError::OtherTree(self.canister)),
        }
    }
}
