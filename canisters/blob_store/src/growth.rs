//! Grows stable memory when something to be done finds no room.
//!
//! The Internet Computer ends a message that grows memory beyond what the canister can pay for. So it grows in a message
//! of its own, which the canister sends to itself: if that ends, the rejection says why, and nothing else is lost.

use std::cell::Cell;

use depot_types::blob_store::{BeginUploadError, CommitUploadError, PutChunkError, RetainError, StorageFull};
use ic_cdk::{
    api::{canister_self, msg_caller},
    call::Call,
    stable::{WASM_PAGE_SIZE_IN_BYTES, stable_grow, stable_size},
};

/// The method that grows stable memory. It is no part of the interface: it serves the canister itself.
const METHOD: &str = "grow_stable_memory";

/// Bytes of the reason given why stable memory cannot grow.
const MAX_REASON_BYTES: usize = 256;

thread_local! {
    /// Messages that wait for stable memory to grow.
    static UNSTABLE_WAITING: Cell<usize> = const { Cell::new(0) };
}

/// Returns true when a message waits for stable memory to grow.
pub(crate) fn is_waiting() -> bool {
    UNSTABLE_WAITING.get() > 0
}

/// An error that can be that there is no room.
pub(crate) trait OutOfRoom {
    fn storage_full(&mut self) -> Option<&mut StorageFull>;
}

macro_rules! out_of_room {
    ($($error:ident)*) => {
        $(impl OutOfRoom for $error {
            fn storage_full(&mut self) -> Option<&mut StorageFull> {
                if let Self::StorageFull(full) = self { Some(full) } else { None }
            }
        })*
    };
}
out_of_room! { BeginUploadError PutChunkError CommitUploadError RetainError }

/// Does the work. If there is no room for it, makes some and does the work once more.
pub(crate) async fn with_room<T, E: OutOfRoom>(mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut answer = work();
    if let Err(error) = &mut answer
        && let Some(full) = error.storage_full()
    {
        match grow_to(full.needed).await {
            Ok(()) => return work(),
            Err(reason) => full.reason = reason,
        }
    }
    answer
}

/// Grows stable memory to so many bytes at least, or says why not.
async fn grow_to(bytes: u64) -> Result<(), String> {
    struct Waiting;
    impl Drop for Waiting {
        fn drop(&mut self) {
            UNSTABLE_WAITING.set(UNSTABLE_WAITING.get().saturating_sub(1));
        }
    }
    UNSTABLE_WAITING.set(UNSTABLE_WAITING.get() + 1);
    let _waiting = Waiting;
    let pages = bytes.div_ceil(WASM_PAGE_SIZE_IN_BYTES);
    let answer = Call::bounded_wait(canister_self(), METHOD).with_arg(pages).await;
    // Whatever became of the message: what counts is whether there is room now.
    if stable_size() >= pages {
        return Ok(());
    }
    let mut reason = match answer {
        Ok(_) => "the subnet or the canister has no more memory".to_string(),
        Err(error) => error.to_string(),
    };
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    Err(reason)
}

/// Grows stable memory to so many pages, for the canister itself.
#[ic_cdk::update(hidden = true)]
fn grow_stable_memory(pages: u64) {
    if msg_caller() != canister_self() {
        ic_cdk::trap("only the blob store itself calls this");
    }
    // When there is no memory left it stays as it is: whoever waits looks at the size.
    let _ = stable_grow(pages.saturating_sub(stable_size()));
}
