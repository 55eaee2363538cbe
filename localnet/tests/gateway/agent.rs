//! Agents at a gateway: the interface of the instance at its root.

use ic_agent::Agent;
use sha2::{Digest, Sha256};

use super::*;

#[test]
fn should_serve_agents_at_the_root_of_a_gateway() {
    let site = Site::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let agent = Agent::builder().with_url(format!("http://127.0.0.1:{}", site.port)).build().unwrap();
        agent.fetch_root_key().await.unwrap();
        agent.update(&site.canister, "store").with_arg(b"\x03hello".to_vec()).await.unwrap();
        let loaded = agent.query(&site.canister, "load").with_arg(vec![3]).await.unwrap();
        assert_eq!(loaded, b"hello");
        let hash = agent.read_state_canister_module_hash(site.canister).await.unwrap();
        assert_eq!(hash, Sha256::digest(wat::parse_str(SLOTS).unwrap()).to_vec());
    });
}
