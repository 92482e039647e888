//! `Outcomes`: the recent attempts at a target, and the last one that failed.
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::models::slots::Slots;

/// The length of a slot.
const SLOT: Duration = Duration::from_secs(10);
/// The time that counts as recent.
pub(crate) const RECENT: Duration = Duration::from_secs(60);

/// The attempts at one target. They outlive generations, like its health.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Mutex<State>);

#[derive(Debug)]
struct State {
    slots: Slots<Recent>,
    last_failure: Option<LastFailure>,
}

impl Default for State {
    fn default() -> Self {
        Self { slots: Slots::new(RECENT, SLOT), last_failure: None }
    }
}

/// The last failure of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastFailure {
    /// The time at which it was noticed.
    pub(crate) at: SystemTime,
    /// The status of the upstream; `None` if it sent none.
    pub(crate) status: Option<u16>,
    /// The kind of the error, such as `overloaded_error`.
    pub(crate) kind: &'static str,
    /// The message, in one line of bounded length.
    pub(crate) message: String,
}

/// The attempts of the recent time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    /// All attempts that ended, or began to answer.
    pub(crate) attempts: u64,
    /// Those that failed by the fault of the upstream.
    pub(crate) failures: u64,
}

impl Outcomes {
    /// Counts an attempt that the upstream answered.
    pub(crate) fn answered(&self, now: Instant) {
        self.0.lock().slots.current(now).attempts += 1;
    }

    /// Counts an attempt that failed by the fault of the upstream.
    pub(crate) fn failed(&self, failure: LastFailure, now: Instant) {
        let mut state = self.0.lock();
        let slot = state.slots.current(now);
        slot.attempts += 1;
        slot.failures += 1;
        state.last_failure = Some(failure);
    }

    /// Returns the attempts of the recent time.
    pub(crate) fn recent(&self, now: Instant) -> Recent {
        let state = self.0.lock();
        state.slots.recent(now).fold(Recent::default(), |sum, slot| Recent {
            attempts: sum.attempts + slot.attempts,
            failures: sum.failures + slot.failures,
        })
    }

    /// Returns the last failure.
    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        self.0.lock().last_failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> LastFailure {
        LastFailure {
            at: SystemTime::UNIX_EPOCH,
            status: Some(529),
            kind: "overloaded_error",
            message: "busy".to_owned(),
        }
    }

    #[test]
    fn attempts_count_for_a_minute() {
        let (outcomes, start) = (Outcomes::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [0, 5, 25] {
            outcomes.answered(at(seconds));
        }
        outcomes.failed(failure(), at(26));
        assert_eq!(outcomes.recent(at(26)), Recent { attempts: 4, failures: 1 });
        assert_eq!(outcomes.recent(at(60)), Recent { attempts: 2, failures: 1 });
        assert_eq!(outcomes.recent(at(85)), Recent::default());
        assert_eq!(outcomes.last_failure(), Some(failure()));
    }
}
