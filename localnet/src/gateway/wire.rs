//! The Candid interface between gateways and canisters: `http_request`, `http_request_update`, streaming callbacks.

use axum::{
    body::Bytes,
    http::{Method, header},
};
use candid::{
    CandidType, Deserialize, IDLValue, Principal,
    de::DecoderConfig,
    idl_hash,
    types::{
        Serializer, Type, TypeInner,
        value::{IDLArgs, IDLField, IDLValueVisitor, VariantValue},
    },
    utils::decode_one_with_config,
};
use ic_response_verification::MAX_VERIFICATION_VERSION;
use serde_bytes::ByteBuf;

/// Work that decoding one answer may cost, in Candid's measure: about one for each byte that is used, fifty for each
/// that is skipped. Answers have at most 3 MiB.
const DECODING_QUOTA: usize = 100_000_000;
/// Work that decoding streaming tokens and skipping what is unknown may cost, in the same measure.
const SKIPPING_QUOTA: usize = 1_000_000;
/// How deep the value of a token may be nested. Deeper ones would take much stack when they are encoded or dropped.
const MAX_TOKEN_DEPTH: usize = 64;
/// The header that only the way to the gateway is concerned with.
const REQUEST_ID: &str = "x-request-id";
const IDENTITY: &str = "identity";

/// A request as it came from the client.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub url: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Request {
    /// Tells whether the client wants a part of the whole.
    pub(super) fn asks_for_range(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == header::RANGE.as_str() || *name == header::IF_RANGE.as_str())
    }

    /// Returns the same request for what comes from a byte on.
    pub(super) fn for_rest(&self, first: u64) -> Self {
        let mut request = self.clone();
        request.headers.push(("Range".to_owned(), format!("bytes={first}-")));
        request
    }

    /// Encodes the argument of `http_request`.
    pub(super) fn to_query(&self) -> Result<Vec<u8>, candid::Error> {
        candid::encode_one(QueryArgument {
            method: self.method.as_str(),
            url: &self.url,
            headers: &self.forwarded_headers(),
            body: serde_bytes::Bytes::new(&self.body),
            certificate_version: Some(u16::from(MAX_VERIFICATION_VERSION)),
        })
    }

    /// Encodes the argument of `http_request_update`.
    pub(super) fn to_update(&self) -> Result<Vec<u8>, candid::Error> {
        candid::encode_one(UpdateArgument {
            method: self.method.as_str(),
            url: &self.url,
            headers: &self.forwarded_headers(),
            body: serde_bytes::Bytes::new(&self.body),
        })
    }

    /// Returns the headers that the canister sees. It may always answer without an encoding, since that is what some
    /// canisters have certified alone.
    fn forwarded_headers(&self) -> Vec<(&str, String)> {
        let forwarded = self.headers.iter().filter(|(name, _)| name != REQUEST_ID);
        forwarded
            .map(|(name, value)| {
                let mut value = value.clone();
                let names_identity = || value.split(',').any(|coding| coding.trim().eq_ignore_ascii_case(IDENTITY));
                if *name == header::ACCEPT_ENCODING.as_str() && !names_identity() {
                    value.push_str(", ");
                    value.push_str(IDENTITY);
                }
                (name.as_str(), value)
            })
            .collect()
    }
}

#[derive(CandidType)]
struct QueryArgument<'a> {
    method: &'a str,
    url: &'a str,
    headers: &'a [(&'a str, String)],
    body: &'a serde_bytes::Bytes,
    certificate_version: Option<u16>,
}

#[derive(CandidType)]
struct UpdateArgument<'a> {
    method: &'a str,
    url: &'a str,
    headers: &'a [(&'a str, String)],
    body: &'a serde_bytes::Bytes,
}

/// An answer of `http_request` or `http_request_update`.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The status, any number.
    pub status: u16,
    /// The headers, any text.
    pub headers: Vec<(String, String)>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// True when the canister wants the request as an update.
    pub upgrade: bool,
    /// How to get the rest of the body.
    pub streaming: Option<Streaming>,
}

/// A callback that gives the rest of a body piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Streaming {
    /// The canister of the callback.
    pub canister: Principal,
    /// The callback.
    pub method: String,
    /// What the callback is to be called with.
    pub token: Token,
}

