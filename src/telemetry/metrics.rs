//! The metrics: their names and labels, and bundles resolved in advance, so that requests only add.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::catalogue::cost::Charge;
use crate::telemetry::ledger::LedgerMetrics;
use crate::telemetry::limits::LimitMetrics;
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::plugins::PluginMetrics;
pub(crate) use crate::telemetry::policies::PolicyMetrics;
use crate::telemetry::series::{
    Counters, Dollars, Histograms, Labels, add, histograms, labels, with_status,
};
use crate::wire::Usage;

/// The content type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bucket bounds in seconds: from OpenTelemetry's GenAI conventions, with more for long responses.
const DURATION_BUCKETS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
/// Bucket bounds in seconds, from the same conventions.
const FIRST_TOKEN_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0, 120.0,
];
/// Bucket bounds in tokens, from the same conventions.
const TOKEN_BUCKETS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];
/// Bucket bounds in seconds: a script takes microseconds, a plugin that fetches may take seconds.
const STAGE_BUCKETS: &[f64] =
    &[0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

type Targets = HashMap<[String; 3], Arc<TargetMetrics>>;

/// Every metric of the process; it outlives generations.
pub struct Metrics {
    registry: Registry,
    requests: Counters,
    streams_ended: Counters,
    forwarded: Counters,
    durations: Histograms,
    first_tokens: Histograms,
    tokens: Histograms,
    money: Money,
    attempts: Counters,
    stage_durations: Histograms,
    stage_failures: Counters,
    tool_calls: Counters,
    tool_durations: Histograms,
    plugins: Plugins,
    reloads: Reloads,
    policies: PolicyMetrics,
    /// The metrics of the ledger.
    pub(crate) ledger: LedgerMetrics,
    limits: LimitMetrics,
    targets: Mutex<Targets>,
    /// Requests in progress, streams included.
    pub active_requests: Gauge,
    /// Generations that still serve a request, with the current one.
    pub generations_live: Gauge,
}

struct Money {
    costs: Family<Labels, Dollars>,
    unpriced: Counters,
}

struct Plugins {
    openings: Counters,
    refusals: Counters,
}

struct Reloads {
    tries: Counters,
    last_was_successful: Gauge,
    last_success: Gauge<f64, AtomicU64>,
}

/// The metrics of requests to one target of one alias.
pub struct TargetMetrics {
    labels: Labels,
    requests: Counters,
    successes: Counter,
    /// One counter for each [`Ending`], in its order.
    streams_ended: [Counter; 3],
    attempts: [Counter; 4],
    duration: Histogram,
    first_token: Histogram,
    /// Histograms in this order: input, output, cache writes, cache reads.
    tokens: [Histogram; 4],
    cost: Dollars,
    unpriced: Counter,
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
}

impl fmt::Debug for TargetMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetMetrics").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// The metrics of one hook of one stage.
pub struct StageMetrics {
    duration: Histogram,
    failures: Counter,
}

/// The metrics of calls of one server tool.
pub struct ToolMetrics {
    successes: Counter,
    failures: Counter,
    duration: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Returns all metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let r = &mut registry;
        // the encoder adds `_total` to the names of counters
        Self {
            requests: add(r, "requests", "Requests answered", Family::default()),
            streams_ended: add(
                r,
                "streams_ended",
                "Streamed responses, by ending",
                Family::default(),
            ),
            forwarded: add(
                r,
                "forwarded_requests",
                "Requests on forwarded routes",
                Family::default(),
            ),
            durations: histograms(
                r,
                "gen_ai_server_request_duration_seconds",
                "Time from the head of a request to the last byte of its response",
                || Histogram::new(DURATION_BUCKETS.iter().copied()),
            ),
            first_tokens: histograms(
                r,
                "gen_ai_server_time_to_first_token_seconds",
                "Time from the head of a request to the first event of its response",
                || Histogram::new(FIRST_TOKEN_BUCKETS.iter().copied()),
            ),
            tokens: histograms(
                r,
                "gen_ai_client_token_usage",
                "Tokens of an exchange, by type; cache reads and writes are not part of input",
                || Histogram::new(TOKEN_BUCKETS.iter().copied()),
            ),
            money: Money::new(r),
            attempts: add(r, "attempts", "Upstream requests", Family::default()),
            stage_durations: histograms(
                r,
                "stage_duration_seconds",
                "Duration of a stage's hook",
                || Histogram::new(STAGE_BUCKETS.iter().copied()),
            ),
            stage_failures: add(r, "stage_failures", "Failed runs of stages", Family::default()),
            tool_calls: add(r, "server_tool_calls", "Server tool calls", Family::default()),
            tool_durations: histograms(
                r,
                "server_tool_duration_seconds",
                "Duration of a server tool call",
                || Histogram::new(DURATION_BUCKETS.iter().copied()),
            ),
            plugins: Plugins::new(r),
            reloads: Reloads::new(r),
            active_requests: add(r, "active_requests", "Requests in progress", Gauge::default()),
            generations_live: add(r, "generations_live", "Generations in use", Gauge::default()),
            policies: policies(r),
            ledger: LedgerMetrics::new(r),
            limits: LimitMetrics::new(r),
            targets: Mutex::default(),
            registry,
        }
    }

    /// Returns the bundle of a target. `alias` and `model` are names of the config, never of a client's
    /// request: a model taken from the request is `*`. Labels that are unknown, as for a request without
    /// a target, are `""`.
    pub fn target(&self, alias: &str, provider: &str, model: &str) -> Arc<TargetMetrics> {
        let key = [alias, provider, model].map(str::to_owned);
        let mut targets = self.targets.lock();
        let bundle = targets.entry(key).or_insert_with_key(|key| Arc::new(self.resolve(key)));
        Arc::clone(bundle)
    }

    /// Returns the bundle of a hook (`on_request`, …) of a stage.
    pub fn stage(&self, stage: &str, hook: &'static str) -> StageMetrics {
        let labels = labels([("stage", stage), ("hook", hook)]);
        StageMetrics {
            duration: self.stage_durations.get_or_create_owned(&labels),
            failures: self.stage_failures.get_or_create_owned(&labels),
        }
    }

    /// Returns the bundle of a plugin's server tool (`gateway:datetime`).
    pub fn tool(&self, tool: &str) -> ToolMetrics {
        let calls = |outcome| {
            self.tool_calls.get_or_create_owned(&labels([("tool", tool), ("outcome", outcome)]))
        };
        ToolMetrics {
            successes: calls("ok"),
            failures: calls("error"),
            duration: self.tool_durations.get_or_create_owned(&labels([("tool", tool)])),
        }
    }

    /// Returns the counters of a plugin, by its file name.
    pub fn plugin(&self, plugin: &str) -> PluginMetrics {
        let labels = labels([("plugin", plugin)]);
        PluginMetrics {
            opened: self.plugins.openings.get_or_create_owned(&labels),
            refused: self.plugins.refusals.get_or_create_owned(&labels),
        }
    }

    /// Returns the metrics that policies define.
    pub fn policies(&self) -> PolicyMetrics {
        self.policies.clone()
    }

    /// Returns the counters of limits and budgets.
    pub(crate) fn limits(&self) -> &LimitMetrics {
        &self.limits
    }

    /// Counts a finished request on a forwarded route.
    pub fn forwarded(&self, provider: &str, status: u16, ending: Ending) {
        let status = status.to_string();
        let ending = ("ending", ending.as_str());
        let labels = labels([("provider", provider), ("status", &status), ending]);
        self.forwarded.get_or_create(&labels).inc();
    }

    /// Counts an attempt on a forwarded route.
    pub fn attempted(&self, provider: &str, outcome: AttemptOutcome) {
        let labels = labels([("provider", provider), ("outcome", outcome.as_str())]);
        self.attempts.get_or_create(&labels).inc();
    }

    /// Records that a config is in effect from now on, also the first one.
    pub fn reloaded(&self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reloads.tries.get_or_create(&labels([("result", "ok")])).inc();
        self.reloads.last_was_successful.set(1);
        self.reloads.last_success.set(since.as_secs_f64());
    }

    /// Records that a config was read and could not be loaded.
    pub fn reload_failed(&self) {
        self.reloads.tries.get_or_create(&labels([("result", "error")])).inc();
        self.reloads.last_was_successful.set(0);
    }

    /// Returns all metrics in the format of [`CONTENT_TYPE`].
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
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
            cost: self.money.costs.get_or_create_owned(&of_model),
            unpriced: self.money.unpriced.get_or_create_owned(&of_model),
            labels,
        }
    }
}

