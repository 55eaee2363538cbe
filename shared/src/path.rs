//! The names of modules inside a branch, of branches and of packages, and what they may look like.

use std::fmt;

use candid::CandidType;
use serde::Deserialize;

use crate::limits::{
    MAX_BRANCH_NAME_BYTES, MAX_PACKAGE_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_SEGMENTS, MAX_SEGMENT_BYTES,
};

/// A module's path: one or more segments.
///
/// Text form: segments joined with `/`. On input a leading `/` and empty segments are dropped, so `/a//b/` is `a/b`.
/// A segment is UTF-8 without control characters, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModulePath(Vec<String>);

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum PathError {
    /// There is no segment.
    #[error("the path is empty")]
    Empty,
    /// The path is too long.
    #[error("the path has {bytes} bytes, more than {max}")]
    TooLong {
        /// Bytes of the path.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// There are too many segments.
    #[error("the path has {segments} segments, more than {max}")]
    TooDeep {
        /// Segments of the path.
        segments: u32,
        /// Segments allowed.
        max: u32,
    },
    /// A segment is too long.
    #[error("segment {segment} of the path has {bytes} bytes, more than {max}")]
    SegmentTooLong {
        /// Number of the segment, from 0.
        segment: u32,
        /// Bytes of the segment.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// A segment is `.` or `..`.
    #[error("segment {segment} of the path is `.` or `..`")]
    DotSegment {
        /// Number of the segment, from 0.
        segment: u32,
    },
    /// A segment has a control character.
    #[error("segment {segment} of the path has a control character")]
    ControlCharacter {
        /// Number of the segment, from 0.
        segment: u32,
    },
}

impl ModulePath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`] names the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong { bytes: text.len() as u32, max: MAX_PATH_BYTES as u32 });
        }
        let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
        if segments.is_empty() {
            return Err(PathError::Empty);
        }
        if segments.len() > MAX_PATH_SEGMENTS {
            return Err(PathError::TooDeep { segments: segments.len() as u32, max: MAX_PATH_SEGMENTS as u32 });
        }
        for (index, text) in segments.iter().enumerate() {
            let segment = index as u32;
            if text.len() > MAX_SEGMENT_BYTES {
                let (bytes, max) = (text.len() as u32, MAX_SEGMENT_BYTES as u32);
                return Err(PathError::SegmentTooLong { segment, bytes, max });
            }
            if matches!(*text, "." | "..") {
                return Err(PathError::DotSegment { segment });
            }
            if text.chars().any(char::is_control) {
                return Err(PathError::ControlCharacter { segment });
            }
        }
        Ok(Self(segments.into_iter().map(str::to_string).collect()))
    }

    /// Makes a path of segments that are known to be fine, such as names of branches.
    pub fn of_segments(segments: Vec<String>) -> Self {
        Self(segments)
    }

    /// Returns the segments, at least one.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Why a text is not a name of a branch or package.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name is too long.
    #[error("the name has {bytes} bytes, more than {max}")]
    TooLong {
        /// Bytes of the name.
        bytes: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// A character is not allowed there.
    #[error("character {position} of the name is not allowed")]
    InvalidCharacter {
        /// Byte position of the character.
        position: u32,
    },
}

/// Checks a branch name: `A`–`Z`, `a`–`z`, `0`–`9`, `.`, `_`, `-`; 1 to 128 of them.
///
/// # Errors
/// [`NameError`] names the first rule that the text breaks.
pub fn check_branch_name(name: &str) -> Result<(), NameError> {
    check_name(name, MAX_BRANCH_NAME_BYTES, |_, byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Checks a package name: `a`–`z`, `0`–`9`, and `-`, `_` or `.` but not in the first place; 1 to 64 of them.
///
/// # Errors
/// [`NameError`] names the first rule that the text breaks.
pub fn check_package_name(name: &str) -> Result<(), NameError> {
    check_name(name, MAX_PACKAGE_NAME_BYTES, |position, byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || position > 0 && b"-_.".contains(&byte)
    })
}

fn check_name(name: &str, max: usize, allowed: impl Fn(usize, u8) -> bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > max {
        return Err(NameError::TooLong { bytes: name.len() as u32, max: max as u32 });
    }
    match name.bytes().enumerate().position(|(position, byte)| !allowed(position, byte)) {
        Some(position) => Err(NameError::InvalidCharacter { position: position as u32 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_drop_empty_segments() {
        assert_eq!(ModulePath::parse("/a//b.wasm/").unwrap().to_string(), "a/b.wasm");
    }

    #[test]
    fn should_refuse_paths_without_or_with_dangerous_segments() {
        assert_eq!(ModulePath::parse("//"), Err(PathError::Empty));
        assert_eq!(ModulePath::parse("a/../b"), Err(PathError::DotSegment { segment: 1 }));
        assert_eq!(ModulePath::parse("./b"), Err(PathError::DotSegment { segment: 0 }));
        assert_eq!(ModulePath::parse("a\n"), Err(PathError::ControlCharacter { segment: 0 }));
    }

    #[test]
    fn should_hold_path_limits_at_and_one_past() {
        let segment = "s".repeat(MAX_SEGMENT_BYTES);
        assert!(ModulePath::parse(&segment).is_ok());
        assert!(matches!(ModulePath::parse(&format!("{segment}s")), Err(PathError::SegmentTooLong { .. })));
        let deep = vec!["d"; MAX_PATH_SEGMENTS].join("/");
        assert!(ModulePath::parse(&deep).is_ok());
        assert!(matches!(ModulePath::parse(&format!("{deep}/d")), Err(PathError::TooDeep { .. })));
        let long = format!("{}/{}", vec![segment; 4].join("/"), "");
        let long = long.trim_end_matches('/').to_string();
        assert_eq!(long.len(), MAX_PATH_BYTES - 1);
        assert!(ModulePath::parse(&format!("{long}/")).is_ok());
        assert!(matches!(ModulePath::parse(&format!("{long}//")), Err(PathError::TooLong { .. })));
    }

    #[test]
    fn should_check_branch_and_package_names() {
        assert_eq!(check_branch_name("release-1.x_Y"), Ok(()));
        assert_eq!(check_branch_name("a/b"), Err(NameError::InvalidCharacter { position: 1 }));
        assert_eq!(check_branch_name(""), Err(NameError::Empty));
        assert_eq!(check_branch_name(&"b".repeat(MAX_BRANCH_NAME_BYTES)), Ok(()));
        assert!(matches!(check_branch_name(&"b".repeat(MAX_BRANCH_NAME_BYTES + 1)), Err(NameError::TooLong { .. })));
        assert_eq!(check_package_name("basilisk-template.v2"), Ok(()));
        assert_eq!(check_package_name("-x"), Err(NameError::InvalidCharacter { position: 0 }));
        assert_eq!(check_package_name("Xx"), Err(NameError::InvalidCharacter { position: 0 }));
        assert!(matches!(check_package_name(&"p".repeat(MAX_PACKAGE_NAME_BYTES + 1)), Err(NameError::TooLong { .. })));
    }
}
