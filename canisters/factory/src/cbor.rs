//! CBOR as the encoding of stored records.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};
use serde::{Serialize, de::DeserializeOwned};

/// A record that is stored as CBOR with named fields: fields may be added with a default, and retired ones skipped.
pub(crate) struct Cbor<T>(pub(crate) T);

impl<T: Serialize + DeserializeOwned> Storable for Cbor<T> {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(encode(&self.0))
    }

    fn into_bytes(self) -> Vec<u8> {
        encode(&self.0)
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        match ciborium::from_reader(bytes.as_ref()) {
            Ok(record) => Self(record),
            Err(error) => panic!("BUG: a stored record cannot be read: {error}"),
        }
    }

    const BOUND: Bound = Bound::Unbounded;
}

/// Returns the CBOR encoding of a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    match ciborium::into_writer(record, &mut bytes) {
        Ok(()) => bytes,
        Err(error) => panic!("BUG: a record cannot be encoded: {error}"),
    }
}
