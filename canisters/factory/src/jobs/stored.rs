//! The record of a deployment.

use candid::{Nat, Principal};
use depot_types::{
    Hash,
    catalog::{CallFailure, CatalogSource},
    factory::{Deployment, DeploymentStatus, FailureReason, ModuleSource, Step},
};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use crate::{cbor, limits::MAX_REASON_BYTES, runtime::NewCanister};

/// A SHA-256 hash in a record.
pub(crate) type StoredHash = ByteArray<32>;

/// Begins what the digest of a request is made of.
const REQUEST_DOMAIN: &[u8] = b"wasm-depot/deploy-request/1\0";

/// What was asked for. Fields that come later are left out of the encoding while they have their default, so that the
/// digest of an old request stays what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRequest {
    pub(crate) source: StoredSource,
    pub(crate) init_arg_hash: StoredHash,
    /// As given: the owner alone when absent.
    pub(crate) controllers: Option<Vec<Principal>>,
    pub(crate) settings: StoredSettings,
    pub(crate) environment_variables: Vec<(String, String)>,
    pub(crate) cycles: u128,
}

impl StoredRequest {
    /// Returns a digest that tells requests apart.
    pub(crate) fn digest(&self) -> StoredHash {
        let mut bytes = REQUEST_DOMAIN.to_vec();
        bytes.extend(cbor::encode(self));
        ByteArray::new(*Hash::of(&bytes).as_bytes())
    }

    /// Returns what the canister is created with.
    pub(crate) fn new_canister(&self) -> NewCanister {
        NewCanister {
            compute_allocation: self.settings.compute_allocation,
            memory_allocation: self.settings.memory_allocation,
            freezing_threshold: self.settings.freezing_threshold,
            reserved_cycles_limit: self.settings.reserved_cycles_limit,
            wasm_memory_limit: self.settings.wasm_memory_limit,
            environment_variables: self.environment_variables.clone(),
        }
    }
}

/// Where the module comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredSource {
    Release { package: String, requirement: String },
    Path { branch: Option<String>, path: String },
    Module { module_hash: StoredHash },
}

impl From<ModuleSource> for StoredSource {
    fn from(source: ModuleSource) -> Self {
        match source {
            ModuleSource::Catalog(CatalogSource::Release { package, requirement }) => {
                Self::Release { package, requirement }
            }
            ModuleSource::Catalog(CatalogSource::Path { branch, path }) => Self::Path { branch, path },
            ModuleSource::Module { module_hash } => Self::Module { module_hash: to_stored(module_hash) },
        }
    }
}

impl From<StoredSource> for ModuleSource {
    fn from(source: StoredSource) -> Self {
        match source {
            StoredSource::Release { package, requirement } => {
                Self::Catalog(CatalogSource::Release { package, requirement })
            }
            StoredSource::Path { branch, path } => Self::Catalog(CatalogSource::Path { branch, path }),
            StoredSource::Module { module_hash } => Self::Module { module_hash: from_stored(module_hash) },
        }
    }
}

/// Settings of the canister, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSettings {
    pub(crate) compute_allocation: Option<u128>,
    pub(crate) memory_allocation: Option<u128>,
    pub(crate) freezing_threshold: Option<u128>,
    pub(crate) reserved_cycles_limit: Option<u128>,
    pub(crate) wasm_memory_limit: Option<u128>,
}

/// A step of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum StoredStep {
    Resolve,
    Inspect,
    Stage,
    Create,
    Install,
    Verify,
    HandOver,
}

impl From<StoredStep> for Step {
    fn from(step: StoredStep) -> Self {
        match step {
            StoredStep::Resolve => Self::Resolve,
            StoredStep::Inspect => Self::Inspect,
            StoredStep::Stage => Self::Stage,
            StoredStep::Create => Self::Create,
            StoredStep::Install => Self::Install,
            StoredStep::Verify => Self::Verify,
            StoredStep::HandOver => Self::HandOver,
        }
    }
}

