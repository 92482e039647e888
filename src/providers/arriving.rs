//! `Arriving`: the body of an upstream's response, decoded while it arrives.
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyDataStream;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::error::BoxError;
use crate::net::coding::{Coding, Reader, Unknown};
use crate::net::pool::PooledBody;

/// The most codings on top of each other.
const MAX_CODINGS: usize = 2;

/// A body without its content coding. The gateway requests none, but some upstreams compress anyway.
pub(super) enum Arriving {
    /// A body without coding.
    Plain(PooledBody),
    /// The decoded pieces of a body.
    Decoded(Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>),
}

impl Arriving {
    /// Fails with a message if the gateway does not decode the coding that the headers name.
    pub(super) fn of(body: PooledBody, headers: &HeaderMap) -> Result<Self, String> {
        let codings = Coding::all_of(headers).map_err(|Unknown(name)| {
            format!("the upstream's answer has `content-encoding: {name}`, which is not supported")
        })?;
        match codings.len() {
            0 => Ok(Self::Plain(body)),
            1..=MAX_CODINGS => Ok(Self::Decoded(Box::pin(decoded(body, codings)))),
            _ => Err(format!("the upstream's answer has more than {MAX_CODINGS} content codings")),
        }
    }
}

fn decoded(
    body: PooledBody,
    codings: Vec<Coding>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    let opened = async move {
        let pieces = BodyDataStream::new(body).map_err(std::io::Error::other);
        let mut reader: Reader = Box::pin(StreamReader::new(pieces));
        for coding in codings.iter().rev() {
            reader = coding.decode(reader).await?;
        }
        Ok::<_, std::io::Error>(ReaderStream::new(reader))
    };
    let pieces = futures_util::stream::once(opened).try_flatten();
    pieces.map(|piece| piece.map_err(Into::into))
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Plain(body) => Pin::new(body).poll_frame(cx),
            Self::Decoded(pieces) => {
                let piece = ready!(pieces.as_mut().poll_next(cx));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }
}
