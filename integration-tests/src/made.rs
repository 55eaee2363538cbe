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

/// Bytes of each module within a component, roughly.
const INNER_MODULE_BYTES: usize = 1 << 20;
/// Functions of each module within a component.
const INNER_FUNCTIONS: usize = 16;

/// Makes a valid component of exactly `bytes` bytes, 2 MiB at the least, that is modules full of code, of which gzip spares
/// about half.
pub fn code_component(bytes: usize) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    let mut random = seeded_noise(1, bytes);
    while component.len() + INNER_MODULE_BYTES + PADDING_BYTES <= bytes {
        section(&mut component, 1, &code_module(&mut random));
    }
    // A custom section without a name, whose size is written with as many bytes as there can be.
    let padding = bytes - component.len() - PADDING_BYTES;
    let size = padding + 1;
    component.push(0);
    component.extend((0..5).map(|byte| (size >> (7 * byte)) as u8 & 0x7f | if byte < 4 { 0x80 } else { 0 }));
    component.push(0);
    component.resize(bytes, 0);
    component
}

/// Bytes of a custom section besides its content.
const PADDING_BYTES: usize = 7;

/// Makes a module of a bit less than [`INNER_MODULE_BYTES`] of code.
fn code_module(random: &mut impl Iterator<Item = u8>) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 0, 0]);
    let mut functions = vec![INNER_FUNCTIONS as u8];
    functions.resize(1 + INNER_FUNCTIONS, 0);
    section(&mut module, 3, &functions);
    let mut code = vec![INNER_FUNCTIONS as u8];
    for _ in 0..INNER_FUNCTIONS {
        // One local, an i32.
        let mut body = vec![1, 1, 0x7f];
        while body.len() < INNER_MODULE_BYTES / INNER_FUNCTIONS - 64 {
            // local.get, i32.const of five bytes
            body.extend([0x20, 0, 0x41]);
            body.extend(random.take(4).map(|byte| byte | 0x80));
            // its last byte, i32.add, eqz, clz, ctz, popcnt, local.set
            body.extend([0, 0x6a, 0x45, 0x67, 0x68, 0x69, 0x21, 0]);
        }
        body.push(0x0b);
        leb128(&mut code, body.len() as u64);
        code.extend(body);
    }
    section(&mut module, 10, &code);
    module
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
    fn should_make_components_of_code_of_any_size() {
        for bytes in [2 << 20, (4 << 20) + 123] {
            let component = code_component(bytes);
            assert_eq!(component.len(), bytes);
            let inspection = depot_types::wasm::inspect(&component).unwrap();
            assert_eq!(inspection.kind, depot_types::blob_store::ModuleKind::Component);
        }
    }

    #[test]
    fn should_make_modules_that_the_internet_computer_would_install() {
        for bytes in [0, 100, 3 << 20] {
            for module in [data_module(bytes), half_compressible_module(bytes)] {
                assert_eq!(depot_types::wasm::inspect(&module).unwrap().obstacles, []);
            }
        }
    }
}
