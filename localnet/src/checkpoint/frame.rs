//! The frame around every CBOR file of a state directory: what it is, its layout, its length, and a checksum.
//!
//! ```text
//! offset  bytes  content
//!      0     16  "localnet state\r\n"
//!     16      4  layout, big-endian
//!     20      8  length of the payload, big-endian
//!     28      n  payload
//! 28 + n     32  SHA-256 of all before
//! ```

use sha2::{Digest, Sha256};

/// The layout that is written. Layout 1 was the first.
pub(super) const LAYOUT: u32 = 1;

const MAGIC: [u8; 16] = *b"localnet state\r\n";
const HEADER_BYTES: usize = MAGIC.len() + size_of::<u32>() + size_of::<u64>();
const CHECKSUM_BYTES: usize = 32;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it does not begin like a file of localnet")]
    Alien,
    #[error("it has layout {0}")]
    Newer(u32),
    #[error("it has {found} bytes instead of {expected}")]
    Length { found: u64, expected: u64 },
    #[error("its checksum is wrong")]
    Checksum,
}

/// Puts a payload into a frame.
pub(super) fn wrap(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&LAYOUT.to_be_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    bytes.extend_from_slice(payload);
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Takes the payload out of its frame.
///
/// # Errors
/// What is wrong with the file. The layout comes before everything that a later one may do differently.
pub(super) fn unwrap(bytes: &[u8]) -> Result<&[u8], Flaw> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(Flaw::Alien)?;
    let short = Flaw::Length { found: bytes.len() as u64, expected: (HEADER_BYTES + CHECKSUM_BYTES) as u64 };
    let Some((layout, rest)) = rest.split_first_chunk() else { return Err(short) };
    let layout = u32::from_be_bytes(*layout);
    if layout > LAYOUT {
        return Err(Flaw::Newer(layout));
    }
    let Some((length, rest)) = rest.split_first_chunk() else { return Err(short) };
    let length = u64::from_be_bytes(*length);
    let expected = length.saturating_add((HEADER_BYTES + CHECKSUM_BYTES) as u64);
    if bytes.len() as u64 != expected {
        return Err(Flaw::Length { found: bytes.len() as u64, expected });
    }
    let (payload, checksum) = rest.split_at(rest.len() - CHECKSUM_BYTES);
    if Sha256::digest(&bytes[..bytes.len() - CHECKSUM_BYTES]).as_slice() != checksum {
        return Err(Flaw::Checksum);
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_out_what_was_put_in() {
        for payload in [b"".as_slice(), b"state"] {
            assert_eq!(unwrap(&wrap(payload)), Ok(payload));
        }
    }

    #[test]
    fn should_refuse_every_cut_and_every_changed_bit() {
        let bytes = wrap(b"state");
        for length in 0..bytes.len() {
            assert!(unwrap(&bytes[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(unwrap(&changed).is_err(), "bit {bit}");
        }
        assert!(unwrap(&[bytes.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn should_name_a_newer_layout_whatever_follows() {
        let mut bytes = wrap(b"state");
        bytes[16..20].copy_from_slice(&(LAYOUT + 1).to_be_bytes());
        assert_eq!(unwrap(&bytes[..20]), Err(Flaw::Newer(LAYOUT + 1)));
        assert_eq!(unwrap(&bytes), Err(Flaw::Newer(LAYOUT + 1)));
    }
}