impl Money {
    fn new(r: &mut Registry) -> Self {
        Self {
            costs: add(
                r,
                "cost_usd",
                "US dollars for the tokens and calls that have a price",
                Family::default(),
            ),
            unpriced: add(
                r,
                "unpriced_tokens",
                "Tokens of models without a price",
                Family::default(),
            ),
        }
    }
}

impl Plugins {
    fn new(r: &mut Registry) -> Self {
        Self {
            openings: add(
                r,
                "plugin_breaker_openings",
                "Times that a plugin was suspended after repeated failures",
                Family::default(),
            ),
            refusals: add(
                r,
                "plugin_refused_calls",
                "Calls rejected while their plugin was suspended",
                Family::default(),
            ),
        }
    }
}

impl Reloads {
    fn new(r: &mut Registry) -> Self {
        Self {
            tries: add(r, "config_reloads", "Attempts to load the config", Family::default()),
            last_was_successful: add(
                r,
                "config_last_reload_successful",
                "Whether the last attempt to load the config succeeded",
                Gauge::default(),
            ),
            last_success: add(
                r,
                "config_last_reload_success_timestamp_seconds",
                "Time at which the current config was loaded",
                Gauge::default(),
            ),
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
        self.duration.observe(exchange.duration.as_secs_f64());
        if let Some(first) = exchange.first_event {
            self.first_token.observe(first.as_secs_f64());
        }
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

impl StageMetrics {
    /// Adds one run of the hook, failed or not.
    pub fn observe(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a failed run (error, trap, deadline); a `deny` is not a failure.
    pub fn failed(&self) {
        self.failures.inc();
    }
}

impl ToolMetrics {
    /// Adds a call that returned a result.
    pub fn succeeded(&self, took: Duration) {
        self.successes.inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Adds a call that returned an error.
    pub fn failed(&self, took: Duration) {
        self.failures.inc();
        self.duration.observe(took.as_secs_f64());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn policies(registry: &mut Registry) -> PolicyMetrics {
    let policies = PolicyMetrics::default();
    let (counts, requests) = (policies.counts.clone(), policies.requests.clone());
    add(registry, "policy_counts", "Counters that policies add to with `count`", counts);
    add(registry, "tagged_requests", "Requests that policies tagged with `tag`", requests);
    let tokens = policies.tokens.clone();
    add(registry, "tagged_tokens", "Tokens of requests that policies tagged, by type", tokens);
    policies
}

#[cfg(test)]
mod tests;
