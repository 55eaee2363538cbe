//! Bodies in pieces.

use candid::Func;

use super::*;

#[test]
fn should_stream_bodies_from_callbacks() {
    let site = Site::start();
    let callback = Callback(Func { principal: site.canister, method: "more".to_owned() });
    let streaming = |token| Some(Strategy::Callback { callback: callback.clone(), token });
    let piece = |slot: u8, body: &[u8], token: Option<u8>| {
        site.store(slot, &encode_one(Some(Piece { body: body.to_vec().into(), token })).unwrap());
    };
    site.serve(&Answer { streaming_strategy: streaming(1), ..answer(200, &[], b"0") });
    piece(1, b"1", Some(2));
    piece(2, b"2", None);
    let short = site.get(&site.raw_host(), "/");
    assert_eq!(short.headers()["content-length"], "3", "it was put together");
    assert_eq!(short.text().unwrap(), "012");
    // What is put together is verified.
    assert_eq!(site.refusal(&site.host(), "/"), (503, "backend_response_verification".to_owned()));

    let large = vec![b'x'; 1 << 20];
    for slot in 1..=7 {
        piece(slot, &large, (slot < 7).then_some(slot + 1));
    }
    let long = site.get(&site.host(), "/");
    assert_eq!(long.headers().get("content-length"), None);
    assert_eq!(long.bytes().unwrap().len(), 1 + 7 * large.len());

    // A piece that cannot be had ends the connection, not just the body.
    site.store(6, b"junk");
    let cut = site.get(&site.host(), "/");
    assert_eq!(cut.status(), 200);
    assert!(cut.bytes().is_err());
    piece(1, b"again", Some(1));
    assert!(site.get(&site.host(), "/").bytes().is_err(), "a body without end");
    site.serve(&Answer { streaming_strategy: streaming(10), ..answer(200, &[], b"0") });
    assert_eq!(site.refusal(&site.raw_host(), "/"), (503, "canister_error".to_owned()));
}

#[test]
fn should_put_a_body_together_from_the_ranges_of_a_canister() {
    let site = Site::start();
    let part = |slot: u8, range: &str, body: &[u8]| {
        site.store(slot, &encode_one(answer(206, &[("Content-Range", range), ("x-a", "1")], body)).unwrap());
    };
    part(0, "bytes 0-2/8", b"abc");
    part(3, "bytes 3-5/8", b"def");
    // Chunks are fixed: this one overlaps what is known.
    part(6, "bytes 5-7/8", b"fgh");
    let whole = site.get(&site.raw_host(), "/");
    assert_eq!((whole.status().as_u16(), whole.headers()["content-length"].to_str().unwrap()), (200, "8"));
    assert_eq!((whole.headers().get("content-range"), whole.headers()["x-a"].to_str().unwrap()), (None, "1"));
    assert_eq!(whole.text().unwrap(), "abcdefgh");
    let asked = site.request(Method::GET, &site.raw_host(), "/").header("range", "bytes=3-5").send().unwrap();
    assert_eq!((asked.status().as_u16(), asked.headers()["content-range"].to_str().unwrap()), (206, "bytes 3-5/8"));
    assert_eq!(asked.text().unwrap(), "def");
    for wrong in ["bytes 7-9/10", "bytes 0-2/8", "bytes 6-8/9", "nonsense"] {
        part(6, wrong, b"fgh");
        assert!(site.get(&site.raw_host(), "/").bytes().is_err(), "{wrong}");
    }
    for wrong in ["bytes 1-3/8", "bytes 0-9/10", "nonsense", "bytes 0-2/18446744073709551615"] {
        part(0, wrong, b"abc");
        assert_eq!(site.refusal(&site.raw_host(), "/"), (503, "backend_http_gateway".to_owned()), "{wrong}");
    }
}
