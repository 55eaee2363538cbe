//! Messages between canisters, and where a call came from.

use candid::Principal;
use pocket_ic::RejectCode;
use serde::{Deserialize, Serialize};

use crate::{error::UserError, limits::MAX_REJECT_MESSAGE};

/// An amount of cycles.
pub(crate) type Cycles = u128;

/// Names an ingress message: the representation-independent hash of its content.
pub(crate) type MessageId = [u8; 32];

/// Names a call context within a canister.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct CallContextId(pub u64);

/// Names an open callback within a canister.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct CallbackId(pub u64);

/// A call from one canister to another, or to the management canister.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The calling canister.
    pub sender: Principal,
    /// The callback of the sender that the response belongs to.
    pub callback: CallbackId,
    /// The called canister; the management canister is `aaaaa-aa`.
    pub receiver: Principal,
    /// The method name.
    pub method: String,
    /// The argument.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// Cycles attached.
    pub cycles: Cycles,
    /// Set for best-effort calls: the time in ns after which the sender no longer waits.
    pub deadline: Option<u64>,
}

/// What stands for the part that is left out of a long reject message.
const ELLIPSIS: &str = "...";
/// How much of what is kept of a long reject message is its begin, in percent.
const BEGIN_PERCENT: usize = 75;

/// Shortens a reject message to the longest that is allowed: its begin, an ellipsis and its end are left.
pub(crate) fn shorten(message: String) -> String {
    if message.len() <= MAX_REJECT_MESSAGE {
        return message;
    }
    let kept = MAX_REJECT_MESSAGE - ELLIPSIS.len();
    let begin = kept * BEGIN_PERCENT / 100;
    let begin_end = message.floor_char_boundary(begin);
    let end_start = message.ceil_char_boundary(message.len() - (kept - begin));
    format!("{}{ELLIPSIS}{}", &message[..begin_end], &message[end_start..])
}

/// What a call is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The reply bytes.
    Reply(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A reject: code and message (cut to 8 KiB by whoever makes it).
    Reject(RejectCode, String),
}

impl From<UserError> for Answer {
    fn from(error: UserError) -> Self {
        Answer::Reject(error.reject_code(), error.description)
    }
}

impl Answer {
    /// Returns the bytes that are paid for. The code of a reject is one of them.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Answer::Reply(bytes) => bytes.len() as u64,
            Answer::Reject(_, message) => 1 + message.len() as u64,
        }
    }
}

/// The response to a [`Request`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Response {
    /// The canister that made the call.
    pub originator: Principal,
    /// The callback of the originator.
    pub callback: CallbackId,
    /// Cycles given back.
    pub refund: Cycles,
    /// The answer itself.
    pub answer: Answer,
    /// The deadline of the request, if it was best-effort.
    pub deadline: Option<u64>,
}

/// Who is waiting for the answer of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum CallOrigin {
    /// A user's ingress message.
    Ingress {
        /// The message.
        #[serde(with = "serde_bytes")]
        id: MessageId,
        /// Its sender.
        sender: Principal,
    },
    /// Another canister's call.
    Canister {
        /// The calling canister.
        sender: Principal,
        /// Its callback.
        callback: CallbackId,
        /// The deadline, if the call is best-effort.
        deadline: Option<u64>,
    },
    /// A timer, heartbeat or hook: nobody waits.
    Task,
}

impl CallOrigin {
    /// Returns the principal that `msg_caller` shows: the canister management principal for tasks.
    pub(crate) fn caller(&self) -> Principal {
        match self {
            CallOrigin::Ingress { sender, .. } | CallOrigin::Canister { sender, .. } => *sender,
            CallOrigin::Task => Principal::management_canister(),
        }
    }

    /// Returns the deadline of a best-effort call in ns.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self {
            CallOrigin::Canister { deadline, .. } => *deadline,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_begin_and_end_of_a_long_reject_message() {
        let longest = "x".repeat(MAX_REJECT_MESSAGE);
        assert_eq!(shorten(longest.clone()), longest);
        let short = shorten(format!("begin{longest}end"));
        assert_eq!((short.len(), short.find(ELLIPSIS)), (MAX_REJECT_MESSAGE, Some(6141)));
        assert!(short.starts_with("beginx") && short.ends_with("xend"));
        let wide = shorten("ä".repeat(MAX_REJECT_MESSAGE));
        assert!(wide.len() <= MAX_REJECT_MESSAGE && wide.len() >= MAX_REJECT_MESSAGE - 2, "{}", wide.len());
    }

    #[test]
    fn should_count_the_code_of_a_reject() {
        assert_eq!(Answer::Reply(vec![0; 7]).bytes(), 7);
        assert_eq!(Answer::Reject(RejectCode::CanisterReject, "no".to_owned()).bytes(), 3);
    }
}
