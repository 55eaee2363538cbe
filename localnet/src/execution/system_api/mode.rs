//! In which mode a message runs, and which functions each mode allows.

use std::fmt;

use crate::{execution::Entry, message::Answer};

/// How a message is executed, as far as the system API tells the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::execution) enum Mode {
    /// The Wasm start function.
    Start,
    /// `canister_init` or `canister_post_upgrade`.
    Init,
    /// `canister_pre_upgrade`.
    PreUpgrade,
    /// An update method.
    Update,
    /// A query method, executed by all replicas.
    ReplicatedQuery,
    /// A query method, executed by one replica.
    NonReplicatedQuery,
    /// A composite query method.
    CompositeQuery,
    /// The callback of a call that was replied to.
    ReplyCallback,
    /// The callback of a call that was rejected.
    RejectCallback,
    /// As `ReplyCallback`, in a composite query.
    CompositeReplyCallback,
    /// As `RejectCallback`, in a composite query.
    CompositeRejectCallback,
    /// The cleanup callback.
    Cleanup,
    /// The cleanup callback in a composite query.
    CompositeCleanup,
    /// `canister_inspect_message`.
    InspectMessage,
    /// A heartbeat, timer or hook.
    SystemTask,
}

impl From<&Entry> for Mode {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Start => Self::Start,
            Entry::Init | Entry::PostUpgrade => Self::Init,
            Entry::PreUpgrade => Self::PreUpgrade,
            Entry::InspectMessage { .. } => Self::InspectMessage,
            Entry::Update { .. } => Self::Update,
            Entry::Query { replicated: true, .. } => Self::ReplicatedQuery,
            Entry::Query { replicated: false, .. } => Self::NonReplicatedQuery,
            Entry::CompositeQuery { .. } => Self::CompositeQuery,
            Entry::Callback { answer: Answer::Reply(_), composite: false, .. } => Self::ReplyCallback,
            Entry::Callback { answer: Answer::Reject(..), composite: false, .. } => Self::RejectCallback,
            Entry::Callback { answer: Answer::Reply(_), composite: true, .. } => Self::CompositeReplyCallback,
            Entry::Callback { answer: Answer::Reject(..), composite: true, .. } => Self::CompositeRejectCallback,
            Entry::Cleanup { composite: false, .. } => Self::Cleanup,
            Entry::Cleanup { composite: true, .. } => Self::CompositeCleanup,
            Entry::Heartbeat | Entry::GlobalTimer | Entry::OnLowWasmMemory => Self::SystemTask,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "start",
            Self::Init => "init",
            Self::PreUpgrade => "pre upgrade",
            Self::Update => "update",
            Self::ReplicatedQuery => "replicated query",
            Self::NonReplicatedQuery => "non replicated query",
            Self::CompositeQuery => "composite query",
            Self::ReplyCallback => "reply callback",
            Self::RejectCallback => "reject callback",
            Self::CompositeReplyCallback => "composite reply callback",
            Self::CompositeRejectCallback => "composite reject callback",
            Self::Cleanup => "cleanup",
            Self::CompositeCleanup => "composite cleanup",
            Self::InspectMessage => "inspect message",
            Self::SystemTask => "system task",
        })
    }
}

impl Mode {
    /// Returns true inside a query that one replica executes on its own.
    pub(in crate::execution) fn is_non_replicated_query(self) -> bool {
        NON_REPLICATED_QUERIES.contains(self)
    }

    /// Returns true where all replicas execute the message.
    pub(super) fn is_replicated(self) -> bool {
        !NON_REPLICATED_QUERIES.or(INSPECTION).contains(self)
    }

    /// Returns true inside any query.
    pub(super) fn is_query(self) -> bool {
        self == Self::ReplicatedQuery || self.is_non_replicated_query()
    }

    /// Returns true while code is installed or upgraded.
    pub(super) fn is_installation(self) -> bool {
        matches!(self, Self::Start | Self::Init | Self::PreUpgrade)
    }

    /// Returns true where memory may only grow as far as the balance carries it beyond the freezing threshold.
    ///
    /// Nothing of a query stays, the installation of code is accounted for as a whole, and callbacks have to run.
    pub(super) fn obeys_freezing_threshold(self) -> bool {
        matches!(self, Self::Update | Self::SystemTask)
    }

    /// Returns true where memory that grows is taken from the subnet, and cycles are set aside for it.
    pub(super) fn takes_memory(self) -> bool {
        self.obeys_freezing_threshold() || matches!(self, Self::ReplyCallback | Self::RejectCallback | Self::Cleanup)
    }

    /// Returns true where the heap limit of the settings is enforced.
    pub(in crate::execution) fn obeys_heap_limit(self) -> bool {
        matches!(self, Self::Start | Self::Init | Self::Update)
    }
}

/// A set of modes.
#[derive(Clone, Copy)]
pub(super) struct Modes(u16);

