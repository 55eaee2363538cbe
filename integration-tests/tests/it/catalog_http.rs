//! The catalog over HTTP, through a gateway that verifies what it answers.

use depot_types::{
    Hash,
    catalog::{Change, CommitArgs, CreateBranchArgs},
};
use integration_tests::made::{data_module, seeded_data_module};
use reqwest::{Method, StatusCode, blocking::Response};

use crate::gateway::Site;

/// Counts the updates by which pages came to be certified.
fn updates(site: &Site) -> u64 {
    let methods = site.depot.catalog().stats().unwrap().methods;
    methods.iter().find(|usage| usage.method == "http_request_update").map_or(0, |usage| usage.calls)
}

fn text(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().unwrap())
}

#[test]
fn should_be_read_through_a_gateway() {
    let modules = [data_module(100), seeded_data_module(7, 2_500_000)];
    let [small, large] = modules.each_ref().map(|module| Hash::of(module));
    let site = Site::start(|depot| {
        modules.iter().for_each(|module| _ = depot.upload(module, |_| ()).unwrap());
        depot.set_path("apps/a b.wasm", small).unwrap();
    });
    let catalog = site.depot.catalog_id;
    let head = site.depot.set_path("large", large).unwrap();
    let branch = CreateBranchArgs { name: "dev".to_string(), from: None };
    site.depot.catalog().create_branch(branch).unwrap().unwrap();
    let change = Change::Set { path: "large".to_string(), module_hash: small };
    let on_dev = CommitArgs {
        branch: Some("dev".to_string()),
        create_branch: None,
        changes: vec![change],
        message: String::new(),
        author_name: None,
        expected_head: None,
    };
    let dev = site.depot.catalog().commit(on_dev).unwrap().unwrap().id;

    let before = updates(&site);
    let list = format!("{{\"/apps/a b.wasm\":\"{small}\",\"/large\":\"{large}\"}}");
    assert_eq!(text(site.get(catalog, "/api/v1/modules")), (200, list.clone()));
    assert_eq!(updates(&site) - before, 1, "the first to ask has it certified");
    for _ in 0..3 {
        assert_eq!(text(site.get(catalog, "/api/v1/modules")), (200, list.clone()));
    }
    assert_eq!(updates(&site) - before, 1, "the others are answered by queries");

    assert_eq!(text(site.get(catalog, "/api/v1/hash/apps/a%20b.wasm")), (200, small.to_string()));
    assert_eq!(text(site.get(catalog, "/api/v1/hash/none")), (404, String::new()));
    assert_eq!(text(site.get(catalog, "/api/v1/hash/none")), (404, String::new()));
    assert_eq!(text(site.get(catalog, "/elsewhere")).0, 404);
    let of_dev = || site.ask(Method::GET, catalog, "/api/v1/snapshot", &[("Wasmstore-Branch", "dev")]);
    for _ in 0..2 {
        assert_eq!(text(site.get(catalog, "/api/v1/snapshot")), (200, head.to_string()));
        assert_eq!(text(of_dev()), (200, dev.to_string()));
    }
    assert_eq!(text(site.get(catalog, "/api/v1/branches")), (200, "[\"dev\",\"main\"]".to_string()));

    let tag = site.get(catalog, "/api/v1/modules").headers()["etag"].to_str().unwrap().to_string();
    for _ in 0..2 {
        let response = site.ask(Method::GET, catalog, "/api/v1/modules", &[("If-None-Match", &tag)]);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    }
    let posted = site.ask(Method::POST, catalog, "/api/v1/module/x", &[]);
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);

    // What was certified is not answered once it was overtaken.
    site.depot.set_path("large", small).unwrap();
    assert_eq!(text(site.get(catalog, "/api/v1/hash/large")), (200, small.to_string()));
    let list = list.replace(&large.to_string(), &small.to_string());
    assert_eq!(text(site.get(catalog, "/api/v1/modules")), (200, list));
}

#[test]
fn should_lead_to_the_bytes_of_modules() {
    let module = seeded_data_module(7, 2_500_000);
    let hash = Hash::of(&module);
    let site = Site::start(|depot| {
        depot.upload(&module, |_| ()).unwrap();
        depot.set_path("apps/a.wasm", hash).unwrap();
    });
    let catalog = site.depot.catalog_id;
    for path in ["/api/v1/module/apps/a.wasm", "/api/v1/version/0/apps/a.wasm"] {
        // Twice: by an update, and by a query that is verified.
        for _ in 0..2 {
            let response = site.get(catalog, path);
            assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
            let host = site.host(site.depot.blob_store_id);
            assert_eq!(response.headers()["location"], format!("//{host}/module/{hash}"));
            assert_eq!(response.headers()["wasmstore-hash"], hash.to_string());
        }
        let followed = site.follow(catalog, path);
        assert_eq!(followed.status(), StatusCode::OK);
        assert_eq!(Hash::of(&followed.bytes().unwrap()), hash);
    }
    let head = site.ask(Method::HEAD, catalog, "/api/v1/module/apps/a.wasm", &[]);
    assert_eq!(
        (head.status(), &head.headers()["wasmstore-hash"]),
        (StatusCode::OK, &hash.to_string().parse().unwrap())
    );
}
