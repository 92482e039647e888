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
        Self { limits, caller, begun: Instant::now(), end, place: None }
    }

    /// Takes a place after the requests that wait in a line already.
    pub(crate) fn after_others(&mut self, line: LineId, most: Duration) {
        if self.place.is_none() && self.limits.queue.has(&line) {
            self.enter(line, self.until(most));
        }
    }

    /// Waits for the request's turn. At the end of its time it has a last try.
    pub(crate) async fn turn(&self) {
        if let Some((place, until)) = &self.place {
            drop(timeout_at(*until, place.turn()).await);
        }
    }

    /// Waits after a refusal until the request may try again. Returns whether it may: not if its time is over, or if the
    /// limit is not free in time.
    pub(crate) async fn again(&mut self, free: Option<Free>) -> bool {
        let Some(Free { line, most, after, may_free }) = free else { return self.refused() };
        let (now, until) = (Instant::now(), self.until(most));
        if until <= now || (!may_free && now + after > until) {
            return self.refused();
        }
        match self.place.take() {
            Some((place, _)) if place.line == line => self.place = Some((place, until)),
            other => {
                other.into_iter().for_each(|(place, _)| place.moved());
                self.enter(line, until);
            }
        }
        let Some((place, _)) = &self.place else { return false };
        place.pause(self.limits.store.next_try(after).min(until - now)).await;
        true
    }

    /// Ends the wait of a request that fits.
    pub(crate) fn admitted(self) {
        self.place.into_iter().for_each(|(place, _)| place.ended(Waited::Admitted));
    }

    fn refused(&mut self) -> bool {
        self.place.take().into_iter().for_each(|(place, _)| place.ended(Waited::Refused));
        false
    }

    fn enter(&mut self, line: LineId, until: Instant) {
        let place = self.limits.queue.enter(line, self.caller, &self.limits.metrics);
        self.place = place.map(|place| (place, until));
    }

    fn until(&self, most: Duration) -> Instant {
        let until = self.begun + most;
        self.end.map_or(until, |end| end.min(until))
    }
}
