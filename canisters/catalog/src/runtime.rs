//! What the catalog needs of the system it runs on.

use std::future::Future;

use candid::{CandidType, Principal, utils::ArgumentEncoder};
use depot_types::{
    Hash,
    blob_store::{RetainError, RetainOk},
    catalog::CallFailure,
};
use ic_cdk::call::{Call, CallFailed};
use serde::Deserialize;

use crate::limits::BLOB_STORE_TIMEOUT_SECONDS;

/// What the catalog needs of the system it runs on.
pub trait Runtime {
    /// Returns true when the principal controls the catalog.
    fn is_controller(&self, principal: &Principal) -> bool;

    /// Returns the time in nanoseconds since 1970.
    fn now_ns(&self) -> u64;

    /// Certifies the data given: to be called before a call to another canister when what is certified has changed.
    fn certify(&self, data: &Hash);

    /// Returns how many instructions this message has used, without the callbacks before.
    fn instructions(&self) -> u64;

    /// Asks the blob store to retain modules for the catalog, at most
    /// [`MAX_MODULES_PER_CALL`](crate::limits::MAX_MODULES_PER_CALL); returns those that are not sealed in it.
    ///
    /// # Errors
    /// [`BlobStoreFailure`]; asking again does no harm.
    fn retain(
        &self,
        blob_store: Principal,
        modules: &[Hash],
    ) -> impl Future<Output = Result<Vec<Hash>, BlobStoreFailure>>;

    /// Lets the blob store let go of modules, as many as it retains in one call.
    ///
    /// # Errors
    /// [`BlobStoreFailure`]; asking again does no harm.
    fn release(&self, blob_store: Principal, modules: &[Hash]) -> impl Future<Output = Result<(), BlobStoreFailure>>;
}

/// Why the blob store does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobStoreFailure {
    /// The catalog is none of its holders.
    NotHolder,
    /// It could not be asked, or does not understand.
    Unavailable(CallFailure),
}

/// The Internet Computer.
#[derive(Clone, Copy, Debug, Default)]
pub struct IcRuntime;

const RETAIN: &str = "retain";
const RELEASE: &str = "release";

impl Runtime for IcRuntime {
    fn is_controller(&self, principal: &Principal) -> bool {
        ic_cdk::api::is_controller(principal)
    }

    fn now_ns(&self) -> u64 {
        ic_cdk::api::time()
    }

    fn certify(&self, data: &Hash) {
        ic_cdk::api::certified_data_set(data.as_bytes());
    }

    fn instructions(&self) -> u64 {
        ic_cdk::api::instruction_counter()
    }

    async fn retain(&self, blob_store: Principal, modules: &[Hash]) -> Result<Vec<Hash>, BlobStoreFailure> {
        let answer: Result<RetainOk, RetainError> = call(blob_store, RETAIN, &(modules,)).await?;
        answer.map(|retained| retained.unknown).map_err(|error| refused(RETAIN, error))
    }

    async fn release(&self, blob_store: Principal, modules: &[Hash]) -> Result<(), BlobStoreFailure> {
        let answer: Result<(), RetainError> = call(blob_store, RELEASE, &(modules,)).await?;
        answer.map_err(|error| refused(RELEASE, error))
    }
}

/// Calls the blob store. What is asked can be asked again, so a lost answer is no harm: bounded wait never blocks an
/// upgrade for long.
async fn call<T>(
    blob_store: Principal,
    method: &'static str,
    args: &impl ArgumentEncoder,
) -> Result<T, BlobStoreFailure>
where
    T: CandidType + for<'de> Deserialize<'de>,
{
    let response = Call::bounded_wait(blob_store, method)
        .change_timeout(BLOB_STORE_TIMEOUT_SECONDS)
        .with_args(args)
        .await
        .map_err(|error| BlobStoreFailure::Unavailable(call_failure(method, error)))?;
    response.candid().map_err(|error| {
        BlobStoreFailure::Unavailable(failure(method, 0, format!("the answer cannot be read: {error}")))
    })
}

fn refused(method: &str, error: RetainError) -> BlobStoreFailure {
    match error {
        RetainError::NotHolder { .. } => BlobStoreFailure::NotHolder,
        RetainError::TooManyHashes { .. } | RetainError::StorageFull(_) => {
            BlobStoreFailure::Unavailable(failure(method, 0, format!("the blob store refuses: {error:?}")))
        }
    }
}

fn call_failure(method: &str, error: CallFailed) -> CallFailure {
    match error {
        CallFailed::CallRejected(rejected) => {
            failure(method, rejected.raw_reject_code(), rejected.reject_message().to_string())
        }
        CallFailed::InsufficientLiquidCycleBalance(_) | CallFailed::CallPerformFailed(_) => {
            failure(method, 0, error.to_string())
        }
    }
}

fn failure(method: &str, reject_code: u32, message: String) -> CallFailure {
    CallFailure { method: method.to_string(), reject_code, message }
}

#[cfg(test)]
mod tests {
    use ic_cdk::call::CallRejected;

    use super::*;

    #[test]
    fn should_name_method_and_reject_code() {
        let rejected = CallFailed::CallRejected(CallRejected::with_rejection(3, "gone".to_string()));
        let expected = CallFailure { method: "retain".to_string(), reject_code: 3, message: "gone".to_string() };
        assert_eq!(call_failure(RETAIN, rejected), expected);
    }

    #[test]
    fn should_tell_a_store_that_does_not_let_it_from_one_that_does_not_answer() {
        let caller = Principal::anonymous();
        assert_eq!(refused(RETAIN, RetainError::NotHolder { caller }), BlobStoreFailure::NotHolder);
    }
}
