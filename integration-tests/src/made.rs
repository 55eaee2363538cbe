//! Modules made by code, so that no binary stands in the repository.

/// Bytes of a page of Wasm memory.
const PAGE_BYTES: usize = 65_536;

/// Makes a valid module whose data segment has `bytes` bytes that do not repeat, so that no two of its chunks are
/// alike and gzip gains nothing.
pub fn data_module(bytes: usize) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let mut memory = vec![1, 0];
    leb128(&mut memory, bytes.div_ceil(PAGE_BYTES) as u64);
    section(&mut module, 5, &memory);
    let mut data = vec![1, 0, 0x41, 0, 0x0b];
    leb128(&mut data, bytes as u64);
    data.extend(noise(bytes));
    section(&mut module, 11, &data);
    module
}

/// Returns bytes that look random, always the same.
pub fn noise(bytes: usize) -> impl Iterator<Item = u8> {
    // A xorshift generator: its period is far longer than any module.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
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
            let inspection = depot_types::wasm::inspect(&data_module(bytes)).unwrap();
            assert_eq!(inspection.obstacles, []);
        }
    }
}
