use depot_types::blob_store::{Countable, Obstacle};

use super::*;

fn record() -> StoredModule {
    StoredModule {
        size: 5,
        chunk_hashes: ByteBuf::from([1; 32]),
        encoding: StoredEncoding::Gzip,
        kind: StoredKind::CoreModule,
        raw_hash: ByteArray::new([2; 32]),
        raw_size: 9,
        obstacles: vec![StoredObstacle::Component],
        metadata: vec![StoredMetadata { name: "n".to_string(), public: true, size: 3 }],
        sealed_by: Principal::from_slice(&[7]),
        sealed_at_ns: 6,
    }
}

#[test]
fn should_read_the_first_layout() {
    // The bytes that layout 1 wrote for this record: a change of fields must still read them.
    let golden = include_bytes!("golden_v1.cbor");
    assert_eq!(record().to_bytes().as_ref(), golden);
    assert_eq!(StoredModule::from_bytes(Cow::Borrowed(golden)), record());
}

#[test]
fn should_tell_all_there_is_to_know() {
    let info = record().into_info(Hash::new([3; 32]));
    assert_eq!((info.module_hash, info.chunk_hashes), (Hash::new([3; 32]), vec![Hash::new([1; 32])]));
    assert_eq!((info.size, info.raw_size, info.raw_hash), (5, 9, Hash::new([2; 32])));
    assert_eq!((info.encoding, info.kind), (Encoding::Gzip, ModuleKind::CoreModule));
    assert_eq!(info.obstacles, [Obstacle::Component]);
    assert_eq!(info.metadata, [MetadataSection { name: "n".to_string(), public: true, size: 3 }]);
    assert_eq!((info.sealed_by, info.sealed_at_ns), (Principal::from_slice(&[7]), 6));
}

#[test]
fn should_keep_every_obstacle() {
    let name = || "n".to_string();
    let mut obstacles = vec![
        Obstacle::Component,
        Obstacle::Import { module: "ic0".to_string(), name: name() },
        Obstacle::Export { name: name() },
        Obstacle::DuplicateMethod { method: name() },
        Obstacle::Feature { offset: 1, message: name() },
        Obstacle::CustomSectionName { name: name() },
        Obstacle::DuplicateCustomSection { name: name() },
    ];
    let all = [
        Countable::CodeSectionBytes,
        Countable::Functions,
        Countable::InstructionsInFunction,
        Countable::FunctionComplexity,
        Countable::Globals,
        Countable::Memories,
        Countable::Tables,
        Countable::ExportedFunctions,
        Countable::ExportedNameBytes,
        Countable::CustomSections,
        Countable::CustomSectionBytes,
        Countable::InitialMemoryPages,
        Countable::MaximumMemoryPages,
    ];
    obstacles.extend(all.map(|what| Obstacle::TooMany { what, count: 2, max: 1 }));
    let stored = obstacles.iter().cloned().map(Into::into).collect();
    let module = StoredModule { obstacles: stored, ..record() };
    let read = StoredModule::from_bytes(module.to_bytes());
    assert_eq!(read.into_info(Hash::default()).obstacles, obstacles);
}
