use depot_types::http::test_gateway::{certificate, request, verify};
use ic_http_certification::{CERTIFICATE_EXPRESSION_HEADER_NAME, DefaultCelBuilder, DefaultResponseCertification};

use super::*;
use crate::{
    limits::{CONDEMNED_NS, DEFAULT_GRACE_PERIOD_NS},
    storable::StoredRetention,
    test_fixtures::{ALICE, Module, NOW, TestState, new_state, seal},
};

/// Asks and returns the answer as it is.
fn query(state: &TestState, request: &HttpRequest) -> HttpResponse {
    state.answer(
        &state.http_request(request, Some(&certificate(&Hash::new(state.certified_data()))), || "metrics".to_string()),
    )
}

/// Asks, verifies the answer, and returns it.
fn ask(state: &TestState, request: &HttpRequest) -> HttpResponse {
    let response = query(state, request);
    assert_eq!(response.upgrade, None);
    let certified = verify(request, &response).unwrap_or_else(|error| panic!("{request:?}: {error}"));
    assert!(certified.is_none_or(|certified| certified == response.headers.len()), "all headers are certified");
    response
}

fn get(state: &TestState, url: &str, headers: &[(&str, &str)]) -> HttpResponse {
    ask(state, &request("GET", url, headers))
}

/// Asks, is told to ask as an update, and does.
fn upgraded(state: &TestState, request: &HttpRequest) -> HttpResponse {
    let upgrade = HttpResponse { status_code: 200, headers: vec![], body: ByteBuf::new(), upgrade: Some(true) };
    assert_eq!(query(state, request), upgrade);
    update(state, request)
}

fn update(state: &TestState, request: &HttpRequest) -> HttpResponse {
    state.answer(&state.http_request_update(request, || "metrics".to_string()))
}

fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
}

fn url_of(module: &Module) -> String {
    format!("/module/{}", module.hash)
}

#[test]
fn should_certify_with_the_expressions_of_the_specification() {
    let everything = || DefaultResponseCertification::response_header_exclusions(vec![]);
    let whole = DefaultCelBuilder::full_certification().with_response_certification(everything()).build();
    let conditional = DefaultCelBuilder::full_certification()
        .with_request_headers(vec!["if-none-match"])
        .with_response_certification(everything())
        .build();
    let answer = DefaultCelBuilder::response_only_certification().with_response_certification(everything()).build();
    let nothing = DefaultCelBuilder::skip_certification();
    let mut state = new_state();
    let module = Module::small(1);
    seal(&mut state, ALICE, &module);
    let tag = format!("\"{}\"", module.hash);
    let url = url_of(&module);
    for (response, expression) in [
        (get(&state, &url, &[]), whole.to_string()),
        (get(&state, &url, &[("If-None-Match", &tag)]), conditional.to_string()),
        (get(&state, "/nothing", &[]), answer.to_string()),
        (get(&state, "/metrics", &[]), nothing.to_string()),
    ] {
        assert_eq!(header(&response, CERTIFICATE_EXPRESSION_HEADER_NAME), Some(expression.as_str()));
    }
}

#[test]
fn should_answer_a_small_module_whole() {
    let mut state = new_state();
    let module = Module::small(1);
    seal(&mut state, ALICE, &module);
    for headers in [&[][..], &[("Range", "bytes=0-")], &[("range", "lines=1-2")], &[("If-None-Match", "\"other\"")]] {
        let response = get(&state, &url_of(&module), headers);
        assert_eq!((response.status_code, response.body.as_slice()), (200, module.bytes.as_slice()));
        assert_eq!(header(&response, "Content-Type"), Some("application/wasm"));
        assert_eq!(header(&response, "Content-Length"), Some(module.bytes.len().to_string().as_str()));
        assert_eq!(header(&response, "ETag"), Some(format!("\"{}\"", module.hash).as_str()));
        assert_eq!(header(&response, "Content-Range"), None);
        assert_eq!(header(&response, "Wasmstore-Hash"), Some(module.hash.to_string().as_str()));
        let exposed = header(&response, "Access-Control-Expose-Headers").unwrap();
        assert_eq!(exposed, "Accept-Ranges, Content-Length, Content-Range, ETag, Wasmstore-Hash");
    }
    // A query is no part of the path.
    assert_eq!(get(&state, &format!("{}?canisterId=aaaaa-aa#x", url_of(&module)), &[]).status_code, 200);
}

