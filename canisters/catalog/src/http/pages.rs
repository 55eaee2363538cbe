//! The pages that are certified for HTTP gateways at the moment.
//!
//! They are kept on the heap: an upgrade begins without any. See the HTTP gateway protocol specification of the Internet
//! Computer for how an answer is certified.

use std::collections::BTreeSet;

use depot_types::{Hash, http::HttpResponse};
use ic_certification::HashTree;
use ic_http_certification::{
    CERTIFICATE_EXPRESSION_HEADER_NAME, DefaultCelBuilder, DefaultFullCelExpression, DefaultResponseCertification,
    HttpCertification, HttpCertificationPath, HttpCertificationTree, HttpCertificationTreeEntry,
    HttpResponse as GatewayResponse, StatusCode, request_hash, response_hash, utils::add_v2_certificate_header,
};

use super::{
    answer::{Answer, Varies},
    request::{
        AFTER_PARAMETER, Asked, BRANCH_HEADER, BRANCH_PARAMETER, CANISTER_PARAMETER, CONDITION_HEADER, HOST_HEADER,
        LIMIT_PARAMETER,
    },
};
use crate::limits::MAX_CERTIFIED_PAGES;

/// What answers depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(super) events: u64,
    pub(super) commits: u64,
    pub(super) deleting: bool,
}

/// What distinguishes a page from all others: path, request and response.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    path: String,
    request: [u8; 32],
    response: [u8; 32],
}

/// An answer with what is certified of it and of its request.
pub(super) struct Page {
    /// Nothing for what cannot be certified.
    certification: Option<(Key, HttpCertification)>,
    answer: Answer,
}

impl Page {
    /// Makes the page that answers a request.
    pub(super) fn new(asked: &Asked<'_>, mut answer: Answer) -> Self {
        let expression = expression_of(answer.varies);
        answer.headers.push((CERTIFICATE_EXPRESSION_HEADER_NAME, expression.to_string()));
        let response = gateway_response(&answer);
        let body = *Hash::of(&answer.body).as_bytes();
        let certification = if can_be_certified(&asked.path) {
            HttpCertification::full(&expression, &asked.gateway, &response, Some(body)).ok()
        } else {
            None
        };
        let request = request_hash(&asked.gateway, &expression.request).ok();
        let response = response_hash(&response, &expression.response, Some(body));
        let certification = certification
            .zip(request)
            .map(|(certification, request)| (Key { path: asked.path.clone(), request, response }, certification));
        Self { certification, answer }
    }

    /// Returns the answer with the header that has the certificate; that of an update has none, since the subnet agrees on
    /// it.
    pub(super) fn into_response(mut self, certificate: Option<(String, String)>) -> HttpResponse {
        self.answer.certificate = certificate;
        self.answer.into_response()
    }
}

/// Returns true unless the path has a segment that means something else in the tree of what is certified.
fn can_be_certified(path: &str) -> bool {
    !path.split('/').any(|segment| matches!(segment, "<$>" | "<*>"))
}

/// Certifies method, body and what the answer depends on of the request, and all of the answer.
fn expression_of(varies: Varies) -> DefaultFullCelExpression<'static> {
    let headers: &[&str] = match varies {
        Varies::No => &[BRANCH_HEADER],
        Varies::WithTag => &[BRANCH_HEADER, CONDITION_HEADER],
        Varies::WithHost => &[BRANCH_HEADER, HOST_HEADER],
    };
    let parameters = [AFTER_PARAMETER, BRANCH_PARAMETER, CANISTER_PARAMETER, LIMIT_PARAMETER];
    DefaultCelBuilder::full_certification()
        .with_request_headers(headers)
        .with_request_query_parameters(parameters.to_vec())
        .with_response_certification(DefaultResponseCertification::response_header_exclusions(vec![]))
        .build()
}

/// The answer in the form that its hash is computed from, without the body.
fn gateway_response(answer: &Answer) -> GatewayResponse<'static> {
    let headers = answer.headers.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
    let status = StatusCode::from_u16(answer.status).expect("BUG: an answer has a status that there is not");
    GatewayResponse::builder().with_status_code(status).with_headers(headers).build()
}