impl Modes {
    const fn of(modes: &[Mode]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < modes.len() {
            bits |= 1 << modes[index] as u16;
            index += 1;
        }
        Self(bits)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true when the mode is in the set.
    pub(super) const fn contains(self, mode: Mode) -> bool {
        self.0 >> mode as u16 & 1 == 1
    }
}

/// Every mode.
pub(super) const ANY: Modes = Modes(u16::MAX);
/// Every mode but the start function.
pub(super) const ALL_BUT_START: Modes = Modes(!Modes::of(&[Mode::Start]).0);
const NON_REPLICATED_QUERIES: Modes = Modes::of(&[
    Mode::NonReplicatedQuery,
    Mode::CompositeQuery,
    Mode::CompositeReplyCallback,
    Mode::CompositeRejectCallback,
    Mode::CompositeCleanup,
]);
const CALLBACKS: Modes = Modes::of(&[Mode::ReplyCallback, Mode::RejectCallback]);
const COMPOSITE_CALLBACKS: Modes = Modes::of(&[Mode::CompositeReplyCallback, Mode::CompositeRejectCallback]);
const QUERIES: Modes = Modes::of(&[Mode::ReplicatedQuery, Mode::NonReplicatedQuery, Mode::CompositeQuery]);
/// Messages of users.
pub(super) const INSPECTION: Modes = Modes::of(&[Mode::InspectMessage]);
/// Where there is an argument, or a reply to read.
pub(super) const ARGUMENT: Modes = QUERIES.or(INSPECTION).or(Modes::of(&[
    Mode::Init,
    Mode::Update,
    Mode::ReplyCallback,
    Mode::CompositeReplyCallback,
]));
/// Where a method call can be answered.
pub(super) const ANSWERING: Modes = QUERIES.or(CALLBACKS).or(COMPOSITE_CALLBACKS).or(Modes::of(&[Mode::Update]));
/// Where signed attributes of the caller can be read.
pub(super) const CALLER_INFO: Modes = ANSWERING.or(INSPECTION).or(Modes::of(&[Mode::Cleanup, Mode::CompositeCleanup]));
/// Where the reject code of a call can be read.
pub(super) const REJECT_CODE: Modes = CALLBACKS.or(COMPOSITE_CALLBACKS).or(Modes::of(&[Mode::Cleanup]));
/// Where the reject message of a call can be read.
pub(super) const REJECT_MESSAGE: Modes = Modes::of(&[Mode::RejectCallback, Mode::CompositeRejectCallback]);
/// Where cycles of the call can be accepted.
pub(super) const ACCEPTING_CYCLES: Modes = CALLBACKS.or(Modes::of(&[Mode::Update, Mode::ReplicatedQuery]));
/// Where cycles that came back can be read.
pub(super) const REFUNDED_CYCLES: Modes = CALLBACKS;
/// Where cycles can be attached to a call.
pub(super) const ATTACHING_CYCLES: Modes = CALLBACKS.or(Modes::of(&[Mode::Update, Mode::SystemTask]));
/// Where calls can be made.
pub(super) const CALLING: Modes = ATTACHING_CYCLES.or(COMPOSITE_CALLBACKS).or(Modes::of(&[Mode::CompositeQuery]));
/// Where the timer can be set.
pub(super) const TIMER: Modes =
    CALLBACKS.or(Modes::of(&[Mode::Init, Mode::PreUpgrade, Mode::Update, Mode::Cleanup, Mode::SystemTask]));
/// Where cycles can be burned, and the root key be read.
pub(super) const BURNING_CYCLES: Modes = TIMER.or(Modes::of(&[Mode::ReplicatedQuery]));
/// Where certified data can be set.
pub(super) const CERTIFYING: Modes =
    CALLBACKS.or(Modes::of(&[Mode::Init, Mode::PreUpgrade, Mode::Update, Mode::SystemTask]));
/// Where the data certificate can be read.
pub(super) const CERTIFICATE: Modes = Modes::of(&[Mode::NonReplicatedQuery, Mode::CompositeQuery]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_allow_functions_by_the_availability_table() {
        assert!(CALLING.contains(Mode::CompositeRejectCallback) && !CALLING.contains(Mode::Init));
        assert!(!CALLING.contains(Mode::Cleanup) && !CALLING.contains(Mode::NonReplicatedQuery));
        assert!(!ATTACHING_CYCLES.contains(Mode::CompositeQuery));
        assert!(ARGUMENT.contains(Mode::InspectMessage) && !ARGUMENT.contains(Mode::RejectCallback));
        assert!(REJECT_CODE.contains(Mode::Cleanup) && !REJECT_CODE.contains(Mode::CompositeCleanup));
        assert!(BURNING_CYCLES.contains(Mode::Cleanup) && !BURNING_CYCLES.contains(Mode::NonReplicatedQuery));
        assert!(!CERTIFICATE.contains(Mode::ReplicatedQuery) && CERTIFICATE.contains(Mode::CompositeQuery));
        assert!(!ALL_BUT_START.contains(Mode::Start) && ALL_BUT_START.contains(Mode::SystemTask));
        assert!(ANY.contains(Mode::Start));
    }

    #[test]
    fn should_tell_replicated_execution_apart() {
        assert!(Mode::ReplicatedQuery.is_replicated() && Mode::Cleanup.is_replicated());
        assert!(!Mode::CompositeCleanup.is_replicated() && !Mode::InspectMessage.is_replicated());
    }
}
