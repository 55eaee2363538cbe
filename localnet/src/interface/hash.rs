//! The representation-independent hash: the same for every encoding of the same map.
//!
//! It names requests and is what is signed of requests, delegations and query responses.

use sha2::{Digest, Sha256};

/// A value inside a hashed map.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// Text, hashed as its UTF-8 bytes.
    Text(&'a str),
    /// A natural number, hashed as unsigned LEB128.
    Nat(u64),
    /// A list, hashed as the hashes of its elements.
    Array(Vec<Value<'a>>),
    /// A map, hashed like the outer one.
    Map(Fields<'a>),
}

/// The fields of a map. Fields that are absent are left out.
pub(crate) type Fields<'a> = Vec<(&'static str, Value<'a>)>;

impl Value<'_> {
    fn hash(&self) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => Sha256::digest(bytes).into(),
            Self::Text(text) => Sha256::digest(text.as_bytes()).into(),
            Self::Nat(number) => Sha256::digest(leb128(*number)).into(),
            Self::Array(values) => {
                let mut hasher = Sha256::new();
                for value in values {
                    hasher.update(value.hash());
                }
                hasher.finalize().into()
            }
            Self::Map(fields) => hash_of_map(fields),
        }
    }
}

/// Returns the hash of a map.
pub(crate) fn hash_of_map(fields: &Fields<'_>) -> [u8; 32] {
    let mut pairs: Vec<([u8; 32], [u8; 32])> =
        fields.iter().map(|(name, value)| (Sha256::digest(name.as_bytes()).into(), value.hash())).collect();
    pairs.sort_unstable();
    let mut hasher = Sha256::new();
    for (name, value) in pairs {
        hasher.update(name);
        hasher.update(value);
    }
    hasher.finalize().into()
}

/// Returns the shortest unsigned LEB128 encoding.
pub(crate) fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_hash_the_example_of_the_specification() {
        let fields = vec![
            ("request_type", Value::Text("call")),
            ("sender", Value::Bytes(&[4])),
            ("ingress_expiry", Value::Nat(1_685_570_400_000_000_000)),
            ("canister_id", Value::Bytes(&[0, 0, 0, 0, 0, 0, 4, 0xd2])),
            ("method_name", Value::Text("hello")),
            ("arg", Value::Bytes(b"DIDL\x00\xFD*")),
        ];
        assert_eq!(
            hex::encode(hash_of_map(&fields)),
            "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
        );
    }

    #[test]
    fn should_encode_numbers_in_the_shortest_form() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [127]);
        assert_eq!(leb128(128), [0x80, 1]);
        assert_eq!(leb128(624_485), [0xe5, 0x8e, 0x26]);
        assert_eq!(leb128(u64::MAX).len(), 10);
    }

    #[test]
    fn should_not_depend_on_the_order_of_fields() {
        let one = vec![("a", Value::Nat(1)), ("b", Value::Array(vec![Value::Text("x"), Value::Bytes(&[2])]))];
        let other: Fields<'_> = one.iter().rev().cloned().collect();
        assert_eq!(hash_of_map(&one), hash_of_map(&other));
        let nested = vec![("a", Value::Map(one.clone()))];
        assert_ne!(hash_of_map(&nested), hash_of_map(&one));
    }
}
