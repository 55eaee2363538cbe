//! Blobs that clients put aside to name them by hash in a later request.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::Bytes,
    extract::{FromRequest, Path, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_ENCODING},
    response::{AppendHeaders, IntoResponse},
};
use flate2::read::GzDecoder;
use pocket_ic::common::rest::BlobCompression;
use sha2::{Digest, Sha256};

use super::{answer::Failure, routes::Shared};

/// Bytes of all blobs together, as uploaded. The oldest go when a new one needs the room.
const MAX_STORED_BYTES: usize = 1 << 30;
/// Largest blob when unpacked.
const MAX_UNPACKED_BYTES: u64 = 2 << 30;
const GZIP: &str = "gzip";
const IDENTITY: &str = "identity";

/// Names a blob: the SHA-256 of its bytes as uploaded.
type BlobHash = [u8; 32];

/// Bytes that a client uploaded.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    bytes: Bytes,
    compression: BlobCompression,
}

impl Blob {
    /// Returns the bytes that were meant: unpacked if they were uploaded as gzip.
    ///
    /// # Errors
    /// When the bytes are not gzip, or too many when unpacked.
    pub(super) fn unpack(&self) -> Result<Bytes, Failure> {
        self.unpack_at_most(MAX_UNPACKED_BYTES)
    }

    fn unpack_at_most(&self, limit: u64) -> Result<Bytes, Failure> {
        match self.compression {
            BlobCompression::NoCompression => Ok(self.bytes.clone()),
            BlobCompression::Gzip => {
                let mut bytes = Vec::new();
                // One byte past the limit tells a blob that is too large from one that just fits.
                let mut reader = GzDecoder::new(self.bytes.as_ref()).take(limit + 1);
                reader
                    .read_to_end(&mut bytes)
                    .map_err(|error| Failure::bad_request(format!("the blob is not gzip: {error}")))?;
                if bytes.len() as u64 > limit {
                    return Err(Failure::bad_request(format!("the blob has more than {limit} bytes when unpacked")));
                }
                Ok(bytes.into())
            }
        }
    }
}

/// Blobs by their hash, bounded by dropping the oldest.
#[derive(Debug)]
pub(super) struct Blobs {
    capacity: usize,
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    blobs: BTreeMap<BlobHash, Blob>,
    /// Hashes of all blobs, oldest first.
    ages: VecDeque<BlobHash>,
    bytes: usize,
}

impl Default for Blobs {
    fn default() -> Self {
        Self::with_capacity(MAX_STORED_BYTES)
    }
}

impl Blobs {
    /// Makes an empty store for so many bytes. A single blob is kept even if it is larger.
    fn with_capacity(capacity: usize) -> Self {
        Self { capacity, stored: Mutex::default() }
    }

    /// Keeps a blob and returns its hash. The same bytes again make it the youngest.
    fn put(&self, bytes: Bytes, compression: BlobCompression) -> BlobHash {
        let hash: BlobHash = Sha256::digest(&bytes).into();
        let mut stored = self.lock();
        stored.bytes += bytes.len();
        if let Some(same) = stored.blobs.insert(hash, Blob { bytes, compression }) {
            stored.bytes -= same.bytes.len();
            stored.ages.retain(|other| *other != hash);
        }
        stored.ages.push_back(hash);
        while stored.bytes > self.capacity && stored.ages.len() > 1 {
            let oldest = stored.ages.pop_front().and_then(|hash| stored.blobs.remove(&hash));
            stored.bytes -= oldest.map_or(0, |blob| blob.bytes.len());
        }
        hash
    }

