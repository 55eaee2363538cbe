//! Making a network from a client's configuration: which subnets, which canister ids, which limits and prices.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use candid::Principal;
use pocket_ic::common::rest::{
    CanisterCyclesCostSchedule, CanisterIdRange, ExtendedSubnetConfigSet, IcpConfig, IcpConfigFlag, IcpFeatures,
    IncompleteStateFlag, InitialTime, InstanceConfig, RawCanisterId, SubnetConfig, SubnetInstructionConfig, SubnetKind,
    SubnetSpec, Topology,
};
use sha2::{Digest, Sha256};

use super::{IngressHistory, InstructionLimits, Network, Subnet, routes::Routes};
use crate::{
    certification::{Certification, SubnetKeys},
    cycles::CostModel,
    limits::{CANISTER_IDS_PER_SUBNET, instructions},
};

/// Time of a new network unless asked otherwise, in ns: the genesis of the Internet Computer.
const GENESIS_NS: u64 = 1_620_328_630_000_000_000;
/// Subnets that one network may have.
const MAX_SUBNETS: usize = 64;

impl Network {
    /// Makes a network by the client's configuration. With [`InitialTime::AutoProgress`] it begins at genesis, and
    /// whoever drives it moves the time.
    ///
    /// # Errors
    /// A sentence that names the field which is invalid or asks for what this network cannot do.
    pub(crate) fn new(config: &InstanceConfig) -> Result<Self, String> {
        check_supported(config)?;
        let set = &config.subnet_config_set;
        set.validate()?;
        let specs = subnet_specs(set);
        if specs.len() > MAX_SUBNETS {
            return Err(format!(
                "subnet_config_set asks for {} subnets, at most {MAX_SUBNETS} are possible",
                specs.len()
            ));
        }
        let time = asked_time(config)?.unwrap_or(GENESIS_NS);
        let subnets = specs.into_iter().enumerate().map(|(index, (kind, spec))| {
            let mut subnet = Subnet::new(kind, spec, index as u64);
            subnet.rate_limits_disabled |= rate_limits_disabled(config);
            subnet
        });
        Self::of_subnets(subnets.collect(), time)
    }

    /// Makes a network of subnets, given in the order of their turns, with the time in ns.
    ///
    /// # Errors
    /// When there is no subnet.
    pub(super) fn of_subnets(list: Vec<Subnet>, time: u64) -> Result<Self, String> {
        let order: Vec<_> = list.iter().map(|subnet| subnet.id).collect();
        let subnets: BTreeMap<_, _> = list.into_iter().map(|subnet| (subnet.id, subnet)).collect();
        let root = order
            .iter()
            .copied()
            .find(|id| subnets.get(id).is_some_and(|subnet: &Subnet| subnet.kind == SubnetKind::NNS))
            .or_else(|| order.first().copied());
        let Some(root) = root else {
            return Err("subnet_config_set asks for no subnet".to_owned());
        };
        let root_key = subnets.get(&root).map(|subnet| Arc::clone(&subnet.public_key)).unwrap_or_default();
        let routes = Routes::new(order.iter().filter_map(|id| subnets.get(id)));
        Ok(Self {
            subnets,
            order,
            routes,
            root,
            root_key,
            time,
            last_round: time,
            submitted: 0,
            certification: Certification::default(),
        })
    }

    /// Describes the subnets.
    pub(crate) fn topology(&self) -> Topology {
        let subnet_configs = self
            .subnets
            .values()
            .map(|subnet| {
                // The range that new ids come from is listed last, as the official server does.
                let mut ranges = subnet.ranges.clone();
                ranges.rotate_left(1);
                let config = SubnetConfig {
                    subnet_kind: subnet.kind,
                    subnet_admins: None,
                    cost_schedule: subnet.spec.get_cost_schedule(),
                    subnet_seed: subnet.seed,
                    instruction_config: subnet.spec.get_instruction_config(),
                    canister_ranges: ranges
                        .into_iter()
                        .map(|(start, end)| CanisterIdRange { start: start.into(), end: end.into() })
                        .collect(),
                };
                (subnet.id, config)
            })
            .collect();
        let default_effective_canister_id = RawCanisterId::from(self.default_effective_canister());
        Topology { subnet_configs, default_effective_canister_id }
    }

