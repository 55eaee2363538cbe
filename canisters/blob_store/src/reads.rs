//! What everybody may read: sealed modules, their chunks, and totals.

use depot_types::{
    Hash,
    blob_store::{BlobStoreStats, ModuleInfo, ModuleMetadataArgs, ReadModuleArgs, ReadModuleError},
    limits::{CHUNK_BYTES, MAX_READ_BYTES},
    usage::MethodUsage,
};
use ic_stable_structures::Memory;

use crate::{space::PAGE_BYTES, state::State};

/// A Candid message with one value of type `opt blob`, up to the value.
const OPTIONAL_BLOB_HEADER: [u8; 11] = [
    b'D', b'I', b'D', b'L', // magic
    2,    // two types:
    0x6e, 1, // 0: an option of type 1
    0x6d, 0x7b, // 1: a vector of nat8
    1, 0, // one value, of type 0
];
const NONE: u8 = 0;
const SOME: u8 = 1;

impl<M: Memory> State<M> {
    /// Returns what there is to know of a sealed module.
    pub fn module_info(&self, module_hash: &Hash) -> Option<ModuleInfo> {
        self.modules.info(module_hash)
    }

    /// Returns the content of an `icp:` custom section of a sealed module.
    pub fn module_metadata(&self, args: &ModuleMetadataArgs) -> Option<Vec<u8>> {
        self.modules.metadata(&args.module_hash, &args.name)
    }

    /// Returns a chunk of a sealed module as a Candid message of one `opt blob`.
    ///
    /// The bytes go from stable memory into the message without a copy between.
    pub fn encoded_chunk(&self, hash: &Hash) -> Vec<u8> {
        let mut message = OPTIONAL_BLOB_HEADER.to_vec();
        let Some(size) = self.chunks.sealed_size(hash) else {
            message.push(NONE);
            return message;
        };
        // Room for the option, a length of up to 5 bytes, and the bytes themselves.
        message.reserve_exact(1 + 5 + size);
        message.push(SOME);
        push_length(&mut message, size);
        let start = message.len();
        message.resize(start + size, 0);
        self.chunks.load(hash.as_bytes(), &mut message[start..]);
        message
    }

    /// Returns a part of a sealed module.
    ///
    /// # Errors
    /// [`ReadModuleError`].
    pub fn read_module(&self, args: &ReadModuleArgs) -> Result<Vec<u8>, ReadModuleError> {
        let ReadModuleArgs { module_hash, offset, length } = *args;
        if length > MAX_READ_BYTES {
            return Err(ReadModuleError::TooLong { length, max: MAX_READ_BYTES });
        }
        let module = self.modules.get(module_hash.as_bytes()).ok_or(ReadModuleError::UnknownModule { module_hash })?;
        let size = module.size;
        let rest = size.checked_sub(offset).ok_or(ReadModuleError::OutOfRange { offset, size })?;
        let mut bytes = vec![0; u64::from(length).min(rest) as usize];
        let mut position = offset;
        let mut left = bytes.as_mut_slice();
        while !left.is_empty() {
            let (index, within) = (position / CHUNK_BYTES, position % CHUNK_BYTES);
            let part = left.len().min((CHUNK_BYTES - within) as usize);
            let (now, later) = left.split_at_mut(part);
            self.chunks.load_from(&module.chunk_hashes()[index as usize], within, now);
            (left, position) = (later, position + part as u64);
        }
        Ok(bytes)
    }

    /// Returns what the store holds. The size of stable memory and the use of methods are known by the caller.
    pub fn stats(&self, stable_bytes: u64, methods: Vec<MethodUsage>) -> BlobStoreStats {
        BlobStoreStats {
            modules: self.modules.len(),
            unretained_modules: self.retentions.unretained_len(),
            condemned_modules: self.header.condemned(),
            references: self.retentions.references_len(),
            chunks: self.chunks.len(),
            chunk_bytes: self.header.chunk_bytes(),
            free_bytes: (self.chunks.pages() - self.header.used_pages()) * PAGE_BYTES,
            uploads: self.sessions.len(),
            stable_bytes,
            methods,
        }
    }
}

