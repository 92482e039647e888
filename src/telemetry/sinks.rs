//! Metrics of the sinks: events that wait, are delivered, or are lost.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::exporter::Dropped;
use crate::telemetry::series::{Counters, Labels, add, labels};

/// The metrics of all sinks. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Sinks {
    waiting: Family<Labels, Gauge>,
    delivered: Counters,
    failures: Counters,
    dropped: Counters,
}

/// The metrics of one sink.
#[derive(Clone)]
pub(crate) struct SinkMetrics {
    /// `tidegate_sink_queue_events`
    pub(crate) waiting: Gauge,
    /// `tidegate_sink_delivered_total`
    pub(crate) delivered: Counter,
    /// `tidegate_sink_failures_total`
    pub(crate) failures: Counter,
    /// `tidegate_sink_dropped_total`, by reason.
    dropped: [Counter; Dropped::ALL.len()],
}

impl Sinks {
    pub(super) fn new(r: &mut Registry) -> Self {
        let failures = "Failed attempts to deliver events to a sink";
        Self {
            waiting: add(r, "sink_queue_events", "Events that wait for a sink", Family::default()),
            delivered: add(r, "sink_delivered", "Events that a sink took", Family::default()),
            failures: add(r, "sink_failures", failures, Family::default()),
            dropped: add(r, "sink_dropped", "Events that a sink lost", Family::default()),
        }
    }

    /// Returns the metrics of a sink by its name in the config.
    pub(crate) fn of(&self, sink: &str) -> SinkMetrics {
        let own = labels([("sink", sink)]);
        SinkMetrics {
            waiting: self.waiting.get_or_create_owned(&own),
            delivered: self.delivered.get_or_create_owned(&own),
            failures: self.failures.get_or_create_owned(&own),
            dropped: Dropped::ALL.map(|reason| {
                let own = labels([("sink", sink), ("reason", reason.as_str())]);
                self.dropped.get_or_create_owned(&own)
            }),
        }
    }
}

impl SinkMetrics {
    /// Counts events that are not delivered.
    pub(crate) fn dropped(&self, reason: Dropped, events: u64) {
        let at = Dropped::ALL.iter().position(|known| *known == reason).unwrap_or_default();
        self.dropped[at].inc_by(events);
    }
}
