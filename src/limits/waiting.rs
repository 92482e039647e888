//! `Waits`: the wait of one request for limits: how long, in which line, and when it tries again.
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::auth::Caller;
use crate::limits::queue::{LineId, Place};
use crate::limits::rules::Limits;
use crate::telemetry::limits::Waited;

/// A request that may have to wait.
#[derive(Debug)]
pub(crate) struct Waits<'a> {
    limits: &'a Limits,
    caller: &'a Caller,
    begun: Instant,
    /// The end of the request's own time.
    end: Option<Instant>,
    place: Option<(Place, Instant)>,
    /// Whether a line was full, so that the request does not wait.
    is_full: bool,
    /// The time that was spent in lines.
    waited: Duration,
}

/// A limit that a request may wait for.
#[derive(Debug, Clone)]
pub(crate) struct Free {
    /// The line.
    pub(crate) line: LineId,
    /// The longest wait by the rule.
    pub(crate) most: Duration,
    /// The time after which the request fits, if nothing else comes.
    pub(crate) after: Duration,
    /// Whether the limit may free earlier, by the end of a running request.
    pub(crate) may_free: bool,
}

impl<'a> Waits<'a> {
    pub(super) fn new(limits: &'a Limits, caller: &'a Caller, end: Option<Instant>) -> Self {
        Self {
            limits,
            caller,
            begun: Instant::now(),
            end,
            place: None,
            is_full: false,
            waited: Duration::ZERO,
        }
    }

    /// Takes a place after the requests that wait already, in the first of these lines that has some. A place in one of
    /// the lines is kept; a place in another line is left.
    pub(crate) fn after_others(&mut self, lines: impl IntoIterator<Item = (LineId, Duration)>) {
        let (queue, held) = (&self.limits.queue, self.place.as_ref().map(|(place, _)| &place.line));
        let mut first = None;
        for (line, most) in lines {
            if held == Some(&line) {
                return;
            }
            if first.is_none() && queue.has(&line) {
                first = Some((line, most));
            }
        }
        self.place.take().into_iter().for_each(|(place, _)| place.moved());
        if let Some((line, most)) = first {
            self.enter(line, self.until(most));
        }
    }

    /// Waits for the request's turn. At the end of its time it has a last try.
    pub(crate) async fn turn(&mut self) {
        if let Some((place, until)) = &self.place {
            let begun = Instant::now();
            drop(timeout_at(*until, place.turn()).await);
            self.waited += begun.elapsed();
        }
    }

    /// Returns the time that the request has waited.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// Waits after a refusal until the request may try again. Returns whether it may: not if its time is over, or if the
    /// limit is not free in time. A request that has just entered the line tries at once: the limit may have become free
    /// between the refusal and the entry, and nothing wakes it then.
    pub(crate) async fn again(&mut self, free: Option<Free>) -> bool {
        let Some(Free { line, most, after, may_free }) = free else { return self.refused() };
        let (now, until) = (Instant::now(), self.until(most));
        if until <= now || (!may_free && now + after > until) {
            return self.refused();
        }
        match self.place.take() {
            Some((place, _)) if place.line == line => {
                place.pause(self.limits.store.next_try(after).min(until - now)).await;
                self.waited += now.elapsed();
                self.place = Some((place, until));
            }
            other => {
                other.into_iter().for_each(|(place, _)| place.moved());
                self.enter(line, until);
            }
        }
        self.place.is_some()
    }

    /// Ends the wait of a request that fits.
    pub(crate) fn admitted(&mut self) {
        self.place.take().into_iter().for_each(|(place, _)| place.ended(Waited::Admitted));
    }

    fn refused(&mut self) -> bool {
        self.place.take().into_iter().for_each(|(place, _)| place.ended(Waited::Refused));
        false
    }

    fn enter(&mut self, line: LineId, until: Instant) {
        if self.is_full {
            return;
        }
        let place = self.limits.queue.enter(line, self.caller, &self.limits.metrics);
        self.is_full = place.is_none();
        self.place = place.map(|place| (place, until));
    }

    fn until(&self, most: Duration) -> Instant {
        let until = self.begun + most;
        self.end.map_or(until, |end| end.min(until))
    }
}