#[test]
fn should_answer_a_large_module_in_parts() {
    let mut state = new_state();
    let module = Module::large(2, 1);
    seal(&mut state, ALICE, &module);
    let (url, size) = (url_of(&module), module.bytes.len());
    // As a gateway asks that wants it all.
    let mut read = Vec::new();
    while read.len() < size {
        let range = format!("bytes={}-", read.len());
        let headers = [("Range", range.as_str())];
        let response = get(&state, &url, if read.is_empty() { &[] } else { &headers });
        assert_eq!(response.status_code, 206);
        let end = read.len() + response.body.len();
        assert_eq!(
            header(&response, "Content-Range"),
            Some(format!("bytes {}-{}/{size}", read.len(), end - 1).as_str())
        );
        assert_eq!(header(&response, "Content-Length"), Some(response.body.len().to_string().as_str()));
        read.extend(response.body.into_vec());
    }
    assert!(read == module.bytes);
    // What is no range of bytes is ignored.
    for range in ["bytes=6-5", "bytes=0-1,5-6", "bytes=0-99999999"] {
        let response = get(&state, &url, &[("Range", range)]);
        assert!(response.status_code == 206 && response.body == module.bytes[..1 << 20], "{range}");
    }
    for range in [format!("bytes={size}-"), "bytes=-0".to_string()] {
        let response = get(&state, &url, &[("Range", &range)]);
        assert_eq!((response.status_code, response.body.len()), (416, 0));
        assert_eq!(header(&response, "Content-Range"), Some(format!("bytes */{size}").as_str()));
    }
}

#[test]
fn should_answer_other_ranges_exactly_as_an_update() {
    let mut state = new_state();
    for module in [Module::large(2, 1), Module::with_metadata()] {
        seal(&mut state, ALICE, &module);
        let size = module.bytes.len();
        let last = size - 1;
        for (range, bytes) in [
            ("bytes=5-6".to_string(), 5..7),
            ("bytes=1-".to_string(), 1..size.min(1 << 20)),
            ("bytes=-1".to_string(), last..size),
            (format!("bytes={last}-{size}"), last..size),
        ] {
            let response = upgraded(&state, &request("GET", &url_of(&module), &[("Range", &range)]));
            assert_eq!((response.status_code, response.upgrade), (206, None), "{range}");
            assert!(response.body == module.bytes[bytes.clone()], "{range}");
            let expected = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            assert_eq!(header(&response, "Content-Range"), Some(expected.as_str()));
            assert_eq!(header(&response, "Content-Length"), Some(bytes.len().to_string().as_str()));
            assert_eq!(header(&response, "Wasmstore-Hash"), Some(module.hash.to_string().as_str()));
            assert_eq!(header(&response, "Content-Type"), Some("application/wasm"));
            assert_eq!(header(&response, "IC-Certificate"), None);
        }
    }
    // A part can lie in several chunks.
    let module = Module::large(2, 1);
    let range = "bytes=1048570-2097160";
    let response = upgraded(&state, &request("GET", &url_of(&module), &[("Range", range)]));
    assert!(response.body == module.bytes[1_048_570..2_097_161]);
}

