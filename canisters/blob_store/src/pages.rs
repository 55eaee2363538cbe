//! What the store answers over HTTP about a module, and how that is certified.
//!
//! The certification of an answer covers its status, all of its headers and its body. The bodies are the chunks of
//! modules, whose hashes are known, so nothing has to be read to certify them. See the HTTP gateway protocol
//! specification of the Internet Computer.

use std::ops::Range;

use depot_types::{Hash, chunk, limits::CHUNK_BYTES};

use crate::{
    storable::{StoredEncoding, StoredHash, StoredModule},
    tree::Tree,
};

/// The header that says what of an answer is certified.
pub(crate) const EXPRESSION_HEADER: &str = "IC-CertificateExpression";

/// Certifies method and body of the request, and all of the answer.
const WHOLE: &str = "default_certification(ValidationArgs{certification:Certification{\
    request_certification:RequestCertification{certified_request_headers:[],certified_query_parameters:[]},\
    response_certification:ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:[]}}}})";
/// The same, and the header that makes a request conditional.
const CONDITIONAL: &str = "default_certification(ValidationArgs{certification:Certification{\
    request_certification:RequestCertification{certified_request_headers:[\"if-none-match\"],\
    certified_query_parameters:[]},\
    response_certification:ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:[]}}}})";
/// Certifies all of the answer, whatever the request.
const ANSWER: &str = "default_certification(ValidationArgs{certification:Certification{\
    no_request_certification:Empty{},\
    response_certification:ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:[]}}}})";
/// Says that nothing is certified.
const NOTHING: &str = "default_certification(ValidationArgs{no_certification:Empty{}})";

/// The label of what is certified about one path.
pub(crate) const EXACT: &[u8] = b"<$>";
/// The label of what is certified about all paths that begin so, but for those that have something of their own.
pub(crate) const WILDCARD: &[u8] = b"<*>";

/// Counts the forms that answers about modules had: raise it with any change of what is certified about a module, so that
/// all modules are certified anew by the upgrade (`renewal.rs`).
///
/// 1. The first one.
/// 2. With the header `Wasmstore-Hash`, and those that pages of other sites may read.
pub(crate) const FORM: u32 = 2;

/// The header with the hash of the module, in hex digits.
const MODULE_HASH_HEADER: &str = "Wasmstore-Hash";
/// The headers that pages of other sites may read, besides those that they may in any case.
const EXPOSED_HEADERS: &str = "Accept-Ranges, Content-Length, Content-Range, ETag, Wasmstore-Hash";

/// Seconds after which a gateway may ask again for what is not certified yet.
const RETRY_AFTER_S: u32 = 60;

/// The body of the answer to a path that names nothing.
const NOT_FOUND: &str = "not found: the paths are /module/<hash of a sealed module in hex digits> and /metrics\n";

/// An answer about a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The chunk of this number; the whole module when it has one only.
    Chunk(u32),
    /// What a `GET` would answer, but for the body.
    Head,
    /// The client has the module already.
    NotModified,
    /// The range begins behind the end.
    OutOfRange,
}

