//! What commits can look back on.
//!
//! Two sides that went apart are looked at from their ends backwards, latest commit first, until all that is left is behind
//! both of them: what they have in common may be as long as it likes. Lines and merges are gone through, not single
//! commits.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use ic_stable_structures::Memory;

use super::{CommitPlace, Place};
use crate::state::State;

/// Commits and all that they follow, as far as it was looked at: of each line the last position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach(BTreeMap<u64, u64>);

impl Reach {
    /// Tells whether a commit is among them.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.0.get(&place.line).is_some_and(|last| *last >= place.position)
    }
}

/// What two sides look back on, down to where everything that is left is behind both.
///
/// What only one of them looks back on is complete, and so is all that is later than the oldest such commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) ours: Reach,
    pub(crate) theirs: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Ours,
    Theirs,
}

/// Something that is still to be looked at, ordered by the number of its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    number: u64,
    place: Place,
    side: Side,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A commit that the side looks back on with all before it on its line, found from the commit given.
    Commit { from: Option<Place> },
    /// The first commit of a line.
    Start,
    /// A merge on a line; those before it down to the position given are next.
    Merge { down_to: u64 },
}

impl Apart {
    fn side(&mut self, side: Side) -> &mut Reach {
        match side {
            Side::Ours => &mut self.ours,
            Side::Theirs => &mut self.theirs,
        }
    }

    /// Tells whether both sides are known to look back on what a step leads to.
    fn is_common(&self, step: &Step) -> bool {
        let from = match step.kind {
            Kind::Commit { from } => from,
            Kind::Start | Kind::Merge { .. } => Some(step.place),
        };
        from.is_some_and(|place| self.ours.has(place) && self.theirs.has(place))
    }

    /// Returns the last commits on lines that both sides look back on.
    fn common_places(&self) -> impl Iterator<Item = Place> {
        self.ours.0.iter().filter_map(|(line, last)| {
            let position = *last.min(self.theirs.0.get(line)?);
            Some(Place { line: *line, position })
        })
    }
}

impl<M: Memory> State<M> {
    /// Returns what two sides look back on, or nothing when that would take more than `most` steps: one for each line and
    /// merge since they went apart.
    pub(crate) fn apart(
        &self,
        ours: impl IntoIterator<Item = Place>,
        theirs: impl IntoIterator<Item = Place>,
        most: usize,
    ) -> Option<Apart> {
        let (mut apart, mut waiting) = (Apart::default(), BinaryHeap::new());
        let ours = ours.into_iter().map(|place| (place, Side::Ours));
        for (place, side) in ours.chain(theirs.into_iter().map(|place| (place, Side::Theirs))) {
            waiting.push(Step { number: self.commit_at(place), place, side, kind: Kind::Commit { from: None } });
        }
        let (mut steps, mut lowest) = (0, None);
        // Numbers fall from step to step, and a commit has a lower one than those that lead to it: so whether a side looks
        // back on a commit is known when all steps of its number were taken.
        while let Some(step) = waiting.pop() {
            let is_known = lowest != Some(step.number);
            if is_known && apart.is_common(&step) && waiting.iter().all(|other| apart.is_common(other)) {
                break;
            }
            lowest = Some(step.number);
            steps += 1;
            if steps > most {
                return None;
            }
            self.take_step(step, &mut apart, &mut waiting);
        }
        Some(apart)
    }

    fn take_step(&self, step: Step, apart: &mut Apart, waiting: &mut BinaryHeap<Step>) {
        let Step { place, side, kind, .. } = step;
        match kind {
            Kind::Commit { .. } => {
                let reach = &mut apart.side(side).0;
                let known = reach.get(&place.line).copied();
                if known.is_some_and(|known| known >= place.position) {
                    return;
                }
                reach.insert(place.line, place.position);
                if known.is_none() {
                    let start = Place { position: 0, ..place };
                    waiting.push(Step { number: self.commit_at(start), place: start, side, kind: Kind::Start });
                }
                let down_to = known.map_or(0, |known| known + 1);
                waiting.extend(self.last_merge(place, down_to, side));
            }
            Kind::Start => {
                if let Some(parent) = self.line_start(place.line).parent {
                    let (number, kind) = (self.commit_at(parent), Kind::Commit { from: Some(place) });
                    waiting.push(Step { number, place: parent, side, kind });
                }
            }
            Kind::Merge { down_to } => {
                let merged = self.merges.get(&place).unwrap_or_else(|| panic!("BUG: there is no merge at {place:?}"));
                let (from, kind) = (self.commit_place(merged).place, Kind::Commit { from: Some(place) });
                waiting.push(Step { number: merged, place: from, side, kind });
                if let Some(position) = place.position.checked_sub(1).filter(|position| *position >= down_to) {
                    waiting.extend(self.last_merge(Place { position, ..place }, down_to, side));
                }
            }
        }
    }

