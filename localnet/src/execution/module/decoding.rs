//! From uploaded bytes to a Wasm module: either may be compressed.

use std::{borrow::Cow, io::Read};

use flate2::read::GzDecoder;

use super::InvalidWasm;
use crate::limits::MAX_WASM;

const WASM_MAGIC: &[u8] = b"\0asm";
/// Start of a gzip member compressed with deflate, the only method there is.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 0x08];
/// A gzip member ends with the length of its content, modulo 2³².
const GZIP_LENGTH_BYTES: usize = 4;

/// Returns the Wasm module in the bytes, unpacked if they are gzip.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, [u8]>, InvalidWasm> {
    let wasm = if bytes.starts_with(GZIP_MAGIC) { Cow::Owned(gunzip(bytes)?) } else { Cow::Borrowed(bytes) };
    if wasm.len() > MAX_WASM {
        return Err(too_large(wasm.len()));
    }
    if !wasm.starts_with(WASM_MAGIC) {
        return Err(InvalidWasm::Decoding("unsupported canister module format".to_owned()));
    }
    Ok(wasm)
}

fn too_large(length: usize) -> InvalidWasm {
    InvalidWasm::Decoding(format!("the uncompressed module has {length} bytes, more than the {MAX_WASM} allowed"))
}

/// Unpacks gzip bytes. The length they declare bounds what is read, so that a small bomb cannot take all memory.
fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, InvalidWasm> {
    let malformed = || InvalidWasm::Decoding("the gzip data end early".to_owned());
    let footer = bytes.last_chunk::<GZIP_LENGTH_BYTES>().ok_or_else(malformed)?;
    let declared = u32::from_le_bytes(*footer) as usize;
    if declared > MAX_WASM {
        return Err(too_large(declared));
    }
    let mut wasm = Vec::with_capacity(declared);
    GzDecoder::new(bytes)
        .take(declared as u64 + 1)
        .read_to_end(&mut wasm)
        .map_err(|error| InvalidWasm::Decoding(error.to_string()))?;
    if wasm.len() != declared {
        return Err(InvalidWasm::Decoding(format!("the gzip data do not have the {declared} bytes they declare")));
    }
    Ok(wasm)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn should_unpack_gzip_and_pass_raw_modules() {
        let wasm = wat::parse_str("(module)").unwrap();
        assert_eq!(*decode(&wasm).unwrap(), wasm);
        assert_eq!(*decode(&gzip(&wasm)).unwrap(), wasm);
    }

    #[test]
    fn should_refuse_what_is_neither() {
        for bytes in [&b""[..], b"\0as", b"hello", &gzip(b"hello")] {
            assert!(decode(bytes).unwrap_err().to_string().contains("unsupported canister module format"));
        }
    }

    #[test]
    fn should_refuse_a_declared_length_that_is_not_the_true_one() {
        let mut bytes = gzip(&wat::parse_str("(module)").unwrap());
        let last = bytes.len() - 4;
        for wrong in [0, 7, 9] {
            bytes[last] = wrong;
            assert!(matches!(decode(&bytes), Err(InvalidWasm::Decoding(_))), "declared {wrong}");
        }
    }

    #[test]
    fn should_refuse_more_than_the_limit_without_unpacking_it() {
        let bomb = gzip(&vec![0; MAX_WASM + 1]);
        assert!(bomb.len() < 200_000);
        assert!(decode(&bomb).unwrap_err().to_string().contains("more than"));
        let mut lying = bomb;
        let last = lying.len() - 4;
        lying[last..].copy_from_slice(&8_u32.to_le_bytes());
        assert!(decode(&lying).unwrap_err().to_string().contains("8 bytes they declare"));
    }

    #[test]
    fn should_refuse_truncated_gzip() {
        let bytes = gzip(&wat::parse_str("(module)").unwrap());
        for length in 3..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut to {length}");
        }
    }
}
