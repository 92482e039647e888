//! Metrics of the export of traces: spans that wait, are exported, or are lost.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{Counters, add, labels};

/// The metrics of the export. Cloning shares them.
#[derive(Clone)]
pub(crate) struct ExporterMetrics {
    /// `tidegate_otlp_queue_spans`
    pub(crate) waiting: Gauge,
    /// `tidegate_otlp_exported_total`
    pub(crate) exported: Counter,
    /// `tidegate_otlp_failures_total`
    pub(crate) failures: Counter,
    dropped: Counters,
}

/// The reason for which spans are not exported, or events are not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The queue was full.
    Full,
    /// The receiver was away until the last retry.
    Failed,
    /// The receiver rejected them.
    Rejected,
    /// The gateway stopped before they were sent.
    Stopped,
}

impl Dropped {
    pub(super) const ALL: [Self; 4] = [Self::Full, Self::Failed, Self::Rejected, Self::Stopped];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
        }
    }
}

impl ExporterMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        let waiting = "Spans that wait for the collector";
        let failures = "Failed attempts to export spans";
        let dropped: Counters =
            add(r, "otlp_dropped", "Spans that were not exported", Family::default());
        for reason in Dropped::ALL {
            dropped.get_or_create_owned(&labels([("reason", reason.as_str())]));
        }
        Self {
            waiting: add(r, "otlp_queue_spans", waiting, Gauge::default()),
            exported: add(r, "otlp_exported", "Spans that a collector took", Counter::default()),
            failures: add(r, "otlp_failures", failures, Counter::default()),
            dropped,
        }
    }

    /// Counts spans that are not exported.
    pub(crate) fn dropped(&self, reason: Dropped, spans: u64) {
        self.dropped.get_or_create_owned(&labels([("reason", reason.as_str())])).inc_by(spans);
    }
}
