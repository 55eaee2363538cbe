//! Calls of canisters by the anonymous principal, each within a bounded time.

use std::time::Duration;

use candid::Principal;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::{
    network::Call,
    server::{Failure, Instance},
};

/// The network that a gateway asks.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    instance: Instance,
    patience: Duration,
}

impl Upstream {
    /// Asks an instance, and waits so long for each answer.
    pub(super) fn new(instance: Instance, patience: Duration) -> Self {
        Self { instance, patience }
    }

    /// Makes a query and returns the reply.
    ///
    /// # Errors
    /// When it is rejected, not answered in time, or the instance is broken.
    pub(super) async fn query(&self, canister: Principal, method: &str, argument: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let call = call(canister, method, argument);
        let asked = self.instance.run(move |network| network.query(call));
        let answer = timeout(self.patience, asked).await.map_err(|_| Refusal::TimedOut(self.patience))?;
        answer.map_err(broken)?.map_err(|error| Refusal::of_call(canister, error))
    }

    /// Makes an update call and returns the reply. The network must follow the clock or be moved by somebody else.
    ///
    /// # Errors
    /// When it is too large, rejected, not answered in time, or the instance is broken. When the time is up the call
    /// may still be executed.
    pub(super) async fn update(
        &self,
        canister: Principal,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<Vec<u8>, Refusal> {
        let call = call(canister, method, argument);
        timeout(self.patience, self.submit_and_wait(canister, call))
            .await
            .map_err(|_| Refusal::TimedOut(self.patience))?
    }

    async fn submit_and_wait(&self, canister: Principal, call: Call) -> Result<Vec<u8>, Refusal> {
        // When the network follows the clock the round comes at once.
        let submit = self
            .instance
            .run_before_round(move |network| network.check_ingress_size(&call).map(|()| network.submit_ingress(call)));
        let submitted = submit.await.map_err(broken)?.map_err(Refusal::TooLarge)?;
        let (id, _) = submitted.map_err(|error| Refusal::of_call(canister, error))?;
        let answered = self.instance.clone().wait_until(move |network| network.ingress_status(&id, None).transpose());
        let answer = answered.await.map_err(broken)?.ok_or(Refusal::Busy)?;
        let answer = answer.map_err(|forbidden| Refusal::Broken(forbidden.0))?;
        answer.map_err(|error| Refusal::of_call(canister, error))
    }

    /// Returns the DER-encoded root key of the network.
    pub(super) async fn root_key(&self) -> Result<std::sync::Arc<Vec<u8>>, Refusal> {
        self.instance.run(|network| network.root_key()).await.map_err(broken)
    }
}

fn call(canister_id: Principal, method: &str, payload: Vec<u8>) -> Call {
    Call {
        sender: Principal::anonymous(),
        canister_id,
        effective: None,
        method: method.to_owned(),
        payload,
        sender_info: None,
    }
}

fn broken(failure: Failure) -> Refusal {
    Refusal::Broken(failure.into_parts().1)
}
