//! `Queue`: requests that wait for a limit. In each line one request tries, the others wait for their turn.
//!
//! Requests with a higher priority come first. Of the same priority, keys take turns.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::auth::Caller;
use crate::limits::claim::CounterId;
use crate::telemetry::limits::{LimitMetrics, Waited};

/// The most requests that wait at the same time.
const MAX_WAITING: usize = 1000;
/// The most requests of a key that wait in a line.
const MAX_OF_KEY: usize = 100;
/// The tag of a key that has its priority.
pub(super) const PRIORITY: &str = "priority";

/// All waiting requests of the process.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: AtomicUsize,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    by_id: HashMap<LineId, Line>,
    /// The number of the next place.
    next: u64,
}

/// The identity of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LineId {
    /// Requests that need a counter.
    Counter(CounterId),
    /// Requests that need a target of this alias.
    Targets(Box<str>),
}

/// The requests that wait for the same thing.
#[derive(Debug, Default)]
struct Line {
    waiters: Vec<Waiter>,
    /// The turn of each key that had one: the number of the place that left last.
    served: HashMap<Box<str>, u64>,
}

#[derive(Debug)]
struct Waiter {
    place: u64,
    priority: Priority,
    key: Box<str>,
    wake: Arc<Notify>,
}

/// The priority of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    High,
    Normal,
    Low,
}

impl Priority {
    /// Reads the tag's value; `None` for another word.
    pub(super) fn of(text: &str) -> Option<Self> {
        match text {
            "high" => Some(Self::High),
            "normal" => Some(Self::Normal),
            "low" => Some(Self::Low),
            _ => None,
        }
    }

    fn of_caller(caller: &Caller) -> Self {
        caller.tags.get(PRIORITY).and_then(|text| Self::of(text)).unwrap_or(Self::Normal)
    }
}

/// The place of a request in a line. Dropped, the request leaves the line.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    /// The line.
    pub(super) line: LineId,
    number: u64,
    wake: Arc<Notify>,
    since: Instant,
    metrics: LimitMetrics,
    /// The end of the wait; `None` if it goes on in another line.
    end: Option<Waited>,
}

impl Queue {
    /// Returns whether no request waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Adds a request to a line; `None` if too many wait.
    pub(crate) fn enter(
        self: &Arc<Self>,
        line: LineId,
        caller: &Caller,
        metrics: &LimitMetrics,
    ) -> Option<Place> {
        let mut lines = self.lines.lock();
        let known = lines.by_id.get(&line);
        let of_key = |waiter: &&Waiter| *waiter.key == *caller.key;
        let same_key = known.map_or(0, |line| line.waiters.iter().filter(of_key).count());
        if same_key >= MAX_OF_KEY || self.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
            metrics.waited(Waited::Full);
            return None;
        }
        let wake = Arc::<Notify>::default();
        let number = lines.next;
        lines.next += 1;
        let key = caller.key.as_str().into();
        let priority = Priority::of_caller(caller);
        let waiter = Waiter { place: number, priority, key, wake: Arc::clone(&wake) };
        lines.by_id.entry(line.clone()).or_default().waiters.push(waiter);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        metrics.waiting.inc();
        Some(Place {
            queue: Arc::clone(self),
            line,
            number,
            wake,
            since: Instant::now(),
            metrics: metrics.clone(),
            end: Some(Waited::Left),
        })
    }

    /// Returns whether requests wait in a line.
    pub(crate) fn has(&self, line: &LineId) -> bool {
        !self.is_empty() && self.lines.lock().by_id.contains_key(line)
    }

    /// Lets the first request of a line try now.
    pub(crate) fn wake(&self, line: &LineId) {
        if !self.is_empty() {
            self.lines.lock().wake(line);
        }
    }

    /// Lets the first request of each line for targets try now.
    pub(crate) fn wake_targets(&self) {
        if !self.is_empty() {
            let lines = self.lines.lock();
            let targets = lines.by_id.keys().filter(|line| matches!(line, LineId::Targets(_)));
            targets.for_each(|line| lines.wake(line));
        }
    }
}

impl Lines {
    fn wake(&self, line: &LineId) {
        if let Some(first) = self.by_id.get(line).and_then(Line::first) {
            first.wake.notify_one();
        }
    }
}

impl Line {
    /// Returns the request whose turn it is.
    fn first(&self) -> Option<&Waiter> {
        let turn = |waiter: &&Waiter| {
            (waiter.priority, self.served.get(&waiter.key).copied(), waiter.place)
        };
        self.waiters.iter().min_by_key(turn)
    }
}

impl Place {
    /// Waits until it is the request's turn.
    pub(crate) async fn turn(&self) {
        while !self.is_first() {
            self.wake.notified().await;
        }
    }

    fn is_first(&self) -> bool {
        let lines = self.queue.lines.lock();
        let first = lines.by_id.get(&self.line).and_then(Line::first);
        first.is_none_or(|first| first.place == self.number)
    }

    /// Waits for something that frees the limit, or for a time.
    pub(crate) async fn pause(&self, most: Duration) {
        drop(timeout(most, self.wake.notified()).await);
    }

    /// Leaves the line at the end of the wait.
    pub(crate) fn ended(mut self, end: Waited) {
        self.end = Some(end);
    }

    /// Leaves the line for another one.
    pub(crate) fn moved(mut self) {
        self.end = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.metrics.waited(end);
        }
        self.metrics.waiting.dec();
        self.metrics.wait.observe(self.since.elapsed().as_secs_f64());
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut lines = self.queue.lines.lock();
        let Some(line) = lines.by_id.get_mut(&self.line) else { return };
        let left = line.waiters.iter().position(|waiter| waiter.place == self.number);
        if let Some(left) = left.map(|at| line.waiters.remove(at))
            && self.end == Some(Waited::Admitted)
        {
            let turn = line.served.values().max().map_or(0, |last| last + 1);
            line.served.insert(left.key, turn);
        }
        match line.waiters.is_empty() {
            true => drop(lines.by_id.remove(&self.line)),
            false => lines.wake(&self.line),
        }
    }
}

#[cfg(test)]
mod tests;
