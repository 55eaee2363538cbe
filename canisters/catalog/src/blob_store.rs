//! The modules that the blob store retains for the catalog.
//!
//! A module is named only while the blob store retains it. `modules` holds all that it is known to retain; garbage
//! collection moves those that nothing names any more to `leaving` before it tells the blob store, so that a change
//! which names one of them again, even while the blob store is being told, retains it anew. `leaving` also has those that
//! the catalog names and the blob store was found not to have.

use std::{cell::RefCell, ops::Bound};

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{CallFailure, ModuleError, RetainModulesArgs, RetainModulesError, RetainStatus},
};
use ic_stable_structures::Memory;

use crate::{
    access::check_controller,
    limits::{MAX_MODULES_PER_CALL, MAX_RETAIN_ROUNDS},
    runtime::{BlobStoreFailure, Runtime},
    state::State,
    stored::StoredHash,
};

/// Lets the blob store retain modules, as far as it is not known to. After that, none of them is unknown, and nothing
/// is awaited before the state is looked at next.
///
/// # Errors
/// [`ModuleError`]; what was retained by then stays known to be, and garbage collection releases it.
pub(crate) async fn retain<M: Memory>(
    state: &RefCell<State<M>>,
    runtime: &impl Runtime,
    modules: impl IntoIterator<Item = Hash> + Clone,
) -> Result<(), ModuleError> {
    let mut unknown = state.borrow().unknown_modules(modules.clone());
    let mut rounds = 0;
    while !unknown.is_empty() {
        if rounds > MAX_RETAIN_ROUNDS {
            return Err(ModuleError::BlobStoreUnavailable(gave_up()));
        }
        rounds += 1;
        let blob_store = state.borrow().blob_store();
        for part in unknown.chunks(MAX_MODULES_PER_CALL) {
            let missing = ask(state, runtime, blob_store, part).await?;
            let mut state = state.borrow_mut();
            for module in part.iter().filter(|module| !missing.contains(module)) {
                state.record_retained(module);
            }
            if let Some(module_hash) = part.iter().find(|module| missing.contains(module)) {
                return Err(ModuleError::UnknownModule { module_hash: *module_hash });
            }
        }
        // Others may have let go of some of them while the rest was asked for.
        unknown = state.borrow().leaving_modules(modules.clone());
    }
    Ok(())
}

fn gave_up() -> CallFailure {
    let message = "modules are being released as often as they are retained; try again".to_string();
    CallFailure { method: "retain".to_string(), reject_code: 0, message }
}

/// Asks the blob store to retain modules; returns those that it does not have.
async fn ask<M: Memory>(
    state: &RefCell<State<M>>,
    runtime: &impl Runtime,
    blob_store: Principal,
    modules: &[Hash],
) -> Result<Vec<Hash>, ModuleError> {
    let _asking = Asking::begin(state, modules);
    runtime.retain(blob_store, modules).await.map_err(|failure| module_error(failure, blob_store))
}

/// Keeps garbage collection from releasing modules that the blob store is being asked to retain. Dropped with the answer,
/// also when the message traps after it.
#[must_use]
struct Asking<'a, M: Memory> {
    state: &'a RefCell<State<M>>,
    modules: &'a [Hash],
}

impl<'a, M: Memory> Asking<'a, M> {
    fn begin(state: &'a RefCell<State<M>>, modules: &'a [Hash]) -> Self {
        for module in modules {
            *state.borrow_mut().unstable_retaining.entry(*module).or_default() += 1;
        }
        Self { state, modules }
    }
}

impl<M: Memory> Drop for Asking<'_, M> {
    fn drop(&mut self) {
        let retaining = &mut self.state.borrow_mut().unstable_retaining;
        for module in self.modules {
            if let Some(calls) = retaining.get_mut(module) {
                *calls = calls.saturating_sub(1);
            }
        }
        retaining.retain(|_, calls| *calls > 0);
    }
}

