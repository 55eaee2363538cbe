//! The log of everything that changed: numbered from 1, without gaps, never changed itself.

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{Event, EventKind, EventsArgs, EventsPage, MovedBy},
};
use ic_stable_structures::Memory;
use serde::{Deserialize, Serialize};

use crate::{
    asking::page,
    state::State,
    stored::{Record, StoredHash},
};

/// Who changes something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) caller: Principal,
    pub(crate) now_ns: u64,
}

/// An event; its number is its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    time_ns: u64,
    caller: Principal,
    kind: StoredEventKind,
}

/// A hash in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id(#[serde(with = "serde_bytes")] StoredHash);

impl From<Hash> for Id {
    fn from(hash: Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl From<Id> for Hash {
    fn from(Id(bytes): Id) -> Self {
        Self::new(bytes)
    }
}

/// What changed, as [`EventKind`] says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredEventKind {
    BranchCreated { branch: String, head: Option<Id> },
    HeadMoved { branch: String, old: Option<Id>, new: Option<Id>, by: StoredMovedBy },
    BranchDeleted { branch: String, head: Option<Id> },
    BranchRenamed { old: String, new: String },
    DefaultBranchChanged { old: String, new: String },
    ProtectionChanged { branch: String, protected: bool },
    ReleasePublished { package: String, version: String, module_hash: Id },
    PublisherAdded { publisher: Principal },
    PublisherRemoved { publisher: Principal },
    GarbageCollected { freed: u64 },
    Imported { commits: u64 },
}

/// What moved a branch, as [`MovedBy`] says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredMovedBy {
    Commit,
    Merge,
    FastForward,
    Rollback,
    Restore,
    Revert,
    Squash,
}

impl From<MovedBy> for StoredMovedBy {
    fn from(by: MovedBy) -> Self {
        match by {
            MovedBy::Commit => Self::Commit,
            MovedBy::Merge => Self::Merge,
            MovedBy::FastForward => Self::FastForward,
            MovedBy::Rollback => Self::Rollback,
            MovedBy::Restore => Self::Restore,
            MovedBy::Revert => Self::Revert,
            MovedBy::Squash => Self::Squash,
        }
    }
}

impl From<StoredMovedBy> for MovedBy {
    fn from(by: StoredMovedBy) -> Self {
        match by {
            StoredMovedBy::Commit => Self::Commit,
            StoredMovedBy::Merge => Self::Merge,
            StoredMovedBy::FastForward => Self::FastForward,
            StoredMovedBy::Rollback => Self::Rollback,
            StoredMovedBy::Restore => Self::Restore,
            StoredMovedBy::Revert => Self::Revert,
            StoredMovedBy::Squash => Self::Squash,
        }
    }
}

impl From<EventKind> for StoredEventKind {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::BranchCreated { branch, head } => Self::BranchCreated { branch, head: head.map(Id::from) },
            EventKind::HeadMoved { branch, old, new, by } => {
                Self::HeadMoved { branch, old: old.map(Id::from), new: new.map(Id::from), by: by.into() }
            }
            EventKind::BranchDeleted { branch, head } => Self::BranchDeleted { branch, head: head.map(Id::from) },
            EventKind::BranchRenamed { old, new } => Self::BranchRenamed { old, new },
            EventKind::DefaultBranchChanged { old, new } => Self::DefaultBranchChanged { old, new },
            EventKind::ProtectionChanged { branch, protected } => Self::ProtectionChanged { branch, protected },
            EventKind::ReleasePublished { package, version, module_hash } => {
                Self::ReleasePublished { package, version, module_hash: module_hash.into() }
            }
            EventKind::PublisherAdded { publisher } => Self::PublisherAdded { publisher },
            EventKind::PublisherRemoved { publisher } => Self::PublisherRemoved { publisher },
            EventKind::GarbageCollected { freed } => Self::GarbageCollected { freed },
            EventKind::Imported { commits } => Self::Imported { commits },
        }
    }
}

impl From<StoredEventKind> for EventKind {
    fn from(kind: StoredEventKind) -> Self {
        use StoredEventKind as Stored;
        match kind {
            Stored::BranchCreated { branch, head } => Self::BranchCreated { branch, head: head.map(Hash::from) },
            Stored::HeadMoved { branch, old, new, by } => {
                Self::HeadMoved { branch, old: old.map(Hash::from), new: new.map(Hash::from), by: by.into() }
            }
            Stored::BranchDeleted { branch, head } => Self::BranchDeleted { branch, head: head.map(Hash::from) },
            Stored::BranchRenamed { old, new } => Self::BranchRenamed { old, new },
            Stored::DefaultBranchChanged { old, new } => Self::DefaultBranchChanged { old, new },
            Stored::ProtectionChanged { branch, protected } => Self::ProtectionChanged { branch, protected },
            Stored::ReleasePublished { package, version, module_hash } => {
                Self::ReleasePublished { package, version, module_hash: module_hash.into() }
            }
            Stored::PublisherAdded { publisher } => Self::PublisherAdded { publisher },
            Stored::PublisherRemoved { publisher } => Self::PublisherRemoved { publisher },
            Stored::GarbageCollected { freed } => Self::GarbageCollected { freed },
            Stored::Imported { commits } => Self::Imported { commits },
        }
    }
}

