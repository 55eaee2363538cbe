//! Answers requests of HTTP gateways: modules, a chunk at a time, and metrics.
//!
//! A module of more than one chunk is answered in parts, whatever was asked for: a request without a range gets the first
//! chunk, one with a range the chunk that its first byte is in, as `206 Partial Content`. A gateway that gets a part
//! though it asked for all asks for the rest, checks each part, and gives its client the whole.

use base64::{Engine, engine::general_purpose::STANDARD};
use depot_types::{
    Hash,
    http::{HttpRequest, HttpResponse},
    limits::CHUNK_BYTES,
};
use ic_stable_structures::Memory;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    certificates::{self, Shown},
    pages::{self, Answer, EXACT, Page, WILDCARD},
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

impl<M: Memory> State<M> {
    /// Returns the hash that the canister must have certified, as long as nothing is sealed or removed.
    pub fn certified_data(&self) -> [u8; Hash::BYTES] {
        let modules = self.certificates.root().map(Tree::Hidden);
        self.certified_tree(modules, false, false).digest()
    }

    /// Answers a request. The certificate is that of the canister's certified data, which queries have; the text of the
    /// metrics is asked for when it is needed.
    pub fn http_request(
        &self,
        request: &HttpRequest,
        certificate: Option<&[u8]>,
        metrics: impl FnOnce() -> String,
    ) -> HttpResponse {
        let path = path_of(&request.url);
        let is_head = request.method == "HEAD";
        if !is_head && request.method != "GET" {
            let page = Page { status: 405, headers: vec![("Allow", "GET, HEAD".to_string())] };
            return response(page, Vec::new());
        }
        let (page, body, tree, certified_path) = match self.target(&path) {
            Target::Module(module_hash, module) => {
                let answer = if is_head { Answer::Head } else { answer_to(request, &module_hash, &module) };
                let page = Page::of(answer, &module_hash, &module);
                let body = match answer {
                    Answer::Chunk(index) => self.chunk(&module, index),
                    Answer::Head | Answer::NotModified | Answer::OutOfRange => Vec::new(),
                };
                let content = pages::certified(&module_hash, &module, Some(answer));
                let modules = self.certificates.witness(&self.retentions, Shown::from([(module_hash, Some(content))]));
                let tree = self.certified_tree(modules, false, false);
                let name = Hash::new(module_hash).to_string();
                (page, body, tree, vec![HTTP.to_string(), MODULE.to_string(), name, text(EXACT)])
            }
            Target::Metrics => {
                let modules = self.certificates.root().map(Tree::Hidden);
                let tree = self.certified_tree(modules, true, false);
                (
                    Page::metrics(),
                    metrics().into_bytes(),
                    tree,
                    vec![HTTP.to_string(), METRICS.to_string(), text(EXACT)],
                )
            }
            Target::Nothing => {
                let (page, body) = Page::not_found();
                let modules = self.certificates.witness(&self.retentions, self.shown_without(&path));
                let tree = self.certified_tree(modules, false, true);
                (page, body.as_bytes().to_vec(), tree, vec![HTTP.to_string(), text(WILDCARD)])
            }
        };
        let mut response = response(page, body);
        if let Some(certificate) = certificate {
            response
                .headers
                .push(("IC-Certificate".to_string(), certificate_header(certificate, tree, &certified_path)));
        }
        response
    }

    fn target(&self, path: &[&str]) -> Target {
        match path {
            [METRICS] => Target::Metrics,
            [MODULE, name] => {
                let found = name.parse::<Hash>().ok().and_then(|module_hash| {
                    // What is not certified yet, for a short while after an upgrade, is not answered.
                    self.retentions.get(module_hash.as_bytes())?;
                    Some((*module_hash.as_bytes(), self.modules.get(module_hash.as_bytes())?))
                });
                found.map_or(Target::Nothing, |(module_hash, module)| Target::Module(module_hash, module))
            }
            _ => Target::Nothing,
        }
    }

    /// Returns what of the modules must be shown to prove that a path names nothing.
    fn shown_without(&self, path: &[&str]) -> Shown {
        if path.first() != Some(&MODULE) {
            return Shown::new();
        }
        // That no module is named so, and that nothing is certified about all modules together.
        let name = path.get(1).copied().unwrap_or_default();
        let texts = [name, "", "<$>", "<*>"];
        let neighbours = texts.iter().flat_map(|text| certificates::neighbours(&self.retentions, text));
        let mut shown: Shown = neighbours.map(|module_hash| (module_hash, None)).collect();
        // A path below a module: that the module has nothing there.
        if let Ok(module_hash) = name.parse::<Hash>()
            && let Some(module) = self.modules.get(module_hash.as_bytes())
        {
            let module_hash = *module_hash.as_bytes();
            shown.insert(module_hash, Some(pages::certified(&module_hash, &module, None)));
        }
        shown
    }

    /// Returns the tree of all that is certified.
    fn certified_tree(&self, modules: Option<Tree>, show_metrics: bool, show_not_found: bool) -> Tree {
        let not_found = pages::certified_not_found(show_not_found);
        let metrics = pages::certified_metrics(show_metrics).under_shown(METRICS.as_bytes());
        let modules = modules.map(|modules| modules.under_shown(MODULE.as_bytes()));
        let all = [not_found, metrics].into_iter().chain(modules).collect();
        Tree::join(all).expect("BUG: nothing is certified").under_shown(HTTP.as_bytes())
    }

    fn chunk(&self, module: &StoredModule, index: u32) -> Vec<u8> {
        let size = module.size - u64::from(index) * CHUNK_BYTES;
        let mut bytes = vec![0; size.min(CHUNK_BYTES) as usize];
        self.chunks.load(&module.chunk_hashes()[index as usize], &mut bytes);
        bytes
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

fn answer_to(request: &HttpRequest, module_hash: &StoredHash, module: &StoredModule) -> Answer {
    if request.header("if-none-match").is_some_and(|tag| tag == pages::etag(module_hash)) {
        return Answer::NotModified;
    }
    match request.header("range").and_then(|range| first_byte(range, module.size)) {
        None => Answer::Chunk(0),
        Some(first) if first < module.size => Answer::Chunk((first / CHUNK_BYTES) as u32),
        Some(_) => Answer::OutOfRange,
    }
}

/// Returns the first byte that a range asks for; `None` for what is not one range of bytes, which is ignored.
fn first_byte(range: &str, size: u64) -> Option<u64> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first <= last).then_some(first),
        (Ok(first), Err(_)) if last.is_empty() => Some(first),
        // The last bytes, so many.
        (Err(_), Ok(count)) if first.is_empty() => Some(if count == 0 { size } else { size.saturating_sub(count) }),
        _ => None,
    }
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
