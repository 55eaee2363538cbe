//! Answers that are certified, rightly and wrongly.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ic_certification::{HashTree, labeled, leaf};
use ic_http_certification::{
    CERTIFICATE_EXPRESSION_HEADER_NAME, DefaultCelBuilder, DefaultResponseCertification, HttpCertification,
    HttpCertificationPath, HttpCertificationTree, HttpCertificationTreeEntry, HttpRequest, HttpResponse, StatusCode,
    utils::add_v2_certificate_header,
};
use sha2::{Digest, Sha256};

use super::{
    lifecycle::{create_gateway, gateway_config},
    *,
};

/// A response certified by version 2, for one path.
struct Certified {
    tree: HttpCertificationTree,
    path: HttpCertificationPath<'static>,
    entry_path: &'static str,
    certification: HttpCertification,
    response: HttpResponse<'static>,
}

impl Certified {
    fn new(path: HttpCertificationPath<'static>, entry_path: &'static str, status: u16, body: &'static [u8]) -> Self {
        let cel = DefaultCelBuilder::response_only_certification()
            .with_response_certification(DefaultResponseCertification::certified_response_headers(vec!["Content-Type"]))
            .build();
        let response = HttpResponse::builder()
            .with_status_code(StatusCode::from_u16(status).unwrap())
            .with_headers(vec![
                ("Content-Type".to_owned(), "text/css".to_owned()),
                (CERTIFICATE_EXPRESSION_HEADER_NAME.to_owned(), cel.to_string()),
            ])
            .with_body(body)
            .build();
        let certification = HttpCertification::response_only(&cel, &response, None).unwrap();
        let mut tree = HttpCertificationTree::default();
        tree.insert(&HttpCertificationTreeEntry::new(path.clone(), certification));
        Self { tree, path, entry_path, certification, response }
    }

    fn skipping(path: HttpCertificationPath<'static>) -> Self {
        let cel = DefaultCelBuilder::skip_certification();
        let response = HttpResponse::builder()
            .with_headers(vec![(CERTIFICATE_EXPRESSION_HEADER_NAME.to_owned(), cel.to_string())])
            .with_body(b"anything".as_slice())
            .build();
        let certification = HttpCertification::skip();
        let mut tree = HttpCertificationTree::default();
        tree.insert(&HttpCertificationTreeEntry::new(path.clone(), certification));
        Self { tree, path, entry_path: "/", certification, response }
    }

    /// Adds a certificate to the response and makes an answer of it.
    fn answer(&self, certificate: &[u8]) -> Answer {
        let entry = HttpCertificationTreeEntry::new(self.path.clone(), self.certification);
        let witness = self.tree.witness(&entry, self.entry_path).unwrap();
        let mut response = self.response.clone();
        add_v2_certificate_header(certificate, &mut response, &witness, &self.path.to_expr_path());
        response.add_header(("x-not-certified".to_owned(), "1".to_owned()));
        Answer {
            status_code: response.status_code().as_u16(),
            headers: response.headers().to_vec(),
            body: response.body().to_vec().into(),
            upgrade: None,
            streaming_strategy: None,
        }
    }

    /// Certifies it and makes an answer of it.
    fn publish(&self, site: &Site) -> Answer {
        let certificate = site.certify(&self.tree.root_hash());
        let answer = self.answer(&certificate);
        site.serve(&answer);
        answer
    }
}

fn not_verified() -> (u16, String) {
    (503, "backend_response_verification".to_owned())
}

#[test]
fn should_hand_on_certified_responses_with_their_certified_headers() {
    let site = Site::start();
    Certified::new(HttpCertificationPath::exact("/style.css"), "/style.css", 200, b"css").publish(&site);
    let response = site.get(&site.host(), "/style.css?version=1");
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "text/css"));
    assert!(response.headers().contains_key("ic-certificate"));
    assert_eq!(response.headers().get("x-not-certified"), None);
    assert_eq!(response.text().unwrap(), "css");
    assert_eq!(site.get(&site.raw_host(), "/other").headers()["x-not-certified"], "1", "raw is as it is");

    Certified::new(HttpCertificationPath::wildcard("/"), "/any/thing", 404, b"no such page").publish(&site);
    let missing = site.get(&site.host(), "/any/thing");
    assert_eq!((missing.status().as_u16(), missing.text().unwrap().as_str()), (404, "no such page"));

    Certified::skipping(HttpCertificationPath::wildcard("/")).publish(&site);
    let skipped = site.get(&site.host(), "/");
    assert_eq!(skipped.headers()["x-not-certified"], "1");
    assert_eq!(skipped.text().unwrap(), "anything");
}

