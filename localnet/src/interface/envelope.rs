//! Requests and their signatures, as clients send them: a CBOR envelope around the content that is signed.

use candid::Principal;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{
    cbor::{self, AtMost},
    hash::{Fields, Value, hash_of_map},
};
use crate::message::MessageId;

/// Delegations in one envelope.
pub(crate) const MAX_DELEGATIONS: usize = 20;
/// Canisters that one delegation names as its targets.
pub(crate) const MAX_TARGETS: usize = 1_000;
/// Bytes of a nonce.
pub(crate) const MAX_NONCE_BYTES: usize = 32;
/// Paths in one `read_state` request.
pub(crate) const MAX_PATHS: usize = 1_000;
/// Labels in one path.
pub(crate) const MAX_LABELS: usize = 127;

/// What is wrong with the form of a request, whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    /// It is no CBOR, or not of the form that the endpoint expects.
    #[error("Failed to deserialize cbor request: {0}")]
    Malformed(String),
    /// It is a request for another endpoint.
    #[error("Malformed request: request_type is {given:?}, expected {expected:?}")]
    WrongType {
        /// The type that was given.
        given: String,
        /// The type that the endpoint takes.
        expected: &'static str,
    },
    /// A field is missing.
    #[error("Malformed request: missing field {0}")]
    Missing(&'static str),
    /// A field is there that requests of this type do not have.
    #[error("Malformed request: unexpected field {0}")]
    Unexpected(&'static str),
    /// A field holds no principal.
    #[error("Malformed request: {field} is no principal: {length} bytes, at most 29 are allowed")]
    NoPrincipal {
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// The nonce is too long.
    #[error("Nonce in request is too big: got {0} bytes, but at most {MAX_NONCE_BYTES} are allowed")]
    NonceTooLong(usize),
    /// The name of permissions that do not exist.
    #[error("Malformed request: unknown permissions {0:?} in a delegation")]
    UnknownPermissions(String),
    /// A key without a signature, or the other way round.
    #[error(
        "Malformed request: sender_pubkey and sender_sig must be given both or neither, and with a delegation both"
    )]
    HalfSigned,
}

/// The types of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestType {
    /// An update call.
    Call,
    /// A query.
    Query,
    /// A certificate about the state.
    ReadState,
}

impl RequestType {
    /// Returns the name in `request_type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Query => "query",
            Self::ReadState => "read_state",
        }
    }
}

/// A request with what vouches for its sender.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// What is asked.
    pub content: Content,
    /// Who vouches for it; nothing in anonymous requests.
    pub signature: Option<UserSignature>,
    /// Bytes of the envelope as it was received.
    pub bytes: usize,
}

/// The signed part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Who asks.
    pub sender: Principal,
    /// When the request ends to be valid, in ns since the epoch.
    pub ingress_expiry: u64,
    /// Makes requests different that are the same otherwise.
    pub nonce: Option<Vec<u8>>,
    /// What is asked.
    pub request: Request,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// An update call.
    Call(Invocation),
    /// A query.
    Query(Invocation),
    /// A certificate about these paths.
    ReadState(Vec<Vec<Vec<u8>>>),
}

/// A method with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The canister.
    pub canister_id: Principal,
    /// The method.
    pub method_name: String,
    /// The argument.
    pub arg: Vec<u8>,
    /// What a canister says of the sender.
    pub sender_info: Option<SenderInfo>,
}

/// Attributes of the sender, signed by a canister.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SenderInfo {
    /// The attributes, handed to the called canister as they are.
    pub info: Vec<u8>,
    /// The canister that signed.
    pub signer: Principal,
    /// Its signature.
    pub signature: Vec<u8>,
}

/// A signature with the key that it leads back to.
#[derive(Clone, Debug)]
pub(crate) struct UserSignature {
    /// The key that the sender's principal is derived from, DER encoded.
    pub public_key: Vec<u8>,
    /// The signature of the request, by the last key of the chain.
    pub signature: Vec<u8>,
    /// The chain of delegations, beginning with the one that `public_key` signed.
    pub delegations: Vec<SignedDelegation>,
}

/// A delegation and its signature.
#[derive(Clone, Debug)]
pub(crate) struct SignedDelegation {
    /// What is delegated.
    pub delegation: Delegation,
    /// The signature by the key before.
    pub signature: Vec<u8>,
}

