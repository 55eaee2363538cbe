//! Bodies that come in pieces: from a streaming callback, or from ranges of a large asset.
//!
//! A piece is asked for when the client has taken the one before it, so a slow client holds one piece in memory. When a
//! piece cannot be had the connection is cut, and the client sees that the body is incomplete.

use std::{future::Future, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::header,
};
use futures_util::stream;

use super::{
    Limits,
    exchange::{self, Exchange, decode},
    refusal::Refusal,
    upstream::Upstream,
    wire::{Answer, Piece, Streaming, Token},
};

/// Gives the pieces of a body after the first one.
pub(super) trait Pieces: Send + 'static {
    /// Returns the next piece; nothing at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Refusal>> + Send;
}

/// Makes a body of its first piece and those that follow.
pub(super) fn body_of<P: Pieces>(first: Bytes, pieces: P) -> Body {
    let state = (Some(first), pieces);
    Body::from_stream(stream::try_unfold(state, |(first, mut pieces): (Option<Bytes>, P)| async move {
        let piece = match first {
            Some(first) => Some(first),
            None => pieces.next().await?,
        };
        Ok::<_, Refusal>(piece.map(|piece| (piece, (None, pieces))))
    }))
}

/// How much more of a body may come.
#[derive(Debug)]
struct Allowance {
    calls: usize,
    bytes: u64,
}

impl Allowance {
    fn new(limits: &Limits) -> Self {
        Self { calls: limits.streaming_calls, bytes: limits.streamed_bytes }
    }

    fn take_call(&mut self) -> Result<(), Refusal> {
        self.calls = self.calls.checked_sub(1).ok_or_else(|| too_long("calls"))?;
        Ok(())
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or_else(|| too_long("bytes"))?;
        Ok(())
    }
}

fn too_long(of_what: &str) -> Refusal {
    Refusal::MalformedAnswer(format!("the body takes too many {of_what}"))
}

/// Pieces from a streaming callback.
#[derive(Debug)]
pub(super) struct Callbacks {
    upstream: Upstream,
    canister: candid::Principal,
    method: String,
    token: Option<Token>,
    allowance: Allowance,
}

impl Callbacks {
    /// Prepares to call the callback of an answer.
    pub(super) fn new(upstream: Upstream, limits: &Limits, streaming: Streaming) -> Self {
        let Streaming { canister, method, token } = streaming;
        Self { upstream, canister, method, token: Some(token), allowance: Allowance::new(limits) }
    }

    /// Appends the next pieces to a body, so many at most.
    pub(super) async fn collect(&mut self, body: &mut Vec<u8>, pieces: usize) -> Result<(), Refusal> {
        for _ in 0..pieces {
            let Some(piece) = self.next().await? else { break };
            body.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Tells whether the body is complete.
    pub(super) fn is_done(&self) -> bool {
        self.token.is_none()
    }
}

impl Pieces for Callbacks {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let Some(token) = self.token.take() else { return Ok(None) };
        self.allowance.take_call()?;
        let malformed = |error: candid::Error| Refusal::MalformedAnswer(format!("the token is not usable: {error}"));
        let argument = token.encode().map_err(malformed)?;
        let reply = self.upstream.query(self.canister, &self.method, argument).await?;
        let piece = decode(reply, |reply| Piece::decode(&reply)).await?;
        self.allowance.take_bytes(piece.body.len())?;
        self.token = piece.next;
        Ok(Some(piece.body.into()))
    }
}

/// What a part of a body is of the whole: first and last byte, and bytes of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub first: u64,
    pub last: u64,
    pub total: u64,
}

impl ContentRange {
    /// Reads `bytes <first>-<last>/<total>`.
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range = Self { first: first.parse().ok()?, last: last.parse().ok()?, total: total.parse().ok()? };
        (range.first <= range.last && range.last < range.total).then_some(range)
    }

    /// Reads the header of an answer, which must fit its body.
    fn of(answer: &Answer) -> Result<Self, Refusal> {
        let name = header::CONTENT_RANGE;
        let found = answer.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name.as_str()));
        let (_, text) = found.ok_or_else(|| Refusal::MalformedAnswer("a part without content-range".to_owned()))?;
        let range = Self::parse(text);
        range.filter(|range| range.last - range.first + 1 == answer.body.len() as u64).ok_or_else(|| {
            let length = answer.body.len();
            Refusal::MalformedAnswer(format!("content-range {text:?} does not fit a body of {length} bytes"))
        })
    }

    /// Reads the header of an answer that is the beginning of a body.
    ///
    /// # Errors
    /// When the header is missing, does not fit the body, or is not about the beginning.
    pub(super) fn of_first_part(answer: &Answer) -> Result<Self, Refusal> {
        let range = Self::of(answer)?;
        if range.first != 0 {
            return Err(Refusal::MalformedAnswer(format!("the first part begins at byte {}", range.first)));
        }
        Ok(range)
    }
}

