//! The body of an upstream's response as a stream of events: decoded, timed, and ended with an
//! error if it broke.
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;
use tokio::time::Instant;

use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::net::deadline::Deadline;
use crate::providers::Timeouts;
use crate::wire::{Event, EventKind};

/// The time for a body to end after the last event. An upstream that keeps it open does not delay
/// the caller longer.
const GRACE: Duration = Duration::from_millis(500);

/// The silence after which a stream begins without content, so that the upstream does not look dead.
const SILENCE: Duration = Duration::from_secs(15);

/// Turns the bytes of a body into the events of a Messages stream.
pub(super) trait Decoder: Unpin {
    /// The prefix of the `content-type` of bodies that it reads, in lower case.
    const CONTENT_TYPE: &'static str;

    /// Takes more bytes, once [`Decoder::next_event`] has returned all events of the earlier ones.
    fn push(&mut self, data: Bytes);

    /// Returns the next event of the bytes; `None` if more bytes are needed. An error ends the stream.
    fn next_event(&mut self) -> Result<Option<Event>>;

    /// Returns an event that only the end of the body completes; `None` if there is none left. Called
    /// only where the body ended without an error and before `message_stop`. An error ends the stream.
    fn finish(&mut self) -> Result<Option<Event>>;

    /// Whether [`Decoder::silence`] does something.
    const BEGINS_EARLY: bool = false;

    /// Begins the stream without content, because the upstream has been silent for [`SILENCE`]. Called once,
    /// only before the first event.
    fn silence(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The events of a body. The last item is an error unless `message_stop` or an `error` event has
/// passed.
pub(super) struct Timed<B, D> {
    body: B,
    decoder: D,
    state: State,
    clock: Clock,
    deadline: Deadline,
    /// The time at which a stream without events begins early; `None` after its first event.
    early: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// More events must follow.
    Open,
    /// `message_stop` has passed. The end of the body is still read, to free the connection.
    Complete,
    /// The body has ended before `message_stop`. The decoder may have the rest.
    Finishing,
    /// The stream has ended.
    Ended,
}

impl State {
    /// Returns the state after an event.
    fn after(self, kind: EventKind) -> Self {
        match (self, kind) {
            (_, EventKind::Error) | (Self::Finishing, EventKind::MessageStop) => Self::Ended,
            (_, EventKind::MessageStop) => Self::Complete,
            (state, _) => state,
        }
    }
}

/// The start times of the timeouts.
#[derive(Debug, Clone, Copy)]
struct Clock {
    timeouts: Timeouts,
    started: Instant,
    last_bytes: Instant,
}

impl Clock {
    fn start(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self { timeouts, started: now, last_bytes: now }
    }

    /// Returns the time at which a body without new bytes times out.
    fn due(&self, state: State) -> Instant {
        let Timeouts { idle, total, .. } = self.timeouts;
        let patience = match state {
            State::Complete => GRACE.min(idle),
            State::Open | State::Finishing | State::Ended => idle,
        };
        (self.last_bytes + patience).min(self.started + total)
    }
}

impl<B, D> Timed<B, D>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
    D: Decoder,
{
    /// Reads a body. The times of `timeouts` start now.
    pub(super) fn new(body: B, decoder: D, timeouts: Timeouts) -> Self {
        let (clock, deadline) = (Clock::start(timeouts), Deadline::default());
        let early = D::BEGINS_EARLY.then(|| clock.started + SILENCE);
        Self { body, decoder, state: State::Open, clock, deadline, early }
    }

    fn pass(&mut self, event: Event) -> Poll<Option<Result<Event>>> {
        self.state = self.state.after(event.kind);
        self.early = None;
        Poll::Ready(Some(Ok(event)))
    }

    /// Stops reading. An error matters only before `message_stop`.
    fn stop(&mut self, error: Error) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Complete => Ok(()),
            State::Open | State::Finishing | State::Ended => Err(error),
        }
    }

    /// Gives the decoder more bytes, or moves to another state.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.clock.last_bytes = Instant::now();
                if let Ok(data) = frame.into_data() {
                    self.decoder.push(data);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(cause))) => Poll::Ready(self.stop(broke_off().with_source(cause))),
            Poll::Ready(None) => {
                self.state = match self.state {
                    State::Open => State::Finishing,
                    State::Complete | State::Finishing | State::Ended => State::Ended,
                };
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                let due = self.clock.due(self.state);
                ready!(self.deadline.poll(cx, self.early.map_or(due, |early| early.min(due))));
                if self.early.take().is_some_and(|early| early < due) {
                    return Poll::Ready(self.decoder.silence());
                }
                let message = "the upstream's stream fell silent or took too long in all";
                Poll::Ready(self.stop(Error::new(ErrorKind::Timeout, message)))
            }
        }
    }
}

impl<B, D> Stream for Timed<B, D>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
    D: Decoder,
{
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        let this = &mut *self;
        while this.state != State::Ended {
            let next = this.decoder.next_event();
            match next {
                Ok(Some(event)) => return this.pass(event),
                Err(error) => return Poll::Ready(this.stop(error).err().map(Err)),
                Ok(None) => {}
            }
            if this.state == State::Finishing {
                return match this.decoder.finish() {
                    Ok(Some(event)) => this.pass(event),
                    Ok(None) => Poll::Ready(this.stop(broke_off()).err().map(Err)),
                    Err(error) => Poll::Ready(this.stop(error).err().map(Err)),
                };
            }
            if let Err(error) = ready!(this.poll_bytes(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(None)
    }
}

fn broke_off() -> Error {
    Error::new(ErrorKind::BadUpstream, "the upstream's stream broke off")
}

#[cfg(test)]
mod tests;
