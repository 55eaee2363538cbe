//! The agent, with all verification on.

use candid::{Encode, Principal};
use ic_agent::{
    Agent, AgentError, Identity,
    identity::{
        AnonymousIdentity, BasicIdentity, DelegatedIdentity, Delegation, InfoAwareIdentity, Prime256v1Identity,
        Secp256k1Identity, SignedDelegation,
    },
};
use ic_certification::{HashTree, hash_tree};
use ic_management_canister_types::{CanisterIdRecord, CanisterInstallMode, InstallCodeArgs};
use sha2::{Digest, Sha256};

use super::{
    canister,
    network::{Network, now, run},
};

fn basic(number: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[number; 32])
}

fn secp256k1() -> Secp256k1Identity {
    Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[3; 32]).unwrap())
}

fn p256() -> Prime256v1Identity {
    Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[4; 32]).unwrap())
}

fn delegation(from: &impl Identity, to: &impl Identity, targets: Option<Vec<Principal>>) -> SignedDelegation {
    let delegation = Delegation {
        pubkey: to.public_key().unwrap(),
        expiration: now() + 3_600_000_000_000,
        targets,
        permissions: None,
    };
    let signature = from.sign_delegation(&delegation).unwrap().signature.unwrap();
    SignedDelegation { delegation, signature }
}

/// An Ed25519 key that delegates to a secp256k1 key that delegates to a P-256 key.
fn delegated() -> DelegatedIdentity {
    let chain = vec![delegation(&basic(1), &secp256k1(), None), delegation(&secp256k1(), &p256(), None)];
    DelegatedIdentity::new(basic(1).public_key().unwrap(), Box::new(p256()), chain).unwrap()
}

async fn create(agent: &Agent, near: Principal) -> Principal {
    let arg = Encode!(&ic_management_canister_types::ProvisionalCreateCanisterWithCyclesArgs::default()).unwrap();
    let reply = agent
        .update(&Principal::management_canister(), "provisional_create_canister_with_cycles")
        .with_effective_canister_id(near)
        .with_arg(arg)
        .await
        .unwrap();
    candid::decode_one::<CanisterIdRecord>(&reply).unwrap().canister_id
}

async fn install(agent: &Agent, canister: Principal) {
    let arg = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id: canister,
        wasm_module: canister::wasm(),
        arg: vec![],
        sender_canister_version: None,
    };
    agent
        .update(&Principal::management_canister(), "install_code")
        .with_effective_canister_id(canister)
        .with_arg(Encode!(&arg).unwrap())
        .await
        .unwrap();
}

/// Does with an identity all that agents do.
fn use_network(identity: impl Identity + 'static) {
    let network = Network::live();
    let places = [network.first_canister_id(false), network.first_canister_id(true)];
    run(use_places(&network, &places, identity));
}

async fn use_places(network: &Network, places: &[Principal], identity: impl Identity + 'static) {
    let sender = identity.sender().unwrap();
    let agent = network.agent(identity).await;
    for near in places.iter().copied() {
        let canister = create(&agent, near).await;
        install(&agent, canister).await;
        for count in 1..=3u32 {
            let reply = agent.update(&canister, "increment").with_arg(vec![]).await.unwrap();
            assert_eq!(reply, count.to_le_bytes());
        }
        assert_eq!(agent.query(&canister, "read").with_arg(vec![]).await.unwrap(), 3u32.to_le_bytes());
        assert_eq!(agent.update(&canister, "caller").with_arg(vec![]).await.unwrap(), sender.as_slice());
        assert_eq!(agent.query(&canister, "caller_query").with_arg(vec![]).await.unwrap(), sender.as_slice());
        let hash: [u8; 32] = Sha256::digest(canister::wasm()).into();
        assert_eq!(agent.read_state_canister_module_hash(canister).await.unwrap(), hash);
        assert_eq!(agent.read_state_canister_controllers(canister).await.unwrap(), [sender]);
        let service = agent.read_state_canister_metadata(canister, "candid:service").await.unwrap();
        assert_eq!(service, b"service : {}");
        assert_eq!(agent.read_state_canister_metadata(canister, "secret").await.unwrap(), b"do not tell");
    }
}

