//! Messages that take more than one round.
//!
//! Such a message runs whole in its first round. What it did is kept aside, as plain data, until as many rounds have
//! passed as its instructions take; until then everybody sees the canister as it was before.

use serde::{Deserialize, Serialize};

use crate::{
    error::UserResult,
    execution::{Changes, Effects},
    message::{CallContextId, Cycles},
};

/// What a message did, before any of it shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// The call that the message was a part of.
    pub context: CallContextId,
    /// What was prepaid for it.
    pub prepaid: Cycles,
    /// Its effects, or why it failed.
    pub result: UserResult<Effects>,
    /// The effects of the cleanup that ran after it failed.
    pub cleaned_up: Option<Effects>,
    /// What became of the memories, unless that is applied already.
    pub changes: Option<Box<Changes>>,
    /// True when success makes a new version of the canister.
    pub changes_state: bool,
    /// Instructions used.
    pub instructions: u64,
    /// Pages changed.
    pub dirty_pages: u64,
    /// What was printed.
    pub logs: Vec<String>,
}

/// A message under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Paused {
    /// What it did.
    pub finished: Finished,
    /// Instructions of the rounds it had so far; 0 when it has to begin again.
    pub progress: u64,
}

/// An installation under way, which shows already.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LongInstallation {
    /// Rounds that it still takes.
    pub rounds: u64,
    /// Who waits for the answer.
    pub origin: crate::message::CallOrigin,
    /// The answer.
    pub result: UserResult<Vec<u8>>,
    /// Cycles that go back with the answer.
    pub refund: Cycles,
}

/// Which of the things that a canister may do in a round it begins with: they take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NextMethod {
    /// The global timer.
    #[default]
    GlobalTimer,
    /// The heartbeat.
    Heartbeat,
    /// A message.
    Message,
}

impl NextMethod {
    /// Returns what comes after it.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::GlobalTimer => Self::Heartbeat,
            Self::Heartbeat => Self::Message,
            Self::Message => Self::GlobalTimer,
        }
    }
}

/// What the scheduler remembers of a canister.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Priority {
    /// Compute that the canister is owed (or owes, below zero), in millionths of a percent of a core and round.
    pub accumulated: i64,
    /// Rounds that the message under way had so far.
    pub executed_rounds: i64,
    /// The round in which the message under way began.
    pub long_since: Option<u64>,
}

#[cfg(test)]
mod tests {
    use ciborium::Value;

    use super::*;

    #[test]
    fn should_read_effects_that_were_saved_before_growth_set_cycles_aside() {
        let effects = Effects { cycles_burned: 7, cycles_reserved: 9, ..Effects::default() };
        let mut saved = Value::serialized(&effects).unwrap();
        let fields = saved.as_map_mut().unwrap();
        let before = fields.len();
        fields.retain(|(name, _)| name.as_text() != Some("cycles_reserved"));
        assert_eq!(fields.len(), before - 1);
        let read: Effects = saved.deserialized().unwrap();
        assert_eq!(read, Effects { cycles_reserved: 0, ..effects });
    }
}
