//! `Queue`: finished exchanges on their way to the exporter, bounded by spans and memory.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::telemetry::exporter::{Dropped, ExporterMetrics};
use crate::telemetry::otlp::spans;
use crate::telemetry::story::Story;

/// The spans that close a batch.
const BATCH: u64 = 512;
/// The longest time for which a batch stays open.
const OPEN: Duration = Duration::from_secs(1);
/// The most spans that wait.
const MAX_SPANS: u64 = 16_384;
/// The most memory of the exchanges that wait.
const MAX_BYTES: u64 = 32 << 20;

/// The queue. Exchanges count until the exporter has released them.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    metrics: ExporterMetrics,
}

/// A finished exchange. The exporter makes its spans, so that the worker only adds a pointer.
pub(super) struct Entry {
    /// The record.
    pub(super) story: Arc<Story>,
    /// The time at which it ended.
    pub(super) ended: SystemTime,
    size: Held,
    since: Instant,
}

#[derive(Default)]
struct State {
    waiting: Vec<Entry>,
    /// The sum of the entries that wait.
    spans: u64,
    /// The sum of these and of the entries that the exporter works on.
    held: Held,
    is_closed: bool,
}

/// The size of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of spans.
    pub(super) spans: u64,
    /// The memory, roughly.
    bytes: u64,
}

impl Held {
    fn plus(self, other: Self) -> Self {
        let bytes = self.bytes.saturating_add(other.bytes);
        Self { spans: self.spans + other.spans, bytes }
    }

    /// Returns the size of these entries.
    pub(super) fn of(entries: &[Entry]) -> Self {
        entries.iter().fold(Self::default(), |sum, entry| sum.plus(entry.size))
    }
}

impl State {
    /// Returns the next batch if it is full or old, or if the queue is closed; else the time at which it is old.
    fn next(&mut self, now: Instant) -> Result<Vec<Entry>, Option<Instant>> {
        let Some(closes) = self.waiting.first().map(|first| first.since + OPEN) else {
            return if self.is_closed { Ok(Vec::new()) } else { Err(None) };
        };
        if self.spans < BATCH && !self.is_closed && now < closes {
            return Err(Some(closes));
        }
        let mut spans = 0;
        let taken = self.waiting.iter().take_while(|entry| {
            spans += entry.size.spans;
            spans <= BATCH
        });
        let number = taken.count().max(1);
        let batch: Vec<Entry> = self.waiting.drain(..number).collect();
        self.spans -= Held::of(&batch).spans;
        Ok(batch)
    }
}

impl Queue {
    pub(super) fn new(metrics: ExporterMetrics) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), metrics }
    }

    /// Adds a finished exchange that is sampled; never waits. Beyond the bounds its spans are dropped and counted.
    pub(super) fn push(&self, story: &Arc<Story>) {
        let size = story.read(|record| {
            let bytes = record.memory() as u64;
            record.sampled().map(|_| Held { spans: spans::number(record), bytes })
        });
        let Some(size) = size else { return };
        let mut state = self.state.lock();
        let held = state.held.plus(size);
        let reason = match state.is_closed {
            true => Some(Dropped::Stopped),
            false if held.spans > MAX_SPANS || held.bytes > MAX_BYTES => Some(Dropped::Full),
            false => None,
        };
        if let Some(reason) = reason {
            drop(state);
            return self.metrics.dropped(reason, size.spans);
        }
        state.held = held;
        state.spans += size.spans;
        let (ended, since) = (SystemTime::now(), Instant::now());
        state.waiting.push(Entry { story: Arc::clone(story), ended, size, since });
        let is_news = state.waiting.len() == 1 || state.spans >= BATCH;
        self.show(held);
        drop(state);
        if is_news {
            self.changed.notify_one();
        }
    }

    /// Waits for a batch: until it is full, or has been open for a second. After the end of the queue it returns the
    /// rest, and then nothing.
    pub(super) async fn batch(&self) -> Vec<Entry> {
        loop {
            let next = self.state.lock().next(Instant::now());
            let changed = self.changed.notified();
            match next {
                Ok(batch) => return batch,
                Err(None) => changed.await,
                Err(Some(closes)) => {
                    // either way the state decides
                    let _ = tokio::time::timeout_at(closes, changed).await;
                }
            }
        }
    }

    /// Frees the room of entries that are exported or lost.
    pub(super) fn release(&self, done: Held) {
        let mut state = self.state.lock();
        state.held.spans -= done.spans;
        state.held.bytes -= done.bytes;
        self.show(state.held);
    }

    /// Ends the queue: the exporter takes the rest at once.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Returns whether no further exchange comes.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Waits for a time, or until the queue is closed.
    pub(super) async fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_closed() && Instant::now() < end {
            // either way the state decides
            let _ = tokio::time::timeout_at(end, self.changed.notified()).await;
        }
    }

    /// Drops all that is left. Returns the number of spans.
    pub(super) fn clear(&self) -> u64 {
        let mut state = self.state.lock();
        state.waiting.clear();
        state.spans = 0;
        let held = std::mem::take(&mut state.held);
        self.show(state.held);
        held.spans
    }

    fn show(&self, held: Held) {
        self.metrics.waiting.set(i64::try_from(held.spans).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
