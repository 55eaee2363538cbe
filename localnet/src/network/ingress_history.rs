//! What became of ingress messages.
//!
//! A message is received, then processed as long as its call is open, then answered. Five minutes after its answer it is
//! forgotten, but not before it expires, so that it cannot be sent again; when answers take too much memory before that, the oldest ones are dropped and only "done" is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorCode, RejectCode, UserError, UserResult},
    limits::MAX_INGRESS_TTL_NS,
    message::MessageId,
};

/// Messages remembered; no more are let in then. As on the Internet Computer.
pub(crate) const MAX_HISTORY_MESSAGES: usize = 600_000;
/// Bytes of answers remembered. Less than the 4 GiB of the Internet Computer.
pub(crate) const MAX_HISTORY_BYTES: usize = 256 << 20;

/// What is certified of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RequestStatus {
    /// It waits for execution.
    Received,
    /// Its call is open.
    Processing,
    /// It was answered with these bytes.
    Replied(#[serde(with = "serde_bytes")] Vec<u8>),
    /// It was rejected.
    Rejected {
        /// The reject code, the hundreds digit of the error code.
        code: RejectCode,
        /// What went wrong, for a person.
        message: String,
        /// The error code.
        error_code: ErrorCode,
    },
    /// It was answered, and the answer is not remembered any more.
    Done,
}

impl RequestStatus {
    /// Returns the word for the status in the state tree.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processing => "processing",
            Self::Replied(_) => "replied",
            Self::Rejected { .. } => "rejected",
            Self::Done => "done",
        }
    }

    /// Returns the answer, if there is one and it is remembered.
    pub(super) fn answer(&self) -> Option<UserResult<Vec<u8>>> {
        match self {
            Self::Received | Self::Processing | Self::Done => None,
            Self::Replied(reply) => Some(Ok(reply.clone())),
            Self::Rejected { message, error_code, .. } => Some(Err(UserError::new(*error_code, message.as_str()))),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Received | Self::Processing)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Received | Self::Processing | Self::Done => 0,
            Self::Replied(reply) => reply.len(),
            Self::Rejected { message, .. } => message.len(),
        }
    }
}

impl From<UserResult<Vec<u8>>> for RequestStatus {
    fn from(result: UserResult<Vec<u8>>) -> Self {
        match result {
            Ok(reply) => Self::Replied(reply),
            Err(error) => {
                Self::Rejected { code: error.reject_code(), error_code: error.code, message: error.description }
            }
        }
    }
}

/// A message that is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    sender: Principal,
    /// The canister that was called; absent in states that were saved before it was remembered.
    #[serde(default)]
    receiver: Option<Principal>,
    /// When the message expires, in ns; 0 in states that were saved before it was remembered.
    #[serde(default)]
    expiry: u64,
    /// Nothing while it waits for the next round, and so is no part of the state yet.
    status: Option<RequestStatus>,
    /// Time of the round in which it came into this status, in ns.
    since: u64,
}

/// What became of the ingress messages of a subnet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IngressHistory {
    messages: BTreeMap<MessageId, Remembered>,
    /// Messages that are received or processed.
    open: BTreeSet<MessageId>,
    /// Answered messages, oldest answer first.
    answered: VecDeque<MessageId>,
    /// How many at the front of `answered` are done.
    done: usize,
    /// Bytes of all answers.
    bytes: usize,
}

impl IngressHistory {
    /// Remembers a message that the next round takes in, at least until it expires (in ns).
    pub(super) fn submit(&mut self, id: MessageId, sender: Principal, receiver: Principal, expiry: u64) {
        self.messages.insert(id, Remembered { sender, receiver: Some(receiver), expiry, status: None, since: 0 });
    }

    /// Returns true when the message is known, also when it still waits for the next round.
    pub(super) fn contains(&self, id: &MessageId) -> bool {
        self.messages.contains_key(id)
    }

