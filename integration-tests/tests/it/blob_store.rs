//! The blob store on a network: what goes away and when, and what gateways are answered.

use std::time::Duration;

use candid::Encode;
use depot_types::{
    Hash,
    blob_store::{
        BlobStoreArgs, CommitUploadError, InvalidModule, ListModulesArgs, ModuleKind, Retention, RetentionKind,
    },
    http::{HttpRequest, HttpResponse},
};
use ic_http_certification::{HttpRequest as GatewayRequest, HttpResponse as GatewayResponse, Method, StatusCode};

use ic_response_verification::verify_request_response_pair;
use integration_tests::{
    depot::{Depot, user},
    made::{data_module, seeded_data_module},
    network, wasms,
};
use serde_bytes::ByteBuf;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An hour, which is how often the store cleans up, and a second.
const CLEANING: Duration = Duration::from_secs(3_601);
/// Rounds that a timer and what it sends take, and more.
const ROUNDS: usize = 20;

/// Lets time pass, and timers with it.
fn wait(depot: &Depot, time: Duration) {
    depot.network.advance_time(time);
    for _ in 0..ROUNDS {
        depot.network.tick();
    }
}

#[test]
fn should_keep_what_is_retained_and_remove_the_rest_in_time() {
    let depot = Depot::install().unwrap();
    let store = depot.blob_store();
    let modules = [seeded_data_module(1, 2_000_000), seeded_data_module(2, 100_000)];
    let [kept, lost] = modules.each_ref().map(|module| depot.upload(module, |_| ()).unwrap().module_hash);
    let holder = depot.blob_store_as(user(7));
    assert!(holder.retain(&[kept]).unwrap().is_err());
    store.add_holder(user(7)).unwrap().unwrap();
    let unknown = Hash::of(b"unknown");
    assert_eq!(holder.retain(&[kept, unknown]).unwrap().unwrap().unknown, [unknown]);
    let retention = store.retention(lost).unwrap();
    let Some(Retention::Unretained { since_ns: Some(since_ns), condemned_at_ns: Some(condemned_at_ns) }) = retention
    else {
        panic!("{retention:?}")
    };
    assert_eq!(Duration::from_nanos(condemned_at_ns - since_ns), 7 * DAY);

    wait(&depot, 7 * DAY + CLEANING);
    assert!(matches!(store.retention(lost).unwrap(), Some(Retention::Condemned { .. })));
    assert!(store.module_info(lost).unwrap().is_some(), "a condemned module can be read");
    wait(&depot, DAY + CLEANING);
    assert_eq!((store.module_info(lost).unwrap(), store.retention(lost).unwrap()), (None, None));
    assert_eq!(store.retention(kept).unwrap(), Some(Retention::Retained { holders: vec![user(7)] }));
    let page = store.list_modules(ListModulesArgs::default()).unwrap();
    assert_eq!(page.modules.iter().map(|module| module.module_hash).collect::<Vec<_>>(), [kept]);
    let read = store.read_module(kept, 1_048_570, 10).unwrap().unwrap();
    assert_eq!(read, modules[0][1_048_570..1_048_580]);
    // What was removed makes room.
    let before = store.stats().unwrap();
    depot.upload(&seeded_data_module(3, 100_000), |_| ()).unwrap();
    let after = store.stats().unwrap();
    assert_eq!((before.free_bytes - after.free_bytes, after.stable_bytes), (2 << 16, before.stable_bytes));
}

#[test]
fn should_remove_an_expired_upload_by_itself() {
    let depot = Depot::install().unwrap();
    let module = data_module(10_000);
    depot.blob_store().begin_upload_of(&module).unwrap().unwrap();
    depot.blob_store().put_chunk(Hash::of(&module), 0, &module).unwrap().unwrap();
    wait(&depot, DAY + CLEANING);
    let stats = depot.blob_store().stats().unwrap();
    assert_eq!((stats.uploads, stats.chunks), (0, 0));
}

/// Asks as a gateway does, verifies the answer, and returns it.
fn ask(depot: &Depot, url: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let request = HttpRequest {
        method: "GET".to_string(),
        url: url.to_string(),
        headers: headers.clone(),
        body: ByteBuf::new(),
        certificate_version: Some(2),
    };
    let response = depot.blob_store_as(user(9)).http_request(&request).unwrap();
    let gateway_request =
        GatewayRequest::builder().with_method(Method::GET).with_url(url).with_headers(headers).build();
    let gateway_response = GatewayResponse::builder()
        .with_status_code(StatusCode::from_u16(response.status_code).unwrap())
        .with_headers(response.headers.clone())
        .with_body(response.body.to_vec())
        .build();
    let now_ns = depot.network.get_time().as_nanos_since_unix_epoch();
    let root_key = depot.network.root_key().unwrap();
    let five_minutes_ns = 300_000_000_000;
    let verified = verify_request_response_pair(
        gateway_request,
        gateway_response,
        depot.blob_store_id.as_slice(),
        u128::from(now_ns),
        five_minutes_ns,
        &root_key,
        2,
    );
    assert_eq!(verified.unwrap().verification_version, 2, "{url}");
    response
}