#[test]
fn should_certify_requests_too() {
    let site = Site::start();
    let cel = DefaultCelBuilder::full_certification()
        .with_request_headers(vec!["accept"])
        .with_request_query_parameters(vec!["q"])
        .with_response_certification(DefaultResponseCertification::response_header_exclusions(vec![]))
        .build();
    let request = HttpRequest::get("/find?q=a").with_headers(vec![("accept".to_owned(), "text/x".to_owned())]).build();
    let response = HttpResponse::builder()
        .with_headers(vec![(CERTIFICATE_EXPRESSION_HEADER_NAME.to_owned(), cel.to_string())])
        .with_body(b"a".as_slice())
        .build();
    let certification = HttpCertification::full(&cel, &request, &response, None).unwrap();
    let path = HttpCertificationPath::exact("/find");
    let mut tree = HttpCertificationTree::default();
    tree.insert(&HttpCertificationTreeEntry::new(path.clone(), certification));
    let certified = Certified { tree, path, entry_path: "/find", certification, response };
    let certificate = site.certify(&certified.tree.root_hash());
    let mut answer = certified.answer(&certificate);
    answer.headers.retain(|(name, _)| name != "x-not-certified");
    site.serve(&answer);
    let get = |path: &str, accept: &str| {
        site.request(Method::GET, &site.host(), path).header("accept", accept).send().unwrap()
    };
    assert_eq!(get("/find?q=a", "text/x").text().unwrap(), "a");
    assert_eq!(get("/find?q=a&other=1", "text/x").text().unwrap(), "a");
    assert_eq!(error_of(get("/find?q=b", "text/x")), not_verified());
    assert_eq!(error_of(get("/find?q=a", "text/y")), not_verified());
}

#[test]
fn should_refuse_responses_whose_certification_is_wrong() {
    let site = Site::start();
    let certified = Certified::new(HttpCertificationPath::exact("/a"), "/a", 200, b"right");
    let right = certified.publish(&site);
    assert_eq!(site.get(&site.host(), "/a").text().unwrap(), "right");
    assert_eq!(site.refusal(&site.host(), "/b"), not_verified(), "another path");
    let mut wrong = Vec::new();
    wrong.push(Answer { body: b"wrong".to_vec().into(), ..right.clone() });
    wrong.push(Answer { status_code: 201, ..right.clone() });
    let without = |name: &str| {
        let mut answer = right.clone();
        answer.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        answer
    };
    wrong.extend([without("content-type"), without("ic-certificate"), without("ic-certificateexpression")]);
    let mut changed = right.clone();
    changed.headers.iter_mut().filter(|(name, _)| name == "Content-Type").for_each(|(_, value)| value.push('x'));
    wrong.push(changed);
    // The tree of another response, which this certificate does not cover.
    let other = Certified::new(HttpCertificationPath::exact("/a"), "/a", 200, b"other");
    wrong.push(other.answer(&certificate_of(&right)));
    let mut flipped = certificate_of(&right);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    wrong.push(certified.answer(&flipped));
    wrong.push(certified.answer(b"no certificate"));
    for (index, answer) in wrong.iter().enumerate() {
        site.serve(answer);
        assert_eq!(site.refusal(&site.host(), "/a"), not_verified(), "{index}");
        assert_eq!(site.get(&site.raw_host(), "/a").status(), answer.status_code, "raw is not verified");
    }
    // The certificate of another canister.
    let stranger = install(&site.network, SLOTS);
    site.serve(&right);
    let anonymous = Principal::anonymous();
    let stored = encode_one(&right).unwrap();
    site.network.update_call(stranger, anonymous, "store", [[0].as_slice(), &stored].concat()).unwrap();
    assert_eq!(site.refusal(&format!("{stranger}.localhost"), "/a"), not_verified());
    assert_eq!(site.get(&site.host(), "/a").text().unwrap(), "right");
}

/// Reads the certificate that an answer carries.
fn certificate_of(answer: &Answer) -> Vec<u8> {
    let (_, header) = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("ic-certificate")).unwrap();
    let encoded = header.strip_prefix("certificate=:").unwrap().split(':').next().unwrap();
    BASE64.decode(encoded).unwrap()
}

