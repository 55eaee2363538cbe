//! Finding what a path names.

use depot_types::{
    catalog::{FindArgs, FindError, Found},
    limits::{MAX_BRANCH_NAME_BYTES, MAX_PATH_BYTES},
    objects::Entry,
    path::ModulePath,
};
use ic_stable_structures::Memory;

use crate::{state::State, text::excerpt};

impl<M: Memory> State<M> {
    /// Finds the module that a path of a branch names.
    ///
    /// # Errors
    /// [`FindError`] says why the path names nothing.
    pub fn find(&self, args: &FindArgs) -> Result<Found, FindError> {
        let branch = args.branch.clone().unwrap_or_else(|| self.default_branch());
        let head = self
            .head(&branch)
            .ok_or_else(|| FindError::UnknownBranch { branch: excerpt(&branch, MAX_BRANCH_NAME_BYTES) })?;
        let path = ModulePath::parse(&args.path)
            .map_err(|reason| FindError::InvalidPath { path: excerpt(&args.path, MAX_PATH_BYTES), reason })?;
        let text = path.to_string();
        let Some(commit) = head else { return Err(FindError::NotFound { path: text }) };
        match self.entry(self.place_of(&commit).tree, path.segments()) {
            Some(Entry::Module(module_hash)) => Ok(Found { path: text, module_hash, commit }),
            Some(Entry::Folder(_)) => Err(FindError::IsFolder { path: text }),
            None => Err(FindError::NotFound { path: text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use depot_types::path::PathError;

    use super::*;
    use crate::test_fixtures::{Fixture, module, set};

    fn find(fixture: &Fixture, path: &str) -> Result<Found, FindError> {
        fixture.state.borrow().find(&FindArgs { branch: None, path: path.to_string() })
    }

    #[test]
    fn should_find_modules_and_tell_folders_apart() {
        let fixture = Fixture::new();
        let commit = fixture.commit(&[set("a/b/c.wasm", 1), set("d", 2)]).unwrap().id;
        let found = Found { path: "a/b/c.wasm".to_string(), module_hash: module(1), commit };
        assert_eq!(find(&fixture, "//a/b//c.wasm"), Ok(found));
        assert_eq!(find(&fixture, "a/b"), Err(FindError::IsFolder { path: "a/b".to_string() }));
        for path in ["a/b/c", "d/e", "e"] {
            assert_eq!(find(&fixture, path), Err(FindError::NotFound { path: path.to_string() }));
        }
        let invalid = FindError::InvalidPath { path: "/".to_string(), reason: PathError::Empty };
        assert_eq!(find(&fixture, "/"), Err(invalid));
    }

    #[test]
    fn should_find_nothing_before_the_first_commit() {
        assert_eq!(find(&Fixture::new(), "a"), Err(FindError::NotFound { path: "a".to_string() }));
    }

    #[test]
    fn should_name_the_branch_that_is_not_there() {
        let fixture = Fixture::new();
        for (branch, named) in [("dev", "dev".to_string()), (&"b".repeat(1_000), "b".repeat(MAX_BRANCH_NAME_BYTES))] {
            let args = FindArgs { branch: Some(branch.to_string()), path: "a".to_string() };
            assert_eq!(fixture.state.borrow().find(&args), Err(FindError::UnknownBranch { branch: named }));
        }
    }
}