#[test]
fn should_answer_gateways_what_they_can_verify() {
    // Certificates are verified with the key of the root subnet.
    let network = network::builder().with_nns_subnet().with_application_subnet().build();
    let depot = Depot::install_on(network).unwrap();
    let module = data_module(2_500_000);
    let url = format!("/module/{}", Hash::of(&module));
    depot.network.tick();
    assert_eq!(ask(&depot, &url, &[]).status_code, 404);
    depot.upload(&module, |_| ()).unwrap();
    let arg = Encode!(&None::<BlobStoreArgs>).unwrap();
    for upgraded in [false, true] {
        if upgraded {
            let wasm = wasms::load("blob_store").unwrap();
            depot.network.upgrade_canister(depot.blob_store_id, wasm, arg.clone(), Some(depot.admin)).unwrap();
        }
        depot.network.tick();
        let mut read = Vec::new();
        while read.len() < module.len() {
            let range = format!("bytes={}-", read.len());
            let response = ask(&depot, &url, &[("range", &range)]);
            assert_eq!(response.status_code, 206);
            read.extend(response.body.into_vec());
        }
        assert!(read == module);
        assert_eq!(ask(&depot, "/module/x", &[]).status_code, 404);
        let metrics = String::from_utf8(ask(&depot, "/metrics", &[]).body.into_vec()).unwrap();
        assert!(metrics.lines().any(|line| line == "blob_store_modules 1"), "{metrics}");
    }
}

#[test]
fn should_list_modules_that_pass_the_filters_page_by_page() {
    let depot = Depot::install().unwrap();
    let component = wat::parse_str("(component)").unwrap();
    let modules = [data_module(100), seeded_data_module(1, 100), component];
    let [first, second, component] = modules.each_ref().map(|module| depot.upload(module, |_| ()).unwrap().module_hash);
    depot.blob_store().add_holder(user(7)).unwrap().unwrap();
    depot.blob_store_as(user(7)).retain(&[second]).unwrap().unwrap();
    let list = |args: ListModulesArgs| {
        let (mut hashes, mut after) = (Vec::new(), None);
        loop {
            let page = depot.blob_store().list_modules(ListModulesArgs { after, limit: Some(1), ..args }).unwrap();
            hashes.extend(page.modules.iter().map(|module| module.module_hash));
            after = page.next;
            if after.is_none() {
                return hashes;
            }
        }
    };
    let sorted = |mut hashes: Vec<Hash>| {
        hashes.sort_unstable();
        hashes
    };
    let all = ListModulesArgs::default();
    assert_eq!(list(all.clone()), sorted(vec![first, second, component]));
    assert_eq!(list(ListModulesArgs { kind: Some(ModuleKind::Component), ..all.clone() }), [component]);
    let deployable = ListModulesArgs { deployable: Some(true), ..all.clone() };
    assert_eq!(list(deployable.clone()), sorted(vec![first, second]));
    assert_eq!(list(ListModulesArgs { retention: Some(RetentionKind::Unretained), ..deployable }), [first]);
    assert_eq!(list(ListModulesArgs { sealed_by: Some(user(9)), ..all }), []);
}

/// A branch to a million blocks, each of which takes a thousand values.
fn many_branches() -> Vec<u8> {
    let values = "i32.const 0 ".repeat(1_000);
    let results = "i32 ".repeat(1_000);
    let targets = "0 ".repeat(1_000_000);
    let text = format!(
        "(module (type $many (func (result {results}))) (func (type $many) (block (type $many) {values} i32.const 0 \
         br_table {targets} 0)))"
    );
    wat::parse_str(text).unwrap()
}

/// A component with a type that declares so many instances, each with a thousand methods of a resource.
fn many_instances(count: usize) -> Vec<u8> {
    let methods: String = (0..1_000).map(|n| format!(r#"(export "f{n}" (func (param "r" (borrow $r))))"#)).collect();
    let inner = r#"(type (instance (alias outer 2 $large (type $l)) (export "e" (instance (type $l)))))"#;
    let text = format!(
        r#"(component (type $large (instance (export "r" (type $r (sub resource))) {methods}))
            (type (component {})))"#,
        inner.repeat(count)
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn should_refuse_modules_that_take_too_long_to_validate() {
    let depot = Depot::install().unwrap();
    for module in [many_branches(), many_instances(2_000)] {
        let hash = Hash::of(&module);
        assert!(depot.upload(&module, |_| ()).unwrap_err().to_string().contains("TooComplex"));
        let refused = depot.blob_store().commit_upload(hash).unwrap();
        assert!(
            matches!(refused, Err(CommitUploadError::InvalidModule(InvalidModule::TooComplex { .. }))),
            "{refused:?}"
        );
        assert!(depot.blob_store().abort_upload(hash).unwrap());
    }
    assert_eq!(depot.upload(&many_instances(20), |_| ()).unwrap().kind, ModuleKind::Component);
}
