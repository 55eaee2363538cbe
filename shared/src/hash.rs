//! SHA-256 hashes: of modules, chunks and catalog objects.

use std::{fmt, str::FromStr};

use candid::{
    CandidType,
    types::{Serializer, Type, TypeInner},
};
use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};

/// A SHA-256 hash: 32 bytes, `blob` on the wire, 64 lowercase hex digits for people.
///
/// The hash of a module is the SHA-256 of its bytes exactly as uploaded, which is what the Internet Computer reports
/// as `module_hash` and what `sha256sum` prints for the file.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// Makes a hash from its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Computes the SHA-256 of the bytes given.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = ParseHashError;

    fn try_from(bytes: &[u8]) -> Result<Self, ParseHashError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| ParseHashError::WrongLength { expected: Self::BYTES, received: bytes.len() })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text or a byte string is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHashError {
    /// The length is wrong: bytes for a byte string, characters for a text.
    #[error("a hash is {expected} long, not {received}")]
    WrongLength {
        /// The length of a hash.
        expected: usize,
        /// The length given.
        received: usize,
    },
    /// A character is not a lowercase hex digit.
    #[error("a hash is written in lowercase hex digits; character {position} is not one")]
    NotLowercaseHex {
        /// Position of the character, from 0.
        position: usize,
    },
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let expected = 2 * Self::BYTES;
        if text.len() != expected {
            return Err(ParseHashError::WrongLength { expected, received: text.len() });
        }
        let digit = |position: usize| match text.as_bytes()[position] {
            digit @ b'0'..=b'9' => Ok(digit - b'0'),
            digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(ParseHashError::NotLowercaseHex { position }),
        };
        let mut bytes = [0; Self::BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = digit(2 * index)? << 4 | digit(2 * index + 1)?;
        }
        Ok(Self(bytes))
    }
}

impl CandidType for Hash {
    fn _ty() -> Type {
        TypeInner::Vec(TypeInner::Nat8.into()).into()
    }

    fn idl_serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error> {
        serializer.serialize_blob(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Hash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a blob of 32 bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Hash, E> {
                Hash::try_from(bytes).map_err(E::custom)
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Hash, E> {
                self.visit_bytes(&bytes)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_print_and_parse_the_hash_of_nothing() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hash::of(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(Hash::of(b"")));
    }

    #[test]
    fn should_refuse_what_is_not_sixty_four_lowercase_digits() {
        assert_eq!("ab".parse::<Hash>(), Err(ParseHashError::WrongLength { expected: 64, received: 2 }));
        let upper = Hash::of(b"x").to_string().to_uppercase();
        assert!(matches!(upper.parse::<Hash>(), Err(ParseHashError::NotLowercaseHex { .. })));
    }

    #[test]
    fn should_travel_as_a_candid_blob() {
        let hash = Hash::of(b"x");
        let bytes = candid::encode_one(vec![hash, hash]).unwrap();
        let blobs: Vec<serde_bytes::ByteBuf> = candid::decode_one(&bytes).unwrap();
        assert_eq!(blobs[1].as_slice(), hash.as_bytes());
        assert_eq!(candid::decode_one::<Vec<Hash>>(&bytes).unwrap(), [hash, hash]);
    }

    #[test]
    fn should_refuse_a_blob_of_another_length() {
        let bytes = candid::encode_one(serde_bytes::ByteBuf::from(vec![0; 31])).unwrap();
        assert!(candid::decode_one::<Hash>(&bytes).is_err());
    }
}
