//! A body that must make progress: too long a pause ends it with an error.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::error::{BoxError, Error};
use crate::net::deadline::Stall;

/// Wraps a forwarded body. Only a wait sets the timer; a body that is available at once has none.
pub(crate) struct Paced<B> {
    body: B,
    stall: Stall,
    judge: fn(Option<BoxError>, Duration) -> Error,
    fault: Fault,
}

/// The body's own error. The reader of the body may report a less precise one, or a different one.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<Error>>>);

impl Fault {
    /// Takes the error; returns it once.
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

impl<B> Paced<B> {
    /// Allows no pause longer than `patience`. `judge` builds the error: with a cause if the body broke
    /// off, without one if it made no progress.
    pub(crate) fn new(
        body: B,
        patience: Duration,
        judge: fn(Option<BoxError>, Duration) -> Error,
    ) -> Self {
        Self { body, stall: Stall::new(patience), judge, fault: Fault::default() }
    }

    /// Returns the place where the body's error is kept.
    pub(crate) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    fn fail(&mut self, cause: Option<BoxError>) -> BoxError {
        let error = (self.judge)(cause, self.stall.patience());
        let message = error.message.clone();
        *self.fault.0.lock() = Some(error);
        message.into()
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.stall.progress();
            return Poll::Ready(frame.map(|frame| frame.map_err(|e| this.fail(Some(e.into())))));
        }
        ready!(this.stall.poll(cx));
        Poll::Ready(Some(Err(this.fail(None))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
