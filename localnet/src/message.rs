//! Messages between canisters, and where a call came from.

use candid::Principal;
use pocket_ic::RejectCode;
use serde::{Deserialize, Serialize};

use crate::error::UserError;

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