#[test]
fn should_answer_updates_as_it_answers_queries() {
    let mut state = new_state();
    let (small, large) = (Module::small(1), Module::large(2, 1));
    for module in [&small, &large] {
        seal(&mut state, ALICE, module);
    }
    let tag = format!("\"{}\"", small.hash);
    for (module, method, headers) in [
        (&small, "GET", &[][..]),
        (&small, "HEAD", &[]),
        (&small, "GET", &[("If-None-Match", tag.as_str())]),
        (&small, "GET", &[("Range", "bytes=99-")]),
        (&large, "HEAD", &[]),
        (&large, "GET", &[("Range", "bytes=1048576-")]),
        (&large, "GET", &[("Range", "bytes=0-1,5-6")]),
    ] {
        let request = request(method, &url_of(module), headers);
        let mut certified = ask(&state, &request);
        let mut updated = update(&state, &request);
        for response in [&mut certified, &mut updated] {
            response.headers.retain(|(name, _)| !name.starts_with("IC-Certificate"));
        }
        assert_eq!(updated, certified, "{request:?}");
    }
    for url in ["/nothing", "/metrics"] {
        let (certified, updated) = (get(&state, url, &[]), update(&state, &request("GET", url, &[])));
        assert_eq!((updated.status_code, updated.body), (certified.status_code, certified.body));
    }
    let refused = update(&state, &request("POST", &url_of(&small), &[]));
    assert_eq!((refused.status_code, header(&refused, "Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn should_heed_ranges_of_this_module_only() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    seal(&mut state, ALICE, &module);
    let (url, tag) = (url_of(&module), format!("\"{}\"", module.hash));
    let headers = |if_range| [("Range", "bytes=5-6"), ("If-Range", if_range)];
    let response = upgraded(&state, &request("GET", &url, &headers(&tag)));
    assert_eq!(response.body, module.bytes[5..7]);
    let weak = format!("W/{tag}");
    for other in ["\"other\"", weak.as_str(), "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let response = get(&state, &url, &headers(other));
        assert!(response.body == module.bytes[..1 << 20], "{other}");
    }
}

#[test]
fn should_know_its_tag_in_any_list() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    seal(&mut state, ALICE, &module);
    let tag = format!("\"{}\"", module.hash);
    for tags in ["*".to_string(), format!("W/{tag}"), format!("\"other\", {tag}"), format!("W/\"a\",W/{tag} ")] {
        let response = upgraded(&state, &request("GET", &url_of(&module), &[("If-None-Match", &tags)]));
        assert_eq!((response.status_code, response.body.len()), (304, 0), "{tags}");
        assert_eq!(header(&response, "ETag"), Some(tag.as_str()));
    }
    for tags in ["\"other\"", "W/\"other\"", ""] {
        assert_eq!(get(&state, &url_of(&module), &[("If-None-Match", tags)]).status_code, 206, "{tags}");
    }
}

#[test]
fn should_answer_by_updates_while_a_module_is_certified_in_another_form() {
    let mut state = new_state();
    let modules = [Module::small(1), Module::large(1, 1), Module::large(2, 2)];
    for module in &modules {
        seal(&mut state, ALICE, module);
    }
    for module in &modules {
        let hash = module.hash.as_bytes();
        let record = state.retentions.get(hash).unwrap();
        state.put_retention(hash, StoredRetention { certified: [1; 32], ..record });
        state.certificates.update(&state.retentions, hash);
    }
    state.header.expect_form(pages::FORM - 1);
    let [small, middle, large] = &modules;
    for module in [small, middle] {
        let response = upgraded(&state, &request("GET", &url_of(module), &[]));
        assert!(response.status_code == 200 && response.body == module.bytes);
        assert_eq!(header(&response, "Content-Length"), Some(module.bytes.len().to_string().as_str()));
    }
    let response = upgraded(&state, &request("GET", &url_of(large), &[("Range", "bytes=1048576-")]));
    assert!(response.status_code == 206 && response.body == large.bytes[1 << 20..2 << 20]);
    // A gateway would ask for the rest of it as queries, which nothing proves.
    let response = upgraded(&state, &request("GET", &url_of(large), &[]));
    assert_eq!((response.status_code, header(&response, "Retry-After")), (503, Some("60")));
    assert_eq!(upgraded(&state, &request("HEAD", &url_of(large), &[])).status_code, 200);
    let below = format!("{}/x", url_of(large));
    assert_eq!(upgraded(&state, &request("GET", &below, &[])).status_code, 404);
    // That there is nothing else can be proven all the same.
    assert_eq!(get(&state, "/module/x", &[]).status_code, 404);
    state.header.expect_form(pages::FORM);
    assert_eq!(state.collect(NOW).certificates_renewed, 3);
    for module in &modules {
        let response = get(&state, &url_of(module), &[]);
        assert!(response.body == module.bytes[..module.bytes.len().min(1 << 20)]);
    }
}

#[test]
fn should_answer_without_a_body_when_none_is_wanted() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    seal(&mut state, ALICE, &module);
    let response = ask(&state, &request("HEAD", &url_of(&module), &[]));
    assert_eq!((response.status_code, response.body.len()), (200, 0));
    assert_eq!(header(&response, "Content-Length"), Some(module.bytes.len().to_string().as_str()));
    let tag = format!("\"{}\"", module.hash);
    let response = get(&state, &url_of(&module), &[("If-None-Match", &tag)]);
    assert_eq!((response.status_code, response.body.len()), (304, 0));
    assert_eq!(header(&response, "ETag"), Some(tag.as_str()));
    let response = query(&state, &request("POST", &url_of(&module), &[]));
    assert_eq!((response.status_code, header(&response, "Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn should_prove_that_there_is_nothing() {
    let mut state = new_state();
    let unknown = format!("/module/{}", Hash::of(b"unknown"));
    let paths = |module: &str| {
        let (below, behind) = (format!("{module}/x"), format!("{module}/"));
        ["/", "/x", "/module", "/module/", "/module/x", "/module/%20", "/metrics/x", &unknown, &below, &behind]
            .map(str::to_string)
    };
    let check = |state: &TestState, module: &str| {
        for path in paths(module) {
            let response = get(state, &path, &[]);
            assert_eq!(
                (response.status_code, response.body.as_slice()),
                (404, Page::not_found().1.as_bytes()),
                "{path}"
            );
        }
    };
    check(&state, &unknown);
    for seed in 0..20 {
        let module = Module::small(seed);
        seal(&mut state, ALICE, &module);
        check(&state, &url_of(&module));
    }
}

#[test]
fn should_certify_no_other_answer() {
    let mut state = new_state();
    let (module, other) = (Module::large(1, 1), Module::large(1, 2));
    seal(&mut state, ALICE, &module);
    seal(&mut state, ALICE, &other);
    let ranged = request("GET", &url_of(&module), &[("Range", "bytes=1048576-")]);
    let right = ask(&state, &ranged);
    let mut wrong = right.clone();
    wrong.body[0] ^= 1;
    assert!(verify(&ranged, &wrong).is_err());
    let mut wrong = right.clone();
    wrong.status_code = 200;
    assert!(verify(&ranged, &wrong).is_err());
    for index in 0..right.headers.len() {
        let mut wrong = right.clone();
        wrong.headers[index].1.push('0');
        assert!(verify(&ranged, &wrong).is_err(), "{:?}", right.headers[index]);
    }
    // The answer about one module is none about another, and no other method's.
    assert!(verify(&request("GET", &url_of(&other), &[]), &right).is_err());
    let head = request("HEAD", &url_of(&module), &[]);
    assert!(verify(&head, &right).is_err());
    assert!(verify(&ranged, &ask(&state, &head)).is_err());
    // That the client has it is certified for the tag only.
    let tag = format!("\"{}\"", module.hash);
    let conditional = request("GET", &url_of(&module), &[("If-None-Match", &tag)]);
    assert!(verify(&ranged, &ask(&state, &conditional)).is_err());
    // That there is nothing is not certified where there is something.
    let nothing = get(&state, "/module/x", &[]);
    assert!(verify(&request("GET", "/module/y", &[]), &nothing).is_ok(), "one proof can be for several paths");
    assert!(verify(&ranged, &nothing).is_err());
}

#[test]
fn should_certify_a_module_as_long_as_it_is_sealed() {
    let mut state = new_state();
    let module = Module::with_metadata();
    assert_eq!(get(&state, &url_of(&module), &[]).status_code, 404);
    seal(&mut state, ALICE, &module);
    let condemned_ns = NOW + DEFAULT_GRACE_PERIOD_NS;
    state.collect(condemned_ns);
    assert_eq!(get(&state, &url_of(&module), &[]).status_code, 200);
    state.collect(condemned_ns + CONDEMNED_NS);
    assert_eq!(get(&state, &url_of(&module), &[]).status_code, 404);
}

#[test]
fn should_answer_metrics_as_they_are() {
    let state = new_state();
    let response = get(&state, "/metrics", &[]);
    assert_eq!((response.status_code, response.body.as_slice()), (200, b"metrics".as_slice()));
    assert!(header(&response, "Content-Type").unwrap().starts_with("text/plain; version=0.0.4"));
}
