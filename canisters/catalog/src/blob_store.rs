//! The modules that the blob store retains for the catalog.
//!
//! A module is named only while the blob store retains it. `modules` holds all that it is known to retain; garbage
//! collection moves those that nothing names any more to `leaving` before it tells the blob store, so that a change
//! which names one of them again, even while the blob store is being told, retains it anew.

use std::cell::RefCell;

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
    for _ in 0..=MAX_RETAIN_ROUNDS {
        let blob_store = state.borrow().blob_store();
        if unknown.is_empty() {
            return Ok(());
        }
        for part in unknown.chunks(MAX_MODULES_PER_CALL) {
            let missing = ask(runtime, blob_store, part).await?;
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
    let message = "modules are being released as often as they are retained; try again".to_string();
    Err(ModuleError::BlobStoreUnavailable(CallFailure { method: "retain".to_string(), reject_code: 0, message }))
}

async fn ask(runtime: &impl Runtime, blob_store: Principal, modules: &[Hash]) -> Result<Vec<Hash>, ModuleError> {
    runtime.retain(blob_store, modules).await.map_err(|failure| module_error(failure, blob_store))
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
    let (blob_store, from, modules) = {
        let state = state.borrow();
        let Some(from) = state.installed().retain_from else {
            return Ok(RetainStatus { finished: true, missing: vec![] });
        };
        let modules: Vec<Hash> =
            state.modules.range(from..).take(MAX_MODULES_PER_CALL).map(|entry| Hash::new(*entry.key())).collect();
        (state.blob_store(), from, modules)
    };
    let missing = if modules.is_empty() {
        vec![]
    } else {
        ask(runtime, blob_store, &modules).await.map_err(RetainModulesError::BlobStore)?
    };
    let mut state = state.borrow_mut();
    for module in &modules {
        // Whoever names a missing one again has it asked for again.
        match missing.contains(module) {
            true => _ = state.leaving.insert(*module.as_bytes(), ()),
            false => _ = state.leaving.remove(module.as_bytes()),
        }
    }
    let next = modules.last().filter(|_| modules.len() == MAX_MODULES_PER_CALL).and_then(successor);
    // Another call may have gone further meanwhile, or another blob store been named.
    if state.installed().retain_from == Some(from) && state.blob_store() == blob_store {
        state.update_settings(|settings| settings.retain_from = next);
    }
    Ok(RetainStatus { finished: state.installed().retain_from.is_none(), missing })
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
    fn should_find_the_next_hash() {
        assert_eq!(successor(&Hash::new([0xff; 32])), None);
        let mut bytes = [0; 32];
        bytes[31] = 0xff;
        let mut next = [0; 32];
        next[30] = 1;
        assert_eq!(successor(&Hash::new(bytes)), Some(next));
    }
}
