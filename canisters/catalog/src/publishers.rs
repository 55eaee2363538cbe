//! Who may commit and publish: the canister's controllers and the publishers they name.

use std::collections::BTreeSet;

use candid::Principal;
use depot_types::catalog::{EventKind, PublisherError};
use ic_stable_structures::Memory;

use crate::{events::Actor, lifecycle::InvalidArgs, limits::MAX_PUBLISHERS, runtime::Runtime, state::State};

/// Why a caller may neither commit nor publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The caller is anonymous.
    Anonymous,
    /// The caller is neither a controller nor a publisher.
    NotAllowed(Principal),
    /// A backup is being read in.
    Importing,
}

/// Checks that a caller may commit and publish now.
pub(crate) fn check_publisher<M: Memory>(
    state: &State<M>,
    runtime: &impl Runtime,
    caller: Principal,
) -> Result<(), Refusal> {
    if caller == Principal::anonymous() {
        Err(Refusal::Anonymous)
    } else if state.import_position().is_some() {
        Err(Refusal::Importing)
    } else if state.publishers.contains_key(&caller) || runtime.is_controller(&caller) {
        Ok(())
    } else {
        Err(Refusal::NotAllowed(caller))
    }
}

/// Checks that principals can be added to the list together.
pub(crate) fn check_new_publishers<M: Memory>(state: &State<M>, publishers: &[Principal]) -> Result<(), InvalidArgs> {
    if publishers.contains(&Principal::anonymous()) {
        return Err(InvalidArgs::AnonymousPublisher);
    }
    let new: BTreeSet<&Principal> =
        publishers.iter().filter(|publisher| !state.publishers.contains_key(publisher)).collect();
    if state.publishers.len() + new.len() as u64 > MAX_PUBLISHERS {
        return Err(InvalidArgs::TooManyPublishers { max: MAX_PUBLISHERS as u32 });
    }
    Ok(())
}

impl<M: Memory> State<M> {
    /// Lists the publishers.
    pub fn publishers(&self) -> Vec<Principal> {
        self.publishers.iter().map(|entry| *entry.key()).collect()
    }
}

/// Adds a publisher; one that is on the list stays on it.
///
/// # Errors
/// [`PublisherError`]; nothing was changed.
pub fn add_publisher<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    publisher: Principal,
) -> Result<(), PublisherError> {
    check_controller(runtime, caller)?;
    if publisher == Principal::anonymous() {
        return Err(PublisherError::AnonymousPublisher);
    }
    if !state.publishers.contains_key(&publisher) && state.publishers.len() >= MAX_PUBLISHERS {
        return Err(PublisherError::TooManyPublishers { max: MAX_PUBLISHERS as u32 });
    }
    if state.publishers.insert(publisher, ()).is_none() {
        state.log(Actor { caller, now_ns: runtime.now_ns() }, EventKind::PublisherAdded { publisher });
    }
    Ok(())
}

/// Removes a publisher; one that is not on the list stays off it. A controller keeps its rights as such.
///
/// # Errors
/// [`PublisherError::NotController`]; nothing was changed.
pub fn remove_publisher<M: Memory>(
    state: &mut State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    publisher: Principal,
) -> Result<(), PublisherError> {
    check_controller(runtime, caller)?;
    if state.publishers.remove(&publisher).is_some() {
        state.log(Actor { caller, now_ns: runtime.now_ns() }, EventKind::PublisherRemoved { publisher });
    }
    Ok(())
}

fn check_controller(runtime: &impl Runtime, caller: Principal) -> Result<(), PublisherError> {
    if runtime.is_controller(&caller) { Ok(()) } else { Err(PublisherError::NotController { caller }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{ALICE, BOB, CONTROLLER, ScriptedRuntime, new_state, principal};

    #[test]
    fn should_let_controllers_alone_change_the_list() {
        let (state, runtime) = (new_state(), ScriptedRuntime::default());
        let mut state = state.borrow_mut();
        let refused = Err(PublisherError::NotController { caller: ALICE });
        assert_eq!(add_publisher(&mut state, &runtime, ALICE, BOB), refused);
        assert_eq!(remove_publisher(&mut state, &runtime, ALICE, ALICE), refused);
        assert_eq!(state.publishers(), [ALICE]);

        assert_eq!(add_publisher(&mut state, &runtime, CONTROLLER, BOB), Ok(()));
        assert_eq!(add_publisher(&mut state, &runtime, CONTROLLER, BOB), Ok(()));
        assert_eq!(state.publishers(), [ALICE, BOB]);
        assert_eq!(remove_publisher(&mut state, &runtime, CONTROLLER, ALICE), Ok(()));
        assert_eq!(remove_publisher(&mut state, &runtime, CONTROLLER, ALICE), Ok(()));
        assert_eq!(state.publishers(), [BOB]);
    }

    #[test]
    fn should_never_list_the_anonymous_principal() {
        let (state, runtime) = (new_state(), ScriptedRuntime::default());
        let refused = add_publisher(&mut state.borrow_mut(), &runtime, CONTROLLER, Principal::anonymous());
        assert_eq!(refused, Err(PublisherError::AnonymousPublisher));
    }

    #[test]
    fn should_hold_the_number_of_publishers_at_and_one_past() {
        let (state, runtime) = (new_state(), ScriptedRuntime::default());
        let mut state = state.borrow_mut();
        let many: Vec<Principal> = (0..MAX_PUBLISHERS).map(|number| principal(100 + number)).collect();
        let too_many = Err(InvalidArgs::TooManyPublishers { max: MAX_PUBLISHERS as u32 });
        assert_eq!(check_new_publishers(&state, &many), too_many);
        assert_eq!(check_new_publishers(&state, &many[1..]), Ok(()));
        assert_eq!(check_new_publishers(&state, &[&many[1..], &many[1..], &[ALICE]].concat()), Ok(()));
        for publisher in &many[1..] {
            assert_eq!(add_publisher(&mut state, &runtime, CONTROLLER, *publisher), Ok(()));
        }
        let refused = Err(PublisherError::TooManyPublishers { max: MAX_PUBLISHERS as u32 });
        assert_eq!(add_publisher(&mut state, &runtime, CONTROLLER, many[0]), refused);
        assert_eq!(add_publisher(&mut state, &runtime, CONTROLLER, ALICE), Ok(()));
    }

    #[test]
    fn should_tell_who_may_publish() {
        let (state, runtime) = (new_state(), ScriptedRuntime::default());
        let state = state.borrow();
        assert_eq!(check_publisher(&state, &runtime, ALICE), Ok(()));
        assert_eq!(check_publisher(&state, &runtime, CONTROLLER), Ok(()));
        assert_eq!(check_publisher(&state, &runtime, BOB), Err(Refusal::NotAllowed(BOB)));
        assert_eq!(check_publisher(&state, &runtime, Principal::anonymous()), Err(Refusal::Anonymous));
    }
}
