//! Bounds on texts that callers send and that are sent back to them.

use depot_types::catalog::{CommitError, MergeError, PublishError, UndoError};

/// A text that is longer than its field allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextTooLong {
    /// The field.
    pub(crate) field: &'static str,
    /// Bytes given.
    pub(crate) bytes: usize,
    /// Bytes allowed.
    pub(crate) max: usize,
}

/// Lets errors tell that a text is too long.
macro_rules! tell_text_too_long {
    ($($error:ident),+) => {$(
        impl From<TextTooLong> for $error {
            fn from(TextTooLong { field, bytes, max }: TextTooLong) -> Self {
                Self::TextTooLong { field: field.to_string(), bytes: bytes as u32, max: max as u32 }
            }
        }
    )+};
}

tell_text_too_long!(CommitError, MergeError, PublishError, UndoError);

/// Checks that the text of a field has `max` bytes at the most.
pub(crate) fn check_length(field: &'static str, text: &str, max: usize) -> Result<(), TextTooLong> {
    let bytes = text.len();
    if bytes > max { Err(TextTooLong { field, bytes, max }) } else { Ok(()) }
}

/// Cuts a text to `max` bytes, or a little less so that it stays UTF-8.
///
/// Errors name what was wrong, but an answer must not grow with a text that no limit has held yet.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_hold_length_at_and_one_past() {
        assert_eq!(check_length("message", "abc", 3), Ok(()));
        assert_eq!(check_length("message", "abcd", 3), Err(TextTooLong { field: "message", bytes: 4, max: 3 }));
    }

    #[test]
    fn should_cut_between_characters() {
        assert_eq!(excerpt("aé", 4), "aé");
        assert_eq!(excerpt("aé", 3), "aé");
        assert_eq!(excerpt("aé", 2), "a");
    }
}
