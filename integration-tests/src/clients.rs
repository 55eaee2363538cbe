//! Typed clients of the depot's canisters.
//!
//! A client is a canister, a sender and a network. Answers are what the canister answered; a reject, which none of
//! the depot's methods gives for bad input, is an error of its own.

use candid::{
    CandidType, Principal,
    utils::{ArgumentDecoder, ArgumentEncoder},
};
use pocket_ic::{PocketIc, RejectResponse, query_candid_as, update_candid_as, with_candid};
use serde::de::DeserializeOwned;

mod blob_store;
mod catalog;
mod counter;
mod factory;

pub use blob_store::BlobStore;
pub use catalog::Catalog;
pub use counter::{Counter, CounterArgs};
pub use factory::Factory;

/// Rounds that a patient caller waits: several times what the largest module takes to deploy.
const MAX_ROUNDS: usize = 1_000;

/// What a call gives: the decoded answer, or the reject.
pub type Answer<T> = Result<T, RejectResponse>;

/// A canister as seen by one sender.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// The network.
    pub network: &'a PocketIc,
    /// The canister.
    pub canister_id: Principal,
    /// The sender of all calls.
    pub sender: Principal,
}

impl<'a> Client<'a> {
    /// Makes a client.
    pub fn new(network: &'a PocketIc, canister_id: Principal, sender: Principal) -> Self {
        Self { network, canister_id, sender }
    }

    /// Calls an update method.
    pub fn update<A: ArgumentEncoder, T: CandidType + DeserializeOwned>(&self, method: &str, args: A) -> Answer<T>
    where
        (T,): for<'d> ArgumentDecoder<'d>,
    {
        update_candid_as(self.network, self.canister_id, self.sender, method, args).map(|(answer,): (T,)| answer)
    }

    /// Calls an update method that may take more rounds than a network runs for an awaited call.
    pub fn update_patiently<A: ArgumentEncoder, T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        args: A,
    ) -> Answer<T>
    where
        (T,): for<'d> ArgumentDecoder<'d>,
    {
        with_candid(args, |args| {
            let message = self.network.submit_call(self.canister_id, self.sender, method, args)?;
            for _ in 0..MAX_ROUNDS {
                if let Some(answer) = self.network.ingress_status(message.clone()) {
                    return answer;
                }
                self.network.tick();
            }
            self.network.await_call(message)
        })
        .map(|(answer,): (T,)| answer)
    }

    /// Calls a query method.
    pub fn query<A: ArgumentEncoder, T: CandidType + DeserializeOwned>(&self, method: &str, args: A) -> Answer<T>
    where
        (T,): for<'d> ArgumentDecoder<'d>,
    {
        query_candid_as(self.network, self.canister_id, self.sender, method, args).map(|(answer,): (T,)| answer)
    }
}
