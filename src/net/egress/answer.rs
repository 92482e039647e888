//! The body of a response; its size is counted on the wire and decoded, while it arrives.
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use crate::net::coding::{Coding, Reader, Unknown};
use crate::net::egress::memory::Hold;
use crate::net::egress::{Limits, Refusal};
use crate::net::http1::Driven;

/// The codings that the gateway accepts.
pub(crate) const ENCODINGS: &str = "gzip, deflate, br, zstd";

/// The most codings on top of each other. Only decompression bombs have more.
const MAX_CODINGS: usize = 2;

/// The decoded size, in bytes, from which the ratio is checked.
const RATIO_FROM: usize = 64 * 1024;

/// The most bytes read of a redirect's body: it is a short note at most.
const MAX_GLANCE: usize = 64 * 1024;
/// The longest wait for a redirect's body: it arrives with its head, or it is not needed.
const GLANCE: Duration = Duration::from_millis(500);

/// A body together with its connection, which ends with the body.
pub(crate) struct Arriving {
    driven: Driven,
    incoming: Incoming,
    arrived: Arc<AtomicUsize>,
    most: usize,
}

impl Arriving {
    /// Wraps a body before its first byte is read.
    pub(crate) fn new(driven: Driven, incoming: Incoming) -> Self {
        Self { driven, incoming, arrived: Arc::default(), most: usize::MAX }
    }

    /// Reads at most `wanted` decoded bytes, which take their memory from `hold`. Returns whether there was more.
    pub(crate) async fn read(
        mut self,
        headers: &HeaderMap,
        wanted: usize,
        limits: Limits,
        hold: Option<&mut Hold<'_>>,
    ) -> Result<(Bytes, bool), Refusal> {
        // a response to HEAD, or with a bodiless status, may name a coding of nothing
        if self.incoming.is_end_stream() {
            return Ok((Bytes::new(), false));
        }
        let arrived = Arc::clone(&self.arrived);
        let codings = codings(headers)?;
        let bounds = Bounds { wanted, limits, is_encoded: !codings.is_empty() };
        // a body without coding is limited by `wanted` alone
        if bounds.is_encoded {
            self.most = limits.encoded;
        }
        let mut reader: Reader = Box::pin(StreamReader::new(self));
        for coding in codings.iter().rev() {
            reader = coding.decode(reader).await.map_err(broken)?;
        }
        bounds.collect(reader, &arrived, hold).await
    }
}

impl Arriving {
    /// Reads the body of a redirect, of which only the head counts. Returns the readable part that arrives
    /// soon, else an empty body.
    pub(crate) async fn glance(
        self,
        headers: &HeaderMap,
        wanted: usize,
        limits: Limits,
    ) -> (Bytes, bool) {
        let limits = Limits { encoded: limits.encoded.min(MAX_GLANCE), ..limits };
        let read = self.read(headers, wanted.min(MAX_GLANCE), limits, None);
        let read = tokio::time::timeout(GLANCE, read).await;
        read.ok().and_then(Result::ok).unwrap_or((Bytes::new(), true))
    }
}

impl Stream for Arriving {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Self { driven, incoming, arrived, most } = self.get_mut();
        loop {
            let frame = ready!(driven.poll(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)));
            let Some(frame) = frame.transpose().map_err(io::Error::other)? else {
                return Poll::Ready(None);
            };
            // trailers are dropped
            if let Ok(data) = frame.into_data() {
                let before = arrived.fetch_add(data.len(), Ordering::Relaxed);
                let is_too_much = before + data.len() > *most;
                return Poll::Ready(Some(match is_too_much {
                    true => Err(io::Error::other(TooMuch(*most))),
                    false => Ok(data),
                }));
            }
        }
    }
}

struct Bounds {
    wanted: usize,
    limits: Limits,
    is_encoded: bool,
}

impl Bounds {
    async fn collect(
        &self,
        mut reader: Reader,
        arrived: &AtomicUsize,
        mut hold: Option<&mut Hold<'_>>,
    ) -> Result<(Bytes, bool), Refusal> {
        let mut whole = BytesMut::new();
        let mut piece = [0; 8 * 1024];
        // one byte more than wanted proves that there is more
        while whole.len() <= self.wanted {
            let room = piece.len().min(self.wanted + 1 - whole.len());
            let read = reader.read(&mut piece[..room]).await.map_err(broken)?;
            if read == 0 {
                return Ok((whole.freeze(), false));
            }
            if let Some(hold) = &mut hold {
                hold.arrive(self.wanted.min(whole.len() + read)).await?;
            }
            whole.extend_from_slice(&piece[..read]);
            self.check(whole.len(), arrived.load(Ordering::Relaxed))?;
            // a large body takes a while: let the other requests of this thread go first
            tokio::task::yield_now().await;
        }
        whole.truncate(self.wanted);
        Ok((whole.freeze(), true))
    }

    fn check(&self, decoded: usize, arrived: usize) -> Result<(), Refusal> {
        let is_bomb = decoded > RATIO_FROM && decoded / self.limits.ratio > arrived;
        if !self.is_encoded || !is_bomb {
            return Ok(());
        }
        let message = format!(
            "the decoded response is more than {} times larger than the encoded one",
            self.limits.ratio
        );
        Err(Refusal::new("too_large", message))
    }
}

/// The error for an encoded body above its limit. A decoder may read without end and return nothing.
#[derive(Debug)]
struct TooMuch(usize);

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the encoded response is larger than {} bytes", self.0)
    }
}

impl std::error::Error for TooMuch {}

fn broken(error: io::Error) -> Refusal {
    let cause = error.get_ref();
    if let Some(too_much) = cause.and_then(|cause| cause.downcast_ref::<TooMuch>()) {
        return Refusal::new("too_large", too_much.to_string());
    }
    Refusal::unreachable(match cause.is_some_and(|cause| cause.is::<hyper::Error>()) {
        true => "the response ended early",
        false => "the response does not match its `content-encoding`, or ended early",
    })
}

fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Refusal> {
    let codings = Coding::all_of(headers).map_err(|Unknown(_)| {
        let message = "the response has an unsupported `content-encoding`";
        Refusal::new("unreachable", message)
    })?;
    match codings.len() > MAX_CODINGS {
        true => Err(Refusal::new("too_large", "the response has too many content encodings")),
        false => Ok(codings),
    }
}
