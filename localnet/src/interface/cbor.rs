//! CBOR as it goes over the wire: strict about what comes in, tagged as CBOR when it goes out.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, SeqAccess, Visitor},
};

/// The tag that says "this is CBOR" (55799), which all answers begin with.
pub(crate) const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];
/// How deep maps, lists and tags may be nested in what comes in.
const MAX_DEPTH: usize = 128;

/// Reads a value that takes up all of the bytes.
///
/// # Errors
/// A sentence, when the bytes are no CBOR, not of this type, nested too deep, or followed by others.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH).map_err(|error| match error {
        ciborium::de::Error::Io(_) => "the data ends too early".to_owned(),
        ciborium::de::Error::Syntax(offset) => format!("no CBOR at byte {offset}"),
        ciborium::de::Error::Semantic(_, text) => text,
        ciborium::de::Error::RecursionLimitExceeded => format!("nested deeper than {MAX_DEPTH} levels"),
    })?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} trailing bytes", rest.len())) }
}

/// Writes a value, with the tag in front.
pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = SELF_DESCRIBED.to_vec();
    // Writing to memory cannot fail, and what is written here serialises.
    ciborium::into_writer(value, &mut bytes).expect("answers are serialisable");
    bytes
}

/// A list of bounded length. Reading stops at the first element past the bound, however many are said to come.
#[derive(Clone, Debug)]
pub(crate) struct AtMost<T, const MAX: usize>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = AtMost<T, MAX>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list of at most {MAX} elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == MAX {
                        return Err(A::Error::custom(format!("a list has more than {MAX} elements")));
                    }
                    elements.push(element);
                }
                Ok(AtMost(elements))
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_with_and_without_the_tag() {
        assert_eq!(read::<u64>(&[0x18, 200]).unwrap(), 200);
        assert_eq!(read::<u64>(&write(&200u64)).unwrap(), 200);
        assert_eq!(write(&200u64), [0xd9, 0xd9, 0xf7, 0x18, 200]);
    }

    #[test]
    fn should_say_what_is_wrong() {
        assert_eq!(read::<u64>(&[]).unwrap_err(), "the data ends too early");
        assert_eq!(read::<u64>(&[1, 2]).unwrap_err(), "1 trailing bytes");
        assert!(read::<u64>(&[0x1c]).unwrap_err().contains("no CBOR"));
        assert!(read::<u64>(&[0x61, b'x']).unwrap_err().contains("integer"));
    }

    #[test]
    fn should_bound_nesting_lengths_and_lists() {
        let deep = [vec![0x81; 200], vec![0]].concat();
        assert!(read::<serde::de::IgnoredAny>(&deep).unwrap_err().contains("nested"));
        // A byte string and a list that claim 2^60 bytes and elements.
        for head in [0x5b, 0x9b] {
            let huge = [vec![head], (1u64 << 60).to_be_bytes().to_vec()].concat();
            assert!(read::<serde_bytes::ByteBuf>(&huge).unwrap_err().contains("ends too early"));
        }
        let list = |length: usize| {
            let elements: Vec<u8> = vec![7; length];
            read::<AtMost<u8, 3>>(&write(&elements))
        };
        assert_eq!(list(3).unwrap().0, [7, 7, 7]);
        assert!(list(4).unwrap_err().contains("more than 3"));
    }
}