/// Status and headers of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Page {
    fn new(status: u16, expression: &str) -> Self {
        let page = Self { status, headers: Vec::new() };
        page.with(EXPRESSION_HEADER, expression).with("Access-Control-Allow-Origin", "*")
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The answer to a path that names nothing, with its body.
    pub(crate) fn not_found() -> (Self, &'static str) {
        let page = Self::new(404, ANSWER).with("Content-Type", "text/plain; charset=utf-8");
        (page.with("Content-Length", NOT_FOUND.len()).with("Cache-Control", "no-store"), NOT_FOUND)
    }

    /// The answer with metrics, which change all the time and are not certified.
    pub(crate) fn metrics() -> Self {
        Self::new(200, NOTHING).with("Content-Type", "text/plain; version=0.0.4").with("Cache-Control", "no-store")
    }

    /// The answer about a module.
    pub(crate) fn of(answer: Answer, module_hash: &StoredHash, module: &StoredModule) -> Self {
        let (status, expression) = match answer {
            Answer::Chunk(_) if is_whole(module) => (200, WHOLE),
            Answer::Chunk(_) => (206, WHOLE),
            Answer::Head => (200, WHOLE),
            Answer::NotModified => (304, CONDITIONAL),
            Answer::OutOfRange => (416, WHOLE),
        };
        let page = Self::new(status, expression).about(module_hash);
        let size = module.size;
        match answer {
            Answer::Chunk(_) if is_whole(module) => page.with("Content-Length", size).typed(module),
            Answer::Chunk(index) => page.ranged(&bytes_of(module, index), size).typed(module),
            Answer::Head => page.with("Content-Length", size).typed(module),
            Answer::NotModified => page,
            Answer::OutOfRange => page.with("Content-Range", format!("bytes */{size}")),
        }
    }

    /// The answer with any part of a module, which is not certified.
    pub(crate) fn part(bytes: &Range<u64>, module_hash: &StoredHash, module: &StoredModule) -> Self {
        Self::new(206, NOTHING).about(module_hash).ranged(bytes, module.size).typed(module)
    }

    /// The answer with all of a module though it has several chunks, which is not certified.
    pub(crate) fn whole(module_hash: &StoredHash, module: &StoredModule) -> Self {
        Self::new(200, NOTHING).about(module_hash).with("Content-Length", module.size).typed(module)
    }

    /// The answer about a module that is not certified yet and too large to be answered without.
    pub(crate) fn not_yet() -> Self {
        Self::new(503, NOTHING).with("Retry-After", RETRY_AFTER_S).with("Cache-Control", "no-store")
    }

    fn about(self, module_hash: &StoredHash) -> Self {
        // The bytes of a hash never change, but a module that nobody wants can go.
        self.with("ETag", etag(module_hash))
            .with(MODULE_HASH_HEADER, Hash::new(*module_hash))
            .with("Access-Control-Expose-Headers", EXPOSED_HEADERS)
            .with("Cache-Control", "public, max-age=86400, immutable")
            .with("Accept-Ranges", "bytes")
    }

    fn ranged(self, bytes: &Range<u64>, size: u64) -> Self {
        let Range { start, end } = bytes;
        self.with("Content-Length", end - start).with("Content-Range", format!("bytes {start}-{}/{size}", end - 1))
    }

    fn typed(self, module: &StoredModule) -> Self {
        // Not the content encoding gzip: what is named by its hash must arrive as it is.
        let content_type = match module.encoding {
            StoredEncoding::Raw => "application/wasm",
            StoredEncoding::Gzip => "application/gzip",
        };
        self.with("Content-Type", content_type).with("X-Content-Type-Options", "nosniff")
    }

    /// Computes the hash of the answer with a body of the hash given.
    fn hash(&self, body: &StoredHash) -> StoredHash {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| [hash(name.to_ascii_lowercase().as_bytes()), hash(value.as_bytes())]);
        let status = [hash(b":ic-cert-status"), hash(&leb128(self.status))];
        hash([map_hash(headers.chain([status]).collect()), *body].as_flattened())
    }
}

/// Returns the tag that a module has over HTTP.
pub(crate) fn etag(module_hash: &StoredHash) -> String {
    format!("\"{}\"", Hash::new(*module_hash))
}

/// Returns all that is certified about a module, with one answer shown if it is given.
pub(crate) fn certified(module_hash: &StoredHash, module: &StoredModule, shown: Option<Answer>) -> Tree {
    let nothing = hash(&[]);
    let answer =
        |answer: Answer, body: &StoredHash| (Page::of(answer, module_hash, module).hash(body), shown == Some(answer));
    let chunks = (0..).zip(module.chunk_hashes()).map(|(index, body)| answer(Answer::Chunk(index), body));
    let get = chunks.chain([answer(Answer::OutOfRange, &nothing)]).collect();
    let head = vec![answer(Answer::Head, &nothing)];
    let not_modified = vec![answer(Answer::NotModified, &nothing)];
    let whole = labelled(vec![
        (request_hash("GET", None), labelled_leaves(get)),
        (request_hash("HEAD", None), labelled_leaves(head)),
    ]);
    let conditional = labelled(vec![(request_hash("GET", Some(&etag(module_hash))), labelled_leaves(not_modified))]);
    let expressions = vec![(hash(WHOLE.as_bytes()), whole), (hash(CONDITIONAL.as_bytes()), conditional)];
    labelled(expressions).under_shown(EXACT)
}

