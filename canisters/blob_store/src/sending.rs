//! Sends answers that have bytes of stable memory in them.

use std::{cell::RefCell, marker::PhantomData};

use blob_store::{memory, reply::Reply};

/// Bytes that are read at a time: so many that what a call of the system costs besides is little, and so few that the
/// buffer is.
const BUFFER_BYTES: usize = 64 << 10;

thread_local! {
    /// A buffer that is there from the start: one made for each answer would be cleared each time.
    static UNSTABLE_BUFFER: RefCell<[u8; BUFFER_BYTES]> = const { RefCell::new([0; BUFFER_BYTES]) };
}

/// Replies to the message.
pub(crate) fn send<T>(reply: &Reply) -> PhantomData<T> {
    UNSTABLE_BUFFER.with_borrow_mut(|buffer| {
        memory::state().borrow().send(reply, buffer, ic0::msg_reply_data_append);
    });
    ic0::msg_reply();
    PhantomData
}
