//! Update calls: letting them in, and waiting for their answers.

use std::time::Duration;

use axum::{
    extract::Request as HttpRequest,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use candid::Principal;
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::time::timeout;

use super::{
    answer::{Cbor, Refusal, Reject},
    destination::Destination,
    envelope::{Request, RequestType},
    trust::{Trusted, believe, creates_canister, network_call},
};
use crate::{
    error::UserResult,
    message::MessageId,
    network::{EffectivePrincipal, Envelope as Signed, RequestStatus},
    server::Instance,
};

/// How long a client waits for the answer of a call before it is told to ask again, as on the Internet Computer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// An answer to a call that was waited for.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Answer {
    /// The certificate tells what became of it.
    Replied { certificate: ByteBuf },
    /// It was not let in.
    NonReplicatedRejection(Reject),
}

/// `POST /api/v2/canister/{id}/call`: lets a call in.
pub(super) async fn without_waiting(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let effective = EffectivePrincipal::Canister(id);
    let trusted = believe(&instance, request, RequestType::Call, effective).await?;
    Ok(match let_in(&instance, trusted, effective).await? {
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(error) => Cbor(Reject::from(error)).into_response(),
    })
}

/// `POST /api/v3/canister/{id}/call` and `/api/v4/…`: lets a call in and waits for its answer.
pub(super) async fn and_wait(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let effective = EffectivePrincipal::Canister(id);
    let trusted = believe(&instance, request, RequestType::Call, effective).await?;
    answered(instance, trusted, effective).await
}

/// `POST /api/v4/subnet/{id}/call`: like [`and_wait`], but only for creating canisters on this subnet.
pub(super) async fn on_subnet(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let effective = EffectivePrincipal::Subnet(id);
    let trusted = believe(&instance, request, RequestType::Call, effective).await?;
    if !trusted.content.request.invocation().is_some_and(creates_canister) {
        return Err(Refusal::bad_request("Only canister creation can be called by the id of a subnet"));
    }
    answered(instance, trusted, effective).await
}

async fn answered(instance: Instance, trusted: Trusted, effective: EffectivePrincipal) -> Result<Response, Refusal> {
    let (id, subnet) = match let_in(&instance, trusted, effective).await? {
        Ok(message) => message,
        Err(error) => return Ok(Cbor(Answer::NonReplicatedRejection(error.into())).into_response()),
    };
    let certificate = instance.wait_until(move |network| {
        let answered = match network.request_status(&id)? {
            RequestStatus::Received | RequestStatus::Processing => false,
            RequestStatus::Replied(_) | RequestStatus::Rejected { .. } | RequestStatus::Done => true,
        };
        answered.then(|| network.certificate(subnet, &[vec![b"request_status".to_vec(), id.to_vec()]]))
    });
    Ok(match timeout(ANSWER_PATIENCE, certificate).await {
        Ok(Ok(Some(certificate))) => Cbor(Answer::Replied { certificate: ByteBuf::from(certificate) }).into_response(),
        Ok(Ok(None)) => accepted("Could not track the ingress message. Please try /read_state for the status."),
        Ok(Err(failure)) => return Err(failure.into()),
        Err(_) => accepted("Message did not complete execution and certification within the replica defined timeout."),
    })
}

fn accepted(text: &'static str) -> Response {
    (StatusCode::ACCEPTED, text).into_response()
}

/// Hands a call to the network. Returns its id and its subnet.
async fn let_in(
    instance: &Instance,
    trusted: Trusted,
    effective: EffectivePrincipal,
) -> Result<UserResult<(MessageId, Principal)>, Refusal> {
    let Trusted { content, id, bytes, subnet, .. } = trusted;
    let Request::Call(invocation) = content.request else {
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no call, which is a defect of localnet"));
    };
    // Calls that leave the place to the network are on the subnet that it chose.
    let effective = match effective {
        EffectivePrincipal::Canister(id) if id == Principal::management_canister() => {
            EffectivePrincipal::Subnet(subnet)
        }
        other => other,
    };
    let call = network_call(content.sender, invocation, effective);
    let signed = Signed { id, expiry: content.ingress_expiry, bytes };
    let submitted = instance.run_before_round(move |network| network.submit_signed(call, signed)).await?;
    Ok(submitted.map(|_| (id, subnet)))
}
