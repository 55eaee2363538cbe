//! Answers requests of HTTP gateways: modules, a chunk at a time, and metrics.
//!
//! A module of more than one chunk is answered in parts: a request without a range gets the first chunk, as `206 Partial
//! Content`. A gateway that gets a part though it asked for all asks for the rest, checks each part, and gives its client
//! the whole. Chunks are certified. Whoever asks for another part, or while a module is not certified in the present form,
//! is told to ask again as an update, whose answer the whole subnet agrees on.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::STANDARD};
use depot_types::{
    Hash,
    http::{HttpRequest, HttpResponse},
    limits::MAX_READ_BYTES,
};
use ic_stable_structures::Memory;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    certificates::{self, Shown},
    pages::{self, Answer, EXACT, Page, WILDCARD},
    ranges::Part,
    reply::Reply,
    space::Place,
    state::State,
    storable::{StoredHash, StoredModule},
    tree::Tree,
};

/// The label of all that is certified about HTTP.
const HTTP: &str = "http_expr";
/// The first part of the path of a module.
const MODULE: &str = "module";
/// The path of the metrics.
const METRICS: &str = "metrics";
/// Marks CBOR as such.
const CBOR_TAG: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// What a request asks for.
enum Target {
    Module(StoredHash, StoredModule),
    Metrics,
    Nothing,
}

/// What is to be answered about a module.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// This, which can be certified.
    Certified(Answer),
    /// That the client has it, which is certified for another header than the request has.
    NotModified,
    /// A part that is not certified.
    Part(Range<u64>),
}

/// An answer, and where in the tree it is certified.
struct Proven {
    page: Page,
    body: Vec<u8>,
    stored: Vec<Place>,
    tree: Tree,
    path: Vec<String>,
}

impl<M: Memory> State<M> {
    /// Returns the hash that the canister must have certified, as long as nothing is sealed or removed.
    pub fn certified_data(&self) -> [u8; Hash::BYTES] {
        let modules = self.certificates.root().map(Tree::Hidden);
        self.certified_tree(modules, false, false).digest()
    }

    /// Answers a request with what is certified, or with the advice to ask again as an update. The certificate is that of
    /// the canister's certified data, which queries have; the text of the metrics is asked for when it is needed.
    pub fn http_request(
        &self,
        request: &HttpRequest,
        certificate: Option<&[u8]>,
        metrics: impl FnOnce() -> String,
    ) -> Reply {
        if let Some(refused) = refuse_method(request) {
            return refused;
        }
        let path = path_of(&request.url);
        let proven = match self.target(&path) {
            Target::Module(module_hash, module) => match choose(request, &module_hash, &module) {
                Choice::Certified(answer) => self.prove(answer, module_hash, &module),
                Choice::NotModified | Choice::Part(_) => None,
            },
            Target::Metrics => {
                let tree = self.certified_tree(self.certificates.root().map(Tree::Hidden), true, false);
                let path = vec![HTTP.to_string(), METRICS.to_string(), text(EXACT)];
                Some(Proven { page: Page::metrics(), body: metrics().into_bytes(), stored: vec![], tree, path })
            }
            Target::Nothing => self.shown_without(&path).map(|shown| {
                let (page, body) = Page::not_found();
                let modules = self.certificates.witness(&self.retentions, shown);
                let tree = self.certified_tree(modules, false, true);
                let path = vec![HTTP.to_string(), text(WILDCARD)];
                Proven { page, body: body.as_bytes().to_vec(), stored: vec![], tree, path }
            }),
        };
        let Some(Proven { page, body, stored, tree, path }) = proven else {
            let upgrade = Some(true);
            return Reply::response(
                &HttpResponse { status_code: 200, headers: vec![], body: ByteBuf::new(), upgrade },
                vec![],
            );
        };
        let mut response = response(page, body);
        if let Some(certificate) = certificate {
            let header = certificate_header(certificate, tree, &path);
            response.headers.push(("IC-Certificate".to_string(), header));
        }
        Reply::response(&response, stored)
    }

    /// Answers a request as an update: without certificate, but with any part that is asked for.
    pub fn http_request_update(&self, request: &HttpRequest, metrics: impl FnOnce() -> String) -> Reply {
        if let Some(refused) = refuse_method(request) {
            return refused;
        }
        match self.target(&path_of(&request.url)) {
            Target::Module(module_hash, module) => {
                let (page, stored) = match choose(request, &module_hash, &module) {
                    Choice::Part(bytes) => {
                        let page = Page::part(&bytes, &module_hash, &module);
                        (page, self.places(&module, bytes))
                    }
                    Choice::NotModified => (Page::of(Answer::NotModified, &module_hash, &module), vec![]),
                    Choice::Certified(Answer::Chunk(_)) if request.header("range").is_none() => {
                        self.whole(&module_hash, &module)
                    }
                    Choice::Certified(answer) => {
                        (Page::of(answer, &module_hash, &module), self.body_of(answer, &module))
                    }
                };
                Reply::response(&response(page, Vec::new()), stored)
            }
            Target::Metrics => Reply::response(&response(Page::metrics(), metrics().into_bytes()), vec![]),
            Target::Nothing => {
                let (page, body) = Page::not_found();
                Reply::response(&response(page, body.as_bytes().to_vec()), vec![])
            }
        }
    }

    /// Returns an answer about a module with what proves it; `None` when the module is not certified in this form.
    fn prove(&self, answer: Answer, module_hash: StoredHash, module: &StoredModule) -> Option<Proven> {
        let content = pages::certified(&module_hash, module, Some(answer));
        let record = self.retentions.get(&module_hash)?;
        if content.digest() != record.certified {
            return None;
        }
        let modules = self.certificates.witness(&self.retentions, Shown::from([(module_hash, Some(content))]));
        let tree = self.certified_tree(modules, false, false);
        let path = vec![HTTP.to_string(), MODULE.to_string(), Hash::new(module_hash).to_string(), text(EXACT)];
        let page = Page::of(answer, &module_hash, module);
        Some(Proven { page, body: Vec::new(), stored: self.body_of(answer, module), tree, path })
    }

