//! The state tree of a subnet: what of its state is certified, under which path, in which encoding.
//!
//! ```text
//! /time                                             LEB128 of ns
//! /canister/<id>/controllers                        self-described CBOR
//!               /certified_data, /module_hash       only with code
//!               /metadata/<name>                    one for each `icp:` section
//! /request_status/<id>/status                       received, processing, replied, rejected or done
//!                     /reply
//!                     /reject_code, /reject_message, /error_code
//! /subnet/<id>/public_key, /canister_ranges, /type
//!             /node/<id>/public_key, /metrics       only the subnet's own
//! /canister_ranges/<subnet>/<first id>              five ranges at most
//! /api_boundary_nodes, /streams                     empty
//! ```
//!
//! The hashes of all canisters and requests are kept ([`StateTree`]); what is below them is hashed again only when it
//! changed, and written out only for a certificate that shows it. `/metadata` of the tree of a replica, which only
//! replicas read, is left out.

use std::{
    collections::BTreeMap,
    mem::{Discriminant, discriminant},
};

use candid::Principal;
use ic_certification::HashTree;
use pocket_ic::common::rest::SubnetKind;

use super::{
    encoding::{self, Metrics, leb128},
    keys::SubnetKeys,
    tree::{Children, Digest, Forks, Selection, Tree, labeled_digest, witness},
};
use crate::{
    canister::Canister,
    message::MessageId,
    network::{IngressHistory, RequestStatus, Subnet},
};

/// Most ranges in one leaf of `/canister_ranges`.
const MAX_RANGES_PER_LEAF: usize = 5;
/// Modules whose hash of `/metadata` is remembered.
const MAX_KNOWN_METADATA: usize = 1_024;

/// What is certified, and when.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// All subnets by id.
    pub subnets: &'a BTreeMap<Principal, Subnet>,
    /// The subnet whose key is the root of trust.
    pub root: Principal,
    /// Time of the last round, in ns.
    pub time: u64,
}

impl Subnet {
    /// Returns the keys of the subnet and its nodes.
    pub(crate) fn keys(&self) -> std::sync::Arc<SubnetKeys> {
        SubnetKeys::of(&self.seed, self.cost_model.subnet_size)
    }

    fn metrics(&self) -> Metrics {
        Metrics {
            canisters: self.canisters.len() as u64,
            state_bytes: self.canisters.values().map(Canister::memory_usage).sum(),
            consumed: self.consumed,
            transactions: self.transactions,
        }
    }
}

/// The hashes of a subnet's state tree as of one round.
#[derive(Debug)]
pub(super) struct StateTree {
    /// Time of that round, in ns.
    time: u64,
    canisters: Known<Principal, CanisterFacts>,
    requests: Known<MessageId, RequestFacts>,
    /// Hash of `/metadata` of a canister, by module.
    metadata: BTreeMap<Digest, Digest>,
    /// Everything but canisters and requests, which are sealed here.
    top: Vec<(&'static [u8], Tree)>,
    forks: Forks,
}

/// Labels of the root, sorted.
const CANISTER: &[u8] = b"canister";
const REQUEST_STATUS: &[u8] = b"request_status";

impl StateTree {
    /// Makes the tree of a subnet that was not certified yet.
    pub(super) fn new(world: &World<'_>, subnet: &Subnet) -> Self {
        let mut tree = Self {
            time: 0,
            canisters: Known::default(),
            requests: Known::default(),
            metadata: BTreeMap::new(),
            top: Vec::new(),
            forks: Forks::default(),
        };
        tree.build(world, subnet);
        tree
    }

    /// Brings the tree up to the last round. Between rounds nothing changes that is certified.
    pub(super) fn update(&mut self, world: &World<'_>, subnet: &Subnet) {
        if self.time != world.time {
            self.build(world, subnet);
        }
    }

