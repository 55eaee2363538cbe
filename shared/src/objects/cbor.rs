//! The part of CBOR (RFC 8949) that objects use: unsigned integers, byte and text strings, arrays of definite length
//! and null, each in its shortest form. The reader refuses everything else.

use std::fmt;

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;

/// Why bytes are not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end too early.
    Truncated,
    /// Another type of item, or another number of items, stands where this one is expected.
    Unexpected,
    /// A number or length is not in its shortest form, or a length is indefinite.
    NotShortest,
    /// A text is not UTF-8.
    NotUtf8,
    /// The version of the encoding is unknown.
    UnknownVersion {
        /// The version found.
        version: u64,
    },
    /// The names of a node are not in strictly ascending order.
    Unsorted,
    /// A hash or a principal has an impossible length.
    WrongLength {
        /// Bytes found.
        bytes: usize,
    },
    /// A name belongs into another node of its folder.
    Misplaced,
    /// Bytes follow the object.
    TrailingBytes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the object is truncated"),
            Self::Unexpected => f.write_str("the object has an item that does not belong there"),
            Self::NotShortest => f.write_str("a number or length is not in its shortest form"),
            Self::NotUtf8 => f.write_str("a text is not UTF-8"),
            Self::UnknownVersion { version } => write!(f, "version {version} of the object format is unknown"),
            Self::Unsorted => f.write_str("the names of a node are not in strictly ascending order"),
            Self::WrongLength { bytes } => write!(f, "a hash or principal cannot have {bytes} bytes"),
            Self::Misplaced => f.write_str("a name of a folder belongs into another node"),
            Self::TrailingBytes => f.write_str("bytes follow the object"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Writes items one after the other.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(UNSIGNED, value)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, text.len() as u64).0.extend_from_slice(text.as_bytes());
        self
    }

    /// Starts an array; its items follow.
    pub(crate) fn array(&mut self, len: usize) -> &mut Self {
        self.head(ARRAY, len as u64)
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.0.push(NULL);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        let (low, tail): (u8, &[u8]) = match value {
            0..=23 => (value as u8, &[]),
            24..=0xff => (24, &bytes[7..]),
            0x100..=0xffff => (25, &bytes[6..]),
            0x1_0000..=0xffff_ffff => (26, &bytes[4..]),
            _ => (27, &bytes),
        };
        self.0.push(major | low);
        self.0.extend_from_slice(tail);
        self
    }
}

/// Reads items one after the other.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, DecodeError> {
        self.head(UNSIGNED)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.head(BYTES)?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.head(TEXT)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::NotUtf8)
    }

    /// Reads the start of an array and returns how many items follow.
    pub(super) fn array(&mut self) -> Result<u64, DecodeError> {
        self.head(ARRAY)
    }

    /// Reads the start of an array of `len` items.
    pub(super) fn array_of(&mut self, len: u64) -> Result<(), DecodeError> {
        if self.array()? == len { Ok(()) } else { Err(DecodeError::Unexpected) }
    }

    /// Reads null, if it comes next.
    pub(super) fn null(&mut self) -> bool {
        let rest = self.0.strip_prefix(&[NULL]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    fn head(&mut self, major: u8) -> Result<u64, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        if first >> 5 != major {
            return Err(DecodeError::Unexpected);
        }
        self.0 = rest;
        let (width, least) = match first & 0x1f {
            value @ 0..=23 => return Ok(u64::from(value)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(DecodeError::NotShortest),
        };
        let value = self.take(width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(DecodeError::NotShortest) } else { Ok(value) }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_write_and_read_numbers_in_shortest_form_at_each_width() {
        let cases: [(u64, &[u8]); 9] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 24]),
            (0xff, &[0x18, 0xff]),
            (0x100, &[0x19, 1, 0]),
            (0xffff, &[0x19, 0xff, 0xff]),
            (0x1_0000, &[0x1a, 0, 1, 0, 0]),
            (0x1_0000_0000, &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
            (u64::MAX, &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (value, bytes) in cases {
            let mut writer = Writer::default();
            writer.unsigned(value);
            assert_eq!(writer.finish(), bytes);
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.unsigned(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn should_refuse_longer_forms_and_indefinite_lengths() {
        for bytes in [
            &[0x18, 23][..],
            &[0x19, 0, 0xff],
            &[0x1a, 0, 0, 0xff, 0xff],
            &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x1f],
        ] {
            assert_eq!(Reader::new(bytes).unsigned(), Err(DecodeError::NotShortest), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0x9f, 0xff]).array(), Err(DecodeError::NotShortest));
    }

    #[test]
    fn should_refuse_lengths_past_the_end() {
        assert_eq!(Reader::new(&[]).unsigned(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0x42, 1]).bytes(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255]).bytes(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0x61, 0xff]).text(), Err(DecodeError::NotUtf8));
    }
}
