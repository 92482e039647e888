//! The writer: one task that writes batches, keeps a batch that failed and tries again, and deletes old rows.
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use tokio::time::{Interval, MissedTickBehavior};

use crate::error::Problem;
use crate::ledger::batch::Batch;
use crate::ledger::config::{LedgerConfig, LedgerUrl};
use crate::ledger::postgres::{self, Postgres};
use crate::ledger::queue::{Held, Queue};
use crate::ledger::sqlite::{self, Room, Sqlite, Unopened};
use crate::ledger::trouble::Failure;
use crate::telemetry::ledger::{Dropped, LedgerMetrics};

/// The wait after a first failure; it doubles up to `LONGEST`.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// The wait during the drain, which has a time limit of its own.
const DRAINING: Duration = Duration::from_millis(100);
/// The age at which sums of quarters of an hour are added up to days.
const FOLDED: Duration = Duration::from_secs(35 * 24 * 60 * 60);
/// The pause between looks for such sums.
const FOLDS: Duration = Duration::from_secs(60);
/// The pause between looks for old rows.
const LOOKS: Duration = Duration::from_secs(1);

/// The task's state.
pub(super) struct Writer {
    queue: Arc<Queue>,
    store: Store,
    keep: Duration,
    zone: TimeZone,
    /// The time of the next look for sums to fold.
    folds: Instant,
    metrics: LedgerMetrics,
}

/// The next step after a batch that could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The cause is gone.
    Again,
    /// The rows are written one by one.
    Apart,
    /// The database may recover.
    Wait,
}

/// The database.
pub(super) enum Store {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

impl Store {
    /// Opens the database; `None` if there is to be no ledger.
    ///
    /// Fails also if rows could not be written.
    pub(super) async fn open(config: &LedgerConfig) -> Result<Option<Self>, Unopened> {
        let mut store = match &config.url {
            LedgerUrl::Off | LedgerUrl::Sqlite(None) => return Ok(None),
            LedgerUrl::Sqlite(Some(path)) => {
                Self::Sqlite(Box::new(Sqlite::open(path, config.max_size.0).await?))
            }
            LedgerUrl::Postgres(url) => {
                let store = Postgres::open(url.expose()).await.map_err(Unopened::Unusable)?;
                Self::Postgres(Box::new(store))
            }
        };
        match store.write(&Batch::default()).await {
            // a full file gets room later
            Err(e) if !matches!(&store, Self::Sqlite(_) if sqlite::is_full(&e)) => {
                let message = format!("the ledger cannot be written: {e}");
                Err(Unopened::Unusable(Problem::new("ledger.url", message)))
            }
            _ => Ok(Some(store)),
        }
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(store) => store.write(batch).await,
            Self::Postgres(store) => store.write(batch).await,
        }
    }

    async fn prune(&mut self, before: i64) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite(store) => store.prune(before).await,
            Self::Postgres(store) => store.prune(before).await,
        }
    }

    async fn fold(&mut self, before: i64, zone: &TimeZone) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite(store) => store.fold(before, zone).await,
            Self::Postgres(store) => store.fold(before, zone).await,
        }
    }

    /// Returns the next step after an error. Deletes old rows if the file has no room for the batch.
    async fn remedy(&mut self, error: &sqlx::Error, batch: &Batch) -> Remedy {
        match self {
            Self::Postgres(_) if postgres::is_rejection(error) => Remedy::Apart,
            Self::Sqlite(_) if sqlite::is_rejection(error) => Remedy::Apart,
            Self::Sqlite(store) if sqlite::is_full(error) => match store.make_room(batch).await {
                Ok(Room::Made) => Remedy::Again,
                Ok(Room::TooSmall) => Remedy::Apart,
                Ok(Room::Enough) | Err(_) => Remedy::Wait,
            },
            _ => Remedy::Wait,
        }
    }

    async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

impl Writer {
    pub(super) fn new(
        queue: Arc<Queue>,
        store: Store,
        config: &LedgerConfig,
        metrics: LedgerMetrics,
    ) -> Self {
        let (keep, zone, folds) = (config.keep, config.zone.clone(), Instant::now());
        Self { queue, store, keep, zone, folds, metrics }
    }

    /// Writes until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let queue = Arc::clone(&self.queue);
        loop {
            // in a random order: with steady traffic a batch may always be ready
            let entries = tokio::select! {
                entries = queue.batch() => entries,
                _ = looks.tick() => {
                    queue.look();
                    self.prune(&mut looks).await;
                    continue;
                }
            };
            if entries.is_empty() {
                break;
            }
            let batch = Batch::of(&entries);
            drop(entries);
            self.write(batch).await;
        }
        self.store.close().await;
    }

    /// Writes a batch, however often it takes.
    async fn write(&mut self, batch: Batch) {
        let mut wait = SHORTEST;
        while let Err(error) = self.store.write(&batch).await {
            self.metrics.failures.inc();
            match self.store.remedy(&error, &batch).await {
                Remedy::Again => {}
                Remedy::Apart => return self.write_apart(batch, &error).await,
                Remedy::Wait => {
                    self.queue.failed(Failure::Write(&error));
                    self.pause(wait).await;
                    wait = (wait * 2).min(LONGEST);
                }
            }
        }
        self.metrics.written.inc_by(batch.rows.len() as u64);
        self.queue.release(batch.held);
        self.queue.recovered();
    }

    /// Writes the rows of a batch one by one, because the database rejects one of them, or has no room for all of them
    /// at once. A single row is dropped.
    async fn write_apart(&mut self, batch: Batch, error: &sqlx::Error) {
        if let [row] = batch.rows.as_slice() {
            self.metrics.dropped(Dropped::Rejected, 1);
            self.queue.failed(Failure::Rejected(error, &row.exchange.id));
            self.queue.release(batch.held);
            return;
        }
        for row in batch.rows {
            let one = Batch { rows: vec![row], held: Held::default() };
            Box::pin(self.write(one)).await;
        }
        self.queue.release(batch.held);
    }

    async fn pause(&self, wait: Duration) {
        if self.queue.is_closed() {
            tokio::time::sleep(wait.min(DRAINING)).await;
        } else {
            // a drain ends the wait
            let _ = tokio::time::timeout(wait, self.queue.closed()).await;
        }
    }

    /// Deletes old rows and folds old sums in portions, as long as nothing waits to be written.
    async fn prune(&mut self, looks: &mut Interval) {
        let before = ago(self.keep);
        let done = match self.store.prune(before).await {
            Ok(false) if self.folds <= Instant::now() => self.fold().await,
            done => done,
        };
        match done {
            // further portions follow after the next batch, if one waits
            Ok(true) if self.queue.is_idle() => looks.reset_immediately(),
            Ok(true) => looks.reset_after(Duration::from_millis(1)),
            Ok(false) => {}
            Err(error) => {
                self.metrics.failures.inc();
                self.queue.failed(Failure::Prune(&error));
            }
        }
    }

    /// Adds old sums of quarters of an hour up to sums of days.
    async fn fold(&mut self) -> Result<bool, sqlx::Error> {
        let folded = self.store.fold(ago(FOLDED), &self.zone).await;
        if !matches!(folded, Ok(true)) {
            self.folds = Instant::now() + FOLDS;
        }
        folded
    }
}

/// Returns the time before a duration, in milliseconds since 1970.
fn ago(time: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(time).as_millis()).unwrap_or(i64::MAX)
}
