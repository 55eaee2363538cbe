//! What the HTTP interface asks of the network before it lets clients in.

use candid::Principal;

use super::{Network, ingress::size_limit};
use crate::execution::Visibility;

impl Network {
    /// Returns the subnet whose key is the root of trust.
    pub(crate) fn root_subnet(&self) -> Principal {
        self.root
    }

    /// Tells whether there is such a subnet.
    pub(crate) fn has_subnet(&self, id: Principal) -> bool {
        self.subnets.contains_key(&id)
    }

    /// Returns the subnet where canisters are created when nobody says where.
    pub(crate) fn default_subnet(&self) -> Option<Principal> {
        self.subnet_of(self.default_effective_canister())
    }

    /// Returns how many bytes the envelope of an ingress message may have on a subnet; none when there is no such
    /// subnet.
    pub(crate) fn ingress_limit(&self, subnet: Principal) -> usize {
        self.subnets.get(&subnet).map_or(0, size_limit)
    }

    /// Tells whether a custom section of a canister's module is for its controllers only.
    pub(crate) fn is_private_section(&self, canister: Principal, name: &str) -> bool {
        let module = self.canister(canister).and_then(|canister| canister.module());
        module.is_some_and(|module| {
            module
                .custom_sections()
                .iter()
                .any(|section| section.name == name && section.visibility == Visibility::Private)
        })
    }
}
