//! Queries: answered at once, and signed by a node.

use axum::{
    extract::Request as HttpRequest,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use candid::Principal;
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{
    answer::{Cbor, Refusal, Reject},
    destination::Destination,
    envelope::{Request, RequestType},
    hash::{Fields, Value, hash_of_map},
    trust::{Trusted, believe, network_call},
};
use crate::{error::UserResult, message::MessageId, network::EffectivePrincipal, server::Instance};

const RESPONSE_DOMAIN: &[u8] = b"\x0Bic-response";
const LIST_CANISTERS: &str = "list_canisters";

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Answer {
    Replied { reply: Reply },
    Rejected(Reject),
}

#[derive(Serialize)]
struct Reply {
    arg: ByteBuf,
}

#[derive(Serialize)]
struct Signed {
    #[serde(flatten)]
    answer: Answer,
    signatures: [NodeSignature; 1],
}

#[derive(Serialize)]
struct NodeSignature {
    timestamp: u64,
    signature: ByteBuf,
    identity: ByteBuf,
}

impl Answer {
    /// Returns what a node signs.
    fn signable(&self, id: &MessageId, timestamp: u64) -> Vec<u8> {
        let mut fields: Fields<'_> = vec![("request_id", Value::Bytes(id)), ("timestamp", Value::Nat(timestamp))];
        match self {
            Self::Replied { reply } => {
                fields.push(("status", Value::Text("replied")));
                fields.push(("reply", Value::Map(vec![("arg", Value::Bytes(&reply.arg))])));
            }
            Self::Rejected(reject) => {
                fields.push(("status", Value::Text("rejected")));
                fields.push(("reject_code", Value::Nat(reject.reject_code)));
                fields.push(("reject_message", Value::Text(&reject.reject_message)));
                fields.push(("error_code", Value::Text(&reject.error_code)));
            }
        }
        [RESPONSE_DOMAIN, &hash_of_map(&fields)].concat()
    }
}

impl From<UserResult<Vec<u8>>> for Answer {
    fn from(result: UserResult<Vec<u8>>) -> Self {
        match result {
            Ok(arg) => Self::Replied { reply: Reply { arg: ByteBuf::from(arg) } },
            Err(error) => Self::Rejected(error.into()),
        }
    }
}

/// `POST /api/v2/canister/{id}/query` and `/api/v3/…`.
pub(super) async fn of_canister(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let effective = EffectivePrincipal::Canister(id);
    let trusted = believe(&instance, request, RequestType::Query, effective).await?;
    answered(&instance, trusted, effective).await
}

/// `POST /api/v3/subnet/{id}/query`: only for `list_canisters` of the management canister.
pub(super) async fn of_subnet(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let effective = EffectivePrincipal::Subnet(id);
    let trusted = believe(&instance, request, RequestType::Query, effective).await?;
    if trusted.content.request.invocation().is_none_or(|invocation| invocation.method_name != LIST_CANISTERS) {
        return Err(Refusal::bad_request("Only list_canisters can be queried by the id of a subnet"));
    }
    answered(&instance, trusted, effective).await
}

async fn answered(instance: &Instance, trusted: Trusted, effective: EffectivePrincipal) -> Result<Response, Refusal> {
    let Trusted { content, id, subnet, .. } = trusted;
    let Request::Query(invocation) = content.request else {
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no query, which is a defect of localnet"));
    };
    let call = network_call(content.sender, invocation, effective);
    let signed = instance.run(move |network| {
        let timestamp = network.certified_time();
        let answer = Answer::from(network.query(call));
        let (node, signature): (Principal, Vec<u8>) = network.sign_response(subnet, &answer.signable(&id, timestamp));
        let signature = NodeSignature {
            timestamp,
            signature: ByteBuf::from(signature),
            identity: ByteBuf::from(node.as_slice().to_vec()),
        };
        Signed { answer, signatures: [signature] }
    });
    Ok(Cbor(signed.await?).into_response())
}

#[cfg(test)]
mod tests {
    use ciborium::Value as CborValue;
    use ic_transport_types::{QueryResponse, RejectCode, RejectResponse, ReplyResponse, RequestId};

    use super::*;
    use crate::{
        error::{ErrorCode, UserError},
        interface::cbor,
    };

    fn field<'a>(value: &'a CborValue, name: &str) -> &'a CborValue {
        let entries = value.as_map().unwrap();
        &entries.iter().find(|(key, _)| key.as_text() == Some(name)).unwrap().1
    }

    fn written(answer: Answer) -> CborValue {
        let signature =
            NodeSignature { timestamp: 1_234, signature: ByteBuf::from(vec![5; 64]), identity: ByteBuf::from(vec![4]) };
        let bytes = cbor::write(&Signed { answer, signatures: [signature] });
        match cbor::read(&bytes).unwrap() {
            CborValue::Tag(_, value) => *value,
            other => other,
        }
    }

    #[test]
    fn should_answer_and_sign_replies_as_clients_expect() {
        let answer = Answer::from(Ok(vec![1, 2, 3]));
        let reference = QueryResponse::Replied { reply: ReplyResponse { arg: vec![1, 2, 3] }, signatures: vec![] };
        assert_eq!(answer.signable(&[7; 32], 1_234), reference.signable(RequestId::new(&[7; 32]), 1_234));
        let value = written(answer);
        assert_eq!(field(&value, "status").as_text(), Some("replied"));
        assert_eq!(field(field(&value, "reply"), "arg").as_bytes(), Some(&vec![1, 2, 3]));
        let signature = &field(&value, "signatures").as_array().unwrap()[0];
        assert_eq!(field(signature, "timestamp"), &CborValue::Integer(1_234.into()));
        assert_eq!(field(signature, "signature").as_bytes(), Some(&vec![5; 64]));
        assert_eq!(field(signature, "identity").as_bytes(), Some(&vec![4]));
    }

    #[test]
    fn should_answer_and_sign_rejects_as_clients_expect() {
        let answer = Answer::from(Err(UserError::new(ErrorCode::CanisterNotFound, "gone")));
        let reject = RejectResponse {
            reject_code: RejectCode::DestinationInvalid,
            reject_message: "gone".to_owned(),
            error_code: Some("IC0301".to_owned()),
        };
        let reference = QueryResponse::Rejected { reject, signatures: vec![] };
        assert_eq!(answer.signable(&[7; 32], 1_234), reference.signable(RequestId::new(&[7; 32]), 1_234));
        let value = written(answer);
        assert_eq!(field(&value, "status").as_text(), Some("rejected"));
        assert_eq!(field(&value, "reject_code"), &CborValue::Integer(3.into()));
        assert_eq!(field(&value, "reject_message").as_text(), Some("gone"));
        assert_eq!(field(&value, "error_code").as_text(), Some("IC0301"));
    }
}
