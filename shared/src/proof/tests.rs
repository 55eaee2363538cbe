use candid::Principal;
use serde_bytes::ByteBuf;

use super::*;
use crate::objects::EncodedObject;

const AUTHOR: Principal = Principal::from_slice(&[1, 1]);

fn module(number: u8) -> Hash {
    Hash::of(&[number])
}

fn parsed(path: &str) -> ModulePath {
    ModulePath::parse(path).unwrap()
}

fn leaf(entries: &[(&str, Entry)]) -> EncodedObject {
    Node::leaf(entries.iter().map(|(name, entry)| (name.to_string(), *entry))).encode()
}

fn commit(tree: &EncodedObject, parents: Vec<Hash>, time_ns: u64) -> EncodedObject {
    let (message, author_name) = (String::new(), None);
    Commit { tree: tree.id, parents, author: AUTHOR, author_name, message, time_ns }.encode()
}

fn release(version: &str) -> ReleaseInfo {
    ReleaseInfo {
        package: "p".to_string(),
        version: version.to_string(),
        module_hash: module(7),
        description: "what it is".to_string(),
        source: Some("where it is from".to_string()),
        publisher: AUTHOR,
        published_at_ns: 5,
    }
}

/// What a catalog certifies, and all the objects that it has.
///
/// `main` is at the last of three commits, of which the second one has another line of history merged in; `dev` is at
/// the first one. Package `p` has two versions.
struct Catalog {
    objects: Vec<EncodedObject>,
    commits: Vec<Hash>,
    heads: Hash,
    releases: Hash,
}

impl Catalog {
    fn new() -> Self {
        let folder = leaf(&[("x", Entry::Module(module(2)))]);
        let trees = [
            leaf(&[("a", Entry::Module(module(1))), ("d", Entry::Folder(folder.id))]),
            leaf(&[("a", Entry::Module(module(3))), ("d", Entry::Folder(folder.id))]),
            leaf(&[("b", Entry::Module(module(1))), ("d", Entry::Folder(folder.id))]),
        ];
        let first = commit(&trees[0], vec![], 1);
        let other = commit(&trees[2], vec![], 2);
        let second = commit(&trees[1], vec![first.id, other.id], 3);
        let third = commit(&trees[2], vec![second.id], 4);
        let heads = leaf(&[("dev", Entry::Module(first.id)), ("main", Entry::Module(third.id))]);
        let digest = |version| Entry::Module(release_digest(&release(version)));
        let versions = leaf(&[("1.0.0", digest("1.0.0")), ("1.1.0", digest("1.1.0"))]);
        let packages = leaf(&[("p", Entry::Folder(versions.id))]);
        Self {
            commits: vec![first.id, other.id, second.id, third.id],
            heads: heads.id,
            releases: packages.id,
            objects: [&trees[..], &[folder, first, other, second, third, heads, versions, packages]].concat(),
        }
    }

    /// Returns the witness of all objects but some.
    fn witness_without(&self, left_out: &[Hash]) -> Witness {
        let objects = self.objects.iter().filter(|object| !left_out.contains(&object.id));
        let objects = objects.map(|object| ByteBuf::from(object.bytes.clone())).collect();
        let (heads, releases, http) = (Some(self.heads), Some(self.releases), module(7));
        Witness { certificate: ByteBuf::new(), heads, releases, http, objects }
    }

    fn witness(&self) -> Witness {
        self.witness_without(&[])
    }

    fn certified(&self) -> Hash {
        certified(&self.witness())
    }

    fn proven_without(&self, left_out: &[Hash]) -> Proven {
        Proven::check(&self.witness_without(left_out), &self.certified()).unwrap()
    }

    fn proven(&self) -> Proven {
        self.proven_without(&[])
    }
}

/// Returns what a catalog certifies that answers a witness.
fn certified(witness: &Witness) -> Hash {
    certified_root(witness.heads.as_ref(), &witness.http, witness.releases.as_ref())
}

