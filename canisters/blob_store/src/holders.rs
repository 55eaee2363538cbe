//! Who may retain modules: principals on a list that controllers keep.

use candid::Principal;
use depot_types::blob_store::HolderError;
use ic_stable_structures::Memory;

use crate::{access::Caller, limits::MAX_HOLDERS, state::State, storable::StoredHolder};

impl<M: Memory> State<M> {
    /// Lists the holders, without those that were removed.
    pub fn holders(&self) -> Vec<Principal> {
        let holders = self.holders.iter().filter(|entry| !entry.value().leaving);
        holders.map(|entry| *entry.key()).collect()
    }

    /// Allows a principal to retain modules; does nothing when it may already.
    ///
    /// # Errors
    /// [`HolderError`]; nothing was changed.
    pub fn add_holder(&mut self, caller: Caller, holder: Principal) -> Result<(), HolderError> {
        check_controller(caller)?;
        self.check_new_holders(&[holder])?;
        self.insert_holders(&[holder]);
        Ok(())
    }

    /// Takes a principal from the list; does nothing when it is not there.
    ///
    /// What it retained is released little by little, with the cleaning up.
    ///
    /// # Errors
    /// [`HolderError::NotController`]; nothing was changed.
    pub fn remove_holder(&mut self, caller: Caller, holder: Principal) -> Result<(), HolderError> {
        check_controller(caller)?;
        if let Some(record) = self.holders.get(&holder) {
            if record.references == 0 {
                self.holders.remove(&holder);
            } else {
                self.holders.insert(holder, StoredHolder { leaving: true, ..record });
            }
        }
        Ok(())
    }

    /// Returns true when the principal may retain modules.
    pub(crate) fn is_holder(&self, principal: &Principal) -> bool {
        self.holders.get(principal).is_some_and(|holder| !holder.leaving)
    }

    /// Checks that all of these principals can be on the list, beside those that are.
    pub(crate) fn check_new_holders(&self, holders: &[Principal]) -> Result<(), HolderError> {
        if holders.contains(&Principal::anonymous()) {
            return Err(HolderError::AnonymousHolder);
        }
        let mut new: Vec<&Principal> = Vec::new();
        for holder in holders {
            match self.holders.get(holder) {
                Some(StoredHolder { leaving: true, references }) => {
                    return Err(HolderError::HolderLeaving { references });
                }
                Some(_) => {}
                None => new.push(holder),
            }
        }
        new.sort_unstable();
        new.dedup();
        if self.holders.len() + new.len() as u64 > u64::from(MAX_HOLDERS) {
            return Err(HolderError::TooManyHolders { max: MAX_HOLDERS });
        }
        Ok(())
    }

    /// Adds principals that were checked.
    pub(crate) fn insert_holders(&mut self, holders: &[Principal]) {
        for holder in holders {
            if !self.holders.contains_key(holder) {
                self.holders.insert(*holder, StoredHolder::default());
            }
        }
    }
}

fn check_controller(caller: Caller) -> Result<(), HolderError> {
    if caller.is_controller { Ok(()) } else { Err(HolderError::NotController { caller: caller.principal }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{ALICE, CATALOG, CONTROLLER, Module, NOW, new_state, principal, seal, uploader};

    #[test]
    fn should_let_controllers_only_change_the_list() {
        let mut state = new_state();
        let refused = Err(HolderError::NotController { caller: ALICE });
        assert_eq!(state.add_holder(uploader(ALICE), ALICE), refused);
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        assert_eq!(state.remove_holder(uploader(ALICE), CATALOG), refused);
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        assert_eq!(state.holders(), [CATALOG]);
        state.remove_holder(CONTROLLER, CATALOG).unwrap();
        state.remove_holder(CONTROLLER, CATALOG).unwrap();
        assert_eq!(state.holders(), []);
    }

    #[test]
    fn should_have_so_many_holders_and_no_more() {
        let mut state = new_state();
        for number in 0..u64::from(MAX_HOLDERS) {
            state.add_holder(CONTROLLER, principal(1_000 + number)).unwrap();
        }
        let full = Err(HolderError::TooManyHolders { max: MAX_HOLDERS });
        assert_eq!(state.add_holder(CONTROLLER, CATALOG), full);
        state.add_holder(CONTROLLER, principal(1_000)).unwrap();
        state.remove_holder(CONTROLLER, principal(1_000)).unwrap();
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        assert_eq!(state.add_holder(CONTROLLER, Principal::anonymous()), Err(HolderError::AnonymousHolder));
    }

    #[test]
    fn should_not_take_a_holder_back_before_its_references_are_gone() {
        let mut state = new_state();
        let module = Module::small(1);
        seal(&mut state, ALICE, &module);
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        state.retain(CATALOG, &[module.hash]).unwrap();
        state.remove_holder(CONTROLLER, CATALOG).unwrap();
        assert_eq!(state.holders(), []);
        assert_eq!(state.add_holder(CONTROLLER, CATALOG), Err(HolderError::HolderLeaving { references: 1 }));
        let report = state.collect(NOW);
        assert_eq!((report.references_dropped, report.more), (1, false));
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        state.check_invariants();
    }
}