/// Appends a number in LEB128.
fn push_length(message: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
}

#[cfg(test)]
mod tests {
    use candid::decode_one;
    use depot_types::blob_store::Encoding;
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::test_fixtures::{ALICE, Module, NOW, TestState, new_state, put_all, seal, uploader};

    #[test]
    fn should_answer_chunks_of_sealed_modules_only() {
        let mut state = new_state();
        let module = Module::large(1, 1);
        put_all(&mut state, uploader(ALICE), NOW, &module);
        let read = |state: &TestState, hash: Hash| decode_one::<Option<ByteBuf>>(&state.encoded_chunk(&hash)).unwrap();
        for hash in module.chunk_hashes() {
            assert_eq!(read(&state, hash), None);
        }
        seal(&mut state, ALICE, &module);
        for (hash, chunk) in module.chunk_hashes().into_iter().zip(module.chunks()) {
            assert_eq!(read(&state, hash).unwrap(), chunk);
        }
        assert_eq!(read(&state, Hash::of(b"unknown")), None);
    }

    #[test]
    fn should_write_lengths_of_any_size() {
        for length in [0, 1, 127, 128, 16_383, 16_384, CHUNK_BYTES as usize] {
            let mut message = OPTIONAL_BLOB_HEADER.to_vec();
            message.push(SOME);
            push_length(&mut message, length);
            message.resize(message.len() + length, 7);
            assert_eq!(decode_one::<Option<ByteBuf>>(&message).unwrap().unwrap().len(), length);
        }
    }

    #[test]
    fn should_read_any_part_of_a_module() {
        let mut state = new_state();
        let module = Module::large(2, 1);
        let info = seal(&mut state, ALICE, &module);
        let read = |offset, length| state.read_module(&ReadModuleArgs { module_hash: module.hash, offset, length });
        for (offset, length) in [(0, 1), (5, 100), (CHUNK_BYTES - 3, 6), (7, 1_900_000), (info.size - 4, 4)] {
            let expected = &module.bytes[offset as usize..][..length as usize];
            assert_eq!(read(offset, length).unwrap(), expected);
        }
        let size = info.size;
        assert_eq!(read(size - 4, 100).unwrap(), module.bytes[size as usize - 4..]);
        assert_eq!(read(CHUNK_BYTES, MAX_READ_BYTES).unwrap(), module.bytes[CHUNK_BYTES as usize..]);
        assert_eq!((read(size, 1), read(3, 0)), (Ok(vec![]), Ok(vec![])));
        assert_eq!(read(size + 1, 1), Err(ReadModuleError::OutOfRange { offset: size + 1, size }));
        let too_long = ReadModuleError::TooLong { length: MAX_READ_BYTES + 1, max: MAX_READ_BYTES };
        assert_eq!(read(0, MAX_READ_BYTES + 1), Err(too_long));
        let module_hash = Hash::of(b"unknown");
        let unknown = state.read_module(&ReadModuleArgs { module_hash, offset: 0, length: 1 });
        assert_eq!(unknown, Err(ReadModuleError::UnknownModule { module_hash }));
    }

    #[test]
    fn should_answer_metadata_by_name() {
        let mut state = new_state();
        let module = Module::with_metadata();
        seal(&mut state, ALICE, &module);
        let info = state.module_info(&module.hash).unwrap();
        assert_eq!(info.encoding, Encoding::Raw);
        let names: Vec<&str> = info.metadata.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["candid:service", "secret"]);
        let read = |name: &str| {
            state.module_metadata(&ModuleMetadataArgs { module_hash: module.hash, name: name.to_string() })
        };
        assert_eq!(read("candid:service").unwrap(), b"service : {}");
        assert_eq!(read("secret").unwrap(), b"s");
        assert_eq!(read("other"), None);
        let unknown = ModuleMetadataArgs { module_hash: Hash::of(b"unknown"), name: "secret".to_string() };
        assert_eq!(state.module_metadata(&unknown), None);
        assert_eq!(state.module_info(&unknown.module_hash), None);
    }
}
