//! `Answered`: the result of an exchange, with the headers of its reply or error.
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::auth::life::KeyEnd;
use crate::error::Result;
use crate::exchange::cut;
use crate::net::header_edits::HeaderEdits;
use crate::net::{headers, rate_limits};
use crate::telemetry::money::dollars;
use crate::telemetry::record::Operation;
use crate::telemetry::story::Story;
use crate::wire::{Reply, ReplyBody};

/// The result of an exchange.
pub(crate) struct Answered {
    /// The reply, with complete headers after [`Self::completed`], or the error.
    pub outcome: Result<Reply>,
    /// The headers to set or remove in the response to an error.
    pub headers: HeaderEdits,
    /// The record of the exchange.
    pub story: Arc<Story>,
    /// The edits that come last: those of stages, then the trace.
    last: HeaderEdits,
}

/// Returns the headers that name the last target and the number of attempts; none without an attempt.
pub(super) fn tried(story: &Story) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    if let Some(tried) = story.last_tried() {
        edits.push(headers::TARGET, Some(tried.target));
        edits.push(headers::ATTEMPTS, Some(HeaderValue::from(tried.attempts)));
    }
    edits
}

/// Adds the headers of the price and of the gateway's own time. A stream has its price in the ledger only.
fn priced(story: &Story, body: &ReplyBody, edits: &mut HeaderEdits) {
    let (cost, own, waited) = story.read(|record| {
        let is_whole =
            record.operation == Operation::Messages && matches!(body, ReplyBody::Full(_));
        (is_whole.then(|| record.cost()), record.own_time(), record.waited)
    });
    if let Some(cost) = cost.filter(|cost| cost.unpriced == 0) {
        edits.push(headers::COST, Some(headers::value(&dollars(cost.nano_dollars))));
    }
    let millis = |time: Duration| format!("dur={:.3}", time.as_secs_f64() * 1e3);
    let mut timing = format!("gateway;{}", millis(own));
    if !waited.is_zero() {
        timing.push_str(&format!(", wait;{}", millis(waited)));
    }
    edits.push(headers::SERVER_TIMING, Some(headers::value(&timing)));
}

/// Removes the limits of the upstream's account from an outcome.
pub(super) fn without_rate_limits(outcome: Result<Reply>) -> Result<Reply> {
    let mut outcome = outcome;
    match &mut outcome {
        Ok(reply) => rate_limits::remove(&mut reply.headers),
        Err(error) => {
            if let Some(answer) = error.answer_mut() {
                rate_limits::remove(answer.headers_mut());
            }
        }
    }
    outcome
}

impl Answered {
    /// Collects the gateway's own headers and the edits of stages; [`Self::completed`] applies them.
    pub(super) fn new(outcome: Result<Reply>, stages: HeaderEdits, story: Arc<Story>) -> Self {
        let mut edits = tried(&story);
        if let Ok(reply) = &outcome {
            priced(&story, &reply.body, &mut edits);
        }
        let mut last = stages;
        if let Some(trace) = story.trace() {
            last.push(headers::TRACE, Some(trace));
        }
        Self { outcome, headers: edits, story, last }
    }

    /// Ends a stream with an error if the client's key ends before it.
    pub(super) fn until(self, end: Option<KeyEnd>) -> Self {
        Self { outcome: self.outcome.map(|reply| cut::reply(end, reply)), ..self }
    }

    /// Completes the headers: the gateway's own ones, the client's rate limits, then the edits of stages. A stage may
    /// change or remove a header of the gateway.
    pub(super) fn completed(mut self, rate_limits: Option<HeaderEdits>) -> Self {
        self.headers.extend(rate_limits.unwrap_or_default());
        self.headers.extend(std::mem::take(&mut self.last));
        if let Ok(reply) = &mut self.outcome {
            std::mem::take(&mut self.headers).apply(&mut reply.headers);
        }
        self
    }
}
