//! The metrics: their names and labels, and bundles resolved in advance, so that requests only add.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::circuits::CircuitMetrics;
use crate::telemetry::exporter::ExporterMetrics;
use crate::telemetry::exposition::Format;
use crate::telemetry::intakes::Intakes;
use crate::telemetry::ledger::LedgerMetrics;
use crate::telemetry::limits::LimitMetrics;
use crate::telemetry::lives::StageBook;
use crate::telemetry::losses::Losses;
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::plugins::PluginMetrics;
pub(crate) use crate::telemetry::policies::PolicyMetrics;
use crate::telemetry::series::{Counters, DURATION_BUCKETS, Histograms, add, histograms, labels};
use crate::telemetry::sinks::Sinks;
use crate::telemetry::targets::Targets;
pub(crate) use crate::telemetry::targets::{Finished, TargetMetrics};

/// Bucket bounds in seconds: a script takes microseconds, a plugin that fetches may take seconds.
const STAGE_BUCKETS: &[f64] =
    &[0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Every metric of the process; it outlives generations.
pub struct Metrics {
    registry: Registry,
    targets: Targets,
    forwarded: Counters,
    stage_durations: Histograms,
    stage_failures: Counters,
    tool_calls: Counters,
    tool_durations: Histograms,
    plugins: Plugins,
    reloads: Reloads,
    policies: PolicyMetrics,
    /// The metrics of the ledger.
    pub(crate) ledger: LedgerMetrics,
    /// The counters of things that are dropped early.
    pub(crate) losses: Losses,
    /// The metrics of the export of traces.
    pub(crate) exporter: ExporterMetrics,
    /// The counters of the telemetry that clients send.
    pub(crate) intakes: Intakes,
    /// The metrics of the sinks of events.
    pub(crate) sinks: Sinks,
    limits: LimitMetrics,
    /// The metrics of the targets' health.
    pub(crate) circuits: CircuitMetrics,
    /// The runs of stages and server tools, for the admin API.
    pub(crate) lives: StageBook,
    /// Requests in progress, streams included.
    pub active_requests: Gauge,
    /// Generations that still serve a request, with the current one.
    pub generations_live: Gauge,
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

/// The metrics of one hook of one stage.
#[derive(Clone)]
pub struct StageMetrics {
    duration: Histogram,
    failures: Counter,
}

/// The metrics of calls of one server tool.
#[derive(Clone)]
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
            targets: Targets::new(r),
            forwarded: add(
                r,
                "forwarded_requests",
                "Requests on forwarded routes",
                Family::default(),
            ),
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
            policies: PolicyMetrics::new(r),
            circuits: CircuitMetrics::new(r),
            lives: StageBook::default(),
            ledger: LedgerMetrics::new(r),
            losses: Losses::new(r),
            exporter: ExporterMetrics::new(r),
            intakes: Intakes::new(r),
            sinks: Sinks::new(r),
            limits: LimitMetrics::new(r),
            registry,
        }
    }

    /// Returns the bundle of a target. `alias` and `model` are names of the config, never of a client's
    /// request: a model taken from the request is `*`. Labels that are unknown, as for a request without
    /// a target, are `""`.
    pub fn target(&self, alias: &str, provider: &str, model: &str) -> Arc<TargetMetrics> {
        self.targets.get([alias, provider, model].map(str::to_owned))
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
        self.targets.attempted(provider, outcome);
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

    /// Returns all metrics in OpenMetrics text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// Returns all metrics as text in a format.
    pub(crate) fn encode_as(&self, format: Format) -> Result<String, fmt::Error> {
        self.encode().map(|text| format.of(text))
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
        let tries: Counters =
            add(r, "config_reloads", "Attempts to load the config", Family::default());
        for result in ["ok", "error"] {
            tries.get_or_create_owned(&labels([("result", result)]));
        }
        Self {
            tries,
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

#[cfg(test)]
mod tests;