/// How a deployment ended, at the step it was at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredOutcome {
    Succeeded,
    /// The reason is kept as Candid: it is only ever shown, and Candid's rules for changing a type hold for it anyway.
    Failed {
        reason: ByteBuf,
    },
}

impl StoredOutcome {
    /// Returns the outcome of a failure, with a reason of bounded length.
    pub(crate) fn failed(reason: FailureReason) -> Self {
        Self::Failed { reason: ByteBuf::from(encode_bounded(reason)) }
    }
}

/// Encodes a reason in at most [`MAX_REASON_BYTES`]: of the obstacles of a module those that fit.
fn encode_bounded(mut reason: FailureReason) -> Vec<u8> {
    loop {
        let bytes = encode(&reason);
        if bytes.len() <= MAX_REASON_BYTES {
            return bytes;
        }
        match &mut reason {
            FailureReason::NotDeployable { obstacles } if !obstacles.is_empty() => {
                obstacles.truncate(obstacles.len() / 2);
            }
            _ => {
                reason = FailureReason::CallFailed(CallFailure {
                    method: String::new(),
                    reject_code: 0,
                    message: "the reason is too long to be kept".to_string(),
                });
            }
        }
    }
}

fn encode(reason: &FailureReason) -> Vec<u8> {
    match candid::encode_one(reason) {
        Ok(bytes) => bytes,
        Err(error) => panic!("BUG: a failure cannot be encoded: {error}"),
    }
}

