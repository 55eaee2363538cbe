use ic_certification::SubtreeLookupResult;
use ic_stable_structures::VectorMemory;

use super::*;
use crate::storable::StoredRetention;

struct Store {
    retentions: Retentions<VectorMemory>,
    certificates: Certificates<VectorMemory>,
}

impl Store {
    fn new() -> Self {
        let memory = VectorMemory::default;
        let retentions = Retentions::open(memory(), memory(), memory());
        Self { retentions, certificates: Certificates::open(memory()) }
    }

    fn put(&mut self, module_hash: StoredHash, certified: u8) {
        let certified = [certified; 32];
        let record = StoredRetention { references: 0, condemned: false, since_ns: 0, certified };
        self.retentions.put(&module_hash, record);
        self.certificates.update(&self.retentions, &module_hash);
    }

    fn remove(&mut self, module_hash: StoredHash) {
        self.retentions.remove(&module_hash);
        self.certificates.update(&self.retentions, &module_hash);
    }

    /// Computes the whole tree anew.
    fn root(&self) -> Option<StoredHash> {
        let fresh = Certificates::open(VectorMemory::default());
        let mut fresh = Self {
            retentions: Retentions::open(VectorMemory::default(), VectorMemory::default(), VectorMemory::default()),
            certificates: fresh,
        };
        for (module_hash, certified) in self.retentions.certified((Bound::Unbounded, Bound::Unbounded)) {
            fresh.put(module_hash, certified[0]);
        }
        fresh.certificates.root()
    }
}

fn hash(first: u16, last: u8) -> StoredHash {
    let mut hash = [0; 32];
    hash[..2].copy_from_slice(&first.to_be_bytes());
    hash[31] = last;
    hash
}

fn label(module_hash: StoredHash) -> Vec<u8> {
    Hash::new(module_hash).to_string().into_bytes()
}

/// Modules in the first and the last bucket, several in one, and in buckets of digits and letters.
fn modules() -> [StoredHash; 7] {
    [hash(0, 1), hash(0x10, 1), hash(0x10, 2), hash(0x1f, 3), hash(0x9fff, 0), hash(0xa000, 9), hash(0xffff, 255)]
}

#[test]
fn should_have_a_root_that_tells_the_modules_only() {
    let mut store = Store::new();
    assert_eq!(store.certificates.root(), None);
    let mut roots = Vec::new();
    for (number, module) in (1..).zip(modules()) {
        store.put(module, number);
        assert_eq!(store.certificates.root(), store.root());
        roots.push(store.certificates.root());
    }
    store.put(modules()[2], 77);
    assert_ne!(store.certificates.root(), roots[6]);
    store.put(modules()[2], 3);
    for (module, root) in modules().into_iter().zip(roots).rev() {
        assert_eq!(store.certificates.root(), root);
        store.remove(module);
    }
    assert_eq!(store.certificates.root(), None);
}

#[test]
fn should_show_a_module_under_the_root() {
    let mut store = Store::new();
    for (number, module) in (1..).zip(modules()) {
        store.put(module, number);
    }
    let root = store.certificates.root().unwrap();
    for (number, module) in (1..).zip(modules()) {
        let witness = store.certificates.witness(&store.retentions, Shown::from([(module, None)])).unwrap();
        assert_eq!(witness.digest(), root);
        let tree = witness.into_hash_tree();
        let SubtreeLookupResult::Found(found) = tree.lookup_subtree([&label(module)]) else { panic!() };
        assert_eq!(found.digest(), [number; 32]);
        // Nothing is shown of the others.
        let other = modules()[usize::from(number) % 7];
        assert!(matches!(tree.lookup_subtree([&label(other)]), SubtreeLookupResult::Unknown));
    }
}

#[test]
fn should_prove_that_a_module_is_not_there() {
    let mut store = Store::new();
    for module in modules() {
        store.put(module, 1);
    }
    let root = store.certificates.root();
    let hex = |module: StoredHash| Hash::new(module).to_string();
    let longer = hex(modules()[3]) + "0";
    let shorter = hex(modules()[4])[..63].to_string();
    let other = hex(hash(0x10, 3));
    let last = "f".repeat(64);
    let texts = ["", "<$>", "<*>", "x", "ABC", "0", "0x10", "é", &longer, &shorter, &other, &last];
    for text in texts {
        let shown = neighbours(&store.retentions, text).map(|module| (module, None)).collect();
        let witness = store.certificates.witness(&store.retentions, shown).unwrap();
        assert_eq!(Some(witness.digest()), root);
        let found = witness.into_hash_tree().lookup_subtree([text.as_bytes()]);
        assert!(matches!(found, SubtreeLookupResult::Absent), "{text}: {found:?}");
    }
}
