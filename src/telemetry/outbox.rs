//! `Outbox`: facts on their way to a receiver outside of the gateway, bounded by number and memory; the task that sends
//! them, and the waits between its tries.
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::telemetry::exporter::Dropped;

/// The longest wait that a receiver may ask for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The bounds of an outbox and of its batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The size that closes a batch. Only a single entry may be larger.
    pub(crate) batch: Size,
    /// The longest time for which a batch stays open.
    pub(crate) open: Duration,
    /// The most that waits.
    pub(crate) all: Size,
}

/// The outbox. Entries count until their batch is released.
pub(crate) struct Outbox<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    bounds: Bounds,
    /// The number of units that wait.
    waiting: Gauge,
}

/// An entry of a batch.
pub(crate) struct Entry<T> {
    /// The fact.
    pub(crate) item: T,
    size: Size,
    since: Instant,
}

struct State<T> {
    waiting: Vec<Entry<T>>,
    /// The sum of the entries that wait.
    open: Size,
    /// The sum of these and of the entries that the sender works on.
    held: Size,
    is_closed: bool,
}

/// The size of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// The number of units, such as spans or events.
    pub(crate) units: u64,
    /// The memory, roughly.
    pub(crate) bytes: u64,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        let bytes = self.bytes.saturating_add(other.bytes);
        Self { units: self.units + other.units, bytes }
    }

    fn minus(self, other: Self) -> Self {
        Self { units: self.units - other.units, bytes: self.bytes - other.bytes }
    }

    /// Returns whether some part is larger than that of another size.
    fn exceeds(self, other: Self) -> bool {
        self.units > other.units || self.bytes > other.bytes
    }

    /// Returns whether some part is as large as that of another size.
    fn reaches(self, other: Self) -> bool {
        self.units >= other.units || self.bytes >= other.bytes
    }

    /// Returns the size of these entries.
    pub(crate) fn of<T>(entries: &[Entry<T>]) -> Self {
        entries.iter().fold(Self::default(), |sum, entry| sum.plus(entry.size))
    }
}

impl<T> State<T> {
    /// Returns the next batch if it is full or old, or if the outbox is closed; else the time at which it is old.
    fn next(&mut self, now: Instant, bounds: &Bounds) -> Result<Vec<Entry<T>>, Option<Instant>> {
        let Some(closes) = self.waiting.first().map(|first| first.since + bounds.open) else {
            return if self.is_closed { Ok(Vec::new()) } else { Err(None) };
        };
        if !self.open.reaches(bounds.batch) && !self.is_closed && now < closes {
            return Err(Some(closes));
        }
        let mut size = Size::default();
        let taken = self.waiting.iter().take_while(|entry| {
            size = size.plus(entry.size);
            !size.exceeds(bounds.batch)
        });
        let number = taken.count().max(1);
        let batch: Vec<Entry<T>> = self.waiting.drain(..number).collect();
        self.open = self.open.minus(Size::of(&batch));
        Ok(batch)
    }
}

impl<T> Outbox<T> {
    /// Creates an empty outbox; `waiting` shows the number of units in it.
    pub(crate) fn new(bounds: Bounds, waiting: Gauge) -> Self {
        let (open, held) = (Size::default(), Size::default());
        let state = State { waiting: Vec::new(), open, held, is_closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), bounds, waiting }
    }

    /// Adds an entry; never waits.
    ///
    /// Fails with the reason if the outbox is full or closed.
    pub(crate) fn push(&self, item: T, size: Size) -> Result<(), Dropped> {
        let mut state = self.state.lock();
        let held = state.held.plus(size);
        if state.is_closed {
            return Err(Dropped::Stopped);
        }
        if held.exceeds(self.bounds.all) {
            return Err(Dropped::Full);
        }
        state.held = held;
        state.open = state.open.plus(size);
        state.waiting.push(Entry { item, size, since: Instant::now() });
        let is_news = state.waiting.len() == 1 || state.open.reaches(self.bounds.batch);
        self.show(held);
        drop(state);
        if is_news {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for a batch: until it is full, or has been open for its time. After the end of the outbox it returns the
    /// rest, and then nothing.
    pub(crate) async fn batch(&self) -> Vec<Entry<T>> {
        loop {
            let next = self.state.lock().next(Instant::now(), &self.bounds);
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

    /// Frees the room of entries that are sent or lost.
    pub(crate) fn release(&self, done: Size) {
        let mut state = self.state.lock();
        state.held = state.held.minus(done);
        self.show(state.held);
    }

    /// Ends the outbox: the sender takes the rest at once.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Returns whether no further entry comes.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Waits for a time, or until the outbox is closed.
    pub(crate) async fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_closed() && Instant::now() < end {
            // either way the state decides
            let _ = tokio::time::timeout_at(end, self.changed.notified()).await;
        }
    }

    /// Drops all that is left. Returns the number of units.
    pub(crate) fn clear(&self) -> u64 {
        let mut state = self.state.lock();
        state.waiting.clear();
        state.open = Size::default();
        let held = std::mem::take(&mut state.held);
        self.show(state.held);
        held.units
    }

    fn show(&self, held: Size) {
        self.waiting.set(i64::try_from(held.units).unwrap_or(i64::MAX));
    }
}

/// The waits between the tries of one batch.
pub(crate) struct Waits<I>(I);

impl<I: Iterator<Item = Duration>> Waits<I> {
    /// Starts with the first wait of a list.
    pub(crate) fn new(list: impl IntoIterator<IntoIter = I>) -> Self {
        Self(list.into_iter())
    }

    /// Waits before another try, for the time that the receiver asks for or else the next one of the list. Returns
    /// `false` if there is no further try: the list is at its end, or the outbox is closed.
    pub(crate) async fn next<T>(&mut self, outbox: &Outbox<T>, asked: Option<Duration>) -> bool {
        let Some(usual) = self.0.next().filter(|_| !outbox.is_closed()) else { return false };
        let wait = asked.map_or_else(|| jittered(usual), |own| own.min(MAX_WAIT));
        outbox.pause(wait).await;
        true
    }
}

/// Returns a wait between half and one and a half of this one, so that gateways do not return all at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64())
}

/// The task that empties an outbox. Dropped without [`Courier::stop`], it stops at once, and loses all that waits.
pub(crate) struct Courier<T> {
    outbox: Arc<Outbox<T>>,
    task: JoinHandle<()>,
}

impl<T> Courier<T> {
    /// Starts the task on the caller's runtime.
    pub(crate) fn start(
        outbox: &Arc<Outbox<T>>,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { outbox: Arc::clone(outbox), task: tokio::spawn(run) }
    }

    /// Sends what waits. Returns the number of units that were not sent within `patience`, which are lost.
    pub(crate) async fn stop(mut self, patience: Duration) -> u64 {
        self.outbox.close();
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
            // the task is over either way
            let _ = (&mut self.task).await;
        }
        self.outbox.clear()
    }
}

impl<T> Drop for Courier<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
