//! From the root key of the network down to the hash of a module.

use candid::Principal;
use depot_types::{
    catalog::{PathVersionArgs, ProofTarget, ProveError, PublishArgs, ReleaseInfo, Witness},
    objects::{Entry, Object},
    path::ModulePath,
    proof::{CertificateError, MAX_CERTIFICATE_AGE_NS, ProofError, Proven, certified_data},
};
use integration_tests::network;

use super::*;

/// The root key of the Internet Computer: a good key, but not the one of a network for tests.
const OTHER_ROOT_KEY: &str = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae";

/// A depot on a network that has a root key.
struct Certified {
    world: World,
    root_key: Vec<u8>,
}

impl Certified {
    fn new(modules: usize) -> Self {
        // Only the subnet of the NNS has the root key.
        let network = network::builder().with_nns_subnet().with_application_subnet().build();
        let root_key = network.root_key().unwrap();
        Self { world: World::on(Depot::install_on(network).unwrap(), modules), root_key }
    }

    /// Asks for a witness; what was certified becomes part of the state with the next round.
    fn witness(&self, target: ProofTarget) -> Witness {
        self.world.depot.network.tick();
        self.world.catalog().prove(target).unwrap().unwrap()
    }

    fn now_ns(&self) -> u64 {
        self.world.depot.network.get_time().as_nanos_since_unix_epoch()
    }

    fn certified_at(&self, witness: &Witness, canister: Principal, now_ns: u64) -> Result<Hash, CertificateError> {
        certified_data(&witness.certificate, canister, &self.root_key, now_ns, MAX_CERTIFICATE_AGE_NS)
    }

    fn certified(&self, witness: &Witness) -> Hash {
        self.certified_at(witness, self.world.depot.catalog_id, self.now_ns()).unwrap()
    }

    fn proven(&self, target: ProofTarget) -> Proven {
        let witness = self.witness(target);
        Proven::check(&witness, &self.certified(&witness)).unwrap()
    }
}

fn head(branch: &str) -> ProofTarget {
    ProofTarget::Head { branch: branch.to_string() }
}

fn path(branch: &str, path: &str) -> ProofTarget {
    ProofTarget::Path { branch: branch.to_string(), path: path.to_string() }
}