    /// Returns the first canister id of the subnet where canisters are created when nobody says where.
    pub(super) fn default_effective_canister(&self) -> Principal {
        let first = |kind: SubnetKind| {
            self.order.iter().filter_map(|id| self.subnets.get(id)).find(|subnet| subnet.kind == kind)
        };
        let chosen = first(SubnetKind::Application)
            .or_else(|| first(SubnetKind::CloudEngine))
            .or_else(|| first(SubnetKind::VerifiedApplication))
            .or_else(|| first(SubnetKind::System))
            .or_else(|| self.order.first().and_then(|id| self.subnets.get(id)));
        chosen.and_then(|subnet| subnet.ranges.first()).map_or_else(Principal::management_canister, |(first, _)| *first)
    }
}

impl Subnet {
    /// Makes an empty subnet. Its key and id follow from the index alone, as do its canister ids: the ranges of all
    /// subnets lie below each other at the top of the id space, in the order of their indexes.
    pub(crate) fn new(kind: SubnetKind, spec: SubnetSpec, index: u64) -> Self {
        let seed = derive(b"seed", &index.to_be_bytes());
        let size = subnet_size(kind);
        let public_key = SubnetKeys::of(&seed, size).public_key();
        let mut ranges = vec![allocation_range(index)];
        ranges.extend(mainnet_ranges(kind).iter().map(|(first, last)| (canister_id(*first), canister_id(*last))));
        let system = is_system(kind);
        let free = system || spec.get_cost_schedule() == CanisterCyclesCostSchedule::Free;
        Self {
            id: Principal::self_authenticating(public_key.as_slice()),
            seed,
            public_key,
            kind,
            cost_model: CostModel { subnet_size: size, free },
            instruction_limits: instruction_limits(system, &spec.get_instruction_config()),
            ranges,
            next_canister: 0,
            canisters: BTreeMap::new(),
            management_input: VecDeque::new(),
            incoming: VecDeque::new(),
            postponed_raw_rand: Vec::new(),
            rate_limits_disabled: system,
            randomness: derive(b"randomness", &seed),
            pending_ingress: VecDeque::new(),
            ingress: IngressHistory::default(),
            rounds: 0,
            consumed: 0,
            transactions: 0,
            spec,
        }
    }
}

/// Lists the subnets asked for in the order in which the official server makes them.
pub(crate) fn subnet_specs(set: &ExtendedSubnetConfigSet) -> Vec<(SubnetKind, SubnetSpec)> {
    let named = [
        (SubnetKind::NNS, &set.nns),
        (SubnetKind::SNS, &set.sns),
        (SubnetKind::II, &set.ii),
        (SubnetKind::Fiduciary, &set.fiduciary),
        (SubnetKind::Bitcoin, &set.bitcoin),
        (SubnetKind::TestThresholdKeys, &set.test_threshold_keys),
    ];
    let numbered = [
        (SubnetKind::System, &set.system),
        (SubnetKind::Application, &set.application),
        (SubnetKind::CloudEngine, &set.cloud_engine),
        (SubnetKind::VerifiedApplication, &set.verified_application),
    ];
    let named = named.into_iter().filter_map(|(kind, spec)| spec.clone().map(|spec| (kind, spec)));
    let numbered = numbered.into_iter().flat_map(|(kind, specs)| specs.iter().map(move |spec| (kind, spec.clone())));
    named.chain(numbered).collect()
}

/// Returns the time in ns at which the client wishes to begin, if it names one.
///
/// # Errors
/// When it lies before genesis.
pub(super) fn asked_time(config: &InstanceConfig) -> Result<Option<u64>, String> {
    match &config.initial_time {
        Some(InitialTime::Timestamp(time)) if time.nanos_since_epoch < GENESIS_NS => {
            Err(format!("initial_time {} lies before the earliest possible time {GENESIS_NS}", time.nanos_since_epoch))
        }
        Some(InitialTime::Timestamp(time)) => Ok(Some(time.nanos_since_epoch)),
        Some(InitialTime::AutoProgress(_)) | None => Ok(None),
    }
}