    /// Returns the step to the last merge on a line between two positions.
    fn last_merge(&self, last: Place, down_to: u64, side: Side) -> Option<Step> {
        let merge = self.merges.keys_range(Place::between(last.line, down_to..=last.position)).next_back()?;
        Some(Step { number: self.commit_at(merge), place: merge, side, kind: Kind::Merge { down_to } })
    }

    /// Returns the numbers of the commits that both sides look back on and that are not before another such one,
    /// latest first.
    pub(crate) fn common_heads(&self, apart: &Apart) -> Vec<u64> {
        let mut candidates: Vec<(u64, Place)> =
            apart.common_places().map(|place| (self.commit_at(place), place)).collect();
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        let oldest = candidates.last().map_or(0, |(number, _)| *number);
        let (mut heads, mut covered) = (vec![], Reach::default());
        for (number, place) in candidates {
            if !covered.has(place) {
                heads.push(number);
                self.extend_reach(&mut covered, place, oldest);
            }
        }
        heads
    }

    /// Adds a commit and all that it follows, but for what only older commits than one of the number given lead to.
    fn extend_reach(&self, reach: &mut Reach, from: Place, oldest: u64) {
        let mut waiting = vec![from];
        while let Some(place) = waiting.pop() {
            let Place { line, position } = place;
            let known = reach.0.get(&line).copied();
            if known.is_some_and(|known| known >= position) {
                continue;
            }
            reach.0.insert(line, position);
            if known.is_none() {
                let parent = self.line_start(line).parent;
                waiting.extend(parent.filter(|parent| self.commit_at(*parent) >= oldest));
            }
            let new = known.map_or(0, |known| known + 1);
            for merge in self.merges.range(Place::between(line, new..=position)).rev() {
                if self.commit_at(*merge.key()) <= oldest {
                    break;
                }
                waiting.extend(
                    Some(merge.value())
                        .filter(|merged| *merged >= oldest)
                        .map(|merged| self.commit_place(merged).place),
                );
            }
        }
    }

    /// Returns the numbers of the commits that only their side looks back on, in no order, or nothing when there are more
    /// than `most`.
    pub(crate) fn only_theirs(&self, apart: &Apart, most: usize) -> Option<Vec<u64>> {
        let mut numbers = vec![];
        for (line, last) in &apart.theirs.0 {
            let first = apart.ours.0.get(line).map_or(0, |known| known + 1);
            if first > *last {
                continue;
            }
            if (last - first) as usize >= most.saturating_sub(numbers.len()) {
                return None;
            }
            numbers.extend(self.lines.range(Place::between(*line, first..=*last)).map(|entry| entry.value()));
        }
        Some(numbers)
    }

    /// Returns the fewest commits by which one leads back to another one, both among them, or nothing when it does not or
    /// when more than `most` commits had to be looked at.
    pub(crate) fn way_back(&self, from: &CommitPlace, to: &CommitPlace, most: usize) -> Option<Vec<CommitPlace>> {
        let (from, to) = (self.commit_at(from.place), self.commit_at(to.place));
        let (mut waiting, mut led_from) = (VecDeque::from([from]), BTreeMap::from([(from, None)]));
        while let Some(number) = waiting.pop_front() {
            if number == to {
                let mut way = vec![];
                let mut next = Some(number);
                while let Some(number) = next {
                    way.push(self.commit_place(number));
                    next = led_from.get(&number).copied().flatten();
                }
                return Some(way);
            }
            for parent in self.commit_place(number).parents {
                // What came before the goal does not lead to it.
                if parent >= to && !led_from.contains_key(&parent) {
                    led_from.insert(parent, Some(number));
                    waiting.push_back(parent);
                }
            }
            if led_from.len() > most {
                return None;
            }
        }
        None
    }
}