/// Pieces from requests for ranges, each verified by itself.
#[derive(Debug)]
pub(super) struct Ranges {
    exchange: Arc<Exchange>,
    fetched: u64,
    total: u64,
    allowance: Allowance,
}

impl Ranges {
    /// Prepares to get what follows the first part.
    ///
    /// # Errors
    /// When the whole is too large.
    pub(super) fn new(exchange: Arc<Exchange>, first_part: ContentRange) -> Result<Self, Refusal> {
        let allowance = Allowance::new(&exchange.limits);
        if first_part.total > allowance.bytes {
            return Err(too_long("bytes"));
        }
        Ok(Self { exchange, fetched: first_part.last + 1, total: first_part.total, allowance })
    }
}

impl Pieces for Ranges {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.fetched >= self.total {
            return Ok(None);
        }
        self.allowance.take_call()?;
        let request = self.exchange.request.for_rest(self.fetched);
        let answer = self.exchange.query(&request).await?;
        if answer.streaming.is_some() || answer.upgrade {
            return Err(Refusal::MalformedAnswer("a part of the body wants to be streamed or upgraded".to_owned()));
        }
        let status = exchange::status(answer.status)?;
        let (answer, _) = self.exchange.verify(request, status, answer).await?;
        let range = ContentRange::of(&answer)?;
        if range.first > self.fetched || range.last < self.fetched || range.total != self.total {
            let fetched = self.fetched;
            return Err(Refusal::MalformedAnswer(format!("the part {range:?} does not follow {fetched} bytes")));
        }
        // A canister may answer with the fixed chunk that the byte lies in.
        let known = usize::try_from(self.fetched - range.first).unwrap_or(usize::MAX);
        self.fetched = range.last + 1;
        Ok(Some(Bytes::from(answer.body).slice(known..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_content_ranges() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(ContentRange::parse("bytes 0-0/1"), range(0, 0, 1));
        assert_eq!(ContentRange::parse(" bytes 21010-47021/47022 "), range(21010, 47021, 47022));
        for malformed in [
            "",
            "bytes",
            "byte 1-2/3",
            "bytes 1-2",
            "bytes 1/2",
            "bytes 2-1/5",
            "bytes 0-5/5",
            "bytes 9-9/5",
            "bytes 0-1/*",
            "bytes -1-2/5",
            "bytes 0-18446744073709551616/5",
            "bytes 1-2/3/4",
        ] {
            assert_eq!(ContentRange::parse(malformed), None, "{malformed}");
        }
    }

    fn answer(content_range: Option<&str>, body: &[u8]) -> Answer {
        let headers = content_range.map(|value| ("Content-Range".to_owned(), value.to_owned()));
        Answer {
            status: 206,
            headers: headers.into_iter().collect(),
            body: body.to_vec(),
            upgrade: false,
            streaming: None,
        }
    }

    #[test]
    fn should_want_ranges_that_fit_the_body_and_begin_at_its_first_byte() {
        assert_eq!(ContentRange::of_first_part(&answer(Some("bytes 0-2/9"), b"abc")).unwrap().total, 9);
        for (header, body) in
            [(None, b"abc"), (Some("bytes 0-3/9"), b"abc"), (Some("bytes 1-3/9"), b"abc"), (Some("nonsense"), b"abc")]
        {
            assert!(ContentRange::of_first_part(&answer(header, body)).is_err(), "{header:?}");
        }
    }

    #[test]
    fn should_allow_so_many_calls_and_bytes_and_no_more() {
        let mut allowance = Allowance { calls: 1, bytes: 5 };
        assert!(allowance.take_call().is_ok() && allowance.take_call().is_err());
        assert!(allowance.take_bytes(5).is_ok() && allowance.take_bytes(1).is_err());
    }

    /// Pieces `1`, `2`, … and then an error.
    struct Counted(u8);

    impl Pieces for Counted {
        async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
            self.0 += 1;
            match self.0 {
                3 => Err(too_long("pieces")),
                count => Ok(Some(vec![count].into())),
            }
        }
    }

    #[tokio::test]
    async fn should_give_the_first_piece_then_the_others_and_end_with_an_error() {
        use futures_util::TryStreamExt;
        let mut body = body_of(vec![0].into(), Counted(0)).into_data_stream();
        for expected in 0..3 {
            assert_eq!(body.try_next().await.unwrap().unwrap(), vec![expected]);
        }
        assert!(body.try_next().await.is_err());
    }
}
