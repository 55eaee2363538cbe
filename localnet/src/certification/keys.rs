//! The keys of subnets and their nodes. All of them follow from the seed of the subnet.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

use candid::Principal;
use ic_verify_bls_signature::PrivateKey;
use sha2::{Digest, Sha256};

/// DER prefix of a BLS12-381 public key in G2.
pub(super) const BLS_DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02,
    0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00,
];
/// Keys that the process remembers. A network has at most 64 subnets, and networks share their seeds.
const MAX_REMEMBERED: usize = 512;

/// The keys of a subnet.
#[derive(Debug)]
pub(crate) struct SubnetKeys {
    seed: [u8; 32],
    secret: PrivateKey,
    public_key: Arc<Vec<u8>>,
    size: u64,
    nodes: OnceLock<Vec<Node>>,
}

/// A node of a subnet.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its id: self-authenticating over its public key.
    pub id: Principal,
    /// DER-encoded Ed25519 public key.
    pub public_key: Vec<u8>,
    secret: ic_ed25519::PrivateKey,
}

/// Keys by seed and number of nodes.
type Remembered = BTreeMap<([u8; 32], u64), Arc<SubnetKeys>>;

/// The keys of this process. The curve arithmetic of a subnet key takes a millisecond or more, which would be most
/// of the time that a new network takes.
static REMEMBERED: LazyLock<Mutex<Remembered>> = LazyLock::new(Mutex::default);

impl SubnetKeys {
    /// Returns the keys of the subnet with this seed and number of nodes.
    pub(crate) fn of(seed: &[u8; 32], size: u64) -> Arc<Self> {
        // Whoever panicked with the lock left a map that is whole.
        let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = remembered.get(&(*seed, size)) {
            return Arc::clone(keys);
        }
        let keys = Arc::new(Self::derive(seed, size));
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert((*seed, size), Arc::clone(&keys));
        keys
    }

    fn derive(seed: &[u8; 32], size: u64) -> Self {
        let mut scalar = derive(b"subnet", seed, 0);
        // Below the order of the group, which has 255 bits.
        scalar[0] &= 0x3f;
        let secret = PrivateKey::deserialize(&scalar).expect("254 bits are below the order of the group");
        let public_key = [BLS_DER_PREFIX.as_slice(), &secret.public_key().serialize()].concat();
        Self { seed: *seed, secret, public_key: Arc::new(public_key), size, nodes: OnceLock::new() }
    }

    /// Returns the DER-encoded public key of the subnet.
    pub(crate) fn public_key(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.public_key)
    }

    /// Signs for the subnet: 48 bytes.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.secret.sign(message).serialize().to_vec()
    }

    /// Returns the nodes, sorted by id. There is always one.
    pub(crate) fn nodes(&self) -> &[Node] {
        self.nodes.get_or_init(|| {
            let mut nodes: Vec<Node> = (0..self.size.max(1)).map(|index| Node::derive(&self.seed, index)).collect();
            nodes.sort_by_key(|node| node.id);
            nodes
        })
    }
}

impl Node {
    fn derive(seed: &[u8; 32], index: u64) -> Self {
        let secret = ic_ed25519::PrivateKey::deserialize_raw_32(&derive(b"node", seed, index));
        let public_key = secret.public_key().serialize_rfc8410_der();
        Self { id: Principal::self_authenticating(&public_key), public_key, secret }
    }

    /// Signs for the node: 64 bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.secret.sign_message(message).to_vec()
    }
}

fn derive(purpose: &[u8], seed: &[u8; 32], index: u64) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"localnet secret key of ");
    hasher.update((purpose.len() as u64).to_be_bytes());
    hasher.update(purpose);
    hasher.update(seed);
    hasher.update(index.to_be_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    #[test]
    fn should_derive_the_same_keys_from_the_same_seed() {
        let (first, second) = (SubnetKeys::derive(&SEED, 13), SubnetKeys::derive(&SEED, 13));
        assert_eq!(first.public_key, second.public_key);
        let ids = |keys: &SubnetKeys| keys.nodes().iter().map(|node| node.id).collect::<Vec<_>>();
        assert_eq!(ids(&first), ids(&second));
        let other = SubnetKeys::derive(&[8; 32], 13);
        assert_ne!(first.public_key, other.public_key);
        assert!(ids(&first).iter().all(|id| !ids(&other).contains(id)));
    }

    #[test]
    fn should_remember_keys_by_seed_and_size() {
        let (first, second) = (SubnetKeys::of(&SEED, 13), SubnetKeys::of(&SEED, 13));
        assert!(Arc::ptr_eq(&first, &second));
        let larger = SubnetKeys::of(&SEED, 40);
        assert_eq!((first.nodes().len(), larger.nodes().len()), (13, 40));
        assert_eq!(first.public_key, larger.public_key);
    }

    #[test]
    fn should_encode_keys_in_der_and_name_nodes_by_them() {
        let keys = SubnetKeys::of(&SEED, 13);
        assert_eq!(keys.public_key().len(), 133);
        for node in keys.nodes() {
            assert_eq!(node.public_key.len(), 44);
            assert_eq!(node.id, Principal::self_authenticating(&node.public_key));
        }
        assert!(keys.nodes().is_sorted_by_key(|node| node.id));
    }

    #[test]
    fn should_make_signatures_that_the_public_keys_verify() {
        let keys = SubnetKeys::of(&SEED, 13);
        let signature = keys.sign(b"message");
        let public_key = &keys.public_key()[BLS_DER_PREFIX.len()..];
        ic_verify_bls_signature::verify_bls_signature(&signature, b"message", public_key).unwrap();
        assert!(ic_verify_bls_signature::verify_bls_signature(&signature, b"massage", public_key).is_err());
        let node = &keys.nodes()[3];
        let public_key = ic_ed25519::PublicKey::deserialize_rfc8410_der(&node.public_key).unwrap();
        public_key.verify_signature(b"message", &node.sign(b"message")).unwrap();
        assert!(public_key.verify_signature(b"massage", &node.sign(b"message")).is_err());
    }
}
