use depot_types::{
    catalog::FindError,
    limits::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES},
};

use super::*;
use crate::test_fixtures::{Fixture, module, set};

/// A package `p` with versions in no order, each with a module of its own, and neighbours in the map.
fn published() -> Fixture {
    let fixture = Fixture::new();
    let versions = ["1.2.0", "0.9.0", "1.10.0", "2.0.0-rc.1", "1.9.0", "1.2.3", "2.0.0-rc.2", "1.2.3+b", "0.9.1"];
    for (number, version) in versions.into_iter().enumerate() {
        fixture.publish("p", version, number as u64).unwrap();
    }
    for neighbour in ["o", "p-", "p0", "q"] {
        fixture.publish(neighbour, "9.0.0", 100).unwrap();
    }
    fixture
}

const NEWEST_FIRST: [&str; 9] =
    ["2.0.0-rc.2", "2.0.0-rc.1", "1.10.0", "1.9.0", "1.2.3+b", "1.2.3", "1.2.0", "0.9.1", "0.9.0"];

fn page(fixture: &Fixture, after: Option<&str>, limit: Option<u32>) -> (Vec<String>, Option<String>) {
    let args = ListVersionsArgs { package: "p".to_string(), after: after.map(str::to_string), limit };
    let VersionPage { versions, next } = fixture.state.borrow().list_versions(&args).unwrap();
    (versions.into_iter().map(|summary| summary.version).collect(), next)
}

#[test]
fn should_list_newest_first_page_by_page() {
    let fixture = published();
    for limit in 1..=10 {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let (versions, next) = page(&fixture, after.as_deref(), Some(limit));
            assert!(!versions.is_empty() && versions.len() <= limit as usize);
            listed.extend(versions);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, NEWEST_FIRST, "{limit}");
    }
}

#[test]
fn should_list_after_versions_that_do_not_exist() {
    let fixture = published();
    assert_eq!(page(&fixture, Some("1.5.0"), Some(2)).0, ["1.2.3+b", "1.2.3"]);
    assert_eq!(page(&fixture, Some("0.0.1"), None), (vec![], None));
}

#[test]
fn should_hold_page_limits_at_and_one_past() {
    let fixture = Fixture::new();
    for number in 0..=MAX_PAGE_ENTRIES {
        fixture.publish("p", &format!("1.0.{number}"), 1).unwrap();
    }
    let entries = |limit| page(&fixture, None, limit).0.len() as u32;
    assert_eq!(entries(None), DEFAULT_PAGE_ENTRIES);
    assert_eq!(entries(Some(0)), 1);
    assert_eq!(entries(Some(MAX_PAGE_ENTRIES)), MAX_PAGE_ENTRIES);
    assert_eq!(entries(Some(u32::MAX)), MAX_PAGE_ENTRIES);
    assert_eq!(page(&fixture, None, Some(u32::MAX)).1.as_deref(), Some("1.0.1"));
}

#[test]
fn should_tell_unknown_packages_from_unknown_versions() {
    let fixture = published();
    let state = fixture.state.borrow();
    let ask = |package: &str, version: &str| {
        state.version_info(&VersionArgs { package: package.to_string(), version: version.to_string() })
    };
    assert_eq!(ask("p", "1.2.3").unwrap().module_hash, module(5));
    assert_eq!(ask("x", "1.2.3"), Err(VersionError::UnknownPackage { package: "x".to_string() }));
    assert_eq!(ask("p", "9.0.0"), Err(VersionError::UnknownVersion { version: "9.0.0".to_string() }));
    assert_eq!(ask("p", "9"), Err(VersionError::InvalidVersion { version: "9".to_string() }));
    let list = |package: &str, after: Option<&str>| {
        let args = ListVersionsArgs { package: package.to_string(), after: after.map(str::to_string), limit: None };
        state.list_versions(&args)
    };
    assert_eq!(list("x", None), Err(VersionError::UnknownPackage { package: "x".to_string() }));
    assert_eq!(list("p", Some("1")), Err(VersionError::InvalidVersion { version: "1".to_string() }));
}

fn resolve(fixture: &Fixture, package: &str, requirement: &str) -> Result<ResolvedModule, ResolveError> {
    let (package, requirement) = (package.to_string(), requirement.to_string());
    fixture.state.borrow().resolve(&CatalogSource::Release { package, requirement })
}

#[test]
fn should_resolve_to_the_newest_version_allowed() {
    let fixture = published();
    for (requirement, version) in [
        ("*", "1.10.0"),
        ("^1.2", "1.10.0"),
        ("1", "1.10.0"),
        ("1.2", "1.10.0"),
        ("~1.2", "1.2.3+b"),
        (">=1.2, <1.10", "1.9.0"),
        ("=1.2.3", "1.2.3+b"),
        ("1.2.3", "1.2.3"),
        (" 1.2.0 ", "1.2.0"),
        ("1.2.3+b", "1.2.3+b"),
        ("0.9", "0.9.1"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
        ("^2.0.0-rc.1", "2.0.0-rc.2"),
        ("=2.0.0-rc.1", "2.0.0-rc.1"),
    ] {
        let resolved = resolve(&fixture, "p", requirement).unwrap();
        assert_eq!(resolved.version.as_deref(), Some(version), "{requirement}");
        assert_eq!(resolved.commit, None);
        let args = VersionArgs { package: "p".to_string(), version: version.to_string() };
        assert_eq!(resolved.module_hash, fixture.state.borrow().version_info(&args).unwrap().module_hash);
    }
}

#[test]
fn should_say_why_a_requirement_resolves_to_nothing() {
    let fixture = published();
    // 2.0.0 exists as a prerelease only, which a requirement without one does not allow.
    for requirement in ["2.0.0", "^2", ">2", "^1.11", "1.2.1", "1.2.0+x"] {
        let (package, text) = ("p".to_string(), requirement.to_string());
        let expected = Err(ResolveError::NoMatchingVersion { package, requirement: text });
        assert_eq!(resolve(&fixture, "p", requirement), expected);
    }
    for requirement in ["", "latest", "1.2.3.4", "^"] {
        let expected = Err(ResolveError::InvalidRequirement { requirement: requirement.to_string() });
        assert_eq!(resolve(&fixture, "p", requirement), expected);
    }
    assert_eq!(resolve(&fixture, "x", "*"), Err(ResolveError::UnknownPackage { package: "x".to_string() }));
}

#[test]
fn should_hold_the_length_of_a_requirement_at_and_one_past() {
    let fixture = published();
    let long = |bytes: usize| format!("{:bytes$}", "*");
    assert!(resolve(&fixture, "p", &long(MAX_REQUIREMENT_BYTES)).is_ok());
    let expected = Err(ResolveError::InvalidRequirement { requirement: long(MAX_REQUIREMENT_BYTES) });
    assert_eq!(resolve(&fixture, "p", &long(MAX_REQUIREMENT_BYTES + 1)), expected);
}

#[test]
fn should_resolve_paths_to_what_they_name_now() {
    let fixture = Fixture::new();
    let source = |path: &str| CatalogSource::Path { branch: None, path: path.to_string() };
    fixture.commit(&[set("a", 1)]).unwrap();
    let commit = Some(fixture.commit(&[set("a", 2)]).unwrap().id);
    let state = fixture.state.borrow();
    assert_eq!(state.resolve(&source("a")), Ok(ResolvedModule { module_hash: module(2), version: None, commit }));
    let expected = ResolveError::Path(FindError::NotFound { path: "b".to_string() });
    assert_eq!(state.resolve(&source("b")), Err(expected));
}
