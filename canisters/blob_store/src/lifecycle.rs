//! Installation and upgrade.

use std::fmt;

use depot_types::blob_store::{BlobStoreArgs, UploaderError};
use ic_stable_structures::Memory;

use crate::state::State;

/// Why the canister cannot be installed or upgraded with the arguments given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidArgs(UploaderError);

impl fmt::Display for InvalidArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            UploaderError::AnonymousUploader => f.write_str("the anonymous principal cannot be an uploader"),
            UploaderError::TooManyUploaders { max } => {
                write!(f, "the list of uploaders can have {max} entries only")
            }
            UploaderError::NotController { caller } => write!(f, "{caller} is not a controller of the blob store"),
        }
    }
}

impl std::error::Error for InvalidArgs {}

/// Takes over the arguments of an installation or an upgrade: adds the uploaders to those that there are.
///
/// # Errors
/// [`InvalidArgs`]; nothing was changed.
pub fn apply<M: Memory>(state: &mut State<M>, args: Option<BlobStoreArgs>) -> Result<(), InvalidArgs> {
    let BlobStoreArgs { uploaders } = args.unwrap_or_default();
    state.check_new_uploaders(&uploaders).map_err(InvalidArgs)?;
    for uploader in uploaders {
        state.uploaders.insert(uploader, ());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candid::Principal;

    use super::*;
    use crate::{
        limits::MAX_UPLOADERS,
        test_fixtures::{ALICE, BOB, new_state, principal},
    };

    #[test]
    fn should_add_the_uploaders_named() {
        let mut state = new_state();
        apply(&mut state, Some(BlobStoreArgs { uploaders: vec![principal(9), ALICE, principal(9)] })).unwrap();
        apply(&mut state, None).unwrap();
        assert_eq!(state.uploaders(), [ALICE, BOB, principal(9)]);
    }

    #[test]
    fn should_refuse_impossible_arguments_and_change_nothing() {
        let mut state = new_state();
        let anonymous = BlobStoreArgs { uploaders: vec![principal(9), Principal::anonymous()] };
        let refused = apply(&mut state, Some(anonymous)).unwrap_err();
        assert_eq!(refused.to_string(), "the anonymous principal cannot be an uploader");
        let many = BlobStoreArgs { uploaders: (0..u64::from(MAX_UPLOADERS) - 1).map(principal).collect() };
        let refused = apply(&mut state, Some(many)).unwrap_err();
        assert_eq!(refused.to_string(), "the list of uploaders can have 100 entries only");
        assert_eq!(state.uploaders(), [ALICE, BOB]);
    }
}