fn decode(reason: &[u8]) -> FailureReason {
    match candid::decode_one(reason) {
        Ok(reason) => reason,
        Err(error) => panic!("BUG: a stored failure cannot be read: {error}"),
    }
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredJob {
    pub(crate) id: u64,
    pub(crate) owner: Principal,
    pub(crate) idempotency_key: String,
    pub(crate) request: StoredRequest,
    pub(crate) request_digest: StoredHash,
    pub(crate) step: StoredStep,
    /// True from before a call of the step until its outcome is stored. A deployment that has this without a driver
    /// lost the answer.
    pub(crate) in_flight: bool,
    /// Absent while the deployment is open.
    pub(crate) outcome: Option<StoredOutcome>,
    pub(crate) module_hash: Option<StoredHash>,
    pub(crate) version: Option<String>,
    pub(crate) chunk_hashes: Vec<StoredHash>,
    pub(crate) chunks_staged: u32,
    pub(crate) canister_id: Option<Principal>,
    pub(crate) cycles_spent: u128,
    /// Tries of the step without progress.
    pub(crate) attempts: u32,
    /// How often chunks were found missing at the installation.
    pub(crate) restages: u32,
    /// Before this time the step is not tried again.
    pub(crate) not_before_ns: u64,
    pub(crate) created_at_ns: u64,
    pub(crate) updated_at_ns: u64,
}

impl StoredJob {
    /// Makes the record of a deployment that begins now.
    pub(crate) fn new(id: u64, owner: Principal, idempotency_key: String, request: StoredRequest, now_ns: u64) -> Self {
        Self {
            id,
            owner,
            idempotency_key,
            request_digest: request.digest(),
            request,
            step: StoredStep::Resolve,
            in_flight: false,
            outcome: None,
            module_hash: None,
            version: None,
            chunk_hashes: Vec::new(),
            chunks_staged: 0,
            canister_id: None,
            cycles_spent: 0,
            attempts: 0,
            restages: 0,
            not_before_ns: 0,
            created_at_ns: now_ns,
            updated_at_ns: now_ns,
        }
    }

    /// Returns who controls the canister in the end.
    pub(crate) fn controllers(&self) -> Vec<Principal> {
        self.request.controllers.clone().unwrap_or_else(|| vec![self.owner])
    }

    /// Returns the hash of the module, once resolved.
    pub(crate) fn module_hash(&self) -> Option<Hash> {
        self.module_hash.map(from_stored)
    }

    /// Returns the hashes of the chunks of the module, once inspected.
    pub(crate) fn chunk_hashes(&self) -> Vec<Hash> {
        self.chunk_hashes.iter().copied().map(from_stored).collect()
    }

    /// Returns the cycles that are still to leave the factory for the canister. From when the call that creates it is
    /// made, they are no longer in the factory's balance.
    pub(crate) fn cycles_to_send(&self) -> u128 {
        let sent = self.canister_id.is_some() || (self.step == StoredStep::Create && self.in_flight);
        if self.outcome.is_some() || sent { 0 } else { self.request.cycles }
    }

    /// Describes the deployment on the wire.
    pub(crate) fn to_wire(&self) -> Deployment {
        let step = self.step.into();
        Deployment {
            id: self.id,
            idempotency_key: self.idempotency_key.clone(),
            owner: self.owner,
            source: self.request.source.clone().into(),
            status: match &self.outcome {
                None => DeploymentStatus::InProgress { step },
                Some(StoredOutcome::Succeeded) => DeploymentStatus::Succeeded,
                Some(StoredOutcome::Failed { reason }) => DeploymentStatus::Failed { step, reason: decode(reason) },
            },
            canister_id: self.canister_id,
            module_hash: self.module_hash(),
            version: self.version.clone(),
            controllers: self.controllers(),
            cycles_spent: Nat::from(self.cycles_spent),
            chunks_staged: self.chunks_staged,
            created_at_ns: self.created_at_ns,
            updated_at_ns: self.updated_at_ns,
        }
    }
}

/// Returns a hash as it is stored.
pub(crate) fn to_stored(hash: Hash) -> StoredHash {
    ByteArray::new(*hash.as_bytes())
}

/// Returns a hash that was stored.
pub(crate) fn from_stored(hash: StoredHash) -> Hash {
    Hash::new(hash.into_array())
}

#[cfg(test)]
mod tests {
    use depot_types::blob_store::Obstacle;

    use super::*;

    fn request() -> StoredRequest {
        StoredRequest {
            source: StoredSource::Module { module_hash: ByteArray::new([7; 32]) },
            init_arg_hash: ByteArray::new([8; 32]),
            controllers: None,
            settings: StoredSettings::default(),
            environment_variables: vec![],
            cycles: 5,
        }
    }

    #[test]
    fn should_keep_the_digest_of_a_request() {
        // Stored digests are compared with those of later requests: a change of this value breaks idempotency keys.
        assert_eq!(
            from_stored(request().digest()).to_string(),
            "bbbd5eb924eae5c14b84984b546303ae0da204b127132b253fdf5fe67b7303c1"
        );
    }

    #[test]
    fn should_tell_requests_apart_in_every_field() {
        let changes: [fn(&mut StoredRequest); 6] = [
            |request| request.source = StoredSource::Module { module_hash: ByteArray::new([9; 32]) },
            |request| request.init_arg_hash = ByteArray::new([9; 32]),
            |request| request.controllers = Some(vec![]),
            |request| request.settings.freezing_threshold = Some(1),
            |request| request.environment_variables = vec![("a".to_string(), String::new())],
            |request| request.cycles = 6,
        ];
        for change in changes {
            let mut other = request();
            change(&mut other);
            assert_ne!(other.digest(), request().digest());
        }
    }

    #[test]
    fn should_keep_what_fits_of_a_long_reason() {
        let obstacle = Obstacle::Export { name: "x".repeat(1_000) };
        let reason = FailureReason::NotDeployable { obstacles: vec![obstacle.clone(); 40] };
        let bytes = encode_bounded(reason);
        assert!(bytes.len() <= MAX_REASON_BYTES);
        assert_eq!(decode(&bytes), FailureReason::NotDeployable { obstacles: vec![obstacle; 2] });

        let failure = CallFailure { method: "x".repeat(MAX_REASON_BYTES), reject_code: 1, message: String::new() };
        assert!(encode_bounded(FailureReason::CallFailed(failure)).len() <= MAX_REASON_BYTES);
    }
}