#[test]
fn should_serve_anonymous_agents() {
    use_network(AnonymousIdentity);
}

#[test]
fn should_serve_agents_with_an_ed25519_key() {
    use_network(basic(1));
}

#[test]
fn should_serve_agents_with_a_secp256k1_key() {
    use_network(secp256k1());
}

#[test]
fn should_serve_agents_with_a_p256_key() {
    use_network(p256());
}

#[test]
fn should_serve_agents_with_delegated_keys() {
    use_network(delegated());
}

#[test]
fn should_keep_delegations_to_their_targets() {
    let network = Network::live();
    let (inside, outside) = (network.canister(), network.canister());
    run(async {
        let chain = vec![delegation(&basic(1), &basic(2), Some(vec![inside]))];
        let identity = DelegatedIdentity::new(basic(1).public_key().unwrap(), Box::new(basic(2)), chain).unwrap();
        let agent = network.agent(identity).await;
        assert_eq!(agent.update(&inside, "increment").with_arg(vec![]).await.unwrap(), [1, 0, 0, 0]);
        assert_eq!(agent.query(&inside, "read").with_arg(vec![]).await.unwrap(), [1, 0, 0, 0]);
        for error in [
            agent.update(&outside, "increment").with_arg(vec![]).await.unwrap_err(),
            agent.query(&outside, "read").with_arg(vec![]).await.unwrap_err(),
        ] {
            let AgentError::HttpError(payload) = &error else { panic!("{error}") };
            let text = String::from_utf8_lossy(&payload.content);
            assert_eq!((payload.status, text.contains("not one of the delegation targets")), (400, true), "{text}");
        }
    });
}

#[test]
fn should_serve_agents_that_a_canister_signs_for() {
    let network = Network::live();
    let canister = network.canister();
    run(async {
        let anonymous = network.agent(AnonymousIdentity).await;
        let seed = b"a seed";
        let key = canister_key(canister.as_slice(), seed);
        // The canister signs the delegation of its key to a session key, and what it says of the sender.
        let delegation = Delegation {
            pubkey: basic(5).public_key().unwrap(),
            expiration: now() + 3_600_000_000_000,
            targets: None,
            permissions: None,
        };
        let info = b"attributes".to_vec();
        let messages = [delegation.signable(), [b"\x0Eic-sender-info".as_slice(), &info].concat()];
        let mut hashes = messages.map(|message| <[u8; 32]>::from(Sha256::digest(message)));
        hashes.sort_unstable();
        let [left, right] = hashes.map(|hash| hash_tree::label(hash, hash_tree::leaf(vec![])));
        let signatures = hash_tree::label(Sha256::digest(seed).to_vec(), hash_tree::fork(left, right));
        let tree: HashTree = hash_tree::label(b"sig".to_vec(), signatures);
        anonymous.update(&canister, "certify").with_arg(tree.digest().to_vec()).await.unwrap();
        let certificate = anonymous.query(&canister, "certificate").with_arg(vec![]).await.unwrap();
        let signature = canister_signature(&certificate, &tree);
        let chain = vec![SignedDelegation { delegation, signature: signature.clone() }];
        let root_key = anonymous.read_root_key();
        let identity = DelegatedIdentity::new_with_root_key(key.clone(), Box::new(basic(5)), chain, &root_key).unwrap();
        let identity = InfoAwareIdentity::new_with_root_key(identity, info, signature, &root_key).unwrap();
        let agent = network.agent(identity).await;
        let sender = Principal::self_authenticating(&key);
        assert_eq!(agent.update(&canister, "caller").with_arg(vec![]).await.unwrap(), sender.as_slice());
        assert_eq!(agent.query(&canister, "caller_query").with_arg(vec![]).await.unwrap(), sender.as_slice());
        assert_eq!(agent.query(&canister, "caller_info").with_arg(vec![]).await.unwrap(), b"attributes");
    });
}

fn canister_key(id: &[u8], seed: &[u8]) -> Vec<u8> {
    let algorithm = hex::decode("300c060a2b0601040183b8430102").unwrap();
    let bits = [&[0, id.len() as u8], id, seed].concat();
    let content = [algorithm, vec![0x03, bits.len() as u8], bits].concat();
    [vec![0x30, content.len() as u8], content].concat()
}