pub(crate) fn module_error(failure: BlobStoreFailure, blob_store: Principal) -> ModuleError {
    match failure {
        BlobStoreFailure::NotHolder => ModuleError::NotHolder { blob_store },
        BlobStoreFailure::Unavailable(failure) => ModuleError::BlobStoreUnavailable(failure),
    }
}

/// Asks the blob store to retain the next modules of all that the catalog names, as is needed after a backup was read
/// in, after an upgrade from the layout that did not retain them, and for another blob store.
///
/// # Errors
/// [`RetainModulesError`]; a further call goes on where this one ended.
pub async fn retain_modules<M: Memory>(
    state: &RefCell<State<M>>,
    runtime: &impl Runtime,
    caller: Principal,
    args: RetainModulesArgs,
) -> Result<RetainStatus, RetainModulesError> {
    check_controller(runtime, caller).map_err(RetainModulesError::Denied)?;
    if args.restart == Some(true) {
        state.borrow_mut().update_settings(|settings| settings.retain_from = Some([0; 32]));
    }
    retain_next(state, runtime).await.map_err(RetainModulesError::BlobStore)
}

/// Does the same for everybody: nothing is retained but what the catalog names.
async fn retain_next<M: Memory>(
    state: &RefCell<State<M>>,
    runtime: &impl Runtime,
) -> Result<RetainStatus, ModuleError> {
    let (blob_store, from, modules) = {
        let state = state.borrow();
        let Some(from) = state.installed().retain_from else {
            return Ok(RetainStatus { finished: true, missing: vec![] });
        };
        let modules: Vec<Hash> =
            state.modules.range(from..).take(MAX_MODULES_PER_CALL).map(|entry| Hash::new(*entry.key())).collect();
        (state.blob_store(), from, modules)
    };
    let missing = if modules.is_empty() { vec![] } else { ask(state, runtime, blob_store, &modules).await? };
    let mut state = state.borrow_mut();
    for module in &modules {
        // Whoever names a missing one again has it asked for again.
        match missing.contains(module) {
            true => _ = state.leaving.insert(*module.as_bytes(), ()),
            false => state.record_retained(module),
        }
    }
    let next = modules.last().filter(|_| modules.len() == MAX_MODULES_PER_CALL).and_then(successor);
    // Another call may have gone further meanwhile, or another blob store been named.
    if state.installed().retain_from == Some(from) && state.blob_store() == blob_store {
        state.update_settings(|settings| settings.retain_from = next);
    }
    Ok(RetainStatus { finished: state.installed().retain_from.is_none(), missing })
}

/// Lets the blob store retain all that the catalog names, as far as it is not known to, those among them that it did not
/// have: they may have been uploaded since.
///
/// Nobody has to ask for it: what nobody retains would be removed when its grace period is over.
///
/// # Errors
/// [`ModuleError`]; what was retained by then stays known to be.
pub async fn retain_all<M: Memory>(state: &RefCell<State<M>>, runtime: &impl Runtime) -> Result<(), ModuleError> {
    while !retain_next(state, runtime).await?.finished {}
    let mut behind = None;
    loop {
        let (blob_store, modules) = {
            let state = state.borrow();
            (state.blob_store(), state.missing_modules(behind))
        };
        let Some(last) = modules.last() else { return Ok(()) };
        behind = Some(*last.as_bytes());
        let missing = ask(state, runtime, blob_store, &modules).await?;
        let mut state = state.borrow_mut();
        if state.blob_store() == blob_store {
            for module in modules.iter().filter(|module| !missing.contains(module)) {
                state.record_retained(module);
            }
        }
    }
}

/// Returns the next greater hash.
fn successor(hash: &Hash) -> Option<StoredHash> {
    let mut bytes = *hash.as_bytes();
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(bytes);
        }
    }
    None
}

impl<M: Memory> State<M> {
    /// Records that the blob store retains a module.
    fn record_retained(&mut self, module: &Hash) {
        self.leaving.remove(module.as_bytes());
        self.modules.insert(*module.as_bytes(), ());
    }

