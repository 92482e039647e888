//! `Queue`: finished exchanges on their way to the writer, bounded by number and memory.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::config::QueueConfig;
use crate::ledger::trouble::{Failure, Trouble};
use crate::telemetry::ledger::{Dropped, LedgerMetrics};
use crate::telemetry::record::Record;
use crate::telemetry::story::Story;

/// The most exchanges of a batch. A commit writes the ends of all tables and indexes, so large batches cost less.
pub(super) const BATCH: usize = 1024;
/// The longest time for which a batch stays open.
const OPEN: Duration = Duration::from_millis(200);

/// The queue. Entries count until the writer has released them, so those that it retries count too.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    bounds: QueueConfig,
    metrics: LedgerMetrics,
    trouble: Trouble,
}

/// A finished exchange. The writer makes its row, so that the worker only adds a pointer.
pub(super) struct Entry {
    /// The record.
    pub(super) story: Arc<Story>,
    /// The time at which it ended.
    pub(super) ended: SystemTime,
    /// The memory that it occupies, roughly.
    bytes: u64,
    /// The time at which it began to wait.
    since: Instant,
}

#[derive(Default)]
struct State {
    waiting: Vec<Entry>,
    held: Held,
    is_closed: bool,
}

/// The size of entries that wait, or that the writer works on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Their number.
    pub(super) entries: usize,
    /// Their memory.
    pub(super) bytes: u64,
}

/// The state of the next batch.
enum Next {
    /// It is closed.
    Batch(Vec<Entry>),
    /// It has entries, and waits for more until this time.
    Open(Instant),
    /// Nothing waits.
    None,
}

impl State {
    /// Returns the next batch if it is full, if its first entry has waited long enough, or if the queue is closed.
    fn next(&mut self, now: Instant) -> Next {
        let Some(closes) = self.waiting.first().map(|first| first.since + OPEN) else {
            return if self.is_closed { Next::Batch(Vec::new()) } else { Next::None };
        };
        let waiting = self.waiting.len();
        match waiting >= BATCH || self.is_closed || closes <= now {
            true => Next::Batch(self.waiting.drain(..waiting.min(BATCH)).collect()),
            false => Next::Open(closes),
        }
    }
}

impl Held {
    /// Returns the size of these entries.
    pub(super) fn of(entries: &[Entry]) -> Self {
        Self { entries: entries.len(), bytes: entries.iter().map(|entry| entry.bytes).sum() }
    }
}