    /// Returns true when no more messages are let in.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= MAX_HISTORY_MESSAGES
    }

    /// Returns the canister that the message is for.
    pub(super) fn receiver(&self, id: &MessageId) -> Option<Principal> {
        self.messages.get(id)?.receiver
    }

    /// Returns who sent the message.
    pub(super) fn sender(&self, id: &MessageId) -> Option<Principal> {
        self.messages.get(id).map(|message| message.sender)
    }

    /// Returns the status of a message that a round took in.
    pub(crate) fn status(&self, id: &MessageId) -> Option<&RequestStatus> {
        self.messages.get(id)?.status.as_ref()
    }

    /// Lists the messages that rounds took in by id, with the time since when they are in their status, in ns.
    pub(crate) fn certified(&self) -> impl Iterator<Item = (MessageId, (u64, &RequestStatus))> {
        self.messages.iter().filter_map(|(id, message)| Some((*id, (message.since, message.status.as_ref()?))))
    }

    /// Notes that a round took the message in.
    pub(super) fn receive(&mut self, id: &MessageId, now: u64) {
        self.set(id, RequestStatus::Received, now);
    }

    /// Notes that the open messages which are not among those that still wait are being processed.
    pub(super) fn process_all_but(&mut self, waiting: &BTreeSet<MessageId>, now: u64) {
        let begun: Vec<MessageId> = self.open.difference(waiting).copied().collect();
        for id in begun {
            if self.status(&id) == Some(&RequestStatus::Received) {
                self.set(&id, RequestStatus::Processing, now);
            }
        }
    }

    /// Returns true when a message is received or processed.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Records the answer of a message; only the first one counts.
    pub(super) fn answer(&mut self, id: &MessageId, result: UserResult<Vec<u8>>, now: u64) {
        self.set(id, result.into(), now);
    }

    /// Forgets the messages that were answered too long ago.
    pub(super) fn forget_old(&mut self, now: u64) {
        while let Some(id) = self.answered.front()
            && let Some(message) = self.messages.get(id)
            && message.since.saturating_add(MAX_INGRESS_TTL_NS) < now
            && message.expiry < now
        {
            self.bytes -= message.status.as_ref().map_or(0, RequestStatus::bytes);
            self.messages.remove(id);
            self.answered.pop_front();
            self.done = self.done.saturating_sub(1);
        }
    }

    fn set(&mut self, id: &MessageId, status: RequestStatus, now: u64) {
        let Some(message) = self.messages.get_mut(id) else { return };
        if message.status.as_ref().is_some_and(|status| !status.is_open()) {
            return;
        }
        if status.is_open() {
            self.open.insert(*id);
        } else {
            self.open.remove(id);
            self.answered.push_back(*id);
            self.bytes += status.bytes();
        }
        message.status = Some(status);
        message.since = now;
        self.limit_bytes(MAX_HISTORY_BYTES);
    }

    /// Drops the oldest answers until the rest has at most so many bytes.
    fn limit_bytes(&mut self, limit: usize) {
        while self.bytes > limit
            && let Some(id) = self.answered.get(self.done)
        {
            self.done += 1;
            if let Some(message) = self.messages.get_mut(id) {
                self.bytes -= message.status.replace(RequestStatus::Done).map_or(0, |status| status.bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000;

    fn id(number: u64) -> MessageId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn history(messages: u64) -> IngressHistory {
        let mut history = IngressHistory::default();
        for number in 0..messages {
            history.submit(id(number), Principal::anonymous(), Principal::management_canister(), 0);
        }
        history
    }

    #[test]
    fn should_go_from_received_over_processing_to_the_answer() {
        let mut history = history(1);
        let id = id(0);
        assert!(history.contains(&id) && !history.has_open());
        assert_eq!((history.status(&id), history.certified().count()), (None, 0));
        history.receive(&id, NOW);
        assert_eq!(history.status(&id), Some(&RequestStatus::Received));
        history.process_all_but(&BTreeSet::from([id]), NOW + 1);
        assert_eq!(history.status(&id), Some(&RequestStatus::Received));
        history.process_all_but(&BTreeSet::new(), NOW + 2);
        assert_eq!(history.certified().next().unwrap(), (id, (NOW + 2, &RequestStatus::Processing)));
        assert!(history.has_open());
        history.answer(&id, Ok(vec![1]), NOW + 3);
        assert_eq!(history.status(&id), Some(&RequestStatus::Replied(vec![1])));
        assert!(!history.has_open());
        history.answer(&id, Ok(vec![2]), NOW + 4);
        history.process_all_but(&BTreeSet::new(), NOW + 4);
        assert_eq!(history.certified().next().unwrap(), (id, (NOW + 3, &RequestStatus::Replied(vec![1]))));
    }

    #[test]
    fn should_keep_the_code_and_the_sentence_of_a_reject() {
        let mut history = history(1);
        let error = UserError::new(ErrorCode::CanisterTrapped, "trapped");
        history.answer(&id(0), Err(error.clone()), NOW);
        let status = history.status(&id(0)).unwrap();
        let (code, error_code) = (RejectCode::CanisterError, ErrorCode::CanisterTrapped);
        assert_eq!(*status, RequestStatus::Rejected { code, message: "trapped".to_owned(), error_code });
        assert_eq!(status.answer(), Some(Err(error)));
    }

    #[test]
    fn should_forget_answers_after_five_minutes_but_not_open_messages() {
        let mut history = history(3);
        for number in 0..3 {
            history.receive(&id(number), NOW);
        }
        history.answer(&id(0), Ok(vec![0; 10]), NOW);
        history.answer(&id(1), Ok(vec![0; 10]), NOW + 1);
        history.forget_old(NOW + MAX_INGRESS_TTL_NS);
        assert!(history.contains(&id(0)));
        history.forget_old(NOW + MAX_INGRESS_TTL_NS + 1);
        assert!(!history.contains(&id(0)) && history.contains(&id(1)));
        history.forget_old(u64::MAX);
        assert_eq!((history.bytes, history.answered.len(), history.messages.len()), (0, 0, 1));
        assert_eq!(history.status(&id(2)), Some(&RequestStatus::Received));
    }

    #[test]
    fn should_drop_the_oldest_answers_past_the_limit_of_bytes() {
        let mut history = history(4);
        for number in 0..3 {
            history.answer(&id(number), Ok(vec![0; 10]), NOW + number);
        }
        history.limit_bytes(30);
        assert!(history.messages.values().all(|message| message.status != Some(RequestStatus::Done)));
        history.limit_bytes(29);
        assert_eq!((history.status(&id(0)), history.bytes), (Some(&RequestStatus::Done), 20));
        assert_eq!(history.status(&id(1)), Some(&RequestStatus::Replied(vec![0; 10])));
        // What is done is forgotten at the same time as it would have been with its answer.
        history.forget_old(NOW + MAX_INGRESS_TTL_NS + 1);
        assert_eq!((history.contains(&id(0)), history.done, history.bytes), (false, 0, 20));
        history.limit_bytes(0);
        assert_eq!((history.done, history.bytes), (2, 0));
        history.answer(&id(3), Ok(vec![0; MAX_HISTORY_BYTES]), NOW + 3);
        assert_eq!(history.bytes, MAX_HISTORY_BYTES);
    }

    #[test]
    fn should_be_the_same_after_it_was_written_and_read() {
        let mut history = history(4);
        history.receive(&id(0), NOW);
        history.answer(&id(1), Ok(vec![1; 10]), NOW);
        history.answer(&id(2), Err(UserError::new(ErrorCode::CanisterTrapped, "trapped")), NOW);
        history.limit_bytes(8);
        let mut bytes = Vec::new();
        ciborium::into_writer(&history, &mut bytes).unwrap();
        let mut read: IngressHistory = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert!(read.certified().eq(history.certified()) && read.contains(&id(3)));
        assert_eq!((read.bytes, read.done, read.has_open()), (7, 1, true));
        read.forget_old(u64::MAX);
        assert_eq!((read.bytes, read.done, read.messages.len()), (0, 0, 2));
    }

    #[test]
    fn should_be_full_at_the_limit_of_messages() {
        let mut history = history(MAX_HISTORY_MESSAGES as u64 - 1);
        assert!(!history.is_full());
        history.submit(id(MAX_HISTORY_MESSAGES as u64), Principal::anonymous(), Principal::management_canister(), 0);
        assert!(history.is_full());
    }
}
