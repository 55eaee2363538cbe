//! Answers that have bytes of stable memory in them.
//!
//! Reading a megabyte into a vector, and that into a message, would touch each byte several times. So an answer is made
//! with an empty blob, and where its bytes lie is noted down: they go from stable memory through a small buffer into the
//! message of the Internet Computer.

use candid::{CandidType, encode_one};
use depot_types::{blob_store::ReadModuleError, http::HttpResponse};
use serde_bytes::ByteBuf;

use crate::space::Place;

/// A Candid message with one value of type `opt blob`, up to the value.
const OPTIONAL_BLOB_HEADER: [u8; 11] = [
    b'D', b'I', b'D', b'L', // magic
    2,    // two types:
    0x6e, 1, // 0: an option of type 1
    0x6d, 0x7b, // 1: a vector of nat8
    1, 0, // one value, of type 0
];
const NONE: u8 = 0;
const SOME: u8 = 1;

/// Bytes of the values of an HTTP response with nothing in it: three numbers of a byte for the body, the headers and the
/// upgrade, and two bytes for the status.
const EMPTY_RESPONSE_BYTES: usize = 5;

/// An encoded answer, of which the largest part may lie in stable memory. It is good as long as nothing changes.
#[derive(Debug)]
pub struct Reply {
    pub(crate) head: Vec<u8>,
    pub(crate) stored: Vec<Place>,
    pub(crate) tail: Vec<u8>,
}

impl Reply {
    /// Answers with an `opt blob`.
    pub(crate) fn optional_blob(place: Option<Place>) -> Self {
        let mut head = OPTIONAL_BLOB_HEADER.to_vec();
        head.push(if place.is_some() { SOME } else { NONE });
        if let Some(place) = place {
            push_length(&mut head, place.length());
        }
        Self { head, stored: place.into_iter().collect(), tail: Vec::new() }
    }

    /// Answers with a blob or with why there is none.
    pub(crate) fn blob_or_error(answer: Result<Vec<Place>, ReadModuleError>) -> Self {
        match answer {
            Err(error) => Self::plain(&Err::<ByteBuf, _>(error)),
            Ok(stored) => {
                let message = encode(&Ok::<_, ReadModuleError>(ByteBuf::new()));
                let at = message.len() - 1;
                Self::with_blob(&message, at, stored)
            }
        }
    }

    /// Answers a gateway. The body of the response is empty when it lies in stable memory.
    pub(crate) fn response(response: &HttpResponse, stored: Vec<Place>) -> Self {
        if stored.is_empty() {
            return Self::plain(response);
        }
        // Fields stand in the order of the hashes of their names. That of `body` is the least one.
        let empty = HttpResponse { status_code: 0, headers: vec![], body: ByteBuf::new(), upgrade: None };
        let at = encode(&empty).len() - EMPTY_RESPONSE_BYTES;
        Self::with_blob(&encode(response), at, stored)
    }

    fn plain(answer: &impl CandidType) -> Self {
        Self { head: encode(answer), stored: Vec::new(), tail: Vec::new() }
    }

    /// Puts bytes into the place of an empty blob, whose length stands where it is told.
    fn with_blob(message: &[u8], at: usize, stored: Vec<Place>) -> Self {
        let (head, empty) = message.split_at(at);
        let tail = empty.strip_prefix(&[0]).expect("BUG: there is no empty blob");
        let mut head = head.to_vec();
        push_length(&mut head, stored.iter().map(Place::length).sum());
        Self { head, stored, tail: tail.to_vec() }
    }
}

fn encode(answer: &impl CandidType) -> Vec<u8> {
    encode_one(answer).expect("BUG: an answer cannot be encoded")
}

/// Appends a number in LEB128.
fn push_length(message: &mut Vec<u8>, mut length: u64) {
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
}

#[cfg(test)]
mod tests {
    use candid::decode_one;

    use super::*;

    /// Puts bytes into an answer where those of stable memory come.
    fn message(reply: &Reply, bytes: &[u8]) -> Vec<u8> {
        [reply.head.as_slice(), bytes, reply.tail.as_slice()].concat()
    }

    /// Places of so many bytes, in two pieces.
    fn places(length: u64) -> Vec<Place> {
        let whole = Place::new(0, length);
        vec![whole.part(0, length / 3), whole.part(length / 3, length - length / 3)]
    }

    #[test]
    fn should_encode_blobs_of_any_length() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152_u64] {
            let bytes = vec![7; length as usize];
            let reply = Reply::optional_blob(Some(Place::new(0, length)));
            let answer: Option<ByteBuf> = decode_one(&message(&reply, &bytes)).unwrap();
            assert_eq!(answer, Some(ByteBuf::from(bytes.clone())));
            let reply = Reply::blob_or_error(Ok(places(length)));
            let answer: Result<ByteBuf, ReadModuleError> = decode_one(&message(&reply, &bytes)).unwrap();
            assert_eq!(answer, Ok(ByteBuf::from(bytes.clone())));
            let headers = vec![("A".to_string(), "b".to_string()), ("C".to_string(), String::new())];
            let response = HttpResponse { status_code: 206, headers, body: ByteBuf::new(), upgrade: Some(false) };
            let reply = Reply::response(&response, places(length));
            let answer: HttpResponse = decode_one(&message(&reply, &bytes)).unwrap();
            assert_eq!(answer, HttpResponse { body: ByteBuf::from(bytes), ..response });
        }
    }

    #[test]
    fn should_encode_what_has_no_blob() {
        let none: Option<ByteBuf> = decode_one(&message(&Reply::optional_blob(None), &[])).unwrap();
        assert_eq!(none, None);
        let error = ReadModuleError::OutOfRange { offset: 2, size: 1 };
        let answer: Result<ByteBuf, ReadModuleError> =
            decode_one(&message(&Reply::blob_or_error(Err(error.clone())), &[])).unwrap();
        assert_eq!(answer, Err(error));
        let response = HttpResponse { status_code: 404, headers: vec![], body: ByteBuf::from("no"), upgrade: None };
        let answer: HttpResponse = decode_one(&message(&Reply::response(&response, vec![]), &[])).unwrap();
        assert_eq!(answer, response);
    }
}