    fn build(&mut self, world: &World<'_>, subnet: &Subnet) {
        let metadata = &mut self.metadata;
        self.canisters.update(
            subnet.canisters.iter().map(|(id, canister)| (*id, canister)),
            |facts, canister| facts.describe(canister),
            |canister| {
                (CanisterFacts::of(canister), canister_tree(canister, sealed_metadata(metadata, canister)).digest())
            },
        );
        self.requests.update(
            subnet.ingress.certified(),
            |facts, request| *facts == RequestFacts::of(request),
            |request| (RequestFacts::of(request), request_tree(request.1).digest()),
        );
        self.top = vec![
            (b"api_boundary_nodes", Tree::branch::<&str>([])),
            (CANISTER, Tree::Sealed(self.canisters.forks.digest())),
            (b"canister_ranges", all_ranges_tree(world)),
            (REQUEST_STATUS, Tree::Sealed(self.requests.forks.digest())),
            (b"streams", Tree::branch::<&str>([])),
            (b"subnet", subnets_tree(world, subnet)),
            (b"time", Tree::leaf(leb128(world.time))),
        ];
        self.forks.update(0, self.top.iter().map(|(label, tree)| labeled_digest(label, &tree.digest())));
        self.time = world.time;
    }

    /// Returns the hash of the whole tree.
    pub(super) fn digest(&self) -> Digest {
        self.forks.digest()
    }

    /// Shows a part of the tree.
    pub(super) fn witness(&self, subnet: &Subnet, selection: &Selection) -> HashTree {
        witness(&Root { tree: self, subnet }, selection)
    }
}

struct Root<'a> {
    tree: &'a StateTree,
    subnet: &'a Subnet,
}

impl Children for Root<'_> {
    fn forks(&self) -> &Forks {
        &self.tree.forks
    }

    fn count(&self) -> usize {
        self.tree.top.len()
    }

    fn label(&self, index: usize) -> &[u8] {
        self.tree.top[index].0
    }

    fn digest(&self, index: usize) -> Digest {
        self.tree.top[index].1.digest()
    }

    fn show(&self, index: usize, selection: &Selection) -> HashTree {
        let Self { tree, subnet } = self;
        match &tree.top[index] {
            (CANISTER, _) => witness(&Canisters { tree, canisters: &subnet.canisters }, selection),
            (REQUEST_STATUS, _) => witness(&Requests { tree, history: &subnet.ingress }, selection),
            (_, shown) => shown.witness(selection),
        }
    }
}

struct Canisters<'a> {
    tree: &'a StateTree,
    canisters: &'a BTreeMap<Principal, Canister>,
}

impl Children for Canisters<'_> {
    fn forks(&self) -> &Forks {
        &self.tree.canisters.forks
    }

    fn count(&self) -> usize {
        self.tree.canisters.entries.len()
    }

    fn label(&self, index: usize) -> &[u8] {
        self.tree.canisters.entries[index].label.as_slice()
    }

    fn digest(&self, index: usize) -> Digest {
        self.tree.canisters.entries[index].digest
    }

    fn show(&self, index: usize, selection: &Selection) -> HashTree {
        let entry = &self.tree.canisters.entries[index];
        let Some(canister) = self.canisters.get(&entry.label) else { return ic_certification::pruned(entry.digest) };
        let known = canister.module().and_then(|module| self.tree.metadata.get(&module.hash()));
        let metadata = match known {
            Some(digest) if !selection.touches(METADATA) => Tree::Sealed(*digest),
            _ => metadata_tree(canister),
        };
        canister_tree(canister, metadata).witness(selection)
    }
}

struct Requests<'a> {
    tree: &'a StateTree,
    history: &'a IngressHistory,
}

