//! The history of one path.

use depot_types::{
    Hash,
    catalog::{
        AuditArgs, AuditPage, PathAudit, PathVersion, PathVersionArgs, PathVersionsArgs, PathVersionsPage, QueryError,
    },
    objects::{Commit, Entry},
};
use ic_stable_structures::Memory;

use super::{Start, cursor, page, path_entry, read_path, take};
use crate::{
    history::{Fields, Found, Path, PlaceOfChange},
    state::State,
};

impl<M: Memory> State<M> {
    /// Lists the versions of a path, oldest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn path_versions(&self, args: &PathVersionsArgs) -> Result<PathVersionsPage, QueryError> {
        let path = Path::new(&read_path(&args.path)?);
        let Some(Start { commit, after }) = self.start_of(args.at.as_ref(), args.after.as_ref())? else {
            return Ok(PathVersionsPage { versions: vec![], total: 0, next: None });
        };
        let first = match after {
            Some(after) => u32::from_be_bytes(take(&mut after.as_slice())?),
            None => 0,
        };
        let Some(last) = self.last_change(&path, self.place_of(&commit).place) else {
            return Ok(PathVersionsPage { versions: vec![], total: 0, next: None });
        };
        let total = last.node.versions;
        let end = first.saturating_add(page(args.limit) as u32).min(total);
        // From the last one of the page backwards: each version knows the one before.
        let mut versions = vec![];
        let mut found = if end > first { self.version_change(&path, &last.node, end) } else { None };
        while let Some(version) = found.take_if(|found| found.node.versions > first) {
            found = self.version_before(&path, &version.node);
            versions.push(self.path_version(&version));
        }
        versions.reverse();
        let next = (end < total && end > first).then(|| cursor(&commit, &end.to_be_bytes()));
        Ok(PathVersionsPage { versions, total, next })
    }

    /// Returns a version of a path.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn path_version_at(&self, args: &PathVersionArgs) -> Result<PathVersion, QueryError> {
        let path = Path::new(&read_path(&args.path)?);
        let commit = self.revision(args.at.as_ref())?;
        let last = self.last_change(&path, self.place_of(&commit).place);
        let versions = last.as_ref().map_or(0, |last| last.node.versions);
        let number = args.index.checked_add(1);
        let found = last.zip(number).and_then(|(last, number)| self.version_change(&path, &last.node, number));
        found.map(|found| self.path_version(&found)).ok_or(QueryError::UnknownVersion { versions })
    }

    fn path_version(&self, found: &Found) -> PathVersion {
        let module_hash = match found.node.entry {
            Some(Entry::Module(hash)) => hash,
            Some(Entry::Folder(_)) | None => panic!("BUG: a version of a path is no module"),
        };
        let commit = self.commit_place(found.node.commit).id;
        PathVersion { index: found.node.versions - 1, module_hash, commit }
    }

    /// Lists the changes of a path, latest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn audit(&self, args: &AuditArgs) -> Result<AuditPage, QueryError> {
        let path = Path::new(&read_path(&args.path)?);
        let Some(Start { commit, after }) = self.start_of(args.at.as_ref(), args.after.as_ref())? else {
            return Ok(AuditPage { changes: vec![], next: None });
        };
        let mut found = match after {
            Some(after) => {
                let bytes: [u8; PlaceOfChange::BYTES] = take(&mut after.as_slice())?;
                let at = PlaceOfChange::read(&mut Fields(&bytes));
                Some(self.stored_change(&path, at).ok_or(QueryError::InvalidCursor)?)
            }
            None => self.last_change(&path, self.place_of(&commit).place),
        };
        let limit = page(args.limit);
        let mut changes = vec![];
        while changes.len() < limit
            && let Some(change) = found.take()
        {
            found = self.change_before(&path, &change.node);
            changes.push(self.path_audit(&change));
        }
        let next = found.map(|found| cursor(&commit, &found.at.to_array()));
        Ok(AuditPage { changes, next })
    }

    fn path_audit(&self, change: &Found) -> PathAudit {
        let commit: Hash = self.commit_place(change.node.commit).id;
        let Commit { author, author_name, message, time_ns, .. } = self.stored_commit(&commit);
        PathAudit { entry: change.node.entry.map(path_entry), commit, author, author_name, message, time_ns }
    }
}