    /// Returns how many of the modules that the catalog names the blob store is not known to retain.
    pub(crate) fn modules_to_retain(&self) -> u64 {
        let from = self.installed().retain_from;
        let unsure = from.map_or(0, |from| self.modules.keys_range(from..).count());
        let missing = self.leaving.keys_range(..from.unwrap_or([0xff; 32])).filter(|module| self.is_missing(module));
        (unsure + missing.count()) as u64
    }

    /// Returns some modules that the blob store did not have, from behind one of them.
    fn missing_modules(&self, behind: Option<StoredHash>) -> Vec<Hash> {
        let start = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let leaving = self.leaving.keys_range((start, Bound::Unbounded));
        leaving.filter(|module| self.is_missing(module)).take(MAX_MODULES_PER_CALL).map(Hash::new).collect()
    }

    /// Tells whether a module that is leaving is one that the blob store does not have: once a collection of garbage has
    /// looked for modules to release, those are the ones that are in use.
    fn is_missing(&self, module: &StoredHash) -> bool {
        !self.is_releasing() || self.marks.contains_key(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle,
        test_fixtures::{ALICE, BLOB_STORE, CONTROLLER, Fixture, args, block_on, module, principal, set, unavailable},
    };

    fn retained(fixture: &Fixture, modules: &[Hash]) -> Result<(), ModuleError> {
        block_on(retain(&fixture.state, &fixture.runtime, modules.iter().copied()))
    }

    #[test]
    fn should_ask_in_bounded_calls() {
        let modules: Vec<Hash> = (0..2 * MAX_MODULES_PER_CALL as u64 + 1).map(module).collect();
        let fixture = Fixture::new();
        assert_eq!(retained(&fixture, &modules), Ok(()));
        let mut asked = fixture.runtime.asked();
        assert_eq!(fixture.runtime.largest_call(), MAX_MODULES_PER_CALL);
        asked.sort();
        let mut expected = modules.clone();
        expected.sort();
        assert_eq!(asked, expected);
        assert_eq!(retained(&fixture, &modules), Ok(()));
        assert_eq!(fixture.runtime.asked().len(), expected.len(), "what is known is not asked about again");
    }

    #[test]
    fn should_report_what_is_missing_and_who_does_not_let_it() {
        let fixture = Fixture::new();
        fixture.runtime.answer(module(1), Ok(false));
        let missing = ModuleError::UnknownModule { module_hash: module(1) };
        assert_eq!(retained(&fixture, &[module(1), module(2)]), Err(missing));
        assert_eq!(fixture.state.borrow().unknown_modules([module(1), module(2)]), [module(1)]);
        fixture.runtime.answer(module(3), Err(unavailable()));
        assert_eq!(retained(&fixture, &[module(3)]), Err(ModuleError::BlobStoreUnavailable(unavailable())));
        fixture.runtime.set_holder(false);
        assert_eq!(retained(&fixture, &[module(4)]), Err(ModuleError::NotHolder { blob_store: BLOB_STORE }));
    }

    #[test]
    fn should_retain_so_many_times_what_leaves_meanwhile_and_then_give_up() {
        let modules: Vec<Hash> = (0..MAX_MODULES_PER_CALL as u64 + 1).map(module).collect();
        // Two calls the first time, and one each time after that.
        let calls = 2 + MAX_RETAIN_ROUNDS;
        for (leaving, is_retained) in [(calls - 1, true), (calls, false)] {
            let fixture = Fixture::new();
            fixture.runtime.leave_during_calls(modules.clone(), leaving, std::rc::Rc::clone(&fixture.state));
            match retained(&fixture, &modules) {
                Ok(()) => assert!(is_retained),
                Err(refused) => {
                    assert!(!is_retained && matches!(refused, ModuleError::BlobStoreUnavailable(_)), "{refused:?}");
                }
            }
            assert_eq!(fixture.runtime.asked().len(), 101 + 100 + 1 + 100);
        }
    }

    #[test]
    fn should_retain_everything_anew_for_another_blob_store() {
        let fixture = Fixture::new();
        let count = 2 * MAX_MODULES_PER_CALL as u64 + 5;
        for number in 0..count {
            fixture.commit(&[set("a", number)]).unwrap();
        }
        let other = depot_types::catalog::CatalogArgs { blob_store: Some(principal(77)), ..args() };
        lifecycle::upgrade(&mut fixture.state.borrow_mut(), other).unwrap();
        fixture.runtime.set_blob_store(principal(77));
        assert_eq!(fixture.state.borrow().unknown_modules([module(1)]), [module(1)]);
        fixture.runtime.answer(module(7), Ok(false));
        let call =
            |caller| block_on(retain_modules(&fixture.state, &fixture.runtime, caller, RetainModulesArgs::default()));
        assert!(matches!(call(ALICE), Err(RetainModulesError::Denied(_))));
        let before = fixture.runtime.asked().len();
        let mut missing = vec![];
        for finished in [false, false, true] {
            let status = call(CONTROLLER).unwrap();
            assert_eq!(status.finished, finished);
            missing.extend(status.missing);
        }
        assert_eq!(missing, [module(7)]);
        assert_eq!(fixture.runtime.asked().len() - before, count as usize);
        assert_eq!(fixture.state.borrow().unknown_modules([module(1)]), []);
        assert_eq!(fixture.state.borrow().unknown_modules([module(7)]), [module(7)]);
        assert_eq!(call(CONTROLLER).unwrap(), RetainStatus { finished: true, missing: vec![] });
        let again = RetainModulesArgs { restart: Some(true) };
        let status = block_on(retain_modules(&fixture.state, &fixture.runtime, CONTROLLER, again)).unwrap();
        assert!(!status.finished);
    }

    #[test]
    fn should_ask_again_for_modules_that_were_missing() {
        let fixture = Fixture::new();
        fixture.commit(&[set("a", 1), set("b", 2)]).unwrap();
        let other = depot_types::catalog::CatalogArgs { blob_store: Some(principal(77)), ..args() };
        lifecycle::upgrade(&mut fixture.state.borrow_mut(), other).unwrap();
        fixture.runtime.set_blob_store(principal(77));
        fixture.runtime.answer(module(1), Ok(false));
        let to_retain = || fixture.state.borrow().stats(0, vec![]).modules_to_retain;
        assert_eq!(to_retain(), 2);
        let retained = || block_on(retain_all(&fixture.state, &fixture.runtime));
        for _ in 0..2 {
            assert_eq!((retained(), to_retain()), (Ok(()), 1), "one is missing");
        }
        // Uploaded since.
        fixture.runtime.answer(module(1), Ok(true));
        assert_eq!((retained(), to_retain()), (Ok(()), 0));
        let asked = fixture.runtime.asked().len();
        assert_eq!((retained(), fixture.runtime.asked().len()), (Ok(()), asked), "nothing is left to ask for");
        assert_eq!(fixture.state.borrow().unknown_modules([module(1), module(2)]), []);
    }

    #[test]
    fn should_not_take_modules_for_missing_that_are_on_their_way_out() {
        let fixture = Fixture::new();
        fixture.commit(&[set("a", 1)]).unwrap();
        fixture.commit(&[set("a", 2)]).unwrap();
        fixture.runtime.set_holder(false);
        let args = depot_types::catalog::CollectGarbageArgs { squash: Some("main".to_string()) };
        let refused = block_on(crate::collection::collect_garbage(&fixture.state, &fixture.runtime, CONTROLLER, args));
        assert!(refused.is_err());
        fixture.runtime.set_holder(true);
        assert!(!fixture.state.borrow().leaving.is_empty());
        let asked = fixture.runtime.asked().len();
        assert_eq!(block_on(retain_all(&fixture.state, &fixture.runtime)), Ok(()));
        assert_eq!((fixture.runtime.asked().len(), fixture.state.borrow().modules_to_retain()), (asked, 0));
    }

    #[test]
    fn should_find_the_next_hash() {
        assert_eq!(successor(&Hash::new([0xff; 32])), None);
        let mut bytes = [0; 32];
        bytes[31] = 0xff;
        let mut next = [0; 32];
        next[30] = 1;
        assert_eq!(successor(&Hash::new(bytes)), Some(next));
    }
}
