//! How a module is cut into chunks.

use crate::{Hash, limits::CHUNK_BYTES};

/// Returns how many chunks a module of `size` bytes has; none for an empty one.
pub const fn count(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES)
}

/// Returns the size in bytes of chunk `index` of a module of `size` bytes, if it has such a chunk.
pub fn size_of(size: u64, index: u64) -> Option<u64> {
    (index < count(size)).then(|| CHUNK_BYTES.min(size - index * CHUNK_BYTES))
}

/// Cuts a module into chunks.
pub fn split(module: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    module.chunks(CHUNK_BYTES as usize)
}

/// Returns the hashes of a module's chunks, in order.
pub fn hashes(module: &[u8]) -> Vec<Hash> {
    split(module).map(Hash::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_cut_at_the_chunk_size_and_one_past_it() {
        for (size, sizes) in
            [(0, vec![]), (1, vec![1]), (CHUNK_BYTES, vec![CHUNK_BYTES]), (CHUNK_BYTES + 1, vec![CHUNK_BYTES, 1])]
        {
            let module = vec![7; size as usize];
            let cut: Vec<u64> = split(&module).map(|chunk| chunk.len() as u64).collect();
            assert_eq!(cut, sizes);
            assert_eq!(count(size), sizes.len() as u64);
            let computed: Vec<u64> = (0..).map_while(|index| size_of(size, index)).collect();
            assert_eq!(computed, sizes);
            assert_eq!(hashes(&module).len(), sizes.len());
        }
    }
}