/// Returns true when the client wishes that no canister is made to wait for having done much.
pub(super) fn rate_limits_disabled(config: &InstanceConfig) -> bool {
    matches!(config.icp_config, Some(IcpConfig { canister_execution_rate_limiting: Some(IcpConfigFlag::Disabled), .. }))
}

/// Refuses what this network cannot do, so that no test runs on a network other than the one it asked for.
///
/// # Errors
/// A sentence that names the field.
pub(super) fn check_supported(config: &InstanceConfig) -> Result<(), String> {
    let unsupported = |field: &str| Err(format!("localnet does not support `{field}`"));
    // Destructured so that a new field cannot be overlooked.
    let InstanceConfig {
        subnet_config_set,
        http_gateway_config,
        state_dir: _,
        icp_config,
        log_level: _,
        bitcoind_addr,
        dogecoind_addr,
        icp_features,
        incomplete_state,
        initial_time: _,
        mainnet_nns_subnet_id,
        disable_ingress_validation: _,
    } = config;
    if http_gateway_config.is_some() {
        return unsupported("http_gateway_config");
    }
    if bitcoind_addr.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        return unsupported("bitcoind_addr");
    }
    if dogecoind_addr.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        return unsupported("dogecoind_addr");
    }
    if icp_features.as_ref().is_some_and(|features| *features != IcpFeatures::default()) {
        return unsupported("icp_features");
    }
    if matches!(incomplete_state, Some(IncompleteStateFlag::Enabled)) {
        return unsupported("incomplete_state");
    }
    if *mainnet_nns_subnet_id == Some(true) {
        return unsupported("mainnet_nns_subnet_id");
    }
    if let Some(IcpConfig { beta_features, function_name_length_limits, canister_execution_rate_limiting: _ }) =
        icp_config
    {
        if matches!(beta_features, Some(IcpConfigFlag::Enabled)) {
            return unsupported("icp_config.beta_features");
        }
        if matches!(function_name_length_limits, Some(IcpConfigFlag::Disabled)) {
            return unsupported("icp_config.function_name_length_limits");
        }
    }
    for (kind, spec) in subnet_specs(subnet_config_set) {
        if !spec.is_supported() || spec.get_state_path().is_some() {
            return unsupported(&format!("subnet_config_set: state_config of a {kind:?} subnet"));
        }
        if spec.get_subnet_admins().is_some() {
            return unsupported(&format!("subnet_config_set: subnet_admins of a {kind:?} subnet"));
        }
    }
    Ok(())
}

/// Returns true for subnets on which nothing is charged and limits are higher.
pub(super) fn is_system(kind: SubnetKind) -> bool {
    match kind {
        SubnetKind::Bitcoin | SubnetKind::II | SubnetKind::NNS | SubnetKind::System => true,
        SubnetKind::Application | SubnetKind::CloudEngine | SubnetKind::Fiduciary | SubnetKind::SNS => false,
        SubnetKind::TestThresholdKeys | SubnetKind::VerifiedApplication => false,
    }
}

/// Returns the number of nodes, by which fees scale.
fn subnet_size(kind: SubnetKind) -> u64 {
    match kind {
        SubnetKind::NNS => 40,
        SubnetKind::Fiduciary | SubnetKind::SNS | SubnetKind::II => 34,
        SubnetKind::Application | SubnetKind::Bitcoin | SubnetKind::CloudEngine | SubnetKind::System => 13,
        SubnetKind::TestThresholdKeys | SubnetKind::VerifiedApplication => 13,
    }
}

