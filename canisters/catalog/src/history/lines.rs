//! Lines: commits that follow each other by first parents.
//!
//! A line starts behind a commit of another one, or behind nothing. Where branches come and go, each may leave a line, so
//! a line also knows how far back others are: by these steps, every commit before another one by first parents is a
//! logarithm of steps away, however many lines there are between them.

use std::borrow::Cow;

use ic_stable_structures::{Memory, Storable, storable::Bound};

use super::{Fields, Place};
use crate::state::State;

/// Where a line starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineStart {
    /// The commit that the first one of the line follows; none when it follows nothing.
    pub(crate) parent: Option<Place>,
    /// The position that the next commit on the line would have. It never falls: what garbage collection has taken
    /// away from the end of a line is not given to other commits.
    pub(crate) next: u64,
    /// What is before the line; nothing for a line that follows nothing, and for those of a catalog that did not write it.
    pub(crate) before: Option<Before>,
}

/// What is before a line, by first parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// How many commits.
    commits: u64,
    /// How many lines.
    lines: u64,
    /// One of the commits, on the line before or far before.
    far: Place,
    /// How many commits are before that one.
    far_commits: u64,
    /// How many lines are before its line.
    far_lines: u64,
}

/// There is no commit of a line, or of one before it, among those that a commit follows by first parents: they begin with
/// another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BeforeLine {
    /// The line that they begin with.
    pub(crate) root: u64,
}

impl Storable for LineStart {
    const BOUND: Bound = Bound::Bounded { max_size: 8 + 2 * Place::BYTES as u32 + 4 * 8, is_fixed_size: false };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = self.next.to_be_bytes().to_vec();
        if let Some(parent) = self.parent {
            bytes.extend_from_slice(&parent.to_array());
        }
        if let Some(Before { commits, lines, far, far_commits, far_lines }) = self.before {
            bytes.extend_from_slice(&far.to_array());
            for number in [commits, lines, far_commits, far_lines] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let mut fields = Fields(&bytes);
        let next = fields.number();
        let parent = (!fields.0.is_empty()).then(|| Place { line: fields.number(), position: fields.number() });
        let before = (!fields.0.is_empty()).then(|| {
            let far = Place { line: fields.number(), position: fields.number() };
            let (commits, lines) = (fields.number(), fields.number());
            Before { commits, lines, far, far_commits: fields.number(), far_lines: fields.number() }
        });
        Self { parent, next, before }
    }
}

impl<M: Memory> State<M> {
    pub(super) fn line_start(&self, line: u64) -> LineStart {
        self.line_starts.get(&line).unwrap_or_else(|| panic!("BUG: the line {line} is missing"))
    }

    /// Returns the commit that is so many first parents before another one, or how many there are at the most.
    pub(crate) fn first_parent(&self, of: Place, steps: u64) -> Result<Place, u64> {
        let (mut place, mut left) = (of, steps);
        loop {
            if let Some(position) = place.position.checked_sub(left) {
                return Ok(Place { position, ..place });
            }
            let start = self.line_start(place.line);
            let Some(parent) = start.parent else { return Err(steps - left + place.position) };
            let to_far = start.before.map(|before| (place.position + before.commits - before.far_commits, before.far));
            (left, place) = match to_far {
                Some((between, far)) if between <= left => (left - between, far),
                Some(_) | None => (left - place.position - 1, parent),
            };
        }
    }

    /// Returns the latest commit, among one and those that it follows by first parents, that is on the line given or on one
    /// before that.
    pub(super) fn back_to_line(&self, from: Place, line: u64) -> Result<Place, BeforeLine> {
        let mut place = from;
        while place.line > line {
            let LineStart { parent, before, .. } = self.line_start(place.line);
            let far = before.map(|before| before.far).filter(|far| far.line >= line);
            place = far.or(parent).ok_or(BeforeLine { root: place.line })?;
        }
        Ok(place)
    }

    /// Returns the line that a commit and those that it follows by first parents begin with.
    pub(super) fn root_line(&self, from: Place) -> u64 {
        let mut line = from.line;
        loop {
            let LineStart { parent, before, .. } = self.line_start(line);
            match before.map(|before| before.far).or(parent) {
                Some(place) => line = place.line,
                None => return line,
            }
        }
    }

    /// Returns the place of a commit that is new and follows the one given, and lets its line have it.
    pub(super) fn next_place(&mut self, parent: Option<Place>) -> Place {
        if let Some(parent) = parent {
            let start = self.line_start(parent.line);
            if start.next == parent.position + 1 {
                self.line_starts.insert(parent.line, LineStart { next: start.next + 1, ..start });
                return Place { line: parent.line, position: start.next };
            }
        }
        let line = self.line_starts.last_key_value().map_or(0, |(last, _)| last + 1);
        let before = parent.map(|parent| self.before_line_behind(parent));
        self.line_starts.insert(line, LineStart { parent, next: 1, before });
        Place { line, position: 0 }
    }

    /// Returns what is before a line that starts behind a commit.
    fn before_line_behind(&self, parent: Place) -> Before {
        let (commits, lines, before) = self.count_before(parent.line);
        let near = Before {
            commits: commits + parent.position + 1,
            lines: lines + 1,
            far: parent,
            far_commits: commits + parent.position,
            far_lines: lines,
        };
        // With steps that double where two of the same length come after each other, everything is a logarithm of steps
        // away.
        let Some(one) = before else { return near };
        match self.line_start(one.far.line).before {
            Some(two) if lines - one.far_lines == one.far_lines - two.far_lines => {
                Before { far: two.far, far_commits: two.far_commits, far_lines: two.far_lines, ..near }
            }
            Some(_) | None => near,
        }
    }

    /// Counts the commits and lines before a line by first parents; they are counted one by one where that was not written
    /// down.
    fn count_before(&self, line: u64) -> (u64, u64, Option<Before>) {
        let (mut commits, mut lines, mut line) = (0, 0, line);
        loop {
            let LineStart { parent, before, .. } = self.line_start(line);
            if let Some(before) = before {
                return (commits + before.commits, lines + before.lines, (lines == 0).then_some(before));
            }
            let Some(parent) = parent else { return (commits, lines, None) };
            commits += parent.position + 1;
            lines += 1;
            line = parent.line;
        }
    }
}

#[cfg(test)]
mod tests;
