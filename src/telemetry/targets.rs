//! The metrics of targets: exchanges, attempts, tokens and money.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::catalogue::cost::Charge;
use crate::telemetry::inference::{Inference, InferenceMetrics, Inferences};
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::series::{
    Counters, DURATION_BUCKETS, Dollars, FIRST_TOKEN_BUCKETS, Histograms, Labels, TOKEN_BUCKETS,
    Traced, TracedHistograms, add, histograms, labels, observe, traced, traced_histogram,
    with_status,
};
use crate::telemetry::traceparent::TraceId;
use crate::wire::Usage;

/// The families of all targets, and the bundles that were resolved from them.
pub(super) struct Targets {
    requests: Counters,
    streams_ended: Counters,
    durations: TracedHistograms,
    first_tokens: TracedHistograms,
    tokens: Histograms,
    costs: Family<Labels, Dollars>,
    unpriced: Counters,
    attempts: Counters,
    inferences: Inferences,
    bundles: Mutex<HashMap<[String; 3], Arc<TargetMetrics>>>,
}

/// The metrics of requests to one target of one alias.
pub struct TargetMetrics {
    labels: Labels,
    requests: Counters,
    successes: Counter,
    /// One counter for each [`Ending`], in its order.
    streams_ended: [Counter; 3],
    attempts: [Counter; 4],
    duration: Traced,
    first_token: Traced,
    /// Histograms in this order: input, output, cache writes, cache reads.
    tokens: [Histogram; 4],
    cost: Dollars,
    unpriced: Counter,
    inference: InferenceMetrics,
}

/// A finished exchange, as its target counts it.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// The status that the client received.
    pub status: u16,
    /// From the head of the request to the last byte of the answer.
    pub duration: Duration,
    /// From the head of the request to the first event.
    pub first_event: Option<Duration>,
    /// How the stream ended; `None` for an answer that did not stream.
    pub stream_ended: Option<Ending>,
    /// The trace, if its spans are exported.
    pub(super) trace: Option<TraceId>,
}

impl fmt::Debug for TargetMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetMetrics").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl Targets {
    pub(super) fn new(r: &mut Registry) -> Self {
        let ended = "Streamed responses, by ending";
        let duration = "Time from the head of a request to the last byte of its response";
        let first = "Time from the head of a request to the first event of its response";
        let tokens = "Tokens of an exchange, by type; cache reads and writes are not part of input";
        let cost = "US dollars for the tokens and calls that have a price";
        let unpriced = "Tokens of models without a price";
        Self {
            requests: add(r, "requests", "Requests answered", Family::default()),
            streams_ended: add(r, "streams_ended", ended, Family::default()),
            durations: traced(r, "gen_ai_server_request_duration_seconds", duration, || {
                traced_histogram(DURATION_BUCKETS)
            }),
            first_tokens: traced(r, "gen_ai_server_time_to_first_token_seconds", first, || {
                traced_histogram(FIRST_TOKEN_BUCKETS)
            }),
            tokens: histograms(r, "gen_ai_client_token_usage", tokens, || {
                Histogram::new(TOKEN_BUCKETS.iter().copied())
            }),
            costs: add(r, "cost_usd", cost, Family::default()),
            unpriced: add(r, "unpriced_tokens", unpriced, Family::default()),
            attempts: add(r, "attempts", "Upstream requests", Family::default()),
            inferences: Inferences::new(r),
            bundles: Mutex::default(),
        }
    }

    /// Returns the bundle of a target.
    pub(super) fn get(&self, key: [String; 3]) -> Arc<TargetMetrics> {
        let mut bundles = self.bundles.lock();
        let bundle = bundles.entry(key).or_insert_with_key(|key| Arc::new(self.resolve(key)));
        Arc::clone(bundle)
    }

    /// Counts an attempt on a forwarded route.
    pub(super) fn attempted(&self, provider: &str, outcome: AttemptOutcome) {
        let labels = labels([("provider", provider), ("outcome", outcome.as_str())]);
        self.attempts.get_or_create(&labels).inc();
    }

    fn resolve(&self, [alias, provider, model]: &[String; 3]) -> TargetMetrics {
        let request = labels([
            ("gen_ai_operation_name", "chat"),
            ("gen_ai_provider_name", provider),
            ("gen_ai_request_model", alias),
            ("target_model", model),
        ]);
        let tokens = ["input", "output", "cache_creation", "cache_read"].map(|kind| {
            let mut labels = request.clone();
            labels.insert(0, ("gen_ai_token_type", kind.to_owned()));
            self.tokens.get_or_create_owned(&labels)
        });
        let attempts = ["success", "refused", "failed", "timed_out"].map(|outcome| {
            let labels = labels([("provider", provider.as_str()), ("outcome", outcome)]);
            self.attempts.get_or_create_owned(&labels)
        });
        let streams_ended = [Ending::Whole, Ending::CallerLeft, Ending::Broken].map(|ending| {
            let ending = ("ending", ending.as_str());
            let labels = labels([("model", alias.as_str()), ("provider", provider), ending]);
            self.streams_ended.get_or_create_owned(&labels)
        });
        let of_model =
            labels([("model", alias.as_str()), ("provider", provider), ("target_model", model)]);
        let labels = labels([("model", alias), ("provider", provider)]);
        TargetMetrics {
            streams_ended,
            successes: self.requests.get_or_create_owned(&with_status(&labels, 200)),
            requests: self.requests.clone(),
            attempts,
            duration: self.durations.get_or_create_owned(&request),
            first_token: self.first_tokens.get_or_create_owned(&request),
            tokens,
            cost: self.costs.get_or_create_owned(&of_model),
            unpriced: self.unpriced.get_or_create_owned(&of_model),
            inference: self.inferences.of(&request),
            labels,
        }
    }
}

