//! Who sent a request, and for which canisters: pure functions of the envelope, the time and the root key.

use std::collections::BTreeSet;

use candid::Principal;

use super::envelope::{Content, Delegation, Envelope, Permissions, Request, SenderInfo, UserSignature};
use crate::limits::MAX_INGRESS_TTL_NS;

mod canister_signature;
mod certificate;
mod key;
#[cfg(test)]
pub(crate) mod test_fixtures;
#[cfg(test)]
mod tests;
mod timestamp;
mod tree;
mod webauthn;

use canister_signature::CanisterSignatureError;
use key::PublicKey;
pub(crate) use key::{KeyError, SignatureError};
use timestamp::Timestamp;

/// By how much the clocks of senders may run ahead, in ns.
const PERMITTED_DRIFT_NS: u64 = 30_000_000_000;
const REQUEST_DOMAIN: &[u8] = b"\x0Aic-request";
const DELEGATION_DOMAIN: &[u8] = b"\x1Aic-request-auth-delegation";
const SENDER_INFO_DOMAIN: &[u8] = b"\x0Eic-sender-info";

/// Why a request is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthenticationError {
    /// It is too old, or would be valid for too long. Clients that correct their clock look for these words.
    #[error(
        "Specified ingress_expiry not within expected range: Minimum allowed expiry: {minimum}, Maximum allowed \
         expiry: {maximum}, Provided expiry:        {provided}"
    )]
    Expiry {
        /// The earliest allowed.
        minimum: Timestamp,
        /// The latest allowed.
        maximum: Timestamp,
        /// What the request has.
        provided: Timestamp,
    },
    /// A delegation has ended.
    #[error("Specified sender delegation has expired: Provided expiry: {provided}, Local replica time: {now}")]
    DelegationExpired {
        /// When it ended.
        provided: Timestamp,
        /// The time of the network.
        now: Timestamp,
    },
    /// The sender is somebody else than the key says.
    #[error("The user id {sender} does not match the public key {}", hex::encode(.public_key))]
    WrongKey {
        /// The sender.
        sender: Principal,
        /// The key.
        public_key: Vec<u8>,
    },
    /// Nobody vouches for the sender.
    #[error("Missing signature from user: {0}")]
    MissingSignature(Principal),
    /// The anonymous sender signed.
    #[error("Signature is not allowed for the anonymous user")]
    AnonymousSigned,
    /// The signature of the request is not right.
    #[error("Invalid signature: {0}")]
    Signature(SignatureError),
    /// The signature of a delegation is not right.
    #[error("Invalid delegation: {0}")]
    Delegation(SignatureError),
    /// A key delegates to itself, be it over others.
    #[error(
        "Invalid delegation: Chain of delegations contains at least one cycle: first repeating public key encountered \
         {}", hex::encode(.0)
    )]
    DelegationCycle(Vec<u8>),
    /// A delegation for queries was used for a call.
    #[error("Invalid delegation: it permits queries only, and the request is a call")]
    OnlyQueries,
    /// The delegations are for other canisters.
    #[error("Canister {0} is not one of the delegation targets")]
    NotATarget(Principal),
    /// The sender info is not signed by the canister that the sender signs with.
    #[error("Invalid sender info: {0}")]
    SenderInfo(SenderInfoError),
}

/// Why the attributes of a sender are not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SenderInfoError {
    /// The request is anonymous.
    #[error("the request is not signed")]
    Unsigned,
    /// The sender's key is not one of a canister.
    #[error("sender_pubkey is not the key of a canister signature")]
    NoCanisterKey,
    /// The sender's key belongs to another canister.
    #[error("signer {signer} does not match canister ID {canister} in sender_pubkey")]
    OtherSigner {
        /// The signer that was named.
        signer: Principal,
        /// The canister that the key belongs to.
        canister: Principal,
    },
    /// The signature is not right.
    #[error("signature verification failed: {0}")]
    Signature(CanisterSignatureError),
}

/// The canisters that a request may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Targets {
    /// Any.
    All,
    /// These.
    Only(BTreeSet<Principal>),
}

impl Targets {
    /// Tells whether the request may be about this canister.
    pub(crate) fn contains(&self, canister: &Principal) -> bool {
        match self {
            Self::All => true,
            Self::Only(canisters) => canisters.contains(canister),
        }
    }

    /// Keeps those that the delegation is for, too.
    fn restrict(self, delegation: &Delegation) -> Self {
        let Some(targets) = &delegation.targets else { return self };
        Self::Only(targets.iter().filter(|target| self.contains(target)).copied().collect())
    }
}

