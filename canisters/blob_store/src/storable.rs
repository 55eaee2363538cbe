//! What is kept in stable memory: types of their own, so that the wire can change without the layout and the other way
//! round.
//!
//! Small records that are written often have a fixed encoding, in little-endian. The others are CBOR maps by field
//! name: a field added later needs `#[serde(default)]`. Any other change needs a new layout version.

mod chunk;
mod header;
mod module;
mod obstacle;
mod principals;
mod retention;
mod upload;

pub(crate) use self::{
    chunk::StoredChunk,
    header::StoredHeader,
    module::{StoredEncoding, StoredMetadata, StoredModule},
    obstacle::StoredObstacle,
    principals::{StoredAccount, StoredHolder},
    retention::{DueKey, StoredRetention},
    upload::{StoredUpload, UploadKey},
};

#[cfg(test)]
pub(crate) use self::module::StoredKind;

/// Bytes of a hash.
pub(crate) type StoredHash = [u8; 32];

/// Returns a number that a record of a fixed encoding has at a position.
macro_rules! number_at {
    ($of:ty, $bytes:expr, $position:expr) => {
        <$of>::from_le_bytes(crate::storable::array_at($bytes, $position))
    };
}
use number_at;

/// Returns the bytes that a record of a fixed encoding has at a position.
fn array_at<const N: usize>(bytes: &[u8], position: usize) -> [u8; N] {
    match bytes.get(position..).and_then(<[u8]>::first_chunk) {
        Some(array) => *array,
        None => panic!("BUG: a stored record has {} bytes only", bytes.len()),
    }
}
