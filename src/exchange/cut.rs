//! Ends a request under way when its key does not count any more, if the key store says so (`revoke: cut`).
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

use crate::auth::life::KeyEnd;
use crate::error::{BoxError, Error, Result};
use crate::net::body::Body;
use crate::wire::{Event, EventStream, Reply, ReplyBody};

/// The end of the key, as a future.
type Reached = Pin<Box<dyn Future<Output = Error> + Send>>;

/// Runs the part of a request before its answer. Fails with a 401 if the key ends before; the part is dropped then, as if
/// the client had left.
pub(super) async fn unless_cut<T>(end: Option<KeyEnd>, work: impl Future<Output = T>) -> Result<T> {
    let mut work = pin!(work);
    let Some(end) = end else { return Ok(work.await) };
    tokio::select! {
        done = &mut work => Ok(done),
        error = end.reached() => Err(error),
    }
}

/// Ends the stream of a reply with an error if the key ends before it.
pub(super) fn reply(end: Option<KeyEnd>, reply: Reply) -> Reply {
    let Some(end) = end else { return reply };
    let body = match reply.body {
        ReplyBody::Events(events) => ReplyBody::Events(Box::pin(Cut {
            inner: Some(events),
            reached: Box::pin(end.reached()),
        })),
        whole => whole,
    };
    Reply { body, ..reply }
}

/// Breaks a forwarded body off if the key ends before it.
pub(super) fn body(end: Option<KeyEnd>, body: Body) -> Body {
    match end {
        None => body,
        Some(end) => {
            Body::Stream(Box::pin(Cut { inner: Some(body), reached: Box::pin(end.reached()) }))
        }
    }
}

/// A stream or a body of a request whose key may end.
struct Cut<T> {
    /// The upstream's side; dropped when the key ends, which closes the upstream's connection.
    inner: Option<T>,
    reached: Reached,
}

impl<T> Cut<T> {
    /// Returns the reason if the key has ended now.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        self.inner.as_ref()?;
        match self.reached.as_mut().poll(cx) {
            Poll::Ready(error) => {
                self.inner = None;
                Some(error)
            }
            Poll::Pending => None,
        }
    }
}

impl Stream for Cut<EventStream> {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        if let Some(error) = self.poll_end(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.inner {
            Some(events) => events.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl http_body::Body for Cut<Body> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.poll_end(cx) {
            return Poll::Ready(Some(Err(error.into())));
        }
        match &mut self.inner {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}
