//! Requests and answers that are not certified.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::*;

/// Largest body of a request.
const MAX_BODY: usize = 5 << 20;

#[test]
fn should_hand_on_status_headers_and_body_of_a_canister() {
    let site = Site::start();
    site.serve(&answer(
        404,
        &[("Content-Type", "text/plain"), ("x-a", "1"), ("x-a", "2"), ("content-length", "9")],
        b"gone",
    ));
    let response = site.get(&site.raw_host(), "/a/b?c=d");
    assert_eq!(response.status(), 404);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(headers["content-length"], "4");
    assert_eq!(headers["x-ic-canister-id"], site.canister.to_text().as_str());
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(response.text().unwrap(), "gone");
}

#[test]
fn should_find_the_canister_by_host_parameter_and_referer() {
    let site = Site::start();
    site.store(9, &encode_one(answer(200, &[], b"found")).unwrap());
    // Updates are not verified, whatever the host.
    site.serve(&Answer { upgrade: Some(true), ..answer(200, &[], b"") });
    let id = site.canister;
    let found = |response: Response| assert_eq!(response.text().unwrap(), "found");
    found(site.get(&site.host(), "/"));
    found(site.get(&site.raw_host(), "/"));
    found(site.get("localhost", &format!("/x?canisterId={id}")));
    found(site.get(&format!("127.0.0.1:{}", site.port), &format!("/x?canisterId={id}")));
    for referer in [format!("http://localhost/?canisterId={id}"), format!("http://{id}.localhost/page")] {
        found(site.request(Method::GET, "localhost", "/style.css").header("referer", referer).send().unwrap());
    }
    assert_eq!(site.refusal("localhost", "/"), (400, "canister_id_not_resolved".to_owned()));
    assert_eq!(site.refusal("localhost", "/_/unknown"), (400, "canister_id_not_resolved".to_owned()));
    assert_eq!(site.refusal("localhost", "/?canisterId=zz"), (400, "canister_id_incorrect".to_owned()));
    assert_eq!(site.refusal(&format!("{id}.example.com"), "/"), (400, "client_unknown_domain".to_owned()));
    assert_eq!(site.refusal(&format!("{id}.foo.localhost"), "/"), (400, "client_unknown_domain".to_owned()));
    let page = site.request(Method::GET, "localhost", "/").header("accept", "text/html").send().unwrap();
    assert_eq!(page.status(), 400);
    assert!(page.text().unwrap().contains("&lt;canister id&gt;.localhost"));
}

#[test]
fn should_make_an_update_of_a_request_that_the_canister_wants_upgraded() {
    let site = Site::start();
    site.serve(&Answer { upgrade: Some(true), ..answer(200, &[], b"query") });
    site.store(9, &encode_one(answer(201, &[("x-b", "y")], b"update")).unwrap());
    let response = site
        .request(Method::PUT, &site.host(), "/path?q=%20")
        .header("accept-encoding", "gzip")
        .header("x-request-id", "me")
        .header("x-mine", "yes")
        .body("payload")
        .send()
        .unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["x-b"].to_str().unwrap()), (201, "y"));
    assert_eq!(response.text().unwrap(), "update");
    let seen = site.seen();
    assert_eq!(
        (seen.method.as_str(), seen.url.as_str(), seen.body.as_slice()),
        ("PUT", "/path?q=%20", b"payload".as_slice())
    );
    let header = |name: &str| seen.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert_eq!(header("x-mine"), Some("yes"));
    assert_eq!(header("accept-encoding"), Some("gzip, identity"));
    assert_eq!(header("host"), Some(site.host().as_str()));
    assert_eq!((header("x-request-id"), seen.certificate_version), (None, None));
}

#[test]
fn should_tell_why_a_canister_gives_no_answer() {
    let site = Site::start();
    assert_eq!(site.refusal(&site.raw_host(), "/"), (503, "canister_error".to_owned()), "it traps");
    let refusal_of = |canister: Principal| site.refusal(&format!("{canister}.raw.localhost"), "/");
    let empty = site.network.create_canister();
    assert_eq!(refusal_of(empty), (503, "canister_error".to_owned()));
    let without_method = install(&site.network, "(module)");
    assert_eq!(refusal_of(without_method), (503, "canister_error".to_owned()));
    let rejecting = install(
        &site.network,
        r#"(module (import "ic0" "msg_reject" (func $reject (param i32 i32)))
            (func (export "canister_query http_request") (call $reject (i32.const 0) (i32.const 0))) (memory 1))"#,
    );
    assert_eq!(refusal_of(rejecting), (503, "canister_reject".to_owned()));
    assert_eq!(refusal_of(Principal::from_slice(&[7; 10])), (404, "canister_not_found".to_owned()));
    site.serve(&Answer { upgrade: Some(true), ..answer(200, &[], b"") });
    assert_eq!(site.refusal(&site.raw_host(), "/"), (503, "canister_error".to_owned()), "the update traps");
}

