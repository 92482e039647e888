//! The body of an upstream's answer as events: cut, timed, and never ended cleanly if it broke.
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::Body;
use tokio::time::Instant;

use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::net::deadline::Deadline;
use crate::providers::Timeouts;
use crate::wire::sse::Cutter;
use crate::wire::{Event, EventKind};

/// Behind the last event the body should end at once; an upstream that keeps it open keeps no caller.
const GRACE: Duration = Duration::from_millis(500);

/// Events out of a body of SSE. Ends with an error unless `message_stop` or `error` has passed.
pub struct Frames<B> {
    body: B,
    cutter: Cutter,
    timeouts: Timeouts,
    started: Instant,
    last: Instant,
    deadline: Deadline,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More must come.
    Open,
    /// The last event has passed; only the end of the body is missing.
    Complete,
    /// Nothing more is read.
    Ended,
}

impl<B> Frames<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    /// Reads a body.
    pub fn new(body: B, timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            body,
            cutter: Cutter::default(),
            timeouts,
            started: now,
            last: now,
            deadline: Deadline::default(),
            state: State::Open,
        }
    }

    fn event(&mut self, frame: Bytes) -> Event {
        let event = Event::from_frame(frame);
        match event.kind {
            // the end of the body is still read: it is what frees the connection
            EventKind::MessageStop => self.state = State::Complete,
            EventKind::Error => self.state = State::Ended,
            _ => {}
        }
        event
    }

    /// The body is over: fine between frames behind the last event, otherwise a break.
    fn end(&mut self, cause: Option<BoxError>) -> Option<Result<Event>> {
        let was = std::mem::replace(&mut self.state, State::Ended);
        if was != State::Open {
            return None;
        }
        let rest = std::mem::take(&mut self.cutter).finish();
        // some servers leave out the last blank line
        if cause.is_none()
            && let Some(event) = completed(&rest)
        {
            self.state = State::Complete;
            return Some(Ok(event));
        }
        let error = Error::new(ErrorKind::BadUpstream, "the upstream's stream broke off");
        Some(Err(match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }))
    }

    /// Waits for bytes; ready only when they took too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let patience = match self.state {
            State::Complete => GRACE.min(self.timeouts.idle),
            State::Open | State::Ended => self.timeouts.idle,
        };
        let due = (self.last + patience).min(self.started + self.timeouts.total);
        ready!(self.deadline.poll(cx, due));
        let message = "the upstream's stream fell silent or took too long in all";
        Poll::Ready(Error::new(ErrorKind::Timeout, message))
    }
}

impl<B> Frames<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    /// The next event of the bytes that are there.
    fn cut(&mut self) -> Option<Result<Event>> {
        match self.cutter.next_frame() {
            Ok(frame) => frame.map(|frame| Ok(self.event(frame))),
            Err(e) => {
                self.state = State::Ended;
                Some(Err(e))
            }
        }
    }

    /// Takes in more bytes, or breaks with what the stream ends with.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<Option<Result<Event>>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.last = Instant::now();
                if let Ok(data) = frame.into_data() {
                    self.cutter.push(data);
                }
                Poll::Ready(ControlFlow::Continue(()))
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(ControlFlow::Break(self.end(Some(e)))),
            Poll::Ready(None) => Poll::Ready(ControlFlow::Break(self.end(None))),
            Poll::Pending => self.poll_late(cx).map(|error| {
                let was = std::mem::replace(&mut self.state, State::Ended);
                ControlFlow::Break((was == State::Open).then_some(Err(error)))
            }),
        }
    }
}

impl<B> Stream for Frames<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        while self.state != State::Ended {
            if let Some(event) = self.cut() {
                return Poll::Ready(Some(event));
            }
            if let ControlFlow::Break(last) = ready!(self.poll_bytes(cx)) {
                return Poll::Ready(last);
            }
        }
        Poll::Ready(None)
    }
}

/// The event of a last frame that lacks its blank line, if its data is whole.
fn completed(rest: &Bytes) -> Option<Event> {
    let mut frame = BytesMut::from(&rest[..]);
    frame.extend_from_slice(if rest.ends_with(b"\n") { b"\n" } else { b"\n\n" });
    let event = Event::from_frame(frame.freeze());
    let is_last = matches!(event.kind, EventKind::MessageStop | EventKind::Error);
    let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(&event.data()).is_ok();
    (is_last && is_whole).then_some(event)
}
