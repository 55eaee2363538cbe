//! The Rust agent.

use std::sync::Arc;

use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::{
    Agent, AgentError, Identity,
    export::reqwest::Url,
    identity::{AnonymousIdentity, BasicIdentity, DelegatedIdentity, Delegation, Secp256k1Identity, SignedDelegation},
};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterSettings, CanisterStatusResult, InstallCodeArgs,
    ProvisionalCreateCanisterWithCyclesArgs,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::program::{Localnet, counter_module, counter_start};

/// Cycles of a new canister.
const CYCLES: u128 = 5_000_000_000_000;

fn ed25519(seed: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[seed; 32])
}

async fn agent(localnet: &Localnet, identity: Arc<dyn Identity>) -> Agent {
    let agent = Agent::builder()
        .with_url(localnet.url().parse::<Url>().unwrap())
        .with_arc_identity(identity)
        .with_verify_query_signatures(true)
        .build()
        .unwrap();
    agent.fetch_root_key().await.unwrap();
    assert_eq!(agent.read_root_key(), localnet.root_key(), "the program prints another root key than it answers");
    agent
}

/// Calls the management canister, with `effective` in the path of the request.
async fn manage<T: CandidType + Serialize>(
    agent: &Agent,
    effective: Principal,
    method: &str,
    args: &T,
) -> Result<Vec<u8>, AgentError> {
    agent
        .update(&Principal::management_canister(), method)
        .with_effective_canister_id(effective)
        .with_arg(Encode!(args).unwrap())
        .call_and_wait()
        .await
}

/// Makes a canister on the subnet of `effective` for `controller`.
pub(crate) async fn create_for(localnet: &Localnet, effective: Principal, controller: Principal) -> Principal {
    create(&agent(localnet, Arc::new(AnonymousIdentity)).await, effective, controller).await
}

async fn create(agent: &Agent, effective: Principal, controller: Principal) -> Principal {
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(CYCLES.into()),
        settings: Some(CanisterSettings { controllers: Some(vec![controller]), ..CanisterSettings::default() }),
        specified_id: None,
        sender_canister_version: None,
    };
    let reply = manage(agent, effective, "provisional_create_canister_with_cycles", &args).await.unwrap();
    Decode!(&reply, CanisterIdRecord).unwrap().canister_id
}

async fn install(agent: &Agent, canister_id: Principal) {
    let args = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id,
        wasm_module: counter_module(),
        arg: counter_start(41),
        sender_canister_version: None,
    };
    manage(agent, canister_id, "install_code", &args).await.unwrap();
}

async fn increment(agent: &Agent, canister: Principal) -> Result<u64, AgentError> {
    let reply = agent.update(&canister, "increment").with_arg(Encode!().unwrap()).call_and_wait().await?;
    Ok(Decode!(&reply, u64).unwrap())
}

async fn get(agent: &Agent, canister: Principal) -> Result<u64, AgentError> {
    let reply = agent.query(&canister, "get").with_arg(Encode!().unwrap()).call().await?;
    Ok(Decode!(&reply, u64).unwrap())
}

/// An identity that may act for `owner`, on `targets` only when there are any.
fn delegated(owner: &BasicIdentity, targets: Option<Vec<Principal>>) -> DelegatedIdentity {
    let session = ed25519(99);
    let in_an_hour = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
        + 3_600_000_000_000;
    let delegation =
        Delegation { pubkey: session.public_key().unwrap(), expiration: in_an_hour, targets, permissions: None };
    let signature = owner.sign_delegation(&delegation).unwrap();
    let signed = SignedDelegation { delegation, signature: signature.signature.unwrap() };
    DelegatedIdentity::new_unchecked(owner.public_key().unwrap(), Box::new(session), vec![signed])
}

