//! What a commit can look back on.

use std::collections::BTreeMap;

use ic_stable_structures::Memory;

use super::Place;
use crate::state::State;

/// Commits and all that they follow: of each line the last position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach(BTreeMap<u64, u64>);

impl Reach {
    /// Tells whether a commit is among them.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.0.get(&place.line).is_some_and(|last| *last >= place.position)
    }
}

impl<M: Memory> State<M> {
    /// Returns commits with all that they follow. Takes a step for each line and merge among them.
    pub(crate) fn reach(&self, from: impl IntoIterator<Item = Place>) -> Reach {
        let mut reach = Reach::default();
        self.extend_reach(&mut reach, from);
        reach
    }

    fn extend_reach(&self, reach: &mut Reach, from: impl IntoIterator<Item = Place>) {
        let mut waiting: Vec<Place> = from.into_iter().collect();
        while let Some(Place { line, position }) = waiting.pop() {
            let known = reach.0.get(&line).copied();
            if known.is_some_and(|known| known >= position) {
                continue;
            }
            reach.0.insert(line, position);
            if known.is_none() {
                waiting.extend(self.line_start(line).parent);
            }
            let new = known.map_or(0, |known| known + 1);
            let merges = self.merges.range(Place::between(line, new..=position));
            waiting.extend(merges.map(|merge| self.commit_place(merge.value()).place));
        }
    }

    /// Returns the numbers of the commits that both sides look back on and that are not before another such one,
    /// latest first.
    pub(crate) fn common_heads(&self, one: &Reach, other: &Reach) -> Vec<u64> {
        let common = one.0.iter().filter_map(|(line, last)| {
            let position = *last.min(other.0.get(line)?);
            Some(Place { line: *line, position })
        });
        let mut candidates: Vec<(u64, Place)> = common.map(|place| (self.commit_at(place), place)).collect();
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        let (mut heads, mut covered) = (vec![], Reach::default());
        for (number, place) in candidates {
            if !covered.has(place) {
                heads.push(number);
                self.extend_reach(&mut covered, [place]);
            }
        }
        heads
    }

    /// Returns the numbers of the commits of one side that the other one does not look back on, in no order, or
    /// nothing when there are more than `most`.
    pub(crate) fn only_in(&self, one: &Reach, other: &Reach, most: usize) -> Option<Vec<u64>> {
        let mut numbers = vec![];
        for (line, last) in &one.0 {
            let first = other.0.get(line).map_or(0, |known| known + 1);
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
}
