use super::*;
use crate::test_fixtures::{hex, unhex};

/// Bytes written by a released version must be read for ever, and those that lack what is before a line are read, too.
#[test]
fn should_keep_the_bytes_of_the_start_of_a_line() {
    let place = |line, position| Place { line, position };
    let root = LineStart { parent: None, next: 7, before: None };
    let older = LineStart { parent: Some(place(1, 2)), ..root };
    let before = Before { commits: 3, lines: 2, far: place(0, 1), far_commits: 1, far_lines: 0 };
    let start = LineStart { before: Some(before), ..older };
    let bytes = |numbers: &[u64]| numbers.iter().map(|number| format!("{number:016x}")).collect::<String>();
    for (start, golden) in
        [(root, bytes(&[7])), (older, bytes(&[7, 1, 2])), (start, bytes(&[7, 1, 2, 0, 1, 3, 2, 1, 0]))]
    {
        assert_eq!(hex(&start.to_bytes()), golden);
        assert_eq!(LineStart::from_bytes(Cow::Owned(unhex(&golden))), start);
    }
}