impl<M: Memory> State<M> {
    /// Lists a page of events, oldest first.
    pub fn events(&self, args: &EventsArgs) -> EventsPage {
        let first = args.after.unwrap_or(0).saturating_add(1);
        let events =
            self.events.range(first..).take(page(args.limit)).map(|entry| event(*entry.key(), entry.value().0));
        EventsPage { events: events.collect(), last: self.last_event() }
    }

    /// Returns the number of the last event, or 0.
    pub(crate) fn last_event(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(last, _)| last)
    }

    /// Returns an event by its number.
    pub(crate) fn event(&self, number: u64) -> Option<Event> {
        self.events.get(&number).map(|Record(stored)| event(number, stored))
    }

    /// Appends an event to the log.
    pub(crate) fn log(&mut self, actor: Actor, kind: EventKind) {
        let Actor { caller, now_ns } = actor;
        let stored = StoredEvent { time_ns: now_ns, caller, kind: kind.into() };
        self.events.insert(self.last_event() + 1, Record(stored));
    }

    /// Takes over the next event of a backup, unless its number is another one.
    pub(crate) fn import_event(&mut self, event: Event) -> bool {
        let Event { number, time_ns, caller, kind } = event;
        let is_next = number == self.last_event() + 1;
        if is_next {
            self.events.insert(number, Record(StoredEvent { time_ns, caller, kind: kind.into() }));
        }
        is_next
    }
}

fn event(number: u64, stored: StoredEvent) -> Event {
    let StoredEvent { time_ns, caller, kind } = stored;
    Event { number, time_ns, caller, kind: kind.into() }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use depot_types::limits::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES};
    use ic_stable_structures::Storable;

    use super::*;
    use crate::test_fixtures::{ALICE, Fixture, hex, remove, set, unhex};

    fn kinds() -> Vec<EventKind> {
        let (branch, head) = ("b".to_string(), Some(Hash::new([0x11; 32])));
        vec![
            EventKind::BranchCreated { branch: branch.clone(), head },
            EventKind::HeadMoved { branch: branch.clone(), old: None, new: head, by: MovedBy::Squash },
            EventKind::BranchDeleted { branch: branch.clone(), head: None },
            EventKind::BranchRenamed { old: branch.clone(), new: "c".to_string() },
            EventKind::DefaultBranchChanged { old: branch.clone(), new: "c".to_string() },
            EventKind::ProtectionChanged { branch, protected: true },
            EventKind::ReleasePublished {
                package: "p".to_string(),
                version: "1.0.0".to_string(),
                module_hash: Hash::new([0x22; 32]),
            },
            EventKind::PublisherAdded { publisher: ALICE },
            EventKind::PublisherRemoved { publisher: ALICE },
            EventKind::GarbageCollected { freed: 7 },
            EventKind::Imported { commits: 8 },
        ]
    }

    #[test]
    fn should_read_back_each_kind() {
        for kind in kinds() {
            assert_eq!(EventKind::from(StoredEventKind::from(kind.clone())), kind);
        }
    }

    /// Bytes written by a released version must be read for ever.
    #[test]
    fn should_keep_the_bytes_of_an_event() {
        let kind = EventKind::HeadMoved {
            branch: "b".to_string(),
            old: None,
            new: Some(Hash::new([0x11; 32])),
            by: MovedBy::Commit,
        };
        let stored = StoredEvent { time_ns: 7, caller: ALICE, kind: kind.into() };
        let golden = format!(
            "a36774696d655f6e73076663616c6c6572420201646b696e64a169486561644d6f766564a4{}{}{}{}",
            "666272616e63686162",
            "636f6c64f6",
            format_args!("636e65775820{}", "11".repeat(32)),
            "62627966436f6d6d6974",
        );
        assert_eq!(hex(&Record(stored.clone()).to_bytes()), golden);
        assert_eq!(Record::<StoredEvent>::from_bytes(Cow::Owned(unhex(&golden))), Record(stored));
    }

    #[test]
    fn should_page_without_gaps() {
        let fixture = Fixture::new();
        for number in 0..5 {
            fixture.commit(&[set("a", number)]).unwrap();
        }
        fixture.commit(&[remove("a")]).unwrap();
        let state = fixture.state.borrow();
        let page = |after, limit| state.events(&EventsArgs { after, limit });
        let first = page(None, Some(4));
        assert_eq!((first.events.len(), first.last), (4, 6));
        let rest = page(Some(first.events[3].number), Some(4));
        assert_eq!(rest.events.iter().map(|event| event.number).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(page(Some(6), None).events, []);
        assert_eq!(page(Some(u64::MAX), None).events, []);
        assert_eq!(page(None, Some(0)).events.len(), 1);
    }

    #[test]
    fn should_hold_pages_at_their_limits_and_one_past() {
        let fixture = Fixture::new();
        let mut state = fixture.state.borrow_mut();
        for freed in 0..=u64::from(MAX_PAGE_ENTRIES) {
            state.log(Actor { caller: ALICE, now_ns: 0 }, EventKind::GarbageCollected { freed });
        }
        let page = |limit| state.events(&EventsArgs { after: None, limit }).events.len() as u32;
        assert_eq!((page(None), page(Some(MAX_PAGE_ENTRIES))), (DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES));
        assert_eq!(page(Some(MAX_PAGE_ENTRIES + 1)), MAX_PAGE_ENTRIES);
    }
}
