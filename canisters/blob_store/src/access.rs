//! Who may upload: controllers, and the principals on a list that controllers and holders keep.

use candid::Principal;
use depot_types::blob_store::UploaderError;
use ic_stable_structures::Memory;

use crate::{limits::MAX_UPLOADERS, state::State};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The caller.
    pub principal: Principal,
    /// True when the caller controls the store.
    pub is_controller: bool,
}

impl<M: Memory> State<M> {
    /// Lists the uploaders, without the controllers.
    pub fn uploaders(&self) -> Vec<Principal> {
        self.uploaders.keys().collect()
    }

    /// Allows a principal to upload; does nothing when it may already.
    ///
    /// # Errors
    /// [`UploaderError`]; nothing was changed.
    pub fn add_uploader(&mut self, caller: Caller, uploader: Principal) -> Result<(), UploaderError> {
        self.check_may_change_uploaders(caller)?;
        self.check_new_uploaders(&[uploader])?;
        self.uploaders.insert(uploader, ());
        Ok(())
    }

    /// Takes a principal from the list; does nothing when it is not there.
    ///
    /// Uploads that it has open end.
    ///
    /// # Errors
    /// [`UploaderError::NotAllowed`]; nothing was changed.
    pub fn remove_uploader(&mut self, caller: Caller, uploader: Principal) -> Result<(), UploaderError> {
        self.check_may_change_uploaders(caller)?;
        self.uploaders.remove(&uploader);
        for key in self.sessions.keys_of(&uploader) {
            self.drop_upload(&key);
        }
        Ok(())
    }

    /// Checks that all of these principals can be on the list, beside those that are.
    pub(crate) fn check_new_uploaders(&self, uploaders: &[Principal]) -> Result<(), UploaderError> {
        if uploaders.contains(&Principal::anonymous()) {
            return Err(UploaderError::AnonymousUploader);
        }
        let mut new: Vec<&Principal> =
            uploaders.iter().filter(|uploader| !self.uploaders.contains_key(uploader)).collect();
        new.sort_unstable();
        new.dedup();
        if self.uploaders.len() + new.len() as u64 > u64::from(MAX_UPLOADERS) {
            return Err(UploaderError::TooManyUploaders { max: MAX_UPLOADERS });
        }
        Ok(())
    }

    /// Returns true when the caller may upload.
    pub fn may_upload(&self, caller: Caller) -> bool {
        let Caller { principal, is_controller } = caller;
        principal != Principal::anonymous() && (is_controller || self.uploaders.contains_key(&principal))
    }

    fn check_may_change_uploaders(&self, caller: Caller) -> Result<(), UploaderError> {
        if caller.is_controller || self.is_holder(&caller.principal) {
            Ok(())
        } else {
            Err(UploaderError::NotAllowed { caller: caller.principal })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{ALICE, BOB, CATALOG, CONTROLLER, new_state, principal, uploader};

    #[test]
    fn should_let_controllers_and_holders_change_the_list() {
        let mut state = new_state();
        let refused = Err(UploaderError::NotAllowed { caller: ALICE });
        assert_eq!(state.add_uploader(uploader(ALICE), BOB), refused);
        assert_eq!(state.remove_uploader(uploader(ALICE), ALICE), refused);
        state.remove_uploader(CONTROLLER, BOB).unwrap();
        assert_eq!(state.uploaders(), [ALICE]);
        state.add_uploader(CONTROLLER, BOB).unwrap();
        state.add_uploader(CONTROLLER, BOB).unwrap();
        assert_eq!(state.uploaders(), [ALICE, BOB]);
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        state.remove_uploader(uploader(CATALOG), ALICE).unwrap();
        assert_eq!(state.uploaders(), [BOB]);
        state.add_uploader(uploader(CATALOG), ALICE).unwrap();
        assert_eq!(state.uploaders(), [ALICE, BOB]);
        state.remove_holder(CONTROLLER, CATALOG).unwrap();
        let refused = Err(UploaderError::NotAllowed { caller: CATALOG });
        assert_eq!(state.add_uploader(uploader(CATALOG), ALICE), refused);
    }

    #[test]
    fn should_have_so_many_uploaders_and_no_more() {
        let mut state = new_state();
        for number in 0..u64::from(MAX_UPLOADERS) - 2 {
            state.add_uploader(CONTROLLER, principal(1_000 + number)).unwrap();
        }
        assert_eq!(state.uploaders().len(), MAX_UPLOADERS as usize);
        let full = Err(UploaderError::TooManyUploaders { max: MAX_UPLOADERS });
        assert_eq!(state.add_uploader(CONTROLLER, principal(1)), full);
        state.add_uploader(CONTROLLER, ALICE).unwrap();
    }

    #[test]
    fn should_never_let_the_anonymous_principal_upload() {
        let mut state = new_state();
        let anonymous = Principal::anonymous();
        assert_eq!(state.add_uploader(CONTROLLER, anonymous), Err(UploaderError::AnonymousUploader));
        assert!(!state.may_upload(Caller { principal: anonymous, is_controller: true }));
    }

    #[test]
    fn should_let_controllers_and_uploaders_upload() {
        let state = new_state();
        assert!(state.may_upload(CONTROLLER));
        assert!(state.may_upload(uploader(ALICE)));
        assert!(!state.may_upload(uploader(principal(77))));
    }
}
