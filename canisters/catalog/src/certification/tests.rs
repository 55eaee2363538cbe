use depot_types::{
    catalog::VersionArgs,
    proof::{ProofError, Proven},
};

use super::*;
use crate::test_fixtures::{Fixture, module, remove, set};

fn witness(fixture: &Fixture, target: ProofTarget) -> Witness {
    fixture.state.borrow().prove(&target, Some(vec![1, 2, 3])).unwrap()
}

fn proven(fixture: &Fixture, target: ProofTarget) -> Proven {
    let certified = fixture.state.borrow().certified_data();
    Proven::check(&witness(fixture, target), &certified).unwrap()
}

fn head(branch: &str) -> ProofTarget {
    ProofTarget::Head { branch: branch.to_string() }
}

fn path(path: &str) -> ProofTarget {
    ProofTarget::Path { branch: "main".to_string(), path: path.to_string() }
}

fn parsed(path: &str) -> ModulePath {
    ModulePath::parse(path).unwrap()
}

#[test]
fn should_prove_heads_and_that_there_is_none() {
    let fixture = Fixture::new();
    assert_eq!(proven(&fixture, head("main")).head("main"), Ok(None));
    fixture.commit(&[set("a", 1)]).unwrap();
    for number in 0..40 {
        let args = depot_types::catalog::CreateBranchArgs { name: format!("b{number}"), from: None };
        let mut state = fixture.state.borrow_mut();
        crate::branches::create_branch(&mut state, &fixture.runtime, crate::test_fixtures::ALICE, args).unwrap();
    }
    let second = fixture.commit(&[set("a", 2)]).unwrap().id;
    assert_eq!(proven(&fixture, head("main")).head("main"), Ok(Some(second)));
    assert_eq!(proven(&fixture, head("gone")).head("gone"), Ok(None));
    let missing = proven(&fixture, head("main")).head("b17");
    assert!(matches!(missing, Err(ProofError::MissingObject { .. }) | Ok(Some(_))), "{missing:?}");
}

#[test]
fn should_prove_what_paths_stand_for() {
    let fixture = Fixture::new();
    for part in 0..3u64 {
        let changes: Vec<_> = (0..100).map(|number| set(&format!("d/{}", part * 100 + number), number)).collect();
        fixture.commit(&changes).unwrap();
    }
    let proof = proven(&fixture, path("d/142"));
    assert_eq!(proof.path("main", &parsed("d/142")), Ok(Some(Entry::Module(module(42)))));
    let folder = proven(&fixture, path("d")).path("main", &parsed("d")).unwrap();
    assert!(matches!(folder, Some(Entry::Folder(_))));
    for absent in ["d/x", "x", "d/1/2", "x/y/z"] {
        assert_eq!(proven(&fixture, path(absent)).path("main", &parsed(absent)), Ok(None), "{absent}");
    }
    let size: usize = witness(&fixture, path("d/142")).objects.iter().map(|object| object.len()).sum();
    assert!(size < 10_000, "{size}");
}

#[test]
fn should_not_prove_anything_with_a_wrong_or_stale_witness() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1), set("d/b", 2)]).unwrap();
    let stale = witness(&fixture, path("a"));
    fixture.commit(&[set("a", 3)]).unwrap();
    let certified = fixture.state.borrow().certified_data();
    assert!(matches!(Proven::check(&stale, &certified), Err(ProofError::NotCertified { .. })));

    let good = witness(&fixture, path("a"));
    let mut mixed = good.clone();
    mixed.objects = stale.objects.clone();
    let refused = Proven::check(&mixed, &certified).unwrap().path("main", &parsed("a"));
    assert!(matches!(refused, Err(ProofError::MissingObject { .. })));
    for index in 0..good.objects.len() {
        let mut changed = good.clone();
        let last = changed.objects[index].len() - 1;
        changed.objects[index][last] ^= 1;
        let refused = Proven::check(&changed, &certified).and_then(|proof| proof.path("main", &parsed("a")));
        assert!(refused.is_err(), "{refused:?}");
    }
    let mut other_heads = good.clone();
    other_heads.heads = Some(module(5));
    assert!(matches!(Proven::check(&other_heads, &certified), Err(ProofError::NotCertified { .. })));
    let mut garbage = good;
    garbage.objects.push(ByteBuf::from(vec![0xff]));
    assert!(matches!(Proven::check(&garbage, &certified), Err(ProofError::Malformed)));
    assert!(proven(&fixture, path("a")).path("dev", &parsed("a")).is_err());
}

