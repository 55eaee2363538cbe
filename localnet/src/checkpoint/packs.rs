//! Packs: files of pieces, one after the other, that are written once and read at any place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
};

use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::{
    StateError,
    directory::{Directory, pack_name},
};

/// Packs with fewer live bytes than this share of all their bytes, in percent, are written again.
const LEAST_LIVE_PERCENT: u64 = 50;
/// Packs that a state may have. Past that, half of them are written again as one.
const MAX_PACKS: usize = 32;
/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Where a piece lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Location {
    /// Number of the pack.
    pub(super) pack: u64,
    /// First byte in the pack.
    pub(super) offset: u64,
    /// Bytes of the piece.
    pub(super) length: u64,
    /// CRC-32 of the piece.
    pub(super) checksum: u32,
}

/// Appends pieces to a new pack.
pub(super) struct PackWriter<'a> {
    file: BufWriter<&'a mut File>,
    pack: u64,
    offset: u64,
}

impl<'a> PackWriter<'a> {
    /// Begins a pack with the number given.
    pub(super) fn new(file: &'a mut File, pack: u64) -> Self {
        Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), pack, offset: 0 }
    }

    /// Appends a piece.
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<Location> {
        self.file.write_all(piece)?;
        let length = piece.len() as u64;
        let location = Location { pack: self.pack, offset: self.offset, length, checksum: checksum(piece) };
        self.offset += length;
        Ok(location)
    }

    /// Writes what is still gathered, and returns the size of the pack in bytes.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.file.flush()?;
        Ok(self.offset)
    }
}

fn checksum(piece: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(piece);
    crc.sum()
}

/// Reads pieces. Files stay open until it is dropped.
pub(super) struct PackReader<'a> {
    directory: &'a Directory,
    files: BTreeMap<u64, (File, u64)>,
}

impl<'a> PackReader<'a> {
    /// Makes a reader of the packs in a folder.
    pub(super) fn new(directory: &'a Directory) -> Self {
        Self { directory, files: BTreeMap::new() }
    }

    /// Opens a pack and checks its size.
    ///
    /// # Errors
    /// When it is missing or has another size.
    pub(super) fn open(&mut self, pack: u64, bytes: u64) -> Result<(), StateError> {
        let name = pack_name(pack);
        let open = || -> io::Result<(File, u64)> {
            let file = File::open(self.directory.file(&name))?;
            let found = file.metadata()?.len();
            Ok((file, found))
        };
        let (file, found) = open().map_err(|error| self.directory.io(&name, error))?;
        if found != bytes {
            return Err(self.directory.damaged(&name, format!("it has {found} bytes instead of {bytes}")));
        }
        self.files.insert(pack, (file, bytes));
        Ok(())
    }

    /// Reads a piece of a pack that was opened.
    ///
    /// # Errors
    /// When it is not what was written.
    pub(super) fn read(&self, location: &Location) -> Result<Vec<u8>, StateError> {
        let name = pack_name(location.pack);
        let Some((file, bytes)) = self.files.get(&location.pack) else {
            return Err(StateError::Missing { path: self.directory.file(&name) });
        };
        // Checked before room is made for it.
        if location.offset.checked_add(location.length).is_none_or(|end| end > *bytes) {
            return Err(self.directory.damaged(&name, "a piece lies past its end"));
        }
        let mut piece = vec![0; location.length as usize];
        file.read_exact_at(&mut piece, location.offset).map_err(|error| self.directory.io(&name, error))?;
        if checksum(&piece) != location.checksum {
            let what = format!("the checksum of the {} bytes at {} is wrong", location.length, location.offset);
            return Err(self.directory.damaged(&name, what));
        }
        Ok(piece)
    }
}

/// How much of a pack is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// All bytes.
    pub(super) bytes: u64,
    /// Bytes of pieces in use.
    pub(super) live: u64,
}

/// Chooses the packs whose live pieces are written again, into the next pack: those that are mostly out of use, and
/// the smallest ones when there are too many. Packs without a live byte are not among them: they are just removed.
pub(super) fn packs_to_rewrite(packs: &BTreeMap<u64, Usage>) -> BTreeSet<u64> {
    let mostly_dead = |usage: &Usage| usage.live * 100 < usage.bytes * LEAST_LIVE_PERCENT;
    let (mut chosen, mut others) = (BTreeSet::new(), Vec::new());
    for (number, usage) in packs.iter().filter(|(_, usage)| usage.live > 0) {
        if mostly_dead(usage) {
            chosen.insert(*number);
        } else {
            others.push((usage.bytes, *number));
        }
    }
    if others.len() > MAX_PACKS {
        others.sort_unstable();
        chosen.extend(others.iter().take(MAX_PACKS / 2).map(|(_, number)| number));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::Folder;

    #[test]
    fn should_read_what_was_appended_and_notice_what_was_not() {
        let folder = Folder::new("packs");
        let directory = Directory::take(&folder.0).unwrap();
        let mut locations = Vec::new();
        let write = |file: &mut File| {
            let mut writer = PackWriter::new(file, 4);
            for piece in [b"first".as_slice(), b"", b"second"] {
                locations.push(writer.append(piece)?);
            }
            assert_eq!(writer.finish()?, 11);
            Ok(())
        };
        directory.write_with(&pack_name(4), write).unwrap();
        let mut reader = PackReader::new(&directory);
        assert!(matches!(reader.read(&locations[0]), Err(StateError::Missing { .. })), "it was not opened");
        assert!(reader.open(4, 12).unwrap_err().to_string().contains("11 bytes instead of 12"));
        assert!(matches!(reader.open(5, 1), Err(StateError::Missing { .. })));
        reader.open(4, 11).unwrap();
        let pieces: Vec<_> = locations.iter().map(|location| reader.read(location).unwrap()).collect();
        assert_eq!(pieces, [b"first".as_slice(), b"", b"second"]);
        for wrong in [
            Location { offset: 1, ..locations[0] },
            Location { length: 12, ..locations[0] },
            Location { offset: u64::MAX, ..locations[0] },
            Location { checksum: 0, ..locations[2] },
        ] {
            let error = reader.read(&wrong).unwrap_err();
            assert!(matches!(&error, StateError::Damaged { path, .. } if path.ends_with("pack-4.bin")), "{error}");
        }
    }

    #[test]
    fn should_rewrite_packs_that_are_mostly_out_of_use() {
        let usage = |bytes, live| Usage { bytes, live };
        let packs = BTreeMap::from([(1, usage(100, 49)), (2, usage(100, 50)), (3, usage(100, 0)), (4, usage(9, 9))]);
        assert_eq!(packs_to_rewrite(&packs), BTreeSet::from([1]));
    }

    #[test]
    fn should_join_the_smallest_half_when_there_are_too_many() {
        let packs = |count: u64| (0..count).map(|number| (number, Usage { bytes: 900 - number, live: 900 - number }));
        assert!(packs_to_rewrite(&packs(MAX_PACKS as u64).collect()).is_empty());
        let chosen = packs_to_rewrite(&packs(MAX_PACKS as u64 + 1).collect());
        assert_eq!(chosen, (17..=32).collect());
    }
}
