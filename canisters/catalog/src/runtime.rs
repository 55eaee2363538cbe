//! What the catalog needs of the system it runs on.

use std::future::Future;

use candid::{CandidType, Principal};
use depot_types::{Hash, catalog::CallFailure};
use ic_cdk::call::{Call, CallFailed};
use serde::Deserialize;

use crate::limits::BLOB_STORE_TIMEOUT_SECONDS;

/// What the catalog needs of the system it runs on.
pub trait Runtime {
    /// Returns true when the principal controls the catalog.
    fn is_controller(&self, principal: &Principal) -> bool;

    /// Returns the time in nanoseconds since 1970.
    fn now_ns(&self) -> u64;

    /// Asks the blob store whether a module is sealed in it.
    ///
    /// # Errors
    /// [`CallFailure`] when there is no answer; asking again does no harm.
    fn is_sealed(&self, blob_store: Principal, module_hash: Hash) -> impl Future<Output = Result<bool, CallFailure>>;
}

/// The Internet Computer.
#[derive(Clone, Copy, Debug, Default)]
pub struct IcRuntime;

/// The method of the blob store that is called.
const MODULE_INFO: &str = "module_info";

/// The part of the blob store's `ModuleInfo` that matters here; the other fields are skipped when it is read.
#[derive(CandidType, Deserialize)]
struct SealedModule {
    module_hash: Hash,
}

impl Runtime for IcRuntime {
    fn is_controller(&self, principal: &Principal) -> bool {
        ic_cdk::api::is_controller(principal)
    }

    fn now_ns(&self) -> u64 {
        ic_cdk::api::time()
    }

    async fn is_sealed(&self, blob_store: Principal, module_hash: Hash) -> Result<bool, CallFailure> {
        // The question changes nothing, so a lost answer is no harm: bounded wait never blocks an upgrade for long.
        let response = Call::bounded_wait(blob_store, MODULE_INFO)
            .change_timeout(BLOB_STORE_TIMEOUT_SECONDS)
            .with_arg(module_hash)
            .await
            .map_err(call_failure)?;
        let info: Option<SealedModule> =
            response.candid().map_err(|error| failure(0, format!("the answer cannot be read: {error}")))?;
        Ok(info.is_some_and(|info| info.module_hash == module_hash))
    }
}

fn call_failure(error: CallFailed) -> CallFailure {
    match error {
        CallFailed::CallRejected(rejected) => {
            failure(rejected.raw_reject_code(), rejected.reject_message().to_string())
        }
        CallFailed::InsufficientLiquidCycleBalance(_) | CallFailed::CallPerformFailed(_) => {
            failure(0, error.to_string())
        }
    }
}

fn failure(reject_code: u32, message: String) -> CallFailure {
    CallFailure { method: MODULE_INFO.to_string(), reject_code, message }
}

#[cfg(test)]
mod tests {
    use candid::{decode_one, encode_one};
    use depot_types::blob_store::{Encoding, ModuleInfo, ModuleKind};
    use ic_cdk::call::CallRejected;

    use super::*;

    #[test]
    fn should_read_what_the_blob_store_answers() {
        let hash = Hash::of(b"module");
        let info = ModuleInfo {
            module_hash: hash,
            size: 6,
            chunk_hashes: vec![hash],
            encoding: Encoding::Raw,
            kind: ModuleKind::CoreModule,
            raw_hash: hash,
            raw_size: 6,
            obstacles: vec![],
            metadata: vec![],
            sealed_by: Principal::anonymous(),
            sealed_at_ns: 1,
        };
        let sealed: Option<SealedModule> = decode_one(&encode_one(Some(info)).unwrap()).unwrap();
        assert_eq!(sealed.map(|sealed| sealed.module_hash), Some(hash));
        let absent: Option<SealedModule> = decode_one(&encode_one(None::<ModuleInfo>).unwrap()).unwrap();
        assert!(absent.is_none());
    }

    #[test]
    fn should_name_the_reject_code() {
        let rejected = CallFailed::CallRejected(CallRejected::with_rejection(3, "gone".to_string()));
        let expected = CallFailure { method: "module_info".to_string(), reject_code: 3, message: "gone".to_string() };
        assert_eq!(call_failure(rejected), expected);
    }
}
