//! Values behind an `Arc`, written as if they were there alone.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the value.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    T::serialize(value, serializer)
}

/// Reads the value; nobody else shares it.
///
/// # Errors
/// Those of the deserializer.
pub(crate) fn deserialize<'a, T: Deserialize<'a>, D: Deserializer<'a>>(deserializer: D) -> Result<Arc<T>, D::Error> {
    T::deserialize(deserializer).map(Arc::new)
}
