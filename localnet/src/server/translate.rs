//! From the protocol's types to those of the network and back.

use candid::Principal;
use pocket_ic::{
    RejectResponse,
    common::rest::{RawCanisterCall, RawCanisterResult, RawEffectivePrincipal},
};

use super::answer::Failure;
use crate::{
    error::{UserError, UserResult},
    network::{Call, EffectivePrincipal},
};

/// Reads the principal of a field.
///
/// # Errors
/// When it has more than 29 bytes.
pub(super) fn principal(bytes: &[u8], field: &str) -> Result<Principal, Failure> {
    Principal::try_from_slice(bytes).map_err(|error| Failure::bad_request(format!("{field} is no principal: {error}")))
}

/// Reads a call.
///
/// # Errors
/// When one of its principals is none.
pub(super) fn call(raw: RawCanisterCall) -> Result<Call, Failure> {
    let effective = match &raw.effective_principal {
        RawEffectivePrincipal::None => None,
        RawEffectivePrincipal::SubnetId(id) => Some(EffectivePrincipal::Subnet(principal(id, "effective_principal")?)),
        RawEffectivePrincipal::CanisterId(id) => {
            Some(EffectivePrincipal::Canister(principal(id, "effective_principal")?))
        }
    };
    let sender_info = match raw.sender_info {
        Some(info) => Some((info.info, principal(&info.signer, "sender_info.signer")?)),
        None => None,
    };
    Ok(Call {
        sender: principal(&raw.sender, "sender")?,
        canister_id: principal(&raw.canister_id, "canister_id")?,
        effective,
        method: raw.method,
        payload: raw.payload,
        sender_info,
    })
}

/// Writes what a call was routed by.
pub(super) fn effective(effective: EffectivePrincipal) -> RawEffectivePrincipal {
    match effective {
        EffectivePrincipal::Canister(id) => RawEffectivePrincipal::CanisterId(id.as_slice().to_vec()),
        EffectivePrincipal::Subnet(id) => RawEffectivePrincipal::SubnetId(id.as_slice().to_vec()),
    }
}

/// Writes the answer of a call; `certified` tells whether the network as a whole stands for it.
pub(super) fn result(result: UserResult<Vec<u8>>, certified: bool) -> RawCanisterResult {
    result.map_err(|error| reject(error, certified)).into()
}

/// Writes a reject.
pub(super) fn reject(error: UserError, certified: bool) -> RejectResponse {
    RejectResponse {
        reject_code: error.reject_code(),
        reject_message: error.description,
        error_code: error.code,
        certified,
    }
}

#[cfg(test)]
mod tests {
    use pocket_ic::{ErrorCode, RejectCode, common::rest::RawSenderInfo};

    use super::*;

    fn raw_call() -> RawCanisterCall {
        RawCanisterCall {
            sender: vec![4],
            canister_id: vec![],
            effective_principal: RawEffectivePrincipal::CanisterId(vec![1, 2, 3]),
            method: "m".to_owned(),
            payload: vec![5],
            sender_info: Some(RawSenderInfo { info: vec![6], signer: vec![7] }),
        }
    }

    #[test]
    fn should_read_all_parts_of_a_call() {
        let read = call(raw_call()).unwrap();
        assert_eq!(read.sender, Principal::anonymous());
        assert_eq!(read.canister_id, Principal::management_canister());
        assert_eq!(read.effective, Some(EffectivePrincipal::Canister(Principal::from_slice(&[1, 2, 3]))));
        assert_eq!((read.method.as_str(), read.payload.as_slice()), ("m", [5].as_slice()));
        assert_eq!(read.sender_info, Some((vec![6], Principal::from_slice(&[7]))));
    }

    #[test]
    fn should_name_the_field_that_holds_no_principal() {
        let long = vec![0; 30];
        let refuse = |change: &dyn Fn(&mut RawCanisterCall)| {
            let mut raw = raw_call();
            change(&mut raw);
            call(raw).unwrap_err().into_parts().1
        };
        assert!(refuse(&|raw| raw.sender = long.clone()).starts_with("sender is"));
        assert!(refuse(&|raw| raw.canister_id = long.clone()).starts_with("canister_id is"));
        assert!(
            refuse(&|raw| raw.effective_principal = RawEffectivePrincipal::SubnetId(long.clone()))
                .starts_with("effective_principal is")
        );
        assert!(
            refuse(&|raw| raw.sender_info = Some(RawSenderInfo { info: vec![], signer: long.clone() }))
                .starts_with("sender_info.signer is")
        );
    }

    #[test]
    fn should_derive_the_reject_code_from_the_error_code() {
        let response = reject(UserError::new(ErrorCode::CanisterNotFound, "gone"), true);
        assert_eq!(response.reject_code, RejectCode::DestinationInvalid);
        assert_eq!(response.error_code, ErrorCode::CanisterNotFound);
        assert_eq!((response.reject_message.as_str(), response.certified), ("gone", true));
    }
}