/// The right to sign in the name of another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delegation {
    /// The key that gets the right, DER encoded.
    pub public_key: Vec<u8>,
    /// When it ends, in ns since the epoch.
    pub expiration: u64,
    /// The canisters it is for; all when absent.
    pub targets: Option<Vec<Principal>>,
    /// The requests it is for; absent means the same as all, but hashes differently.
    pub permissions: Option<Permissions>,
}

/// The requests that a delegation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// Only queries and `read_state`.
    Queries,
    /// All.
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnvelope {
    content: RawContent,
    sender_pubkey: Option<ByteBuf>,
    sender_sig: Option<ByteBuf>,
    sender_delegation: Option<AtMost<RawSignedDelegation, MAX_DELEGATIONS>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContent {
    request_type: String,
    sender: ByteBuf,
    ingress_expiry: u64,
    nonce: Option<ByteBuf>,
    canister_id: Option<ByteBuf>,
    method_name: Option<String>,
    arg: Option<ByteBuf>,
    sender_info: Option<RawSenderInfo>,
    paths: Option<AtMost<AtMost<ByteBuf, MAX_LABELS>, MAX_PATHS>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSenderInfo {
    info: ByteBuf,
    signer: ByteBuf,
    sig: ByteBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignedDelegation {
    delegation: RawDelegation,
    signature: ByteBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDelegation {
    pubkey: ByteBuf,
    expiration: u64,
    targets: Option<AtMost<ByteBuf, MAX_TARGETS>>,
    permissions: Option<String>,
}

impl Envelope {
    /// Reads the envelope of a request of the given type. Nothing is said of whether its signature is right.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub(crate) fn read(bytes: &[u8], expected: RequestType) -> Result<Self, EnvelopeError> {
        let raw: RawEnvelope = cbor::read(bytes).map_err(EnvelopeError::Malformed)?;
        let content = Content::check(raw.content, expected)?;
        let signature = match (raw.sender_pubkey, raw.sender_sig, raw.sender_delegation) {
            (None, None, None) => None,
            (Some(public_key), Some(signature), delegations) => Some(UserSignature {
                public_key: public_key.into_vec(),
                signature: signature.into_vec(),
                delegations: delegations
                    .map_or_else(Vec::new, |delegations| delegations.0)
                    .into_iter()
                    .map(SignedDelegation::check)
                    .collect::<Result<_, _>>()?,
            }),
            _ => return Err(EnvelopeError::HalfSigned),
        };
        Ok(Self { content, signature, bytes: bytes.len() })
    }
}

impl Content {
    fn check(raw: RawContent, expected: RequestType) -> Result<Self, EnvelopeError> {
        if raw.request_type != expected.name() {
            return Err(EnvelopeError::WrongType { given: raw.request_type, expected: expected.name() });
        }
        if let Some(nonce) = &raw.nonce
            && nonce.len() > MAX_NONCE_BYTES
        {
            return Err(EnvelopeError::NonceTooLong(nonce.len()));
        }
        let sender = principal(&raw.sender, "sender")?;
        let request = match expected {
            RequestType::Call | RequestType::Query => {
                if raw.paths.is_some() {
                    return Err(EnvelopeError::Unexpected("paths"));
                }
                let canister_id = raw.canister_id.ok_or(EnvelopeError::Missing("canister_id"))?;
                let invocation = Invocation {
                    canister_id: principal(&canister_id, "canister_id")?,
                    method_name: raw.method_name.ok_or(EnvelopeError::Missing("method_name"))?,
                    arg: raw.arg.ok_or(EnvelopeError::Missing("arg"))?.into_vec(),
                    sender_info: raw.sender_info.map(SenderInfo::check).transpose()?,
                };
                if expected == RequestType::Call { Request::Call(invocation) } else { Request::Query(invocation) }
            }
            RequestType::ReadState => {
                let unexpected = [
                    ("canister_id", raw.canister_id.is_some()),
                    ("method_name", raw.method_name.is_some()),
                    ("arg", raw.arg.is_some()),
                    ("sender_info", raw.sender_info.is_some()),
                ];
                if let Some((field, _)) = unexpected.into_iter().find(|(_, given)| *given) {
                    return Err(EnvelopeError::Unexpected(field));
                }
                let paths = raw.paths.ok_or(EnvelopeError::Missing("paths"))?.0;
                let labels = |path: AtMost<ByteBuf, MAX_LABELS>| path.0.into_iter().map(ByteBuf::into_vec).collect();
                Request::ReadState(paths.into_iter().map(labels).collect())
            }
        };
        Ok(Self { sender, ingress_expiry: raw.ingress_expiry, nonce: raw.nonce.map(ByteBuf::into_vec), request })
    }

    /// Returns the id of the request: the hash of its content.
    pub(crate) fn id(&self) -> MessageId {
        let mut fields: Fields<'_> = vec![
            ("request_type", Value::Text(self.request.request_type().name())),
            ("sender", Value::Bytes(self.sender.as_slice())),
            ("ingress_expiry", Value::Nat(self.ingress_expiry)),
        ];
        if let Some(nonce) = &self.nonce {
            fields.push(("nonce", Value::Bytes(nonce)));
        }
        match &self.request {
            Request::Call(invocation) | Request::Query(invocation) => invocation.add_to(&mut fields),
            Request::ReadState(paths) => {
                let paths =
                    paths.iter().map(|path| Value::Array(path.iter().map(|label| Value::Bytes(label)).collect()));
                fields.push(("paths", Value::Array(paths.collect())));
            }
        }
        hash_of_map(&fields)
    }
}

impl Request {
    /// Returns the type of the request.
    pub(crate) fn request_type(&self) -> RequestType {
        match self {
            Self::Call(_) => RequestType::Call,
            Self::Query(_) => RequestType::Query,
            Self::ReadState(_) => RequestType::ReadState,
        }
    }

    /// Returns the method that is called, if one is.
    pub(crate) fn invocation(&self) -> Option<&Invocation> {
        match self {
            Self::Call(invocation) | Self::Query(invocation) => Some(invocation),
            Self::ReadState(_) => None,
        }
    }
}

impl Invocation {
    fn add_to<'a>(&'a self, fields: &mut Fields<'a>) {
        fields.push(("canister_id", Value::Bytes(self.canister_id.as_slice())));
        fields.push(("method_name", Value::Text(&self.method_name)));
        fields.push(("arg", Value::Bytes(&self.arg)));
        if let Some(SenderInfo { info, signer, signature }) = &self.sender_info {
            let map = vec![
                ("info", Value::Bytes(info)),
                ("signer", Value::Bytes(signer.as_slice())),
                ("sig", Value::Bytes(signature)),
            ];
            fields.push(("sender_info", Value::Map(map)));
        }
    }
}

impl SenderInfo {
    fn check(raw: RawSenderInfo) -> Result<Self, EnvelopeError> {
        Ok(Self {
            info: raw.info.into_vec(),
            signer: principal(&raw.signer, "sender_info.signer")?,
            signature: raw.sig.into_vec(),
        })
    }
}

impl SignedDelegation {
    fn check(raw: RawSignedDelegation) -> Result<Self, EnvelopeError> {
        let RawDelegation { pubkey, expiration, targets, permissions } = raw.delegation;
        let targets = targets.map(|targets| {
            targets.0.iter().map(|target| principal(target, "a target of a delegation")).collect::<Result<_, _>>()
        });
        let permissions = match permissions.as_deref() {
            None => None,
            Some("queries") => Some(Permissions::Queries),
            Some("all") => Some(Permissions::All),
            Some(other) => return Err(EnvelopeError::UnknownPermissions(other.chars().take(40).collect())),
        };
        let delegation =
            Delegation { public_key: pubkey.into_vec(), expiration, targets: targets.transpose()?, permissions };
        Ok(Self { delegation, signature: raw.signature.into_vec() })
    }
}

impl Delegation {
    /// Returns the hash that the signature of the delegation is made over.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut fields: Fields<'_> =
            vec![("pubkey", Value::Bytes(&self.public_key)), ("expiration", Value::Nat(self.expiration))];
        if let Some(targets) = &self.targets {
            let targets = targets.iter().map(|target| Value::Bytes(target.as_slice())).collect();
            fields.push(("targets", Value::Array(targets)));
        }
        if let Some(permissions) = self.permissions {
            let name = match permissions {
                Permissions::Queries => "queries",
                Permissions::All => "all",
            };
            fields.push(("permissions", Value::Text(name)));
        }
        hash_of_map(&fields)
    }
}

fn principal(bytes: &[u8], field: &'static str) -> Result<Principal, EnvelopeError> {
    Principal::try_from_slice(bytes).map_err(|_| EnvelopeError::NoPrincipal { field, length: bytes.len() })
}

#[cfg(test)]
mod tests;