/// The pages that are certified.
pub(crate) struct CertifiedPages {
    stamp: Stamp,
    pages: BTreeSet<Key>,
    tree: HttpCertificationTree,
    /// The tree without any page: what every change of the catalog goes back to.
    bare: HttpCertificationTree,
}

impl Default for CertifiedPages {
    fn default() -> Self {
        let mut bare = HttpCertificationTree::default();
        bare.insert(&certified_for_all("", Answer::nothing_there()).1);
        // Or else it could be said of everything below that it is not there, as long as nobody asked for it.
        bare.insert(&certified_for_all("/api", Answer::ask_again()).1);
        Self { stamp: Stamp::default(), pages: BTreeSet::new(), tree: bare.clone(), bare }
    }
}

impl CertifiedPages {
    /// Returns the hash of the tree of all pages, with its label `http_expr`.
    pub(crate) fn root(&self) -> Hash {
        Hash::new(self.tree.root_hash())
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Forgets all pages, unless what answers depend on is as it was.
    pub(super) fn keep_up_with(&mut self, stamp: Stamp) {
        if self.stamp != stamp {
            self.stamp = stamp;
            self.forget();
        }
    }

    fn forget(&mut self) {
        if !self.pages.is_empty() {
            self.pages.clear();
            self.tree = self.bare.clone();
        }
    }

    /// Certifies a page. When there are as many as there can be, the others are forgotten.
    pub(super) fn certify(&mut self, page: &Page) {
        let Some((key, certification)) = &page.certification else { return };
        if self.pages.contains(key) {
            return;
        }
        if self.pages.len() >= MAX_CERTIFIED_PAGES {
            self.forget();
        }
        self.pages.insert(key.clone());
        self.tree.insert(&HttpCertificationTreeEntry::new(HttpCertificationPath::exact(&key.path), certification));
    }

    /// Returns the header that proves a page; nothing when it is not certified. `around` adds the rest of the tree.
    pub(super) fn certified(
        &self,
        page: &Page,
        certificate: &[u8],
        around: impl FnOnce(HashTree) -> HashTree,
    ) -> Option<(String, String)> {
        let (key, certification) = page.certification.as_ref().filter(|(key, _)| self.pages.contains(key))?;
        let path = HttpCertificationPath::exact(&key.path);
        let entry = HttpCertificationTreeEntry::new(path.clone(), certification);
        let witness = self.tree.witness(&entry, &key.path).ok()?;
        Some(certificate_header(certificate, &around(witness), &path))
    }

    /// Answers a request for what is not there, whatever it may be. `around` adds the rest of the tree.
    pub(super) fn nothing_there(
        &self,
        asked: &Asked<'_>,
        certificate: &[u8],
        around: impl FnOnce(HashTree) -> HashTree,
    ) -> HttpResponse {
        let (mut answer, entry) = certified_for_all("", Answer::nothing_there());
        let witness = self.tree.witness(&entry, &asked.path);
        let witness = witness.expect("BUG: a path is not below all paths");
        answer.certificate =
            Some(certificate_header(certificate, &around(witness), &HttpCertificationPath::wildcard("")));
        answer.into_response()
    }
}

/// An answer to all that is below a path and is not certified by itself, and how that is certified: whatever the request.
fn certified_for_all(path: &'static str, mut answer: Answer) -> (Answer, HttpCertificationTreeEntry<'static>) {
    let expression = DefaultCelBuilder::response_only_certification()
        .with_response_certification(DefaultResponseCertification::response_header_exclusions(vec![]))
        .build();
    answer.headers.push((CERTIFICATE_EXPRESSION_HEADER_NAME, expression.to_string()));
    let body = *Hash::of(&answer.body).as_bytes();
    let certification = HttpCertification::response_only(&expression, &gateway_response(&answer), Some(body));
    let certification = certification.expect("BUG: an answer does not say how it is certified");
    (answer, HttpCertificationTreeEntry::new(HttpCertificationPath::wildcard(path), certification))
}

fn certificate_header(certificate: &[u8], tree: &HashTree, path: &HttpCertificationPath<'_>) -> (String, String) {
    let mut carrier = GatewayResponse::builder().build();
    add_v2_certificate_header(certificate, &mut carrier, tree, &path.to_expr_path());
    carrier.headers().first().cloned().expect("BUG: a header was not added")
}
