//! Asking about releases.

use depot_types::{
    Hash,
    catalog::{
        CatalogSource, FindArgs, ListVersionsArgs, ReleaseInfo, ResolveError, ResolvedModule, VersionArgs,
        VersionError, VersionPage, VersionSummary,
    },
    limits::{MAX_PACKAGE_NAME_BYTES, MAX_REQUIREMENT_BYTES, MAX_VERSION_BYTES},
};
use ic_stable_structures::Memory;
use semver::{Version, VersionReq};

use crate::{
    asking::page,
    state::State,
    stored::{Record, StoredRelease},
    text::excerpt,
    version_key::{package_keys, release_key},
};

impl<M: Memory> State<M> {
    /// Lists a page of the versions of a package, newest first.
    ///
    /// # Errors
    /// [`VersionError`]: there is no such package, or `after` is no version. It need not be one of the package.
    pub fn list_versions(&self, args: &ListVersionsArgs) -> Result<VersionPage, VersionError> {
        self.check_package(&args.package)?;
        let mut keys = package_keys(&args.package);
        if let Some(after) = &args.after {
            keys.end = release_key(&args.package, &read_version(after)?);
        }
        let limit = page(args.limit);
        let mut releases = self.releases.range(keys).rev();
        let versions: Vec<VersionSummary> =
            releases.by_ref().take(limit).map(|entry| summary(entry.value().0)).collect();
        let has_more = releases.next().is_some();
        let next = versions.last().filter(|_| has_more).map(|last| last.version.clone());
        Ok(VersionPage { versions, next })
    }

    /// Returns a release.
    ///
    /// # Errors
    /// [`VersionError`]: there is no such package or version.
    pub fn version_info(&self, args: &VersionArgs) -> Result<ReleaseInfo, VersionError> {
        self.check_package(&args.package)?;
        let version = read_version(&args.version)?;
        match self.releases.get(&release_key(&args.package, &version)) {
            Some(Record(release)) => Ok(release_info(args.package.clone(), release)),
            None => Err(VersionError::UnknownVersion { version: version.to_string() }),
        }
    }

    /// Returns the module that a source means now.
    ///
    /// # Errors
    /// [`ResolveError`] says why the source means nothing.
    pub fn resolve(&self, source: &CatalogSource) -> Result<ResolvedModule, ResolveError> {
        match source {
            CatalogSource::Release { package, requirement } => self.resolve_release(package, requirement),
            CatalogSource::Path { branch, path } => {
                let args = FindArgs { branch: branch.clone(), path: path.clone() };
                let found = self.find(&args).map_err(ResolveError::Path)?;
                Ok(ResolvedModule { module_hash: found.module_hash, version: None, commit: Some(found.commit) })
            }
        }
    }

    fn resolve_release(&self, package: &str, text: &str) -> Result<ResolvedModule, ResolveError> {
        let requirement = Requirement::parse(text)
            .ok_or_else(|| ResolveError::InvalidRequirement { requirement: excerpt(text, MAX_REQUIREMENT_BYTES) })?;
        if !self.packages.contains_key(&package.to_string()) {
            return Err(ResolveError::UnknownPackage { package: excerpt(package, MAX_PACKAGE_NAME_BYTES) });
        }
        let release = match &requirement {
            Requirement::Exactly(version) => self.releases.get(&release_key(package, version)).map(|found| found.0),
            Requirement::Matching(requirement) => {
                self.releases.range(package_keys(package)).rev().map(|entry| entry.value().0).find(|release| {
                    parse_version(&release.version).is_some_and(|version| requirement.matches(&version))
                })
            }
        };
        match release {
            Some(StoredRelease { version, module_hash, .. }) => {
                Ok(ResolvedModule { module_hash: Hash::new(module_hash), version: Some(version), commit: None })
            }
            None => {
                Err(ResolveError::NoMatchingVersion { package: package.to_string(), requirement: text.to_string() })
            }
        }
    }

    fn check_package(&self, package: &str) -> Result<(), VersionError> {
        if self.packages.contains_key(&package.to_string()) {
            Ok(())
        } else {
            Err(VersionError::UnknownPackage { package: excerpt(package, MAX_PACKAGE_NAME_BYTES) })
        }
    }
}

/// What a version must be.
enum Requirement {
    /// This one.
    Exactly(Version),
    /// One that the requirement allows; prereleases only where it names one of the same major, minor and patch.
    Matching(VersionReq),
}

impl Requirement {
    /// Reads a requirement, or nothing when the text is too long or not one.
    ///
    /// A full version means exactly that one here: whoever names a release in full shall not get another one, as
    /// would be the case by the rules of Cargo, for which `1.2.3` is `^1.2.3`.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_REQUIREMENT_BYTES {
            return None;
        }
        let text = text.trim();
        match Version::parse(text) {
            Ok(version) => Some(Self::Exactly(version)),
            Err(_) => VersionReq::parse(text).ok().map(Self::Matching),
        }
    }
}

/// Reads a version, or nothing when the text is too long or not one.
pub(crate) fn parse_version(text: &str) -> Option<Version> {
    if text.len() > MAX_VERSION_BYTES { None } else { Version::parse(text).ok() }
}

/// Shows a release of a package on the wire.
pub(crate) fn release_info(package: String, release: StoredRelease) -> ReleaseInfo {
    let StoredRelease { version, module_hash, description, source, publisher, published_at_ns } = release;
    let module_hash = Hash::new(module_hash);
    ReleaseInfo { package, version, module_hash, description, source, publisher, published_at_ns }
}

/// Returns a release as it is stored, and its package.
pub(crate) fn stored_release(release: ReleaseInfo) -> (String, StoredRelease) {
    let ReleaseInfo { package, version, module_hash, description, source, publisher, published_at_ns } = release;
    let module_hash = *module_hash.as_bytes();
    (package, StoredRelease { version, module_hash, description, source, publisher, published_at_ns })
}

fn summary(release: StoredRelease) -> VersionSummary {
    let StoredRelease { version, module_hash, published_at_ns, .. } = release;
    VersionSummary { version, module_hash: Hash::new(module_hash), published_at_ns }
}

fn read_version(text: &str) -> Result<Version, VersionError> {
    parse_version(text).ok_or_else(|| VersionError::InvalidVersion { version: excerpt(text, MAX_VERSION_BYTES) })
}

#[cfg(test)]
mod tests;
