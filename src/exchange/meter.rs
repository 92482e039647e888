//! `Meter`: ends the record of an exchange once: with the whole answer, an error, or a caller that leaves.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use crate::error::Result;
use crate::exchange::answered::Answered;
use crate::gateway::Gateway;
use crate::limits::{Admission, Source};
use crate::telemetry::live::LiveId;
use crate::telemetry::outcome::Ending;
use crate::telemetry::record::Operation;
use crate::telemetry::recording::Recording;
use crate::telemetry::story::Story;
use crate::wire::{Event, EventKind, EventStream, Reply, ReplyBody};

/// A running exchange.
pub(super) struct Meter {
    /// The gateway, held to the end of the stream: a generation lives as long as its last request.
    gateway: Arc<Gateway>,
    story: Arc<Story>,
    /// The reservation of limits and budgets.
    admission: Option<Arc<Admission>>,
    /// The place among the exchanges in progress.
    live: Option<LiveId>,
    /// The recording of its bodies, if it is recorded.
    recording: Option<Arc<Recording>>,
    is_finished: bool,
}

impl Meter {
    /// Starts to count the exchange.
    pub(super) fn start(gateway: &Arc<Gateway>, story: &Arc<Story>, source: Source) -> Self {
        gateway.shared.metrics.active_requests.inc();
        let is_free = story.read(|record| record.operation == Operation::CountTokens);
        let limits = gateway.limits.as_ref().filter(|_| !is_free);
        Self {
            gateway: Arc::clone(gateway),
            story: Arc::clone(story),
            admission: limits.map(|limits| Admission::new(limits, source)),
            live: gateway.shared.exchanges.begin(story),
            recording: None,
            is_finished: false,
        }
    }

    /// Records the exchange up to its end.
    pub(super) fn record(&mut self, recording: Option<Arc<Recording>>) {
        recording.iter().for_each(|recording| self.story.record_in(recording));
        self.recording = recording;
    }

    /// Returns the reservation, which the meter settles at the end.
    pub(super) fn admission(&self) -> Option<Arc<Admission>> {
        self.admission.clone()
    }

    /// Takes the answer and completes its headers. Ends the record at once if the answer is whole, else at the end of
    /// its stream.
    pub(super) fn settle(mut self, answered: Answered) -> Answered {
        let (admission, mut answered) = (self.admission(), answered);
        answered.outcome = match answered.outcome {
            Err(error) => {
                self.story.refused(&error);
                self.finish(Ending::Whole);
                Err(error)
            }
            Ok(reply) => {
                self.story.answered(reply.status.as_u16());
                Ok(self.follow(reply))
            }
        };
        let is_served = matches!(&answered.outcome, Ok(reply) if reply.status.is_success());
        let own = admission.and_then(|admission| {
            let mut own = admission.headers()?;
            own.extend(match is_served {
                true => admission.standing(),
                false => admission.exhaustion(),
            });
            Some(own)
        });
        answered.completed(own)
    }

    fn follow(mut self, reply: Reply) -> Reply {
        let body = match reply.body {
            ReplyBody::Full(body) => {
                self.finish(Ending::Whole);
                ReplyBody::Full(body)
            }
            ReplyBody::Events(events) => {
                self.story.streams();
                ReplyBody::Events(Box::pin(Metered { events, meter: self, has_begun: false }))
            }
        };
        Reply { body, ..reply }
    }

    /// Ends the record; later calls do nothing.
    pub(super) fn finish(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let shared = &self.gateway.shared;
        self.story.end(ending, &shared.metrics);
        if let Some(admission) = &self.admission {
            self.story.read(|record| admission.settle(record));
        }
        self.recording.take().iter().for_each(|recording| recording.end());
        shared.exchanges.end(self.live, &self.story);
        shared.ledger.enter(&self.story);
        shared.otlp.enter(&self.story);
        self.gateway.events.exchange_ended(&self.story);
        shared.metrics.active_requests.dec();
    }
}

impl Drop for Meter {
    /// Only counts: an exchange that is dropped before its end has lost its caller.
    fn drop(&mut self) {
        self.finish(Ending::CallerLeft);
    }
}

/// The stream that the caller reads.
struct Metered {
    events: EventStream,
    meter: Meter,
    has_begun: bool,
}

impl Metered {
    fn see(&mut self, event: &Event) {
        if !self.has_begun {
            self.has_begun = true;
            self.meter.story.first_event();
        }
        if event.kind == EventKind::Error {
            self.meter.finish(Ending::Broken);
        }
    }
}

impl Stream for Metered {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        let polled = self.events.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(event))) => self.see(event),
            Poll::Ready(Some(Err(_))) => self.meter.finish(Ending::Broken),
            Poll::Ready(None) => self.meter.finish(Ending::Whole),
            Poll::Pending => {}
        }
        polled
    }
}
