//! Who may do what.

use candid::Principal;
use depot_types::catalog::Denied;
use ic_stable_structures::Memory;

use crate::{
    publishers::{Refusal, check_publisher},
    runtime::Runtime,
    state::State,
};

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::AnonymousCaller,
            Refusal::NotAllowed(caller) => Self::NotAllowed { caller },
            Refusal::Importing => Self::Importing,
        }
    }
}

/// Checks that a caller controls the catalog.
pub(crate) fn check_controller(runtime: &impl Runtime, caller: Principal) -> Result<(), Denied> {
    if runtime.is_controller(&caller) { Ok(()) } else { Err(Denied::NotController { caller }) }
}

/// How a branch is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Movement {
    /// To a commit that follows the one it is at.
    Forward,
    /// To any commit, or away.
    Anywhere,
}

/// Checks that a caller may change a branch, if it exists, in such a way.
pub(crate) fn check_branch<M: Memory>(
    state: &State<M>,
    runtime: &impl Runtime,
    caller: Principal,
    branch: &str,
    movement: Movement,
) -> Result<(), Denied> {
    check_publisher(state, runtime, caller)?;
    let is_protected = state.branch(branch).is_some_and(|branch| branch.protected);
    if is_protected && (movement == Movement::Anywhere || !runtime.is_controller(&caller)) {
        return Err(Denied::ProtectedBranch { branch: branch.to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{ALICE, BOB, CONTROLLER, ScriptedRuntime, new_state};

    #[test]
    fn should_let_only_controllers_move_a_protected_branch_and_nobody_move_it_back() {
        let (state, runtime) = (new_state(), ScriptedRuntime::default());
        let mut state = state.borrow_mut();
        let mut main = state.branch("main").unwrap();
        let check = |state: &State<_>, caller, movement| check_branch(state, &runtime, caller, "main", movement);
        assert_eq!(check(&state, ALICE, Movement::Anywhere), Ok(()));
        main.protected = true;
        state.set_branch("main", main);
        let refused = Err(Denied::ProtectedBranch { branch: "main".to_string() });
        assert_eq!(check(&state, ALICE, Movement::Forward), refused);
        assert_eq!(check(&state, CONTROLLER, Movement::Forward), Ok(()));
        assert_eq!(check(&state, CONTROLLER, Movement::Anywhere), refused);
        assert_eq!(check(&state, BOB, Movement::Forward), Err(Denied::NotAllowed { caller: BOB }));
    }
}
