//! The bodies that the gateway sends: whole bytes, a stream of events, or a forwarded upstream body.
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
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
    Incoming(Incoming),
    /// Any other body.
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
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
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Parts(pieces, sent) => *sent >= pieces.as_slice().len(),
            Self::Incoming(body) => body.is_end_stream(),
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
            Self::Incoming(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
