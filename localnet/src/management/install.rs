//! Installing code: everything is built beside the running code and takes its place only when all of it worked.

use std::sync::Arc;

use candid::Principal;
use ic_management_canister_types as wire;

use super::{
    Context,
    arguments::InstallCodeArgs,
    authorization::{canister, canister_mut, controlled},
    chunks::assemble,
    memory::{Bill, SubnetUse},
    refusal::Refusal,
};
use crate::{
    canister::{Canister, Change, ChangeDetails, ChangeOrigin, DeploymentMode},
    execution::{CompiledModule, Entry, Environment, Keep, Memories, Sandbox, compile},
    limits::instructions::COMPILE_BASE,
    message::Cycles,
    network::{Subnet, environment, prepay, settle},
};

/// Section that modules have which keep their heap through upgrades.
const PERSISTENCE_SECTION: &str = "enhanced-orthogonal-persistence";
/// Bytes of the pages that executions count as dirty.
const PAGE_BYTES: u64 = 4096;

/// What is to be installed, from whom.
struct Installation<'a> {
    mode: Mode,
    module: &'a [u8],
    argument: Vec<u8>,
    caller: Principal,
    origin: ChangeOrigin,
    /// Instructions that getting the module cost.
    assembly_instructions: u64,
}

/// What becomes of the code and memories that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// There must be none.
    Install,
    /// They go.
    Reinstall,
    /// Stable memory stays, and the heap when it is told to.
    Upgrade { skip_pre_upgrade: bool, persistence: Option<wire::WasmMemoryPersistence> },
}

impl From<wire::CanisterInstallMode> for Mode {
    fn from(mode: wire::CanisterInstallMode) -> Self {
        match mode {
            wire::CanisterInstallMode::Install => Self::Install,
            wire::CanisterInstallMode::Reinstall => Self::Reinstall,
            wire::CanisterInstallMode::Upgrade(flags) => {
                let flags = flags.unwrap_or_default();
                Self::Upgrade {
                    skip_pre_upgrade: flags.skip_pre_upgrade.unwrap_or(false),
                    persistence: flags.wasm_memory_persistence,
                }
            }
        }
    }
}

impl Mode {
    /// Returns what the history says of it.
    fn deployment(self) -> DeploymentMode {
        match self {
            Self::Install => DeploymentMode::Install,
            Self::Reinstall => DeploymentMode::Reinstall,
            Self::Upgrade { .. } => DeploymentMode::Upgrade,
        }
    }
}

/// Installs a module that came with the call.
pub(super) fn install_code(
    subnet: &mut Subnet,
    context: &Context,
    caller: Principal,
    origin: ChangeOrigin,
    args: InstallCodeArgs,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    let installation = Installation {
        mode: args.mode.into(),
        module: &args.wasm_module,
        argument: args.arg,
        caller,
        origin,
        assembly_instructions: 0,
    };
    install(subnet, context, args.canister_id, installation, bill)
}

/// Installs a module whose chunks are in a chunk store on the same subnet.
pub(super) fn install_chunked_code(
    subnet: &mut Subnet,
    context: &Context,
    caller: Principal,
    origin: ChangeOrigin,
    args: wire::InstallChunkedCodeArgs,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    canister(subnet, &args.target_canister)?;
    let assembly = assemble(subnet, &caller, &args)?;
    let installation = Installation {
        mode: args.mode.into(),
        module: &assembly.module,
        argument: args.arg,
        caller,
        origin,
        assembly_instructions: assembly.instructions,
    };
    install(subnet, context, args.target_canister, installation, bill)
}

