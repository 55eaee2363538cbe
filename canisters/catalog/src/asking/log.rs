//! Commits, latest first.

use std::collections::BTreeSet;

use depot_types::{
    Hash,
    catalog::{ListCursor, LogArgs, LogPage, QueryError},
};
use ic_stable_structures::Memory;

use super::{page, take};
use crate::{branches::NoRevision, limits::MAX_LOG_LINES, state::State};

impl<M: Memory> State<M> {
    /// Lists a commit and all that it follows: by their numbers, so that a commit comes before those that it follows.
    ///
    /// The cursor names the commits that are next on each line of history that is open.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn commit_log(&self, args: &LogArgs) -> Result<LogPage, QueryError> {
        let mut open: BTreeSet<u64> = match &args.after {
            Some(after) => self.read_open(after)?,
            None => match self.revision(args.at.as_ref()) {
                Ok(commit) => self.commit_number(&commit).into_iter().collect(),
                Err(NoRevision::EmptyBranch { .. }) => BTreeSet::new(),
                Err(error) => return Err(error.into()),
            },
        };
        let limit = page(args.limit);
        let mut commits = vec![];
        while commits.len() < limit
            && let Some(number) = open.pop_last()
        {
            let place = self.commit_place(number);
            commits.push(self.stored_commit(&place.id).into_info(place.id));
            open.extend(place.parents);
            if open.len() > MAX_LOG_LINES {
                return Err(QueryError::TooManyLines { max: MAX_LOG_LINES as u32 });
            }
        }
        let ids = || open.iter().flat_map(|number| *self.commit_place(*number).id.as_bytes());
        let next = (!open.is_empty()).then(|| ListCursor::from(ids().collect::<Vec<u8>>()));
        Ok(LogPage { commits, next })
    }

    fn read_open(&self, cursor: &ListCursor) -> Result<BTreeSet<u64>, QueryError> {
        let mut rest = cursor.as_slice();
        if rest.is_empty() || rest.len() > MAX_LOG_LINES * Hash::BYTES {
            return Err(QueryError::InvalidCursor);
        }
        let mut open = BTreeSet::new();
        while !rest.is_empty() {
            let commit = Hash::new(take(&mut rest)?);
            open.insert(self.commit_number(&commit).ok_or(QueryError::UnknownCommit { commit })?);
        }
        Ok(open)
    }
}