impl Children for Requests<'_> {
    fn forks(&self) -> &Forks {
        &self.tree.requests.forks
    }

    fn count(&self) -> usize {
        self.tree.requests.entries.len()
    }

    fn label(&self, index: usize) -> &[u8] {
        &self.tree.requests.entries[index].label
    }

    fn digest(&self, index: usize) -> Digest {
        self.tree.requests.entries[index].digest
    }

    fn show(&self, index: usize, selection: &Selection) -> HashTree {
        let entry = &self.tree.requests.entries[index];
        match self.history.status(&entry.label) {
            Some(status) => request_tree(status).witness(selection),
            None => ic_certification::pruned(entry.digest),
        }
    }
}

/// Hashes of subtrees, with what they were made of, sorted by label.
#[derive(Debug)]
struct Known<L, F> {
    entries: Vec<Entry<L, F>>,
    forks: Forks,
}

#[derive(Debug)]
struct Entry<L, F> {
    label: L,
    facts: F,
    /// Hash of the subtree.
    digest: Digest,
    /// Hash of the subtree with its label.
    labeled: Digest,
}

impl<L, F> Default for Known<L, F> {
    fn default() -> Self {
        Self { entries: Vec::new(), forks: Forks::default() }
    }
}

impl<L: Ord + AsRef<[u8]>, F> Known<L, F> {
    /// Takes what there is now, sorted by label: hashes are kept where the facts are the same. Forks after the place of
    /// the first label that came or went are hashed again.
    fn update<S>(
        &mut self,
        mut current: impl Iterator<Item = (L, S)>,
        is_same: impl Fn(&F, &S) -> bool,
        mut read: impl FnMut(&S) -> (F, Digest),
    ) {
        let mut next = current.next();
        let mut kept = 0;
        while let (Some((label, source)), Some(entry)) = (&next, self.entries.get(kept))
            && entry.label == *label
            && is_same(&entry.facts, source)
        {
            kept += 1;
            next = current.next();
        }
        if next.is_none() && kept == self.entries.len() {
            return;
        }
        let mut old = self.entries.split_off(kept).into_iter().peekable();
        for (label, source) in next.into_iter().chain(current) {
            while old.next_if(|entry| entry.label < label).is_some() {}
            let known = old.next_if(|entry| entry.label == label).filter(|entry| is_same(&entry.facts, &source));
            self.entries.push(known.unwrap_or_else(|| {
                let (facts, digest) = read(&source);
                let labeled = labeled_digest(label.as_ref(), &digest);
                Entry { label, facts, digest, labeled }
            }));
        }
        self.forks.update(kept, self.entries[kept..].iter().map(|entry| entry.labeled));
    }
}

/// What a canister's subtree is made of. The custom sections follow from the module.
#[derive(Debug)]
struct CanisterFacts {
    controllers: Vec<Principal>,
    certified_data: Vec<u8>,
    module: Option<Digest>,
}

impl CanisterFacts {
    fn of(canister: &Canister) -> Self {
        Self {
            controllers: canister.settings.controllers.clone(),
            certified_data: canister.certified_data.clone(),
            module: canister.module().map(|module| module.hash()),
        }
    }

    fn describe(&self, canister: &Canister) -> bool {
        self.controllers == canister.settings.controllers
            && self.certified_data == canister.certified_data
            && self.module == canister.module().map(|module| module.hash())
    }
}

const METADATA: &[u8] = b"metadata";

fn canister_tree(canister: &Canister, metadata: Tree) -> Tree {
    let mut controllers = canister.settings.controllers.clone();
    controllers.sort();
    let controllers = (b"controllers".as_slice(), Tree::leaf(encoding::controllers(&controllers)));
    match canister.module() {
        None => Tree::branch([controllers]),
        Some(module) => Tree::branch([
            (b"certified_data".as_slice(), Tree::leaf(canister.certified_data.as_slice())),
            controllers,
            (METADATA, metadata),
            (b"module_hash".as_slice(), Tree::leaf(module.hash())),
        ]),
    }
}

fn metadata_tree(canister: &Canister) -> Tree {
    let sections = canister.module().map_or(&[][..], |module| module.custom_sections());
    Tree::branch(sections.iter().map(|section| (&section.name, Tree::leaf(section.content.as_slice()))))
}