    /// Returns a blob.
    pub(super) fn get(&self, hash: &[u8]) -> Option<Blob> {
        let hash: BlobHash = hash.try_into().ok()?;
        self.lock().blobs.get(&hash).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        // Nothing that holds the lock panics half way.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /blobstore/`: keeps the body and answers its hash in hex.
pub(super) async fn put(State(shared): State<Shared>, request: Request) -> Result<String, Failure> {
    let compression = compression(request.headers())?;
    let bytes = Bytes::from_request(request, &shared).await;
    let bytes = bytes.map_err(|error| Failure::new(error.status(), error.body_text()))?;
    Ok(hex::encode(shared.blobs().put(bytes, compression)))
}

/// `GET /blobstore/{hash}`: the bytes as uploaded.
pub(super) async fn get(State(shared): State<Shared>, Path(hash): Path<String>) -> Result<impl IntoResponse, Failure> {
    let blob = hex::decode(&hash).ok().and_then(|hash| shared.blobs().get(&hash));
    let blob = blob.ok_or_else(|| Failure::not_found(format!("there is no blob {hash}")))?;
    let encoding = match blob.compression {
        BlobCompression::Gzip => Some((CONTENT_ENCODING, GZIP)),
        BlobCompression::NoCompression => None,
    };
    Ok((AppendHeaders(encoding), blob.bytes))
}

fn compression(headers: &HeaderMap) -> Result<BlobCompression, Failure> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(BlobCompression::NoCompression) };
    match encoding.as_bytes() {
        name if name.eq_ignore_ascii_case(GZIP.as_bytes()) => Ok(BlobCompression::Gzip),
        name if name.eq_ignore_ascii_case(IDENTITY.as_bytes()) => Ok(BlobCompression::NoCompression),
        name => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-encoding {} is not known", String::from_utf8_lossy(name)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn put(blobs: &Blobs, bytes: &'static [u8]) -> BlobHash {
        blobs.put(Bytes::from_static(bytes), BlobCompression::NoCompression)
    }

    #[test]
    fn should_not_find_unknown_and_misshapen_hashes() {
        let blobs = Blobs::default();
        let hash = put(&blobs, b"abc");
        assert!(blobs.get(&hash).is_some());
        assert!(blobs.get(&[7; 32]).is_none());
        assert!(blobs.get(&hash[..31]).is_none());
    }

    #[test]
    fn should_drop_the_oldest_blob_when_full() {
        let blobs = Blobs::with_capacity(10);
        let (first, second) = (put(&blobs, b"11111"), put(&blobs, b"22222"));
        assert_eq!(first, put(&blobs, b"11111"), "sent again, it is the youngest");
        assert!(blobs.get(&second).is_some(), "10 bytes fit");
        let third = put(&blobs, b"3");
        assert!(blobs.get(&second).is_none());
        assert!(blobs.get(&first).is_some() && blobs.get(&third).is_some());
    }

    #[test]
    fn should_keep_a_single_blob_of_any_size() {
        let blobs = Blobs::with_capacity(2);
        let hash = put(&blobs, b"12345");
        assert!(blobs.get(&hash).is_some());
    }

    #[test]
    fn should_unpack_blobs_up_to_the_limit() {
        let blobs = Blobs::default();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&[9; 50_000]).unwrap();
        let hash = blobs.put(encoder.finish().unwrap().into(), BlobCompression::Gzip);
        let blob = blobs.get(&hash).unwrap();
        assert_eq!(blob.unpack_at_most(50_000).unwrap(), vec![9; 50_000]);
        let (status, text) = blob.unpack_at_most(49_999).unwrap_err().into_parts();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("49999"), "{text}");
    }

    #[test]
    fn should_tell_a_blob_that_is_not_gzip() {
        let blobs = Blobs::default();
        let hash = blobs.put(Bytes::from_static(b"plain"), BlobCompression::Gzip);
        assert!(blobs.get(&hash).unwrap().unpack().unwrap_err().into_parts().1.contains("not gzip"));
    }

    #[test]
    fn should_know_gzip_and_identity_and_nothing_else() {
        let read = |name: &'static str| {
            compression(&HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(name))]))
        };
        assert_eq!(compression(&HeaderMap::new()).unwrap(), BlobCompression::NoCompression);
        assert_eq!(read("identity").unwrap(), BlobCompression::NoCompression);
        assert_eq!(read("GZip").unwrap(), BlobCompression::Gzip);
        assert_eq!(read("br").unwrap_err().into_parts().0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
