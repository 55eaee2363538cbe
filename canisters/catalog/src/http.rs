//! Answers HTTP gateways: what wasmstore answers to `GET` below `/api/v1`, read only, and certified.
//!
//! What can be asked for is without number, so it cannot all be certified beforehand. A page that nobody asked for since
//! the last change is answered to a query with the wish that the gateway ask again by an update (`http_request_update`):
//! the subnet agrees on the answer to that, and the page is certified from then on, until what answers depend on changes
//! ([`State::stamp`]). So queries answer what is asked for often, and an answer that was overtaken is never certified.
//!
//! Bytes of modules are the blob store's: a request for them is redirected to it.

mod answer;
mod pages;
mod request;

use candid::Principal;
use depot_types::http::{HttpRequest, HttpResponse};
use ic_stable_structures::Memory;
use serde_bytes::ByteBuf;

pub(crate) use self::pages::{CertifiedPages, Stamp};
use self::{pages::Page, request::Asked};
use crate::state::State;

impl<M: Memory> State<M> {
    /// Answers a query of a gateway, or has it ask again by an update. The certificate is that of the canister's certified
    /// data; without one the answer is that of a message that the subnet agrees on, and needs none.
    pub fn http_request(&self, request: &HttpRequest, canister: Principal, certificate: Option<&[u8]>) -> HttpResponse {
        let asked = match Asked::read(request) {
            Ok(asked) => asked,
            Err(refused) => return if certificate.is_some() { ask_again() } else { refused.into_response() },
        };
        let Some(certificate) = certificate else { return self.answer(&asked, canister).into_response() };
        if asked.is_elsewhere() {
            return self.unstable_pages.nothing_there(&asked, certificate, |http| self.tree_around(http));
        }
        if self.unstable_pages.stamp() != self.stamp() {
            return ask_again();
        }
        let page = Page::new(&asked, self.answer(&asked, canister));
        let certified = self.unstable_pages.certified(&page, certificate, |http| self.tree_around(http));
        certified.map_or_else(ask_again, |header| page.into_response(Some(header)))
    }

    /// Answers a gateway that asks by an update, and certifies the answer, if it can be, for the queries to come.
    pub fn http_request_update(&mut self, request: &HttpRequest, canister: Principal) -> HttpResponse {
        let asked = match Asked::read(request) {
            Ok(asked) => asked,
            Err(refused) => return refused.into_response(),
        };
        let answer = self.answer(&asked, canister);
        if asked.is_elsewhere() || !asked.is_read() {
            return answer.into_response();
        }
        self.forget_outdated_pages();
        let page = Page::new(&asked, answer);
        self.unstable_pages.certify(&page);
        page.into_response(None)
    }

    /// Forgets the pages that are certified when what answers depend on has changed.
    ///
    /// To be called in each message that may have changed it, before the certified data is set.
    pub fn forget_outdated_pages(&mut self) {
        self.unstable_pages.keep_up_with(self.stamp());
    }

    /// Returns what answers depend on: while it is the same, the same is answered.
    fn stamp(&self) -> Stamp {
        Stamp {
            // Whatever changes branches, releases or settings is an event.
            events: self.events.len(),
            // An import makes commits known, and a collection of garbage unknown, with an event at its end only.
            commits: self.commit_numbers.len(),
            deleting: self.is_deleting(),
        }
    }
}

/// The answer to a query that only an update can be trusted with.
fn ask_again() -> HttpResponse {
    HttpResponse { status_code: 200, headers: vec![], body: ByteBuf::new(), upgrade: Some(true) }
}

#[cfg(test)]
mod tests;
