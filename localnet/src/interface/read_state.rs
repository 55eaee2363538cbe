//! Certificates about the state, and who may have which.

use axum::{
    extract::Request as HttpRequest,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use candid::Principal;
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{
    answer::{Cbor, Refusal},
    authentication::Targets,
    destination::Destination,
    envelope::{Request, RequestType},
    trust::{Trusted, believe},
};
use crate::{
    message::MessageId,
    network::{EffectivePrincipal, Network},
    server::Instance,
};

/// Versions of the endpoint: they differ in the place where canister ranges are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Ranges below each subnet (v2).
    Flat,
    /// Ranges in a tree of their own (v3).
    Tree,
}

#[derive(Serialize)]
struct Answer {
    certificate: ByteBuf,
}

/// `POST /api/v2/canister/{id}/read_state`.
pub(super) async fn of_canister_flat(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    answered(Version::Flat, instance, EffectivePrincipal::Canister(id), request).await
}

/// `POST /api/v3/canister/{id}/read_state`.
pub(super) async fn of_canister(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    answered(Version::Tree, instance, EffectivePrincipal::Canister(id), request).await
}

/// `POST /api/v2/subnet/{id}/read_state`.
pub(super) async fn of_subnet_flat(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    answered(Version::Flat, instance, EffectivePrincipal::Subnet(id), request).await
}

/// `POST /api/v3/subnet/{id}/read_state`.
pub(super) async fn of_subnet(
    instance: Instance,
    Destination(id): Destination,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    answered(Version::Tree, instance, EffectivePrincipal::Subnet(id), request).await
}

async fn answered(
    version: Version,
    instance: Instance,
    effective: EffectivePrincipal,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let trusted = believe(&instance, request, RequestType::ReadState, effective).await?;
    let Trusted { content, targets, subnet, .. } = trusted;
    let Request::ReadState(paths) = content.request else {
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no read_state, which is a defect of localnet"));
    };
    let asker = Asker { version, effective, sender: content.sender, targets };
    let certificate = instance.run(move |network| {
        asker.check(network, &paths)?;
        Ok::<_, Refusal>(network.certificate(subnet, &paths))
    });
    Ok(Cbor(Answer { certificate: ByteBuf::from(certificate.await??) }).into_response())
}

/// Who asks, and where.
struct Asker {
    version: Version,
    effective: EffectivePrincipal,
    sender: Principal,
    targets: Targets,
}

impl Asker {
    /// Checks that all paths may be asked for.
    fn check(&self, network: &Network, paths: &[Vec<Vec<u8>>]) -> Result<(), Refusal> {
        let mut request: Option<MessageId> = None;
        let mut ranges: Option<&[u8]> = None;
        for path in paths {
            let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            match (labels.as_slice(), self.effective) {
                ([b"time"] | [b"api_boundary_nodes"] | [b"api_boundary_nodes", _], _) => {}
                ([b"api_boundary_nodes", _, b"domain" | b"ipv4_address" | b"ipv6_address"], _) => {}
                ([b"subnet"] | [b"subnet", _] | [b"subnet", _, b"public_key" | b"type" | b"node"], _) => {}
                ([b"subnet", _, b"node", _] | [b"subnet", _, b"node", _, b"public_key"], _) => {}
                ([b"subnet", id, b"canister_ranges"], _) => {
                    if self.version == Version::Tree && principal(id)? != network.root_subnet() {
                        return Err(invalid_path());
                    }
                }
                ([b"subnet", id, b"metrics"], EffectivePrincipal::Subnet(effective)) => {
                    same(principal(id)?, effective)?;
                }
                ([b"canister_ranges", id], EffectivePrincipal::Subnet(_)) => {
                    if ranges.replace(id).is_some_and(|other| other != *id) {
                        return Err(Refusal::bad_request("More than one subnet ID exists in canister_ranges paths."));
                    }
                }
                ([b"canister", id, b"controllers" | b"module_hash"], EffectivePrincipal::Canister(effective)) => {
                    same(principal(id)?, effective)?
                }
                ([b"canister", id, b"metadata", name], EffectivePrincipal::Canister(effective)) => {
                    same(principal(id)?, effective)?;
                    self.check_metadata(network, effective, name)?;
                }
                ([b"request_status", id], EffectivePrincipal::Canister(_))
                | (
                    [b"request_status", id, b"status" | b"reply" | b"reject_code" | b"reject_message" | b"error_code"],
                    EffectivePrincipal::Canister(_),
                ) => {
                    let id = MessageId::try_from(*id).map_err(|_| {
                        Refusal::bad_request(
                            "Invalid request id in paths. Maybe the request ID is not of 32 bytes in length?!",
                        )
                    })?;
                    if let Some(other) = request
                        && other != id
                    {
                        return Err(Refusal::bad_request(format!(
                            "More than one non-unique request ID exists in request_status paths: 0x{} and 0x{}.",
                            hex::encode(other),
                            hex::encode(id)
                        )));
                    }
                    request = Some(id);
                    self.check_request(network, &id)?;
                }
                _ => return Err(invalid_path()),
            }
        }
        Ok(())
    }

    /// Private custom sections are for controllers.
    fn check_metadata(&self, network: &Network, canister: Principal, name: &[u8]) -> Result<(), Refusal> {
        let name = std::str::from_utf8(name)
            .map_err(|error| Refusal::bad_request(format!("Could not parse the custom section name: {error}.")))?;
        if network.is_private_section(canister, name)
            && !network.controllers(canister).is_some_and(|controllers| controllers.contains(&self.sender))
        {
            let name: String = name.chars().take(100).collect();
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("Custom section {name} can only be requested by the controllers of the canister."),
            ));
        }
        Ok(())
    }

    /// What became of a message is for its sender.
    fn check_request(&self, network: &Network, id: &MessageId) -> Result<(), Refusal> {
        if network.request_caller(id).is_some_and(|caller| caller != self.sender) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "The user tries to access Request ID not signed by the caller.",
            ));
        }
        if network.request_receiver(id).is_some_and(|receiver| !self.targets.contains(&receiver)) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "The user tries to access request IDs for canisters not belonging to sender delegation targets.",
            ));
        }
        Ok(())
    }
}

fn invalid_path() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "Invalid path requested.")
}

fn principal(bytes: &[u8]) -> Result<Principal, Refusal> {
    Principal::try_from_slice(bytes)
        .map_err(|error| Refusal::bad_request(format!("Could not parse principal ID: {error}.")))
}

fn same(requested: Principal, effective: Principal) -> Result<(), Refusal> {
    if requested == effective {
        return Ok(());
    }
    Err(Refusal::bad_request(format!(
        "Effective principal id in URL {effective} does not match requested principal id: {requested}."
    )))
}
