//! Publishing releases.

use std::cell::RefCell;

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{EventKind, PublishArgs, PublishError, ReleaseInfo},
    limits::{MAX_DESCRIPTION_BYTES, MAX_SOURCE_BYTES, MAX_VERSION_BYTES},
    path::check_package_name,
};
use ic_stable_structures::Memory;
use semver::Version;

use crate::{
    blob_store::retain,
    events::Actor,
    limits::MAX_VERSIONS_PER_PACKAGE,
    publishers::{Refusal, check_publisher},
    releases::{parse_version, release_info},
    runtime::Runtime,
    state::State,
    stored::{Record, StoredPackage, StoredRelease},
    text::{check_length, excerpt},
    version_key::release_key,
};

/// Publishes a release: from then on the version of the package means the module.
///
/// 1. Checks everything that can be checked here.
/// 2. Asks the blob store about the module, unless the catalog knows it.
/// 3. Checks again what others may have changed in the meantime, and stores the release.
///
/// # Errors
/// [`PublishError`]; nothing was changed.
pub async fn publish<M: Memory, R: Runtime>(
    state: &RefCell<State<M>>,
    runtime: &R,
    caller: Principal,
    args: PublishArgs,
) -> Result<ReleaseInfo, PublishError> {
    check_publisher(&state.borrow(), runtime, caller)?;
    let version = check_args(&args)?;
    state.borrow().check_free(&args.package, &version)?;
    retain(state, runtime, [args.module_hash]).await?;
    check_publisher(&state.borrow(), runtime, caller)?;
    state.borrow_mut().store_release(args, &version, Actor { caller, now_ns: runtime.now_ns() })
}

fn check_args(args: &PublishArgs) -> Result<Version, PublishError> {
    check_package_name(&args.package).map_err(PublishError::InvalidPackage)?;
    let version = parse_version(&args.version)
        .ok_or_else(|| PublishError::InvalidVersion { version: excerpt(&args.version, MAX_VERSION_BYTES) })?;
    check_length("description", &args.description, MAX_DESCRIPTION_BYTES)?;
    if let Some(source) = &args.source {
        check_length("source", source, MAX_SOURCE_BYTES)?;
    }
    Ok(version)
}

impl<M: Memory> State<M> {
    /// Checks that a package can take this version.
    fn check_free(&self, package: &str, version: &Version) -> Result<(), PublishError> {
        if let Some(Record(release)) = self.releases.get(&release_key(package, version)) {
            return Err(PublishError::AlreadyPublished { module_hash: Hash::new(release.module_hash) });
        }
        if self.version_count(package) >= MAX_VERSIONS_PER_PACKAGE {
            return Err(PublishError::TooManyVersions { max: MAX_VERSIONS_PER_PACKAGE });
        }
        Ok(())
    }

    pub(crate) fn version_count(&self, package: &str) -> u32 {
        self.packages.get(&package.to_string()).map_or(0, |Record(package)| package.versions)
    }

    fn store_release(
        &mut self,
        args: PublishArgs,
        version: &Version,
        actor: Actor,
    ) -> Result<ReleaseInfo, PublishError> {
        self.check_free(&args.package, version)?;
        let Actor { caller: publisher, now_ns: published_at_ns } = actor;
        let PublishArgs { package, version: _, module_hash, description, source } = args;
        let release = StoredRelease {
            version: version.to_string(),
            module_hash: *module_hash.as_bytes(),
            description,
            source,
            publisher,
            published_at_ns,
        };
        let release = self.add_release(package, version, release);
        let ReleaseInfo { package, version, .. } = release.clone();
        self.log(actor, EventKind::ReleasePublished { package, version, module_hash });
        Ok(release)
    }

    /// Stores a release that is new.
    pub(crate) fn add_release(&mut self, package: String, version: &Version, release: StoredRelease) -> ReleaseInfo {
        let versions = self.version_count(&package) + 1;
        self.packages.insert(package.clone(), Record(StoredPackage { versions }));
        self.releases.insert(release_key(&package, version), Record(release.clone()));
        self.keep_module(&Hash::new(release.module_hash));
        let release = release_info(package, release);
        self.certify_release(&release);
        release
    }
}