#[test]
fn should_prove_versions_by_the_commits_between() {
    let fixture = Fixture::new();
    let commits: Vec<_> = (0..20).map(|number| fixture.commit(&[set("a", number)]).unwrap()).collect();
    let target = |index| ProofTarget::PathVersion { branch: "main".to_string(), path: "a".to_string(), index };
    let proof = proven(&fixture, target(4));
    assert_eq!(proof.path_in("main", &commits[4].id, &parsed("a")), Ok(Some(Entry::Module(module(4)))));
    let outside = proof.path_in("main", &commits[3].id, &parsed("a"));
    assert!(outside.is_err(), "{outside:?}");
    let unknown = fixture.state.borrow().prove(&target(20), Some(vec![]));
    assert_eq!(unknown, Err(ProveError::UnknownVersion { versions: 20 }));
    for number in 0..MAX_PROOF_COMMITS as u64 - 20 {
        fixture.commit(&[set("b", number)]).unwrap();
    }
    assert!(fixture.state.borrow().prove(&target(0), Some(vec![])).is_ok());
    fixture.commit(&[remove("b")]).unwrap();
    let refused = fixture.state.borrow().prove(&target(0), Some(vec![]));
    assert_eq!(refused, Err(ProveError::TooManyCommits { max: MAX_PROOF_COMMITS as u32 }));
}

#[test]
fn should_prove_releases_as_they_are_shown() {
    let fixture = Fixture::new();
    let target = |version: &str| ProofTarget::Release { package: "p".to_string(), version: version.to_string() };
    assert!(proven(&fixture, target("1.0.0")).release(&fixture.twin_release()).is_err());
    for number in 0..30 {
        fixture.publish("p", &format!("1.0.{number}"), number).unwrap();
    }
    let args = VersionArgs { package: "p".to_string(), version: "1.0.7".to_string() };
    let release = fixture.state.borrow().version_info(&args).unwrap();
    let proof = proven(&fixture, target("1.0.7"));
    assert_eq!(proof.release(&release), Ok(()));
    let other = ReleaseInfo { module_hash: module(99), ..release.clone() };
    assert_eq!(proof.release(&other), Err(ProofError::OtherRelease));
    let absent = ReleaseInfo { version: "2.0.0".to_string(), ..release };
    assert_eq!(proven(&fixture, target("2.0.0")).release(&absent), Err(ProofError::OtherRelease));
    let unknown = fixture.state.borrow().prove(&target("x"), Some(vec![]));
    assert!(matches!(unknown, Err(ProveError::UnknownRelease { .. })));
}

impl Fixture {
    /// A release that is not published.
    fn twin_release(&self) -> ReleaseInfo {
        let other = Fixture::new();
        other.publish("p", "1.0.0", 1).unwrap()
    }
}

#[test]
fn should_certify_the_same_after_an_upgrade_and_say_when_there_is_no_certificate() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let before = fixture.state.borrow().certified_data();
    fixture.reopen();
    assert_eq!(fixture.state.borrow().certified_data(), before);
    assert_eq!(fixture.state.borrow().prove(&head("main"), None), Err(ProveError::NoCertificate));
    let unknown = fixture
        .state
        .borrow()
        .prove(&ProofTarget::Path { branch: "x".to_string(), path: "a".to_string() }, Some(vec![]));
    assert_eq!(unknown, Err(ProveError::UnknownBranch { branch: "x".to_string() }));
}
