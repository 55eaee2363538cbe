//! What everybody may read: sealed modules, their chunks, and totals.
//!
//! All of it are plain queries: the store asks no other canister, so a composite query would save no hop. Whoever asks from
//! another canister can do so from a composite query of its own.

use std::ops::Range;

use depot_types::{
    Hash,
    blob_store::{BlobStoreStats, ModuleInfo, ModuleMetadataArgs, ReadModuleArgs, ReadModuleError},
    limits::{CHUNK_BYTES, MAX_READ_BYTES},
    usage::MethodUsage,
};
use ic_stable_structures::Memory;

use crate::{
    reply::Reply,
    space::{PAGE_BYTES, Place},
    state::State,
    storable::StoredModule,
};

impl<M: Memory> State<M> {
    /// Returns what there is to know of a sealed module.
    pub fn module_info(&self, module_hash: &Hash) -> Option<ModuleInfo> {
        self.modules.info(module_hash)
    }

    /// Returns the content of an `icp:` custom section of a sealed module.
    pub fn module_metadata(&self, args: &ModuleMetadataArgs) -> Option<Vec<u8>> {
        self.modules.metadata(&args.module_hash, &args.name)
    }

    /// Answers with a chunk of a sealed module, if there is such a one.
    pub fn get_chunk(&self, hash: &Hash) -> Reply {
        Reply::optional_blob(self.chunks.sealed_place(hash))
    }

    /// Answers with a part of a sealed module, or with a [`ReadModuleError`].
    pub fn read_module(&self, args: &ReadModuleArgs) -> Reply {
        Reply::blob_or_error(self.part_to_read(args))
    }

    fn part_to_read(&self, args: &ReadModuleArgs) -> Result<Vec<Place>, ReadModuleError> {
        let ReadModuleArgs { module_hash, offset, length } = *args;
        if length > MAX_READ_BYTES {
            return Err(ReadModuleError::TooLong { length, max: MAX_READ_BYTES });
        }
        let module = self.modules.get(module_hash.as_bytes()).ok_or(ReadModuleError::UnknownModule { module_hash })?;
        let size = module.size;
        let rest = size.checked_sub(offset).ok_or(ReadModuleError::OutOfRange { offset, size })?;
        Ok(self.places(&module, offset..offset + u64::from(length).min(rest)))
    }

    /// Returns where bytes of a module lie, which it has.
    pub(crate) fn places(&self, module: &StoredModule, bytes: Range<u64>) -> Vec<Place> {
        let mut places = Vec::new();
        let mut position = bytes.start;
        while position < bytes.end {
            let (index, within) = (position / CHUNK_BYTES, position % CHUNK_BYTES);
            let length = (bytes.end - position).min(CHUNK_BYTES - within);
            places.push(self.chunks.place(&module.chunk_hashes()[index as usize]).part(within, length));
            position += length;
        }
        places
    }

    /// Hands an answer on, piece by piece. What lies in stable memory goes through the buffer, which can have any size
    /// but zero.
    pub fn send(&self, reply: &Reply, buffer: &mut [u8], mut append: impl FnMut(&[u8])) {
        append(&reply.head);
        for place in &reply.stored {
            let mut rest = *place;
            while let Some(piece) = rest.split_front(buffer.len() as u64) {
                let bytes = &mut buffer[..piece.length() as usize];
                self.chunks.read(piece, bytes);
                append(bytes);
            }
        }
        append(&reply.tail);
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

#[cfg(test)]
mod tests {
    use depot_types::blob_store::Encoding;
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::test_fixtures::{ALICE, Module, NOW, TestState, new_state, put_all, seal, uploader};

    #[test]
    fn should_answer_chunks_of_sealed_modules_only() {
        let mut state = new_state();
        let module = Module::large(1, 1);
        put_all(&mut state, uploader(ALICE), NOW, &module);
        let read = |state: &TestState, hash: Hash| state.answer::<Option<ByteBuf>>(&state.get_chunk(&hash));
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
    fn should_read_any_part_of_a_module() {
        let mut state = new_state();
        let module = Module::large(2, 1);
        let info = seal(&mut state, ALICE, &module);
        let ask = |args: ReadModuleArgs| {
            let answer = state.answer::<Result<ByteBuf, ReadModuleError>>(&state.read_module(&args));
            answer.map(ByteBuf::into_vec)
        };
        let read = |offset, length| ask(ReadModuleArgs { module_hash: module.hash, offset, length });
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
        let unknown = ask(ReadModuleArgs { module_hash, offset: 0, length: 1 });
        assert_eq!(unknown, Err(ReadModuleError::UnknownModule { module_hash }));
    }

    #[test]
    fn should_send_the_same_whatever_the_buffer() {
        let mut state = new_state();
        let module = Module::large(1, 1);
        seal(&mut state, ALICE, &module);
        let args = ReadModuleArgs { module_hash: module.hash, offset: CHUNK_BYTES - 5, length: 15 };
        let reply = state.read_module(&args);
        let sent = |buffer_bytes: usize| {
            let mut message = Vec::new();
            state.send(&reply, &mut vec![0; buffer_bytes], |piece| message.extend(piece));
            message
        };
        let whole = sent(1 << 20);
        for bytes in [1, 2, 5, 7] {
            assert_eq!(sent(bytes), whole);
        }
        let read: Result<ByteBuf, ReadModuleError> = candid::decode_one(&whole).unwrap();
        assert_eq!(read.unwrap().as_slice(), &module.bytes[CHUNK_BYTES as usize - 5..][..15]);
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
