//! The bodies that the gateway sends: whole bytes, a stream of events, or a forwarded upstream body.
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::BoxError;
use crate::wire::Pieces;

/// A body that the gateway sends, to a client or to an upstream.
pub enum Body {
    /// The whole body at once; `None` once it is sent, or if it is empty.
    Full(Option<Bytes>),
    /// The whole body in parts, with the number of parts sent.
    Parts(Pieces, usize),
    /// A received body, forwarded as it arrives.
    Received(Received),
    /// Any other body.
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

/// A client's request body. It notes if it is dropped before its end: the client still sends then.
pub struct Received {
    body: Source,
    has_ended: bool,
    unread: Option<Arc<AtomicBool>>,
}

impl Received {
    /// Wraps a body; `unread` becomes `true` if the rest of it is dropped.
    pub fn new(body: Incoming, unread: Option<Arc<AtomicBool>>) -> Self {
        Self { body: Source::Client(body), has_ended: false, unread }
    }

    /// Wraps a body that the gateway has already.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self { body: Source::Whole(body.into()), has_ended: false, unread: None }
    }
}

/// The origin of a request body.
enum Source {
    /// A connection of a client.
    Client(Incoming),
    /// The memory of the gateway.
    Whole(http_body_util::Full<Bytes>),
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(unread) = &self.unread
            && !self.has_ended
            && !self.is_end_stream()
        {
            unread.store(true, Ordering::Relaxed);
        }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.body {
            Source::Client(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                frame.map(|frame| frame.map_err(Into::into))
            }
            Source::Whole(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                frame.map(|frame| frame.map_err(Into::into))
            }
        };
        self.has_ended |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Client(body) => body.is_end_stream(),
            Source::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Client(body) => body.size_hint(),
            Source::Whole(body) => body.size_hint(),
        }
    }
}

impl Body {
    /// Returns an empty body.
    pub fn empty() -> Self {
        Self::Full(None)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl From<Pieces> for Body {
    fn from(pieces: Pieces) -> Self {
        match pieces.as_slice() {
            [all] => all.clone().into(),
            _ => Self::Parts(pieces, 0),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Parts(pieces, sent) => {
                let next = pieces.as_slice().get(*sent).cloned();
                *sent += 1;
                Poll::Ready(next.map(|part| Ok(Frame::data(part))))
            }
            Self::Received(body) => Pin::new(body).poll_frame(cx),
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Parts(pieces, sent) => *sent >= pieces.as_slice().len(),
            Self::Received(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Parts(pieces, sent) => {
                let left = pieces.as_slice().iter().skip(*sent).map(Bytes::len);
                SizeHint::with_exact(left.sum::<usize>() as u64)
            }
            Self::Received(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
