//! Asking the blob store about modules.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use candid::Principal;
use depot_types::{Hash, catalog::CallFailure};

use crate::{limits::MAX_CONCURRENT_MODULE_CHECKS, runtime::Runtime};

/// Why modules cannot be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotSealed {
    /// The blob store has no sealed module of this hash.
    UnknownModule(Hash),
    /// The blob store could not be asked.
    Unavailable(CallFailure),
}

/// Checks that all modules given are sealed in the blob store, a group of calls at a time.
///
/// Each call that was made is waited for, also when another one of its group has failed. The first module that is not
/// sealed, in the order given, is the one reported.
pub(crate) async fn check_sealed(
    runtime: &impl Runtime,
    blob_store: Principal,
    modules: &[Hash],
) -> Result<(), NotSealed> {
    for group in modules.chunks(MAX_CONCURRENT_MODULE_CHECKS) {
        let answers = all(group.iter().map(|module| runtime.is_sealed(blob_store, *module))).await;
        for (module, answer) in group.iter().zip(answers) {
            if !answer.map_err(NotSealed::Unavailable)? {
                return Err(NotSealed::UnknownModule(*module));
            }
        }
    }
    Ok(())
}

/// A future, or what it came to.
enum Slot<F: Future> {
    Waiting(Pin<Box<F>>),
    Done(F::Output),
}

/// Runs futures concurrently and returns what they come to, in their order.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut slots: Vec<Slot<F>> = futures.map(|future| Slot::Waiting(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut is_waiting = false;
        for slot in &mut slots {
            if let Slot::Waiting(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => is_waiting = true,
                }
            }
        }
        if is_waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let output = |slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Waiting(_) => None,
    };
    slots.into_iter().filter_map(output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{BLOB_STORE, ScriptedRuntime, block_on, module, unavailable};

    #[test]
    fn should_ask_in_bounded_groups() {
        let modules: Vec<Hash> = (0..2 * MAX_CONCURRENT_MODULE_CHECKS as u64 + 1).map(module).collect();
        let runtime = ScriptedRuntime::default();
        assert_eq!(block_on(check_sealed(&runtime, BLOB_STORE, &modules)), Ok(()));
        assert_eq!(runtime.asked(), modules);
        assert_eq!(runtime.most_open_calls(), MAX_CONCURRENT_MODULE_CHECKS);
    }

    #[test]
    fn should_ask_nothing_about_nothing() {
        let runtime = ScriptedRuntime::default();
        assert_eq!(block_on(check_sealed(&runtime, BLOB_STORE, &[])), Ok(()));
        assert_eq!(runtime.asked(), []);
    }

    #[test]
    fn should_report_the_first_module_that_fails_and_ask_no_further() {
        let modules: Vec<Hash> = (0..MAX_CONCURRENT_MODULE_CHECKS as u64 + 1).map(module).collect();
        let runtime = ScriptedRuntime::default();
        runtime.answer(modules[5], Err(unavailable()));
        runtime.answer(modules[3], Ok(false));
        let expected = Err(NotSealed::UnknownModule(modules[3]));
        assert_eq!(block_on(check_sealed(&runtime, BLOB_STORE, &modules)), expected);
        assert_eq!(runtime.asked(), modules[..MAX_CONCURRENT_MODULE_CHECKS]);

        runtime.answer(modules[3], Ok(true));
        let expected = Err(NotSealed::Unavailable(unavailable()));
        assert_eq!(block_on(check_sealed(&runtime, BLOB_STORE, &modules)), expected);
    }
}