/// Creates, installs, calls and reads on one subnet.
async fn use_subnet(localnet: &Localnet, effective: Principal) {
    let owner = ed25519(1);
    let owner_id = owner.sender().unwrap();
    let agent_of_owner = agent(localnet, Arc::new(owner)).await;
    let canister = create(&agent_of_owner, effective, owner_id).await;
    install(&agent_of_owner, canister).await;

    assert_eq!(increment(&agent_of_owner, canister).await.unwrap(), 42);
    assert_eq!(get(&agent_of_owner, canister).await.unwrap(), 42);
    let identities: [(&str, Arc<dyn Identity>); 4] = [
        ("anonymous", Arc::new(AnonymousIdentity)),
        ("secp256k1", Arc::new(Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[3; 32]).unwrap()))),
        ("delegated", Arc::new(delegated(&ed25519(1), None))),
        ("delegated for it", Arc::new(delegated(&ed25519(1), Some(vec![canister])))),
    ];
    for (count, (kind, identity)) in (43..).zip(identities) {
        let agent = agent(localnet, identity).await;
        assert_eq!(increment(&agent, canister).await.unwrap(), count, "{kind}");
        assert_eq!(get(&agent, canister).await.unwrap(), count, "{kind}");
    }

    let elsewhere = delegated(&ed25519(1), Some(vec![effective]));
    let elsewhere = agent(localnet, Arc::new(elsewhere)).await;
    if effective != canister {
        assert!(increment(&elsewhere, canister).await.is_err(), "the delegation is for another canister");
    }

    let hash = Sha256::digest(counter_module()).to_vec();
    assert_eq!(agent_of_owner.read_state_canister_module_hash(canister).await.unwrap(), hash);
    assert_eq!(agent_of_owner.read_state_canister_controllers(canister).await.unwrap(), [owner_id]);
    let candid = agent_of_owner.read_state_canister_metadata(canister, "candid:service").await.unwrap();
    assert!(String::from_utf8(candid).unwrap().contains("increment"));
    let reply = manage(&agent_of_owner, canister, "canister_status", &CanisterIdRecord { canister_id: canister })
        .await
        .unwrap();
    assert_eq!(Decode!(&reply, CanisterStatusResult).unwrap().module_hash, Some(hash));

    let subnet = agent_of_owner.get_subnet_by_canister(&canister).await.unwrap();
    assert!(subnet.contains_canister(&canister));
    assert!(localnet.subnets().iter().any(|known| known.id == subnet.id()));
    assert!(subnet.iter_nodes().count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by scripts/test-clients"]
async fn should_serve_the_rust_agent_on_every_subnet() {
    let localnet = Localnet::start(&["--subnets", "application=2,nns=1"]);
    for subnet in localnet.subnets() {
        use_subnet(&localnet, subnet.first_canister).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by scripts/test-clients"]
async fn should_answer_the_rust_agent_with_errors() {
    let localnet = Localnet::start(&[]);
    let effective = localnet.subnets()[0].first_canister;
    let owner = agent(&localnet, Arc::new(ed25519(1))).await;
    let canister = create(&owner, effective, ed25519(1).sender().unwrap()).await;
    install(&owner, canister).await;

    let missing = owner.update(&canister, "missing").with_arg(Encode!().unwrap()).call_and_wait().await.unwrap_err();
    assert!(missing.to_string().contains("IC0536"), "{missing}");
    let missing = owner.query(&canister, "missing").with_arg(Encode!().unwrap()).call().await.unwrap_err();
    assert!(missing.to_string().contains("IC0536"), "{missing}");

    let stranger = agent(&localnet, Arc::new(ed25519(2))).await;
    let refused = manage(&stranger, canister, "stop_canister", &CanisterIdRecord { canister_id: canister }).await;
    assert!(refused.unwrap_err().to_string().contains("IC0512"));

    // Not signed by the owner of the key that the agent claims to be.
    let forged = DelegatedIdentity::new_unchecked(
        ed25519(1).public_key().unwrap(),
        Box::new(ed25519(2)),
        vec![SignedDelegation {
            delegation: Delegation {
                pubkey: ed25519(2).public_key().unwrap(),
                expiration: u64::MAX,
                targets: None,
                permissions: None,
            },
            signature: vec![0; 64],
        }],
    );
    let forger = agent(&localnet, Arc::new(forged)).await;
    let refused = increment(&forger, canister).await.unwrap_err();
    assert!(matches!(&refused, AgentError::HttpError(payload) if payload.status == 400), "{refused}");
    assert_eq!(get(&owner, canister).await.unwrap(), 41);
}
