//! Writes captures to a state directory and reads the last one back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest, Sha256};

use super::{
    StateError,
    directory::{Directory, MANIFEST, pack_name, state_name},
    document::{Capture, Clock, Slot},
    leaf,
    packs::{Location, PackReader, PackWriter, Usage, packs_to_rewrite},
};
use crate::execution::{HeapLeaf, Leaf, LeafContent};

/// SHA-256 of a blob.
type Hash = [u8; 32];

/// The file that tells what the others hold.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The version of localnet that wrote it, for people.
    localnet: String,
    /// Number of the capture; none before the first.
    state: Option<u64>,
    /// Packs by number, with their sizes in bytes.
    packs: BTreeMap<u64, u64>,
    next_pack: u64,
    next_piece: u64,
}

/// The file with the state of a network.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Number of the capture.
    number: u64,
    clock: Clock,
    /// The document of the network, as CBOR.
    document: ByteBuf,
    /// Pieces that hold the leaves which the document refers to.
    slots: Vec<u64>,
    /// Pieces that hold modules and chunks.
    blobs: Vec<(ByteArray<32>, u64)>,
    /// Where all pieces lie.
    pieces: BTreeMap<u64, Location>,
}

/// What a capture was, but for its clock.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    document: Hash,
    slots: Vec<u64>,
}

/// What writing a capture took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Pieces that were not there yet or were moved to another pack.
    pub(crate) pieces: usize,
    /// Bytes of these pieces.
    pub(crate) bytes: u64,
    /// False when there was nothing to write.
    pub(crate) changed: bool,
}

/// The last capture of a state directory, as it was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The times.
    pub(crate) clock: Clock,
    document: Vec<u8>,
    /// The file it was read from.
    path: PathBuf,
    /// Pieces of the leaves that the document refers to.
    pub(super) slots: Vec<u64>,
}

impl Loaded {
    /// Reads the document.
    ///
    /// # Errors
    /// When it is none of this type: another version of localnet wrote it.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, StateError> {
        ciborium::from_reader(self.document.as_slice()).map_err(|error| self.unusable(error))
    }

    /// Makes the error of a state that is whole but of no use.
    pub(crate) fn unusable(&self, what: impl ToString) -> StateError {
        StateError::Unusable { path: self.path.clone(), what: what.to_string() }
    }
}

/// A state directory that this process has for itself.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Directory,
    /// Number of the last capture, 0 before the first.
    number: u64,
    packs: BTreeMap<u64, u64>,
    next_pack: u64,
    next_piece: u64,
    pieces: BTreeMap<u64, Location>,
    blobs: BTreeMap<Hash, u64>,
    /// Pieces of shared leaves, by address. While there is a `Weak` no other leaf gets the address.
    shared_leaves: HashMap<usize, (Weak<Leaf>, u64)>,
    /// Pieces of leaves of heaps, by address. A leaf says for good as what it is saved, so its piece is kept as long as
    /// the leaf is, also while no capture refers to it.
    heap_leaves: HashMap<usize, (Weak<HeapLeaf>, u64)>,
    last: Option<Fingerprint>,
}

/// What is about to be written.
struct Plan<'a> {
    slots: Vec<u64>,
    blobs: BTreeMap<Hash, u64>,
    /// New pieces with their content.
    fresh: Vec<(u64, Content<'a>)>,
    shared_leaves: HashMap<usize, (Weak<Leaf>, u64)>,
    heap_leaves: HashMap<usize, (Weak<HeapLeaf>, u64)>,
    next_piece: u64,
}

/// The content of a new piece.
enum Content<'a> {
    Leaf(Arc<Leaf>),
    Bytes(&'a [u8]),
}

