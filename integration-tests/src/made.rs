//! Modules made by code, so that no binary stands in the repository.

/// Bytes of a page of Wasm memory.
const PAGE_BYTES: usize = 65_536;

/// Makes a valid module whose data segment has `bytes` bytes that do not repeat, so that no two of its chunks are
/// alike and gzip gains nothing.
pub fn data_module(bytes: usize) -> Vec<u8> {
    module_with_data(bytes, noise(bytes))
}

/// Makes the same of other bytes for each seed.
pub fn seeded_data_module(seed: u64, bytes: usize) -> Vec<u8> {
    module_with_data(bytes, seeded_noise(seed, bytes))
}

/// Makes a valid module with a data segment of `bytes` bytes, of which gzip spares about half.
pub fn half_compressible_module(bytes: usize) -> Vec<u8> {
    let zeros = std::iter::repeat_n(0, bytes - bytes / 2);
    module_with_data(bytes, noise(bytes / 2).chain(zeros))
}

fn module_with_data(bytes: usize, content: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let mut memory = vec![1, 0];
    leb128(&mut memory, bytes.div_ceil(PAGE_BYTES) as u64);
    section(&mut module, 5, &memory);
    let mut data = vec![1, 0, 0x41, 0, 0x0b];
    leb128(&mut data, bytes as u64);
    data.extend(content);
    section(&mut module, 11, &data);
    module
}

/// Returns bytes that look random, always the same.
pub fn noise(bytes: usize) -> impl Iterator<Item = u8> {
    seeded_noise(0, bytes)
}

/// Returns bytes that look random, the same for the same seed.
pub fn seeded_noise(seed: u64, bytes: usize) -> impl Iterator<Item = u8> {
    // A xorshift generator: its period is far longer than any module.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed;
    (0..bytes).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
}

fn section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    leb128(module, content.len() as u64);
    module.extend_from_slice(content);
}

fn leb128(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_make_modules_that_the_internet_computer_would_install() {
        for bytes in [0, 100, 3 << 20] {
            for module in [data_module(bytes), half_compressible_module(bytes)] {
                assert_eq!(depot_types::wasm::inspect(&module).unwrap().obstacles, []);
            }
        }
    }
}
