//! Families of metrics by their labels, and how they are registered.
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::telemetry::traceparent::TraceId;

pub(super) type Labels = Vec<(&'static str, String)>;
pub(super) type Histograms = Family<Labels, Histogram, fn() -> Histogram>;
pub(super) type Traced = HistogramWithExemplars<Labels>;
pub(super) type TracedHistograms = Family<Labels, Traced, fn() -> Traced>;
pub(super) type Counters = Family<Labels, Counter>;
pub(super) type Dollars = Counter<f64, AtomicU64>;

/// Bucket bounds in tokens, from OpenTelemetry's GenAI conventions.
pub(super) const TOKEN_BUCKETS: &[f64] = &[
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
    16_777_216.0,
    67_108_864.0,
];

/// Bucket bounds in seconds: from OpenTelemetry's GenAI conventions, with more for long responses.
pub(super) const DURATION_BUCKETS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
/// Bucket bounds in seconds, from the same conventions.
pub(super) const FIRST_TOKEN_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0, 120.0,
];

pub(super) fn add<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

pub(super) fn histograms(
    registry: &mut Registry,
    name: &str,
    help: &str,
    make: fn() -> Histogram,
) -> Histograms {
    add(registry, name, help, Family::new_with_constructor(make))
}

/// Adds a family of histograms with exemplars.
pub(super) fn traced(
    registry: &mut Registry,
    name: &str,
    help: &str,
    make: fn() -> Traced,
) -> TracedHistograms {
    add(registry, name, help, Family::new_with_constructor(make))
}

/// Returns a histogram with exemplars.
pub(super) fn traced_histogram(buckets: &[f64]) -> Traced {
    Traced::new(buckets.iter().copied())
}

/// Adds a value. The exemplar is the trace, if its spans are exported.
pub(super) fn observe(histogram: &Traced, value: f64, trace: Option<TraceId>) {
    let exemplar = trace.map(|id| vec![("trace_id", id.to_string())]);
    let now = exemplar.as_ref().map(|_| SystemTime::now());
    histogram.observe(value, exemplar, now);
}

pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

pub(super) fn with_status(labels: &Labels, status: u16) -> Labels {
    let mut labels = labels.clone();
    labels.push(("status", status.to_string()));
    labels
}
