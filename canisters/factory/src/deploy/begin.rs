//! Begins a deployment: checks what is asked for, and records it.

use std::collections::BTreeSet;

use candid::{Nat, Principal};
use depot_types::{
    Hash,
    catalog::CatalogSource,
    factory::{DeployArgs, DeployError, EnvironmentVariable, InstanceSettings, ModuleSource},
    limits::{
        CHUNK_BYTES, MAX_BRANCH_NAME_BYTES, MAX_CONTROLLERS, MAX_ENVIRONMENT_VARIABLE_NAME_BYTES,
        MAX_ENVIRONMENT_VARIABLE_VALUE_BYTES, MAX_ENVIRONMENT_VARIABLES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_INIT_ARG_BYTES,
        MAX_PACKAGE_NAME_BYTES, MAX_PATH_BYTES, MAX_REQUIREMENT_BYTES,
    },
};
use ic_stable_structures::Memory;

use crate::{
    Factory,
    jobs::{StoredJob, StoredRequest, StoredSettings, to_stored},
    limits::{BALANCE_FLOOR_CYCLES, INSTALL_PREPAYMENT_CYCLES, MAX_OPEN_DEPLOYMENTS, WORKING_MARGIN_CYCLES},
    runtime::{ManagementMethod, Runtime},
};

/// Compute allocation at the most, in percent.
const MAX_COMPUTE_ALLOCATION: u128 = 100;
/// Memory allocation and heap limit at the most, in bytes.
const MAX_MEMORY_BYTES: u128 = 1 << 48;
/// Freezing threshold at the most, in seconds.
const MAX_FREEZING_THRESHOLD: u128 = u64::MAX as u128;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A new deployment, to be driven.
    New(u64),
    /// The deployment that the key stands for already.
    Existing(u64),
}

impl<R: Runtime, M: Memory> Factory<R, M> {
    /// Records a deployment, or finds the one that the same request began before.
    ///
    /// # Errors
    ///
    /// See [`DeployError`]. Nothing is changed then.
    pub fn begin(&self, caller: Principal, args: DeployArgs) -> Result<Begun, DeployError> {
        if caller == Principal::anonymous() {
            return Err(DeployError::AnonymousCaller);
        }
        if !self.may_deploy(&caller) {
            return Err(DeployError::NotAllowed { caller });
        }
        let key = args.idempotency_key;
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            return Err(DeployError::InvalidIdempotencyKey {
                bytes: count(key.len()),
                max: MAX_IDEMPOTENCY_KEY_BYTES as u32,
            });
        }
        check_source(&args.source)?;
        if args.init_arg.len() > MAX_INIT_ARG_BYTES {
            return Err(DeployError::InitArgTooLarge {
                bytes: args.init_arg.len() as u64,
                max: MAX_INIT_ARG_BYTES as u64,
            });
        }
        check_controllers(args.controllers.as_deref())?;
        check_environment_variables(&args.environment_variables)?;
        let request = StoredRequest {
            source: args.source.into(),
            init_arg_hash: to_stored(Hash::of(&args.init_arg)),
            controllers: args.controllers,
            settings: checked_settings(args.settings.unwrap_or_default())?,
            environment_variables: args.environment_variables.into_iter().map(|one| (one.name, one.value)).collect(),
            // More than 2^128 - 1 cycles do not exist; the balance does not cover that either.
            cycles: u128::try_from(&args.cycles.0).unwrap_or(u128::MAX),
        };
        if let Some(id) = self.read(|state| state.jobs.by_key(&caller, &key)) {
            let is_same = self.job(id).is_some_and(|job| job.request_digest == request.digest());
            return if is_same { Ok(Begun::Existing(id)) } else { Err(DeployError::KeyReused { deployment_id: id }) };
        }
        self.check_cycles(request.cycles)?;
        let in_progress = self.read(|state| state.jobs.open_count());
        if in_progress >= MAX_OPEN_DEPLOYMENTS {
            return Err(DeployError::Busy { in_progress: in_progress as u32, max: MAX_OPEN_DEPLOYMENTS as u32 });
        }
        let now_ns = self.runtime.now_ns();
        self.mutate(|state| {
            let id = state.jobs.count();
            state.jobs.add(StoredJob::new(id, caller, key, request, now_ns), args.init_arg.into_vec());
            Ok(Begun::New(id))
        })
    }

    /// Checks that so many cycles suffice for a canister, and that the factory can spare them.
    fn check_cycles(&self, cycles: u128) -> Result<(), DeployError> {
        let minimum =
            self.runtime.creation_fee().saturating_add(INSTALL_PREPAYMENT_CYCLES).saturating_add(WORKING_MARGIN_CYCLES);
        if cycles < minimum {
            return Err(DeployError::TooFewCycles { given: Nat::from(cycles), minimum: Nat::from(minimum) });
        }
        // The dearest call of a deployment; the others are made one after the other.
        let call = self.runtime.call_cost(ManagementMethod::UploadChunk.name(), CHUNK_BYTES);
        let required = cycles.saturating_add(call).saturating_add(BALANCE_FLOOR_CYCLES);
        let reserved = self.read(|state| state.jobs.reserved_cycles(None));
        let available = self.runtime.liquid_cycles().saturating_sub(reserved);
        if available < required {
            return Err(DeployError::InsufficientCycles {
                required: Nat::from(required),
                available: Nat::from(available),
            });
        }
        Ok(())
    }
}

