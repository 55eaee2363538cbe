//! Expands gzip (RFC 1952), within a bound on memory.

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
};

use crate::blob_store::{GzipProblem, InvalidModule};

/// First bytes of every gzip stream.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate, the only method there is.
const DEFLATE: u8 = 8;
/// Bytes of the fixed part of the header.
const HEADER_BYTES: usize = 10;
/// Bytes of the trailer: checksum and length.
const TRAILER_BYTES: usize = 8;

const FLAG_HEADER_CHECKSUM: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
/// Flags that must not be set.
const RESERVED_FLAGS: u8 = 0b1110_0000;

/// What deflate can expand a byte to at the most: bounds what is reserved for a stream on its own word.
const MAX_EXPANSION: usize = 1_032;
/// Reserved at least, and added whenever the buffer is full.
const MIN_RESERVE_BYTES: usize = 64 << 10;

/// Returns true when the bytes begin like a gzip stream.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Expands a gzip stream of one member to at most `max` bytes.
///
/// Allocates what the stream declares, if that is possible, and never more than `max` and one byte.
///
/// # Errors
/// [`InvalidModule::CorruptGzip`], and [`InvalidModule::TooLarge`] as soon as there are more than `max` bytes.
pub(super) fn expand(bytes: &[u8], max: usize) -> Result<Vec<u8>, InvalidModule> {
    let mut position = header_bytes(bytes).map_err(corrupt)?;
    let mut output = Vec::new();
    let mut length = 0;
    let mut inflater = Box::<DecompressorOxide>::default();
    let mut reserve = declared_length(bytes)
        .min(bytes.len().saturating_mul(MAX_EXPANSION))
        // One byte more than allowed tells a stream that is too long from one that just fits.
        .clamp(MIN_RESERVE_BYTES.min(max), max)
        + 1;
    loop {
        output.resize(reserve, 0);
        let input = &bytes[position..];
        let (status, consumed, produced) =
            decompress(&mut inflater, input, &mut output, length, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
        position += consumed;
        length += produced;
        if length > max {
            return Err(InvalidModule::TooLarge { max: max as u64 });
        }
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => reserve = (2 * reserve).clamp(MIN_RESERVE_BYTES.min(max), max) + 1,
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(corrupt(GzipProblem::Truncated));
            }
            _ => return Err(corrupt(GzipProblem::Data)),
        }
    }
    output.truncate(length);
    check_trailer(&bytes[position..], &output).map_err(corrupt)?;
    Ok(output)
}

fn corrupt(problem: GzipProblem) -> InvalidModule {
    InvalidModule::CorruptGzip { problem }
}

/// Returns the length that the trailer declares, if there is one: a hint until the trailer is checked.
fn declared_length(bytes: &[u8]) -> usize {
    bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize)
}

/// Returns how many bytes the header has.
fn header_bytes(bytes: &[u8]) -> Result<usize, GzipProblem> {
    let Some(fixed) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(GzipProblem::Truncated);
    };
    let flags = fixed[3];
    if fixed[2] != DEFLATE || flags & RESERVED_FLAGS != 0 {
        return Err(GzipProblem::Header);
    }
    let mut position = HEADER_BYTES;
    if flags & FLAG_EXTRA != 0 {
        let length = bytes[position..].first_chunk().ok_or(GzipProblem::Truncated)?;
        position += 2 + usize::from(u16::from_le_bytes(*length));
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let text = bytes.get(position..).ok_or(GzipProblem::Truncated)?;
            position += text.iter().position(|byte| *byte == 0).ok_or(GzipProblem::Truncated)? + 1;
        }
    }
    if flags & FLAG_HEADER_CHECKSUM != 0 {
        let header = bytes.get(..position).ok_or(GzipProblem::Truncated)?;
        let checksum = bytes[position..].first_chunk().ok_or(GzipProblem::Truncated)?;
        if crc32(header) & 0xffff != u32::from(u16::from_le_bytes(*checksum)) {
            return Err(GzipProblem::Header);
        }
        position += 2;
    }
    if position > bytes.len() { Err(GzipProblem::Truncated) } else { Ok(position) }
}

/// Checks that the trailer is that of the output and that nothing follows it.
fn check_trailer(rest: &[u8], output: &[u8]) -> Result<(), GzipProblem> {
    let Some((trailer, trailing)) = rest.split_first_chunk::<TRAILER_BYTES>() else {
        return Err(GzipProblem::Truncated);
    };
    let (checksum, length) = trailer.split_at(4);
    if checksum != crc32(output).to_le_bytes() {
        return Err(GzipProblem::Checksum);
    }
    if length != (output.len() as u32).to_le_bytes() {
        return Err(GzipProblem::Length);
    }
    if trailing.is_empty() { Ok(()) } else { Err(GzipProblem::TrailingBytes) }
}

/// Bytes that the checksum takes in at a time.
const STRIDE: usize = 8;

/// The checksum of each byte, followed by 0 to 7 zero bytes.
static CRC_TABLES: [[u32; 256]; STRIDE] = {
    let mut tables = [[0; 256]; STRIDE];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < STRIDE {
        let mut byte = 0;
        while byte < 256 {
            let shorter: u32 = tables[zeros - 1][byte];
            tables[zeros][byte] = shorter >> 8 ^ tables[0][(shorter & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
};

/// Computes the CRC-32 of gzip.
fn crc32(bytes: &[u8]) -> u32 {
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    let mut crc = u32::MAX;
    for [a, b, c, d, e, f, g, h] in strides {
        let [a, b, c, d] = (crc ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
        crc = 0;
        for (table, byte) in CRC_TABLES.iter().rev().zip([a, b, c, d, *e, *f, *g, *h]) {
            crc ^= table[usize::from(byte)];
        }
    }
    for byte in rest {
        crc = crc >> 8 ^ CRC_TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    !crc
}

#[cfg(test)]
mod tests;