fn canister_signature(certificate: &[u8], tree: &HashTree) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Signature<'a> {
        #[serde(with = "serde_bytes")]
        certificate: &'a [u8],
        tree: &'a HashTree,
    }
    let mut bytes = vec![0xd9, 0xd9, 0xf7];
    ciborium::into_writer(&Signature { certificate, tree }, &mut bytes).unwrap();
    bytes
}

#[test]
fn should_reject_as_a_replica_does() {
    let network = Network::live();
    let canister = network.canister();
    run(async {
        let agent = network.agent(basic(1)).await;
        let refused = agent.update(&canister, "refuse").with_arg(vec![]).await.unwrap_err();
        let AgentError::CertifiedReject { reject, .. } = &refused else { panic!("{refused}") };
        assert_eq!((reject.reject_message.as_str(), reject.error_code.as_deref()), ("no", Some("IC0406")));
        let trapped = agent.update(&canister, "fail").with_arg(vec![]).await.unwrap_err();
        let AgentError::CertifiedReject { reject, .. } = &trapped else { panic!("{trapped}") };
        assert_eq!(reject.error_code.as_deref(), Some("IC0502"));
        let inspected = agent.update(&canister, "hidden").with_arg(vec![1]).await.unwrap_err();
        let AgentError::UncertifiedReject { reject, .. } = &inspected else { panic!("{inspected}") };
        assert_eq!(reject.error_code.as_deref(), Some("IC0406"));
        assert!(agent.update(&canister, "hidden").with_arg(vec![]).await.unwrap().is_empty());
        let queried = agent.query(&canister, "refuse_query").with_arg(vec![]).await.unwrap_err();
        let AgentError::UncertifiedReject { reject, .. } = &queried else { panic!("{queried}") };
        assert_eq!((reject.reject_message.as_str(), reject.error_code.as_deref()), ("no", Some("IC0406")));
        let missing = agent.query(&canister, "missing").with_arg(vec![]).await.unwrap_err();
        let AgentError::UncertifiedReject { reject, .. } = &missing else { panic!("{missing}") };
        assert_eq!(reject.error_code.as_deref(), Some("IC0536"));
    });
}

#[test]
fn should_answer_many_calls_at_a_time_quickly() {
    const CALLS: u32 = 50;
    let network = Network::live();
    let canister = network.canister();
    run(async {
        let agent = network.agent(basic(1)).await;
        let begin = std::time::Instant::now();
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                let agent = agent.clone();
                tokio::spawn(async move { agent.update(&canister, "increment").with_arg(vec![]).await.unwrap() })
            })
            .collect();
        let mut counts = Vec::new();
        for call in calls {
            counts.push(u32::from_le_bytes(call.await.unwrap().try_into().unwrap()));
        }
        counts.sort_unstable();
        assert_eq!(counts, (1..=CALLS).collect::<Vec<_>>(), "each call is one message");
        eprintln!("{CALLS} calls at a time took {:?}", begin.elapsed());
        let begin = std::time::Instant::now();
        for _ in 0..10 {
            agent.update(&canister, "increment").with_arg(vec![]).await.unwrap();
        }
        eprintln!("10 calls one after the other took {:?}", begin.elapsed());
    });
}

#[test]
fn should_tell_clients_with_a_wrong_clock_what_time_it_is() {
    let network = Network::live();
    let canister = network.canister();
    run(async {
        let agent = Agent::builder()
            .with_url(network.url())
            .with_identity(basic(1))
            .with_ingress_expiry(std::time::Duration::from_secs(3_600))
            .build()
            .unwrap();
        agent.fetch_root_key().await.unwrap();
        let error = agent.update(&canister, "increment").with_arg(vec![]).await.unwrap_err();
        let AgentError::HttpError(payload) = &error else { panic!("{error}") };
        let text = String::from_utf8_lossy(&payload.content);
        assert_eq!(payload.status, 400);
        assert!(text.starts_with("Specified ingress_expiry not within expected range:"), "{text}");
    });
}
