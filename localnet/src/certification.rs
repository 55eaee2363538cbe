//! Certificates: what a subnet signs of its state, so that a client trusts it knowing nothing but the root key.
//!
//! Everything here can be computed again from the state: a [`Certification`] holds hashes and signatures that are worth
//! keeping, and nothing of it belongs into a saved state.

use std::collections::{BTreeMap, btree_map::Entry};

use candid::Principal;
use ic_certification::{Certificate, Delegation};

mod encoding;
mod keys;
mod state;
mod tree;

pub(crate) use keys::SubnetKeys;
use state::StateTree;
pub(crate) use state::World;
use tree::{Digest, Selection};

use crate::network::Subnet;

/// What is signed of a tree is its hash after this.
const STATE_ROOT_DOMAIN: &[u8; 14] = b"\x0Dic-state-root";
/// Age at which the delegation of a subnet is made anew, in ns. Clients refuse delegations that are older than 30 days.
const MAX_DELEGATION_AGE_NS: u64 = 600_000_000_000;

/// The state trees of all subnets with the signatures made so far.
#[derive(Debug, Default)]
pub(crate) struct Certification {
    subnets: BTreeMap<Principal, Certified>,
    /// Delegations by subnet, with the time they were made.
    delegations: BTreeMap<Principal, (u64, Delegation)>,
}

#[derive(Debug)]
struct Certified {
    tree: StateTree,
    /// The last signature, and the hash it is for.
    signed: Option<(Digest, Vec<u8>)>,
}

impl Certification {
    /// Certifies what is at these paths of a subnet's state, as of the last round, and the time. Returns CBOR.
    ///
    /// # Panics
    /// When there is no such subnet.
    pub(crate) fn certificate(&mut self, world: &World<'_>, subnet: Principal, paths: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let delegation = (subnet != world.root).then(|| self.delegation(world, subnet));
        encoding::self_described_cbor(&self.sign(world, subnet, paths, delegation))
    }

    /// Returns the proof of the root subnet that a subnet's key is genuine, and which canisters it may speak for.
    fn delegation(&mut self, world: &World<'_>, subnet: Principal) -> Delegation {
        if let Some((made, delegation)) = self.delegations.get(&subnet)
            && world.time.saturating_sub(*made) < MAX_DELEGATION_AGE_NS
        {
            return delegation.clone();
        }
        let label = |label: &str| label.as_bytes().to_vec();
        let id = subnet.as_slice().to_vec();
        let paths = [
            vec![label("subnet"), id.clone(), label("public_key")],
            // Older clients read the ranges here, newer ones there.
            vec![label("subnet"), id.clone(), label("canister_ranges")],
            vec![label("canister_ranges"), id.clone()],
        ];
        let certificate = encoding::self_described_cbor(&self.sign(world, world.root, &paths, None));
        let delegation = Delegation { subnet_id: id, certificate };
        self.delegations.insert(subnet, (world.time, delegation.clone()));
        delegation
    }

    fn sign(
        &mut self,
        world: &World<'_>,
        subnet: Principal,
        paths: &[Vec<Vec<u8>>],
        delegation: Option<Delegation>,
    ) -> Certificate {
        let subnet: &Subnet = &world.subnets[&subnet];
        let certified = match self.subnets.entry(subnet.id) {
            Entry::Occupied(entry) => {
                let certified = entry.into_mut();
                certified.tree.update(world, subnet);
                certified
            }
            Entry::Vacant(entry) => entry.insert(Certified { tree: StateTree::new(world, subnet), signed: None }),
        };
        let time = vec![b"time".to_vec()];
        let selection = Selection::of(paths.iter().chain([&time]).map(Vec::as_slice));
        let tree = certified.tree.witness(subnet, &selection);
        let signature = certified.signature(subnet);
        Certificate { tree, signature, delegation }
    }
}

impl Certified {
    fn signature(&mut self, subnet: &Subnet) -> Vec<u8> {
        let digest = self.tree.digest();
        match &self.signed {
            Some((signed, signature)) if *signed == digest => signature.clone(),
            _ => {
                let signature = subnet.keys().sign(&[STATE_ROOT_DOMAIN.as_slice(), &digest].concat());
                self.signed = Some((digest, signature.clone()));
                signature
            }
        }
    }
}
