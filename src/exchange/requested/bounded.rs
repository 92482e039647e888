//! A stream of events with the time limit of its request.
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::time::Instant;

use crate::error::Result;
use crate::exchange::route::Terms;
use crate::net::deadline::Deadline;
use crate::wire::{Event, EventKind, EventStream};

/// Passes events on until the time limit. Then the last item is an error, and the upstream stream
/// is dropped.
pub(crate) struct Bounded {
    events: Option<EventStream>,
    end: Instant,
    deadline: Deadline,
    terms: Terms,
    is_complete: bool,
}

impl Bounded {
    /// Creates a stream that ends at `end`.
    pub(crate) fn new(events: EventStream, end: Instant, terms: Terms) -> Self {
        let deadline = Deadline::default();
        Self { events: Some(events), end, deadline, terms, is_complete: false }
    }
}

impl Stream for Bounded {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        let this = &mut *self;
        let Some(events) = &mut this.events else { return Poll::Ready(None) };
        // the clock first: an upstream that always has one more event must not escape the limit
        if this.deadline.poll(cx, this.end).is_ready() {
            this.events = None;
            // after the end of a message only the end of the body follows
            return Poll::Ready((!this.is_complete).then(|| Err(this.terms.too_late())));
        }
        let polled = events.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(event))) = &polled {
            this.is_complete |= event.kind == EventKind::MessageStop;
        }
        polled
    }
}
