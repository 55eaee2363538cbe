//! Modules through an HTTP gateway, which verifies what is certified, as browsers and tools fetch them.

use candid::Encode;
use depot_types::{Hash, blob_store::BlobStoreArgs};
use integration_tests::{depot::Depot, made::data_module, network, wasms};
use reqwest::{
    Method,
    blocking::{Client, Response},
};

const CHUNK: usize = 1 << 20;

/// A depot with a gateway.
struct Site {
    depot: Depot,
    port: u16,
}

impl Site {
    /// Stores modules and then opens a gateway.
    fn start(modules: &[&[u8]]) -> Self {
        // Gateways verify certificates with the key of the root subnet.
        let network = network::builder().with_nns_subnet().with_application_subnet().build();
        let mut depot = Depot::install_on(network).unwrap();
        for module in modules {
            depot.upload(module, |_| ()).unwrap();
        }
        let port = depot.network.make_live(None).port().unwrap();
        Self { depot, port }
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let host = format!("{}.localhost:{}", self.depot.blob_store_id, self.port);
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = Client::new().request(method, url).header("host", host);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().unwrap()
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.ask(Method::GET, path, headers)
    }
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
    let site = Site::start(&[&raw, &gzip]);
    for (module, content_type) in [(&raw, "application/wasm"), (&gzip, "application/gzip")] {
        let (path, hash) = (path_of(module), Hash::of(module).to_string());
        let response = site.get(&path, &[]);
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
        let response = site.ask(Method::HEAD, &path, &[]);
        assert_eq!((response.status().as_u16(), header(&response, "wasmstore-hash")), (200, hash.as_str()));
        assert_eq!(header(&response, "content-type"), content_type);
        assert!(response.bytes().unwrap().is_empty());
    }
}

#[test]
fn should_serve_a_module_of_several_chunks_whole() {
    let module = data_module(3 * CHUNK + 12_345);
    let site = Site::start(&[&module]);
    let arg = Encode!(&None::<BlobStoreArgs>).unwrap();
    for is_upgraded in [false, true] {
        if is_upgraded {
            let (depot, wasm) = (&site.depot, wasms::load("blob_store").unwrap());
            depot.network.upgrade_canister(depot.blob_store_id, wasm, arg.clone(), Some(depot.admin)).unwrap();
        }
        let response = site.get(&path_of(&module), &[]);
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "wasmstore-hash"), Hash::of(&module).to_string());
        let body = response.bytes().unwrap();
        assert_eq!((body.len(), Hash::of(&body)), (module.len(), Hash::of(&module)));
    }
}

#[test]
fn should_serve_ranges_as_they_are_asked_for() {
    let (module, small) = (data_module(2 * CHUNK + 5), data_module(1_000));
    let site = Site::start(&[&module, &small]);
    let get = |module: &[u8], range: &str| site.get(&path_of(module), &[("range", range)]);
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
        check_part(get(&module, range), &module, part);
    }
    check_part(get(&small, "bytes=10-19"), &small, 10..20);
    check_part(get(&small, "bytes=1-"), &small, 1..small.len());
    for range in [format!("bytes={size}-"), "bytes=-0".to_string()] {
        let response = get(&module, &range);
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-range")),
            (416, &*format!("bytes */{size}"))
        );
    }
    // A range of another module is none of this.
    let tag = format!("\"{}\"", Hash::of(&small));
    let ranged = |if_range: &str| site.get(&path_of(&small), &[("range", "bytes=10-19"), ("if-range", if_range)]);
    check_part(ranged(&tag), &small, 10..20);
    let whole = ranged("\"other\"");
    assert_eq!(whole.status(), 200);
    assert!(whole.bytes().unwrap() == small.as_slice());
}

#[test]
fn should_tell_clients_that_they_have_it_or_that_there_is_nothing() {
    let module = data_module(1_500_000);
    let site = Site::start(&[&module]);
    let tag = format!("\"{}\"", Hash::of(&module));
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let response = site.get(&path_of(&module), &[("if-none-match", &tags)]);
        assert_eq!((response.status().as_u16(), header(&response, "etag")), (304, tag.as_str()), "{tags}");
        assert!(response.bytes().unwrap().is_empty());
    }
    let response = site.get(&path_of(&module), &[("if-none-match", "\"other\"")]);
    assert_eq!(response.status(), 200);
    assert!(response.bytes().unwrap() == module.as_slice());
    let unknown = format!("/module/{}", Hash::of(b"unknown"));
    for path in ["/", "/module", "/module/x", "/nothing", &unknown, &format!("{}/x", path_of(&module))] {
        let response = site.get(path, &[]);
        assert_eq!(response.status(), 404, "{path}");
        assert!(response.text().unwrap().starts_with("not found"));
    }
    let response = site.get("/metrics", &[]);
    assert_eq!(response.status(), 200);
    assert!(response.text().unwrap().lines().any(|line| line == "blob_store_modules 1"));
}