/// Tests, prepays, builds and swaps. The target pays the instructions used even when building fails.
fn install(
    subnet: &mut Subnet,
    context: &Context,
    target: Principal,
    installation: Installation<'_>,
    bill: &mut Bill,
) -> Result<(), Refusal> {
    let limit = subnet.instruction_limits.install;
    let slice = subnet.instruction_limits.install_slice;
    let rate_limits_disabled = subnet.rate_limits_disabled;
    let subnet_use = SubnetUse::of(subnet);
    let cost_model = subnet_use.cost_model;
    let paying = controlled(subnet, &target, &installation.caller)?;
    check_mode(paying, installation.mode)?;
    if !rate_limits_disabled && paying.install_debt > 0 {
        return Err(Refusal::InstallRateLimited { canister: target });
    }
    // What is not installed yet cannot tell whether it is 64-bit; what is there can.
    let wasm64 = paying.module().is_some_and(|module| module.is_wasm64());
    let prepaid = prepay(paying, &cost_model, limit, wasm64)
        .map_err(|error| Refusal::InstallUnpayable { reason: error.description })?;

    // The environment is built while the code is in place, since its memory bears on the freezing threshold.
    let running = canister(subnet, &target)?;
    let mut environment = environment(subnet, running, context, installation.caller, Vec::new(), limit);
    environment.prepaid = prepaid;
    let memory_before = running.memory_usage();
    let canister = canister_mut(subnet, &target)?;
    let mut old = canister.sandbox.take();
    let mut build = Build::new(environment, canister.other_memory(), slice);
    let built = build.run(old.as_mut(), &installation);

    bill.instructions += build.used;
    bill.further_rounds += build.further_rounds;
    bill.cycles += settle(canister, &cost_model, prepaid, build.used, wasm64);
    if !rate_limits_disabled {
        canister.install_debt += build.used;
    }
    let outcome = built.and_then(|sandbox| {
        let memory_after =
            canister.memory_usage() + sandbox.module().memory_bytes() + sandbox.heap_bytes() + sandbox.stable().bytes();
        let reservation = subnet_use.check_growth(canister, memory_before, memory_after)?;
        canister.reserve(reservation);
        Ok(sandbox)
    });
    let outcome = match outcome {
        Ok(sandbox) => {
            bill.cycles += build.cycles_burned;
            swap(canister, sandbox, &mut build, &installation, context.now);
            Ok(())
        }
        Err(refusal) => {
            if let Some(old) = &mut old {
                old.rollback();
            }
            canister.sandbox = old;
            Err(refusal)
        }
    };
    canister.print(context.now, build.printed);
    outcome
}

/// Tests that the mode fits what is installed.
fn check_mode(canister: &Canister, mode: Mode) -> Result<(), Refusal> {
    match (mode, canister.sandbox.is_some()) {
        (Mode::Install, true) => Err(Refusal::NotEmpty { canister: canister.id }),
        (Mode::Upgrade { .. }, false) => Err(Refusal::NothingToUpgrade { canister: canister.id }),
        _ => Ok(()),
    }
}

/// Puts the new code in place. Nothing can fail any more.
fn swap(canister: &mut Canister, sandbox: Sandbox, build: &mut Build, installation: &Installation<'_>, now: u64) {
    let hash = sandbox.module().hash();
    canister.sandbox = Some(sandbox);
    canister.balance = canister.balance.saturating_sub(build.cycles_burned);
    canister.version += 1;
    canister.global_timer = build.global_timer;
    canister.low_memory_hook_due = false;
    canister.heap_delta_debt += build.dirty_pages * PAGE_BYTES;
    if !matches!(installation.mode, Mode::Upgrade { .. }) {
        canister.certified_data.clear();
        canister.logs.clear();
    }
    if let Some(certified_data) = build.certified_data.take() {
        canister.certified_data = certified_data;
    }
    canister.history.record(Change {
        time: now,
        version: canister.version,
        origin: installation.origin.clone(),
        details: ChangeDetails::CodeDeployment(installation.mode.deployment(), hash),
    });
}

/// The building of new code beside the old: what it may use, and what it used and did so far.
struct Build {
    /// What the code sees, before any of it ran.
    environment: Environment,
    /// Memory of the canister that is not code, heap or stable memory.
    other_memory: u64,
    limit: u64,
    /// Instructions of one execution that fit into a round.
    slice: u64,
    /// Rounds that the executions take besides the first.
    further_rounds: u64,
    used: u64,
    printed: Vec<String>,
    certified_data: Option<Vec<u8>>,
    global_timer: u64,
    cycles_burned: Cycles,
    dirty_pages: u64,
}

impl Build {
    fn new(environment: Environment, other_memory: u64, slice: u64) -> Self {
        Self {
            limit: environment.instruction_limit,
            slice,
            further_rounds: 0,
            environment,
            other_memory,
            used: 0,
            printed: Vec::new(),
            certified_data: None,
            global_timer: 0,
            cycles_burned: 0,
            dirty_pages: 0,
        }
    }