fn instruction_limits(system: bool, config: &SubnetInstructionConfig) -> InstructionLimits {
    let install = if system { instructions::SYSTEM_INSTALL } else { instructions::INSTALL };
    match config {
        SubnetInstructionConfig::Benchmarking => InstructionLimits {
            message: instructions::BENCHMARKING,
            query: instructions::BENCHMARKING,
            install: instructions::BENCHMARKING,
            round: instructions::BENCHMARKING,
            slice: instructions::BENCHMARKING,
            install_slice: instructions::BENCHMARKING,
        },
        SubnetInstructionConfig::Production if system => InstructionLimits {
            message: instructions::SYSTEM_MESSAGE,
            query: instructions::SYSTEM_QUERY,
            install,
            round: instructions::SYSTEM_ROUND,
            slice: instructions::SLICE,
            install_slice: instructions::SYSTEM_INSTALL_SLICE,
        },
        SubnetInstructionConfig::Production => InstructionLimits {
            message: instructions::MESSAGE,
            query: instructions::QUERY,
            install,
            round: instructions::ROUND,
            slice: instructions::SLICE,
            install_slice: instructions::SLICE,
        },
    }
}

/// Returns the id ranges that a named subnet has on mainnet, as numbers of the first and last canister.
fn mainnet_ranges(kind: SubnetKind) -> &'static [(u64, u64)] {
    match kind {
        SubnetKind::NNS => &[(0, 6), (8, 0xf_ffff)],
        SubnetKind::II => &[(7, 7), (0x210_0000, 0x21f_ffff)],
        SubnetKind::Bitcoin => &[(0x1a0_0000, 0x1af_ffff)],
        SubnetKind::Fiduciary => &[(0x230_0000, 0x23f_ffff)],
        SubnetKind::SNS => &[(0x200_0000, 0x20f_ffff)],
        SubnetKind::TestThresholdKeys | SubnetKind::Application | SubnetKind::CloudEngine => &[],
        SubnetKind::System | SubnetKind::VerifiedApplication => &[],
    }
}

/// Returns the range that a subnet's new canisters get their ids from: the highest for index 0, then downward. The
/// topmost range of all stays unused, as on the official server.
fn allocation_range(index: u64) -> (Principal, Principal) {
    let start = (u64::MAX / CANISTER_IDS_PER_SUBNET - 1 - index) * CANISTER_IDS_PER_SUBNET;
    (canister_id(start), canister_id(start + CANISTER_IDS_PER_SUBNET - 1))
}

/// Returns the id of the canister with this number.
pub(crate) fn canister_id(number: u64) -> Principal {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8] = 1;
    bytes[9] = 1;
    Principal::from_slice(&bytes)
}

fn derive(purpose: &[u8], input: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"localnet subnet ");
    hasher.update((purpose.len() as u64).to_be_bytes());
    hasher.update(purpose);
    hasher.update(input);
    hasher.finalize().into()
}

#[cfg(test)]
pub(crate) mod test_fixtures {
    //! Configurations for tests.

    use pocket_ic::common::rest::{ExtendedSubnetConfigSet, InstanceConfig, SubnetSpec};

