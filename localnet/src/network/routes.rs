//! Which subnet a message goes to.

use candid::Principal;

use super::Subnet;
use crate::{
    error::{ErrorCode, UserError, UserResult},
    management::{self, Target},
    message::Request,
};

/// The canister ranges of all subnets.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    /// First and last id of a range, and the subnet it belongs to.
    ranges: Vec<(Principal, Principal, Principal)>,
    subnets: Vec<Principal>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// To a canister of this subnet.
    Canister {
        /// The subnet.
        subnet: Principal,
    },
    /// To the management canister of this subnet.
    Management {
        /// The subnet.
        subnet: Principal,
    },
}

impl Routes {
    /// Reads the ranges of the subnets.
    pub(super) fn new<'a>(subnets: impl Iterator<Item = &'a Subnet> + Clone) -> Self {
        let ranges = subnets
            .clone()
            .flat_map(|subnet| subnet.ranges.iter().map(|(first, last)| (*first, *last, subnet.id)))
            .collect();
        Self { ranges, subnets: subnets.map(|subnet| subnet.id).collect() }
    }

    /// Returns the subnet in whose ranges the canister id lies, whether or not there is such a canister.
    pub(super) fn subnet_of(&self, canister: &Principal) -> Option<Principal> {
        self.ranges.iter().find(|(first, last, _)| first <= canister && canister <= last).map(|(_, _, subnet)| *subnet)
    }

    /// Returns where a request of a canister on `own_subnet` goes.
    ///
    /// # Errors
    /// The reject that the sender gets when there is no way.
    pub(super) fn destination(&self, request: &Request, own_subnet: Principal) -> UserResult<Destination> {
        if self.subnets.contains(&request.receiver) {
            return Ok(Destination::Management { subnet: request.receiver });
        }
        if request.receiver != Principal::management_canister() {
            let subnet = self.subnet_of(&request.receiver).ok_or_else(|| {
                UserError::new(ErrorCode::CanisterNotFound, format!("No route to canister {}", request.receiver))
            })?;
            return Ok(Destination::Canister { subnet });
        }
        let subnet = match management::target(&request.method, &request.payload)? {
            Target::CallersSubnet | Target::NewCanister(_) => own_subnet,
            Target::Canister(canister) => self.subnet_of(&canister).ok_or_else(|| {
                UserError::new(
                    ErrorCode::CanisterNotFound,
                    format!(
                        "Unable to route management canister request {}: SubnetNotFound({canister})",
                        request.method
                    ),
                )
            })?,
        };
        Ok(Destination::Management { subnet })
    }
}
