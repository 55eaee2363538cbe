//! Which part of a module a request for a range gets.
//!
//! Chunks are certified, other parts are not. Gateways that put a module together ask for what follows the bytes that
//! they have, so an open end means the rest of a chunk where a chunk begins.

use std::ops::Range;

use depot_types::limits::{CHUNK_BYTES, MAX_READ_BYTES};

/// The part of a module that answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A chunk; the first one, when no range is asked for.
    Chunk(u32),
    /// Some other part.
    Bytes(Range<u64>),
    /// The range begins behind the end.
    OutOfRange,
}

impl Part {
    /// Chooses the part for the range that a header names. What is not one range of bytes is ignored.
    ///
    /// A range that is longer than an answer can be is answered up to where a chunk ends, so that who goes on from there
    /// gets chunks.
    pub(crate) fn of(range: Option<&str>, size: u64) -> Self {
        let Some((first, last)) = range.and_then(|range| parse(range, size)) else { return Self::Chunk(0) };
        if first >= size {
            return Self::OutOfRange;
        }
        let index = first / CHUNK_BYTES;
        let chunk = index * CHUNK_BYTES..size.min((index + 1) * CHUNK_BYTES);
        if last.is_none() && chunk.start == first {
            return Self::Chunk(index as u32);
        }
        let mut end = last.map_or(size, |last| size.min(last.saturating_add(1)));
        let max = first + u64::from(MAX_READ_BYTES);
        if end > max {
            end = max / CHUNK_BYTES * CHUNK_BYTES;
        }
        if chunk == (first..end) { Self::Chunk(index as u32) } else { Self::Bytes(first..end) }
    }
}

/// Returns the first byte that a range asks for and the last one, unless the end is open; `None` for what is not one range
/// of bytes.
fn parse(range: &str, size: u64) -> Option<(u64, Option<u64>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    match (number(first), number(last)) {
        (Some(first), Some(last)) => (first <= last).then_some((first, Some(last))),
        (Some(first), None) if last.is_empty() => Some((first, None)),
        // The last bytes, so many.
        (None, Some(count)) if first.is_empty() => {
            Some((if count == 0 { size } else { size.saturating_sub(count) }, Some(u64::MAX)))
        }
        _ => None,
    }
}

/// Reads a number of digits only.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit is behind any end.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = MAX_READ_BYTES as u64;
    /// Two whole chunks and a last one.
    const SIZE: u64 = 2 * CHUNK_BYTES + 100;

    fn part(range: &str) -> Part {
        Part::of(Some(range), SIZE)
    }

    #[test]
    fn should_answer_chunks_where_they_are_asked_for() {
        assert_eq!(Part::of(None, SIZE), Part::Chunk(0));
        for (range, index) in [
            ("bytes=0-", 0),
            ("bytes=0-1048575", 0),
            ("bytes=1048576-", 1),
            ("bytes=1048576-2097151", 1),
            ("bytes=2097152-", 2),
            ("bytes=2097152-2097251", 2),
            ("bytes=2097152-99999999999999999999999", 2),
            ("bytes=-100", 2),
        ] {
            assert_eq!(part(range), Part::Chunk(index), "{range}");
        }
    }

    #[test]
    fn should_answer_other_ranges_exactly() {
        for (range, bytes) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-1048574", 0..CHUNK_BYTES - 1),
            ("bytes=0-1048576", 0..CHUNK_BYTES + 1),
            ("bytes=1-1048575", 1..CHUNK_BYTES),
            ("bytes=1048575-1048576", CHUNK_BYTES - 1..CHUNK_BYTES + 1),
            ("bytes=1048576-2097152", CHUNK_BYTES..2 * CHUNK_BYTES + 1),
            ("bytes=2097152-2097250", 2 * CHUNK_BYTES..SIZE - 1),
            ("bytes=2097153-", 2 * CHUNK_BYTES + 1..SIZE),
            ("bytes=2097251-2097252", SIZE - 1..SIZE),
            ("bytes=-1", SIZE - 1..SIZE),
            ("bytes=-101", SIZE - 101..SIZE),
        ] {
            assert_eq!(part(range), Part::Bytes(bytes), "{range}");
        }
    }

    #[test]
    fn should_end_a_range_that_is_too_long_where_a_chunk_ends() {
        // As much as fits is answered as it is asked for.
        assert_eq!(part(&format!("bytes=7-{}", 7 + MAX - 1)), Part::Bytes(7..7 + MAX));
        assert_eq!(part(&format!("bytes=7-{}", 7 + MAX)), Part::Bytes(7..CHUNK_BYTES));
        assert_eq!(part("bytes=1-"), Part::Bytes(1..CHUNK_BYTES));
        assert_eq!(part("bytes=1048575-"), Part::Bytes(CHUNK_BYTES - 1..SIZE));
        assert_eq!(part("bytes=0-99999999"), Part::Chunk(0));
        assert_eq!(part("bytes=-99999999"), Part::Chunk(0));
        // Wherever a range begins, there is an end of a chunk that fits.
        let size = 100 * CHUNK_BYTES;
        for first in [1, CHUNK_BYTES - 1, CHUNK_BYTES + 1, 50 * CHUNK_BYTES - 1] {
            let Part::Bytes(bytes) = Part::of(Some(&format!("bytes={first}-")), size) else { panic!("{first}") };
            assert!(bytes.start == first && bytes.end % CHUNK_BYTES == 0 && !bytes.is_empty());
            assert!(bytes.end - bytes.start <= MAX && bytes.end + CHUNK_BYTES - bytes.start > MAX);
        }
    }

    #[test]
    fn should_know_ranges_behind_the_end() {
        for range in ["bytes=2097252-", "bytes=2097252-2097300", "bytes=-0", "bytes=18446744073709551615-"] {
            assert_eq!(part(range), Part::OutOfRange, "{range}");
        }
    }

    #[test]
    fn should_ignore_what_is_not_one_range_of_bytes() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=6-5",
            "bytes=0-1,5-6",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=a-",
            "lines=1-2",
        ] {
            assert_eq!(part(range), Part::Chunk(0), "{range}");
        }
    }
}
