//! `Trouble`: the log lines about a ledger that cannot be written or that loses rows, at most one a minute.
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts failures and lost rows between two lines of the log.
#[derive(Default)]
pub(super) struct Trouble(Mutex<State>);

/// A failure of the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure<'a> {
    /// A batch could not be written; the writer tries again.
    Write(&'a sqlx::Error),
    /// Old rows could not be deleted.
    Prune(&'a sqlx::Error),
    /// The database does not accept the row with this id, which is dropped.
    Rejected(&'a sqlx::Error, &'a str),
    /// An exchange was dropped, since the queue is full.
    Full,
}

#[derive(Default)]
struct State {
    /// The time of the last line.
    logged: Option<Instant>,
    /// The amounts since the last line.
    since: Amounts,
    /// Whether the log says that the ledger cannot be written.
    is_away: bool,
}

/// The amounts that a line names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amounts {
    failures: u64,
    dropped: u64,
}

impl Trouble {
    /// Counts a failure, and logs it unless there was a line within the last minute. `waiting` is the number of
    /// exchanges that wait for the database.
    pub(super) fn note(&self, failure: Failure<'_>, waiting: usize) {
        let due = self.0.lock().note(failure, Instant::now());
        if let Some(amounts) = due {
            log(failure, amounts, waiting);
        }
    }

    /// Logs the drops that have no line yet, if a line is due.
    pub(super) fn look(&self, waiting: usize) {
        let due = self.0.lock().look(Instant::now());
        if let Some(amounts) = due {
            log(Failure::Full, amounts, waiting);
        }
    }

    /// Logs that the ledger is written again, if the log says that it cannot be written.
    pub(super) fn written(&self, waiting: usize) {
        let due = self.0.lock().written();
        if let Some(Amounts { failures, dropped }) = due {
            tracing::info!(waiting, failures, dropped, "the ledger is written again");
        }
    }
}

impl State {
    fn note(&mut self, failure: Failure<'_>, now: Instant) -> Option<Amounts> {
        match failure {
            Failure::Write(_) | Failure::Prune(_) => self.since.failures += 1,
            Failure::Rejected(..) | Failure::Full => self.since.dropped += 1,
        }
        let due = self.due(now)?;
        self.is_away |= matches!(failure, Failure::Write(_));
        Some(due)
    }

    fn look(&mut self, now: Instant) -> Option<Amounts> {
        if self.since.dropped == 0 {
            return None;
        }
        self.due(now)
    }

    fn written(&mut self) -> Option<Amounts> {
        std::mem::take(&mut self.is_away).then(|| std::mem::take(&mut self.since))
    }

    /// Returns the amounts of a line if one may be written now.
    fn due(&mut self, now: Instant) -> Option<Amounts> {
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < PAUSE) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

impl Failure<'_> {
    /// Returns the database's error, the id of the row that it is about, and the message of the log.
    fn parts(&self) -> (Option<&sqlx::Error>, Option<&str>, &'static str) {
        match self {
            Self::Write(error) => (
                Some(error),
                None,
                "the ledger cannot be written: its rows wait, and are lost beyond the bounds of `ledger.queue`",
            ),
            Self::Prune(error) => (Some(error), None, "old rows of the ledger cannot be deleted"),
            Self::Rejected(error, id) => {
                (Some(error), Some(id), "the ledger's database rejects rows: they are dropped")
            }
            Self::Full => (
                None,
                None,
                "exchanges are missing in the ledger: more wait for its database than `ledger.queue` allows",
            ),
        }
    }
}

fn log(failure: Failure<'_>, amounts: Amounts, waiting: usize) {
    let (error, id, message) = failure.parts();
    let error = error.map(tracing::field::display);
    let Amounts { failures, dropped } = amounts;
    tracing::error!(error, id, waiting, failures, dropped, "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_minute_has_one_line_with_all_that_happened_since_the_last_one() {
        let mut state = State::default();
        let begin = Instant::now();
        let away = sqlx::Error::PoolTimedOut;
        let amounts = |failures, dropped| Some(Amounts { failures, dropped });
        assert_eq!(state.note(Failure::Write(&away), begin), amounts(1, 0));
        for second in 1..60 {
            let now = begin + second * SECOND;
            assert_eq!(state.note(Failure::Write(&away), now), None);
            assert_eq!(state.note(Failure::Prune(&away), now), None);
            assert_eq!(state.note(Failure::Full, now), None);
            assert_eq!(state.note(Failure::Rejected(&away, "1"), now), None);
            assert_eq!(state.look(now), None);
        }
        assert_eq!(state.note(Failure::Prune(&away), begin + PAUSE), amounts(119, 118));
        assert_eq!(state.look(begin + 2 * PAUSE), None);
    }

    #[test]
    fn the_last_drops_of_a_burst_have_a_line_too() {
        let mut state = State::default();
        let begin = Instant::now();
        assert_eq!(state.note(Failure::Full, begin), Some(Amounts { failures: 0, dropped: 1 }));
        (0..9).for_each(|_| assert_eq!(state.note(Failure::Full, begin), None));
        assert_eq!(state.look(begin + 59 * SECOND), None);
        assert_eq!(state.look(begin + PAUSE), Some(Amounts { failures: 0, dropped: 9 }));
    }

    #[test]
    fn the_end_of_a_failure_is_logged_only_if_its_begin_was() {
        let mut state = State::default();
        let begin = Instant::now();
        let away = sqlx::Error::PoolTimedOut;
        assert_eq!(state.written(), None);
        assert!(state.note(Failure::Write(&away), begin).is_some());
        assert!(state.note(Failure::Full, begin + SECOND).is_none());
        assert_eq!(state.written(), Some(Amounts { failures: 0, dropped: 1 }));
        // a database that comes and goes has no further lines within the minute
        for second in 2..50 {
            assert!(state.note(Failure::Write(&away), begin + second * SECOND).is_none());
            assert_eq!(state.written(), None);
        }
    }
}