impl From<Refusal> for PublishError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::AnonymousCaller,
            Refusal::NotAllowed(caller) => Self::NotAllowed { caller },
            Refusal::Importing => Self::Importing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use depot_types::{catalog::VersionArgs, path::NameError};

    use super::*;
    use crate::test_fixtures::{ALICE, BOB, CONTROLLER, Fixture, module, publish_args, set, unavailable};

    #[test]
    fn should_keep_what_was_published_by_whom_and_when() {
        let fixture = Fixture::new();
        fixture.runtime.set_now_ns(7);
        let args = PublishArgs {
            description: "What it is".to_string(),
            source: Some("https://example.org@0123".to_string()),
            ..publish_args("counter", "1.2.3-rc.1+build", 1)
        };
        let release = fixture.publish_as(CONTROLLER, args).unwrap();
        let expected = ReleaseInfo {
            package: "counter".to_string(),
            version: "1.2.3-rc.1+build".to_string(),
            module_hash: module(1),
            description: "What it is".to_string(),
            source: Some("https://example.org@0123".to_string()),
            publisher: CONTROLLER,
            published_at_ns: 7,
        };
        assert_eq!(release, expected);
        let args = VersionArgs { package: expected.package.clone(), version: expected.version.clone() };
        assert_eq!(fixture.state.borrow().version_info(&args), Ok(expected));
    }

    #[test]
    fn should_ask_only_about_modules_that_no_commit_or_release_named() {
        let fixture = Fixture::new();
        fixture.commit(&[set("a", 1)]).unwrap();
        fixture.publish("p", "1.0.0", 1).unwrap();
        fixture.publish("p", "1.0.1", 2).unwrap();
        fixture.publish("q", "1.0.0", 2).unwrap();
        fixture.commit(&[set("a", 2)]).unwrap();
        assert_eq!(fixture.runtime.asked(), [module(1), module(2)]);
    }

    #[test]
    fn should_refuse_callers_without_rights() {
        let fixture = Fixture::new();
        let args = publish_args("p", "1.0.0", 1);
        assert_eq!(fixture.publish_as(Principal::anonymous(), args.clone()), Err(PublishError::AnonymousCaller));
        assert_eq!(fixture.publish_as(BOB, args), Err(PublishError::NotAllowed { caller: BOB }));
        assert_eq!(fixture.runtime.asked(), []);
    }

    #[test]
    fn should_refuse_names_and_versions_that_break_rules() {
        let fixture = Fixture::new();
        let refused = fixture.publish("Upper", "1.0.0", 1);
        assert_eq!(refused, Err(PublishError::InvalidPackage(NameError::InvalidCharacter { position: 0 })));
        for version in ["", "1", "1.0", "v1.0.0", "01.0.0", " 1.0.0", "1.0.0-01"] {
            let expected = Err(PublishError::InvalidVersion { version: version.to_string() });
            assert_eq!(fixture.publish("p", version, 1), expected);
        }
    }

    #[test]
    fn should_hold_text_limits_at_and_one_past() {
        let fixture = Fixture::new();
        let version = |bytes: usize| format!("1.0.0-{}", "a".repeat(bytes - "1.0.0-".len()));
        let longest = PublishArgs {
            description: "d".repeat(MAX_DESCRIPTION_BYTES),
            source: Some("s".repeat(MAX_SOURCE_BYTES)),
            ..publish_args("p", &version(MAX_VERSION_BYTES), 1)
        };
        assert!(fixture.publish_as(ALICE, longest).is_ok());
        let cut = version(MAX_VERSION_BYTES);
        let refused = fixture.publish("p", &version(MAX_VERSION_BYTES + 1), 1);
        assert_eq!(refused, Err(PublishError::InvalidVersion { version: cut }));
        let refused = |field: &str, max: usize| {
            Err(PublishError::TextTooLong { field: field.to_string(), bytes: max as u32 + 1, max: max as u32 })
        };
        let args = publish_args("p", "1.0.0", 1);
        let long = PublishArgs { description: "d".repeat(MAX_DESCRIPTION_BYTES + 1), ..args.clone() };
        assert_eq!(fixture.publish_as(ALICE, long), refused("description", MAX_DESCRIPTION_BYTES));
        let long = PublishArgs { source: Some("s".repeat(MAX_SOURCE_BYTES + 1)), ..args };
        assert_eq!(fixture.publish_as(ALICE, long), refused("source", MAX_SOURCE_BYTES));
    }

    #[test]
    fn should_never_change_a_release() {
        let fixture = Fixture::new();
        fixture.publish("p", "1.0.0", 1).unwrap();
        let refused = Err(PublishError::AlreadyPublished { module_hash: module(1) });
        assert_eq!(fixture.publish("p", "1.0.0", 2), refused);
        assert_eq!(fixture.publish("p", "1.0.0", 1), refused);
        assert_eq!(fixture.runtime.asked(), [module(1)]);
        assert!(fixture.publish("q", "1.0.0", 2).is_ok());
    }

    #[test]
    fn should_hold_the_number_of_versions_at_and_one_past() {
        let fixture = Fixture::new();
        let almost = Record(StoredPackage { versions: MAX_VERSIONS_PER_PACKAGE - 1 });
        fixture.state.borrow_mut().packages.insert("p".to_string(), almost);
        assert!(fixture.publish("p", "1.0.0", 1).is_ok());
        let refused = fixture.publish("p", "1.0.1", 1);
        assert_eq!(refused, Err(PublishError::TooManyVersions { max: MAX_VERSIONS_PER_PACKAGE }));
        assert!(fixture.publish("q", "1.0.1", 1).is_ok());
    }

    #[test]
    fn should_refuse_modules_that_are_not_sealed_or_not_known_to_be() {
        let fixture = Fixture::new();
        fixture.runtime.answer(module(1), Ok(false));
        fixture.runtime.answer(module(2), Err(unavailable()));
        let refused = fixture.publish("p", "1.0.0", 1);
        assert_eq!(refused, Err(PublishError::UnknownModule { module_hash: module(1) }));
        let refused = fixture.publish("p", "1.0.0", 2);
        assert_eq!(refused, Err(PublishError::BlobStoreUnavailable(unavailable())));
        let state = fixture.state.borrow();
        assert!(state.releases.is_empty() && state.packages.is_empty() && state.modules.is_empty());
    }

    #[test]
    fn should_notice_a_release_that_was_published_during_the_call() {
        let fixture = Fixture::new();
        let other = fixture.twin();
        fixture.runtime.during_next_call(move || _ = other.publish("p", "1.0.0", 2).unwrap());
        let refused = fixture.publish("p", "1.0.0", 1);
        assert_eq!(refused, Err(PublishError::AlreadyPublished { module_hash: module(2) }));
    }

    #[test]
    fn should_refuse_a_publisher_who_was_removed_during_the_call() {
        let fixture = Fixture::new();
        let state = Rc::clone(&fixture.state);
        fixture.runtime.during_next_call(move || _ = state.borrow_mut().publishers.remove(&ALICE));
        assert_eq!(fixture.publish("p", "1.0.0", 1), Err(PublishError::NotAllowed { caller: ALICE }));
        assert!(fixture.state.borrow().releases.is_empty());
    }
}