/// A value that only the canister understands.
#[derive(Clone, Debug)]
pub(super) struct Token(IDLValue);

impl Token {
    /// Takes a value that the canister gave.
    ///
    /// # Errors
    /// When it is nested too deep.
    fn new(value: IDLValue) -> Result<Self, String> {
        if is_deeper(&value, MAX_TOKEN_DEPTH) {
            return Err(format!("a streaming token is nested deeper than {MAX_TOKEN_DEPTH}"));
        }
        Ok(Self(value))
    }

    /// Encodes the argument of a streaming callback.
    pub(super) fn encode(&self) -> Result<Vec<u8>, candid::Error> {
        IDLArgs::new(std::slice::from_ref(&self.0)).to_bytes()
    }
}

/// Tells whether values are nested deeper than a limit. It looks no deeper itself.
fn is_deeper(value: &IDLValue, limit: usize) -> bool {
    let Some(below) = limit.checked_sub(1) else { return true };
    match value {
        IDLValue::Opt(inner) => is_deeper(inner, below),
        IDLValue::Vec(items) => items.iter().any(|item| is_deeper(item, below)),
        IDLValue::Record(fields) => fields.iter().any(|field| is_deeper(&field.val, below)),
        IDLValue::Variant(VariantValue(chosen, _)) => is_deeper(&chosen.val, below),
        _ => false,
    }
}

/// A piece of a body, and what to ask for the next one with.
#[derive(Debug)]
pub(super) struct Piece {
    pub body: Vec<u8>,
    pub next: Option<Token>,
}

/// A value of any type. Types of tokens are the canister's own.
#[derive(Debug)]
struct Anything(IDLValue);

impl CandidType for Anything {
    fn _ty() -> Type {
        TypeInner::Reserved.into()
    }

