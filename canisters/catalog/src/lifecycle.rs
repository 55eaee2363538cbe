//! Installation and upgrade.

use std::fmt;

use candid::Principal;
use depot_types::catalog::CatalogArgs;
use ic_stable_structures::Memory;

use crate::{
    publishers::check_new_publishers,
    state::State,
    stored::{Record, StoredConfig, StoredSettings},
};

/// Why the canister cannot be installed or upgraded with the arguments given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidArgs {
    /// No blob store is named at installation.
    MissingBlobStore,
    /// The principal named cannot be a blob store.
    InvalidBlobStore(Principal),
    /// The anonymous principal is among the publishers.
    AnonymousPublisher,
    /// There would be too many publishers.
    TooManyPublishers {
        /// Publishers allowed.
        max: u32,
    },
}

impl fmt::Display for InvalidArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingBlobStore => f.write_str(
                "the catalog needs to know its blob store: install it with \
                 (record { blob_store = opt principal \"…\"; publishers = vec {} })",
            ),
            Self::InvalidBlobStore(principal) => write!(f, "{principal} cannot be the blob store: it is no canister"),
            Self::AnonymousPublisher => f.write_str("the anonymous principal cannot be a publisher"),
            Self::TooManyPublishers { max } => write!(f, "the list of publishers can have {max} entries only"),
        }
    }
}

impl std::error::Error for InvalidArgs {}

/// Makes a new state ready for use.
///
/// # Errors
/// [`InvalidArgs`]; nothing was changed.
pub fn install<M: Memory>(state: &mut State<M>, args: CatalogArgs) -> Result<(), InvalidArgs> {
    if args.blob_store.is_none() {
        return Err(InvalidArgs::MissingBlobStore);
    }
    upgrade(state, args)
}

/// Takes over the arguments of an upgrade: names another blob store, if one is given, and adds publishers.
///
/// # Errors
/// [`InvalidArgs`]; nothing was changed.
pub fn upgrade<M: Memory>(state: &mut State<M>, args: CatalogArgs) -> Result<(), InvalidArgs> {
    let CatalogArgs { blob_store, publishers } = args;
    check_new_publishers(state, &publishers)?;
    if let Some(blob_store) = blob_store {
        if blob_store == Principal::anonymous() || blob_store == Principal::management_canister() {
            return Err(InvalidArgs::InvalidBlobStore(blob_store));
        }
        if state.config.get().0 == StoredConfig::Uninitialized {
            let settings = StoredSettings { blob_store, default_branch: None, retain_from: None, collections: 0 };
            state.config.set(Record(StoredConfig::Installed(settings)));
        } else if state.blob_store() != blob_store {
            state.update_settings(|settings| {
                settings.blob_store = blob_store;
                // What one blob store retains another may not have.
                settings.retain_from = Some([0; 32]);
            });
        }
    }
    for publisher in publishers {
        state.publishers.insert(publisher, ());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{ALICE, BLOB_STORE, BOB, args, new_state, principal};

    #[test]
    fn should_require_a_blob_store_at_installation_only() {
        let state = new_state();
        let mut state = state.borrow_mut();
        let without = CatalogArgs { blob_store: None, publishers: vec![BOB] };
        assert_eq!(install(&mut state, without.clone()), Err(InvalidArgs::MissingBlobStore));
        assert!(InvalidArgs::MissingBlobStore.to_string().contains("blob_store = opt principal"));
        upgrade(&mut state, without).unwrap();
        assert_eq!(state.blob_store(), BLOB_STORE);
        assert_eq!(state.publishers(), [ALICE, BOB]);
    }

    #[test]
    fn should_change_the_blob_store_at_an_upgrade() {
        let state = new_state();
        let other = CatalogArgs { blob_store: Some(principal(77)), publishers: vec![] };
        upgrade(&mut state.borrow_mut(), other).unwrap();
        assert_eq!(state.borrow().blob_store(), principal(77));
    }

    #[test]
    fn should_refuse_impossible_arguments_and_change_nothing() {
        let state = new_state();
        let mut state = state.borrow_mut();
        for nobody in [Principal::anonymous(), Principal::management_canister()] {
            let args = CatalogArgs { blob_store: Some(nobody), publishers: vec![BOB] };
            assert_eq!(upgrade(&mut state, args), Err(InvalidArgs::InvalidBlobStore(nobody)));
        }
        let anonymous = CatalogArgs { publishers: vec![BOB, Principal::anonymous()], ..args() };
        assert_eq!(upgrade(&mut state, anonymous), Err(InvalidArgs::AnonymousPublisher));
        assert_eq!(state.publishers(), [ALICE]);
    }
}
