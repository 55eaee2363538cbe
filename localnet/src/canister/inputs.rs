//! What waits to be executed by a canister, and whose turn it is.
//!
//! As on the replica three sources take turns: canisters of the same subnet, users, canisters of other subnets. Among
//! the canisters of one source the senders take turns; what one sender sent stays in order.

use std::collections::{BTreeMap, VecDeque};

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::Input;

/// Where a message comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// A canister of the same subnet, or its management canister.
    #[default]
    Local,
    /// A user.
    Ingress,
    /// A canister of another subnet.
    Remote,
}

impl Source {
    /// Returns the source whose turn is next.
    fn next(self) -> Self {
        match self {
            Self::Local => Self::Ingress,
            Self::Ingress => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// Messages of many senders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Senders {
    /// Senders with messages, in the order of their turns.
    turns: VecDeque<Principal>,
    messages: BTreeMap<Principal, VecDeque<Input>>,
}

impl Senders {
    fn push(&mut self, sender: Principal, input: Input) {
        let queue = self.messages.entry(sender).or_default();
        if queue.is_empty() {
            self.turns.push_back(sender);
        }
        queue.push_back(input);
    }

    fn pop(&mut self) -> Option<Input> {
        let sender = self.turns.pop_front()?;
        let queue = self.messages.get_mut(&sender)?;
        let input = queue.pop_front();
        if queue.is_empty() {
            self.messages.remove(&sender);
        } else {
            self.turns.push_back(sender);
        }
        input
    }

    fn retain(&mut self, keep: &mut impl FnMut(&Input) -> bool) {
        for queue in self.messages.values_mut() {
            queue.retain(|input| keep(input));
        }
        self.messages.retain(|_, queue| !queue.is_empty());
        self.turns.retain(|sender| self.messages.contains_key(sender));
    }
}

/// What waits to be executed by a canister.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Inputs {
    ingress: VecDeque<Input>,
    local: Senders,
    remote: Senders,
    next: Source,
}

impl Inputs {
    /// Adds a message of a user.
    pub(crate) fn push_ingress(&mut self, input: Input) {
        self.ingress.push_back(input);
    }

    /// Adds a message of a canister.
    pub(crate) fn push(&mut self, sender: Principal, is_local: bool, input: Input) {
        if is_local { self.local.push(sender, input) } else { self.remote.push(sender, input) }
    }

    /// Takes the message whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Input> {
        for _ in 0..3 {
            let source = self.next;
            self.next = source.next();
            let input = match source {
                Source::Local => self.local.pop(),
                Source::Ingress => self.ingress.pop_front(),
                Source::Remote => self.remote.pop(),
            };
            if input.is_some() {
                return input;
            }
        }
        None
    }

    /// Returns true when nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.ingress.is_empty() && self.local.turns.is_empty() && self.remote.turns.is_empty()
    }

    /// Returns how many messages of the sender wait.
    pub(crate) fn count_of(&self, sender: &Principal) -> usize {
        let count = |senders: &Senders| senders.messages.get(sender).map_or(0, VecDeque::len);
        count(&self.local) + count(&self.remote)
    }

    /// Returns all messages, in no order that matters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Input> {
        let senders = self.local.messages.values().chain(self.remote.messages.values()).flatten();
        self.ingress.iter().chain(senders)
    }

    /// Drops the messages for which the function answers false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Input) -> bool) {
        self.ingress.retain(|input| keep(input));
        self.local.retain(&mut keep);
        self.remote.retain(&mut keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(method: &str) -> Input {
        Input::Ingress {
            id: [0; 32],
            sender: Principal::anonymous(),
            method: method.to_owned(),
            payload: Vec::new(),
            sender_info: None,
            expiry: 0,
        }
    }

    fn names(inputs: &mut Inputs) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(Input::Ingress { method, .. }) = inputs.pop() {
            names.push(method);
        }
        names
    }

    #[test]
    fn should_let_sources_and_senders_take_turns() {
        let [a, b] = [1, 2].map(|number| Principal::from_slice(&[number]));
        let mut inputs = Inputs::default();
        assert!(inputs.is_empty() && inputs.pop().is_none());
        for name in ["i1", "i2", "i3"] {
            inputs.push_ingress(ingress(name));
        }
        for (sender, name) in [(a, "a1"), (a, "a2"), (b, "b1")] {
            inputs.push(sender, true, ingress(name));
        }
        inputs.push(a, false, ingress("r1"));
        assert_eq!((inputs.count_of(&a), inputs.iter().count()), (3, 7));
        assert_eq!(names(&mut inputs), ["a1", "i1", "r1", "b1", "i2", "a2", "i3"]);
        assert!(inputs.is_empty());
    }

    #[test]
    fn should_forget_senders_whose_messages_are_dropped() {
        let sender = Principal::from_slice(&[1]);
        let mut inputs = Inputs::default();
        inputs.push(sender, true, ingress("drop"));
        inputs.push(sender, false, ingress("keep"));
        inputs.push_ingress(ingress("drop"));
        inputs.retain(|input| matches!(input, Input::Ingress { method, .. } if method == "keep"));
        assert_eq!(names(&mut inputs), ["keep"]);
        inputs.push(sender, true, ingress("again"));
        assert_eq!(names(&mut inputs), ["again"]);
    }
}
