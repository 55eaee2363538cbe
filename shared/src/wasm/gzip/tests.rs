use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 20;

fn header(flags: u8) -> Vec<u8> {
    vec![MAGIC[0], MAGIC[1], DEFLATE, flags, 0, 0, 0, 0, 0, 255]
}

fn with_header(mut header: Vec<u8>, content: &[u8]) -> Vec<u8> {
    header.extend(compress_to_vec(content, 6));
    header.extend(crc32(content).to_le_bytes());
    header.extend((content.len() as u32).to_le_bytes());
    header
}

fn gzip(content: &[u8]) -> Vec<u8> {
    with_header(header(0), content)
}

/// Bytes that do not compress to nothing.
fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn problem(bytes: &[u8]) -> GzipProblem {
    match expand(bytes, MAX) {
        Err(InvalidModule::CorruptGzip { problem }) => problem,
        other => panic!("not corrupt: {other:?}"),
    }
}

#[test]
fn should_compute_the_checksum_of_gzip() {
    assert_eq!(crc32(b""), 0);
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
}

#[test]
fn should_expand_what_another_program_compressed() {
    // printf 'depot' | gzip -n
    let bytes = [
        0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0x03, 0x4b, 0x49, 0x2d, 0xc8, 0x2f, 0x01, 0, 0xbc, 0x8b, 0x94, 0x47, 5, 0,
        0, 0,
    ];
    assert_eq!(expand(&bytes, MAX).unwrap(), b"depot");
}

#[test]
fn should_expand_up_to_the_bound_and_not_one_byte_more() {
    for length in [0, 1, MIN_RESERVE_BYTES, MIN_RESERVE_BYTES + 1, MAX - 1, MAX] {
        assert_eq!(expand(&gzip(&content(length)), MAX).unwrap(), content(length));
    }
    let too_large = Err(InvalidModule::TooLarge { max: MAX as u64 });
    assert_eq!(expand(&gzip(&content(MAX + 1)), MAX), too_large);
    let mut bomb = gzip(&vec![0; 64 * MAX]);
    assert_eq!(expand(&bomb, MAX), too_large);
    // The same with a length that does not give it away.
    let end = bomb.len();
    bomb[end - 4..].fill(0);
    assert_eq!(expand(&bomb, MAX), too_large);
}

#[test]
fn should_skip_all_parts_of_a_header() {
    let mut long = header(FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT | FLAG_HEADER_CHECKSUM);
    long.extend([3, 0, 7, 7, 7]);
    long.extend(b"name\0comment\0");
    let checksum = crc32(&long) as u16;
    long.extend(checksum.to_le_bytes());
    let whole = with_header(long.clone(), b"depot");
    assert_eq!(expand(&whole, MAX).unwrap(), b"depot");
    for length in 2..long.len() {
        assert_eq!(problem(&whole[..length]), GzipProblem::Truncated, "{length}");
    }
    let end = long.len();
    long[end - 1] ^= 1;
    assert_eq!(problem(&with_header(long, b"depot")), GzipProblem::Header);
}

#[test]
fn should_tell_what_is_wrong() {
    let whole = gzip(&content(1_000));
    let changed = |position: usize, bits: u8| {
        let mut bytes = whole.clone();
        bytes[position] ^= bits;
        bytes
    };
    assert_eq!(problem(&changed(2, 1)), GzipProblem::Header);
    assert_eq!(problem(&changed(3, 0x80)), GzipProblem::Header);
    assert_eq!(problem(&changed(10, 0b110)), GzipProblem::Data);
    assert_eq!(problem(&changed(whole.len() - 8, 1)), GzipProblem::Checksum);
    assert_eq!(problem(&changed(whole.len() - 4, 1)), GzipProblem::Length);
    for length in 2..whole.len() {
        assert_eq!(problem(&whole[..length]), GzipProblem::Truncated);
    }
    let twice = [whole.clone(), whole.clone()].concat();
    assert_eq!(problem(&twice), GzipProblem::TrailingBytes);
    let padded = [whole.as_slice(), &[0]].concat();
    assert_eq!(problem(&padded), GzipProblem::TrailingBytes);
}

proptest! {
    #[test]
    fn should_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut damaged = gzip(&bytes);
        for (index, byte) in changes {
            let position = index.index(damaged.len());
            damaged[position] = byte;
        }
        if let Ok(expanded) = expand(&damaged, 100) {
            prop_assert!(expanded.len() <= 100);
        }
        bytes.splice(0..0, header(0));
        let _ = expand(&bytes, 100);
    }
}
