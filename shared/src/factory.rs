//! Wire types of the factory.

use candid::{CandidType, Nat, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{
    Hash,
    blob_store::Obstacle,
    catalog::{CallFailure, CatalogSource, ResolveError},
    usage::MethodUsage,
};

/// Arguments of the installation and upgrade of the factory.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct FactoryArgs {
    /// The blob store that modules are fetched from. Required at installation; kept when absent at an upgrade.
    pub blob_store: Option<Principal>,
    /// The catalog that names modules. Required at installation; kept when absent at an upgrade.
    pub catalog: Option<Principal>,
    /// Principals that may deploy from the factory's cycles, besides the canister's controllers, from the start.
    pub deployers: Vec<Principal>,
}

/// Where the module of a deployment comes from.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum ModuleSource {
    /// The catalog names it; resolved once, when the deployment starts.
    Catalog(CatalogSource),
    /// A module of the blob store, by hash.
    Module {
        /// The module.
        module_hash: Hash,
    },
}

/// Asks for a new canister that runs a module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct DeployArgs {
    /// Chosen by the caller: the same key with the same arguments is the same deployment and the same canister.
    pub idempotency_key: String,
    /// What to run.
    pub source: ModuleSource,
    /// Candid-encoded argument of the module's init function.
    pub init_arg: ByteBuf,
    /// Who shall control the canister in the end; the caller alone when absent. The factory is among them only when
    /// it is listed.
    pub controllers: Option<Vec<Principal>>,
    /// Settings of the canister.
    pub settings: Option<InstanceSettings>,
    /// Environment variables of the canister.
    pub environment_variables: Vec<EnvironmentVariable>,
    /// Cycles to create the canister with: its balance is what is left after the creation fee and the installation.
    pub cycles: Nat,
}

/// Settings of a canister that are not its controllers; absent ones get the Internet Computer's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct InstanceSettings {
    /// Compute allocation in percent.
    pub compute_allocation: Option<Nat>,
    /// Memory allocation in bytes.
    pub memory_allocation: Option<Nat>,
    /// Freezing threshold in seconds.
    pub freezing_threshold: Option<Nat>,
    /// Most cycles reserved for storage.
    pub reserved_cycles_limit: Option<Nat>,
    /// Heap limit in bytes.
    pub wasm_memory_limit: Option<Nat>,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct EnvironmentVariable {
    /// The name, 1 to 100 bytes.
    pub name: String,
    /// The value, at most 128 bytes.
    pub value: String,
}

/// A step of a deployment, in the order they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, CandidType, Deserialize)]
pub enum Step {
    /// Asks the catalog what the source means.
    Resolve,
    /// Asks the blob store for the module's chunks and whether it can be deployed.
    Inspect,
    /// Copies chunks into the factory's own chunk store, where they are not there yet.
    Stage,
    /// Creates the canister.
    Create,
    /// Installs the module.
    Install,
    /// Compares the hash of the module that runs with the one wanted.
    Verify,
    /// Hands the canister to its controllers.
    HandOver,
}

/// Where a deployment stands.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum DeploymentStatus {
    /// It is at this step.
    InProgress {
        /// The step.
        step: Step,
    },
    /// The canister runs the module and is in the hands of its controllers.
    Succeeded,
    /// It ended at this step. If there is a canister, the factory controls it.
    Failed {
        /// The step.
        step: Step,
        /// Why.
        reason: FailureReason,
    },
}

/// Why a deployment failed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum FailureReason {
    /// The catalog does not know the source.
    Unresolved(ResolveError),
    /// The blob store has no sealed module of this hash.
    UnknownModule {
        /// The hash.
        module_hash: Hash,
    },
    /// The Internet Computer would not install the module.
    NotDeployable {
        /// Why not.
        obstacles: Vec<Obstacle>,
    },
    /// The blob store gave bytes that do not have the hash asked for.
    WrongChunk {
        /// The hash asked for.
        expected: Hash,
        /// The hash of the bytes received.
        received: Hash,
    },
    /// The factory's chunk store is full of chunks that other deployments need.
    ChunkStoreFull {
        /// Chunks that this deployment needs and that no other deployment needs.
        needed: u32,
        /// Chunks that could be made room for.
        available: u32,
    },
    /// The factory has too few cycles for the step.
    InsufficientCycles {
        /// Cycles needed.
        required: Nat,
        /// Cycles free.
        available: Nat,
    },
    /// The owner lost the right to deploy before the canister was created.
    NotAllowed {
        /// The owner.
        owner: Principal,
    },
    /// A call failed for good; a module that traps in its init function is among these.
    CallFailed(CallFailure),
    /// It is not known whether the creation took place: its answer was lost.
    CreationUnknown,
    /// The canister runs another module than the one installed.
    WrongModule {
        /// The hash wanted.
        expected: Hash,
        /// The hash that the canister reports.
        received: Option<Hash>,
    },
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Deployment {
    /// Its number.
    pub id: u64,
    /// The key that its owner chose.
    pub idempotency_key: String,
    /// Who asked for it.
    pub owner: Principal,
    /// Where the module comes from.
    pub source: ModuleSource,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// The canister, once created.
    pub canister_id: Option<Principal>,
    /// The module, once resolved.
    pub module_hash: Option<Hash>,
    /// The version that a release requirement resolved to.
    pub version: Option<String>,
    /// Who controls the canister in the end.
    pub controllers: Vec<Principal>,
    /// Cycles that left the factory for the canister, creation fee included.
    pub cycles_spent: Nat,
    /// Chunks that had to be copied into the factory's chunk store for it.
    pub chunks_staged: u32,
    /// When it was asked for.
    pub created_at_ns: u64,
    /// When its status last changed.
    pub updated_at_ns: u64,
}