#[test]
fn should_prove_what_is_there_and_what_is_not() {
    let catalog = Catalog::new();
    let proven = catalog.proven();
    let [first, other, second, third] = catalog.commits[..] else { panic!() };
    assert_eq!((proven.head("main"), proven.head("dev")), (Ok(Some(third)), Ok(Some(first))));
    assert_eq!(proven.head("gone"), Ok(None));

    let path = |branch: &str, path: &str| proven.path(branch, &parsed(path));
    assert_eq!(path("main", "d/x"), Ok(Some(Entry::Module(module(2)))));
    assert_eq!((path("main", "a"), path("dev", "a")), (Ok(None), Ok(Some(Entry::Module(module(1))))));
    assert!(matches!(path("main", "d"), Ok(Some(Entry::Folder(_)))));
    for absent in ["c", "d/y", "d/x/y", "c/d/e"] {
        assert_eq!(path("main", absent), Ok(None), "{absent}");
    }
    assert_eq!(path("gone", "a"), Err(ProofError::NoHead));

    let path_in = |commit: &Hash, path: &str| proven.path_in("main", commit, &parsed(path));
    assert_eq!(path_in(&third, "a"), Ok(None));
    assert_eq!(path_in(&second, "a"), Ok(Some(Entry::Module(module(3)))));
    assert_eq!(path_in(&first, "a"), Ok(Some(Entry::Module(module(1)))));
    assert_eq!(path_in(&other, "b"), Ok(Some(Entry::Module(module(1)))));
    assert_eq!(proven.path_in("gone", &first, &parsed("a")), Err(ProofError::NoHead));

    assert_eq!(proven.release(&release("1.0.0")), Ok(()));
    assert_eq!(proven.release(&release("2.0.0")), Err(ProofError::OtherRelease));
    assert_eq!(proven.release_digest("p", "1.1.0"), Ok(Some(release_digest(&release("1.1.0")))));
    assert_eq!(proven.release_digest("p", "2.0.0"), Ok(None), "there is certainly none");
    assert_eq!(proven.release_digest("q", "1.0.0"), Ok(None));
}

#[test]
fn should_prove_of_an_empty_catalog_that_there_is_nothing() {
    let empty = Witness { heads: None, releases: None, ..Catalog::new().witness_without(&[]) };
    let proven = Proven::check(&empty, &certified(&empty)).unwrap();
    assert_eq!((proven.head("main"), proven.release_digest("p", "1.0.0")), (Ok(None), Ok(None)));
    assert_eq!(proven.path("main", &parsed("a")), Err(ProofError::NoHead));
    assert_eq!(proven.release(&release("1.0.0")), Err(ProofError::OtherRelease));
}

#[test]
fn should_refuse_folders_that_are_not_certified() {
    let catalog = Catalog::new();
    let good = catalog.witness();
    let swapped = Witness { heads: good.releases, releases: good.heads, ..good.clone() };
    let older = Witness { heads: Some(module(9)), ..good.clone() };
    let another = Witness { releases: Some(module(9)), ..good.clone() };
    let without_heads = Witness { heads: None, ..good.clone() };
    let without_releases = Witness { releases: None, ..good.clone() };
    let other_pages = Witness { http: module(8), ..good.clone() };
    for wrong in [swapped, older, another, without_heads, without_releases, other_pages] {
        let (certified, found) = (catalog.certified(), certified(&wrong));
        let refused = Proven::check(&wrong, &certified).err();
        assert_eq!(refused, Some(ProofError::NotCertified { certified, found }));
        // The other way round: a good witness, and what is certified by then.
        assert!(matches!(Proven::check(&good, &found), Err(ProofError::NotCertified { .. })));
    }
    let refused = Proven::check(&good, &catalog.heads).err();
    assert!(matches!(refused, Some(ProofError::NotCertified { .. })), "a part of what is certified is not all of it");
}

/// Asks for one thing of each kind; each needs several objects.
fn ask_everything(proven: &Proven, catalog: &Catalog) -> Result<(), ProofError> {
    proven.head("main")?;
    proven.path("main", &parsed("d/x"))?;
    proven.path("dev", &parsed("a"))?;
    for (commit, path) in [(0, "a"), (1, "b"), (2, "a")] {
        proven.path_in("main", &catalog.commits[commit], &parsed(path))?;
    }
    proven.release(&release("1.0.0"))
}

#[test]
fn should_miss_each_object_that_is_left_out() {
    let catalog = Catalog::new();
    assert_eq!(ask_everything(&catalog.proven(), &catalog), Ok(()));
    for object in &catalog.objects {
        let refused = ask_everything(&catalog.proven_without(&[object.id]), &catalog);
        let missing = ProofError::MissingObject { id: object.id };
        // What a commit leads back to is not shown to be behind the head without it.
        let is_missed = refused == Err(missing) || matches!(refused, Err(ProofError::NotInHistory { .. }));
        assert!(is_missed, "{refused:?}");
    }
}