/// Returns the metadata as a hash only, which is computed once for each module.
fn sealed_metadata(known: &mut BTreeMap<Digest, Digest>, canister: &Canister) -> Tree {
    let Some(module) = canister.module() else { return metadata_tree(canister) };
    if known.len() >= MAX_KNOWN_METADATA && !known.contains_key(&module.hash()) {
        known.clear();
    }
    Tree::Sealed(*known.entry(module.hash()).or_insert_with(|| metadata_tree(canister).digest()))
}

/// What tells the states of a request apart: which one it is, and since when it is in it. An answer is never replaced by
/// another.
#[derive(Debug, PartialEq, Eq)]
struct RequestFacts(Discriminant<RequestStatus>, u64);

impl RequestFacts {
    fn of((since, status): &(u64, &RequestStatus)) -> Self {
        Self(discriminant(status), *since)
    }
}

fn request_tree(request: &RequestStatus) -> Tree {
    let status = (b"status".as_slice(), Tree::leaf(request.name()));
    match request {
        RequestStatus::Received | RequestStatus::Processing | RequestStatus::Done => Tree::branch([status]),
        RequestStatus::Replied(reply) => Tree::branch([(b"reply".as_slice(), Tree::leaf(reply.as_slice())), status]),
        RequestStatus::Rejected { code, message, error_code } => Tree::branch([
            (b"error_code".as_slice(), Tree::leaf(format!("IC{:04}", *error_code as u64))),
            (b"reject_code".as_slice(), Tree::leaf(leb128(*code as u64))),
            (b"reject_message".as_slice(), Tree::leaf(message.as_str())),
            status,
        ]),
    }
}

fn sorted_ranges(subnet: &Subnet) -> Vec<(Principal, Principal)> {
    let mut ranges = subnet.ranges.clone();
    ranges.sort();
    ranges
}

fn all_ranges_tree(world: &World<'_>) -> Tree {
    let shards = |subnet: &Subnet| {
        let ranges = sorted_ranges(subnet);
        let shards = ranges.chunks(MAX_RANGES_PER_LEAF);
        Tree::branch(shards.map(|shard| (shard[0].0, Tree::leaf(encoding::ranges(shard)))))
    };
    Tree::branch(world.subnets.values().map(|subnet| (subnet.id, shards(subnet))))
}

fn subnets_tree(world: &World<'_>, own: &Subnet) -> Tree {
    Tree::branch(world.subnets.values().map(|subnet| (subnet.id, subnet_tree(subnet, subnet.id == own.id))))
}

fn subnet_tree(subnet: &Subnet, is_own: bool) -> Tree {
    let mut children = vec![
        ("canister_ranges", Tree::leaf(encoding::ranges(&sorted_ranges(subnet)))),
        ("public_key", Tree::leaf(subnet.public_key.as_slice())),
        ("type", Tree::leaf(subnet_type(subnet.kind))),
    ];
    if is_own {
        let keys = subnet.keys();
        let node = |key: &Vec<u8>| Tree::branch([("public_key", Tree::leaf(key.as_slice()))]);
        children.push(("node", Tree::branch(keys.nodes().iter().map(|key| (key.id, node(&key.public_key))))));
        children.push(("metrics", Tree::leaf(subnet.metrics().encode())));
    }
    Tree::branch(children)
}

fn subnet_type(kind: SubnetKind) -> &'static str {
    match kind {
        SubnetKind::Bitcoin | SubnetKind::II | SubnetKind::NNS | SubnetKind::System => "system",
        SubnetKind::Application | SubnetKind::Fiduciary | SubnetKind::SNS | SubnetKind::TestThresholdKeys => {
            "application"
        }
        SubnetKind::VerifiedApplication => "verified_application",
        SubnetKind::CloudEngine => "cloud_engine",
    }
}
