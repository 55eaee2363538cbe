//! What clients may trust of the network: certificates of its state, and answers signed by nodes.

use std::sync::Arc;

use candid::Principal;

use super::Network;
use crate::certification::{Certification, World};

impl Network {
    /// Certifies what is at these paths of a subnet's state, as of the last round, and the time. The empty path is the
    /// whole state. Returns the certificate as self-described CBOR.
    ///
    /// # Panics
    /// When there is no such subnet.
    pub(crate) fn certificate(&mut self, subnet: Principal, paths: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let (certification, world) = self.certification_and_world();
        certification.certificate(&world, subnet, paths)
    }

    /// Returns the time that certificates are of, in ns: that of the last round.
    pub(crate) fn certified_time(&self) -> u64 {
        self.last_round
    }

    /// Returns the DER-encoded key that everything is trusted by.
    pub(crate) fn root_key(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.root_key)
    }

    /// Returns the subnet in whose ranges the canister id lies, whether or not there is such a canister.
    pub(crate) fn subnet_of(&self, canister: Principal) -> Option<Principal> {
        self.routes.subnet_of(&canister)
    }

    /// Signs these very bytes by a node of a subnet. Returns the id of the node and the signature, 64 bytes.
    ///
    /// # Panics
    /// When there is no such subnet.
    pub(crate) fn sign_response(&self, subnet: Principal, message: &[u8]) -> (Principal, Vec<u8>) {
        let keys = self.subnets[&subnet].keys();
        let node = &keys.nodes()[0];
        (node.id, node.sign(message))
    }

    /// Certifies the certified data of a canister.
    pub(super) fn data_certificate(&mut self, subnet: Principal, canister: Principal) -> Vec<u8> {
        let path = vec![b"canister".to_vec(), canister.as_slice().to_vec(), b"certified_data".to_vec()];
        self.certificate(subnet, &[path])
    }

    fn certification_and_world(&mut self) -> (&mut Certification, World<'_>) {
        let world = World { subnets: &self.subnets, root: self.root, time: self.last_round };
        (&mut self.certification, world)
    }
}
