//! Modules through an HTTP gateway, which verifies what is certified, as browsers and tools fetch them.

use candid::Encode;
use depot_types::{Hash, blob_store::BlobStoreArgs};
use integration_tests::{made::data_module, wasms};
use reqwest::{Method, blocking::Response};

use crate::gateway::Site;

const CHUNK: usize = 1 << 20;

/// Stores modules and then opens a gateway.
fn start(modules: &[&[u8]]) -> Site {
    Site::start(|depot| modules.iter().for_each(|module| _ = depot.upload(module, |_| ()).unwrap()))
}

fn ask(site: &Site, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    site.ask(method, site.depot.blob_store_id, path, headers)
}

fn get(site: &Site, path: &str, headers: &[(&str, &str)]) -> Response {
    ask(site, Method::GET, path, headers)
}

fn path_of(module: &[u8]) -> String {
    format!("/module/{}", Hash::of(module))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name} in {response:?}")).to_str().unwrap()
}

/// Checks status, headers and body of an answer with a part of a module.
fn check_part(response: Response, module: &[u8], part: std::ops::Range<usize>) {
    assert_eq!(response.status(), 206);
    let range = format!("bytes {}-{}/{}", part.start, part.end - 1, module.len());
    assert_eq!(header(&response, "content-range"), range);
    assert_eq!(header(&response, "wasmstore-hash"), Hash::of(module).to_string());
    assert!(response.bytes().unwrap() == module[part]);
}

#[test]
fn should_serve_modules_of_one_chunk() {
    let raw = data_module(100_000);
    let gzip = wasms::load("counter").unwrap();
    let site = start(&[&raw, &gzip]);
    for (module, content_type) in [(&raw, "application/wasm"), (&gzip, "application/gzip")] {
        let (path, hash) = (path_of(module), Hash::of(module).to_string());
        let response = get(&site, &path, &[]);
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), content_type);
        assert_eq!(header(&response, "content-length"), module.len().to_string());
        assert_eq!(header(&response, "wasmstore-hash"), hash);
        assert_eq!(header(&response, "etag"), format!("\"{hash}\""));
        assert_eq!(header(&response, "accept-ranges"), "bytes");
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        assert!(header(&response, "cache-control").contains("immutable"));
        assert!(response.headers().get("content-encoding").is_none(), "it is what its hash says as it is");
        assert!(response.bytes().unwrap() == module.as_slice());
        let response = ask(&site, Method::HEAD, &path, &[]);
        assert_eq!((response.status().as_u16(), header(&response, "wasmstore-hash")), (200, hash.as_str()));
        assert_eq!(header(&response, "content-type"), content_type);
        assert!(response.bytes().unwrap().is_empty());
    }
}

#[test]
fn should_serve_a_module_of_several_chunks_whole() {
    let module = data_module(3 * CHUNK + 12_345);
    let site = start(&[&module]);
    let arg = Encode!(&None::<BlobStoreArgs>).unwrap();
    for is_upgraded in [false, true] {
        if is_upgraded {
            let (depot, wasm) = (&site.depot, wasms::load("blob_store").unwrap());
            depot.network.upgrade_canister(depot.blob_store_id, wasm, arg.clone(), Some(depot.admin)).unwrap();
        }
        let response = get(&site, &path_of(&module), &[]);
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "wasmstore-hash"), Hash::of(&module).to_string());
        let body = response.bytes().unwrap();
        assert_eq!((body.len(), Hash::of(&body)), (module.len(), Hash::of(&module)));
    }
}

#[test]
fn should_serve_ranges_as_they_are_asked_for() {
    let (module, small) = (data_module(2 * CHUNK + 5), data_module(1_000));
    let site = start(&[&module, &small]);
    let part_of = |module: &[u8], range: &str| get(&site, &path_of(module), &[("range", range)]);
    let size = module.len();
    for (range, part) in [
        // Chunks, which are certified.
        ("bytes=0-", 0..CHUNK),
        ("bytes=1048576-", CHUNK..2 * CHUNK),
        ("bytes=2097152-", 2 * CHUNK..size),
        // Other parts.
        ("bytes=5-6", 5..7),
        ("bytes=1048570-1048580", CHUNK - 6..CHUNK + 5),
        ("bytes=-7", size - 7..size),
        ("bytes=2097153-99999999", 2 * CHUNK + 1..size),
        ("bytes=1-", 1..CHUNK),
    ] {
        check_part(part_of(&module, range), &module, part);
    }
    check_part(part_of(&small, "bytes=10-19"), &small, 10..20);
    check_part(part_of(&small, "bytes=1-"), &small, 1..small.len());
    for range in [format!("bytes={size}-"), "bytes=-0".to_string()] {
        let response = part_of(&module, &range);
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-range")),
            (416, &*format!("bytes */{size}"))
        );
    }
    // A range of another module is none of this.
    let tag = format!("\"{}\"", Hash::of(&small));
    let ranged = |if_range: &str| get(&site, &path_of(&small), &[("range", "bytes=10-19"), ("if-range", if_range)]);
    check_part(ranged(&tag), &small, 10..20);
    let whole = ranged("\"other\"");
    assert_eq!(whole.status(), 200);
    assert!(whole.bytes().unwrap() == small.as_slice());
}

#[test]
fn should_tell_clients_that_they_have_it_or_that_there_is_nothing() {
    let module = data_module(1_500_000);
    let site = start(&[&module]);
    let tag = format!("\"{}\"", Hash::of(&module));
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let response = get(&site, &path_of(&module), &[("if-none-match", &tags)]);
        assert_eq!((response.status().as_u16(), header(&response, "etag")), (304, tag.as_str()), "{tags}");
        assert!(response.bytes().unwrap().is_empty());
    }
    let response = get(&site, &path_of(&module), &[("if-none-match", "\"other\"")]);
    assert_eq!(response.status(), 200);
    assert!(response.bytes().unwrap() == module.as_slice());
    let unknown = format!("/module/{}", Hash::of(b"unknown"));
    for path in ["/", "/module", "/module/x", "/nothing", &unknown, &format!("{}/x", path_of(&module))] {
        let response = get(&site, path, &[]);
        assert_eq!(response.status(), 404, "{path}");
        assert!(response.text().unwrap().starts_with("not found"));
    }
    let response = get(&site, "/metrics", &[]);
    assert_eq!(response.status(), 200);
    assert!(response.text().unwrap().lines().any(|line| line == "blob_store_modules 1"));
}
