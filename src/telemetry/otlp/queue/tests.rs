//! Tests of the queue of the exporter.
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::{ALL, BOUNDS, Queue, push, queue};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outbox::Size;
use crate::telemetry::record::Operation;
use crate::telemetry::story::Story;
use crate::telemetry::traceparent::Trace;

/// An exchange of one span with a model of this name.
fn story(model: &str, ratio: f64) -> Arc<Story> {
    let story = Story::begin("req_1", Instant::now(), Operation::Messages);
    story.trace_as(Some(Trace::of(&HeaderMap::new(), ratio)));
    story.name("key", model);
    story
}

fn start() -> (Metrics, Queue) {
    let metrics = Metrics::new();
    let queue = queue(&metrics.exporter);
    (metrics, queue)
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    let text = metrics.encode().unwrap();
    let name = format!("tidegate_otlp_dropped_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_number_of_spans_is_bounded_until_they_are_released() {
    let (metrics, queue) = start();
    let push = |model: &str| push(&queue, &story(model, 1.0), &metrics.exporter);
    (0..ALL.units + 5).for_each(|_| push("m"));
    assert_eq!(dropped(&metrics, "full"), 5);
    assert_eq!(metrics.exporter.waiting.get() as u64, ALL.units);
    let batch = queue.batch().await;
    assert_eq!(batch.len() as u64, BOUNDS.batch.units);
    push("m");
    assert_eq!(dropped(&metrics, "full"), 6);
    queue.release(Size::of(&batch));
    push("m");
    assert_eq!(dropped(&metrics, "full"), 6);
    queue.close();
    push("m");
    assert_eq!(dropped(&metrics, "stopped"), 1);
    assert_eq!(queue.clear(), ALL.units - BOUNDS.batch.units + 1);
    assert_eq!(metrics.exporter.waiting.get(), 0);
}

#[test]
fn the_memory_is_bounded_with_texts_of_clients() {
    let (metrics, queue) = start();
    let model = "m".repeat(ALL.bytes as usize / 4);
    (0..5).for_each(|_| push(&queue, &story(&model, 1.0), &metrics.exporter));
    assert_eq!((metrics.exporter.waiting.get(), dropped(&metrics, "full")), (3, 2));
}

#[test]
fn an_exchange_that_is_not_sampled_does_not_wait() {
    let (metrics, queue) = start();
    push(&queue, &story("m", 0.0), &metrics.exporter);
    let untraced = Story::begin("req_1", Instant::now(), Operation::Messages);
    push(&queue, &untraced, &metrics.exporter);
    assert_eq!(metrics.exporter.waiting.get(), 0);
}
