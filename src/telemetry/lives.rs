//! `StageBook`: runs, times and the last error of every hook of a stage and of every server tool, for operators. The
//! metrics have the same numbers for Prometheus.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::telemetry::classes::{CLASSES, class, quantile};

/// The hooks of all stages. It outlives generations.
#[derive(Default)]
pub(crate) struct StageBook(DashMap<(String, &'static str), Arc<Life>>);

/// One hook of one stage, or one server tool.
#[derive(Debug)]
pub(crate) struct Life {
    runs: AtomicU64,
    failures: AtomicU64,
    denials: AtomicU64,
    edits: AtomicU64,
    micros: AtomicU64,
    /// The number of runs by their time.
    classes: [AtomicU64; CLASSES],
    last_error: Mutex<Option<LastError>>,
}

/// The last error of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastError {
    /// The time.
    pub(crate) at: SystemTime,
    /// The request.
    pub(crate) request_id: String,
    /// The message, in one line of bounded length. A policy's error names file, line and column.
    pub(crate) message: String,
}

/// The numbers of a hook since the start of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LifeNumbers {
    /// The runs.
    pub(crate) runs: u64,
    /// Those that failed.
    pub(crate) failures: u64,
    /// Those that refused the request or a target.
    pub(crate) denials: u64,
    /// Those that edited their subject.
    pub(crate) edits: u64,
    /// The time of all runs together.
    pub(crate) took: Duration,
    /// The time within which half of the runs ended; `None` without a run. It is at most a quarter too high.
    pub(crate) half: Option<Duration>,
    /// The time within which 99 of 100 runs ended.
    pub(crate) most: Option<Duration>,
    /// The last error.
    pub(crate) last_error: Option<LastError>,
}

impl StageBook {
    /// Returns a hook of a stage.
    pub(crate) fn of(&self, stage: &str, hook: &'static str) -> Arc<Life> {
        Arc::clone(&self.0.entry((stage.to_owned(), hook)).or_default())
    }
}

impl Default for Life {
    fn default() -> Self {
        Self {
            runs: AtomicU64::default(),
            failures: AtomicU64::default(),
            denials: AtomicU64::default(),
            edits: AtomicU64::default(),
            micros: AtomicU64::default(),
            classes: std::array::from_fn(|_| AtomicU64::default()),
            last_error: Mutex::default(),
        }
    }
}

impl Life {
    /// Adds a run, failed or not.
    pub(crate) fn ran(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.runs.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
        self.classes[class(micros)].fetch_add(1, Relaxed);
    }

    /// Notes that the last run failed.
    pub(crate) fn failed(&self, error: LastError) {
        self.failures.fetch_add(1, Relaxed);
        *self.last_error.lock() = Some(error);
    }

    /// Notes that the last run refused the request or a target.
    pub(crate) fn denied(&self) {
        self.denials.fetch_add(1, Relaxed);
    }

    /// Notes that the last run edited its subject.
    pub(crate) fn edited(&self) {
        self.edits.fetch_add(1, Relaxed);
    }

    /// Returns the numbers.
    pub(crate) fn numbers(&self) -> LifeNumbers {
        let classes: Vec<u64> = self.classes.iter().map(|class| class.load(Relaxed)).collect();
        LifeNumbers {
            runs: self.runs.load(Relaxed),
            failures: self.failures.load(Relaxed),
            denials: self.denials.load(Relaxed),
            edits: self.edits.load(Relaxed),
            took: Duration::from_micros(self.micros.load(Relaxed)),
            half: quantile(&classes, 50),
            most: quantile(&classes, 99),
            last_error: self.last_error.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_quarter_too_high() {
        let life = Life::default();
        assert_eq!((life.numbers().half, life.numbers().runs), (None, 0));
        for micros in 1..=1000 {
            life.ran(Duration::from_micros(micros));
        }
        let numbers = life.numbers();
        let within = |found: Option<Duration>, truth: u128| {
            let found = found.unwrap().as_micros();
            assert!(found >= truth && found <= truth * 5 / 4 + 1, "{found} for {truth}");
        };
        within(numbers.half, 500);
        within(numbers.most, 990);
        assert_eq!(numbers.took, Duration::from_micros(500_500));
        life.ran(Duration::from_secs(1_000_000));
        assert_eq!(life.numbers().runs, 1001);
    }
}