/// Returns what is certified about paths that name nothing, under its label.
pub(crate) fn certified_not_found(is_shown: bool) -> Tree {
    let (page, body) = Page::not_found();
    let leaf = Tree::leaf(is_shown).under(&page.hash(&hash(body.as_bytes()))).under(b"");
    leaf.under(&hash(ANSWER.as_bytes())).under_shown(WILDCARD)
}

/// Returns what is certified about the path of the metrics.
pub(crate) fn certified_metrics(is_shown: bool) -> Tree {
    Tree::leaf(is_shown).under(&hash(NOTHING.as_bytes())).under_shown(EXACT)
}

/// Returns true when one answer has the whole module.
pub(crate) fn is_whole(module: &StoredModule) -> bool {
    chunk::count(module.size) == 1
}

/// Returns which bytes of a module a chunk has.
pub(crate) fn bytes_of(module: &StoredModule, index: u32) -> Range<u64> {
    let length = chunk::size_of(module.size, u64::from(index)).expect("BUG: a module has no such chunk");
    let start = u64::from(index) * CHUNK_BYTES;
    start..start + length
}

fn labelled(mut trees: Vec<(StoredHash, Tree)>) -> Tree {
    trees.sort_unstable_by_key(|(label, _)| *label);
    let trees = trees.into_iter().map(|(label, tree)| tree.under(&label)).collect();
    Tree::join(trees).expect("BUG: nothing is certified")
}

fn labelled_leaves(leaves: Vec<(StoredHash, bool)>) -> Tree {
    labelled(leaves.into_iter().map(|(label, is_shown)| (label, Tree::leaf(is_shown))).collect())
}

/// Computes the hash of a request without a body.
fn request_hash(method: &str, if_none_match: Option<&str>) -> StoredHash {
    let mut map = vec![[hash(b":ic-cert-method"), hash(method.as_bytes())]];
    map.extend(if_none_match.map(|tag| [hash(b"if-none-match"), hash(tag.as_bytes())]));
    hash([map_hash(map), hash(&[])].as_flattened())
}

/// Computes the hash of a map of the hashes of names and values, whatever its order.
fn map_hash(mut map: Vec<[StoredHash; 2]>) -> StoredHash {
    map.sort_unstable();
    hash(map.as_flattened().as_flattened())
}

fn hash(bytes: &[u8]) -> StoredHash {
    *Hash::of(bytes).as_bytes()
}

fn leb128(mut number: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixtures::{ALICE, stored_module};

    #[test]
    fn should_have_another_form_when_answers_are_other_ones() {
        let mut module = StoredModule { size: CHUNK_BYTES + 1, ..stored_module(ALICE) };
        module.chunk_hashes = [[1; Hash::BYTES], [2; Hash::BYTES]].concat().into();
        let several = certified(&[3; Hash::BYTES], &module, None).digest();
        module.size = CHUNK_BYTES;
        module.chunk_hashes = [1; Hash::BYTES].to_vec().into();
        let one = certified(&[3; Hash::BYTES], &module, None).digest();
        let digest = hash([several, one].as_flattened());
        // When this fails, raise the form and write the new digest here: modules are certified in the old form still.
        assert_eq!(
            (FORM, Hash::new(digest).to_string().as_str()),
            (2, "78d5957ded8407b7da26b3300c00ee2c43799138122eab2d9aa2155a1ea79920")
        );
    }
}