fn parsed(path: &str) -> ModulePath {
    ModulePath::parse(path).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Rows 44, 45: ids follow from the bytes, and everything is proven from the root key.
#[test]
fn should_prove_answers_from_the_root_key() {
    let certified = Certified::new(2);
    let world = &certified.world;
    let first = world.commit("main", &[world.set("d/p", 0), world.set("q", 1)]);
    let second = world.commit("main", &[world.set("d/p", 1), remove("q")]);
    world.commit("dev", &[world.set("d/p", 0)]);
    for commit in [&first, &second] {
        let bytes = world.catalog().object(commit.id).unwrap().unwrap();
        let Ok(Object::Commit(read)) = Object::verify(&commit.id, &bytes) else { panic!("{bytes:?}") };
        assert_eq!(read.into_info(commit.id), *commit);
        let tree = world.catalog().object(commit.tree).unwrap().unwrap();
        assert!(matches!(Object::verify(&commit.tree, &tree), Ok(Object::Node(_))));
        assert!(Object::verify(&commit.id, &tree).is_err());
    }
    assert_eq!(certified.proven(head("main")).head("main"), Ok(Some(second.id)));
    assert_eq!(certified.proven(head("gone")).head("gone"), Ok(None));
    let entry = |branch: &str, text: &str| certified.proven(path(branch, text)).path(branch, &parsed(text)).unwrap();
    assert_eq!(entry("main", "d/p"), Some(Entry::Module(world.modules[1])));
    assert_eq!(entry("dev", "d/p"), Some(Entry::Module(world.modules[0])));
    assert!(matches!(entry("main", "d"), Some(Entry::Folder(_))));
    assert_eq!((entry("main", "q"), entry("main", "d/p/x")), (None, None));

    let args = PathVersionArgs { at: None, path: "d/p".to_string(), index: 0 };
    let version = world.catalog().path_version(args).unwrap().unwrap();
    assert_eq!((version.module_hash, version.commit), (world.modules[0], first.id));
    let (branch, text) = ("main".to_string(), "d/p".to_string());
    let proven = certified.proven(ProofTarget::PathVersion { branch, path: text, index: 0 });
    assert_eq!(proven.path_in("main", &first.id, &parsed("d/p")), Ok(Some(Entry::Module(world.modules[0]))));

    let (package, version) = ("p".to_string(), "1.0.0".to_string());
    let args = PublishArgs {
        package: package.clone(),
        version: version.clone(),
        module_hash: world.modules[0],
        description: "what it is".to_string(),
        source: Some("where it is from".to_string()),
    };
    let release = world.catalog().publish(args).unwrap().unwrap();
    let proven = certified.proven(ProofTarget::Release { package, version });
    assert_eq!(proven.release(&release), Ok(()));
    let other = ReleaseInfo { description: String::new(), ..release };
    assert_eq!(proven.release(&other), Err(ProofError::OtherRelease));
    // An update has no certificate: its answer is certified as a whole.
    let answer: Result<Witness, ProveError> = world.catalog().0.update("prove", (head("main"),)).unwrap();
    assert_eq!(answer, Err(ProveError::NoCertificate));
}

#[test]
fn should_not_trust_certificates_that_are_not_good() {
    let certified = Certified::new(1);
    let world = &certified.world;
    world.commit("main", &[world.set("p", 0)]);
    let (witness, now_ns) = (certified.witness(head("main")), certified.now_ns());
    let catalog = world.depot.catalog_id;
    let untrusted = |outcome: Result<Hash, CertificateError>| {
        assert!(matches!(outcome, Err(CertificateError::Untrusted(_))), "{outcome:?}");
    };
    certified.certified_at(&witness, catalog, now_ns).unwrap();
    // Too old, or from a time to come.
    let most = MAX_CERTIFICATE_AGE_NS;
    certified.certified_at(&witness, catalog, now_ns + most / 2).unwrap();
    certified.certified_at(&witness, catalog, now_ns - most / 2).unwrap();
    untrusted(certified.certified_at(&witness, catalog, now_ns + 2 * most));
    untrusted(certified.certified_at(&witness, catalog, now_ns - 2 * most));
    // Another network's key.
    let other_key = unhex(OTHER_ROOT_KEY);
    untrusted(certified_data(&witness.certificate, catalog, &other_key, now_ns, most));
    // Of another canister of the same subnet, and of one that no subnet has.
    for canister in [world.depot.factory_id, Principal::management_canister()] {
        assert!(certified.certified_at(&witness, canister, now_ns).is_err());
    }
    let blob_store = certified.certified_at(&witness, world.depot.blob_store_id, now_ns);
    assert!(blob_store.is_err(), "{blob_store:?}");
    // Any byte changed, or missing.
    let length = witness.certificate.len();
    for index in (0..length).step_by(7) {
        let mut changed = witness.clone();
        changed.certificate[index] ^= 0x55;
        assert!(certified.certified_at(&changed, catalog, now_ns).is_err(), "byte {index} of {length}");
    }
    let cut = certified_data(&witness.certificate[..length - 1], catalog, &certified.root_key, now_ns, most);
    assert!(matches!(cut, Err(CertificateError::Malformed)));
}

#[test]
fn should_not_take_witnesses_of_another_time_or_place() {
    let certified = Certified::new(2);
    let world = &certified.world;
    let first = world.commit("main", &[world.set("d/p", 0)]).id;
    world.branch("dev");
    let stale = certified.witness(path("main", "d/p"));
    let second = world.commit("main", &[world.set("d/p", 1)]).id;
    let fresh = certified.witness(path("main", "d/p"));
    let data = certified.certified(&fresh);
    // The old certificate is still good for its time, but not beside the new one.
    assert!(matches!(Proven::check(&stale, &data), Err(ProofError::NotCertified { .. })), "the head has moved");
    let before = Proven::check(&stale, &certified.certified(&stale)).unwrap();
    assert_eq!(before.head("main"), Ok(Some(first)));
    assert_eq!(before.path_in("main", &second, &parsed("d/p")), Err(ProofError::NotInHistory { commit: second }));

    let good = Proven::check(&fresh, &data).unwrap();
    assert_eq!(good.path("main", &parsed("d/p")), Ok(Some(Entry::Module(world.modules[1]))));
    let other_branch = good.path("dev", &parsed("d/p"));
    assert!(matches!(other_branch, Err(ProofError::MissingObject { .. })), "{other_branch:?}");
    let swapped = Witness { heads: fresh.releases, releases: fresh.heads, ..fresh.clone() };
    assert!(matches!(Proven::check(&swapped, &data), Err(ProofError::NotCertified { .. })));
    for index in 0..fresh.objects.len() {
        let mut without = fresh.clone();
        without.objects.remove(index);
        let refused = Proven::check(&without, &data).unwrap().path("main", &parsed("d/p"));
        assert!(matches!(refused, Err(ProofError::MissingObject { .. })), "{refused:?}");
        let mut changed = fresh.clone();
        let middle = changed.objects[index].len() / 2;
        changed.objects[index][middle] ^= 1;
        let refused = Proven::check(&changed, &data).and_then(|proven| proven.path("main", &parsed("d/p")));
        assert!(refused.is_err(), "{refused:?}");
    }
}
