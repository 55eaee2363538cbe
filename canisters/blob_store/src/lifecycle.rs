//! Installation and upgrade.

use std::fmt;

use depot_types::blob_store::{BlobStoreArgs, HolderError, UploaderError};
use ic_stable_structures::Memory;

use crate::{
    limits::{MAX_GRACE_PERIOD_NS, MIN_GRACE_PERIOD_NS},
    state::State,
};

/// Why the canister cannot be installed or upgraded with the arguments given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidArgs {
    /// The uploaders cannot be added.
    Uploaders(UploaderError),
    /// The holders cannot be added.
    Holders(HolderError),
    /// The grace period is too short or too long.
    GracePeriod {
        /// Nanoseconds given.
        given_ns: u64,
    },
}

impl fmt::Display for InvalidArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uploaders(UploaderError::AnonymousUploader) => {
                f.write_str("the anonymous principal cannot be an uploader")
            }
            Self::Uploaders(UploaderError::TooManyUploaders { max }) => {
                write!(f, "the list of uploaders can have {max} entries only")
            }
            Self::Uploaders(UploaderError::NotAllowed { caller }) => {
                write!(f, "{caller} cannot change the list of uploaders")
            }
            Self::Holders(HolderError::AnonymousHolder) => f.write_str("the anonymous principal cannot be a holder"),
            Self::Holders(HolderError::TooManyHolders { max }) => {
                write!(f, "the list of holders can have {max} entries only")
            }
            Self::Holders(HolderError::HolderLeaving { references }) => {
                write!(f, "a holder was removed and its {references} references are still being dropped")
            }
            Self::Holders(HolderError::NotController { caller }) => {
                write!(f, "{caller} is not a controller of the blob store")
            }
            Self::GracePeriod { given_ns } => write!(
                f,
                "the grace period can be {MIN_GRACE_PERIOD_NS} ns (one hour) to {MAX_GRACE_PERIOD_NS} ns (365 days), not \
                 {given_ns} ns"
            ),
        }
    }
}

impl std::error::Error for InvalidArgs {}

/// Takes over the arguments of an installation or an upgrade: adds the uploaders and holders to those that there are,
/// and sets what is given of the rest.
///
/// # Errors
/// [`InvalidArgs`]; nothing was changed.
pub fn apply<M: Memory>(state: &mut State<M>, args: Option<BlobStoreArgs>) -> Result<(), InvalidArgs> {
    let BlobStoreArgs { uploaders, holders, grace_period_ns, max_stored_bytes_per_principal } =
        args.unwrap_or_default();
    let holders = holders.unwrap_or_default();
    state.check_new_uploaders(&uploaders).map_err(InvalidArgs::Uploaders)?;
    state.check_new_holders(&holders).map_err(InvalidArgs::Holders)?;
    if let Some(given_ns) = grace_period_ns
        && !(MIN_GRACE_PERIOD_NS..=MAX_GRACE_PERIOD_NS).contains(&given_ns)
    {
        return Err(InvalidArgs::GracePeriod { given_ns });
    }
    for uploader in uploaders {
        state.uploaders.insert(uploader, ());
    }
    state.insert_holders(&holders);
    if let Some(grace_period_ns) = grace_period_ns {
        state.header.set_grace_period_ns(grace_period_ns);
    }
    if let Some(max_stored_bytes) = max_stored_bytes_per_principal {
        state.header.set_max_stored_bytes(max_stored_bytes);
    }
    // Most stores have few modules, and so are never without certificates. Others go on when they clean up.
    state.renew_certificates();
    Ok(())
}

#[cfg(test)]
mod tests {
    use candid::Principal;

    use super::*;
    use crate::{
        limits::{MAX_HOLDERS, MAX_UPLOADERS},
        test_fixtures::{ALICE, BOB, CATALOG, new_state, principal},
    };

    fn with_uploaders(uploaders: Vec<Principal>) -> Option<BlobStoreArgs> {
        Some(BlobStoreArgs { uploaders, ..BlobStoreArgs::default() })
    }

    fn with_holders(holders: Vec<Principal>) -> Option<BlobStoreArgs> {
        Some(BlobStoreArgs { holders: Some(holders), ..BlobStoreArgs::default() })
    }

    #[test]
    fn should_add_the_principals_named() {
        let mut state = new_state();
        apply(&mut state, with_uploaders(vec![principal(9), ALICE, principal(9)])).unwrap();
        apply(&mut state, with_holders(vec![CATALOG, CATALOG])).unwrap();
        apply(&mut state, with_holders(vec![CATALOG, principal(8)])).unwrap();
        apply(&mut state, None).unwrap();
        assert_eq!(state.uploaders(), [ALICE, BOB, principal(9)]);
        assert_eq!(state.holders(), [CATALOG, principal(8)]);
    }

    #[test]
    fn should_keep_settings_until_others_are_given() {
        let mut state = new_state();
        for grace_period_ns in [MIN_GRACE_PERIOD_NS, MAX_GRACE_PERIOD_NS] {
            let args = BlobStoreArgs {
                grace_period_ns: Some(grace_period_ns),
                max_stored_bytes_per_principal: Some(7),
                ..BlobStoreArgs::default()
            };
            apply(&mut state, Some(args)).unwrap();
            apply(&mut state, None).unwrap();
            assert_eq!(state.header.grace_period_ns(), grace_period_ns);
            assert_eq!(state.header.max_stored_bytes(), 7);
        }
    }

    #[test]
    fn should_refuse_impossible_arguments_and_change_nothing() {
        let mut state = new_state();
        let anonymous = Principal::anonymous();
        let many = |count: u32| (0..u64::from(count)).map(principal).collect();
        for (args, message) in [
            (with_uploaders(vec![principal(9), anonymous]), "the anonymous principal cannot be an uploader"),
            (with_uploaders(many(MAX_UPLOADERS - 1)), "the list of uploaders can have 100 entries only"),
            (with_holders(vec![principal(9), anonymous]), "the anonymous principal cannot be a holder"),
            (with_holders(many(MAX_HOLDERS + 1)), "the list of holders can have 8 entries only"),
        ] {
            assert_eq!(apply(&mut state, args).unwrap_err().to_string(), message);
        }
        for given_ns in [MIN_GRACE_PERIOD_NS - 1, MAX_GRACE_PERIOD_NS + 1] {
            let args =
                BlobStoreArgs { uploaders: vec![principal(9)], grace_period_ns: Some(given_ns), ..Default::default() };
            assert_eq!(apply(&mut state, Some(args)), Err(InvalidArgs::GracePeriod { given_ns }));
        }
        assert_eq!(state.uploaders(), [ALICE, BOB]);
        assert_eq!(state.holders(), []);
    }
}