    /// Returns the configuration of a network with these application subnets and nothing else asked for.
    pub(crate) fn config(application: Vec<SubnetSpec>) -> InstanceConfig {
        InstanceConfig {
            subnet_config_set: ExtendedSubnetConfigSet { application, ..ExtendedSubnetConfigSet::default() },
            http_gateway_config: None,
            state_dir: None,
            icp_config: None,
            log_level: None,
            bitcoind_addr: None,
            dogecoind_addr: None,
            icp_features: None,
            incomplete_state: None,
            initial_time: None,
            mainnet_nns_subnet_id: None,
            disable_ingress_validation: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(application: usize) -> InstanceConfig {
        test_fixtures::config(vec![SubnetSpec::default(); application])
    }

    #[test]
    fn should_give_the_first_canister_the_known_id() {
        let network = Network::new(&instance(1)).unwrap();
        assert_eq!(network.default_effective_canister().to_text(), "lxzze-o7777-77777-aaaaa-cai");
    }

    #[test]
    fn should_give_each_subnet_the_range_below_the_one_before() {
        let network = Network::new(&instance(2)).unwrap();
        let topology = network.topology();
        let ranges: Vec<_> = topology.subnet_configs.values().map(|config| config.canister_ranges.clone()).collect();
        let mut starts: Vec<_> = ranges.iter().flatten().map(|range| range.start.canister_id.clone()).collect();
        starts.sort();
        assert_eq!(starts[0][..8], 0xFFFF_FFFF_FFD0_0000_u64.to_be_bytes());
        assert_eq!(starts[1][..8], 0xFFFF_FFFF_FFE0_0000_u64.to_be_bytes());
    }

    #[test]
    fn should_prefer_the_nns_as_root_and_an_application_subnet_for_new_canisters() {
        let mut config = instance(1);
        config.subnet_config_set.nns = Some(SubnetSpec::default());
        let network = Network::new(&config).unwrap();
        let topology = network.topology();
        let nns = topology.get_nns().unwrap();
        assert_eq!(network.subnet_public_key(nns).unwrap(), *network.root_key);
        assert_eq!(topology.subnet_configs[&nns].canister_ranges.len(), 3);
        let application = topology.get_app_subnets()[0];
        assert_eq!(topology.get_subnet(network.default_effective_canister()), Some(application));
    }

    #[test]
    fn should_derive_subnet_ids_from_a_der_key_of_133_bytes() {
        let subnet = Subnet::new(SubnetKind::Application, SubnetSpec::default(), 0);
        assert_eq!(subnet.public_key.len(), 133);
        assert_eq!(subnet.id, Principal::self_authenticating(subnet.public_key.as_slice()));
        let other = Subnet::new(SubnetKind::Application, SubnetSpec::default(), 1);
        assert_ne!(subnet.id, other.id);
    }

    #[test]
    fn should_refuse_each_unsupported_field_by_name() {
        let refusal = |change: &dyn Fn(&mut InstanceConfig)| {
            let mut config = instance(1);
            change(&mut config);
            Network::new(&config).unwrap_err()
        };
        assert!(refusal(&|config| config.mainnet_nns_subnet_id = Some(true)).contains("`mainnet_nns_subnet_id`"));
        assert!(refusal(&|config| config.bitcoind_addr = Some(vec![([127, 0, 0, 1], 1).into()])).contains("`bitcoind"));
        assert!(
            refusal(&|config| {
                config.icp_features =
                    Some(IcpFeatures { registry: Some(Default::default()), ..IcpFeatures::default() });
            })
            .contains("`icp_features`")
        );
        assert!(
            refusal(&|config| {
                config.icp_config =
                    Some(IcpConfig { beta_features: Some(IcpConfigFlag::Enabled), ..IcpConfig::default() });
            })
            .contains("beta_features")
        );
        assert!(refusal(&|config| config.subnet_config_set.application.clear()).contains("at least one subnet"));
        assert!(
            refusal(&|config| {
                config.subnet_config_set.system = vec![SubnetSpec::default(); MAX_SUBNETS];
            })
            .contains("at most 64")
        );
    }

    #[test]
    fn should_refuse_a_time_before_genesis_and_take_genesis() {
        let mut config = instance(1);
        let at =
            |nanos_since_epoch| Some(InitialTime::Timestamp(pocket_ic::common::rest::RawTime { nanos_since_epoch }));
        config.initial_time = at(GENESIS_NS - 1);
        assert!(Network::new(&config).unwrap_err().contains("initial_time"));
        config.initial_time = at(GENESIS_NS);
        assert_eq!(Network::new(&config).unwrap().time(), GENESIS_NS);
    }

    #[test]
    fn should_charge_nothing_on_system_subnets_and_under_the_free_schedule() {
        let system = Subnet::new(SubnetKind::NNS, SubnetSpec::default(), 0);
        assert_eq!((system.cost_model.free, system.cost_model.subnet_size), (true, 40));
        let spec = SubnetSpec::default().with_cost_schedule(CanisterCyclesCostSchedule::Free);
        assert!(Subnet::new(SubnetKind::Application, spec, 0).cost_model.free);
        assert!(!Subnet::new(SubnetKind::Fiduciary, SubnetSpec::default(), 0).cost_model.free);
    }
}
