//! The ledger: a row for every exchange, written by a task of its own, and the sums that are read from it.
pub(crate) mod audit;
mod batch;
pub(crate) mod config;
pub(crate) mod database;
mod day;
pub(crate) mod keys;
mod postgres;
pub(crate) mod prompts;
mod queue;
pub(crate) mod report;
pub(crate) mod row;
mod schema;
mod sqlite;
pub(crate) mod stories;
mod transaction;
mod trouble;
pub(crate) mod usage;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::error::Problem;
use crate::ledger::config::{LedgerConfig, LedgerUrl};
use crate::ledger::queue::Queue;
use crate::ledger::sqlite::Unopened;
use crate::ledger::writer::{Store, Writer};
use crate::telemetry::ledger::{Dropped, LedgerMetrics};
use crate::telemetry::story::Story;

/// Returns each wrong value of `ledger:`: its key, and a message.
pub(crate) fn problems(config: &LedgerConfig) -> Vec<(&'static str, String)> {
    let mut found = config.problems();
    if let LedgerUrl::Postgres(url) = &config.url
        && let Err(problem) = postgres::options(url.expose())
    {
        found.push(("url", problem.message));
    }
    found
}

/// The entrance of the ledger, for the workers. Without a ledger it takes nothing.
#[derive(Clone, Default)]
pub struct Ledger {
    queue: Option<Arc<Queue>>,
    /// The metrics, if the default ledger could not be used at the start: each exchange counts as lost.
    lost: Option<LedgerMetrics>,
    keeps_users: bool,
}

/// The task that writes. Dropped without [`Writing::stop`], it stops at once, and loses what waits.
pub(crate) struct Writing {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
    metrics: LedgerMetrics,
}

impl Ledger {
    /// Opens the database and starts the writer on the caller's runtime. Returns no writer if `ledger.url` is `off`.
    ///
    /// Fails if the database cannot be used. Only a ledger that the config does not name is left out, with a warning:
    /// a gateway needs no ledger to serve. It is an error even then if another gateway writes to the same file.
    pub(crate) async fn start(
        config: &LedgerConfig,
        metrics: &LedgerMetrics,
    ) -> Result<(Self, Option<Writing>), Problem> {
        let store = match Store::open(config).await {
            Ok(Some(store)) => store,
            Ok(None) => return Ok((Self::default(), None)),
            Err(Unopened::Unusable(problem)) if !config.is_url_named => {
                tracing::warn!(error = %problem, "the ledger cannot be used, so exchanges are not recorded until the next start: mend it, or set `ledger` to `off`");
                return Ok((Self { lost: Some(metrics.clone()), ..Self::default() }, None));
            }
            Err(Unopened::InUse(problem) | Unopened::Unusable(problem)) => return Err(problem),
        };
        let queue = Arc::new(Queue::new(config.queue, metrics.clone()));
        let writer = Writer::new(Arc::clone(&queue), store, config, metrics.clone());
        let task = tokio::spawn(writer.run());
        let writing = Writing { queue: Arc::clone(&queue), task, metrics: metrics.clone() };
        let this = Self { queue: Some(queue), lost: None, keeps_users: config.user_id };
        Ok((this, Some(writing)))
    }

    /// Takes a finished exchange; never waits. An exchange that has no row takes no room.
    pub(crate) fn enter(&self, story: &Arc<Story>) {
        if !story.read(row::is_recorded) {
            return;
        }
        if let Some(queue) = &self.queue {
            queue.push(story);
        } else if let Some(metrics) = &self.lost {
            metrics.dropped(Dropped::Unwritable, 1);
        }
    }

    /// Returns whether `metadata.user_id` is stored.
    pub(crate) fn keeps_users(&self) -> bool {
        self.keeps_users
    }
}

impl Writing {
    /// Writes what waits, and closes the database. Rows that are not written within `patience` are lost and counted.
    pub(crate) async fn stop(mut self, patience: Duration) {
        self.queue.close();
        let cause = match tokio::time::timeout(patience, &mut self.task).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => "the ledger's writer panicked",
            Err(_) => "the ledger's database was away until the end of the drain",
        };
        self.task.abort();
        // a task that is over must not be awaited again
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
        let lost = self.queue.clear();
        self.metrics.dropped(Dropped::Stopped, lost);
        tracing::error!(rows = lost, "{cause}: its rows are lost");
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::ledger::config::QueueConfig;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::record::Operation;

    use super::*;

    fn story(status: u16, is_identified: bool) -> Arc<Story> {
        let story = Story::begin("req_1", Instant::now(), Operation::Messages);
        if is_identified {
            story.identify("key");
        }
        story.answered(status);
        story
    }

    fn dropped(metrics: &Metrics, reason: &str) -> String {
        let text = metrics.encode().unwrap();
        let name = format!("tidegate_ledger_dropped_total{{reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
    }

    #[tokio::test]
    async fn rows_that_a_writer_leaves_because_it_panicked_are_counted() {
        let metrics = Metrics::new();
        let queue = Arc::new(Queue::new(QueueConfig::default(), metrics.ledger.clone()));
        (0..3).for_each(|_| queue.push(&story(200, true)));
        let task = tokio::spawn(async { panic!("a fault of the writer") });
        let writing = Writing { queue, task, metrics: metrics.ledger.clone() };
        writing.stop(Duration::from_secs(60)).await;
        assert_eq!((dropped(&metrics, "stopped"), metrics.ledger.entries.get()), ("3".into(), 0));
    }

    #[test]
    fn a_client_that_is_not_known_neither_waits_nor_is_missing() {
        let metrics = Metrics::new();
        let queue = Arc::new(Queue::new(QueueConfig::default(), metrics.ledger.clone()));
        let ledger = Ledger { queue: Some(queue), ..Ledger::default() };
        let without = Ledger { lost: Some(metrics.ledger.clone()), ..Ledger::default() };
        for (status, is_identified, recorded) in
            [(401, false, 0), (401, true, 1), (200, true, 2), (403, true, 3), (404, false, 4)]
        {
            for ledger in [&ledger, &without] {
                ledger.enter(&story(status, is_identified));
            }
            assert_eq!(metrics.ledger.entries.get(), recorded, "{status}");
            assert_eq!(dropped(&metrics, "unwritable"), recorded.to_string(), "{status}");
        }
    }
}