fn check_source(source: &ModuleSource) -> Result<(), DeployError> {
    let check = |field: &str, text: &str, max: usize| {
        if text.len() <= max {
            return Ok(());
        }
        Err(DeployError::SourceTooLong { field: field.to_string(), bytes: count(text.len()), max: max as u32 })
    };
    match source {
        ModuleSource::Catalog(CatalogSource::Release { package, requirement }) => {
            check("package", package, MAX_PACKAGE_NAME_BYTES)?;
            check("requirement", requirement, MAX_REQUIREMENT_BYTES)
        }
        ModuleSource::Catalog(CatalogSource::Path { branch, path }) => {
            check("branch", branch.as_deref().unwrap_or_default(), MAX_BRANCH_NAME_BYTES)?;
            check("path", path, MAX_PATH_BYTES)
        }
        ModuleSource::Module { module_hash: _ } => Ok(()),
    }
}

fn check_controllers(controllers: Option<&[Principal]>) -> Result<(), DeployError> {
    let Some(controllers) = controllers else { return Ok(()) };
    let distinct: BTreeSet<&Principal> = controllers.iter().collect();
    if controllers.is_empty() || controllers.len() > MAX_CONTROLLERS || distinct.len() < controllers.len() {
        return Err(DeployError::InvalidControllers { count: count(controllers.len()), max: MAX_CONTROLLERS as u32 });
    }
    Ok(())
}

fn check_environment_variables(variables: &[EnvironmentVariable]) -> Result<(), DeployError> {
    if variables.len() > MAX_ENVIRONMENT_VARIABLES {
        return Err(DeployError::InvalidEnvironmentVariables { name: String::new() });
    }
    let mut names = BTreeSet::new();
    for EnvironmentVariable { name, value } in variables {
        let is_valid = (1..=MAX_ENVIRONMENT_VARIABLE_NAME_BYTES).contains(&name.len())
            && value.len() <= MAX_ENVIRONMENT_VARIABLE_VALUE_BYTES
            && names.insert(name);
        if !is_valid {
            // What is said about a name that is too long must not be too long itself.
            let name = name.chars().take(MAX_ENVIRONMENT_VARIABLE_NAME_BYTES).collect();
            return Err(DeployError::InvalidEnvironmentVariables { name });
        }
    }
    Ok(())
}

fn checked_settings(settings: InstanceSettings) -> Result<StoredSettings, DeployError> {
    let check = |name: &str, value: Option<Nat>, max: u128| {
        let Some(value) = value else { return Ok(None) };
        match u128::try_from(&value.0) {
            Ok(value) if value <= max => Ok(Some(value)),
            _ => Err(DeployError::InvalidSetting { name: name.to_string() }),
        }
    };
    Ok(StoredSettings {
        compute_allocation: check("compute_allocation", settings.compute_allocation, MAX_COMPUTE_ALLOCATION)?,
        memory_allocation: check("memory_allocation", settings.memory_allocation, MAX_MEMORY_BYTES)?,
        freezing_threshold: check("freezing_threshold", settings.freezing_threshold, MAX_FREEZING_THRESHOLD)?,
        reserved_cycles_limit: check("reserved_cycles_limit", settings.reserved_cycles_limit, u128::MAX)?,
        wasm_memory_limit: check("wasm_memory_limit", settings.wasm_memory_limit, MAX_MEMORY_BYTES - 1)?,
    })
}

/// Returns a length for an error, which says no more than "too many" beyond 2^32.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
