//! From bytes to a request that is believed: reading, measuring, and asking who sent it.

use std::sync::Arc;

use axum::{extract::Request as HttpRequest, http::StatusCode};
use candid::Principal;
use tokio::sync::Semaphore;

use super::{
    answer::Refusal,
    authentication::{Targets, authenticate},
    body,
    envelope::{Content, Envelope, Invocation, RequestType},
};
use crate::{
    message::MessageId,
    network::{Call, EffectivePrincipal, Network},
    server::Instance,
};

/// Signatures that are checked at a time: it takes a core each.
const MAX_VERIFICATIONS: usize = 4;

static VERIFICATIONS: Semaphore = Semaphore::const_new(MAX_VERIFICATIONS);

/// A request that is believed.
#[derive(Debug)]
pub(super) struct Trusted {
    /// What is asked.
    pub(super) content: Content,
    /// Its id.
    pub(super) id: MessageId,
    /// Bytes of the envelope.
    pub(super) bytes: usize,
    /// The canisters that it may be about.
    pub(super) targets: Targets,
    /// The subnet it goes to.
    pub(super) subnet: Principal,
}

/// What a network has to do with believing.
struct Basis {
    now: u64,
    root_key: Arc<Vec<u8>>,
    subnet: Option<Principal>,
    limit: usize,
}

/// Reads a request, and believes it or not.
///
/// # Errors
/// Why it is not believed, or not answered here.
pub(super) async fn believe(
    instance: &Instance,
    request: HttpRequest,
    request_type: RequestType,
    effective: EffectivePrincipal,
) -> Result<Trusted, Refusal> {
    let body = body::read(request).await?;
    let envelope = Envelope::read(&body.bytes, request_type)?;
    if let Some(invocation) = envelope.content.request.invocation() {
        check_destination(invocation, effective)?;
    }
    let creates = envelope.content.request.invocation().is_some_and(creates_canister);
    let basis = instance.run(move |network| Basis::of(network, effective, creates)).await?;
    let Some(subnet) = basis.subnet else {
        return Err(match effective {
            EffectivePrincipal::Canister(id) => {
                Refusal::bad_request(format!("Canister {id} does not belong to any subnet."))
            }
            EffectivePrincipal::Subnet(id) => Refusal::bad_request(format!("Subnet {id} not found.")),
        });
    };
    let id = envelope.content.id();
    if request_type == RequestType::Call && envelope.bytes > basis.limit {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "Request 0x{} is too large. Message byte size {} is larger than the max allowed {}.",
                hex::encode(id),
                envelope.bytes,
                basis.limit
            ),
        ));
    }
    let bytes = envelope.bytes;
    let (content, targets) =
        if instance.is_trusting() { (envelope.content, Targets::All) } else { verify(envelope, basis).await? };
    Ok(Trusted { content, id, bytes, targets, subnet })
}

/// Checks signatures on a thread where it holds nobody up.
async fn verify(envelope: Envelope, basis: Basis) -> Result<(Content, Targets), Refusal> {
    let _place = VERIFICATIONS.acquire().await;
    let verified = tokio::task::spawn_blocking(move || {
        let targets = authenticate(&envelope, basis.now, &basis.root_key)?;
        Ok::<_, Refusal>((envelope.content, targets))
    });
    verified.await.unwrap_or_else(|error| {
        let text = format!("checking the signature failed, which is a defect of localnet: {error}");
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text))
    })
}

impl Basis {
    fn of(network: &mut Network, effective: EffectivePrincipal, creates: bool) -> Self {
        let subnet = match effective {
            // Where to create a canister may be left to the network.
            EffectivePrincipal::Canister(id) if creates && id == Principal::management_canister() => {
                network.default_subnet()
            }
            EffectivePrincipal::Canister(id) => network.subnet_of(id),
            EffectivePrincipal::Subnet(id) => network.has_subnet(id).then_some(id),
        };
        let limit = subnet.map_or(0, |subnet| network.ingress_limit(subnet));
        Self { now: network.time(), root_key: network.root_key(), subnet, limit }
    }
}

/// Compares the called canister with the one in the path, by which requests are routed and blocked.
fn check_destination(invocation: &Invocation, effective: EffectivePrincipal) -> Result<(), Refusal> {
    let canister_id = invocation.canister_id;
    if canister_id == Principal::management_canister() {
        return Ok(());
    }
    match effective {
        EffectivePrincipal::Canister(id) if id == canister_id => Ok(()),
        EffectivePrincipal::Canister(id) => Err(Refusal::bad_request(format!(
            "Specified CanisterId {canister_id} does not match effective canister id in URL {id}"
        ))),
        EffectivePrincipal::Subnet(_) => Err(Refusal::bad_request(format!(
            "Specified CanisterId {canister_id} cannot be called by the id of a subnet"
        ))),
    }
}

/// Tells whether the call creates a canister.
pub(super) fn creates_canister(invocation: &Invocation) -> bool {
    invocation.canister_id == Principal::management_canister()
        && matches!(invocation.method_name.as_str(), "create_canister" | "provisional_create_canister_with_cycles")
}

/// Makes the call that the network knows from an invocation.
pub(super) fn network_call(sender: Principal, invocation: Invocation, effective: EffectivePrincipal) -> Call {
    Call {
        sender,
        canister_id: invocation.canister_id,
        effective: Some(effective),
        method: invocation.method_name,
        payload: invocation.arg,
        sender_info: invocation.sender_info.map(|info| (info.info, info.signer)),
    }
}