    /// Makes the new sandbox and runs the entry points that belong to the mode. What `canister_pre_upgrade` changes
    /// in the old one is held: the caller undoes or drops it.
    fn run(&mut self, mut old: Option<&mut Sandbox>, installation: &Installation<'_>) -> Result<Sandbox, Refusal> {
        self.spend(installation.assembly_instructions)?;
        let module = match compile(installation.module) {
            Ok(module) => module,
            Err(error) => {
                self.spend(COMPILE_BASE)?;
                return Err(error.into());
            }
        };
        self.spend(module.compile_instructions())?;

        let (memories, entry) = match (installation.mode, &mut old) {
            (Mode::Upgrade { skip_pre_upgrade, persistence }, Some(old)) => {
                let keep_heap = check_persistence(persistence, old.module(), &module)?;
                if !skip_pre_upgrade && old.module().has_entry(&Entry::PreUpgrade) {
                    self.execute(old, Entry::PreUpgrade, Vec::new(), Keep::Hold)?;
                }
                let memories =
                    if keep_heap { old.memories().without_globals() } else { Memories::fresh(old.stable().clone()) };
                (memories, Entry::PostUpgrade)
            }
            _ => (Memories::default(), Entry::Init),
        };
        self.environment.holdings.memory_usage = self.other_memory + module.memory_bytes();
        self.environment.canister_version += 1;
        self.environment.global_timer = 0;
        self.global_timer = 0;
        let mut sandbox = Sandbox::new(Arc::clone(&module), memories)?;
        if module.has_entry(&Entry::Start) {
            self.execute(&mut sandbox, Entry::Start, Vec::new(), Keep::Commit)?;
        }
        if module.has_entry(&entry) {
            self.execute(&mut sandbox, entry, installation.argument.clone(), Keep::Commit)?;
        }
        Ok(sandbox)
    }

    /// Notes instructions as used.
    fn spend(&mut self, instructions: u64) -> Result<(), Refusal> {
        let used = self.used.saturating_add(instructions);
        self.used = used.min(self.limit);
        if used > self.limit {
            return Err(Refusal::InstallInstructionsExceeded {
                canister: self.environment.canister_id,
                limit: self.limit,
            });
        }
        Ok(())
    }

    fn execute(&mut self, sandbox: &mut Sandbox, entry: Entry, argument: Vec<u8>, keep: Keep) -> Result<(), Refusal> {
        let mut environment = self.environment.clone();
        environment.argument = argument;
        environment.instruction_limit = self.limit - self.used;
        environment.balance = environment.balance.saturating_sub(self.cycles_burned);
        let outcome = sandbox.execute(&entry, environment, keep);
        self.printed.extend(outcome.logs);
        self.further_rounds += outcome.instructions.saturating_sub(1) / self.slice;
        self.spend(outcome.instructions)?;
        let effects = outcome.result?;
        self.dirty_pages += outcome.dirty_pages;
        self.cycles_burned += effects.cycles_burned;
        self.global_timer = effects.global_timer.unwrap_or(self.global_timer);
        if effects.certified_data.is_some() {
            self.certified_data = effects.certified_data;
        }
        Ok(())
    }
}

/// Decides whether the heap stays through the upgrade.
fn check_persistence(
    persistence: Option<wire::WasmMemoryPersistence>,
    old: &CompiledModule,
    new: &CompiledModule,
) -> Result<bool, Refusal> {
    match persistence {
        Some(wire::WasmMemoryPersistence::Keep) if !keeps_heap(new) => Err(Refusal::PersistenceUnsupported),
        Some(wire::WasmMemoryPersistence::Keep) => Ok(true),
        Some(wire::WasmMemoryPersistence::Replace) => Ok(false),
        None if keeps_heap(old) => Err(Refusal::PersistenceMissing),
        None => Ok(false),
    }
}

fn keeps_heap(module: &CompiledModule) -> bool {
    module.custom_sections().iter().any(|section| section.name == PERSISTENCE_SECTION)
}

#[cfg(test)]
mod tests;