/// Why a deployment is not begun. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum DeployError {
    /// The anonymous principal may not deploy.
    AnonymousCaller,
    /// The caller is neither a controller nor a deployer.
    NotAllowed {
        /// The caller.
        caller: Principal,
    },
    /// The idempotency key is empty or too long.
    InvalidIdempotencyKey {
        /// Bytes of the key.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// The caller used the key for a deployment with other arguments.
    KeyReused {
        /// That deployment.
        deployment_id: u64,
    },
    /// A text of the source is longer than such a text can be.
    SourceTooLong {
        /// Which text: `package`, `requirement`, `branch` or `path`.
        field: String,
        /// Bytes given.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// The init argument is too long.
    InitArgTooLarge {
        /// Bytes given.
        bytes: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// The list of controllers is empty, too long, or names one twice.
    InvalidControllers {
        /// Controllers given.
        count: u32,
        /// Controllers allowed.
        max: u32,
    },
    /// There are too many environment variables, or one has an invalid name or value, or a name stands twice.
    InvalidEnvironmentVariables {
        /// The name at fault; empty when there are too many.
        name: String,
    },
    /// A setting is outside of what the Internet Computer takes.
    InvalidSetting {
        /// The name of the setting.
        name: String,
    },
    /// The cycles would not suffice to create the canister and install a module.
    TooFewCycles {
        /// Cycles given.
        given: Nat,
        /// Cycles needed at the least.
        minimum: Nat,
    },
    /// The factory has too few cycles.
    InsufficientCycles {
        /// Cycles needed.
        required: Nat,
        /// Cycles free.
        available: Nat,
    },
    /// Too many deployments are in progress; try again later.
    Busy {
        /// Deployments in progress.
        in_progress: u32,
        /// Deployments that may be.
        max: u32,
    },
}

/// Asks for a page of deployments, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct ListDeploymentsArgs {
    /// Only those of this owner.
    pub owner: Option<Principal>,
    /// The deployment before which the page starts: `next` of the page before.
    pub before: Option<u64>,
    /// Most entries of the page: 50 when absent, 200 at the most.
    pub limit: Option<u32>,
}

/// A page of deployments, newest first.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct DeploymentPage {
    /// The deployments.
    pub deployments: Vec<Deployment>,
    /// What to give as `before` for the next page; absent on the last one.
    pub next: Option<u64>,
}

/// What the factory did since it was installed, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub struct FactoryStats {
    /// Deployments ever begun.
    pub deployments: u64,
    /// Deployments in progress.
    pub in_progress: u64,
    /// Chunks in the factory's chunk store, as far as it knows.
    pub staged_chunks: u64,
    /// Successful calls to the management canister, by method.
    pub management_calls: Vec<ManagementCalls>,
    /// What the update methods cost since the last upgrade: `main.rs` counts `performance_counter(1)` at the end of
    /// each update into a [`Meter`](crate::usage::Meter) on the heap.
    pub methods: Vec<MethodUsage>,
}

/// How often a management method was called with success.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct ManagementCalls {
    /// The method.
    pub method: String,
    /// How often.
    pub count: u64,
}

/// Why a change of the list of deployers is refused.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum DeployerError {
    /// Only controllers of the factory change the list.
    NotController {
        /// The caller.
        caller: Principal,
    },
    /// The anonymous principal may never deploy.
    AnonymousDeployer,
    /// The list is full.
    TooManyDeployers {
        /// Entries allowed.
        max: u32,
    },
}