impl TargetMetrics {
    /// Adds a finished exchange.
    pub fn observe(&self, exchange: &Finished) {
        match exchange.status {
            200 => self.successes.inc(),
            status => self.requests.get_or_create(&with_status(&self.labels, status)).inc(),
        };
        if let Some(ending) = exchange.stream_ended {
            let [whole, caller_left, broken] = &self.streams_ended;
            match ending {
                Ending::Whole => whole.inc(),
                Ending::CallerLeft => caller_left.inc(),
                Ending::Broken => broken.inc(),
            };
        }
        observe(&self.duration, exchange.duration.as_secs_f64(), exchange.trace);
        if let Some(first) = exchange.first_event {
            observe(&self.first_token, first.as_secs_f64(), exchange.trace);
        }
    }

    /// Adds a finished attempt by the names of the current conventions.
    pub(super) fn inferred(&self, attempt: &Inference) {
        self.inference.observe(attempt);
    }

    /// Adds the tokens of a finished exchange.
    pub fn used(&self, usage: Usage) {
        let counts = [usage.input, usage.output, usage.cache_creation, usage.cache_read];
        // an error uses no tokens: it would only lower the distribution
        for (tokens, count) in self.tokens.iter().zip(counts).filter(|(_, count)| *count > 0) {
            tokens.observe(count as f64);
        }
    }

    /// Adds the cost of a finished exchange.
    pub(crate) fn cost(&self, charge: &Charge) {
        self.cost.inc_by(charge.total().nano_dollars() as f64 / 1e9);
        self.unpriced.inc_by(charge.unpriced);
    }

    /// Adds one attempt.
    pub fn attempted(&self, outcome: AttemptOutcome) {
        let [success, refused, failed, timed_out] = &self.attempts;
        match outcome {
            AttemptOutcome::Success => success.inc(),
            AttemptOutcome::Refused => refused.inc(),
            AttemptOutcome::Failed => failed.inc(),
            AttemptOutcome::TimedOut => timed_out.inc(),
        };
    }
}