/// Checks that the sender of a request sent it, that it is valid now, and that it may ask for what it asks.
///
/// `now` is in ns since the epoch, `root_key` the DER-encoded key that canister signatures lead back to.
///
/// # Errors
/// Why the request is not believed.
pub(crate) fn authenticate(envelope: &Envelope, now: u64, root_key: &[u8]) -> Result<Targets, AuthenticationError> {
    let content = &envelope.content;
    check_expiry(content, now)?;
    let anonymous = content.sender == Principal::anonymous();
    let targets = match &envelope.signature {
        None if anonymous => Targets::All,
        None => return Err(AuthenticationError::MissingSignature(content.sender)),
        Some(_) if anonymous => return Err(AuthenticationError::AnonymousSigned),
        Some(signature) => verify(content, signature, now, root_key)?,
    };
    if let Some(invocation) = content.request.invocation() {
        if !targets.contains(&invocation.canister_id) {
            return Err(AuthenticationError::NotATarget(invocation.canister_id));
        }
        if let Some(info) = &invocation.sender_info {
            check_sender_info(info, envelope.signature.as_ref(), root_key).map_err(AuthenticationError::SenderInfo)?;
        }
    }
    Ok(targets)
}

/// Checks that a canister signed a message; both keys are DER encoded.
///
/// # Errors
/// Why it did not.
pub(crate) fn verify_canister_signature(
    message: &[u8],
    signature: &[u8],
    public_key: &[u8],
    root_key: &[u8],
) -> Result<(), SignatureError> {
    match PublicKey::read(public_key).map_err(SignatureError::Key)? {
        key @ PublicKey::Canister(_) => key.verify(message, signature, root_key),
        _ => Err(SignatureError::Key(KeyError::Malformed("canister signature"))),
    }
}

/// Checks that a request is valid now. Anonymous ones that change nothing always are.
fn check_expiry(content: &Content, now: u64) -> Result<(), AuthenticationError> {
    if content.sender == Principal::anonymous() && !matches!(content.request, Request::Call(_)) {
        return Ok(());
    }
    let maximum = now.saturating_add(MAX_INGRESS_TTL_NS + PERMITTED_DRIFT_NS);
    if (now..=maximum).contains(&content.ingress_expiry) {
        return Ok(());
    }
    Err(AuthenticationError::Expiry {
        minimum: Timestamp(now),
        maximum: Timestamp(maximum),
        provided: Timestamp(content.ingress_expiry),
    })
}

/// Follows the chain from the sender's key to the one that signed the request.
fn verify(
    content: &Content,
    signature: &UserSignature,
    now: u64,
    root_key: &[u8],
) -> Result<Targets, AuthenticationError> {
    if content.sender != Principal::self_authenticating(&signature.public_key) {
        return Err(AuthenticationError::WrongKey { sender: content.sender, public_key: signature.public_key.clone() });
    }
    // What is cheap to check goes first.
    let delegations = || signature.delegations.iter().map(|signed| &signed.delegation);
    let mut keys = BTreeSet::from([&signature.public_key]);
    for delegation in delegations() {
        if delegation.expiration < now {
            return Err(AuthenticationError::DelegationExpired {
                provided: Timestamp(delegation.expiration),
                now: Timestamp(now),
            });
        }
        if !keys.insert(&delegation.public_key) {
            return Err(AuthenticationError::DelegationCycle(delegation.public_key.clone()));
        }
        if delegation.permissions == Some(Permissions::Queries) && matches!(content.request, Request::Call(_)) {
            return Err(AuthenticationError::OnlyQueries);
        }
    }
    let mut key = &signature.public_key;
    let mut targets = Targets::All;
    for signed in &signature.delegations {
        let message = [DELEGATION_DOMAIN, &signed.delegation.hash()].concat();
        PublicKey::read(key)
            .map_err(SignatureError::Key)
            .and_then(|key| key.verify(&message, &signed.signature, root_key))
            .map_err(AuthenticationError::Delegation)?;
        targets = targets.restrict(&signed.delegation);
        key = &signed.delegation.public_key;
    }
    let message = [REQUEST_DOMAIN, &content.id()].concat();
    PublicKey::read(key)
        .map_err(SignatureError::Key)
        .and_then(|key| key.verify(&message, &signature.signature, root_key))
        .map_err(AuthenticationError::Signature)?;
    Ok(targets)
}

/// Checks that the canister in whose name the sender signs says this of the sender.
fn check_sender_info(
    info: &SenderInfo,
    signature: Option<&UserSignature>,
    root_key: &[u8],
) -> Result<(), SenderInfoError> {
    let signature = signature.ok_or(SenderInfoError::Unsigned)?;
    let Ok(PublicKey::Canister(key)) = PublicKey::read(&signature.public_key) else {
        return Err(SenderInfoError::NoCanisterKey);
    };
    if key.canister != info.signer {
        return Err(SenderInfoError::OtherSigner { signer: info.signer, canister: key.canister });
    }
    let message = [SENDER_INFO_DOMAIN, &info.info].concat();
    key.verify(&message, &info.signature, root_key).map_err(SenderInfoError::Signature)
}
