//! Tests of the queue of the exporter.
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use tokio::time;

use super::{BATCH, Held, MAX_BYTES, MAX_SPANS, OPEN, Queue};
use crate::telemetry::metrics::Metrics;
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

fn queue() -> (Metrics, Queue) {
    let metrics = Metrics::new();
    let queue = Queue::new(metrics.exporter.clone());
    (metrics, queue)
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    let text = metrics.encode().unwrap();
    let name = format!("tidegate_otlp_dropped_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_number_of_spans_is_bounded_until_they_are_released() {
    let (metrics, queue) = queue();
    (0..MAX_SPANS + 5).for_each(|_| queue.push(&story("m", 1.0)));
    assert_eq!(dropped(&metrics, "full"), 5);
    assert_eq!(metrics.exporter.waiting.get() as u64, MAX_SPANS);
    let batch = queue.batch().await;
    assert_eq!(batch.len() as u64, BATCH);
    queue.push(&story("m", 1.0));
    assert_eq!(dropped(&metrics, "full"), 6);
    queue.release(Held::of(&batch));
    queue.push(&story("m", 1.0));
    assert_eq!(dropped(&metrics, "full"), 6);
    queue.close();
    queue.push(&story("m", 1.0));
    assert_eq!(dropped(&metrics, "stopped"), 1);
    assert_eq!(queue.clear(), MAX_SPANS - BATCH + 1);
    assert_eq!(metrics.exporter.waiting.get(), 0);
}

#[test]
fn the_memory_is_bounded_with_texts_of_clients() {
    let (metrics, queue) = queue();
    let model = "m".repeat(MAX_BYTES as usize / 4);
    (0..5).for_each(|_| queue.push(&story(&model, 1.0)));
    assert_eq!((metrics.exporter.waiting.get(), dropped(&metrics, "full")), (3, 2));
}

#[test]
fn an_exchange_that_is_not_sampled_does_not_wait() {
    let (metrics, queue) = queue();
    queue.push(&story("m", 0.0));
    queue.push(&Story::begin("req_1", Instant::now(), Operation::Messages));
    assert_eq!(metrics.exporter.waiting.get(), 0);
}

#[test]
fn a_batch_closes_when_it_is_full_or_old_or_the_last() {
    let (_, queue) = queue();
    (0..=BATCH).for_each(|_| queue.push(&story("m", 1.0)));
    let mut state = queue.state.lock();
    let begin = state.waiting[BATCH as usize].since;
    let mut next = |now| state.next(now).map(|batch| batch.len() as u64);
    assert_eq!(next(begin), Ok(BATCH));
    assert_eq!(next(begin), Err(Some(begin + OPEN)));
    assert_eq!(next(begin + OPEN), Ok(1));
    assert_eq!(next(begin + OPEN), Err(None));
    state.is_closed = true;
    assert_eq!(state.next(begin).map(|batch| batch.len()), Ok(0));
}

#[tokio::test]
async fn a_pause_ends_with_the_queue() {
    let (_, queue) = queue();
    let queue = Arc::new(queue);
    let paused = Arc::clone(&queue);
    let pause = tokio::spawn(async move { paused.pause(time::Duration::from_secs(3600)).await });
    tokio::task::yield_now().await;
    queue.push(&story("m", 1.0));
    tokio::task::yield_now().await;
    assert!(!pause.is_finished());
    queue.close();
    pause.await.unwrap();
}