    fn idl_serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error> {
        self.0.idl_serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_any`, which would take the value for what the type above says.
        deserializer.deserialize_ignored_any(IDLValueVisitor).map(Self)
    }
}

#[derive(CandidType, Deserialize)]
struct RawAnswer {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    upgrade: Option<bool>,
    streaming_strategy: Option<Anything>,
}

#[derive(CandidType, Deserialize)]
struct RawPiece {
    body: ByteBuf,
    token: Option<Anything>,
}

fn decoding() -> DecoderConfig {
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(DECODING_QUOTA).set_skipping_quota(SKIPPING_QUOTA).set_full_error_message(false);
    config
}

impl Answer {
    /// Decodes an answer.
    ///
    /// # Errors
    /// A sentence, when it is not what the interface says, or too much work.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let raw: RawAnswer = decode_one_with_config(bytes, &decoding()).map_err(|error| error.to_string())?;
        Ok(Self {
            status: raw.status_code,
            headers: raw.headers,
            body: raw.body.into_vec(),
            upgrade: raw.upgrade == Some(true),
            streaming: raw.streaming_strategy.map(|strategy| Streaming::read(strategy.0)).transpose()?,
        })
    }
}

impl Streaming {
    /// Reads `variant { Callback : record { callback : func; token : any } }`.
    fn read(strategy: IDLValue) -> Result<Self, String> {
        let IDLValue::Variant(VariantValue(chosen, _)) = strategy else {
            return Err("streaming_strategy is no variant".to_owned());
        };
        let IDLField { id, val } = *chosen;
        if id.get_id() != idl_hash("Callback") {
            return Err("streaming_strategy is not Callback".to_owned());
        }
        let IDLValue::Record(fields) = val else {
            return Err("streaming_strategy has no record".to_owned());
        };
        let (mut callback, mut token) = (None, None);
        for IDLField { id, val } in fields {
            let id = id.get_id();
            if id == idl_hash("callback") {
                callback = Some(val);
            } else if id == idl_hash("token") {
                token = Some(Token::new(val)?);
            }
        }
        match (callback, token) {
            (Some(IDLValue::Func(canister, method)), Some(token)) => Ok(Self { canister, method, token }),
            _ => Err("streaming_strategy has no callback or no token".to_owned()),
        }
    }
}

impl Piece {
    /// Decodes the answer of a streaming callback, which may be optional.
    ///
    /// # Errors
    /// A sentence, when it is not what the interface says, absent, or too much work.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let raw: Option<RawPiece> = decode_one_with_config(bytes, &decoding()).map_err(|error| error.to_string())?;
        let raw = raw.ok_or("the streaming callback gave no record with a body")?;
        let next = raw.token.map(|token| Token::new(token.0)).transpose()?;
        Ok(Self { body: raw.body.into_vec(), next })
    }
}

#[cfg(test)]
mod tests {
    use candid::{Func, Nat, encode_one};

    use super::*;

    #[derive(CandidType, Deserialize, Debug, PartialEq)]
    struct SomeToken {
        key: String,
        index: Nat,
        sha256: Option<ByteBuf>,
        parts: Vec<u32>,
    }

    #[derive(CandidType)]
    enum Strategy {
        Callback { callback: AnyFunction, token: SomeToken },
    }

    candid::define_function!(AnyFunction : (SomeToken) -> (Option<u8>) query);

    #[derive(CandidType)]
    struct CanisterAnswer {
        status_code: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        upgrade: Option<bool>,
        streaming_strategy: Option<Strategy>,
        unknown: u64,
    }

    fn request(headers: &[(&str, &str)]) -> Request {
        Request {
            method: Method::POST,
            url: "/a?b=c".to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::from_static(b"body"),
        }
    }

    fn some_token() -> SomeToken {
        SomeToken { key: "/big".to_owned(), index: Nat::from(7_u8), sha256: None, parts: vec![] }
    }

    #[test]
    fn should_encode_what_canisters_declare() {
        #[derive(CandidType, Deserialize)]
        struct Seen {
            method: String,
            url: String,
            headers: Vec<(String, String)>,
            body: Vec<u8>,
            certificate_version: Option<u16>,
        }
        let request = request(&[("host", "x"), ("x-request-id", "1"), ("accept-encoding", "gzip, br")]);
        let seen: Seen = candid::decode_one(&request.to_query().unwrap()).unwrap();
        assert_eq!(
            (seen.method.as_str(), seen.url.as_str(), seen.body.as_slice()),
            ("POST", "/a?b=c", b"body".as_slice())
        );
        assert_eq!(seen.certificate_version, Some(2));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(seen.headers, [pair("host", "x"), pair("accept-encoding", "gzip, br, identity")]);
        let update: Seen = candid::decode_one(&request.to_update().unwrap()).unwrap();
        assert_eq!((update.certificate_version, update.headers), (None, seen.headers));
    }

    #[test]
    fn should_leave_encodings_alone_that_name_identity() {
        let request = request(&[("accept-encoding", "gzip, Identity")]);
        assert_eq!(request.forwarded_headers(), [("accept-encoding", "gzip, Identity".to_owned())]);
    }

    #[test]
    fn should_know_requests_for_ranges() {
        assert!(!request(&[("ranges", "x")]).asks_for_range());
        assert!(request(&[("range", "bytes=1-2")]).asks_for_range());
        assert!(request(&[("if-range", "etag")]).asks_for_range());
        assert_eq!(request(&[]).for_rest(5).headers, [("Range".to_owned(), "bytes=5-".to_owned())]);
    }

    #[test]
    fn should_decode_answers_and_give_tokens_back_as_they_came() {
        let canister = Principal::from_slice(&[3; 10]);
        let callback = AnyFunction(Func { principal: canister, method: "more".to_owned() });
        let bytes = encode_one(CanisterAnswer {
            status_code: 200,
            headers: vec![("a".to_owned(), "b".to_owned())],
            body: b"begin".to_vec(),
            upgrade: None,
            streaming_strategy: Some(Strategy::Callback { callback, token: some_token() }),
            unknown: 9,
        });
        let answer = Answer::decode(&bytes.unwrap()).unwrap();
        assert_eq!((answer.status, answer.body.as_slice(), answer.upgrade), (200, b"begin".as_slice(), false));
        let streaming = answer.streaming.unwrap();
        assert_eq!((streaming.canister, streaming.method.as_str()), (canister, "more"));
        let token: SomeToken = candid::decode_one(&streaming.token.encode().unwrap()).unwrap();
        assert_eq!(token, some_token());
    }

    #[test]
    fn should_decode_answers_that_leave_out_what_is_optional() {
        #[derive(CandidType)]
        struct Least {
            status_code: u16,
            headers: Vec<(String, String)>,
            body: Vec<u8>,
        }
        let answer =
            Answer::decode(&encode_one(Least { status_code: 999, headers: vec![], body: vec![] }).unwrap()).unwrap();
        assert_eq!((answer.status, answer.upgrade, answer.streaming.is_some()), (999, false, false));
    }

    #[test]
    fn should_refuse_what_is_no_answer() {
        #[derive(CandidType)]
        struct Bad<T> {
            status_code: u16,
            headers: Vec<(String, String)>,
            body: Vec<u8>,
            streaming_strategy: Option<T>,
        }
        let bad = |strategy: u8| {
            encode_one(Bad { status_code: 200, headers: vec![], body: vec![], streaming_strategy: Some(strategy) })
                .unwrap()
        };
        let all: [Vec<u8>; 5] =
            [vec![], b"hello".to_vec(), encode_one("text").unwrap(), encode_one((1_u8, 2_u8)).unwrap(), bad(1)];
        for bytes in all {
            assert!(Answer::decode(&bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn should_bound_the_work_for_hostile_answers() {
        // A vector of 2^28 nulls takes no bytes, and a field that nobody knows is skipped.
        let mut bytes = b"DIDL\x02\x6c\x01\x01\x01\x6d\x7f\x01\x00".to_vec();
        bytes.extend([0x80, 0x80, 0x80, 0x80, 0x01]);
        assert!(Answer::decode(&bytes).is_err());
        assert!(Piece::decode(&bytes).is_err());
    }

    /// A piece whose token is so many options within each other.
    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = b"DIDL\x03\x6c\x02".to_vec();
        for (name, type_index) in [("token", 2), ("body", 1)] {
            let mut id = u64::from(idl_hash(name));
            while id >= 0x80 {
                bytes.push((id & 0x7f) as u8 | 0x80);
                id >>= 7;
            }
            bytes.extend([id as u8, type_index]);
        }
        bytes.extend(b"\x6d\x7b\x6e\x02\x01\x00");
        bytes.extend(vec![1; depth]);
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn should_bound_how_deep_tokens_are_nested() {
        assert!(idl_hash("token") < idl_hash("body"), "fields are in the order of their hashes");
        // The outermost option is that of the field, and the innermost holds nothing.
        assert!(Piece::decode(&nested(MAX_TOKEN_DEPTH)).unwrap().next.unwrap().encode().is_ok());
        assert!(Piece::decode(&nested(MAX_TOKEN_DEPTH + 1)).unwrap_err().contains("nested"));
        assert!(Piece::decode(&nested(100)).unwrap_err().contains("nested"));
        assert!(Piece::decode(&nested(2 << 20)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn should_survive_what_canisters_make_of_answers(at in 0_usize..200, byte: u8, cut in 0_usize..200) {
            let callback = AnyFunction(Func { principal: Principal::from_slice(&[3; 10]), method: "more".to_owned() });
            let mut bytes = encode_one(CanisterAnswer {
                status_code: 200,
                headers: vec![("a".to_owned(), "b".to_owned())],
                body: b"begin".to_vec(),
                upgrade: Some(true),
                streaming_strategy: Some(Strategy::Callback { callback, token: some_token() }),
                unknown: 9,
            })
            .unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = Answer::decode(&bytes);
            let _ = Answer::decode(&bytes[..cut % length]);
            let _ = Piece::decode(&bytes);
        }
    }

    #[test]
    fn should_decode_pieces_whether_optional_or_not() {
        #[derive(CandidType)]
        struct CanisterPiece {
            body: Vec<u8>,
            token: Option<SomeToken>,
        }
        let plain = encode_one(CanisterPiece { body: vec![1], token: None }).unwrap();
        let optional = encode_one(Some(CanisterPiece { body: vec![2], token: Some(some_token()) })).unwrap();
        let plain = Piece::decode(&plain).unwrap();
        assert_eq!((plain.body, plain.next.is_none()), (vec![1], true));
        let optional = Piece::decode(&optional).unwrap();
        assert_eq!(optional.body, [2]);
        assert_eq!(candid::decode_one::<SomeToken>(&optional.next.unwrap().encode().unwrap()).unwrap(), some_token());
        assert!(Piece::decode(&encode_one(None::<CanisterPiece>).unwrap()).is_err());
        assert!(Piece::decode(&encode_one("text").unwrap()).is_err());
    }
}