impl Queue {
    pub(super) fn new(bounds: QueueConfig, metrics: LedgerMetrics) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            bounds,
            metrics,
            trouble: Trouble::default(),
        }
    }

    /// Adds a finished exchange; never waits. An exchange beyond the bounds is dropped and counted.
    pub(super) fn push(&self, story: &Arc<Story>) {
        let bytes = story.read(Record::memory) as u64;
        let mut state = self.state.lock();
        if state.is_closed {
            drop(state);
            return self.metrics.dropped(Dropped::Stopped, 1);
        }
        let held =
            Held { entries: state.held.entries + 1, bytes: state.held.bytes.saturating_add(bytes) };
        if held.entries > self.bounds.entries || held.bytes > self.bounds.bytes.0 {
            let waiting = state.held.entries;
            drop(state);
            self.metrics.dropped(Dropped::Full, 1);
            return self.trouble.note(Failure::Full, waiting);
        }
        state.held = held;
        let story = Arc::clone(story);
        let (ended, since) = (SystemTime::now(), Instant::now());
        state.waiting.push(Entry { story, ended, bytes, since });
        let waiting = state.waiting.len();
        self.show(held);
        drop(state);
        // the writer sleeps in between
        if waiting == 1 || waiting == BATCH {
            self.changed.notify_one();
        }
    }

    /// Waits for a batch: until it is full, or has been open for 200 ms. After the end of the queue it returns the rest,
    /// and then nothing. Dropped before its end, it takes nothing, and the next call goes on with the same 200 ms.
    pub(super) async fn batch(&self) -> Vec<Entry> {
        loop {
            let next = self.state.lock().next(Instant::now());
            let changed = self.changed.notified();
            match next {
                Next::Batch(entries) => return entries,
                Next::None => changed.await,
                Next::Open(closes) => {
                    // either way the state decides
                    let _ = tokio::time::timeout_at(closes, changed).await;
                }
            }
        }
    }

    /// Returns whether the writer has nothing to do at once.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && !state.is_closed
    }

    /// Counts a failure of the database, and logs it at most once a minute.
    pub(super) fn failed(&self, failure: Failure<'_>) {
        self.trouble.note(failure, self.entries());
    }

    /// Logs dropped exchanges that the log does not name yet, at most once a minute.
    pub(super) fn look(&self) {
        self.trouble.look(self.entries());
    }

    /// Logs the end of a failure.
    pub(super) fn recovered(&self) {
        self.trouble.written(self.entries());
    }

    fn entries(&self) -> usize {
        self.state.lock().held.entries
    }

    /// Returns whether no further exchange comes.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Frees the room of entries that are written or lost.
    pub(super) fn release(&self, done: Held) {
        let mut state = self.state.lock();
        state.held.entries -= done.entries;
        state.held.bytes -= done.bytes;
        self.show(state.held);
    }

    /// Ends the queue: the writer takes the rest at once.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits until the queue is closed.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
        // another wait may need the same notice
        self.changed.notify_one();
    }

    /// Drops all that is left. Returns the number.
    pub(super) fn clear(&self) -> usize {
        let mut state = self.state.lock();
        state.waiting.clear();
        let held = std::mem::take(&mut state.held);
        self.show(state.held);
        held.entries
    }

    fn show(&self, held: Held) {
        self.metrics.entries.set(i64::try_from(held.entries).unwrap_or(i64::MAX));
        self.metrics.bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::config::Size;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::record::Operation;

    use super::*;

    fn story(model: &str) -> Arc<Story> {
        let story = Story::begin("req_1", std::time::Instant::now(), Operation::Messages);
        story.name("key", model);
        story
    }

    fn dropped(metrics: &Metrics) -> String {
        let text = metrics.encode().unwrap();
        let name = "tidegate_ledger_dropped_total{reason=\"full\"} ";
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
    }

    #[test]
    fn the_number_is_bounded_until_entries_are_released() {
        let metrics = Metrics::new();
        let bounds = QueueConfig { entries: 2, ..QueueConfig::default() };
        let queue = Queue::new(bounds, metrics.ledger.clone());
        (0..5).for_each(|_| queue.push(&story("m")));
        assert_eq!((metrics.ledger.entries.get(), dropped(&metrics).as_str()), (2, "3"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let batch = runtime.block_on(queue.batch());
        assert_eq!(batch.len(), 2);
        queue.push(&story("m"));
        assert_eq!(dropped(&metrics), "4");
        queue.release(Held::of(&batch));
        assert_eq!((metrics.ledger.entries.get(), metrics.ledger.bytes.get()), (0, 0));
        queue.push(&story("m"));
        assert_eq!((metrics.ledger.entries.get(), dropped(&metrics).as_str()), (1, "4"));
        queue.close();
        queue.push(&story("m"));
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("tidegate_ledger_dropped_total{reason=\"stopped\"} 1\n")
        );
    }

    #[test]
    fn the_memory_is_bounded_with_texts_of_clients() {
        let metrics = Metrics::new();
        let bounds = QueueConfig { bytes: Size(100_000), ..QueueConfig::default() };
        let queue = Queue::new(bounds, metrics.ledger.clone());
        queue.push(&story(&"m".repeat(100_000)));
        assert_eq!((metrics.ledger.entries.get(), dropped(&metrics).as_str()), (0, "1"));
        (0..10).for_each(|_| queue.push(&story(&"m".repeat(30_000))));
        assert_eq!((metrics.ledger.entries.get(), dropped(&metrics).as_str()), (3, "8"));
    }

    /// Waits for a batch like the writer, which deletes old rows in between.
    async fn interrupted(queue: &Queue) -> Vec<Entry> {
        loop {
            tokio::select! {
                biased;
                batch = queue.batch() => return batch,
                () = tokio::task::yield_now() => {}
            }
        }
    }

    #[tokio::test]
    async fn a_batch_closes_in_time_however_often_its_wait_is_dropped() {
        let queue = Queue::new(QueueConfig::default(), Metrics::new().ledger);
        queue.push(&story("m"));
        let batch = tokio::time::timeout(Duration::from_secs(60), interrupted(&queue)).await;
        assert_eq!(batch.expect("a batch").len(), 1);
    }

    #[test]
    fn the_rest_of_a_full_batch_waits_no_longer_than_its_first_entry_may() {
        let queue = Queue::new(QueueConfig::default(), Metrics::new().ledger);
        (0..=BATCH).for_each(|_| queue.push(&story("m")));
        let mut state = queue.state.lock();
        let begin = state.waiting[BATCH].since;
        assert!(matches!(state.next(begin), Next::Batch(batch) if batch.len() == BATCH));
        assert!(matches!(state.next(begin), Next::Open(closes) if closes == begin + OPEN));
        assert!(matches!(state.next(begin + OPEN), Next::Batch(batch) if batch.len() == 1));
        assert!(matches!(state.next(begin + OPEN), Next::None));
    }

    #[tokio::test]
    async fn a_batch_closes_when_it_is_full_or_old() {
        let metrics = Metrics::new();
        let queue = Arc::new(Queue::new(QueueConfig::default(), metrics.ledger.clone()));
        (0..BATCH + 44).for_each(|_| queue.push(&story("m")));
        assert_eq!(queue.batch().await.len(), BATCH);
        assert_eq!(queue.batch().await.len(), 44);
        let late = Arc::clone(&queue);
        let task = tokio::spawn(async move { late.batch().await.len() });
        tokio::task::yield_now().await;
        queue.push(&story("m"));
        assert_eq!(task.await.unwrap(), 1);
        queue.close();
        assert_eq!(queue.batch().await.len(), 0);
    }
}