#[test]
fn should_refuse_certificates_that_are_stale() {
    let past = SystemTime::now() - Duration::from_secs(330);
    let network = builder().build();
    network.set_time(past.into());
    let canister = install(&network, SLOTS);
    let port = create_gateway(&gateway_config(&network)).unwrap().port;
    let site = Site { network, canister, port };
    let certified = Certified::new(HttpCertificationPath::exact("/a"), "/a", 200, b"right");
    certified.publish(&site);
    let refused: serde_json::Value = site.get(&site.host(), "/a").json().unwrap();
    assert_eq!(refused["error_type"], "backend_response_verification");
    assert!(refused["description"].as_str().unwrap().contains("past"), "{refused}");
    site.network.set_time(SystemTime::now().into());
    certified.publish(&site);
    assert_eq!(site.get(&site.host(), "/a").text().unwrap(), "right");
}

#[test]
fn should_verify_the_first_version_of_certification() {
    let site = Site::start();
    let body = b"<html>";
    let tree: HashTree = labeled("http_assets", labeled("/index.html", leaf(Sha256::digest(body).to_vec())));
    let certificate = site.certify(&tree.digest());
    let mut encoded = Vec::new();
    ciborium::into_writer(&tree, &mut encoded).unwrap();
    let header = format!("certificate=:{}:, tree=:{}:", BASE64.encode(&certificate), BASE64.encode(&encoded));
    let page = |status: u16, body: &[u8]| {
        answer(status, &[("IC-Certificate", &header), ("Cache-Control", "max-age=9"), ("x-a", "1")], body)
    };
    site.serve(&page(200, body));
    let response = site.get(&site.host(), "/index.html");
    assert_eq!(response.headers()["x-a"], "1", "headers are not certified");
    assert_eq!(response.headers().get("cache-control"), None, "but this one could do harm");
    assert_eq!(response.bytes().unwrap().as_ref(), body);
    site.serve(&page(200, b"<html>!"));
    assert_eq!(site.refusal(&site.host(), "/index.html"), not_verified());
    site.serve(&page(302, body));
    assert_eq!(site.refusal(&site.host(), "/index.html").0, 500, "redirects are not certified");
}

#[test]
fn should_verify_every_range_of_a_body() {
    let site = Site::start();
    let cel = DefaultCelBuilder::full_certification()
        .with_request_headers(vec!["range"])
        .with_response_certification(DefaultResponseCertification::response_header_exclusions(vec![]))
        .build();
    let request = |range: Option<&str>| {
        let headers = range.map(|range| ("Range".to_owned(), range.to_owned()));
        HttpRequest::get("/big").with_headers(headers.into_iter().collect()).build()
    };
    let part = |range: &str, body: &'static [u8]| {
        HttpResponse::builder()
            .with_status_code(StatusCode::PARTIAL_CONTENT)
            .with_headers(vec![
                ("Content-Range".to_owned(), range.to_owned()),
                (CERTIFICATE_EXPRESSION_HEADER_NAME.to_owned(), cel.to_string()),
            ])
            .with_body(body)
            .build()
    };
    let path = HttpCertificationPath::exact("/big");
    let parts = [
        (
            0,
            HttpCertification::full(&cel, &request(None), &part("bytes 0-2/6", b"abc"), None).unwrap(),
            part("bytes 0-2/6", b"abc"),
        ),
        (
            3,
            HttpCertification::full(&cel, &request(Some("bytes=3-")), &part("bytes 3-5/6", b"def"), None).unwrap(),
            part("bytes 3-5/6", b"def"),
        ),
    ];
    let mut tree = HttpCertificationTree::default();
    for (_, certification, _) in &parts {
        tree.insert(&HttpCertificationTreeEntry::new(path.clone(), *certification));
    }
    let certificate = site.certify(&tree.root_hash());
    let mut second = None;
    for (slot, certification, mut response) in parts {
        let witness = tree.witness(&HttpCertificationTreeEntry::new(path.clone(), certification), "/big").unwrap();
        add_v2_certificate_header(&certificate, &mut response, &witness, &path.to_expr_path());
        let part = Answer { headers: response.headers().to_vec(), ..answer(206, &[], response.body()) };
        site.store(slot, &encode_one(&part).unwrap());
        second = Some(part);
    }
    assert_eq!(site.get(&site.host(), "/big").text().unwrap(), "abcdef");
    let forged = Answer { body: b"xxx".to_vec().into(), ..second.unwrap() };
    site.store(3, &encode_one(&forged).unwrap());
    let cut = site.get(&site.host(), "/big");
    assert_eq!(cut.status(), 200, "the first part is right");
    assert!(cut.bytes().is_err());
}
