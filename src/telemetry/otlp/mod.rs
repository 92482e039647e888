//! Traces by OTLP over HTTP: a span for each exchange with its stages, attempts and tools, made from the record.
pub(crate) mod config;
mod encode;
mod export;
mod messages;
mod queue;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::error::Problem;
use crate::telemetry::exporter::{Dropped, ExporterMetrics};
use crate::telemetry::otlp::config::OtlpConfig;
use crate::telemetry::otlp::export::Exporter;
use crate::telemetry::otlp::queue::{Finished, Queue};
use crate::telemetry::outbox::Courier;
use crate::telemetry::story::Story;
use crate::telemetry::traceparent::Trace;

/// The entrance for finished exchanges. Without a collector it takes nothing, and no exchange has a trace.
#[derive(Clone, Default)]
pub(crate) struct Otlp(Option<Entrance>);

#[derive(Clone)]
struct Entrance {
    queue: Arc<Queue>,
    ratio: f64,
    metrics: ExporterMetrics,
}

/// The task that exports. Dropped without [`Exporting::stop`], it stops at once, and loses all that waits.
pub(crate) struct Exporting {
    courier: Courier<Finished>,
    metrics: ExporterMetrics,
}

impl Otlp {
    /// Starts the exporter on the caller's runtime; `None` if the config names no collector.
    ///
    /// Fails with each wrong value of the config. An absent collector is no failure.
    pub(crate) fn start(
        config: &OtlpConfig,
        metrics: &ExporterMetrics,
    ) -> Result<(Self, Option<Exporting>), Vec<Problem>> {
        let queue = Arc::new(queue::queue(metrics));
        let Some(exporter) = exporter(config, &queue, metrics)? else {
            return Ok((Self::default(), None));
        };
        let courier = Courier::start(&queue, exporter.run());
        let exporting = Exporting { courier, metrics: metrics.clone() };
        let entrance = Entrance { queue, ratio: config.sample, metrics: metrics.clone() };
        Ok((Self(Some(entrance)), Some(exporting)))
    }

    /// Returns the wrong values with which [`Otlp::start`] would fail. Starts nothing.
    pub(crate) fn check(config: &OtlpConfig, metrics: &ExporterMetrics) -> Vec<Problem> {
        let queue = Arc::new(queue::queue(metrics));
        exporter(config, &queue, metrics).err().unwrap_or_default()
    }

    /// Returns the place of a request in a trace; `None` without a collector.
    pub(crate) fn trace(&self, headers: &HeaderMap) -> Option<Trace> {
        self.0.as_ref().map(|entrance| Trace::of(headers, entrance.ratio))
    }

    /// Takes a finished exchange if its spans are exported; never waits.
    pub(crate) fn enter(&self, story: &Arc<Story>) {
        if let Some(entrance) = &self.0 {
            queue::push(&entrance.queue, story, &entrance.metrics);
        }
    }
}

fn exporter(
    config: &OtlpConfig,
    queue: &Arc<Queue>,
    metrics: &ExporterMetrics,
) -> Result<Option<Exporter>, Vec<Problem>> {
    let wrong = |(key, message): (String, String)| Problem::new(format!("otlp.{key}"), message);
    let collector = config.collector();
    let collector = collector.map_err(|all| all.into_iter().map(wrong).collect::<Vec<_>>())?;
    let made = collector.map(|collector| {
        let made = Exporter::new(collector, Arc::clone(queue), metrics.clone());
        made.map_err(|message| {
            vec![Problem::new("otlp.endpoint", format!("cannot be used: {message}"))]
        })
    });
    made.transpose()
}

impl Exporting {
    /// Exports what waits. Spans that are not exported within `patience` are lost and counted.
    pub(crate) async fn stop(self, patience: Duration) {
        let lost = self.courier.stop(patience).await;
        if lost > 0 {
            self.metrics.dropped(Dropped::Stopped, lost);
            tracing::warn!(spans = lost, "the last spans could not be exported: they are lost");
        }
    }
}