    /// Returns all of a module if one answer can have it.
    fn whole(&self, module_hash: &StoredHash, module: &StoredModule) -> (Page, Vec<Place>) {
        if module.size <= u64::from(MAX_READ_BYTES) {
            (Page::whole(module_hash, module), self.places(module, 0..module.size))
        } else {
            // The gateway would ask for the rest as queries, which are not certified, or else it would not be here.
            (Page::not_yet(), Vec::new())
        }
    }

    fn body_of(&self, answer: Answer, module: &StoredModule) -> Vec<Place> {
        match answer {
            Answer::Chunk(index) => self.places(module, pages::bytes_of(module, index)),
            Answer::Head | Answer::NotModified | Answer::OutOfRange => Vec::new(),
        }
    }

    fn target(&self, path: &[&str]) -> Target {
        match path {
            [METRICS] => Target::Metrics,
            [MODULE, name] => {
                let found = name.parse::<Hash>().ok().and_then(|module_hash| {
                    let module_hash = *module_hash.as_bytes();
                    Some((module_hash, self.modules.get(&module_hash)?))
                });
                found.map_or(Target::Nothing, |(module_hash, module)| Target::Module(module_hash, module))
            }
            _ => Target::Nothing,
        }
    }

    /// Returns what of the modules must be shown to prove that a path names nothing; `None` when it cannot be proven.
    fn shown_without(&self, path: &[&str]) -> Option<Shown> {
        if path.first() != Some(&MODULE) {
            return Some(Shown::new());
        }
        // That no module is named so, and that nothing is certified about all modules together.
        let name = path.get(1).copied().unwrap_or_default();
        let texts = [name, "", "<$>", "<*>"];
        let neighbours = texts.iter().flat_map(|text| certificates::neighbours(&self.retentions, text));
        let mut shown: Shown = neighbours.map(|module_hash| (module_hash, None)).collect();
        // A path below a module: that the module has nothing there.
        if let Ok(module_hash) = name.parse::<Hash>()
            && let Some(module) = self.modules.get(module_hash.as_bytes())
            && let Some(record) = self.retentions.get(module_hash.as_bytes())
        {
            let module_hash = *module_hash.as_bytes();
            let content = pages::certified(&module_hash, &module, None);
            if content.digest() != record.certified {
                return None;
            }
            shown.insert(module_hash, Some(content));
        }
        Some(shown)
    }

    /// Returns the tree of all that is certified.
    fn certified_tree(&self, modules: Option<Tree>, show_metrics: bool, show_not_found: bool) -> Tree {
        let not_found = pages::certified_not_found(show_not_found);
        let metrics = pages::certified_metrics(show_metrics).under_shown(METRICS.as_bytes());
        let modules = modules.map(|modules| modules.under_shown(MODULE.as_bytes()));
        let all = [not_found, metrics].into_iter().chain(modules).collect();
        Tree::join(all).expect("BUG: nothing is certified").under_shown(HTTP.as_bytes())
    }
}

fn text(label: &[u8]) -> String {
    String::from_utf8_lossy(label).into_owned()
}

fn response(page: Page, body: Vec<u8>) -> HttpResponse {
    let Page { status: status_code, headers } = page;
    let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    HttpResponse { status_code, headers, body: ByteBuf::from(body), upgrade: None }
}

/// Returns the parts of the path. A path that ends in a slash has an empty one at its end, as it is another path.
fn path_of(url: &str) -> Vec<&str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.chain(path.ends_with('/').then_some("")).collect()
}

fn refuse_method(request: &HttpRequest) -> Option<Reply> {
    let is_allowed = ["GET", "HEAD"].contains(&request.method.as_str());
    let page = Page { status: 405, headers: vec![("Allow", "GET, HEAD".to_string())] };
    (!is_allowed).then(|| Reply::response(&response(page, Vec::new()), vec![]))
}

fn choose(request: &HttpRequest, module_hash: &StoredHash, module: &StoredModule) -> Choice {
    let tag = pages::etag(module_hash);
    if request.method == "HEAD" {
        return Choice::Certified(Answer::Head);
    }
    match request.header("if-none-match") {
        Some(tags) if tags == tag => return Choice::Certified(Answer::NotModified),
        Some(tags) if names(tags, &tag) => return Choice::NotModified,
        _ => {}
    }
    // A range of something else is no range of this.
    let range = request.header("range").filter(|_| request.header("if-range").is_none_or(|of| of == tag));
    match Part::of(range, module.size) {
        Part::Chunk(index) => Choice::Certified(Answer::Chunk(index)),
        Part::OutOfRange => Choice::Certified(Answer::OutOfRange),
        Part::Bytes(bytes) => Choice::Part(bytes),
    }
}

/// Returns true when a list of tags, weak or strong, names this one, or any.
fn names(tags: &str, tag: &str) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|other| other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag)
}

fn certificate_header(certificate: &[u8], tree: Tree, path: &[String]) -> String {
    format!(
        "certificate=:{}:, tree=:{}:, expr_path=:{}:, version=2",
        STANDARD.encode(certificate),
        STANDARD.encode(cbor(&tree.into_hash_tree())),
        STANDARD.encode(cbor(&path)),
    )
}

fn cbor(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = CBOR_TAG.to_vec();
    ciborium::into_writer(value, &mut bytes).expect("BUG: a tree or a path cannot be encoded");
    bytes
}

#[cfg(test)]
mod tests;