#[test]
fn should_notice_every_bit_that_is_changed() {
    let catalog = Catalog::new();
    let good = catalog.witness();
    for (index, object) in good.objects.iter().enumerate() {
        for bit in 0..8 * object.len() {
            let mut changed = good.clone();
            changed.objects[index][bit / 8] ^= 1 << (bit % 8);
            let refused = Proven::check(&changed, &catalog.certified());
            let refused = refused.and_then(|proven| ask_everything(&proven, &catalog));
            assert!(refused.is_err(), "object {index}, bit {bit}");
        }
    }
    let mut garbage = good;
    garbage.objects.push(ByteBuf::from(vec![0xff]));
    assert_eq!(Proven::check(&garbage, &catalog.certified()).err(), Some(ProofError::Malformed));
}

#[test]
fn should_prove_nothing_about_another_branch_or_commit() {
    let catalog = Catalog::new();
    let [first, other, second, third] = catalog.commits[..] else { panic!() };
    // What is there for one branch is not enough for the other one.
    let only_main = catalog.proven_without(&[first]);
    assert_eq!(only_main.path("dev", &parsed("a")), Err(ProofError::MissingObject { id: first }));
    let proven = catalog.proven();
    for (branch, commit) in [("dev", second), ("dev", other), ("main", module(9)), ("main", catalog.heads)] {
        let refused = proven.path_in(branch, &commit, &parsed("a"));
        assert_eq!(refused, Err(ProofError::NotInHistory { commit }));
    }
    // A commit that is part of the witness, but not on a way from the head that the witness shows.
    let gap = catalog.proven_without(&[second]);
    assert_eq!(gap.path_in("main", &first, &parsed("a")), Err(ProofError::NotInHistory { commit: first }));
    assert_eq!(gap.path_in("main", &third, &parsed("b")), Ok(Some(Entry::Module(module(1)))));
}

#[test]
fn should_refuse_a_release_of_which_anything_is_different() {
    let proven = Catalog::new().proven();
    let good = release("1.0.0");
    for other in [
        ReleaseInfo { package: "q".to_string(), ..good.clone() },
        ReleaseInfo { version: "2.0.0".to_string(), ..good.clone() },
        ReleaseInfo { version: "1.0.0+b".to_string(), ..good.clone() },
        ReleaseInfo { module_hash: module(8), ..good.clone() },
        ReleaseInfo { description: String::new(), ..good.clone() },
        ReleaseInfo { source: None, ..good.clone() },
        ReleaseInfo { source: Some("elsewhere".to_string()), ..good.clone() },
        ReleaseInfo { publisher: Principal::from_slice(&[2, 1]), ..good.clone() },
        ReleaseInfo { published_at_ns: 6, ..good },
    ] {
        assert_eq!(proven.release(&other), Err(ProofError::OtherRelease), "{other:?}");
    }
}

#[test]
fn should_refuse_objects_of_another_kind() {
    let catalog = Catalog::new();
    let [first, ..] = catalog.commits[..] else { panic!() };
    let tree = catalog.objects[0].id;
    let wrong_head = leaf(&[("folder", Entry::Folder(tree)), ("main", Entry::Module(tree))]);
    let wrong_tree =
        Commit { tree: first, parents: vec![], author: AUTHOR, author_name: None, message: String::new(), time_ns: 9 }
            .encode();
    let other_head = leaf(&[("main", Entry::Module(wrong_tree.id))]);
    let proven = |heads: &EncodedObject| {
        let mut witness = Witness { heads: Some(heads.id), ..catalog.witness() };
        witness.objects.extend([heads, &wrong_tree].map(|object| ByteBuf::from(object.bytes.clone())));
        Proven::check(&witness, &certified(&witness)).unwrap()
    };
    assert_eq!(proven(&wrong_head).path("main", &parsed("a")), Err(ProofError::OtherKind { id: tree }));
    assert_eq!(proven(&wrong_head).head("folder"), Err(ProofError::OtherKind { id: tree }));
    assert_eq!(proven(&other_head).path("main", &parsed("a")), Err(ProofError::OtherKind { id: first }));
    let as_heads = Witness { heads: Some(first), ..catalog.witness() };
    let proven = Proven::check(&as_heads, &certified(&as_heads)).unwrap();
    assert_eq!(proven.head("main"), Err(ProofError::OtherKind { id: first }));
}