#[test]
fn should_refuse_answers_that_are_no_http_responses() {
    let site = Site::start();
    let malformed = (503, "backend_http_gateway".to_owned());
    for bytes in [b"junk".to_vec(), encode_one("text").unwrap(), b"DIDL\x00\x00".to_vec()] {
        site.store(0, &bytes);
        assert_eq!(site.refusal(&site.raw_host(), "/"), malformed, "{bytes:?}");
    }
    for refused in [
        answer(0, &[], b""),
        answer(101, &[], b""),
        answer(1000, &[], b""),
        answer(200, &[("a b", "x")], b""),
        answer(200, &[("", "x")], b""),
        answer(200, &[("a", "x\r\ny: z")], b""),
    ] {
        site.serve(&refused);
        assert_eq!(site.refusal(&site.raw_host(), "/"), malformed, "{:?}", refused.headers);
    }
    for accepted in [answer(999, &[], b"x"), answer(204, &[], b""), answer(304, &[("etag", "x")], b"")] {
        site.serve(&accepted);
        assert_eq!(site.get(&site.raw_host(), "/").status(), accepted.status_code);
    }
}

#[test]
fn should_bound_bodies_and_messages() {
    let site = Site::start();
    site.serve(&answer(200, &[], b"ok"));
    let post = |bytes: usize| site.request(Method::POST, &site.raw_host(), "/").body(vec![b'x'; bytes]).send().unwrap();
    assert_eq!(post(MAX_BODY).status(), 200);
    assert_eq!(error_of(post(MAX_BODY + 1)), (413, "client_body_too_large".to_owned()));
    // An update of an application subnet has at most 2 MiB.
    site.serve(&Answer { upgrade: Some(true), ..answer(200, &[], b"") });
    site.store(9, &encode_one(answer(200, &[], b"ok")).unwrap());
    assert_eq!(post((2 << 20) - 2_000).status(), 200);
    assert_eq!(error_of(post(2 << 20)), (413, "client_body_too_large".to_owned()));
}

#[test]
fn should_serve_head_and_answer_preflights_itself() {
    let site = Site::start();
    site.serve(&answer(200, &[("x-a", "1")], b"body"));
    let head = site.request(Method::HEAD, &site.raw_host(), "/").send().unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["x-a"].to_str().unwrap()), (200, "1"));
    assert_eq!(head.text().unwrap(), "");
    // Without a body only the canister knows how long it would be.
    site.serve(&answer(200, &[("content-length", "1234")], b""));
    let head = site.request(Method::HEAD, &site.raw_host(), "/").send().unwrap();
    assert_eq!(head.headers()["content-length"], "1234");
    for path in ["/", "/api/v2/status"] {
        let preflight = site
            .request(Method::OPTIONS, &site.host(), path)
            .header("origin", "http://elsewhere.test")
            .header("access-control-request-method", "POST")
            .send()
            .unwrap();
        assert_eq!(preflight.status(), 200, "{path}");
        assert_eq!(preflight.headers()["access-control-allow-origin"], "*", "{path}");
        assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"), "{path}");
    }
    let trace = site.request(Method::TRACE, &site.raw_host(), "/").send().unwrap();
    assert_eq!(error_of(trace), (405, "client_method_not_allowed".to_owned()));
}

#[test]
fn should_serve_the_instance_below_api() {
    let site = Site::start();
    let topology = site.get("localhost", "/_/topology");
    let topology: serde_json::Value = topology.json().unwrap();
    assert!(topology["subnet_configs"].is_object());
    let own = format!("{}instances/{}/api/v2/status", LocalNet::shared().url(), site.network.instance_id());
    let (own, through) = (Client::new().get(own).send().unwrap(), site.get("localhost", "/api/v2/status"));
    assert_eq!(own.status(), through.status());
    assert_eq!(own.headers().get("content-type"), through.headers().get("content-type"));
    assert_eq!(site.get("example.com", "/api/v2/status").status(), 400);
    assert_eq!(site.get("localhost", "/_/dashboard").status(), 501);
    site.serve(&answer(200, &[], b"my own"));
    assert_eq!(site.get(&site.raw_host(), "/api/v1/things").text().unwrap(), "my own");
    // Nothing else of the server is reached through a gateway.
    for path in ["/instances", "/read/get_time", "/update/tick", "/http_gateway"] {
        assert_eq!(site.refusal("localhost", path), (400, "canister_id_not_resolved".to_owned()), "{path}");
    }
}

#[test]
fn should_cut_clients_that_speak_no_http() {
    let site = Site::start();
    site.serve(&answer(200, &[], b"ok"));
    for garbage in
        [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".as_slice(), b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n\0\r\n\r\n"]
    {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, site.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(garbage).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{rest:?}");
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, site.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 400") && rest.contains("client_no_authority"), "{rest}");
    assert_eq!(site.get(&site.raw_host(), "/").text().unwrap(), "ok");
}

#[test]
fn should_serve_many_clients_at_once() {
    let site = Site::start();
    site.serve(&answer(200, &[], b"ok"));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::new();
                    for _ in 0..10 {
                        let url = format!("http://127.0.0.1:{}/?canisterId={}", site.port, site.canister);
                        let host = site.raw_host();
                        assert_eq!(client.get(url).header("host", host).send().unwrap().text().unwrap(), "ok");
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}