impl Store {
    /// Takes a folder, which is made if there is none, and reads the last capture in it, if there is one.
    ///
    /// # Errors
    /// When the folder is in use, holds something else, or is damaged; nothing is changed then.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Loaded>), StateError> {
        let directory = Directory::take(path)?;
        let mut store = Self {
            directory,
            number: 0,
            packs: BTreeMap::new(),
            next_pack: 1,
            next_piece: 1,
            pieces: BTreeMap::new(),
            blobs: BTreeMap::new(),
            shared_leaves: HashMap::new(),
            heap_leaves: HashMap::new(),
            last: None,
        };
        let loaded = match store.read(MANIFEST)? {
            Some(manifest) => store.load(manifest)?,
            // From now on complete files are never without a manifest.
            None => {
                store.write_manifest(None, &BTreeMap::new(), 1, 1)?;
                None
            }
        };
        store.remove_garbage()?;
        Ok((store, loaded))
    }

    fn load(&mut self, manifest: Manifest) -> Result<Option<Loaded>, StateError> {
        let Manifest { localnet: _, state, packs, next_pack, next_piece } = manifest;
        (self.packs, self.next_pack, self.next_piece) = (packs, next_pack, next_piece);
        let Some(number) = state else { return Ok(None) };
        let name = state_name(number);
        let path = self.directory.file(&name);
        let state: State = self.read(&name)?.ok_or_else(|| StateError::Missing { path: path.clone() })?;
        let pieces = state.slots.iter().chain(state.blobs.iter().map(|(_, piece)| piece));
        let packs = state.pieces.values().map(|location| &location.pack);
        let is_whole = state.number == number
            && pieces.clone().all(|piece| state.pieces.contains_key(piece) && *piece < next_piece)
            && packs.clone().all(|pack| self.packs.contains_key(pack) && *pack < next_pack);
        if !is_whole {
            return Err(self.directory.damaged(&name, "it does not belong to the manifest beside it"));
        }
        self.number = number;
        self.pieces = state.pieces;
        self.blobs = state.blobs.into_iter().map(|(hash, piece)| (hash.into_array(), piece)).collect();
        let loaded = Loaded { clock: state.clock, document: state.document.into_vec(), path, slots: state.slots };
        // Packs are looked at at once, so that a cut one is found before anything is made of the others.
        self.reader()?;
        Ok(Some(loaded))
    }

    /// Reads a framed file of CBOR; `None` when there is no such file.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(payload) = self.directory.read(name)? else { return Ok(None) };
        let value = ciborium::from_reader(payload.as_slice());
        value.map(Some).map_err(|error| self.directory.damaged(name, error))
    }

    /// Returns the folder.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Opens all packs.
    pub(super) fn reader(&self) -> Result<PackReader<'_>, StateError> {
        let mut reader = PackReader::new(&self.directory);
        for (pack, bytes) in &self.packs {
            reader.open(*pack, *bytes)?;
        }
        Ok(reader)
    }

    /// Returns where a piece lies.
    pub(super) fn location(&self, piece: u64) -> Option<&Location> {
        self.pieces.get(&piece)
    }

    /// Returns where the module or chunk with a hash lies.
    pub(super) fn blob(&self, hash: &Hash) -> Option<&Location> {
        self.pieces.get(self.blobs.get(hash)?)
    }

    /// Makes the error of a piece that is whole but not what it should be.
    pub(super) fn damaged_piece(&self, location: &Location, what: &str) -> StateError {
        self.directory.damaged(&pack_name(location.pack), format!("{what} at {}", location.offset))
    }

    /// Takes note that leaves are saved already, by their pieces.
    pub(crate) fn know_leaves(&mut self, leaves: &HashMap<u64, Arc<Leaf>>) {
        let known = |(piece, leaf): (&u64, &Arc<Leaf>)| (Arc::as_ptr(leaf) as usize, (Arc::downgrade(leaf), *piece));
        self.shared_leaves.extend(leaves.iter().map(known));
    }

    /// Writes a capture. When nothing but the clock differs from the last one it is written only if `always` is set.
    ///
    /// # Errors
    /// When it could not be written completely: then the folder still holds the last one.
    pub(crate) fn write(&mut self, capture: &Capture, always: bool) -> Result<Written, StateError> {
        let plan = self.plan(capture);
        let document = Sha256::digest(&capture.document).into();
        let fingerprint = Fingerprint { document, slots: plan.slots.clone() };
        if !always && self.last.as_ref() == Some(&fingerprint) {
            return Ok(Written::default());
        }
        // What may yet be referred to: by this capture, or by leaves that know their pieces.
        let live: BTreeSet<u64> = plan.slots.iter().copied().chain(plan.blobs.values().copied()).collect();
        let known = plan.heap_leaves.values().map(|(_, piece)| *piece);
        let live: BTreeSet<u64> = live.into_iter().chain(known).collect();
        let mut pieces = self.pieces.clone();
        pieces.retain(|piece, _| live.contains(piece));
        let moved = self.pieces_to_move(&pieces);
        let mut packs = self.packs.clone();
        let mut next_pack = self.next_pack;
        let mut written = Written { changed: true, ..Written::default() };
        if !plan.fresh.is_empty() || !moved.is_empty() {
            let placed = self.write_pack(next_pack, &plan.fresh, &moved)?;
            written.pieces = placed.len();
            written.bytes = placed.iter().map(|(_, location)| location.length).sum();
            packs.insert(next_pack, written.bytes);
            pieces.extend(placed);
            next_pack += 1;
        }
        let used: BTreeSet<u64> = pieces.values().map(|location| location.pack).collect();
        packs.retain(|pack, _| used.contains(pack));

        let number = self.number + 1;
        let state = State {
            number,
            clock: capture.clock,
            document: ByteBuf::from(capture.document.clone()),
            slots: plan.slots,
            blobs: plan.blobs.iter().map(|(hash, piece)| (ByteArray::new(*hash), *piece)).collect(),
            pieces: pieces.clone(),
        };
        self.directory.write(&state_name(number), &cbor(&state))?;
        self.write_manifest(Some(number), &packs, next_pack, plan.next_piece)?;

        // It is written: from here on nothing may fail.
        for slot in &capture.slots {
            if let Slot::Heap(leaf) = slot
                && let Some((_, piece)) = plan.heap_leaves.get(&(Arc::as_ptr(leaf) as usize))
            {
                leaf.mark_saved(*piece);
            }
        }
        self.number = number;
        (self.packs, self.pieces, self.blobs) = (packs, pieces, plan.blobs);
        (self.shared_leaves, self.heap_leaves) = (plan.shared_leaves, plan.heap_leaves);
        (self.next_pack, self.next_piece) = (next_pack, plan.next_piece);
        self.last = Some(fingerprint);
        if let Err(error) = self.remove_garbage() {
            eprintln!("localnet: a file that is out of use stays: {error}");
        }
        Ok(written)
    }

    /// Finds out which pieces a capture needs and which of them are new.
    fn plan<'a>(&self, capture: &'a Capture) -> Plan<'a> {
        let mut plan = Plan {
            slots: Vec::with_capacity(capture.slots.len()),
            blobs: BTreeMap::new(),
            fresh: Vec::new(),
            shared_leaves: HashMap::new(),
            heap_leaves: HashMap::new(),
            next_piece: self.next_piece,
        };
        for (address, (leaf, piece)) in &self.heap_leaves {
            if leaf.strong_count() > 0 {
                plan.heap_leaves.insert(*address, (leaf.clone(), *piece));
            }
        }
        for slot in &capture.slots {
            let piece = match slot {
                Slot::Shared(leaf) => {
                    let address = Arc::as_ptr(leaf) as usize;
                    let known = self.shared_leaves.get(&address).map(|(_, piece)| *piece);
                    // A leaf that was not captured for a while may have lost its piece.
                    let known = known.filter(|piece| self.pieces.contains_key(piece));
                    let piece = known.unwrap_or_else(|| plan.add(Content::Leaf(Arc::clone(leaf))));
                    plan.shared_leaves.insert(address, (Arc::downgrade(leaf), piece));
                    piece
                }
                Slot::Heap(leaf) => {
                    let piece = match leaf.content() {
                        LeafContent::Saved(piece) => piece,
                        LeafContent::Unsaved(content) => plan.add(Content::Leaf(content)),
                    };
                    plan.heap_leaves.insert(Arc::as_ptr(leaf) as usize, (Arc::downgrade(leaf), piece));
                    piece
                }
            };
            plan.slots.push(piece);
        }
        for (hash, blob) in &capture.blobs {
            let known = self.blobs.get(hash).copied();
            let piece = known.unwrap_or_else(|| plan.add(Content::Bytes(blob.bytes())));
            plan.blobs.insert(*hash, piece);
        }
        plan
    }

    /// Chooses the pieces to write again because their packs are mostly out of use, or too many.
    fn pieces_to_move(&self, live: &BTreeMap<u64, Location>) -> Vec<(u64, Location)> {
        let mut usage: BTreeMap<u64, Usage> =
            self.packs.iter().map(|(pack, bytes)| (*pack, Usage { bytes: *bytes, live: 0 })).collect();
        for location in live.values() {
            usage.entry(location.pack).or_default().live += location.length;
        }
        let packs = packs_to_rewrite(&usage);
        live.iter().filter(|(_, location)| packs.contains(&location.pack)).map(|(piece, at)| (*piece, *at)).collect()
    }

    /// Writes a pack and returns where its pieces lie.
    fn write_pack(
        &self,
        number: u64,
        fresh: &[(u64, Content<'_>)],
        moved: &[(u64, Location)],
    ) -> Result<Vec<(u64, Location)>, StateError> {
        let reader = if moved.is_empty() { PackReader::new(&self.directory) } else { self.reader()? };
        let mut placed = Vec::with_capacity(fresh.len() + moved.len());
        let mut unreadable = None;
        let fill = |file: &mut File| -> io::Result<()> {
            let mut writer = PackWriter::new(file, number);
            for (piece, content) in fresh {
                let location = match content {
                    Content::Leaf(content) => writer.append(&leaf::encode(content))?,
                    Content::Bytes(bytes) => writer.append(bytes)?,
                };
                placed.push((*piece, location));
            }
            for (piece, location) in moved {
                let bytes = reader.read(location).map_err(|error| {
                    let text = error.to_string();
                    unreadable = Some(error);
                    io::Error::other(text)
                })?;
                placed.push((*piece, writer.append(&bytes)?));
            }
            writer.finish().map(drop)
        };
        let result = self.directory.write_with(&pack_name(number), fill);
        match unreadable {
            Some(error) => Err(error),
            None => result.map(|()| placed),
        }
    }

    fn write_manifest(
        &self,
        state: Option<u64>,
        packs: &BTreeMap<u64, u64>,
        next_pack: u64,
        next_piece: u64,
    ) -> Result<(), StateError> {
        let localnet = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { localnet, state, packs: packs.clone(), next_pack, next_piece };
        self.directory.write(MANIFEST, &cbor(&manifest))
    }

    fn remove_garbage(&self) -> Result<(), StateError> {
        let packs = self.packs.keys().map(|pack| pack_name(*pack));
        let state = (self.number > 0).then(|| state_name(self.number));
        self.directory.keep_only(&packs.chain(state).collect())
    }
}

impl<'a> Plan<'a> {
    /// Gives a new piece its number.
    fn add(&mut self, content: Content<'a>) -> u64 {
        let piece = self.next_piece;
        self.next_piece += 1;
        self.fresh.push((piece, content));
        piece
    }
}

fn cbor(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("plain data can be written to memory");
    bytes
}
