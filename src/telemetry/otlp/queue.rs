//! The queue of the exporter: finished exchanges whose spans wait for the collector.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::telemetry::exporter::ExporterMetrics;
use crate::telemetry::otlp::spans;
use crate::telemetry::outbox::{Bounds, Outbox, Size};
use crate::telemetry::story::Story;

/// The most spans that wait, and the most memory of their exchanges.
const ALL: Size = Size { units: 16_384, bytes: 32 << 20 };
const BOUNDS: Bounds =
    Bounds { batch: Size { units: 512, bytes: ALL.bytes }, open: Duration::from_secs(1), all: ALL };

/// The queue.
pub(super) type Queue = Outbox<Finished>;

/// A finished exchange. The exporter makes its spans, so that the worker only adds a pointer.
pub(super) struct Finished {
    /// The record.
    pub(super) story: Arc<Story>,
    /// The time at which it ended.
    pub(super) ended: SystemTime,
}

/// Creates an empty queue.
pub(super) fn queue(metrics: &ExporterMetrics) -> Queue {
    Outbox::new(BOUNDS, metrics.waiting.clone())
}

/// Adds a finished exchange that is sampled; never waits. Beyond the bounds its spans are dropped and counted.
pub(super) fn push(queue: &Queue, story: &Arc<Story>, metrics: &ExporterMetrics) {
    let size = story.read(|record| {
        let bytes = record.memory() as u64;
        record.sampled().map(|_| Size { units: spans::number(record), bytes })
    });
    let Some(size) = size else { return };
    let finished = Finished { story: Arc::clone(story), ended: SystemTime::now() };
    if let Err(reason) = queue.push(finished, size) {
        metrics.dropped(reason, size.units);
    }
}

#[cfg(test)]
mod tests;
